"""Recognise a layout, and turn rows into conversations through a mapping of columns.

Known layouts: Alpaca (instruction, input, output), OpenAI messages, ShareGPT, prompt/completion (TRL's names),
question/answer; any other list of speaker-and-text turns; any two text columns mapped by hand.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from studio.data.problems import ProblemKind, RowProblem, Unusable, type_name
from studio.data.records import Conversation, DatasetType, Message
from studio.data.tables import Column, Row
from studio.errors import DataError

Layout = Literal["messages", "sharegpt", "turns", "alpaca", "prompt_completion", "question_answer", "columns"]


class Mapping(BaseModel, frozen=True, extra="forbid"):
    """Which column is what, and so what kind of record a row becomes (`dataset_type`).

    A prompt and an answer, each a column or a template; or `turns`, a list of turns with the answers in it; or
    `chosen` and `rejected`; or `ranked`, a list of answers; or `text`, a passage to read. A prompt alone is a question
    without an answer.
    - `input` is appended to the prompt on a new line, `history` (a list of question and answer pairs) goes before it;
      `system` becomes the system message, `tools` are the functions that may be called.
    - `label` tells good answers from bad ones.
    - `ranks` is a column of numbers, one for each answer of `ranked`, or the key of the number within each; `best`
      says which is best: the first answer, that with the lowest number (a rank) or the highest (a score).
    - `accepted_calls` is the answer as a list of {function: {argument: [accepted values]}}.
    - Within a turn, `role_key` names the speaker and `content_key` the text. `transcript`: turns are written as one
      text, "Human: ..." and "Assistant: ..." in turn.
    - Templates are text with `{column}` fields (`studio.data.templates`).
    """

    layout: Layout = "columns"
    prompt: str | None = None
    input: str | None = None
    history: str | None = None
    answer: str | None = None
    accepted_calls: str | None = None
    system: str | None = None
    turns: str | None = None
    role_key: str = "role"
    content_key: str = "content"
    transcript: bool = False
    tools: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    ranked: str | None = None
    ranks: str | None = None
    best: Literal["first", "lowest", "highest"] = "first"
    label: str | None = None
    text: str | None = None
    prompt_template: str | None = None
    answer_template: str | None = None
    system_template: str | None = None

    @property
    def dataset_type(self) -> DatasetType:
        """TRL's name for what the rows become."""
        if self.text:
            return "language_modeling"
        if self.chosen or self.rejected or self.ranked:
            return "preference"
        if self.label:
            return "unpaired_preference"
        if self.turns:
            return "conversational"
        return "prompt_completion" if self.answer or self.answer_template or self.accepted_calls else "prompt_only"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, in the order the model sees them."""
        named = (self.system, self.turns) if self.turns else (self.system, self.prompt, self.input, self.answer)
        return tuple(name for name in named if name)


_ROLES = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter", "customer", "client", "question", "ユーザー", "ユーザ", "人間", "客"),
    "assistant": (
        "assistant", "gpt", "chatgpt", "agent", "bot", "ai", "model", "chatbot", "answer", "アシスタント",
        "エージェント",
    ),
}  # fmt: skip
_ROLE_OF = {alias: role for role, aliases in _ROLES.items() for alias in aliases}
_ROLE_KEYS = ("role", "from", "name", "speaker", "author")
_CONTENT_KEYS = ("content", "value", "text", "message", "utterance")
_TURN_COLUMNS = ("messages", "conversations", "conversation", "utterances", "turns", "dialogue", "dialog", "chat")

# (layout, prompt names, answer names, input names); the first pair that is there is taken.
_PAIRS: tuple[tuple[Layout, tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    ("alpaca", ("instruction", "指示"), ("output", "response", "出力", "応答"), ("input", "入力", "context")),
    ("prompt_completion", ("prompt", "プロンプト"), ("completion", "response", "output", "answer", "応答"), ("input",)),
    (
        "question_answer",
        ("question", "query", "q", "質問", "問い", "問題"),
        ("answer", "response", "a", "回答", "答え", "解答", "答"),
        ("context", "input", "文脈"),
    ),
    (
        "columns",
        ("input", "source", "user", "text", "入力"),
        ("output", "target", "assistant", "label_text", "出力"),
        (),
    ),
)
_SYSTEM_NAMES = ("system", "system_prompt", "システム")


def recognise(columns: Sequence[Column], rows: Sequence[Row]) -> Mapping | None:
    """The layout of the first rows; None when it is none of those known, and columns must be mapped by hand."""
    names = {column.name.strip().casefold(): column.name for column in columns}
    system = next((names[n] for n in _SYSTEM_NAMES if n in names and _is_text(columns, names[n])), None)
    for name in _TURN_COLUMNS:
        if name in names and (found := _turn_mapping(names[name], rows, system)):
            return found
    for layout, prompts, answers, inputs in _PAIRS:
        prompt = next((names[n] for n in prompts if n in names), None)
        answer = next((names[n] for n in answers if n in names), None)
        if prompt and answer and _readable(prompt, rows) and _readable(answer, rows):
            extra = next((names[n] for n in inputs if n in names and _is_text(columns, names[n])), None)
            return Mapping(layout=layout, prompt=prompt, answer=answer, input=extra, system=system)
    found = [m for column in columns if (m := _turn_mapping(column.name, rows, system))]
    return found[0] if len(found) == 1 else None


def _is_text(columns: Sequence[Column], name: str) -> bool:
    return any(column.name == name and column.type in ("text", "empty") for column in columns)


def _readable(name: str, rows: Sequence[Row]) -> bool:
    """Whether most cells of the column are text, or turns as TRL writes them in conversational prompts."""
    cells = [row.values.get(name) for row in rows]
    present = [cell for cell in cells if cell is not None]
    good = sum(isinstance(cell, str) or _turn_keys(cell) == ("role", "content") for cell in present)
    return bool(present) and good * 2 > len(present)


def turn_keys(name: str, rows: Sequence[Row]) -> tuple[str, str] | None:
    """(speaker key, text key) of a column of turns; None when it holds none."""
    present = [cell for row in rows if (cell := row.values.get(name)) is not None]
    found = [keys for cell in present if (keys := _turn_keys(cell))]
    return max(set(found), key=found.count) if found and len(found) * 2 > len(present) else None


def _turn_mapping(name: str, rows: Sequence[Row], system: str | None) -> Mapping | None:
    keys = turn_keys(name, rows)
    if keys is None:
        return None
    layouts: dict[tuple[str, str], Layout] = {("role", "content"): "messages", ("from", "value"): "sharegpt"}
    return Mapping(layout=layouts.get(keys, "turns"), turns=name, role_key=keys[0], content_key=keys[1], system=system)


def _turn_keys(cell: Any) -> tuple[str, str] | None:
    if not isinstance(cell, list) or not cell or not all(isinstance(turn, dict) for turn in cell):
        return None
    role = next((k for k in _ROLE_KEYS if all(k in turn for turn in cell)), None)
    content = next((k for k in _CONTENT_KEYS if all(k in turn for turn in cell) and k != role), None)
    return (role, content) if role and content else None


def mapping_problems(mapping: Mapping, columns: Sequence[Column]) -> None:
    """Raises DataError when the mapping does not fit the columns."""
    types = {column.name: column.type for column in columns}
    for name in mapping.columns:
        if name not in types:
            raise DataError("error.mapping.unknown_column", column=name, known=", ".join(types))
    if mapping.turns:
        if types[mapping.turns] not in ("list", "mixed"):
            raise DataError("error.mapping.not_turns", column=mapping.turns, type=types[mapping.turns])
    elif not mapping.prompt or not mapping.answer:
        raise DataError("error.mapping.incomplete", known=", ".join(types))
    if len(set(mapping.columns)) < len(mapping.columns):
        twice = next(name for name in mapping.columns if mapping.columns.count(name) > 1)
        raise DataError("error.mapping.twice", column=twice)


def convert(row: Row, mapping: Mapping) -> Conversation | RowProblem:
    """The row as a conversation. Nothing is repaired here: a number where text is expected is a problem."""
    try:
        turns = list(_system(row, mapping))
        if mapping.turns:
            turns += _turns(row.values.get(mapping.turns), mapping.turns, mapping.role_key, mapping.content_key)
            return _conversation(turns, mapping.turns)
        if mapping.prompt is None or mapping.answer is None:
            raise DataError("error.mapping.incomplete", known=", ".join(row.values))
        turns += _prompt(row, mapping.prompt, mapping.input)
        turns += _side(row.values.get(mapping.answer), mapping.answer, "assistant")
        return _conversation(turns, mapping.answer)
    except Unusable as problem:
        return RowProblem(row.id, problem.kind, problem.column, problem.detail)


def is_blank(text: str | None) -> bool:
    """No character that shows: spaces of any width, zero-width marks and control characters do not."""
    return text is None or not text.strip() or all(unicodedata.category(c) in _INVISIBLE for c in text)


_INVISIBLE = {"Zs", "Zl", "Zp", "Cc", "Cf"}


def _system(row: Row, mapping: Mapping) -> Iterator[Message]:
    if mapping.system:
        text = _text(row.values.get(mapping.system), mapping.system)
        if not is_blank(text):
            yield Message("system", text)


def _prompt(row: Row, prompt: str, extra: str | None) -> list[Message]:
    cell = row.values.get(prompt)
    if isinstance(cell, list) or not extra:
        return _side(cell, prompt, "user")
    parts = [_text(cell, prompt), _text(row.values.get(extra), extra)]
    return _side("\n".join(part for part in parts if not is_blank(part)), prompt, "user")


def _side(cell: Any, column: str, role: str) -> list[Message]:
    """A prompt or an answer: text, or a list of messages (TRL's conversational form)."""
    if isinstance(cell, list) and _turn_keys(cell):
        return _turns(cell, column, "role", "content")
    text = _text(cell, column)
    blank: ProblemKind = "blank_prompt" if role == "user" else "blank_answer"
    if is_blank(text):
        raise Unusable(blank, column)
    return [Message(role, text)]


def _text(cell: Any, column: str) -> str:
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise Unusable("wrong_type", column, type_name(cell))
    return cell


def _turns(cell: Any, column: str, role_key: str, content_key: str) -> list[Message]:
    if cell is None or cell == []:
        raise Unusable("blank_prompt", column)
    if not isinstance(cell, list):
        raise Unusable("not_turns", column, type_name(cell))
    turns = []
    for number, turn in enumerate(cell, 1):
        if not isinstance(turn, dict) or not isinstance(turn.get(role_key), str) or turn.get("tool_calls"):
            raise Unusable("bad_turns", column, str(number))
        role = _ROLE_OF.get(turn[role_key].strip().casefold())
        if role is None:
            raise Unusable("unknown_role", column, turn[role_key][:60])
        content = _content(turn.get(content_key), column, number)
        if role != "system" or not is_blank(content):  # an empty system field says that there is none
            turns.append(Message(role, content))
    return turns


def _content(content: Any, column: str, number: int) -> str:
    if isinstance(content, list):  # OpenAI's content parts
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise Unusable("bad_turns", column, str(number))
        return "".join(part["text"] for part in content)
    return _text(content, column)


def _conversation(turns: Sequence[Message], column: str) -> Conversation:
    if not any(turn.role == "assistant" for turn in turns):
        raise Unusable("no_answer", column)
    if turns[-1].role != "assistant":
        raise Unusable("ends_without_answer", column, turns[-1].role)
    prompt, answer = tuple(turns[:-1]), turns[-1].content
    if not any(turn.role == "user" for turn in prompt):
        raise Unusable("no_question", column)
    if is_blank(answer):
        raise Unusable("blank_answer", column)
    if any(is_blank(turn.content) for turn in prompt):
        raise Unusable("blank_prompt", column)
    return Conversation(prompt, answer)


def trim_turns(cell: Any, mapping: Mapping) -> Any:
    """A list of turns without those behind its last answer; without any answer it stays as it is."""
    if not isinstance(cell, list):
        return cell
    roles = [turn.get(mapping.role_key) if isinstance(turn, dict) else None for turn in cell]
    answers = [
        i for i, role in enumerate(roles)
        if isinstance(role, str) and _ROLE_OF.get(role.strip().casefold()) == "assistant"
    ]  # fmt: skip
    return cell[: answers[-1] + 1] if answers else cell
