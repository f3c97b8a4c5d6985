"""Mixtures of the workspace: planned before they are made, made as data sets to be trained on like any other."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from studio.backend.datasets import Datasets, Version
from studio.data.mapping import Mapping
from studio.data.mixing import (
    STARTER,
    Ingredients,
    MixPart,
    MixPlan,
    MixSpec,
    Replay,
    Source,
    Tokens,
    World,
    estimated_tokens,
    mix,
    open_source,
    plan,
)
from studio.data.records import Conversation, Message
from studio.data.tables import Note
from studio.data.tokens import lengths
from studio.errors import InputError, Stopped
from studio.messages import translate


@dataclass(frozen=True, slots=True)
class MadeMix:
    """`version` is to be trained on; `held_out` is a data set of its own with the tasks that were kept apart."""

    version: Version
    plan: MixPlan
    held_out: Version | None


class Mixtures:
    """Plans and makes mixtures of dataset versions."""

    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets
        self._sources = lru_cache(maxsize=64)(self._open)

    def plan(self, spec: MixSpec, model: str | None = None) -> MixPlan:
        """Rows and token shares of each part, before anything is made. `model`: whose tokens are counted; None: those
        of the starter where its world is replayed, which is of use to no other; else they are estimated from
        characters."""
        return plan(spec, self._ingredients(spec), self._tokens(spec, model))

    def make(
        self,
        spec: MixSpec,
        name: str = "",
        model: str | None = None,
        *,
        progress: Callable[[float], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> MadeMix:
        """A new data set with the mixture in it; held-out tasks become another. Its spec is kept with it."""
        names = list(dict.fromkeys(self._datasets.version(part.data).name for part in spec.parts if not part.held_out))
        usual = " + ".join(names[:3]) + (" ..." if len(names) > 3 else "")
        return self._make(spec, " ".join(name.split())[:200] or usual, model, None, progress, stop)

    def add_replay(
        self,
        version: str,
        share: float = 0.2,
        data: str = STARTER,
        model: str | None = None,
        *,
        progress: Callable[[float], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Version:
        """The same rows with general data mixed in, so that it is `share` of all tokens: the next version of the same
        data set. Done again with the same share, it is the version made then."""
        found = self._datasets.version(version)
        spec = MixSpec(parts=(MixPart(data=version),), replay=Replay(share=share, data=data))
        for known in self._datasets.versions(found.dataset):
            if (known.parent, known.mix) == (version, spec):
                return known
        return self._make(spec, found.name, model, found, progress, stop).version

    def _make(
        self,
        spec: MixSpec,
        name: str,
        model: str | None,
        parent: Version | None,
        progress: Callable[[float], None] | None,
        stop: Callable[[], bool] | None,
    ) -> MadeMix:
        found = self._ingredients(spec, stop)
        planned = plan(spec, found, self._tokens(spec, model))
        apart: list[Path] = []

        def write(folder: Path) -> tuple[Note, ...]:
            kept = folder / "held_out.parquet"
            if mix(spec, found, planned, folder / "table.parquet", kept, progress, stop).held_out is not None:
                apart.append(kept)
            return _notes(planned)

        version = self._datasets.add_mix(spec, name, parent, write)
        held_out = None
        if apart:
            title = f"{name} ({translate('ui.data.mix.held_out')})"
            held_out = self._datasets.add_mix(spec, title, None, lambda folder: _moved(apart[0], folder))
        return MadeMix(version, planned, held_out)

    def _ingredients(self, spec: MixSpec, stop: Callable[[], bool] | None = None) -> Ingredients:
        if stop and stop():
            raise Stopped("error.stopped")
        parts = tuple(self._source(part.data, part.mapping) for part in spec.parts)
        if spec.replay is None:
            return Ingredients(parts)
        if spec.replay.data == STARTER:
            return Ingredients(parts, World(STARTER, starter_talk))
        return Ingredients(parts, self._source(spec.replay.data, spec.replay.mapping))

    def _source(self, version: str, mapping: Mapping | None) -> Source:
        found = self._datasets.version(version)
        known = mapping or found.mapping
        if known is None:
            raise InputError("error.train.no_mapping", data=found.name)
        return self._sources(version, known)

    def _open(self, version: str, mapping: Mapping) -> Source:
        return open_source(self._datasets.version(version).name, self._datasets.table(version), mapping)

    def _tokens(self, spec: MixSpec, model: str | None) -> Tokens:
        if model is None and spec.replay and spec.replay.data == STARTER:
            model = STARTER
        if model is None:
            return estimated_tokens
        tokenizer = self._datasets.tokenizer(model).tokenizer

        def count(conversations: Sequence[Conversation]) -> list[int]:
            measured = lengths(list(enumerate(conversations)), tokenizer, 1_000_000, "answer")
            return [max(1, item.total_tokens) for item in measured]

        return count


def _notes(planned: MixPlan) -> tuple[Note, ...]:
    return tuple(
        Note(
            "notice.mix.held_out" if part.held_out else "notice.mix.part",
            {"task": part.task, "source": part.source, "rows": part.rows, "share": f"{part.share:.0%}"},
        )
        for part in planned.parts
    )


def _moved(table: Path, folder: Path) -> tuple[Note, ...]:
    table.rename(folder / "table.parquet")
    return ()


def starter_talk(seed: int) -> Iterator[Conversation]:
    """What the starter model was taught, without end: its questions and answers in the phrasings it was trained on.
    None of the sentences of its exam is among them."""
    from studio.starter.world import conversation

    rng = random.Random(seed)
    while True:
        system, turns = conversation(rng, 1)
        asked, answer = turns[0]
        prompt = (Message("system", system),) if system else ()
        yield Conversation((*prompt, Message("user", asked)), answer)
