"""A conversation is shown as text, with what was asked, what answered, and what differs."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from studio.backend.candidates import Candidate
from studio.backend.compare import Apart, ColumnState, CompareUpdate
from studio.backend.talks import Failure, Judged, Seat, Talk, Turn, base_seat, run_seat
from studio.data.records import Message
from studio.messages import LANGUAGES, translate
from studio.runs.events import Notice
from studio.ui.conversation import examples_html, legend_html, talk_html
from studio.ui.markup import visible

KEPT = Candidate("run-1", "Friendly support", None, "a" * 64, "starter", 0.5)
CHECKPOINT = Candidate("run-1", "Friendly support", 40, None, "starter", 0.7)
PAYLOADS = [
    "<script>window.hit=1</script>",
    '<img src=x onerror="window.hit=1">',
    "![pixel](http://127.0.0.1:9/pixel.png)",
    "[press](javascript:window.hit=1)",
    '"><svg onload=window.hit=1>',
    "</div></article><iframe src=//127.0.0.1:9>",
    "' onmouseover='window.hit=1",
    "${window.hit=1} {{constructor}} `x`",
    "&lt;b&gt; &amp; &#60;script&#62;",
    "\x1b[31mred\x00\x07",
    "\u202eetirw\u202c",
]


class Elements(HTMLParser):
    """Tags and attributes of a page's piece, and its texts by class."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        classes = dict(attrs).get("class") or ""
        for name in classes.split():
            self.texts.setdefault(name, []).append("")
        if tag != "input":
            self._open.append(classes)

    def handle_endtag(self, tag: str) -> None:
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for name in {name for classes in self._open for name in classes.split()}:
            self.texts[name][-1] += data

    def values(self, name: str) -> list[str | None]:
        return [value for key, value in self.attributes if key == name]


def t(key: str, **values: object) -> str:
    return translate(key, "en", **values)


def state(text: str, *, finished: bool = True, sha256: str | None = None, name: str = "starter") -> ColumnState:
    return ColumnState(text, 12, 2.0, 0.5, finished, name, sha256)


def update(base: str, tuned: str, *, done: bool = True, identical: bool | None = False) -> CompareUpdate:
    answered = state(tuned, finished=done, sha256="b" * 64, name="Friendly support")
    return CompareUpdate((state(base, finished=done), replace(answered, identical=identical)), done)


def test_an_adapter_of_another_base_is_told_in_its_column() -> None:
    answered = update("Hi.", "Hello.")
    caution = Notice(key="notice.adapter.other_base", values={"adapter": "a", "base": PAYLOADS[0], "model": "m"})
    columns = (answered.columns[0], replace(answered.columns[1], caution=caution))
    turn = Turn("?", update=CompareUpdate(columns, done=True))
    talk = Talk.beside_base(Candidate("run-1", "Mine", 40, None, "starter"), turn)
    (told,) = Elements(talk_html(talk, t)).texts["cmp-warning"]
    assert told == t(caution.key, **{**caution.values, "base": visible(PAYLOADS[0])})


@pytest.mark.parametrize("payload", PAYLOADS)
def test_whatever_is_said_is_shown_as_text(payload: str) -> None:
    contestant = Candidate("run-1", payload, 40, None, payload)
    context = (Message(role="user", content=payload), Message(role="assistant", content=payload))
    shared = Turn(payload, context, payload, update(payload, payload + " more"))
    marked = Turn(payload, update=update("", payload))
    writing = Turn(payload, update=update(payload, payload, done=False))
    html = talk_html(Talk.beside_base(contestant, shared, marked, writing), t)
    html += examples_html([((Message(role="user", content=payload),), payload)], t)
    found = Elements(html)
    assert found.tags <= {
        "div",
        "section",
        "article",
        "header",
        "span",
        "code",
        "button",
        "p",
        "mark",
        "textarea",
        "input",
    }
    allowed = {"class", "id", "title", "role", "dir", "type", "tabindex", "aria-busy", "aria-label"}
    allowed |= {"data-done", "data-example", "data-do", "data-turn", "data-column", "data-verdict", "aria-pressed"}
    allowed |= {"hidden", "rows", "maxlength", "placeholder", "value"}
    assert {name for name, _ in found.attributes} <= allowed
    text = visible(payload)
    editors = [said.rpartition(t("ui.compare.edit_save"))[0].removeprefix("\n") for said in found.texts["cmp-editor"]]
    assert editors == [payload, payload + " more", "", payload]
    assert found.texts["cmp-answer"] == [text, visible(payload + " more"), text, text, text]
    assert found.texts["cmp-name"] == ["starter", text] * 3
    assert found.texts["cmp-chip-prompt"] == [text]
    assert text in found.values("title")


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_reads_in_every_language(language: str) -> None:
    def say(key: str, **values: object) -> str:
        return translate(key, language, **values)

    turns = (
        Turn("a", update=update("x", "x", identical=True)),
        Turn("b", update=update("", "y"), stopped=True),
        Turn("c"),
    )
    html = talk_html(Talk.beside_base(CHECKPOINT, *turns), say) + legend_html(say)
    assert "{" not in Elements(html).texts["cmp-talk"][0]


