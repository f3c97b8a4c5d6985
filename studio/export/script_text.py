"""Python as text: pieces whose marks are filled in, and values as they are written."""

import json
import re
from typing import Any


def filled(piece: str, **values: str) -> str:
    """The piece with each `@MARK@` replaced by its value, in which nothing is looked for: users may have written it."""
    return re.sub(r"@([A-Z]+)@", lambda mark: values[mark[1]], piece)


class Code(str):
    """Stands in the script as it is."""

    def __repr__(self) -> str:
        return str(self)


def written(value: object) -> str:
    """As Python has it, texts in double quotes."""
    if isinstance(value, str) and not isinstance(value, Code):
        return json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    return repr(value)


def call(name: str, values: dict[str, Any]) -> str:
    return "\n".join((f"{name}(", *(f"    {key}={written(value)}," for key, value in values.items()), ")"))
