"""An export as HTML: what is in the zip, what its proof found, its card as text; pure but for reading the zip."""

import re
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.backend.exports import Export
from studio.ui.markup import shown
from studio.ui.run_view import size

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
}


_OF_ADAPTER = ("adapter_model.safetensors", "adapter_config.json")
_OF_MODEL = ("model.safetensors", "config.json")


@dataclass(frozen=True, slots=True)
class Package:
    """What lies in a zip: bytes by file name, the model card, and the Python in it that loads the adapter."""

    files: Mapping[str, int]
    card: str
    code: str


def read_package(path: Path) -> Package:
    """Look into an export's zip."""
    with zipfile.ZipFile(path) as archive:
        files = {entry.filename: entry.file_size for entry in archive.infolist()}
        with archive.open(CARD) as file:
            card = file.read(_CARD_BYTES).decode("utf-8", errors="replace")
    code = _CODE.search(card)
    return Package(files, card, code.group(1) if code else "")


def files_html(package: Package | None, t: Sentence, *, full: bool = False) -> str:
    """The files with what they are for; their sizes once the zip is there. `full`: it will hold a whole model."""
    others_than = _OF_ADAPTER if full else _OF_MODEL
    expected = dict.fromkeys(name for name in _FILES if name not in others_than)
    files: Mapping[str, int | None] = package.files if package else expected
    known = [name for name in _FILES if name in files]
    others = sorted(name for name in files if name not in _FILES)
    rows = "".join(_file(name, files[name], t) for name in (*known, *others))
    return f'<h3 class="s-h2">{t("ui.export.files")}</h3><ul class="exp-files">{rows}</ul>'


def _file(name: str, size_bytes: int | None, t: Sentence) -> str:
    purpose = t(f"ui.export.file.{_FILES.get(name, 'other')}")
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
    """The proof in words, and the zip's name, size and hash."""
    proof = export.proof
    difference = f"{proof.max_score_difference:.2g}"
    found = t("ui.export.proof.passed", prompts=proof.prompts, equal=proof.equal, difference=difference)
    facts = [
        (t("ui.export.fact.file"), f"<code>{shown(export.path.name)}</code>"),
        (t("ui.export.fact.size"), size(export.bytes)),
        (t("ui.export.fact.sha256"), f'<code class="exp-copied">{shown(export.sha256)}</code>{copy_button(t)}'),
    ]
    rows = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)
    return (
        '<div class="exp-result" role="status"><div class="exp-proof">'
        '<span class="exp-tick" aria-hidden="true">✓</span>'
        f'<div><p class="s-h2">{t("ui.export.proof.title")}</p><p class="s-muted">{found}</p></div></div>'
        f'<dl class="exp-facts">{rows}</dl></div>'
    )


def code_html(package: Package, t: Sentence) -> str:
    """The loading code of the card, to be copied."""
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
