"""A list of answers to one question, from which the best and the worst make a preference pair."""

from typing import Any, Literal

from studio.data.problems import Unusable, type_name

Best = Literal["first", "lowest", "highest"]
RANK_KEYS = ("rank", "ranking", "順位")
SCORE_KEYS = ("score", "overall_score", "rating", "スコア", "点数")
TEXT_KEYS = ("text", "content", "answer", "response", "output", "completion", "value")


def text_of(item: Any) -> Any:
    """The text of an answer that is an object; any other is itself."""
    if isinstance(item, dict):
        return next((item[key] for key in TEXT_KEYS if key in item), item)
    return item


def best_and_worst(answers: Any, numbers: Any, key: str | None, best: Best, column: str) -> tuple[Any, Any]:
    """The best and the worst of a list. `numbers`: a list beside it; `key`: of the number within each answer."""
    if not isinstance(answers, list):
        raise Unusable("bad_ranking", column, type_name(answers) if answers is not None else "0")
    if len(answers) < 2:
        raise Unusable("bad_ranking", column, str(len(answers)))
    if best == "first":
        return text_of(answers[0]), text_of(answers[-1])
    within = [item.get(key) if isinstance(item, dict) and key else None for item in answers]
    found: list[Any] = within if numbers is None else numbers
    if not _are_numbers(found, len(answers)):
        raise Unusable("bad_ranking", column, key or "")
    order = sorted(range(len(answers)), key=lambda place: found[place], reverse=best == "highest")
    if found[order[0]] == found[order[-1]]:
        raise Unusable("bad_ranking", column, str(found[order[0]]))
    return text_of(answers[order[0]]), text_of(answers[order[-1]])


def _are_numbers(values: Any, count: int) -> bool:
    if not isinstance(values, list) or len(values) != count:
        return False
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
