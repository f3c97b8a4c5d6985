"""A judge's opinion of what two contestants answered: asked once, kept beside the answers."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from studio.backend.compare import Comparison
from studio.backend.engine import load_engine
from studio.backend.work import Stopping
from studio.data.records import Messages
from studio.errors import Stopped
from studio.evaluation.judge import Ask, JudgeSilent, Opinion, judge_rows
from studio.evaluation.judge_address import JudgeAddress, judge_at
from studio.evaluation.kept import OPINIONS, JudgeWeights
from studio.evaluation.line_file import LineFile, read_lines
from studio.evaluation.plan import JudgeSpec
from studio.evaluation.questions import Question
from studio.runs.contestants import Contestant
from studio.runs.spec import ModelSpec

if TYPE_CHECKING:
    from studio.backend.evaluations import Taken
    from studio.backend.question_sets import QuestionSet
    from studio.backend.residence import Lease

# What is kept of earlier opinions is true as long as judges are asked in the same way.
_WAY = 1
# Room for one word, and for a judge that thinks before it.
_TOKENS, _THINKING_TOKENS = 16, 1024
_PAUSE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Case:
    """Which of the two answers to each of these questions is better?"""

    judge: JudgeSpec
    asked: "QuestionSet"
    left: "Taken"
    right: "Taken"

    @property
    def id(self) -> str:
        """A hash of who is asked about whose answers; how long a reply may take is no part of it."""
        parts = [
            [one.evaluation.id, one.evaluation.base_fingerprint, one.evaluation.adapter_sha256]
            for one in (self.left, self.right)
        ]
        text = json.dumps([self.judge.model, self.judge.address, self.asked.id, parts, _WAY])
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def questions(self) -> list[Question]:
        """Those that both have answered."""
        both = self.left.answers.keys() & self.right.answers.keys()
        return [question for question in self.asked.questions if question.prompt and question.row in both]


def kept_opinions(case: Case, folder: Path) -> tuple[Opinion, ...]:
    """What the judge said so far."""
    return tuple(read_lines(_file(case, folder), OPINIONS, JudgeWeights))


def ask_judge(
    case: Case,
    folder: Path,
    compare: Comparison,
    key: str,
    told: Callable[[int], None],
    stopping: Stopping | None,
    wait: Callable[[float], None] = time.sleep,
) -> None:
    """Asks about the rows that there is no opinion of yet; each is kept as it comes. `told`: how many there are;
    `wait`: between tries.

    Raises StudioError: the judge cannot be used, or three rows running got no reply.
    """
    done = {opinion.row for opinion in kept_opinions(case, folder)}
    if all(question.row in done for question in case.questions):
        return
    if case.judge.address:
        asking = _at_address(case.judge, key, stopping, wait)
    else:
        asking = _local(case.judge, compare, stopping)
    with (
        asking as (ask, fingerprint),
        LineFile(_file(case, folder), OPINIONS, JudgeWeights(fingerprint=fingerprint)) as file,
    ):
        done = {opinion.row for opinion in file.lines}
        left = [question for question in case.questions if question.row not in done]
        answers = ([one.answers[question.row] for question in left] for one in (case.left, case.right))
        for count, opinion in enumerate(judge_rows(ask, left, *answers), len(done) + 1):
            if not opinion.silent:
                file.add(opinion)
            told(count)
            if stopping and stopping():
                raise Stopped("error.stopped")


def _file(case: Case, folder: Path) -> Path:
    return folder / f"judge-{case.id}.jsonl"


@contextmanager
def _at_address(
    judge: JudgeSpec, key: str, stopping: Stopping | None, wait: Callable[[float], None]
) -> Iterator[tuple[Ask, str]]:
    """A server does not tell its weights: its model is what it is called."""

    def pause(seconds: float) -> None:
        for _ in range(round(seconds / _PAUSE_SECONDS)):
            if stopping and stopping():
                raise Stopped("error.stopped")
            wait(_PAUSE_SECONDS)

    with judge_at(JudgeAddress(judge.address, judge.model, judge.seconds), key, pause) as ask:
        yield ask, ""


@contextmanager
def _local(judge: JudgeSpec, compare: Comparison, stopping: Stopping | None) -> Iterator[tuple[Ask, str]]:
    load_engine()
    with compare.lease_contestant(Contestant(base=ModelSpec(source=judge.model))) as lease:
        yield _speaking(lease, stopping), lease.identity.fingerprint


def _speaking(lease: "Lease", stopping: Stopping | None) -> Ask:
    from studio.evaluation.answering import Speaker, speak
    from studio.models.generation import model_context, render_prompt

    speaker = Speaker(lease.model, lease.tokenizer, lease.adapter_name, lease.vocabulary, lease.lock)
    context = model_context(lease.model)

    def ask(messages: Messages) -> str:
        prompt = render_prompt(messages, lease.tokenizer)
        if len(prompt) >= context:
            raise JudgeSilent("error.judge.too_long", model=lease.identity.name, tokens=len(prompt), context=context)
        ((said,),) = speak(speaker, [prompt], _TOKENS, stop=stopping)
        if said.text.lstrip().startswith("<think>") and not said.stopped:
            ((said,),) = speak(speaker, [prompt], _THINKING_TOKENS, stop=stopping)
        return said.text

    return ask
