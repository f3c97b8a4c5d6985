"""The shipped sample data: reproducible, described by their cards, and what they promise to be."""

import csv
import io
import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml

from studio.data.checks import CheckOptions
from studio.data.cleaning import clean
from studio.data.formats import Mapping, RowProblem, convert, recognise
from studio.data.recipe import CleanSpec, make_step
from studio.data.records import Record
from studio.data.samples import list_samples
from studio.data.scan import scan
from studio.data.sources import read_source
from studio.data.tables import Row, Table
from studio.starter import samples
from studio.starter.words import CITIES_EN, CITIES_JA, GOODS, NAMES_EN, NAMES_JA

FOLDER = Path(__file__).parents[1] / "assets" / "samples"
CARDS = sorted(FOLDER.glob("*.yaml"))
WORDS = sorted({*NAMES_EN, *NAMES_JA, *CITIES_EN, *CITIES_JA, *(word for row in GOODS for word in row)}, key=len)
ANY_WORD = re.compile("|".join(re.escape(word) for word in reversed(WORDS)))


def jsonl(name: str) -> list[dict]:
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").split("\n") if line]


def dirty_rows() -> list[dict[str, str]]:
    text = (FOLDER / "dirty-support.csv").read_bytes().decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def exchanges(name: str) -> list[tuple[str, str]]:
    """(prompt, answer) of every row."""
    rows = jsonl(name)
    if name == "support-en.jsonl":
        assert all([turn["role"] for turn in row["messages"]] == ["user", "assistant"] for row in rows)
        return [(row["messages"][0]["content"], row["messages"][1]["content"]) for row in rows]
    if name == "support-ja.jsonl":
        return [(row["prompt"], row["completion"]) for row in rows]
    return [(row["input"], row["output"]) for row in rows]


CLEAN = ("support-en.jsonl", "support-ja.jsonl", "extract-json.jsonl")


def test_files_are_what_the_code_makes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert samples.main(["--check"]) == 0
    assert samples.main(["--to", str(tmp_path)]) == 0
    assert samples.main(["--to", str(tmp_path), "--check"]) == 0
    (tmp_path / "support-en.jsonl").write_text("changed", encoding="utf-8")
    (tmp_path / "support-ja.jsonl").unlink()
    assert samples.main(["--to", str(tmp_path), "--check"]) == 1
    told = capsys.readouterr().err
    assert "support-en.jsonl" in told
    assert "support-ja.jsonl" in told
    assert "extract" not in told


def test_another_seed_makes_other_rows() -> None:
    made, other = samples.make(), samples.make(samples.SEED + 1)
    assert all(made[name] != other[name] for name in made)


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_card_describes_its_file(path: Path) -> None:
    card = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert set(card) == {
        "file", "order", "licence", "title", "purpose", "columns", "look_for"
    }  # fmt: skip
    assert card["licence"] == "Apache-2.0"
    rows = dirty_rows() if card["file"].endswith(".csv") else jsonl(card["file"])
    assert 200 <= len(rows) <= 600
    assert all(list(row) == list(card["columns"]) for row in rows)
    for texts in (card["title"], card["purpose"], card["look_for"], *card["columns"].values()):
        assert set(texts) == {"en", "ja"}
        assert all(text.strip() for text in texts.values())


def test_every_file_has_a_card_and_a_line_in_the_readme() -> None:
    cards = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in CARDS]
    assert {card["file"] for card in cards} == set(samples.make())
    assert sorted(card["order"] for card in cards) == [1, 2, 3, 4]
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for card in cards:
        rows = len(dirty_rows() if card["file"].endswith(".csv") else jsonl(card["file"]))
        assert re.search(rf"^\| `{re.escape(card['file'])}` \|.*\| {rows} \|", readme, re.MULTILINE)
        assert str(rows) in card["purpose"]["en"]
        assert str(rows) in card["purpose"]["ja"]


@pytest.mark.parametrize("name", CLEAN)
def test_example_of_the_card_is_not_in_the_data(name: str) -> None:
    card = yaml.safe_load((FOLDER / name).with_suffix(".yaml").read_text(encoding="utf-8"))
    examples = re.findall("[“「]([^”」]+)[”」]", card["look_for"]["en"] + card["look_for"]["ja"])
    assert examples
    prompts = {prompt for prompt, _ in exchanges(name)}
    assert not [one for one in examples if any(prompt in one or one == prompt for prompt in prompts)]


@pytest.mark.parametrize("name", CLEAN)
def test_a_held_out_row_is_new(name: str) -> None:
    """No message occurs twice; with names, goods, cities and numbers masked, most messages still differ."""
    prompts = [prompt for prompt, _ in exchanges(name)]
    assert len(set(prompts)) == len(prompts)
    if name != "extract-json.jsonl":
        masked = Counter(ANY_WORD.sub("#", prompt) for prompt in prompts)
        assert sum(count == 1 for count in masked.values()) > 0.6 * len(prompts)


