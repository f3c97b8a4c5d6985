"""Recipes in words: what was done so far, what is about to be done, and what it would do. Pure; every text of the data
passes `shown`."""

from collections.abc import Collection, Mapping, Sequence
from typing import assert_never

from studio.backend.datasets import Version
from studio.data.cleaning import StepReport
from studio.data.recipe import (
    CleanSpec,
    FilterStep,
    FindingTest,
    Fix,
    LanguageTest,
    LengthStep,
    LengthTest,
    NearStep,
    PlainStep,
    ReplaceStep,
    Step,
    TextTest,
)
from studio.data.step_preview import Preview
from studio.data.tables import Row
from studio.ui.charts_view import value_told
from studio.ui.difference import around_change, word_difference
from studio.ui.markup import Sentence, act_button, badge, headline, plain, shorten, shown

_QUOTED = 60
_NAMED = 12
_EXCERPT = 240


# A step in words


def step_told(step: Step, t: Sentence) -> str:
    """What a step does, and to what."""
    match step:
        case PlainStep():
            return t(f"fix.{step.fix}")
        case NearStep():
            return t("ui.data.clean.step.near", fix=t(f"fix.{step.fix}"), percent=round(100 * step.threshold))
        case LengthStep():
            fix = t(f"fix.{step.fix}")
            return t("ui.data.clean.step.length", fix=fix, limit=step.max_length, model=shorten(step.model, _QUOTED))
        case ReplaceStep():
            key = "replace" if step.replace_with else "erase"
            told = t(f"ui.data.clean.step.{key}", find=_short(step.find), put=_short(step.replace_with))
            return told + _options(step, t)
        case FilterStep():
            return t(f"ui.data.clean.step.{step.action}", which=_which(step.where, t))
        case _:
            return t("ui.data.clean.step.hand", fix=t(f"fix.{step.fix}"), count=len(step.rows))


def _which(test: TextTest | LengthTest | LanguageTest | FindingTest, t: Sentence) -> str:
    """Which rows a filter picks."""
    match test:
        case TextTest():
            return t("ui.data.clean.which.text", find=_short(test.find)) + _options(test, t)
        case LengthTest():
            part = t(f"ui.data.clean.part.{test.part}")
            if test.most is None:
                return t("ui.data.clean.which.length.from", part=part, least=test.least)
            return t("ui.data.clean.which.length", part=part, least=test.least, most=test.most)
        case LanguageTest():
            return t(
                "ui.data.clean.which.language",
                names=", ".join(value_told("language", code, t) for code in test.languages),
            )
        case FindingTest():
            return t("ui.data.clean.which.finding", name=t(f"ui.data.finding.{test.finding}"))
        case _:
            assert_never(test)


def _options(pattern: ReplaceStep | TextTest, t: Sentence) -> str:
    told = [t(f"ui.data.clean.{name}") for name in ("regex", "match_case") if getattr(pattern, name)]
    if pattern.columns is not None:
        told.append(t("ui.data.clean.in_columns", names=shorten(", ".join(pattern.columns), _QUOTED)))
    return f" ({', '.join(told)})" if told else ""


def _short(text: str) -> str:
    return shorten(text.replace("\n", "⏎"), _QUOTED)


def step_done(step: StepReport, t: Sentence) -> str:
    """What it did, in numbers: HTML."""
    tones = {"dropped": "bad", "changed": "accent", "added": "good", "missing": "warn"}
    counts = {name: getattr(step, name) for name in tones}
    told = [badge(t(f"ui.data.clean.did.{name}", count=count), tones[name]) for name, count in counts.items() if count]
    return "".join(told) or badge(t("ui.data.clean.did.nothing"))


# What was done


def history(lineage: Sequence[Version], t: Sentence) -> str:
    """All steps from the file as it was opened, by version, with what each did and a way back."""
    title = headline(t("ui.data.clean.history"), t("ui.data.clean.history.text"))
    first, made = lineage[0], lineage[1:]
    begin = t("ui.data.clean.history.begin", number=first.number, rows=first.rows)
    if not made:
        return f'{title}<p class="s-muted d-begin">{shown(t("ui.data.clean.history.none", rows=first.rows))}</p>'
    number, items = 1, ""
    for before, version in zip(lineage, made, strict=False):
        items += _made(version, before, number, version is made[-1], t)
        number += len(version.recipe.steps) if version.recipe else 0
    return f'{title}<p class="s-muted d-begin">{shown(begin)}</p><ul class="d-history">{items}</ul>'


def _made(version: Version, before: Version, number: int, last: bool, t: Sentence) -> str:
    recipe, report = version.recipe, version.report
    steps = (
        "".join(
            f"<li><span>{shown(step_told(step, t))}</span>{step_done(done, t)}</li>"
            for step, done in zip(recipe.steps, report.steps, strict=True)
        )
        if recipe and report
        else ""
    )
    head = t("ui.data.clean.history.version", number=version.number, rows=version.rows)
    label = "ui.data.clean.undo" if last else "ui.data.clean.undo.to"
    buttons = act_button("version", t(label, number=before.number), version=before.id)
    if recipe and not recipe.by_hand:
        buttons += act_button("again", t("ui.data.clean.again"), "s-quiet", version=version.id)
    return (
        f'<li><header><b>{shown(head)}</b></header><ol class="d-done" start="{number}">{steps}</ol>'
        f'<div class="s-row">{buttons}</div></li>'
    )


def by_hand_told(count: int, t: Sentence) -> str:
    """That the saved recipe goes without what was done by hand."""
    return f'<p class="s-muted">{shown(t("ui.data.clean.save.by_hand", count=count))}</p>' if count else ""


# What is about to be done


