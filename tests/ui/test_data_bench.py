"""The Data tab leads on to training wherever some method can learn, and mixes only what holds answers."""

import pytest

from studio.data.formats import Mapping
from studio.ui.data_bench import answers, learnable
from tests.ui.test_data_view import version_of


@pytest.mark.parametrize(
    ("mapping", "trains", "mixes"),
    [
        (None, False, False),
        (Mapping(prompt="q", answer="a"), True, True),
        (Mapping(text="t"), True, False),
        (Mapping(prompt="q", chosen="a", rejected="b"), True, True),
        (Mapping(prompt="q", answer="a", label="good"), True, True),
    ],
)
def test_which_data_can_be_trained_on_and_mixed(mapping: Mapping | None, trains: bool, mixes: bool) -> None:
    version = version_of(mapping=mapping)
    assert (learnable(version), answers(version)) == (trains, mixes)
