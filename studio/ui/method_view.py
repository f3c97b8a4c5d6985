"""The methods in words: everyday ones first, the field's second. Pure."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from studio.runs.methods import METHODS, Method
from studio.ui.markup import act_button, shown

T = Callable[..., str]
CHOOSE = """
const cards = () => [...element.querySelectorAll('input[name=method]')];
element.addEventListener('change', event => {
  if (event.target.name !== 'method') return;
  cards().forEach(card => { card.defaultChecked = card === event.target; });
  trigger('choose', {method: event.target.value});
});
new MutationObserver(() => cards().forEach(card => { card.checked = card.defaultChecked; }))
  .observe(element, {subtree: true, childList: true, attributeFilter: ['checked', 'value']});
"""
"""Has the cards tell which was chosen. Gradio changes the cards that are there rather than replacing them, and one that
was ticked by hand does not follow its attribute any more, unless it is made to."""


def method_name(kind: str, t: T) -> str:
    """Such as "Prefer better answers (DPO)"."""
    return t("ui.method.full", name=t(f"ui.method.{kind}.name"), term=t(f"ui.method.{kind}.term"))


def method_cards(able: Sequence[str], chosen: str, t: T, pairs: Mapping[str, Any] | None = None) -> str:
    """The methods that the data can teach, to choose from, each with when to use it; folded below, the others with what
    they would need. `pairs`: the mapping that reads the rows as preference pairs, where they could be."""
    cards = "".join(
        f'<label class="method-card"><input type="radio" name="method" value="{kind}"{_checked(kind == chosen)}>'
        f"<span><b>{shown(method_name(kind, t))}</b>{shown(t(f'ui.method.{kind}.when'))}{_of_pairs(kind, able, t)}"
        "</span></label>"
        for kind in able
    )
    title = f"<legend>{shown(t('ui.train.method'))}</legend>"
    return f'<fieldset class="method-cards">{title}{cards}</fieldset>{_others(able, t, pairs)}'


def _of_pairs(kind: str, able: Collection[str], t: T) -> str:
    """What answers are learned of where each question has two."""
    return f" {shown(t('ui.method.sft.of_pairs'))}" if kind == "sft" and "dpo" in able else ""


def _checked(yes: bool) -> str:
    return " checked" if yes else ""


def pairs_button(pairs: Mapping[str, Any], t: T) -> str:
    """To read the rows as preference pairs: with `data-act`, its `changes` reach the page."""
    label = t("ui.train.way.pairs", better=pairs["chosen"], worse=pairs["rejected"])
    return act_button("way", label, "s-small", changes=json.dumps({"data.mapping": pairs}, ensure_ascii=False))


def _needs(method: type[Method], able: Collection[str], *, second: bool) -> str:
    """`second`: the rows seem to have a second answer, which is offered above."""
    one_answer = method.learns == "pairs" and "sft" in able and not second
    return "ui.train.one_answer" if one_answer else f"ui.method.needs.{method.learns}"


def _second_answer(pairs: Mapping[str, Any], t: T) -> str:
    text = shown(t("ui.train.second_answer", worse=pairs["rejected"]))
    return f'<div class="say say-note second-answer"><span>{text}</span>{pairs_button(pairs, t)}</div>'


def _others(able: Collection[str], t: T, pairs: Mapping[str, Any] | None) -> str:
    lines = "".join(
        f"<li><b>{shown(method_name(kind, t))}</b>{shown(t(f'ui.method.{kind}.when'))}"
        f'<span class="method-needs">{shown(t(_needs(method, able, second=pairs is not None)))}</span></li>'
        for kind, method in METHODS.items()
        if kind not in able
    )
    if not lines:
        return ""
    title = shown(t("ui.train.method.others" if able else "ui.train.method.none"))
    offer = _second_answer(pairs, t) if pairs else ""
    opened = "" if able else " open"
    return f'<details class="method-others"{opened}><summary>{title}</summary>{offer}<ul>{lines}</ul></details>'
