"""Everything the studio can do, for page, command line and notebooks: `from studio.backend import Studio`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.backend.studio import Studio

__all__ = ["Studio"]


def __getattr__(name: str) -> object:
    # Parts of the backend are imported by themselves too; the whole comes when it is asked for.
    if name == "Studio":
        from studio.backend.studio import Studio

        return Studio
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
