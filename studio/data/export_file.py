"""Rows -> a file for other programs, of the kind its ending says."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from studio.data.export_rows import export_csv, export_jsonl
from studio.data.table_writer import Row
from studio.data.tables import Column, Table
from studio.errors import DataError

EXPORT_ENDINGS = (".jsonl", ".csv", ".parquet")
_TYPES = {
    "text": pa.large_string(), "empty": pa.large_string(), "integer": pa.int64(), "number": pa.float64(),
    "boolean": pa.bool_(),
}  # fmt: skip
_BATCH = 8_192


def check_ending(path: Path) -> None:
    """Raises DataError for a file of a kind that is not written."""
    if path.suffix.lower() not in EXPORT_ENDINGS:
        raise DataError("error.export_file.ending", file=path.name, known=", ".join(EXPORT_ENDINGS))


def export_table(table: Table, path: Path, rows: Iterable[Row] | None = None) -> int:
    """Write the rows (None: all of the table), whole or not at all; how many. The ending says what kind of file."""
    check_ending(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    given = table.read() if rows is None else rows
    match path.suffix.lower():
        case ".jsonl":
            return export_jsonl(given, path)
        case ".csv":
            return export_csv(given, [column.name for column in table.columns], path)
        case _:
            return _export_parquet(given, table, path)


def _export_parquet(rows: Iterable[Row], table: Table, path: Path) -> int:
    """Columns keep their types; what Parquet has none for (mixed values, lists of several shapes) is JSON text."""
    schema = pa.schema([(column.name, _type_of(column, table)) for column in table.columns])
    as_json = {c.name for c in table.columns if c.is_json and schema.field(c.name).type == pa.large_string()}
    partial = path.with_name(f"{path.name}.partial")
    count = 0
    try:
        with partial.open("wb") as file:
            with pq.ParquetWriter(file, schema, compression="zstd") as writer:
                for batch in _batches(rows):
                    writer.write_table(_arrow(batch, schema, as_json))
                    count += len(batch)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH)):
        yield batch


def _arrow(rows: list[Row], schema: pa.Schema, as_json: set[str]) -> pa.Table:
    arrays = []
    for field in schema:
        values: list[Any] = [row.values.get(field.name) for row in rows]
        if field.name in as_json:
            values = [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]
        arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _type_of(column: Column, table: Table) -> pa.DataType:
    """The type that takes every value of the column; text where there is none."""
    found = pa.null()
    if column.type == "integer" or column.type in ("list", "object"):
        for rows in table.batches(columns=[column.name]):
            with suppress(pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                own = pa.array([row.values[column.name] for row in rows]).type
                both = pa.unify_schemas(
                    [pa.schema([("v", found)]), pa.schema([("v", own)])], promote_options="permissive"
                )
                found = both.field("v").type
                continue
            return pa.large_string()
        return pa.large_string() if found == pa.null() else found
    return _TYPES.get(column.type, pa.large_string())