def test_only_the_newest_answers_carry_the_ids() -> None:
    talk = Talk.beside_base(KEPT)
    for number in range(3):
        html = talk_html(talk, t)
        found = Elements(html)
        assert sorted(i for i in found.values("id") if i) == ["compare-base", "compare-tuned"]
        newest = html[html.index('id="compare-base"') :]
        assert newest.count("cmp-pair") == 0
        talk = talk.with_turn(Turn(f"prompt {number}", update=update("one", "two")))


def test_the_head_tells_the_bytes_that_answered_not_those_asked_for() -> None:
    before = Elements(talk_html(Talk.beside_base(KEPT), t))
    assert before.texts["cmp-hash"] == [t("ui.compare.no_adapter"), "a" * 8]
    answered = Elements(talk_html(Talk.beside_base(KEPT, Turn("hi", update=update("x", "y"))), t))
    assert answered.texts["cmp-hash"] == [t("ui.compare.no_adapter"), "b" * 8]
    assert t("ui.compare.hash_help", sha256="b" * 64) in answered.values("title")
    # A checkpoint's hash is not known before it runs, so nothing is claimed.
    assert Elements(talk_html(Talk.beside_base(CHECKPOINT), t)).texts["cmp-hash"] == [t("ui.compare.no_adapter")]


def test_differences_are_marked_once_both_are_written() -> None:
    base, tuned = "You can wait for the parcel.", "You can wait for it, dear friend."
    writing = Elements(talk_html(Talk.beside_base(KEPT, Turn("hi", update=update(base, tuned, done=False))), t))
    assert "mark" not in writing.tags
    assert writing.values("aria-busy") == ["true"]
    over = Elements(talk_html(Talk.beside_base(KEPT, Turn("hi", update=update(base, tuned))), t))
    assert over.values("aria-busy") == ["false"]
    assert over.texts["cmp-answer"] == [base, tuned]
    assert "".join(over.texts["cmp-only-base"]) == "the parcel"  # the space between the words too
    assert "You can wait" not in "".join(over.texts["cmp-only-base"] + over.texts["cmp-only-tuned"])


def test_equal_scores_warn_and_equal_answers_are_told_apart() -> None:
    def said(turn: Turn) -> str:
        return talk_html(Talk.beside_base(KEPT, turn), t)

    same = said(Turn("hi", update=update("x", "x", identical=False)))
    assert t("ui.compare.same") in same
    assert "cmp-warning" not in same
    dead = said(Turn("hi", update=update("x", "x", done=False, identical=True)))
    assert t("ui.compare.identical") in dead
    assert "cmp-warning" not in said(Turn("hi", update=update("x", "y", identical=None)))


def test_speed_is_told_only_where_there_is_one() -> None:
    html = talk_html(Talk.beside_base(KEPT, Turn("hi", update=update("x", "y"))), t)
    rate = (12 - 1) / (2.0 - 0.5)
    assert t("ui.compare.speed", tokens=12, seconds="2.0", rate=f"{rate:.0f}") in html
    short = ColumnState("x", 1, 0.5, 0.5, True, "starter", None)
    html = talk_html(Talk.beside_base(KEPT, Turn("hi", update=CompareUpdate((short, short), True))), t)
    assert html.count(t("ui.compare.time", tokens=1, seconds="0.5")) == 2
    assert "tokens/s" not in html


def test_waiting_is_told_in_words() -> None:
    assert t("ui.compare.loading") in talk_html(Talk.beside_base(KEPT, Turn("hi")), t)
    assert t("ui.compare.reading") in talk_html(
        Talk.beside_base(KEPT, Turn("hi", update=update("", "", done=False))), t
    )
    assert t("ui.compare.empty_answer") in talk_html(Talk.beside_base(KEPT, Turn("hi", update=update("", "y"))), t)
    stopped = Turn("hi", update=update("", "", done=False), stopped=True)
    assert t("ui.compare.nothing_yet") in talk_html(Talk.beside_base(KEPT, stopped), t)


