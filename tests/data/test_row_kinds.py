"""Rows said by hand: what is chosen makes the mapping, and a mapping is told by what is chosen."""

import pytest

from studio.data.formats import convert, mapping_problems, recognise
from studio.data.mapping import Mapping
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Preference, PromptOnly
from studio.data.row_kinds import (
    KINDS,
    PARTS,
    Kind,
    draft_of,
    first_templates,
    guess_parts,
    kind_of,
    look_through,
    make_mapping,
    missing_part,
    parts_of,
)
from studio.data.tables import Column, Row

TURNS = [{"name": "user", "text": "Hi"}, {"name": "assistant", "text": "Hello"}]
ASKED = [{"role": "user", "content": "Why?"}]
HUMAN = "\n\nHuman: Why?\n\nAssistant: "
VALUES = {
    "q": "Why?", "a": "So.", "b": "No.", "talk": TURNS, "asked": ASKED, "ok": True, "both": ["So.", "No."],
    "scored": [{"text": "So.", "score": 1}, {"text": "No.", "score": 2}], "good": HUMAN + "So.", "bad": HUMAN + "No.",
    "note": "Be brief.", "tools": [{"name": "find", "parameters": {}}], "calls": [{"find": {"x": [1]}}],
}  # fmt: skip
TYPES = {str: "text", list: "list", bool: "boolean"}
COLUMNS = [Column(name, TYPES[type(value)]) for name, value in VALUES.items()]
ROWS = [Row(i, VALUES) for i in (1, 2)]

CHOSEN: list[tuple[Kind, dict[str, str], Mapping]] = [
    ("pair", {"prompt": "q", "answer": "a"}, Mapping(prompt="q", answer="a")),
    (
        "pair",
        {"prompt": "q", "tools": "tools", "accepted_calls": "calls", "system": "note"},
        Mapping(prompt="q", tools="tools", accepted_calls="calls", system="note"),
    ),
    (
        "talk",
        {"turns": "talk", "system": "note"},
        Mapping(layout="turns", turns="talk", role_key="name", content_key="text", system="note"),
    ),
    ("text", {"text": "a"}, Mapping(layout="text", text="a")),
    (
        "preference",
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        Mapping(layout="preference", prompt="q", chosen="a", rejected="b"),
    ),
    (
        "preference",
        {"prompt": "asked", "chosen": "a", "rejected": "b"},
        Mapping(layout="preference", turns="asked", chosen="a", rejected="b"),
    ),
    (
        "preference",
        {"chosen": "good", "rejected": "bad"},
        Mapping(layout="preference", chosen="good", rejected="bad", transcript=True),
    ),
    (
        "rated",
        {"prompt": "q", "answer": "a", "label": "ok"},
        Mapping(layout="kto", prompt="q", answer="a", label="ok"),
    ),
    (
        "rated",
        {"turns": "talk", "label": "ok"},
        Mapping(layout="kto", turns="talk", role_key="name", content_key="text", label="ok"),
    ),
    ("ranked", {"prompt": "q", "ranked": "both", "best": "first"}, Mapping(layout="ranked", prompt="q", ranked="both")),
    (
        "ranked",
        {"prompt": "q", "ranked": "scored", "best": "highest", "ranks": "score"},
        Mapping(layout="ranked", prompt="q", ranked="scored", best="highest", ranks="score"),
    ),
    ("prompts", {"prompt": "q", "tools": "tools"}, Mapping(layout="prompt_only", prompt="q", tools="tools")),
    (
        "template",
        {"prompt_template": "{q} {note}", "answer_template": "{a}"},
        Mapping(layout="template", prompt_template="{q} {note}", answer_template="{a}"),
    ),
    (
        "template",
        {"prompt": "asked", "answer_template": "Nothing fits.", "tools": "tools"},
        Mapping(layout="template", prompt="asked", answer_template="Nothing fits.", tools="tools"),
    ),
]


