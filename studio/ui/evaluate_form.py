"""How a run is evaluated, as widgets."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from studio.errors import InputError
from studio.evaluation.exams import LM_EVAL
from studio.evaluation.metrics import METRICS
from studio.evaluation.plan import BUILT_IN, EvaluationPlan, make_plan
from studio.evaluation.verdict import exam_title
from studio.runs.contestants import MOST_SHOTS
from studio.ui.page import Page

_TASKS = (
    "arc_easy", "arc_challenge", "hellaswag", "winogrande", "piqa", "openbookqa", "boolq", "sciq", "commonsense_qa",
    "truthfulqa_mc1", "lambada_openai", "gsm8k", "ja_leaderboard_jcommonsenseqa", "ja_leaderboard_marc_ja",
    "belebele_jpn_Jpan", "xwinograd_jp",
)  # fmt: skip
"""Tasks of lm-eval that are offered; others are known by their names."""
_SHARES = ("forgot_some", "forgot", "form_some", "form_lost", "safety_some", "safety_lost")


@dataclass(frozen=True, slots=True, eq=False)
class PlanForm:
    """The widgets, in the order in which their values are given to `plan_of` and `values_of`."""

    version: gr.Dropdown
    side: gr.Radio
    rows: gr.Number
    exams: gr.CheckboxGroup
    tasks: gr.Dropdown
    exam_rows: gr.Number
    system: gr.Textbox
    shots: gr.Slider
    others: gr.Dropdown
    adapters: gr.Dropdown
    metrics: gr.CheckboxGroup
    json_schema: gr.Textbox
    judge_model: gr.Textbox
    judge_address: gr.Textbox
    judge_seconds: gr.Number
    least_rows: gr.Number
    forgot_some: gr.Slider
    forgot: gr.Slider
    form_some: gr.Slider
    form_lost: gr.Slider
    safety_some: gr.Slider
    safety_lost: gr.Slider

    @property
    def lines(self) -> list[gr.Slider]:
        """Where the rule draws its lines."""
        return [getattr(self, name) for name in _SHARES]

    @property
    def inputs(self) -> list[Any]:
        return [getattr(self, field.name) for field in fields(self)]


def build_form(page: Page) -> tuple[PlanForm, gr.UploadButton, gr.Textbox]:
    """What is asked, of whom, and where the rule draws its lines; the button that brings an exam; and the key of the
    judge's server, which is no part of the plan: plans are kept."""
    t = page.t

    def told(name: str) -> dict[str, Any]:
        texts = {"label": t(f"ui.evaluate.form.{name}"), "info": t(f"ui.evaluate.form.{name}.help")}
        return {**texts, "elem_id": f"evaluate-{name.replace('_', '-')}"}

    with gr.Row():
        version = gr.Dropdown([("", "")], value="", min_width=240, **told("version"))
        side = gr.Radio([], min_width=240, **told("side"))
        rows = gr.Number(1000, precision=0, minimum=1, maximum=100_000, min_width=140, **told("rows"))
    with gr.Row(elem_classes="cmp-making"):
        exams = gr.CheckboxGroup([], min_width=240, **told("exams"))
        bring = gr.UploadButton(
            t("ui.evaluate.form.bring"), size="sm", min_width=160, scale=0, elem_id="evaluate-bring",
            file_types=[".csv", ".tsv", ".json", ".jsonl", ".parquet", ".xlsx"],
        )  # fmt: skip
    with gr.Row():
        tasks = gr.Dropdown(
            list(_TASKS), value=[], multiselect=True, allow_custom_value=True, min_width=240, **told("tasks")
        )
        exam_rows = gr.Number(400, precision=0, minimum=1, maximum=100_000, min_width=140, **told("exam_rows"))
    with gr.Accordion(t("ui.evaluate.form.prompt"), open=False, elem_id="evaluate-prompt"):
        system = gr.Textbox(lines=2, max_lines=8, max_length=20_000, **told("system"))
        shots = gr.Slider(0, MOST_SHOTS, 0, step=1, **told("shots"))
        others = gr.Dropdown([], value=[], multiselect=True, allow_custom_value=True, **told("others"))
        adapters = gr.Dropdown([], value=[], multiselect=True, allow_custom_value=True, **told("adapters"))
    with gr.Accordion(t("ui.evaluate.form.measures"), open=False, elem_id="evaluate-measures"):
        metrics = gr.CheckboxGroup([(m.title(page.language), name) for name, m in METRICS.items()], **told("metrics"))
        json_schema = gr.Textbox(lines=2, max_lines=12, max_length=100_000, **told("json_schema"))
    with gr.Accordion(t("ui.evaluate.form.rules"), open=False, elem_id="evaluate-rules"):
        least = gr.Number(30, precision=0, minimum=1, maximum=10_000, **told("least_rows"))
        with gr.Row():
            shares = [gr.Slider(1, 100, 10, step=1, min_width=220, **told(name)) for name in _SHARES]
    with gr.Accordion(t("ui.evaluate.form.judge"), open=False, elem_id="evaluate-judge"):
        with gr.Row():
            judge = gr.Textbox(max_length=500, min_width=240, **told("judge_model"))
            address = gr.Textbox(max_length=2_000, min_width=240, **told("judge_address"))
        with gr.Row():
            key = gr.Textbox(type="password", max_length=2_000, min_width=240, **told("judge_key"))
            seconds = gr.Number(60, minimum=1, maximum=3600, min_width=240, **told("judge_seconds"))
    asked = (version, side, rows, exams, tasks, exam_rows, system, shots, others, adapters, metrics, json_schema)
    asked += (judge, address, seconds)
    return PlanForm(*asked, least, *shares), bring, key


