"""What is kept of evaluations on disk (`line_file`): answers, batch by batch, and opinions of a judge."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, TypeAdapter

from studio.evaluation.judge import Opinion
from studio.evaluation.questions import Answer


class Whose(BaseModel, frozen=True):
    """The weights that answered."""

    base_fingerprint: str
    adapter_sha256: str | None


@dataclass(frozen=True, slots=True)
class KeptReply:
    """As in `interview.Reply`; there is either an answer or the key and values of why there is none."""

    row: int
    answer: Answer | None
    prompt_tokens: int
    refused: tuple[str, dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Replies that came together, and the seconds they took."""

    seconds: float
    replies: tuple[KeptReply, ...]


BATCHES = TypeAdapter(Batch)


class JudgeWeights(BaseModel, frozen=True):
    """The weights that judged; empty where only a server knows them."""

    fingerprint: str


OPINIONS = TypeAdapter(Opinion)
