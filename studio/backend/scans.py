"""Scans of the workspace: what the checks found in a version, kept beside its table so that it is found only once."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from studio import __version__
from studio.backend.work import Stopping, Tell, Turns, part_of
from studio.data.checks import CheckOptions
from studio.data.code_version import CODE_VERSION
from studio.data.explore import TOKENS, Chart, FindingRows, RowFilter, Where, charts, select
from studio.data.formats import Mapping
from studio.data.histogram import token_table
from studio.data.measures import SAMPLE_ROWS, TOKENS_COST, Measured, measure
from studio.data.readiness import export_findings
from studio.data.scan import Scan, load_features, scan
from studio.data.scan_workers import BOTH_CORES, Spread
from studio.data.tables import Table
from studio.data.tokens import Lengths
from studio.errors import DataError, Stopped
from studio.runs.store import Store, disk_full, file_words, is_disk_full, sync_folder
from studio.settings import Settings

if TYPE_CHECKING:
    from studio.models.loading import LoadedTokenizer

# Scans of one version that are kept on disk (other mappings, models and lengths), and of all versions in memory.
_KEPT = 4
_HELD = 3
# What a tokenizer in a folder is made of.
_TOKENIZER_FILES = ("tokenizer*", "special_tokens*", "chat_template*", "added_tokens*", "vocab*", "merges*")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a scan depends on beside the rows. `model` None: no tokens are counted."""

    version: str
    mapping: Mapping
    model: str | None
    max_length: int


@dataclass(frozen=True, slots=True)
class Kept:
    """A scan, and the token counts that went into it where a model was named."""

    scan: Scan
    measured: Measured | None


