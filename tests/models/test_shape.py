"""What is told of a model from its configuration is what the model is."""

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from studio.errors import ModelError
from studio.models.device import detect_device
from studio.models.loading import load_model
from studio.models.shape import read_shape, shape_of
from studio.runs.methods import RewardSpec, SftSpec
from studio.runs.spec import FullSpec, LoraSpec, RunSpec
from studio.settings import Settings
from studio.training.lora import Clock, lora_config
from studio.training.tuned import counted_weights, tuned_model
from tests.tiny import FURTHER_SHAPES, SHAPES, save_tiny, tiny_model

EVERY = SHAPES | FURTHER_SHAPES
TUNERS: dict[str, Any] = {
    "lora": LoraSpec(rank=3),
    "attention": LoraSpec(rank=3, targets="attention"),
    "dora": LoraSpec(rank=3, variant="dora"),
    "full": FullSpec(),
}


@pytest.mark.parametrize("kind", EVERY)
def test_the_shape_is_read_without_the_weights(kind: str, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "m", kind)
    shape = read_shape(folder)
    assert shape == shape_of(tiny_model(kind))
    assert shape.parameters == sum(p.numel() for p in tiny_model(kind).parameters())
    (folder / "model.safetensors").unlink()
    assert read_shape(folder) == shape


@pytest.mark.parametrize(("kind", "tuner"), [(k, t) for k in EVERY for t in TUNERS if (k, t) != ("mamba", "attention")])
def test_what_is_trained_is_counted(kind: str, tuner: str) -> None:
    model = tiny_model(kind, tied=False)
    spec = RunSpec(tuner=TUNERS[tuner], method=SftSpec())
    trained, every = counted_weights(tuned_model(tiny_model(kind, tied=False), spec, Clock()))
    assert sum(shape_of(model).trained(spec.tuner).values()) == trained
    assert shape_of(model).parameters == every


def test_a_model_that_scores(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "m")
    spec = RunSpec(tuner=LoraSpec(rank=3), method=RewardSpec())
    loaded = load_model(str(folder), Settings(workspace=tmp_path), detect_device(), scores=True)
    shape = read_shape(folder, scores=True)
    trained, _ = counted_weights(tuned_model(loaded.model, spec, Clock()))
    assert sum(shape.trained(spec.tuner, scores=True).values()) == trained
    assert shape.numbers["head"] == shape.width == 32


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mixtral"])
def test_what_is_kept_in_four_bits(kind: str, tmp_path: Path) -> None:
    """Told of the shape, and found in the model that bitsandbytes has made smaller."""
    folder = save_tiny(tmp_path / "m", kind)
    model = load_model(str(folder), Settings(workspace=tmp_path), detect_device(), "auto", "nf4").model
    small = {name for name, module in model.named_modules() if type(module).__name__ == "Linear4bit"}
    assert {layer.name for layer in read_shape(folder).layers if layer.four_bits} == small
    assert small


@pytest.mark.parametrize("kind", ["falcon", "mamba"])
def test_layers_that_cannot_be_kept_in_four_bits(kind: str) -> None:
    assert not any(shape_of(tiny_model(kind)).in_four_bits().values())


def test_the_parts_of_a_model() -> None:
    llama, mixtral = shape_of(tiny_model(tied=False)), shape_of(tiny_model("mixtral"))
    assert llama.numbers["embeddings"] == llama.numbers["head"] == 261 * 32
    assert llama.numbers["attention"] == 2 * (2 * 32 * 32 + 2 * 32 * 16)
    assert llama.numbers["mlp"] == 2 * 3 * 32 * 64
    assert (llama.blocks, llama.width, llama.embedded, llama.tied) == (2, 32, 261, False)
    assert mixtral.numbers["experts"] == 2 * 4 * 3 * 32 * 64
    assert mixtral.tied
    assert not mixtral.numbers["head"]


@pytest.mark.parametrize("changes", ['"model_type": "no-such-model"', '"hidden_size": "wide"'])
def test_a_model_that_nobody_knows(changes: str, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "m")
    name = changes.split(":")[0]
    lines = [line for line in (folder / "config.json").read_text().splitlines() if name not in line]
    (folder / "config.json").write_text("\n".join(["{", f"{changes},", *lines[1:]]))
    with pytest.raises(ModelError):
        read_shape(folder)


def test_reading_a_shape_disturbs_nobody(tmp_path: Path) -> None:
    """Modules made elsewhere meanwhile have real weights of the usual kind, and no random numbers are drawn."""
    folder = save_tiny(tmp_path / "m")
    wrong: list[str] = []
    stop = threading.Event()

    def build() -> None:
        while not stop.is_set():
            layer = torch.nn.Linear(8, 8, bias=False)
            if layer.weight.is_meta or layer.weight.dtype != torch.float32 or not bool(layer.weight.any()):
                wrong.append("a layer without weights")

    thread = threading.Thread(target=build)
    before = torch.get_rng_state()
    read_shape(folder)
    assert torch.equal(torch.get_rng_state(), before)
    thread.start()
    try:
        for number in range(5):
            read_shape(Path(shutil.copytree(folder, tmp_path / str(number))))
    finally:
        stop.set()
        thread.join()
    assert not wrong


def test_a_gate_of_a_single_output_gets_no_adapter() -> None:
    """Of Qwen's shared expert; the rest of the model does."""
    model = tiny_model("qwen2_moe")
    shape = shape_of(model)
    gates = [layer.name for layer in shape.left_out("all-linear")]
    assert gates == [f"model.layers.{block}.mlp.shared_expert_gate" for block in range(2)]
    assert shape.left_out("attention") == shape.left_out("adapter") == ()
    adapted = {layer.name for layer in shape.adapted("all-linear")}
    assert adapted.isdisjoint(gates)
    assert "model.layers.0.mlp.shared_expert.up_proj" in adapted
    config = lora_config(LoraSpec(rank=8), model)
    assert isinstance(config.target_modules, set)
    assert not any("shared_expert_gate".endswith(name) for name in config.target_modules)
