"""Every sentence exists in both languages, takes the same values, and is used; every key in the code exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest

from studio.messages import LANGUAGES, catalogue, translate
from studio.runs.spec import every_field

PACKAGE = Path(__file__).parents[1] / "studio"
ROOTS = {key.split(".")[0] for key in catalogue("en")}
KEY = re.compile(rf"(?:{'|'.join(sorted(ROOTS))})(?:\.[A-Za-z0-9_-]+)+")
PREFIX = re.compile(rf"(?:{'|'.join(sorted(ROOTS))})\.(?:[A-Za-z0-9_-]+\.)*[a-z_]*")
JAPANESE = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")
# Strings of the code that look like keys and are something else.
OTHER: set[str] = set()


def fields(sentence: str) -> set[str]:
    return {re.split(r"[.\[]", name)[0] for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def sources() -> Iterator[tuple[Path, ast.AST]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def literal_keys() -> dict[str, str]:
    """Keys written out in the code, with one place each."""
    return {
        node.value: f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and KEY.fullmatch(node.value)
        if node.value not in OTHER
    }


def made_keys() -> dict[str, str]:
    """Regular expressions of keys put together in the code: f"cli.status.{status}", "cli.status." + status."""
    found = {}
    for path, tree in sources():
        for node in ast.walk(tree):
            pattern, line = "", getattr(node, "lineno", 0)
            if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                start = str(node.values[0].value)
                if PREFIX.fullmatch(start):
                    pattern = "".join(
                        re.escape(str(v.value)) if isinstance(v, ast.Constant) else r"[A-Za-z0-9_.-]+"
                        for v in node.values
                    )
            elif isinstance(node, ast.BinOp) and isinstance(node.left, ast.Constant):
                start = str(node.left.value)
                if PREFIX.fullmatch(start) and start.endswith("."):
                    pattern = re.escape(start) + r"[A-Za-z0-9_.-]+"
            if pattern:
                found[pattern] = f"{path.relative_to(PACKAGE)}:{line}"
    return found


def test_both_languages_have_the_same_sentences() -> None:
    assert catalogue("en").keys() == catalogue("ja").keys()


@pytest.mark.parametrize("key", sorted(catalogue("en")))
def test_a_sentence_takes_the_same_values_in_both_languages(key: str) -> None:
    english, japanese = (fields(catalogue(language)[key]) for language in LANGUAGES)
    assert japanese <= english
    assert english - japanese <= {"rows"}  # "3 of 40 rows (8 %)" is told as 3 rows (8 %) in Japanese


def test_sentences_are_translated() -> None:
    plain = {k: re.sub(r"`[^`]*`|\{[^}]*\}", "", v) for k, v in catalogue("en").items()}
    long = [key for key, sentence in plain.items() if len(re.findall(r"[A-Za-z]{2,}", sentence)) >= 4]
    assert long
    assert [key for key in long if not JAPANESE.search(catalogue("ja")[key])] == []
    assert [key for key, sentence in catalogue("en").items() if JAPANESE.search(sentence)] == []


def test_every_key_in_the_code_exists() -> None:
    keys = literal_keys()
    assert len(keys) > 50
    assert {place: key for key, place in keys.items() if key not in catalogue("en")} == {}


def test_every_key_put_together_in_the_code_can_exist() -> None:
    keys = catalogue("en")
    missing = {place: p for p, place in made_keys().items() if not any(re.fullmatch(p, key) for key in keys)}
    assert missing == {}


def test_every_sentence_is_used() -> None:
    literal, made = literal_keys(), [re.compile(pattern) for pattern in made_keys()]
    unused = [k for k in catalogue("en") if k not in literal and not any(p.fullmatch(k) for p in made)]
    assert unused == []


def test_every_value_of_a_sentence_is_given() -> None:
    """Where a sentence is asked for by name and all values are written out, none is missing."""
    missing = {}
    for path, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or any(word.arg is None for word in node.keywords):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name not in {"translate", "t", "say"} and not name.endswith("Error"):
                continue
            first = node.args[0] if node.args else None
            if isinstance(first, ast.Constant) and first.value in catalogue("en"):
                lacking = fields(catalogue("en")[first.value]) - {word.arg for word in node.keywords}
                if lacking:
                    missing[f"{path.relative_to(PACKAGE)}:{node.lineno}"] = (first.value, lacking)
    assert missing == {}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_setting_has_a_label_and_a_help(language: str) -> None:
    settings = list(every_field())
    assert len(settings) > 15
    for field in settings:
        assert field.label(language).strip()
        assert len(field.help(language)) > len(field.label(language))
    stale = {k for k in catalogue(language) if k.startswith("spec.")} - {
        f"spec.{field.text}.{part}" for field in settings for part in ("label", "help")
    }
    assert {k for k in stale if k.endswith((".label", ".help"))} == set()


def test_an_unknown_sentence_is_an_error() -> None:
    with pytest.raises(KeyError):
        translate("cli.no.such.sentence")
