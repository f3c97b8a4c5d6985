"""Open models to begin with (`assets/models.yaml`), and which of them this machine can tune."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Fit = Literal["whole", "four_bits", "no"]

# A rough guess of what a batch of short rows keeps: so much for the program and the adapter, and of each weight.
_BESIDE_BYTES = 1_500_000_000
_KEPT_BYTES = 0.25
# Of one weight in 4 bits: its constants, and the parts that stay whole (embeddings, output), are included.
_FOUR_BITS_BYTES = 1.0


class RecommendedModel(BaseModel):
    """A model of the Hub. `parameters` in millions; `kind`: tuned to chat, or only to read on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    parameters: Annotated[int, Field(gt=0)]
    languages: tuple[Literal["en", "ja"], ...]
    licence: str
    kind: Literal["chat", "base"]
    gated: bool = False

    def fit(self, available_bytes: int, bytes_per_weight: int) -> Fit:
        """Whether LoRA on it fits in this memory: with whole weights, in 4 bits, or not at all. A first answer; the
        estimate before the start measures."""
        for fit, size in (("whole", bytes_per_weight), ("four_bits", _FOUR_BITS_BYTES)):
            if self.parameters * 1_000_000 * (size + _KEPT_BYTES) + _BESIDE_BYTES <= available_bytes:
                return fit  # type: ignore[return-value]  # one of the two
        return "no"


_LIST: TypeAdapter[tuple[RecommendedModel, ...]] = TypeAdapter(tuple[RecommendedModel, ...])


def recommended_models(assets: Path) -> tuple[RecommendedModel, ...]:
    """All of them, smallest first."""
    found = _LIST.validate_python(yaml.safe_load((assets / "models.yaml").read_text(encoding="utf-8")))
    return tuple(sorted(found, key=lambda model: (model.parameters, model.name)))
