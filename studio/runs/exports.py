"""What an export is to be, and what its proof found."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

Target = Literal["adapter", "merged", "gguf", "gguf-adapter"]
"""`adapter`: what PEFT loads, or of a run that tuned all weights the model. `merged`: one model, as Transformers loads
it. `gguf`, `gguf-adapter`: both for llama.cpp and what is built on it."""

NUMBERS: dict[Target, tuple[str, ...]] = {
    "adapter": ("",),
    "merged": ("bfloat16", "float16", "float32"),
    "gguf": ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q5_0", "Q4_0", "BF16", "F16", "F32"),
    "gguf-adapter": ("F16", "F32"),
}
"""The kinds of numbers that weights can be written in, by target, the usual one first; "" as they are."""

FEW_BITS = ("Q6_K", "Q5_K_M", "Q4_K_M", "Q5_0", "Q4_0")
"""Kinds of 4 to 6 bits a weight. What they cost is told; it is for the user to judge."""


MOST_PROMPTS = 200


class ExportSpec(BaseModel, frozen=True, extra="forbid"):
    """`numbers`: one of `NUMBERS`; "" the usual one. `prompts`: so many are asked for the proof, if there are.
    `rows`: the rows that a run learned from go along, for its reproduction script; who gets the export gets them."""

    target: Target = "adapter"
    numbers: str = ""
    prompts: Annotated[int, Field(ge=1, le=MOST_PROMPTS)] = 8
    rows: bool = False

    @model_validator(mode="after")
    def _known(self) -> "ExportSpec":
        if self.numbers and self.numbers not in NUMBERS[self.target]:
            raise ValueError(f"{self.target} is written in {', '.join(NUMBERS[self.target])}, not in {self.numbers}")
        return self

    @property
    def kind(self) -> str:
        """The numbers, the usual ones included."""
        return self.numbers or NUMBERS[self.target][0]


class Proof(BaseModel, frozen=True, extra="forbid"):
    """What came of asking an export by the program that is to use it. `program`: which, with its version. `equal` of
    `prompts` greedy answers were the same, to the letter. `first_tokens`: the share of the first 20 tokens of every
    answer that are the same. `max_score_difference`: over the scores of the first answer token, all prompts and the
    whole vocabulary; None where the program tells no scores. `perplexity`: over the expected answers, of the run and of
    the export. `conversations`: so many were written by the program itself, of which `rendered` came to the same
    tokens. `weight_error`: of weights that were held in 4 bits, the mean distance of what they stand for to the base
    model's own, as a share of the latter's mean size. `mixed`: all of it in 8 bits did not pass, so that what costs
    most is in 16."""

    program: str = ""
    prompts: int
    equal: int
    first_tokens: float = 1.0
    max_score_difference: float | None = None
    perplexity: tuple[float, float] | None = None
    conversations: int = 0
    rendered: int = 0
    weight_error: float | None = None
    mixed: bool = False
    passed: bool
