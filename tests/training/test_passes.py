"""A batch in several passes: the cheapest ones, every row once, and the loss a plain forward pass gives."""

import random
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch.nn import functional
from torch.nn.functional import cross_entropy

from studio.data.records import Preference
from studio.training import trainer
from studio.training.head import is_plain, summed_loss
from studio.training.passes import MOST_TOKENS, PASS_TOKENS, divided, passes
from tests.tiny import tiny_model
from tests.training.jobs import Recording, assert_resumes, conversations, tiny_spec
from tests.training.test_methods import asked, method_spec, said


def cost(lengths: list[int], groups: list[list[int]]) -> int:
    return sum(len(rows) * max(lengths[row] for row in rows) + PASS_TOKENS for rows in groups)


@pytest.mark.parametrize("seed", range(8))
def test_no_other_division_costs_less(seed: int) -> None:
    """Against every way to cut the rows, sorted by length, into neighbours."""
    numbers = random.Random(seed)
    lengths = [min(500, max(3, round(numbers.lognormvariate(4.5, 1)))) for _ in range(7)]
    found = passes(lengths)
    assert sorted(row for rows in found for row in rows) == list(range(7))
    assert all(len(rows) * max(lengths[r] for r in rows) <= MOST_TOKENS or len(rows) == 1 for rows in found)
    order = sorted(range(7), key=lambda row: lengths[row])
    for count in range(7):
        for cuts in combinations(range(1, 7), count):
            groups = [order[a:b] for a, b in zip((0, *cuts), (*cuts, 7), strict=True)]
            if all(len(rows) * max(lengths[r] for r in rows) <= MOST_TOKENS for rows in groups):
                assert cost(lengths, found) <= cost(lengths, groups)


def test_a_row_longer_than_a_pass_stands_alone() -> None:
    assert passes([MOST_TOKENS * 2, 5, 5]) == [[0], [1, 2]]
    assert passes([7]) == [[0]]


def test_passes_hold_what_the_batch_holds() -> None:
    lengths = [3, 40, 41, 200]
    ids = torch.arange(800).reshape(4, 200)
    mask = torch.arange(200) < torch.tensor(lengths)[:, None]
    parts = divided({"input_ids": ids, "attention_mask": mask.long()})
    assert sum(int(part["attention_mask"].sum()) for part in parts) == sum(lengths)
    kept = torch.cat([part["input_ids"][part["attention_mask"] == 1] for part in parts])
    assert torch.equal(kept.sort().values, ids[mask])


def test_both_sides_of_a_pair_go_together() -> None:
    ids = torch.tensor([[1, 1, 1], [2, 0, 0], [3, 0, 0], [4, 4, 0]])  # the pairs 1, 3 and 2, 4
    mask = (ids > 0).long()
    (whole,) = divided({"input_ids": ids, "attention_mask": mask}, sides=2)
    assert whole["input_ids"].tolist() == [[2, 0, 0], [1, 1, 1], [4, 4, 0], [3, 0, 0]]
    wide = functional.pad(ids, (0, 200))
    wide[0] = 1
    long, short = divided({"input_ids": wide, "attention_mask": (wide > 0).long()}, sides=2)
    assert short["input_ids"].tolist() == [[2, 0], [4, 4]]
    assert long["input_ids"][:, :2].tolist() == [[1, 1], [3, 0]]


@pytest.mark.parametrize("method", ["dpo", "simpo", "orpo", "reward"])
def test_pairs_in_passes_are_pairs_at_once(
    method: str, llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is recorded of a step, and the weights: with the better answers learned beside, too."""
    rows = [(i, Preference(asked(i), said("it is so " * (i % 7)), said("no " * (1 + i % 5)))) for i in range(1, 21)]
    own = {"method__sft_weight": 0.2} if method == "dpo" else {}
    spec = method_spec(
        method, llama, tuner__dropout=0.0, training__batch_size=8, training__accumulation=1, training__epochs=1, **own
    )
    found, parts = [], []

    def counted(inputs: Any, sides: int) -> Any:
        parts.append(len(made := divided(inputs, sides)))
        return made

    monkeypatch.setattr(trainer, "divided", counted)
    for name, whole in (("passes", False), ("whole", True)):
        if whole:
            monkeypatch.setattr(trainer, "in_passes", lambda *_: False)
        run = Recording(spec, tmp_path / name, rows)
        run.run()
        found.append(run)
    assert max(parts) > 1
    numbers = {"loss", "grad_norm", "accuracy", "margin", "reward_chosen", "reward_rejected"}
    ours, theirs = (run.state.curves for run in found)
    assert numbers <= ours.keys()
    for number in numbers:
        mine, other = ([value for _, value in curves[number]] for curves in (ours, theirs))
        assert mine == pytest.approx(other, rel=2e-3, abs=1e-5), number
    weights = [load(run.weights()) for run in found]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=2e-2, atol=2e-3)


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_the_summed_loss_is_a_plain_one(kind: str) -> None:
    """Value and gradient, some tokens learned and some not; and how many of them are the likeliest ones."""
    model = tiny_model(kind).eval().requires_grad_(False)
    assert is_plain(model)
    ids = torch.randint(5, 261, (3, 30), generator=torch.Generator().manual_seed(1))
    labels = ids.masked_fill(ids % 3 == 0, -100)
    hidden = model.base_model(input_ids=ids).last_hidden_state
    ours, theirs = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    head: Any = model.get_output_embeddings()
    loss, right = summed_loss(ours, head, labels)
    learned = labels[:, 1:] != -100
    assert right == (head(theirs)[:, :-1].argmax(dim=-1) == labels[:, 1:])[learned].sum()
    plain = cross_entropy(head(theirs)[:, :-1].reshape(-1, 261), labels[:, 1:].reshape(-1), reduction="sum")
    torch.testing.assert_close(loss, plain)
    (loss / 7).backward()
    (plain / 7).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_scores_in_pieces_are_scores_at_once() -> None:
    head = torch.nn.Linear(8, 50, bias=True).requires_grad_(False)
    labels = torch.randint(0, 50, (2, 20))
    hidden = torch.randn(2, 20, 8)
    once, pieces = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    first, right = summed_loss(once, head, labels)
    second, same = summed_loss(pieces, head, labels, most_scores=50 * 7)
    assert right == same
    torch.testing.assert_close(first, second)
    first.backward()
    second.backward()
    torch.testing.assert_close(once.grad, pieces.grad)


def test_a_scaled_or_trained_head_is_not_plain() -> None:
    model = tiny_model().requires_grad_(False)
    assert is_plain(model)
    model.get_output_embeddings().weight.requires_grad_(True)  # type: ignore[union-attr]
    assert not is_plain(model)
    capped = tiny_model("gemma2").requires_grad_(False)
    assert capped.config.final_logit_softcapping
    assert not is_plain(capped)


def test_bfloat16_resumes_bit_for_bit_and_learns_as_float32_does(llama: Path, tmp_path: Path) -> None:
    whole = assert_resumes(tiny_spec(llama, model__precision="bfloat16"), conversations(12), tmp_path)
    assert whole.state.started is not None
    assert whole.state.started.how == ("bfloat16", "passes", "one_core")
    exact = Recording(tiny_spec(llama, model__precision="float32"), tmp_path / "exact")
    exact.run()
    assert [v for _, v in whole.losses()] == pytest.approx([v for _, v in exact.losses()], rel=0.01)
    assert {tensor.dtype for tensor in load(whole.weights()).values()} == {torch.float32}
