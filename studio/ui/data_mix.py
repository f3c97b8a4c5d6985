"""Mixing: general data against forgetting, and several data sets in one."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any, TypeVar

import gradio as gr

from studio.backend.datasets import Version
from studio.backend.mixtures import MadeMix
from studio.data.mixing import STARTER, MixPart, MixSpec, Replay
from studio.errors import StudioError
from studio.ui import mix_form, mix_view
from studio.ui.data_bench import QUICK, Bench, answers, stoppable
from studio.ui.markup import ACTIONS, act_button, headline, shorten, shown
from studio.ui.mix_form import Choice, Draft
from studio.ui.page import chosen, html

Made = TypeVar("Made")
_SHARE = 20
# The draft, and a turn that no other has: the studio's are whole numbers.
_EDITED = "() => [window.studio.mixture, performance.now() + Math.random()]"
_SAVE = """(text) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], {type: 'text/yaml'}));
  link.download = 'mixture.yaml';
  link.click();
  URL.revokeObjectURL(link.href);
}"""


def build(bench: Bench, panel: gr.Tab) -> None:
    """Lay the panel out: replay on top, the mixture of several data sets below."""
    _replay(bench, panel)
    _mixture(bench, panel)


def choices(bench: Bench, open_id: str) -> list[Choice]:
    """What can be mixed: the newest version of each data set with answers, and the one that is open."""
    newest = {version.dataset: version for version in bench.page.studio.datasets.versions() if answers(version)}
    found = {version.id: version for version in newest.values()}
    here = bench.version(open_id)
    if here is not None and answers(here):
        found = {here.id: here, **found}
    t = bench.page.t
    return [
        Choice(one.id, t("ui.mix.choice", name=shorten(one.name, 60), number=one.number, rows=one.rows))
        for one in found.values()
    ]


def follow(
    work: Generator[float, None, Made], going: Callable[[float], Any], done: Callable[[Made], Any]
) -> Iterator[Any]:
    """What the page shows while `work` goes on, and at its end; closed early, the work stops."""
    with closing(work):
        while True:
            try:
                share = next(work)
            except StopIteration as end:
                yield done(end.value)
                return
            yield going(share)


# Replay


def _replay(bench: Bench, panel: gr.Tab) -> None:
    page, studio, t = bench.page, bench.page.studio, bench.page.t
    asked = gr.Number(0, visible=False)
    with gr.Row(equal_height=False, elem_id="mix-replay"):
        with gr.Column(scale=2, min_width=300, elem_classes="s-card"):
            html(headline(t("ui.mix.replay.title"), t("ui.mix.replay.text")))
            share = gr.Slider(
                0, 50, _SHARE, step=1, label=t("ui.mix.replay.share"), info=t("ui.mix.replay.share.help"),
                elem_id="mix-share", buttons=[],
            )  # fmt: skip
            source = gr.Dropdown(
                [(t("ui.mix.world"), STARTER)],
                value=STARTER,
                label=t("ui.mix.replay.source"),
                info=t("ui.mix.replay.source.help"),
                elem_id="mix-source",
            )
        with gr.Column(scale=3, min_width=300, elem_classes="s-card"):
            note = html(js_on_load=ACTIONS, elem_id="mix-replay-note")
            plan = html(elem_id="mix-replay-plan")
            progress = html(elem_id="mix-replay-progress")
            with gr.Row(elem_id="mix-replay-do"):
                make = gr.Button(
                    t("ui.mix.replay.make"), variant="primary", size="md", elem_id="mix-replay-make", interactive=False
                )
                cancel = gr.Button(t("ui.mix.stop"), size="md", elem_id="mix-replay-cancel", visible=False)

    def show(version: Version, before: str | None) -> tuple[Any, ...]:
        sources = [(t("ui.mix.world"), STARTER)]
        sources += [(c.label, c.id) for c in choices(bench, version.id) if c.id != version.id]
        known = {value for _, value in sources}
        replayed = studio.mixtures.replayed(version.id)
        told = _already(replayed, t) if replayed and replayed.mix and replayed.mix.replay else ""
        kept = before if before in known else STARTER
        return gr.Dropdown(choices=sources, value=kept), told, mix_view.counting(t), next(bench.turns)

    def spec_of(version: str, percent: float, data: str) -> MixSpec:
        return MixSpec(parts=(MixPart(data=version),), replay=Replay(share=percent / 100, data=data))

    def count(version_id: str | None, percent: float, data: str | None, model: str) -> tuple[Any, Any]:
        version = bench.version(version_id)
        if version is None or version.mapping is None or not data:
            return "", gr.Button(interactive=False)
        if not percent:
            return f'<p class="s-muted">{shown(t("ui.mix.replay.none"))}</p>', gr.Button(interactive=False)
        try:
            planned = studio.mixtures.plan(spec_of(version.id, percent, data), model)
        except StudioError as error:
            return mix_view.trouble(error, page.language, [version.name], t), gr.Button(interactive=False)
        other = data == STARTER and model != STARTER
        warn = f'<ul class="d-notes"><li>{shown(t("ui.mix.note.world"))}</li></ul>' if other else ""
        return mix_view.plan_view(planned, t) + warn, gr.Button(interactive=True)

    def go(version_id: str, percent: float, data: str, model: str) -> Iterator[tuple[Any, ...]]:
        def do(tell: Any, stopping: Any) -> Version:
            return studio.mixtures.add_replay(version_id, percent / 100, data, model, progress=tell, stop=stopping)

        work = studio.datasets.follow(("replay", version_id, percent, data, model), do)
        try:
            yield from follow(
                work,
                lambda part: (gr.skip(), mix_view.busy(part, t), gr.Button(visible=False), gr.Button(visible=True)),
                lambda made: (made.id, "", gr.Button(visible=True), gr.Button(visible=False)),
            )
        except StudioError as error:
            told = mix_view.trouble(error, page.language, [], t)
            yield gr.skip(), told, gr.Button(visible=True), gr.Button(visible=False)

    def opened(event: gr.EventData) -> str:
        return event._data["version"]

    settings = [page.version, share, source, bench.model]
    bench.when_open(panel, "mix", show, [source], [source, note, plan, asked])
    gr.on(
        [asked.change, share.input, source.change, bench.model.input], page.guard(count), settings, [plan, make],
        trigger_mode="always_last", show_progress="minimal",
    )  # fmt: skip
    making = make.click(page.guard(go), settings, [page.version, progress, make, cancel], show_progress="hidden")
    stoppable(
        making,
        cancel,
        lambda: (mix_view.stopped(t), gr.Button(visible=True), gr.Button(visible=False)),
        [progress, make, cancel],
    )
    note.click(opened, outputs=page.version, **QUICK)


def _already(version: Version, t: Callable[..., str]) -> str:
    """The rows hold replay already: the way to another share is from the version before."""
    assert version.mix
    assert version.mix.replay
    told = t("ui.mix.replay.already", number=version.number, share=f"{version.mix.replay.share:.0%}")
    back = t("ui.mix.replay.before")
    button = act_button("version", back, version=version.parent) if version.parent else ""
    return f'<div class="d-chip"><span>{shown(told)}</span>{button}</div>'


# Several data sets


def _mixture(bench: Bench, panel: gr.Tab) -> None:
    page, studio, t = bench.page, bench.page.studio, bench.page.t
    asked, draft = gr.Number(0, visible=False), chosen("mixture", studio.settings.workspace)
    with gr.Accordion(t("ui.mix.several"), open=False, elem_id="mix-several"):
        html(f'<p class="s-muted">{shown(t("ui.mix.several.text"))}</p>')
        fields = html(js_on_load=mix_form.SCRIPT, elem_id="mix-form")
        plan = html(elem_id="mix-plan")
        with gr.Row(equal_height=True, elem_id="mix-do"):
            name = gr.Textbox(
                show_label=False, container=False, placeholder=t("ui.mix.name"), max_lines=1, max_length=200,
                elem_id="mix-name", scale=3, min_width=220,
            )  # fmt: skip
            make = gr.Button(
                t("ui.mix.make"), variant="primary", size="md", elem_id="mix-make", interactive=False, scale=1
            )
            cancel = gr.Button(t("ui.mix.stop"), size="md", elem_id="mix-cancel", visible=False, scale=1)
        progress = html(js_on_load=ACTIONS, elem_id="mix-progress")
        with gr.Accordion(t("ui.mix.yaml"), open=False, elem_id="mix-file"):
            yaml = gr.Textbox(label=t("ui.mix.yaml.text"), lines=6, max_lines=24, buttons=["copy"], elem_id="mix-yaml")
            with gr.Row():
                use = gr.Button(t("ui.mix.yaml.use"), size="md", elem_id="mix-use")
                load = gr.UploadButton(
                    t("ui.mix.yaml.load"), file_types=[".yaml", ".yml"], type="binary", size="md", elem_id="mix-load"
                )
                save = gr.Button(t("ui.mix.yaml.save"), size="md", elem_id="mix-save")
            wrong = html(elem_id="mix-yaml-wrong")

    def drawn(shape: Draft, version: str) -> str:
        return mix_form.form(shape, choices(bench, version), t)

    def names(shape: Draft) -> list[str]:
        parts = [bench.version(part.data) for part in shape.parts]
        return [part.task or (found.name if found else "?") for part, found in zip(shape.parts, parts, strict=True)]

    def show(version: Version, kept: str | None) -> tuple[Any, ...]:
        shape = mix_form.read_draft(kept, version.id)
        return drawn(shape, version.id), mix_view.counting(t), next(bench.turns)

    def act(event: gr.EventData, version: str) -> tuple[Any, ...]:
        data = event._data
        if data["act"] == "over":
            return None, drawn(mix_form.read_draft(None, version), version), next(bench.turns)
        pressed = mix_form.pressed(
            Draft.model_validate_json(data["draft"]), data["act"], data.get("part", ""), data.get("way", ""),
            data.get("add", ""),
        )  # fmt: skip
        return pressed.model_dump_json(), drawn(pressed, version), next(bench.turns)

    def count(version_id: str | None, kept: str | None, model: str) -> tuple[Any, Any, Any]:
        version = bench.version(version_id)
        if version is None or version.mapping is None:
            return gr.skip(), gr.skip(), gr.skip()
        shape = mix_form.read_draft(kept, version.id)
        try:
            spec = mix_form.to_spec(shape)
            planned = studio.mixtures.plan(spec, model)
        except StudioError as error:
            return mix_view.trouble(error, page.language, names(shape), t), gr.Button(interactive=False), gr.skip()
        return mix_view.plan_view(planned, t), gr.Button(interactive=True), spec.to_yaml()

    def go(version_id: str, kept: str | None, title: str, model: str) -> Iterator[tuple[Any, ...]]:
        shape = mix_form.read_draft(kept, version_id)
        try:
            spec = mix_form.to_spec(shape)

            def do(tell: Any, stopping: Any) -> MadeMix:
                return studio.mixtures.make(spec, title, model, progress=tell, stop=stopping)

            yield from follow(
                studio.datasets.follow(("mix", spec.to_yaml(), title, model), do),
                lambda part: (gr.skip(), mix_view.busy(part, t), gr.Button(visible=False), gr.Button(visible=True)),
                lambda made: (
                    made.version.id, mix_view.made(made, t), gr.Button(visible=True), gr.Button(visible=False),
                ),
            )  # fmt: skip
        except StudioError as error:
            told = mix_view.trouble(error, page.language, names(shape), t)
            yield gr.skip(), told, gr.Button(visible=True), gr.Button(visible=False)

    def use_yaml(text: str, version: str) -> tuple[Any, ...]:
        try:
            shape = mix_form.to_draft(MixSpec.from_yaml(text, "YAML"))
        except StudioError as error:
            return gr.skip(), gr.skip(), gr.skip(), mix_view.trouble(error, page.language, [], t)
        return shape.model_dump_json(), drawn(shape, version), next(bench.turns), ""

    def load_yaml(data: bytes, version: str) -> tuple[Any, ...]:
        return use_yaml(data.decode("utf-8-sig", "replace"), version)

    def opened(event: gr.EventData) -> str:
        return event._data["version"]

    bench.when_open(panel, "mix", show, [draft], [fields, plan, asked])
    # In the browser alone: of two answers of the studio that are on their way, the older one may come last.
    fields.edit(None, None, [draft, asked], js=_EDITED, trigger_mode="multiple", **QUICK)  # type: ignore[attr-defined]
    fields.act(page.guard(act), page.version, [draft, fields, asked], **QUICK)  # type: ignore[attr-defined]
    gr.on(
        [asked.change, bench.model.input], page.guard(count), [page.version, draft, bench.model], [plan, make, yaml],
        trigger_mode="always_last", show_progress="minimal",
    )  # fmt: skip
    making = make.click(
        page.guard(go), [page.version, draft, name, bench.model], [page.version, progress, make, cancel],
        show_progress="hidden",
    )  # fmt: skip
    stoppable(
        making,
        cancel,
        lambda: (mix_view.stopped(t), gr.Button(visible=True), gr.Button(visible=False)),
        [progress, make, cancel],
    )
    progress.click(opened, outputs=page.version, **QUICK)  # the rows that are held out
    outputs = [draft, fields, asked, wrong]
    use.click(page.guard(use_yaml), [yaml, page.version], outputs, **QUICK)
    load.upload(page.guard(load_yaml), [load, page.version], outputs, show_progress="hidden")
    save.click(None, yaml, js=_SAVE)
