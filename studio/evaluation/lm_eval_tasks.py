"""Tasks of lm-eval (https://github.com/EleutherAI/lm-evaluation-harness) as exams, where it is installed.

A task is found by its name, among the user's own first (a folder of its YAML files), and its requests are built by
lm-eval itself: examples before a question, their seed and the text are the task's. They are asked as lm-eval asks them
by default, without a chat template.
"""

import hashlib
import json
import logging
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from studio.errors import InputError
from studio.evaluation.exams import LM_EVAL, Exam, ExamQuestion, exam_question

log = logging.getLogger("studio")
# Metrics that say of each question whether it is right; the first that a task has is used.
RIGHT_WRONG = ("acc_norm", "acc", "exact_match")
_SEED = 1234  # lm-eval's own for the examples before a question (lm_eval.defaults)
_TOLD = 5


@dataclass(frozen=True, slots=True, eq=False)
class LmTask:
    """`task`: lm-eval's object, which is built anew from `rows` (places in its data) when it is asked; `metric`, after
    the filter of that name, tells whether an answer is right. `version` is a hash of lm-eval's and the task's version
    and of all that is asked and expected."""

    name: str
    task: Any
    rows: tuple[int, ...]
    metric: str
    filter: str
    version: str
    exam: Exam


def load_task(name: str, folder: Path, most_rows: int) -> LmTask:
    """The task, of its questions at most so many, chosen with a seed. Downloads its data where they are not there yet.

    Raises InputError: lm-eval is not installed, there is no such task, it is a group of tasks, its data cannot be had,
    or it does not say what is right.
    """
    if find_spec("lm_eval") is None:
        raise InputError("error.lm_eval.missing", task=name)
    manager = _manager_of(name, folder)
    with _told(name):
        task = manager.load([name])["tasks"][name]
    metrics = tuple(task.aggregation())
    metric = next((one for one in RIGHT_WRONG if one in metrics), None)
    if metric is None:
        raise InputError("error.lm_eval.no_right", task=name, metrics=", ".join(metrics) or "-")
    if getattr(task, "MULTIMODAL", False) or getattr(task, "UNSAFE_CODE", False):
        raise InputError("error.lm_eval.unfit", task=name)
    with _told(name):
        count = len(task.eval_docs)
        rows = tuple(range(count) if count <= most_rows else sorted(random.Random(0).sample(range(count), most_rows)))
        seed(task)
        task.build_all_requests(samples=list(rows))
        asked: dict[int, list[Any]] = defaultdict(list)
        for request in task.instances:
            asked[rows[request.doc_id]].append(request)
        expected = {row: str(task.doc_to_target(requests[0].doc)) for row, requests in asked.items()}
    if any(_samples(request.args) for requests in asked.values() for request in requests):
        raise InputError("error.lm_eval.samples", task=name)
    chosen = str(task._filters[0].name)  # what `Task.apply_filters` goes through, in its order
    group = metric if chosen == "none" else f"{metric}, {chosen}"
    questions = tuple(
        ExamQuestion(exam_question(row, requests[0].args[0], expected[row]), expected[row], group)
        for row, requests in asked.items()
    )
    parts = [version("lm_eval"), str(task.VERSION), group, expected]
    parts += [[row, [request.args for request in requests]] for row, requests in asked.items()]
    digest = hashlib.sha256(json.dumps(parts, ensure_ascii=False, default=str).encode()).hexdigest()[:16]
    return LmTask(name, task, rows, metric, chosen, digest, Exam(f"{LM_EVAL}{name}", questions))


def seed(task: Any) -> None:
    """As `lm_eval.simple_evaluate` does before each evaluation: equal examples before equal questions."""
    if task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=_SEED)


@cache
def _known() -> Any:
    """The tasks that come with lm-eval; looking through their files takes seconds."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def _manager_of(name: str, folder: Path) -> Any:
    from lm_eval.tasks import TaskManager

    own = TaskManager(include_path=str(folder), include_defaults=False) if folder.is_dir() else None
    if own is not None and name in own.all_subtasks:
        return own
    for manager in filter(None, (own, _known())):
        if name in manager.all_subtasks:
            return manager
        if name in manager.all_tasks:
            raise InputError("error.lm_eval.group", task=name, members=_members(manager.task_index[name]))
    raise InputError("error.lm_eval.unknown", task=name, folder=str(folder), near=_nearest(name, own))


def _members(entry: Any) -> str:
    listed = (entry.cfg or {}).get("task") or sorted(entry.tags)
    names = [one if isinstance(one, str) else str(one.get("task", one.get("group"))) for one in listed]
    return ", ".join(names[:_TOLD]) + (" ..." if len(names) > _TOLD else "")


def _nearest(name: str, own: Any) -> str:
    from rapidfuzz import process

    names = [*(own.all_subtasks if own else ()), *_known().all_subtasks]
    return ", ".join(found for found, _, _ in process.extract(name, names, limit=_TOLD))


def _samples(args: tuple[Any, ...]) -> bool:
    """Whether answers are to be drawn by chance; ours are the likeliest ones."""
    from lm_eval.models.utils import normalize_gen_kwargs

    return len(args) > 1 and isinstance(args[1], dict) and bool(normalize_gen_kwargs(args[1]).get("do_sample"))


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What a task's file, its functions or its data raise, as an error that can be read."""
    import httpx2
    import jinja2
    import pyarrow as pa
    from datasets.exceptions import DatasetsError
    from huggingface_hub.errors import OfflineModeIsEnabled

    try:
        yield
    except (OfflineModeIsEnabled, ConnectionError, TimeoutError, httpx2.TransportError) as error:
        raise InputError("error.lm_eval.download", task=name, reason=_first_line(error)) from None
    except (
        DatasetsError, pa.ArrowException, jinja2.TemplateError, OSError, RuntimeError, ValueError, TypeError,
        LookupError, AttributeError, ArithmeticError, ImportError, AssertionError,
    ) as error:  # fmt: skip
        log.exception("task %s", name)
        raise InputError("error.lm_eval.load", task=name, reason=_first_line(error)) from None


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
