"""Excel and OpenDocument workbooks -> rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio.data.csv_rows import column_names
from studio.data.parquet_rows import plain
from studio.data.reading import Reading
from studio.errors import DataError

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

_LOOK_ROWS = 1_024


def read_excel(path: Path, reading: Reading) -> None:
    """The rows of the first sheet that has any; its first row names the columns. Raises DataError."""
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError

    try:
        with CalamineWorkbook.from_path(str(path)) as book:
            names = book.sheet_names
            for name in names:
                if _read_sheet(book.get_sheet_by_name(name), reading):
                    others = [other for other in names if other != name]
                    if others:
                        reading.note("notice.data.sheet", sheet=name, others=", ".join(others)[:200])
                    return
    except PasswordError:
        raise DataError("error.data.encrypted", file=reading.file) from None
    except (CalamineError, OSError) as error:
        raise DataError("error.data.excel", file=reading.file) from error
    except BaseException as error:
        # A damaged file can break an assertion of the Rust library, which PyO3 raises as a class that has no module to
        # import it from (https://docs.rs/pyo3/latest/pyo3/panic/struct.PanicException.html).
        if type(error).__name__ != "PanicException":
            raise
        raise DataError("error.data.excel", file=reading.file) from None


def _read_sheet(sheet: "CalamineSheet", reading: Reading) -> bool:
    """Whether there was a row below the names."""
    titles: list[Any] | None = None
    names: list[str] = []
    before = reading.seen
    for number, cells in enumerate(sheet.iter_rows()):
        if number % _LOOK_ROWS == 0:
            reading.watch.at(min(1.0, number / max(1, sheet.total_height)))
        values = [_value(cell) for cell in cells]
        if all(value is None for value in values):
            continue
        if titles is None:
            titles = values
            continue
        names = names or column_names(["" if title is None else str(title) for title in titles], reading)
        size = sum(len(value) if isinstance(value, str) else 16 for value in values)
        reading.keep(dict(zip(names, values, strict=True)), size)
    reading.flush()
    return reading.seen > before


def _value(cell: Any) -> Any:
    """A cell as JSON can hold it. Excel knows no whole numbers: 3 comes as 3.0."""
    if cell == "":
        return None
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53:
        return int(cell)
    return plain(cell)