@pytest.mark.parametrize(
    ("name", "opening", "nameless", "signature", "names"),
    [
        ("support-en.jsonl", "Thank you for writing, {}! ", "dear customer", " Warm wishes, Blue Door Shop", NAMES_EN),
        ("support-ja.jsonl", "{}様、お手紙", "お客", "青いドアの店より", NAMES_JA),
    ],
)
def test_voice_is_the_same_in_every_answer(
    name: str, opening: str, nameless: str, signature: str, names: list[str]
) -> None:
    goods = [english if names is NAMES_EN else japanese for english, japanese in GOODS]
    without_name = 0
    for prompt, answer in exchanges(name):
        named = [one for one in names if answer.startswith(opening.format(one))]
        without_name += not named
        assert named[0] in prompt if named else answer.startswith(opening.format(nameless))
        assert answer.endswith(signature)
        assert len(answer.split()) <= 40
        assert len(answer) <= 220
        assert any(item in prompt and item in answer for item in goods)
        assert "{" not in prompt + answer
        assert "  " not in prompt
    assert 10 <= without_name <= 60


def test_support_covers_twenty_intents_evenly() -> None:
    for voice, name in ((samples.ENGLISH, "support-en.jsonl"), (samples.JAPANESE, "support-ja.jsonl")):
        assert len({intent.name for intent in voice.intents}) == len(voice.intents) == 20
        assert len({intent.answer for intent in voice.intents}) == 20
        patterns = {
            intent.name: re.compile(re.escape(intent.answer).replace(r"\{item\}", ".+").replace(r"\{city\}", ".+"))
            for intent in voice.intents
        }
        found = Counter(
            intent for _, answer in exchanges(name) for intent, pattern in patterns.items() if pattern.search(answer)
        )
        assert set(found.values()) == {20}


def test_extraction_is_json_of_what_the_text_says() -> None:
    kinds = Counter()
    for row in jsonl("extract-json.jsonl"):
        order = json.loads(row["output"])
        assert list(order) == ["name", "item", "quantity", "city"]
        assert isinstance(order["quantity"], int)
        assert 1 <= order["quantity"] <= 9
        text = row["input"]
        assert order["name"] in text
        assert order["city"] in text
        stem = order["item"][:-1] if order["item"] == "scarf" else order["item"]
        assert stem.lower() in text.lower()
        written = {
            str(order["quantity"]), samples.ONES[order["quantity"]], samples.KANJI_DIGITS[order["quantity"]]
        }  # fmt: skip
        assert any(number in text.lower() for number in written)
        assert not re.search(r"[.!?] [a-z]", text)
        kinds["ja" if re.search("[ぁ-ん]", text) else "en"] += 1
        assert bool(re.search("[ぁ-ん]", row["instruction"])) == bool(re.search("[ぁ-ん]", text))
    assert kinds == {"en": 280, "ja": 280}


def test_planted_faults_are_in_the_file() -> None:
    """Counted again here from the file alone."""
    rows = dirty_rows()
    texts = [f"{row['question']} {row['answer']}" for row in rows]
    counted = {
        "duplicate_rows": len(rows) - len({tuple(row.values()) for row in rows}),
        "empty_answers": sum(row["answer"] == "" for row in rows),
        "whitespace_answers": sum(row["answer"] != "" and not row["answer"].strip() for row in rows),
        "empty_questions": sum(not row["question"].strip() for row in rows),
        "mojibake_western": sum("Ã" in text for text in texts),
        "mojibake_japanese": sum(bool(re.search("ã[\u0080-\u009f]", text)) for text in texts),
        "replacement_characters": sum("\ufffd" in text for text in texts),
        "secrets": sum(samples.FAKE_KEY in text or samples.FAKE_PASSWORD in text for text in texts),
        "email_addresses": sum(bool(re.search(r"\w@example\.com", text)) for text in texts),
        "too_long": sum(len(text.split()) > 700 for text in texts),
        "wrong_type": sum(not row["stars"].isdigit() for row in rows),
    }
    assert counted == samples.PLANTED
    assert len(rows) == samples.CLEAN_ROWS + sum(counted.values())
    pairs = Counter((row["question"], row["answer"]) for row in rows)
    assert sum(count - 1 for count in pairs.values()) == counted["duplicate_rows"]
    assert sorted(len(text.split()) for text in texts)[-2] < 100
    assert all(address.endswith("@example.com") for text in texts for address in re.findall(r"\S+@\S+", text))


# What the card says of the dirty set: English, Japanese, and the kinds of fault that add up to it.
TOLD = [
    ("{} copies of whole rows", "行のコピーが{}、", ["duplicate_rows"]),
    ("{} rows with a blank", "空欄のある行が{}（", ["empty_answers", "whitespace_answers", "empty_questions"]),
    ("({} empty answers", "空の回答{}、", ["empty_answers"]),
    ("{} answers of white space", "空白文字だけの回答{}、", ["whitespace_answers"]),
    ("{} empty questions", "空の質問{}）", ["empty_questions"]),
    ("{} rows of broken text", "直せる文字化けの行が{}、", ["mojibake_western", "mojibake_japanese"]),
    ("{} with characters that are lost", "元に戻せない文字のある行が{}、", ["replacement_characters"]),
    ("{} secrets", "秘密の情報が{}（", ["secrets"]),
    ("{} row that is far too long", "長すぎる行が{}です", ["too_long"]),
    ("{} mail addresses", "メールアドレスが{}、", ["email_addresses"]),
    ("{} star rating written as a word", "単語で書かれた評価が{}、", ["wrong_type"]),
]


