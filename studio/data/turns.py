"""Cells -> messages: lists of turns in their many spellings, plain texts, lists of accepted answers."""

import unicodedata
from collections.abc import Sequence
from typing import Any

from studio.data.problems import Unusable, type_name
from studio.data.ranking import TEXT_KEYS, text_of
from studio.data.records import Conversation, Message, Tool
from studio.data.tool_calls import CALL_KEYS, text_calls, turn_calls

_ROLES = {
    "system": ("system", "developer"),
    "user": ("user", "human", "prompter", "customer", "client", "question", "ユーザー", "ユーザ", "人間", "客"),
    "assistant": (
        "assistant", "gpt", "chatgpt", "agent", "bot", "ai", "model", "chatbot", "answer", "アシスタント",
        "エージェント",
    ),
    "tool": ("tool", "observation", "function", "function_response", "tool_response", "ipython", "ツール"),
    # The assistant's tool calls, written as the text of a turn of their own.
    "calls": ("function_call", "tool_call"),
}  # fmt: skip
_ROLE_OF = {alias: role for role, aliases in _ROLES.items() for alias in aliases}
_ROLE_KEYS = ("role", "from", "name", "speaker", "author")
_CONTENT_KEYS = ("content", "value", "text", "message", "utterance")
_INVISIBLE = {"Zs", "Zl", "Zp", "Cc", "Cf"}


def is_blank(text: str | None) -> bool:
    """No character that shows: spaces of any width, zero-width marks and control characters do not."""
    shown = text.strip() if text else ""
    return not shown or (not shown[0].isalnum() and all(unicodedata.category(c) in _INVISIBLE for c in shown))


def is_answer(speaker: Any) -> bool:
    """Whether this name of a speaker is the assistant's."""
    return isinstance(speaker, str) and _ROLE_OF.get(speaker.strip().casefold()) in ("assistant", "calls")


def cell_turn_keys(cell: Any) -> tuple[str, str] | None:
    """(speaker key, text key) of a list of turns; None when it is none. A turn of tool calls may lack the text."""
    if not isinstance(cell, list) or not cell or not all(isinstance(turn, dict) for turn in cell):
        return None
    role = next((k for k in _ROLE_KEYS if all(k in turn for turn in cell)), None)
    texts = [turn for turn in cell if not any(turn.get(k) for k in CALL_KEYS)] or [{"content": None}]
    content = next((k for k in _CONTENT_KEYS if all(k in turn for turn in texts) and k != role), None)
    return (role, content) if role and content else None


def unwrapped(cell: Any) -> Any:
    """The only list within a list: some files hold the steps of a conversation, and mostly one."""
    return cell[0] if isinstance(cell, list) and len(cell) == 1 and isinstance(cell[0], list) else cell


def read_text(cell: Any, column: str) -> str:
    """The text of a cell; an empty one of none."""
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise Unusable("wrong_type", column, type_name(cell))
    return cell


def read_side(cell: Any, column: str, role: str) -> list[Message]:
    """A prompt or an answer: text, or turns (TRL's conversational form), or one turn."""
    cell = [cell] if isinstance(cell, dict) and cell_turn_keys([cell]) else unwrapped(cell)
    if keys := cell_turn_keys(cell):
        return read_turns(cell, column, *keys)
    text = read_text(first_answer(cell) if role == "assistant" else cell, column)
    if is_blank(text):
        raise Unusable("blank_prompt" if role == "user" else "blank_answer", column)
    return [Message(role, text)]


def first_answer(cell: Any) -> Any:
    """Of a list of accepted answers (texts, or as SQuAD has them) the first that is not blank; any other is itself."""
    if isinstance(cell, dict) and isinstance(cell.get("text"), str | list):
        return first_answer(cell["text"])
    if isinstance(cell, list) and all(is_answer_text(item) for item in cell):
        return next((text for item in cell if not is_blank(text := text_of(item))), None)
    return cell


def is_answer_text(item: Any) -> bool:
    """Whether an item of a list is an answer: a text, or an object with one."""
    return isinstance(item, str) or (isinstance(item, dict) and isinstance(text_of(item), str))


def is_answer_list(cell: Any) -> bool:
    """Whether a cell holds several accepted answers."""
    if isinstance(cell, dict):
        return any(isinstance(cell.get(key), list) for key in TEXT_KEYS[:1]) and first_answer(cell) is not cell
    return isinstance(cell, list) and bool(cell) and all(map(is_answer_text, cell))


def read_turns(cell: Any, column: str, role_key: str, content_key: str) -> list[Message]:
    """All turns, in order; an empty system turn says that there is none."""
    if cell is None or cell == []:
        raise Unusable("blank_prompt", column)
    if not isinstance(cell, list):
        raise Unusable("not_turns", column, type_name(cell))
    turns = []
    for number, turn in enumerate(cell, 1):
        message = _message(turn, column, number, role_key, content_key)
        if message.role != "system" or not is_blank(message.content):
            turns.append(message)
    return turns


def _message(turn: Any, column: str, number: int, role_key: str, content_key: str) -> Message:
    if not isinstance(turn, dict) or not isinstance(turn.get(role_key), str):
        raise Unusable("bad_turns", column, str(number))
    speaker = turn[role_key]
    role = _ROLE_OF.get(speaker) or _ROLE_OF.get(speaker.strip().casefold())
    if role is None:
        raise Unusable("unknown_role", column, speaker[:60])
    content = _content(turn.get(content_key), column, number)
    if role == "calls":
        return Message("assistant", "", text_calls(content, column, number))
    if role == "tool":
        name, call = turn.get("name"), turn.get("tool_call_id")
        named = name if isinstance(name, str) and role_key != "name" else None
        return Message(role, content, (), named, call if isinstance(call, str) else None)
    if "tool_calls" not in turn and "function_call" not in turn:
        return Message(role, content)
    calls = turn_calls(turn, column, number)
    if calls and role != "assistant":
        raise Unusable("bad_tool_call", column, str(number))
    return Message(role, content, calls)


def _content(content: Any, column: str, number: int) -> str:
    if isinstance(content, list):  # OpenAI's content parts
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise Unusable("bad_turns", column, str(number))
        return "".join(part["text"] for part in content)
    return read_text(content, column)


def check_prompt(turns: Sequence[Message], column: str) -> tuple[Message, ...]:
    """The turns, where somebody asks and every turn says something; a tool may answer nothing."""
    if "user" not in [turn.role for turn in turns]:
        raise Unusable("no_question", column)
    for turn in turns:
        if is_blank(turn.content) and not turn.tool_calls and turn.role != "tool":
            raise Unusable("blank_prompt", column)
    return tuple(turns)


def check_answer(turns: Sequence[Message], column: str) -> tuple[Message, ...]:
    """The turns, where the last is an answer."""
    if not turns or turns[-1].role != "assistant":
        if "assistant" not in [turn.role for turn in turns]:
            raise Unusable("no_answer", column)
        raise Unusable("ends_without_answer", column, turns[-1].role)
    if is_blank(turns[-1].content) and not turns[-1].tool_calls:
        raise Unusable("blank_answer", column)
    return tuple(turns)


def make_conversation(turns: Sequence[Message], column: str, tools: tuple[Tool, ...]) -> Conversation:
    """All turns as a conversation that ends with its answer."""
    *asked, answer = check_answer(turns, column)
    return Conversation(check_prompt(asked, column), answer.content, tools, answer.tool_calls)
