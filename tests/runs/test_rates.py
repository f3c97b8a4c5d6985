"""Learning rates by method, tuner and size: near what others published, and never warned of by ourselves."""

from itertools import pairwise
from pathlib import Path

import pytest

from studio.runs.cautions import cautions
from studio.runs.methods import METHODS, RolloutSpec
from studio.runs.presets import find_preset, list_presets
from studio.runs.rates import FULL_RATE, size_factor, usual_rates
from studio.runs.spec import RunSpec, with_changes
from studio.settings import Settings

PRESETS = Settings(workspace=Path()).presets
WIDTHS = {
    "135M": 576,
    "360M": 960,
    "0.5B": 896,
    "1B": 2048,
    "1.7B": 2048,
    "3B": 2048,
    "7B": 4096,
    "8B": 4096,
    "70B": 8192,
}

# method, size, learning rate, whether of all weights, who published it
PUBLISHED = [
    ("sft", "1B", 3e-5, True, "OLMo-2-1B, open-instruct, docs/olmo2.md"),
    ("sft", "1B", 1e-3, False, "Llama-3.2-1B, Tinker's cookbook, hyperparam_utils.get_lr"),
    ("sft", "8B", 3e-4, False, "Llama-3.1-8B, Tinker's cookbook, hyperparam_utils.get_lr"),
    ("sft", "70B", 3e-4, False, "Llama-3.1-70B, Tinker's cookbook, hyperparam_utils.get_lr"),
    ("sft", "7B", 2e-4, False, "Zephyr-7B, Alignment Handbook, recipes/zephyr-7b-beta/sft/config_qlora.yaml"),
    ("sft", "8B", 5e-6, True, "Tülu 3 8B, open-instruct, docs/tulu3.md"),
    ("cpt", "7B", 2e-4, False, "Biderman et al. 2024, arXiv:2405.09673"),
    ("dpo", "360M", 1e-6, True, "SmolLM2-360M and 135M, Alignment Handbook, recipes/smollm2/dpo/config_smol.yaml"),
    ("dpo", "1B", 2.5e-6, True, "OLMo-2-1B, open-instruct, docs/olmo2.md"),
    ("dpo", "7B", 5e-6, False, "Zephyr-7B, Alignment Handbook, recipes/zephyr-7b-beta/dpo/config_qlora.yaml"),
    ("dpo", "8B", 5e-7, True, "Tülu 3 8B, open-instruct, docs/tulu3.md"),
    ("simpo", "8B", 1e-6, True, "Meng et al. 2024, arXiv:2405.14734, Llama-3-8B-Instruct"),
    ("orpo", "7B", 8e-6, True, "Hong et al. 2024, arXiv:2403.07691"),
    ("kto", "7B", 5e-7, True, "Ethayarajh et al. 2024, arXiv:2402.01306"),
    ("reward", "0.5B", 1e-4, False, "TRL, examples/scripts/reward_modeling.py, Qwen2-0.5B"),
    ("reward", "8B", 3e-6, True, "Tülu 3 8B, open-instruct, docs/tulu3.md"),
    ("grpo", "3B", 1e-5, False, "SmolLM3-3B, TRL, docs/source/lora_without_regret.md"),
    ("grpo", "1B", 5e-7, True, "OLMo-2-1B, open-instruct, docs/olmo2.md"),
    ("rloo", "8B", 1e-6, True, "TRL, RLOOConfig"),
]  # fmt: skip


def spec_of(method: str, *, full: bool = False, source: str = "owner/name") -> RunSpec:
    chosen = {"method.kind": method, "model.source": source, "tuner.kind": "full" if full else "lora"}
    return with_changes(RunSpec(), chosen)


def rate(method: str, size: str, *, full: bool = False, preset: str = "balanced") -> float:
    return find_preset(PRESETS, preset).apply(spec_of(method, full=full), WIDTHS[size]).training.learning_rate


def tunable(method: str) -> list[bool]:
    """Whether all weights are trained: of what scores or tries, only an adapter."""
    adapters_only = not METHODS[method].writes or issubclass(METHODS[method], RolloutSpec)
    return [False] if adapters_only else [False, True]


