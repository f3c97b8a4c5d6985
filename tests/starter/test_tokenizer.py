"""The starter's tokenizer: any text survives, digits stay apart, the shipped file is the rebuilt one."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from studio.settings import read_settings
from studio.starter.tokenizer import VOCABULARY, build_tokenizer


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
