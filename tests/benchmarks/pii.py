"""Personal data marked by others: precision and recall of each kind. `python -m tests.benchmarks.pii` prints them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.data.sensitive import (
    has_address,
    has_card,
    has_email,
    has_id,
    has_phone,
    mask_addresses,
    mask_cards,
    mask_emails,
    mask_ids,
    mask_phones,
)

MARKED = Path(__file__).parents[3] / "shared" / "data" / "pii_small.json"
KINDS: Mapping[str, tuple[Callable[[str], bool], Callable[[str], str]]] = {
    "EMAIL_ADDRESS": (has_email, mask_emails),
    "PHONE_NUMBER": (has_phone, mask_phones),
    "CREDIT_CARD": (has_card, mask_cards),
    "US_SSN": (has_id, mask_ids),
    "ADDRESS": (has_address, mask_addresses),
}


@dataclass(frozen=True)
class Found:
    """Sentences: how many hold the kind, how many are found, how many of these rightly. `values`: how many are marked,
    and how many of these are gone once masked.
    """

    marked: int
    found: int
    right: int
    values: tuple[int, int]

    @property
    def precision(self) -> float:
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        return self.right / self.marked if self.marked else 1.0


def found_by_kind(path: Path) -> dict[str, Found]:
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    told = {}
    for kind, (test, mask) in KINDS.items():
        marked = {i for i, row in enumerate(rows) if any(span["entity_type"] == kind for span in row["spans"])}
        found = {i for i, row in enumerate(rows) if test(row["full_text"])}
        values = [
            span["entity_value"] in mask(row["full_text"])
            for row in rows
            for span in row["spans"]
            if span["entity_type"] == kind
        ]
        told[kind] = Found(len(marked), len(found), len(marked & found), (len(values), values.count(False)))
    return told


def main() -> None:
    print(f"{'kind':14} {'marked':>6} {'found':>6} {'precision':>9} {'recall':>7} {'values':>7} {'masked':>7}")
    for kind, item in found_by_kind(MARKED).items():
        print(
            f"{kind:14} {item.marked:6} {item.found:6} {item.precision:9.3f} {item.recall:7.3f}"
            f" {item.values[0]:7} {item.values[1]:7}"
        )


if __name__ == "__main__":
    main()
