"""Exports as HTML: the ways there are, what is in one, what its proof found, its card as text; pure but for reading
files."""

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.backend.export_plan import Offer
from studio.backend.exports import Export
from studio.backend.serving import ServingHint
from studio.errors import StudioError
from studio.runs.exports import FEW_BITS, NUMBERS, Proof, Target
from studio.ui.markup import said, shown
from studio.ui.run_view import moment, size

Sentence = Callable[..., str]

CARD = "README.md"
_CARD_BYTES = 200_000
_CODE = re.compile(r"^```python\n(.*?)\n```$", re.DOTALL | re.MULTILINE)
_FILES = {
    "adapter_model.safetensors": "weights",
    "adapter_config.json": "config",
    "model.safetensors": "model",
    "config.json": "model_config",
    CARD: "card",
    "run-spec.yaml": "spec",
    "tokenizer.json": "tokenizer",
    "tokenizer_config.json": "tokenizer_config",
    "chat_template.jinja": "template",
    "generation_config.json": "generation",
    "base_model.json": "base_model",
    "Modelfile": "modelfile",
    "reproduce.py": "script",
    "train.jsonl": "rows",
    "validation.jsonl": "rows",
}
_ENDINGS = {".gguf": "gguf", ".safetensors": "model", ".safetensors.index.json": "index"}
_TOLD = (CARD, "run-spec.yaml", "reproduce.py")
_WORDS = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_MODEL = ("model.safetensors", "config.json", "generation_config.json", *_TOLD, *_WORDS)
_EXPECTED: dict[Target, tuple[str, ...]] = {
    "adapter": ("adapter_model.safetensors", "adapter_config.json", "base_model.json", *_TOLD, *_WORDS),
    "merged": _MODEL,
    "gguf": ("*.gguf", "Modelfile", *_TOLD),
    "gguf-adapter": ("*.gguf", *_TOLD),
}
_WORSE = 1.05
"""So many times the perplexity of the run is worth a caution."""


@dataclass(frozen=True, slots=True)
class Package:
    """What lies in an export: bytes by file name, the model card, and the Python in it that loads the adapter."""

    files: Mapping[str, int]
    card: str
    code: str


def read_package(path: Path) -> Package:
    """Look into an export, a zip or a folder."""
    if path.is_dir():
        files = {file.name: file.stat().st_size for file in sorted(path.iterdir())}
        with (path / CARD).open("rb") as file:
            raw = file.read(_CARD_BYTES)
    else:
        with zipfile.ZipFile(path) as archive:
            files = {entry.filename: entry.file_size for entry in archive.infolist()}
            with archive.open(CARD) as packed:
                raw = packed.read(_CARD_BYTES)
    card = raw.decode("utf-8", errors="replace")
    code = _CODE.search(card)
    return Package(files, card, code.group(1) if code else "")


# The ways to choose from


def usual(offers: Sequence[Offer], target: Target) -> Offer | None:
    """The first kind of numbers of a target that there is."""
    return next((offer for offer in offers if offer.spec.target == target and offer.refusal is None), None)


def target_cards(offers: Sequence[Offer], chosen: Target, t: Sentence, *, full: bool = False) -> str:
    """The targets as cards, each with what it is for, its size and time; those that cannot be say why."""
    cards = "".join(_target_card(offers, target, target == chosen, t, full=full) for target in NUMBERS)
    title = f"<legend>{shown(t('ui.export.target'))}</legend>"
    return f'<fieldset class="method-cards exp-targets">{title}{cards}</fieldset>'


def _target_card(offers: Sequence[Offer], target: Target, chosen: bool, t: Sentence, *, full: bool) -> str:
    found = usual(offers, target)
    whole = ".full" if full and target == "adapter" else ""
    name, text = (shown(t(f"ui.export.target.{target}{whole}.{part}")) for part in ("name", "for"))
    if found is None:
        refusals = [offer.refusal for offer in offers if offer.spec.target == target and offer.refusal]
        note = f'<span class="exp-why">{said(_why(refusals[0], t))}</span>' if refusals else ""
    else:
        takes = t("ui.export.size_time", size=size(found.bytes), time=about(found.seconds, t))
        note = f'<span class="exp-size">{shown(takes)}</span>'
    state = " checked" if chosen else " disabled" if found is None else ""
    kind = "method-card exp-off" if found is None else "method-card"
    return (
        f'<label class="{kind}"><input type="radio" name="method" value="{target}"{state}>'
        f"<span><b>{name}</b>{text}{note}</span></label>"
    )


def _why(refusal: StudioError, t: Sentence) -> str:
    return t(refusal.key, **refusal.values)


