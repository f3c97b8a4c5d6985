"""The rows that a run learned from, as files that its reproduction script and other programs read."""

import json
import os
from pathlib import Path

from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.runs.store import Store
from studio.settings import Settings

# JSON writes names and marks around what a row holds, and some signs in two.
_ROW_BYTES, _SIGN_BYTES = 200, 2


def most_bytes(datasets: Datasets, version: str) -> int:
    """`write_training_rows` writes about so many bytes at most, of a version of a data set."""
    table = datasets.table(version)
    return _SIGN_BYTES * table.held_bytes + _ROW_BYTES * table.rows


def write_training_rows(
    store: Store, datasets: Datasets, settings: Settings, run: str, folder: Path
) -> tuple[str, ...]:
    """`train.jsonl` and, where rows were kept out, `validation.jsonl`: those that something was learned of, in the
    run's order. Names of the files. Raises StudioError where model or data are not there any more."""
    load_engine(training=True)
    from studio.export.rows import TRAIN as TRAIN_FILE
    from studio.export.rows import VALIDATION as VALIDATION_FILE
    from studio.export.rows import row_json
    from studio.models.catalog import find_files
    from studio.models.loading import load_tokenizer
    from studio.training.job import TRAIN, VALIDATION, encoded

    spec = store.run(run).spec
    data = spec.data
    rows, _ = datasets.lessons(data.version, data.mapping, spec.method.learns)
    parts = datasets.split(data.version, data.split, data.mapping)
    tokenizer = load_tokenizer(spec.model.source, settings, spec.model.chat_template).tokenizer
    context = find_files(spec.model.source, settings).identity().context_length
    names = {TRAIN: TRAIN_FILE, **({VALIDATION: VALIDATION_FILE} if len(parts.validation) else {})}
    files = {side: (folder / name).open("w", encoding="utf-8") for side, name in names.items()}
    try:
        for row in encoded(rows, spec, tokenizer, context, parts):
            if row.lesson is not None:
                files[row.side].write(json.dumps(row_json(row.record), ensure_ascii=False) + "\n")
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    finally:
        for file in files.values():
            file.close()
    return tuple(names.values())
