"""Settings of runs -> tables of them: all of one run, and those in which several differ. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from studio.messages import translate
from studio.runs.differences import Difference, differences
from studio.runs.events import RunState
from studio.runs.spec import RunSpec, spec_fields
from studio.ui.markup import shorten, shown
from studio.ui.method_view import method_name
from studio.ui.run_view import best_reward, best_validation, duration, loss, number, run_seconds

T = Callable[..., str]
_LABELS = {
    "data.version": "ui.runs.differ.data",
    "data.mapping": "ui.runs.differ.mapping",
    "method.kind": "ui.runs.method",
}
"""Of the settings that no form has."""


def settings_table(spec: RunSpec, language: str) -> str:
    """Every setting of the run with its label; the method comes first."""

    def t(key: str, **values: object) -> str:
        return translate(key, language, **values)

    values = spec.model_dump(mode="json")
    lines = [(t("ui.runs.method"), method_name(spec.method.kind, t), "method.kind")]
    for field in spec_fields(spec.method.kind, spec.tuner.kind):
        value: Any = values
        for part in field.path.split("."):
            value = value[part]
        lines.append((field.label(language), _told(value), field.path))
    rows = "".join(
        f'<tr><th scope="row">{shown(label)}</th><td>{shown(told)}</td><td><code>{shown(path)}</code></td></tr>'
        for label, told, path in lines
    )
    return f'<div class="table-scroll"><table class="settings">{rows}</table></div>'


def differences_table(runs: Sequence[tuple[str, RunSpec, RunState]], names: Mapping[str, str], language: str) -> str:
    """What came of several runs, each with its name, and below it the settings in which they differ: in plain words,
    with their paths. `names`: of data versions and other runs, by their ids."""

    def t(key: str, **values: object) -> str:
        return translate(key, language, **values)

    head = "".join(
        f'<th scope="col"><span class="chart-swatch chart-c{i % 8}"></span>{shown(name)}</th>'
        for i, (name, _, _) in enumerate(runs)
    )
    results = [(t("ui.runs.list.validation"), [loss(best_validation(state)) for _, _, state in runs])]
    rewards = [best_reward(state) for _, _, state in runs]
    if any(reward is not None for reward in rewards):
        results.append((t("ui.runs.checkpoints.reward"), [number(reward) for reward in rewards]))
    results.append((t("ui.runs.list.time"), [duration(run_seconds(state) or 0, t) for _, _, state in runs]))
    lines = [_line(shown(label), cells) for label, cells in results]
    found = differences([spec for _, spec, _ in runs])
    title = t("ui.runs.differ" if found else "ui.runs.differ.none", count=len(found))
    lines.append(f'<tr class="settings-part"><th scope="rowgroup" colspan="{len(runs) + 1}">{shown(title)}</th></tr>')
    for one in found:
        cells = [_value(one, value, names, t) for value in one.values]
        lines.append(_line(f"{shown(_label(one, t))} <code>{shown(one.path)}</code>", cells))
    table = f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(lines)}</tbody>"
    methods = {spec.method.kind for _, spec, _ in runs}
    note = f'<p class="quiet">{shown(t("ui.runs.overlay.methods"))}</p>' if len(methods) > 1 else ""
    return f'{note}<div class="table-scroll"><table class="settings settings-differ">{table}</table></div>'


def _line(label: str, cells: Sequence[str]) -> str:
    return f'<tr><th scope="row">{label}</th>{"".join(f"<td>{shown(cell)}</td>" for cell in cells)}</tr>'


def _label(one: Difference, t: T) -> str:
    return t(_LABELS[one.path]) if one.path in _LABELS else t(f"spec.{one.text}.label")


def _value(one: Difference, value: Any, names: Mapping[str, str], t: T) -> str:
    """A value in words: names where the setting holds an id; of what has parts, those that differ."""
    if value is None or value == "":
        return "–"
    match one.path:
        case "data.version" | "model.adapter":
            return names.get(value, value)
        case "method.kind":
            return method_name(value, t)
        case "data.mapping":
            others = [other or {} for other in one.values]
            value = {part: own for part, own in value.items() if any(own != other.get(part) for other in others)}
    return _told(value)


def _told(value: Any) -> str:
    match value:
        case bool():
            return "✓" if value else "–"
        case float():
            return f"{value:g}"
        case dict():
            said = {name: inner for name, inner in value.items() if inner not in (None, "", [], {}, False)}
            return ", ".join(f"{name} {_told(inner)}" for name, inner in said.items()) or "–"
        case list():
            return "; ".join(_told(inner) for inner in value) or "–"
    return shorten(str(value), 300)
