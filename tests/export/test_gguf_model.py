"""A GGUF file holds the model: llama.cpp computes with it what Transformers computes with the folder."""

import json
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from llama_cpp import Llama
from transformers import AutoModelForCausalLM, AutoTokenizer

from studio.errors import ExportError, ModelError, Stopped
from studio.export.gguf_look import look_at_gguf
from studio.export.gguf_model import write_gguf
from studio.export.llama_cpp_kinds import BY_LLAMA_CPP, kinds_here
from studio.runs.exports import NUMBERS
from tests.export.gguf_models import IDS, llama_scores, off, save_random, scores
from tests.tiny import save_tiny

# Rounding is next to nothing; but of GELU llama.cpp looks the values up, in 16 bits.
EXACT, LOOKED_UP = 1e-5, 2e-3
ROPE = {"rope_theta": 10000.0}
MODELS: dict[str, tuple[str, dict[str, Any], float]] = {
    "llama": ("llama", {}, EXACT),
    "mistral": ("mistral", {}, EXACT),
    "qwen2": ("qwen2", {}, EXACT),
    "qwen3": ("qwen3", {}, EXACT),
    "gemma2": ("gemma2", {"tie_word_embeddings": True, "final_logit_softcapping": 30.0}, LOOKED_UP),
    "gemma3": ("gemma3_text", {"num_hidden_layers": 7, "layer_types": None}, LOOKED_UP),
    "phi3": ("phi3", {}, EXACT),
    "gpt2": ("gpt2", {}, LOOKED_UP),
    "gpt_neox": ("gpt_neox", {}, LOOKED_UP),
    "tied": ("llama", {"tie_word_embeddings": True}, EXACT),
    "tied, with an output layer of its own": ("gpt_neox", {"tie_word_embeddings": True}, LOOKED_UP),
    "one after the other": ("gpt_neox", {"use_parallel_residual": False}, LOOKED_UP),
    "wide heads and biases": ("llama", {"head_dim": 16, "attention_bias": True, "mlp_bias": True}, EXACT),
    "linear": ("llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, **ROPE}}, EXACT),
    "yarn": (
        "llama",
        {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128, **ROPE}},
        EXACT,
    ),
    "llama3": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
                **ROPE,
            }
        },
        EXACT,
    ),
    "part of a head is turned": (
        "phi3",
        {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5, **ROPE}},
        EXACT,
    ),
    "longrope": (
        "phi3",
        {
            "original_max_position_embeddings": 256,
            "rope_parameters": {
                "rope_type": "longrope",
                "short_factor": [1.0, 1.1, 1.2, 1.3],
                "long_factor": [2.0, 2.5, 3.0, 4.0],
                **ROPE,
            },
        },
        EXACT,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_llama_cpp_computes_the_same(name: str, tmp_path: Path) -> None:
    kind, settings, most = MODELS[name]
    model = save_random(tmp_path, kind, **settings)
    file = tmp_path / "model.gguf"
    report = write_gguf(tmp_path, file, "F32", name="tiny")
    ids = IDS[:15] if kind == "mistral" else IDS  # llama.cpp looks farther back than its window
    assert off(llama_scores(file, ids), scores(model, ids)) < most
    assert abs(report.size / look_at_gguf(tmp_path).sizes["F32"] - 1) < 0.05


def test_a_window_that_llama_cpp_does_not_keep_to_is_told(tmp_path: Path) -> None:
    save_random(tmp_path, "mistral")
    assert look_at_gguf(tmp_path).window == 16


@pytest.mark.parametrize("numbers", ["bfloat16", "float16"])
def test_weights_of_16_bits_are_kept(tmp_path: Path, numbers: str) -> None:
    model: Any = save_random(tmp_path).to(getattr(torch, numbers))
    model.save_pretrained(tmp_path)
    plan = look_at_gguf(tmp_path)
    assert plan.exact_kind == {"bfloat16": "BF16", "float16": "F16"}[numbers]
    write_gguf(tmp_path, tmp_path / "model.gguf", plan.exact_kind, name="tiny")
    written = {tensor.name: tensor for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}["token_embd.weight"]
    values = gguf.dequantize(written.data, written.tensor_type)
    assert np.array_equal(values, model.get_input_embeddings().weight.detach().float().numpy())


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, torch.nn.Module]:
    """Rows of 256 numbers, as the kinds of llama.cpp want them."""
    folder = tmp_path_factory.mktemp("wide")
    sizes: dict[str, Any] = {"hidden_size": 256, "intermediate_size": 256, "head_dim": 64, "num_hidden_layers": 1}
    return folder, save_random(folder, "llama", **sizes)


