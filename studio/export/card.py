"""The model card of an export: what it is, what it learned from and how, how well it does, what it is not, how it was
proven and how it is loaded.

Markdown with the front matter of the Hub (https://huggingface.co/docs/hub/model-cards), in English and Japanese, filled
from the record alone: what was not looked for is said to be so. Names that users or data brought stand in code spans: a
card is shown as a page elsewhere.
"""

from collections.abc import Mapping

from studio.export.card_front import front_matter
from studio.export.card_limits import limits
from studio.export.card_loading import commands, python_code
from studio.export.card_text import Say, bullets, escaped, span, spans, table
from studio.export.energy import energy
from studio.export.facts import CardFacts, Evaluated, RunFacts
from studio.export.names import name_of
from studio.export.rows import TRAIN
from studio.export.script import FILE as SCRIPT
from studio.export.script import differences, why_not
from studio.messages import LANGUAGES, translate
from studio.models.catalog import STARTER
from studio.runs.exports import ExportSpec, Proof
from studio.runs.spec import LoraSpec, RunSpec, spec_fields

_VARIANTS = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}
_GIGABYTE = 1e9


def model_card(
    facts: CardFacts,
    export: ExportSpec | None = None,
    proof: Proof | None = None,
    files: Mapping[str, str] | None = None,
) -> str:
    """The whole README.md. `files`: the SHA-256 of the export's other files, by their names; `proof`: None before there
    is one."""
    spec, hashes = export or ExportSpec(), files or {}
    body = "\n".join(_body(facts, spec, proof, hashes, language) for language in LANGUAGES)
    return f"{front_matter(facts, spec)}\n{body}"


def _body(facts: CardFacts, export: ExportSpec, proof: Proof | None, files: Mapping[str, str], language: str) -> str:
    def say(key: str, **values: object) -> str:
        return translate(f"ui.export.card.{key}", language, **values)

    run = facts.run
    parts: list[tuple[str, list[str]]] = [("base", _base(facts, say, language))]
    if run:
        parts += [
            ("use", bullets(limits(facts, run, language))),
            ("data", _data(run, files, say, language)),
            ("training", _training(facts, run, say, language)),
            ("scores", _scores(run, say, language)),
            ("evaluation", _evaluation(run.evaluation, say, language)),
            ("regressions", _regressions(run.evaluation, say, language)),
        ]
    parts += [
        ("load", _load(facts, export, files, say, language)),
        ("proof", _proof(proof, files, say)),
        ("again", _again(facts, files, say)),
    ]
    if run:
        parts.append(("settings", [say("settings.file"), "", *_settings(run.spec, say, language)]))
    return "\n".join(
        [*_head(facts, export, say), *(line for key, lines in parts for line in (f"## {say(key)}", "", *lines))]
    )


def _head(facts: CardFacts, export: ExportSpec, say: Say) -> list[str]:
    tuner = facts.run.spec.tuner if facts.run else None
    variant = _VARIANTS[tuner.variant] if isinstance(tuner, LoraSpec) else "LoRA"
    kind = "model" if facts.full and export.target == "adapter" else export.target.replace("-", "_")
    title = say(f"title.{kind}", name=span(facts.name), tuner=variant, numbers=export.kind)
    return [f"# {title}", "", say(f"intro.{kind}", base=span(facts.base.name), numbers=export.kind), ""]


def _base(facts: CardFacts, say: Say, language: str) -> list[str]:
    base = facts.base
    licence = say("base.licence", licence=span(base.licence)) if base.licence else say("base.licence.unknown")
    notices = facts.run.notices if facts.run else ()
    return bullets(
        [
            say("base.name", name=span(base.name)),
            *([say("base.starter")] if base.source == STARTER else []),
            *([say("base.commit", commit=base.commit)] if base.commit else []),
            say("base.fingerprint", sha256=base.fingerprint),
            say("base.parameters", parameters=f"{base.parameters:,}"),
            licence,
            *(translate(key, language, **spans(values)) for key, values in notices),
        ]
    )


