"""The model card of an export: what the adapter is, what it learned from, how well it did, how to load it.

Markdown with the front matter of the Hub (https://huggingface.co/docs/hub/model-cards), in English and Japanese.
Names that users or data brought stand in code spans: a card is shown as a page elsewhere.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from studio.messages import LANGUAGES, translate
from studio.models.catalog import STARTER, ModelIdentity
from studio.runs.spec import LoraSpec, RunSpec, spec_fields

_VARIANTS = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}
# Control characters, and those that turn the direction of the text around them.
_MARKUP = re.compile(r"[\\`*_{}\[\]<>#|!~]")
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class CardEvaluation:
    """What came of the evaluation, in each language: `decision`, why, and figures (name, before, after). `rows` were
    tested."""

    rows: int
    decision: Mapping[str, str]
    reasons: Mapping[str, tuple[str, ...]]
    figures: Mapping[str, tuple[tuple[str, str, str], ...]]


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that a card tells. Losses are those of the method, on the validation rows; accuracy, 0 to 1, the share of the
    validation pairs with the better answer ahead, where the method learns from pairs. `vocabulary`: the rows of the
    embedding, where the run gave it new ones. `evaluation`: None where there was none."""

    run: str
    name: str
    spec: RunSpec
    step: int
    base: ModelIdentity
    dtype: str
    stops: tuple[int, ...]
    adapter_sha256: str
    trainable_parameters: int
    data_name: str
    data_version: int
    data_fingerprint: str
    data_rows: int
    train_rows: int
    validation_rows: int
    loss_before: float | None
    loss_after: float | None
    accuracy_after: float | None
    samples: int
    notices: tuple[tuple[str, dict[str, object]], ...]
    vocabulary: int | None
    studio_version: str
    evaluation: CardEvaluation | None = None


def model_card(facts: CardFacts) -> str:
    """The whole README.md."""
    tuner = facts.spec.tuner
    library, tag = ("peft", tuner.variant) if isinstance(tuner, LoraSpec) else ("transformers", "full")
    front: dict[str, object] = {"library_name": library, "pipeline_tag": "text-generation"}
    front["tags"] = [tag, facts.spec.method.kind]
    if _is_hub(facts.base):
        front["base_model"] = facts.base.name
    if facts.base.licence:
        front["license"] = facts.base.licence
    head = yaml.safe_dump(front, sort_keys=True, allow_unicode=True)
    body = "\n".join(_body(facts, language) for language in LANGUAGES)
    return f"---\n{head}---\n\n{body}"


def loading_code(facts: CardFacts) -> str:
    """Python that loads the export and asks it something; nothing of the studio is needed but the starter's files."""
    adapter = isinstance(facts.spec.tuner, LoraSpec)
    starter = adapter and facts.base.source == STARTER
    if starter:
        base = "str(read_settings().starter)"
    else:
        base = repr(facts.base.name if _is_hub(facts.base) else f"PATH/TO/{facts.base.name}")
    revision = f", revision={facts.base.commit!r}" if facts.base.commit else ""
    load = [
        f"base = {base}",
        f'model = AutoModelForCausalLM.from_pretrained(base, dtype="{facts.dtype}"{revision})',
        *([_room(facts.vocabulary)] if facts.vocabulary else []),
        "model = PeftModel.from_pretrained(model, folder)",
    ]
    lines = [
        *(["from peft import PeftModel"] if adapter else []),
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        *(["from studio.settings import read_settings  # pip install finetuning-studio"] if starter else []),
        "",
        'folder = "."  # where this file lies',
        *(load if adapter else [f'model = AutoModelForCausalLM.from_pretrained(folder, dtype="{facts.dtype}")']),
        "tokenizer = AutoTokenizer.from_pretrained(folder)",
        'messages = [{"role": "user", "content": "Hello!"}]',
        "inputs = tokenizer.apply_chat_template(",
        '    messages, add_generation_prompt=True, return_tensors="pt", return_dict=True',
        ")",
        "output = model.generate(",
        f"    **inputs, max_new_tokens=128, do_sample=False, eos_token_id={list(facts.stops)},",
        "    pad_token_id=tokenizer.pad_token_id,",
        ")",
        'answer = output[0, inputs["input_ids"].shape[1] :]',
        "print(tokenizer.decode(answer, skip_special_tokens=True))",
    ]
    return "\n".join(lines)


def _room(rows: int) -> str:
    return f"model.resize_token_embeddings({rows}, mean_resizing=False)  # room for the new tokens"


