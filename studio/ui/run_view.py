"""Records of runs -> what the Runs tab shows of them, as HTML. Pure; every text goes through `shown`."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from studio.messages import translate
from studio.runs.events import RunState, Sample
from studio.runs.spec import RunSpec
from studio.runs.store import RunRecord
from studio.ui.difference import new_words
from studio.ui.markup import said, shown
from studio.ui.method_view import method_name

if TYPE_CHECKING:
    from studio.backend.runner import RunSummary

T = Callable[..., str]
LISTED = 100
"""Most runs in the list at once; the others are found by typing."""


# Words and numbers


def duration(seconds: float, t: T) -> str:
    """Rounded to what one wants to know: seconds, minutes and seconds, hours and minutes."""
    whole = max(0, round(seconds))
    if whole < 60:
        return t("ui.runs.time.seconds", seconds=whole)
    if whole < 3600:
        return t("ui.runs.time.minutes", minutes=whole // 60, seconds=whole % 60)
    return t("ui.runs.time.hours", hours=whole // 3600, minutes=whole % 3600 // 60)


def size(count: float) -> str:
    """Bytes in decimal units."""
    for unit, power in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= power:
            return f"{count / power:.3g} {unit}" if count < 1000 * power else f"{count / power:,.0f} {unit}"
    return f"{count:.0f} B"


def moment(stamp: float) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(stamp))


def number(value: float | None) -> str:
    """Four significant digits, grouped; a dash for none."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def loss(value: float | None) -> str:
    """A loss, always to three places so that two can be compared at a glance."""
    return "–" if value is None else f"{value:.3f}"


def shown_status(state: RunState, preparing: bool = False) -> str:
    """The status in one word, as the page knows it: a run that waits, or loads its model, or is about to stop."""
    if preparing and state.status == "queued":
        return "preparing"
    if state.status == "running" and state.stop_requested:
        return "stopping"
    return state.status


def chip(status: str, t: T) -> str:
    return f'<span class="chip chip-{status}">{shown(t(f"ui.runs.status.{status}"))}</span>'


def best_validation(state: RunState) -> float | None:
    """Validation loss of the kept adapter, or the lowest so far."""
    if state.ended and state.ended.validation_loss is not None:
        return state.ended.validation_loss
    losses = [c.validation_loss for c in state.checkpoints if c.validation_loss is not None]
    return min(losses, default=None)


def best_reward(state: RunState) -> float | None:
    """Reward on the validation rows of the kept adapter, or the highest so far."""
    if state.ended and state.ended.validation_reward is not None:
        return state.ended.validation_reward
    return max((c.validation_reward for c in state.checkpoints if c.validation_reward is not None), default=None)


def run_seconds(state: RunState) -> float | None:
    """Time the last leg of the run took."""
    if state.ended and state.ended.seconds:
        return state.ended.seconds
    if state.leg_time is None or state.last_time is None:
        return None
    return state.last_time - state.leg_time


def preset_title(spec: RunSpec, titles: dict[str, str], t: T) -> str:
    return titles.get(spec.preset, spec.preset or t("ui.runs.own_settings"))


# The list


def history(
    runs: Sequence["RunSummary"],
    chosen: str | None,
    marked: Sequence[str],
    titles: dict[str, str],
    find: str,
    preparing: str | None,
    t: T,
) -> str:
    """One card per run, newest first, of those whose name, data, method, preset, notes or tags hold `find`."""
    wanted = find.strip().casefold()
    found = [
        run
        for run in runs
        if not wanted
        or wanted
        in "\n".join(
            (
                run.record.name,
                run.dataset_name,
                method_name(run.record.spec.method.kind, t),
                preset_title(run.record.spec, titles, t),
                run.record.notes,
                *run.record.tags,
            )
        ).casefold()
    ]
    cards = [_card(run, chosen, marked, titles, preparing, t) for run in found[:LISTED]]
    if wanted and not found:
        cards.append(f'<p class="quiet">{shown(t("ui.runs.find.none"))}</p>')
    if len(found) > LISTED:
        cards.append(f'<p class="quiet">{shown(t("ui.runs.find.more", count=len(found) - LISTED))}</p>')
    return f'<div class="run-list">{"".join(cards)}</div>'


