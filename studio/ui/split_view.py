"""Which rows are kept out of training, as bars and lists. Pure; every text of the data passes `shown`."""

from collections.abc import Sequence
from dataclasses import dataclass

from studio.backend.datasets import SplitRow, Stratum
from studio.data.splits import SplitSpec
from studio.ui.markup import Sentence, plain, shorten, shown

FEW = 20
"""Fewer validation rows than this tell little: the loss jumps with the seed."""
_STRATA = 6
SIDES = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class Sides:
    """A split to be shown. `unusable` rows lack a question or an answer, and are on no side. `kept`: the first rows of
    validation and test."""

    spec: SplitSpec
    counts: tuple[int, int, int]
    unusable: int
    kept: tuple[Sequence[SplitRow], Sequence[SplitRow]]
    strata: Sequence[Stratum] = ()


def counting(t: Sentence) -> str:
    """Stands there while rows are counted."""
    return f'<p class="s-muted d-waiting" role="status">{shown(t("ui.data.split.counting"))}</p>'


def split_view(sides: Sides, t: Sentence) -> str:
    """The three sides as a bar with numbers, what should be known of them, and rows to look at."""
    if not sum(sides.counts):
        return f'<p class="d-todo">{shown(t("ui.data.split.none", count=sides.unusable))}</p>'
    return (
        f"{_bar(sides.counts, t)}{_notes(sides, t)}{_strata(sides, t)}"
        f"{_rows('validation', sides.kept[0], sides.counts[1], t)}{_rows('test', sides.kept[1], sides.counts[2], t)}"
    )


def _bar(counts: tuple[int, int, int], t: Sentence) -> str:
    total = sum(counts)
    sides = list(zip(SIDES, counts, strict=True))
    bar = "".join(
        f'<i class="d-{name}" style="width:{100 * count / total:.2f}%"></i>' for name, count in sides if count
    )
    legend = "".join(
        f'<div class="d-{name if count else "none"}"><dt>{shown(t(f"ui.data.split.{name}"))}</dt>'
        f"<dd><b>{count:,}</b> <span>{count / total:.1%}</span></dd>"
        f"<dd>{shown(t(f'ui.data.split.{name}.for'))}</dd></div>"
        for name, count in sides
    )
    return f'<div class="d-split" aria-hidden="true">{bar}</div><dl class="d-legend3">{legend}</dl>'


def _notes(sides: Sides, t: Sentence) -> str:
    _, validation, test = sides.counts
    notes = []
    if not validation:
        wanted = bool(sides.spec.validation_share)
        notes.append(t("ui.data.split.too_few" if wanted else "ui.data.split.no_validation"))
    elif validation < FEW:
        notes.append(t("ui.data.split.few", count=validation, wanted=FEW))
    if sides.spec.test_share and not test:
        notes.append(t("ui.data.split.no_test"))
    if _all_different(sides):
        values = {"column": sides.spec.stratify, "count": len(sides.strata)}
        notes.append(t("ui.data.split.all_different", **values))
    lines = "".join(f"<li>{shown(note)}</li>" for note in notes)
    unusable = "ui.data.split.unusable.one" if sides.unusable == 1 else "ui.data.split.unusable"
    left = t(unusable, count=sides.unusable) if sides.unusable else ""
    told = f'<p class="s-muted">{shown(left)}</p>' if left else ""
    return (f'<ul class="d-notes">{lines}</ul>' if lines else "") + told


def _all_different(sides: Sides) -> bool:
    return 2 * len(sides.strata) > sum(sides.counts)


def _strata(sides: Sides, t: Sentence) -> str:
    if not sides.strata or _all_different(sides):
        return ""
    head = "".join(f"<th>{shown(t(f'ui.data.split.{name}'))}</th>" for name in SIDES)
    rows = "".join(
        f'<tr><th scope="row">{shown(shorten(plain(one.value) or "∅", 60))}</th>'
        + "".join(f"<td>{count:,}</td>" for count in (one.train, one.validation, one.test))
        + "</tr>"
        for one in sides.strata[:_STRATA]
    )
    more = len(sides.strata) - _STRATA
    rest = f'<p class="s-muted">{shown(t("ui.data.split.more_values", count=more))}</p>' if more > 0 else ""
    name = shown(shorten(sides.spec.stratify or "", 60))
    return (
        f'<div class="d-grid-scroll"><table class="d-grid"><thead><tr><th>{name}</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{rest}"
    )


def _rows(side: str, kept: Sequence[SplitRow], count: int, t: Sentence) -> str:
    if not kept:
        return ""
    rows = "".join(
        f'<li><span class="d-rowno">{row.row_id}</span><div><p>{shown(shorten(row.prompt, 160))}</p>'
        f"<p>{shown(shorten(row.answer, 160))}</p></div></li>"
        for row in kept
    )
    more = count - len(kept)
    rest = f'<p class="s-muted">{shown(t("ui.data.split.more_rows", count=more))}</p>' if more > 0 else ""
    title = shown(t(f"ui.data.split.look.{side}", count=count))
    return f'<details class="d-kept"><summary>{title}</summary><ul>{rows}</ul>{rest}</details>'
