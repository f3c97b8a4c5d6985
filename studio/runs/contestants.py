"""Who answers: a base model as it is, what a run made of it, or an adapter made elsewhere, each with or without a
prompt of its own."""

from typing import Annotated

from pydantic import BaseModel, Field

from studio.runs.spec import ModelSpec

MOST_SHOTS = 16


class Contestant(BaseModel, frozen=True, extra="forbid"):
    """`base`: the base model, without what was tuned of it. `run`: the id of the run whose result answers, or (`step`)
    one of its checkpoints; `folder`: in its place an adapter that was made elsewhere; neither: the base itself.
    `system`: the system message before every question; `shots`: how many examples of the training rows stand before
    it (Brown et al. 2020, arXiv:2005.14165)."""

    base: ModelSpec
    run: str = ""
    step: int | None = None
    folder: str = ""
    system: Annotated[str, Field(max_length=20_000)] = ""
    shots: Annotated[int, Field(ge=0, le=MOST_SHOTS)] = 0

    @property
    def tuned(self) -> bool:
        return bool(self.run or self.folder)

    @property
    def prompted(self) -> bool:
        return bool(self.system or self.shots)
