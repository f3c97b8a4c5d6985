"""Cleaning as a recipe: steps are chosen and put in order, applied as one new version, saved and used on other data."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.data.checks import Finding
from studio.data.recipe import FIXES, LENGTH_FIXES, CleanSpec, Fix, Step, make_step
from studio.errors import Stopped, StudioError
from studio.ui import recipe_view
from studio.ui.charts_view import value_told
from studio.ui.data_bench import QUICK, SAVE, Bench, file_link, go, stoppable
from studio.ui.data_steps import StepForm, filter_form, replace_form
from studio.ui.findings_view import trouble
from studio.ui.markup import ACTIONS, headline
from studio.ui.page import html

_EMPTY = CleanSpec(steps=())


def build(bench: Bench, panel: gr.Tab) -> None:
    """Lay the panel out."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    draft = gr.State(_EMPTY)
    with gr.Row(equal_height=False, elem_id="data-clean"):
        with gr.Column(scale=3, min_width=320, elem_classes="s-card d-choose"):
            html(headline(t("ui.data.clean.choose"), t("ui.data.clean.choose.text")))
            with gr.Tabs(elem_id="data-clean-kinds", overflow_behavior="wrap"):
                with gr.Tab(t("ui.data.clean.fixes"), id="fixes"):
                    suggested = html(js_on_load=ACTIONS, elem_id="data-suggested")
                    fix = gr.Dropdown(
                        [(t("ui.data.clean.fix.choose"), ""), *((t(f"fix.{name}"), name) for name in FIXES)],
                        value="",
                        label=t("ui.data.clean.fix"),
                        elem_id="data-fix",
                    )
                    near = gr.Slider(
                        50, 100, 80, step=1, label=t("ui.data.clean.threshold"),
                        info=t("ui.data.clean.threshold.info"), visible=False, elem_id="data-threshold",
                    )  # fmt: skip
                    with gr.Row(visible=False) as length:
                        most = gr.Number(256, label=t("ui.data.limit"), precision=0, minimum=1, maximum=131_072,
                                         elem_id="data-fix-limit", min_width=150)  # fmt: skip
                        model = gr.Textbox("starter", label=t("ui.data.model"), max_lines=1, elem_id="data-fix-model",
                                           min_width=150)  # fmt: skip
                    add = gr.Button(t("ui.data.clean.add"), size="md", elem_id="data-fix-add", elem_classes="d-add")
                with gr.Tab(t("ui.data.clean.replace"), id="replace", elem_id="data-clean-replace"):
                    replacing = replace_form(bench)
                with gr.Tab(t("ui.data.clean.filter"), id="filter", elem_id="data-clean-filter"):
                    filtering = filter_form(bench)
        with gr.Column(scale=2, min_width=320):
            with gr.Column(elem_classes="s-card", elem_id="data-draft"):
                listed = html(recipe_view.draft(_EMPTY, t), js_on_load=ACTIONS, elem_id="data-draft-steps")
                working = html(elem_id="data-clean-working")
                outcome = html(js_on_load=ACTIONS, elem_id="data-clean-outcome")
                with gr.Row():
                    apply = gr.Button(
                        t("ui.data.clean.apply"), variant="primary", size="md", interactive=False,
                        elem_id="data-clean-apply", min_width=140,
                    )  # fmt: skip
                    clear = gr.Button(t("ui.data.clean.clear"), size="md", visible=False, min_width=110,
                                      elem_id="data-clean-clear")  # fmt: skip
                    stop = gr.Button(t("ui.data.clean.stop"), size="md", visible=False, min_width=110,
                                     elem_id="data-clean-stop")  # fmt: skip
            with gr.Column(elem_classes="s-card", elem_id="data-recipe"):
                made = html(js_on_load=ACTIONS, elem_id="data-history")
                with gr.Row():
                    save = gr.Button(t("ui.data.clean.save"), size="md", elem_id="data-recipe-save", min_width=150)
                    link = gr.Textbox("", visible=False)
                    load = gr.UploadButton(
                        t("ui.data.clean.load"), file_types=[".yaml", ".yml"], size="md",
                        elem_id="data-recipe-load", min_width=150,
                    )  # fmt: skip
                kept = html(elem_id="data-recipe-note")
                problem = html(elem_id="data-recipe-problem")

    shown_draft = [draft, listed, apply, clear, outcome, suggested]
    counting = [bench.model, bench.limit]

    def drafted(version_id: str | None, recipe: CleanSpec, told: str, name: str, limit: float) -> tuple[Any, ...]:
        """The values of `shown_draft`."""
        return (
            recipe,
            recipe_view.draft(recipe, t),
            gr.Button(interactive=bool(recipe.steps)),
            gr.Button(visible=len(recipe.steps) > 1),
            told,
            suggestions(version_id, recipe, name, limit),
        )

    def suggestions(version_id: str | None, recipe: CleanSpec, name: str, limit: float) -> str:
        version = bench.version(version_id)
        if version is None or version.mapping is None:
            return ""
        checked = datasets.scanned(version.id, name, int(limit))
        counts = _found(datasets.findings(version.id, name, int(limit))) if checked else {}
        return recipe_view.suggested(counts, {step.fix for step in recipe.steps}, checked, t)

    def show(version: Version, recipe: CleanSpec, name: str, limit: float) -> tuple[Any, ...]:
        checked = datasets.scanned(version.id, name, int(limit))
        found = datasets.findings(version.id, name, int(limit)) if checked else ()
        kinds = [(t(f"ui.data.finding.{kind}"), kind) for kind in filterable(found)]
        spoken = [
            (f"{value_told('language', code, t)} ({count:,})", code)
            for code, count in datasets.languages(version.id, name, int(limit))
        ]
        return (
            recipe_view.history(datasets.lineage(version.id), t),
            gr.Button(interactive=bool(datasets.recipe(version.id).reusable().steps)),
            recipe_view.by_hand_told(len(datasets.recipe(version.id).by_hand), t),
            suggestions(version.id, recipe, name, limit),
            gr.Number(value=int(limit)),
            gr.Textbox(value=name),
            *replacing.fill(version, spoken, kinds),
            *filtering.fill(version, spoken, kinds),
        )

    def on_suggested(event: gr.EventData, version_id: str, recipe: CleanSpec, *counted: Any) -> tuple[Any, ...]:
        for name in event._data["fixes"].split(","):
            recipe = recipe.with_step(_plain(name, 80, *counted))
        return drafted(version_id, recipe, "", *counted)

    def on_pick(name: str | None) -> tuple[Any, Any]:
        return gr.Slider(visible=name == "drop_near_duplicates"), gr.Row(visible=name in LENGTH_FIXES)

    def on_add(
        version_id: str,
        recipe: CleanSpec,
        name: str,
        limit: float,
        fix: str | None,
        percent: float,
        own: str,
        most: float,
    ) -> tuple[Any, ...]:
        if not fix:
            return (gr.skip(),) * len(shown_draft)
        return drafted(version_id, recipe.with_step(_plain(fix, percent, own, most)), "", name, limit)

    def adding(form: StepForm) -> Callable[..., tuple[Any, ...]]:
        def on_step(version_id: str, recipe: CleanSpec, name: str, limit: float, *values: Any) -> tuple[Any, ...]:
            try:
                recipe = recipe.with_step(form.made(*values))
            except StudioError as error:
                return drafted(version_id, recipe, trouble(error.message(page.language)), name, limit)
            return drafted(version_id, recipe, "", name, limit)

        return on_step

    def on_draft(event: gr.EventData, version_id: str, recipe: CleanSpec, *counted: Any) -> tuple[Any, ...]:
        act, place = event._data["act"], int(event._data["place"])
        moved = recipe.without(place) if act == "remove" else recipe.moved(place, -1 if act == "up" else 1)
        return drafted(version_id, moved, "", *counted)

    def on_clear(version_id: str, *counted: Any) -> tuple[Any, ...]:
        return drafted(version_id, _EMPTY, "", *counted)

    def on_apply(version_id: str, recipe: CleanSpec, *counted: Any) -> Iterator[tuple[Any, ...]]:
        before = datasets.version(version_id)
        known = {version.id for version in datasets.versions(before.dataset)}
        shares = datasets.follow(
            ("clean", version_id, recipe.model_dump_json()),
            lambda tell, stopping: datasets.clean(version_id, recipe, tell, stopping),
        )
        waiting = [gr.skip()] * len(shown_draft)
        with closing(shares):
            try:
                while True:
                    share = next(shares)
                    yield gr.skip(), recipe_view.running(share, t), gr.Button(visible=True), *waiting
            except StopIteration as done:
                told = recipe_view.made_told(done.value, before, done.value.id in known, t)
                yield done.value.id, "", gr.Button(visible=False), *drafted(done.value.id, _EMPTY, told, *counted)
            except Stopped:
                yield gr.skip(), "", gr.Button(visible=False), *waiting
            except StudioError as error:
                told = trouble(error.message(page.language))
                yield gr.skip(), "", gr.Button(visible=False), *drafted(version_id, recipe, told, *counted)

    def on_stop() -> tuple[str, gr.Button, str]:
        return "", gr.Button(visible=False), recipe_view.stopped(t)

    def on_history(event: gr.EventData, version_id: str, recipe: CleanSpec, *counted: Any) -> tuple[Any, ...]:
        version = datasets.version(event._data["version"])
        if event._data["act"] == "version":
            return version.id, *[gr.skip()] * len(shown_draft)
        again = version.recipe or recipe
        return version.parent, *drafted(version.parent, again, "", *counted)

    def on_load(version_id: str, recipe: CleanSpec, path: str, *counted: Any) -> tuple[Any, ...]:
        try:
            read, left = datasets.read_recipe(version_id, Path(path), Path(path).name)
        except StudioError as error:
            return trouble(error.message(page.language)), *[gr.skip()] * len(shown_draft)
        return "", *drafted(version_id, read, recipe_view.loaded(Path(path).name, len(read.steps), left, t), *counted)

    def on_save(version_id: str) -> str:
        saved = datasets.save_recipe(version_id)
        return file_link(saved) if saved else ""

    def on_checked(version_id: str | None, *values: Any) -> tuple[Any, ...]:
        version = bench.version(version_id)
        shown = len(showing)
        return (gr.skip(),) * shown if version is None or version.mapping is None else show(version, *values)

    asked = [page.version, draft, *counting]
    showing = [made, save, kept, suggested, most, model, *replacing.choices, *filtering.choices]
    bench.when_open(panel, "clean", show, [draft, *counting], showing)
    bench.checked.change(page.guard(on_checked), asked, showing, **QUICK)
    suggested.click(page.guard(on_suggested), asked, shown_draft, **QUICK)
    fix.input(on_pick, fix, [near, length], trigger_mode="always_last", **QUICK)
    add.click(page.guard(on_add), [*asked, fix, near, model, most], shown_draft, **QUICK)
    for form in (replacing, filtering):
        form.add.click(page.guard(adding(form)), [*asked, *form.fields], shown_draft, **QUICK)
    listed.click(page.guard(on_draft), asked, shown_draft, **QUICK)
    clear.click(page.guard(on_clear), [page.version, *counting], shown_draft, **QUICK)
    applying = apply.click(
        page.guard(on_apply), asked, [page.version, working, stop, *shown_draft],
        concurrency_limit=None, show_progress="hidden",
    )  # fmt: skip
    stoppable(applying, stop, on_stop, [working, stop, outcome])
    outcome.click(lambda: go("rows"), None, bench.views, **QUICK)
    made.click(page.guard(on_history), asked, [page.version, *shown_draft], **QUICK)
    save.click(page.guard(on_save), page.version, link, **QUICK)
    link.change(None, link, None, js=SAVE)
    load.upload(page.guard(on_load), [page.version, draft, load, *counting], [problem, *shown_draft], **QUICK)


def _plain(fix: str, percent: float, model: str, limit: float) -> Step:
    """A fix of FIXES with what was set for it."""
    if fix == "drop_near_duplicates":
        return make_step(fix, threshold=percent / 100)
    if fix in LENGTH_FIXES:
        return make_step(fix, model=model, max_length=int(limit))
    return make_step(fix)


def _found(found: Sequence[Finding]) -> dict[Fix, int]:
    """How many rows the findings of each fix count, in the order of FIXES."""
    counts: dict[Fix, int] = {fix: sum(finding.count for finding in found if finding.fix == fix) for fix in FIXES}
    return {fix: count for fix, count in counts.items() if count}


def filterable(found: Sequence[Finding]) -> list[str]:
    """Names of the findings that a filter can go by: of rows, and not of a model's tokens or of the split."""
    names = [f.key.removeprefix("finding.") for f in found if f.examples and f.fix not in LENGTH_FIXES]
    return [name for name in names if name != "split_leak"]