def number_choices(offers: Sequence[Offer], target: Target, t: Sentence) -> list[tuple[str, str]]:
    """The kinds of numbers of a target, each with what it means and its size; those that cannot be are left out."""
    return [
        (t("ui.export.numbers.choice", kind=kind, about=t(f"ui.export.numbers.{kind}"), size=size(offer.bytes)), kind)
        for offer in offers
        if offer.spec.target == target and offer.refusal is None and (kind := offer.spec.kind)
    ]


def left_out(offers: Sequence[Offer], target: Target, t: Sentence) -> str:
    """Why some kinds of numbers are not offered here, a line for each reason."""
    usual_one = usual(offers, target)
    reasons: dict[str, list[str]] = {}
    for offer in offers:
        if usual_one is not None and offer.spec.target == target and offer.refusal is not None:
            reasons.setdefault(_why(offer.refusal, t), []).append(offer.spec.kind)
    lines = (f"<li><b>{shown(', '.join(kinds))}</b> {said(why)}</li>" for why, kinds in reasons.items())
    return f'<ul class="exp-left">{"".join(lines)}</ul>' if reasons else ""


def plan_html(offer: Offer | None, free_bytes: int, t: Sentence) -> str:
    """What the chosen way takes."""
    if offer is None or offer.refusal is not None:
        return ""
    tight = offer.room_bytes > free_bytes
    facts = [
        (t("ui.export.plan.size"), size(offer.bytes)),
        (t("ui.export.plan.time"), about(offer.seconds, t)),
        (t("ui.export.plan.room"), t("ui.export.plan.of", needed=size(offer.room_bytes), free=size(free_bytes))),
    ]
    rows = "".join(f"<div><dt>{shown(name)}</dt><dd>{shown(value)}</dd></div>" for name, value in facts)
    warning = f'<div class="say say-bad" role="alert">{shown(t("ui.export.plan.tight"))}</div>' if tight else ""
    notes = [
        *([t("ui.export.plan.fetched", size=size(offer.fetched_bytes))] if offer.fetched_bytes else []),
        *([t("ui.export.window", tokens=offer.window)] if offer.window else []),
    ]
    told = "".join(f'<div class="say say-warn" role="status">{shown(note)}</div>' for note in notes)
    return f'<dl class="exp-facts exp-plan">{rows}</dl>{warning}{told}'


def about(seconds: float, t: Sentence) -> str:
    """A time that was estimated, in few digits."""
    if seconds < 90:
        return t("ui.export.about_seconds", count=max(5, 5 * round(seconds / 5)))
    return t("ui.export.about_minutes", count=round(seconds / 60))


# A finished one


def files_html(files: Mapping[str, int] | None, t: Sentence, target: Target = "adapter", *, full: bool = False) -> str:
    """The files with what they are for; their sizes once they are there, else those that a target will hold. `full`:
    all weights were tuned."""
    expected = _MODEL if full and target == "adapter" else _EXPECTED[target]
    there: Mapping[str, int | None] = files if files is not None else dict.fromkeys(expected)
    known = [name for name in _FILES if name in there]
    others = sorted(name for name in there if name not in _FILES)
    rows = "".join(_file(name, there[name], t) for name in (*others, *known))
    return f'<h3 class="s-h2">{t("ui.export.files")}</h3><ul class="exp-files">{rows}</ul>'


def _file(name: str, size_bytes: int | None, t: Sentence) -> str:
    ending = next((kind for end, kind in _ENDINGS.items() if name.endswith(end)), "other")
    purpose = t(f"ui.export.file.{_FILES.get(name, ending)}")
    weight = f'<span class="exp-size">{size(size_bytes)}</span>' if size_bytes is not None else ""
    return f'<li><code>{shown(name)}</code><span class="exp-for">{purpose}</span>{weight}</li>'


def progress_html(share: float, what: str) -> str:
    """How far the export is; `what` is a sentence of ours."""
    percent = round(100 * min(1.0, max(0.0, share)))
    return (
        f'<div class="exp-progress"><div class="exp-bar" role="progressbar" aria-valuemin="0" aria-valuemax="100"'
        f' aria-valuenow="{percent}"><i style="width:{percent}%"></i></div><p class="s-muted">{what}</p></div>'
    )


def result_html(export: Export, t: Sentence) -> str:
    """The proof in words and figures, and where the export lies, its size and hash."""
    path = f'<code class="exp-copied">{shown(export.path)}</code>{copy_button(t)}'
    facts = [
        *proof_facts(export.proof, t),
        (t("ui.export.fact.file"), path),
        (t("ui.export.fact.size"), size(export.bytes)),
        (t("ui.export.fact.sha256"), f"<code>{shown(export.sha256)}</code>"),
    ]
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return (
        '<div class="exp-result" role="status"><div class="exp-proof">'
        '<span class="exp-tick" aria-hidden="true">✓</span>'
        f'<div><p class="s-h2">{t("ui.export.proof.title")}</p><p class="s-muted">{proof_words(export, t)}</p></div>'
        f'</div>{_caution(export, t)}{_mixed(export, t)}<dl class="exp-facts">{rows}</dl></div>'
    )


