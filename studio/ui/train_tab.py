"""The Train tab: which data, which model, which settings; what it will cost; start."""

import json
import re
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import gradio as gr

from studio.backend.chain import chain, documents_read
from studio.backend.runner import SWEEP
from studio.data.chat_templates import DEFAULT, ChatTemplate, resolved
from studio.data.splits import SplitSpec
from studio.errors import InputError, SpecError, StudioError
from studio.runs.methods import METHODS
from studio.runs.spec import ADAPTER_FOLDER, STARTER, LoraSpec, RunSpec, spec_fields, with_changes
from studio.ui import chain_view, use_again
from studio.ui.checkpoint_view import checkpoint_choices
from studio.ui.choice_view import data_summary, model_summary, open_models
from studio.ui.cluster_form import HERE, build_cluster, cluster_of, cluster_values
from studio.ui.cost_view import cost_panel
from studio.ui.events import when_settled
from studio.ui.forms import (
    REWARDS,
    Level,
    Widget,
    belongs,
    form_fields,
    form_method_fields,
    group,
    info,
    make_widgets,
    to_spec,
    values_of,
    with_parent,
)
from studio.ui.markup import ACTIONS, shown
from studio.ui.method_view import CHOOSE, method_cards
from studio.ui.model_picture import model_picture
from studio.ui.nearest_view import refusal
from studio.ui.page import Page, goto, html
from studio.ui.problem_view import SHOW
from studio.ui.reward_form import RewardForm, build_rewards
from studio.ui.template_view import asks_for_template, build_templates, template_example

TEMPLATE = "model.chat_template"
PARENTS_OWN = ("tuner.variant", "tuner.rank", "tuner.alpha", "tuner.targets", TEMPLATE)


