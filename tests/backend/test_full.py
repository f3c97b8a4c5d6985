"""A run that trained all weights: compared with its base, and given out as a model that plain transformers loads."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.data.records import Message
from studio.errors import ExportError, InputError, ModelError
from studio.models.folder import file_sha256
from studio.runs.exports import ExportSpec
from studio.runs.spec import with_changes
from tests.backend import asked
from tests.backend.asked import PROMPT, Sides, beside_base
from tests.backend.made import Made, make, save_models

CHANGES = {
    "tuner.kind": "full",
    "training.epochs": 2,
    "training.evaluations": 2,
    "training.learning_rate": 0.01,
    "data.split.validation_share": 0.2,
    "data.max_length": 64,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    made = make(tmp_path_factory.mktemp("studio"), save_models(tmp_path_factory.mktemp("models")))
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def run(made: Made) -> str:
    source = {"model.source": str(made.models / "llama")}
    spec = with_changes(made.studio.default_spec(made.version), {**source, **CHANGES})
    record = made.studio.runner.submit(spec, "All of it")
    assert made.studio.runner.run_now(record.id).status == "done"
    return record.id


def last(made: Made, run: str, step: int | None = None, **changes: Any) -> Sides:
    options = {"max_new_tokens": 10, "temperature": 1.0, **changes}
    return asked.last(made.studio, beside_base(made.studio, run, step, **options))


def test_base_and_whole_model_answer_side_by_side(made: Made, run: str) -> None:
    found = made.studio.compare.candidates()
    assert found
    assert all(contestant.full for contestant in found)
    folder = made.studio.store.run_folder(run)
    for contestant in found:
        place = "model" if contestant.step is None else f"checkpoint-{contestant.step}"
        end = last(made, run, contestant.step)
        assert end.tuned.adapter_sha256 == file_sha256(folder / place / "model.safetensors")
        assert end.done
        assert end.identical is False
    longer = (*PROMPT, Message("assistant", "3"), *PROMPT)
    apart = last(made, run, turns=longer, base_turns=PROMPT)
    assert apart.base.text == last(made, run).base.text
    assert apart.identical is False


def test_the_base_answers_alike_beside_an_adapter_and_beside_a_model(made: Made, run: str) -> None:
    adapter = made.run("llama", name="With an adapter")
    beside = last(made, run)
    assert last(made, adapter).base.text == beside.base.text
    again = last(made, run)  # now that the base has an adapter on it
    assert (again.base.text, again.tuned.text) == (beside.base.text, beside.tuned.text)


def test_the_export_is_a_model_that_plain_transformers_answers_with(made: Made, run: str) -> None:
    export = made.studio.exports.make(run)
    assert export.proof.passed
    assert export.proof.equal == export.proof.prompts > 0
    with zipfile.ZipFile(export.path) as archive:
        names = set(archive.namelist())
        card = archive.read("README.md").decode()
        assert str(made.models) not in card + archive.read("config.json").decode()
    assert {"model.safetensors", "config.json", "tokenizer.json", "README.md", "run-spec.yaml"} <= names
    assert not any("adapter" in name for name in names)
    assert "PeftModel" not in card
    assert "library_name: transformers" in card


def test_it_is_written_as_gguf_and_has_no_adapter(made: Made, run: str, tmp_path: Path) -> None:
    export = made.studio.exports.write(run, tmp_path / "out", None, ExportSpec(target="gguf", numbers="F32"))
    assert export.proof.passed
    own, other = export.proof.perplexity or (0, 0)
    assert other == pytest.approx(own, rel=1e-3)
    with pytest.raises(ExportError) as caught:
        made.studio.exports.write(run, tmp_path / "adapter", None, ExportSpec(target="gguf-adapter"))
    assert caught.value.key == "error.export.no_adapter"


def test_a_changed_or_missing_model_is_refused(made: Made, run: str) -> None:
    folder = made.studio.store.run_folder(run)
    file = folder / "model" / "model.safetensors"
    kept = file.read_bytes()
    file.write_bytes(kept[:-4] + b"\0\0\0\1")
    with pytest.raises(ModelError) as error:
        last(made, run)
    assert error.value.key == "error.adapter.changed"
    file.unlink()
    with pytest.raises(ModelError) as error:
        last(made, run)
    assert error.value.key == "error.adapter.missing"
    file.write_bytes(kept)
    assert last(made, run).done


def test_no_run_goes_on_from_it_with_an_adapter(made: Made, run: str) -> None:
    source = {"model.source": str(made.models / "llama"), "model.adapter": run}
    spec = with_changes(made.studio.default_spec(made.version), source)
    with pytest.raises(InputError) as error:
        made.studio.runner.submit(spec, "On from it")
    assert error.value.key == "error.source.full"
