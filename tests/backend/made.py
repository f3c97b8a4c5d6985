"""A workspace with a finished run in it, its adapters random: all that Compare and Export need, with no training."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.backend.studio import Studio
from studio.models.catalog import find_files
from studio.models.folder import file_sha256
from studio.runs.events import Checkpoint, Ended, Metrics, Notice, Queued, Started
from studio.runs.spec import with_changes
from studio.runs.store import new_id
from studio.settings import Settings
from tests.models.adapters import save_adapter
from tests.tiny import save_tiny

STEPS = (4, 8)


@dataclass(frozen=True)
class Made:
    """`models` holds a base model of each kind. Of each checkpoint the adapter differs; the result is the last one."""

    studio: Studio
    models: Path
    version: str

    def run(
        self,
        kind: str = "llama",
        *,
        base: Path | None = None,
        name: str = "A run",
        ended: bool = True,
        strength: float = 0.3,
        adapters: Sequence[Path] = (),
        changes: Mapping[str, Any] | None = None,
    ) -> str:
        """A new run; `ended` False leaves it interrupted, with its checkpoints. `adapters`: one for each checkpoint, in
        place of random ones of the tiny model. `changes`: settings by their paths."""
        studio, base = self.studio, base or self.models / kind
        spec = with_changes(
            studio.default_spec(self.version),
            {"model.source": str(base), "data.split.validation_share": 0.2, **(changes or {})},
        )
        run = new_id()
        studio.store.add_run(run, name, spec, Queued())
        folder = studio.store.run_folder(run)
        for number, step in enumerate(STEPS):
            if adapters:
                shutil.copytree(adapters[number], folder / f"checkpoint-{step}")
            else:
                save_adapter(folder / f"checkpoint-{step}", kind, seed=step, strength=strength)
        files = find_files(str(base), studio.settings)
        started = Started(
            total_steps=8,
            train_rows=8,
            validation_rows=2,
            trainable_parameters=1000,
            parameters=files.identity().parameters,
            device="test",
            base_fingerprint=files.fingerprint(),
            base_name=files.name,
        )
        studio.store.append(
            run,
            Notice(key="notice.model.default_pad", values={"model": files.name, "token": "</s>"}),
            started,
            Metrics(step=0, values={"validation_loss": 5.5}),
            *(Checkpoint(step=s, path=f"checkpoint-{s}", validation_loss=4 - s / 10) for s in STEPS),
        )
        if ended:
            shutil.copytree(folder / "checkpoint-8", folder / "adapter")
            sha256 = file_sha256(folder / "adapter" / "adapter_model.safetensors")
            studio.store.append(
                run,
                Ended(
                    status="done", step=8, adapter="adapter", adapter_sha256=sha256, best_step=8, validation_loss=3.2
                ),
            )
        return run


def make(folder: Path, models: Path) -> Made:
    """An open studio on a new workspace, with a small data set. Close it after use."""
    studio = Studio(Settings(workspace=folder / "workspace", offline=True), worker=False)
    rows = [{"question": f"What is {n}? いくつ?", "answer": f"It is {n}."} for n in range(10)]
    file = folder / "rows.jsonl"
    file.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return Made(studio, models, studio.datasets.import_file(file).id)


def save_models(folder: Path) -> Path:
    """A base model of each kind."""
    for kind in ("llama", "gpt2"):
        save_tiny(folder / kind, kind)
    return folder
