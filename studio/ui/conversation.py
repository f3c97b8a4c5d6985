"""A conversation with several models, shown side by side as HTML; pure.

Every text that comes from data or a model passes `shown`: it is text, never markup. Each turn is a row of its own
(prompt, answers, votes, expected answer), so that what belongs together stays together on a narrow page too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from studio.backend.compare import ColumnState
from studio.backend.difference import DiffSpan, difference
from studio.backend.talks import Seat, Talk, Turn
from studio.data.records import Message
from studio.ui.markup import shorten, shown

Sentence = Callable[..., str]
LETTERS = "ABCD"


def talk_html(talk: Talk, t: Sentence) -> str:
    """The whole conversation, or the one turn that is looked at. The newest answers carry ids: `compare-base` and
    `compare-tuned` the first of each kind, others `compare-column-3` by their place."""
    if not talk.seats:
        return ""
    if not talk.turns:
        return f'<div class="cmp-talk">{_answers(None, 0, talk, newest=True, t=t)}</div>'
    places = range(len(talk.turns)) if talk.at is None else (talk.at,)
    rows = "".join(_turn(place, talk, newest=place == places[-1], t=t) for place in places)
    busy = "false" if talk.turns[-1].over else "true"
    pager = "" if talk.at is None else _pager(talk, talk.at, t)
    return f'<div class="cmp-talk" role="log" aria-busy="{busy}">{pager}{rows}</div>'


def _pager(talk: Talk, at: int, t: Sentence) -> str:
    """Steps through the answers to a set of prompts."""
    last, voted = len(talk.turns) - 1, sum(turn.vote is not None for turn in talk.turns)
    buttons = (
        (max(0, at - 1), "←", t("ui.compare.set.before"), at == 0),
        (min(last, at + 1), "→", t("ui.compare.set.after"), at == last),
    )
    before, after = (
        f'<button type="button" class="cmp-small" data-do="page" data-at="{place}" aria-label="{escape(label)}"'
        f"{' disabled' if off else ''}>{sign}</button>"
        for place, sign, label, off in buttons
    )
    told = t("ui.compare.set.place", place=at + 1, count=last + 1, voted=voted)
    whole = f'<button type="button" class="cmp-small" data-do="page" data-at="">{t("ui.compare.set.all")}</button>'
    return f'<div class="cmp-pager">{before}<span>{told}</span>{after}{whole}</div>'


def _turn(place: int, talk: Talk, *, newest: bool, t: Sentence) -> str:
    turn = talk.turns[place]
    parts = [
        *(_context(message, t) for message in turn.context),
        _said("cmp-prompt", t("ui.compare.you"), turn.prompt),
        _failure(turn, t) if turn.failure else _answers(turn, place, talk, newest=newest, t=t),
        _notes(turn, talk, t),
        _votes(turn, place, talk, t),
        "" if turn.expected is None else _said("cmp-expected", t("ui.compare.expected"), turn.expected),
    ]
    return f'<section class="cmp-turn">{"".join(parts)}</section>'


def _said(kind: str, who: str, text: str) -> str:
    return f'<div class="{kind}"><span class="cmp-who">{who}</span>{_text(shown(text))}</div>'


def _context(message: Message, t: Sentence) -> str:
    if message.role == "user":
        return _said("cmp-prompt cmp-past", t("ui.compare.you"), message.content)
    return _said("cmp-said cmp-past", t("ui.compare.earlier"), message.content)


def _failure(turn: Turn, t: Sentence) -> str:
    assert turn.failure is not None
    return f'<div class="cmp-warning" role="alert">{shown(t(turn.failure.key, **turn.failure.values))}</div>'


@dataclass(frozen=True, slots=True)
class _Card:
    """What a card shows of a column: `place` is that of its turn, `number` its own in the row, `name` its id on the
    page, `letter` the one that votes call it by."""

    column: int
    seat: Seat
    state: ColumnState | None
    spans: Sequence[DiffSpan] | None
    turn: Turn | None
    place: int
    number: int
    name: str
    letter: str

    @property
    def side(self) -> str:
        """Of whose kind it is shown; nobody's while names are hidden."""
        if self.turn is not None and self.turn.hidden:
            return "hidden"
        return "tuned" if self.seat.contestant.tuned else "base"


def _answers(turn: Turn | None, place: int, talk: Talk, *, newest: bool, t: Sentence) -> str:
    columns = turn.update.columns if turn and turn.update else (None,) * len(talk.seats)
    spans: tuple[Sequence[DiffSpan] | None, ...] = (None,) * len(talk.seats)
    if turn and turn.over and not turn.hidden and len(columns) == 2 and columns[0] and columns[1]:
        spans = difference(columns[0].text, columns[1].text)
    lettered = len(talk.seats) > 2 or (turn is not None and turn.hidden)
    names = _names(talk.seats)
    cards = [
        _card(
            _Card(
                column, talk.seats[column], columns[column], spans[column], turn, place, number,
                names[column] if newest else "", LETTERS[number] if lettered else "",
            ),
            t,
        )
        for number, column in enumerate(turn.shown(len(talk.seats)) if turn else range(len(talk.seats)))
    ]  # fmt: skip
    return f'<div class="cmp-pair cmp-of-{len(cards)}">{"".join(cards)}</div>'


