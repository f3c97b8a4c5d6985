"""The proof of a GGUF file by llama.cpp: it passes for the model of the run, and for nothing else."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from studio.data.records import Message
from studio.errors import ExportError, Stopped
from studio.export.gguf_adapter import write_gguf_adapter
from studio.export.gguf_model import write_gguf
from studio.export.llama_cpp_proof import prove_gguf
from studio.export.proof import Expected, expect
from studio.settings import read_settings

QUESTIONS = ("What is the capital of France?", "日本の首都はどこですか？", "What is 3 + 4?", "What does a cow say?")


@pytest.fixture(scope="module")
def starter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return read_settings(tmp_path_factory.mktemp("settings")).starter


@pytest.fixture(scope="module")
def expected(starter: Path) -> Expected:
    return _expect(_load(starter), AutoTokenizer.from_pretrained(starter))


def _load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def _expect(model: Any, tokenizer: Any) -> Expected:
    """What it answers, and how sure it is of that."""
    asked = [((Message("user", question),), "") for question in QUESTIONS]
    answered = expect(model, tokenizer, None, asked, len(asked))
    told = [(prompt, answer.text) for (prompt, _), answer in zip(asked, answered.answers, strict=True)]
    return expect(model, tokenizer, None, told, len(told))


@pytest.fixture(scope="module")
def whole(starter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The starter, in 32 bits."""
    file = tmp_path_factory.mktemp("whole") / "starter.gguf"
    write_gguf(starter, file, "F32", name="starter")
    return file


def test_the_model_itself_passes(expected: Expected, whole: Path, tmp_path: Path) -> None:
    proof = prove_gguf(expected, whole, tmp_path, kind="F32")
    assert proof.passed
    assert proof.program.startswith("llama.cpp (llama-cpp-python ")
    assert (proof.equal, proof.prompts, proof.first_tokens) == (4, 4, 1.0)
    assert (proof.rendered, proof.conversations) == (7, 7)
    assert proof.max_score_difference is not None
    assert proof.max_score_difference < 0.05
    assert proof.perplexity is not None
    assert proof.perplexity[1] == pytest.approx(proof.perplexity[0], rel=1e-3)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
def test_what_fewer_bits_cost_is_told(kind: str, starter: Path, expected: Expected, tmp_path: Path) -> None:
    write_gguf(starter, tmp_path / "starter.gguf", kind, name="starter")
    (tmp_path / "scratch").mkdir()
    proof = prove_gguf(expected, tmp_path / "starter.gguf", tmp_path / "scratch", kind=kind)
    assert proof.passed
    assert proof.max_score_difference is not None
    assert proof.max_score_difference > (0.5 if kind == "Q4_K_M" else 0.05)


def test_other_weights_do_not_pass(starter: Path, expected: Expected, tmp_path: Path) -> None:
    model = _load(starter)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.mul_(0.1)
    folder = tmp_path / "other"
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(starter).save_pretrained(folder)
    write_gguf(folder, tmp_path / "other.gguf", "F32", name="other")
    (tmp_path / "scratch").mkdir()
    proof = prove_gguf(expected, tmp_path / "other.gguf", tmp_path / "scratch", kind="F32")
    assert not proof.passed
    assert proof.rendered == 7
    assert proof.first_tokens < 0.9


@pytest.mark.parametrize("kind", ["F32", "Q4_0"])
def test_one_conversation_in_other_tokens_does_not_pass(
    kind: str, expected: Expected, whole: Path, tmp_path: Path
) -> None:
    first, *rest = expected.conversations
    other = replace(expected, conversations=(replace(first, ids=(*first.ids, 5)), *rest))
    proof = prove_gguf(other, whole, tmp_path, kind=kind)
    assert (proof.passed, proof.rendered, proof.conversations) == (False, 6, 7)


def test_an_adapter_passes_on_its_base(starter: Path, whole: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(starter)
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=4, target_modules=["q_proj", "v_proj", "down_proj"], task_type="CAUSAL_LM")
    tuned: Any = get_peft_model(_load(starter), config).eval()
    with torch.no_grad():
        for name, weight in tuned.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=4.0)
    tuned.save_pretrained(str(tmp_path / "adapter"))
    expected = expect(tuned, tokenizer, "default", [((Message("user", QUESTIONS[0]),), "Paris.")], 1)
    write_gguf_adapter(starter, tmp_path / "adapter", tmp_path / "adapter.gguf", "F32", name="tuned")
    proofs = []
    for adapter in (tmp_path / "adapter.gguf", None):
        scratch = tmp_path / f"scratch-{adapter is None}"
        scratch.mkdir()
        proofs.append(prove_gguf(expected, whole, scratch, kind="F32", adapter=adapter))
    assert [proof.passed for proof in proofs] == [True, False], proofs


def test_a_file_that_does_not_load_is_told(expected: Expected, tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + bytes(100))
    with pytest.raises(ExportError, match=r"could not load broken\.gguf") as caught:
        prove_gguf(expected, tmp_path / "broken.gguf", tmp_path, kind="F32")
    assert caught.value.key == "error.gguf.not_loaded"


def test_it_stops(expected: Expected, whole: Path, tmp_path: Path) -> None:
    with pytest.raises(Stopped):
        prove_gguf(expected, whole, tmp_path, kind="F32", stopping=lambda: True)


def test_without_llama_cpp_there_is_no_proof(
    expected: Expected, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(ExportError, match="pip install"):
        prove_gguf(expected, whole, tmp_path, kind="F32")