@pytest.mark.parametrize(("english", "japanese", "kinds"), TOLD)
def test_card_tells_how_much_was_planted(english: str, japanese: str, kinds: list[str]) -> None:
    told = yaml.safe_load((FOLDER / "dirty-support.yaml").read_text(encoding="utf-8"))["look_for"]
    count = sum(samples.PLANTED[kind] for kind in kinds)
    assert english.format(count) in told["en"]
    assert japanese.format(count) in told["ja"]


def test_every_planted_kind_is_told() -> None:
    assert {kind for _, _, kinds in TOLD for kind in kinds} == set(samples.PLANTED)


def opened(name: str, folder: Path) -> tuple[Mapping, list[Row], list[tuple[int, Record | RowProblem]]]:
    """A sample as the Data tab opens it: layout, rows, conversations."""
    source = read_source(FOLDER / name, folder / "table.parquet", encoding=None, name=name, max_bytes=10_000_000)
    table = Table(folder / "table.parquet")
    rows = list(table.read())
    mapping = recognise(table.columns, rows[:200])
    assert source.notes == ()
    assert mapping is not None
    return mapping, rows, [(row.id, convert(row, mapping)) for row in rows]


@pytest.mark.parametrize(
    ("name", "layout"),
    [("support-en.jsonl", "messages"), ("support-ja.jsonl", "prompt_completion"), ("extract-json.jsonl", "alpaca")],
)
def test_studio_reads_clean_samples_without_a_finding(name: str, layout: str, tmp_path: Path) -> None:
    mapping, _, _ = opened(name, tmp_path)
    assert mapping.layout == layout
    assert scan(Table(tmp_path / "table.parquet"), mapping, CheckOptions()).findings == ()


def test_studio_finds_what_was_planted(tmp_path: Path) -> None:
    mapping, _, _ = opened("dirty-support.csv", tmp_path)
    assert mapping.layout == "question_answer"
    planted = samples.PLANTED
    found = scan(Table(tmp_path / "table.parquet"), mapping, CheckOptions()).findings
    assert {finding.key: finding.count for finding in found} == {
        "finding.blank": planted["empty_answers"] + planted["whitespace_answers"] + planted["empty_questions"],
        "finding.duplicate": planted["duplicate_rows"],
        "finding.broken_text": planted["mojibake_western"] + planted["mojibake_japanese"],
        "finding.unreadable_text": planted["replacement_characters"],
        "finding.secret": planted["secrets"],
        "finding.email": planted["email_addresses"],
        "finding.odd_values": planted["wrong_type"],
        "finding.length_outlier": planted["too_long"],
    }


def test_cleaning_gives_back_the_sound_rows(tmp_path: Path) -> None:
    """Every mojibake row is mended to what it was; nothing sound is lost."""
    mapping, _, _ = opened("dirty-support.csv", tmp_path)
    fixes = ("drop_blank", "mask_secrets", "mask_emails", "repair_text", "drop_unreadable", "drop_duplicates")
    long = make_step("filter", action="drop", where={"by": "length", "part": "answer", "least": 3_000})
    recipe = CleanSpec(steps=(*map(make_step, fixes), long))
    (tmp_path / "cleaned").mkdir()
    clean(Table(tmp_path / "table.parquet"), mapping, recipe, tmp_path / "cleaned")
    cleaned = list(Table(tmp_path / "cleaned" / "table.parquet").read())
    planted = samples.PLANTED
    mended = planted["mojibake_western"] + planted["mojibake_japanese"]
    masked = planted["secrets"] + planted["email_addresses"]
    assert len(cleaned) == samples.CLEAN_ROWS + mended + masked + planted["wrong_type"]
    texts = [f"{row.values['question']} {row.values['answer']}" for row in cleaned]
    assert sum(bool(re.search("[éë]", text)) for text in texts) == planted["mojibake_western"]
    found = scan(Table(tmp_path / "cleaned" / "table.parquet"), mapping, CheckOptions()).findings
    assert [finding.key for finding in found] == ["finding.odd_values"]


def test_cards_are_on_the_shelf_in_order() -> None:
    cards = list_samples(FOLDER)
    assert [card.name for card in cards] == ["support-en", "support-ja", "extract-json", "dirty-support"]
    assert [card.rows for card in cards] == [400, 400, 560, 258]


def test_mojibake_can_be_undone() -> None:
    """The broken rows came about as such rows do, so a repair can bring them back."""
    rng = random.Random(1)
    for exchange in samples.support(samples.JAPANESE, 20, rng):
        broken = exchange.prompt.encode().decode("latin-1")
        assert "ã" in broken
        assert broken.encode("latin-1").decode() == exchange.prompt
    western = [row for row in dirty_rows() if "Ã" in row["question"]]
    repaired = [row["question"].encode("cp1252").decode() for row in western]
    assert all(re.search("[éë]", text) for text in repaired)
