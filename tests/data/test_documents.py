"""Documents become passages, and nothing of them is lost."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from studio.data.documents import Cut, PassageSize, cut
from studio.data.sources import Source, read_source, read_text
from studio.data.tables import Table
from studio.errors import DataError

STORY = "むかしむかし、あるところに、おじいさんとおばあさんがいました。「こんにちは。」と言いました！ "
ENGLISH = "It rained for days, and nobody went out. “Is it over?” she asked. It was not.\n\n"


def joined(cuts: list[Cut]) -> str:
    text = ""
    for item in cuts:
        assert item.start <= len(text) == item.new
        assert text[item.start :] == item.text[: len(text) - item.start]
        text += item.text[len(text) - item.start :]
    return text


@given(
    some.lists(some.text(some.sampled_from("ab. 。、\n\r\t！?」…\u3000😀"), max_size=400), max_size=6),
    some.integers(100, 160),
    some.integers(0, 50),
)
def test_nothing_is_lost(pieces: list[str], length: int, overlap: int) -> None:
    found = list(cut(pieces, PassageSize(length, overlap)))
    assert joined(found) == "".join(pieces)
    assert all(0 < len(item.text) <= length for item in found)
    assert found == list(cut(["".join(pieces)], PassageSize(length, overlap)))


def test_passages_end_where_sentences_do() -> None:
    for text, ends in ((STORY * 100, "。」！ "), (ENGLISH * 100, "\n")):
        found = list(cut([text], PassageSize(500, 100)))
        assert joined(found) == text
        assert all(item.text[-1] in ends for item in found)
        assert all(item.new - item.start <= 100 for item in found)
        assert any(item.new > item.start for item in found)
        assert min(len(item.text) for item in found[:-1]) > 200
    assert {item.text.lstrip()[0] for item in cut([ENGLISH * 100], PassageSize(500, 100))} <= set("I“")


@pytest.mark.parametrize(("length", "overlap"), [(99, 0), (1000, 501), (1000, -1)])
def test_sizes_that_make_no_sense(length: int, overlap: int) -> None:
    with pytest.raises(DataError, match=str(length)):
        PassageSize(length, overlap)


def read(path: Path, **options: Any) -> tuple[Source, list[dict[str, Any]]]:
    source = read_source(path, path.parent / "table", **{"max_bytes": 10**8, **options})
    return source, [dict(row.values) for row in Table(path.parent / "table").read()]


def refused(path: Path, key: str) -> None:
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.key == key
    assert path.name in caught.value.message("ja")


def test_text_and_markdown(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes((STORY * 200).encode("cp932"))
    source, values = read(tmp_path / "a.txt", passages=PassageSize(1000, 0))
    assert (source.kind, source.encoding) == ("Text", "Shift-JIS")
    assert "".join(row["text"] for row in values) == STORY * 200
    assert [row["part"] for row in values] == list(range(1, len(values) + 1))
    assert {row["source"] for row in values} == {"a.txt"}
    assert [c.name for c in source.columns] == ["text", "source", "part", "start"]
    (tmp_path / "a.md").write_text("# a, b\n\n1, 2\n\n```\n{}\n```\n")
    source, values = read(tmp_path / "a.md")
    assert (source.kind, values[0]["text"]) == ("Markdown", "# a, b\n\n1, 2\n\n```\n{}\n```\n")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(ENGLISH.encode()))
    assert read(tmp_path / "b.txt.gz")[0].kind == "Text"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('{"q": "1"}\n{"q": "2"}\n', "JSONL"),
        ('[{"q": "1"}]', "JSON"),
        ("q,a\n1,2\n", "CSV"),
        ("q\ta\n1\t2\n", "CSV"),
        ("Hello, world.\nHow are you, friend?\n", "Text"),
        ("[Chapter 1]\nOnce upon a time", "Text"),
        ("{ is a brace", "Text"),
    ],
)
def test_text_that_is_a_table(tmp_path: Path, content: str, kind: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    assert read(tmp_path / "a.txt")[0].kind == kind
    pasted = read_text(content, tmp_path / "pasted.table", name="Pasted text", max_bytes=10**8)
    assert pasted.kind == kind
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.txt", "pasted.table", "table"]


def test_pasted_text_that_is_nothing(tmp_path: Path) -> None:
    for text in ("", "  \n "):
        with pytest.raises(DataError, match="Pasted text"):
            read_text(text, tmp_path / "table", name="Pasted text", max_bytes=10**8)
    source = read_text("half \ud83d a character", tmp_path / "table", name="Pasted text", max_bytes=10**8)
    assert next(Table(tmp_path / "table").read()).values["text"] == "half \ufffd a character"
    assert source.rows == 1


def test_html(tmp_path: Path) -> None:
    page = """<!DOCTYPE html><html><head><title>Rain &amp; snow</title><style>p {color: red}</style>
    <script>alert("no")</script></head><body><h1>Rain</h1><p>It <b>rained</b>
    for days.<br>Nobody went out.</p><ul><li>one</li><li>two</li></ul><pre>if x:
    go</pre><template>no</template></body></html>"""
    (tmp_path / "a.html").write_text(page)
    source, values = read(tmp_path / "a.html")
    assert source.kind == "HTML"
    lines = [line for line in values[0]["text"].split("\n") if line]
    assert lines == ["Rain & snow", "Rain", "It rained for days.", "Nobody went out.", "one", "two", "if x:", "    go"]
    (tmp_path / "b.htm").write_text("<div>" * 20_000 + "deep" + "</div>" * 20_000)
    assert "deep" in read(tmp_path / "b.htm")[1][0]["text"]
    (tmp_path / "c.html").write_text("<script>1</script>")
    refused(tmp_path / "c.html", "error.data.empty")


def pdf(path: Path, texts: list[str], password: str | None = None) -> Path:
    writer = PdfWriter()
    for text in texts:
        page = writer.add_blank_page(200, 200)
        font = DictionaryObject(
            {
                NameObject(k): NameObject(v)
                for k, v in (("/Type", "/Font"), ("/Subtype", "/Type1"), ("/BaseFont", "/Helvetica"))
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        content = DecodedStreamObject()
        content.set_data(f"BT /F1 12 Tf 10 100 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(content)
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    writer.write(path)
    return path


def test_pdf(tmp_path: Path) -> None:
    source, values = read(pdf(tmp_path / "a.pdf", ["It rained.", "", "It stopped."]))
    assert source.kind == "PDF"
    assert values[0]["text"] == "It rained.\n\nIt stopped."
    assert [(n.key, n.values["count"]) for n in source.notes] == [("notice.data.blank_pages", 1)]
    refused(pdf(tmp_path / "scan.pdf", ["", ""]), "error.data.scanned")
    refused(pdf(tmp_path / "locked.pdf", ["secret"], "password"), "error.data.encrypted")
    assert read(pdf(tmp_path / "open.pdf", ["owner only"], ""))[1][0]["text"] == "owner only"
    data = (tmp_path / "a.pdf").read_bytes()
    (tmp_path / "cut.pdf").write_bytes(data[:300])
    refused(tmp_path / "cut.pdf", "error.data.pdf")


def test_a_folder_of_documents(tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    (folder / "deep").mkdir(parents=True)
    (folder / "a.txt").write_text(ENGLISH)
    (folder / "deep" / "b.md").write_text(STORY, encoding="utf-8")
    (folder / "c.png").write_bytes(b"\x89PNG")
    source, values = read(folder)
    assert [(row["source"], row["part"]) for row in values] == [("a.txt", 1), ("deep/b.md", 1)]
    assert [note.key for note in source.notes] == ["notice.data.files", "notice.data.skipped_files"]
    assert source.kind == "Text, Markdown"


def test_real_documents(shared: Path, tmp_path: Path) -> None:
    for name in ("tinyshakespeare.txt", "wiki_demo.txt"):
        source = read_source(shared / "data" / name, tmp_path / "table", max_bytes=10**8)
        text = ""
        for row in Table(tmp_path / "table").read():
            start: int = row.values["start"]
            assert len(row.values["text"]) <= 2000
            text += row.values["text"][len(text) - start :]
        assert source.kind == "Text"
        assert text == (shared / "data" / name).read_bytes().decode("utf-8-sig")
