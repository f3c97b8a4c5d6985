"""The rewards of a run as a form: a line for each kind, with its weight. The form's value is their JSON."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.data.languages import LANGUAGES
from studio.runs.spec import SpecField, reward_fields
from studio.ui.markup import shown
from studio.ui.page import Page, html

# The lines in order.
_KINDS = ("length", "contains", "regex", "json", "exact", "language", "model")
_FIELDS = {kind: tuple(reward_fields(kind)) for kind in _KINDS}


@dataclass(frozen=True, slots=True)
class RewardForm:
    """`runs` chooses among the reward models that there are."""

    runs: gr.Dropdown
    widgets: list[Any]


def build_rewards(page: Page, value: gr.Textbox) -> RewardForm:
    """Lay the lines out below each other. `value`: the hidden JSON; it fills the form and is filled by it."""
    t = page.t
    begun = iter(filled(str(value.value or "[]")))
    html(f'<p class="reward-title"><b>{shown(t("ui.reward.title"))}</b> {shown(t("ui.reward.help"))}</p>')
    widgets: list[Any] = []
    for kind in _KINDS:
        with gr.Row(elem_classes="reward-line"):
            html(f"<b>{shown(t(f'ui.reward.{kind}'))}</b>")
            widgets += [_widget(field, next(begun), page.language) for field in _FIELDS[kind]]
    quiet: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
    last: dict[str, Any] = {"trigger_mode": "always_last", **quiet}
    # What the form itself told last: it comes back to the form as any other change of the value does.
    own = gr.Textbox(value.value, visible=False)

    @page.guard
    def tell(text: str, *given: Any) -> Any:
        """Nothing where the form says no more than the value does: it was filled with it just now."""
        return [gr.skip()] * 2 if list(given) == filled(text) else [told(given)] * 2

    @page.guard
    def fill(text: str, mine: str, *given: Any) -> Any:
        return [gr.skip()] * len(given) if text in (mine, told(given)) else filled(text)

    # A text box tells `input` of typed keys alone, not of what is pasted or cut with the mouse.
    typed = [widget.change if isinstance(widget, gr.Textbox) else widget.input for widget in widgets]
    gr.on(typed, tell, [value, *widgets], [value, own], **last)
    value.change(fill, [value, own, *widgets], widgets, **last)
    (runs,) = (w for w in widgets if isinstance(w, gr.Dropdown) and w.label == t("spec.reward.model.run.label"))
    return RewardForm(runs, widgets)


def _widget(field: SpecField, value: Any, language: str) -> Any:
    common: dict[str, Any] = {"label": field.label(language), "info": field.help(language), "min_width": 150}
    match field.text.split(".")[1:]:
        case ["weight"]:
            return gr.Number(value, step=0.5, scale=0, **{**common, "info": None, "min_width": 90})
        case ["language", _]:
            return gr.Dropdown(list(LANGUAGES[1:]), value=value, **common)
        case ["model", _]:
            return gr.Dropdown([], value=value, **common)
    if field.info.annotation is bool:
        return gr.Checkbox(value, **common)
    if field.info.annotation is int:
        return gr.Number(value, precision=0, **common)
    return gr.Textbox(value, max_lines=1, **common)


def told(given: Sequence[Any]) -> str:
    """The JSON of what the lines say: those with a weight."""
    rewards, values = [], iter(given)
    for kind in _KINDS:
        said = {field.path: next(values) for field in _FIELDS[kind]}
        if said["weight"]:
            rewards.append({"kind": kind, **{name: value for name, value in said.items() if value is not None}})
    return json.dumps(rewards, ensure_ascii=False)


def filled(text: str) -> list[Any]:
    """What the lines show of the JSON: of each kind the first; where there is none, weight 0 and the usual."""
    found = {reward["kind"]: reward for reward in reversed(json.loads(text))}
    return [
        found.get(kind, {"weight": 0}).get(field.path, None if field.info.is_required() else field.default)
        for kind in _KINDS
        for field in _FIELDS[kind]
    ]
