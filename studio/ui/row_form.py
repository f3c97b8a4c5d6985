"""The form in which a row is written by hand, as HTML. Pure; every text of the data passes `shown`."""

import json
from collections.abc import Mapping, Sequence

from studio.backend.datasets import Version
from studio.data.cell_input import cell_text
from studio.data.tables import Column, Row
from studio.ui.markup import Sentence, act_button, badge, headline, said, shorten, shown

# Columns that are written in the form; a row of thousands is not.
_COLUMNS = 60
_OPEN = 8

# The texts to edit come as JSON in an attribute, so that each reaches its box as it is, whatever it holds. Only what
# was typed into is sent.
FORM = """
const fit = (box) => { box.style.height = 'auto'; box.style.height = `${Math.min(box.scrollHeight + 2, 360)}px`; };
const fill = () => {
  const boxes = element.querySelectorAll('textarea:not([data-filled])');
  boxes.forEach((box) => { box.value = JSON.parse(box.dataset.text); box.dataset.filled = 'yes'; fit(box); });
  const first = element.querySelector('textarea[aria-invalid="true"]') ?? boxes[0];
  if (boxes.length) { first.focus(); first.scrollIntoView({block: 'nearest'}); }
};
element.addEventListener('input', (event) => { event.target.dataset.typed = 'yes'; fit(event.target); });
element.addEventListener('click', (event) => {
  const found = event.target.closest('[data-act]');
  if (!found || found.disabled) return;
  const typed = {};
  element.querySelectorAll('textarea[data-typed]').forEach((box) => { typed[box.dataset.column] = box.value; });
  trigger('click', {...found.dataset, typed: JSON.stringify(typed)});
});
element.addEventListener('keydown', (event) => {
  if (!event.target.matches('textarea')) return;
  const send = event.key === 'Enter' && (event.ctrlKey || event.metaKey);
  const act = event.key === 'Escape' ? 'cancel' : send ? 'save' : '';
  if (act) { event.preventDefault(); element.querySelector(`[data-act=${act}]`).click(); }
});
watch('value', fill);
fill();
"""


def row_buttons(row: int | None, t: Sentence) -> str:
    """What can be done by hand with the row that is looked at; None: with none."""
    own = ""
    if row is not None:
        own = act_button("edit", t("ui.data.edit.edit")) + act_button("exclude", t("ui.data.edit.exclude"))
    return f'<div class="d-by-hand">{own}{act_button("add", t("ui.data.edit.add"), "s-quiet")}</div>'


def row_form(version: Version, row: Row | None, typed: Mapping[str, str], problem: str, wrong: str, t: Sentence) -> str:
    """A box per column, the mapped ones first. `row` None: a new one. `typed`: what was written so far, by column;
    `problem`: what is wrong with it, in the column `wrong` (empty: in none)."""
    mapped = version.mapping.columns if version.mapping else ()
    columns = sorted(version.columns, key=lambda column: column.name not in mapped)
    boxes = [
        _box(column, version.columns.index(column), row, typed, problem, wrong, t) for column in columns[:_COLUMNS]
    ]
    title = t("ui.data.edit.title", row=row.id) if row else t("ui.data.edit.title.new")
    more = len(columns) - len(boxes)
    rest = f'<p class="s-muted">{shown(t("ui.data.edit.more", count=more))}</p>' if more > 0 else ""
    told = f'<p class="d-error" role="alert">{said(problem)}</p>' if problem and not wrong else ""
    number = "" if row is None else str(row.id)
    save = act_button("save", t("ui.data.edit.save"), "s-main", row=number)
    return (
        f'<section class="s-card d-form">{headline(title, t("ui.data.edit.text"))}{"".join(boxes)}{rest}{told}'
        f'<div class="s-row">{save}{act_button("cancel", t("ui.data.edit.cancel"))}</div></section>'
    )


def _box(
    column: Column, place: int, row: Row | None, typed: Mapping[str, str], problem: str, wrong: str, t: Sentence
) -> str:
    text = typed.get(column.name, cell_text(row.values.get(column.name)) if row else "")
    state = ' data-typed="yes"' if column.name in typed else ""
    told = ""
    if problem and wrong == column.name:
        state += f' aria-invalid="true" aria-describedby="d-wrong-{place}"'
        told = f'<span class="d-error" role="alert" id="d-wrong-{place}">{said(problem)}</span>'
    kind = "" if column.type in ("text", "empty") else badge(t(f"ui.data.type.{column.type}"))
    # In ASCII: control and direction characters as well reach the box as they are.
    return (
        f"<label><span>{shown(shorten(column.name, 60)) or '&nbsp;'} {kind}</span>"
        f'<textarea rows="1" data-column="{place}" data-text="{shown(json.dumps(text))}"{state}></textarea>{told}'
        "</label>"
    )


def typed_texts(version: Version, typed: str) -> dict[str, str]:
    """What the form sent, by the names of the columns."""
    names: Sequence[Column] = version.columns
    return {names[int(place)].name: str(text) for place, text in json.loads(typed).items()}
