"""The record of an evaluation: what one contestant answered to one set of questions, and what it took."""

from pydantic import BaseModel

from studio.runs.contestants import Contestant


class Evaluation(BaseModel, frozen=True, extra="forbid"):
    """`id` is a hash of who was asked what, and how, so that equal work is done once; the answers lie in
    `evaluations/<id>.jsonl`. `questions`: the id of the set.

    `base_fingerprint` and `adapter_sha256` say whose answers they are. `tokens` were written in `seconds`, in batches;
    `prompt_tokens` read. `first_token_seconds` and `tokens_per_second` are those of a single question, `model_bytes`
    those of the weights.
    """

    id: str
    contestant: Contestant
    questions: str
    base_name: str
    base_fingerprint: str
    adapter_sha256: str | None = None
    rows: int
    refused: int = 0
    seconds: float
    tokens: int
    prompt_tokens: int
    first_token_seconds: float | None = None
    tokens_per_second: float | None = None
    model_bytes: int
