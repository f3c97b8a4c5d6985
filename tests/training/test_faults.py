"""What can go wrong in a run: each ends with a plain message, and what was saved before stays usable."""

import gc
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from studio.data.records import Conversation, Message
from studio.errors import DataError, ModelError, ResourceError, StudioError, TrainingError
from studio.messages import LANGUAGES
from studio.runs.events import Checkpoint, Ended, Event, Metrics, Notice, Sample
from studio.runs.stop import Stop
from studio.training import trainer as studio_trainer
from studio.training.checkpoints import is_whole
from tests.training.jobs import Recording, conversations, tiny_spec


def told(error: StudioError) -> str:
    """The English sentence; the Japanese one must be there too, with all its fields."""
    for language in LANGUAGES:
        assert "{" not in error.message(language)
    return error.message("en")


# Rows


def test_no_rows(llama: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        Recording(tiny_spec(llama), tmp_path / "run", []).run()
    assert "No row" in told(error.value)


def test_one_row_trains_without_validation(llama: Path, tmp_path: Path) -> None:
    run = Recording(tiny_spec(llama), tmp_path / "run", conversations(1))
    ended = run.run()
    assert ended is not None
    assert ended.status == "done"
    assert ended.validation_loss is None
    assert run.state.started is not None
    assert (run.state.started.train_rows, run.state.started.validation_rows) == (1, 0)
    assert "notice.train.no_validation" in [n.key for n in run.state.notices]


def test_every_answer_cut_away(llama: Path, tmp_path: Path) -> None:
    spec = tiny_spec(llama, data__max_length=16)
    with pytest.raises(DataError) as error:
        Recording(spec, tmp_path / "run").run()
    assert error.value.key == "error.train.all_cut"
    assert "16 tokens" in told(error.value)
    assert int(str(error.value.values["prompt_tokens"])) > 16


def test_every_label_masked(llama: Path, tmp_path: Path) -> None:
    """Without an end token an empty answer has nothing to learn."""
    from studio.training.job import make_examples
    from tests.tiny import CHAT_TEMPLATE, tiny_tokenizer

    tokenizer = tiny_tokenizer(eos=False, chat_template=CHAT_TEMPLATE.replace("<|end|>", ""))
    rows = [(i, Conversation((Message("user", f"question {i}"),), "")) for i in range(5)]
    with pytest.raises(DataError) as error:
        make_examples(rows, tiny_spec(llama), tokenizer, 512)
    assert error.value.key == "error.train.all_masked"
    assert "5 rows" in told(error.value)


def test_some_rows_lost_are_counted(llama: Path, tmp_path: Path) -> None:
    long = [(100 + i, Conversation((Message("user", "x" * 90 + str(i)),), "gone")) for i in range(3)]
    run = Recording(tiny_spec(llama), tmp_path / "run", [*conversations(10), *long])
    run.run()
    lost = next(n for n in run.state.notices if n.key == "notice.train.lost")
    assert lost.values["rows"] == 3


def test_no_layer_to_adapt(llama: Path) -> None:
    from studio.runs.spec import LoraSpec
    from studio.training.lora import lora_config

    model = AutoModelForCausalLM.from_pretrained(llama)
    for module in list(model.model.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.Linear):
                setattr(module, name, torch.nn.Identity())
    with pytest.raises(ModelError) as error:
        lora_config(LoraSpec(), model)
    assert "Llama" in told(error.value)


# Numbers


def spoil_weights() -> None:
    """As after a step with an exploding gradient."""
    for found in gc.get_objects():
        if type(found) is torch.nn.Parameter and found.requires_grad:
            found.data.fill_(float("nan"))


def test_nan_loss_stops_and_keeps_the_last_good_checkpoint(llama: Path, tmp_path: Path) -> None:
    run = Recording(tiny_spec(llama), tmp_path / "run")
    run.watcher = lambda event: spoil_weights() if isinstance(event, Checkpoint) and event.step == 2 else None
    with pytest.raises(TrainingError) as error:
        run.run()
    assert error.value.key == "error.train.not_finite.loss"
    assert "at step 3" in told(error.value)
    assert "step 2 is good" in told(error.value)
    assert "0.001 instead of 0.01" in told(error.value)
    last = run.of(Checkpoint)[-1]
    assert last.step == 2
    assert is_whole(run.folder / last.path)
    run.watcher = lambda event: None
    ended = run.run()
    assert ended is not None
    assert ended.status == "done"


def test_spoiled_weights_are_never_saved(llama: Path, tmp_path: Path) -> None:
    """The loss of a step is measured before the step: a checkpoint looks at the weights themselves."""
    run = Recording(tiny_spec(llama, data__split__validation_share=0), tmp_path / "run")
    run.watcher = lambda event: spoil_weights() if isinstance(event, Metrics) and event.step == 1 else None
    with pytest.raises(TrainingError) as error:
        run.run()
    assert error.value.key == "error.train.not_finite_early.weights"
    assert told(error.value)
    assert not list(run.folder.glob("checkpoint-*"))


# Memory


class _OutOfMemory:
    """A run whose n-th event meets an allocator with nothing left."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, event: Event) -> None:
        if isinstance(event, Metrics) and event.step == 3 and "loss" in event.values:
            raise self.error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    ],
    ids=lambda e: type(e).__name__,
)
def test_out_of_memory_says_what_to_lower(llama: Path, tmp_path: Path, error: BaseException) -> None:
    run = Recording(tiny_spec(llama), tmp_path / "run")
    run.watcher = _OutOfMemory(error)
    with pytest.raises(ResourceError) as raised:
        run.run()
    assert "now 2;" in told(raised.value)
    assert "now 64 tokens" in told(raised.value)
    assert run.state.checkpoints[-1].step == 2


# Disk


def test_too_little_room_is_told_before_a_checkpoint_is_written(llama: Path, tmp_path: Path) -> None:
    run = Recording(tiny_spec(llama), tmp_path / "run", min_free_bytes=1 << 60)
    with pytest.raises(ResourceError) as error:
        run.run()
    assert error.value.key == "error.disk.needed"
    assert not list(run.folder.glob("checkpoint-*"))
    enough = Recording(run.spec, run.folder)
    enough.events = run.events
    ended = enough.run()
    assert ended is not None
    assert ended.status == "done"


_LIMITED = """
    import resource, signal, sys
    from pathlib import Path
    from studio.errors import ResourceError
    from studio.runs.events import Checkpoint
    from tests.training.jobs import Recording, tiny_spec

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    run = Recording(tiny_spec(Path(sys.argv[1])), Path(sys.argv[2]))
    # After the first checkpoint no file may grow beyond 20 kB: a write fails half-way, as on a full disk.
    def limit(event):
        if isinstance(event, Checkpoint) and event.step == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    run.watcher = limit
    try:
        run.run()
        sys.exit("the run ended although its disk was full")
    except ResourceError as error:
        print(error.key)
    left = sorted(p.name for p in run.folder.iterdir())
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    run.watcher = lambda event: None
    print(left, run.run().status, run.state.started.from_step)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
def test_a_disk_that_fills_while_a_checkpoint_is_written(llama: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_LIMITED), str(llama), str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    # What a tracker says of its mode when it is found comes first.
    assert done.stdout.splitlines()[-2:] == ["error.disk.full", "['checkpoint-2'] done 2"]


# Stop


def stop_at(run: Recording, stop: Stop, kind: type[Event], step: int, key: str) -> None:
    def watch(event: Event) -> None:
        if isinstance(event, kind) and event.step == step and key in event.values:  # type: ignore[union-attr]
            stop.stop()

    run.watcher = watch


def test_stop_keeps_a_usable_adapter(llama: Path, tmp_path: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    run = Recording(tiny_spec(llama), tmp_path / "run")
    stop = Stop()
    stop_at(run, stop, Metrics, 3, "loss")
    ended = run.run(stop)
    assert ended is not None
    assert (ended.status, ended.step) == ("stopped", 4)
    assert ended.validation_loss is not None
    base = AutoModelForCausalLM.from_pretrained(llama)
    loaded = PeftModel.from_pretrained(base, run.folder / "adapter")
    assert any(p.abs().sum() > 0 for n, p in loaded.named_parameters() if "lora_B" in n)


def test_stop_before_the_first_step_still_gives_an_adapter(llama: Path, tmp_path: Path) -> None:
    run = Recording(tiny_spec(llama), tmp_path / "run")
    stop = Stop()
    stop_at(run, stop, Metrics, 0, "validation_loss")
    ended = run.run(stop)
    assert ended is not None
    assert (ended.status, ended.step) == ("stopped", 1)
    assert (run.folder / "adapter" / "adapter_model.safetensors").is_file()


def test_leaving_during_an_evaluation_gives_it_up(llama: Path, tmp_path: Path) -> None:
    """Asked to go while evaluating, the run neither waits for the evaluation nor reports half a loss."""
    run = Recording(tiny_spec(llama, training__batch_size=1, data__split__validation_share=0.5), tmp_path / "run")
    stop = Stop()
    # The last thing before the evaluation of step 2 is the loss of step 2.
    run.watcher = lambda event: stop.leave() if isinstance(event, Metrics) and event.step == 2 else None
    assert run.run(stop) is None
    assert run.of(Ended) == []
    assert [e.step for e in run.of(Metrics) if "validation_loss" in e.values] == [0]
    assert run.of(Checkpoint)[-1].validation_loss is None
    ended = run.run()
    assert ended is not None
    assert ended.status == "done"


# The end


def test_keep_best_takes_the_lowest_validation_loss(llama: Path, tmp_path: Path) -> None:
    """A rate far too high for the last steps: an earlier checkpoint is the best one."""
    spec = tiny_spec(llama, training__learning_rate=0.3, training__schedule="constant", training__epochs=4,
                     training__evaluations=6)  # fmt: skip
    run = Recording(spec, tmp_path / "run")
    ended = run.run()
    assert ended is not None
    losses = {c.step: c.validation_loss for c in run.of(Checkpoint)}
    assert ended.best_step == min(losses, key=lambda step: (losses[step], step))
    assert ended.best_step != max(losses), "the settings no longer make the last checkpoint worse"
    assert run.weights() == run.weights(f"checkpoint-{ended.best_step}")
    assert ended.validation_loss == losses[ended.best_step]
    last = Recording(spec.model_copy(update={"training": spec.training.model_copy(update={"keep_best": False})}),
                     tmp_path / "last")  # fmt: skip
    kept = last.run()
    assert kept is not None
    assert kept.best_step == max(losses)


def test_nothing_is_sent(llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL pings its makers when a trainer is made; the studio's does not."""
    import trl.trainer.base_trainer as base

    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(base, "send_telemetry", lambda **_: pytest.fail("telemetry"))
    Recording(tiny_spec(llama), tmp_path / "run").run()
    assert studio_trainer.StudioTrainer._send_telemetry is not base._BaseTrainer._send_telemetry


def test_checkpoints_hold_no_pickle_but_the_training_state(llama: Path, tmp_path: Path) -> None:
    run = Recording(tiny_spec(llama), tmp_path / "run")
    run.run()
    folder = run.folder / run.of(Checkpoint)[-1].path
    names = {p.name for p in folder.iterdir()}
    assert {n for n in names if n.endswith((".pt", ".pth", ".bin"))} == {
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
    }
    old = run.folder / run.of(Checkpoint)[0].path
    assert not (old / "optimizer.pt").exists()
    assert json.loads((old / "adapter_config.json").read_text())["r"] == 2


def test_gpt2_shapes_train_and_resume(gpt2: Path, tmp_path: Path) -> None:
    run = Recording(tiny_spec(gpt2), tmp_path / "run")
    whole = run.run()
    assert whole is not None
    assert whole.validation_loss is not None
    before = run.state.validation_loss_before
    assert before is not None
    assert whole.validation_loss < before


def test_rows_that_the_template_refuses_are_left_out_of_the_samples_too(tmp_path: Path) -> None:
    """The first rows are those that are answered on the way; here they bring what the template takes from nobody."""
    from tests.tiny import CHAT_TEMPLATE, save_tiny

    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHAT_TEMPLATE
    model = save_tiny(tmp_path / "model", chat_template=strict)
    rows = conversations(14)
    for place in range(7):
        row_id, talk = rows[place]
        rows[place] = (row_id, Conversation((Message("system", "Be brief."), *talk.prompt), talk.answer))
    run = Recording(tiny_spec(model, training__epochs=1), tmp_path / "run", rows)
    ended = run.run()
    assert ended is not None
    assert ended.status == "done"
    (lost,) = [notice for notice in run.of(Notice) if notice.key == "notice.train.lost"]
    assert lost.values["rows"] == 7
    assert run.of(Sample)
    assert not any("brief" in sample.prompt for sample in run.of(Sample))