def _names(seats: Sequence[Seat]) -> list[str]:
    found: list[str] = []
    for number, seat in enumerate(seats, 1):
        own = "compare-tuned" if seat.contestant.tuned else "compare-base"
        found.append(f"compare-column-{number}" if own in found else own)
    return found


def _card(card: _Card, t: Sentence) -> str:
    identity = f' id="{card.name}"' if card.name else ""
    state, over, foot = card.state, bool(card.turn and card.turn.over), ""
    if state is not None and (state.text or over):
        hidden = card.side == "hidden"
        speed = "" if hidden else _speed(state, t)
        foot = f'<div class="cmp-foot"><span class="cmp-speed">{speed}</span>{_buttons(card, t) if over else ""}</div>'
    editor = _editor(card, t) if state is not None and over else ""
    return (
        f'<article class="cmp-card cmp-{card.side}"{identity}>{_head(card, t)}'
        f'{_caution(card, t)}<div class="cmp-body">{_body(card, t)}{_edited(card, t)}</div>{editor}{foot}</article>'
    )


def _caution(card: _Card, t: Sentence) -> str:
    """What is to be known before its answer is believed."""
    if card.state is None or card.state.caution is None or card.side == "hidden":
        return ""
    caution = card.state.caution
    return f'<div class="cmp-warning" role="alert">{shown(t(caution.key, **caution.values))}</div>'


def _buttons(card: _Card, t: Sentence) -> str:
    whose = escape(card.letter if card.side == "hidden" else t(f"ui.compare.side.{card.side}"))
    copy, edit = t("ui.compare.copy"), t("ui.compare.edit")
    return (
        f'<span class="cmp-acts"><button type="button" class="cmp-edit" aria-label="{escape(edit)} ({whose})">{edit}'
        f'</button><button type="button" class="cmp-copy" data-done="{escape(t("ui.compare.copied"))}"'
        f' aria-label="{escape(copy)} ({whose})">{copy}</button></span>'
    )


def _editor(card: _Card, t: Sentence) -> str:
    """What an answer is rewritten in; a button of the card opens it, and nothing is asked of the server before."""
    assert card.turn is not None
    text = dict(card.turn.edits).get(card.column, card.turn.answer(card.column))
    data = f'data-turn="{card.place}" data-column="{card.column}"'
    return (
        f'<div class="cmp-editor" hidden><textarea dir="auto" rows="5" maxlength="20000"'
        f' aria-label="{escape(t("ui.compare.edit_label"))}">\n{escape(text)}</textarea><div>'
        f'<button type="button" class="cmp-small cmp-main" data-do="edit" {data}>{t("ui.compare.edit_save")}</button>'
        f'<button type="button" class="cmp-small cmp-close">{t("ui.compare.edit_cancel")}</button></div></div>'
    )


def _edited(card: _Card, t: Sentence) -> str:
    text = dict(card.turn.edits).get(card.column) if card.turn else None
    return "" if text is None else _said("cmp-rewritten", t("ui.compare.edited"), text)


def _head(card: _Card, t: Sentence) -> str:
    """What this column runs. The hash is that of the bytes which answered, as soon as they did."""
    letter = f'<span class="cmp-letter">{card.letter}</span>' if card.letter else ""
    if card.side == "hidden":
        return f'<header class="cmp-head">{letter}<span class="cmp-name">{t("ui.compare.hidden")}</span></header>'
    seat, state = card.seat, card.state
    contestant = seat.contestant
    label = f'{letter}<span class="cmp-side">{t(f"ui.compare.side.{card.side}")}</span>'
    own = _own_prompt(card, t)
    if not contestant.tuned:
        name = shown(state.name if state and not state.apart else seat.base)
        none, help_text = t("ui.compare.no_adapter"), escape(t("ui.compare.no_adapter_help"))
        who = f'<span class="cmp-name" title="{name}">{name}</span>{own}'
        return f'<header class="cmp-head">{label}{who}<span class="cmp-hash" title="{help_text}">{none}</span></header>'
    name = shown(seat.label)
    step = (
        t("ui.compare.kept_short") if contestant.step is None else t("ui.compare.checkpoint_step", step=contestant.step)
    )
    if contestant.folder:
        step = t("ui.compare.outside")
    who = f'<span class="cmp-name" title="{name}">{name}</span><span class="cmp-step">{step}</span>{own}'
    return f'<header class="cmp-head">{label}{who}{_proof(state, seat, t)}</header>'


def _own_prompt(card: _Card, t: Sentence) -> str:
    contestant = card.seat.contestant
    if not contestant.prompted:
        return ""
    told = t("ui.compare.own_prompt_help", shots=contestant.shots, system=contestant.system or "–")
    return f'<span class="cmp-step" title="{shown(told)}">{t("ui.compare.own_prompt")}</span>'


