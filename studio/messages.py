"""Every visible sentence of the studio, looked up by key in `ui/locales/<language>.json`."""

import json
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "ja")
_LOCALES = Path(__file__).parent / "ui" / "locales"


@cache
def catalogue(language: str) -> dict[str, str]:
    """All sentences of one language, by key."""
    return json.loads((_LOCALES / f"{language}.json").read_text(encoding="utf-8"))


def translate(key: str, language: str = "en", **values: object) -> str:
    """The sentence of `key`, its `{fields}` filled from `values`. Raises KeyError for an unknown key."""
    return catalogue(language)[key].format(**values)
