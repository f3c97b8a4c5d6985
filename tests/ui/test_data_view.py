"""What the Data tab shows is the data, as text: nothing of it becomes markup, nothing is lost."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from studio.backend.datasets import RowView, Version
from studio.data.checks import Finding
from studio.data.formats import Mapping, RowProblem
from studio.data.readiness import Readiness
from studio.data.samples import SampleCard
from studio.data.set_checks import FINDINGS
from studio.data.sources import LeftOut
from studio.data.splits import SplitSpec
from studio.data.tables import Cells, Column, Note, Row
from studio.data.tokens import Span
from studio.messages import LANGUAGES, translate
from studio.ui import data_view, findings_view, rows_view
from studio.ui.data_clean import filterable
from studio.ui.rows_view import Look, cells_found, excerpt, marked, next_order, rows_table, shown_columns

READY = Readiness(10, 1, 2, "look")
EVIL = "<img src=x onerror=alert(1)>\"'{{x}}${x}"


def _t(key: str, **values: object) -> str:
    return translate(key, "en", **values)


def _text(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def version_of(**changes: object) -> Version:
    values = {
        "id": "v1",
        "dataset": "v1",
        "name": EVIL,
        "number": 1,
        "parent": None,
        "created": 0.0,
        "rows": 3,
        "fingerprint": "f",
        "columns": (Column(EVIL, "text"), Column("answer", "text")),
        "kind": "CSV",
        "encoding": "UTF-8",
        "mapping": Mapping(prompt=EVIL, answer="answer"),
        "notes": (Note("notice.data.left_out", {"count": 1, "rows": 3, "lines": EVIL}),),
        "recipe": None,
        "report": None,
        "sample": None,
        "split": SplitSpec(),
    }
    return Version(**{**values, **changes})  # type: ignore[arg-type]


def _view(*spans: Span, **changes: object) -> RowView:
    values = {
        "spans": spans,
        "prompt_tokens": 2,
        "answer_tokens": 3,
        "total_tokens": 5,
        "trained_tokens": 3,
        "truncated": False,
        "problem": None,
    }
    return RowView(**{**values, **changes})  # type: ignore[arg-type]


def _everything() -> dict[str, str]:
    row = Row(1, {EVIL: EVIL, "answer": EVIL})
    mapping = Mapping(prompt=EVIL, answer="answer")
    finding = Finding("finding.odd_values", 1, 0.1, (1,), "info", None, {"count": 1, "rows": 3, "share": "1", "column": EVIL, "type": "number"})  # fmt: skip  # noqa: E501
    turns = Mapping(layout="messages", turns=EVIL)
    card = SampleCard(
        name=EVIL, path=Path("x"), title={"en": EVIL}, purpose={"en": EVIL}, columns={}, licence=EVIL,
        look_for={"en": EVIL}, rows=1,
    )  # fmt: skip
    cells = [Cells(1, (EVIL, EVIL))]
    talk = {1: [{"role": EVIL, "content": EVIL}, {"role": EVIL, "content": [EVIL]}, EVIL, 3]}
    return {
        "cards": data_view.sample_cards([card], "en", _t),
        "earlier": data_view.earlier_sets([version_of()], _t),
        "heading": data_view.heading(version_of(), (), EVIL, _t),
        "table": rows_table(version_of(), cells, {}, Look(), 1, "", _t),
        "turns": rows_table(version_of(mapping=turns), cells, talk, Look(), 1, "", _t),
        "searched": rows_table(version_of(), cells, talk, Look(), 1, "img", _t),
        "row": rows_view.row_as_seen(1, _view(Span(EVIL, True), Span(EVIL, False, 0, True)), 9, EVIL, _t),
        "pair": rows_view.row_as_seen(1, replace(_view(Span("x", True)), rejected=(Span(EVIL, False),)), 9, "m", _t),
        "problem": rows_view.row_as_seen(1, _view(problem=RowProblem(1, "bad_turns", EVIL, EVIL)), 9, EVIL, _t),
        "findings": findings_view.findings_list([finding], [finding], READY, {1: row}, mapping, _t, "en"),
        "scan": findings_view.scan_stopped(_t, EVIL),
        "trouble": findings_view.trouble(EVIL),
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_finding_has_a_name_and_a_reason(language: str) -> None:
    for name in FINDINGS:
        assert translate(f"ui.data.finding.{name}", language)
        assert translate(f"ui.data.why.{name}", language)


def test_rows_are_not_filtered_by_what_only_the_split_lets_happen() -> None:
    keys = ("finding.blank", "finding.split_leak", "finding.near_duplicate")
    found = [Finding(key, 1, 0.1, (1,), "warning", None, {}) for key in keys]
    assert filterable(found) == ["blank", "near_duplicate"]


class _Parsed(HTMLParser):
    """Tags and attribute names that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


