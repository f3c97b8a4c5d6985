"""Many rows seen at once are seen as each of them is alone, and a text that is passed by has no fault."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from studio.data.broken import is_mendable, is_unreadable
from studio.data.cells import holds
from studio.data.checks import ROW_CHECKS
from studio.data.duplicates import pair_keys, prompt_key, record_key
from studio.data.formats import Mapping
from studio.data.markup_text import CONTROL_HINT
from studio.data.near_duplicates import near_pair, near_text
from studio.data.tables import Row
from studio.data.views import View, view_of, views_of

TEXTS = st.text("aé 。(\n\u200b\x00'\"…ペ1", max_size=6)
CELLS = st.one_of(
    TEXTS,
    st.sampled_from([None, 5, 2.5, True, [], {}, ["a", " "], {"role": "user", "content": "a"}]),
    st.lists(
        st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "system"]), "content": TEXTS}), max_size=3
    ),
)
MAPPINGS = (
    Mapping(prompt="q", answer="a"),
    Mapping(prompt="q", answer="a", input="i", layout="alpaca"),
    Mapping(prompt="q", answer="a", input="q"),
    Mapping(prompt="q", answer="q"),
    Mapping(prompt="q", answer="a", system="i"),
    Mapping(prompt="q", answer="a", history="i"),
    Mapping(prompt="q", answer="a", transcript=True),
    Mapping(prompt="q", answer="a", label="i"),
    Mapping(prompt="q", chosen="a", rejected="i"),
    Mapping(prompt="q", answer_template="{a} {i}"),
    Mapping(turns="q"),
    Mapping(text="q"),
    Mapping(prompt="q", layout="prompt_only"),
)


@pytest.mark.parametrize("mapping", MAPPINGS, ids=lambda m: "-".join(m.columns) + m.dataset_type)
@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.fixed_dictionaries({"q": CELLS, "a": CELLS, "i": CELLS}), max_size=6))
@example(rows=[{"q": "a", "a": "b", "i": ""}, {"q": "a", "a": "b", "i": None}, {"q": "a", "a": "b", "i": "\u200b"}])
@example(rows=[{"q": " ", "a": "b", "i": "c"}, {"q": "a", "a": "b", "i": "c"}, {"q": "a", "a": " ", "i": 5}])
def test_many_rows_are_seen_as_each_alone(mapping: Mapping, rows: list[dict[str, Any]]) -> None:
    ids = list(range(7, 7 + len(rows)))
    read = mapping.needed(["q", "a", "i"])
    seen = views_of(ids, {name: [row[name] for row in rows] for name in read}, mapping)
    for place, row in enumerate(rows):
        alone = view_of(Row(ids[place], row), mapping)
        assert seen.view(place) == alone
        assert (seen.prompts[place], seen.answers[place], seen.texts[place]) == (alone.prompt, alone.answer, alone.text)
        if place not in seen.made:
            check_pair(alone, seen.asked[place])


def check_pair(view: View, asked: str) -> None:
    """What is told of a question and its answer without their record is what their record tells."""
    record = view.record
    assert pair_keys(view.prompt, view.answer) == (record_key(record), prompt_key(record))
    assert near_pair(view.prompt, view.answer) == near_text(record)
    assert asked == view.prompt
    for check in ROW_CHECKS:
        if not check.hint:
            assert check.test(view) == bool(check.of_pair and check.of_pair(view.prompt, view.answer))


def test_most_rows_need_no_record() -> None:
    cells = {"q": ["What is it?", "(so)", "", "5"], "a": ["A pen.", "「ペン」", "a", None], "i": ["", "x", None, "y"]}
    assert list(views_of([1, 2, 3, 4], cells, Mapping(prompt="q", answer="a")).made) == [2, 3]
    assert list(views_of([1, 2, 3, 4], cells, Mapping(prompt="q", answer="a", input="i")).made) == [2, 3]
    assert list(views_of([1, 2], {"q": ["x", "y"]}, Mapping(text="q")).made) == [0, 1]


@settings(max_examples=300, deadline=None)
@given(st.text(st.characters(max_codepoint=127), max_size=40))
@example("\x1b[31mred")
@example("&eacute; &amp;")
def test_only_text_beyond_ascii_and_with_control_characters_is_broken(text: str) -> None:
    if is_mendable(text) or is_unreadable(text):
        assert holds(pa.array([text]), CONTROL_HINT)[0]
