"""The methods in words: everyday ones first, the field's second. Pure."""

from collections.abc import Callable, Collection, Sequence

from studio.runs.methods import METHODS, Method
from studio.ui.markup import shown

T = Callable[..., str]
CHOOSE = """
element.addEventListener('change', event => {
  if (event.target.name === 'method') trigger('choose', {method: event.target.value});
});
"""
"""Has the cards tell which was chosen."""


def method_name(kind: str, t: T) -> str:
    """Such as "Prefer better answers (DPO)"."""
    return t("ui.method.full", name=t(f"ui.method.{kind}.name"), term=t(f"ui.method.{kind}.term"))


def method_cards(able: Sequence[str], chosen: str, t: T) -> str:
    """The methods that the data can teach, to choose from, each with when to use it; folded below, the others with what
    they would need."""
    cards = "".join(
        f'<label class="method-card"><input type="radio" name="method" value="{kind}"{_checked(kind == chosen)}>'
        f"<span><b>{shown(method_name(kind, t))}</b>{shown(t(f'ui.method.{kind}.when'))}{_of_pairs(kind, able, t)}"
        "</span></label>"
        for kind in able
    )
    title = f"<legend>{shown(t('ui.train.method'))}</legend>"
    return f'<fieldset class="method-cards">{title}{cards}</fieldset>{_others(able, t)}'


def _of_pairs(kind: str, able: Collection[str], t: T) -> str:
    """What answers are learned of where each question has two."""
    return f" {shown(t('ui.method.sft.of_pairs'))}" if kind == "sft" and "dpo" in able else ""


def _checked(yes: bool) -> str:
    return " checked" if yes else ""


def _needs(method: type[Method], able: Collection[str]) -> str:
    one_answer = method.learns == "pairs" and "sft" in able
    return "ui.train.one_answer" if one_answer else f"ui.method.needs.{method.learns}"


def _others(able: Collection[str], t: T) -> str:
    lines = "".join(
        f"<li><b>{shown(method_name(kind, t))}</b>{shown(t(f'ui.method.{kind}.when'))}"
        f'<span class="method-needs">{shown(t(_needs(method, able)))}</span></li>'
        for kind, method in METHODS.items()
        if kind not in able
    )
    if not lines:
        return ""
    title = shown(t("ui.train.method.others" if able else "ui.train.method.none"))
    return (
        f'<details class="method-others"{"" if able else " open"}><summary>{title}</summary><ul>{lines}</ul></details>'
    )