def _data(run: RunFacts, files: Mapping[str, str], say: Say, language: str) -> list[str]:
    data = run.data
    lines = [
        say("data.name", name=span(data.name), version=data.version),
        say("data.fingerprint", sha256=data.fingerprint),
        say("data.rows", rows=data.rows, train=data.train_rows, validation=data.validation_rows),
        *([say("data.skipped", rows=run.training.skipped)] if run.training.skipped else []),
        *([say("data.lost", rows=run.training.lost)] if run.training.lost else []),
        *([say("data.mixed")] if data.mixed else []),
        say("data.inside" if TRAIN in files else "data.secret"),
    ]
    steps, found = data.steps.get(language, ()), data.findings
    cleaned = (
        [say("data.cleaned", imported=data.imported, rows=data.rows, steps=len(steps), sha256=data.recipe_sha256), ""]
        if data.recipe_sha256
        else [say("data.as_imported"), ""]
    )
    seen = (
        [say("data.unchecked"), ""] if found is None else [say("data.found" if found[language] else "data.clean"), ""]
    )
    return [
        *bullets(lines),
        f"### {say('data.cleaning')}",
        "",
        *cleaned,
        *bullets([escaped(step) for step in steps]),
        f"### {say('data.findings')}",
        "",
        *seen,
        *bullets([escaped(one) for one in (found or {}).get(language, ())]),
    ]


def _training(facts: CardFacts, run: RunFacts, say: Say, language: str) -> list[str]:
    made = run.training
    spent = energy(made.device, made.seconds)
    low, high = (_energy_words(hours) for hours in spent.watt_hours)
    watts = "–".join(f"{watts:.0f}" for watts in spent.watts)
    parts = [
        say("method", method=_method(run.spec, language)),
        say("training.step", step=run.step, steps=made.total_steps),
        say("training.parameters", parameters=f"{made.trainable_parameters:,}"),
        *([say("training.parent", name=span(made.parent[0]), sha256=made.parent[1])] if made.parent else []),
        *([say("training.vocabulary", rows=f"{facts.vocabulary:,}")] if facts.vocabulary else []),
        say(f"training.sha256.{'model' if facts.full else 'adapter'}", sha256=facts.weights_sha256),
        say("training.device", device=span(made.device), numbers=made.numbers),
        *([say("training.memory", memory=f"{made.memory_bytes / _GIGABYTE:.2f}")] if made.memory_bytes else []),
        say("training.time", time=_duration(made.seconds, say)),
        say("training.energy", low=low, high=high, time=_duration(made.seconds, say), watts=watts),
        say(f"training.energy.{spent.assumed}", **spent.values),
        say("training.made", version=facts.studio_version, run=run.id),
    ]
    return bullets(parts)


def _energy_words(watt_hours: float) -> str:
    return f"{watt_hours / 1000:.2g} kWh" if watt_hours >= 1000 else f"{watt_hours:.2g} Wh"


def _duration(seconds: float, say: Say) -> str:
    if seconds < 120:
        return say("duration.seconds", n=f"{seconds:.0f}")
    if seconds < 7200:
        return say("duration.minutes", n=f"{seconds / 60:.0f}")
    return say("duration.hours", n=f"{seconds / 3600:.1f}")


def _scores(run: RunFacts, say: Say, language: str) -> list[str]:
    if run.loss_after is None:
        return [say("scores.none"), ""]
    before = f"{run.loss_before:.4f}" if run.loss_before is not None else say("unknown")
    likelihood = run.spec.method.learns in ("answers", "text")
    term = translate(f"ui.method.{run.spec.method.kind}.term", language)
    rows = [[say("scores.loss"), before, f"{run.loss_after:.4f}"]]
    if run.accuracy_after is not None:
        rows.append([say("scores.accuracy"), "–", f"{run.accuracy_after:.1%}"])
    return [
        *table(["", say("scores.before"), say("scores.after")], rows),
        say("scores.note.answers") if likelihood else say("scores.note.other", term=term),
        "",
    ]