def test_each_column_remembers_its_own_answers() -> None:
    context = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello!"))
    first = Turn("one", context, update=update("base 1", "tuned 1"))
    second = Turn("two", update=update("base 2", "tuned 2", done=False), stopped=True)
    base, tuned = Talk.beside_base(KEPT, first, second).histories(Turn("three"))
    assert [m.content for m in base] == ["Hi", "Hello!", "one", "base 1", "two", "base 2", "three"]
    assert [m.content for m in tuned] == ["Hi", "Hello!", "one", "tuned 1", "two", "tuned 2", "three"]
    assert [m.role for m in tuned] == ["user", "assistant"] * 3 + ["user"]


def test_legend_explains_both_marks() -> None:
    html = legend_html(t)
    assert re.findall(r"cmp-only-(\w+)", html) == ["base", "tuned"]
    assert "checked" in html


# More than two, votes, hidden names


def four(*, apart: Apart = "") -> CompareUpdate:
    others = [
        replace(state(text, sha256="c" * 64, name=f"Run {text}"), apart=apart if text == "three" else "")
        for text in ("one", "two", "three")
    ]
    return CompareUpdate((state("zero"), *others), True)


def seats() -> tuple[Seat, ...]:
    others = [Candidate(f"run-{n}", f"Run {n}", n, None, "starter") for n in (1, 2, 3)]
    prompted = run_seat(others[2]).prompted("Be <kind>.", 2)
    return (base_seat(KEPT), run_seat(others[0]), run_seat(others[1]), prompted)


def test_four_columns_have_letters_names_and_ids_of_their_own() -> None:
    html = talk_html(Talk(seats(), (Turn("hi", update=four(apart="model")),)), t)
    found = Elements(html)
    assert sorted(i for i in found.values("id") if i) == [
        "compare-base", "compare-column-3", "compare-column-4", "compare-tuned",
    ]  # fmt: skip
    assert found.texts["cmp-letter"] == list("ABCD")
    assert found.texts["cmp-answer"] == ["zero", "one", "two", "three"]
    assert found.texts["cmp-vote"] == [*(f"{letter} is best" for letter in "ABCD"), "Tie", "All bad"]
    assert t("ui.compare.apart.model", names="Run three") in html
    assert found.texts["cmp-step"] == ["Step 1", "Step 2", "Step 3", t("ui.compare.own_prompt")]
    assert t("ui.compare.own_prompt_help", shots=2, system="Be <kind>.") in found.values("title")
    assert "mark" not in found.tags


def test_names_are_hidden_until_there_is_a_vote() -> None:
    turn = Turn("hi", update=update("from base", "from tuned"), order=(1, 0), blind=True)
    hidden = talk_html(Talk.beside_base(KEPT, turn), t)
    found = Elements(hidden)
    assert found.texts["cmp-answer"] == ["from tuned", "from base"]
    assert found.texts["cmp-head"] == [f"{letter}{t('ui.compare.hidden')}" for letter in "AB"]
    assert "mark" not in found.tags
    for secret in ("Friendly support", "starter", "b" * 8, "tokens"):
        assert secret not in hidden
    # What a button says is about what is seen; what it tells is the column.
    assert [b for b in found.values("data-column") if b][-2:] == ["1", "0"]
    told = Elements(talk_html(Talk.beside_base(KEPT, replace(turn, vote=Judged("v", "best", 0))), t))
    assert told.texts["cmp-name"] == ["Friendly support", "starter"]
    assert told.values("aria-pressed") == ["false", "true", "false", "false"]


def test_a_vote_a_note_and_a_rewritten_answer_are_shown() -> None:
    turn = Turn("hi", update=update("x", "y"), vote=Judged("v", "tie", None, "so <so>"), edits=((1, "<better>"),))
    found = Elements(talk_html(Talk.beside_base(KEPT, turn), t))
    assert "so <so>" in found.values("value")
    assert found.texts["cmp-rewritten"] == [t("ui.compare.edited") + "<better>"]
    assert found.values("aria-pressed") == ["false", "false", "true", "false"]
    writing = Turn("hi", update=update("x", "y", done=False))
    assert "cmp-vote" not in talk_html(Talk.beside_base(KEPT, writing), t)
    alone = Turn("hi", update=CompareUpdate((state("x"),), True))
    assert "cmp-vote" not in talk_html(Talk((base_seat(KEPT),), (alone,)), t)


def test_a_set_is_stepped_through() -> None:
    voted = Turn("a", update=update("x", "y"), vote=Judged("v", "tie"))
    failed = Turn("b", failure=Failure("error.compare.no_prompt", {}))
    talk = replace(Talk.beside_base(KEPT, voted, failed), at=1)
    html = talk_html(talk, t)
    assert t("error.compare.no_prompt") in html
    assert "cmp-vote" not in html
    assert t("ui.compare.set.place", place=2, count=2, voted=1) in html
    assert Elements(html).values("data-at") == ["0", "1", ""]
    assert talk.turned_to(None).at is talk.turned_to(9).at is None
    assert talk.turned_to(0).at == 0
