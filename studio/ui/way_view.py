"""What mends a run, as buttons: a press reaches the page with `data-act` and what `Change` holds. Pure."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.runs.spec import RunSpec, spec_fields, with_changes
from studio.runs.ways import Change, Look, Visit, Way
from studio.ui.markup import act_button, shown
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
        case Visit(model=model):
            link = f'href="https://huggingface.co/{shown(model)}" target="_blank" rel="noopener noreferrer"'
            return f'<a class="s-button s-small {kind}" {link}>{shown(t("ui.way.visit"))}</a>'
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
    """Each change in plain words; the two of a batch that is divided are one."""
    changed = with_changes(spec, settings)
    fields = {field.path: field for field in spec_fields(changed.method.kind, changed.tuner.kind)}
    words = []
    for path, value in settings.items():
        label = fields[path].label(language)
        match path:
            case "training.batch_size" if "training.accumulation" in settings:
                batch = {"batch": value, "accumulation": settings["training.accumulation"]}
                words.append(t("ui.train.nearest.batch", **batch))
            case "training.accumulation" if "training.batch_size" in settings:
                continue
            case "tuner.kind":
                words.append(t("ui.train.nearest.lora", rate=f"{changed.training.learning_rate:g}"))
            case "training.learning_rate" if "tuner.kind" in settings:
                continue
            case "training.gradient_checkpointing":
                words.append(t("ui.train.nearest.saving"))
            case "tuner.quantisation" if value == "nf4":
                words.append(t("ui.train.nearest.four_bits"))
            case "model.precision" if value == "bfloat16":
                words.append(t("ui.train.nearest.short"))
            case "model.adapter":
                words.append(t("ui.way.afresh"))
            case "model.adapter_step" | "model.adapter_folder":
                continue
            case _ if value in ("", []):
                words.append(t("ui.way.none", label=label))
            case _:
                words.append(t("ui.way.setting", label=label, value=_plain(value)))
    return words


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def pressed(run: str, data: Mapping[str, str]) -> Again:
    """The run that is to be trained again, as the button of a `Change` tells it."""
    return Again(run, int(data["step"]), json.loads(data["settings"]))
