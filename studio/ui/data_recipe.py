"""Changing rows by rule: find and replace, keep or drop, and the recipe so far as a file. Part of the Data tab."""

from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.data.recipe import CleanSpec, Step, make_step
from studio.errors import InputError
from studio.messages import catalogue
from studio.ui.markup import Sentence, headline, shorten, shown
from studio.ui.page import Page, html

_QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden"}
_TESTS = ("text", "length", "language", "finding")


def build(page: Page, tab: gr.Tab) -> None:
    """Lay the part out. A change makes a new version, which the page then shows."""
    t, datasets = page.t, page.studio.datasets

    with gr.Row(equal_height=False):
        with gr.Column(scale=3, min_width=300, elem_classes="s-card"):
            html(headline(t("ui.data.replace.title"), t("ui.data.replace.text")))
            with gr.Row():
                find = gr.Textbox(label=t("ui.data.replace.find"), elem_id="data-find", max_lines=1, min_width=180)
                put = gr.Textbox(label=t("ui.data.replace.with"), elem_id="data-put", max_lines=1, min_width=180)
            with gr.Row():
                regex = gr.Checkbox(label=t("ui.data.replace.regex"), elem_id="data-regex", min_width=140)
                case = gr.Checkbox(label=t("ui.data.replace.case"), elem_id="data-case", min_width=140)
                replace = gr.Button(t("ui.data.replace.go"), elem_id="data-replace", size="md", min_width=160)
            html(headline(t("ui.data.keep.title"), t("ui.data.keep.text")))
            with gr.Row():
                action = gr.Radio(
                    [(t("ui.data.keep.drop"), "drop"), (t("ui.data.keep.keep"), "keep")],
                    value="drop", show_label=False, container=False, elem_id="data-keep-action", min_width=180,
                )  # fmt: skip
                by = gr.Dropdown(
                    [(t(f"ui.data.keep.by.{name}"), name) for name in _TESTS],
                    value="text", show_label=False, container=False, elem_id="data-keep-by", min_width=220,
                )  # fmt: skip
            with gr.Row() as by_text:
                text = gr.Textbox(label=t("ui.data.keep.contains"), elem_id="data-keep-text", max_lines=1)
                text_regex = gr.Checkbox(label=t("ui.data.replace.regex"), elem_id="data-keep-regex")
            with gr.Row(visible=False) as by_length:
                part = gr.Dropdown(
                    [(t(f"ui.data.keep.part.{name}"), name) for name in ("prompt", "answer", "all")],
                    value="answer", label=t("ui.data.keep.part"), elem_id="data-keep-part", min_width=120,
                )  # fmt: skip
                least = gr.Number(0, label=t("ui.data.keep.least"), precision=0, minimum=0, min_width=120)
                most = gr.Number(None, label=t("ui.data.keep.most"), precision=0, minimum=0, min_width=120)
            languages = gr.Dropdown(
                language_choices(t), multiselect=True, label=t("ui.data.charts.language"), visible=False,
                allow_custom_value=True, elem_id="data-keep-languages",
            )  # fmt: skip
            finding = gr.Dropdown([], label=t("ui.data.findings.title"), visible=False, elem_id="data-keep-finding")
            apply = gr.Button(t("ui.data.keep.go"), elem_id="data-keep", size="md")
        with gr.Column(scale=2, min_width=300, elem_classes="s-card"):
            steps = html(elem_id="data-recipe")
            with gr.Row():
                save = gr.DownloadButton(t("ui.data.recipe.save"), elem_id="data-recipe-save", size="md", min_width=150)
                load = gr.UploadButton(
                    t("ui.data.recipe.load"), file_types=[".yaml", ".yml"], elem_id="data-recipe-load", size="md",
                    min_width=150,
                )  # fmt: skip

    def show(version: str | None) -> tuple[Any, ...]:
        found = page.version_of(version)
        if found is None or found.mapping is None:
            return gr.skip(), gr.skip(), gr.skip()
        recipe = datasets.recipe(found.id)
        kinds = [(t(f"{key}.short"), key.removeprefix("finding.")) for key in datasets.finding_keys(found.id)]
        return recipe_list(recipe, t), recipe_file(found, recipe), gr.Dropdown(choices=kinds)

    def on_by(chosen: str) -> tuple[Any, ...]:
        return tuple(gr.update(visible=chosen == name) for name in _TESTS)

    def on_replace(version: str, old: str, new: str, expression: bool, exact: bool) -> str:
        if not old:
            raise InputError("error.recipe.find_nothing")
        step = make_step("replace", find=old, replace_with=new, regex=expression, match_case=exact)
        return changed(version, step)

    def on_apply(version: str, what: str, test: str, *fields: Any) -> str:
        return changed(version, make_step("filter", action=what, where=where_of(test, *fields)))

    def changed(version: str, *made: Step) -> str:
        fresh = datasets.clean(version, CleanSpec(steps=made))
        if fresh.id == version:
            gr.Info(t("ui.data.recipe.nothing"))
        return fresh.id

    def on_load(version: str, path: str) -> str:
        name = Path(path).name
        return changed(version, *CleanSpec.from_yaml(Path(path).read_text("utf-8", "replace"), name).steps)

    gr.on([tab.select, page.version.change], page.guard(show), page.version, [steps, save, finding], **_QUICK)
    by.input(on_by, by, [by_text, by_length, languages, finding], **_QUICK)
    replace.click(page.guard(on_replace), [page.version, find, put, regex, case], page.version, show_progress="hidden")
    fields = [text, text_regex, part, least, most, languages, finding]
    apply.click(page.guard(on_apply), [page.version, action, by, *fields], page.version, show_progress="hidden")
    load.upload(page.guard(on_load), [page.version, load], page.version, show_progress="hidden")


