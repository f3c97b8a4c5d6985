"""What an export calls the base model: as others know it, never by where it lay on this machine."""

import re

from studio.models.catalog import ModelIdentity


def is_on_hub(base: ModelIdentity) -> bool:
    return base.commit is not None


def base_place(base: ModelIdentity) -> str:
    """From where it is loaded: its name on the Hub, or a folder that the reader has to fill in."""
    return base.name if is_on_hub(base) else f"PATH/TO/{base.name}"


def name_of(source: str) -> str:
    """A folder's last part: where it lay on the machine is nobody's business."""
    return re.split(r"[/\\]", source.rstrip("/\\"))[-1] if _is_path(source) else source


def _is_path(source: str) -> bool:
    return source.startswith(("/", "~", ".", "\\")) or source.count("/") > 1 or "\\" in source or ":" in source
