"""The metrics together, and which of them suit a data set."""

import json
import math
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from studio.data.records import ToolCall
from studio.errors import InputError
from studio.evaluation.choice import check_metrics, primary, suited
from studio.evaluation.intervals import mean_interval, paired
from studio.evaluation.metrics import METRICS, Metric, make_metrics, perplexity
from studio.evaluation.questions import Answer, Question
from studio.messages import LANGUAGES
from tests.evaluation.rows import answer, question

TOOLS = ({"type": "function", "function": {"name": "f"}},)
LONG_ENGLISH = (
    "Our shop takes back every product within thirty days of the day on which it was delivered to you, unless used."
)
LONG_JAPANESE = (
    "お買い上げいただいた商品は、お届けの日から三十日以内であれば、未使用の場合に限り、いつでも返品していただけます。"
    "送料は当店で負担いたしますので、お気軽にお申し付けください。"
)
KINDS: dict[str, list[Question]] = {
    "labels": [question(text) for text in ("良い", "悪い") * 5],
    "numbers": [question(text) for text in ("42", "1,200円", "#### 7", "３")],
    "json": [question(json.dumps({"名前": name, "n": [1, {"a": None}]}, ensure_ascii=False)) for name in "あいう"],
    "calls": [question(calls=[ToolCall("f", {"x": text})], tools=TOOLS) for text in ("1", "二")],
    "irrelevance": [
        question("I cannot do that for you.", tools=TOOLS),
        question("Not with these functions.", tools=TOOLS),
    ],
    "short": [question(text) for text in ("Paris", "東京", "the Nile", "ナイル川")],
    "long": [question(LONG_ENGLISH), question(LONG_JAPANESE)],
    "refusals": [question("I'm sorry, I can't help with that, it is dangerous."), question("お答えできません。")],
}
SCHEMA = '{"type": "object", "required": ["名前"]}'


def right(asked: Question) -> Answer:
    return Answer(asked.text, 5, True, 0.5, 5)


def ready(kind: str) -> tuple[Metric, ...]:
    """The metrics that say something about the data."""
    names = []
    for name in METRICS:
        if name == "json_schema" and kind != "json":
            continue
        try:
            check_metrics([name], KINDS[kind], SCHEMA)
        except InputError:
            continue
        names.append(name)
    return make_metrics(names, KINDS[kind], SCHEMA)


@pytest.mark.parametrize("kind", KINDS)
def test_the_expected_answer_is_the_best_one(kind: str) -> None:
    asked = KINDS[kind]
    for metric in ready(kind):
        best = metric.overall(asked, [right(one) for one in asked])
        assert best is not None, metric.name
        if metric.better == "higher":
            assert best == pytest.approx(metric.ends[1]), metric.name
        elif metric.name != "loss" and metric.better == "lower":
            assert best < 0.01, metric.name


BAD = [
    "",
    " ",
    "None",
    "null",
    "{",
    "\x00",
    "�",
    "ﾊﾟ" * 3,
    "\u202e" + "abc",
    "🙂" * 10,
    '{"a": [1, 2}',
    "<tool_call>",
    "## " * 9,
]


@pytest.mark.parametrize("kind", KINDS)
def test_any_answer_can_be_measured(kind: str) -> None:
    asked = KINDS[kind]
    for metric in ready(kind):
        for text in BAD:
            values = [value for value in metric.values(asked, [answer(text)] * len(asked)) if value is not None]
            assert all(metric.ends[0] <= value <= metric.ends[1] for value in values), (metric.name, text)
            assert not metric.right_wrong or set(values) <= {0, 1}, metric.name
            if metric.better == "higher" and metric.name not in ("stopped", "tool_call"):
                assert all(value <= 50 for value in values) if metric.scale == "score" else True


