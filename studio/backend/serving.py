"""A run that answers as an OpenAI-compatible server, beside its base; and how other programs serve an export of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from studio.backend.candidates import find_weights
from studio.backend.engine import load_engine
from studio.backend.exports import Export
from studio.backend.residence import Residence
from studio.backend.studio import Studio
from studio.errors import FaultError
from studio.export.serving import Exported, ServingHint, serving_hints
from studio.models.adapter_folder import ADAPTER_CONFIG
from studio.models.folder import read_json
from studio.runs.spec import STARTER

if TYPE_CHECKING:
    from starlette.types import ASGIApp

BASE_NAME = "base"
"""The name that the base model answers to."""


def hints(studio: Studio, made: Export) -> tuple[ServingHint, ...]:
    """Command lines with which other programs serve an export. Raises InputError: the run is gone."""
    adapter = studio.exports.adapter(made.outside) if made.outside else studio.compare.adapter(made.run, made.step)
    config = {} if adapter.full else read_json(adapter.folder, ADAPTER_CONFIG)
    ggufs = [name for name in made.files if name.endswith(".gguf")]
    source = str(studio.settings.starter) if adapter.model.source == STARTER else adapter.model.source
    base, _, revision = (source, "", "") if Path(source).expanduser().exists() else source.partition("@")
    return serving_hints(
        Exported(
            target=made.spec.target,
            path=made.path / ggufs[0] if ggufs else made.path,
            name=adapter.name,
            run=made.run,
            step=made.step,
            workspace=studio.settings.workspace,
            base=base,
            revision=revision,
            whole=adapter.full,
            rank=max([config.get("r", 0), *(config.get("rank_pattern") or {}).values()]),
            dora=bool(config.get("use_dora")),
            new_tokens=bool(config.get("modules_to_save") or config.get("trainable_token_indices")),
        )
    )


@dataclass(frozen=True, slots=True)
class ChatService:
    """`app` answers (ASGI), under each of `models`: the base, and the run by its id. The run's name is understood too,
    where it is not the base's."""

    app: "ASGIApp"
    models: tuple[str, str]


@contextmanager
def chat_service(studio: Studio, run: str, step: int | None = None, language: str = "en") -> Iterator[ChatService]:
    """The base and what the run (or one of its checkpoints) made of it, in memory and ready to answer requests. They
    have weights of their own: what else the studio answers meanwhile is not held up.

    Raises InputError when the run has no adapter or is a reward model, ModelError when base or adapter are not those of
    the run, FaultError when a package is missing.
    """
    if find_spec("openai") is None:
        raise FaultError("error.serve.missing", command=f"{sys.executable} -m pip install 'openai>=3.57'")
    weights = [find_weights(studio.store, contestant) for contestant in studio.compare.beside_base(run, step)]
    load_engine()
    from transformers.utils import logging

    from studio.models.chat_server import Served, chat_app

    logging.set_verbosity_error()  # each request is told as a warning
    names, aliases = (BASE_NAME, run), (BASE_NAME, studio.store.run(run).name)
    with Residence(studio.settings).lease(weights) as leases:
        served = [
            Served(name, alias, lease.model, lease.adapter_name, lease.tokenizer, lease.vocabulary)
            for name, alias, lease in zip(names, aliases, leases, strict=True)
        ]
        yield ChatService(chat_app(served, language), names)
