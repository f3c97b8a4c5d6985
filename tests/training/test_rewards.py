"""Every programmed reward, on English and Japanese answers."""

import json

import pytest
from pydantic import TypeAdapter

from studio.errors import SpecError, TrainingError
from studio.messages import LANGUAGES
from studio.runs.rewards import REWARDS, JsonReward, ModelReward, Reward
from studio.runs.spec import load_spec, parse_spec, with_changes
from studio.training.rewards import contains, exact, found, json_judge, judge, length_between

PERSON = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ('{"name": "Ada"}', 1), (' [1, 2]\n', 1), ('"はい"', 1), ("null", 1), ('{"name": "花子"}', 1),
        ("", 0), ("はい", 0), ('{"name": "Ada"', 0), ('Here: {"name": "Ada"}', 0), ("{'name': 'Ada'}", 0),
        ("NaN", 0), ("[Infinity]", 0), ("[" * 100_000, 0),
    ],
)  # fmt: skip
def test_json(answer: str, reward: float) -> None:
    assert json_judge()(answer) == reward


@pytest.mark.parametrize(
    ("answer", "reward"), [('{"name": "花子"}', 1), ('{"name": 3}', 0), ("{}", 0), ("[]", 0), ("花子", 0)]
)
def test_json_that_fits_a_schema(answer: str, reward: float) -> None:
    assert json_judge(PERSON)(answer) == reward
    assert judge(JsonReward(json_schema=json.dumps(PERSON)))(answer, None) == reward


def test_a_text_is_contained_whatever_its_width_and_case() -> None:
    assert contains("Thank YOU very much.", "thank you") == 1
    assert contains("Thank YOU very much.", "thank you", ignore_case=False) == 0
    assert contains("ありがとうございます。", "ありがとう") == 1
    assert contains("ABCをどうぞ", "abc") == 1
    assert contains("ｶﾀｶﾅ", "カタカナ") == 1
    assert contains("", "a") == 0


def test_an_expression_is_found() -> None:
    assert found("It costs 12 yen.", r"\b\d+ yen\b") == 1
    assert found("１２円です。", r"^\d+円です。$") == 1
    assert found("円です。", r"\d+円") == 0
    assert found("東京は首都です", r"\p{Han}{2}") == 1


def test_an_expression_without_end_is_an_error() -> None:
    with pytest.raises(TrainingError, match="takes longer"):
        found("a" * 60 + "!", r"^(a|aa)+$", seconds=0.05)


@pytest.mark.parametrize(
    ("answer", "low", "high", "reward"),
    [
        ("こんにちは", 5, 5, 1), ("こんにちは。", 3, 10, 1), ("  four  ", 4, 4, 1), ("four", 8, 10, 0.5),
        ("", 8, 10, 0), ("", 0, 10, 1), ("x" * 15, 1, 10, 0.5), ("x" * 20, 1, 10, 0), ("あ" * 99, 1, 10, 0),
    ],
)  # fmt: skip
def test_length(answer: str, low: int, high: int, reward: float) -> None:
    assert length_between(answer, low, high) == reward


def test_the_exact_answer() -> None:
    assert exact(" Paris\n", "paris") == 1
    assert exact("Paris", "paris", ignore_case=False) == 0
    assert exact("東京 です", "東京 です") == 1
    assert exact("東京です。", "東京です") == 0
    assert exact("anything", None) is None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("The cat is on the mat and it is happy.", "en"), ("猫はマットの上にいて、とても幸せそうです。", "ja"),
        ("Der Hund ist nicht im Garten und ich bin müde.", "de"), ("42", ""),
    ],
)  # fmt: skip
def test_language(answer: str, code: str) -> None:
    for language in ("en", "ja", "de"):
        reward = TypeAdapter(Reward).validate_python({"kind": "language", "language": language})
        assert judge(reward)(answer, None) == (language == code)


@pytest.mark.parametrize("kind", [kind for kind in REWARDS if kind != "model"])
def test_every_reward_judges_any_answer(kind: str) -> None:
    judged = judge(REWARDS[kind]())  # type: ignore[arg-type]
    for answer in ("", "yes", "はい", '{"a": 1}', "x" * 10_000, "\ud800"):
        for expected in (None, "", "はい"):
            value = judged(answer, expected)
            assert value is None or 0 <= value <= 1


def test_a_reward_model_has_no_function_of_text() -> None:
    with pytest.raises(ValueError, match="by itself"):
        judge(ModelReward(run="a"))


@pytest.mark.parametrize(
    ("reward", "place"),
    [
        ({"kind": "json", "json_schema": "{"}, "json_schema"),
        ({"kind": "json", "json_schema": '{"type": "thing"}'}, "json_schema"),
        ({"kind": "json", "json_schema": '{"$ref": "https://example.com/a.json"}'}, "json_schema"),
        ({"kind": "json", "json_schema": '{"items": {"$ref": "#/nowhere"}}'}, "json_schema"),
        ({"kind": "json", "json_schema": "3"}, "json_schema"),
        ({"kind": "regex", "pattern": "("}, "pattern"),
        ({"kind": "contains", "text": ""}, "text"),
        ({"kind": "length", "low": 9, "high": 3}, ""),
        ({"kind": "language", "language": "xx"}, "language"),
        ({"kind": "model"}, "run"),
        ({"kind": "model", "run": "../other"}, "run"),
        ({"kind": "exact", "weight": 1e9}, "weight"),
        ({"kind": "praise"}, ""),
    ],
)
def test_a_wrong_reward_is_told_with_its_place(reward: dict[str, object], place: str) -> None:
    spec = {"method": {"kind": "grpo", "rewards": [{"kind": "json"}, reward]}, "tuner": {"dropout": 0}}
    with pytest.raises(SpecError) as error:
        parse_spec(spec)
    for language in LANGUAGES:
        (line,) = error.value.message(language).splitlines()[1:]
        assert f"method.rewards.1.{place}".rstrip(".") in line


def test_a_schema_may_refer_to_its_own_parts() -> None:
    schema = {"$defs": {"name": {"type": "string"}}, "items": {"$ref": "#/$defs/name"}, "type": "array"}
    fits = judge(JsonReward(json_schema=json.dumps(schema)))
    assert (fits('["花子"]', None), fits("[3]", None)) == (1, 0)


def test_a_run_has_at_least_one_reward() -> None:
    with pytest.raises(SpecError, match=r"method\.rewards"):
        parse_spec({"method": {"kind": "rloo", "rewards": []}})


def test_answers_that_are_judged_are_drawn_without_dropout() -> None:
    with pytest.raises(SpecError, match=r"tuner\.dropout"):
        parse_spec({"method": {"kind": "rloo"}, "tuner": {"dropout": 0.1}})


def test_rewards_survive_yaml() -> None:
    rewards = [{"kind": "regex", "pattern": r"^\d+円$", "weight": -2}, {"kind": "model", "run": "20260101-abc"}]
    spec = parse_spec({"method": {"kind": "grpo", "rewards": rewards}})
    assert load_spec(spec.to_yaml(), "spec.yaml") == spec
    assert spec.built_on == ("20260101-abc",)
    assert with_changes(spec, {"model.adapter": "other"}).built_on == ("other", "20260101-abc")
