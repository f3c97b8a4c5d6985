"""What the panel of hand mapping shows, as HTML. Pure; every text of the data passes `shown`."""

from collections.abc import Sequence

from studio.data.problems import RowProblem
from studio.data.records import Conversation, Message, Passage, Preference, PromptOnly, Rated, Record
from studio.data.row_kinds import Seeming
from studio.data.suggestions import Suggestion, can_be_named
from studio.data.tables import Column
from studio.ui.markup import Sentence, badge, said, shorten, shown

_SHOWN_COLUMNS = 60
_SHOWN_TURNS = 6
_SHOWN_CHARACTERS = 700
# A chip writes its field where the cursor last was in a template, as if it were typed.
CHIPS = """
let last = null;
document.addEventListener('focusin', (event) => {
  if (event.target.matches('#data-templates textarea')) last = event.target;
});
element.addEventListener('mousedown', (event) => { if (event.target.closest('[data-field]')) event.preventDefault(); });
element.addEventListener('click', (event) => {
  const chip = event.target.closest('[data-field]');
  if (!chip) return;
  const box = last && last.isConnected ? last : document.querySelector('#data-templates textarea');
  box.setRangeText(chip.dataset.field, box.selectionStart, box.selectionEnd, 'end');
  box.dispatchEvent(new Event('input', {bubbles: true}));
  box.focus();
});
"""


def suggestion_cards(suggestions: Sequence[Suggestion], t: Sentence) -> str:
    """One button for each way to begin."""
    if not suggestions:
        return ""
    items = "".join(
        f'<button type="button" class="d-suggest" data-act="suggest" data-number="{number}">'
        f"{shown(t(item.key, **item.values))}</button>"
        for number, item in enumerate(suggestions)
    )
    return f'<p class="d-label">{shown(t("ui.data.suggest.title"))}</p><div class="d-suggests">{items}</div>'


def column_chips(columns: Sequence[Column], t: Sentence) -> str:
    """A button for each column that a template can name; it writes the field."""
    names = [column.name for column in columns if can_be_named(column.name)]
    chips = "".join(
        f'<button type="button" class="d-field" data-field="{shown(f"{{{name}}}")}">{shown(shorten(name, 40))}</button>'
        for name in names[:_SHOWN_COLUMNS]
    )
    left = len(names) - _SHOWN_COLUMNS
    more = f'<span class="s-muted">{shown(t("ui.data.template.more", count=left))}</span>' if left > 0 else ""
    return f'<p class="d-label">{shown(t("ui.data.template.insert"))}</p><div class="d-fields">{chips}{more}</div>'


def preview(rows: Sequence[Seeming], t: Sentence) -> str:
    """What the first rows become."""
    items = "".join(_row(row, t) for row in rows)
    return f'<p class="d-label">{shown(t("ui.data.preview.title"))}</p><div class="d-previews">{items}</div>'


def preview_missing(part: str, t: Sentence) -> str:
    """Stands in its place while a part is open."""
    told = t("ui.data.mapping.missing", part=t(f"ui.data.role.{part}"))
    return f'<p class="s-muted d-hint">{shown(told)}</p>'


def _row(row: Seeming, t: Sentence) -> str:
    head = f"<header>{shown(t('ui.data.table.row'))} {row.row}</header>"
    if isinstance(row.record, RowProblem):
        return (
            f'<div class="d-preview">{head}<p class="d-error">{said(t(row.record.key, **row.record.values))}</p></div>'
        )
    return f'<div class="d-preview">{head}<dl>{_record(row.record, t)}</dl></div>'


def _record(record: Record, t: Sentence) -> str:
    match record:
        case Passage(text):
            return _line(t("ui.data.role.text"), text)
        case Conversation():
            return _turns(record.messages, t) + _tools(len(record.tools), t)
        case PromptOnly(prompt):
            return _turns(prompt, t) + _tools(len(record.tools), t)
        case Rated(prompt, completion, label):
            rating = badge(t(f"ui.data.preview.{'good' if label else 'bad'}"), "good" if label else "bad")
            told = f"<dt>{shown(t('ui.data.role.label'))}</dt><dd>{rating}</dd>"
            return _turns((*prompt, *completion), t) + told + _tools(len(record.tools), t)
        case Preference(prompt, chosen, rejected):
            sides = (("chosen", chosen), ("rejected", rejected))
            told = "".join(_line(t(f"ui.data.role.{name}"), "\n".join(m.text for m in turns)) for name, turns in sides)
            return _turns(prompt, t) + told + _tools(len(record.tools), t)


def _turns(turns: Sequence[Message], t: Sentence) -> str:
    """The first turns and the last."""
    left = len(turns) - _SHOWN_TURNS
    first, last = (turns, ()) if left <= 0 else (turns[: _SHOWN_TURNS - 1], turns[-1:])
    more = _line("", t("ui.data.preview.turns", count=left)) if left > 0 else ""
    lines = [_line(t(f"ui.data.preview.{turn.role}"), turn.text) for turn in (*first, *last)]
    return "".join([*lines[: len(first)], more, *lines[len(first) :]])


def _line(name: str, text: str) -> str:
    return f"<dt>{shown(name)}</dt><dd>{shown(shorten(text, _SHOWN_CHARACTERS))}</dd>"


def _tools(count: int, t: Sentence) -> str:
    return f"<dt>{shown(t('ui.data.role.tools'))}</dt><dd>{badge(str(count))}</dd>" if count else ""
