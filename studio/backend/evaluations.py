"""Evaluations: contestants answer the same questions, once; what they said is kept and made into a report."""

import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from studio.backend.compare import Comparison
from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.judging import Case, ask_judge, kept_opinions
from studio.backend.mixtures import Mixtures
from studio.backend.starter_exam import starter_exam
from studio.backend.versions import Version
from studio.backend.work import Stopping, Tell, Work, turn
from studio.data.lessons import find_records
from studio.data.mapping import Mapping
from studio.data.records import Message, Passage, PromptOnly, Record, as_conversation
from studio.data.splits import SplitSpec, scores
from studio.data.tables import Table
from studio.errors import InputError, WorkspaceError
from studio.evaluation.choice import check_metrics, suited
from studio.evaluation.exams import LM_EVAL, STARTER_EXAM, Exam, read_exam
from studio.evaluation.kept import AnswerFile, Whose, read_answers
from studio.evaluation.lm_eval_tasks import LmTask, load_task
from studio.evaluation.plan import BUILT_IN, EvaluationPlan, Side
from studio.evaluation.questions import Answer, Asked, Question
from studio.evaluation.safety import SAFETY, safety_requests, safety_version
from studio.messages import translate
from studio.models.adapter_folder import ADAPTER_WEIGHTS, adapter_sha256
from studio.models.folder import WEIGHTS, file_sha256
from studio.runs.contestants import Contestant
from studio.runs.evaluations import Evaluation
from studio.runs.spec import STARTER, RunSpec
from studio.runs.store import Store, told_disk

if TYPE_CHECKING:
    from studio.evaluation.judge import Opinion

