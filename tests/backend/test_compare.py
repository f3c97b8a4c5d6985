"""Compare: who runs in each column, what is kept in memory, and which words differ."""

import gc
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import pytest

from studio.backend.compare import ColumnState, CompareRequest
from studio.data.records import Message
from studio.errors import InputError, ModelError, ResourceError
from studio.models.folder import file_sha256
from tests.backend import asked as asking
from tests.backend.asked import PROMPT, Sides, beside_base
from tests.backend.made import Made, make, save_models
from tests.models.adapters import save_adapter


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_models(tmp_path_factory.mktemp("models"))


@pytest.fixture
def made(models: Path, tmp_path: Path) -> Iterator[Made]:
    made = make(tmp_path, models)
    yield made
    made.studio.close()


def request(made: Made, run: str, step: int | None = None, **changes: Any) -> CompareRequest:
    """Sampled, as the likeliest bytes of a random model are no text."""
    return beside_base(made.studio, run, step, **{"max_new_tokens": 10, "temperature": 1.0, **changes})


def last(made: Made, asked: CompareRequest) -> Sides:
    return asking.last(made.studio, asked)


# What is compared


def test_contestants_are_results_and_checkpoints_newest_run_first(made: Made) -> None:
    first = made.run(name="First")
    second = made.run(name="Second", ended=False)
    found = [(c.run, c.name, c.step, c.base) for c in made.studio.compare.candidates()]
    assert found == [
        (second, "Second", 8, "llama"),
        (second, "Second", 4, "llama"),
        (first, "First", None, "llama"),
        (first, "First", 8, "llama"),
        (first, "First", 4, "llama"),
    ]
    kept = made.studio.compare.candidates()[2]
    folder = made.studio.store.run_folder(first)
    assert kept.adapter_sha256 == file_sha256(folder / "adapter" / "adapter_model.safetensors")


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_each_column_proves_what_it_runs(kind: str, made: Made) -> None:
    run = made.run(kind, name="Mine")
    folder = made.studio.store.run_folder(run)
    for step in (None, 4, 8):
        end = last(made, request(made, run, step))
        place = "adapter" if step is None else f"checkpoint-{step}"
        assert end.tuned.adapter_sha256 == file_sha256(folder / place / "adapter_model.safetensors")
        assert end.base.adapter_sha256 is None
        assert end.base.name == kind
        assert end.tuned.name == ("Mine" if step is None else f"Mine #{step}")
        assert end.done
        assert end.identical is False
        assert end.base.text != end.tuned.text


def test_the_base_column_never_depends_on_the_adapter(made: Made) -> None:
    run = made.run()
    texts = {last(made, request(made, run, step)).base.text for step in (None, 4, 8)}
    assert len(texts) == 1
    tuned = {last(made, request(made, run, step)).tuned.text for step in (4, 8)}
    assert len(tuned) == 2


def test_a_run_without_a_result_shows_its_newest_checkpoint(made: Made) -> None:
    run = made.run(ended=False)
    assert last(made, request(made, run)).tuned == replace(
        last(made, request(made, run, 8)).tuned,
        seconds=pytest.approx(0, abs=60),
        first_token_seconds=pytest.approx(0, abs=60),
    )


def test_an_adapter_that_does_nothing_is_noticed(made: Made) -> None:
    run = made.run(strength=0.0)
    end = last(made, request(made, run))
    assert end.identical is True
    assert end.base.text == end.tuned.text
    # also when the histories have grown apart, so that the two prompts cannot be compared themselves
    longer = (*PROMPT, Message("assistant", "3"), *PROMPT)
    assert last(made, request(made, run, base_turns=longer)).identical is True


def test_an_adapter_that_works_is_not_suspected_when_histories_differ(made: Made) -> None:
    longer = (*PROMPT, Message("assistant", "3"), *PROMPT)
    assert last(made, request(made, made.run(), base_turns=longer)).identical is False


