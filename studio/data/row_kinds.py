"""What a row of a table is, said by hand: the kinds there are, the parts of each, and the mapping they make."""

from collections.abc import Mapping as MappingOf
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from studio.data.formats import convert
from studio.data.layouts import ANSWERS, PROMPTS, SIDES, TEXTS, Seen
from studio.data.mapping import Layout, Mapping
from studio.data.problems import RowProblem
from studio.data.records import Record
from studio.data.suggestions import can_be_named, starting_template
from studio.data.tables import Column, Row
from studio.data.turns import is_answer_list
from studio.errors import DataError

Kind = Literal["pair", "talk", "text", "preference", "rated", "ranked", "prompts", "template"]
KINDS: tuple[Kind, ...] = get_args(Kind)
BESTS = ("first", "lowest", "highest")


INSTEAD = {"prompt_template": "prompt", "answer_template": "answer", "system_template": "system"}


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a kind, by the names of `Mapping`'s fields. A row needs one of each group of `needed`; `more` are
    those that few tables have."""

    main: tuple[str, ...]
    needed: tuple[tuple[str, ...], ...]
    more: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.main, *self.more)


_ASKED = ("input", "system", "history", "tools")
PARTS: dict[Kind, Parts] = {
    "pair": Parts(("prompt", "answer"), (("prompt",), ("answer", "accepted_calls")), (*_ASKED, "accepted_calls")),
    "talk": Parts(("turns",), (("turns",),), ("system", "tools")),
    "text": Parts(("text",), (("text",),)),
    "preference": Parts(("prompt", "chosen", "rejected"), (("chosen",), ("rejected",)), _ASKED),
    "rated": Parts(
        ("prompt", "answer", "turns", "label"), (("prompt", "turns"), ("answer", "turns"), ("label",)), _ASKED
    ),
    "ranked": Parts(("prompt", "ranked", "best", "ranks"), (("prompt",), ("ranked",)), _ASKED),
    "prompts": Parts(("prompt",), (("prompt",),), _ASKED),
    "template": Parts(
        ("prompt_template", "answer_template", "system_template"),
        (("prompt_template", "prompt"), ("answer_template", "answer", "accepted_calls")),
        ("prompt", "answer", "tools", "accepted_calls"),
    ),
}
_LAYOUTS: dict[Kind, Layout] = {
    "pair": "columns", "text": "text", "preference": "preference", "rated": "kto", "ranked": "ranked",
    "prompts": "prompt_only", "template": "template",
}  # fmt: skip
COLUMN_PARTS = (
    "prompt", "answer", "turns", "text", "chosen", "rejected", "label", "ranked", "ranks", "input", "system",
    "history", "tools", "accepted_calls",
)  # fmt: skip
TEMPLATE_PARTS = ("prompt_template", "answer_template", "system_template")


def kind_of(mapping: Mapping) -> Kind:
    """The kind whose parts say what a mapping says."""
    if mapping.templates:
        return "template"
    kinds: dict[str, Kind] = {
        "language_modeling": "text", "unpaired_preference": "rated", "conversational": "talk", "prompt_only": "prompts",
        "preference": "ranked" if mapping.ranked else "preference", "prompt_completion": "pair",
    }  # fmt: skip
    return kinds[mapping.dataset_type]


def parts_of(mapping: Mapping, columns: Sequence[Column]) -> dict[str, str]:
    """What each part of the mapping's kind is; those left open are not here.

    Columns of text beside a template are told as templates, since that is what they are there.
    """
    kind = kind_of(mapping)
    found = {name: value for name in (*COLUMN_PARTS, *TEMPLATE_PARTS) if (value := getattr(mapping, name))}
    if kind == "preference" and mapping.turns:
        found["prompt"] = found.pop("turns")
    if kind == "template":
        found = as_templates(found, columns)
    if kind == "ranked":
        found["best"] = mapping.best
    return {name: value for name, value in found.items() if name in PARTS[kind].names}


def as_templates(parts: MappingOf[str, str], columns: Sequence[Column]) -> dict[str, str]:
    """The parts with columns of text told as templates, where there is none yet."""
    texts = {column.name for column in columns if column.type == "text"}
    found = dict(parts)
    for template, part in INSTEAD.items():
        name = found.get(part)
        if name and name in texts and can_be_named(name) and template not in found:
            found[template] = f"{{{found.pop(part)}}}"
    return found


def first_templates(parts: MappingOf[str, str], columns: Sequence[Column]) -> dict[str, str]:
    """The parts with something to begin a template of one's own with: what is chosen, else all columns of text."""
    found = as_templates(parts, columns)
    begun = starting_template(columns)
    if begun and not found.get("prompt_template") and not found.get("prompt"):
        found["prompt_template"] = begun
    return found


