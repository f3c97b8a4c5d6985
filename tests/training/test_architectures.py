"""Models of every common shape: LoRA finds their layers, they learn, resume bit for bit, and plain PEFT loads what
comes out."""

from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from studio.errors import ModelError
from studio.models.device import detect_device
from studio.models.loading import attach_adapter, load_model, read_adapter
from studio.runs.spec import LoraSpec
from studio.settings import Settings
from studio.training.lora import Clock, add_adapter, lora_config
from tests.tiny import FURTHER_SHAPES, SHAPES, save_tiny, tiny_model
from tests.training.jobs import Recording, assert_resumes, conversations, tiny_spec

LAYERS = {
    "llama": {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
    "phi": {"q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"},
    "phi3": {"qkv_proj", "o_proj", "gate_up_proj", "down_proj"},
    "gpt_neox": {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"},
    "gpt2": {"c_attn", "c_proj", "c_fc"},
    # Experts are no layers but one tensor, which stays as it is.
    "mixtral": {"q_proj", "k_proj", "v_proj", "o_proj"},
    "falcon": {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"},
    # Without those whose weights are read past the layer.
    "mamba": {"in_proj", "x_proj"},
}
EVERY = SHAPES | FURTHER_SHAPES


@pytest.mark.parametrize(
    ("kind", "tied"), [*((k, tied) for k in SHAPES for tied in (True, False)), *((k, True) for k in FURTHER_SHAPES)]
)
def test_a_shape_learns_resumes_and_leaves(kind: str, tied: bool, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model", kind, tied=tied)
    spec = tiny_spec(folder, tuner__rank=4, training__learning_rate=0.02)
    whole = assert_resumes(spec, conversations(12), tmp_path)
    assert whole.losses()[-1][1] < whole.losses()[0][1]
    assert whole.state.notices == ()

    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(folder).eval()
        before = base(input_ids=ids).logits
        plain = PeftModel.from_pretrained(base, str(whole.folder / "adapter")).eval()(input_ids=ids).logits
        loaded = load_model(str(folder), Settings(workspace=tmp_path), detect_device()).model
        ours = attach_adapter(loaded, read_adapter(whole.folder / "adapter"), "tuned")(input_ids=ids).logits
    torch.testing.assert_close(ours, plain, rtol=0, atol=0)
    assert not torch.allclose(plain, before, atol=1e-4)


@pytest.mark.parametrize("kind", EVERY)
def test_every_layer_but_the_output_is_adapted(kind: str) -> None:
    found = lora_config(LoraSpec(), tiny_model(kind, tied=False)).target_modules
    assert set(found or ()) == LAYERS.get(kind, LAYERS["llama"])


@pytest.mark.parametrize("kind", [kind for kind in EVERY if kind != "mamba"])
def test_attention_alone_is_adapted(kind: str) -> None:
    attention = lora_config(LoraSpec(targets="attention"), tiny_model(kind, tied=False)).target_modules
    assert attention
    assert all("mlp" not in name and "fc" not in name and "4h" not in name for name in attention)


def test_a_model_without_attention_says_so() -> None:
    with pytest.raises(ModelError, match="all-linear"):
        lora_config(LoraSpec(targets="attention"), tiny_model("mamba"))


@pytest.mark.parametrize("kind", EVERY)
def test_every_adapter_takes_part(kind: str) -> None:
    """All of it gets a gradient: none sits on a layer whose weights are read past it."""
    model = add_adapter(tiny_model(kind), LoraSpec(rank=2), 0, Clock())
    ids = torch.arange(5, 25)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    assert [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None] == []


@pytest.mark.parametrize("kind", SHAPES)
def test_padding_changes_no_loss(kind: str, tmp_path: Path) -> None:
    """Rows of unequal length, eight at a time and one at a time."""
    folder = save_tiny(tmp_path / "model", kind)
    rows = conversations(16, answer=lambda i: "long " * (i % 5) + "end")
    runs = []
    for batch in (8, 1):
        spec = tiny_spec(folder, training__batch_size=batch, training__accumulation=8 // batch, tuner__dropout=0.0,
                         training__evaluations=1)  # fmt: skip
        run = Recording(spec, tmp_path / str(batch), rows)
        run.run()
        runs.append(run)
    together, alone = runs
    for name in ("loss", "grad_norm", "validation_loss"):
        assert [v for _, v in together.state.curves[name]] == pytest.approx(
            [v for _, v in alone.state.curves[name]], rel=1e-3
        )


@pytest.mark.parametrize("kind", ["qwen2", "gemma2", "gpt_neox"])
def test_what_a_tokenizer_lacks_is_named_and_trained_with(kind: str, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model", kind, pad=False, chat_template=None)
    run = Recording(tiny_spec(folder), tmp_path / "run")
    assert run.run() is not None
    keys = {notice.key for notice in run.state.notices}
    assert {"notice.model.default_pad", "notice.model.default_template"} <= keys
