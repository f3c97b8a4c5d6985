"""What can be measured of answers. Each metric gives a number per row; a set's figure is their mean, but where the
field publishes another one."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from studio.errors import InputError
from studio.evaluation import manner, matching, overlap, structured
from studio.evaluation.calls import tool_call
from studio.evaluation.classes import label_metric, labels_of
from studio.evaluation.questions import Answer, Question
from studio.messages import translate

Better = Literal["higher", "lower", "neither"]
Scale = Literal["share", "score", "count", "nats"]
Value = Callable[[Question, Answer], float | None]
Terms = Callable[[Sequence[Question], Sequence[Answer]], list[float | None]]


@dataclass(frozen=True, slots=True)
class Metric:
    """`better`: which way is better; `right_wrong`: whether a row's value is 1 or 0 and nothing between.

    `scale`: share (0 to 1, told in per cent), score (0 to 100), count, nats. `value`: of one row, None where the metric
    says nothing about it. `corpus`: where the figure of a whole set is not the mean of its rows, numbers whose mean it
    is: the figure plus how much each row moves it.
    """

    name: str
    better: Better
    right_wrong: bool
    scale: Scale
    value: Value
    corpus: Terms | None = None

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest value there can be."""
        return 0.0, {"share": 1.0, "score": 100.0}.get(self.scale, math.inf)

    def values(self, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float | None]:
        """Row by row."""
        return [self.value(question, answer) for question, answer in zip(questions, answers, strict=True)]

    def terms(self, questions: Sequence[Question], answers: Sequence[Answer]) -> list[float | None]:
        """What intervals are computed of: a number per row whose mean is the figure of the whole set."""
        return self.corpus(questions, answers) if self.corpus else self.values(questions, answers)

    def overall(self, questions: Sequence[Question], answers: Sequence[Answer]) -> float | None:
        """The figure of the whole set; None where it says nothing about any row."""
        values = [value for value in self.terms(questions, answers) if value is not None]
        return math.fsum(values) / len(values) if values else None

    def title(self, language: str = "en") -> str:
        return translate(f"ui.metric.{self.name}.name", language)

    def help(self, language: str = "en") -> str:
        """What is measured and how, in a sentence or two."""
        return translate(f"ui.metric.{self.name}.help", language)


def loss(question: Question, answer: Answer) -> float | None:
    """Mean negative log-likelihood of the expected answer, in nats per token; None where it was not measured."""
    return answer.loss if answer.loss_tokens else None


def loss_terms(questions: Sequence[Question], answers: Sequence[Answer]) -> list[float | None]:
    """Their mean is the loss per token over all tokens of all expected answers, as training averages it: a long answer
    weighs more. Each is the mean plus the row's influence on it (the linearised ratio, Cochran 1977, chapter 6)."""
    losses = [loss(question, answer) for question, answer in zip(questions, answers, strict=True)]
    tokens = [0 if value is None else answer.loss_tokens for value, answer in zip(losses, answers, strict=True)]
    if not any(tokens):
        return losses
    mean = math.fsum(value * count for value, count in zip(losses, tokens, strict=True) if value is not None) / sum(
        tokens
    )
    usual = sum(tokens) / sum(value is not None for value in losses)
    return [
        None if value is None else mean + (value - mean) * count / usual
        for value, count in zip(losses, tokens, strict=True)
    ]


def perplexity(nats: float) -> float:
    """exp of the mean loss: among how many equally likely tokens the model chose, so to speak. Comparable only between
    models of one tokenizer."""
    return math.exp(nats) if nats < 700 else math.inf


def _unbound(question: Question, answer: Answer) -> float | None:
    raise ValueError("this metric is made for its data: see make_metrics")


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("label", "higher", True, "share", _unbound),
        Metric("tool_call", "higher", True, "share", tool_call),
        Metric("number", "higher", True, "share", matching.number),
        Metric("json_schema", "higher", True, "share", _unbound),
        Metric("json_fields", "higher", False, "share", structured.json_fields),
        Metric("json_valid", "higher", True, "share", structured.json_valid),
        Metric("exact", "higher", True, "share", matching.exact),
        Metric("contains", "higher", True, "share", matching.contains),
        Metric("chrf", "higher", False, "score", overlap.chrf),
        Metric("rouge_l", "higher", False, "score", overlap.rouge_l),
        Metric("bleu", "higher", False, "score", overlap.bleu, overlap.bleu_terms),
        Metric("loss", "lower", False, "nats", loss, loss_terms),
        Metric("refusal", "lower", True, "share", manner.refusal),
        Metric("refusal_kept", "higher", True, "share", manner.refusal_kept),
        Metric("language", "higher", True, "share", matching.same_language),
        Metric("repetition", "lower", False, "share", manner.repetition),
        Metric("stopped", "higher", True, "share", manner.stopped),
        Metric("length", "neither", False, "count", manner.length),
    )
}
"""All of them, in the order in which they are shown."""


def make_metrics(names: Sequence[str], questions: Sequence[Question], schema: str = "") -> tuple[Metric, ...]:
    """The metrics of these names, ready for these questions: `label` knows their labels, `json_schema` its schema.
    Raises InputError for a name that there is none of, and for a schema that is none."""
    made = []
    for name in names:
        if (metric := METRICS.get(name)) is None:
            raise InputError("error.metric.unknown", metric=name, known=", ".join(METRICS))
        if name == "label":
            metric = _with(metric, label_metric(labels_of(questions)))
        elif name == "json_schema":
            metric = _with(metric, structured.schema_metric(schema))
        made.append(metric)
    return tuple(made)


def _with(metric: Metric, value: Value) -> Metric:
    return Metric(metric.name, metric.better, metric.right_wrong, metric.scale, value, metric.corpus)
