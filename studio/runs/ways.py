"""What mends a run at one press, as values: the page offers each as a button, the command line tells it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Change:
    """A new run with these settings changed, by their paths; none: they are to be changed by hand. `step`: it goes on
    from that checkpoint; 0: it begins as this run did."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """The tab on which something is mended that no setting mends."""

    tab: Literal["data"] = "data"


@dataclass(frozen=True, slots=True)
class Visit:
    """A model's page on the Hub, by its name (owner/name)."""

    model: str


Way = Change | Look | Visit