def _evaluation(found: Evaluated | None, say: Say, language: str) -> list[str]:
    if found is None:
        return [say("evaluation.none"), ""]
    head = [say(f"evaluation.{part}") for part in ("figure", "before", "after", "change")]
    return [
        f"**{found.decision[language]}**",
        "",
        *bullets([escaped(reason) for reason in found.reasons[language]]),
        say("evaluation.note", rows=found.rows),
        "",
        *table(head, [[escaped(cell) for cell in row] for row in found.figures[language]]),
    ]


def _regressions(found: Evaluated | None, say: Say, language: str) -> list[str]:
    if found is None:
        return [say("regressions.unknown"), ""]
    worse = found.worse[language]
    return [
        say("regressions.found" if worse else "regressions.none"),
        "",
        *bullets([escaped(one) for one in worse]),
        *(line for one in found.not_asked[language] for line in (escaped(one), "")),
    ]


def _load(facts: CardFacts, export: ExportSpec, files: Mapping[str, str], say: Say, language: str) -> list[str]:
    target = "merged" if facts.full and export.target == "adapter" else export.target.replace("-", "_")
    shell = commands(facts, export, files)
    return [
        say(f"load.{target}"),
        "",
        *((translate("ui.export.window", language, tokens=facts.window), "") if facts.window else ()),
        "```python",
        python_code(facts, export, files),
        "```",
        "",
        *((say("load.shell"), "", "```sh", shell, "```", "") if shell else ()),
    ]


def _proof(proof: Proof | None, files: Mapping[str, str], say: Say) -> list[str]:
    hashes = [f"`{name}`: `{sha256}`" for name, sha256 in sorted(files.items())]
    told = [say("proof.none"), ""] if proof is None else [say("proof.about"), "", *bullets(_proven(proof, say))]
    return [*told, *((say("proof.files"), "", *bullets(hashes)) if hashes else ())]


def _proven(proof: Proof, say: Say) -> list[str]:
    lines = [
        *([say("proof.program", program=span(proof.program))] if proof.program else []),
        say("proof.equal", equal=proof.equal, prompts=proof.prompts),
        say("proof.first_tokens", share=f"{proof.first_tokens:.1%}"),
    ]
    if proof.max_score_difference is not None:
        lines.append(say("proof.scores", difference=f"{proof.max_score_difference:.2g}"))
    if proof.perplexity is not None:
        before, after = proof.perplexity
        lines.append(
            say("proof.perplexity", before=f"{before:.4g}", after=f"{after:.4g}", change=f"{after / before - 1:+.2%}")
        )
    if proof.conversations:
        lines.append(say("proof.rendered", rendered=proof.rendered, conversations=proof.conversations))
    if proof.weight_error is not None:
        lines.append(say("proof.weight_error", share=f"{proof.weight_error:.2%}"))
    if proof.mixed:
        lines.append(say("proof.mixed"))
    return [*lines, say("proof.passed" if proof.passed else "proof.failed")]


def _again(facts: CardFacts, files: Mapping[str, str], say: Say) -> list[str]:
    """Whether and how the training can be done again without the studio."""
    if why := why_not(facts):
        return [say(f"script.none.{why}"), ""]
    assert facts.run is not None
    rows = "script.rows" if TRAIN in files else "script.no_rows"
    told = [say(f"script.differs.{name}") for name in differences(facts.run)]
    return [
        say("script.about", file=SCRIPT),
        "",
        say(rows),
        "",
        *((say("script.differs"), "") if told else ()),
        *bullets(told),
    ]


def _method(spec: RunSpec, language: str) -> str:
    name, term = (translate(f"ui.method.{spec.method.kind}.{part}", language) for part in ("name", "term"))
    return translate("ui.method.full", language, name=name, term=term)


def _settings(spec: RunSpec, say: Say, language: str) -> list[str]:
    values = spec.model_dump(mode="json")
    rows = []
    for field in spec_fields(spec.method.kind, spec.tuner.kind):
        value: object = values
        for part in field.path.split("."):
            value = value[part] if isinstance(value, dict) else None
        shown = name_of(str(value)) if field.path in ("model.source", "model.adapter_folder") else str(value)
        rows.append([field.label(language), f"`{field.path}`", span(shown).replace("|", "/")])
    return table([say("settings.setting"), say("settings.name"), say("settings.value")], rows)
