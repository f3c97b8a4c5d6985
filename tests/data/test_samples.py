"""The shelf of samples: cards are read whole or refused by name."""

from pathlib import Path

import pytest

from studio.data.samples import list_samples
from studio.errors import DataError

CARD = """
file: {file}
order: {order}
licence: Apache-2.0
title: {{en: Shop, ja: 店}}
purpose: {{en: p, ja: 目的}}
columns: {{prompt: {{en: q, ja: 質問}}}}
look_for: {{en: l, ja: 見る}}
"""


def test_cards_in_order_with_their_rows(tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text('{"prompt": 1}\n\n{"prompt": 2}\n')
    (tmp_path / "b.yaml").write_text(CARD.format(file="b.jsonl", order=1), encoding="utf-8")
    (tmp_path / "a.csv").write_text('prompt\n"x\ny"\nz\n')
    (tmp_path / "a.yaml").write_text(CARD.format(file="a.csv", order=2), encoding="utf-8")
    cards = list_samples(tmp_path)
    assert [(c.name, c.rows, c.path.name, c.title["ja"]) for c in cards] == [
        ("b", 2, "b.jsonl", "店"),
        ("a", 2, "a.csv", "店"),
    ]


@pytest.mark.parametrize("text", ["file: x", "- a", "{", CARD.format(file="../../secret.csv", order=1), ""])
def test_broken_cards_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"x\.yaml"):
        list_samples(tmp_path)


def test_a_card_without_its_data(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(CARD.format(file="gone.csv", order=1), encoding="utf-8")
    with pytest.raises(DataError, match=r"gone\.csv"):
        list_samples(tmp_path)


def test_no_folder_no_samples(tmp_path: Path) -> None:
    assert list_samples(tmp_path / "none") == []
