"""The card of a data set: what is in it, where it comes from, how it was cleaned, what was found in it.

Markdown with the front matter of the Hub (https://huggingface.co/docs/hub/datasets-cards), in English and Japanese.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from studio.export.card_text import Say, bullets, escaped, span, table
from studio.messages import LANGUAGES, translate

RECIPE = "recipe.yaml"
ROWS, SIDES = "rows", ("train", "validation", "test")
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))
_LANGUAGE_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A version on the way to this one: its number, rows and fingerprint, and how it was made: `imported`, `cleaned` or
    `mixed`."""

    number: int
    rows: int
    fingerprint: str
    made: str


@dataclass(frozen=True, slots=True)
class DataCard:
    """All that the card tells. `files`: rows by the name of the file, those of the sides last. `lineage`: oldest first,
    this version at the end. `recipes`: the files that make it of the first version, one after the other; `by_hand`:
    steps in them that hold for that very table alone. `left_out`: lines of the source that could not be read.
    `findings`: None where the checks were not made. `version` of the studio."""

    name: str
    number: int
    columns: tuple[tuple[str, str], ...]
    dataset_type: str | None
    files: Mapping[str, int]
    lineage: tuple[Ancestor, ...]
    recipes: tuple[str, ...]
    by_hand: int
    left_out: int
    steps: Mapping[str, tuple[str, ...]]
    findings: Mapping[str, tuple[str, ...]] | None
    version: str
    languages: tuple[tuple[str, int], ...] = field(default=())

    @property
    def rows(self) -> int:
        return self.lineage[-1].rows


def data_card(card: DataCard) -> str:
    """The whole README.md."""
    body = "\n".join(_body(card, language) for language in LANGUAGES)
    return f"---\n{yaml.safe_dump(_front(card), sort_keys=False, allow_unicode=True)}---\n\n{body}"


def _front(card: DataCard) -> dict[str, object]:
    sides = [name for name in card.files if name.split(".")[0] in SIDES]
    chosen = sides or [name for name in card.files if name.split(".")[0] == ROWS]
    files = [{"split": name.split(".")[0] if sides else "train", "path": name} for name in chosen]
    total = sum(count for _, count in card.languages)
    spoken = [code for code, count in card.languages if count >= _LANGUAGE_SHARE * total and len(code) == 2]
    size = next((name for limit, name in _SIZES if card.rows < limit), "n>10M")
    return {
        "pretty_name": card.name,
        **({"language": spoken} if spoken else {}),
        "task_categories": ["text-generation"],
        "size_categories": [size],
        "configs": [{"config_name": "default", "data_files": files}],
    }


def _body(card: DataCard, language: str) -> str:
    def say(key: str, **values: object) -> str:
        return translate(f"ui.data_card.{key}", language, **values)

    first, steps = card.lineage[0], card.steps.get(language, ())
    lineage = [
        [str(one.number), say(f"made.{one.made}"), f"{one.rows:,}", f"`{one.fingerprint}`"] for one in card.lineage
    ]
    columns = [
        [span(name).replace("|", "/"), translate(f"ui.data.type.{kind}", language)] for name, kind in card.columns
    ]
    files = [[f"`{name}`", f"{count:,}"] for name, count in card.files.items()]
    cleaned = [
        say("cleaned", imported=first.rows, rows=card.rows, steps=len(steps)),
        "",
        *bullets(list(map(escaped, steps))),
    ]
    return "\n".join(
        [
            f"# {say('title', name=span(card.name), number=card.number)}",
            "",
            say("intro", rows=card.rows, version=card.version),
            *([say("type", type=f"`{card.dataset_type}`")] if card.dataset_type else []),
            say("licence"),
            "",
            f"## {say('files')}",
            "",
            *table([say("file"), say("rows")], files),
            f"## {say('columns')}",
            "",
            *table([say("column"), say("kind")], columns),
            f"## {say('lineage')}",
            "",
            *table([say("number"), say("how"), say("rows"), say("fingerprint")], lineage),
            *([say("left_out", rows=card.left_out), ""] if card.left_out else []),
            f"## {say('cleaning')}",
            "",
            *(cleaned if steps else [say("as_imported"), ""]),
            *_again(card, say),
            f"## {say('findings')}",
            "",
            *_findings(card, language),
        ]
    )


def _again(card: DataCard, say: Say) -> list[str]:
    """How it is made of the file: one recipe by a command; several, which rest on the ids of rows, in the studio."""
    if not card.recipes:
        return []
    first, *others = card.recipes
    by_hand = [say("by_hand", steps=card.by_hand), ""] if card.by_hand else []
    if others:
        order = ", ".join(f"`{name}`" for name in card.recipes)
        return [say("again.several", recipes=order), "", *by_hand]
    command = f"studio data clean FILE --recipe {first} --to {ROWS}.jsonl"
    return [say("again"), "", "```sh", command, "```", "", *by_hand]


def _findings(card: DataCard, language: str) -> list[str]:
    if card.findings is None:
        return [translate("ui.data_card.unchecked", language), ""]
    found = card.findings[language]
    if not found:
        return [translate("ui.data_card.clean", language), ""]
    return bullets([escaped(one) for one in found])
