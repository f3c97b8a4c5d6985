"""The form of an evaluation -> its plan."""

from typing import Any

import pytest

from studio.errors import InputError
from studio.evaluation.exams import STARTER_EXAM
from studio.evaluation.plan import EvaluationPlan, JudgeSpec
from studio.ui.evaluate_form import PlanForm, plan_of

USUAL = {
    "version": "", "side": "test", "rows": 1000, "exams": [STARTER_EXAM], "tasks": [], "exam_rows": 400,
    "system": "", "shots": 0, "others": [], "adapters": [], "metrics": [], "json_schema": "",
    "judge_model": "", "judge_address": "", "judge_seconds": 60,
    "least_rows": 30, "forgot_some": 5, "forgot": 10, "form_some": 5, "form_lost": 20, "safety_some": 5,
    "safety_lost": 20,
}  # fmt: skip


def plan(**values: Any) -> EvaluationPlan:
    return plan_of([{**USUAL, **values}[name] for name in PlanForm.__dataclass_fields__])


def test_the_usual_form_is_the_usual_plan() -> None:
    assert plan() == EvaluationPlan()


def test_a_judge() -> None:
    assert plan(judge_model=" big ").judge == JudgeSpec(model="big")
    there = plan(judge_model="big", judge_address=" http://localhost:1/v1 ", judge_seconds=5).judge
    assert there == JudgeSpec(model="big", address="http://localhost:1/v1", seconds=5)
    with pytest.raises(InputError):
        plan(judge_address="http://localhost:1/v1")
    with pytest.raises(InputError) as told:
        plan(judge_model="big", judge_address="http://host/?key=secret")
    assert "secret" not in told.value.message()


def test_tasks_of_lm_eval() -> None:
    """Chosen, or typed, several at once; beside the other exams."""
    found = plan(tasks=["arc_easy", " hellaswag, my_own、arc_easy "], exam_rows=50)
    assert found.exams == (STARTER_EXAM, "lm-eval:arc_easy", "lm-eval:hellaswag", "lm-eval:my_own")
    assert found.exam_rows == 50


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(InputError) as told:
        plan(shots=99)
    assert "shots" in told.value.message()
