"""Plans that were measured and do not fit into the memory of this machine, so that none of them is queued."""

from studio.runs.spec import RunSpec, TrainingSpec
from studio.runs.unfit import Unfit
from studio.settings import Settings

# Of so many plans it is kept.
_KEPT = 32


class Room:
    """What is known of plans by their estimates."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, Unfit] = {}

    def note(self, spec: RunSpec, unfit: Unfit | None) -> None:
        """What the estimate of a plan came to; None: it fits."""
        key = _key(spec)
        self._known.pop(key, None)
        if unfit is not None:
            self._known[key] = unfit
        for old in list(self._known)[:-_KEPT]:
            self._known.pop(old, None)

    def unfit(self, spec: RunSpec) -> Unfit | None:
        """Why a plan does not fit; None where it does, or was not measured."""
        return self._known.get(_key(spec))

    def check(self, spec: RunSpec) -> None:
        """Raises UnfitError where a plan is known not to fit, and still would not by the memory that is free now."""
        unfit = self.unfit(spec)
        if unfit is None:
            return
        from studio.models.device import detect_device
        from studio.training.memory import MEMORY_SHARE, available_bytes

        if unfit.needed_bytes > available_bytes(detect_device(), self._settings) * MEMORY_SHARE:
            raise unfit.error()


def _key(spec: RunSpec) -> str:
    """A plan by what its memory depends on."""
    training = spec.training
    size = TrainingSpec(batch_size=training.batch_size, gradient_checkpointing=training.gradient_checkpointing)
    return spec.model_copy(update={"preset": "", "training": size}).model_dump_json()
