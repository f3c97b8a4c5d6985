"""Parquet files of other programs -> rows."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as kinds

from studio.data.reading import Reading
from studio.errors import DataError

_BATCH_BYTES = 8_000_000
_BATCH_ROWS = 4096


def read_parquet(path: Path, reading: Reading, max_bytes: int) -> None:
    """Every row. Raises DataError when the file is damaged, or too big when unpacked."""
    try:
        with pq.ParquetFile(path) as file:
            meta = file.metadata
            size = sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
            if size > max_bytes:
                raise DataError(
                    "error.data.too_big", file=reading.file, mb=-(-size // 1_000_000), limit_mb=max_bytes // 1_000_000
                )
            rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * meta.num_rows // max(1, size)))
            odd = {field.name: plain for field in file.schema_arrow if not _is_plain(field.type)}
            for number, batch in enumerate(file.iter_batches(batch_size=rows), 1):
                reading.watch.at(min(1.0, number * rows / max(1, meta.num_rows)))
                reading.keep_all([_row(values, odd) for values in batch.to_pylist()])
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError("error.data.parquet", file=reading.file) from error


def _is_plain(kind: pa.DataType) -> bool:
    return (
        kinds.is_string(kind)
        or kinds.is_large_string(kind)
        or kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or kinds.is_boolean(kind)
    )


def _row(values: dict[str, Any], odd: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    for name, change in odd.items():
        values[name] = change(values[name])
    return values


def plain(value: Any) -> Any:
    """The value as JSON can hold it."""
    if isinstance(value, str | bool | int | float | None):
        return value
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal | timedelta):
        return str(value)
    raise TypeError(type(value).__name__)