@pytest.mark.parametrize("place", _everything())
def test_nothing_of_the_data_becomes_markup(place: str) -> None:
    made = _everything()[place]
    parsed = _Parsed(made)
    assert not parsed.tags & {"img", "script", "svg", "iframe", "a", "style", "link"}
    assert not [name for name in parsed.attributes if name.startswith("on") or name in ("src", "href", "srcdoc")]
    assert "onerror=alert(1)" in _text(made)


def test_every_token_of_a_row_is_shown_and_only_the_learned_ones_are_marked() -> None:
    spans = (
        Span("<|user|>", False),
        Span("Hi\n there", False),
        Span("Hel", True),
        Span("lo", True),
        Span("<|end|>", True),
    )
    made = rows_view.row_as_seen(7, _view(*spans), 256, "starter", _t)
    body = re.search(r'<div class="d-text".*?>(.*?)</div>', made, re.DOTALL)
    assert body
    assert _text(body[1]) == "".join(span.text for span in spans)
    assert [_text(mark) for mark in re.findall(r"<mark>(.*?)</mark>", body[1], re.DOTALL)] == ["Hello<|end|>"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_finding_says_why_it_matters(language: str) -> None:
    from studio.messages import catalogue

    kinds = [key.removeprefix("finding.") for key in catalogue(language) if re.fullmatch(r"finding\.\w+", key)]
    assert kinds
    assert [kind for kind in kinds if f"ui.data.why.{kind}" not in catalogue(language)] == []


def test_a_cell_that_begins_with_empty_lines_shows_its_text() -> None:
    cells = [Cells(1, ("\n\nHuman: hello", "\n\n b"))]
    assert "<div>Human: hello</div>" in rows_table(version_of(), cells, {}, Look(), 1, "", _t)


def test_a_searched_text_is_marked_whatever_its_case_and_stays_text() -> None:
    assert marked("Über a<b ÜBER", "über") == "<mark>Über</mark> a&lt;b <mark>ÜBER</mark>"
    assert marked("東京都に住む", "京都") == "東<mark>京都</mark>に住む"
    assert marked("a.c abc", "a.c") == "<mark>a.c</mark> abc"


@pytest.mark.parametrize("place", [0, 30, 400, 5_000])
def test_what_was_searched_for_can_be_seen_in_a_long_cell(place: int) -> None:
    text = "x" * place + "needle" + "y" * 5_000
    assert "needle" in excerpt(text, "NEEDLE", 300)
    assert len(excerpt(text, "NEEDLE", 300)) <= 301
    row = cells_found(Row(3, {"answer": {"deep": text}}), [Column("answer", "object")], "needle")
    assert "needle" in row.texts[0]


def test_a_click_on_a_head_goes_up_then_down_then_back_to_the_file() -> None:
    look, seen = Look(), []
    for _ in range(3):
        order, descending = next_order(look, "answer")
        look = replace(look, order=order, descending=descending)
        seen.append((order, descending))
    assert seen == [("answer", False), ("answer", True), (None, False)]
    made = rows_table(version_of(), [Cells(1, ("a", "b"))], {}, replace(look, order="answer"), 1, "", _t)
    assert re.findall(r'aria-sort="(\w+)"', made) == ["none", "ascending"]


def test_ten_thousand_columns_are_turned_like_pages_beside_those_that_are_mapped() -> None:
    columns = tuple(Column(f"c{i}", "text") for i in range(10_000))
    version = version_of(columns=columns, mapping=Mapping(prompt="c0", answer="c9999"))
    first, seen = 0, set()
    while True:
        places = shown_columns(version, first)
        assert {0, 9_999} <= set(places)
        assert len(places) <= 20
        seen |= set(places)
        made = rows_table(version, [Cells(1, ("x",) * len(places))], {}, Look(first_column=first), 1, "", _t)
        more = re.search(r'data-act="columns" data-to="(\d+)"[^>]*aria-label="More columns">', made)
        if not more:
            break
        first = int(more[1])
    assert seen == set(range(10_000))


def test_a_number_of_the_readiness_is_a_count_of_rows() -> None:
    made = findings_view.findings_list([], [], READY, {}, Mapping(prompt="a", answer="b"), _t, "en")
    assert re.findall(r"<b>(\d+)</b>", made) == ["7", "2", "1"]
    assert READY.message("en") in _text(made)
    assert re.findall(r"width:([\d.]+)%", made) == ["70.00", "20.00", "10.00"]


def test_a_finding_leads_to_all_its_rows_and_can_be_turned_off_and_on() -> None:
    finding = Finding("finding.duplicate", 2, 0.2, (1,), "warning", "drop_duplicates", {"count": 2, "rows": 10, "share": "20%"})  # fmt: skip  # noqa: E501
    row = Row(1, {"a": "q", "b": "x"})
    mapping = Mapping(prompt="a", answer="b")
    on = findings_view.findings_list([finding], [], READY, {1: row}, mapping, _t, "en")
    assert 'data-where="{&quot;finding&quot;:&quot;duplicate&quot;}"' in on
    assert 'data-act="off" data-name="duplicate"' in on
    assert 'data-act="export" data-keys="finding.duplicate" data-form="csv"' in on
    off = findings_view.findings_list([], [finding], READY, {}, mapping, _t, "en")
    assert 'data-act="on" data-name="duplicate"' in off
    assert 'data-act="fix"' not in off


@pytest.mark.parametrize(("thumbs", "told"), [(True, "thumbs up"), (False, "thumbs down"), (None, "")])
def test_a_rated_answer_shows_its_thumb(thumbs: bool | None, told: str) -> None:
    made = _text(rows_view.row_as_seen(1, _view(Span("x", True), thumbs_up=thumbs), 9, "m", _t))
    assert ("thumbs" in made) == bool(told)
    assert told in made
    assert ("SFT leaves it out" in made) == (thumbs is False)


def test_rows_left_out_of_several_files_are_told_with_their_file() -> None:
    rows = [LeftOut(3, "error.row.too_long", {"mb": 64}, EVIL, EVIL), LeftOut(7, "error.row.too_long", {"mb": 64}, "x")]
    html = data_view.heading(version_of(), rows, "", _t)
    assert "<img" not in html
    items = [_text(item) for item in html.split("<li>") if "Line " in item and "<summary>" not in item]
    assert [item.partition("Line ")[0] for item in items] == [f"{EVIL} · ", ""]
    assert [item.partition("Line ")[2][0] for item in items] == ["3", "7"]


def test_the_bar_of_an_import_tells_how_far_it_is() -> None:
    html = data_view.import_bar(EVIL, 0.414, _t)
    assert "<img" not in html
    assert 'aria-valuenow="41"' in html
    assert "41 %" in html


@pytest.mark.parametrize(("key", "warns"), [("preference", False), ("language_modeling", False), ("prompt_only", True)])
def test_what_data_can_teach_is_told_but_warned_of_only_where_it_is_nothing(key: str, warns: bool) -> None:
    made = data_view.heading(version_of(notes=(Note(f"notice.mapping.{key}", {}),)), (), "", _t)
    assert _t(f"notice.mapping.{key}") in _text(made)
    assert ('class="d-notes"' in made) == warns
