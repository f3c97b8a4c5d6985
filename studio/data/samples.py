"""The sample data sets that come with the studio, each with a card that says what it is for."""

import csv
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from studio.errors import DataError

Text = dict[Literal["en", "ja"], str]


class _Card(BaseModel):
    """What a card file holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+\.(jsonl|csv)$")]
    title: Text
    purpose: Text
    columns: dict[str, Text]
    licence: str
    look_for: Text
    order: int = 100


class SampleCard(BaseModel):
    """A sample on the shelf. `look_for`: what to watch after tuning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    path: Path
    title: Text
    purpose: Text
    columns: dict[str, Text]
    licence: str
    look_for: Text
    rows: int


def list_samples(folder: Path) -> list[SampleCard]:
    """The cards of a folder (`<name>.yaml` beside the data), in their order. Raises DataError on a broken card."""
    cards = [(path, _read(path)) for path in folder.glob("*.yaml")]
    cards.sort(key=lambda item: (item[1].order, item[0].name))
    return [
        SampleCard(
            name=path.stem,
            path=path.with_name(card.file),
            rows=_rows(path.with_name(card.file)),
            **card.model_dump(exclude={"file", "order"}),
        )
        for path, card in cards
    ]


def _read(path: Path) -> _Card:
    try:
        return _Card.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        raise DataError("error.sample.card", file=path.name) from error


def _rows(path: Path) -> int:
    """Rows of the data file: lines of JSONL, records of CSV."""
    if not path.is_file():
        raise DataError("error.data.missing", file=path.name)
    with path.open(encoding="utf-8-sig", newline="") as file:
        if path.suffix == ".jsonl":
            return sum(not line.isspace() for line in file)
        return sum(1 for _ in csv.reader(file)) - 1
