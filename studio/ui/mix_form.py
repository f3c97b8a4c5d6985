"""The form of a mixture: what is typed, as text, and the MixSpec it stands for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from studio.data.instruction_templates import TEMPLATE_SETS
from studio.data.mixing import STARTER, BySize, ByTemperature, MixPart, MixSpec
from studio.ui.markup import Sentence, act_button, shorten, shown

# Every change sends the whole form, so that none is lost, however fast they come.
SCRIPT = """
const value = (box) => box.type === 'checkbox' ? box.checked : box.value;
const named = (root, name) => Object.fromEntries(
  [...root.querySelectorAll(`[data-${name}]`)].map((box) => [box.dataset[name], value(box)]));
const draft = () => JSON.stringify({
  ...named(element, 'top'),
  parts: [...element.querySelectorAll('fieldset')].map((part) => ({
    ...named(part, 'field'),
    sets: [...part.querySelectorAll('[data-set]')].filter((box) => box.checked).map((box) => box.dataset.set),
    own: [...part.querySelectorAll('[data-own]')].map((own) => named(own, 'way')),
  })),
});
const fit = () => {
  const by = element.querySelector('[data-top=mixing]');
  if (!by) return;
  for (const box of element.querySelectorAll('[data-when]')) {
    box.hidden = !box.dataset.when.split(' ').includes(by.value);
  }
};
// A new form keeps what was typed into the old one: the browser takes them for the same boxes.
const settle = () => {
  for (const box of element.querySelectorAll('input')) {
    box.checked = box.defaultChecked;
    if (box.type !== 'checkbox') box.value = box.defaultValue;
  }
  for (const box of element.querySelectorAll('textarea')) box.value = box.defaultValue;
  for (const option of element.querySelectorAll('option')) option.selected = option.defaultSelected;
  fit();
};
fit();
watch('value', settle);
element.addEventListener('change', (event) => {
  if (event.target.matches('[data-add]')) return;
  fit();
  window.studio.mixture = draft();
  trigger('edit');
});
element.addEventListener('click', (event) => {
  const found = event.target.closest('[data-act]');
  if (!found) return;
  const add = element.querySelector('[data-add]');
  trigger('act', {...found.dataset, add: add ? add.value : '', draft: draft()});
});
"""
MIXINGS = ("size", "temperature", "weights")


class Way(BaseModel, frozen=True):
    """A template of one's own, as typed."""

    prompt: str = ""
    answer: str = ""


class DraftPart(BaseModel, frozen=True):
    """A part as typed. `mapping` is what a YAML file said of its columns, as JSON."""

    data: str
    mapping: str = ""
    task: str = ""
    weight: str = "1"
    cap: str = ""
    held_out: bool = False
    sets: tuple[str, ...] = ()
    own: tuple[Way, ...] = ()


class Draft(BaseModel, frozen=True):
    """A mixture as typed; `replay` in percent of all tokens."""

    parts: tuple[DraftPart, ...] = ()
    mixing: str = "size"
    maximum: str = ""
    temperature: str = "2"
    rows: str = ""
    replay: str = "0"
    replay_data: str = STARTER
    seed: str = "0"


@dataclass(frozen=True, slots=True)
class Choice:
    """A data set that can be a part, by its version."""

    id: str
    label: str


def read_draft(text: str | None, first: str) -> Draft:
    """The draft the browser remembers; without one, the data set that is open alone."""
    try:
        return Draft.model_validate_json(text or "")
    except ValidationError:
        return Draft(parts=(DraftPart(data=first),))


def to_spec(draft: Draft) -> MixSpec:
    """Raises SpecError that tells all that does not fit."""
    mixing: dict[str, Any] = {"by": draft.mixing}
    if draft.mixing != "weights":
        mixing["maximum"] = draft.maximum.strip() or None
    if draft.mixing == "temperature":
        mixing["temperature"] = draft.temperature
    values: dict[str, Any] = {
        "parts": [_part_values(part) for part in draft.parts],
        "mixing": mixing,
        "rows": draft.rows.strip() or None,
        "seed": draft.seed.strip() or 0,
    }
    share = _share(draft.replay)
    if share:
        values["replay"] = {"share": share, "data": draft.replay_data}
    return MixSpec.from_values(values)


