"""A plan that does not fit into memory: what it needs, what there is, and the nearest plan that fits."""

import json
from dataclasses import dataclass
from typing import Any

from studio.errors import ResourceError

Changes = dict[str, Any]
"""Settings by their paths."""


@dataclass(frozen=True, slots=True)
class Unfit:
    """`nearest`: the settings to change so that it fits; None: nothing helps. `model`: whose weights alone are too
    large, so that nothing was measured; `least_bytes`: what they take at the least, by other settings."""

    needed_bytes: int
    available_bytes: int
    nearest: Changes | None
    model: str = ""
    least_bytes: int = 0

    def error(self) -> "UnfitError":
        """As a sentence, of which settings to change."""
        if self.model:
            key = "error.unfit.model.nearest" if self.nearest else "error.unfit.model"
        else:
            key = "error.unfit.nearest" if self.nearest else "error.unfit"
        settings = ", ".join(f"{path}={_plain(value)}" for path, value in (self.nearest or {}).items())
        return UnfitError(
            key,
            unfit=self,
            model=self.model,
            settings=settings,
            **{
                name: size // 1_000_000
                for name, size in (
                    ("needed_mb", self.needed_bytes),
                    ("available_mb", self.available_bytes),
                    ("least_mb", self.least_bytes),
                )
            },
        )


class UnfitError(ResourceError):
    """A plan that is refused because it does not fit; `unfit` tells why."""

    @property
    def unfit(self) -> Unfit:
        found = self.values["unfit"]
        assert isinstance(found, Unfit)
        return found


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
