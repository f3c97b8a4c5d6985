"""Files that grow by lines lose nothing that they hold."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from studio.evaluation.kept import JudgeWeights, Whose
from studio.evaluation.line_file import LineFile, read_lines

NUMBERS = TypeAdapter(tuple[str, int])
OURS, OTHERS = Whose(base_fingerprint="a", adapter_sha256=None), Whose(base_fingerprint="b", adapter_sha256=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with LineFile(tmp_path / "file.jsonl", NUMBERS, OURS) as file:
        file.add(("one", 1), ("two", 2))
        file.add(("three", 3))
    return tmp_path / "file.jsonl"


def test_it_grows(path: Path) -> None:
    with LineFile(path, NUMBERS, OURS) as file:
        assert file.lines == [("one", 1), ("two", 2), ("three", 3)]
        file.add(("four", 4))
    assert read_lines(path, NUMBERS, OURS) == [("one", 1), ("two", 2), ("three", 3), ("four", 4)]
    assert read_lines(path, NUMBERS, Whose) == read_lines(path, NUMBERS, OURS)


def test_a_line_that_is_not_whole_is_cut(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole + b'["fo')
    assert len(read_lines(path, NUMBERS, OURS)) == 3
    with LineFile(path, NUMBERS, OURS):
        assert path.read_bytes() == whole


@pytest.mark.parametrize("broken", [b"", b"\n", b"[]\n", b'{"base_fingerprint": "a"'])
def test_what_is_no_such_file_is_begun_anew(path: Path, broken: bytes) -> None:
    path.write_bytes(broken)
    assert read_lines(path, NUMBERS, OURS) == []
    with LineFile(path, NUMBERS, OURS) as file:
        file.add(("one", 1))
    assert read_lines(path, NUMBERS, OURS) == [("one", 1)]


def test_others_have_others_lines(path: Path) -> None:
    assert read_lines(path, NUMBERS, OTHERS) == read_lines(path, NUMBERS, JudgeWeights) == []
    path.write_bytes(path.read_bytes() + b'["four", "4.5"]\n')
    assert read_lines(path, NUMBERS, OURS) == []
    with LineFile(path, NUMBERS, OTHERS) as file:
        assert file.lines == []
    assert path.read_bytes().count(b"\n") == 1


@contextmanager
def no_room_from(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_nothing_that_was_kept(path: Path) -> None:
    whole = path.read_bytes()
    with no_room_from(10), pytest.raises(OSError, match="too large"), LineFile(path, NUMBERS, OURS) as file:
        file.add(("four", 4))
    assert path.read_bytes() == whole
