"""A row as the checks see it: what is asked, what is answered, and every text in between."""

from collections.abc import Sequence
from typing import NamedTuple

from studio.data.cells import texts_of
from studio.data.formats import Mapping, convert
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Messages, Passage, Preference, PromptOnly, Rated, Record
from studio.data.tables import Row


class View(NamedTuple):
    """`text`: every text of the mapped columns, a line each. `prompt`: all turns before the answer.

    `answer` is what is to be learned: the chosen one of a preference (`other` is the rejected one), the whole of a
    passage, nothing of a prompt alone. `record` is a RowProblem where the row cannot be used; then there is only text.
    """

    id: int
    record: Record | RowProblem
    text: str
    prompt: str
    answer: str
    other: str = ""


def view_of(row: Row, mapping: Mapping, columns: Sequence[str] | None = None) -> View:
    """The view of a row; `columns` are those of the mapping, where they have been asked for already."""
    record = convert(row, mapping)
    text = "\n".join(texts_of(row, mapping.columns if columns is None else columns))
    match record:
        case Conversation():
            answer = record.last.text if record.calls else record.answer
            return View(row.id, record, text, said(record.prompt), answer)
        case Preference(prompt, chosen, rejected):
            return View(row.id, record, text, said(prompt), said(chosen), said(rejected))
        case Rated(prompt, completion):
            return View(row.id, record, text, said(prompt), said(completion))
        case PromptOnly(prompt):
            return View(row.id, record, text, said(prompt), "")
        case Passage(passage):
            return View(row.id, record, text, "", passage)
        case RowProblem():
            return View(row.id, record, text, "", "")


def said(turns: Messages) -> str:
    """The turns' texts, a line each."""
    return "\n".join([turn.text if turn.tool_calls else turn.content for turn in turns])