def test_what_changed_since_the_run_is_refused(made: Made, tmp_path: Path) -> None:
    run = made.run()
    folder = made.studio.store.run_folder(run)
    shutil.copyfile(
        folder / "checkpoint-4" / "adapter_model.safetensors", folder / "adapter" / "adapter_model.safetensors"
    )
    with pytest.raises(ModelError) as caught:
        last(made, request(made, run))
    assert caught.value.key == "error.adapter.changed"

    copy = Made(made.studio, Path(shutil.copytree(made.models, tmp_path / "copy")), made.version)
    run = copy.run()
    raw = bytearray((copy.models / "llama" / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (copy.models / "llama" / "model.safetensors").write_bytes(raw)
    with pytest.raises(ModelError) as caught:
        last(made, request(made, run))
    assert caught.value.key == "error.compare.base_changed"


def test_what_is_not_there_is_told(made: Made) -> None:
    run = made.run()
    for step, asked in ((5, run), (None, "no-such-run")):
        with pytest.raises(InputError):
            last(made, request(made, asked, step))
    shutil.rmtree(made.studio.store.run_folder(run) / "checkpoint-4")
    with pytest.raises(ModelError) as caught:
        last(made, request(made, run, 4))
    assert caught.value.key == "error.adapter.missing"
    for turns in ((), (Message("user", "  "),), (*PROMPT, Message("assistant", "x"))):
        with pytest.raises(InputError) as empty:
            last(made, request(made, run, turns=turns))
        assert empty.value.key == "error.compare.no_prompt"
    for changes in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"max_new_tokens": 0}, {"seed": -1}):
        with pytest.raises(InputError) as wrong:
            last(made, replace(request(made, run), **changes))  # type: ignore[arg-type]
        assert wrong.value.key == "error.compare.sampling"


# Answers


