"""The starter's tokenizer: any text survives, digits stay apart, the shipped file is the rebuilt one."""

import json
from itertools import islice
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from transformers import AutoTokenizer

from studio.settings import read_settings
from studio.starter.tokenizer import NARROW_SPLIT, VOCABULARY, build_tokenizer, split_by
from studio.starter.world import corpus


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(0)


@pytest.mark.parametrize(
    "text", ["Hello, Anna!\nBye.", "申し訳ございません。", '{"name": "森", "n": 12}', "𠮷野家 🍣 é\tZ", " a  b "]
)
def test_any_text_survives(tokenizer, text: str) -> None:
    assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_digits_are_single_tokens(tokenizer) -> None:
    assert len(tokenizer("1234567890").input_ids) == 10


def test_the_shipped_tokenizer_is_the_rebuilt_one(tokenizer, tmp_path: Path) -> None:
    shipped = AutoTokenizer.from_pretrained(read_settings(tmp_path).starter)
    assert shipped.get_vocab() == tokenizer.get_vocab()
    assert len(shipped) == VOCABULARY
    assert shipped.chat_template == tokenizer.chat_template
    assert pre_tokenizer(shipped) == pre_tokenizer(tokenizer)


def test_the_known_split_gives_the_tokens_of_the_narrow_one_in_its_world(tokenizer) -> None:
    narrow = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    narrow.pre_tokenizer = split_by(NARROW_SPLIT)
    texts = [*islice(corpus(1, 4000), 4000), "1234567890", "Hello, Anna!\nBye.", "申し訳ございません。"]
    assert [tokenizer(text).input_ids for text in texts] == [narrow.encode(text).ids for text in texts]


def pre_tokenizer(fast) -> object:
    return json.loads(fast.backend_tokenizer.to_str())["pre_tokenizer"]
