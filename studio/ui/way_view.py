"""What mends a run, as buttons: a press reaches the page with `data-act` and what `Change` holds. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.runs.spec import RunSpec, spec_fields, with_changes
from studio.runs.ways import Change, Look, Way
from studio.ui.markup import act_button
from studio.ui.use_again import Again

T = Callable[..., str]


def way_buttons(ways: Sequence[Way], spec: RunSpec, language: str, t: T) -> str:
    """The buttons in a row, the first as the one to press; nothing where there are none."""
    buttons = (_button(way, spec, language, t, "" if place == 0 else "s-quiet") for place, way in enumerate(ways))
    row = "".join(buttons)
    return f'<span class="s-row">{row}</span>' if row else ""


def _button(way: Way, spec: RunSpec, language: str, t: T, kind: str) -> str:
    match way:
        case Look(tab=tab):
            return act_button("look", t(f"ui.way.{tab}"), f"s-small {kind}", tab=tab)
        case Change(settings=settings, step=step):
            data = json.dumps(dict(settings), ensure_ascii=False)
            label = _label(settings, step, spec, language, t)
            return act_button("change", label, f"s-small {kind}", settings=data, step=step)


def _label(settings: Mapping[str, Any], step: int, spec: RunSpec, language: str, t: T) -> str:
    changes = changed_words(settings, spec, language, t)
    if step:
        return t("ui.way.join").join([t("ui.way.checkpoint", step=f"{step:,}"), *changes])
    return t("ui.way.change", changes=t("ui.way.join").join(changes)) if changes else t("ui.way.again")


def changed_words(settings: Mapping[str, Any], spec: RunSpec, language: str, t: T) -> list[str]:
    """Each change in plain words."""
    changed = with_changes(spec, settings)
    fields = {field.path: field for field in spec_fields(changed.method.kind, changed.tuner.kind)}
    return [
        t("ui.way.setting", label=fields[path].label(language), value=_plain(value)) for path, value in settings.items()
    ]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def pressed(run: str, data: Mapping[str, str]) -> Again:
    """The run that is to be trained again, as the button of a `Change` tells it."""
    return Again(run, int(data["step"]), json.loads(data["settings"]))
