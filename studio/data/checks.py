"""What would spoil training: one function per finding.

Here are those that one row alone decides; those that take all rows are in `set_checks`. `scan` puts them together.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args
from unicodedata import category

import numpy as np

from studio.data.broken import MENDABLE_HINT, UNREADABLE_HINT, is_mendable, is_unreadable
from studio.data.duplicates import plain
from studio.data.markup_text import (
    BOILERPLATE_HINT,
    CONTROL_HINT,
    HTML_HINT,
    SPECIAL_HINT,
    has_boilerplate,
    has_control,
    has_html,
    has_no_input,
    has_special_tokens,
    is_placeholder,
)
from studio.data.problems import ProblemKind, RowProblem
from studio.data.recipe import FIXES, Fix
from studio.data.records import Conversation, Messages, Passage, Preference, record_sides
from studio.data.sensitive import (
    ADDRESS_HINT,
    CARD_HINT,
    EMAIL_HINT,
    ID_HINT,
    PHONE_HINT,
    SECRET_HINT,
    has_address,
    has_card,
    has_email,
    has_id,
    has_phone,
    has_secret,
)
from studio.data.tool_call_checks import bad_calls
from studio.data.views import View
from studio.messages import translate

Severity = Literal["error", "warning", "info"]
BLANK: tuple[ProblemKind, ...] = ("blank_prompt", "blank_answer", "blank_text")
UNUSABLE: tuple[ProblemKind, ...] = (
    "not_turns", "bad_turns", "no_answer", "no_question", "bad_label", "bad_transcript", "no_common_prompt",
    "bad_ranking", "no_field",
)  # fmt: skip
EXAMPLES = 10
FEW_ROWS = 20
_FIXES: Mapping[str, Fix] = {fix: fix for fix in FIXES}
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
        """The sentence in `language`; types of values are in its words too."""
        values = {name: self._worded(name, value, language) for name, value in self.values.items()}
        return translate(self.key, language, **values)

    def _worded(self, name: str, value: Any, language: str) -> Any:
        if (self.key, name) not in (("finding.odd_values", "type"), ("finding.wrong_type", "details")):
            return value
        return ", ".join(translate(f"ui.data.type.{kind}", language) for kind in value.split(", ") if kind)


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

    @property
    def compares(self) -> bool:
        """Whether rows are compared with each other: what near duplicates cost."""
        return self.near and (self.wants("near_duplicate") or self.wants("leak"))


# Findings that one row alone decides


class RowCheck(NamedTuple):
    """`hint` is an RE2 pattern that every text holds for which `test` is true: rows without it are passed by, which
    makes rare faults cheap to look for. Hints of one `gate` are looked for at once. Without a hint, rows are asked that
    are not just a question and its answer, each of one text; and those of which `of_pair` is true of these two.
    """

    name: str
    severity: Severity
    fix: str
    test: Callable[[View], bool]
    hint: str | None = None
    gate: str = ""
    of_pair: Callable[[str, str], bool] | None = None


def near_blank(row: View) -> bool:
    """A question or an answer of punctuation only, or that holds the place of one: "...", N/A, 特になし."""
    return not isinstance(row.record, RowProblem) and _near_blank(row.prompt, row.answer)


def _near_blank(prompt: str, answer: str) -> bool:
    return (len(answer) < 40 and answer != "" and (is_placeholder(answer) or _is_void(answer))) or (
        len(prompt) < 40 and prompt != "" and _is_void(prompt)
    )


def _is_void(text: str) -> bool:
    return not (text[0].isalnum() or any(c.isalnum() or category(c)[0] == "S" for c in text))


def boilerplate(row: View) -> bool:
    """An answer in which the model speaks of itself as one, or <noinput> and the like anywhere."""
    return has_boilerplate(row.answer) or has_no_input(row.text)


def bad_roles(row: View) -> bool:
    """Turns out of order: a system turn later than first, twice the same speaker, an answer before any question."""
    if isinstance(row.record, RowProblem | Passage):
        return False
    if isinstance(row.record, Conversation) and len(row.record.prompt) == 1:
        return row.record.prompt[0].role != "user"
    return any(map(_out_of_order, record_sides(row.record)))


_NEXT = {
    "": ("system", "user"), "system": ("user",), "user": ("assistant",), "assistant": ("user", "tool"),
    "tool": ("tool", "assistant"),
}  # fmt: skip


def _out_of_order(turns: Messages) -> bool:
    before = ""
    for turn in turns:
        if turn.role not in _NEXT.get(before, ()):
            return True
        before = turn.role
    return False


def bad_tool_calls(row: View) -> bool:
    """A call of a function that is not offered, or whose arguments do not fit its schema."""
    return not isinstance(row.record, RowProblem) and next(bad_calls(row.record), None) is not None


def equal_pair(row: View) -> bool:
    """A preference between two answers that say the same."""
    return isinstance(row.record, Preference) and plain(row.answer) == plain(row.other)


ROW_CHECKS: tuple[RowCheck, ...] = (
    RowCheck("near_blank", "warning", "drop_boilerplate", near_blank, of_pair=_near_blank),
    RowCheck("secret", "warning", "mask_secrets", lambda row: has_secret(row.text), SECRET_HINT, "marks"),
    RowCheck("card", "warning", "mask_cards", lambda row: has_card(row.text), CARD_HINT, "numbers"),
    RowCheck("personal_id", "warning", "mask_ids", lambda row: has_id(row.text), ID_HINT, "numbers"),
    RowCheck("email", "warning", "mask_emails", lambda row: has_email(row.text), EMAIL_HINT, "numbers"),
    RowCheck("phone", "warning", "mask_phones", lambda row: has_phone(row.text), PHONE_HINT, "numbers"),
    RowCheck("address", "warning", "mask_addresses", lambda row: has_address(row.text), ADDRESS_HINT, "numbers"),
    RowCheck("broken_text", "warning", "repair_text", lambda row: is_mendable(row.text), MENDABLE_HINT, "broken"),
    RowCheck(
        "unreadable_text", "warning", "drop_unreadable", lambda row: is_unreadable(row.text), UNREADABLE_HINT, "broken"
    ),
    RowCheck("control", "warning", "strip_control", lambda row: has_control(row.text), CONTROL_HINT, "marks"),
    RowCheck("html", "warning", "strip_html", lambda row: has_html(row.text), HTML_HINT, "marks"),
    RowCheck(
        "special_tokens",
        "warning",
        "escape_special_tokens",
        lambda row: has_special_tokens(row.text),
        SPECIAL_HINT,
        "marks",
    ),
    RowCheck("boilerplate", "warning", "drop_boilerplate", boilerplate, BOILERPLATE_HINT, "marks"),
    RowCheck("bad_roles", "warning", "drop_bad_roles", bad_roles),
    RowCheck("bad_tool_calls", "warning", "drop_bad_tool_calls", bad_tool_calls),
    RowCheck("equal_pair", "error", "drop_equal_pair", equal_pair),
)

# Rows that cannot be used: finding -> the kinds of problem it tells, and its fix.
PROBLEMS: Mapping[str, tuple[tuple[ProblemKind, ...], str]] = {
    "unusable": (UNUSABLE, "drop_unusable"),
    "blank": (BLANK, "drop_blank"),
    "wrong_type": (("wrong_type",), "to_text"),
    "ends_without_answer": (("ends_without_answer",), "trim_turns"),
    "unknown_role": (("unknown_role",), "drop_unusable"),
    "broken_tool_calls": (("bad_tools", "bad_tool_call"), "drop_bad_tool_calls"),
}
PROBLEM_OF: Mapping[ProblemKind, str] = {
    **dict.fromkeys(get_args(ProblemKind), "unusable"),
    **{kind: name for name, (kinds, _) in PROBLEMS.items() for kind in kinds},
}


class Found(NamedTuple):
    """Ids of the rows of a finding, in the order of the table."""

    name: str
    ids: Sequence[int] | np.ndarray
    severity: Severity
    fix: str | None
    values: Mapping[str, Any] = {}


def findings_of(found: Iterable[Found], rows: int) -> tuple[Finding, ...]:
    """As they are told, worst first; those without rows are left out. `rows`: of the whole table."""
    made = [
        Finding(
            f"finding.{item.name}",
            len(item.ids),
            len(item.ids) / rows,
            tuple(int(row) for row in item.ids[:EXAMPLES]),
            item.severity,
            _FIXES.get(item.fix or ""),
            {"count": len(item.ids), **item.values, "rows": rows, "share": f"{len(item.ids) / rows:.1%}"},
        )
        for item in found
        if len(item.ids)
    ]
    return worst_first(made)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, warnings, the rest; of each the most frequent first."""
    return tuple(sorted(findings, key=lambda finding: (_ORDER[finding.severity], -finding.count)))
