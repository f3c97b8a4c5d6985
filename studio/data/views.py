"""Rows as the checks see them: what is asked, what is answered, and every text in between."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from studio.data.cells import texts_of
from studio.data.formats import Mapping as ColumnMapping
from studio.data.formats import convert
from studio.data.problems import RowProblem
from studio.data.records import Conversation, Message, Messages, Passage, Preference, PromptOnly, Rated, Record
from studio.data.tables import Row
from studio.data.turns import is_blank


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


def view_of(row: Row, mapping: ColumnMapping, columns: Sequence[str] | None = None) -> View:
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


# Many rows at once


@dataclass(frozen=True, slots=True)
class Views:
    """Views of many rows, a list of each of their texts. `asked`: what the user said last.

    `made`: views by their place, of every row that is not just a question and its answer, each of one text. Those are
    most rows, and their texts are all there is to them: to make a record of each would take longer than to check it.
    """

    ids: Sequence[int]
    texts: Sequence[str]
    prompts: Sequence[str]
    answers: Sequence[str]
    asked: Sequence[str]
    made: Mapping[int, View]

    def view(self, place: int) -> View:
        """The view of one row."""
        if place in self.made:
            return self.made[place]
        prompt, answer = self.prompts[place], self.answers[place]
        record = Conversation((Message("user", prompt),), answer)
        return View(self.ids[place], record, self.texts[place], prompt, answer)


def views_of(ids: Sequence[int], cells: Mapping[str, Sequence[Any]], mapping: ColumnMapping) -> Views:
    """The views of rows of which the cells of the mapped columns are given, column by column."""
    names = _pair_columns(cells, mapping)
    prompts, answers, texts, odd = _pairs(*(cells[name] for name in names)) if names else _nothing(len(ids))
    asked = list(prompts)
    columns = mapping.columns
    made = {}
    for place in odd:
        row = Row(ids[place], {name: values[place] for name, values in cells.items()})
        made[place] = view = view_of(row, mapping, columns)
        prompts[place], answers[place], texts[place] = view.prompt, view.answer, view.text
        asked[place] = _last_question(view)
    return Views(ids, texts, prompts, answers, asked, made)


def _pair_columns(cells: Mapping[str, Sequence[Any]], mapping: ColumnMapping) -> tuple[str, ...] | None:
    """The columns of question, answer and input, where the mapping names these and nothing else."""
    one = ColumnMapping(layout=mapping.layout, prompt=mapping.prompt, answer=mapping.answer, input=mapping.input)
    names = tuple(name for name in (mapping.prompt, mapping.answer, mapping.input) if name)
    whole = mapping == one and mapping.prompt and mapping.answer and len(set(names)) == len(names)
    return names if whole and all(name in cells for name in names) else None


# Prompts, answers, texts, and the places of the rows of which they do not tell everything.
_Lists = tuple[list[str], list[str], list[str], Sequence[int]]


def _nothing(rows: int) -> _Lists:
    return [""] * rows, [""] * rows, [""] * rows, range(rows)


def _pairs(asked: Sequence[Any], answers: Sequence[Any], inputs: Sequence[Any] | None = None) -> _Lists:
    prompts: list[Any] = (
        list(asked) if inputs is None else [_with_input(q, i) for q, i in zip(asked, inputs, strict=True)]
    )
    said = list(answers)
    odd = [place for place, (q, a) in enumerate(zip(prompts, said, strict=True)) if not (_says(q) and _says(a))]
    for place in odd:
        prompts[place] = said[place] = ""
    if inputs is None:
        return prompts, said, [f"{q}\n{a}" for q, a in zip(prompts, said, strict=True)], odd
    # An input is a line of the text even where it is blank, and then none of the question.
    lines = [q if i is None or _says(i) else f"{q}\n{i}" for q, i in zip(prompts, inputs, strict=True)]
    return prompts, said, [f"{q}\n{a}" for q, a in zip(lines, said, strict=True)], odd


def _with_input(asked: Any, added: Any) -> str | None:
    if not _says(asked) or not (added is None or type(added) is str):
        return None
    return f"{asked}\n{added}" if _says(added) else asked


def _says(cell: Any) -> bool:
    return type(cell) is str and (cell[:1].isalnum() or not is_blank(cell))


def _last_question(view: View) -> str:
    if isinstance(view.record, RowProblem | Passage):
        return ""
    turns = view.record.prompt
    if turns and turns[-1].role == "user":
        return turns[-1].content
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), "")
