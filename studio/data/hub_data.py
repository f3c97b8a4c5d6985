"""Data sets of the Hugging Face Hub -> a table, streamed by the `datasets` library; its cache keeps nothing of them.

Nothing here runs unless the user named a Hub data set. One request decides whether the Hub can be reached; programs
that come with a data set are never run.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from studio.data.parquet_rows import plain
from studio.data.reading import Reading
from studio.data.sources import Source
from studio.data.table_writer import TableWriter
from studio.data.tables import Table
from studio.data.watch import Watch
from studio.errors import DataError

if TYPE_CHECKING:
    from datasets import IterableDataset
    from huggingface_hub.errors import HfHubHTTPError

SECONDS = 10.0
_BATCH_ROWS = 500
_SHOWN = 10
# Values of these kinds are pictures and sounds, which no text model learns from.
_MEDIA = ("Image", "Audio", "Video", "Pdf", "Nifti")


@dataclass(frozen=True, slots=True)
class HubDataset:
    """`owner/name`, and the branch, tag or commit after an `@`; `config` and `split` None: the usual ones."""

    name: str
    revision: str | None = None
    config: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class HubParts:
    """The configurations of a data set, and the splits of `config`; `config` and `split` are those usually meant."""

    configs: tuple[str, ...]
    config: str
    splits: tuple[str, ...]
    split: str


def parse_dataset_name(text: str) -> HubDataset:
    """A Hub name as people write or copy it. Raises DataError."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    name = text.strip().removeprefix("hf://").removeprefix("https://huggingface.co/").removeprefix("datasets/")
    name, _, revision = name.rstrip("/").partition("@")
    try:
        validate_repo_id(name)
    except HFValidationError:
        raise DataError("error.hub_data.name", name=text[:200]) from None
    if name.count("/") != 1 or ".." in revision:
        raise DataError("error.hub_data.name", name=text[:200])
    return HubDataset(name, revision or None)


def read_hub(
    dataset: HubDataset,
    target: Path,
    *,
    offline: bool,
    max_bytes: int,
    rows: int | None = None,
    watch: Watch | None = None,
) -> tuple[Source, HubDataset]:
    """Read a Hub data set into a table at `target`, its first `rows` or all; and which configuration, split and commit
    that was. Raises DataError, soon where the Hub cannot be reached."""
    commit = look_up(dataset, offline=offline)
    location = f"hf://datasets/{dataset.name}"
    return read_dataset(location, dataset, commit, target, max_bytes=max_bytes, rows=rows, watch=watch)


def list_hub(dataset: HubDataset, *, offline: bool) -> HubParts:
    """What a Hub data set is divided into. Raises DataError as `read_hub` does."""
    commit = look_up(dataset, offline=offline)
    return list_parts(f"hf://datasets/{dataset.name}", dataset, commit)


def list_parts(location: str, dataset: HubDataset, commit: str | None) -> HubParts:
    """What the data set at a location is divided into. The first is meant where no name says it is the usual one."""
    import datasets

    with _failures_told(dataset):
        configs = datasets.get_dataset_config_names(location, revision=commit)
        usual = "default" if "default" in configs else configs[0]
        config = _one_of("error.hub_data.config", dataset.config or usual, configs, usual, dataset)
        splits = datasets.get_dataset_split_names(location, config, revision=commit)
    split = dataset.split if dataset.split in splits else "train" if "train" in splits else splits[0]
    return HubParts(tuple(configs), config, tuple(splits), split)


def look_up(dataset: HubDataset, *, offline: bool, endpoint: str | None = None) -> str:
    """The commit that stands for the data set now. Raises DataError: not reached, not there, asks to run code."""
    if offline:
        raise DataError("error.hub_data.offline", name=dataset.name)
    from huggingface_hub import HfApi

    with _failures_told(dataset):
        info = HfApi(endpoint=endpoint).dataset_info(dataset.name, revision=dataset.revision, timeout=SECONDS)
    script = f"{dataset.name.rpartition('/')[2]}.py"
    if any(item.rfilename == script for item in info.siblings or []):
        raise DataError("error.hub_data.code", name=dataset.name, file=script)
    return info.sha or dataset.revision or "main"


