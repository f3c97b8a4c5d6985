"""What would spoil training: one function per finding."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from studio.data.broken import is_mendable, is_unreadable
from studio.data.cells import row_texts
from studio.data.duplicates import exact_duplicates
from studio.data.formats import Mapping as ColumnMapping
from studio.data.problems import ProblemKind, RowProblem, type_name
from studio.data.recipe import Fix
from studio.data.records import Record
from studio.data.row_steps import BLANK, UNUSABLE
from studio.data.sensitive import has_email, has_secret
from studio.data.tables import Row
from studio.data.tokens import Lengths
from studio.messages import translate

Severity = Literal["error", "warning", "info"]
Converted = Sequence[tuple[int, Record | RowProblem]]
EXAMPLES = 10
FEW_ROWS = 20
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d+)*|\.\d+)([eE][+-]?\d+)?%?")
_ORDER: Mapping[Severity, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """`key` names the sentence. `share` is of all rows, 0 to 1; `examples` are row ids, the first of them.

    `error`: these rows will not train. `warning`: they will, and probably should not. `fix`: None if only you can help.
    """

    key: str
    count: int
    share: float
    examples: tuple[int, ...]
    severity: Severity
    fix: Fix | None
    values: Mapping[str, Any]

    def message(self, language: str = "en") -> str:
        """The sentence in `language`."""
        return translate(self.key, language, **self.values)


def find(
    rows: Sequence[Row], mapping: ColumnMapping, converted: Converted, measured: Sequence[Lengths], max_length: int
) -> tuple[Finding, ...]:
    """All findings, worst first. `converted` and `measured` are of these rows; `measured` may be empty (no model)."""
    texts = [(row.id, row_texts(row, mapping)) for row in rows]
    good = [(row_id, item) for row_id, item in converted if not isinstance(item, RowProblem)]
    found = (
        *_problems(converted),
        _finding("lost", [m.row_id for m in measured if m.lost], "error", "drop_lost", max_length=max_length),
        _finding(
            "refused",
            [m.row_id for m in measured if m.refused is not None],
            "error",
            "drop_refused",
            reason=next((m.refused for m in measured if m.refused is not None), ""),
        ),
        _finding("secret", _rows_where(texts, has_secret), "warning", "mask_secrets"),
        _finding("email", _rows_where(texts, has_email), "warning", "mask_emails"),
        _finding("broken_text", _rows_where(texts, is_mendable), "warning", "repair_text"),
        _finding("unreadable_text", _rows_where(texts, is_unreadable), "warning", "drop_unreadable"),
        _finding(
            "too_long",
            [m.row_id for m in measured if m.truncated and not m.lost],
            "warning",
            "drop_too_long",
            max_length=max_length,
        ),
        _finding("duplicate", exact_duplicates(good), "warning", "drop_duplicates"),
        *_odd_values(rows, mapping),
        _few(good),
    )
    counted = [_shared(finding, len(rows)) for finding in found if finding is not None]
    return tuple(sorted(counted, key=lambda f: (_ORDER[f.severity], -f.count)))


def _finding(name: str, rows: Iterable[int], severity: Severity, fix: Fix | None, **values: Any) -> Finding | None:
    ids = tuple(rows)
    if not ids:
        return None
    return Finding(f"finding.{name}", len(ids), 0.0, ids[:EXAMPLES], severity, fix, {"count": len(ids), **values})


def _shared(finding: Finding, rows: int) -> Finding:
    share = finding.count / rows
    return Finding(
        finding.key, finding.count, share, finding.examples, finding.severity, finding.fix,
        {**finding.values, "rows": rows, "share": f"{share:.1%}"},
    )  # fmt: skip


_PROBLEMS: Mapping[str, tuple[tuple[ProblemKind, ...], Fix]] = {
    "blank": (BLANK, "drop_blank"),
    "wrong_type": (("wrong_type",), "to_text"),
    "ends_without_answer": (("ends_without_answer",), "trim_turns"),
    "unknown_role": (("unknown_role",), "drop_unusable"),
    "unusable": (UNUSABLE, "drop_unusable"),
}


def _problems(converted: Converted) -> Iterator[Finding | None]:
    problems = [item for _, item in converted if isinstance(item, RowProblem)]
    for name, (kinds, fix) in _PROBLEMS.items():
        these = [problem for problem in problems if problem.kind in kinds]
        columns = ", ".join(dict.fromkeys(problem.column for problem in these))
        details = ", ".join(list(dict.fromkeys(problem.detail for problem in these if problem.detail))[:5])
        yield _finding(name, [problem.row for problem in these], "error", fix, columns=columns, details=details)


def _rows_where(rows: Sequence[tuple[int, list[str]]], test: Callable[[str], bool]) -> Iterator[int]:
    return (row_id for row_id, texts in rows if any(map(test, texts)))


def _few(good: Sequence[tuple[int, Record]]) -> Finding | None:
    ids = [row_id for row_id, _ in good] if len(good) < FEW_ROWS else []
    return _finding("few_rows", ids, "info", None, wanted=FEW_ROWS)


def _odd_values(rows: Sequence[Row], mapping: ColumnMapping) -> Iterator[Finding | None]:
    """Other columns in which nearly all cells are numbers (or lists, ...), but a few are something else."""
    names = [name for name in (rows[0].values if rows else ()) if name not in mapping.columns]
    for name in names:
        kinds = [(row.id, _kind(value)) for row in rows if (value := row.values.get(name)) not in (None, "")]
        counts = Counter(kind for _, kind in kinds)
        usual, count = counts.most_common(1)[0] if counts else ("text", 0)
        if usual != "text" and len(kinds) >= FEW_ROWS and count >= 0.9 * len(kinds):
            odd = [row_id for row_id, kind in kinds if kind != usual]
            yield _finding("odd_values", odd, "info", None, column=name, type=usual)


def _kind(value: Any) -> str:
    """number, text, list, object or boolean; a number written as text is a number."""
    if isinstance(value, str):
        return "number" if _NUMBER.fullmatch(value.strip()) else "text"
    kind = type_name(value)
    return "number" if kind == "integer" else kind
