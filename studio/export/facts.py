"""What a model card and a reproduction script tell of a run, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from studio.models.catalog import ModelIdentity
from studio.runs.spec import RunSpec

Told = Mapping[str, tuple[str, ...]]
"""Sentences in each language."""


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The data version that was learned from. `findings`: what the checks found in it, `personal` of that what looks
    like personal data or secrets; None: they were not made. `steps`: what cleaning did on the way from the `imported`
    rows, and `recipe_sha256` that of the recipe as YAML; None: there was none. `languages`: of the rows, with their
    counts; empty where not looked at. `mixed`: it was mixed of several data sets."""

    name: str
    version: int
    fingerprint: str
    rows: int
    train_rows: int
    validation_rows: int
    imported: int
    findings: Told | None = None
    personal: Told | None = None
    steps: Told = field(default_factory=dict)
    recipe_sha256: str | None = None
    languages: tuple[tuple[str, int], ...] = ()
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class TrainingFacts:
    """How it was trained. `seconds`: of all its legs together. `memory_bytes`: the most that was held of what was
    measured. `losses`: of the training steps. `skipped`, `lost`, `truncated`: rows that nothing is learned from, whose
    answers were cut away, and that were cut. `parent`: the name of what was gone on with, and the SHA-256 of its
    weights."""

    device: str
    numbers: str
    seconds: float
    total_steps: int
    trainable_parameters: int
    losses: Mapping[int, float]
    memory_bytes: float | None = None
    skipped: int = 0
    lost: int = 0
    truncated: int = 0
    parent: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """A figure of the tuned model as the Hub reads it: the metric's name there, and what it is called."""

    metric: str
    title: str
    data: str
    value: float


Figure = tuple[str, str, str, str]
"""Name, base, tuned model, and what changed between them: each with its 95 % interval, where it has one."""


@dataclass(frozen=True, slots=True)
class Evaluated:
    """What came of the evaluation, in each language: `decision`, why, the figures, what was shown to be worse, and what
    was not looked for. `rows` were tested."""

    rows: int
    decision: Mapping[str, str]
    reasons: Told
    figures: Mapping[str, tuple[Figure, ...]]
    worse: Told
    not_asked: Told
    scores: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run of the studio. Losses are those of the method, on the validation rows; accuracy, 0 to 1, the share of the
    validation pairs with the better answer ahead, where the method learns from pairs. `step`: where the weights were
    taken. `evaluation`: None where there was none."""

    id: str
    spec: RunSpec
    step: int
    data: DataFacts
    training: TrainingFacts
    loss_before: float | None
    loss_after: float | None
    accuracy_after: float | None
    notices: tuple[tuple[str, dict[str, object]], ...] = ()
    evaluation: Evaluated | None = None


@dataclass(frozen=True, slots=True)
class CardFacts:
    """All that a card tells. `full`: all weights were tuned, so that there is no adapter. `dtype`: the numbers it was
    asked in; `stops`: the tokens that end an answer. `vocabulary`: the rows of the embedding, where new tokens were
    added. `adapter_config`: the adapter's, as PEFT writes it; empty where there is none. `run`: None of an adapter that
    was made elsewhere. `window`: of a file for llama.cpp, how far the model looks back where llama.cpp looks farther;
    else 0."""

    name: str
    base: ModelIdentity
    full: bool
    dtype: str
    stops: tuple[int, ...]
    weights_sha256: str
    vocabulary: int | None
    studio_version: str
    adapter_config: Mapping[str, object] = field(default_factory=dict)
    run: RunFacts | None = None
    window: int = 0
