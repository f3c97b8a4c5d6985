"""Token counts of a table of any size: of every row where there are few, else of a sample and of all that may be long.

A text has at most as many tokens as bytes, in byte-level vocabularies and in those that fall back to bytes. So a row
whose bytes fit, the template's own tokens added, is not cut, and need not be tokenised to know it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from studio.data.formats import Mapping, to_conversation
from studio.data.records import Conversation, Message
from studio.data.scan_workers import Spread, in_this_process
from studio.data.tables import Outline, Table, rows_of
from studio.data.tokens import Lengths, LossOn, TemplateRefusal, lengths, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAMPLE_ROWS = 20_000
# A row is tokenised about so much slower than it is checked.
TOKENS_COST = 10
_SEED = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """`sample`: counts of every readable row, or of a seeded sample of them (`sampled`), in the order of the table.

    `faulty`: of every row that is cut, refused by the template or loses its whole answer; of all rows, always.
    """

    sample: tuple[Lengths, ...]
    faulty: tuple[Lengths, ...]
    sampled: bool


@dataclass(frozen=True, slots=True)
class Counting:
    """What a process needs to know to count the tokens of any row group. `wanted`: whether to, by row of the table;
    `starts`: at which of them each row group begins, and the end."""

    table: Outline
    mapping: Mapping
    tokenizer: "PreTrainedTokenizerBase"
    max_length: int
    loss_on: LossOn
    wanted: np.ndarray
    starts: np.ndarray
    cost: ClassVar[int] = TOKENS_COST

    def run(self, chunk: int, shard: pa.Table) -> list[Lengths]:
        """Counts of the wanted rows of one row group that are training records."""
        places = np.flatnonzero(self.wanted[self.starts[chunk] : self.starts[chunk + 1]])
        rows = rows_of(shard.take(pa.array(places)), self.table.columns)
        talks = [(row.id, talk) for row in rows if (talk := to_conversation(row, self.mapping))]
        return list(lengths(talks, self.tokenizer, self.max_length, self.loss_on))


def measure(
    table: Table,
    mapping: Mapping,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    loss_on: LossOn = "answer",
    *,
    sample_rows: int = SAMPLE_ROWS,
    spread: Spread = in_this_process,
    progress: Callable[[float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Measured:
    """`spread`: who counts the row groups. Raises DataError when the tokenizer has no chat template, Stopped soon after
    `stop` says so."""
    ids, sizes = table.text_bytes(mapping.columns)
    sampled = len(ids) > sample_rows
    chosen = np.ones(len(ids), bool)
    if sampled:
        chosen[:] = False
        chosen[np.random.default_rng(_SEED).choice(len(ids), sample_rows, replace=False)] = True
    wanted = chosen | (sizes + _template_tokens(tokenizer, mapping) > max_length)
    in_sample = set(ids[chosen].tolist())
    job = Counting(table.outline, mapping, tokenizer, max_length, loss_on, wanted, table.starts)
    sample: list[Lengths] = []
    faulty: list[Lengths] = []
    for done, counted in enumerate(spread(job, stop), 1):
        sample += [item for item in counted if item.row_id in in_sample]
        faulty += [item for item in counted if item.truncated or item.lost or item.refused is not None]
        if progress:
            progress(done / table.groups)
    return Measured(tuple(sample), tuple(faulty), sampled)


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