def test_both_columns_grow_together(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made.studio.compare, "_clock", map(float, count()).__next__)  # a second between two looks
    updates = list(asking.stream(made.studio, request(made, made.run(), max_new_tokens=30)))
    assert [u.done for u in updates] == [False] * (len(updates) - 1) + [True]
    assert updates[0].identical is None
    assert len(updates) > 2
    for before, after in pairwise(updates):
        for one, other in ((before.base, after.base), (before.tuned, after.tuned)):
            assert other.text.startswith(one.text)
            assert other.tokens >= one.tokens
    middle = updates[len(updates) // 2]
    assert middle.base.tokens == middle.tuned.tokens > 0


def test_numbers_under_an_answer(made: Made) -> None:
    end = last(made, request(made, made.run()))
    for column in (end.base, end.tuned):
        assert column.tokens == 10
        assert column.first_token_seconds is not None
        assert 0 < column.first_token_seconds < column.seconds
        speed = column.tokens_per_second
        assert speed == pytest.approx(9 / (column.seconds - column.first_token_seconds))
    assert ColumnState("", 1, 1.0, 1.0, True, "x", None).tokens_per_second is None


def test_system_prompt_and_history_reach_the_model(made: Made) -> None:
    run = made.run()
    texts = [
        last(made, request(made, run)),
        last(made, request(made, run, system="Answer like a pirate.")),
        last(made, request(made, run, base_turns=(*PROMPT, Message("assistant", "No."), *PROMPT))),
    ]
    assert len({t.base.text for t in texts}) == 3
    assert texts[2].tuned.text == texts[0].tuned.text  # the other column's history is its own
    assert last(made, request(made, run, system="   ")).base.text == texts[0].base.text
    # a system message that an example brings gives way to the one that is asked for
    pirate = request(made, run, system="Answer like a pirate.", base_turns=(Message("system", "Be dull."), *PROMPT))
    assert last(made, pirate).base.text == texts[1].base.text


def test_sampling_repeats_with_the_seed(made: Made) -> None:
    run = made.run()
    texts = [last(made, request(made, run, temperature=1.5, seed=seed)) for seed in (1, 1, 2)]
    assert (texts[0].base.text, texts[0].tuned.text) == (texts[1].base.text, texts[1].tuned.text)
    assert texts[0].base.text != texts[2].base.text


def test_examples_come_from_the_validation_split(made: Made) -> None:
    run = made.run()
    spec = made.studio.store.run(run).spec
    found = made.studio.compare.examples(run)
    assert len(found) == made.studio.datasets.split_counts(made.version, spec.data.split)[1] == 2
    for messages, expected in found:
        number = messages[-1].content.removeprefix("What is ").partition("?")[0]
        assert expected == f"It is {number}."


# Memory


def test_one_base_model_and_few_adapters_are_kept(made: Made) -> None:
    compare = made.studio.compare
    runs = [made.run() for _ in range(3)]
    for run in runs:
        for step in (4, 8):
            save_adapter(made.studio.store.run_folder(run) / f"checkpoint-{step}", seed=runs.index(run) * 10 + step)
            last(made, request(made, run, step))
    resident = compare._residence._resident
    assert resident is not None
    assert len(resident.adapters) == 4
    assert len(resident.model.peft_config) == 4
    first = weakref.ref(resident.loaded.model)
    del resident
    last(made, request(made, made.run("gpt2")))
    gc.collect()
    assert first() is None
    second = weakref.ref(compare._residence._resident.loaded.model)  # type: ignore[union-attr]
    assert compare.release()
    gc.collect()
    assert second() is None


def test_equal_adapters_are_loaded_once(made: Made) -> None:
    run = made.run()
    last(made, request(made, run))
    last(made, request(made, run, 8))
    assert len(made.studio.compare._residence._resident.adapters) == 1  # type: ignore[union-attr]


def test_an_abandoned_answer_holds_nothing(made: Made) -> None:
    """A browser that goes away in the middle neither blocks others nor keeps memory."""
    run, other = made.run(), made.run("gpt2")
    stream = made.studio.compare.stream(request(made, run, max_new_tokens=100))
    next(stream)
    next(stream)
    assert not made.studio.compare.release()  # in use
    stream.close()  # type: ignore[attr-defined]
    assert last(made, request(made, other)).done
    assert made.studio.compare.release()


def test_two_answers_at_once_on_one_base(made: Made) -> None:
    run = made.run()
    alone = [last(made, request(made, run, step)).tuned.text for step in (4, 8)]
    streams = [asking.stream(made.studio, request(made, run, step)) for step in (4, 8)]
    ends: list[Sides | None] = [None, None]
    while streams:
        for stream in list(streams):
            update = next(stream, None)
            if update is None:
                streams.remove(stream)
            else:
                ends[0 if update.tuned.name.endswith("4") else 1] = update
    assert [end.tuned.text for end in ends if end] == alone


def test_another_base_waits_until_the_first_is_free(made: Made) -> None:
    run, other = made.run(), made.run("gpt2")
    stream = made.studio.compare.stream(request(made, run))
    next(stream)
    ends: list[Sides] = []
    thread = threading.Thread(target=lambda: ends.append(last(made, request(made, other))))
    thread.start()
    thread.join(0.3)
    assert not ends
    assert list(stream)[-1].done
    thread.join(30)
    assert ends[0].base.name == "gpt2"


def test_memory_that_runs_out_is_told(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.models import generation

    def no_room(self: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes")

    run = made.run()
    last(made, request(made, run))
    monkeypatch.setattr(generation.Generation, "_forward", no_room)
    with pytest.raises(ResourceError) as caught:
        last(made, request(made, run))
    assert caught.value.key == "error.compare.memory"
    monkeypatch.undo()
    assert last(made, request(made, run)).done


def test_looking_loads_no_torch() -> None:
    code = (
        "import sys; import studio.backend.studio;"
        "assert not {'torch', 'transformers', 'trl', 'peft'} & set(sys.modules), 'heavy'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
