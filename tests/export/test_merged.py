"""A merged model gives the scores of base and adapter together, whatever the shape, the tuner and the numbers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from studio.errors import ModelError, Stopped
from studio.export.merged import merge, stored_numbers
from studio.models.adapter_folder import ADAPTER_WEIGHTS
from studio.models.catalog import ModelFiles, find_files
from studio.models.device import detect_device
from studio.models.loading import attach_adapter, load_model, read_adapter, read_tokenizer
from studio.settings import Settings
from tests.models.adapters import save_adapter, save_plain
from tests.tiny import SHAPES, save_tiny

IDS = torch.arange(5, 45)[None]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("merged")


def files_of(folder: Path) -> ModelFiles:
    return find_files(str(folder), Settings(workspace=folder.parent, offline=True))


def base_of(place: Path, kind: str, **options: Any) -> Path:
    folder = place / f"{kind}{'-apart' if options else ''}"
    return folder if folder.is_dir() else save_tiny(folder, kind, **options)


def merged(base: Path, adapter: Path | None, target: Path, numbers: str = "float32", **options: Any) -> float | None:
    tokenizer = read_tokenizer("tiny", base).tokenizer
    return merge(files_of(base), adapter, tokenizer, target, numbers, stops=(1, 7), **options)


def scores(folder: Path) -> torch.Tensor:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        return model(IDS).logits


def both(base: Path, adapter: Path) -> torch.Tensor:
    model: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
    with torch.no_grad():
        return model.eval()(IDS).logits


@pytest.mark.parametrize("kind", [*SHAPES, "mixtral", "falcon"])
def test_every_shape(kind: str, place: Path, tmp_path: Path) -> None:
    base = base_of(place, kind)
    adapter = save_adapter(tmp_path / "adapter", kind)
    merged(base, adapter, tmp_path / "out")
    torch.testing.assert_close(scores(tmp_path / "out"), both(base, adapter), rtol=1e-4, atol=1e-5)
    assert not torch.allclose(scores(tmp_path / "out"), scores(base), atol=1e-2)


@pytest.mark.parametrize(
    "options",
    [
        {"use_dora": True},
        {"use_rslora": True, "r": 8},
        {"rank_pattern": {"q_proj": 7}, "alpha_pattern": {"v_proj": 11}},
        {"layers_to_transform": [1]},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_tuner(options: dict[str, Any], place: Path, tmp_path: Path) -> None:
    base = base_of(place, "llama")
    adapter = save_plain(tmp_path / "adapter", **options)
    merged(base, adapter, tmp_path / "out")
    torch.testing.assert_close(scores(tmp_path / "out"), both(base, adapter), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("numbers", ["bfloat16", "float16"])
def test_other_numbers_are_those_of_the_merged_weights(numbers: str, place: Path, tmp_path: Path) -> None:
    """Rounded once, after merging: the file holds what float32 holds, in fewer bits."""
    base, adapter = base_of(place, "llama"), save_adapter(tmp_path / "adapter")
    for kind in ("float32", numbers):
        merged(base, adapter, tmp_path / kind, kind)
    whole, rounded = (
        AutoModelForCausalLM.from_pretrained(tmp_path / kind, dtype="auto").state_dict()
        for kind in ("float32", numbers)
    )
    for name, weight in whole.items():
        assert torch.equal(rounded[name], weight.to(getattr(torch, numbers))), name


def test_a_base_in_16_bits_keeps_what_the_adapter_says(place: Path, tmp_path: Path) -> None:
    """Into float32 the adapter is merged as it is, not as 16 bits would round it."""
    base = tmp_path / "base"
    model = AutoModelForCausalLM.from_pretrained(base_of(place, "llama"), dtype=torch.bfloat16)
    model.save_pretrained(base)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (base / name).write_bytes((base_of(place, "llama") / name).read_bytes())
    assert stored_numbers(base, ("model.safetensors",)) is torch.bfloat16
    adapter = save_adapter(tmp_path / "adapter", strength=0.01)
    merged(base, adapter, tmp_path / "out")
    torch.testing.assert_close(scores(tmp_path / "out"), both(base, adapter), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_base_held_in_four_bits(kind: str, place: Path, tmp_path: Path) -> None:
    """What comes out is the model as it was trained, its 4 bits included; how far they are off is told."""
    base, adapter = base_of(place, kind), save_adapter(tmp_path / "adapter", kind)
    error = merged(base, adapter, tmp_path / "out", held="float32")
    settings = Settings(workspace=tmp_path, offline=True)
    model: Any = load_model(str(base), settings, detect_device(), "float32", "nf4").model
    with torch.no_grad():
        trained = attach_adapter(model, read_adapter(adapter), "a")(IDS).logits
    torch.testing.assert_close(scores(tmp_path / "out"), trained, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(scores(tmp_path / "out"), both(base, adapter), atol=1e-3)
    assert error is not None
    assert 0.01 < error < 0.5
    assert "quantization_config" not in json.loads((tmp_path / "out" / "config.json").read_text())


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("own_weights", [True, False])
def test_an_adapter_on_the_output_alone_unties_it(own_weights: bool, place: Path, tmp_path: Path) -> None:
    """The embedding stays as it was: merged into both, every word would be read as another."""
    base = base_of(place, "llama")
    adapter = save_plain(tmp_path / "adapter", target_modules=["lm_head", "q_proj"])
    if not own_weights:
        kept = {n: t for n, t in load_file(adapter / ADAPTER_WEIGHTS).items() if "base_layer" not in n}
        save_file(kept, adapter / ADAPTER_WEIGHTS)
    merged(base, adapter, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["tie_word_embeddings"] is False
    torch.testing.assert_close(scores(tmp_path / "out"), both(base, adapter), rtol=1e-4, atol=1e-5)


def test_a_padded_vocabulary_keeps_its_rows(place: Path, tmp_path: Path) -> None:
    base, adapter = base_of(place, "qwen2"), save_adapter(tmp_path / "adapter", "qwen2")
    merged(base, adapter, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["vocab_size"] == 272


def test_a_model_without_adapter_is_written_as_it_is(place: Path, tmp_path: Path) -> None:
    base = base_of(place, "gpt2")
    merged(base, None, tmp_path / "out")
    assert torch.equal(scores(tmp_path / "out"), scores(base))


def test_answers_end_where_those_of_the_run_do_and_no_path_is_told(place: Path, tmp_path: Path) -> None:
    base = base_of(place, "llama")
    merged(base, save_adapter(tmp_path / "adapter"), tmp_path / "out")
    settings = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert settings["eos_token_id"] == [1, 7]
    for file in (tmp_path / "out").glob("*.json"):
        assert str(place) not in file.read_text(), file.name


def test_large_models_are_written_in_parts(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.export.merged.SHARD_BYTES", 40_000)
    base = base_of(place, "llama")
    merged(base, save_adapter(tmp_path / "adapter"), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 1
    torch.testing.assert_close(scores(tmp_path / "out"), both(base, tmp_path / "adapter"), rtol=1e-4, atol=1e-5)


def test_it_stops_soon(place: Path, tmp_path: Path) -> None:
    told: list[float] = []
    base, adapter = base_of(place, "llama"), save_adapter(tmp_path / "adapter")
    with pytest.raises(Stopped):
        merged(base, adapter, tmp_path / "out", tell=told.append, stopping=lambda: len(told) >= 3)
    assert len(told) == 3
    assert not (tmp_path / "out").exists()


def test_progress_only_grows_and_ends_at_one(place: Path, tmp_path: Path) -> None:
    told: list[float] = []
    merged(base_of(place, "llama"), save_adapter(tmp_path / "adapter"), tmp_path / "out", tell=told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_a_damaged_base_is_told(place: Path, tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "base")
    files = files_of(base)
    raw = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ModelError):
        merge(files, None, read_tokenizer("tiny", base).tokenizer, tmp_path / "out", "float32", stops=(1,))