def missing_part(kind: Kind, parts: MappingOf[str, str]) -> str | None:
    """The first part that the kind needs and that is open."""
    return next((names[0] for names in PARTS[kind].needed if not any(parts.get(name) for name in names)), None)


def make_mapping(kind: Kind, parts: MappingOf[str, str], columns: Sequence[Column], rows: Sequence[Row]) -> Mapping:
    """The mapping that the parts make. `rows`, the first of the table, tell how turns and transcripts are written.

    Raises DataError where a column of turns holds none; what else is wrong, `mapping_problems` tells.
    """
    seen = Seen(columns, rows)
    chosen: dict[str, Any] = {name: value for name in PARTS[kind].names if (value := parts.get(name))}
    asked = chosen.get("prompt")
    if kind == "preference" and asked and seen.is_turns(asked):
        chosen["turns"] = chosen.pop("prompt")
    if kind == "template":
        for template, part in INSTEAD.items():
            if template in chosen:
                chosen.pop(part, None)
    if kind == "ranked":
        chosen.setdefault("best", "first")
        if chosen["best"] == "first":
            chosen.pop("ranks", None)
    if turns := chosen.get("turns"):
        found = seen.turn_mapping(turns)
        if found is None:
            types = {column.name: column.type for column in columns}
            raise DataError("error.mapping.not_turns", column=turns, type=types.get(turns, "?"))
        keys = ("layout", "role_key", "content_key", "transcript")
        chosen |= {key: getattr(found, key) for key in keys}
        if kind == "rated":
            chosen = {name: value for name, value in chosen.items() if name not in ("prompt", "answer", "input")}
    sides = (chosen.get("prompt"), chosen.get("chosen"))
    if any(name and seen.is_transcript(name) for name in sides):
        chosen["transcript"] = True
    if kind != "talk":
        chosen["layout"] = _LAYOUTS[kind]
    return Mapping.model_validate(chosen)


def guess_parts(kind: Kind, columns: Sequence[Column], rows: Sequence[Row]) -> dict[str, str]:
    """What the parts of a kind seem to be, by the names of the columns and their first cells; to be looked at."""
    seen = Seen(columns, rows)
    names = [column.name for column in columns]
    texts = [name for name in names if seen.is_text(name)]
    truths = {column.name for column in columns if column.type == "boolean"}
    sides = next((pair for pair in SIDES if set(pair) <= seen.names.keys()), None)
    found: dict[str, str | None] = {
        **seen.parts(),
        "prompt": seen.first(PROMPTS, seen.is_question),
        "answer": seen.first(ANSWERS, seen.is_answer),
        "turns": next((name for name in names if seen.is_turns(name) or seen.is_transcript(name)), None),
        "text": seen.first(TEXTS, seen.is_text) or (texts[0] if len(texts) == 1 else None),
        "chosen": seen.names[sides[0]] if sides else None,
        "rejected": seen.names[sides[1]] if sides else None,
        "label": next((name for name in sorted(names, key=lambda n: n not in truths) if seen.is_label(name)), None),
        "ranked": next((name for name in names if _lists_answers(seen, name)), None),
    }
    if kind == "template":
        return {name: value for name in ("tools",) if (value := found[name])}
    if kind == "rated" and found["turns"]:
        found |= {"prompt": None, "answer": None}
    if kind == "ranked" and found["ranked"] and (numbers := seen.rank_numbers(found["ranked"])):
        found |= {"ranks": numbers[0], "best": numbers[1]}
    taken: set[str] = set()
    guessed: dict[str, str] = {}
    for part in PARTS[kind].names:
        value = found.get(part)
        if value and value not in taken:
            taken.add(value)
            guessed[part] = value
    return guessed


def _lists_answers(seen: Seen, name: str) -> bool:
    return seen.mostly(name, is_answer_list) and not seen.is_turns(name) and not seen.is_tools(name)


def draft_of(kind: Kind, mapping: Mapping) -> Mapping:
    """The same for a look while it is made: a question whose answer is still open is shown alone."""
    unanswered = kind in ("pair", "template") and mapping.dataset_type == "prompt_only"
    return mapping.model_copy(update={"layout": "prompt_only"}) if unanswered else mapping


@dataclass(frozen=True, slots=True)
class Seeming:
    """A row as a mapping reads it."""

    row: int
    record: Record | RowProblem


def look_through(mapping: Mapping, rows: Sequence[Row]) -> tuple[Seeming, ...]:
    """What becomes of the rows."""
    return tuple(Seeming(row.id, convert(row, mapping)) for row in rows)