@pytest.mark.parametrize(
    ("kind", "unit"), [("json", "わかりません。"), ("json", '{"a": '), ("calls", "1,"), ("labels", "x")]
)
def test_a_huge_answer_is_quick(kind: str, unit: str) -> None:
    """100 000 characters, of a model that never stopped."""
    text = unit * (100_000 // len(unit))
    for metric in ready(kind):
        start = time.process_time()
        metric.value(KINDS[kind][0], answer(text, stopped=False))
        assert time.process_time() - start < 1.0, metric.name


def test_loss_is_averaged_over_tokens() -> None:
    (metric,) = make_metrics(["loss"], [])
    asked, given = (
        [question("a")] * 3,
        [Answer("", 0, True, 2.0, 10), Answer("", 0, True, 1.0, 30), Answer("", 0, True)],
    )
    assert metric.values(asked, given) == [2.0, 1.0, None]
    assert metric.overall(asked, given) == 1.25
    assert perplexity(1.25) == pytest.approx(3.4903, abs=1e-4)
    assert perplexity(1e4) == math.inf
    assert metric.overall(asked[:1], given[2:]) is None


def test_the_interval_of_the_loss_is_about_its_own_figure() -> None:
    random = np.random.default_rng(1)
    losses, counts = random.gamma(2, 1, 200), random.integers(1, 60, 200)
    asked = [question("a")] * 200
    given = [Answer("", 0, True, float(value), int(count)) for value, count in zip(losses, counts, strict=True)]
    terms = METRICS["loss"].terms(asked, given)
    figure = METRICS["loss"].overall(asked, given)
    assert figure == pytest.approx((losses * counts).sum() / counts.sum())
    resampled = [
        (losses[rows] * counts[rows]).sum() / counts[rows].sum() for rows in random.integers(200, size=(2000, 200))
    ]
    assert np.std(np.array(terms, float)) / 200**0.5 == pytest.approx(np.std(resampled), rel=0.1)


@pytest.mark.parametrize(
    ("kind", "first", "others"),
    [
        ("labels", "label", {"exact", "loss"}),
        ("numbers", "number", {"loss"}),
        ("json", "json_fields", {"json_valid", "loss"}),
        ("calls", "tool_call", {"loss"}),
        ("irrelevance", "tool_call", {"loss", "exact", "contains", "chrf"}),
        ("short", "exact", {"contains", "chrf", "loss"}),
        ("long", "chrf", {"rouge_l", "loss", "refusal", "repetition", "length"}),
    ],
)
def test_what_suits_the_data(kind: str, first: str, others: set[str]) -> None:
    found = suited(KINDS[kind])
    names = [one.name for one in found]
    assert names[0] == first
    assert {*names[1:]} == others
    assert primary(names) == first
    check_metrics(names, KINDS[kind])
    for language in LANGUAGES:
        assert all(one.why(language) for one in found)


def test_nothing_suits_no_rows() -> None:
    assert suited([]) == ()


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("long", "label", "labels"),
        ("short", "json_valid", "json"),
        ("short", "json_fields", "json"),
        ("short", "number", "numbers"),
        ("long", "tool_call", "calls"),
        ("calls", "exact", "text"),
        ("calls", "chrf", "text"),
        ("labels", "bleu", "words"),
        ("long", "refusal_kept", "refusals"),
        ("refusals", "refusal", "answers"),
        ("calls", "language", "language"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused_with_the_reason(kind: str, name: str, why: str) -> None:
    with pytest.raises(InputError) as error:
        check_metrics(["loss", name], KINDS[kind])
    assert error.value.key == f"error.metric.unfit.{why}"
    fitting = suited(KINDS[kind])
    for language in LANGUAGES:
        message = error.value.message(language)
        assert METRICS[name].title(language) in message
        assert METRICS[fitting[0].name].title(language) in message
        assert str(len(KINDS[kind])) in message


@pytest.mark.parametrize(
    ("names", "key"), [([], "none"), (["loss", "bertscore"], "unknown"), (["json_schema"], "no_schema")]
)
def test_a_choice_that_is_none(names: Sequence[str], key: str) -> None:
    with pytest.raises(InputError) as error:
        check_metrics(names, KINDS["json"])
    assert error.value.key == f"error.metric.{key}"


def test_the_schema_of_the_user_is_used() -> None:
    (metric,) = make_metrics(["json_schema"], KINDS["json"], SCHEMA)
    assert metric.values(KINDS["json"], [answer('{"名前": 1}'), answer("{}"), answer("")]) == [1, 0, 0]


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_metric_has_words(name: str, language: str) -> None:
    metric = METRICS[name]
    assert metric.title(language).strip()
    assert len(metric.help(language)) > len(metric.title(language))


def test_real_sums_from_rows_to_a_difference(shared: Path) -> None:
    lines = (shared / "data/gsm8k_train_500.jsonl").read_text("utf-8").splitlines()
    asked = [question(json.loads(line)["answer"], json.loads(line)["question"], row=n) for n, line in enumerate(lines)]
    assert [one.name for one in suited(asked)][:2] == ["number", "loss"]
    (metric,) = make_metrics(["number"], asked)
    before = metric.values(asked, [answer(one.text if one.row % 2 else "No idea") for one in asked])
    after = metric.values(asked, [answer(one.text if one.row % 4 else "No idea") for one in asked])
    found = paired(before, after, metric.right_wrong)
    assert found is not None
    assert (found.value, found.rows) == (0.25, 500)
    assert 0.2 < found.low < 0.25 < found.high < 0.3
    mean = mean_interval(after, metric.right_wrong)
    assert mean is not None
    assert mean.value == 0.75


def test_a_japanese_letter_is_a_long_text() -> None:
    letter = "お問い合わせありがとうございます。時計は本日お送りします。二日で届きます。青い扉の店より。"
    assert len(letter) < 80
    long = suited([question(f"{letter}{number}") for number in range(40)])
    short = suited([question(f"東京都{number}") for number in range(40)])
    assert "rouge_l" in [one.name for one in long]
    assert "rouge_l" not in [one.name for one in short]
