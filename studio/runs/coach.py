"""What the curves of a run say, as plain notes: each rule looks at the numbers alone, and says what to do. Pure.

A rule speaks when something is worth a change and is silent on the curves of healthy runs. Its limits were set by runs
of the starter (its sample data with every preset, SFT, DPO, RLOO and GRPO; and the same with rates,
epochs and rewards that go wrong), with room on either side; where a limit comes from elsewhere, it says so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import fmean, median
from typing import Any, Literal

from studio.runs.drift import FAR, drift
from studio.runs.events import RunState
from studio.runs.methods import RolloutSpec
from studio.runs.rates import usual_rates
from studio.runs.rewards import LengthReward
from studio.runs.spec import STARTER, RunSpec
from studio.runs.ways import Change, Look, Way

Point = tuple[int, float]
Severity = Literal["warn", "info"]

LATER = 3
"""How many times smaller or larger the next learning rate is: the step of a search over rates that misses no good one
(Schulman et al. 2025, "LoRA Without Regret", find losses within a hair over a factor of 3)."""
WINDOW = 10
"""Steps that are looked at together: a single batch tells little."""
RISE, RISE_AT_ONCE, RISE_NATS = 0.03, 0.10, 0.02
"""By what share validation must lie above its lowest: twice in a row, or once; and by how many nats, for less is not
seen in the answers. The rows are the same every time, so what moves it is the model; good runs move it by less than
0.02 of it where they have settled, or by 0.01 nats."""
ROWS = 24
"""Rows whose mean loss is compared, in three steps at the least."""
NOISE = 6
"""How many times what chance does to such a mean is added to the limits: as far do the highest and the lowest of a
few hundred means lie apart where nothing has changed."""
ABOVE_START = 1.5
"""How many times the loss of the untouched model; nothing lifts it so far but a rate that throws the model about. (The
starter at sixty times its rate: 1.7 times.)"""
BOUNCE, BACK = 1.5, 0.8
"""How many times its lowest the training loss may come back to, for good, or up to what share of where it began for a
moment. (The starter at ten times its rate: 1.7 times, and 1.2.)"""
SPIKE, SPIKES = 10, 3
"""How many times the median of the 20 before it a gradient is that counts as a spike, and how many spikes are told: one
odd row makes one."""
HARDLY = 0.04
"""The share of its loss that a run loses in its first half, where its rate is not too low. (The starter at the
hundredth of its rate: 0.03 in all; the least that a good one lost: 0.5.)"""
FLAT, FLAT_SHARE, FLAT_POINTS = 0.01, 0.3, 3
"""Validation that moves by less than this share over so much of the run, measured so many times, stands still. Any
schedule ends in small steps, so that the last fifth moves little in good runs."""
ZERO, APART = 0.005, 0.05
"""Nats per token: each token is told in advance with a probability of 0.995; and what is far from that."""
SOON = 0.7
"""What happens in the last part of a run needs no shorter one."""
FAR_ALONE = 1.0
"""Nats per token (KL): no language any more (`drift.py`), whatever the reward does."""
LONGER = 2.0
"""How many times as long, or as short, answers may become by themselves."""
CUT = 0.5
"""The share of answers that are cut off from which most do not end."""
ALIKE = 0.01
"""The spread of rewards, most of which are 0 to 1, below which answers earn the same."""


@dataclass(frozen=True, slots=True)
class Note:
    """`rule` names the function that speaks; `key` its sentence, which `values` fill: what is seen, and what to do.
    `metric`: the curve it is read from, at `step`."""

    rule: str
    key: str
    metric: str
    step: int
    severity: Severity
    values: Mapping[str, Any] = field(default_factory=dict)
    ways: tuple[Way, ...] = ()


def coach(state: RunState, spec: RunSpec) -> tuple[Note, ...]:
    """What there is to say of a run that trains or has ended, worst first. One thing is told once: what explains a note
    is told in its place, and why a run failed by its error (`remedies.py`)."""
    if state.ended and ".not_finite" in (state.ended.key or ""):
        return ()
    found = {note.rule: note for rule in RULES if (note := rule(state, spec))}
    told = [note for note in found.values() if not found.keys() & EXPLAINED.get(note.rule, set())]
    return tuple(sorted(told, key=lambda note: note.severity != "warn"))


# Losses


def memorising(state: RunState, spec: RunSpec) -> Note | None:
    """Validation rises while training falls: the rows are learned by heart."""
    points = state.curves.get("validation_loss", [])
    if len(points) < 2:
        return None
    step, best = min(points, key=_value)
    after = [value for at, value in points if at > step]
    above = max(best * (1 + (RISE if len(after) > 1 else RISE_AT_ONCE)), best + RISE_NATS)
    if not after or min(after[-2:]) <= above or not _training_fell(state, step):
        return None
    values = {"step": step, "best": _number(best), "now": _number(after[-1])}
    if step == 0:
        return _note("memorising", "coach.worse", "loss", step, values, ways=(_slower(spec), Look()))
    ways = _shorter(state, spec, step)
    if state.ended and state.ended.best_step == step:
        return _note("memorising", "coach.memorising.kept", "loss", step, values, "info", ways)
    if state.ended:
        ways = (Change(step=step), *ways)
    return _note("memorising", "coach.memorising", "loss", step, values, ways=ways)


def rate_high(state: RunState, spec: RunSpec) -> Note | None:
    """The training loss climbs above where it began, or comes back from what it had reached."""
    points = _trained(state, spec)
    if len(points) < WINDOW:
        return None
    several = max(3, -(-ROWS // (spec.training.batch_size * spec.training.accumulation)))
    start = state.validation_loss_before or fmean(value for _, value in points[:several])
    noise = NOISE * _noise(points) / several**0.5
    step = _thrown(_running_means(points, several), start, noise)
    if step is None:
        step = _bounced(_means(points, max(WINDOW, several)), start, noise)
    if step is None:
        return None
    slower = _slower(spec)
    values = {"step": step, "rate": _rate(spec.training.learning_rate), "lower": _rate(_set_rate(slower))}
    return _note("rate_high", "coach.rate_high", "loss", step, values, ways=(slower,))


def rate_low(state: RunState, spec: RunSpec) -> Note | None:
    """Half of the run is over and the loss is where it was."""
    points = _trained(state, spec)
    if len(points) < 2 * WINDOW or state.share < 0.5:
        return None
    before, now = (fmean(value for _, value in part) for part in (points[:WINDOW], points[-WINDOW:]))
    validation = [value for _, value in state.curves.get("validation_loss", [])]
    if len(validation) > 1:
        before, now = validation[0], min(validation[1:])
    usual = usual_rates(spec, None).high
    if spec.training.learning_rate > usual or before < 5 * ZERO or not abs(now / before - 1) < HARDLY:
        return None
    higher = Change({"training.learning_rate": _two_digits(spec.training.learning_rate * LATER)})
    values = {"before": _number(before), "now": _number(now), "rate": _rate(spec.training.learning_rate)}
    values |= {"higher": _rate(_set_rate(higher))}
    return _note("rate_low", "coach.rate_low", "loss", points[-1][0], values, ways=(higher, Look()))


def plateau(state: RunState, spec: RunSpec) -> Note | None:
    """Validation, or where there is none the training loss, has stood still for a good part of the run."""
    points = [point for point in state.curves.get("validation_loss", []) if point[0]]
    if not points:
        points = _means(_trained(state, spec), 10)
    if len(points) <= FLAT_POINTS or not state.total_steps:
        return None
    since = len(points) - 1
    low = high = points[since][1]
    while since > 0:
        value = points[since - 1][1]
        low, high = min(low, value), max(high, value)
        if high - low > FLAT * high:
            break
        since -= 1
    step = points[since][0]
    if len(points) - since <= FLAT_POINTS or points[-1][0] - step < FLAT_SHARE * state.total_steps:
        return None
    values = {"step": step, "value": _number(points[since][1])}
    return _note("plateau", "coach.plateau", "loss", step, values, "info", _shorter(state, spec, step))


def loss_zero(state: RunState, spec: RunSpec) -> Note | None:
    """The training loss has come down to nothing long before the end."""
    points = _trained(state, spec)
    if len(points) < WINDOW or fmean(value for _, value in points[-WINDOW:]) >= ZERO:
        return None
    last = next((i for i in range(len(points) - 1, -1, -1) if points[i][1] >= 5 * ZERO), -1)
    step = points[last + 1][0]
    if not state.total_steps or step > SOON * state.total_steps:
        return None
    values = {"step": step, "value": _number(points[-1][1])}
    if step <= max(WINDOW, state.total_steps // 10):
        return _note("loss_zero", "coach.loss_zero.early", "loss", step, values, ways=(Look(),))
    validation = state.latest("validation_loss")
    ways = _shorter(state, spec, step)
    if validation is not None and validation > APART:
        values |= {"validation": _number(validation)}
        return _note("loss_zero", "coach.loss_zero.apart", "loss", step, values, ways=ways)
    return _note("loss_zero", "coach.loss_zero", "loss", step, values, "info", ways)


def gradient_spikes(state: RunState, spec: RunSpec) -> Note | None:
    """Several gradients many times as large as those before them, and larger than those of the beginning."""
    points = [point for point in state.curves.get("grad_norm", []) if point[1] >= 0]
    first = median(value for _, value in points[:WINDOW]) if points else 0.0
    least = SPIKE * min((value for _, value in points), default=0.0)  # no median is smaller: most need not be computed
    spikes = []
    for place, (step, value) in enumerate(points[20:], 20):
        if value > first and value > least:
            usual = median(before for _, before in points[place - 20 : place])
            if value > SPIKE * usual:
                spikes.append((step, value, usual))
    if len(spikes) < SPIKES:
        return None
    limit = spec.training.max_grad_norm
    clips = 0 < limit <= 1
    way = _slower(spec) if clips else Change({"training.max_grad_norm": 1.0})
    step, value, usual = spikes[0]
    values = {"step": step, "count": len(spikes), "value": _number(value), "usual": _number(usual)}
    key = f"coach.gradient_spikes{'' if clips else '.open'}"
    return _note("gradient_spikes", key, "grad_norm", step, values, ways=(way, Look()))


# Rewards


def drifted(state: RunState, spec: RunSpec) -> Note | None:
    """The reward is bought with distance from where the model began; or nothing is left of it at all."""
    if not isinstance(spec.method, RolloutSpec):
        return None
    beta = _closer(spec.method)
    if far := drift(state):
        told = {"before": far.before, "after": far.after, "distance": far.distance}
        values = {"limit": FAR, **{name: f"{value:.2f}" for name, value in told.items()}}
        step = next(at for at, value in _distances(state) if value > FAR)
        return _note("drifted", "coach.drifted", "kl", step, values, ways=(beta, _slower(spec)))
    points = _distances(state)
    if len(points) < 3 or fmean(value for _, value in points[-3:]) <= FAR_ALONE:
        return None
    step = next(at for at, value in points if value > FAR_ALONE)
    values = {"limit": FAR_ALONE, "distance": _number(points[-1][1])}
    return _note("drifted", "coach.lost", "kl", step, values, ways=(beta, _slower(spec)))


def length_drift(state: RunState, spec: RunSpec) -> Note | None:
    """Answers grow or shrink while the reward rises, though no reward asks for a length; or they end no more."""
    if not isinstance(spec.method, RolloutSpec):
        return None
    lengths, cut, rewards = (state.curves.get(name, []) for name in ("completion_tokens", "clipped_share", "reward"))
    if min(len(lengths), len(rewards)) < 2 * WINDOW:
        return None
    if len(cut) >= 2 * WINDOW:
        first, last = _ends(cut)
        if last >= CUT > 2 * first:
            step = next(at for at, value in _means(cut, 5) if value >= CUT)
            values = {"percent": f"{100 * last:.0f}", "tokens": spec.method.max_new_tokens, "step": step}
            return _note(
                "length_drift", "coach.cut_off", "clipped_share", step, values, ways=(_closer(spec.method), Change())
            )
    first, last = _ends(lengths)
    earned, earns = _ends(rewards)
    asked = any(isinstance(reward, LengthReward) for reward in spec.method.rewards)
    if asked or earns <= earned or first <= 0 or 1 / LONGER < last / first < LONGER:
        return None
    grew = last > first
    step = next((at for at, v in _means(lengths, 5) if (v / first >= LONGER if grew else v / first <= 1 / LONGER)), 0)
    values = {"before": _number(first), "after": _number(last), "step": step}
    values |= {"earned": f"{earned:.2f}", "earns": f"{earns:.2f}"}
    key = f"coach.length_drift.{'longer' if grew else 'shorter'}"
    return _note("length_drift", key, "completion_tokens", step, values, ways=(Change(),))


def rewards_alike(state: RunState, spec: RunSpec) -> Note | None:
    """All answers to a question earn the same: there is nothing to compare."""
    points = state.curves.get("reward_std", [])
    if not isinstance(spec.method, RolloutSpec) or len(points) < WINDOW:
        return None
    if max(value for _, value in points[-WINDOW:]) >= ALIKE:
        return None
    last = next((i for i in range(len(points) - 1, -1, -1) if points[i][1] >= ALIKE), -1)
    step, method = points[last + 1][0], spec.method
    if method.temperature < 1:
        way = Change({"method.temperature": 1.0})
    else:
        way = Change({"method.samples_per_row": min(64, 2 * method.samples_per_row)})
    values = {"step": step, "reward": _number(state.latest("reward") or 0.0)}
    return _note("rewards_alike", "coach.rewards_alike", "reward_std", step, values, "info", (way,))


Rule = Callable[[RunState, RunSpec], Note | None]
RULES: tuple[Rule, ...] = (
    rate_high,
    memorising,
    drifted,
    length_drift,
    gradient_spikes,
    loss_zero,
    rate_low,
    rewards_alike,
    plateau,
)
EXPLAINED = {
    "gradient_spikes": {"rate_high"},
    "memorising": {"rate_high"},
    "loss_zero": {"memorising"},
    "plateau": {"rate_high", "memorising", "loss_zero", "rate_low"},
    "length_drift": {"drifted"},
}
"""The rules that explain what another one sees."""


# What rules share


def _note(
    rule: str,
    key: str,
    metric: str,
    step: int,
    values: Mapping[str, Any],
    severity: Severity = "warn",
    ways: tuple[Way, ...] = (),
) -> Note:
    return Note(rule, key, metric, step, severity, values, ways)


def _value(point: Point) -> float:
    return point[1]


def _trained(state: RunState, spec: RunSpec) -> Sequence[Point]:
    """The training loss; none where it says nothing, because rewards are learned from."""
    return () if isinstance(spec.method, RolloutSpec) else state.curves.get("loss", [])


def _training_fell(state: RunState, step: int) -> bool:
    """Whether the training loss is lower at the end than around this step."""
    points = state.curves.get("loss", [])
    around = [value for at, value in points if at <= step][-WINDOW:] or [value for _, value in points[:3]]
    last = [value for at, value in points if at > step][-WINDOW:]
    return bool(last) and fmean(last) < fmean(around)


def _noise(points: Sequence[Point]) -> float:
    """By what share two losses in a row usually differ, over the root of two: about the standard deviation of one."""
    first = points[:1000]
    return median(abs(b - a) / max(a + b, 1e-12) for (_, a), (_, b) in pairwise(first)) * 2**0.5


def _thrown(means: Iterator[Point], start: float, noise: float) -> int | None:
    """The step from which the loss is far above where it began, or back there after it had fallen."""
    lowest = start
    for step, value in means:
        if value > (ABOVE_START + noise) * start or (value > BACK * start and value > (BOUNCE + noise) * lowest):
            return step
        lowest = min(lowest, value)
    return None


def _bounced(means: Sequence[Point], start: float, noise: float) -> int | None:
    """The step at which the loss was lowest, where it has come back from there for good."""
    if len(means) < 4:
        return None
    step, low = min(means, key=_value)
    last = [value for at, value in means if at > step][-2:]
    return step if len(last) == 2 and min(last) > (BOUNCE + noise) * low and min(last) - low > 0.1 * start else None


def _means(points: Sequence[Point], size: int) -> list[Point]:
    """Means of stretches of so many points, each at its last step; what is left over at the beginning is not used."""
    begin = len(points) % size
    parts = (points[at : at + size] for at in range(begin, len(points), size))
    return [(part[-1][0], fmean(value for _, value in part)) for part in parts]


def _running_means(points: Sequence[Point], size: int) -> Iterator[Point]:
    """The mean of every so many points in a row, at the first of them."""
    total = sum(value for _, value in points[: size - 1])
    for first, last in zip(points, points[size - 1 :], strict=False):
        total += last[1]
        yield first[0], total / size
        total -= first[1]


def _ends(points: Sequence[Point]) -> tuple[float, float]:
    """The means of the first and the last window."""
    return fmean(value for _, value in points[:WINDOW]), fmean(value for _, value in points[-WINDOW:])


def _distances(state: RunState) -> Sequence[Point]:
    return state.curves.get("validation_kl") or state.curves.get("kl", [])


def _slower(spec: RunSpec) -> Change:
    """A lower learning rate; of the starter, whose rates are measured, one that is usual."""
    lower = spec.training.learning_rate / LATER
    if spec.model.source == STARTER:
        lower = min(lower, usual_rates(spec, None).high)
    return Change({"training.learning_rate": _two_digits(lower)})


def _closer(method: RolloutSpec) -> Change:
    """A higher beta."""
    return Change({"method.beta": _two_digits(min(10.0, max(2 * method.beta, 0.1)))})


def _shorter(state: RunState, spec: RunSpec, step: int) -> tuple[Way, ...]:
    """So many epochs that a run ends about there; nothing where that is hardly less."""
    share = step / state.total_steps if state.total_steps else 1.0
    if not 0 < share <= 0.9:
        return ()
    return (Change({"training.epochs": max(0.1, round(spec.training.epochs * share, 1))}),)


def _set_rate(change: Change) -> float:
    return change.settings["training.learning_rate"]


def _two_digits(value: float) -> float:
    return float(f"{value:.2g}")


def _rate(value: float) -> str:
    return f"{value:.2g}"


def _number(value: float) -> str:
    return f"{value:.3g}"