def _card(
    run: "RunSummary", chosen: str | None, marked: Sequence[str], titles: dict[str, str], preparing: str | None, t: T
) -> str:
    record, state = run.record, run.state
    before, best, seconds = state.validation_loss_before, best_validation(state), run_seconds(state)
    facts = []
    if best is not None:
        change = f"{loss(before)} → {loss(best)}" if before is not None else loss(best)
        facts.append(f"<span>{shown(t('ui.runs.list.validation'))} <b>{change}</b></span>")
    if seconds:
        facts.append(f"<span>{shown(duration(seconds, t))}</span>")
    facts.append(f"<span>{moment(record.created)}</span>")
    current = ' aria-current="true"' if record.id == chosen else ""
    checked = " checked" if record.id in marked else ""
    name, run_id = shown(record.name), shown(record.id)
    term = t(f"ui.method.{record.spec.method.kind}.term")
    about_it = (run.dataset_name, term, preset_title(record.spec, titles, t))
    return (
        f'<div class="run-card"{current}>'
        f'<input type="checkbox" data-mark="{run_id}"{checked} title="{shown(t("ui.runs.mark_help"))}"'
        f' aria-label="{shown(t("ui.runs.mark", name=record.name))}">'
        f'<button type="button" class="run-pick" data-run="{run_id}">'
        f'<span class="run-top"><span class="run-name">{name}</span>'
        f"{chip(shown_status(state, record.id == preparing), t)}</span>"
        f'<span class="run-sub">{shown(" · ".join(about_it))}</span>'
        f'<span class="run-facts">{"".join(facts)}</span>{tags_line(record)}</button></div>'
    )


def tags_line(record: RunRecord) -> str:
    """The tags of a run, each in a frame; nothing where there are none."""
    words = "".join(f'<span class="run-tag">{shown(tag)}</span>' for tag in record.tags)
    return f'<span class="run-tags">{words}</span>' if words else ""


def empty(t: T) -> str:
    """What stands there before the first run."""
    return (
        f'<div class="s-empty"><h2 class="s-h2">{shown(t("ui.runs.empty.title"))}</h2>'
        f'<p class="s-lead">{shown(t("ui.runs.empty.about"))}</p></div>'
    )


# One run


def about(record: RunRecord, data: str, parent: str, titles: dict[str, str], t: T) -> str:
    """Data, method, model, preset and time of a run, in a line, and the name of the run whose adapter it goes on
    from."""
    spec = record.spec
    model = t("ui.runs.starter") if spec.model.source == "starter" else spec.model.source
    step = spec.model.adapter_step
    after = t("ui.runs.follows.step", run=parent, step=step) if step else t("ui.runs.follows", run=parent)
    follows = (after,) if parent else ()
    method = method_name(spec.method.kind, t)
    return " · ".join((data, method, model, *follows, preset_title(spec, titles, t), moment(record.created)))


def headline(name: str, sub: str, state: RunState, status: str, t: T) -> str:
    """Name, status and progress of the run, with its numbers in tiles. `status` is that of `shown_status`."""
    percent = 100 * state.share if state.status != "done" else 100.0
    parts = []
    if state.total_steps:
        parts.append(t("ui.runs.progress.step", step=f"{state.step:,}", total=f"{state.total_steps:,}"))
    left = state.seconds_left()
    if left is not None and status == "running":
        parts.append(t("ui.runs.progress.left", time=duration(left, t)))
    seconds = run_seconds(state)
    if seconds:
        over = state.ended is not None
        parts.append(t(f"ui.runs.progress.{'took' if over else 'spent'}", time=duration(seconds, t)))
    if state.started and state.started.how:
        parts.append(", ".join(t(f"ui.runs.how.{name}") for name in state.started.how))
    if state.cluster:
        parts.append(t("ui.runs.where", address=state.cluster.address, workers=state.cluster.workers))
        if state.cluster.sharding == "full":
            parts.append(t("ui.runs.where.divided"))
    line = " · ".join(parts) or t(f"ui.runs.progress.{status if status in ('queued', 'preparing') else 'none'}")
    busy = " busy" if status in ("preparing", "running", "stopping") else ""
    return (
        f'<div class="run-head"><h2 class="run-title">{shown(name)}</h2>{chip(status, t)}</div>'
        f'<p class="run-about">{shown(sub)}</p>'
        f'<div class="progress progress-{status}{busy}" role="progressbar" aria-valuemin="0" aria-valuemax="100"'
        f' aria-valuenow="{percent:.0f}" aria-label="{shown(t("ui.runs.progress"))}">'
        f'<div class="progress-bar" style="width:{percent:.2f}%"></div></div>'
        f'<div class="progress-line"><span>{shown(line)}</span><span>{percent:.0f} %</span></div>'
        f"{_tiles(state, t)}"
    )


