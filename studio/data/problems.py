"""Why a row is no training record."""

from dataclasses import dataclass
from typing import Any, Literal

from studio.errors import DataError

ProblemKind = Literal[
    "blank_prompt", "blank_answer", "blank_text", "wrong_type", "not_turns", "bad_turns", "unknown_role",
    "ends_without_answer", "no_answer", "no_question", "bad_label", "bad_tools", "bad_tool_call", "bad_transcript",
    "no_common_prompt", "bad_ranking", "no_field",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why a row is no training record. `key` names the sentence, `values` fill it."""

    row: int
    kind: ProblemKind
    column: str
    detail: str = ""

    @property
    def key(self) -> str:
        return f"error.row.{self.kind}"

    @property
    def values(self) -> dict[str, object]:
        return {"row": self.row, "column": self.column, "detail": self.detail}

    def message(self, language: str = "en") -> str:
        """The sentence in `language`."""
        return DataError(self.key, **self.values).message(language)


class Unusable(Exception):
    """Leaves the conversion of a row from within; becomes its RowProblem."""

    def __init__(self, kind: ProblemKind, column: str, detail: str = "") -> None:
        super().__init__(kind)
        self.kind: ProblemKind = kind
        self.column = column
        self.detail = detail


def type_name(value: Any) -> str:
    """What a cell holds, in the words of `Column.type`."""
    if value is None:
        return "empty"
    names = {bool: "boolean", int: "integer", float: "number", list: "list", dict: "object", str: "text"}
    return names[type(value)]
