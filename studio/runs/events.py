"""What a run reports, as a typed union, and the state folded from it.

Status is never stored: `RunState.fold` derives it from the events.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from studio.runs.cluster import ClusterSpec

Status = Literal["queued", "running", "interrupted", "stopped", "done", "failed"]


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Queued(_Event):
    """The run waits for its turn, from the beginning or from its last checkpoint. `cluster`: where it is trained; None:
    on this machine."""

    kind: Literal["queued"] = "queued"
    cluster: ClusterSpec | None = None


Speed = Literal["float32", "bfloat16", "passes", "packed", "one_core"]


class Started(_Event):
    """Training begins. `from_step` is 0, or the step of the checkpoint it resumes from. `sources`: the runs whose
    results it builds on, by their ids, and the hashes of their weights. `how`: what was chosen to be quick on this
    machine, first the numbers it computes in."""

    kind: Literal["started"] = "started"
    total_steps: int
    from_step: int = 0
    train_rows: int
    validation_rows: int
    trainable_parameters: int
    parameters: int
    device: str
    base_fingerprint: str
    base_name: str
    base_licence: str | None = None
    sources: dict[str, str] = {}
    how: tuple[Speed, ...] = ()


class Metrics(_Event):
    """Numbers at a step. Loss is that of the method; where answers or text are learned, the mean negative
    log-likelihood per trained token, in nats.

    Keys: loss, learning_rate, grad_norm, tokens_per_second, memory_bytes, seconds (since the start of this leg),
    epoch, validation_loss; where answers or text are learned also token_accuracy (share of the trained tokens that the
    model would have put first); of methods that learn from pairs or ratings also accuracy (share of pairs with the
    better answer ahead), margin, reward_chosen, reward_rejected and kl; of those that learn by trying reward,
    reward_std, kl, entropy (mean per token, in nats), completion_tokens, clipped_share, and where there are several
    rewards the mean of each before its weight, such as reward_0_length. Each of a method also with `validation_` before
    it.
    """

    kind: Literal["metrics"] = "metrics"
    step: int
    values: dict[str, float]


class Sample(_Event):
    """What the model answers to a fixed prompt at a step (greedy)."""

    kind: Literal["sample"] = "sample"
    step: int
    prompt: str
    text: str
    expected: str = ""


class Checkpoint(_Event):
    """A whole checkpoint lies at `path` (relative to the run's folder). It is judged on the validation rows by its loss
    or its reward, as the method is."""

    kind: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str
    validation_loss: float | None = None
    validation_reward: float | None = None

    @property
    def cost(self) -> float | None:
        """What the best checkpoint has least of."""
        return self.validation_loss if self.validation_reward is None else -self.validation_reward


class Notice(_Event):
    """Something the user should know: a sentence key and its values."""

    kind: Literal["notice"] = "notice"
    key: str
    values: dict[str, Any] = {}


class StopRequested(_Event):
    """The user asked to stop; the run saves a usable adapter and ends."""

    kind: Literal["stop_requested"] = "stop_requested"


class Ended(_Event):
    """The run is over. `adapter` is its result's folder (relative), if there is one.

    `wrong_input`: it failed by what the user gave (data, settings, model), not by the machine or the studio.
    """

    kind: Literal["ended"] = "ended"
    status: Literal["done", "stopped", "failed"]
    step: int = 0
    adapter: str | None = None
    adapter_sha256: str | None = None
    best_step: int | None = None
    validation_loss: float | None = None
    validation_reward: float | None = None
    seconds: float = 0.0
    wrong_input: bool = False
    key: str | None = None
    values: dict[str, Any] = {}


Event = Annotated[
    Queued | Started | Metrics | Sample | Checkpoint | Notice | StopRequested | Ended, Field(discriminator="kind")
]
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Event)


def parse_event(body: str | bytes) -> Event:
    """An event from its JSON."""
    return _ADAPTER.validate_json(body)


@dataclass(frozen=True, slots=True)
class Stamped:
    """An event with its place in the run (`seq`, from 1) and its time (seconds since the epoch, UTC)."""

    seq: int
    time: float
    event: Event


@dataclass(frozen=True, slots=True)
class RunState:
    """All a page needs to know of a run, folded from its events in order.

    `step` is the last step reported; `curve` maps a metric to (step, value) points. Points beyond the step a
    resumed leg starts from are dropped: they are computed again.
    """

    status: Status = "queued"
    step: int = 0
    started: Started | None = None
    ended: Ended | None = None
    first_time: float | None = None
    last_time: float | None = None
    leg_time: float | None = None
    stop_requested: bool = False
    validation_loss_before: float | None = None
    curves: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    samples: tuple[Sample, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    notices: tuple[Notice, ...] = ()
    cluster: ClusterSpec | None = None
    cursor: int = 0

    @property
    def total_steps(self) -> int:
        return self.started.total_steps if self.started else 0

    @property
    def share(self) -> float:
        """Done part of the run, 0 to 1."""
        return self.step / self.total_steps if self.total_steps else 0.0

    @property
    def usable(self) -> bool:
        """An adapter can be compared and exported."""
        return bool(self.checkpoints) or bool(self.ended and self.ended.adapter)

    @property
    def resumable(self) -> bool:
        return self.status in ("interrupted", "stopped", "failed")

    def latest(self, metric: str) -> float | None:
        """The last value of a metric."""
        points = self.curves.get(metric)
        return points[-1][1] if points else None

    def last_step(self, *metrics: str) -> int:
        """The last step at which one of these was reported; -1 for none."""
        return max((self.curves[metric][-1][0] for metric in metrics if self.curves.get(metric)), default=-1)

    def seconds_left(self) -> float | None:
        """Estimated from this leg's steps; None until two steps are known."""
        if self.status != "running" or not self.started or not self.leg_time or not self.last_time:
            return None
        done = self.step - self.started.from_step
        if done < 2:
            return None
        return (self.last_time - self.leg_time) / done * (self.total_steps - self.step)

    def fold(self, events: Iterable[Stamped], *, alive: bool = True) -> "RunState":
        """The state after `events`. `alive`: whether some process still works on a run that has not ended.

        Curves are extended in place: keep the returned state and drop the old one.
        """
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        for stamped in events:
            _apply(values, stamped)
        if not alive and values["status"] == "running":
            values["status"] = "interrupted"
        return RunState(**values)


def _apply(values: dict[str, Any], stamped: Stamped) -> None:
    """Change the fields of a state by one event."""
    event = stamped.event
    values["cursor"], values["last_time"] = stamped.seq, stamped.time
    match event:
        case Metrics():
            _add_points(values, event)
        case Queued():
            values |= {"status": "queued", "ended": None, "stop_requested": False, "cluster": event.cluster}
        case Started():
            _cut(values, event.from_step)
            values |= {"status": "running", "started": event, "step": event.from_step, "leg_time": stamped.time}
            values |= {"ended": None, "stop_requested": False}
            if values["first_time"] is None:
                values["first_time"] = stamped.time
        case Sample():
            values["samples"] = (*values["samples"], event)
        case Checkpoint():
            values["checkpoints"] = (*values["checkpoints"], event)
        case Notice():
            if event not in values["notices"]:  # told again by a run that began again
                values["notices"] = (*values["notices"], event)
        case StopRequested():
            values["stop_requested"] = True
        case Ended():
            values |= {"status": event.status, "ended": event, "stop_requested": False}


def _add_points(values: dict[str, Any], event: Metrics) -> None:
    curves = values["curves"]
    for name, value in event.values.items():
        if name in curves:
            curves[name].append((event.step, value))
        else:  # a new dict: whoever reads the old one in another thread is not disturbed
            curves = values["curves"] = {**curves, name: [(event.step, value)]}
    values["step"] = max(values["step"], event.step)
    if event.step == 0 and "validation_loss" in event.values:
        values["validation_loss_before"] = event.values["validation_loss"]


def _cut(values: dict[str, Any], step: int) -> None:
    """Keep what stands when training goes on from `step`; nothing when it begins again, which repeats step 0 too."""
    end = step if step else -1
    values["curves"] = {name: [p for p in points if p[0] <= end] for name, points in values["curves"].items()}
    values["samples"] = tuple(s for s in values["samples"] if s.step <= end)
    values["checkpoints"] = tuple(c for c in values["checkpoints"] if c.step <= end)
    if not step:
        values["validation_loss_before"] = None
