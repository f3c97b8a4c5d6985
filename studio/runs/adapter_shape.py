"""What an adapter is but for its weights."""

from dataclasses import dataclass
from typing import Any, Literal

Names = str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AdapterShape:
    """As PEFT's own configuration of the adapter has it. `targets` names layers by their endings or by an expression;
    ranks and alphas that differ from layer to layer stand under such names. `blocks`: only these of the model's."""

    rank: int
    alpha: float
    rslora: bool
    dora: bool
    targets: Names
    excluded: Names | None
    blocks: int | tuple[int, ...] | None
    blocks_pattern: Names | None
    ranks: tuple[tuple[str, int], ...]
    alphas: tuple[tuple[str, float], ...]

    @property
    def variant(self) -> Literal["lora", "rslora", "dora"]:
        return "dora" if self.dora else "rslora" if self.rslora else "lora"

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the tuner that a run has which goes on from it."""
        return {"variant": self.variant, "rank": self.rank, "alpha": self.alpha, "targets": "adapter"}
