"""What the Train tab is told when the settings of a run are to be used once more: `Page.again`. Pure."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Again:
    """The run; `settings` to change, by their paths; with `step`, it is gone on from that checkpoint."""

    run: str
    step: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


def written(again: Again) -> str:
    """Another text each time."""
    told = {"run": again.run, "step": again.step, "settings": dict(again.settings)}
    return json.dumps({**told, "press": secrets.token_hex(4)})


def read(text: str) -> Again:
    told = json.loads(text)
    return Again(told["run"], told["step"], told["settings"])