def plan_of(values: Sequence[Any]) -> EvaluationPlan:
    """The plan that the widgets say. Raises InputError."""
    given = dict(zip((field.name for field in fields(PlanForm)), values, strict=True))
    rules = {"least_rows": int(given["least_rows"] or 1), **{name: given[name] / 100 for name in _SHARES}}
    return make_plan(
        {
            "version": given["version"] or "",
            "side": given["side"] or "test",
            "rows": int(given["rows"] or 1),
            "exams": [*given["exams"], *(LM_EVAL + name for name in _names(given["tasks"]))],
            "exam_rows": int(given["exam_rows"] or 1),
            "system": given["system"].strip(),
            "shots": int(given["shots"]),
            "others": [{"source": name.strip()} for name in given["others"] if name.strip()],
            "adapters": [folder.strip() for folder in given["adapters"] if folder.strip()],
            "metrics": [name for name in METRICS if name in given["metrics"]],
            "json_schema": given["json_schema"].strip(),
            "rules": rules,
            "judge": _judge(given),
        }
    )


def _names(typed: Sequence[str]) -> list[str]:
    """Several may be typed at once; each is asked once."""
    return list(dict.fromkeys(name for text in typed for name in re.split(r"[\s,、，]+", text) if name))


def _judge(given: dict[str, Any]) -> dict[str, Any] | None:
    model, address = given["judge_model"].strip(), given["judge_address"].strip()
    if address and not model:
        raise InputError("error.judge.no_model")
    return {"model": model, "address": address, "seconds": given["judge_seconds"] or 60} if model else None


def values_of(page: Page, run: str, plan: EvaluationPlan) -> list[Any]:
    """What the widgets show of a plan, with what there is to choose from."""
    evaluations, t = page.studio.evaluations, page.t
    own = evaluations.run_spec(run).data.version
    versions = page.studio.datasets.versions()
    names = [(t("ui.evaluate.form.version.own"), "")]
    names += [(f"{v.name} v{v.number}", v.id) for v in versions if v.id != own and v.mapping is not None]
    known = {v.id: f"{v.name} v{v.number}" for v in versions}
    exams = [(exam_title(name, page.language), name) for name in BUILT_IN]
    exams += [(known[name], name) for name in plan.exams if name in known]
    train, validation, test = evaluations.side_rows(run, plan.version)
    counts = {"test": test, "validation": validation, "all": train + validation + test}
    sides = ("test", "validation", "all") if plan.version else ("test", "validation")
    rules = plan.rules
    return [
        gr.update(choices=names, value=plan.version if plan.version in known else ""),
        gr.update(choices=[(t(f"ui.evaluate.side.{s}", rows=counts[s]), s) for s in sides], value=plan.side),
        plan.rows,
        gr.update(choices=exams, value=[name for name in plan.exams if name in BUILT_IN or name in known]),
        gr.update(value=[name.removeprefix(LM_EVAL) for name in plan.exams if name.startswith(LM_EVAL)]),
        plan.exam_rows,
        plan.system,
        plan.shots,
        gr.update(value=[model.source for model in plan.others]),
        gr.update(value=list(plan.adapters)),
        gr.update(value=list(plan.metrics or evaluations.suited(run, plan))),
        plan.json_schema,
        plan.judge.model if plan.judge else "",
        plan.judge.address if plan.judge else "",
        plan.judge.seconds if plan.judge else 60,
        rules.least_rows,
        *(round(100 * getattr(rules, name)) for name in _SHARES),
    ]