def _part_values(part: DraftPart) -> dict[str, Any]:
    own = [
        {"prompt": way.prompt, **({"answer": way.answer} if way.answer.strip() else {})}
        for way in part.own
        if way.prompt.strip() or way.answer.strip()
    ]
    return {
        "data": part.data,
        "mapping": json.loads(part.mapping) if part.mapping else None,
        "task": " ".join(part.task.split()),
        "weight": part.weight.strip() or 1,
        "cap": part.cap.strip() or None,
        "held_out": part.held_out,
        "templates": own,
        "template_sets": part.sets,
    }


def _share(percent: str) -> float | str:
    try:
        return round(float(percent.strip() or 0) / 100, 6)
    except ValueError:
        return percent


def to_draft(spec: MixSpec) -> Draft:
    """The form that stands for a spec."""
    mixing = spec.mixing
    return Draft(
        parts=tuple(map(_part_draft, spec.parts)),
        mixing=mixing.by,
        maximum=_text(mixing.maximum) if isinstance(mixing, BySize | ByTemperature) else "",
        temperature=f"{mixing.temperature:g}" if isinstance(mixing, ByTemperature) else "2",
        rows=_text(spec.rows),
        replay=f"{100 * spec.replay.share:g}" if spec.replay else "0",
        replay_data=spec.replay.data if spec.replay else STARTER,
        seed=str(spec.seed),
    )


def _part_draft(part: MixPart) -> DraftPart:
    return DraftPart(
        data=part.data,
        mapping=part.mapping.model_dump_json() if part.mapping else "",
        task=part.task,
        weight=f"{part.weight:g}",
        cap=_text(part.cap),
        held_out=part.held_out,
        sets=part.template_sets,
        own=tuple(Way(prompt=one.prompt, answer=one.answer) for one in part.templates),
    )


def _text(number: int | None) -> str:
    return "" if number is None else str(number)


def pressed(draft: Draft, act: str, part: str = "", way: str = "", add: str = "") -> Draft:
    """The draft after a button of the form: another part or way, or one less."""
    parts = list(draft.parts)
    number = int(part) if part.isdigit() and int(part) < len(parts) else -1
    if act == "add" and add:
        parts.append(DraftPart(data=add))
    elif number >= 0 and act == "remove":
        del parts[number]
    elif number >= 0 and act == "way":
        parts[number] = parts[number].model_copy(update={"own": (*parts[number].own, Way())})
    elif number >= 0 and act == "unway":
        own = tuple(one for i, one in enumerate(parts[number].own) if str(i) != way)
        parts[number] = parts[number].model_copy(update={"own": own})
    return draft.model_copy(update={"parts": tuple(parts)})


# HTML


def form(draft: Draft, choices: Sequence[Choice], t: Sentence) -> str:
    """The form; every change of it is sent whole."""
    labels = {choice.id: choice.label for choice in choices}
    parts = "".join(_part(i, part, labels, t) for i, part in enumerate(draft.parts))
    options = _options([(choice.id, choice.label) for choice in choices], "")
    return (
        f'<div class="m-form">{parts}'
        f'<div class="m-add"><select data-add aria-label="{shown(t("ui.mix.add.which"))}">{options}</select>'
        f"{act_button('add', t('ui.mix.add'))}{act_button('over', t('ui.mix.over'))}</div>"
        f"{_together(draft, choices, t)}</div>"
    )


def _part(number: int, part: DraftPart, labels: dict[str, str], t: Sentence) -> str:
    label = labels.get(part.data, t("ui.mix.part.gone"))
    apart = shown(t("ui.mix.part.held_out.help"))
    ways = len(part.sets) + len(part.own)
    sets = "".join(_set(name, name in part.sets, t) for name in TEMPLATE_SETS)
    own = "".join(_way(number, i, way, t) for i, way in enumerate(part.own))
    return (
        f'<fieldset class="m-part"><legend>{shown(shorten(label, 90))}</legend>'
        f'<input type="hidden" data-field="data" value="{shown(part.data)}">'
        f'<input type="hidden" data-field="mapping" value="{shown(part.mapping)}">'
        f'<div class="m-fields">'
        f"{_field('task', part.task, t, placeholder=t('ui.mix.part.task.usual'))}"
        f"{_field('weight', part.weight, t, kind='number')}"
        f"{_field('cap', part.cap, t, kind='number', placeholder=t('ui.mix.part.cap.usual'))}"
        f"{act_button('remove', t('ui.mix.part.remove'), part=number)}</div>"
        f'<label class="m-check"><input type="checkbox" data-field="held_out"{" checked" if part.held_out else ""}>'
        f"<span>{shown(t('ui.mix.part.held_out'))} <small>{apart}</small></span></label>"
        f"<details{' open' if ways else ''}><summary>{shown(t('ui.mix.ways'))}</summary>"
        f'<p class="s-muted">{shown(t("ui.mix.ways.help"))}</p><div class="m-sets">{sets}</div>{own}'
        f"{act_button('way', t('ui.mix.ways.own'), part=number)}</details></fieldset>"
    )


