"""The reference of all settings: every field of RunSpec with its help, bounds and default, as Markdown."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args, get_origin

from studio.messages import translate
from studio.runs.methods import METHODS
from studio.runs.rewards import REWARDS
from studio.runs.spec import TUNERS, SpecField, method_fields, reward_fields, spec_fields


def settings_reference(language: str = "en") -> str:
    """All settings of a run: those every run has, then those of each tuner, method and reward. Each stands under the
    path that YAML files and `--set` name it by."""

    def say(key: str, **values: object) -> str:
        return translate(f"reference.{key}", language, **values)

    common = [field for field in spec_fields() if not field.path.startswith(("method.", "tuner."))]
    lines = [f"# {say('title')}", "", say("about"), ""]
    for part in ("data", "model", "training"):
        lines += _section(say(part), [f for f in common if f.path.startswith(f"{part}.")], language)
    for tuner in TUNERS:
        fields = [f for f in spec_fields(tuner=tuner) if f.path.startswith("tuner.") and f.path != "tuner.kind"]
        lines += _section(say("tuner", kind=tuner), fields, language)
    for kind in METHODS:
        name = translate(f"ui.method.{kind}.name", language)
        lines += _section(say("method", name=name, kind=kind), method_fields(kind), language)
    for kind in REWARDS:
        name = translate(f"ui.reward.{kind}", language)
        lines += _section(say("reward", name=name, kind=kind), reward_fields(kind), language)
    return "\n".join(lines)


def _section(title: str, fields: Iterable[SpecField], language: str) -> Iterator[str]:
    yield from (f"## {title}", "")
    fields = list(fields)
    if not fields:
        yield from (translate("reference.none", language), "")
        return
    heads = (translate(f"reference.{name}", language) for name in ("setting", "what", "values", "default"))
    yield from (f"| {' | '.join(heads)} |", "|---|---|---|---|")
    for field in fields:
        told = f"**{field.label(language)}** {field.help(language)}".replace("|", "\\|").replace("\n", " ")
        yield f"| `{field.path}` | {told} | {_values(field, language)} | {_default(field.default)} |"
    yield ""


def _values(field: SpecField, language: str) -> str:
    """What may be given: the names of a choice, or the bounds with their unit."""
    annotation = field.info.annotation
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    if annotation is bool:
        return "`true`, `false`"
    bounds = field.bounds
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    unit = translate(f"ui.form.unit.{field.unit}", language) if field.unit else ""
    if low is None or high is None:
        return unit
    signs = ("<" if "gt" in bounds else "≤", "<" if "lt" in bounds else "≤")
    return f"{low:,.10g} {signs[0]} … {signs[1]} {high:,.10g} {unit}".strip()


def _default(value: Any) -> str:
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int | float):
        return f"{value:g}"
    if isinstance(value, str) and value:
        return f"`{value}`"
    return ", ".join(f"`{part.kind}`" for part in value) if isinstance(value, tuple) else ""
