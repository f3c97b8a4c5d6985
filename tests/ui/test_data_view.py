"""What the Data tab shows is the data, as text: nothing of it becomes markup, nothing is lost."""

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from studio.backend.datasets import RowDiff, RowView, SplitRow, Version
from studio.data.checks import Finding
from studio.data.formats import Mapping, RowProblem
from studio.data.histogram import Histogram
from studio.data.samples import SampleCard
from studio.data.splits import SplitSpec
from studio.data.tables import Cells, Column, Note, Row
from studio.data.tokens import Span
from studio.messages import LANGUAGES, translate
from studio.ui import data_view, difference, findings_view

EVIL = "<img src=x onerror=alert(1)>\"'{{x}}${x}"


def _t(key: str, **values: object) -> str:
    return translate(key, "en", **values)


def _text(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html))


def _version(**changes: object) -> Version:
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
    diff = RowDiff(1, ("repair_text",), (EVIL,), row, Row(1, {EVIL: "fine", "answer": EVIL}))
    dropped = RowDiff(1, ("drop_blank",), (), row, None)
    cells = [Cells(1, (EVIL, EVIL))]
    talk = {1: [{"role": EVIL, "content": EVIL}, {"role": EVIL, "content": [EVIL]}, EVIL, 3]}
    return {
        "cards": data_view.sample_cards([card], "en", _t),
        "earlier": data_view.earlier_sets([_version()], _t),
        "heading": data_view.heading(_version(), (), EVIL, _t),
        "table": data_view.rows_table(_version(), cells, {}, 0, 1, None, _t),
        "turns": data_view.rows_table(_version(mapping=turns), cells, talk, 0, 1, None, _t),
        "row": data_view.row_as_seen(1, _view(Span(EVIL, True), Span(EVIL, False, 0, True)), 9, EVIL, _t),
        "pair": data_view.row_as_seen(1, replace(_view(Span("x", True)), rejected=(Span(EVIL, False),)), 9, "m", _t),
        "problem": data_view.row_as_seen(1, _view(problem=RowProblem(1, "bad_turns", EVIL, EVIL)), 9, EVIL, _t),
        "findings": findings_view.findings_list([finding], {1: row}, mapping, _t),
        "trouble": findings_view.trouble(EVIL),
        "diff": findings_view._change(diff, _t) + findings_view._change(dropped, _t),
        "split": data_view.split_bar(1, 1, [SplitRow(1, EVIL, EVIL)], _t),
    }


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
    made = data_view.row_as_seen(7, _view(*spans), 256, "starter", _t)
    body = re.search(r'<div class="d-text".*?>(.*?)</div>', made, re.DOTALL)
    assert body
    assert _text(body[1]) == "".join(span.text for span in spans)
    assert [_text(mark) for mark in re.findall(r"<mark>(.*?)</mark>", body[1], re.DOTALL)] == ["Hello<|end|>"]


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
    made = difference.word_difference(before, after)
    assert _text(re.sub(r"<del>.*?</del>", "", made)) == after
    assert _text(re.sub(r"<ins>.*?</ins>", "", made)) == before


def test_bars_of_rows_can_be_seen_and_empty_ones_cannot() -> None:
    found = Histogram((0, 10, 20, 30), (1, 0, 1000), 20, 1000, 25, 29, 29)
    made = data_view.length_bars(found, _t)
    assert re.findall(r"height:([\d.]+)%", made) == ["2.0", "0.0", "100.0"]
    assert made.count("d-over") == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_finding_says_why_it_matters(language: str) -> None:
    from studio.messages import catalogue

    kinds = [key.removeprefix("finding.") for key in catalogue(language) if re.fullmatch(r"finding\.\w+", key)]
    assert kinds
    assert [kind for kind in kinds if f"ui.data.why.{kind}" not in catalogue(language)] == []


def test_a_cell_that_begins_with_empty_lines_shows_its_text() -> None:
    cells = [Cells(1, ("\n\nHuman: hello", "\n\n b"))]
    assert "<div>Human: hello</div>" in data_view.rows_table(_version(), cells, {}, 0, 1, None, _t)
