"""The proof of an export can fail: other answers, other scores, files that do not load."""

from pathlib import Path

import pytest
import torch

from studio.data.records import Message
from studio.errors import ExportError
from studio.export import plain
from studio.export.proof import Expected, ProofAnswer, close_enough, compare_outputs, prove

PROMPTS = ((Message("user", "a"),), (Message("user", "b"),))
SCORES = (torch.tensor([1.0, 2.0]), torch.tensor([3.0, -4.0]))
ONE, TWO = ProofAnswer((5, 6), "one"), ProofAnswer((7,), "two")
EXPECTED = Expected(PROMPTS, (ONE, TWO), SCORES, (1,), "cpu", torch.float32)


def test_equal_outputs_pass() -> None:
    proof = compare_outputs(EXPECTED, [ONE, TWO], list(SCORES))
    assert (proof.prompts, proof.equal, proof.max_score_difference, proof.passed) == (2, 2, 0.0, True)


@pytest.mark.parametrize("other", [ProofAnswer((7,), "two "), ProofAnswer((8,), "two")])
def test_one_other_answer_fails(other: ProofAnswer) -> None:
    proof = compare_outputs(EXPECTED, [ONE, other], list(SCORES))
    assert (proof.equal, proof.passed) == (1, False)


@pytest.mark.parametrize(("difference", "passed"), [(1e-6, True), (1e-3, False), (float("nan"), False)])
def test_scores_may_differ_by_rounding_only(difference: float, passed: bool) -> None:
    proof = compare_outputs(EXPECTED, [ONE, TWO], [SCORES[0], SCORES[1] + difference])
    assert proof.passed is passed


@pytest.mark.parametrize(
    ("first", "after", "close"),
    [(1.0, None, True), (0.94, None, False), (0.94, 2.0, False), (0.95, 2.01, True), (1.0, 2.03, False)],
)
def test_8_and_16_bits_keep_first_tokens_and_perplexity(first: float, after: float | None, close: bool) -> None:
    assert close_enough(first, None if after is None else (2.0, after)) is close


def test_files_that_do_not_load_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "plain.py"
    script.write_text("raise MemoryError('no room for the model')")
    monkeypatch.setattr(plain, "__file__", str(script))
    with pytest.raises(ExportError) as caught:
        prove(EXPECTED, tmp_path, tmp_path, tmp_path)
    assert caught.value.key == "error.export.not_loaded"
    assert "no room for the model" in caught.value.message()
