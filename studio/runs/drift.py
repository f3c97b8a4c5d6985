"""Whether a model that learns by trying has paid for its reward with its language.

What pleases a reward is good only near what the reward was made for: with the distance from where a model began, the
measured reward goes on rising while the answers grow worse (Gao et al. 2022, arXiv:2210.10760).
"""

from dataclasses import dataclass

from studio.runs.events import RunState

FAR = 0.3
"""Nats per token (KL). On the starter answers stayed whole up to about 0.25, lost what they say at 0.5, and were no
language any more at 1 (tests/benchmarks/rl.py)."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The reward at first and last, and the distance from where the model began, in nats per token."""

    before: float
    after: float
    distance: float


def drift(state: RunState) -> Drift | None:
    """How far a run went whose reward rose; None while it is not far. Of the validation rows, where there are any, and
    of an ended run the step that was kept."""
    which = "validation_" if "validation_kl" in state.curves else ""
    rewards, distances = (dict(state.curves.get(f"{which}{name}", ())) for name in ("reward", "kl"))
    if not rewards or not distances:
        return None
    kept = state.ended.best_step if state.ended else None
    last = kept if kept in rewards and kept in distances else max(rewards.keys() & distances.keys(), default=None)
    if last is None:
        return None
    found = Drift(rewards[min(rewards)], rewards[last], distances[last])
    return found if found.distance > FAR and found.after > found.before else None