class Scans:
    """Makes scans, one at a time of each version, and keeps the newest few."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        tokenizer: "Callable[[str], LoadedTokenizer]",
        spread: Spread = BOTH_CORES,
    ) -> None:
        self._spread = spread
        self._settings = settings
        self._store = store
        self._tokenizer = tokenizer
        self._lock = threading.Lock()
        self._turns = Turns()
        self._held: OrderedDict[str, Kept] = OrderedDict()
        self._charts = lru_cache(maxsize=8)(self._count)

    def key(self, asked: Asked) -> str:
        """Equal as long as a kept scan is still true. Its beginning stands for all that features depend on."""
        of_model = _digest([asked.model, _tokenizer_state(asked.model), asked.max_length])
        return f"{_rows_key(asked.version, asked.mapping)}-{of_model}"

    def is_there(self, asked: Asked) -> bool:
        """Whether the scan was made already."""
        return self.key(asked) in self._held or (self.folder(asked) / "findings.json").is_file()

    def folder(self, asked: Asked) -> Path:
        """Where the scan is kept."""
        return self._store.version_folder(asked.version) / "scans" / self.key(asked)

    def get(self, asked: Asked, tell: Tell | None = None, stopping: Stopping | None = None) -> Kept:
        """The scan, made now where there is none. Raises Stopped soon after `stopping` says so."""
        key = self.key(asked)
        found = self._known(key, asked)
        if found is None:
            with self._turns.of(asked.version, stopping):
                found = self._known(key, asked) or self._make(key, asked, tell, stopping)
        return found

    def _known(self, key: str, asked: Asked) -> Kept | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        folder = self.folder(asked)
        if not (folder / "findings.json").is_file():
            return None
        try:
            found = _load(folder)
        except DataError:  # it is made again
            return None
        if not self._store.read_only:
            os.utime(folder)
        self._hold(key, found)
        return found

    def _hold(self, key: str, found: Kept) -> None:
        with self._lock:
            self._held[key] = found
            while len(self._held) > _HELD:
                self._held.popitem(last=False)

    def _make(self, key: str, asked: Asked, tell: Tell | None, stopping: Stopping | None) -> Kept:
        table = Table(self._store.version_folder(asked.version) / "table.parquet")
        measured, begin = None, 0.0
        if asked.model is not None:
            counted = TOKENS_COST * min(table.rows, SAMPLE_ROWS)
            begin = counted / (counted + table.rows)
            tokenizer = self._tokenizer(asked.model).tokenizer
            told = part_of(tell, 0, begin)
            measured = measure(
                table,
                asked.mapping,
                tokenizer,
                asked.max_length,
                spread=self._spread,
                progress=told,
                stop=stopping,
            )
        if stopping and stopping():
            raise Stopped("error.stopped")
        made = scan(
            table,
            asked.mapping,
            CheckOptions(max_length=asked.max_length),
            measured=measured.faulty if measured else (),
            spread=self._spread,
            progress=part_of(tell, begin, 1),
            stop=stopping,
        )
        found = Kept(made, measured)
        if not self._store.read_only:
            self._keep(asked, found)
        self._hold(key, found)
        return found

    def _keep(self, asked: Asked, found: Kept) -> None:
        """Whole or not at all; the oldest go."""
        folder = self.folder(asked)
        partial = folder.with_name(f"{folder.name}.{secrets.token_hex(3)}.partial")
        try:
            found.scan.save(partial)
            if found.measured is not None:
                _save_lengths(found.measured, partial / "lengths.parquet")
            sync_folder(partial)
            shutil.rmtree(folder, ignore_errors=True)  # one that could not be read
            os.replace(partial, folder)
        except BaseException as error:
            shutil.rmtree(partial, ignore_errors=True)
            if is_disk_full(error):
                raise disk_full(self._settings.workspace) from None
            raise
        kept = sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns, reverse=True)
        for old in kept[_KEPT:]:
            shutil.rmtree(old, ignore_errors=True)

    # What is made of them

    def features(self, version: str, mapping: Mapping) -> pa.Table:
        """Features of the rows, of whatever scan there is: they depend on no model."""
        folder = self._store.version_folder(version) / "scans"
        for found in folder.glob(f"{_rows_key(version, mapping)}-*/features.parquet"):
            with contextlib.suppress(DataError):
                return load_features(found)
        return self.get(Asked(version, mapping, None, CheckOptions().max_length)).scan.features

    def charts(self, asked: Asked) -> tuple[Chart, ...]:
        """A chart of every feature that tells something."""
        return self._charts(self.key(asked), asked)

    def _count(self, _: str, asked: Asked) -> tuple[Chart, ...]:
        return charts(self.get(asked).scan.features)

    def select(self, asked: Asked, where: Where, found: Scan) -> Path:
        """A Parquet file with the column `id` of those rows of `found`, what was made of the scan asked for."""
        ids = found.rows(f"finding.{where.finding}") if isinstance(where, FindingRows) else None
        name = hashlib.sha256(where.model_dump_json().encode() + (b"" if ids is None else ids.tobytes())).hexdigest()
        path = self.folder(asked) / f"rows-{name[:16]}.parquet"
        if not path.is_file():
            chosen = select(self._lines(asked, where, found), where) if isinstance(where, RowFilter) else ids
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}.{secrets.token_hex(3)}.partial")
            pq.write_table(pa.table({"id": pa.array(chosen, pa.int64())}), partial)
            os.replace(partial, path)
        return path

    def _lines(self, asked: Asked, where: RowFilter, found: Scan) -> pa.Table:
        """What a filter is looked up in."""
        if where.by not in TOKENS:
            return found.features
        measured = self.get(asked).measured
        return token_table(measured.sample if measured else ())

    def export(
        self, version: str, name: str, found: Scan, keys: Collection[str] | None, form: Literal["csv", "jsonl"]
    ) -> Path:
        """Rows with their findings as a file in `exports`, whole or not at all. `name`: what its name begins with."""
        folder = self._store.version_folder(version)
        partial = folder / f"{secrets.token_hex(6)}.partial.{form}"
        target = self._store.folder / "exports" / f"{file_words(name) or 'data'}-findings-{version}.{form}"
        try:
            export_findings(found, Table(folder / "table.parquet"), partial, keys)
            os.replace(partial, target)
        except OSError as error:
            if is_disk_full(error):
                raise disk_full(target.parent) from None
            raise
        finally:
            partial.unlink(missing_ok=True)
        return target


def _rows_key(version: str, mapping: Mapping) -> str:
    return _digest([CODE_VERSION, __version__, version, mapping.model_dump(mode="json")])


def _digest(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _tokenizer_state(model: str | None) -> list[tuple[str, int, int]]:
    """Of a model in a folder: a number for each of its tokenizer's files that changes when the file does."""
    if model is None or not Path(model).is_dir():
        return []
    files = {file for pattern in _TOKENIZER_FILES for file in Path(model).glob(pattern)}
    return sorted((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)


# Token counts on disk


def _save_lengths(measured: Measured, path: Path) -> None:
    faulty = {item.row_id for item in measured.faulty}
    sample = {item.row_id for item in measured.sample}
    every = [*measured.sample, *(item for item in measured.faulty if item.row_id not in sample)]
    columns = {
        "row_id": np.array([item.row_id for item in every], np.int64),
        "prompt_tokens": np.array([item.prompt_tokens for item in every], np.int64),
        "answer_tokens": np.array([item.answer_tokens for item in every], np.int64),
        "trained_tokens": np.array([item.trained_tokens for item in every], np.int64),
        "truncated": np.array([item.truncated for item in every], bool),
        "refused": pa.array([item.refused for item in every], pa.string()),
        "in_sample": np.array([item.row_id in sample for item in every], bool),
        "is_faulty": np.array([item.row_id in faulty for item in every], bool),
    }
    table = pa.table(columns).replace_schema_metadata({"sampled": str(measured.sampled)})
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def _load(folder: Path) -> Kept:
    """Raises DataError when it is not whole."""
    found = Scan.load(folder)
    path = folder / "lengths.parquet"
    if not path.is_file():
        return Kept(found, None)
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        sampled = (table.schema.metadata or {})[b"sampled"] == b"True"
        in_sample, is_faulty = table["in_sample"].to_pylist(), table["is_faulty"].to_pylist()
        every = _lengths(table)
    except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
        raise DataError("error.scan.unreadable", folder=folder.name) from error
    sample = tuple(item for item, kept in zip(every, in_sample, strict=True) if kept)
    faulty = tuple(sorted((i for i, kept in zip(every, is_faulty, strict=True) if kept), key=lambda i: i.row_id))
    return Kept(found, Measured(sample, faulty, sampled))


def _lengths(table: pa.Table) -> Sequence[Lengths]:
    names = ("row_id", "prompt_tokens", "answer_tokens", "trained_tokens", "truncated", "refused")
    return [Lengths(*values) for values in zip(*(table[name].to_pylist() for name in names), strict=True)]
