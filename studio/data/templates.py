"""Text made of a row's columns: `{column}` stands for the text of that column.

    {question}              the column `question`
    {choice{label}}         the column whose name is put together: `choice2` where `label` is 2
    { {answer}}             the column that `answer` names; the space keeps the braces apart
    {choices[0]}            an item of a list (the first is 0), or the member of an object by its name
    {choices[{answer}]}     the item that another column tells by its number, its letter (A is the first) or its name
    {{ and }}               braces as they are

Nothing else is looked up, and nothing is ever run.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from studio.errors import DataError

_INNER = re.compile(r"\{([^{}]*)\}")
# A name may hold brackets behind a space ("Question [EN]"); those that follow at once choose an item.
_FIELD = re.compile(r"(.+?)((?:(?<=\S)\[[^\[\]]+\])*)", re.DOTALL)
_PATH = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True, slots=True)
class Column:
    """Within a field: the value of this column is put here."""

    name: str


Pieces = tuple[str | Column, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """`name` of the column, put together of its pieces, and the items chosen in it. `source`: as it is written."""

    source: str
    name: Pieces
    path: tuple[Pieces, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are known to be read: all, but for one whose name is put together."""
        pieces = [piece for part in (self.name, *self.path) for piece in part if isinstance(piece, Column)]
        inner = tuple(piece.name for piece in pieces)
        return (self.name[0], *inner) if len(self.name) == 1 and isinstance(self.name[0], str) else inner


class NoValue(Exception):
    """A field chooses a column or an item that the row does not have."""

    def __init__(self, field: Field) -> None:
        super().__init__(field.source)
        self.field = field


@lru_cache(maxsize=64)
def parse_template(template: str) -> tuple[str | Field, ...]:
    """Raises DataError that names the place of a brace without its partner, or of a field without a name."""
    parts: list[str | Field] = []
    plain, place = "", 0
    while place < len(template):
        two, one = template[place : place + 2], template[place]
        if two in ("{{", "}}"):
            plain += one
            place += 2
        elif one == "{":
            end = _end(template, place)
            parts += (
                [plain, _field(template[place + 1 : end], place)]
                if plain
                else [_field(template[place + 1 : end], place)]
            )
            plain, place = "", end + 1
        elif one == "}":
            raise DataError(
                "error.template.brace", brace="}", place=place + 1, near=template[max(0, place - 20) : place + 1]
            )
        else:
            plain += one
            place += 1
    return (*parts, plain) if plain else tuple(parts)


def _end(template: str, start: int) -> int:
    """Where the field that begins here ends."""
    depth = 0
    for place in range(start, len(template)):
        depth += {"{": 1, "}": -1}.get(template[place], 0)
        if depth == 0:
            return place
        if depth > 2:
            break
    raise DataError("error.template.brace", brace="{", place=start + 1, near=template[start : start + 21])


def _field(source: str, place: int) -> Field:
    found = _FIELD.fullmatch(source)
    if found is None or not source.strip() or "{}" in source:
        raise DataError("error.template.empty", place=place + 1)
    return Field(source, _pieces(found[1]), tuple(_pieces(item) for item in _PATH.findall(found[2])))


def _pieces(text: str) -> Pieces:
    texts = _INNER.split(text.lstrip() if text.lstrip().startswith("{") else text)
    return tuple(Column(piece) if i % 2 else piece for i, piece in enumerate(texts) if piece)


def template_columns(template: str) -> tuple[str, ...]:
    """The columns that its fields read, in order."""
    fields = (part for part in parse_template(template) if isinstance(part, Field))
    return tuple(dict.fromkeys(name for field in fields for name in field.columns))


def chosen_columns(template: str) -> tuple[re.Pattern[str], ...]:
    """The names of the columns that fields with a name put together may choose."""
    names = [part.name for part in parse_template(template) if isinstance(part, Field)]
    together = [name for name in names if any(isinstance(piece, Column) for piece in name)]
    texts = ["".join(re.escape(p) if isinstance(p, str) else ".*" for p in name) for name in together]
    return tuple(re.compile(text, re.DOTALL) for text in texts)


def check_template(template: str, known: Iterable[str]) -> None:
    """Raises DataError that names the first field with an unknown column, and the columns there are."""
    names = set(known)
    for part in parse_template(template):
        if isinstance(part, Field) and (unknown := next((n for n in part.columns if n not in names), None)) is not None:
            raise DataError("error.template.unknown", field=part.source, column=unknown, known=", ".join(names))


def fill_template(template: str, values: Mapping[str, Any]) -> str | None:
    """The text of a row; None when every field of it is empty. Raises NoValue."""
    texts, empty, fields = [], True, 0
    for part in parse_template(template):
        if isinstance(part, str):
            texts.append(part)
            continue
        text = _as_text(_value(part, values))
        fields += 1
        empty = empty and not text.strip()
        texts.append(text)
    return None if fields and empty else "".join(texts)


def _value(field: Field, values: Mapping[str, Any]) -> Any:
    name = _joined(field.name, values)
    if name not in values and len(field.name) > 1:
        raise NoValue(field)
    value = values.get(name)
    for part in field.path:
        value = _item(value, _joined(part, values), field)
    return value


def _joined(pieces: Pieces, values: Mapping[str, Any]) -> str:
    return "".join(piece if isinstance(piece, str) else _as_text(values.get(piece.name)).strip() for piece in pieces)


def _item(value: Any, key: str, field: Field) -> Any:
    if isinstance(value, dict) and key in value:
        return value[key]
    if isinstance(value, list):
        number = (
            int(key)
            if key.isascii() and key.isdigit() and len(key) < 10
            else ord(key) - ord("A")
            if re.fullmatch("[A-Z]", key)
            else -1
        )
        if 0 <= number < len(value):
            return value[number]
    raise NoValue(field)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
