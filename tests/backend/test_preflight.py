"""What stands in the way of a run is told all at once, with the way out, before anything is loaded."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.backend.preflight import Means, ModelFacts, model_problems
from studio.errors import InputError, ModelError, PlanError, SpecError
from studio.messages import LANGUAGES
from studio.models.shape import shape_of
from studio.runs.cluster import ClusterSpec
from studio.runs.spec import RunSpec, with_changes
from tests.backend.made import Made, make
from tests.tiny import save_tiny, tiny_model, tiny_tokenizer

CPU = Means("cpu", bitsandbytes=True)
NF4 = {"tuner.quantisation": "nf4"}


def facts(kind: str = "llama", **changes: Any) -> ModelFacts:
    return ModelFacts(**{"name": "m", "problems": (), "context": 512, "shape": shape_of(tiny_model(kind)), **changes})


def told(changes: dict[str, Any], model: ModelFacts | None = None, means: Means = CPU) -> list[tuple[str, str]]:
    """Of each problem the setting and the key of the sentence, which both languages can tell."""
    found = list(model_problems(with_changes(RunSpec(), changes), model or facts(), means))
    for problem in found:
        assert all(problem.error.message(language) for language in LANGUAGES)
    return [(problem.path, problem.error.key.removeprefix("error.")) for problem in found]


def test_a_plan_that_works_has_no_problem() -> None:
    assert told({"tuner.rank": 16}) == []
    assert told({"tuner.rank": 16, **NF4}) == []
    assert told({"tuner.rank": 16, **NF4}, facts("gpt2")) == []
    assert told({"tuner.kind": "full"}) == []


def test_a_rank_larger_than_a_layer() -> None:
    assert told({"tuner.rank": 17}) == [("tuner.rank", "plan.rank")]  # keys and values are 32 x 16
    (problem,) = model_problems(with_changes(RunSpec(), {"tuner.rank": 17}), facts(), CPU)
    assert "16 or less" in problem.error.message()
    assert told({"tuner.rank": 32}, facts("gpt2")) == []


@pytest.mark.parametrize(
    ("model", "means", "key"),
    [
        ("llama", Means("cpu", bitsandbytes=False), "missing"),
        ("llama", Means("mps", bitsandbytes=True), "device"),
        ("falcon", CPU, "layers"),
        ("mamba", CPU, "layers"),
    ],
)
def test_four_bits_where_they_do_not_work(model: str, means: Means, key: str) -> None:
    assert ("tuner.quantisation", f"plan.four_bits.{key}") in told({"tuner.rank": 1, **NF4}, facts(model), means)


def test_a_model_without_the_layers_that_are_asked_for() -> None:
    assert told({"tuner.targets": "attention"}, facts("mamba")) == [("tuner.targets", "model.no_layers")]


def test_rows_and_answers_longer_than_the_model_reads() -> None:
    assert told({"data.max_length": 513}) == [("data.max_length", "plan.max_length")]
    assert told({"data.max_length": 512}) == []
    found = told({"method.kind": "grpo", "method.max_new_tokens": 512, "tuner.dropout": 0})
    assert found == [("method.max_new_tokens", "plan.max_new_tokens")]


def test_a_setting_that_mends_a_problem_comes_with_it() -> None:
    changes = {"tuner.rank": 17, "data.max_length": 513, **NF4}
    means = Means("mps", bitsandbytes=True)
    found = list(model_problems(with_changes(RunSpec(), changes), facts(), means))
    ways = {path: value for problem in found for way in problem.ways for path, value in way.items()}
    assert ways == {"tuner.rank": 16, "data.max_length": 512, "tuner.quantisation": "none"}
    mended = with_changes(RunSpec(), {**changes, **ways})
    assert list(model_problems(mended, facts(), means)) == []


def test_a_tokenizer_of_another_model() -> None:
    assert told({}, facts(tokens=262)) == [("model.source", "model.vocabulary")]
    assert told({}, facts(tokens=261)) == []


# Asked of a studio


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    made = make(tmp_path_factory.mktemp("studio"), tmp_path_factory.mktemp("models"))
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def broken(made: Made) -> Path:
    """Weights as a pickle, a tokenizer of more tokens than the model has, code of its own."""
    folder = made.models / "broken"
    tiny_model(vocabulary=200).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModelForCausalLM": "own.Model"}}))
    return folder


def test_everything_is_told_together(made: Made, broken: Path) -> None:
    changes = {
        "model.source": str(broken), "method.kind": "dpo", "tuner.rank": 64, "data.max_length": 600,
        "model.adapter": "gone",
    }  # fmt: skip
    spec = with_changes(made.studio.default_spec(made.version), changes)
    with pytest.raises(PlanError) as caught:
        made.studio.runner.submit(spec)
    keys = {problem.error.key.removeprefix("error.") for problem in made.studio.problems(spec)}
    assert keys == {
        "train.learns.pairs", "source.missing", "model.remote_code", "model.pickles", "model.vocabulary", "plan.rank",
        "plan.max_length",
    }  # fmt: skip
    for language in LANGUAGES:
        assert caught.value.message(language).count("\n- ") == len(keys)
    assert "`sft`" in caught.value.message()
    assert made.studio.runner.runs() == []


@pytest.mark.parametrize("method", ["dpo", "simpo", "orpo", "reward", "kto"])
def test_a_method_that_the_data_cannot_teach_comes_with_one_that_it_can(made: Made, method: str) -> None:
    """The shares of the split are asked of the rows as they are read in the end."""
    rows = [{"question": f"{i}?", "answer": f"yes {i}", "old_answer": f"no {i}"} for i in range(20)]
    file = made.studio.settings.workspace / f"{method}.jsonl"
    file.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    two = made.studio.datasets.import_file(file).id
    source = {"model.source": str(save_tiny(made.models / "able")), "tuner.rank": 16}
    for version in (made.version, two):
        asked = with_changes(made.studio.default_spec(version, method=method), source)
        (problem,) = made.studio.problems(asked)
        assert problem.path == "method.kind"
        assert all(problem.error.message(language) for language in LANGUAGES)
        assert problem.ways[-1] == {"method.kind": "sft"}
        assert len(problem.ways) == (2 if version == two else 1)
        for way in problem.ways:
            mended = with_changes(asked, way)
            assert made.studio.problems(mended) == []
            assert dict(made.studio.cautions(mended))["ui.train.caution.few_rows"]["rows"] > 0


def test_a_data_set_that_is_gone_is_told_without_a_way(made: Made) -> None:
    spec = with_changes(made.studio.default_spec(made.version), {"data.version": "gone", "method.kind": "dpo"})
    assert [(problem.path, problem.ways) for problem in made.studio.problems(spec)][:1] == [("method.kind", ())]


def test_settings_that_cannot_be_are_in_the_same_list(made: Made, broken: Path) -> None:
    spec = with_changes(made.studio.default_spec(made.version), {"model.source": str(broken), "tuner.rank": 64})
    with pytest.raises(SpecError) as caught:
        with_changes(spec, {"training.epochs": 0, "training.learning_rate": 0})
    found = {problem.path: problem.error for problem in made.studio.problems(caught.value)}
    assert {"training.epochs", "training.learning_rate", "tuner.rank", "model.source"} <= set(found)
    assert "must be more than 0" in found["training.epochs"].message()
    assert not any(found["training.epochs"].message(language).startswith(("-", "・")) for language in LANGUAGES)


def test_a_setting_that_cannot_be_hides_none_of_its_part(made: Made, broken: Path) -> None:
    """Nothing that stands in the way is told only after the first round is mended."""
    changes = {
        "model.source": str(broken), "tuner.alpha": 0, "tuner.rank": 64, "data.max_length": 600,
        "data.split.validation_share": 9, "training.patience": 9, "training.report_to": ["no"],
    }  # fmt: skip
    with pytest.raises(PlanError) as caught:
        made.studio.start(lambda: with_changes(made.studio.default_spec(made.version), changes))
    told = caught.value.message()
    assert "model.pickles" in " ".join(problem.key for problem in caught.value.problems)
    for word in ("tuner.alpha", "validation_share", "training.patience", "16 or less", "512 or less", "report_to"):
        assert word in told
    assert made.studio.runner.runs() == []


def test_what_a_cluster_cannot_do_is_told_with_the_rest(made: Made) -> None:
    folder = save_tiny(made.models / "here")
    spec = with_changes(made.studio.default_spec(made.version), {"model.source": str(folder), "tuner.rank": 64})
    with pytest.raises(PlanError) as caught:
        made.studio.start(lambda: spec, cluster=ClusterSpec(address="nowhere", workers=3))
    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["error.plan.rank", "error.cluster.batch", "error.cluster.address"]
    assert "- - " not in caught.value.message()


def test_rows_that_are_gone_when_the_run_begins_are_told(made: Made, tmp_path: Path) -> None:
    file = tmp_path / "gone.jsonl"
    file.write_text('{"question": "a?", "answer": "b"}\n' * 9, encoding="utf-8")
    version = made.studio.datasets.import_file(file).id
    source = {"model.source": str(save_tiny(made.models / "waiting")), "tuner.rank": 4}
    run = made.studio.runner.submit(with_changes(made.studio.default_spec(version), source)).id
    folder = made.studio.store.version_folder(version)
    folder.rename(tmp_path / "aside")
    ended = made.studio.runner.run_now(run)
    assert (ended.status, ended.key, ended.wrong_input) == ("failed", "error.dataset.rows_gone", True)
    (tmp_path / "aside").rename(folder)
    made.studio.runner.resume(run)
    assert made.studio.runner.run_now(run).status == "done"


def test_one_problem_is_told_as_itself(made: Made) -> None:
    folder = save_tiny(made.models / "fine")
    spec = with_changes(made.studio.default_spec(made.version), {"model.source": str(folder), "tuner.rank": 16})
    assert made.studio.problems(spec) == []
    with pytest.raises(InputError) as caught:
        made.studio.runner.submit(with_changes(spec, {"tuner.rank": 64}))
    assert caught.value.key == "error.plan.rank"


def test_what_was_mended_is_seen(made: Made) -> None:
    folder = save_tiny(made.models / "mended")
    spec = with_changes(made.studio.default_spec(made.version), {"model.source": str(folder), "tuner.rank": 16})
    assert made.studio.problems(spec, wait=False) == []
    (folder / "tokenizer.json").rename(folder / "kept.txt")
    assert {problem.error.key for problem in made.studio.problems(spec)} == {"error.model.no_tokenizer"}
    assert made.studio.problems(spec, wait=False)
    (folder / "kept.txt").rename(folder / "tokenizer.json")
    assert made.studio.problems(spec) == []
    shutil.rmtree(folder)
    (gone,) = made.studio.problems(spec)
    assert isinstance(gone.error, ModelError)