@pytest.mark.parametrize(("kind", "parts", "mapping"), CHOSEN)
def test_what_is_chosen_makes_the_mapping_and_is_told_by_it(
    kind: Kind, parts: dict[str, str], mapping: Mapping
) -> None:
    made = make_mapping(kind, parts, COLUMNS, ROWS)
    assert made == mapping
    mapping_problems(made, COLUMNS)
    assert not isinstance(convert(ROWS[0], made), RowProblem)
    assert kind_of(made) == kind
    assert parts_of(made, COLUMNS) == parts
    assert missing_part(kind, parts) is None


def test_every_kind_is_tried() -> None:
    assert {kind for kind, _, _ in CHOSEN} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_open_is_told(kind: Kind) -> None:
    assert missing_part(kind, {}) == PARTS[kind].needed[0][0]
    assert missing_part("pair", {"prompt": "q"}) == "answer"
    assert missing_part("rated", {"turns": "talk"}) == "label"


def test_parts_of_another_kind_are_left_out() -> None:
    chosen = {"prompt": "q", "answer": "a", "label": "ok", "prompt_template": "{b}", "turns": "talk"}
    assert make_mapping("pair", chosen, COLUMNS, ROWS) == Mapping(prompt="q", answer="a")
    rated = make_mapping("rated", chosen, COLUMNS, ROWS)
    assert (rated.turns, rated.prompt, rated.answer) == ("talk", None, None)


def test_a_question_without_its_answer_is_shown_while_it_is_made() -> None:
    made = make_mapping("template", {"prompt_template": "{q}"}, COLUMNS, ROWS)
    (seen, _) = look_through(draft_of("template", made), ROWS)
    assert isinstance(seen.record, PromptOnly)
    assert seen.record.prompt[0].content == "Why?"
    whole = make_mapping("pair", {"prompt": "q", "answer": "a"}, COLUMNS, ROWS)
    assert draft_of("pair", whole) == whole
    assert isinstance(look_through(whole, ROWS)[0].record, Conversation)


def test_a_ranking_takes_the_better_answer_first() -> None:
    made = make_mapping(
        "ranked", {"prompt": "q", "ranked": "scored", "best": "highest", "ranks": "score"}, COLUMNS, ROWS
    )
    record = convert(ROWS[0], made)
    assert isinstance(record, Preference)
    assert (record.chosen[0].content, record.rejected[0].content) == ("No.", "So.")


def test_guesses_are_what_the_studio_would_recognise() -> None:
    columns = [Column("question", "text"), Column("answer", "text"), Column("system", "text")]
    rows = [Row(1, {"question": "q", "answer": "a", "system": "s"})]
    assert guess_parts("pair", columns, rows) == {"prompt": "question", "answer": "answer", "system": "system"}
    recognised = recognise(columns, rows)
    assert recognised
    assert parts_of(recognised, columns) == guess_parts("pair", columns, rows)
    guessed = guess_parts("ranked", COLUMNS, ROWS)
    assert (guessed["ranked"], guessed.get("ranks")) == ("both", None)
    scored = [c for c in COLUMNS if c.name != "both"]
    guessed = guess_parts("ranked", scored, ROWS)
    assert (guessed["ranked"], guessed["ranks"], guessed["best"]) == ("scored", "score", "highest")
    assert guess_parts("talk", COLUMNS, ROWS)["turns"] == "talk"
    assert guess_parts("text", [Column("x", "text"), Column("n", "integer")], [Row(1, {"x": "t", "n": 1})]) == {
        "text": "x"
    }
    assert guess_parts("rated", COLUMNS, ROWS)["label"] == "ok"
    columns = [Column("worse", "text"), Column("thumb", "boolean")]
    assert guess_parts("rated", columns, [Row(1, {"worse": "no", "thumb": True})])["label"] == "thumb"


def test_templates_begin_with_what_is_chosen() -> None:
    assert first_templates({"prompt": "q", "answer": "a"}, COLUMNS) == {
        "prompt_template": "{q}",
        "answer_template": "{a}",
    }
    assert first_templates({"prompt": "asked"}, COLUMNS) == {"prompt": "asked"}
    begun = first_templates({}, [Column("x", "text"), Column("y", "text"), Column("{z}", "text")])
    assert begun == {"prompt_template": "x: {x}\ny: {y}"}
