"""The methods in words: everyday ones first, the field's second. Pure."""

from collections.abc import Callable, Collection

from studio.runs.methods import METHODS
from studio.ui.markup import shown

T = Callable[..., str]


def method_name(kind: str, t: T) -> str:
    """Such as "Prefer better answers (DPO)"."""
    return t("ui.method.full", name=t(f"ui.method.{kind}.name"), term=t(f"ui.method.{kind}.term"))


def method_card(kind: str, t: T) -> str:
    """The name, and in the lines below it when to use it."""
    return f"{method_name(kind, t)}\n{t(f'ui.method.{kind}.when')}"


def other_methods(able: Collection[str], t: T) -> str:
    """The methods beside those that the data can teach, each with what it would need."""
    lines = "".join(
        f"<li><b>{shown(method_name(kind, t))}</b> {shown(t(f'ui.method.{kind}.when'))}"
        f'<span class="train-needs">{shown(t(f"ui.method.needs.{method.learns}"))}</span></li>'
        for kind, method in METHODS.items()
        if kind not in able
    )
    if not lines:
        return ""
    title = shown(t("ui.train.method.others" if able else "ui.train.method.none"))
    return (
        f'<details class="train-others"{"" if able else " open"}><summary>{title}</summary><ul>{lines}</ul></details>'
    )
