"""All checks over a table, in batches on several processes: findings, the rows of each, and features of every row.

Memory holds the numbers of every row, and texts only of those that may be near duplicates, while they are compared.
"""

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.checks import PROBLEMS, ROW_CHECKS, CheckOptions, Finding, Found, findings_of, worst_first
from studio.data.duplicates import first_copies
from studio.data.formats import Mapping as ColumnMapping
from studio.data.languages import LANGUAGES
from studio.data.near_duplicates import Clusters, care_for, join_near, pairs_of
from studio.data.parts import Job, Part, check_rows, near_texts, note
from studio.data.scan_workers import BOTH_CORES, Spread
from studio.data.set_checks import SET_CHECKS, Whole
from studio.data.tables import Table
from studio.data.tokens import Lengths
from studio.errors import DataError, Stopped


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

    def without(self, names: Collection[str]) -> "Scan":
        """The same, but for the findings of these names (`duplicate`, not `finding.duplicate`)."""
        off = {f"finding.{name}" for name in names}
        findings = tuple(finding for finding in self.findings if finding.key not in off)
        return replace(self, findings=findings, found={k: ids for k, ids in self.found.items() if k not in off})

    def having(self, item: Found) -> "Scan":
        """The same, and one finding more; none more without rows."""
        ids = np.unique(np.asarray(item.ids, np.int64))
        more = findings_of([item._replace(ids=ids)], self.features.num_rows)
        if not more:
            return self
        return replace(self, findings=worst_first((*self.findings, *more)), found={**self.found, more[0].key: ids})

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
            findings = tuple(Finding(**{**item, "examples": tuple(item["examples"])}) for item in dumped)
            rows = pq.read_table(folder / "rows.parquet", page_checksum_verification=True)
            keys = rows["key"].combine_chunks().dictionary_encode()
            place, ids = keys.indices.to_numpy(), rows["id"].to_numpy()
        except (OSError, ValueError, TypeError, KeyError, pa.ArrowException) as error:
            raise DataError("error.scan.unreadable", folder=folder.name) from error
        features = load_features(folder / "features.parquet")
        found = {key: ids[place == number] for number, key in enumerate(keys.dictionary.to_pylist())}
        return cls(findings, features, found)


def load_features(path: Path) -> pa.Table:
    """The features of a scan that was saved. Raises DataError when they are not whole."""
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise DataError("error.scan.unreadable", folder=path.parent.name) from error


def _dumped(finding: Finding) -> dict[str, Any]:
    return {
        "key": finding.key, "count": finding.count, "share": finding.share, "examples": list(finding.examples),
        "severity": finding.severity, "fix": finding.fix, "values": dict(finding.values),
    }  # fmt: skip


def _write(path: Path, table: pa.Table) -> None:
    partial = path.with_name(f"{path.name}.partial")
    pq.write_table(table, partial, compression="zstd", compression_level=1, write_page_checksum=True)
    os.replace(partial, path)