def _set(name: str, chosen: bool, t: Sentence) -> str:
    ways = TEMPLATE_SETS[name]  # type: ignore[index]
    examples = "\n".join(f"{one.prompt}  →  {one.answer}" for one in ways)
    turned = sum(one.inverted for one in ways)
    count = shown(t("ui.mix.set.count", count=len(ways), turned=turned))
    return (
        f'<label class="m-check" title="{shown(examples)}"><input type="checkbox" data-set="{name}"'
        f"{' checked' if chosen else ''}><span>{shown(t(f'ui.mix.set.{name}'))} <small>{count}</small></span></label>"
    )


def _way(part: int, number: int, way: Way, t: Sentence) -> str:
    ask, answer = shown(t("ui.mix.way.prompt")), shown(t("ui.mix.way.answer"))
    return (
        f'<div class="m-way" data-own><label>{ask}<textarea rows="2" data-way="prompt" placeholder="{{input}}">'
        f"{shown(way.prompt)}</textarea></label>"
        f'<label>{answer}<textarea rows="2" data-way="answer" placeholder="{{output}}">{shown(way.answer)}</textarea>'
        f"</label>{act_button('unway', t('ui.mix.part.remove'), part=part, way=number)}</div>"
    )


def _field(name: str, value: str, t: Sentence, kind: str = "text", placeholder: str = "") -> str:
    return (
        f"<label>{shown(t(f'ui.mix.part.{name}'))}{_input('field', name, value, kind, placeholder)}"
        f"<small>{shown(t(f'ui.mix.part.{name}.help'))}</small></label>"
    )


def _input(place: str, name: str, value: str, kind: str, placeholder: str = "") -> str:
    hint = f' placeholder="{shown(placeholder)}"' if placeholder else ""
    return f'<input type="{kind}" step="any" data-{place}="{name}" value="{shown(value)}"{hint}>'


def _together(draft: Draft, choices: Sequence[Choice], t: Sentence) -> str:
    def top(name: str, value: str, when: str = "", hint: str = "") -> str:
        shown_when = f' data-when="{when}"' if when else ""
        return (
            f"<label{shown_when}>{shown(t(f'ui.mix.{name}'))}{_input('top', name, value, 'number', hint)}"
            f"<small>{shown(t(f'ui.mix.{name}.help'))}</small></label>"
        )

    by = _options([(name, t(f"ui.mix.by.{name}")) for name in MIXINGS], draft.mixing)
    world = (STARTER, t("ui.mix.world"))
    sources = _options([world, *((choice.id, choice.label) for choice in choices)], draft.replay_data)
    return (
        f'<div class="m-fields m-together"><label>{shown(t("ui.mix.by"))}<select data-top="mixing">{by}</select>'
        f"<small>{shown(t('ui.mix.by.help'))}</small></label>"
        f"{top('temperature', draft.temperature, 'temperature')}"
        f"{top('maximum', draft.maximum, 'size temperature', t('ui.mix.maximum.usual'))}"
        f"{top('rows', draft.rows, hint=t('ui.mix.rows.usual'))}"
        f"{top('replay', draft.replay)}"
        f'<label>{shown(t("ui.mix.replay.source"))}<select data-top="replay_data">{sources}</select></label>'
        f"{top('seed', draft.seed)}</div>"
    )


def _options(choices: Sequence[tuple[str, str]], chosen: str) -> str:
    return "".join(
        f'<option value="{shown(value)}"{" selected" if value == chosen else ""}>{shown(shorten(label, 80))}</option>'
        for value, label in choices
    )
