"""Up to four columns: one batch over one set of weights where they can share it, batches in turn where they cannot."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.backend.compare import Column, CompareRequest, CompareUpdate
from studio.data.records import Message
from studio.errors import InputError, ModelError
from studio.models.catalog import find_files
from studio.models.folder import file_sha256
from studio.models.generation import BASE
from studio.models.new_tokens import NewTokens
from studio.runs.contestants import Contestant
from studio.runs.spec import ModelSpec
from tests.backend.asked import PROMPT
from tests.backend.made import Made, make, save_models
from tests.models.adapters import save_plain
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("columns")
    made = make(folder, save_models(folder / "models"))
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def run(made: Made) -> str:
    return made.run(name="Mine")


def of(made: Made, kind: str = "llama", **parts: object) -> Contestant:
    return Contestant.model_validate({"base": ModelSpec(source=str(made.models / kind)), **parts})


def ask(made: Made, *contestants: Contestant, **options: object) -> CompareRequest:
    settings = {"max_new_tokens": 10, "temperature": 1.0, **options}
    return CompareRequest(tuple(Column(one, PROMPT) for one in contestants), **settings)  # type: ignore[arg-type]


def last(made: Made, *contestants: Contestant, **options: object) -> CompareUpdate:
    return list(made.studio.compare.stream(ask(made, *contestants, **options)))[-1]


def texts(update: CompareUpdate) -> list[str]:
    return [state.text for state in update.columns]


def test_four_columns_answer_as_each_does_alone(made: Made, run: str) -> None:
    outside = save_plain(made.models.parent / "outside", seed=5)
    four = (of(made), of(made, run=run), of(made, run=run, step=4), of(made, folder=str(outside)))
    update = last(made, *four)
    assert texts(update) == [texts(last(made, one))[0] for one in four]
    assert len(set(texts(update))) == 4
    assert [state.apart for state in update.columns] == [""] * 4
    assert [state.name for state in update.columns] == ["llama", "Mine", "Mine #4", "outside"]
    assert [state.identical for state in update.columns] == [None, False, False, False]
    folder = made.studio.store.run_folder(run) / "checkpoint-4"
    assert update.columns[2].adapter_sha256 == file_sha256(folder / "adapter_model.safetensors")


def test_columns_with_a_prompt_of_their_own_share_the_batch(made: Made, run: str) -> None:
    """A system message of the column's own goes before the question, and after it rows that were trained on."""
    prompted = of(made, system="Answer like a pirate.", shots=2)
    update = last(made, of(made), prompted, of(made, run=run), examples_of=run, system="Be dull.")
    plain = last(made, of(made), system="Be dull.")
    assert update.columns[0].text == plain.columns[0].text != update.columns[1].text
    spec = made.studio.store.run(run).spec
    shots = made.studio.datasets.shots(made.version, spec.data.split, 2)
    held_out = {messages[-1].content for messages, _ in made.studio.compare.examples(run)}
    assert len(shots) == 2
    assert not held_out & {messages[-1].content for messages, _ in shots}
    turns = [Message("system", "Answer like a pirate.")]
    for messages, answer in shots:
        turns += [*messages, Message("assistant", answer)]
    written = CompareRequest((Column(of(made), (*turns, *PROMPT)),), max_new_tokens=10, temperature=1.0)
    assert texts(list(made.studio.compare.stream(written))[-1])[0] == update.columns[1].text
    with pytest.raises(InputError) as caught:
        last(made, prompted)
    assert caught.value.key == "error.compare.no_shots"


def test_another_base_answers_in_a_batch_of_its_own(made: Made, run: str) -> None:
    updates = list(made.studio.compare.stream(ask(made, of(made), of(made, "gpt2"), of(made, run=run))))
    end = updates[-1]
    assert [state.apart for state in end.columns] == ["", "model", ""]
    assert [state.name for state in end.columns] == ["llama", "gpt2", "Mine"]
    assert [update.done for update in updates] == [False] * (len(updates) - 1) + [True]
    first = next(update for update in updates if update.columns[1].tokens)
    assert first.columns[0].finished
    assert first.columns[2].finished
    assert end.columns[1].text == texts(last(made, of(made, "gpt2")))[0]


def test_two_runs_with_different_tokens_answer_one_after_the_other(made: Made) -> None:
    """A base without new tokens joins the first of them, and answers as it does alone."""
    runs = []
    for number, merges in enumerate(((("a", "b"),), (("c", "d"), ("cd", "e")))):
        runs.append(made.run(name=f"New {number}"))
        folder = made.studio.store.run_folder(runs[-1])
        for place in ("adapter", "checkpoint-4", "checkpoint-8"):
            NewTokens(merges, 10, 5, ()).write(folder / place)
    end = last(made, of(made), *(of(made, run=run) for run in runs))
    assert [state.apart for state in end.columns] == ["", "", "tokens"]
    assert [state.identical for state in end.columns] == [None, False, None]
    assert end.columns[0].text == texts(last(made, of(made)))[0]
    assert [state.text for state in end.columns[1:]] == [texts(last(made, of(made, run=run)))[0] for run in runs]


