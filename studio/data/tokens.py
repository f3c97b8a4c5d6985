"""Record + tokenizer -> token ids and loss mask, and the same as coloured text.

The prompt is tokenised exactly as a chat would (the template with its generation prompt), the answer after it on
its own, so that what the model learns to continue is what it will be given. With `loss_on="answer"` all answers of
the conversation carry loss, each with its end-of-turn token, and tool calls are answers too; the last answer is the
one counted as the answer.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from jinja2 import TemplateError

from studio.data.records import (
    Conversation,
    Message,
    Passage,
    PromptOnly,
    Rated,
    Record,
    Tool,
    ToolCall,
    as_conversation,
)
from studio.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNTRAINED = -100
LossOn = Literal["answer", "all"]
_BATCH = 256
_TAIL_CHARACTERS = 2_000


class TemplateRefusal(DataError):
    """The template takes no such row."""


@dataclass(frozen=True, slots=True)
class Example:
    """A row as the trainer reads it. `ids` and `labels` are cut to the longest length; the counts are of all of it."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    prompt_tokens: int
    answer_tokens: int
    truncated: bool

    @property
    def trained_tokens(self) -> int:
        """Tokens that carry loss: the first of a row is never predicted."""
        return sum(label != UNTRAINED for label in self.labels[1:])


@dataclass(frozen=True, slots=True)
class Lengths:
    """Token counts of a row before cutting, the template's own tokens included.

    `trained_tokens` are those left with loss after cutting. `refused`: why the template takes no such row.
    """

    row_id: int
    prompt_tokens: int
    answer_tokens: int
    trained_tokens: int
    truncated: bool
    refused: str | None = None

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.answer_tokens

    @property
    def lost(self) -> bool:
        """Nothing of it is learned: the answer was cut away."""
        return self.refused is None and not self.trained_tokens


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of the rendered text. `tokens` is 1, or more where a character is made of several; 0 for what is cut.

    `trained`: carries loss. `cut`: behind the longest length, not seen by the model.
    """

    text: str
    trained: bool
    tokens: int = 1
    cut: bool = False


@dataclass(frozen=True, slots=True)
class _Rendered:
    """`earlier` are the character ranges of the answers within the prompt. Without `learned` nothing carries loss,
    and without an answer no end token follows."""

    prompt: str
    answer: str
    earlier: tuple[tuple[int, int], ...] = ()
    learned: bool = True


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Ids of the whole row and which carry loss; `offsets`, where asked for, are their character ranges."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    trained: list[bool]
    prompt_tokens: int


def tokenize(
    record: Record, tokenizer: "PreTrainedTokenizerBase", max_length: int, loss_on: LossOn = "answer"
) -> Example:
    """The record as token ids; of a preference the chosen side. Raises DataError when the tokenizer has no chat
    template, or its template refuses the row."""
    return _example(_encode([_render_record(record, tokenizer)], tokenizer, loss_on)[0], max_length)


def _example(encoded: _Encoded, max_length: int) -> Example:
    ids = encoded.ids[:max_length]
    labels = [i if trained else UNTRAINED for i, trained in zip(ids, encoded.trained, strict=False)]
    return Example(
        ids=tuple(ids),
        labels=tuple(labels),
        prompt_tokens=encoded.prompt_tokens,
        answer_tokens=len(encoded.ids) - encoded.prompt_tokens,
        truncated=len(encoded.ids) > max_length,
    )


def lengths(
    rows: Iterable[tuple[int, Conversation]],
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    loss_on: LossOn = "answer",
) -> Iterator[Lengths]:
    """Counts of many rows, in order. A row that the template refuses is told, not raised."""
    waiting = iter(rows)
    while batch := list(islice(waiting, _BATCH)):
        rendered: dict[int, _Rendered] = {}
        refused: dict[int, str] = {}
        for place, (_, conversation) in enumerate(batch):
            try:
                rendered[place] = _render(conversation, tokenizer)
            except TemplateRefusal as error:
                refused[place] = str(error.values["reason"])
        encoded = dict(zip(rendered, _encode(list(rendered.values()), tokenizer, loss_on), strict=True))
        for place, (row_id, _) in enumerate(batch):
            if place in refused:
                yield Lengths(row_id, 0, 0, 0, truncated=False, refused=refused[place])
                continue
            found = encoded[place]
            total = len(found.ids)
            trained = sum(found.trained[1:max_length])
            yield Lengths(row_id, found.prompt_tokens, total - found.prompt_tokens, trained, total > max_length)


def view(
    record: Record,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    loss_on: LossOn = "answer",
) -> tuple[Example, tuple[Span, ...]]:
    """The row as the trainer reads it, and as text token by token; tokens that share a character are one span.

    Of a preference it is the chosen side; of an answer with thumbs down nothing carries loss. Joined, the spans are
    the rendered text (of the part that is cut only the beginning), and an end token where the template writes none.
    """
    rendered = _render_record(record, tokenizer)
    encoded = _encode([rendered], tokenizer, loss_on, offsets=True)[0]
    return _example(encoded, max_length), _spans(rendered, encoded, tokenizer, max_length)


def _spans(rendered: _Rendered, encoded: _Encoded, tokenizer: Any, max_length: int) -> tuple[Span, ...]:
    text = rendered.prompt + rendered.answer
    shown = min(len(encoded.ids), max_length)
    placed = [i for i, offset in enumerate(encoded.offsets) if offset != _NO_PLACE]
    spans: list[Span] = []
    place = end = 0
    while place < shown:
        last, stop = place + 1, encoded.offsets[place][1]
        while last < shown and encoded.offsets[last][0] < stop and encoded.offsets[last] not in _NOWHERE:
            stop = max(stop, encoded.offsets[last][1])
            last += 1
        trained = any(encoded.trained[place:last])
        if encoded.offsets[place] == _NO_PLACE:
            spans.append(Span(str(tokenizer.convert_ids_to_tokens(encoded.ids[place])), trained))
        else:
            stop = len(text) if last > placed[-1] else max(stop, end)
            spans.append(Span(text[end:stop], trained, last - place))
            end = stop
        place = last
    if len(encoded.ids) > shown:
        rest = text[end:]
        tail = rest if len(rest) <= _TAIL_CHARACTERS else f"{rest[:_TAIL_CHARACTERS]}…"
        spans.append(Span(tail, trained=False, tokens=0, cut=True))
    return tuple(spans)


# Rendering


def prompt_text(messages: Sequence[Message], tokenizer: "PreTrainedTokenizerBase", tools: Sequence[Tool] = ()) -> str:
    """What a chat gives the model to go on from."""
    return _apply(messages, tokenizer, tools, generation=True)


def refusal(record: Record, tokenizer: "PreTrainedTokenizerBase") -> TemplateRefusal | None:
    """Why the tokenizer's chat template takes no such row; None: it does."""
    try:
        _render_record(record, tokenizer)
    except TemplateRefusal as error:
        return error
    return None


