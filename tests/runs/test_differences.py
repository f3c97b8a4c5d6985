"""The settings in which runs differ: all of them, and no others."""

from typing import Any

import pytest

from studio.data.mapping import Mapping
from studio.runs.differences import differences
from studio.runs.spec import RunSpec, spec_fields, with_changes


def found(*specs: RunSpec) -> dict[str, tuple[Any, ...]]:
    return {one.text: one.values for one in differences(specs)}


def test_equal_settings_do_not_differ_whatever_their_preset_is_called() -> None:
    assert found(RunSpec(), RunSpec(preset="balanced"), RunSpec()) == {}


def test_every_setting_that_differs_is_seen_in_the_order_of_the_form() -> None:
    changes = {
        "data.max_length": 99, "data.split.stratify": "topic", "model.source": "owner/name", "model.adapter": "run",
        "model.adapter_step": 4, "method.loss_on": "all", "tuner.variant": "dora", "tuner.rank": 3,
        "training.learning_rate": 0.25, "training.keep_best": False, "training.report_to": ["wandb"],
    }  # fmt: skip
    told = found(RunSpec(), with_changes(RunSpec(), changes))
    paths = ["method.sft.loss_on" if path == "method.loss_on" else path for path in changes]
    assert {text: values[1] for text, values in told.items()} == dict(zip(paths, changes.values(), strict=True))
    assert list(told) == [field.text for field in spec_fields() if field.text in paths]


def test_data_and_its_columns_differ() -> None:
    one = with_changes(RunSpec(), {"data.version": "a", "data.mapping": Mapping(prompt="q", answer="a").model_dump()})
    other = with_changes(RunSpec(), {"data.version": "b"})
    told = found(one, other)
    assert list(told) == ["data.version", "data.mapping"]
    assert told["data.version"] == ("a", "b")
    assert told["data.mapping"][1] is None


def test_members_of_other_kinds_have_none_of_each_others_settings() -> None:
    """Both losses are called beta, and mean different things."""
    dpo = with_changes(RunSpec(), {"method.kind": "dpo"})
    kto = with_changes(RunSpec(), {"method.kind": "kto", "tuner.kind": "full"})
    told = found(dpo, kto, dpo)
    assert told["method.kind"] == ("dpo", "kto", "dpo")
    assert told["method.dpo.beta"] == (0.1, None, 0.1)
    assert told["method.kto.beta"] == (None, 0.1, None)
    assert told["tuner.kind"] == ("lora", "full", "lora")
    assert told["tuner.rank"] == (16, None, 16)
    assert "training.epochs" not in told


def test_rewards_are_one_setting() -> None:
    grpo = with_changes(RunSpec(), {"method.kind": "grpo"})
    other = with_changes(grpo, {"method.rewards": [{"kind": "json"}]})
    (one,) = differences([grpo, other])
    assert (one.path, one.text) == ("method.rewards", "method.grpo.rewards")
    assert one.values[1] == [reward.model_dump(mode="json") for reward in other.method.rewards]  # type: ignore[union-attr]


@pytest.mark.parametrize("count", [1, 0])
def test_fewer_than_two_do_not_differ(count: int) -> None:
    assert differences([RunSpec()] * count) == ()
