"""The plan that fits into memory, offered in place of one that does not. Pure."""

import json
from html import escape
from typing import TYPE_CHECKING

from studio.runs.spec import RunSpec, with_changes
from studio.ui.markup import said, shown
from studio.ui.page import Page
from studio.ui.run_view import size

if TYPE_CHECKING:
    from studio.training.estimate import Estimate


def nearest_plan(page: Page, spec: RunSpec, estimate: "Estimate") -> str:
    """What does not fit, and the button that makes it fit: with `data-act`, its `changes` reach the page."""
    t = page.t
    sizes = {"memory": size(estimate.memory_bytes), "free": size(estimate.available_memory_bytes)}
    if not estimate.nearest:
        return f'<div class="say say-bad" role="alert">{said(t("ui.train.nearest.none", **sizes))}</div>'
    changed = with_changes(spec, estimate.nearest)
    values = {
        "batch": changed.training.batch_size,
        "accumulation": changed.training.accumulation,
        "length": changed.data.max_length,
    }
    words = (
        ("data.max_length", "shorter"),
        ("tuner.quantisation", "four_bits"),
        ("training.gradient_checkpointing", "saving"),
    )
    how = next((name for path, name in words if path in estimate.nearest), "batch")
    data = escape(json.dumps(estimate.nearest), quote=True)
    label = shown(t(f"ui.train.nearest.{how}", **values))
    return (
        f'<div class="say say-bad nearest" role="alert"><span>{said(t("ui.train.nearest", **sizes))}</span>'
        f'<button type="button" class="s-button" data-act="nearest" data-changes="{data}">{label}</button></div>'
    )
