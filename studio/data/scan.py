"""All checks over a table, in batches on several processes: findings, the rows of each, and features of every row.

Memory holds the numbers of every row, never their texts. Where a table is small one process does it all, for a
second one costs about a second to start.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.checks import PROBLEMS, ROW_CHECKS, SET_CHECKS, CheckOptions, Finding, Found, Whole, findings_of
from studio.data.formats import Mapping as ColumnMapping
from studio.data.parts import Job, Part, check_rows, note
from studio.data.scan_workers import spread
from studio.data.tables import Table
from studio.data.tokens import Lengths
from studio.errors import DataError, Stopped

# Below this, starting processes costs more than they save (measured: 0.9 s to start, 30 000 rows/s each).
SMALL = 20_000


@dataclass(frozen=True)
class Scan:
    """What the checks found. `features`: one row per table row, in its order.

    id, prompt_chars, answer_chars, turns, language (ISO 639-1; null: none), source, label, record_hash and
    prompt_hash (null where the row is no training record), and cluster: the smallest id of the rows that are near
    duplicates of each other.
    """

    findings: tuple[Finding, ...]
    features: pa.Table
    found: Mapping[str, np.ndarray]

    def rows(self, key: str) -> np.ndarray:
        """Ids of all rows of a finding, in order; none where it was not found. `key` as in `Finding.key`."""
        return self.found.get(key, np.zeros(0, np.int64))

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Keys of the findings that were made."""
        return tuple(dict.fromkeys(finding.key for finding in self.findings))

    def save(self, folder: Path) -> None:
        """Write `findings.json`, `rows.parquet` and `features.parquet` into the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [key for key, ids in self.found.items() for _ in range(len(ids))]
        ids = np.concatenate([np.zeros(0, np.int64), *self.found.values()])
        rows = pa.table({"key": pa.array(names, pa.string()).dictionary_encode(), "id": pa.array(ids, pa.int64())})
        _write(folder / "rows.parquet", rows)
        _write(folder / "features.parquet", self.features)
        partial = folder / "findings.json.partial"
        partial.write_text(json.dumps([_dumped(f) for f in self.findings], ensure_ascii=False), encoding="utf-8")
        os.replace(partial, folder / "findings.json")

    @classmethod
    def load(cls, folder: Path) -> "Scan":
        """What `save` wrote. Raises DataError when it is not whole."""
        try:
            dumped = json.loads((folder / "findings.json").read_text(encoding="utf-8"))
            rows = pq.read_table(folder / "rows.parquet")
            features = pq.read_table(folder / "features.parquet")
        except (OSError, ValueError, pa.ArrowInvalid) as error:
            raise DataError("error.scan.unreadable", folder=folder.name) from error
        keys = np.array(rows["key"].to_pylist(), dtype=object)
        ids = rows["id"].to_numpy()
        found = {key: ids[keys == key] for key in dict.fromkeys(keys.tolist())}
        findings = tuple(Finding(**{**item, "examples": tuple(item["examples"])}) for item in dumped)
        return cls(findings, features, found)


def _dumped(finding: Finding) -> dict[str, Any]:
    return {
        "key": finding.key, "count": finding.count, "share": finding.share, "examples": list(finding.examples),
        "severity": finding.severity, "fix": finding.fix, "values": dict(finding.values),
    }  # fmt: skip


def _write(path: Path, table: pa.Table) -> None:
    partial = path.with_name(f"{path.name}.partial")
    pq.write_table(table, partial, compression="zstd", compression_level=1)
    os.replace(partial, path)


def scan(
    table: Table,
    mapping: ColumnMapping,
    options: CheckOptions,
    *,
    measured: Sequence[Lengths] = (),
    workers: int = 2,
    progress: Callable[[float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Scan:
    """Check every row. `measured`: token counts, empty without a model. `progress` is told shares from 0 to 1.

    Raises Stopped soon after `stop` says so.
    """
    job = Job(table.path, mapping, options)
    with pq.ParquetFile(table.path) as file:
        chunks = file.metadata.num_row_groups
    many = workers > 1 and chunks > 1 and table.rows >= SMALL
    parts: list[Part] = []
    checked = spread(job, chunks, min(workers, chunks), stop) if many else _one_by_one(job, chunks, stop)
    for done, part in enumerate(checked, 1):
        parts += part
        if progress:
            progress(0.9 * done / chunks)
    parts = parts or [check_rows([], mapping, options)]
    whole = _whole(parts, mapping, options, measured)
    found = [item for item in _found(parts, whole) if len(item.ids)]
    rows: dict[str, np.ndarray] = {}
    for item in found:
        ids = np.asarray(item.ids, np.int64)
        key = f"finding.{item.name}"
        rows[key] = np.concatenate([rows[key], ids]) if key in rows else ids
    made = Scan(findings_of(found, len(whole.ids)), _features(parts, whole), rows)
    if progress:
        progress(1.0)
    return made


def _whole(parts: Sequence[Part], mapping: ColumnMapping, options: CheckOptions, measured: Sequence[Lengths]) -> Whole:
    names = ("ids", "usable", "prompt_chars", "answer_chars", "record_hash", "prompt_hash", "answer_hash")
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    columns = parts[0].kinds
    kinds = {name: np.concatenate([part.kinds[name] for part in parts]) for name in columns}
    return Whole(options=options, mapping=mapping, measured=measured, kinds=kinds, **arrays)


def _found(parts: Sequence[Part], whole: Whole) -> Iterator[Found]:
    options = whole.options
    for name, (_, fix) in PROBLEMS.items():
        columns: list[str] = []
        details: list[str] = []
        for part in parts:
            for known, values in zip((columns, details), part.told.get(name, ((), ())), strict=True):
                for value in values:
                    note(known, value)
        values = {"columns": ", ".join(columns), "details": ", ".join(details)}
        yield Found(name, _hits(parts, name), "error", fix, values)
    for check in ROW_CHECKS:
        yield Found(check.name, _hits(parts, check.name), check.severity, check.fix)
    for name, check in SET_CHECKS.items():
        if options.wants(name):
            yield from check(whole)


def _hits(parts: Sequence[Part], name: str) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.int64), *(part.hits[name] for part in parts if name in part.hits)])


def _features(parts: Sequence[Part], whole: Whole) -> pa.Table:
    unusable = ~whole.usable
    label = np.concatenate([part.label for part in parts])
    sources = [pa.nulls(len(p.ids), pa.large_string()) if p.source is None else p.source for p in parts]
    return pa.table(
        {
            "id": whole.ids,
            "prompt_chars": whole.prompt_chars,
            "answer_chars": whole.answer_chars,
            "turns": np.concatenate([part.turns for part in parts]),
            "language": pa.nulls(len(whole.ids), pa.string()),
            "source": pa.chunked_array(sources),
            "label": pa.array(label == 1, mask=label < 0),
            "record_hash": pa.array(whole.record_hash, mask=unusable),
            "prompt_hash": pa.array(whole.prompt_hash, mask=unusable),
            "cluster": whole.ids,
        }
    )


def _one_by_one(job: Job, chunks: int, stop: Callable[[], bool] | None) -> Iterator[list[Part]]:
    for chunk in range(chunks):
        if stop and stop():
            raise Stopped("error.stopped")
        yield job.run(chunk)
