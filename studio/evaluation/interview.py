"""Everything that is asked of one contestant, in batches that can be stopped and gone on with."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from studio.data.records import Conversation, Passage
from studio.data.tokens import UNTRAINED, Example, tokenize
from studio.errors import DataError, ModelError
from studio.evaluation.answering import ROWS, Likelihood, Speaker, judge_likelihood, speak
from studio.evaluation.questions import Answer, Asked, Question
from studio.models.generation import Generation, Sampling, model_context, render_prompt

# An answer may be half as long again as the longest that is expected, within these bounds, in tokens.
_ROOM, _LEAST_TOKENS, _MOST_TOKENS = 1.5, 32, 1024
_PACE_PROMPTS = 3
_PACE_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a question: an answer, or (`refused`) why it could not be asked: a sentence key with its values.
    `prompt_tokens`: how long the prompt was."""

    row: int
    answer: Answer | None
    prompt_tokens: int = 0
    refused: tuple[str, dict[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class _Ready:
    """A question as token ids; each of its choices as its text and the example that holds it."""

    question: Question
    prompt: list[int]
    expected: Example
    choices: tuple[tuple[str, Example], ...] = ()


def interview(
    speaker: Speaker,
    questions: Sequence[Question],
    asked: Asked,
    *,
    choices: Mapping[int, tuple[str, ...]] | None = None,
    done: Collection[int] = (),
    stop: Callable[[], bool] | None = None,
) -> Iterator[list[Reply]]:
    """Replies to all questions but those that are `done` (by their rows), a batch at a time, longest prompts first. How
    long an answer may become goes by the expected ones, of all questions.

    Of a question without a prompt (a passage) only the likelihood is measured, and of one with `choices` (by row) which
    is likeliest. A question that the chat template refuses or that leaves no room for an answer is told, not raised.
    Raises Stopped soon after `stop` says so, ModelError where scores are no numbers.
    """
    context = model_context(speaker.model)
    ready: list[_Ready] = []
    refused: list[Reply] = []
    for question in questions:
        try:
            ready.append(_ready(speaker, question, asked, (choices or {}).get(question.row, ()), context))
        except (DataError, ModelError) as error:
            refused.append(Reply(question.row, None, refused=(error.key, error.values)))
    if new := [reply for reply in refused if reply.row not in done]:
        yield new
    longest = max((one.expected.answer_tokens for one in ready), default=0)
    most_tokens = max(_LEAST_TOKENS, min(_MOST_TOKENS, int(longest * _ROOM)))
    left = sorted((one for one in ready if one.question.row not in done), key=lambda one: -len(one.prompt))
    for begin in range(0, len(left), ROWS):
        yield _ask(speaker, left[begin : begin + ROWS], most_tokens, stop)


def _ready(speaker: Speaker, question: Question, asked: Asked, choices: tuple[str, ...], context: int) -> _Ready:
    if not question.prompt:
        return _Ready(question, [], tokenize(Passage(question.text), speaker.tokenizer, context))
    messages = asked.prompt(question)
    prompt = render_prompt(messages, speaker.tokenizer, question.tools)
    if len(prompt) >= context:
        raise ModelError("error.compare.too_long", tokens=len(prompt), context=context)
    expected = _answer_only(
        Conversation(messages, question.expected.content, question.tools, question.expected.tool_calls),
        speaker,
        context,
    )
    read = tuple((choice, _answer_only(Conversation(messages, choice), speaker, context)) for choice in choices)
    return _Ready(question, prompt, expected, read)


def _answer_only(talk: Conversation, speaker: Speaker, context: int) -> Example:
    """The example with loss on its last answer alone."""
    found = tokenize(talk, speaker.tokenizer, context)
    before = min(found.prompt_tokens, len(found.ids))
    labels = (UNTRAINED,) * before + found.labels[before:]
    return Example(found.ids, labels, found.prompt_tokens, found.answer_tokens, found.truncated)


def _ask(speaker: Speaker, some: Sequence[_Ready], most_tokens: int, stop: Callable[[], bool] | None) -> list[Reply]:
    examples = [one.expected for one in some]
    owners = [(place, None) for place in range(len(some))]
    for place, one in enumerate(some):
        examples += [example for _, example in one.choices]
        owners += [(place, number) for number in range(len(one.choices))]
    likely: dict[tuple[int, int | None], Likelihood] = {}
    for batch in judge_likelihood(speaker, examples, stop=stop):
        likely |= {owners[found.place]: found for found in batch}
    free = [place for place, one in enumerate(some) if one.prompt and not one.choices]
    spoken = {}
    for batch in speak(speaker, [some[place].prompt for place in free], most_tokens, stop=stop):
        spoken |= {free[said.place]: said for said in batch}
    replies = []
    for place, one in enumerate(some):
        found, said = likely[place, None], spoken.get(place)
        loss = found.loss / found.tokens if found.tokens else None
        text, tokens, stopped = (said.text, said.tokens, said.stopped) if said else ("", 0, True)
        if one.choices:
            text = _likeliest(one, [likely[place, number] for number in range(len(one.choices))])
        replies.append(Reply(one.question.row, Answer(text, tokens, stopped, loss, found.tokens), len(one.prompt)))
    return replies


def _likeliest(one: _Ready, found: Sequence[Likelihood]) -> str:
    """The choice with the most likelihood per byte; of equal ones the first."""
    losses = [likely.loss / max(1, len(text.encode())) for (text, _), likely in zip(one.choices, found, strict=True)]
    return one.choices[losses.index(min(losses))][0]


@dataclass(frozen=True, slots=True)
class Pace:
    """How quickly a single question is answered: seconds until the first token, and tokens per second after it (None
    where no answer has two), each the median of a few questions."""

    first_token_seconds: float
    tokens_per_second: float | None


def pace(speaker: Speaker, prompts: Sequence[Sequence[int]]) -> Pace | None:
    """Asks the first few of these prompts (token ids), one at a time. None where there are none."""
    firsts, speeds = [], []
    for prompt in prompts[:_PACE_PROMPTS]:
        adapters = None if speaker.adapter is None else [speaker.adapter]
        vocabularies = None if speaker.vocabulary is None else [speaker.vocabulary]
        talk = Generation(
            speaker.model, speaker.tokenizer, [prompt], Sampling(max_new_tokens=_PACE_TOKENS),
            adapters=adapters, vocabularies=vocabularies, lock=speaker.lock,
        )  # fmt: skip
        talk.run()
        answer = talk.answers[0]
        first = answer.first_token_seconds or answer.seconds
        firsts.append(first)
        if answer.tokens > 1 and answer.seconds > first:
            speeds.append((answer.tokens - 1) / (answer.seconds - first))
    return Pace(median(firsts), median(speeds) if speeds else None) if firsts else None