# How far scores may be off by kind of numbers: half as much again as is measured.
MOST_OFF = {
    "F32": EXACT,
    "F16": 0.002,
    "BF16": 0.015,
    "Q8_0": 0.045,
    "Q6_K": 0.14,
    "Q5_K_M": 0.25,
    "Q5_0": 0.28,
    "Q4_K_M": 0.32,
    "Q4_0": 0.46,
}


@pytest.mark.parametrize("kind", NUMBERS["gguf"])
def test_every_kind_of_numbers(wide: tuple[Path, torch.nn.Module], kind: str, tmp_path: Path) -> None:
    folder, model = wide
    told: list[float] = []
    report = write_gguf(folder, tmp_path / "model.gguf", kind, name="wide", tell=told.append)
    assert off(llama_scores(tmp_path / "model.gguf"), scores(model)) < MOST_OFF[kind]
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert abs(report.size / look_at_gguf(folder).sizes[kind] - 1) < 0.05
    assert [path.name for path in tmp_path.iterdir()] == ["model.gguf"]
    if kind.startswith("Q"):
        assert report.kinds.get("F32") == 3  # the norms
    assert report.padded == 0


def test_fewer_bits_are_farther_off(wide: tuple[Path, torch.nn.Module]) -> None:
    sizes = look_at_gguf(wide[0]).sizes
    kinds = ("F32", "F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M")
    assert sorted(kinds, key=lambda kind: sizes[kind], reverse=True) == list(kinds)


def test_rows_that_are_no_whole_blocks_keep_more_bits(tmp_path: Path) -> None:
    save_random(tmp_path, "llama", intermediate_size=72)
    report = write_gguf(tmp_path, tmp_path / "model.gguf", "Q4_0", name="tiny")
    assert (report.kept, report.kinds["F16"]) == (2, 2)  # what leads down again, in both layers
    assert report.kinds["Q8_0"] == 1  # the output layer
    assert llama_scores(tmp_path / "model.gguf").shape == (len(IDS), 261)


@pytest.mark.parametrize("tied", [True, False])
def test_8_bits_with_what_costs_most_in_16(tied: bool, tmp_path: Path) -> None:
    model = save_random(tmp_path, "llama", tie_word_embeddings=tied)
    layers = model.config.num_hidden_layers
    report = write_gguf(tmp_path, tmp_path / "model.gguf", "Q8_0", name="tiny", mixed=True)
    assert report.kinds["F16"] == report.kept == 2 * layers + 1  # values, what leads down again, and the scores
    assert report.kinds["Q8_0"] == 5 * layers + (not tied)
    plain = write_gguf(tmp_path, tmp_path / "plain.gguf", "Q8_0", name="tiny")
    mixed = off(llama_scores(tmp_path / "model.gguf"), scores(model))
    assert mixed < off(llama_scores(tmp_path / "plain.gguf"), scores(model))
    assert plain.size < report.size < look_at_gguf(tmp_path).sizes["F16"]


def test_an_embedding_of_more_rows_than_tokens(tmp_path: Path) -> None:
    model = save_random(tmp_path, "llama", vocab_size=300)
    report = write_gguf(tmp_path, tmp_path / "model.gguf", "F32", name="tiny")
    assert report.padded == 39
    assert off(llama_scores(tmp_path / "model.gguf"), scores(model)) < EXACT


def test_it_stops_between_two_weights(tmp_path: Path) -> None:
    save_random(tmp_path)
    asked = iter([False, False, True])
    with pytest.raises(Stopped):
        write_gguf(tmp_path, tmp_path / "model.gguf", "F32", name="tiny", stopping=lambda: next(asked))


