"""Evaluations: contestants answer the same questions, once; what they said is kept and made into a report."""

import json
import os
import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.backend.compare import Comparison
from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.judging import Case, ask_judge, kept_opinions
from studio.backend.mixtures import Mixtures
from studio.backend.question_sets import QuestionSet, QuestionSets, digest, turns
from studio.backend.work import Stopping, Tell, Work, turn
from studio.data.records import Message
from studio.errors import InputError, WorkspaceError
from studio.evaluation.choice import check_metrics, suited
from studio.evaluation.exams import STARTER_EXAM
from studio.evaluation.kept import BATCHES, Batch, KeptReply, Whose
from studio.evaluation.line_file import LineFile, read_lines
from studio.evaluation.plan import BUILT_IN, EvaluationPlan
from studio.evaluation.questions import Answer, Asked
from studio.messages import translate
from studio.models.adapter_folder import ADAPTER_WEIGHTS, adapter_sha256
from studio.models.folder import WEIGHTS, file_sha256
from studio.runs.contestants import Contestant
from studio.runs.evaluations import Evaluation
from studio.runs.spec import STARTER, RunSpec
from studio.runs.store import Store, told_disk

if TYPE_CHECKING:
    from studio.evaluation.judge import Opinion

# From this share of the rows kept back on, those that nearly equal a training row make figures doubtful.
_LEAK = 0.05
Role = Literal["base", "tuned", "base_prompt", "tuned_prompt", "other", "adapter"]


@dataclass(frozen=True, slots=True)
class Entrant:
    """A contestant and the part it plays."""

    role: Role
    contestant: Contestant

    def title(self, language: str) -> str:
        """What it is called in the head of a table."""
        if self.role == "other":
            return self.contestant.base.source.rpartition("/")[2]
        if self.role == "adapter":
            return Path(self.contestant.folder).name
        return translate(f"ui.evaluate.role.{self.role}", language)


@dataclass(frozen=True, slots=True)
class Taken:
    """An evaluation that was made: the record, the answers by row, and why some rows could not be asked."""

    evaluation: Evaluation
    answers: dict[int, Answer]
    refused: dict[int, tuple[str, dict[str, Any]]] = field(default_factory=dict)


