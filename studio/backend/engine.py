"""torch, transformers, peft and trl: loaded when first needed, by one thread at a time.

Two threads that import transformers at once can each see the other's half-made modules: Python breaks the deadlock of
their import locks by handing them out, and names are missing (ImportError). So whatever is about to import from
`models`, `training` or `export` calls this first.
"""

import os
import threading

_loading = threading.Lock()


def load_engine(*, training: bool = False) -> None:
    """Import what reading and generating need, and with `training` what training needs as well."""
    with _loading:
        # Threads that wait for each other must sleep, not spin: the page, the browser and other programs share the
        # processor with training (measured beside two busy processes on two cores: six times the speed). Read by
        # OpenMP when it is loaded; what the user set stays.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        import studio.models.generation
        import studio.models.loading

        if training:
            import studio.training.estimate
            import studio.training.sft  # noqa: F401
