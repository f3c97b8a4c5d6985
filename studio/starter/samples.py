"""The sample data sets of `assets/samples`, made from the little world's words and one seed.

`python -m studio.starter.samples` writes the four files; with `--check` it only says whether they are
what this code makes (exit code 1 if not).
"""

import argparse
import csv
import io
import itertools
import json
import random
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from studio.messages import translate
from studio.settings import read_settings
from studio.starter import sample_phrases as phrases
from studio.starter.sample_phrases import Intent
from studio.starter.words import CITIES_EN, CITIES_JA, GOODS, KANJI_DIGITS, NAMES_EN, NAMES_JA, ONES, PLURALS

SEED = 20
_Thing = TypeVar("_Thing")
_PLURAL = {row[0]: row[1] for row in PLURALS} | {"scarf": "scarves"}


@dataclass(frozen=True, slots=True)
class Exchange:
    """What a customer wrote and what the shop answered."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Voice:
    """One language of the shop. `items` maps the name in the word table to the word shown."""

    intents: Sequence[Intent]
    openings: Sequence[str]
    signatures: Sequence[str]
    nameless: Sequence[str]
    closes: Sequence[str]
    names: Sequence[str]
    cities: Sequence[str]
    items: dict[str, str]
    greeting: str
    nameless_greeting: str
    signature: str
    space: str
    asks: str


ENGLISH = Voice(
    phrases.INTENTS_EN,
    phrases.OPENINGS_EN,
    phrases.SIGNATURES_EN,
    phrases.NAMELESS_EN,
    phrases.CLOSES_EN,
    NAMES_EN,
    CITIES_EN,
    {item: item for item, _ in GOODS if item not in phrases.PLURAL_ONLY},
    greeting="Thank you for writing, {name}! ",
    nameless_greeting="Thank you for writing, dear customer! ",
    signature=" Warm wishes, Blue Door Shop",
    space=" ",
    asks="?",
)
JAPANESE = Voice(
    phrases.INTENTS_JA,
    phrases.OPENINGS_JA,
    phrases.SIGNATURES_JA,
    phrases.NAMELESS_JA,
    phrases.CLOSES_JA,
    NAMES_JA,
    CITIES_JA,
    {row[0]: row[1] for row in GOODS},
    greeting="{name}様、お手紙ありがとうございます。",
    nameless_greeting="お客様、お手紙ありがとうございます。",
    signature="青いドアの店より",
    space="",
    asks="か。",
)


def support(voice: Voice, count: int, rng: random.Random) -> list[Exchange]:
    """`count` exchanges with different prompts, every intent equally often; one customer in twelve gives no name."""
    exchanges: dict[str, Exchange] = {}
    while len(exchanges) < count:
        intent = voice.intents[len(exchanges) % len(voice.intents)]
        name = rng.choice(voice.names) if rng.random() > 1 / 12 else None
        exchange = _exchange(voice, intent, name, rng)
        exchanges.setdefault(exchange.prompt, exchange)
    return _shuffled(exchanges.values(), rng)


def _exchange(voice: Voice, intent: Intent, name: str | None, rng: random.Random) -> Exchange:
    said = rng.choice(intent.sayings)
    parts = [said]
    if intent.question and not said.endswith(voice.asks) and rng.random() < 0.5:
        parts.append(rng.choice(voice.closes))
    if name is None:
        parts.insert(0, rng.choice(voice.nameless))
    elif rng.random() < 0.7:
        parts.insert(0, rng.choice(voice.openings))
    else:
        parts.append(rng.choice(voice.signatures))
    item = voice.items[rng.choice([item for item in voice.items if item in intent.items])]
    city = rng.choice(voice.cities)
    greeting = voice.nameless_greeting if name is None else voice.greeting
    prompt = voice.space.join(parts).format(name=name, item=item, city=city)
    answer = (greeting + intent.answer).format(name=name, item=item, city=city) + voice.signature
    return Exchange(prompt, answer)


def _shuffled(things: Iterable[_Thing], rng: random.Random) -> list[_Thing]:
    ordered = list(things)
    rng.shuffle(ordered)
    return ordered


# Text -> JSON


@dataclass(frozen=True, slots=True)
class Order:
    """What the extraction finds in a message. `item` is the name of one piece."""

    name: str
    item: str
    quantity: int
    city: str

    def to_json(self) -> str:
        order = {"name": self.name, "item": self.item, "quantity": self.quantity, "city": self.city}
        return json.dumps(order, ensure_ascii=False)


def english_order(rng: random.Random) -> tuple[str, Order]:
    """A message and the order in it."""
    item = rng.choice([item for item, _ in GOODS if item not in phrases.PLURAL_ONLY])
    order = Order(rng.choice(NAMES_EN), item, rng.randint(1, 9), rng.choice(CITIES_EN))
    counted = rng.choice([str(order.quantity), ONES[order.quantity]])
    shown = item if order.quantity == 1 else _PLURAL.get(item, f"{item}s")
    text = rng.choice(phrases.ORDERS_EN).format(name=order.name, quantity=counted, item=shown, city=order.city)
    return re.sub(r"(^|[.!] )([a-z])", lambda start: start[1] + start[2].upper(), text), order


def japanese_order(rng: random.Random) -> tuple[str, Order]:
    """A message and the order in it, the quantity with the counter of the item."""
    item = rng.choice([shown for _, shown in GOODS])
    order = Order(rng.choice(NAMES_JA), item, rng.randint(1, 9), rng.choice(CITIES_JA))
    number = rng.choice([str(order.quantity), KANJI_DIGITS[order.quantity]])
    counted = number + phrases.COUNTERS_JA.get(item, "つ")
    text = rng.choice(phrases.ORDERS_JA).format(name=order.name, quantity=counted, item=item, city=order.city)
    return text, order


def extraction(english: int, japanese: int, rng: random.Random) -> list[dict[str, str]]:
    """Alpaca rows with different inputs, the two languages mixed."""
    rows: dict[str, dict[str, str]] = {}
    while len(rows) < english + japanese:
        make, asked = (
            (english_order, phrases.INSTRUCTIONS_EN)
            if len(rows) < english
            else (japanese_order, phrases.INSTRUCTIONS_JA)
        )
        text, order = make(rng)
        rows.setdefault(text, {"instruction": rng.choice(asked), "input": text, "output": order.to_json()})
    return _shuffled(rows.values(), rng)


# The dirty set

COLUMNS = ("order_no", "question", "answer", "stars")
FAKE_KEY = "sk-notARealKeyButItLooksLikeOne1234567890abcd"
FAKE_PASSWORD = "Teapot-4417-Maple"
CLEAN_ROWS = 204
PLANTED = {
    "duplicate_rows": 18,
    "empty_answers": 6,
    "whitespace_answers": 5,
    "empty_questions": 2,
    "mojibake_western": 7,
    "mojibake_japanese": 5,
    "replacement_characters": 4,
    "secrets": 2,
    "email_addresses": 3,
    "too_long": 1,
    "wrong_type": 1,
}
_BLANKS = (" ", "   ", "\t", "\u3000", " \n ")
_ACCENTED = ("René", "Zoë", "Chloé", "José", "André", "Noël", "Zoé")
_TWICE_COPIED = 3


@dataclass(frozen=True, slots=True)
class DirtyRow:
    """A row of the dirty set as it stands in the file."""

    question: str
    answer: str
    stars: str


def dirty(rng: random.Random) -> list[tuple[str, ...]]:
    """Cells of every row. No row has two faults, except that a copied row is whole; PLANTED counts them."""
    western = replace(ENGLISH, names=_ACCENTED)
    whole = support(ENGLISH, 150, rng) + support(JAPANESE, CLEAN_ROWS - 150, rng)
    faulty = [
        *(replace(e, answer="") for e in support(ENGLISH, PLANTED["empty_answers"], rng)),
        *(replace(e, answer=blank) for e, blank in zip(support(ENGLISH, len(_BLANKS), rng), _BLANKS, strict=True)),
        *(replace(e, prompt="") for e in support(JAPANESE, PLANTED["empty_questions"], rng)),
        *(_mistaken(_named(western, name, rng), "cp1252") for name in _ACCENTED),
        *(replace(e, prompt=_mistaken(e, "latin-1").prompt) for e in _brief(PLANTED["mojibake_japanese"], rng)),
        *(_torn(e) for e in support(ENGLISH, PLANTED["replacement_characters"], rng)),
        *_secrets(rng),
        *_with_addresses(rng),
        _rambling(rng),
    ]
    wrong_type = replace(_rated(support(ENGLISH, 1, rng)[0], rng), stars="five")
    kept = [_rated(exchange, rng) for exchange in whole]
    rows = _shuffled([*kept, *(_rated(exchange, rng) for exchange in faulty), wrong_type], rng)
    numbered = [(str(1001 + i), row.question, row.answer, row.stars) for i, row in enumerate(rows)]
    whole_rows = set(kept)
    return _with_copies(numbered, [i for i, row in enumerate(rows) if row in whole_rows], rng)


def _named(voice: Voice, name: str, rng: random.Random) -> Exchange:
    return _exchange(voice, rng.choice(voice.intents), name, rng)


def _brief(count: int, rng: random.Random) -> list[Exchange]:
    """Japanese exchanges whose question stays short enough for the starter when every character becomes three."""
    short = (e for e in support(JAPANESE, 100, rng) if len(e.prompt) <= 22)
    return list(itertools.islice(short, count))


def _rated(exchange: Exchange, rng: random.Random) -> DirtyRow:
    return DirtyRow(exchange.prompt, exchange.answer, str(rng.randint(3, 5)))


def _mistaken(exchange: Exchange, encoding: str) -> Exchange:
    """UTF-8 read as another encoding, which is how such text comes about."""
    return Exchange(exchange.prompt.encode().decode(encoding), exchange.answer.encode().decode(encoding))


def _torn(exchange: Exchange) -> Exchange:
    """A character in the middle of the answer that was lost for good."""
    middle = len(exchange.answer) // 2
    return replace(exchange, answer=exchange.answer[:middle] + "\ufffd\ufffd" + exchange.answer[middle + 1 :])


def _secrets(rng: random.Random) -> tuple[Exchange, Exchange]:
    """A key in a question and a password in an answer, both invented."""
    key = _named(ENGLISH, "Noah", rng)
    told = ENGLISH.greeting.format(name="Victor") + f"Your new password is {FAKE_PASSWORD}." + ENGLISH.signature
    return (
        replace(key, prompt=f"{key.prompt} My api_key is {FAKE_KEY}"),
        Exchange("Hello, this is Victor. I do not remember my password.", told),
    )


def _with_addresses(rng: random.Random) -> list[Exchange]:
    names = NAMES_EN[: PLANTED["email_addresses"]]
    told = ((_named(ENGLISH, name, rng), f"{name.lower()}@example.com") for name in names)
    return [replace(exchange, prompt=f"{exchange.prompt} You can write to {address}") for exchange, address in told]


def _rambling(rng: random.Random) -> Exchange:
    """An answer that tells everything at once: more than 700 words, longer than the starter can read."""
    items = list(ENGLISH.items)
    told = (rng.choice(ENGLISH.intents).answer for _ in range(45))
    story = " ".join(line.format(item=rng.choice(items), city=rng.choice(CITIES_EN)) for line in told)
    exchange = _named(ENGLISH, "Oscar", rng)
    return replace(exchange, answer=exchange.answer.removesuffix(ENGLISH.signature) + f" {story}{ENGLISH.signature}")


def _with_copies(rows: list[tuple[str, ...]], may_copy: Sequence[int], rng: random.Random) -> list[tuple[str, ...]]:
    """Copies of whole rows, put in anywhere: most rows once more, a few twice more."""
    chosen = rng.sample(may_copy, PLANTED["duplicate_rows"] - _TWICE_COPIED)
    copies = [rows[i] for i in [*chosen, *chosen[:_TWICE_COPIED]]]
    everything = list(rows)
    for copy in copies:
        everything.insert(rng.randrange(len(everything) + 1), copy)
    return everything


# Files


def make(seed: int = SEED) -> dict[str, str]:
    """The text of every sample file by its name; the same for the same seed."""

    def rng(name: str) -> random.Random:
        return random.Random(f"{seed}:{name}")

    english = [_messages(exchange) for exchange in support(ENGLISH, 400, rng("support-en"))]
    japanese = [
        {"prompt": exchange.prompt, "completion": exchange.answer}
        for exchange in support(JAPANESE, 400, rng("support-ja"))
    ]
    return {
        "support-en.jsonl": _jsonl(english),
        "support-ja.jsonl": _jsonl(japanese),
        "extract-json.jsonl": _jsonl(extraction(280, 280, rng("extract-json"))),
        "dirty-support.csv": _csv(dirty(rng("dirty-support"))),
    }


def _messages(exchange: Exchange) -> dict[str, list[dict[str, str]]]:
    turns = (("user", exchange.prompt), ("assistant", exchange.answer))
    return {"messages": [{"role": role, "content": content} for role, content in turns]}


def _jsonl(rows: Iterable[object]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def differing(folder: Path, files: dict[str, str]) -> list[str]:
    """Names of the files in `folder` that are missing or not as made."""
    paths = {name: folder / name for name in files}
    return [name for name, path in paths.items() if not path.is_file() or path.read_bytes() != files[name].encode()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the files; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m studio.starter.samples")
    parser.add_argument("--check", action="store_true", help=translate("cli.samples.check"))
    parser.add_argument("--to", type=Path, default=read_settings().samples, help=translate("cli.samples.to"))
    options = parser.parse_args(arguments)
    files = make()
    changed = differing(options.to, files)
    if options.check:
        for name in changed:
            print(translate("cli.samples.differs", file=options.to / name), file=sys.stderr)
        return 1 if changed else 0
    options.to.mkdir(parents=True, exist_ok=True)
    for name in changed:
        (options.to / name).write_bytes(files[name].encode())
        print(translate("cli.samples.written", file=options.to / name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
