"""A row as the model will see it."""

from dataclasses import dataclass
from typing import Any

from studio.data.formats import Mapping, convert
from studio.data.problems import RowProblem
from studio.data.records import Preference, Rated, Record
from studio.data.tables import Row
from studio.data.tokens import LossOn, Span, TemplateRefusal, view
from studio.errors import DataError


@dataclass(frozen=True, slots=True)
class RowView:
    """A row as the model will see it. Token counts include the template's own tokens.

    `prompt_tokens` and `answer_tokens` are of the whole row, `total_tokens` of what is left after cutting, and
    `trained_tokens` of those that carry loss. `problem`: why the row is no conversation; then there is nothing else.
    `refused`: why the model's template does not take it. `rejected`: of a preference, how the worse answer differs.
    `thumbs_up`: how a rated answer was rated.
    """

    spans: tuple[Span, ...]
    prompt_tokens: int
    answer_tokens: int
    total_tokens: int
    trained_tokens: int
    truncated: bool
    problem: RowProblem | None
    refused: DataError | None = None
    rejected: tuple[Span, ...] = ()
    thumbs_up: bool | None = None


def view_row(row: Row, mapping: Mapping, tokenizer: Any, max_length: int, loss_on: LossOn) -> RowView:
    """The row rendered with the model's template, the trained tokens marked."""
    record = convert(row, mapping)
    if isinstance(record, RowProblem):
        return RowView((), 0, 0, 0, 0, False, record)
    try:
        example, spans = view(record, tokenizer, max_length, loss_on)
        rejected = _rejected(record, spans, tokenizer, max_length)
    except TemplateRefusal as error:
        return RowView((), 0, 0, 0, 0, False, None, error)
    return RowView(
        spans=spans,
        prompt_tokens=example.prompt_tokens,
        answer_tokens=example.answer_tokens,
        total_tokens=len(example.ids),
        trained_tokens=example.trained_tokens,
        truncated=example.truncated,
        problem=None,
        rejected=rejected,
        thumbs_up=record.label if isinstance(record, Rated) else None,
    )


def _rejected(record: Record, chosen: tuple[Span, ...], tokenizer: Any, max_length: int) -> tuple[Span, ...]:
    """The worse answer of a preference, from where it leaves the better one; none of it is learned."""
    if not isinstance(record, Preference):
        return ()
    worse = Rated(record.prompt, record.rejected, False, record.tools)
    _, spans = view(worse, tokenizer, max_length)
    pairs = zip(spans, chosen, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a.text != b.text), min(len(spans), len(chosen)))
    return spans[same:]
