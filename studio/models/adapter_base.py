"""For which base model an adapter was made that comes from elsewhere: told by its files, against the base at hand."""

from dataclasses import replace
from pathlib import PureWindowsPath

from studio.errors import ModelError, StudioError
from studio.models.adapter_folder import AdapterFacts
from studio.models.catalog import ModelFiles, find_files
from studio.runs.events import Notice
from studio.settings import Settings


def check_base(adapter: AdapterFacts, base: ModelFiles, settings: Settings) -> Notice | None:
    """What is to be known where the adapter says that it was made for a model of another name: that alone refuses
    nothing, for models are moved and renamed. None where it says nothing, or that other place holds the same weights.

    Raises ModelError: it bears the fingerprint of other weights.
    """
    if adapter.base_sha256:
        if adapter.base_sha256 != base.fingerprint():
            values = {"folder": str(adapter.folder), "base": adapter.base or "?", "model": base.name}
            raise ModelError("error.adapter_folder.other_weights", **values)
        return None
    if not adapter.base or _name(adapter.base) in (_name(base.name), _name(base.source)):
        return None
    if _same_weights(adapter.base, base, settings):
        return None
    values = {"adapter": adapter.folder.name, "base": adapter.base, "model": base.name}
    return Notice(key="notice.adapter.other_base", values=values)


def _name(source: str) -> str:
    """Of a Hub name or a path what the model is called there, without owner, place and revision. The Hub's cache lays a
    model into `models--owner--name/snapshots/commit`."""
    parts = PureWindowsPath(source.strip()).parts  # parts both kinds of paths
    cached = [part for part in parts if part.startswith("models--")]
    name = cached[-1].rpartition("--")[2] if cached else (parts[-1] if parts else "")
    return name.partition("@")[0].casefold()


def _same_weights(source: str, base: ModelFiles, settings: Settings) -> bool:
    """Whether another place, as far as there is such a one on this machine, holds the very weights."""
    try:
        return find_files(source, replace(settings, offline=True)).fingerprint() == base.fingerprint()
    except StudioError:
        return False
