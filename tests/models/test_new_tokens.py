"""New tokens: found where they save most, made by the tokenizer, and begun as the mean of their pieces."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from studio.errors import ModelError
from studio.models.device import detect_device
from studio.models.loading import LoadedModel, load_model
from studio.models.new_tokens import (
    FILE,
    NewTokens,
    embedding_layers,
    extended_tokenizer,
    find_new_tokens,
    first_new_id,
    read_new_tokens,
    with_new_tokens,
)
from studio.settings import Settings
from tests.tiny import SHAPES, save_tiny, tiny_tokenizer

TEXTS = ["The myocardium is a muscle. 心筋は筋肉です。 The myocardium beats."] * 6


def loaded(folder: Path, kind: str = "llama", **options: object) -> LoadedModel:
    model = save_tiny(folder / kind, kind, **options)  # type: ignore[arg-type]
    return load_model(str(model), Settings(workspace=folder), detect_device(), "float32")


def test_what_saves_most_comes_first_and_rare_words_stay_cut() -> None:
    tokenizer = tiny_tokenizer()
    texts = ["alpha beta"] * 6 + ["alpha gamma"] * 6 + ["delta"] * 4
    new = find_new_tokens(texts, tokenizer, 100)
    assert new.shown[0] == "alpha"
    assert "delta" not in new.shown
    assert set(new.shown) >= {"alpha", "beta", "gamma"}
    extended = extended_tokenizer(tokenizer, new)
    assert new.before == sum(len(tokenizer(text)["input_ids"]) for text in texts)  # type: ignore[arg-type]
    assert new.after == sum(len(extended(text)["input_ids"]) for text in texts)  # type: ignore[arg-type]
    assert len(find_new_tokens(texts, tokenizer, 3)) == 3
    assert len(find_new_tokens(["rare"], tokenizer, 3)) == 0
    assert find_new_tokens(texts, tokenizer, 5).merges == new.merges[:5]


def test_a_tokenizer_with_new_tokens_changes_nothing_else(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    new = find_new_tokens(TEXTS, tokenizer, 60)
    extended = extended_tokenizer(tokenizer, new)
    first = first_new_id(tokenizer)
    for text in (TEXTS[0], "<|user|>心筋<|end|>"):
        ids = extended(text)["input_ids"]
        assert extended.decode(ids) == text
        assert any(i >= first for i in ids)  # type: ignore[operator]
    plain = "Quite 1 other thing, XYZ!"
    assert extended(plain)["input_ids"] == tokenizer(plain)["input_ids"]
    assert extended.all_special_ids == tokenizer.all_special_ids
    extended.save_pretrained(tmp_path)
    assert AutoTokenizer.from_pretrained(tmp_path).get_vocab() == extended.get_vocab()


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("kind", SHAPES)
def test_a_model_of_any_shape_reads_new_tokens_as_the_mean_of_their_pieces(
    kind: str, tied: bool, tmp_path: Path
) -> None:
    plain = loaded(tmp_path, kind, tied=tied)
    first = first_new_id(plain.tokenizer)
    before = {name: layer.weight.detach().clone() for name, layer in embedding_layers(plain.model).items()}
    new = find_new_tokens(TEXTS, plain.tokenizer, 20)
    state = torch.get_rng_state()
    model = with_new_tokens(plain, new)
    assert torch.equal(torch.get_rng_state(), state)
    assert len(before) == (1 if tied else 2)
    longest = max(range(20), key=lambda i: len("".join(new.merges[i])))
    pieces = plain.tokenizer.convert_tokens_to_ids(list("".join(new.merges[longest])))
    for name, layer in embedding_layers(model.model).items():
        assert layer.weight.shape[0] >= first + 20
        torch.testing.assert_close(layer.weight[:first], before[name][:first])
        torch.testing.assert_close(layer.weight[first + longest], before[name][pieces].mean(dim=0))
    ids = torch.tensor([model.tokenizer(TEXTS[0])["input_ids"]])
    assert model.model(input_ids=ids).logits.shape[-1] >= first + 20


def test_no_new_tokens_leave_all_as_it_was(tmp_path: Path) -> None:
    plain = loaded(tmp_path)
    assert with_new_tokens(plain, None) is plain
    assert read_new_tokens(tmp_path) is None


def test_new_tokens_are_kept_in_a_file(tmp_path: Path) -> None:
    new = find_new_tokens(TEXTS, tiny_tokenizer(), 9)
    new.write(tmp_path)
    assert read_new_tokens(tmp_path) == new
    (tmp_path / FILE).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=FILE):
        read_new_tokens(tmp_path)


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0, "?": 1}, unk_token="?")))
    with pytest.raises(ModelError, match="WordLevel"):
        find_new_tokens(TEXTS, words, 5)
    with pytest.raises(ModelError, match="WordLevel"):
        extended_tokenizer(words, NewTokens((("a", "a"),), 2, 1, ()))


def test_tokens_beside_the_vocabulary_keep_their_numbers() -> None:
    """As in Qwen's tokenizer, whose special tokens follow what its model holds."""
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<|beside|>"], special_tokens=True)
    beside = tokenizer.convert_tokens_to_ids("<|beside|>")
    extended = extended_tokenizer(tokenizer, find_new_tokens(TEXTS, tokenizer, 5))
    assert extended.convert_tokens_to_ids("<|beside|>") == beside
    assert extended("<|beside|>")["input_ids"] == [beside]
