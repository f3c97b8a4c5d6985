"""An adapter in a folder, made by PEFT without the studio: gone on with from the first look to the export; and what is
refused, with the way out, before anything is loaded."""

import json
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from studio.data.records import Message
from studio.errors import PlanError, SpecError
from studio.messages import LANGUAGES
from studio.models.adapter_folder import ADAPTER_CONFIG, ADAPTER_WEIGHTS, look_at_adapter, read_adapter_shape
from studio.models.shape import PARTS
from studio.runs.spec import ADAPTER_FOLDER, RunSpec, with_changes
from tests.backend.asked import beside_base, last
from tests.backend.made import Made, make
from tests.models.adapters import save_plain
from tests.tiny import save_tiny, tiny_model

RANKS = {"rank_pattern": {"q_proj": 5}, "use_rslora": True}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    models = tmp_path_factory.mktemp("models")
    for kind in ("llama", "gpt2"):
        save_tiny(models / kind, kind)
    made = make(tmp_path_factory.mktemp("studio"), models)
    yield made
    made.studio.close()


def spec_of(made: Made, folder: Path, model: str = "llama", **changes: Any) -> RunSpec:
    quick = {"training.epochs": 1, "training.evaluations": 1, "data.max_length": 64, "tuner.dropout": 0}
    paths = {path.replace("__", "."): value for path, value in changes.items()}
    shape = made.studio.adapter_settings(str(folder)) if look_at_adapter(folder).shape else {}
    asked = {"model.source": str(made.models / model), "model.adapter_folder": str(folder), **quick, **shape, **paths}
    return with_changes(made.studio.default_spec(made.version), asked)


def told(made: Made, spec: RunSpec) -> list[str]:
    """The keys of the problems, all told beside the folder and in both languages."""
    found = made.studio.problems(spec)
    for problem in found:
        assert problem.path == "model.adapter_folder"
        assert all(problem.error.message(language) for language in LANGUAGES)
    return [problem.error.key.removeprefix("error.adapter_folder.") for problem in found]


# What works


def test_from_the_first_look_to_the_export(made: Made, tmp_path: Path) -> None:
    studio = made.studio
    folder = save_plain(tmp_path / "mine", strength=1.0, **RANKS)
    spec = spec_of(made, folder)
    assert told(made, spec) == []
    weights = load_file(folder / ADAPTER_WEIGHTS)
    trained = sum(tensor.numel() for tensor in weights.values())
    assert sum(studio.shape(spec).trained(spec.tuner).values()) == trained
    assert studio.estimate(spec).trainable_parameters == trained
    run = studio.runner.submit(spec, "on").id
    assert studio.runner.run_now(run).status == "done"
    started = studio.runner.state(run).started
    assert started is not None
    assert started.sources.keys() == {ADAPTER_FOLDER}
    turns = (Message("user", "and 3?"),)
    assert last(studio, beside_base(studio, run, turns=turns, max_new_tokens=4)).done
    assert studio.exports.make(run).proof.passed

    # A run that goes on from that one has no need of the folder.
    following = with_changes(studio.following(run, "sft"), {"data.version": made.version, "data.max_length": 64})
    assert (following.model.adapter_folder, following.tuner.targets) == ("", "adapter")  # type: ignore[union-attr]
    folder.rename(tmp_path / "gone")
    assert sum(studio.shape(following).trained(following.tuner).values()) == trained
    second = studio.runner.submit(following, "on and on").id
    assert studio.runner.run_now(second).status == "done"
    result = load_file(studio.compare.adapter(second).folder / ADAPTER_WEIGHTS)
    assert {name: tensor.shape for name, tensor in result.items()} == {n: t.shape for n, t in weights.items()}
    assert told(made, spec) == ["missing"]


def test_an_adapter_of_a_model_by_another_name_is_a_caution(made: Made, tmp_path: Path) -> None:
    def cautions(base: str | None) -> list[str]:
        folder = changed(save_plain(tmp_path / "a"), base_model_name_or_path=base)
        spec = spec_of(made, folder)
        assert told(made, spec) == []
        return [str(values) for key, values in made.studio.cautions(spec) if "adapter_base" in key]

    (one,) = cautions("owner/other")
    assert "owner/other" in one
    assert cautions("owner/Llama") == cautions("/elsewhere/llama") == cautions(None) == cautions("") == []


def test_settings_other_than_the_adapters_are_named(made: Made, tmp_path: Path) -> None:
    folder = save_plain(tmp_path / "a", **RANKS)
    spec = with_changes(RunSpec(), {"data.version": made.version, "model.source": str(made.models / "llama")})
    spec = with_changes(spec, {"model.adapter_folder": str(folder), "tuner.dropout": 0.2})
    (problem,) = made.studio.problems(spec)
    assert "tuner.variant rslora, tuner.rank 3, tuner.alpha 5, tuner.targets adapter" in problem.error.message()
    own = {f"tuner.{name}": value for name, value in read_adapter_shape(folder).settings.items()}
    assert made.studio.problems(with_changes(spec, own)) == []


