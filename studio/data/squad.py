"""Questions about a text, as SQuAD nests them: articles -> paragraphs (`context`) -> `qas`."""

from typing import Any


def is_squad(value: Any) -> bool:
    """Whether this is a SQuAD file, or the list of articles within one."""
    articles = value.get("data") if isinstance(value, dict) else value
    if not isinstance(articles, list) or not articles:
        return False
    return all(isinstance(article, dict) and _paragraphs(article) is not None for article in articles)


def _paragraphs(article: dict[str, Any]) -> list[dict[str, Any]] | None:
    found = article.get("paragraphs")
    if not isinstance(found, list) or not all(isinstance(p, dict) and isinstance(p.get("qas"), list) for p in found):
        return None
    return found


def flatten_squad(value: Any) -> list[dict[str, Any]]:
    """One row per question: `title` where there is one, `context`, then the question's own members in their order.

    Call it only where `is_squad` holds.
    """
    articles = value["data"] if isinstance(value, dict) else value
    return [
        {**{k: article[k] for k in ("title",) if k in article}, "context": paragraph.get("context"), **_members(qa)}
        for article in articles
        for paragraph in _paragraphs(article) or ()
        for qa in paragraph["qas"]
    ]


def _members(qa: Any) -> dict[str, Any]:
    return qa if isinstance(qa, dict) else {"question": qa}