def where_of(
    test: str, text: str, regex: bool, part: str, least: float | None, most: float | None,
    languages: list[str] | None, finding: str | None,
) -> dict[str, Any]:  # fmt: skip
    """The fields as a filter's test. Raises InputError where what it needs is empty."""
    if test == "text":
        values: dict[str, Any] = {"find": text, "regex": regex}
        needed: object = text
    elif test == "length":
        values = {"part": part, "least": int(least or 0), "most": None if most is None else int(most)}
        needed = least or most is not None
    elif test == "language":
        values, needed = {"languages": languages}, languages
    else:
        values, needed = {"finding": finding}, finding
    if not needed:
        raise InputError("error.recipe.filter_empty")
    return {"by": test, **values}


def language_choices(t: Sentence) -> list[tuple[str, str]]:
    """Languages with a name, to choose from."""
    keys = [key for key in catalogue("en") if key.startswith("ui.language.") and key != "ui.language.label"]
    return sorted((t(key), key.removeprefix("ui.language.")) for key in keys if len(key) == len("ui.language.xx"))


def recipe_list(recipe: CleanSpec, t: Sentence) -> str:
    """All steps from the file as it was opened to this version."""
    title = headline(t("ui.data.recipe.title"), t("ui.data.recipe.text" if recipe.steps else "ui.data.recipe.empty"))
    lines = "".join(f"<li>{shown(step_told(step, t))}</li>" for step in recipe.steps)
    return f'{title}<ol class="d-steps">{lines}</ol>' if lines else title


def step_told(step: Step, t: Sentence) -> str:
    """A step in words: its name, and what it looks for."""
    label = t(f"fix.{step.fix}")
    if step.fix == "replace":
        return t("ui.data.recipe.replace", find=shorten(step.find, 60), put=shorten(step.replace_with, 60))
    if step.fix == "filter":
        action = t(f"ui.data.keep.{step.action}")
        return f"{action}: {t(f'ui.data.keep.by.{step.where.by}')} {test_told(step.where, t)}"
    if step.fix in ("edit_rows", "add_rows", "exclude_rows", "restore_rows"):
        return f"{label} ({len(step.rows)})"
    return label


def test_told(test: Any, t: Sentence) -> str:
    """What a filter's test looks for."""
    if test.by == "text":
        return f"“{shorten(test.find, 60)}”"
    if test.by == "length":
        most = "∞" if test.most is None else f"{test.most:,}"
        return f"{t(f'ui.data.keep.part.{test.part}')} {test.least:,}–{most}"
    if test.by == "language":
        return ", ".join(test.languages)
    return t(f"finding.{test.finding}.short")


def recipe_file(version: Version, recipe: CleanSpec) -> Any:
    """The recipe as a file to download; what was done by hand stays with this data."""
    usable = recipe.reusable()
    if not usable.steps:
        return gr.DownloadButton(interactive=False)
    path = Path(mkdtemp(prefix="studio-")) / "recipe.yaml"
    path.write_text(usable.to_yaml(), encoding="utf-8")
    return gr.DownloadButton(value=str(path), interactive=True)
