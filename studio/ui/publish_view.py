"""Putting an export on the Hugging Face Hub: what would go where, a press that agrees to it, and where it went."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr

from studio.backend.publishing import Parcel, Place, Published, terms
from studio.errors import Stopped, StudioError
from studio.ui.export_view import Sentence, progress_html
from studio.ui.markup import shown
from studio.ui.page import Page, html
from studio.ui.run_view import moment, size

_TOKEN_CHARACTERS = 4_096


def build_publish(page: Page, source: gr.State) -> None:
    """Lay the block out. `source` holds the path of an export, None as long as there is none: nothing is shown then.

    The token is a widget's value from when it is typed until it is sent; the press that sends it empties the widget.
    """
    t, publishing = page.t, page.studio.publishing
    parcel = gr.State(None)

    with gr.Column(visible=False, elem_classes="s-card pub", elem_id="publish") as block:
        html(
            f'<h3 class="s-h2">{shown(t("ui.publish.title"))}</h3><p class="s-muted">{shown(t("ui.publish.about"))}</p>'
        )
        with gr.Column(elem_id="publish-form") as form:
            with gr.Row():
                repo = gr.Textbox(
                    label=t("ui.publish.repo"), info=t("ui.publish.repo.help"), placeholder="owner/name",
                    max_length=200, min_width=240, elem_id="publish-repo",
                    html_attributes=gr.InputHTMLAttributes(autocomplete="off", spellcheck=False),
                )  # fmt: skip
                token = gr.Textbox(
                    label=t("ui.publish.token"), info=t("ui.publish.token.help"), type="password",
                    max_length=_TOKEN_CHARACTERS, min_width=240, elem_id="publish-token",
                    html_attributes=gr.InputHTMLAttributes(autocomplete="new-password", spellcheck=False),
                )  # fmt: skip
            private = gr.Checkbox(
                True, label=t("ui.publish.private"), info=t("ui.publish.private.help"), elem_id="publish-private"
            )
            replace = gr.Checkbox(
                False, label=t("ui.publish.replace"), info=t("ui.publish.replace.help"), visible=False,
                elem_id="publish-replace",
            )  # fmt: skip
            with gr.Row(elem_classes="ev-buttons"):
                look = gr.Button(
                    t("ui.publish.look"), variant="primary", scale=0, min_width=280, elem_id="publish-look"
                )
        with gr.Column(visible=False, elem_id="publish-agree") as agree:
            told = html(elem_id="publish-terms")
            with gr.Row(elem_classes="ev-buttons"):
                send = gr.Button(
                    t("ui.publish.send"), variant="primary", scale=0, min_width=180, elem_id="publish-send"
                )
                back = gr.Button(t("ui.publish.back"), scale=0, min_width=120, elem_id="publish-back")
        with gr.Column(visible=False, elem_id="publish-going") as going:
            state = html(elem_id="publish-state")
            with gr.Row(elem_classes="ev-buttons"):
                stop = gr.Button(t("ui.publish.stop"), scale=0, min_width=120, elem_id="publish-stop")
        note = html(elem_id="publish-note")
        made = html(elem_id="publish-made")

    parts = [parcel, form, agree, going, note]
    stopped = f'<p class="s-muted" role="status">{shown(t("ui.publish.stopped"))}</p>'

    def show_again(export: str | None) -> list[Any]:
        """Another export: nothing of the one before is agreed to."""
        if not export:
            return [gr.update(visible=False), "", *_at("form")]
        return [gr.update(visible=True), pushed_html(publishing.pushed(Path(export)), t), *_at("form")]

    def ask(export: str, to: str, hidden: bool, over: bool, key: str) -> Iterator[list[Any]]:
        place = Place(to.strip(), hidden, over)
        yield [gr.update(interactive=False), gr.skip(), gr.skip(), *[gr.skip()] * len(parts)]
        ready = gr.update(interactive=True)
        try:
            found = publishing.look(Path(export), place, key)
        except StudioError as error:
            there = gr.update(visible=True) if error.key == "error.hub.exists" else gr.skip()
            yield [ready, there, gr.skip(), *[gr.skip()] * len(parts)]
            raise
        yield [ready, gr.skip(), terms_html(found, page.language, t), *_at("agree", parcel=found)]

    def push(agreed: Parcel, key: str) -> Iterator[list[Any]]:
        still = [gr.skip()] * (1 + len(parts))
        begun = progress_html(0, t("ui.publish.going"))
        yield ["", begun, gr.skip(), gr.update(interactive=True), *_at("going", agreed)]
        try:
            with closing(publishing.follow(agreed, key)) as shares:
                for share in shares:
                    yield [gr.skip(), progress_html(share, t("ui.publish.going")), gr.skip(), *still]
        except Stopped:
            yield [gr.skip(), "", gr.skip(), gr.skip(), *_at("form", note=stopped)]
            return
        except Exception:  # told by the page; the block is to be of use again
            yield [gr.skip(), "", gr.skip(), gr.skip(), *_at("form")]
            raise
        yield [gr.skip(), "", pushed_html(publishing.pushed(agreed.source), t), gr.skip(), *_at("form")]

    def halt(agreed: Parcel) -> Any:
        publishing.stop(agreed)
        return gr.update(interactive=False)

    quiet: Any = {"show_progress": "hidden", "api_visibility": "private"}
    once = {**quiet, "trigger_mode": "once"}
    given = [source, repo, private, replace, token]
    source.change(page.guard(show_again), source, [block, made, *parts], **quiet)
    gr.on([look.click, repo.submit, token.submit], page.guard(ask), given, [look, replace, told, *parts], **once)
    back.click(lambda: _at("form"), None, parts, queue=False, **quiet)
    send.click(page.guard(push), [parcel, token], [token, state, made, stop, *parts], concurrency_limit=4, **once)
    stop.click(halt, parcel, stop, queue=False, **quiet)


def _at(step: str, parcel: Parcel | None = None, note: str = "") -> list[Any]:
    """The block at one of its steps: what is agreed upon, form, terms, progress, a note."""
    return [parcel, *(gr.update(visible=step == one) for one in ("form", "agree", "going")), note]


def terms_html(parcel: Parcel, language: str, t: Sentence) -> str:
    """All that is to be agreed to, and every file."""
    rows = "".join(f"<div><dt>{shown(name)}</dt><dd>{shown(text)}</dd></div>" for name, text in terms(parcel, language))
    files = "".join(
        f'<li><code>{shown(name)}</code><span class="exp-size">{size(bytes_)}</span></li>'
        for name, bytes_ in parcel.files
    )
    seen = "" if parcel.place.private else f'<p class="ev-caution" role="status">{shown(t("ui.publish.public"))}</p>'
    return (
        f'<h4 class="s-h2">{shown(t("ui.publish.terms"))}</h4>{seen}<dl class="exp-facts">{rows}</dl>'
        f'<details class="pub-files"><summary>{shown(t("ui.publish.every_file"))}</summary>'
        f'<ul class="exp-files">{files}</ul></details>'
    )


def pushed_html(pushed: Sequence[Published], t: Sentence) -> str:
    """Where it went, newest first."""
    if not pushed:
        return ""
    made = "".join(_pushed(one, t) for one in pushed)
    return f'<h4 class="s-h2">{shown(t("ui.publish.pushed"))}</h4><ul class="exp-files pub-made">{made}</ul>'


def _pushed(one: Published, t: Sentence) -> str:
    who, colour = ("private", "s-accent") if one.private else ("public", "s-warn")
    badge = f'<span class="s-badge {colour}">{shown(t(f"ui.publish.badge.{who}"))}</span>'
    link = f'<a href="{shown(one.url)}" target="_blank" rel="noopener noreferrer">{shown(one.repo)}</a>'
    told = t("ui.publish.made", files=one.files, size=size(one.bytes), time=moment(one.time), commit=one.commit[:12])
    return f'<li><span>{link}</span>{badge}<span class="exp-for">{shown(told)}</span></li>'
