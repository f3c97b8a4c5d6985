"""Recipes, changes and the form of a row, as HTML: numbers right, texts of the data never markup."""

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from typing import get_args

import pytest

from studio.backend.datasets import RowDiff, Version
from studio.data.cleaning import CleanReport, StepReport
from studio.data.formats import Mapping
from studio.data.recipe import FIXES, CleanSpec, HandFix, Step, make_step
from studio.data.splits import SplitSpec
from studio.data.step_preview import Preview
from studio.data.tables import Column, Row
from studio.messages import LANGUAGES, translate
from studio.ui import recipe_view, row_form
from studio.ui.changes_view import PAGE_CHANGES, Changes, version_report
from studio.ui.difference import around_change, word_difference

EVIL = "<img src=x onerror=alert(1)>\"'{{x}}${x}"


def t(key: str, **values: object) -> str:
    return translate(key, "en", **values)


def text_of(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", " ", html))


def first() -> Version:
    return Version(
        id="v1", dataset="v1", name=EVIL, number=1, parent=None, created=0.0, rows=10, fingerprint="f",
        columns=(Column("n", "integer"), Column(EVIL, "text"), Column("answer", "text"), Column("tags", "list")),
        kind="CSV", encoding="UTF-8", mapping=Mapping(prompt=EVIL, answer="answer"), notes=(), recipe=None,
        report=None, sample=None, split=SplitSpec(),
    )  # fmt: skip


def second(*steps: Step) -> Version:
    steps = steps or (make_step("repair_text"), make_step("drop_blank"), make_step("replace", find=EVIL))
    reports = (StepReport(fix="repair_text", changed=2), StepReport(fix="drop_blank", dropped=1))
    told = (*reports, *(StepReport(fix=step.fix) for step in steps[2:]))
    return replace(
        first(), id="v2", number=2, parent="v1", rows=9, recipe=CleanSpec(steps=steps),
        report=CleanReport(rows_before=10, rows_after=9, steps=told),
    )  # fmt: skip


ROW = Row(7, {"n": 5, EVIL: f"{EVIL} was here", "answer": EVIL, "tags": [EVIL, "\u202e"]})
DIFFS = (
    RowDiff(7, ("repair_text",), (EVIL,), ROW, replace(ROW, values={**ROW.values, EVIL: "fine"})),
    RowDiff(8, ("drop_blank",), (), replace(ROW, id=8), None),
    RowDiff(9, ("drop_blank", "restore_rows"), (), replace(ROW, id=9), replace(ROW, id=9)),
    RowDiff(11, ("add_rows",), (), None, replace(ROW, id=11)),
)


def report(**changes: object) -> str:
    whole = Changes((first(), second()), (), None, 0, len(DIFFS), DIFFS)
    return version_report(replace(whole, **changes), t)  # type: ignore[arg-type]


def steps() -> list[Step]:
    made: list[Step] = [make_step(fix) for fix in FIXES]
    made += [make_step("replace", find=EVIL, replace_with=EVIL, columns=(EVIL,)), make_step("replace", find=EVIL)]
    tests = [
        {"by": "text", "find": EVIL, "match_case": True},
        {"by": "length", "least": 3},
        {"by": "length", "most": 2000},
        {"by": "language", "languages": ["ja", EVIL]},
        {"by": "finding", "finding": "duplicate"},
    ]
    made += [make_step("filter", action=action, where=test) for action in ("keep", "drop") for test in tests]
    rows = {"edit_rows": {1: {"a": 1}}, "add_rows": [{}], "exclude_rows": [1], "restore_rows": [1]}
    return made + [make_step(fix, data="f", rows=rows[fix]) for fix in get_args(HandFix)]


class _Parsed(HTMLParser):
    """Tags and attribute names that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {tag, *(name for name, _ in attrs)}


def everything() -> dict[str, str]:
    replacing, keeping = (
        make_step("replace", find=EVIL),
        make_step("filter", action="drop", where={"by": "text", "find": EVIL}),
    )
    seen = Preview(2, 50, 100, ((ROW, DIFFS[0].after, (EVIL,)), (ROW, None, ())))
    return {
        "report": report(others=(second(),), step=("v2", 0)),
        "draft": recipe_view.draft(CleanSpec(steps=tuple(steps())), t),
        "history": recipe_view.history((first(), second()), t),
        "replace": recipe_view.preview_told(replacing, seen, t),  # type: ignore[arg-type]
        "filter": recipe_view.preview_told(keeping, seen, t),  # type: ignore[arg-type]
        "loaded": recipe_view.loaded(EVIL, 3, 1, t),
        "form": row_form.row_form(first(), ROW, {"answer": EVIL}, EVIL, "answer", t),
    }


@pytest.mark.parametrize("name", everything())
def test_texts_of_the_data_are_no_markup(name: str) -> None:
    html = everything()[name]
    assert not _Parsed(html).names & {"img", "src", "onerror", "script"}
    assert "onerror" in html
    assert "\u202e" not in html


def test_the_report_tells_each_step_and_row() -> None:
    html = report()
    told = text_of(html)
    assert "Version 2: 10 rows became 9" in told
    assert "Repair garbled text  2 changed" in told
    assert "Remove blank rows  1 left out" in told
    assert "nothing to do" in told
    assert re.findall(r"<header><span class=\"s-badge s-\w+\">(\w[\w ]*)<", html) == [
        "changed", "dropped", "brought back", "added",
    ]  # fmt: skip
    assert re.findall(r'data-act="restore" data-since="v1" data-row="(\d+)"', html) == ["8"]
    assert 'data-act="version" data-version="v1"' in html
    assert report(lineage=(first(),)) == ""


def test_the_report_is_paged_by_step() -> None:
    html = report(step=("v2", 1), offset=PAGE_CHANGES, total=PAGE_CHANGES + 4)
    assert f"{PAGE_CHANGES + 1} to {PAGE_CHANGES + 4} of {PAGE_CHANGES + 4}" in html
    pages = re.findall(
        r'data-act="page" data-offset="(\d+)" data-since="v1" data-version="v2" data-place="1"( dis)?', html
    )
    assert pages == [("0", ""), (str(2 * PAGE_CHANGES), " dis")]
    assert 'data-act="page"' not in report()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_step_is_told_in_other_words(language: str) -> None:
    told = [recipe_view.step_told(step, lambda key, **values: translate(key, language, **values)) for step in steps()]
    assert len(set(told)) == len(told)
    assert "80 %" in told[FIXES.index("drop_near_duplicates")]
    assert "256" in told[FIXES.index("drop_lost")]


def test_the_draft_can_be_moved_but_not_over_its_ends() -> None:
    html = recipe_view.draft(CleanSpec(steps=(make_step("repair_text"), make_step("drop_blank"))), t)
    disabled = re.findall(r'data-act="(\w+)" data-place="(\d)"[^>]*disabled', html)
    assert disabled == [("up", "0"), ("down", "1")]


def test_the_history_numbers_all_steps_and_leads_back() -> None:
    by_hand = second(make_step("exclude_rows", data="f", rows=[1]))
    done = CleanReport(rows_before=9, rows_after=8, steps=(StepReport(fix="exclude_rows", dropped=1),))
    third = replace(by_hand, id="v3", number=3, parent="v2", rows=8, report=done)
    html = recipe_view.history((first(), second(), third), t)
    assert re.findall(r'start="(\d+)"', html) == ["1", "4"]
    assert re.findall(r'data-act="version" data-version="(\w+)"', html) == ["v1", "v2"]
    assert re.findall(r'data-act="again" data-version="(\w+)"', html) == ["v2"]
    assert "Undo (back to version 2)" in html


def test_what_applying_came_to() -> None:
    assert "no new version" in recipe_view.made_told(first(), first(), True, t)
    assert "was done before" in recipe_view.made_told(second(), first(), True, t)
    assert "10 rows became 9" in recipe_view.made_told(second(), first(), False, t)


def test_suggestions_lead_to_fixes_that_are_not_chosen_yet() -> None:
    counts = {"repair_text": 12, "drop_blank": 1300, "drop_duplicates": 4}
    html = recipe_view.suggested(counts, {"drop_blank"}, True, t)  # type: ignore[arg-type]
    assert 'data-fixes="repair_text,drop_duplicates"' in html
    assert "1,300" in html
    assert re.findall(r'data-fixes="(\w+)" disabled', html) == ["drop_blank"]
    assert "still being checked" in recipe_view.suggested({}, (), False, t)


def test_the_form_holds_each_value_as_it_is() -> None:
    html = row_form.row_form(first(), ROW, {"answer": "typed"}, "no good", "answer", t)
    boxes = re.findall(r'data-column="(\d)" data-text="([^"]*)"( data-typed="yes")?( aria-invalid="true")?', html)
    assert [(place, json.loads(unescape(text)), bool(a), bool(b)) for place, text, a, b in boxes] == [
        ("1", f"{EVIL} was here", False, False),
        ("2", "typed", True, True),
        ("0", "5", False, False),
        ("3", json.dumps([EVIL, "\u202e"], indent=2, ensure_ascii=False), False, False),
    ]
    assert row_form.typed_texts(first(), '{"2": "a", "0": "5"}') == {"answer": "a", "n": "5"}
    new = row_form.row_form(first(), None, {}, "", "", t)
    assert {json.loads(unescape(text)) for text in re.findall(r'data-text="([^"]*)"', new)} == {""}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Zoë", "ZoÃ«"),
        ("two words here", "two other words"),
        ("猫がいます。", "犬がいます。"),
        ("", "new"),
        ("<b>", "<i>"),
    ],
)
def test_a_difference_holds_both_texts_whole(before: str, after: str) -> None:
    made = word_difference(before, after)
    assert unescape(re.sub(r"<[^>]*>", "", re.sub(r"<del>.*?</del>", "", made))) == after
    assert unescape(re.sub(r"<[^>]*>", "", re.sub(r"<ins>.*?</ins>", "", made))) == before


def test_an_excerpt_is_about_the_change() -> None:
    before, after = around_change("a" * 5000 + "b" + "c" * 5000, "a" * 5000 + "B" + "c" * 5000, 200)
    assert len(before) == len(after) == 201
    assert before.strip("…").strip("a").startswith("b")
    assert after.strip("…").strip("a").startswith("B")
    assert around_change("short", "shorter", 200) == ("short", "shorter")