def read_dataset(
    location: str,
    dataset: HubDataset,
    commit: str | None,
    target: Path,
    *,
    max_bytes: int,
    rows: int | None = None,
    watch: Watch | None = None,
) -> tuple[Source, HubDataset]:
    """What `datasets` finds at a location (a folder, or the Hub) -> a table."""
    watch = watch or Watch()
    with _failures_told(dataset), TableWriter(target, watch.look) as writer:
        found, config, split = _open(location, dataset, commit)
        reading = Reading(dataset.name, writer, watch)
        _read(found, reading, max_bytes, rows)
        if not reading.seen:
            raise DataError("error.data.no_rows", file=dataset.name)
        if not reading.has_values:
            raise DataError("error.data.no_columns", file=dataset.name)
    if rows is not None and reading.seen == rows:
        reading.note("notice.data.first_rows", count=rows)
    source = Source(writer.rows, Table(target).columns, "Hub", None, tuple(reading.notes), (), 0)
    return source, HubDataset(dataset.name, commit, config, split)


def _open(location: str, dataset: HubDataset, commit: str | None) -> tuple["IterableDataset", str, str]:
    import datasets

    datasets.disable_progress_bars()
    configs = datasets.get_dataset_config_names(location, revision=commit)
    config = _one_of("error.hub_data.config", dataset.config, configs, "default", dataset)
    splits = datasets.get_dataset_split_names(location, config, revision=commit)
    split = _one_of("error.hub_data.split", dataset.split, splits, "train", dataset)
    return datasets.load_dataset(location, config, split=split, revision=commit, streaming=True), config, split


def _one_of(key: str, wanted: str | None, known: Sequence[str], usual: str, dataset: HubDataset) -> str:
    """The name asked for; without one the usual, or the only one."""
    chosen = wanted or (usual if usual in known else known[0] if len(known) == 1 else None)
    if chosen is None or chosen not in known:
        shown = ", ".join(known[:_SHOWN]) + (", …" if len(known) > _SHOWN else "")
        raise DataError(key, name=dataset.name, wanted=wanted or "–", known=shown or "–")
    return chosen


def _read(found: "IterableDataset", reading: Reading, max_bytes: int, rows: int | None) -> None:
    kinds = {name: type(feature).__name__ for name, feature in (found.features or {}).items()}
    media = [name for name, kind in kinds.items() if kind in _MEDIA]
    if media:
        found = found.remove_columns(media)
        reading.note("notice.data.media", columns=", ".join(media)[:200])
    if rows is not None:
        found = found.take(rows)
    size = 0
    for batch in found.with_format("arrow").iter(batch_size=_BATCH_ROWS):
        table: pa.Table = batch  # type: ignore[assignment]  # the format decides
        size += table.nbytes
        reading.watch.at(min(1.0, reading.seen / rows) if rows else 0.0)
        if size > max_bytes:
            limit = max_bytes // 1_000_000
            raise DataError("error.hub_data.too_big", name=reading.file, limit_mb=limit)
        for row in table.to_pylist():
            values: dict[str, Any] = plain(row)
            reading.keep(values, table.nbytes // max(1, table.num_rows))
    reading.flush()


@contextmanager
def _failures_told(dataset: HubDataset) -> Iterator[None]:
    """What the Hub's client and `datasets` raise, as sentences."""
    import httpx2
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    name = dataset.name
    try:
        yield
    except OfflineModeIsEnabled:
        raise DataError("error.hub_data.offline", name=name) from None
    except HfHubHTTPError as error:
        raise _refused(dataset, error) from None
    except (httpx2.TransportError, ConnectionError, TimeoutError) as error:
        raise DataError("error.hub_data.unreachable", name=name, reason=type(error).__name__) from None
    except DatasetNotFoundError:
        raise DataError("error.hub_data.not_found", name=name) from None
    except (DatasetsError, pa.ArrowException, OSError, RuntimeError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        key = "error.hub_data.code" if "Dataset scripts" in reason else "error.hub_data.unreadable"
        raise DataError(key, name=name, reason=reason, file=f"{name.rpartition('/')[2]}.py") from error


def _refused(dataset: HubDataset, error: "HfHubHTTPError") -> DataError:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    status = error.response.status_code if error.response is not None else 0
    if isinstance(error, GatedRepoError):
        return DataError("error.hub_data.gated", name=dataset.name)
    if isinstance(error, RevisionNotFoundError):
        return DataError("error.hub_data.revision", name=dataset.name, revision=dataset.revision or "main")
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return DataError("error.hub_data.not_found", name=dataset.name)
    if status in (401, 403):
        return DataError("error.hub_data.token", name=dataset.name)
    return DataError("error.hub_data.unreachable", name=dataset.name, reason=f"HTTP {status}")
