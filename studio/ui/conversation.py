"""A conversation with two models, shown side by side as HTML; pure.

Every text that comes from data or a model passes `shown`: it is text, never markup. Each turn is a row of its own
(prompt, two answers, expected answer), so that what belongs together stays together on a narrow page too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

from studio.backend.candidates import Candidate
from studio.backend.compare import ColumnState, CompareUpdate
from studio.backend.difference import DiffSpan, difference
from studio.data.records import Message
from studio.ui.markup import shorten, shown

Sentence = Callable[..., str]


@dataclass(frozen=True, slots=True)
class Turn:
    """One prompt and what both columns answered. `context` are the earlier messages of a validation example."""

    prompt: str
    context: tuple[Message, ...] = ()
    expected: str | None = None
    update: CompareUpdate | None = None
    stopped: bool = False

    @property
    def over(self) -> bool:
        """Nothing more will come."""
        return self.stopped or (self.update is not None and self.update.done)


@dataclass(frozen=True, slots=True)
class Talk:
    """Who is compared, and the turns so far. Each column remembers its own answers only."""

    contestant: Candidate | None = None
    turns: tuple[Turn, ...] = ()

    def with_turn(self, turn: Turn) -> "Talk":
        return replace(self, turns=(*self.turns, turn))

    def histories(self, turn: Turn) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
        """What the base and the tuned column are asked when `turn` comes next."""
        base: list[Message] = []
        tuned: list[Message] = []
        for past in self.turns:
            if past.update is None:
                continue
            asked = (*past.context, Message(role="user", content=past.prompt))
            base += [*asked, Message(role="assistant", content=past.update.columns[0].text)]
            tuned += [*asked, Message(role="assistant", content=past.update.columns[1].text)]
        asked = (*turn.context, Message(role="user", content=turn.prompt))
        return (*base, *asked), (*tuned, *asked)


def talk_html(talk: Talk, t: Sentence) -> str:
    """The whole conversation. The newest answers carry the ids `compare-base` and `compare-tuned`."""
    if talk.contestant is None:
        return ""
    if not talk.turns:
        return f'<div class="cmp-talk">{_answers(None, talk.contestant, newest=True, t=t)}</div>'
    last = len(talk.turns) - 1
    rows = "".join(_turn(turn, talk.contestant, newest=i == last, t=t) for i, turn in enumerate(talk.turns))
    busy = "false" if talk.turns[-1].over else "true"
    return f'<div class="cmp-talk" role="log" aria-busy="{busy}">{rows}</div>'


def _turn(turn: Turn, contestant: Candidate, *, newest: bool, t: Sentence) -> str:
    parts = [
        *(_context(message, t) for message in turn.context),
        _said("cmp-prompt", t("ui.compare.you"), turn.prompt),
        _answers(turn, contestant, newest=newest, t=t),
        _verdict(turn, t),
        "" if turn.expected is None else _said("cmp-expected", t("ui.compare.expected"), turn.expected),
    ]
    return f'<section class="cmp-turn">{"".join(parts)}</section>'


def _said(kind: str, who: str, text: str) -> str:
    return f'<div class="{kind}"><span class="cmp-who">{who}</span>{_text(shown(text))}</div>'


def _context(message: Message, t: Sentence) -> str:
    if message.role == "user":
        return _said("cmp-prompt cmp-past", t("ui.compare.you"), message.content)
    return _said("cmp-said cmp-past", t("ui.compare.earlier"), message.content)


def _answers(turn: Turn | None, contestant: Candidate, *, newest: bool, t: Sentence) -> str:
    update = turn.update if turn else None
    base, tuned = update.columns if update else (None, None)
    spans: tuple[Sequence[DiffSpan], Sequence[DiffSpan]] | None = None
    if turn and turn.over and base and tuned:
        spans = difference(base.text, tuned.text)
    asked, over = turn is not None, bool(turn and turn.over)
    left = _card("base", base, spans[0] if spans else None, contestant, asked, over, newest, t)
    right = _card("tuned", tuned, spans[1] if spans else None, contestant, asked, over, newest, t)
    return f'<div class="cmp-pair">{left}{right}</div>'


def _card(
    side: str,
    state: ColumnState | None,
    spans: Sequence[DiffSpan] | None,
    contestant: Candidate,
    asked: bool,
    over: bool,
    newest: bool,
    t: Sentence,
) -> str:
    identity = f' id="compare-{side}"' if newest else ""
    body, foot = _body(side, state, spans, asked, over, t), ""
    if state is not None and (state.text or over):
        copy = t("ui.compare.copy")
        button = (
            f'<button type="button" class="cmp-copy" data-done="{escape(t("ui.compare.copied"))}"'
            f' aria-label="{escape(copy)} ({escape(t(f"ui.compare.side.{side}"))})">{copy}</button>'
        )
        foot = f'<div class="cmp-foot"><span class="cmp-speed">{_speed(state, t)}</span>{button}</div>'
    return (
        f'<article class="cmp-card cmp-{side}"{identity}>{_head(side, state, contestant, t)}'
        f'<div class="cmp-body">{body}</div>{foot}</article>'
    )


def _head(side: str, state: ColumnState | None, contestant: Candidate, t: Sentence) -> str:
    """What this column runs. The hash is that of the bytes which answered, as soon as they did."""
    label = f'<span class="cmp-side">{t(f"ui.compare.side.{side}")}</span>'
    if side == "base":
        name = shown(state.name if state else contestant.base)
        none, help_text = t("ui.compare.no_adapter"), escape(t("ui.compare.no_adapter_help"))
        who = f'<span class="cmp-name" title="{name}">{name}</span>'
        return f'<header class="cmp-head">{label}{who}<span class="cmp-hash" title="{help_text}">{none}</span></header>'
    name = shown(contestant.name)
    kept = contestant.step is None
    step = t("ui.compare.kept_short") if kept else t("ui.compare.checkpoint_step", step=contestant.step)
    who = f'<span class="cmp-name" title="{name}">{name}</span><span class="cmp-step">{step}</span>'
    return f'<header class="cmp-head">{label}{who}{_proof(state, contestant, t)}</header>'


def _proof(state: ColumnState | None, contestant: Candidate, t: Sentence) -> str:
    sha256 = state.adapter_sha256 if state else contestant.adapter_sha256
    if sha256 is None:  # a checkpoint's is told once it runs
        return ""
    title = escape(t("ui.compare.hash_help", sha256=sha256))
    return f'<code class="cmp-hash" title="{title}" tabindex="0">{escape(sha256[:8])}</code>'


def _body(
    side: str, state: ColumnState | None, spans: Sequence[DiffSpan] | None, asked: bool, over: bool, t: Sentence
) -> str:
    if not asked:
        return f'<p class="cmp-hint">{t(f"ui.compare.here.{side}")}</p>'
    if state is None or not (state.text or state.finished or over):
        waiting = t("ui.compare.loading" if state is None else "ui.compare.reading")
        return f'<p class="cmp-wait"><i></i><i></i><i></i><span>{waiting}</span></p>'
    if not state.text:
        key = "ui.compare.empty_answer" if state.finished else "ui.compare.nothing_yet"
        return f'<p class="cmp-hint">{t(key)}</p>'
    writing = "" if state.finished or over else " cmp-writing"
    if spans is None:
        return _text(shown(state.text), f"cmp-answer{writing}")
    marked = "".join(
        f'<mark class="cmp-only-{side}">{shown(span.text)}</mark>' if changed else shown(span.text)
        for span, changed in zip(spans, _bridged(spans), strict=True)
    )
    return _text(marked, "cmp-answer")


def _bridged(spans: Sequence[DiffSpan]) -> list[bool]:
    """Whether each span is marked: a space both texts have between two differences is marked with them."""
    changed = [span.changed for span in spans]
    inner = zip(changed, spans[1:], changed[2:], strict=False)
    bridges = [before and after and not span.text.strip() for before, span, after in inner]
    return [own or bridge for own, bridge in zip(changed, [False, *bridges, False], strict=False)]


def _text(html: str, kind: str = "") -> str:
    return f'<div class="cmp-text {kind}" dir="auto">{html}</div>'


def _speed(state: ColumnState, t: Sentence) -> str:
    seconds, rate = f"{state.seconds:.1f}", state.tokens_per_second
    if rate is None:
        return t("ui.compare.time", tokens=state.tokens, seconds=seconds)
    return t("ui.compare.speed", tokens=state.tokens, seconds=seconds, rate=f"{rate:.0f}")


def _verdict(turn: Turn, t: Sentence) -> str:
    """The warning of a base column that answers like the adapter, and what else a reader should not have to find."""
    lines = []
    if turn.update is not None and any(state.identical for state in turn.update.columns):
        lines.append(f'<div class="cmp-warning" role="alert">{t("ui.compare.identical")}</div>')
    if turn.stopped:
        lines.append(f'<p class="cmp-note">{t("ui.compare.stopped")}</p>')
    elif turn.over and turn.update and len({state.text for state in turn.update.columns}) == 1:
        lines.append(f'<p class="cmp-note">{t("ui.compare.same")}</p>')
    return "".join(lines)


def examples_html(examples: Sequence[tuple[tuple[Message, ...], str]], t: Sentence) -> str:
    """Buttons with a prompt and the answer that is expected; `data-example` is the place in `examples`."""
    if not examples:
        return ""
    chips = "".join(
        f'<button type="button" class="cmp-chip" data-example="{i}" title="{shown(_title(messages, expected, t))}">'
        f'<span class="cmp-chip-prompt" dir="auto">{shown(shorten(messages[-1].content, 200))}</span>'
        f'<span class="cmp-chip-expected" dir="auto">{shown(shorten(expected, 200))}</span></button>'
        for i, (messages, expected) in enumerate(examples)
    )
    return f'<span class="cmp-who">{t("ui.compare.examples")}</span><div class="cmp-chips">{chips}</div>'


def _title(messages: Sequence[Message], expected: str, t: Sentence) -> str:
    return shorten(f"{messages[-1].content}\n\n{t('ui.compare.expected')}:\n{expected}", 1500)


def legend_html(t: Sentence) -> str:
    """What the two markings mean, and the switch that hides them (by CSS: no request is made)."""
    return (
        f'<div class="cmp-legend"><label><input type="checkbox" class="cmp-toggle" checked>'
        f"{t('ui.compare.differences')}</label>"
        f'<span class="cmp-key"><mark class="cmp-only-base">{t("ui.compare.only_base")}</mark></span>'
        f'<span class="cmp-key"><mark class="cmp-only-tuned">{t("ui.compare.only_tuned")}</mark></span></div>'
    )
