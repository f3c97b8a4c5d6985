"""What mends a run, as buttons that say what they change and tell the page no more and no less."""

import json
import re
from html import unescape

import pytest

from studio.messages import LANGUAGES, translate
from studio.runs.spec import RunSpec, with_changes
from studio.runs.ways import Change, Look, Visit, Way
from studio.ui.way_view import changed_words, pressed, way_buttons

SPEC = with_changes(RunSpec(), {"model.adapter": "r1", "training.report_to": ["tensorboard"]})


def buttons(*ways: Way) -> str:
    return way_buttons(ways, SPEC, "en", translate)


def test_what_is_pressed_is_what_was_offered() -> None:
    settings = {"training.learning_rate": 0.03, "training.report_to": []}
    data = dict(re.findall(r'data-(\w+)="([^"]*)"', buttons(Change(settings, step=45))))
    assert data["act"] == "change"
    again = pressed("r2", {name: unescape(value) for name, value in data.items()})
    assert (again.run, again.step, again.settings) == ("r2", 45, settings)
    assert 'data-act="look" data-tab="data"' in buttons(Look())
    assert buttons() == ""


def test_a_model_is_visited_outside_without_telling_from_where() -> None:
    link = buttons(Visit("owner/model"))
    assert 'href="https://huggingface.co/owner/model" target="_blank" rel="noopener noreferrer"' in link


def test_a_button_says_what_it_changes() -> None:
    told = unescape(buttons(Change({"training.batch_size": 4, "training.accumulation": 2}), Change(), Change(step=9)))
    assert "New run: batch 4 × 2: learns the same, step by step" in told
    assert told.count("Change its settings") == 1
    assert "Go on from step 9<" in told


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("settings", "lines"),
    [
        ({"training.batch_size": 4, "training.accumulation": 2, "training.gradient_checkpointing": True}, 2),
        ({"tuner.kind": "full"}, 1),
        ({"tuner.quantisation": "nf4", "model.precision": "bfloat16"}, 2),
        ({"model.adapter": "", "model.adapter_step": 0, "model.adapter_folder": ""}, 1),
        ({"training.report_to": []}, 1),
        ({"data.max_length": 64, "training.epochs": 0.5}, 2),
    ],
)
def test_changes_in_words(settings: dict[str, object], lines: int, language: str) -> None:
    spec = with_changes(SPEC, {"model.adapter": ""}) if "tuner.kind" in settings else SPEC
    words = changed_words(settings, spec, language, lambda key, **values: translate(key, language, **values))
    assert len(words) == lines
    assert json.dumps(settings) not in words
    assert all("{" not in word for word in words)
