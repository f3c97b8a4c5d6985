"""The few things that depend on where the studio runs, read once."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from platformdirs import user_data_path

_ON = {"1", "true", "yes", "on"}


def _shipped(name: str) -> Path:
    """`assets` or `presets`: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.is_dir() else package.parent / name


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are and how much is allowed. `offline` forbids every Hub request. `memory_bytes`: what training may
    take; None: all that is free. `mcp`: whether programs may use the open page over the Model Context Protocol."""

    workspace: Path
    assets: Path = field(default_factory=partial(_shipped, "assets"))
    presets: Path = field(default_factory=partial(_shipped, "presets"))
    max_upload_bytes: int = 20_000_000_000
    min_free_bytes: int = 200_000_000
    memory_bytes: int | None = None
    offline: bool = False
    mcp: bool = False

    @property
    def starter(self) -> Path:
        """Folder of the built-in model."""
        return self.assets / "starter"

    @property
    def samples(self) -> Path:
        """Folder of the sample data sets."""
        return self.assets / "samples"


def default_workspace() -> Path:
    """The user's data folder, as the operating system names it."""
    return user_data_path("finetuning-studio", appauthor=False)


def read_settings(workspace: Path | None = None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the command line and the environment (`STUDIO_WORKSPACE`, `STUDIO_MCP`,
    `HF_HUB_OFFLINE`)."""
    named = environment.get("STUDIO_WORKSPACE")
    folder = workspace or (Path(named) if named else default_workspace())
    offline, mcp = (environment.get(name, "").lower() in _ON for name in ("HF_HUB_OFFLINE", "STUDIO_MCP"))
    return Settings(workspace=folder.expanduser().absolute(), offline=offline, mcp=mcp)
