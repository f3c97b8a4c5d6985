"""Text is read piece by piece as if it were read at once."""

from pathlib import Path

import pytest

from studio.data import encodings
from studio.data.encodings import ENCODINGS, TextFile, detect
from studio.errors import DataError

TEXT = "空の色は？ What colour?\r\nそれは青です。😀\n" * 50
PLAIN = TEXT.replace("😀", "〇")


@pytest.fixture(params=[3, 4, 7, 64, 10**6])
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encodings, "_BLOCK_BYTES", request.param)


@pytest.mark.usefixtures("_pieces")
@pytest.mark.parametrize(
    ("codec", "text"),
    [("utf-8", TEXT), ("utf-8-sig", TEXT), ("utf-16", TEXT), ("utf-32", TEXT), ("cp932", PLAIN), ("euc_jp", PLAIN),
     ("iso2022_jp", PLAIN), ("gb18030", TEXT)],
)  # fmt: skip
def test_pieces_are_the_whole(tmp_path: Path, codec: str, text: str) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode(codec))
    found = detect(path, "a.txt", codec if codec == "gb18030" else None)
    assert "".join(found.text()) == text
    assert b"".join(found.blocks()) == text.encode()
    assert found.replaced == 0
    assert found.beginning(5) == (text[:5], 1, False)
    assert found.beginning(10**6) == (text, 1, True)


@pytest.mark.usefixtures("_pieces")
def test_what_is_broken_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes((TEXT + "genuine \ufffd ").encode() + b"\xff\xfe \xe3\x81" + TEXT.encode())
    found = detect(path, "a.txt")
    assert (found.encoding, found.broken) == ("utf-8", True)
    text = path.read_bytes().decode("utf-8", "replace")
    for _ in range(2):
        assert "".join(found.text()) == text
        assert found.replaced == text.count("\ufffd") - 1 == 3


@pytest.mark.usefixtures("_pieces")
def test_the_wrong_choice_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(("ascii\n" * 30 + "これは").encode("cp932"))
    with pytest.raises(DataError) as caught:
        detect(path, "a.txt", "UTF-8")
    assert (caught.value.key, caught.value.values["line"]) == ("error.data.encoding_wrong", 31)
    path.write_bytes(("ascii\n" * 30).encode() + b"\x81")
    with pytest.raises(DataError) as caught:
        detect(path, "a.txt", "Shift-JIS")
    assert caught.value.values["line"] == 31


def test_quick_is_right_about_what_it_has_seen(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 399_999 + "青".encode() + b"\xff")
    found = detect(path, "a.txt", quick=True)
    assert found == TextFile(path, "utf-8")
    with pytest.raises(UnicodeDecodeError):
        "".join(found.text())


def test_every_encoding_to_choose_is_known(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("plain")
    for name in ENCODINGS:
        if name != "UTF-16":
            assert "".join(detect(tmp_path / "a.txt", "a.txt", name).text()) == "plain"
