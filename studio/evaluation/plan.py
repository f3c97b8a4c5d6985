"""How a run is evaluated: on which rows, with which exams, against whom."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, ValidationError, field_validator

from studio.errors import InputError
from studio.evaluation.exams import STARTER_EXAM
from studio.evaluation.safety import SAFETY
from studio.evaluation.verdict import VerdictRules
from studio.runs.contestants import MOST_SHOTS
from studio.runs.spec import ModelSpec

BUILT_IN = (STARTER_EXAM, SAFETY)
"""Exams that come with the studio."""
Side = Literal["test", "validation", "all"]


class JudgeSpec(BaseModel, frozen=True, extra="forbid"):
    """Another model whose opinion is asked. `model`: a base model by folder or Hub name; with an `address`, that of an
    OpenAI-compatible server, what the server calls it. `seconds`: until a reply of a server is given up. A key is given
    with each call, and kept nowhere."""

    model: Annotated[str, Field(min_length=1, max_length=500)]
    address: Annotated[str, Field(max_length=2_000)] = ""
    seconds: Annotated[float, Field(ge=1, le=3600)] = 60.0

    @field_validator("address")
    @classmethod
    def _holds_no_secret(cls, address: str) -> str:
        """Raises InputError: plans are kept, and names, passwords and queries may be secret."""
        if not address:
            return address
        try:
            parts = urlsplit(address)
        except ValueError:
            raise InputError("error.judge.address") from None
        if parts.scheme not in ("http", "https") or not parts.hostname or set("@?#") & set(address):
            raise InputError("error.judge.address")
        return address


class EvaluationPlan(BaseModel, frozen=True, extra="forbid"):
    """`version`: the data set with the test rows; empty: the run's own. `side`: which of its rows. `rows`: at most so
    many, chosen by their content. `exams`: those that come with the studio, data sets that hold one, by their
    versions, or tasks of lm-eval (`lm-eval:TASK`), which are asked at most `exam_rows` questions each.

    `system` and `shots` make the contestants "base with a prompt" and "tuned with the prompt"; `others` are more base
    models, `adapters` folders of adapters that were made elsewhere for the run's own base. `metrics`: none for those
    that suit the data. `rules`: of the verdict. `judge`: whose opinion of the answers of base and tuned model is asked;
    the verdict does not go by it.
    """

    version: Annotated[str, Field(max_length=64)] = ""
    side: Side = "test"
    rows: Annotated[int, Field(ge=1, le=100_000)] = 1000
    exams: tuple[str, ...] = (STARTER_EXAM,)
    exam_rows: Annotated[int, Field(ge=1, le=100_000)] = 400
    system: Annotated[str, Field(max_length=20_000)] = ""
    shots: Annotated[int, Field(ge=0, le=MOST_SHOTS)] = 0
    others: Annotated[tuple[ModelSpec, ...], Field(max_length=4)] = ()
    adapters: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=1_000)], ...], Field(max_length=4)] = ()
    metrics: tuple[str, ...] = ()
    json_schema: Annotated[str, Field(max_length=100_000)] = ""
    rules: VerdictRules = VerdictRules()
    judge: JudgeSpec | None = None

    @property
    def prompted(self) -> bool:
        return bool(self.system.strip() or self.shots)


def make_plan(values: dict[str, Any]) -> EvaluationPlan:
    """The plan of these values. Raises InputError: which of them cannot be."""
    try:
        return EvaluationPlan.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError("error.evaluate.plan", place=place, reason=first["msg"]) from None
