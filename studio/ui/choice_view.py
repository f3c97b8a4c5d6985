"""What is chosen on the Train tab, in words: data and model, and the open models to choose from."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from studio.errors import StudioError
from studio.messages import translate
from studio.ui.markup import said, shown
from studio.ui.page import Page

if TYPE_CHECKING:
    from studio.models.catalog import ModelInfo


def data_summary(page: Page, version: str) -> str:
    """The chosen data in two lines."""
    found = page.studio.datasets.version(version)
    about = page.t("ui.train.data.rows", rows=f"{found.rows:,}", number=found.number)
    label = f'<span class="train-label">{shown(page.t("ui.train.data"))}</span>'
    text = f'{label}<b class="train-name">{shown(found.name)}</b>'
    if found.mapping is None:
        return f'{text}<div class="say say-warn">{said(page.t("error.train.no_mapping", data=found.name))}</div>'
    return f'{text}<span class="quiet">{shown(about)}</span>'


def model_summary(page: Page, source: str) -> Iterator[str]:
    """What is known of the model before it is loaded, or why it cannot be used."""
    if not source:
        yield ""
        return
    if source != "starter":
        yield f'<p class="quiet">{shown(page.t("ui.train.model.looking"))}</p>'
    try:
        found = page.studio.models.describe(source)
    except StudioError as error:
        yield f'<div class="say say-bad" role="alert">{said(error.message(page.language))}</div>'
        return
    yield _model_facts(page, found)


def _model_facts(page: Page, found: "ModelInfo") -> str:
    t = page.t
    facts = [found.name] if found.source != "starter" else []
    if found.parameters:
        facts.append(t("ui.train.model.parameters", count=count(found.parameters, page.language)))
    facts.append(t("ui.train.model.context", tokens=f"{found.context_length:,}"))
    facts.append(t("ui.train.model.licence", licence=found.licence or t("ui.train.model.licence_unknown")))
    if not found.downloaded:
        facts.append(t("ui.train.model.to_download"))
    notes = "".join(f'<div class="say say-note">{said(t(n.key, **n.values))}</div>' for n in found.notices)
    return f'<p class="quiet">{shown(" · ".join(facts))}</p>{notes}'


def count(number: int, language: str) -> str:
    """A large number as one says it: 5.6 million, 560万."""
    steps = (("billion", 1e9), ("million", 1e6)) if language == "en" else (("billion", 1e8), ("million", 1e4))
    for name, power in steps:
        if number >= power:
            value = f"{number / power:,.0f}" if number >= 100 * power else f"{number / power:.3g}"
            return translate(f"ui.train.count.{name}", language, value=value)
    return f"{number:,}"


def open_models(page: Page) -> list[tuple[str, str]]:
    """Models to begin with, in a line each, and their names. Those that do not fit this machine come last."""
    t = page.t
    found = sorted(page.studio.models.recommended(page.language), key=lambda item: item[1] == "no")
    return [
        (
            t(
                f"ui.train.open_models.{fit}",
                name=model.name,
                size=count(model.parameters * 1_000_000, page.language),
                licence=model.licence,
                kind=t(f"ui.train.open_models.{'gated' if model.gated else model.kind}"),
            ),
            model.name,
        )
        for model, fit in found
    ]


def percent(share: float) -> str:
    """A share (0 to 1, or more) in percent: two digits that say something, and never a power of ten."""
    return f"{100 * share:.0f}" if share > 0.1 else f"{100 * share:.2g}"