def scan(
    table: Table,
    mapping: ColumnMapping,
    options: CheckOptions,
    *,
    measured: Sequence[Lengths] = (),
    spread: Spread = BOTH_CORES,
    progress: Callable[[float], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Scan:
    """Check every row. `measured`: token counts, empty without a model. `spread`: who looks at the row groups; what
    takes all rows is done here. `progress` is told shares from 0 to 1.

    Raises Stopped soon after `stop` says so.
    """
    job = Job(table.outline, mapping, options)
    parts: list[Part] = []
    for done, part in enumerate(spread(job, stop), 1):
        parts += part
        if progress:
            progress((_CHECKED if options.compares else 1.0) * done / table.groups * 0.99)
    parts = parts or [check_rows([], {}, mapping, options)]
    cluster = _clusters(parts, table, mapping, options, progress, stop)
    whole = _whole(parts, mapping, options, measured, cluster)
    found = [item for item in _found(parts, whole) if len(item.ids)]
    rows: dict[str, np.ndarray] = {}
    for item in found:
        ids = np.asarray(item.ids, np.int64)
        key = f"finding.{item.name}"
        rows[key] = np.union1d(rows[key], ids) if key in rows else ids
    made = Scan(findings_of(found, len(whole.ids)), _features(parts, whole), rows)
    if progress:
        progress(1.0)
    return made


# Share of the work done when all rows are checked and pairs are to be compared; pairs between two looks at the clock.
_CHECKED = 0.6
_WATCH = 2_000
_ARRAYS = (
    "ids", "usable", "prompt_chars", "answer_chars", "other_chars", "record_hash", "prompt_hash", "answer_hash",
    "prompt_language", "answer_language", "ending", "json", "label", "split",
)  # fmt: skip


def _whole(
    parts: Sequence[Part],
    mapping: ColumnMapping,
    options: CheckOptions,
    measured: Sequence[Lengths],
    cluster: np.ndarray,
) -> Whole:
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _ARRAYS}
    kinds = {name: np.concatenate([part.kinds[name] for part in parts]) for name in parts[0].kinds}
    return Whole(options=options, mapping=mapping, measured=measured, cluster=cluster, kinds=kinds, **arrays)


def _clusters(
    parts: Sequence[Part],
    table: Table,
    mapping: ColumnMapping,
    options: CheckOptions,
    progress: Callable[[float], None] | None,
    stop: Callable[[], bool] | None,
) -> np.ndarray:
    """The smallest id of the rows that each row is an exact or a near duplicate of: its own if of none."""
    ids = np.concatenate([part.ids for part in parts])
    first = first_copies(np.concatenate([part.record_hash for part in parts]))
    first = np.where(np.concatenate([part.usable for part in parts]), first, np.arange(len(ids)))
    clusters = Clusters(len(ids))
    if options.compares:
        pairs = pairs_of(_grams(parts, first), care_for(len(ids)))
        texts = near_texts(table, mapping, np.unique(pairs), stop)
        join_near(clusters, _watched(pairs, progress, stop), texts, options.near_threshold)
    roots = clusters.roots()[first]
    smallest = np.full(len(ids), np.iinfo(np.int64).max)
    np.minimum.at(smallest, roots, ids)
    return smallest[roots]


def _grams(parts: Sequence[Part], first: np.ndarray) -> np.ndarray:
    """The n-grams of all rows but exact copies, which need no second look. Taken out of the parts, so that they are
    held once."""
    grams = np.empty(sum(len(part.grams) for part in parts), np.uint64)
    begin = end = 0
    for part in parts:
        moved = part.grams + np.uint64(begin)
        place = moved & np.uint64(0xFFFFFFFF)
        kept = moved[first[place] == place]
        grams[end : end + len(kept)] = kept
        begin += len(part.ids)
        end += len(kept)
        part.grams = np.zeros(0, np.uint64)
    return grams[:end]


def _watched(
    pairs: np.ndarray, progress: Callable[[float], None] | None, stop: Callable[[], bool] | None
) -> Iterator[tuple[int, int]]:
    for begin in range(0, len(pairs), _WATCH):
        if stop and stop():
            raise Stopped("error.stopped")
        if progress:
            progress(_CHECKED + (0.99 - _CHECKED) * begin / len(pairs))
        yield from pairs[begin : begin + _WATCH].tolist()


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
    sources = [pa.nulls(len(p.ids), pa.large_string()) if p.source is None else p.source for p in parts]
    return pa.table(
        {
            "id": whole.ids,
            "prompt_chars": whole.prompt_chars,
            "answer_chars": whole.answer_chars,
            "turns": np.concatenate([part.turns for part in parts]),
            "language": _language(whole),
            "source": pa.chunked_array(sources),
            "label": pa.array(whole.label == 1, mask=whole.label < 0),
            "record_hash": pa.array(whole.record_hash, mask=unusable),
            "prompt_hash": pa.array(whole.prompt_hash, mask=unusable),
            "cluster": whole.cluster,
        }
    )


def _language(whole: Whole) -> pa.Array:
    """Of the answer, or of the question where the answer is too short to tell."""
    place = np.where(whole.answer_language > 0, whole.answer_language, whole.prompt_language)
    return pa.array(np.array(LANGUAGES, dtype=object)[place], pa.string(), mask=place == 0)
