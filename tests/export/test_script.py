"""The reproduction script: plain libraries come to the losses that the run recorded, step by step."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.export.facts import CardFacts, DataFacts, TrainingFacts
from studio.export.rows import TRAIN, VALIDATION, row_json
from studio.export.script import differences, reproduction, why_not
from studio.models.catalog import find_files
from studio.models.loading import load_tokenizer
from studio.runs.events import Ended, Started
from studio.runs.spec import with_changes
from studio.training.job import encoded
from tests.tiny import save_tiny
from tests.training.jobs import Recording
from tests.training.test_methods import lessons, method_spec


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "llama")


CASES: dict[str, tuple[str, dict[str, object]]] = {
    "sft": ("sft", {}),
    "sft rslora, all tokens": ("sft", {"tuner.variant": "rslora", "method.loss_on": "all"}),
    "sft dora": ("sft", {"tuner.variant": "dora"}),
    "sft full": ("sft", {"tuner.kind": "full", "training.learning_rate": 0.003}),
    "cpt packed": ("cpt", {}),
    "cpt": ("cpt", {"method.packed": False}),
    "dpo": ("dpo", {"training.accumulation": 1}),
    "dpo full": ("dpo", {"training.accumulation": 1, "tuner.kind": "full", "training.learning_rate": 0.003}),
    "simpo": ("simpo", {"training.accumulation": 1}),
    "orpo": ("orpo", {"training.accumulation": 1}),
    "kto": ("kto", {"training.accumulation": 1, "training.batch_size": 4}),
    "reward": ("reward", {"training.accumulation": 1}),
}


def recorded(method: str, model: Path, folder: Path, changes: dict[str, object]) -> Recording:
    """A run without dropout that kept a checkpoint before its end."""
    full = changes.get("tuner.kind") == "full"
    spec = with_changes(method_spec(method, model), {**changes, **({} if full else {"tuner.dropout": 0.0})})
    run = Recording(spec, folder, lessons(method))
    run.run()
    return run


def facts_of(run: Recording, model: Path) -> CardFacts:
    started, ended = run.of(Started)[-1], run.of(Ended)[-1]
    config = run.folder / ended.adapter / "adapter_config.json"
    data = DataFacts("rows", 1, "d" * 64, len(run.rows), started.train_rows, started.validation_rows, len(run.rows))
    training = TrainingFacts(
        started.device, started.how[0], 1.0, started.total_steps, started.trainable_parameters, dict(run.losses())
    )
    return CardFacts(
        run="20260101-000000-abcdef",
        name="run",
        spec=run.spec,
        step=ended.best_step,
        base=find_files(str(model), run.settings).identity(),
        dtype="float32",
        stops=(1,),
        adapter_sha256="a" * 64,
        data=data,
        training=training,
        loss_before=None,
        loss_after=ended.validation_loss,
        accuracy_after=None,
        notices=(),
        vocabulary=None,
        studio_version="0",
        adapter_config=json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {},
    )


def write_rows(run: Recording, facts: CardFacts, folder: Path) -> None:
    tokenizer = load_tokenizer(run.spec.model.source, run.settings).tokenizer
    tokenizer.save_pretrained(folder)
    rows = list(encoded(run.rows, run.spec, tokenizer, facts.base.context_length, None))
    for side, name in enumerate((TRAIN, VALIDATION)):
        lines = [json.dumps(row_json(row.record)) for row in rows if row.side == side and row.lesson]
        (folder / name).write_text("\n".join(lines), encoding="utf-8")


def run_script(text: str, folder: Path, model: Path, *more: str) -> tuple[dict[int, float], str]:
    """Its losses, and what it printed; in a process that cannot find the studio."""
    script = folder / "reproduce.py"
    script.write_text(text, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", str(script), "--base", str(model), "--out", str(folder / "again"), *more],
        capture_output=True, text=True, encoding="utf-8", cwd=folder, check=False,
        env={**kept, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    losses = json.loads((folder / "again" / "losses.json").read_text(encoding="utf-8"))
    return {int(step): loss for step, loss in losses.items()}, done.stdout


@pytest.mark.parametrize("case", CASES)
def test_plain_libraries_come_to_the_same_losses(case: str, llama: Path, tmp_path: Path) -> None:
    method, changes = CASES[case]
    run = recorded(method, llama, tmp_path / "run", changes)
    facts = facts_of(run, llama)
    folder = tmp_path / "export"
    folder.mkdir()
    write_rows(run, facts, folder)
    text = reproduction(facts)
    assert text is not None
    losses, said = run_script(text, folder, llama)
    expected = {step: loss for step, loss in run.losses() if step <= facts.step}
    assert losses == {step: pytest.approx(loss, rel=1e-4) for step, loss in expected.items()}
    found, theirs = (float(word) for word in said.splitlines()[-1].replace(",", "").split() if word[0].isdigit())
    assert found == pytest.approx(theirs, rel=1e-4)
