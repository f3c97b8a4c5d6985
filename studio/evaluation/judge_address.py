"""A judge behind an OpenAI-compatible address (https://platform.openai.com/docs/api-reference/chat): a server of one's
own (Ollama, llama.cpp, vLLM, LM Studio) or a service.

The key is sent to that address alone and kept nowhere: redirects are not followed, and it is taken out of what the
server says before that is shown.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx2

from studio.data.records import Messages
from studio.errors import FaultError, InputError
from studio.evaluation.judge import Ask, JudgeSilent

_PATH = "/chat/completions"
_TOKENS = 1024
_MOST_BYTES = 1_000_000
# Faults that may pass: too busy, too slow, overloaded.
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_FIRST_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class JudgeAddress:
    """`url`: of the server, with or without `/v1/chat/completions`; `model`: by the server's own name. `seconds`: until
    a reply is given up; `tries`: how often it is asked for, the pauses between them growing."""

    url: str
    model: str
    seconds: float = 60.0
    tries: int = 3


@contextmanager
def judge_at(address: JudgeAddress, key: str = "", pause: Callable[[float], None] = time.sleep) -> Iterator[Ask]:
    """Asks the model there. Raises InputError for an address that is none, FaultError where it cannot be used; what is
    asked raises JudgeSilent where no reply came in time."""
    url = chat_url(address.url)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    with httpx2.Client(timeout=address.seconds, headers=headers, follow_redirects=False) as client:

        def ask(messages: Messages) -> str:
            body = {
                "model": address.model,
                "messages": [{"role": turn.role, "content": turn.content} for turn in messages],
                "temperature": 0,
                "max_tokens": _TOKENS,
            }
            status = 0
            for attempt in range(address.tries):
                if attempt:
                    pause(_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
                status, text = _posted(client, url, body, address.seconds)
                if status == 200:
                    return _content(text, _shown(url))
                if status not in _PASSING and status != 0:
                    detail = text.replace(key, "…") if key else text
                    raise FaultError("error.judge.refused", address=_shown(url), status=status, detail=_brief(detail))
            raise JudgeSilent("error.judge.silent", address=_shown(url), tries=address.tries, status=status)

        yield ask


def chat_url(text: str) -> httpx2.URL:
    """Where chats are sent: `http://localhost:8000` becomes `http://localhost:8000/v1/chat/completions`."""
    try:
        url = httpx2.URL(text.strip())
    except (httpx2.InvalidURL, ValueError):
        raise InputError("error.judge.address") from None
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise InputError("error.judge.address")
    path = url.path.rstrip("/")
    if not path.endswith(_PATH):
        path = (path or "/v1") + _PATH
    return url.copy_with(path=path)


def _posted(client: httpx2.Client, url: httpx2.URL, body: dict[str, object], seconds: float) -> tuple[int, str]:
    """Status and text of the reply; status 0 where none came in time, however slowly it trickled in."""
    end = time.monotonic() + seconds
    received = bytearray()
    try:
        with client.stream("POST", url, json=body) as response:
            for part in response.iter_bytes():
                received += part
                if time.monotonic() > end:
                    return 0, ""
                if len(received) > _MOST_BYTES:
                    raise FaultError("error.judge.reply", address=_shown(url), detail=f"> {_MOST_BYTES} bytes")
            return response.status_code, received.decode("utf-8", "replace")
    except httpx2.TimeoutException:
        return 0, ""
    except httpx2.HTTPError as error:
        detail = _brief(str(error) or type(error).__name__)
        raise FaultError("error.judge.unreachable", address=_shown(url), detail=detail) from None


def _content(text: str, address: str) -> str:
    """What the model said; nothing where it said nothing."""
    try:
        content = json.loads(text)["choices"][0]["message"].get("content")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise FaultError("error.judge.reply", address=address, detail=_brief(text)) from None
    return content if isinstance(content, str) else ""


def _shown(url: httpx2.URL) -> str:
    """The address without what may be secret in it."""
    return str(url.copy_with(query=None, fragment=None))


def _brief(text: str) -> str:
    return " ".join(text.split())[:200]
