"""What is asked in an evaluation: rows of data that the run was not trained on, and general questions."""

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.backend.datasets import Datasets
from studio.backend.engine import load_engine
from studio.backend.starter_exam import starter_exam
from studio.backend.versions import Version
from studio.data.lessons import find_records
from studio.data.mapping import Mapping
from studio.data.records import Message, Passage, PromptOnly, Record, as_conversation
from studio.data.splits import SplitSpec, scores
from studio.data.tables import Table
from studio.errors import InputError
from studio.evaluation.exams import LM_EVAL, STARTER_EXAM, Exam, read_exam
from studio.evaluation.lm_eval_tasks import LmTask, load_task
from studio.evaluation.plan import EvaluationPlan, Side
from studio.evaluation.questions import Question
from studio.evaluation.safety import SAFETY, safety_requests, safety_version
from studio.runs.spec import STARTER, RunSpec
from studio.runs.store import Store

# What is kept of earlier evaluations is true as long as questions are asked in the same way.
_WAY = 1
_LISTED = 10
_NO_ROWS: dict[Side, str] = {
    "test": "error.evaluate.no_test",
    "validation": "error.evaluate.no_validation",
    "all": "error.evaluate.no_all",
}


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


class QuestionSets:
    """Puts them together, from what the workspace holds."""

    def __init__(self, store: Store, datasets: Datasets) -> None:
        self._store = store
        self._datasets = datasets
        self._lm_tasks: dict[tuple[object, ...], LmTask] = {}

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
    parts = [[q.row, turns(q.prompt), turns((q.expected,)), [dict(tool) for tool in q.tools]] for q in questions]
    return f"rows-{digest(parts)}-{_WAY}"


def turns(messages: Sequence[Message]) -> list[list[str]]:
    """Role, text and name of each, as `digest` takes them."""
    return [[m.role, m.text, m.name or ""] for m in messages]


def digest(value: Any) -> str:
    """A name for what is asked, or who is asked: of equal values the same."""
    return hashlib.sha256(json.dumps(value, ensure_ascii=False, sort_keys=True).encode()).hexdigest()[:24]
