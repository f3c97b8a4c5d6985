"""Seeded training/validation split that follows the content of rows, so that it is stable and nothing leaks."""

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from studio.data.records import Conversation


class SplitSpec(BaseModel, frozen=True, extra="forbid"):
    """Which part of the rows is kept out of training."""

    validation_share: Annotated[float, Field(ge=0, le=0.5, json_schema_extra={"level": "basic"})] = 0.1
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


@dataclass(frozen=True, slots=True)
class Split:
    """Row ids of both sides, in the order of the rows."""

    train: tuple[int, ...]
    validation: tuple[int, ...]


def split(rows: Sequence[tuple[int, Conversation]], spec: SplitSpec) -> Split:
    """Split by a seeded hash of each conversation: the same rows fall on the same side in whatever order they come,
    and rows that differ only in case, width or spaces stay together. Some row is always left to train on; with two
    different rows or more and a share above 0, some row validates.
    """
    groups: dict[bytes, list[int]] = {}
    for row_id, conversation in rows:
        groups.setdefault(_score(conversation, spec.seed), []).append(row_id)
    wanted = round(len(rows) * spec.validation_share)
    if spec.validation_share and len(groups) > 1:
        wanted = max(1, wanted)
    chosen: set[int] = set()
    for score in sorted(groups):
        members = groups[score]
        if len(chosen) >= wanted:
            break
        if len(chosen) + len(members) <= wanted:
            chosen.update(members)
    if not chosen and wanted:
        smallest = min(sorted(groups), key=lambda score: len(groups[score]))
        if len(groups[smallest]) < len(rows):
            chosen.update(groups[smallest])
    return Split(
        tuple(row_id for row_id, _ in rows if row_id not in chosen),
        tuple(row_id for row_id, _ in rows if row_id in chosen),
    )


def _score(conversation: Conversation, seed: int) -> bytes:
    parts = [str(seed)]
    for message in conversation.messages:
        text = " ".join(unicodedata.normalize("NFKC", message.text).casefold().split())
        parts += [message.role, text]
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).digest()