def named(made: Made, folder: str, base: str, sha256: str = "") -> Path:
    """An adapter of the tiny model that says it was made for this one."""
    adapter = save_plain(made.models.parent / folder, seed=6)
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": base}))
    if sha256:
        (adapter / "base_model.json").write_text(json.dumps({"name": base, "sha256": sha256}))
    return adapter


@pytest.mark.parametrize(
    ("base", "told"),
    [
        ("owner/Llama", False),
        ("/elsewhere/models/llama@main", False),
        ("C:\\models\\llama", False),
        ("/cache/models--owner--llama/snapshots/0a1b", False),
        ("the same weights", False),
        ("owner/other-7b", True),
        ("/elsewhere/llama/other", True),
    ],
)
def test_an_adapter_that_says_it_is_of_another_base_is_cautioned_against(made: Made, base: str, told: bool) -> None:
    if base == "the same weights":
        base = str(save_tiny(made.models.parent / "another-name"))
    of_it = of(made, folder=str(named(made, "named", base)))
    caution = last(made, of(made), of_it).columns[1].caution
    assert caution == made.studio.compare.caution(of_it)
    assert (caution is not None) == told
    if caution:
        assert (caution.values["base"], caution.values["model"]) == (base, "llama")


def test_the_fingerprint_of_the_base_decides(made: Made, run: str) -> None:
    ours = find_files(str(made.models / "llama"), made.studio.settings).fingerprint()
    fits = of(made, folder=str(named(made, "fits", "owner/other-7b", ours)))
    assert last(made, fits).columns[0].caution is None
    alien = of(made, folder=str(named(made, "alien", "llama", "0" * 64)))
    for asked in (lambda: last(made, alien), lambda: made.studio.compare.caution(alien)):
        with pytest.raises(ModelError) as caught:
            asked()
        assert caught.value.key == "error.adapter_folder.other_weights"
    for wrong in ("{}", "[]", "{", '{"sha256": null}', '{"sha256": "abc"}'):
        (made.models.parent / "alien" / "base_model.json").write_text(wrong)
        with pytest.raises(ModelError) as caught:
            last(made, alien)
        assert caught.value.key == "error.adapter_folder.unreadable", wrong


def test_what_cannot_stand_in_a_column_is_told(made: Made, run: str) -> None:
    other = save_plain(made.models.parent / "for-gpt2", "gpt2")
    cases = [
        (of(made, "gpt2", run=run), InputError, "error.compare.other_base"),
        (of(made, folder=str(other)), ModelError, "error.adapter_folder.layer"),
        (of(made, folder=str(made.models / "nothing")), ModelError, "error.adapter_folder.missing"),
        (of(made, folder=str(made.models / "llama")), ModelError, "error.adapter_folder.is_model"),
        (of(made, run="no-such-run"), InputError, "error.run.unknown"),
        (of(made, system="word " * 200), ModelError, "error.compare.column_too_long"),
    ]
    for contestant, kind, key in cases:
        with pytest.raises(kind) as caught:
            last(made, of(made), contestant)
        assert caught.value.key.removesuffix(".unnamed") == key
    for columns in ([], [of(made)] * 5):
        with pytest.raises(InputError) as many:
            last(made, *columns)
        assert many.value.key == "error.compare.columns"
    assert made.studio.compare.release()  # nothing is held after a refusal


def test_a_lease_for_any_contestant(made: Made, run: str, tmp_path: Path) -> None:
    """The base alone too, before and after adapters are put on it."""
    from studio.models.generation import Generation, Sampling, render_prompt

    compare = made.studio.compare
    compare.release()

    def answer(contestant: Contestant) -> tuple[str, str | None, str]:
        with compare.lease_contestant(contestant) as lease:
            prompts = [render_prompt(PROMPT, lease.tokenizer)] * 2
            sampling = Sampling(1.0, max_new_tokens=10)
            names = [lease.adapter_name] * 2
            answers = Generation(lease.model, lease.tokenizer, prompts, sampling, adapters=names, lock=lease.lock).run()
            assert answers[0] == answers[1]
            assert lease.identity.name == "llama"
            return answers[0], lease.adapter_sha256, lease.adapter_name

    alone = answer(of(made))
    tuned = answer(of(made, run=run))
    assert alone == (texts(last(made, of(made)))[0], None, BASE)
    assert answer(of(made)) == alone
    assert tuned[0] == texts(last(made, of(made, run=run)))[0]
    assert tuned[1] == compare.adapter(run).sha256


def test_the_base_goes_on_alone_when_an_adapter_is_put_on_it(made: Made) -> None:
    """PEFT puts adapters into the very layers that an answer on its way is computed with."""
    made.studio.compare.release()
    whole = texts(last(made, of(made), max_new_tokens=30))[0]
    made.studio.compare.release()
    going = made.studio.compare.stream(ask(made, of(made), max_new_tokens=30))
    made.studio.compare._clock = iter(range(10_000)).__next__  # type: ignore[assignment]  # an update at every token
    for _ in range(2):
        next(going)
    strong = made.run(strength=3.0)
    last(made, of(made, run=strong))
    assert texts(list(going)[-1])[0] == whole


def test_an_adapter_that_does_nothing_is_told_of_its_column(made: Made, run: str) -> None:
    dead = made.run(name="Nothing", strength=0.0)
    end = last(made, of(made, run=run), of(made), of(made, run=dead))
    assert [state.identical for state in end.columns] == [False, None, True]
