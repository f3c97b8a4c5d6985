"""What a row becomes: one of TRL's kinds of training record (https://huggingface.co/docs/trl/dataset_formats).

All are made of messages, the turns of a chat, but for passages of plain text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DatasetType = Literal[
    "language_modeling", "prompt_completion", "conversational", "preference", "unpaired_preference", "prompt_only"
]  # fmt: skip
# A function the model may call, as Transformers takes it: {"type": "function", "function": {name, parameters, ...}}.
Tool = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the assistant asks for. `arguments`: name -> JSON value; `id` where the file gives one."""

    name: str
    arguments: Mapping[str, Any] = field(hash=False)
    id: str | None = None

    @property
    def text(self) -> str:
        """Name and arguments as one line of JSON."""
        return json.dumps({"name": self.name, "arguments": self.arguments}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. `role`: system, user, assistant or tool.

    Only the assistant has `tool_calls`, and may then have no content. A turn of a tool holds its result; `name` is
    the tool's, and `call_id` the call's that it answers, where the file gives them.
    """

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    call_id: str | None = None

    @property
    def text(self) -> str:
        """All that is said: the content, and each call on a line."""
        return "\n".join(part for part in (self.content, *(call.text for call in self.tool_calls)) if part)


Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is asked, and the answer to learn. `prompt` holds all turns before the last answer.

    `calls`: the tool calls of the last answer; `answer` may then be empty.
    """

    prompt: Messages
    answer: str
    tools: tuple[Tool, ...] = field(default=(), hash=False)
    calls: tuple[ToolCall, ...] = ()

    @property
    def last(self) -> Message:
        """The answer as a turn."""
        return Message("assistant", self.answer, self.calls)

    @property
    def messages(self) -> Messages:
        return (*self.prompt, self.last)

    @property
    def uses_tools(self) -> bool:
        """Whether it takes more than a plain chat: tools, calls of them, or what they answered."""
        turns = self.prompt
        return bool(self.tools or self.calls) or any(turn.tool_calls or turn.role == "tool" for turn in turns)


@dataclass(frozen=True, slots=True)
class Preference:
    """A better and a worse way to go on from `prompt`; both end with an answer."""

    prompt: Messages
    chosen: Messages
    rejected: Messages
    tools: tuple[Tool, ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True)
class Rated:
    """An answer with thumbs up (`label` true) or down."""

    prompt: Messages
    completion: Messages
    label: bool
    tools: tuple[Tool, ...] = field(default=(), hash=False)


@dataclass(frozen=True, slots=True)
class PromptOnly:
    """A question to be answered by the model itself. `answer`: what is expected, where that is known."""

    prompt: Messages
    tools: tuple[Tool, ...] = field(default=(), hash=False)
    answer: str | None = None


@dataclass(frozen=True, slots=True)
class Passage:
    """Plain text to read on from."""

    text: str


Record = Conversation | Preference | Rated | PromptOnly | Passage


def as_conversation(record: Record) -> Conversation | None:
    """What supervised fine-tuning learns of a record: the chosen answer, an answer with thumbs up; None of others."""
    match record:
        case Conversation():
            return record
        case Preference(prompt, chosen, _, tools):
            return _joined(prompt, chosen, tools)
        case Rated(prompt, completion, True, tools):
            return _joined(prompt, completion, tools)
        case _:
            return None


def _joined(prompt: Messages, completion: Messages, tools: tuple[Tool, ...]) -> Conversation:
    answer = completion[-1]
    return Conversation((*prompt, *completion[:-1]), answer.content, tools, answer.tool_calls)


def record_sides(record: Record) -> tuple[Messages, ...]:
    """Every whole chat that a record holds: two of a preference, else one; a passage is a turn without a role."""
    match record:
        case Conversation():
            return (record.messages,)
        case Preference(prompt, chosen, rejected):
            return (*prompt, *chosen), (*prompt, *rejected)
        case Rated(prompt, completion):
            return ((*prompt, *completion),)
        case PromptOnly(prompt):
            return (prompt,)
        case Passage(text):
            return ((Message("", text),),)
