"""torch, transformers, peft and trl: loaded when first needed, by one thread at a time.

Two threads that import transformers at once can each see the other's half-made modules: Python breaks the deadlock of
their import locks by handing them out, and names are missing (ImportError). So whatever is about to import from
`models`, `training` or `export` calls this first.
"""

import contextlib
import os
import sys
import threading

_loading = threading.Lock()


def load_engine(*, training: bool = False) -> None:
    """Import what reading and generating need, and with `training` what training needs as well."""
    # Libraries must neither send reports of their own nor mix greetings with what the studio's commands answer.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    with _loading, contextlib.redirect_stdout(sys.stderr):
        import studio.models.generation
        import studio.models.loading

        if training:
            import studio.training.estimate
            import studio.training.train  # noqa: F401
