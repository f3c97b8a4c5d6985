"""The picture of a model shows which parts a run trains, and says it in words too."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from studio.messages import LANGUAGES, translate
from studio.models.shape import ModelShape, shape_of
from studio.runs.spec import RunSpec, with_changes
from studio.ui.model_picture import model_picture
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def llama() -> ModelShape:
    return shape_of(tiny_model(tied=False))


def parts(shape: ModelShape, language: str = "en", **changes: object) -> dict[str, tuple[set[str], str]]:
    """The parts by their names: how each is drawn, and what is said of it."""
    spec = with_changes(RunSpec(), {path.replace("__", "."): value for path, value in changes.items()})
    t: Callable[..., Any] = partial(translate, language=language)
    drawn = model_picture(shape, spec, t, language)
    found = re.findall(r'<li class="([^"]+)"><b>([^<]+)</b> <span>([^<]*)</span></li>', drawn)
    return {name: ({c.removeprefix("mp-") for c in classes.split()[1:]}, words) for classes, name, words in found}


def words(shape: ModelShape, **changes: object) -> str:
    spec = with_changes(RunSpec(), {path.replace("__", "."): value for path, value in changes.items()})
    return re.sub(r"<[^>]+>", " ", model_picture(shape, spec, translate, "en"))


def test_an_adapter_is_drawn_on_its_parts(llama: ModelShape) -> None:
    assert parts(llama, tuner__rank=4) == {
        "Embeddings": (set(), "as it is"),
        "Attention": ({"adapter"}, "LoRA: 1,792"),
        "Feed-forward": ({"adapter"}, "LoRA: 2,304"),
        "Output": (set(), "as it is"),
    }
    alone = parts(llama, tuner__rank=4, tuner__targets="attention", tuner__variant="dora")
    assert alone["Attention"] == ({"adapter"}, "DoRA: 1,984")
    assert alone["Feed-forward"] == (set(), "as it is")


def test_four_bits_are_marked(llama: ModelShape) -> None:
    found = parts(llama, tuner__quantisation="nf4")
    assert "small" in found["Attention"][0] & found["Feed-forward"][0]
    assert found["Attention"][1].endswith("4 bits")
    assert found["Embeddings"][0] == found["Output"][0] == set()
    assert "52 % of the model" in words(llama, tuner__quantisation="nf4")


def test_full_tuning_fills_every_part(llama: ModelShape) -> None:
    found = parts(llama, tuner__kind="full")
    assert all(how == ({"trained"}, "trained") for how in found.values())
    assert "All 35,296 numbers" in words(llama, tuner__kind="full")


def test_a_reward_model_trains_the_layer_that_scores(llama: ModelShape) -> None:
    from transformers import AutoModelForSequenceClassification

    config = tiny_model().config
    config.num_labels = 1
    shape = shape_of(AutoModelForSequenceClassification.from_config(config))
    assert parts(shape, method__kind="reward")["Score"] == ({"trained"}, "trained")


def test_tied_weights_and_experts_are_told() -> None:
    shape = shape_of(tiny_model("mixtral"))
    found = parts(shape)
    assert found["Output (= embeddings)"] == (set(), "as it is")
    assert found["Experts"] == (set(), "as it is")
    assert "experts stay as they are" in words(shape)
    assert parts(shape, tuner__kind="full")["Output (= embeddings)"][0] == {"trained"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_told_in_both_languages(llama: ModelShape, language: str) -> None:
    assert translate("ui.train.picture.part.attention", language) in parts(llama, language)
