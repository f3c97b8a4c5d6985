"""Files of every kind, whole and damaged: read or refused with a sentence, no row lost. More of them:
`python -m tests.faults.fuzz_readers`."""

import pytest

from tests.faults.fuzz_readers import KINDS, fuzz


@pytest.mark.parametrize("name", KINDS)
def test_every_reader_takes_anything(name: str) -> None:
    counts = fuzz(name, 40)
    assert counts.read + sum(counts.refused.values()) >= 30
    assert counts.read > 0 or name == "a"