@pytest.mark.parametrize(
    ("method", "at_135m", "at_1b", "at_8b"),
    [
        ("sft", 0.0014, 0.00052, 0.0003),
        ("cpt", 0.00093, 0.00034, 0.0002),
        ("dpo", 4.6e-05, 1.7e-05, 1e-05),
        ("simpo", 9.3e-05, 3.4e-05, 2e-05),
        ("orpo", 0.00037, 0.00014, 8e-05),
        ("kto", 4.6e-05, 1.7e-05, 1e-05),
        ("reward", 0.00019, 6.9e-05, 4e-05),
        ("rloo", 4.6e-05, 1.7e-05, 1e-05),
        ("grpo", 4.6e-05, 1.7e-05, 1e-05),
    ],
)
def test_the_rates_of_the_balanced_preset(method: str, at_135m: float, at_1b: float, at_8b: float) -> None:
    for full in tunable(method):
        found = [rate(method, size, full=full) for size in ("135M", "1B", "8B")]
        assert found == pytest.approx([one / (FULL_RATE if full else 1) for one in (at_135m, at_1b, at_8b)])


@pytest.mark.parametrize(("method", "size", "published", "full", "who"), PUBLISHED)
def test_published_rates_are_called_usual(method: str, size: str, published: float, full: bool, who: str) -> None:
    """They lie in the range that is told as usual, or no more than a factor of three beside it: recipes differ as much
    among each other."""
    lora = published * FULL_RATE if full else published
    usual = usual_rates(spec_of(method), WIDTHS[size])
    assert usual.low / 3 <= lora <= usual.high * 3, who


@pytest.mark.parametrize("method", METHODS)
def test_smaller_models_take_larger_steps_and_none_larger_than_the_starter(method: str) -> None:
    for preset in list_presets(PRESETS):
        for full in tunable(method):
            starter = preset.apply(spec_of(method, full=full, source="starter")).training.learning_rate
            found = [preset.apply(spec_of(method, full=full), width) for width in (16, 192, 576, 2048, 4096, 8192)]
            rates = [spec.training.learning_rate for spec in found]
            assert all(more >= less for more, less in pairwise([starter, *rates]))
            assert rates[2] > rates[3] > rates[4] > rates[5]
            unknown = preset.apply(spec_of(method, full=full))
            assert unknown.training.learning_rate == rates[4]


@pytest.mark.parametrize("method", METHODS)
def test_every_preset_is_called_usual_and_not_warned_of_on_a_model_of_any_size(method: str) -> None:
    for preset in list_presets(PRESETS):
        for full in tunable(method):
            for width in (16, 192, 576, 2048, 4096, 16384, None):
                for source in ("owner/name", "starter"):
                    spec = preset.apply(spec_of(method, full=full, source=source), width)
                    usual, chosen = usual_rates(spec, width), spec.training.learning_rate
                    assert 0.95 * usual.low <= chosen <= 1.05 * usual.high, (preset.name, width, source)
                    told = {key.rsplit(".", 1)[1] for key, _ in cautions(spec, 2000, width)}
                    assert told <= {"forgets_answers"}, (preset.name, width, source)


def test_a_preset_that_names_no_rate_leaves_it_as_it_is() -> None:
    preset = find_preset(PRESETS, "balanced").model_copy(update={"spec": {}, "methods": {}})
    assert preset.apply(spec_of("sft"), 576).training.learning_rate == RunSpec().training.learning_rate


def test_the_power_is_the_published_one() -> None:
    """5e-4 * (2000 / hidden size) ** 0.781 (Schulman et al. 2025), relative to a model of 4096."""
    for width in WIDTHS.values():
        assert size_factor(width) == pytest.approx((2000 / width) ** 0.781 / (2000 / 4096) ** 0.781)
    assert rate("sft", "8B") == pytest.approx(5e-4 * (2000 / 4096) ** 0.781, rel=0.06)
