"""Each risk is told where it is one, and only there."""

import pytest

from studio.messages import LANGUAGES, translate
from studio.runs.cautions import cautions
from studio.runs.spec import RunSpec, with_changes

STARTER_WIDTH, LARGE_WIDTH = 192, 4096
LARGE: dict[str, object] = {"model.source": "owner/name"}
RL: dict[str, object] = {"method.kind": "grpo", "training.learning_rate": 2e-5}


@pytest.mark.parametrize(
    ("changes", "rows", "small", "expected"),
    [
        ({}, 300, True, set()),
        ({"training.learning_rate": 0.02}, 300, True, {"rate_high"}),
        ({"training.learning_rate": 0.002}, 300, True, set()),
        ({"training.learning_rate": 0.002}, 300, False, {"rate_high"}),
        ({"training.learning_rate": 0.000001}, 300, False, {"rate_low"}),
        ({"training.epochs": 20}, 300, True, {"epochs"}),
        ({"training.batch_size": 100}, 300, True, {"batch"}),
        ({"data.split.validation_share": 0}, 300, True, {"no_validation"}),
        ({}, 12, True, {"batch", "few_rows"}),
        ({"method.kind": "dpo"}, 300, False, {"rate_high"}),  # the rate of answers is far too high for preferences
        ({"method.kind": "dpo", "training.learning_rate": 2e-5}, 300, False, set()),
        ({"method.kind": "dpo", "training.learning_rate": 1e-7}, 300, False, {"rate_low"}),
        ({"method.kind": "dpo", "training.learning_rate": 2e-5, "training.epochs": 4}, 300, False, {"epochs"}),
        ({"method.kind": "dpo", "training.learning_rate": 2e-5, "method.beta": 0.001}, 300, False, {"beta_low"}),
        ({"method.kind": "kto", "training.learning_rate": 2e-5, "method.beta": 2}, 300, False, {"beta_high"}),
        ({"method.kind": "simpo", "training.learning_rate": 2e-5, "method.margin": 3}, 300, False, {"margin_high"}),
        ({"method.kind": "orpo", "training.learning_rate": 8e-5, "method.beta": 2}, 300, False, {"penalty_high"}),
        ({"method.kind": "cpt", "training.learning_rate": 2e-4}, 12, False, {"batch", "forgets_answers"}),
        ({"tuner.rank": 64}, 300, True, {"rank_high"}),
        ({"tuner.rank": 64}, 640, True, set()),
        ({"tuner.rank": 32}, 300, True, set()),
        ({"tuner.variant": "rslora", "tuner.alpha": 32}, 300, True, {"strength"}),
        ({"tuner.variant": "rslora", "tuner.alpha": 8}, 300, True, set()),
        ({"tuner.kind": "full", "training.learning_rate": 2e-4}, 300, True, {"few_rows_full"}),
        ({"tuner.kind": "full", "training.learning_rate": 2e-4}, 1000, True, set()),
        (RL, 300, False, set()),
        ({**RL, "method.temperature": 0.01}, 300, False, {"temperature_low"}),
        ({**RL, "method.temperature": 0.5}, 300, False, set()),
        ({**RL, "method.temperature": 2}, 300, False, {"temperature_high"}),
        ({**RL, "method.beta": 0}, 300, False, {"kl_low"}),
        ({**RL, "method.beta": 0.6}, 300, False, {"kl_high"}),
        ({**RL, "method.samples_per_row": 2}, 300, False, {"few_samples"}),
        ({**RL, "training.learning_rate": 2e-4}, 300, False, {"rate_high"}),
    ],
)
def test_what_is_often_regretted_is_said(
    changes: dict[str, object], rows: int, small: bool, expected: set[str]
) -> None:
    spec = with_changes(RunSpec(), changes if small else {**LARGE, **changes})
    found = cautions(spec, rows, STARTER_WIDTH if small else LARGE_WIDTH)
    assert {key.rsplit(".", 1)[1] for key, _ in found} - {"no_replay"} == expected
    for language in LANGUAGES:
        assert all("{" not in translate(key, language, **values) for key, values in found)


def test_general_data_holds_against_forgetting() -> None:
    def told(changes: dict[str, object], *, replays: bool) -> bool:
        found = cautions(with_changes(RunSpec(), changes), 300, STARTER_WIDTH, replays=replays)
        return "ui.train.caution.no_replay" in dict(found)

    risky: list[dict[str, object]] = [{"training.learning_rate": 0.02}, {"training.epochs": 20}, {"tuner.kind": "full"}]
    for changes in risky:
        assert told(changes, replays=False)
        assert not told(changes, replays=True)
    assert not told({}, replays=False)


def test_little_text_is_told_once_its_tokens_are_counted() -> None:
    spec = with_changes(RunSpec(), {"method.kind": "cpt"})
    few = [values for key, values in cautions(spec, 300, STARTER_WIDTH, 5_000) if key.endswith("few_tokens")]
    assert few == [{"tokens": "5,000"}]
    assert not [key for key, _ in cautions(spec, 300, STARTER_WIDTH, 5_000_000) if key.endswith("few_tokens")]


def test_all_weights_are_warned_of_at_a_tenth_of_the_rates() -> None:
    spec = with_changes(RunSpec(), {"model.source": "owner/name", "training.learning_rate": 3e-4})
    assert "ui.train.caution.rate_high" not in dict(cautions(spec, 300, LARGE_WIDTH))
    high = dict(cautions(with_changes(spec, {"tuner.kind": "full"}), 300, LARGE_WIDTH))["ui.train.caution.rate_high"]
    assert (high["low"], high["high"]) == ("1e-05", "5e-05")
