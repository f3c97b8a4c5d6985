"""The chat template is asked for where the model brings none, with a row as the model will read it."""

import json
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import cast

import gradio as gr
import pytest

from studio.backend.studio import Studio
from studio.messages import LANGUAGES, translate
from studio.settings import Settings
from studio.ui.page import Page
from studio.ui.template_view import asks_for_template, template_example
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    with Studio(Settings(workspace=tmp_path_factory.mktemp("w") / "w", offline=True), worker=False) as studio:
        yield studio


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_tiny(tmp_path_factory.mktemp("m") / "bare", "gpt2", chat_template=None))


def page_of(studio: Studio, language: str = "en") -> Page:
    with gr.Blocks():
        return Page(studio, language, gr.Tabs(), gr.BrowserState(), gr.BrowserState())


def data(studio: Studio, folder: Path, *rows: dict[str, object]) -> str:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return studio.datasets.import_file(file).id


def read(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "", html))


def test_it_is_asked_for_where_there_is_none(studio: Studio, bare: str) -> None:
    page = page_of(studio)
    assert asks_for_template(page, bare, "sft")
    assert asks_for_template(page, bare, "grpo")
    assert not asks_for_template(page, bare, "cpt")  # documents are read as they are
    for model in ("starter", "", "/nowhere"):
        assert not asks_for_template(page, model, "sft")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_first_conversation_is_shown(studio: Studio, bare: str, tmp_path: Path, language: str) -> None:
    version = data(studio, tmp_path, {"question": "", "answer": ""}, {"question": "<b>何？", "answer": "それ"})
    page = page_of(studio, language)
    plain, marked = (template_example(page, version, bare, name) for name in ("plain", "chatml"))
    assert "### User:\n<b>何？\n\n### Assistant:\nそれ<|end|>" in read(plain)
    assert "<|im_start|>user\n<b>何？<|im_end|>\n<|im_start|>assistant\nそれ<|end|>" in read(marked)
    assert "<b>" not in marked
    assert "それ" in re.findall(r"<mark>(.*?)</mark>", marked)[0]
    assert translate("ui.train.template.example", language) in marked


def test_a_template_that_cannot_hold_the_row_says_so(studio: Studio, bare: str, tmp_path: Path) -> None:
    tool = {"type": "function", "function": {"name": "weather", "description": "", "parameters": {}}}
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "!"}]
    version = data(studio, tmp_path, {"messages": turns, "tools": [tool]})
    page = page_of(studio)
    assert "chatml" in template_example(page, version, bare, "alpaca")
    assert "weather" in template_example(page, version, bare, "chatml")


def test_data_without_a_conversation_shows_nothing(studio: Studio, bare: str, tmp_path: Path) -> None:
    version = data(studio, tmp_path, {"question": "", "answer": ""}, {"question": " ", "answer": ""})
    assert template_example(page_of(cast(Studio, studio)), version, bare, "plain") == ""
