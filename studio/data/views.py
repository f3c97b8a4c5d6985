"""A row as the checks see it: what is asked, what is answered, and every text in between."""

from typing import NamedTuple

from studio.data.cells import row_texts
from studio.data.formats import Mapping, convert
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Passage, Preference, PromptOnly, Rated, Record
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


def view_of(row: Row, mapping: Mapping) -> View:
    """The view of a row."""
    record = convert(row, mapping)
    text = "\n".join(row_texts(row, mapping))
    match record:
        case Conversation():
            answer = record.last.text if record.calls else record.answer
            return View(row.id, record, text, "\n".join([turn.text for turn in record.prompt]), answer)
        case Preference(prompt, chosen, rejected):
            better, worse = ("\n".join([turn.text for turn in side]) for side in (chosen, rejected))
            return View(row.id, record, text, "\n".join([turn.text for turn in prompt]), better, worse)
        case Rated(prompt, completion):
            answer = "\n".join([turn.text for turn in completion])
            return View(row.id, record, text, "\n".join([turn.text for turn in prompt]), answer)
        case PromptOnly(prompt):
            return View(row.id, record, text, "\n".join([turn.text for turn in prompt]), "")
        case Passage(passage):
            return View(row.id, record, text, "", passage)
        case RowProblem():
            return View(row.id, record, text, "", "")
