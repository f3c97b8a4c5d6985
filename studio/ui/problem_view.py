"""What stands in the way of a run, as a list: each problem with the way to its setting and the ways out. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from studio.runs.spec import spec_fields
from studio.ui.markup import act_button, said, shown
from studio.ui.method_view import method_name, pairs_button

if TYPE_CHECKING:
    from studio.runs.problems import Problem

T = Callable[..., str]
SHOW = """
element.addEventListener('click', (event) => {
  const name = event.target.closest('[data-setting]')?.dataset.setting;
  if (!name) return;
  const found = () => document.getElementById(name)?.offsetParent && document.getElementById(name);
  if (!found()) document.querySelector('#train-advanced > button')?.click();
  setTimeout(() => {
    const setting = found();
    if (!setting) return;
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    setting.scrollIntoView({block: 'center', behavior: calm ? 'auto' : 'smooth'});
    setting.querySelector('input, textarea')?.focus({preventScroll: true});
  }, found() ? 0 : 400);
});
"""
"""Has the button with `data-setting` lead to the setting, which may lie among the folded ones."""
# Those that have an element of their own on the page.
_PLACES = {
    "method.kind": "train-method",
    "method.rewards": "train-method",
    "model.source": "train-model",
    "model.adapter": "train-adapter",
    "model.adapter_step": "train-checkpoint",
    "model.adapter_folder": "train-adapter-folder",
}


def problem_list(found: "Sequence[Problem]", language: str, t: T, method: str = "sft") -> str:
    """All of them, together. `method`: the one whose settings these are."""
    names = {field.path: f"set-{field.text.replace('.', '-')}" for field in spec_fields(method)} | _PLACES
    lines = "".join(_line(problem, names, language, t) for problem in found)
    title = shown(t("ui.train.problems"))
    return f'<div class="say say-bad problems" role="alert">{title}<ul>{lines}</ul></div>'


def _line(problem: "Problem", names: Mapping[str, str], language: str, t: T) -> str:
    buttons = "".join(way_button(way, t) for way in problem.ways)
    if place := names.get(problem.path):
        label = shown(t("ui.train.way.show"))
        buttons += f'<button type="button" class="s-button s-quiet" data-setting="{place}">{label}</button>'
    row = f'<span class="s-row">{buttons}</span>' if buttons else ""
    return f"<li>{said(problem.error.message(language))}{row}</li>"


def way_button(way: Mapping[str, Any], t: T) -> str:
    """A way out at one press: with `data-act`, its `changes` reach the page."""
    match way:
        case {"method.kind": kind}:
            label = t("ui.train.way.method", method=method_name(kind, t))
        case {"data.mapping": mapping}:
            return pairs_button(mapping, t)
        case _:
            (value,) = way.values()
            label = t("ui.train.way.set", value=value)
    return act_button("way", label, "s-small", changes=json.dumps(way, ensure_ascii=False))