def build(page: Page, blocks: gr.Blocks, tab: gr.Tab) -> None:
    """Lay out the tab and wire it."""
    t, studio, language = page.t, page.studio, page.language
    presets = studio.presets()
    firsts = {name: presets[0].apply(with_changes(RunSpec(), {"method.kind": name})) for name in METHODS}
    token, wrong, taken, kept = gr.State(""), gr.State({}), gr.State({}), gr.State("")
    offered, sized, warning = gr.State(("", [])), gr.State(""), gr.Textbox("", visible=False)

    with gr.Column(visible=False, elem_classes="train-empty") as empty:
        gr.HTML(
            f'<div class="s-empty"><h2 class="s-h2">{shown(t("ui.train.empty.title"))}</h2>'
            f'<p class="s-lead">{shown(t("ui.train.empty.about"))}</p></div>'
        )
        to_data = gr.Button(t("ui.train.to_data"), variant="primary", elem_id="train-to-data")
    with gr.Row(visible=False, elem_classes="train-layout", equal_height=False) as layout:
        with gr.Column(scale=2, min_width=320, elem_classes="train-form"):
            with gr.Row(elem_classes="train-data"):
                data = gr.HTML(elem_id="train-data", apply_default_css=False)
                change_data = gr.Button(t("ui.train.change_data"), size="md", elem_id="train-change-data")
            # The value of the cards: a Radio refuses what was sent before its choices changed.
            method = gr.Textbox("sft", visible=False)
            methods = html(js_on_load=CHOOSE + ACTIONS, elem_id="train-method")
            path = html(js_on_load=ACTIONS, elem_id="train-chain")
            kind = gr.Radio(
                [(t(f"ui.train.model.{name}"), name) for name in ("starter", "folder", "hub")],
                value="starter", label=t("ui.train.model"), elem_id="train-model", elem_classes="cards",
            )  # fmt: skip
            source = gr.Textbox(
                "",
                show_label=False,
                container=False,
                visible=False,
                max_lines=1,
                max_length=1000,
                elem_id="train-source",
            )
            offered_models = gr.Dropdown(
                open_models(page),
                value=None,
                label=t("ui.train.open_models"),
                info=t("ui.train.open_models.help"),
                visible=False,
                elem_id="train-open-models",
            )
            model = gr.HTML(elem_id="train-model-info", apply_default_css=False)
            templates = build_templates(page)
            adapter = gr.Dropdown(
                [(t("ui.train.adapter.none"), ""), (t("ui.train.adapter.folder"), ADAPTER_FOLDER)],
                value="",
                allow_custom_value=True,  # one that was deleted meanwhile is told by us, not by Gradio
                label=t("ui.train.adapter"),
                info=t("spec.model.adapter.help"),
                elem_id="train-adapter",
            )
            checkpoint = gr.Dropdown(
                [0],
                value=0,
                allow_custom_value=True,  # as above
                label=t("spec.model.adapter_step.label"),
                info=t("spec.model.adapter_step.help"),
                visible=False,
                elem_id="train-checkpoint",
            )
            folder = gr.Textbox(
                "",
                label=t("spec.model.adapter_folder.label"),
                info=t("spec.model.adapter_folder.help"),
                placeholder=t("ui.train.adapter.folder_hint"),
                visible=False,
                max_lines=1,
                max_length=1000,
                elem_id="train-adapter-folder",
            )
            preset = gr.Radio(
                [(f"{p.title[_lang(page)]}\n{p.about[_lang(page)]}", p.name) for p in presets],
                value=presets[0].name, label=t("ui.train.preset"), elem_id="train-preset", elem_classes="cards",
            )  # fmt: skip
            gr.HTML(f'<h3 class="section">{shown(t("ui.train.settings"))}</h3>', apply_default_css=False)
            with gr.Row(elem_classes="train-fields"):
                widgets = make_widgets(form_fields("basic"), firsts["sft"], language)
            own = _own(page, firsts, "basic")
            rewards = [form for rows in own if (form := rows.rewards)]
            with gr.Accordion(t("ui.train.advanced"), open=False, elem_id="train-advanced"):
                widgets += _advanced(page, firsts["sft"])
                own += _own(page, firsts, "advanced")
            widgets += [widget for rows in own for widget in rows.widgets]
            chosen_above = {
                "model.adapter_folder": folder, "model.adapter": adapter, "model.adapter_step": checkpoint,
            }  # fmt: skip
            by_name = {field.path: field for field in spec_fields()}
            widgets += [Widget(by_name[path], component) for path, component in chosen_above.items()]
        with gr.Column(scale=1, min_width=300, elem_classes="train-side s-card"):
            gr.HTML(f'<h3 class="s-h2">{shown(t("ui.train.before"))}</h3>', apply_default_css=False)
            cost = html(js_on_load=ACTIONS + SHOW, elem_id="train-estimate")
            cluster = build_cluster(page)
            name = gr.Textbox(
                "",
                label=t("ui.train.name"), placeholder=t("ui.train.name_hint"), max_lines=1, max_length=120,
                elem_id="train-name",
            )  # fmt: skip
            refused = html(js_on_load=ACTIONS, elem_id="train-refusal")
            start = gr.Button(
                t("ui.train.start"), variant="primary", size="lg", elem_id="train-start",
                interactive=not studio.store.read_only,
            )  # fmt: skip
            with gr.Accordion(t("ui.train.picture.title"), open=True, elem_id="train-picture-fold"):
                picture = html(elem_id="train-picture")
            with gr.Accordion(t("ui.train.sweep"), open=False, elem_id="train-sweep"):
                setting = gr.Dropdown(
                    _numbers(widgets, language),
                    value="training.learning_rate",
                    label=t("ui.train.sweep.setting"),
                    elem_id="train-sweep-setting",
                )
                tried = gr.Textbox(
                    "",
                    label=t("ui.train.sweep.values"),
                    info=t("ui.train.sweep.help", most=SWEEP),
                    max_lines=1,
                    max_length=200,
                    elem_id="train-sweep-values",
                )
                several = gr.Button(
                    t("ui.train.sweep.start"), elem_id="train-sweep-start", interactive=not studio.store.read_only
                )
            if studio.store.read_only:
                gr.HTML(f'<div class="say">{shown(t("ui.runs.say.read_only"))}</div>', apply_default_css=False)

    asked = [widget.field for widget in widgets]
    fields = [widget.component for widget in widgets]
    by_path = {widget.field.path: widget.component for widget in widgets}
    settings: list[Any] = [page.version, method, kind, source, preset, *fields]
    quiet: dict[str, Any] = {"show_progress": "hidden"}
    # What fills the form does not queue: Start waits for it.
    filling: dict[str, Any] = {"queue": False, **quiet}

    def first_spec(version: str | None, preset: str, model: str, method: str, tuner: str = "lora") -> RunSpec:
        return studio.default_spec(_known(page, version) or "", preset, model, method, tuner)

    def spec_of(version: str | None, method: str, kind: str, source: str, preset: str, *values: Any) -> RunSpec:
        model = STARTER if kind == "starter" else source.strip()
        return to_spec(first_spec(version, preset, model, method), asked, with_parent(asked, values))

    def parents(model: str, chosen: str | None, step: int | None) -> tuple[Any, Any]:
        """The choice of the runs of this model to go on from, or of a folder, and of a checkpoint; what is chosen is
        kept where it is one of them."""
        runs = [(run.record.name, run.record.id) for run in studio.runner.parents(model)]
        found = [(t("ui.train.adapter.none"), ""), *runs, (t("ui.train.adapter.folder"), ADAPTER_FOLDER)]
        kept = chosen if chosen in dict(found).values() else ""
        return gr.update(choices=found, value=kept), checkpoints(kept or "", step)

    def checkpoints(run: str, step: int | None = 0) -> Any:
        """The choice of a checkpoint of the run; of none where there is no run."""
        is_run = run not in ("", ADAPTER_FOLDER)
        found = checkpoint_choices(studio.runner.state(run), t) if is_run else [("", 0)]
        steps = [step_of for _, step_of in found]
        return gr.update(choices=found, value=step if step in steps else steps[0], visible=is_run)

    @page.guard
    def offer_runs(kind: str, source: str, adapter: str | None, checkpoint: int | None) -> Any:
        """Runs of the chosen model that can be gone on from, and reward models of it."""
        model = STARTER if kind == "starter" else source.strip()
        scores = [(run.record.name, run.record.id) for run in studio.runner.reward_models(model)]
        told = t("spec.reward.model.run.help" if scores else "ui.reward.model.none")
        runs, steps = parents(model, adapter, checkpoint)
        gone = adapter and not runs["value"] and _gone(page, adapter)
        if runs["value"] == adapter:  # another may have been chosen by the time that this arrives
            del runs["value"]
            if steps["value"] == checkpoint:
                del steps["value"]
        warned = t("ui.train.adapter.deleted") if gone else gr.skip()
        return runs, steps, *[gr.update(choices=scores, info=told)] * len(rewards), warned

    @page.guard
    def enter(version: str | None) -> Any:
        version = _known(page, version)
        return (
            gr.update(visible=version is None),
            gr.update(visible=version is not None),
            data_summary(page, version) if version else "",
            secrets.token_hex(8),
        )

    @page.guard
    def offer_methods(version: str | None, chosen: str, offered: tuple[str, list[str]]) -> Any:
        """Those that the data can teach, to choose from; another data set is begun with what suits it best. Nothing
        where the same were offered before: what is chosen meanwhile stays."""
        known = _known(page, version)
        able = studio.datasets.methods(known) if known else []
        dataset = studio.datasets.version(known).dataset if known else ""
        if (dataset, able) == offered:
            return gr.skip()
        if able and (chosen not in able or dataset != offered[0]):
            chosen = able[0]
        return cards(known, able, chosen), chosen, (dataset, able)

    def cards(version: str | None, able: Sequence[str], chosen: str) -> str:
        pairs = studio.datasets.as_pairs(version) if version and "dpo" not in able else None
        return method_cards(able, chosen, t, pairs.model_dump(exclude_defaults=True) if pairs else None)

    @page.guard
    def choose_method(event: gr.EventData) -> str:
        return event.method

    def model_of(kind: str, source: str) -> str:
        """The chosen model; of one that is not named yet only that it is not the starter."""
        return STARTER if kind == "starter" else source.strip() or kind

    def preset_values(version: str | None, method: str, model: str, preset: str) -> list[Any]:
        return values_of(first_spec(version, preset, model, method), asked)

    @page.guard
    def use_preset(
        version: str | None,
        method: str,
        kind: str,
        preset: str,
        source: str = "",
        parent: str = "",
    ) -> list[Any]:
        """The settings of the other methods too, which are not seen: they wait there until they are. A run that is gone
        on from stays chosen, with what is its own."""
        model = model_of(kind, source)
        values = {name: preset_values(version, name, model, preset) for name in METHODS}
        held = (*chosen_above, *PARENTS_OWN) if parent else ()
        return [
            gr.skip() if field.path in held else values[field.method or method][place]
            for place, field in enumerate(asked)
        ]

    def differing(chosen: list[Any], others: Iterable[list[Any]]) -> list[Any]:
        """The values chosen where a preset sets them otherwise for others; what was typed elsewhere stays."""
        return [
            new if any(one != new for one in rest) else gr.skip() for new, *rest in zip(chosen, *others, strict=True)
        ]

    @page.guard
    def use_kind(version: str | None, method: str, kind: str, preset: str) -> Any:
        """Only what a preset sets otherwise for the starter than for other models; the rest stays as it was typed."""
        others = [use_preset(version, method, other, preset) for other in ("starter", "folder")]
        return differing(use_preset(version, method, kind, preset), others)

    @page.guard
    def use_tuner(version: str | None, method: str, kind: str, source: str, preset: str, tuner: str) -> Any:
        """The preset's rate for it."""
        return rate_for(version, method, model_of(kind, source), preset, tuner)

    def rate_for(version: str | None, method: str, model: str, preset: str, tuner: str) -> float:
        return first_spec(version, preset, model, method, tuner).training.learning_rate

    @page.guard
    def use_size(
        version: str | None, method: str, kind: str, source: str, preset: str, tuner: str, rate: float, before: str
    ) -> Any:
        """The preset's rate for a model of this size, unless another was typed than that of the model before."""
        model = model_of(kind, source)
        studio.models.look(model)
        typed = rate != rate_for(version, method, before or kind, preset, tuner)
        return gr.skip() if typed else rate_for(version, method, model, preset, tuner), source.strip()

    @page.guard
    def use_method(version: str | None, method: str, kind: str, source: str, preset: str, kept: str) -> Any:
        """Its own settings are shown. Of those that all methods have, what a preset sets otherwise for this one is set;
        the rest stays as it was typed. `kept`: the method came with the settings of a run, which stay."""
        shown = [gr.update(visible=rows.method == method) for rows in own]
        if method == kept:
            return [*shown, *[gr.skip()] * len(asked)]
        chosen, *others = (preset_values(version, name, model_of(kind, source), preset) for name in (method, *METHODS))
        changed = differing(chosen, others)
        return [*shown, *(gr.skip() if f.method else new for f, new in zip(asked, changed, strict=True))]

    def filled(spec: RunSpec, version: str, name: str, method: str, where: Sequence[Any]) -> list[Any]:
        """The form with these settings; `method` is what was chosen before, `where` what the cluster's part shows."""
        named = spec.model.source
        kind = STARTER if named == STARTER else "folder" if Path(named).expanduser().is_dir() else "hub"
        able = studio.datasets.methods(version)
        before = parents(named, spec.model.parent, spec.model.adapter_step)
        gone = (before[0]["value"], before[1]["value"]) != (spec.model.parent, spec.model.adapter_step)
        known = spec.preset if spec.preset in {one.name for one in presets} else gr.skip()
        return [
            version,
            (studio.datasets.version(version).dataset, able),
            # Another text each time: a card that was ticked by hand keeps its tick where the same text comes again.
            f"{cards(version, able, spec.method.kind)}<!-- {secrets.token_hex(4)} -->",
            spec.method.kind,
            spec.method.kind if spec.method.kind != method else "",
            kind,
            gr.update(visible=kind != STARTER, value="" if kind == STARTER else named),
            known,
            name,
            *where,
            t("ui.train.adapter.gone", run=spec.model.adapter) if gone else gr.skip(),
            *values_of(spec, asked)[:-3],
            gr.update(value=spec.model.adapter_folder, visible=bool(spec.model.adapter_folder)),
            *before,
        ]

    @page.guard
    def use_run(again: str, method: str) -> Any:
        """The data, the method, the model and all settings of a run, changed as is asked; with a step, to go on from
        that checkpoint."""
        if not again:
            return [gr.skip()] * (14 + len(asked))
        told = use_again.read(again)
        record = studio.runner.record(told.run)
        changes, name = dict(told.settings), record.name
        if told.step:
            changes |= {"model.adapter": told.run, "model.adapter_step": told.step, "model.adapter_folder": ""}
            name = t("ui.runs.branch_name", name=name, step=told.step)
        spec = with_changes(record.spec, changes)
        return filled(spec, spec.data.version, name, method, cluster_values(studio.runner.state(told.run).cluster))

    @page.guard
    def use_next(follow: str, method: str) -> Any:
        """The settings of the next run of a chain, and the reward models to choose from."""
        following, version = chain_view.read(follow)
        spec = studio.next_run(following, version)
        scores = [(run.record.name, run.record.id) for run in studio.runner.reward_models(spec.model.source)]
        name = studio.datasets.version(version).name
        title = t("ui.chain.name", name=name, term=t(f"ui.method.{following.method}.term"))
        return [
            *[gr.update(choices=scores)] * len(rewards),
            *filled(spec, version, title, method, [gr.skip()] * len(cluster.inputs)),
        ]

    @page.guard
    def show_chain(version: str | None, kind: str, source: str, seen: str) -> Any:
        """Nothing where it would be what is seen: what was folded stays folded."""
        version = _known(page, version)
        model = STARTER if kind == "starter" else source.strip()
        panel = chain_panel(page, version, model) if version else ""
        return gr.skip() if panel == seen else panel

    @page.guard
    def follow(version: str | None, event: gr.EventData) -> str:
        return chain_view.written(chain_view.pressed(event._data), version or "")

    @page.guard
    def use_parent(run: str, named: str = "", targets: str = "") -> Any:
        """An adapter can only be gone on with as the very thing it is."""
        found: dict[str, Any] = {
            "model.adapter_step": checkpoints(run),
            "model.adapter_folder": gr.update(visible=run == ADAPTER_FOLDER),
        }
        if run == ADAPTER_FOLDER:
            found |= shape_in(named)
        elif run:
            values = values_of(studio.runner.record(run).spec, asked)
            found |= {f.path: value for f, value in zip(asked, values, strict=True) if f.path in PARENTS_OWN}
        elif targets == "adapter":  # there is none any more
            found["tuner.targets"] = LoraSpec().targets
        return [found.get(field.path, gr.skip()) for field in asked]

    @page.guard
    def use_folder(named: str) -> Any:
        found = shape_in(named)
        return [found.get(field.path, gr.skip()) for field in asked]

    def shape_in(named: str) -> dict[str, Any]:
        """The settings that an adapter in a folder asks for; none while the folder is not known, which is told beside
        it."""
        try:
            found = studio.adapter_settings(named) if named.strip() else {}
        except StudioError:
            return {}
        return {path: value for path, value in found.items() if path in PARENTS_OWN}

    @page.guard
    def use_split(version: str | None, taken: dict[str, Any]) -> Any:
        """What was chosen on the Data tab since this tab was last looked at."""
        split = _split_of(page, version)
        if split == taken:
            return gr.skip()
        return [split, *(split[field.path] for field in asked if field.path in split)]

    @page.guard
    def pick_kind(kind: str) -> Any:
        hint = "" if kind == "starter" else t(f"ui.train.model.{kind}_hint")
        named = gr.update(visible=kind != "starter", placeholder=hint, value="")
        return named, gr.update(visible=kind == "hub", value=None), ""

    @page.guard
    def describe(kind: str, source: str) -> Iterator[str]:
        yield from model_summary(page, "starter" if kind == "starter" else source.strip())

    @page.guard
    def show_template(
        version: str | None, method: str, kind: str, source: str, template: ChatTemplate | None, seen: str | None
    ) -> Any:
        """Where the model brings no chat template, the choice stands beside it, with an example; else among the other
        settings."""
        version, model = _known(page, version), STARTER if kind == "starter" else source.strip()
        if not version or not asks_for_template(page, model, method):
            return gr.update(visible=False), gr.skip(), "", gr.update(visible=True)
        used = resolved(template or "own", own=False)
        example = template_example(page, version, model, used)
        return gr.update(visible=True), gr.skip() if seen == used else used, example, gr.update(visible=False)

    @page.guard
    def measure(offered: tuple[str, list[str]], *values: Any) -> Iterator[Any]:
        """What it costs, and why it is refused. Nothing for a method that the data cannot teach while others can and
        are not offered yet: one of these is about to be chosen."""
        version, method = _known(page, values[0]), values[1]
        able = studio.datasets.methods(version) if version else []
        settled = version is not None and tuple(offered) == (studio.datasets.version(version).dataset, able)
        if version and (method in able or not able or settled):
            for panel in cost_panel(page, lambda: spec_of(*values), method):
                yield panel, refusal(page, lambda: spec_of(*values))

    @page.guard
    def draw(*values: Any) -> str:
        """The model as the run would train it; nothing where that is not known, which the cost tells the reason of."""
        try:
            spec = spec_of(*values)
            return model_picture(studio.shape(spec), spec, t, language)
        except StudioError:
            return ""

    @page.guard
    def take_way(version: str | None, event: gr.EventData) -> Any:
        """A way out of a problem: the settings that it changes; rows that are to be read as pairs are looked at on the
        Data tab first."""
        changes = json.loads(event.changes)
        if "data.mapping" in changes:
            return [time.time(), goto("data"), *[gr.skip()] * (2 + len(asked))]
        chosen, known = changes.get("method.kind"), _known(page, version)
        able = studio.datasets.methods(known) if known else []
        picked = [cards(known, able, chosen), chosen] if chosen else [gr.skip(), gr.skip()]
        return [gr.skip(), gr.skip(), *picked, *(changes.get(field.path, gr.skip()) for field in asked)]

    @page.guard
    def use_nearest(event: gr.EventData) -> Any:
        changes = json.loads(event.changes)
        return [changes.get(field.path, gr.skip()) for field in asked]

    @page.guard
    def mark_problems(before: dict[str, str], *values: Any) -> list[Any]:
        """Each problem beside its setting, in the place of the help."""
        wrong = _problems(page, values[1], lambda: spec_of(*values))
        return [wrong, *(_beside(widget, before, wrong, language) for widget in widgets)]

    @page.guard
    def begin(
        token: str, name: str, where: str, address: str, workers: float | None, sharding: str, *values: Any
    ) -> Any:
        cluster = cluster_of(where, address, workers, sharding)
        run = studio.start(lambda: spec_of(*values), name, token, cluster).id
        if twin := studio.runner.twin(run):
            gr.Info(shown(t("ui.train.twin", run=twin.name)), duration=12)
        return run, goto("runs"), ""

    @page.guard
    def begin_several(
        token: str,
        name: str,
        text: str,
        tried: str,
        where: str,
        address: str,
        workers: float | None,
        sharding: str,
        *values: Any,
    ) -> Any:
        cluster = cluster_of(where, address, workers, sharding)
        field = next(field for field in asked if field.text == text)

        def make() -> RunSpec:
            spec = spec_of(*values)
            if not belongs(field, spec.method.kind, spec.tuner.kind):
                raise InputError("error.run.sweep_method", setting=field.label(language))
            return spec

        runs = studio.sweep(make, field.path, sweep_values(tried), name, token, cluster)
        return runs[0].id, goto("runs"), "", ""

    def warn(text: str) -> str:
        if text:
            gr.Warning(shown(text))
        return ""

    opened = [blocks.load, tab.select, page.version.change]
    last: dict[str, Any] = {"trigger_mode": "always_last", **quiet}
    last_filling: dict[str, Any] = {"trigger_mode": "always_last", **filling}
    gr.on(opened, enter, page.version, [empty, layout, data, token], **last)
    gr.on(opened, offer_methods, [page.version, method, offered], [methods, method, offered], **last_filling)
    methods.choose(choose_method, None, method, trigger_mode="multiple", **filling)  # type: ignore[attr-defined]
    following = [*(rows.row for rows in own), *fields]
    method.change(use_method, [page.version, method, kind, source, preset, kept], following, **filling).then(
        lambda: "", None, kept, **filling
    )
    used = [page.version, offered, methods, method, kept, kind, source, preset, name, *cluster.inputs, warning, *fields]
    page.again.change(use_run, [page.again, method], used, **filling)
    page.follow.change(use_next, [page.follow, method], [*(form.runs for form in rewards), *used], **filling)
    gr.on(
        [*opened, kind.change, source.change, page.news.change],
        show_chain,
        [page.version, kind, source, path],
        path,
        **last,
    )
    path.click(follow, page.version, page.follow, **filling)
    gr.on(
        [method.change, *(field.change for field in fields)], mark_problems, [wrong, *settings], [wrong, *fields],
        **last,
    )  # fmt: skip
    split_fields = [widget.component for widget in widgets if widget.field.path in _split_of(page, None)]
    gr.on(opened, use_split, [page.version, taken], [taken, *split_fields], **last_filling)
    # The chat template stays: it goes with the model.
    presets_own = [gr.State() if field is by_path[TEMPLATE] else field for field in fields]
    preset.input(use_preset, [page.version, method, kind, preset, source, adapter], presets_own, **last_filling)
    adapter.input(use_parent, [adapter, folder, by_path["tuner.targets"]], fields, **last_filling)
    folder.change(use_folder, folder, fields, **last_filling)
    tuner, rate = (by_path[path] for path in ("tuner.kind", "training.learning_rate"))
    tuner.input(use_tuner, [page.version, method, kind, source, preset, tuner], rate, **last_filling)
    kind.input(use_kind, [page.version, method, kind, preset], fields, **last_filling)
    kind.input(pick_kind, kind, [source, offered_models, sized], **last_filling)
    picked = offered_models.input(lambda name: name or "", offered_models, source, **last_filling)
    for named in (source.input(lambda: None, None, None, **last_filling), picked):
        named.then(use_size, [page.version, method, kind, source, preset, tuner, rate, sized], [rate, sized], **filling)
    gr.on([blocks.load, kind.change, source.change], describe, [kind, source], model, **last)
    template = by_path[TEMPLATE]
    gr.on([kind.input, source.input, offered_models.input], lambda: "own", None, template, **last_filling)
    templates.choice.input(lambda name: "own" if name == DEFAULT else name, templates.choice, template, **last_filling)
    gr.on(
        [*opened, method.change, kind.change, source.change, template.change],
        show_template,
        [page.version, method, kind, source, template, templates.choice],
        [templates.place, templates.choice, templates.example, template],
        **last,
    )
    gr.on(
        [*opened, kind.change, source.change, page.news.change],
        offer_runs,
        [kind, source, adapter, checkpoint],
        [adapter, checkpoint, *(form.runs for form in rewards), warning],
        **last_filling,
    )
    warning.change(warn, warning, warning, **quiet)  # through the queue: Gradio drops the warnings of other handlers
    # Entering the tab and every change of a setting ask for the cost; while one is measured only the last waits.
    # It comes last: the handlers of one event run one after the other, and the settings must not wait for it.
    gr.on(
        [
            tab.select, page.version.change, method.change, kind.change, source.change,
            *(field.change for field in fields),
        ],
        measure, [offered, *settings], [cost, refused], concurrency_limit=1, concurrency_id="measure", **last,
    ).then(mark_problems, [wrong, *settings], [wrong, *fields], **last)  # fmt: skip
    gr.on(
        [tab.select, method.change, kind.change, source.change, *(field.change for field in fields)],
        draw, settings, picture, **last,
    )  # fmt: skip
    for told in (cost, methods):
        told.click(take_way, page.version, [page.pairs, page.tabs, methods, method, *fields], **filling)  # type: ignore[attr-defined]
    refused.click(use_nearest, None, fields, **last_filling)  # type: ignore[attr-defined]
    cluster.where.change(lambda where: gr.update(visible=where == HERE), cluster.where, refused, queue=False, **last)
    # What is refused is told in a corner and in the list: no badge of an error on the fields that a start empties.
    when_settled(start, begin, [token, name, *cluster.inputs, *settings], [page.run, page.tabs, name])
    when_settled(
        several,
        begin_several,
        [token, name, setting, tried, *cluster.inputs, *settings],
        [page.run, page.tabs, name, tried],
    )
    for button in (to_data, change_data):
        button.click(lambda: goto("data"), None, page.tabs, **quiet)