def test_it_stops_while_llama_cpp_writes(wide: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    halves: list[float] = []
    with pytest.raises(Stopped):
        write_gguf(
            wide[0],
            tmp_path / "model.gguf",
            "Q6_K",
            name="wide",
            tell=halves.append,
            stopping=lambda: halves[-1:] != [] and halves[-1] >= 0.5,
        )


def test_what_llama_cpp_cannot_write_is_told(tmp_path: Path) -> None:
    from studio.export.llama_cpp_kinds import quantize

    (tmp_path / "none.gguf").write_bytes(b"GGUF?")
    with pytest.raises(ExportError) as caught:
        quantize(tmp_path / "none.gguf", tmp_path / "model.gguf", "Q4_K_M", 1, lambda share: None, lambda: False)
    assert caught.value.key == "error.gguf.quantize"


@pytest.mark.parametrize("kind", ["mixtral", "falcon", "mamba", "phi", "qwen2_moe"])
def test_other_architectures_are_refused(kind: str, tmp_path: Path) -> None:
    save_tiny(tmp_path, kind)
    with pytest.raises(ExportError) as caught:
        look_at_gguf(tmp_path)
    assert caught.value.key == "error.gguf.architecture"
    assert "qwen2" in caught.value.message()
    assert f"“{kind}”" in caught.value.message()


@pytest.mark.parametrize(
    ("kind", "setting", "value"),
    [
        ("llama", "hidden_act", "gelu"),
        ("llama", "rope_parameters", {"rope_type": "dynamic", "factor": 2.0, **ROPE}),
        ("qwen2", "rope_parameters", {"rope_type": "llama3", "factor": 2.0, **ROPE}),
        ("gemma2", "query_pre_attn_scalar", 32),
        ("gemma2", "layer_types", ["full_attention", "sliding_attention"]),
        ("gemma2", "tie_word_embeddings", False),
        ("gemma3_text", "use_bidirectional_attention", True),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
    ],
)
def test_settings_that_llama_cpp_does_not_compute_are_refused(
    kind: str, setting: str, value: object, tmp_path: Path
) -> None:
    save_random(tmp_path, kind, tied=True)
    look_at_gguf(tmp_path)
    _change(tmp_path / "config.json", setting, value)
    with pytest.raises(ExportError) as caught:
        look_at_gguf(tmp_path)
    assert caught.value.key == "error.gguf.setting"
    assert setting in caught.value.message()


def test_a_setting_that_is_missing_is_named(tmp_path: Path) -> None:
    save_random(tmp_path)
    _change(tmp_path / "config.json", "intermediate_size", None)
    with pytest.raises(ExportError, match="intermediate_size"):
        look_at_gguf(tmp_path)


def test_a_weight_without_a_place_is_named(tmp_path: Path) -> None:
    model = save_random(tmp_path)
    model.save_pretrained(
        tmp_path, state_dict={**model.state_dict(), "model.layers.0.self_attn.gate.weight": torch.ones(2, 2)}
    )
    with pytest.raises(ExportError, match=r"self_attn\.gate\.weight"):
        look_at_gguf(tmp_path)


def test_a_folder_without_weights_is_no_model(tmp_path: Path) -> None:
    save_random(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError):
        look_at_gguf(tmp_path)


def test_without_llama_cpp_its_kinds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(kinds_here().values()) == {None}
    save_random(tmp_path)
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    assert tuple(kind for kind, why in kinds_here().items() if why) == BY_LLAMA_CPP
    with pytest.raises(ExportError, match="pip install"):
        write_gguf(tmp_path, tmp_path / "model.gguf", "Q4_K_M", name="tiny")
    write_gguf(tmp_path, tmp_path / "model.gguf", "Q4_0", name="tiny")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ExportError, match="pip install"):
        write_gguf(tmp_path, tmp_path / "model.gguf", "Q8_0", name="tiny")


def test_a_name_does_not_change_how_tokens_are_read(tmp_path: Path) -> None:
    save_random(tmp_path)
    write_gguf(tmp_path, tmp_path / "model.gguf", "F16", name="Better than Phi-3")
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    assert fields["general.name"].contents() == "Better than phi 3"


def test_a_model_of_somebody_else(shared: Path, tmp_path: Path) -> None:
    folder = shared / "models" / "stories260k"
    write_gguf(folder, tmp_path / "model.gguf", "F32", name="stories")
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer("Once upon a time, there was a little café.").input_ids
    llama = Llama(str(tmp_path / "model.gguf"), vocab_only=True, verbose=False)
    assert llama.tokenize("Once upon a time, there was a little café.".encode(), special=True) == ids
    wanted = scores(model, ids)
    found = llama_scores(tmp_path / "model.gguf", ids)
    assert off(found, wanted) < EXACT
    assert (found.argmax(-1) == wanted.argmax(-1)).all()


def _change(file: Path, setting: str, value: object) -> None:
    values = json.loads(file.read_text(encoding="utf-8")) | {setting: value}
    file.write_text(json.dumps(values), encoding="utf-8")
