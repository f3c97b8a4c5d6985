"""Whether a data set is ready to be trained on: nothing but a summary of its findings."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from studio.data.checks import Severity
from studio.data.scan import Scan
from studio.data.tables import Table
from studio.messages import translate

State = Literal["ready", "look", "fix", "empty"]
# Where one row of twenty or more does not train, that comes first.
_MANY = 0.05


@dataclass(frozen=True, slots=True)
class Readiness:
    """Rows by the worst finding they are in. `rows` = `clean` + `with_warnings` + `with_errors`; findings of severity
    `info` tell of the whole table, and make no row worse.

    `state`: `empty` without any row that can be trained on; `fix` where many rows do not train; `look` where there
    are errors or warnings; else `ready`.
    """

    rows: int
    with_errors: int
    with_warnings: int
    state: State

    @property
    def clean(self) -> int:
        """Rows in no error and no warning."""
        return self.rows - self.with_errors - self.with_warnings

    def message(self, language: str = "en") -> str:
        """One or two sentences in `language`."""
        shares = {}
        if self.rows:
            shares = {"clean": f"{self.clean / self.rows:.0%}", "errors": f"{self.with_errors / self.rows:.0%}"}
        return translate(
            f"readiness.{self.state}", language, rows=self.rows, with_errors=self.with_errors,
            with_warnings=self.with_warnings, clean_rows=self.clean, **shares,
        )  # fmt: skip


def readiness(scan: Scan) -> Readiness:
    """The summary of a scan."""
    rows = scan.features.num_rows
    errors = _rows(scan, "error")
    warnings = np.setdiff1d(_rows(scan, "warning"), errors)
    usable = rows - len(errors)
    if not usable:
        state: State = "empty"
    elif len(errors) >= _MANY * rows:
        state = "fix"
    else:
        state = "look" if len(errors) or len(warnings) else "ready"
    return Readiness(rows, len(errors), len(warnings), state)


def _rows(scan: Scan, severity: Severity) -> np.ndarray:
    keys = {finding.key for finding in scan.findings if finding.severity == severity}
    return np.unique(np.concatenate([np.zeros(0, np.int64), *(scan.rows(key) for key in sorted(keys))]))


def export_findings(scan: Scan, table: Table, path: Path, keys: Iterable[str] | None = None) -> int:
    """Write the rows of findings (of all, without `keys`) with the finding of each; returns how many were written.

    CSV, or JSON Lines where `path` ends in .jsonl. A row in two findings is there twice. In CSV a cell that a
    spreadsheet would take for a formula gets an apostrophe in front of it.
    """
    names = [column.name for column in table.columns]
    written = 0
    with path.open("w", encoding="utf-8" if path.suffix == ".jsonl" else "utf-8-sig", newline="") as file:
        sheet = csv.writer(file)
        if path.suffix != ".jsonl":
            sheet.writerow(["finding", "row", *names])
        for key, row, values in _exported(scan, table, keys):
            if path.suffix == ".jsonl":
                file.write(json.dumps({"finding": key, "row": row, "values": values}, ensure_ascii=False) + "\n")
            else:
                sheet.writerow([key, row, *(_cell(values.get(name)) for name in names)])
            written += 1
    return written


def _exported(scan: Scan, table: Table, keys: Iterable[str] | None) -> Iterator[tuple[str, int, Mapping[str, Any]]]:
    for key in scan.keys if keys is None else keys:
        ids = scan.rows(key).tolist()
        for begin in range(0, len(ids), 1_000):
            rows = table.find(ids[begin : begin + 1_000])
            for row in ids[begin : begin + 1_000]:
                yield key.removeprefix("finding."), row, rows[row].values


def _cell(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
