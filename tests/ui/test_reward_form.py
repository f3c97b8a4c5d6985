"""The form of rewards and its JSON say the same, and what the form says can be trained with."""

import json

import pytest

from studio.runs.rewards import REWARDS
from studio.runs.spec import RunSpec, reward_fields, with_changes
from studio.ui.reward_form import _KINDS, filled, told

USUAL = json.dumps([r.model_dump() for r in with_changes(RunSpec(), {"method.kind": "grpo"}).method.rewards])  # type: ignore[union-attr]


def test_every_kind_has_a_line() -> None:
    assert set(_KINDS) == REWARDS.keys()
    assert len(filled(USUAL)) == sum(len(list(reward_fields(kind))) for kind in _KINDS)


def test_the_form_and_its_json_say_the_same() -> None:
    assert json.loads(told(filled(USUAL))) == json.loads(USUAL)
    some = [
        {"kind": "contains", "weight": -0.5, "text": "ごめん", "ignore_case": False},
        {"kind": "language", "weight": 2.0, "language": "ja"},
        {"kind": "model", "weight": 1.0, "run": "20261128-010203-abcdef"},
    ]
    assert json.loads(told(filled(json.dumps(some)))) == some
    assert json.loads(told(filled("[]"))) == []


@pytest.mark.parametrize("kind", [kind for kind in _KINDS if kind != "model"])
def test_a_line_with_a_weight_can_be_trained_with(kind: str) -> None:
    values = filled("[]")
    places = [(k, field.path) for k in _KINDS for field in reward_fields(k)]
    values[places.index((kind, "weight"))] = 1.5
    spec = with_changes(RunSpec(), {"method.kind": "rloo"})
    made = with_changes(spec, {"method.rewards": json.loads(told(values))})
    (reward,) = made.method.rewards  # type: ignore[union-attr]
    assert (reward.kind, reward.weight) == (kind, 1.5)
