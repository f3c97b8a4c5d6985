"""torch, transformers, peft and trl: loaded when first needed, by one thread at a time.

Two threads that import transformers at once can each see the other's half-made modules: Python breaks the deadlock of
their import locks by handing them out, and names are missing (ImportError). So whatever is about to import from
`models`, `training` or `export` calls this first.
"""

import threading

_loading = threading.Lock()


def load_engine(*, training: bool = False) -> None:
    """Import what reading and generating need, and with `training` what training needs as well."""
    with _loading:
        import studio.models.generation
        import studio.models.loading

        if training:
            import studio.training.estimate
            import studio.training.train  # noqa: F401
