"""Text of data, models and files inside the page's own HTML: it passes `shown`, and is text, never markup."""

import json
import re
from collections.abc import Callable
from html import escape

Sentence = Callable[..., str]

# Control characters (NUL and ANSI escapes among them) become their pictures (U+2400 and up). Characters that turn the
# direction of what follows could disguise a text or a file name (Unicode TR36), so they become a visible sign as well.
_PICTURES = {code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"} | {127: "\u2421"}
_TURNING = dict.fromkeys((8206, 8207, *range(8234, 8239), *range(8294, 8298)), "⌁")
_VISIBLE = _PICTURES | _TURNING
_CODE = re.compile(r"`([^`]+)`")

# What an element with `data-act` does: its data attributes reach the Gradio event as they are, of an input with its
# `value`. Where there is a `data-show`, the page scrolls to what it selects.
ACTIONS = """
element.addEventListener('click', (event) => {
  const found = event.target.closest('[data-act]:not(input)');
  if (!found || !element.contains(found) || found.disabled) return;
  event.preventDefault();
  trigger('click', {...found.dataset});
  if (found.dataset.show) {
    const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    document.querySelector(found.dataset.show)?.scrollIntoView({block: 'start', behavior: calm ? 'auto' : 'smooth'});
  }
});
element.addEventListener('change', (event) => {
  if (event.target.matches('input[data-act]') && event.target.value) {
    trigger('click', {...event.target.dataset, value: event.target.value});
  }
});
element.addEventListener('keydown', (event) => {
  if ((event.key === 'Enter' || event.key === ' ') && event.target.matches('tr[data-act]')) {
    event.preventDefault();
    event.target.click();
  }
});
"""


def visible(text: str) -> str:
    """The text with control and direction characters made visible; for places that need no HTML."""
    return text.translate(_VISIBLE)


def shown(value: object) -> str:
    """Any value as text inside HTML."""
    return escape(visible(str(value)))


def said(text: str) -> str:
    """A sentence as HTML: what stands between backticks, such as the name of a column, is set as code."""
    return _CODE.sub(r"<code>\1</code>", shown(text))


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, the cut marked."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def plain(value: object) -> str:
    """A cell's value as text: JSON where it is not text already."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def badge(text: str, tone: str = "plain") -> str:
    """A small label. `tone`: plain, good, warn, bad or accent."""
    return f'<span class="s-badge s-{tone}">{shown(text)}</span>'


def headline(title: str, text: str = "") -> str:
    """A title with a line below it; both are plain text."""
    line = f'<p class="s-muted">{shown(text)}</p>' if text else ""
    return f'<h2 class="s-h2">{shown(title)}</h2>{line}'


def act_button(act: str, label: str, kind: str = "", enabled: bool = True, **data: object) -> str:
    """A button that reaches the Gradio event with `act` and `data`."""
    values = "".join(f' data-{name}="{shown(value)}"' for name, value in data.items())
    state = "" if enabled else " disabled"
    return f'<button type="button" class="s-button {kind}" data-act="{act}"{values}{state}>{shown(label)}</button>'