# What is kept of earlier evaluations is true as long as questions are asked in the same way.
_WAY = 1
_LISTED = 10
_NO_ROWS: dict[Side, str] = {
    "test": "error.evaluate.no_test",
    "validation": "error.evaluate.no_validation",
    "all": "error.evaluate.no_all",
}
# From this share of the rows kept back on, those that nearly equal a training row make figures doubtful.
_LEAK = 0.05
Role = Literal["base", "tuned", "base_prompt", "tuned_prompt", "other", "adapter"]


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """What is asked. `id` is a hash of it. `exam`: the general questions; None: rows of a data set, or requests that
    are to be refused or not. Of rows `skipped` hold nothing to be asked. `lm_task`: lm-eval asks them, each with what
    the task itself puts before it."""

    id: str
    title: str
    questions: tuple[Question, ...]
    exam: Exam | None = None
    skipped: int = 0
    lm_task: LmTask | None = field(default=None, repr=False)

    @property
    def choices(self) -> dict[int, tuple[str, ...]]:
        return {one.question.row: one.choices for one in self.exam.questions if one.choices} if self.exam else {}


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
        self._lm_tasks: dict[tuple[object, ...], LmTask] = {}
        self._work = Work()

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
            return tuple(one.name for one in suited(self.task(run, plan).questions))
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

    def sets(self, run: str, plan: EvaluationPlan) -> tuple[QuestionSet, ...]:
        """The rows of the task first, then the exams. Raises InputError, DataError: what of it cannot be asked."""
        return (self.task(run, plan), *self.exams(plan))

    def exams(self, plan: EvaluationPlan) -> tuple[QuestionSet, ...]:
        return tuple(self.exam(name, plan.exam_rows) for name in plan.exams)

    def import_exam(self, file: str) -> str:
        """A file with questions becomes a data set, whose version is returned. Raises DataError: it holds no exam, and
        nothing is kept of it."""
        path = Path(file)

        def check(table: Table) -> None:
            _read_exam(path.name, table)

        return self._datasets.import_file(path, check=check).id

    @property
    def lm_eval_folder(self) -> Path:
        """Where the user's own tasks of lm-eval lie: YAML files, as lm-eval reads them with `--include_path`."""
        return self._store.folder / "exams"

    def exam(self, name: str, lm_eval_rows: int = 400) -> QuestionSet:
        """The starter's own exam, the requests that are to be refused or not, a task of lm-eval (of its questions at
        most so many), or what a data set holds. Raises DataError, InputError."""
        if name == SAFETY:
            return QuestionSet(f"{SAFETY}-{safety_version()}-{_WAY}", SAFETY, safety_requests())
        if name.startswith(LM_EVAL):
            task = self._lm_task(name.removeprefix(LM_EVAL).strip(), lm_eval_rows)
            questions = tuple(q.question for q in task.exam.questions)
            return QuestionSet(f"lm-eval-{task.version}-{_WAY}", task.exam.name, questions, task.exam, lm_task=task)
        if name == STARTER_EXAM:
            exam = starter_exam()
        else:
            exam = _read_exam(self._datasets.version(name).name, self._datasets.table(name))
        return QuestionSet(f"exam-{exam.version}-{_WAY}", exam.name, tuple(q.question for q in exam.questions), exam)

    def _lm_task(self, name: str, most_rows: int) -> LmTask:
        """Read once, unless the user's own files have changed since."""
        files = sorted(path for path in self.lm_eval_folder.rglob("*") if path.is_file())
        key = (name, most_rows, *((str(path), path.stat().st_mtime_ns) for path in files))
        if key not in self._lm_tasks:
            load_engine()
            self._lm_tasks[key] = load_task(name, self.lm_eval_folder, most_rows)
        return self._lm_tasks[key]

    def task(self, run: str, plan: EvaluationPlan) -> QuestionSet:
        """The rows that the task is measured on.

        Raises InputError: there are none, or the run was trained on some of them, with the list.
        """
        spec = self._store.run(run).spec
        own = plan.version in ("", spec.data.version)
        version = spec.data.version if own else plan.version
        found = self._datasets.version(version)
        mapping = (spec.data.mapping if own else None) or found.mapping
        if mapping is None:
            raise InputError("error.train.no_mapping", data=found.name)
        split = spec.data.split if own else found.split
        parts = self._datasets.split(version, split, mapping)
        every = [i for ids in (parts.train, parts.validation, parts.test, parts.idle) for i in ids.tolist()]
        ids = every if plan.side == "all" else (parts.test if plan.side == "test" else parts.validation).tolist()
        ids = self._without_replay(found, ids)
        if not ids:
            counts = {"validation": len(parts.validation), "rows": len(every)}
            raise InputError(_NO_ROWS[plan.side], data=found.name, **counts)
        if len(ids) > plan.rows:
            ids = random.Random(0).sample(sorted(ids), plan.rows)
        records = find_records(self._datasets.table(version), mapping, sorted(ids))
        self._check_unseen(run, version, mapping, split, plan, records)
        questions = [question for row, record in records.items() if (question := _question(row, record))]
        if not questions:
            raise InputError("error.evaluate.nothing_expected", data=found.name, rows=len(ids))
        return QuestionSet(_set_id(questions), found.name, tuple(questions), skipped=len(ids) - len(questions))

    def _without_replay(self, version: Version, ids: list[int]) -> list[int]:
        """General data that was mixed in against forgetting is no part of the task."""
        if version.mix is None or version.mix.replay is None:
            return ids
        data = version.mix.replay.data
        name = data if data == STARTER else self._datasets.version(data).name
        rows = self._datasets.table(version.id).find(ids)
        return [i for i in ids if rows[i].values["source"] != name]

    def _check_unseen(
        self,
        run: str,
        version: str,
        mapping: Mapping,
        split: SplitSpec,
        plan: EvaluationPlan,
        records: dict[int, Record],
    ) -> None:
        """A split keeps equal rows on one side; other data, other splits and whole data sets are looked through."""
        asked = dict(zip(scores(records.values(), 0).tolist(), records, strict=True))
        for spec in self._lineage(run):
            data = spec.data
            if plan.side != "all" and (data.version, data.mapping, data.split) == (version, mapping, split):
                continue
            known = data.mapping or self._datasets.version(data.version).mapping
            assert known is not None, "a run names how its rows are read"
            trained = self._datasets.split(data.version, data.split, known).train.tolist()
            seen: set[int] = set()
            table = self._datasets.table(data.version)
            for begin in range(0, len(trained), 1024):
                some = find_records(table, known, trained[begin : begin + 1024])
                seen |= asked.keys() & set(scores(some.values(), 0).tolist())
            if seen:
                rows = sorted(asked[score] for score in seen)
                listed = ", ".join(map(str, rows[:_LISTED])) + (" ..." if len(rows) > _LISTED else "")
                raise InputError("error.evaluate.trained", count=len(rows), rows=listed, asked=len(records))

    def _lineage(self, run: str) -> Iterator[RunSpec]:
        """The run's settings, and those of the runs it goes on from, as far as they are still there."""
        while run:
            spec = self._store.run(run).spec
            yield spec
            run = spec.model.adapter if spec.model.adapter in self._store.cursors() else ""

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
        entrants, sets = self.entrants(run, step, plan), self.sets(run, plan)
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
            file = AnswerFile(partial, whose)
            try:
                done = {reply.row for batch in file.batches for reply in batch.replies}
                began = time.perf_counter()
                if asked.lm_task:
                    from studio.evaluation.lm_eval_model import ask_task

                    batches = ask_task(speaker, asked.lm_task, said, whose, done=done, told=told, stop=stopping)
                else:
                    batches = interview(speaker, asked.questions, way, choices=asked.choices, done=done, stop=stopping)
                for replies in batches:
                    file.add(time.perf_counter() - began, replies)
                    done |= {reply.row for reply in replies}
                    told(len(done))
                    began = time.perf_counter()
            finally:
                file.close()
            free = [q for q in asked.questions if q.prompt and q.row not in asked.choices and not asked.lm_task]
            prompts = [render_prompt(way.prompt(q), lease.tokenizer, q.tools) for q in free[:3]]
            quick = pace(speaker, prompts)
            size = lease.identity.parameters * lease.model.dtype.itemsize
        os.replace(partial, final)
        said.unlink(missing_ok=True)
        replies = [reply for batch in file.batches for reply in batch.replies]
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
                seconds=sum(batch.seconds for batch in file.batches),
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
            for batch in read_answers(self._store.evaluations_folder / f"{name}.jsonl", whose)
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


def _read_exam(name: str, table: Table) -> Exam:
    return read_exam(name, ((row.id, row.values) for batch in table.batches() for row in batch))


def _question(row: int, record: Record) -> Question | None:
    """What can be asked of a record; None where it holds nothing to be expected."""
    if isinstance(record, Passage):
        return Question(row, (), Message("", record.text))
    if isinstance(record, PromptOnly):
        return (
            Question(row, record.prompt, Message("assistant", record.answer), record.tools) if record.answer else None
        )
    talk = as_conversation(record)
    return None if talk is None else Question(row, talk.prompt, talk.last, talk.tools)


def _set_id(questions: Sequence[Question]) -> str:
    parts = [[q.row, _turns(q.prompt), _turns((q.expected,)), [dict(tool) for tool in q.tools]] for q in questions]
    return f"rows-{_digest(parts)}-{_WAY}"


def _turns(messages: Sequence[Message]) -> list[list[str]]:
    return [[m.role, m.text, m.name or ""] for m in messages]


def _name(contestant: Contestant, asked: QuestionSet, way: Asked) -> str:
    return _digest([contestant.model_dump(mode="json"), asked.id, way.system, _turns(way.shots)])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:24]
