"""Token counts of a table of any size: of every row where there are few, else of a sample and of all that may be long.

A text has at most as many tokens as bytes, in byte-level vocabularies and in those that fall back to bytes. So a row
whose bytes fit, the template's own tokens added, is not cut, and need not be tokenised to know it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from studio.data.formats import Mapping, to_conversation
from studio.data.records import Conversation, Message
from studio.data.tables import Row, Table
from studio.data.tokens import Lengths, LossOn, TemplateRefusal, lengths, tokenize
from studio.errors import Stopped

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAMPLE_ROWS = 20_000
_BATCH = 1_024
_SEED = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """`sample`: counts of every readable row, or of a seeded sample of them (`sampled`), in the order of the table.

    `faulty`: of every row that is cut, refused by the template or loses its whole answer; of all rows, always.
    """

    sample: tuple[Lengths, ...]
    faulty: tuple[Lengths, ...]
    sampled: bool


def measure(
    table: Table,
    mapping: Mapping,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    loss_on: LossOn = "answer",
    *,
    sample_rows: int = SAMPLE_ROWS,
    progress: Callable[[float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Measured:
    """Raises DataError when the tokenizer has no chat template, Stopped soon after `stop` says so."""
    ids, sizes = table.text_bytes(mapping.columns)
    sampled = len(ids) > sample_rows
    chosen = np.ones(len(ids), bool)
    if sampled:
        chosen[:] = False
        chosen[np.random.default_rng(_SEED).choice(len(ids), sample_rows, replace=False)] = True
    long = sizes + _template_tokens(tokenizer, mapping) > max_length
    wanted = chosen | long
    in_sample = set(ids[chosen].tolist()) if sampled else None
    every = set(ids[wanted].tolist()) if not wanted.all() else None
    sample: list[Lengths] = []
    faulty: list[Lengths] = []
    done = 0
    for batch in _batches(table.read(), every):
        if stop and stop():
            raise Stopped("error.stopped")
        talks = [(row.id, c) for row in batch if (c := to_conversation(row, mapping))]
        for item in lengths(talks, tokenizer, max_length, loss_on):
            if in_sample is None or item.row_id in in_sample:
                sample.append(item)
            if item.truncated or item.lost or item.refused is not None:
                faulty.append(item)
        done += len(batch)
        if progress:
            progress(done / max(1, int(wanted.sum())))
    return Measured(tuple(sample), tuple(faulty), sampled)


def _batches(rows: Iterator[Row], wanted: set[int] | None) -> Iterator[Sequence[Row]]:
    chosen = rows if wanted is None else (row for row in rows if row.id in wanted)
    while batch := list(islice(chosen, _BATCH)):
        yield batch


def _template_tokens(tokenizer: "PreTrainedTokenizerBase", mapping: Mapping) -> int:
    """What the template adds to a question and its answer. In a column of turns the bytes hold each turn's keys and
    quotes, which are more than a template writes for it."""
    if mapping.tools or mapping.history or mapping.transcript or mapping.templates or mapping.accepted_calls:
        return 1_000_000  # more may be written than the columns hold: measure every row
    messages = [Message("user", "x")]
    if mapping.system:
        messages.insert(0, Message("system", "x"))
    try:
        example = tokenize(Conversation(tuple(messages), "x"), tokenizer, 1_000_000)
    except TemplateRefusal:
        return 1_000_000  # a template that takes no such talk: measure every row
    return len(example.ids)
