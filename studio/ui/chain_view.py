"""Chains of runs as the page shows them: the three stages of RLHF, and what can follow a run. Pure."""

import json
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence

from studio.backend.chain import Next, Stage, main_figure
from studio.runs.events import RunState
from studio.runs.methods import METHODS
from studio.ui.markup import act_button, badge, shown

T = Callable[..., str]
_TONES = {"done": "good", "now": "accent", "next": "accent", "later": "plain"}


def strip(stages: Sequence[Stage], states: Mapping[str, RunState], able: Collection[str], t: T) -> str:
    """The stages of RLHF in a row, for data that can teach the methods in `able`; nothing where it teaches none that
    needs the others. `states`: those of the stages' runs, curves included."""
    _, judge, practice = stages
    if "reward" not in able and not (judge.done and any(one.method in able for one in practice.next)):
        return ""
    cards = "".join(_card(number, stage, stages, states, able, t) for number, stage in enumerate(stages, 1))
    opened = " open" if any(stage.run for stage in stages) else ""
    return (
        f'<details class="chain"{opened}><summary>{shown(t("ui.chain.title"))}</summary>'
        f'<p class="s-muted">{shown(t("ui.chain.about"))}</p><ol class="s-steps chain-steps">{cards}</ol></details>'
    )


def _card(
    number: int, stage: Stage, stages: Sequence[Stage], states: Mapping[str, RunState], able: Collection[str], t: T
) -> str:
    status = _status(stage, stages)
    facts = ""
    if stage.run is not None:
        name = f'<span class="chain-run">{shown(stage.run.record.name)}</span>'
        facts = f'<p class="chain-facts">{name}{_figure(stage, states, t)}</p>'
    return (
        f'<li class="s-{status}" data-stage="{stage.name}"><div class="chain-step">'
        f"{badge(t(f'ui.chain.{status}'), _TONES[status])}"
        f"<b>{number}. {shown(t(f'ui.chain.{stage.name}'))}</b>"
        f"<small>{shown(t(f'ui.chain.{stage.name}.text'))}</small>{facts}"
        f"{_buttons(stage, able, t, main=status == 'next')}</div></li>"
    )


def _status(stage: Stage, stages: Sequence[Stage]) -> str:
    """`next` is the first stage that can be begun and has no run."""
    if stage.run is not None:
        return "done" if stage.done else "now"
    first = next((one for one in stages if one.run is None and one.next), None)
    return "next" if stage is first else "later"


def _figure(stage: Stage, states: Mapping[str, RunState], t: T) -> str:
    assert stage.run is not None
    found = main_figure(stage.run, states.get(stage.run.record.id, stage.run.state))
    if found is None:
        return ""
    name, value = found
    number = f"{100 * value:.0f}" if name == "accuracy" else f"{value:.3g}"
    return f'<span class="chain-figure">{shown(t(f"ui.chain.figure.{name}", value=number))}</span>'


def _buttons(stage: Stage, able: Collection[str], t: T, *, main: bool) -> str:
    fit = [one for one in stage.next if one.method in able]
    if stage.next and not fit:
        needs = METHODS[stage.next[0].method].learns
        return f'<span class="method-needs">{shown(t(f"ui.method.needs.{needs}"))}</span>'
    buttons = "".join(button(one, t, main=main and one is fit[0]) for one in fit)
    return f'<span class="s-row">{buttons}</span>' if buttons else ""


def button(one: Next, t: T, *, main: bool = True) -> str:
    """Sets up the run in the form."""
    label = t("ui.chain.begin", term=t(f"ui.method.{one.method}.term"))
    kind = "s-main" if main else ""
    return act_button("next", label, kind, method=one.method, parent=one.parent, reward=one.reward)


def documents(one: Next, name: str, t: T) -> str:
    """After documents were read by the run of this name: to go on from it."""
    return (
        f'<div class="say say-info chain-offer"><span>{shown(t("ui.chain.after_documents", run=name))}</span>'
        f"{button(one, t)}</div>"
    )


def offer(following: Sequence[Next], t: T) -> str:
    """What can follow the run that is shown."""
    if not following:
        return ""
    buttons = "".join(button(one, t, main=place == 0) for place, one in enumerate(following))
    told = t(f"ui.chain.offer.{METHODS[following[0].method].learns}")
    return f'<div class="say say-info chain-offer"><span>{shown(told)}</span><span class="s-row">{buttons}</span></div>'


def written(following: Next, version: str) -> str:
    """For `Page.follow`; another text each time."""
    told = {"method": following.method, "parent": following.parent, "reward": following.reward, "version": version}
    return json.dumps({**told, "press": secrets.token_hex(4)})


def read(text: str) -> tuple[Next, str]:
    """The next run and its data, from what `written` wrote."""
    told = json.loads(text)
    return Next(told["method"], told["parent"], told["reward"]), told["version"]


def pressed(data: Mapping[str, str]) -> Next:
    """The next run whose button was pressed."""
    return Next(data["method"], data["parent"], data["reward"])