def _tiles(state: RunState, t: T) -> str:
    before = state.validation_loss_before
    ended = state.status in ("done", "stopped") and best_validation(state) is not None
    now = best_validation(state) if ended else state.latest("validation_loss")
    change = ""
    if before and now is not None and now != before:
        good = "good" if now < before else "bad"
        change = f'<span class="change {good}">{(now / before - 1) * 100:+.0f} %</span>'.replace("-", "−")
    first_only = len(state.curves.get("validation_loss", [])) < 2
    validation = loss(now) if before is None or first_only else f"{loss(before)} → {loss(now)}"
    memory = max((value for _, value in state.curves.get("memory_bytes", [])), default=None)
    ahead = accuracy(state)
    validated = ("validation", validation, change)
    if (earned := state.curves.get("validation_reward")) is not None:
        last = best_reward(state) if state.status in ("done", "stopped") else earned[-1][1]
        validated = ("reward", f"{earned[0][1]:.3f} → {last:.3f}" if len(earned) > 1 else f"{last:.3f}", "")
    tiles = (
        ("loss", loss(state.latest("loss")), "") if ahead is None else ("accuracy", f"{100 * ahead:.0f} %", ""),
        validated,
        ("tokens", number(_typical(state, "tokens_per_second")), ""),
        ("memory", size(memory) if memory else "–", ""),
    )
    if not state.curves:
        return ""
    cells = "".join(
        f'<div class="tile tile-{key}"><dt>{shown(t(f"ui.runs.tile.{key}"))}</dt><dd>{value}{extra}</dd></div>'
        for key, value, extra in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def accuracy(state: RunState) -> float | None:
    """In what share of the pairs the better answer is ahead, 0 to 1: of the validation rows, or of the last batches
    where there are none. None for methods that learn from no pairs."""
    found = state.latest("validation_accuracy")
    return _typical(state, "accuracy") if found is None else found


def _typical(state: RunState, metric: str) -> float | None:
    """Mean of the last ten values: single ones jump."""
    values = [value for _, value in state.curves.get(metric, [])[-10:]]
    return sum(values) / len(values) if values else None


def messages(
    state: RunState,
    read_only: bool,
    language: str,
    beside: Sequence[tuple[str, Mapping[str, Any]]] = (),
    failure: str = "",
) -> str:
    """What the user should know of the run, worst first. `beside`: where else its numbers are told, as keys of
    sentences with their values. `failure`: why it failed, as `diagnosis_view` tells it."""

    def t(key: str, **values: object) -> str:
        return translate(key, language, **values)

    lines: list[tuple[str, str]] = []
    ended = state.ended
    if ended and ended.status == "failed":
        lines.append(("info", t("ui.runs.say.failed_kept" if state.usable else "ui.runs.say.failed")))
    elif state.status == "interrupted":
        step = state.checkpoints[-1].step if state.checkpoints else 0
        lines.append(("warn", t("ui.runs.say.interrupted" if step else "ui.runs.say.interrupted_start", step=step)))
    elif ended and ended.status == "stopped" and not ended.adapter:
        lines.append(("info", t(ended.key or "notice.run.cancelled", **ended.values)))
    elif ended:
        lines.append(_result(state, t))
        if (ahead := state.latest("validation_accuracy")) is not None:
            lines.append(("info", t("ui.runs.say.accuracy", percent=f"{100 * ahead:.0f}")))
    if read_only:
        lines.append(("info", t("ui.runs.say.read_only")))
    lines += [("note", t(notice.key, **notice.values)) for notice in state.notices]
    lines += [("note", t(key, **values)) for key, values in beside]
    shown = list(dict.fromkeys(lines))
    return failure + "".join(f'<div class="say say-{kind}" role="status">{_lines(text)}</div>' for kind, text in shown)


def _lines(text: str) -> str:
    return said(text).replace("\n", "<br>")


def _result(state: RunState, t: T) -> tuple[str, str]:
    """How an ended run went, in a sentence."""
    assert state.ended is not None
    before, best = state.validation_loss_before, state.ended.validation_loss
    values: dict[str, Any] = {"step": state.ended.best_step or state.ended.step}
    how = "stopped" if state.ended.status == "stopped" else "done"
    if state.ended.validation_reward is not None:
        first, last = state.curves["validation_reward"][0][1], state.ended.validation_reward
        values |= {"before": f"{first:.3f}", "after": f"{last:.3f}"}
        if last <= first:
            return "warn", t("ui.runs.say.reward_worse", **values)
        return "good", t(f"ui.runs.say.{how}_reward", **values)
    if before is None or best is None:
        return "good", t(f"ui.runs.say.{how}", **values)
    values |= {"before": loss(before), "after": loss(best), "percent": f"{abs(best / before - 1) * 100:.0f}"}
    if best >= before:
        return "warn", t("ui.runs.say.worse", **values)
    return "good", t(f"ui.runs.say.{how}_better", **values)


def samples(state: RunState, t: T) -> str:
    """For each fixed prompt, what the model answered at every evaluation, and what was expected."""
    prompts: dict[tuple[str, str], list[Sample]] = {}
    for sample in state.samples:
        prompts.setdefault((sample.prompt, sample.expected), []).append(sample)
    if not prompts:
        return ""
    cards = "".join(_sample_card(prompt, expected, rows, t) for (prompt, expected), rows in prompts.items())
    return (
        f'<h3 class="section">{shown(t("ui.runs.samples"))}</h3>'
        f'<p class="quiet">{shown(t("ui.runs.samples.about"))}</p><div class="samples">{cards}</div>'
    )


def _sample_card(prompt: str, expected: str, rows: Sequence[Sample], t: T) -> str:
    same = " ".join(expected.split())
    lines, before = [], None
    for rows_alike in _alike(rows):
        row, last = rows_alike[0], rows_alike[-1]
        hit = bool(same) and " ".join(row.text.split()) == same
        step = t("ui.runs.samples.before") if row.step == 0 else f"{row.step:,}"
        if last is not row:
            step += f" – {last.step:,}"
        mark = f'<span class="hit">✓ {shown(t("ui.runs.samples.same"))}</span>' if hit else ""
        text = shown(row.text) if before is None else new_words(before, row.text)
        before = row.text
        if not row.text.strip():
            text = f'<i class="quiet">{shown(t("ui.runs.samples.empty"))}</i>'
        lines.append(f'<tr><th scope="row">{shown(step)}</th><td><div class="answer">{text}</div>{mark}</td></tr>')
    wanted = ""
    if expected:
        wanted = (
            f'<tr class="expected"><th scope="row">{shown(t("ui.runs.samples.expected"))}</th>'
            f'<td><div class="answer">{shown(expected)}</div></td></tr>'
        )
    return (
        f'<div class="sample"><div class="sample-prompt">{shown(prompt)}</div><div class="sample-rows"><table>'
        f'<thead><tr><th scope="col">{shown(t("ui.runs.samples.step"))}</th>'
        f'<th scope="col">{shown(t("ui.runs.samples.answer"))}</th></tr></thead>'
        f"<tbody>{''.join(lines)}{wanted}</tbody></table></div></div>"
    )


def _alike(rows: Sequence[Sample]) -> list[list[Sample]]:
    """The rows, those that follow each other with the same answer together."""
    groups: list[list[Sample]] = []
    for row in rows:
        if groups and groups[-1][0].text == row.text:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
