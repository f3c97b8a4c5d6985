"""The reproduction script: plain libraries come to the losses that the run recorded, step by step."""

import ast
import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, load_file

from studio.data.records import Conversation, Message
from studio.data.tokens import tokenize
from studio.export.facts import CardFacts, DataFacts, RunFacts, TrainingFacts
from studio.export.rows import TRAIN, VALIDATION, row_json
from studio.export.script import FILE, differences, reproduction, why_not
from studio.messages import catalogue
from studio.models.catalog import find_files
from studio.models.loading import load_tokenizer
from studio.runs.events import Ended, Started
from studio.runs.spec import with_changes
from studio.settings import Settings
from studio.training.job import encoded
from tests.tiny import save_tiny
from tests.training.jobs import Recording
from tests.training.test_chains import parent_of
from tests.training.test_methods import lessons, method_spec

CASES: dict[str, tuple[str, str, dict[str, object]]] = {
    "sft": ("sft", "llama", {}),
    "sft gpt2": ("sft", "gpt2", {}),
    "sft rslora, all tokens": ("sft", "llama", {"tuner.variant": "rslora", "method.loss_on": "all"}),
    "sft dora": ("sft", "llama", {"tuner.variant": "dora"}),
    "sft qlora": ("sft", "llama", {"tuner.quantisation": "nf4"}),
    "sft full": ("sft", "llama", {"tuner.kind": "full", "training.learning_rate": 0.003}),
    "sft after another run": ("sft", "llama", {"model.adapter": "parent"}),
    "cpt packed": ("cpt", "llama", {}),
    "cpt": ("cpt", "gpt2", {"method.packed": False}),
    "dpo": ("dpo", "llama", {}),
    "dpo gpt2 ipo": ("dpo", "gpt2", {"method.loss": "ipo", "method.sft_weight": 0}),
    "dpo full": ("dpo", "llama", {"tuner.kind": "full", "training.learning_rate": 0.003}),
    "dpo after another run": ("dpo", "llama", {"model.adapter": "parent"}),
    "simpo": ("simpo", "llama", {}),
    "orpo": ("orpo", "llama", {}),
    "kto": ("kto", "llama", {"training.batch_size": 4}),
    "reward": ("reward", "llama", {}),
}
DRAWN = ("rloo", "grpo")
REWARDS = [
    {"kind": "json"},
    {"kind": "json", "json_schema": '{"type": "object"}'},
    {"kind": "contains", "text": "'@NAME@' \\ \"", "weight": 0.5},
    {"kind": "regex", "pattern": "[a-m]"},
    {"kind": "length", "low": 3, "high": 5},
    {"kind": "exact"},
]
# Runs one script after the other: what takes long is to import the libraries.
DRIVER = """
import json, runpy, sys, traceback
failed = {}
for name, arguments in json.load(sys.stdin).items():
    sys.argv = arguments
    print(f"== {name}")
    try:
        runpy.run_path(arguments[0], run_name="__main__")
    except BaseException:
        failed[name] = traceback.format_exc()
studio = [name for name in sys.modules if name.split(".")[0] == "studio"]
print("==", json.dumps({"failed": failed, "studio": studio}))
"""


@dataclass(frozen=True)
class Came:
    """What a run recorded, and what its script came to."""

    facts: CardFacts
    text: str
    losses: dict[int, float]
    said: str
    weights: dict[str, Any]
    own: dict[str, Any]

    @property
    def run(self) -> RunFacts:
        assert self.facts.run is not None
        return self.facts.run


def recorded(method: str, model: Path, folder: Path, changes: dict[str, object]) -> Recording:
    """A run without dropout, one batch a step where the script takes it so."""
    full, summed = changes.get("tuner.kind") == "full", method in ("sft", "cpt")
    alike = {
        "training.epochs": 1,
        "training.evaluations": 1,
        **({} if full else {"tuner.dropout": 0.0}),
        **({} if summed else {"training.accumulation": 1}),
    }
    spec = with_changes(method_spec(method, model), {**changes, **alike})
    sources = [parent_of(model, "llama", folder)] if spec.model.adapter else []
    run = Recording(spec, folder / "run", lessons(method), sources)
    run.run()
    return run


