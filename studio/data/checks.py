"""What would spoil training: one function per finding.

A finding that one row alone decides is a `RowCheck` on its view; one that takes all rows is a function of the numbers
kept of every row (`Whole`). `scan` puts them together.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from studio.data.broken import MENDABLE_HINT, UNREADABLE_HINT, is_mendable, is_unreadable
from studio.data.cells import KINDS, row_texts
from studio.data.cleaning import BLANK, UNUSABLE, Fix
from studio.data.duplicates import exact_duplicates, later_copies
from studio.data.formats import Mapping as ColumnMapping
from studio.data.problems import ProblemKind, RowProblem, type_name
from studio.data.records import Record
from studio.data.sensitive import EMAIL_HINT, SECRET_HINT, has_email, has_secret
from studio.data.tables import Row
from studio.data.tokens import Lengths
from studio.data.views import View
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


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """What to check, and for which training. Plain values: they go to other processes.

    `max_length` in tokens. `near_threshold`: share of characters that near duplicates have in common. `off`: names of
    findings that are not made; `only`: where any are named, no others are. `near`: whether near duplicates are looked
    for.
    """

    max_length: int = 256
    near_threshold: float = 0.8
    method: str = "sft"
    tuner: str = "lora"
    off: frozenset[str] = frozenset()
    near: bool = True
    only: frozenset[str] = frozenset()

    def wants(self, name: str) -> bool:
        """Whether the finding of this name (`duplicate`, not `finding.duplicate`) is to be made."""
        return name not in self.off and (not self.only or name in self.only)


# Findings that one row alone decides


class RowCheck(NamedTuple):
    """`hint` is an RE2 pattern that every text holds for which `test` is true: rows without it are passed by, which
    makes rare faults cheap to look for.
    """

    name: str
    severity: Severity
    fix: Fix | None
    test: Callable[[View], bool]
    hint: str | None = None


ROW_CHECKS: tuple[RowCheck, ...] = (
    RowCheck("secret", "warning", "mask_secrets", lambda row: has_secret(row.text), SECRET_HINT),
    RowCheck("email", "warning", "mask_emails", lambda row: has_email(row.text), EMAIL_HINT),
    RowCheck("broken_text", "warning", "repair_text", lambda row: is_mendable(row.text), MENDABLE_HINT),
    RowCheck("unreadable_text", "warning", "drop_unreadable", lambda row: is_unreadable(row.text), UNREADABLE_HINT),
)

# Rows that cannot be used: finding -> the kinds of problem it tells, and its fix.
PROBLEMS: Mapping[str, tuple[tuple[ProblemKind, ...], Fix]] = {
    "blank": (BLANK, "drop_blank"),
    "wrong_type": (("wrong_type",), "to_text"),
    "ends_without_answer": (("ends_without_answer",), "trim_turns"),
    "unknown_role": (("unknown_role",), "drop_unusable"),
    "unusable": (UNUSABLE, "drop_unusable"),
}
PROBLEM_OF: Mapping[ProblemKind, str] = {kind: name for name, (kinds, _) in PROBLEMS.items() for kind in kinds}


# Findings that take all rows


@dataclass(frozen=True, slots=True)
class Whole:
    """The numbers of all rows, one value per row. `usable`: the row is a training record; where it is not, lengths
    and hashes are 0. `kinds`: what the cells of the other columns are, as places in `KINDS`.
    """

    options: CheckOptions
    mapping: ColumnMapping
    measured: Sequence[Lengths]
    ids: np.ndarray
    usable: np.ndarray
    prompt_chars: np.ndarray
    answer_chars: np.ndarray
    record_hash: np.ndarray
    prompt_hash: np.ndarray
    answer_hash: np.ndarray
    kinds: Mapping[str, np.ndarray]


class Found(NamedTuple):
    """Ids of the rows of a finding, in the order of the table."""

    name: str
    ids: Sequence[int] | np.ndarray
    severity: Severity
    fix: Fix | None
    values: Mapping[str, Any] = {}


def lost(whole: Whole) -> Iterator[Found]:
    """Rows of whose answer nothing is left after cutting."""
    rows = [m.row_id for m in whole.measured if m.lost]
    yield Found("lost", rows, "error", "drop_lost", {"max_length": whole.options.max_length})


def refused(whole: Whole) -> Iterator[Found]:
    """Rows that the model's template does not take."""
    rows = [m for m in whole.measured if m.refused is not None]
    reason = rows[0].refused if rows else ""
    yield Found("refused", [m.row_id for m in rows], "error", "drop_refused", {"reason": reason})


def too_long(whole: Whole) -> Iterator[Found]:
    """Rows whose answer is cut off at the end."""
    rows = [m.row_id for m in whole.measured if m.truncated and not m.lost]
    yield Found("too_long", rows, "warning", "drop_too_long", {"max_length": whole.options.max_length})


def duplicate(whole: Whole) -> Iterator[Found]:
    """Exact copies of earlier rows."""
    copies = later_copies(whole.record_hash[whole.usable])
    yield Found("duplicate", whole.ids[whole.usable][copies], "warning", "drop_duplicates")


def odd_values(whole: Whole) -> Iterator[Found]:
    """Other columns in which nearly all cells are numbers (or lists, ...), but a few are something else."""
    for name, kinds in whole.kinds.items():
        counts = np.bincount(kinds, minlength=len(KINDS))
        present = int(counts[1:].sum())
        usual = int(counts[1:].argmax()) + 1
        if KINDS[usual] != "text" and present >= FEW_ROWS and counts[usual] >= 0.9 * present:
            odd = whole.ids[(kinds != usual) & (kinds != 0)]
            yield Found("odd_values", odd, "info", None, {"column": name, "type": KINDS[usual]})


def few_rows(whole: Whole) -> Iterator[Found]:
    """So few rows that nothing can be told from them."""
    good = whole.ids[whole.usable]
    if len(good) < FEW_ROWS:
        yield Found("few_rows", good, "info", None, {"wanted": FEW_ROWS})


SET_CHECKS: Mapping[str, Callable[[Whole], Iterator[Found]]] = {
    check.__name__: check for check in (lost, refused, too_long, duplicate, odd_values, few_rows)
}


def findings_of(found: Iterable[Found], rows: int) -> tuple[Finding, ...]:
    """As they are told, worst first; those without rows are left out. `rows`: of the whole table."""
    made = [
        Finding(
            f"finding.{item.name}",
            len(item.ids),
            len(item.ids) / rows,
            tuple(int(row) for row in item.ids[:EXAMPLES]),
            item.severity,
            item.fix,
            {"count": len(item.ids), **item.values, "rows": rows, "share": f"{len(item.ids) / rows:.1%}"},
        )
        for item in found
        if len(item.ids)
    ]
    return tuple(sorted(made, key=lambda finding: (_ORDER[finding.severity], -finding.count)))


# The same of rows in memory


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


def _problems(converted: Converted) -> Iterator[Finding | None]:
    problems = [item for _, item in converted if isinstance(item, RowProblem)]
    for name, (kinds, fix) in PROBLEMS.items():
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
