"""Questions and answers for the tests."""

from collections.abc import Sequence

from studio.data.records import Message, Tool, ToolCall
from studio.evaluation.questions import Answer, Question


def question(
    expected: str = "", prompt: str = "?", calls: Sequence[ToolCall] = (), tools: Sequence[Tool] = (), row: int = 0
) -> Question:
    return Question(row, (Message("user", prompt),), Message("assistant", expected, tuple(calls)), tuple(tools))


def answer(text: str, loss: float | None = 1.0, stopped: bool = True) -> Answer:
    return Answer(text, len(text), stopped, loss, 0 if loss is None else 10)
