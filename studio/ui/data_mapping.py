"""What a row is and which column holds which part of it, said by hand."""

from typing import Any

import gradio as gr

from studio.backend.datasets import Version
from studio.data.row_kinds import (
    BESTS,
    COLUMN_PARTS,
    INSTEAD,
    KINDS,
    PARTS,
    TEMPLATE_PARTS,
    first_templates,
    kind_of,
    missing_part,
    parts_of,
)
from studio.data.suggestions import Suggestion
from studio.errors import StudioError
from studio.ui import findings_view, mapping_view
from studio.ui.data_bench import QUICK, Bench
from studio.ui.data_opener import encodings
from studio.ui.markup import ACTIONS, shorten, shown
from studio.ui.page import html

_MORE = ("input", "system", "history", "tools", "accepted_calls")
_MAIN = tuple(part for part in COLUMN_PARTS if part not in _MORE)
_FIELDS = (*TEMPLATE_PARTS, *_MAIN, "best", *_MORE)


def build(bench: Bench) -> gr.Dropdown:
    """Lay the panel out, closed where the columns are known. Returns the list of encodings to read the file again
    with."""
    page, datasets, t = bench.page, bench.page.studio.datasets, bench.page.t
    fields: dict[str, Any] = {}

    def column_list(part: str) -> gr.Dropdown:
        return gr.Dropdown(
            [],
            label=t(f"ui.data.role.{part}"),
            min_width=220,
            elem_id=f"data-role-{part}",
            visible=False,
            allow_custom_value=part == "ranks",
        )

    with gr.Accordion(t("ui.data.mapping"), open=False, elem_id="data-mapping") as panel:
        html(f'<p class="s-muted">{shown(t("ui.data.mapping.help"))}</p>')
        cards = html(js_on_load=ACTIONS, elem_id="data-suggestions")
        kind = gr.Radio(
            [(t(f"ui.data.kind.{name}"), name) for name in KINDS],
            value=KINDS[0],
            label=t("ui.data.kind"),
            elem_id="data-kind",
        )
        with gr.Column(visible=False, elem_id="data-templates") as templates:
            chips = html(js_on_load=mapping_view.CHIPS, elem_id="data-columns")
            for part in TEMPLATE_PARTS:
                fields[part] = gr.Textbox(
                    label=t(f"ui.data.role.{part}"),
                    placeholder=t(f"ui.data.template.{part}"),
                    lines=3 if part == TEMPLATE_PARTS[0] else 1,
                    max_lines=12,
                    elem_id=f"data-role-{part}",
                )
        with gr.Row(elem_id="data-roles"):
            for part in _MAIN:
                fields[part] = column_list(part)
            fields["best"] = gr.Radio(
                [(t(f"ui.data.best.{name}"), name) for name in BESTS],
                value=BESTS[0],
                label=t("ui.data.best"),
                min_width=220,
                elem_id="data-role-best",
                visible=False,
            )
        with gr.Accordion(t("ui.data.mapping.more"), open=False, elem_id="data-mapping-more") as more, gr.Row():
            for part in _MORE:
                fields[part] = column_list(part)
        look = html(elem_id="data-preview")
        apply = gr.Button(t("ui.data.mapping.apply"), variant="primary", size="md", elem_id="data-mapping-apply")
        again = gr.Dropdown(
            encodings(page), value="", label=t("ui.data.encoding.again"), visible=False, elem_id="data-again"
        )

    def laid(version: Version, chosen: str, parts: dict[str, str]) -> tuple[Any, ...]:
        """Every field as it is to be for this kind, and what the first rows become."""
        of_kind = PARTS[chosen]  # type: ignore[index]  # a choice of the list
        names = [(shorten(column.name, 60), column.name) for column in version.columns]
        known = {name for _, name in names}
        # Beside a template a whole column is an exception, shown where it is one.
        instead = {part for template, part in INSTEAD.items() if chosen == "template" and not _alone(parts, template)}
        values: list[Any] = [gr.Textbox(value=parts.get(part, "")) for part in TEMPLATE_PARTS]
        for part in (*_MAIN, *_MORE):
            seen, value = part in of_kind.names and part not in instead, parts.get(part, "")
            own = [(value, value)] if value and not (seen and value in known) else []
            choices = [("—", ""), *(names if seen else []), *own]
            values.append(gr.Dropdown(choices=choices, value=value, visible=seen))
        best = gr.Radio(value=parts.get("best", BESTS[0]), visible="best" in of_kind.names)
        values.insert(len(TEMPLATE_PARTS) + len(_MAIN), best)
        extra = [part for part in of_kind.more if part in _MORE]
        opened = any(parts.get(part) for part in extra)
        return (
            chosen,
            gr.Column(visible=chosen == "template"),
            gr.Accordion(visible=bool(extra), open=opened),
            preview(version.id, chosen, parts),
            *values,
        )

    def show(version_id: str | None) -> Any:
        version = bench.version(version_id)
        if version is None:
            return gr.skip()
        offered = datasets.suggestions(version.id)
        mapping = version.mapping or (offered[0].mapping if offered else None)
        chosen = kind_of(mapping) if mapping else KINDS[0]
        parts = parts_of(mapping, version.columns) if mapping else datasets.guessed_parts(version.id, chosen)
        return (
            gr.Accordion(open=version.mapping is None),
            mapping_view.suggestion_cards(offered, t),
            mapping_view.column_chips(version.columns, t),
            *laid(version, chosen, parts),
        )

    def preview(version_id: str | None, chosen: Any, parts: dict[str, str]) -> str:
        if not version_id:
            return ""
        missing = missing_part(chosen, parts)
        if missing and missing != "answer" and missing != "answer_template":
            return mapping_view.preview_missing(missing, t)
        try:
            rows = mapping_view.preview(datasets.preview_mapping(version_id, chosen, parts), t)
        except StudioError as error:
            return findings_view.trouble(error.message(page.language))
        return rows + (mapping_view.preview_missing(missing, t) if missing else "")

    def on_kind(version_id: str, chosen: Any, *values: Any) -> tuple[Any, ...]:
        version = datasets.version(version_id)
        given = _parts(values)
        guessed = datasets.guessed_parts(version_id, chosen)
        parts = {**{part: value for part, value in guessed.items() if value not in given.values()}, **given}
        return laid(version, chosen, first_templates(parts, version.columns) if chosen == "template" else parts)

    def on_field(version_id: str, chosen: Any, *values: Any) -> str:
        return preview(version_id, chosen, _parts(values))

    def on_card(event: gr.EventData, version_id: str) -> tuple[Any, ...]:
        version = datasets.version(version_id)
        mapping = _offered(datasets.suggestions(version_id), event).mapping
        return laid(version, kind_of(mapping), parts_of(mapping, version.columns))

    def on_pairs(version_id: str | None) -> Any:
        pairs = datasets.as_pairs(version_id) if version_id else None
        if version_id is None or pairs is None:
            return gr.skip()
        version = datasets.version(version_id)
        return gr.Accordion(open=True), *laid(version, kind_of(pairs), parts_of(pairs, version.columns))

    def on_apply(version_id: str, count: int, chosen: Any, *values: Any) -> tuple[Any, Any]:
        parts = _parts(values)
        missing = missing_part(chosen, parts)
        if missing:
            told = t("ui.data.mapping.missing", part=t(f"ui.data.role.{missing}"))
            return gr.skip(), findings_view.trouble(told)
        try:
            datasets.set_mapping(version_id, datasets.hand_mapping(version_id, chosen, parts))
        except StudioError as error:
            return gr.skip(), findings_view.trouble(error.message(page.language))
        return count + 1, gr.skip()

    ordered = [fields[part] for part in _FIELDS]
    given = [page.version, kind, *ordered]
    filled = [kind, templates, more, look, *ordered]
    gr.on(
        [bench.blocks.load, *bench.news], page.guard(show), page.version, [panel, cards, chips, *filled],
        trigger_mode="always_last", **QUICK,
    )  # fmt: skip
    kind.input(page.guard(on_kind), given, filled, trigger_mode="always_last", **QUICK)
    # A Textbox tells of `input` only when keys are typed (6.31): not of pasting, deleting, or a field that is inserted.
    gr.on(
        [field.change if part in TEMPLATE_PARTS else field.input for part, field in fields.items()],
        page.guard(on_field),
        given,
        look,
        trigger_mode="always_last",
        **QUICK,
    )
    page.pairs.change(page.guard(on_pairs), page.version, [panel, *filled], **QUICK)
    cards.click(page.guard(on_card), page.version, filled, **QUICK)
    apply.click(page.guard(on_apply), [page.version, bench.changed, kind, *ordered], [bench.changed, look], **QUICK)
    return again


def _parts(values: tuple[Any, ...]) -> dict[str, str]:
    """The fields that say something."""
    return {part: value for part, value in zip(_FIELDS, values, strict=True) if value and value.strip()}


def _alone(parts: dict[str, str], template: str) -> bool:
    """Whether a column stands where a template could."""
    return bool(parts.get(INSTEAD[template])) and not parts.get(template)


def _offered(suggestions: tuple[Suggestion, ...], event: gr.EventData) -> Suggestion:
    return suggestions[int(event._data["number"])]