def _body(facts: CardFacts, language: str) -> str:
    def say(key: str, **values: object) -> str:
        return translate(f"ui.export.card.{key}", language, **values)

    tuner = facts.spec.tuner
    what = "adapter" if isinstance(tuner, LoraSpec) else "model"
    variant = _VARIANTS[tuner.variant] if isinstance(tuner, LoraSpec) else ""
    unknown = say("unknown")
    base = [
        say("base.name", name=_text(facts.base.name)),
        *([say("base.starter")] if facts.base.source == STARTER else []),
        *([say("base.commit", commit=facts.base.commit)] if facts.base.commit else []),
        say("base.fingerprint", sha256=facts.base.fingerprint),
        say("base.parameters", parameters=f"{facts.base.parameters:,}"),
        say("base.licence", licence=_text(facts.base.licence) if facts.base.licence else unknown),
        *(translate(key, language, **_texts(values)) for key, values in facts.notices),
    ]
    data = [
        say("data.name", name=_text(facts.data_name), version=facts.data_version),
        say("data.fingerprint", sha256=facts.data_fingerprint),
        say("data.rows", rows=facts.data_rows, train=facts.train_rows, validation=facts.validation_rows),
        say("data.secret"),
    ]
    adapter = [
        say("method", method=_method(facts.spec, language)),
        say(f"{what}.sha256", sha256=facts.adapter_sha256),
        say("adapter.parameters", parameters=f"{facts.trainable_parameters:,}"),
        say("adapter.step", step=facts.step),
        *([say("adapter.vocabulary", rows=f"{facts.vocabulary:,}")] if facts.vocabulary else []),
        say("adapter.made", version=facts.studio_version, run=facts.run),
        say(f"{what}.proof", prompts=facts.samples),
    ]
    return "\n".join(
        [
            f"# {say(f'{what}.title', name=_text(facts.name), tuner=variant)}",
            "",
            say(f"{what}.intro", base=_text(facts.base.name)),
            "",
            f"## {say('base')}",
            *_list(base),
            f"## {say('data')}",
            *_list(data),
            f"## {say('scores')}",
            *_scores(facts, language),
            f"## {say('evaluation')}",
            *_evaluation(facts.evaluation, language),
            f"## {say(what)}",
            *_list(adapter),
            f"## {say('load')}",
            say(f"{what}.files"),
            "",
            "```python",
            loading_code(facts),
            "```",
            "",
            f"## {say('settings')}",
            say("settings.file"),
            "",
            *_settings(facts.spec, language),
            "",
        ]
    )


def _scores(facts: CardFacts, language: str) -> list[str]:
    key = "ui.export.card.scores"
    if facts.loss_after is None:
        return [translate(f"{key}.none", language), ""]
    before = (
        f"{facts.loss_before:.4f}" if facts.loss_before is not None else translate("ui.export.card.unknown", language)
    )
    likelihood = facts.spec.method.learns in ("answers", "text")
    term = translate(f"ui.method.{facts.spec.method.kind}.term", language)
    rows = [(translate(f"{key}.loss", language), before, f"{facts.loss_after:.4f}")]
    if facts.accuracy_after is not None:
        rows.append((translate(f"{key}.accuracy", language), "–", f"{facts.accuracy_after:.1%}"))
    return [
        f"| | {translate(f'{key}.before', language)} | {translate(f'{key}.after', language)} |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        translate(f"{key}.note.answers", language)
        if likelihood
        else translate(f"{key}.note.other", language, term=term),
        "",
    ]


def _evaluation(found: CardEvaluation | None, language: str) -> list[str]:
    key = "ui.export.card.evaluation"
    if found is None:
        return [translate(f"{key}.none", language), ""]
    head = [translate(f"{key}.{part}", language) for part in ("figure", "before", "after")]
    return [
        f"**{found.decision[language]}**",
        "",
        *_list([_escaped(reason) for reason in found.reasons[language]]),
        translate(f"{key}.note", language, rows=found.rows),
        "",
        f"| {' | '.join(head)} |",
        "|---|---|---|",
        *(f"| {' | '.join(_escaped(cell) for cell in row)} |" for row in found.figures[language]),
        "",
    ]


def _method(spec: RunSpec, language: str) -> str:
    name, term = (translate(f"ui.method.{spec.method.kind}.{part}", language) for part in ("name", "term"))
    return translate("ui.method.full", language, name=name, term=term)


def _settings(spec: RunSpec, language: str) -> list[str]:
    values = spec.model_dump(mode="json")
    rows = ["| | | |", "|---|---|---|"]
    for field in spec_fields(spec.method.kind, spec.tuner.kind):
        value: object = values
        for part in field.path.split("."):
            value = value[part] if isinstance(value, dict) else None
        shown = _base_name(str(value)) if field.path == "model.source" else str(value)
        rows.append(f"| {field.label(language)} | `{field.path}` | {_text(shown).replace('|', '/')} |")
    return rows


def _base_name(source: str) -> str:
    """A folder's last part: where it lay on the machine is nobody's business."""
    return re.split(r"[/\\]", source.rstrip("/\\"))[-1] if _is_path(source) else source


def _is_path(source: str) -> bool:
    return source.startswith(("/", "~", ".", "\\")) or source.count("/") > 1 or "\\" in source or ":" in source


def _is_hub(base: ModelIdentity) -> bool:
    return base.commit is not None


def _list(lines: list[str]) -> list[str]:
    return [*(f"- {line}" for line in lines), ""]


def _texts(values: dict[str, object]) -> dict[str, object]:
    return {key: _text(value) if isinstance(value, str) else value for key, value in values.items()}


def _escaped(text: str) -> str:
    """A sentence of ours, in which names of others may stand: nothing in it is markup."""
    return _MARKUP.sub(r"\\\g<0>", _UNSEEN.sub("", " ".join(text.split())))


def _text(text: str) -> str:
    """One line that Markdown shows as it is: a code span, in more backticks than the text has in a row."""
    line = _UNSEEN.sub("", " ".join(text.split())) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    room = " " if "`" in line else ""
    return f"{fence}{room}{line}{room}{fence}"