def chain_panel(page: Page, version: str, model: str) -> str:
    """What this data and model can go on to: answers after documents, the stages of RLHF."""
    runner, able = page.studio.runner, page.studio.datasets.methods(version)
    runs = runner.runs()
    stages = chain(runs, model)
    states = {stage.run.record.id: runner.state(stage.run.record.id) for stage in stages if stage.run}
    read = documents_read(runs, model)
    offered = ""
    if read is not None and read.method in able:
        offered = chain_view.documents(read, runner.record(read.parent).name, page.t)
    return offered + chain_view.strip(stages, states, able, page.t)


def _advanced(page: Page, first: RunSpec) -> list[Widget]:
    """The other settings that every run has, under the name of the part they belong to."""
    fields = form_fields("advanced")
    made = []
    for name, parts in (("training", ("training",)), ("tuner", ("tuner",)), ("learning", ("data", "model"))):
        gr.HTML(f'<h4 class="train-group">{shown(page.t(f"ui.train.group.{name}"))}</h4>', apply_default_css=False)
        with gr.Row(elem_classes="train-fields"):
            made += make_widgets([field for field in fields if group(field.path) in parts], first, page.language)
    return made


def _numbers(widgets: list[Widget], language: str) -> list[tuple[str, str]]:
    """The settings that are numbers, by the names of their sentences."""
    numbers = [widget.field for widget in widgets if widget.field.info.annotation in (int, float)]
    return [(field.label(language), field.text) for field in numbers]


