"""What a run will cost, told before it starts, and what is often regretted about its settings."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from studio.errors import SpecError, StudioError
from studio.runs.cautions import cautions
from studio.runs.methods import CptSpec
from studio.runs.rates import usual_rates
from studio.runs.spec import RunSpec
from studio.runs.unfit import UnfitError
from studio.ui.choice_view import count, percent
from studio.ui.markup import said, shown
from studio.ui.page import Page
from studio.ui.problem_view import problem_list
from studio.ui.run_view import duration, size

if TYPE_CHECKING:
    from studio.models.new_tokens import NewTokens
    from studio.training.estimate import Estimate


def cost_panel(page: Page, make: Callable[[], RunSpec], method: str = "sft") -> Iterator[str]:
    """First what is known at once, then what has to be measured. What does not fit is told beside the start button."""
    t, studio = page.t, page.studio
    try:
        spec = make()
    except SpecError as error:
        yield problem_list(studio.problems(error), page.language, t, method)
        return
    try:
        train, validation, test = studio.datasets.split_counts(spec.data.version, spec.data.split, spec.method.learns)
    except StudioError as error:
        yield f'<div class="say say-bad" role="alert">{said(error.message(page.language))}</div>'
        return
    rate = ("rate", _rate(page, spec))
    known = [("rows", _rows(page, train, validation, test)), rate]
    waiting: tuple[str, ...] = ("tokens", "parameters", "adapter", "how", "time", "memory")
    if isinstance(spec.method, CptSpec) and spec.method.packed:
        waiting = ("steps", *waiting)  # of blocks that are not counted yet
    else:
        known.append(("steps", f"{spec.total_steps(train):,}"))
    found = studio.problems(spec)
    careful = _cautions(page, spec, train)
    if found:
        yield _facts(page, known) + problem_list(found, page.language, t, method) + careful
        return
    if studio.runner.current():
        # A probe would slow the run in training and take memory beside it.
        yield _facts(page, known) + f'<p class="quiet">{shown(t("ui.train.cost.busy"))}</p>' + careful
        return
    yield _facts(page, [*known, *((key, "") for key in waiting)]) + careful
    try:
        estimate = studio.estimate(spec)
    except UnfitError:
        yield _facts(page, known) + careful
        return
    except StudioError as error:
        yield _facts(page, known) + f'<div class="say say-bad" role="alert">{said(error.message(page.language))}</div>'
        return
    rows, *rest = _estimated(page, estimate, test)
    yield _facts(page, [rows, rate, *rest]) + _cautions(page, spec, estimate.rows, estimate)


def _rows(page: Page, train: int, validation: int, test: int) -> str:
    """Rows on each side of the split; those of the test where there are any."""
    key = "ui.train.cost.rows_value.test" if test else "ui.train.cost.rows_value"
    return page.t(key, train=f"{train:,}", validation=f"{validation:,}", test=f"{test:,}")


def _rate(page: Page, spec: RunSpec) -> str:
    """The learning rate, and why: what is usual for this method and tuner on a model of this size."""
    width = page.studio.models.width(spec.model.source)
    usual = usual_rates(spec, width)
    key = "ui.train.cost.rate_value" if width else "ui.train.cost.rate_value.unknown"
    rates = {"rate": spec.training.learning_rate, "low": usual.low, "high": usual.high}
    return page.t(key, **{name: f"{value:.2g}" for name, value in rates.items()})


def _estimated(page: Page, estimate: "Estimate", test: int) -> list[tuple[str, str]]:
    t = page.t
    tokens = {"tokens": f"{estimate.tokens:,}", "trained": f"{estimate.trained_tokens:,}"}
    return [
        ("rows", _rows(page, estimate.rows, estimate.validation_rows, test)),
        ("steps", f"{estimate.steps:,}"),
        ("tokens", t("ui.train.cost.tokens_value", **tokens)),
        *([("new_tokens", _new_tokens(page, estimate.new_tokens))] if estimate.new_tokens else []),
        (
            "parameters",
            t(
                "ui.train.cost.parameters_value",
                trained=count(estimate.trainable_parameters, page.language),
                share=percent(estimate.trainable_share),
            ),
        ),
        ("adapter", size(estimate.adapter_bytes)),
        ("how", ", ".join(t(f"ui.runs.how.{name}") for name in estimate.how)),
        ("time", t("ui.train.cost.about", value=duration(estimate.seconds, t))),
        (
            "memory",
            t(
                "ui.train.cost.memory_value",
                memory=size(estimate.memory_bytes),
                free=size(estimate.available_memory_bytes),
            ),
        ),
    ]


def _new_tokens(page: Page, new: "NewTokens") -> str:
    """How many there are, what they save, and the first of them."""
    share = f"{100 * new.saved_share:.0f}"
    return page.t("ui.train.cost.new_tokens_value", count=f"{len(new):,}", percent=share, words=", ".join(new.shown))


def _facts(page: Page, facts: list[tuple[str, str]]) -> str:
    rows = "".join(
        f'<div class="fact fact-{key}"><dt>{shown(page.t(f"ui.train.cost.{key}"))}</dt>'
        f"<dd>{shown(value) if value else _measuring(page)}</dd></div>"
        for key, value in facts
    )
    return f'<dl class="facts">{rows}</dl>'


def _measuring(page: Page) -> str:
    return f'<span class="measuring">{shown(page.t("ui.train.cost.measuring"))}</span>'


def _cautions(page: Page, spec: RunSpec, rows: int, estimate: "Estimate | None" = None) -> str:
    t = page.t
    lines: list[tuple[str, str]] = []
    if estimate is not None:
        limit = f"{spec.data.max_length:,}"
        for key, lost in (("lost", estimate.lost_rows), ("truncated", estimate.truncated_rows)):
            if lost:
                lines.append(("warn", t(f"ui.train.caution.{key}", rows=f"{lost:,}", tokens=limit)))
    tokens = estimate.tokens if estimate else None
    replays = page.studio.mixtures.replayed(spec.data.version) is not None
    use = page.studio.template_use(spec)
    told = cautions(spec, rows, page.studio.models.width(spec.model.source), tokens, replays=replays, template=use)
    lines += [("warn", t(key, **values)) for key, values in (*told, *page.studio.adapter_cautions(spec))]
    return "".join(f'<div class="say say-{kind}">{said(text)}</div>' for kind, text in lines)