def _apply(messages: Sequence[Message], tokenizer: Any, tools: Sequence[Tool], *, generation: bool) -> str:
    turns = turns_of(messages)
    given = {"tools": [dict(tool) for tool in tools]} if tools else {}
    try:
        return tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation, **given)
    except TemplateError as error:
        raise TemplateRefusal("error.data.template", reason=error.message or type(error).__name__) from None


def turns_of(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """The turns as chat templates read them (https://huggingface.co/docs/transformers/chat_extras)."""
    return [_turn(message) for message in messages]


def _turn(message: Message) -> dict[str, Any]:
    turn: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_calls:
        calls = [
            {"type": "function", "function": {"name": c.name, "arguments": c.arguments}} for c in message.tool_calls
        ]
        ids = [{"id": call.id} if call.id else {} for call in message.tool_calls]
        turn["tool_calls"] = [{**call, **named} for call, named in zip(calls, ids, strict=True)]
    if message.name:
        turn["name"] = message.name
    if message.call_id:
        turn["tool_call_id"] = message.call_id
    return turn


def _render_record(record: Record, tokenizer: Any) -> _Rendered:
    match record:
        case Passage(text):
            return _Rendered("", text)
        case PromptOnly(prompt, tools):
            _check_template(tokenizer, prompt, tools)
            return _Rendered(_apply(prompt, tokenizer, tools, generation=True), "", learned=False)
        case Rated(prompt, completion, False, tools):
            shown = _render_record(Rated(prompt, completion, True, tools), tokenizer)
            return _Rendered(shown.prompt, shown.answer, shown.earlier, learned=False)
    conversation = as_conversation(record)
    assert conversation is not None
    return _render(conversation, tokenizer)


def _render(conversation: Conversation, tokenizer: Any) -> _Rendered:
    tools = conversation.tools
    _check_template(tokenizer, conversation.messages, tools)
    prompt = _apply(conversation.prompt, tokenizer, tools, generation=True)
    whole = _apply(conversation.messages, tokenizer, tools, generation=False)
    # Where the template writes an answer otherwise than it asks for one, a chat would go on from the prompt.
    begins = whole.startswith(prompt)
    if conversation.calls and not begins:
        raise TemplateRefusal("error.data.template_tools", reason="tool_calls")
    answer = _without_tail(whole[len(prompt) :], tokenizer) if begins else conversation.answer
    earlier = []
    for number, turn in enumerate(conversation.prompt):
        if turn.role == "assistant":
            past = conversation.prompt[: number + 1]
            before = _apply(past[:-1], tokenizer, tools, generation=True) if number else ""
            after = _without_tail(_apply(past, tokenizer, tools, generation=False), tokenizer)
            # Some templates rewrite earlier turns (they leave out reasoning): those are read, not learned.
            if prompt.startswith(after) and after.startswith(before):
                earlier.append((len(before), len(after)))
    return _Rendered(prompt, answer, tuple(earlier))


def _check_template(tokenizer: Any, messages: Sequence[Message], tools: Sequence[Tool]) -> None:
    """Raises DataError when there is no template, or it would leave out tools, tool calls or what tools answered."""
    if not tokenizer.chat_template:
        raise DataError("error.data.no_template")
    needed = ["tools"] if tools else []
    needed += ["tool_calls"] if any(message.tool_calls for message in messages) else []
    needed += ["tool"] if any(message.role == "tool" for message in messages) else []
    missing = [part for part in needed if part not in _shown_by(tokenizer, str(tokenizer.chat_template))]
    if missing:
        raise TemplateRefusal("error.data.template_tools", reason=", ".join(missing))


@lru_cache(maxsize=8)
def _shown_by(tokenizer: Any, template: str) -> frozenset[str]:
    """Which parts of a chat with tools the template writes, found by trying; what it refuses, a row will tell."""
    mark = "q7x"
    call = ToolCall(mark, {}, mark * 3)  # Mistral's templates want ids of nine characters
    asked, calls = Message("user", "?"), Message("assistant", "", (call,))
    parts: dict[str, tuple[list[Message], list[Tool]]] = {
        "tools": ([asked], [{"type": "function", "function": {"name": mark, "description": "", "parameters": {}}}]),
        "tool_calls": ([asked, calls], []),
        "tool": ([asked, Message("assistant", "!"), Message("tool", mark, name="f", call_id=call.id)], []),
    }
    shown = set()
    for part, (messages, tools) in parts.items():
        try:
            if mark in _apply(messages, tokenizer, tools, generation=False):
                shown.add(part)
        except TemplateRefusal:
            shown.add(part)
    return frozenset(shown)


def special_tokens_in(text: str, tokenizer: "PreTrainedTokenizerBase") -> tuple[str, ...]:
    """Special tokens that are typed in a text. They reach the model as what they stand for, not as characters, in
    training and in a chat alike: an end token in the middle of an answer teaches to stop there."""
    special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    return tuple(sorted((token for token in special if token in text), key=text.index))


def _without_tail(text: str, tokenizer: Any) -> str:
    """Without the line end behind the end-of-turn token: a chat has stopped before it."""
    short = text.rstrip()
    return short if short.endswith(tuple(tokenizer.all_special_tokens) or ("\0",)) else text


# Encoding

_NO_PLACE = (-1, -1)
_NOWHERE = ((0, 0), _NO_PLACE)


def _encode(rendered: Sequence[_Rendered], tokenizer: Any, loss_on: LossOn, *, offsets: bool = False) -> list[_Encoded]:
    """Ids and loss of each; the character ranges only with `offsets`, for they cost as much as the rest."""
    if not rendered:
        return []
    if not tokenizer.is_fast:
        raise DataError("error.data.slow_tokenizer", tokenizer=type(tokenizer).__name__)
    inner = loss_on == "answer" and any(item.earlier for item in rendered)
    prompts = _call(tokenizer, [item.prompt for item in rendered], offsets or inner)
    answers = _call(tokenizer, [item.answer for item in rendered], offsets)
    special = set(tokenizer.all_special_ids)
    made = []
    for place, item in enumerate(rendered):
        prompt_ids, answer_ids = prompts["input_ids"][place], list(answers["input_ids"][place])
        prompt_offsets = prompts["offset_mapping"][place] if offsets or inner else []
        ends = tokenizer.eos_token_id is None or not item.answer or (answer_ids and answer_ids[-1] in special)
        if not ends:
            answer_ids.append(tokenizer.eos_token_id)
        if not item.learned:
            trained = [False] * (len(prompt_ids) + len(answer_ids))
        elif loss_on == "all":
            trained = [True] * (len(prompt_ids) + len(answer_ids))
        elif item.earlier:
            trained = _within(prompt_offsets, item.earlier) + [True] * len(answer_ids)
        else:
            trained = [False] * len(prompt_ids) + [True] * len(answer_ids)
        places = []
        if offsets:
            shift = len(item.prompt)
            places = [*prompt_offsets, *((a + shift, b + shift) for a, b in answers["offset_mapping"][place])]
            places += [] if ends else [_NO_PLACE]
        made.append(_Encoded([*prompt_ids, *answer_ids], places, trained, len(prompt_ids)))
    return made


def _call(tokenizer: Any, texts: list[str], offsets: bool) -> Any:
    return tokenizer(
        texts,
        add_special_tokens=False,
        return_offsets_mapping=offsets,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )


def _within(offsets: Sequence[tuple[int, int]], ranges: Sequence[tuple[int, int]]) -> list[bool]:
    """Which tokens lie wholly inside one of the ranges."""
    return [any(start >= low and stop <= high and stop > start for low, high in ranges) for start, stop in offsets]
