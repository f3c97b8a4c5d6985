"""A run in bfloat16, as a processor that has it computes large models: compared and exported like any other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from studio.runs.spec import with_changes
from tests.backend.asked import beside_base, last
from tests.backend.made import Made, make, save_models


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Made]:
    made = make(tmp_path / "studio", save_models(tmp_path / "models"))
    yield made
    made.studio.close()


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_run_in_bfloat16_is_compared_and_exported(kind: str, made: Made) -> None:
    changes = {
        "model.source": str(made.models / kind),
        "model.precision": "bfloat16",
        "training.epochs": 4,
        "training.learning_rate": 0.02,
        "data.split.validation_share": 0.2,
        "data.max_length": 64,
    }
    run = made.studio.runner.submit(with_changes(made.studio.default_spec(made.version), changes), "In bfloat16").id
    assert made.studio.runner.run_now(run).status == "done"
    end = last(made.studio, beside_base(made.studio, run, max_new_tokens=10, temperature=1.0))
    assert end.done
    assert end.identical is False
    assert made.studio.exports.make(run).proof.passed
