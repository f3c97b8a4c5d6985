"""A LoRA adapter as GGUF on its base model as GGUF computes what PEFT computes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from peft import LoraConfig, get_peft_model

from studio.errors import ExportError, Stopped
from studio.export.gguf_adapter import check_adapter, look_at_gguf_adapter, write_gguf_adapter
from studio.export.gguf_model import write_gguf
from tests.export.gguf_models import llama_scores, off, save_random, scores

LAYERS = {
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "gpt_neox": ["query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"],
}
# Another rank in the first block, another alpha in the second; the names hold in every architecture.
UNEVEN = {"rank_pattern": {r".*\.0\..*": 2}, "alpha_pattern": {r".*\.1\..*": 3}}


def save_adapter(folder: Path, base: Any, kind: str = "llama", **settings: Any) -> Any:
    """An adapter that changes much, in `folder`; returns the model with it."""
    options = {"target_modules": LAYERS.get(kind, "all-linear"), "r": 4, "lora_alpha": 16, **settings}
    config = LoraConfig(init_lora_weights=False, fan_in_fan_out=kind == "gpt2", task_type="CAUSAL_LM", **options)
    tuned = get_peft_model(base, config).eval()
    tuned.save_pretrained(str(folder))
    return tuned


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True, **UNEVEN}], ids=["lora", "rslora, uneven"])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma3_text", "phi3", "gpt_neox", "gpt2"])
def test_it_computes_what_peft_computes(kind: str, settings: dict[str, Any], tmp_path: Path) -> None:
    base = save_random(tmp_path / "base", kind)
    plain = scores(base)
    tuned = save_adapter(tmp_path / "adapter", base, kind, **settings)
    file = tmp_path / "adapter.gguf"
    plan = write_gguf_adapter(tmp_path / "base", tmp_path / "adapter", file, "F32", name="tiny")
    write_gguf(tmp_path / "base", tmp_path / "base.gguf", "F32", name="tiny")
    wanted = scores(tuned)
    assert off(plain, wanted) > 0.3
    assert off(llama_scores(tmp_path / "base.gguf", adapter=file), wanted) < 2e-3
    assert abs(file.stat().st_size / plan.size("F32") - 1) < 0.1


def test_half_the_numbers_are_half_as_big(tmp_path: Path) -> None:
    base = save_random(tmp_path / "base")
    tuned = save_adapter(tmp_path / "adapter", base, r=16)
    sizes = []
    for kind in ("F32", "F16"):
        write_gguf_adapter(tmp_path / "base", tmp_path / "adapter", tmp_path / f"{kind}.gguf", kind, name="tiny")
        sizes.append((tmp_path / f"{kind}.gguf").stat().st_size)
    assert sizes[1] < 0.6 * sizes[0]
    write_gguf(tmp_path / "base", tmp_path / "base.gguf", "F32", name="tiny")
    assert off(llama_scores(tmp_path / "base.gguf", adapter=tmp_path / "F16.gguf"), scores(tuned)) < 1e-2


@pytest.mark.parametrize(
    ("settings", "tied", "key"),
    [
        ({"use_dora": True}, False, "adapter_dora"),
        ({"modules_to_save": ["lm_head"]}, False, "adapter_tokens"),
        ({"trainable_token_indices": [3]}, False, "adapter_tokens"),
        ({"target_modules": ["embed_tokens"]}, False, "adapter_layer"),
        ({"target_modules": ["q_proj"], "lora_bias": True}, False, "adapter_layer"),
        ({"target_modules": ["lm_head"]}, True, "adapter_layer"),
    ],
)
def test_what_no_such_file_can_hold_is_refused(settings: dict[str, Any], tied: bool, key: str, tmp_path: Path) -> None:
    base = save_random(tmp_path / "base", tied=tied)
    save_adapter(tmp_path / "adapter", base, **settings)
    with pytest.raises(ExportError, match="merged model as GGUF") as caught:
        look_at_gguf_adapter(tmp_path / "base", tmp_path / "adapter")
    assert caught.value.key == f"error.gguf.{key}"


def test_an_output_layer_of_its_own_can_be_tuned(tmp_path: Path) -> None:
    base = save_random(tmp_path / "base")
    tuned = save_adapter(tmp_path / "adapter", base, target_modules=["lm_head", "v_proj"])
    write_gguf_adapter(tmp_path / "base", tmp_path / "adapter", tmp_path / "adapter.gguf", "F32", name="tiny")
    write_gguf(tmp_path / "base", tmp_path / "base.gguf", "F32", name="tiny")
    assert off(llama_scores(tmp_path / "base.gguf", adapter=tmp_path / "adapter.gguf"), scores(tuned)) < 1e-4


def test_other_kinds_of_adapters_are_refused(tmp_path: Path) -> None:
    save_adapter(tmp_path, save_random(tmp_path / "base"))
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"peft_type": "IA3"}))
    with pytest.raises(ExportError, match="IA3"):
        check_adapter(tmp_path)


def test_it_stops(tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter", save_random(tmp_path / "base"))
    with pytest.raises(Stopped):
        write_gguf_adapter(
            tmp_path / "base", tmp_path / "adapter", tmp_path / "a.gguf", "F32", name="tiny", stopping=lambda: True
        )
    assert not (tmp_path / "a.gguf").exists()


def test_an_alpha_of_nothing_changes_nothing(tmp_path: Path) -> None:
    base = save_random(tmp_path / "base")
    plain = scores(base)
    save_adapter(tmp_path / "adapter", base, target_modules=["q_proj"])
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"lora_alpha": 0}))
    write_gguf_adapter(tmp_path / "base", tmp_path / "adapter", tmp_path / "a.gguf", "F32", name="tiny")
    write_gguf(tmp_path / "base", tmp_path / "base.gguf", "F32", name="tiny")
    assert np.allclose(llama_scores(tmp_path / "base.gguf", adapter=tmp_path / "a.gguf"), plain, atol=1e-5)
