"""A batch computed in several passes of rows about as long, so that hardly any padding is computed.

On a processor a pass over few tokens costs little more than its tokens, and what it keeps for the way back is the
smaller. The gradient of a step is the sum over its tokens, however they are divided: nothing else changes.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from studio.models.device import Device
from studio.runs.methods import KtoSpec, Method, RolloutSpec
from studio.training.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from torch import Tensor

# A pass costs as much as this many tokens more, and holds no more tokens than the second unless one row does.
PASS_TOKENS = 40
MOST_TOKENS = 512


def in_passes(method: Method, device: Device, ranks: Ranks = ALONE) -> bool:
    """Whether the batches of a run are. On an accelerator one large pass is quicker; a thumb is judged beside the rest
    of its batch, and answers that are drawn are about as long; and processes that share a batch must all have as many
    passes."""
    alone = not isinstance(method, KtoSpec | RolloutSpec)
    return device.kind == "cpu" and alone and not ranks.several


def rows_at_once(tokens: int, batch_size: int) -> int:
    """Of rows of this length, how many one pass holds at most."""
    return max(1, min(batch_size, MOST_TOKENS // tokens))


def cost_of(lengths: Sequence[int]) -> int:
    """What a batch of rows of these lengths costs, in tokens."""
    return sum(len(rows) * max(lengths[row] for row in rows) + PASS_TOKENS for rows in passes(lengths))


def passes(lengths: Sequence[int]) -> list[list[int]]:
    """Places of the rows of each pass, so that all together cost the least: padded tokens, and a fixed cost for each.

    Sorted by length, the best passes are runs of neighbours; which ones follows from the best of all shorter beginnings
    (dynamic programming).
    """
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    costs, begins = [0], [0]
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        choices = []
        for begin in range(end - 1, -1, -1):
            padded = (end - begin) * longest
            if padded > MOST_TOKENS and begin < end - 1:
                break
            choices.append((costs[begin] + padded + PASS_TOKENS, begin))
        cost, begin = min(choices)
        costs.append(cost)
        begins.append(begin)
    found = []
    end = len(order)
    while end:
        found.append(order[begins[end] : end])
        end = begins[end]
    return found


def divided(inputs: "dict[str, Tensor]", sides: int = 1) -> "list[dict[str, Tensor]]":
    """The inputs of each pass: a batch padded on the right, every tensor (sides x rows, tokens). Of pairs, which have
    two sides, the first half are the one and the second half the other of each, and both go together."""
    lengths = inputs["attention_mask"].sum(dim=1).reshape(sides, -1).amax(dim=0).tolist()
    parts = []
    for rows in passes([sides * length for length in lengths]):
        places = [side * len(lengths) + row for side in range(sides) for row in rows]
        longest = max(lengths[row] for row in rows)
        parts.append({name: values[places, :longest] for name, values in inputs.items()})
    return parts