def draft(recipe: CleanSpec, t: Sentence) -> str:
    """The steps chosen so far, each to be moved or taken out."""
    title = headline(t("ui.data.clean.draft"), t("ui.data.clean.draft.text" if recipe.steps else "ui.data.clean.empty"))
    last = len(recipe.steps) - 1
    items = "".join(
        f"<li><span>{shown(step_told(step, t))}</span>"
        f'<span class="d-moves">{_move("up", "↑", place, place > 0, t)}{_move("down", "↓", place, place < last, t)}'
        f"{_move('remove', '×', place, True, t)}</span></li>"
        for place, step in enumerate(recipe.steps)
    )
    return f'{title}<ol class="d-draft">{items}</ol>' if items else title


def _move(act: str, sign: str, place: int, enabled: bool, t: Sentence) -> str:
    label = shown(t(f"ui.data.clean.draft.{act}", number=place + 1))
    state = "" if enabled else " disabled"
    return (
        f'<button type="button" class="d-move" data-act="{act}" data-place="{place}" aria-label="{label}"'
        f' title="{label}"{state}>{sign}</button>'
    )


def suggested(counts: Mapping[Fix, int], chosen: Collection[str], checked: bool, t: Sentence) -> str:
    """The fixes of what was found, one click each. `chosen`: those that stand in the draft."""
    if not checked:
        return f'<p class="s-muted">{shown(t("ui.data.clean.suggested.wait"))}</p>'
    if not counts:
        return f'<p class="s-muted">{shown(t("ui.data.clean.suggested.none"))}</p>'
    chips = "".join(
        f'<button type="button" class="d-suggested" data-act="add" data-fixes="{fix}"'
        f"{' disabled' if fix in chosen else ''}><span>{'✓' if fix in chosen else '+'} {shown(t(f'fix.{fix}'))}</span>"
        f"<b>{count:,}</b></button>"
        for fix, count in counts.items()
    )
    rest = [fix for fix in counts if fix not in chosen]
    every = act_button("add", t("ui.data.clean.suggested.all"), fixes=",".join(rest)) if len(rest) > 1 else ""
    return (
        f'<div class="s-row d-between"><p class="s-muted">{shown(t("ui.data.clean.suggested"))}</p>{every}</div>'
        f'<div class="d-chips">{chips}</div>'
    )


def running(share: float, t: Sentence) -> str:
    """How far the cleaning is."""
    percent, told = f"{100 * share:.0f}", shown(t("ui.data.clean.running"))
    return (
        f'<div class="d-scan"><span>{told}</span><div class="d-progress" role="progressbar" aria-valuemin="0"'
        f' aria-valuemax="100" aria-valuenow="{percent}" aria-label="{told}"><i style="width:{percent}%"></i></div>'
        f"<b>{percent} %</b></div>"
    )


def made_told(version: Version, before: Version, known: bool, t: Sentence) -> str:
    """What applying came to. `known`: the version was there already."""
    if version.id == before.id:
        return f'<p class="d-note" role="status">{shown(t("ui.data.clean.nothing"))}</p>'
    key = "ui.data.clean.known" if known else "ui.data.clean.made"
    told = t(key, number=version.number, before=before.rows, after=version.rows)
    look = act_button("look", t("ui.data.clean.look"))
    return f'<div class="d-note d-good" role="status"><span>{shown(told)}</span>{look}</div>'


# What it would do


def preview_told(step: ReplaceStep | FilterStep, preview: Preview | None, t: Sentence) -> str:
    """How many rows a step would change, keep or drop, and some of them."""
    if preview is None:
        return f'<p class="s-muted">{shown(t("ui.data.clean.preview.wait"))}</p>'
    kind = "changed" if isinstance(step, ReplaceStep) else "dropped"
    key = f"ui.data.clean.preview.{kind if preview.count else f'{kind}.none'}"
    told = t(key, count=preview.count, rows=preview.looked, left=preview.looked - preview.count)
    part = ""
    if preview.looked < preview.rows:
        part = (
            f'<p class="s-muted">{shown(t("ui.data.clean.preview.part", looked=preview.looked, rows=preview.rows))}</p>'
        )
    rows = "".join(_example(*example, t) for example in preview.examples)
    return f'<div class="d-preview" role="status"><p><b>{shown(told)}</b></p>{part}{rows}</div>'


def _example(before: Row, after: Row | None, columns: tuple[str, ...], t: Sentence) -> str:
    names = columns or tuple(name for name, value in before.values.items() if plain(value).strip())[:2]
    cells = "".join(
        f"<dt>{shown(shorten(name, 40))}</dt><dd>{_cell(before, after, name)}</dd>" for name in names[:_NAMED]
    )
    head = f"{t('ui.data.table.row')} {before.id}"
    return f'<div class="d-change"><header><span>{shown(head)}</span></header><dl>{cells}</dl></div>'


def _cell(before: Row, after: Row | None, name: str) -> str:
    old = plain(before.values.get(name))
    if after is None:
        return f"<del>{shown(shorten(old, _EXCERPT))}</del>"
    return word_difference(*around_change(old, plain(after.values.get(name)), _EXCERPT))


def loaded(name: str, steps: int, left: int, t: Sentence) -> str:
    """That a recipe was read, and how many of its steps hold for other data only."""
    told = t("ui.data.clean.loaded", name=shorten(name, 60), count=steps)
    rest = f"<span>{shown(t('ui.data.clean.loaded.left', count=left))}</span>" if left else ""
    return f'<div class="d-note" role="status"><span>{shown(told)}</span>{rest}</div>'


def stopped(t: Sentence) -> str:
    """That nothing was changed, because it was stopped."""
    return f'<p class="d-note" role="status">{shown(t("ui.data.clean.stopped"))}</p>'