def sweep_values(text: str) -> list[float | int]:
    """The numbers that were typed, with commas or spaces between them. Raises InputError."""
    return [_number(word) for word in re.split(r"[,、，\s]+", text.strip()) if word]


def _number(word: str) -> float | int:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    raise InputError("error.run.sweep_number", value=word[:40])


@dataclass(frozen=True, slots=True)
class _Own:
    """The settings of one level that only a method has, shown while it is chosen."""

    method: str
    row: gr.Column
    widgets: list[Widget]
    rewards: RewardForm | None


def _own(page: Page, firsts: Mapping[str, RunSpec], level: Level) -> list[_Own]:
    made = []
    for name, first in firsts.items():
        if fields := form_method_fields(level, name):
            with gr.Column(visible=name == "sft", elem_classes="train-own") as row:
                with gr.Row(elem_classes="train-fields"):
                    widgets = make_widgets(fields, first, page.language)
                hidden = next((widget.component for widget in widgets if widget.field.path == REWARDS), None)
                rewards = build_rewards(page, hidden) if isinstance(hidden, gr.Textbox) else None
            made.append(_Own(name, row, widgets, rewards))
    return made


def _problems(page: Page, method: str, make: Callable[[], RunSpec]) -> dict[str, str]:
    """The problems by the name of the setting's sentences, which tells settings of different methods apart."""
    texts = {field.path: field.text for field in spec_fields(method)}
    try:
        asked: RunSpec | SpecError = make()
    except SpecError as error:
        asked = error
    found = page.studio.problems(asked, wait=False)
    return {texts.get(problem.path, problem.path): problem.error.message(page.language) for problem in reversed(found)}


def _beside(widget: Widget, before: dict[str, str], wrong: dict[str, str], language: str) -> Any:
    name = widget.field.text
    if wrong.get(name) == before.get(name):
        return gr.skip()
    if name in wrong:
        return gr.update(info=f"⚠ {wrong[name]}", elem_classes=["wrong"])
    return gr.update(info=info(widget.field, language), elem_classes=[])


def _known(page: Page, version: str | None) -> str | None:
    """None when there is no such version: the browser may remember one of a workspace that was put aside."""
    try:
        return page.studio.datasets.version(version).id if version else None
    except InputError:
        return None


def _gone(page: Page, run: str) -> bool:
    """Whether there is no such run any more."""
    try:
        page.studio.runner.record(run)
    except InputError:
        return True
    return False


def _split_of(page: Page, version: str | None) -> dict[str, Any]:
    """How the version is to be split, by the paths of the settings."""
    known = _known(page, version)
    split = page.studio.datasets.version(known).split if known else SplitSpec()
    return {f"data.split.{name}": "" if value is None else value for name, value in split.model_dump().items()}


def _lang(page: Page) -> Literal["en", "ja"]:
    return "ja" if page.language == "ja" else "en"