def proof_words(export: Export, t: Sentence) -> str:
    """What the proof came to, in a sentence."""
    proof = export.proof
    key = "exact" if proof.equal == proof.prompts else "close"
    facts = {"program": proof.program or "PEFT", "prompts": proof.prompts, "equal": proof.equal}
    return shown(t(f"ui.export.proof.{key}", **facts, first=f"{proof.first_tokens:.1%}"))


def proof_facts(proof: Proof, t: Sentence) -> list[tuple[str, str]]:
    """Its figures, with their names."""
    found = [(t("ui.export.proof.first"), f"{proof.first_tokens:.1%}")]
    if proof.perplexity is not None:
        run, other = proof.perplexity
        values = {"run": f"{run:.4g}", "export": f"{other:.4g}", "change": f"{other / run - 1:+.2%}"}
        found.append((t("ui.export.proof.perplexity"), t("ui.export.proof.change", **values)))
    if proof.max_score_difference is not None:
        found.append((t("ui.export.proof.scores"), f"{proof.max_score_difference:.2g}"))
    if proof.conversations:
        found.append(
            (t("ui.export.proof.rendered"), t("ui.export.proof.of", count=proof.rendered, all=proof.conversations))
        )
    if proof.weight_error is not None:
        found.append((t("ui.export.proof.weights"), f"{proof.weight_error:.1%}"))
    return [(shown(name), shown(value)) for name, value in found]


def _caution(export: Export, t: Sentence) -> str:
    """Few bits may cost more than one wants."""
    both = export.proof.perplexity
    if export.spec.kind not in FEW_BITS or both is None or both[1] < _WORSE * both[0]:
        return ""
    return f'<div class="say say-warn">{shown(t("ui.export.proof.few_bits", kind=export.spec.kind))}</div>'


def _mixed(export: Export, t: Sentence) -> str:
    """It is larger than was told, and why."""
    if not export.proof.mixed:
        return ""
    return f'<div class="say say-warn">{shown(t("ui.export.proof.mixed"))}</div>'


def made_html(made: Sequence[Export], t: Sentence) -> str:
    """The exports that lie in the workspace already."""
    if not made:
        return ""
    rows = "".join(
        f"<li><b>{shown(t(f'ui.export.target.{one.spec.target}.name'))} {shown(one.spec.kind)}</b>"
        f'<span class="exp-size">{shown(size(one.bytes))} · {shown(moment(one.created))}</span>'
        f'<span class="exp-for">{proof_words(one, t)}</span><code>{shown(one.path)}</code></li>'
        for one in made
    )
    return f'<h3 class="s-h2">{shown(t("ui.export.made"))}</h3><ul class="exp-files exp-made">{rows}</ul>'


def serving_html(hints: Sequence[ServingHint], t: Sentence) -> str:
    """How each program serves the export: what to type, to be copied; of those that cannot, why."""
    if not hints:
        return ""
    parts = "".join(_hint(hint, t) for hint in hints)
    title, help_ = t("ui.export.serve"), t("ui.export.serve.help")
    return f'<h3 class="s-h2">{shown(title)}</h3><p class="s-muted">{shown(help_)}</p>{parts}'


def _hint(hint: ServingHint, t: Sentence) -> str:
    note = f'<p class="s-muted">{said(t(hint.note))}</p>' if hint.note else ""
    if not hint.commands:
        return f'<div class="exp-serve exp-serve-not"><b>{shown(hint.program)}</b>{note}</div>'
    lines = shown("\n".join(hint.commands))
    return (
        f'<div class="exp-serve"><div class="exp-head"><b>{shown(hint.program)}</b>{copy_button(t)}'
        f'<pre class="exp-pre exp-copied">{lines}</pre></div>{note}</div>'
    )


def code_html(package: Package, t: Sentence) -> str:
    """The loading code of the card, to be copied."""
    if not package.code:
        return ""
    return (
        f'<div class="exp-head"><h3 class="s-h2">{t("ui.export.code")}</h3>{copy_button(t)}</div>'
        f'<p class="s-muted">{t("ui.export.code_help")}</p><pre class="exp-pre exp-copied">{shown(package.code)}</pre>'
    )


def card_html(package: Package, t: Sentence) -> str:
    """The model card as it is written: text, not a rendered page."""
    return f'<p class="s-muted">{t("ui.export.card_help")}</p><pre class="exp-pre">{shown(package.card)}</pre>'


def copy_button(t: Sentence) -> str:
    """Copies what is marked `exp-copied` in the same component."""
    label, done = t("ui.compare.copy"), shown(t("ui.compare.copied"))
    return f'<button type="button" class="exp-copy" data-done="{done}">{label}</button>'