def facts_of(run: Recording, model: Path) -> CardFacts:
    started, ended = run.of(Started)[-1], run.of(Ended)[-1]
    config = run.folder / ended.adapter / "adapter_config.json"
    data = DataFacts("rows", 1, "d" * 64, len(run.rows), started.train_rows, started.validation_rows, len(run.rows))
    training = TrainingFacts(
        started.device,
        started.how[0],
        1.0,
        started.total_steps,
        started.trainable_parameters,
        dict(run.losses()),
        parent=next(((source.name, str(source.sha256)) for source in run.sources.values()), None),
    )
    made = RunFacts(
        id="20260101-000000-abcdef",
        spec=run.spec,
        step=ended.best_step,
        data=data,
        training=training,
        loss_before=None,
        loss_after=ended.validation_loss,
        accuracy_after=None,
    )
    return CardFacts(
        name="run",
        base=find_files(str(model), run.settings).identity(),
        full=not config.is_file(),
        dtype="float32",
        stops=(1,),
        weights_sha256="a" * 64,
        vocabulary=None,
        studio_version="0",
        adapter_config=json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {},
        run=made,
    )


def write_rows(run: Recording, facts: CardFacts, folder: Path) -> None:
    tokenizer = load_tokenizer(run.spec.model.source, run.settings).tokenizer
    tokenizer.save_pretrained(folder)
    rows = list(encoded(run.rows, run.spec, tokenizer, facts.base.context_length, None))
    for side, name in enumerate((TRAIN, VALIDATION)):
        lines = [json.dumps(row_json(row.record)) for row in rows if row.side == side and row.lesson]
        (folder / name).write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Came]:
    """Every case trained by the studio, and then by its script in a process that cannot find the studio."""
    root = tmp_path_factory.mktemp("scripts")
    models = {kind: save_tiny(root / "models" / kind, kind) for kind in ("llama", "gpt2")}
    cases = {**CASES, **{kind: (kind, "llama", {"method.rewards": REWARDS}) for kind in DRAWN}}
    runs: dict[str, tuple[Recording, CardFacts, str, Path]] = {}
    for place, (name, (method, kind, changes)) in enumerate(cases.items()):
        folder = root / f"case-{place}"
        run = recorded(method, models[kind], folder, changes)
        facts = facts_of(run, models[kind])
        (folder / "export").mkdir()
        write_rows(run, facts, folder / "export")
        text = reproduction(facts)
        assert text is not None
        (folder / "export" / FILE).write_text(text, encoding="utf-8")
        runs[name] = (run, facts, text, folder)
    asked = {
        name: [
            str(folder / "export" / FILE), "--base", str(facts.base.source), "--out", str(folder / "again"),
            *(["--parent", str(folder / "parent")] if run.sources else []),
        ]
        for name, (run, facts, _, folder) in runs.items()
    }  # fmt: skip
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-P", "-c", DRIVER], input=json.dumps(asked), capture_output=True, text=True, cwd=root,
        encoding="utf-8", check=False, env={**kept, "HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    *printed, end = done.stdout.split("\n== ")
    assert json.loads(end) == {"failed": {}, "studio": []}
    said = dict(part.removeprefix("== ").split("\n", 1) for part in printed)
    found = {}
    for name, (run, facts, text, folder) in runs.items():
        losses = json.loads((folder / "again" / "losses.json").read_text(encoding="utf-8"))
        (weights,) = (folder / "again").glob("*model.safetensors")
        own = load(run.result())
        found[name] = Came(facts, text, {int(k): v for k, v in losses.items()}, said[name], load_file(weights), own)
    return found


@pytest.mark.parametrize("case", CASES)
def test_plain_libraries_come_to_the_same_losses(case: str, came: dict[str, Came]) -> None:
    """Of every step until the one that was kept, and of the validation rows; and to the same weights."""
    found = came[case]
    expected = {step: loss for step, loss in found.run.training.losses.items() if step <= found.run.step}
    assert found.losses == {step: pytest.approx(loss, rel=1e-4) for step, loss in expected.items()}
    again, recorded = map(float, re.findall(r"[\d.]{4,}", found.said.splitlines()[-1]))
    assert again == pytest.approx(recorded, rel=1e-4)
    assert recorded == pytest.approx(found.run.loss_after, abs=1e-6)
    assert set(found.weights) == set(found.own)
    for name, tensor in found.own.items():
        torch.testing.assert_close(found.weights[name], tensor, rtol=0.02, atol=5e-4)


@pytest.mark.parametrize("kind", DRAWN)
def test_answers_are_drawn_and_rewarded_by_every_reward(kind: str, came: dict[str, Came]) -> None:
    found = came[kind]
    assert len(found.losses) == found.run.step
    assert "rollouts" in differences(found.run)
    for place, reward in enumerate(REWARDS):
        assert f"def reward_{place}_{reward['kind']}(" in found.text


@pytest.mark.parametrize("case", [*CASES, *DRAWN])
def test_the_script_is_readable(case: str, came: dict[str, Came]) -> None:
    """Short enough, with nothing in it that is not used, and not a word of the studio's code or of this machine."""
    text = came[case].text
    assert "import studio" not in text
    assert "from studio" not in text
    assert str(came[case].facts.base.source) not in text
    assert re.findall("@[A-Z]+@", text) == (["@NAME@"] if case in DRAWN else [])  # the one that a reward looks for
    assert len(text.splitlines()) < 260
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--line-length", "120", "--select", "E,F,W", "-"],
        input=text, capture_output=True, text=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_it_stops_where_the_run_kept_its_weights(came: dict[str, Came]) -> None:
    facts, run = came["sft"].facts, came["sft"].run
    text = reproduction(replace(facts, run=replace(run, step=2)))
    assert text is not None
    assert "KEPT_STEP = 2\n" in text
    assert f"max_steps={run.training.total_steps}," in text
    recorded = ast.literal_eval(re.findall(r"RECORDED = (\{.*?\})", text, re.DOTALL)[0])
    assert recorded == {step: loss for step, loss in run.training.losses.items() if step <= 2}


def test_what_differs_and_what_cannot_be_is_told(came: dict[str, Came]) -> None:
    facts, run = came["sft"].facts, came["sft"].run
    assert differences(run) == ()
    assert why_not(facts) is None
    other = replace(run, spec=with_changes(run.spec, {"tuner.dropout": 0.1, "tuner.quantisation": "nf4"}))
    assert differences(other) == ("dropout", "four_bits")
    text = reproduction(replace(facts, run=other))
    assert text is not None
    assert "What is not the same" in text
    scored = replace(run, spec=with_changes(came["rloo"].run.spec, {"method.rewards": [{"kind": "language"}]}))
    for why, without in {
        "new_tokens": replace(facts, vocabulary=500),
        "rewards": replace(facts, run=scored),
        "elsewhere": replace(facts, run=None),
    }.items():
        assert why_not(without) == why
        assert reproduction(without) is None
        assert f"ui.export.card.script.none.{why}" in catalogue("en")
    for part in ("accumulation", "bfloat16", "dropout", "four_bits", "rollouts"):
        assert f"ui.export.card.script.differs.{part}" in catalogue("en")


def test_the_script_learns_the_tokens_that_the_studio_learns(came: dict[str, Came], tmp_path: Path) -> None:
    """Chats with a system turn, earlier answers, tools and Japanese."""
    (tmp_path / FILE).write_text(came["sft"].text, encoding="utf-8")
    made = runpy.run_path(str(tmp_path / FILE))["make_rows"]
    tokenizer = load_tokenizer(came["sft"].facts.base.source, Settings(workspace=tmp_path)).tokenizer
    talk = (
        Message("system", "Be short."),
        Message("user", "一は?"),
        Message("assistant", "one "),
        Message("user", "b"),
    )
    for record in (Conversation(talk, "two\n"), Conversation(talk[:2], "はい"), Conversation((talk[1],), "x" * 200)):
        (row,) = made(tokenizer, [row_json(record)], training=True)
        example = tokenize(record, tokenizer, 64)
        assert row == {"input_ids": list(example.ids), "labels": list(example.labels)}
