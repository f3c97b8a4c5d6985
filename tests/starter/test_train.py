"""The starter's training on a toy scale: it learns, and a resumed training equals an uninterrupted one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from studio.starter.tokenizer import SPECIAL, build_tokenizer
from studio.starter.train import Recipe, batch, new_model, train

RECIPE = Recipe(steps=6, rows=2, length=48, hidden=32, layers=1, heads=2, feed_forward=64, warmup_steps=1)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(0)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def test_a_batch_depends_on_seed_and_step_alone(tokenizer) -> None:
    ids, trained = batch(RECIPE, 3, tokenizer)
    again, _ = batch(RECIPE, 3, tokenizer)
    other, _ = batch(RECIPE, 4, tokenizer)
    assert torch.equal(ids, again)
    assert not torch.equal(ids, other)
    assert ids.shape == trained.shape == (2, 48)


def test_answers_and_their_end_are_trained_and_questions_are_not(tokenizer) -> None:
    ids, trained = batch(replace(RECIPE, length=400), 0, tokenizer)
    user, assistant, end = (SPECIAL.index(name) for name in ("<|user|>", "<|assistant|>", "<|end|>"))
    for row, flags in zip(ids.tolist(), trained.tolist(), strict=True):
        inside = False
        for token, flag in zip(row, flags, strict=True):
            assert flag == (inside and token != user)
            if token == assistant:
                inside = True
            elif token == end and inside:
                inside = False


def test_resumed_equals_uninterrupted(tokenizer, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = weights(train(RECIPE, tmp_path / "whole", tokenizer, save_every=2))
    started = weights(new_model(RECIPE, len(tokenizer)))
    train(RECIPE, tmp_path / "parts", tokenizer, save_every=2, until=4)
    resumed = weights(train(RECIPE, tmp_path / "parts", tokenizer, save_every=2))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert not torch.equal(whole["model.embed_tokens.weight"], started["model.embed_tokens.weight"])


def test_another_recipe_is_refused(tokenizer, tmp_path: Path) -> None:
    train(replace(RECIPE, steps=2), tmp_path, tokenizer)
    with pytest.raises(SystemExit, match="another recipe"):
        train(replace(RECIPE, steps=2, seed=1), tmp_path, tokenizer)
