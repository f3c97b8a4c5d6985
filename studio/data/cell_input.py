"""A cell written by hand: its value as a text to edit, and what was typed as a value of the column's type."""

import json
from typing import Any, NoReturn

from studio.data.tables import Column
from studio.errors import DataError

_KINDS: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list,),
    "object": (dict,),
    "mixed": (int, float, bool, list, dict),
}


class CellError(DataError):
    """What was typed does not fit its column."""

    @property
    def column(self) -> str:
        return str(self.values["column"])


def cell_text(value: Any) -> str:
    """A value as a text to edit: text as it is, nothing for a missing one, all else as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, indent=2 if isinstance(value, list | dict) else None)


def typed_cell(text: str, column: Column, before: Any = None) -> Any:
    """What was typed, as a value: a number stays a number in a column of numbers, and an empty text is no value unless
    `before`, what stood there, was text. Raises CellError where it does not fit."""
    if column.type in ("text", "empty"):
        return text if text or isinstance(before, str) else None
    if isinstance(before, str):  # a text among other values
        return text
    if not text.strip():
        return None
    kinds = _KINDS[column.type]
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        if column.type == "mixed" and text.lstrip()[0] not in "[{":
            return text
        if column.type in ("integer", "number", "boolean"):
            raise CellError(f"error.cell.{column.type}", column=column.name, text=text.strip()[:40]) from None
        line = error.lineno if isinstance(error, json.JSONDecodeError) else 1
        raise CellError("error.cell.json", column=column.name, line=line) from None
    if column.type == "mixed" and isinstance(value, str):
        return text
    if value is None:
        return None
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise CellError(f"error.cell.{column.type}", column=column.name, text=text.strip()[:40])
    return value


def _no_number(_: str) -> NoReturn:
    raise ValueError("NaN and infinity are no JSON")
