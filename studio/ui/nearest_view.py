"""A plan that does not fit into memory, refused where it would be started, with the one that does. Pure."""

import json
from collections.abc import Callable
from html import escape

from studio.errors import SpecError
from studio.runs.spec import RunSpec, with_changes
from studio.runs.unfit import Unfit
from studio.ui.markup import said, shown
from studio.ui.page import Page
from studio.ui.run_view import size


def refusal(page: Page, make: Callable[[], RunSpec]) -> str:
    """Why the plan is not started; nothing where it is not known not to fit."""
    try:
        spec = make()
    except SpecError:
        return ""  # told as such
    unfit = page.studio.unfit(spec)
    return "" if unfit is None else nearest_plan(page, spec, unfit)


def nearest_plan(page: Page, spec: RunSpec, unfit: Unfit) -> str:
    """What does not fit, and the button that makes it fit: with `data-act`, its `changes` reach the page."""
    t = page.t
    sizes = {
        "memory": size(unfit.needed_bytes),
        "free": size(unfit.available_bytes),
        "least": size(unfit.least_bytes),
        "model": unfit.model,
        "models": t("ui.train.open_models"),
    }
    title = f"<strong>{shown(t('ui.train.unfit.title'))}</strong>"
    if not unfit.nearest:
        none = said(t("ui.train.unfit.model.none" if unfit.model else "ui.train.unfit.none", **sizes))
        return f'<div class="say say-bad nearest" role="alert">{title}<span>{none}</span></div>'
    why = said(t("ui.train.unfit.model" if unfit.model else "ui.train.unfit", **sizes))
    data = escape(json.dumps(unfit.nearest), quote=True)
    return (
        f'<div class="say say-bad nearest" role="alert">{title}<span>{why}</span>'
        f"<ul>{_changes(page, spec, unfit)}</ul>"
        f'<button type="button" class="s-button s-main" data-act="nearest" data-changes="{data}">'
        f"{shown(t('ui.train.nearest.take'))}</button></div>"
    )


def _changes(page: Page, spec: RunSpec, unfit: Unfit) -> str:
    """What the button changes, each in plain words."""
    t, nearest = page.t, unfit.nearest or {}
    changed = with_changes(spec, nearest)
    training = changed.training
    batch = {"batch": training.batch_size, "accumulation": training.accumulation}
    rate = {"rate": f"{training.learning_rate:g}"}
    words = (
        ("training.batch_size", "batch", batch),
        ("training.gradient_checkpointing", "saving", {}),
        ("tuner.kind", "lora", rate),
        ("model.precision", "short", {}),
        ("tuner.quantisation", "four_bits", {}),
        ("data.max_length", "shorter", {"length": f"{changed.data.max_length:,}"}),
    )
    lines = (t(f"ui.train.nearest.{word}", **values) for path, word, values in words if path in nearest)
    return "".join(f"<li>{shown(line)}</li>" for line in lines)