def test_settings_that_contradict_each_other() -> None:
    for changes in (
        {"model.adapter_folder": "/a", "model.adapter": "run"},
        {"model.adapter_folder": "/a", "tuner.kind": "full"},
        {"model.adapter_folder": " "},
        {"model.adapter_folder": "/a", "model.adapter_step": 3},
        {"model.adapter_folder": "/a", "method.kind": "cpt", "method.new_tokens": 10},
        {"tuner.targets": "adapter"},
    ):
        with pytest.raises(SpecError) as caught:
            with_changes(RunSpec(), changes)
        assert all("spec.type" not in caught.value.message(language) for language in LANGUAGES)


# What is refused


def changed(folder: Path, **settings: Any) -> Path:
    file = folder / ADAPTER_CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    return folder


def renamed(folder: Path, name: str = ADAPTER_WEIGHTS, to: str = "x") -> Path:
    (folder / name).rename(folder / to)
    return folder


def written(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder


def tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> Path:
    weights = load_file(folder / ADAPTER_WEIGHTS)
    change(weights)
    save_file(weights, folder / ADAPTER_WEIGHTS)
    return folder


def without_a_matrix(weights: dict[str, torch.Tensor]) -> None:
    del weights[next(iter(weights))]


def with_whole_numbers(weights: dict[str, torch.Tensor]) -> None:
    name = next(iter(weights))
    weights[name] = weights[name].to(torch.int8)


def with_a_layer(weights: dict[str, torch.Tensor]) -> None:
    for name in [name for name in weights if ".0.self_attn.q_proj" in name]:
        weights[name.replace("q_proj", "o_proj")] = weights[name].clone()


def without_a_layer(weights: dict[str, torch.Tensor]) -> None:
    for name in [name for name in weights if ".0.self_attn.q_proj" in name]:
        del weights[name]


def setting(name: str, value: Any) -> tuple[str, Callable[[Path], Path]]:
    return "setting", lambda folder: changed(folder, **{name: value})


REFUSED: dict[str, tuple[str, Callable[[Path], Path]]] = {
    "no folder": ("missing", lambda folder: folder / "none"),
    "a name too long": ("unreadable", lambda folder: folder / ("a" * 300)),
    "the home of nobody": ("unreadable", lambda folder: Path("~nobody-of-this-name/adapter")),
    "a file": ("not_a_folder", lambda folder: folder / ADAPTER_WEIGHTS),
    "no configuration": ("no_config", lambda folder: renamed(folder, ADAPTER_CONFIG)),
    "a model": ("is_model", lambda folder: renamed(folder, ADAPTER_CONFIG, "config.json")),
    "no JSON": ("unreadable", lambda folder: written(folder, ADAPTER_CONFIG, b"{")),
    "a list": ("unreadable", lambda folder: written(folder, ADAPTER_CONFIG, b"[]")),
    "no text": ("unreadable", lambda folder: written(folder, ADAPTER_CONFIG, b"\xff\xfe\x00")),
    "rank as text": ("unreadable", lambda folder: changed(folder, r="8")),
    "rank below zero": ("unreadable", lambda folder: changed(folder, r=-1)),
    "no weights": ("no_weights", renamed),
    "a pickle": ("pickles", lambda folder: written(renamed(folder), "adapter_model.bin", pickle.dumps({}))),
    "another pickle": ("pickles", lambda folder: written(renamed(folder), "weights.pt", pickle.dumps({}))),
    "cut weights": ("unreadable", lambda folder: written(folder, ADAPTER_WEIGHTS, bytes([9, *[0] * 7]) + b"{}")),
    "empty weights": ("unreadable", lambda folder: tensors(folder, dict.clear)),
    "another kind": ("kind", lambda folder: changed(folder, peft_type="IA3")),
    "another task": ("task", lambda folder: changed(folder, task_type="SEQ_CLS")),
    "code": ("code", lambda folder: changed(folder, auto_mapping={"parent_library": "evil", "base_model_class": "A"})),
    "pissa": ("init", lambda folder: changed(folder, init_lora_weights="pissa_niter_16")),
    "olora": ("init", lambda folder: changed(folder, init_lora_weights="OLoRA")),
    "corda": ("init", lambda folder: changed(folder, init_lora_weights="corda")),
    "loftq": ("init", lambda folder: changed(folder, init_lora_weights="loftq", loftq_config={"loftq_bits": 4})),
    "gradient": ("init", lambda folder: changed(folder, init_lora_weights="lora_ga")),
    "frozen half": setting("init_lora_weights", "mica"),
    "whole layers": setting("modules_to_save", ["lm_head"]),
    "biases": setting("bias", "lora_only"),
    "biases of the adapter": setting("lora_bias", True),
    "parameters": setting("target_parameters", ["experts.gate"]),
    "tokens": setting("trainable_token_indices", {"embed_tokens": [1, 2]}),
    "layers twice": setting("layer_replication", [[0, 2], [1, 2]]),
    "megatron": setting("megatron_config", {"a": 1}),
    "only after a word": setting("alora_invocation_tokens", [1]),
    "tied": setting("ensure_weight_tying", True),
    "what is not known yet": setting("use_everything", True),
    "no layers": setting("target_modules", None),
    "no expression": setting("target_modules", "(*"),
    "no expression of ranks": setting("rank_pattern", {"(*": 3}),
    "a rank beyond all settings": setting("r", 4096),
    "half a layer": ("tensor", lambda folder: tensors(folder, without_a_matrix)),
    "whole numbers": ("tensor", lambda folder: tensors(folder, with_whole_numbers)),
    "lengths without DoRA": ("tensor", lambda folder: changed(save_plain(folder, use_dora=True), use_dora=False)),
    "no lengths with DoRA": ("tensor", lambda folder: changed(folder, use_dora=True)),
    "embeddings": ("tensor", lambda folder: save_plain(folder, target_modules=["embed_tokens"])),
    "the output layer": ("tensor", lambda folder: save_plain(folder, target_modules=["q_proj", "lm_head"])),
    "a layer more": ("extra", lambda folder: tensors(folder, with_a_layer)),
    "a layer less": ("lacks.unnamed", lambda folder: tensors(folder, without_a_layer)),
    "ranks of another": ("rank", lambda folder: changed(folder, rank_pattern={"v_proj": 8})),
    "another shape": ("layer.unnamed", lambda folder: save_plain(folder, "gpt2")),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_gone_on_with_is_refused(case: str, made: Made, tmp_path: Path) -> None:
    key, spoil = REFUSED[case]
    folder = spoil(save_plain(tmp_path / "a"))
    assert told(made, spec_of(made, folder)) == [key]


def test_another_base_is_told_by_the_first_layer_that_does_not_fit(made: Made, tmp_path: Path) -> None:
    folder = changed(save_plain(tmp_path / "a"), base_model_name_or_path="owner/narrow")
    wide = tmp_path / "wide"
    save_tiny(wide)
    config = tiny_model().config
    config.intermediate_size = 96
    type(tiny_model())(config).save_pretrained(wide)
    (problem,) = made.studio.problems(spec_of(made, folder, model__source=str(wide)))
    message = problem.error.message()
    for words in ("layers.0.mlp.down_proj", "64 × 32", "96 × 32", "owner/narrow", "wide"):
        assert words in message
    with pytest.raises(Exception, match="does not fit"):
        made.studio.runner.submit(spec_of(made, folder, model__source=str(wide)))


def test_another_architecture_is_told_with_the_size_of_a_layer_and_the_name_of_its_base(
    made: Made, tmp_path: Path
) -> None:
    folder = changed(save_plain(tmp_path / "a", "gpt2"), base_model_name_or_path="owner/gpt")
    (problem,) = made.studio.problems(spec_of(made, folder))
    for words in ("transformer.h.0.attn.c_attn", "32 × 96", "owner/gpt"):
        assert all(words in problem.error.message(language) for language in LANGUAGES)
    changed(folder, base_model_name_or_path=None)
    (problem,) = made.studio.problems(spec_of(made, folder))
    assert "does not say what its own base model is" in problem.error.message()


def test_everything_is_told_together(made: Made, tmp_path: Path) -> None:
    folder = changed(save_plain(tmp_path / "a"), init_lora_weights="pissa", bias="all", task_type="SEQ_CLS")
    renamed(folder, to="adapter_model.bin")
    spec = spec_of(made, folder, data__max_length=600)
    with pytest.raises(PlanError) as caught:
        made.studio.runner.submit(spec)
    keys = [problem.error.key.rpartition(".")[2] for problem in made.studio.problems(spec)]
    assert keys == ["task", "init", "setting", "pickles", "max_length"]
    assert all(caught.value.message(language).count("\n- ") == 5 for language in LANGUAGES)


def test_an_adapter_spoiled_while_its_run_waits_is_told(made: Made, tmp_path: Path) -> None:
    folder = save_plain(tmp_path / "a")
    run = made.studio.runner.submit(spec_of(made, folder)).id
    changed(folder, lora_alpha=50)
    ended = made.studio.runner.run_now(run)
    assert (ended.status, ended.key, ended.wrong_input) == ("failed", "error.adapter_folder.settings", True)


def test_the_picture_counts_the_layers_of_the_adapter(made: Made, tmp_path: Path) -> None:
    spec = spec_of(made, save_plain(tmp_path / "a", target_modules=r".*layers\.1\.mlp\.up_proj"))
    trained = made.studio.shape(spec).trained(spec.tuner)
    assert trained == {**dict.fromkeys(PARTS, 0), "mlp": 3 * (32 + 64)}
