"""A row as the checks see it: what is asked, what is answered, and every text in between."""

from typing import NamedTuple

from studio.data.cells import row_texts
from studio.data.formats import Conversation, Mapping, RowProblem, convert
from studio.data.tables import Row


class View(NamedTuple):
    """`text`: every text of the mapped columns, a line each. `prompt`: all that comes before the answer.

    `record` is a RowProblem where the row cannot be used; then `prompt` and `answer` are empty.
    """

    id: int
    record: Conversation | RowProblem
    text: str
    prompt: str
    answer: str


def view_of(row: Row, mapping: Mapping) -> View:
    """The view of a row."""
    record = convert(row, mapping)
    text = "\n".join(row_texts(row, mapping))
    if isinstance(record, RowProblem):
        return View(row.id, record, text, "", "")
    return View(row.id, record, text, "\n".join(message.content for message in record.prompt), record.answer)
