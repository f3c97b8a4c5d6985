"""A finished run with test rows, on small sums, its adapter random: what an evaluation needs, with no training."""

import json
from pathlib import Path

from studio.data.splits import SplitSpec
from studio.runs.events import Queued
from studio.runs.spec import with_changes
from studio.runs.store import new_id
from tests.backend.made import Made, make
from tests.tiny import save_tiny

ROWS = [{"question": f"What is {n} plus {n}?", "answer": f"It is {2 * n}, dear friend."} for n in range(40)]


def make_studio(folder: Path) -> Made:
    """An open studio with one base model. Close it after use."""
    save_tiny(folder / "models" / "llama", "llama", tied=False)
    return make(folder, folder / "models")


def run_on_sums(made: Made, folder: Path) -> str:
    """With 28 rows that train, 4 that validate and 8 that test."""
    version = opened(made, ROWS, folder / "sums.json")
    made.studio.datasets.set_split(version, SplitSpec(validation_share=0.1, test_share=0.2))
    return run_on(made, version)


def opened(made: Made, rows: list[dict[str, str]], path: Path) -> str:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return made.studio.datasets.import_file(path).id


def run_on(made: Made, version: str) -> str:
    """A finished run on this data, its adapter random."""
    like = made.run()
    spec = made.studio.store.run(like).spec
    mapping = made.studio.datasets.version(version).mapping
    split = made.studio.datasets.version(version).split
    run = new_id()
    changes = {"data.version": version, "data.split": split.model_dump(), "data.mapping": mapping}
    made.studio.store.add_run(run, "Sums", with_changes(spec, changes), Queued())
    made.studio.store.append(run, *(stamped.event for stamped in made.studio.store.events(like, 1)))
    made.studio.store.run_folder(like).rename(made.studio.store.run_folder(run))
    return run
