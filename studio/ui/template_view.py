"""The chat template on the Train tab, where the model brings none: a choice, and the first row as it will be read."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import gradio as gr

from studio.data.chat_templates import DEFAULT, TEMPLATES, ChatTemplate
from studio.errors import StudioError
from studio.runs.methods import METHODS
from studio.ui.markup import said, shown
from studio.ui.page import Page, html
from studio.ui.rows_view import seen_text

if TYPE_CHECKING:
    from studio.backend.row_view import RowView

# Among so many rows one is looked for that is a conversation.
_FIRST_ROWS = 5
# Of a long row no more is shown.
_TOKENS = 400


@dataclass(frozen=True, slots=True)
class TemplateForm:
    """`choice` stands for the setting while `place` is seen."""

    place: gr.Column
    choice: gr.Radio
    example: gr.HTML


def build_templates(page: Page) -> TemplateForm:
    """The choice and the example, not seen yet."""
    t = page.t
    with gr.Column(visible=False, elem_id="train-template") as place:
        choice = gr.Radio(
            [(t(f"ui.train.template.{name}"), name) for name in TEMPLATES],
            value=DEFAULT,
            label=t("ui.train.template"),
            elem_classes="cards",
        )
        example = html(elem_id="train-template-example")
    return TemplateForm(place, choice, example)


def asks_for_template(page: Page, model: str, method: str) -> bool:
    """Whether the model brings no chat template, and the method reads conversations."""
    if not model or METHODS[method].learns == "text":
        return False
    try:
        return not page.studio.models.describe(model).has_chat_template
    except StudioError:
        return False  # told beside the model


def template_example(page: Page, version: str, model: str, template: ChatTemplate) -> str:
    """The first row that is a conversation, as the model will read it."""
    datasets = page.studio.datasets
    try:
        for row in datasets.page(version, 0, _FIRST_ROWS, columns=[]):
            view = datasets.view_row(version, row.id, model, _TOKENS, chat_template=template)
            if view.problem is None:
                return _example(page, view)
    except StudioError as error:
        return f'<div class="say say-bad">{said(error.message(page.language))}</div>'
    return ""


def _example(page: Page, view: "RowView") -> str:
    t = page.t
    title = f'<span class="train-label">{shown(t("ui.train.template.example"))}</span>'
    if view.refused:
        refused = said(view.refused.message(page.language))
        return f'<div class="train-reads">{title}<div class="say say-bad">{refused}</div></div>'
    tokens = t("ui.train.template.tokens", tokens=f"{view.prompt_tokens + view.answer_tokens:,}")
    answer = f'<span class="d-trained"><i></i>{shown(t("ui.train.template.answer"))}</span>'
    return (
        f'<div class="train-reads">{title}<div class="d-text" tabindex="0">{seen_text(view.spans)}</div>'
        f'<div class="d-legend">{answer}<span>{shown(tokens)}</span></div></div>'
    )