class Evaluations:
    """Asks contestants, one evaluation at a time, and keeps what they said."""

    def __init__(self, store: Store, datasets: Datasets, mixtures: Mixtures, compare: Comparison) -> None:
        self._store = store
        self._datasets = datasets
        self._mixtures = mixtures
        self._compare = compare
        self._asking = threading.Lock()
        self._work = Work()
        self.questions = QuestionSets(store, datasets)

    # What is asked, and of whom

    def plan(self, run: str) -> EvaluationPlan:
        """How this run is evaluated: as it was said last; else on its test rows, or where it has none on those that
        validate, with the general questions that come with the studio."""
        kept = json.loads(self._store.evaluation_plan(run))
        if kept:
            return EvaluationPlan.model_validate(kept)
        _, validation, test = self.rows(run)
        # The starter refuses nothing: of it nothing can be lost.
        exams = (STARTER_EXAM,) if self.run_spec(run).model.source == STARTER else BUILT_IN
        return EvaluationPlan(side="test" if test or not validation else "validation", exams=exams)

    def set_plan(self, run: str, plan: EvaluationPlan) -> None:
        self._store.set_evaluation_plan(run, plan.model_dump_json())

    def run_spec(self, run: str) -> RunSpec:
        return self._store.run(run).spec

    def replays(self, run: str) -> bool:
        """Whether general data was mixed into what the run learned from."""
        return self._mixtures.replayed(self.run_spec(run).data.version) is not None

    def caveats(self, run: str) -> tuple[tuple[str, dict[str, Any]], ...]:
        """What the checks found in the run's data that makes its figures doubtful, where they were made."""
        spec = self.run_spec(run)
        version, length = spec.data.version, spec.data.max_length
        if not self._datasets.scanned(version, spec.model.source, length):
            return ()
        found = self._datasets.findings(version, spec.model.source, length)
        _, validation, test = self.rows(run)
        leaks = (f for f in found if f.key == "finding.split_leak" and f.count >= _LEAK * (validation + test))
        return tuple(("ui.verdict.data.split_leak", dict(f.values)) for f in leaks)

    def cautions(self, run: str, entrants: Sequence[Entrant]) -> tuple[tuple[str, dict[str, Any]], ...]:
        """Of adapters that were made elsewhere, those that the run went on from too: that one says it was made for
        another base. Raises ModelError: it was made for other weights."""
        model = self.run_spec(run).model
        asked = [entrant.contestant for entrant in entrants]
        asked += [Contestant(base=model, folder=model.adapter_folder)] if model.adapter_folder else []
        found = (self._compare.caution(contestant) for contestant in asked)
        return tuple((caution.key, caution.values) for caution in found if caution is not None)

    def rows(self, run: str) -> tuple[int, int, int]:
        """Rows of the run's data that train, validate and test."""
        data = self._store.run(run).spec.data
        parts = self._datasets.split(data.version, data.split, data.mapping)
        return len(parts.train), len(parts.validation), len(parts.test)

    def side_rows(self, run: str, version: str) -> tuple[int, int, int]:
        """Rows that train, validate and test, of the run's own data (empty) or of another version as it is split."""
        if version in ("", self.run_spec(run).data.version):
            return self.rows(run)
        parts = self._datasets.split(version, self._datasets.version(version).split)
        return len(parts.train), len(parts.validation), len(parts.test)

    def suited(self, run: str, plan: EvaluationPlan) -> tuple[str, ...]:
        """Names of the metrics that suit the rows; none where there are no rows to be asked."""
        try:
            return tuple(one.name for one in suited(self.questions.task(run, plan).questions))
        except InputError:
            return ()

    def entrants(self, run: str, step: int | None, plan: EvaluationPlan) -> tuple[Entrant, ...]:
        """The base first, then the tuned model; with a prompt both once more; then other base models, and adapters that
        were made elsewhere."""
        base, tuned = self._compare.beside_base(run, step)
        found = [Entrant("base", base), Entrant("tuned", tuned)]
        if plan.prompted:
            prompt = {"system": plan.system.strip(), "shots": plan.shots}
            found += [Entrant("base_prompt", base.model_copy(update=prompt))]
            found += [Entrant("tuned_prompt", tuned.model_copy(update=prompt))]
        found += [Entrant("other", Contestant(base=model)) for model in plan.others]
        return (*found, *(Entrant("adapter", Contestant(base=base.base, folder=folder)) for folder in plan.adapters))

    # Asking

    def follow(
        self, run: str, step: int | None, plan: EvaluationPlan, judge_key: str = ""
    ) -> Generator[float, None, None]:
        """`evaluate` in a thread of its own: yields the share done. Closing the iterator stops it; what was answered is
        kept."""

        def ask(tell: Tell, stopping: Stopping) -> None:
            self.evaluate(run, step, plan, tell, stopping, judge_key)

        return self._work.follow((run, step, plan), ask)

    def evaluate(
        self, run: str, step: int | None = None, plan: EvaluationPlan | None = None,
        tell: Tell | None = None, stopping: Stopping | None = None, judge_key: str = "",
    ) -> None:  # fmt: skip
        """Every contestant answers every set of questions, those again that were not answered before; then the judge
        is asked, where there is one. `judge_key`: for its server; kept nowhere.

        Stopped or killed, it goes on from there when asked again. Tasks of lm-eval are not asked of
        contestants with a prompt, for they bring their own. Raises StudioError: before anybody is asked, where a
        metric or a judge does not fit the rows.
        """
        if self._store.read_only:
            raise WorkspaceError("error.workspace.read_only", folder=str(self._store.folder))
        plan = plan or self.plan(run)
        entrants, sets = self.entrants(run, step, plan), self.questions.sets(run, plan)
        if plan.metrics:
            check_metrics(plan.metrics, sets[0].questions, plan.json_schema)
        if plan.judge and not any(question.prompt for question in sets[0].questions):
            raise InputError("error.judge.nothing", data=sets[0].title)
        work = [(who, asked) for who in entrants for asked in sets if not (asked.lm_task and who.contestant.prompted)]
        all_questions, before = sum(len(asked.questions) for _, asked in work), 0
        all_questions += len(sets[0].questions) if plan.judge else 0
        with turn(self._asking, stopping):
            for entrant, asked in work:
                began = before

                def told(done: int, began: int = began) -> None:
                    if tell:
                        tell((began + done) / all_questions)

                told(0)
                if self.taken(run, entrant.contestant, asked) is None:
                    self._ask(run, entrant.contestant, asked, told, stopping)
                told(len(asked.questions))
                before += len(asked.questions)
            if plan.judge:
                base, tuned = (self.taken(run, entrant.contestant, sets[0]) for entrant in entrants[:2])
                assert base, "it was asked"
                assert tuned, "it was asked"
                case, folder = Case(plan.judge, sets[0], base, tuned), self._store.evaluations_folder
                with told_disk(self._store.folder):
                    ask_judge(
                        case, folder, self._compare, judge_key,
                        lambda done: tell((before + done) / all_questions) if tell else None, stopping,
                    )  # fmt: skip

    def _ask(
        self,
        run: str,
        contestant: Contestant,
        asked: QuestionSet,
        told: Callable[[int], None],
        stopping: Stopping | None,
    ) -> None:
        load_engine()
        from studio.evaluation.answering import Speaker
        from studio.evaluation.interview import interview, pace
        from studio.models.generation import render_prompt

        way = self._way(run, contestant)
        name = _name(contestant, asked, way)
        partial, final = (self._store.evaluations_folder / f"{name}{end}" for end in (".partial.jsonl", ".jsonl"))
        said = partial.with_suffix("").with_suffix(".lm-eval.jsonl")  # to the requests of lm-eval
        with self._compare.lease_contestant(contestant) as lease, told_disk(self._store.folder):
            speaker = Speaker(lease.model, lease.tokenizer, lease.adapter_name, lease.vocabulary, lease.lock)
            whose = Whose(base_fingerprint=lease.identity.fingerprint, adapter_sha256=lease.adapter_sha256)
            with LineFile(partial, BATCHES, whose) as file:
                done = {reply.row for batch in file.lines for reply in batch.replies}
                began = time.perf_counter()
                if asked.lm_task:
                    from studio.evaluation.lm_eval_model import ask_task

                    batches = ask_task(speaker, asked.lm_task, said, whose, done=done, told=told, stop=stopping)
                else:
                    batches = interview(speaker, asked.questions, way, choices=asked.choices, done=done, stop=stopping)
                for replies in batches:
                    kept = tuple(KeptReply(r.row, r.answer, r.prompt_tokens, r.refused) for r in replies)
                    file.add(Batch(time.perf_counter() - began, kept))
                    done |= {reply.row for reply in replies}
                    told(len(done))
                    began = time.perf_counter()
            free = [q for q in asked.questions if q.prompt and q.row not in asked.choices and not asked.lm_task]
            prompts = [render_prompt(way.prompt(q), lease.tokenizer, q.tools) for q in free[:3]]
            quick = pace(speaker, prompts)
            size = lease.identity.parameters * lease.model.dtype.itemsize
        os.replace(partial, final)
        said.unlink(missing_ok=True)
        replies = [reply for batch in file.lines for reply in batch.replies]
        answers = [reply.answer for reply in replies if reply.answer]
        self._store.add_evaluation(
            Evaluation(
                id=name,
                contestant=contestant,
                questions=asked.id,
                base_name=lease.identity.name,
                base_fingerprint=lease.identity.fingerprint,
                adapter_sha256=lease.adapter_sha256,
                rows=len(answers),
                refused=len(replies) - len(answers),
                seconds=sum(batch.seconds for batch in file.lines),
                tokens=sum(answer.tokens for answer in answers),
                prompt_tokens=sum(reply.prompt_tokens for reply in replies),
                first_token_seconds=quick.first_token_seconds if quick else None,
                tokens_per_second=quick.tokens_per_second if quick else None,
                model_bytes=size,
            )
        )

    def _way(self, run: str, contestant: Contestant) -> Asked:
        """What stands before each question: examples come from the training rows of the run."""
        shots: list[Message] = []
        if contestant.shots:
            data = self._store.run(run).spec.data
            for messages, answer in self._datasets.shots(data.version, data.split, contestant.shots, data.mapping):
                shots += [message for message in messages if message.role != "system"]
                shots.append(Message("assistant", answer))
        return Asked(contestant.system, tuple(shots))

    # What was said

    def opinions(
        self, plan: EvaluationPlan, task: QuestionSet, base: Taken, tuned: Taken
    ) -> "tuple[int, tuple[Opinion, ...]]":
        """How many answers of base and tuned model the judge is asked about, and what it said so far."""
        if plan.judge is None:
            return 0, ()
        case = Case(plan.judge, task, base, tuned)
        return len(case.questions), kept_opinions(case, self._store.evaluations_folder)

    def taken(self, run: str, contestant: Contestant, asked: QuestionSet) -> Taken | None:
        """What this contestant said to these questions; None where it was not asked, or its weights are others now."""
        name = _name(contestant, asked, self._way(run, contestant))
        found = self._store.evaluation(name)
        if found is None or not self._unchanged(run, found):
            return None
        whose = Whose(base_fingerprint=found.base_fingerprint, adapter_sha256=found.adapter_sha256)
        replies = [
            reply
            for batch in read_lines(self._store.evaluations_folder / f"{name}.jsonl", BATCHES, whose)
            for reply in batch.replies
        ]
        if not replies:
            return None
        answers = {reply.row: reply.answer for reply in replies if reply.answer}
        return Taken(found, answers, {reply.row: reply.refused for reply in replies if reply.refused})

    def _unchanged(self, run: str, found: Evaluation) -> bool:
        """As far as the record of the run tells: other base models are what they were called."""
        contestant = found.contestant
        started = self._store.outlines([run])[run].started
        same_base = contestant.base.source == self._store.run(run).spec.model.source
        if same_base and started is not None and started.base_fingerprint != found.base_fingerprint:
            return False
        if contestant.folder:
            return adapter_sha256(Path(contestant.folder)) == found.adapter_sha256
        if contestant.run:
            adapter = self._compare.adapter(contestant.run, contestant.step)
            file = adapter.folder / (WEIGHTS if adapter.full else ADAPTER_WEIGHTS)
            return file.is_file() and file_sha256(file) == found.adapter_sha256
        return True


def _name(contestant: Contestant, asked: QuestionSet, way: Asked) -> str:
    return digest([contestant.model_dump(mode="json"), asked.id, way.system, turns(way.shots)])