def _proof(state: ColumnState | None, seat: Seat, t: Sentence) -> str:
    sha256 = state.adapter_sha256 if state and state.adapter_sha256 else seat.sha256
    if sha256 is None:  # a checkpoint's is told once it runs
        return ""
    title = escape(t("ui.compare.hash_help", sha256=sha256))
    return f'<code class="cmp-hash" title="{title}" tabindex="0">{escape(sha256[:8])}</code>'


def _body(card: _Card, t: Sentence) -> str:
    state, spans, over = card.state, card.spans, bool(card.turn and card.turn.over)
    if card.turn is None:
        return f'<p class="cmp-hint">{t(f"ui.compare.here.{card.side}")}</p>'
    if state is None or not (state.text or state.finished or over):
        waiting = t(
            "ui.compare.loading" if state is None else "ui.compare.queued" if state.apart else "ui.compare.reading"
        )
        return f'<p class="cmp-wait"><i></i><i></i><i></i><span>{waiting}</span></p>'
    if not state.text:
        key = "ui.compare.empty_answer" if state.finished else "ui.compare.nothing_yet"
        return f'<p class="cmp-hint">{t(key)}</p>'
    writing = "" if state.finished or over else " cmp-writing"
    if spans is None:
        return _text(shown(state.text), f"cmp-answer{writing}")
    side = "tuned" if card.number else "base"  # the first of the two, and the second
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


def _notes(turn: Turn, talk: Talk, t: Sentence) -> str:
    """The warning of an adapter that does nothing, and what else a reader should not have to find."""
    columns = turn.update.columns if turn.update else ()
    lines = []
    if any(state.identical for state in columns) and not turn.hidden:
        lines.append(f'<div class="cmp-warning" role="alert">{_dead(turn, talk, t)}</div>')
    for reason in () if turn.hidden else dict.fromkeys(state.apart for state in columns if state.apart):
        names = ", ".join(state.name for state in columns if state.apart == reason)
        lines.append(f'<p class="cmp-note">{shown(t(f"ui.compare.apart.{reason}", names=names))}</p>')
    if turn.stopped:
        lines.append(f'<p class="cmp-note">{t("ui.compare.stopped")}</p>')
    elif turn.over and len(columns) > 1 and len({state.text for state in columns}) == 1:
        lines.append(f'<p class="cmp-note">{t("ui.compare.same" if len(columns) == 2 else "ui.compare.all_same")}</p>')
    return "".join(lines)


def _dead(turn: Turn, talk: Talk, t: Sentence) -> str:
    if len(talk.seats) == 2 or turn.update is None:
        return t("ui.compare.identical")
    names = ", ".join(state.name for state in turn.update.columns if state.identical)
    return shown(t("ui.compare.identical_named", names=names))


# Votes


def _votes(turn: Turn, place: int, talk: Talk, t: Sentence) -> str:
    """Buttons for a judgement, and a line for a note on it; light, for most who ask do not vote."""
    if not turn.over or turn.update is None or len(talk.seats) < 2:
        return ""
    order = turn.shown(len(talk.seats))
    choices: list[tuple[str, int | None, str]] = [
        ("best", column, _best(i, len(order), t)) for i, column in enumerate(order)
    ]
    choices += [("tie", None, t("ui.compare.vote.tie"))]
    choices += [("bad", None, t("ui.compare.vote.both_bad" if len(order) == 2 else "ui.compare.vote.all_bad"))]
    vote = turn.vote
    buttons = "".join(
        f'<button type="button" class="cmp-vote" data-do="vote" data-turn="{place}" data-verdict="{verdict}"'
        f' data-column="{"" if column is None else column}" aria-pressed="{_pressed(turn, verdict, column)}">'
        f"{label}</button>"
        for verdict, column, label in choices
    )
    undo = (
        f'<button type="button" class="cmp-small" data-do="undo" data-turn="{place}">'
        f"{t('ui.compare.vote.undo')}</button>"
    )
    hint = escape(t("ui.compare.vote.note"))
    note = (
        f'<input class="cmp-note-box" type="text" maxlength="1000" dir="auto" placeholder="{hint}" aria-label="{hint}"'
        f' value="{escape(vote.note if vote else "")}">'
    )
    asked = t("ui.compare.vote.ask" if len(order) == 2 else "ui.compare.vote.ask_best")
    return f'<div class="cmp-votes"><span>{asked}</span>{buttons}{undo if vote else ""}{note}</div>'


def _pressed(turn: Turn, verdict: str, column: int | None) -> str:
    vote = turn.vote
    return "true" if vote is not None and (vote.verdict, vote.column) == (verdict, column) else "false"


def _best(number: int, count: int, t: Sentence) -> str:
    if count > 2:
        return t("ui.compare.vote.best", letter=LETTERS[number])
    wide, narrow = ("left", "upper") if number == 0 else ("right", "lower")
    return (
        f'<span class="cmp-wide">{t(f"ui.compare.vote.{wide}")}</span>'
        f'<span class="cmp-narrow">{t(f"ui.compare.vote.{narrow}")}</span>'
    )


# Around it


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
