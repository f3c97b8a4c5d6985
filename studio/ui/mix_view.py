"""The plan of a mixture as bars and a table, and what became of it. Pure; texts of the data pass `shown`."""

from studio.backend.mixtures import MadeMix
from studio.data.mixing import STARTER, MixPlan, PlannedPart
from studio.errors import SpecError, StudioError
from studio.ui.forms import problems
from studio.ui.markup import Sentence, act_button, said, shorten, shown

MOST_PASSES = 4
"""A row read more often is learned by heart (Muennighoff et al. 2023, arXiv:2305.16264: up to four passes over the
same text are about as good as new text)."""
_LEAST_SHARE = 0.01
COLORS = 6
_COLUMNS = ("part", "rows", "passes", "tokens", "share")


def plan_view(plan: MixPlan, t: Sentence) -> str:
    """What the mixture will be: shares of the tokens as a bar, each part in numbers, and what should be known."""
    trained = [part for part in plan.parts if not part.held_out]
    bar = "".join(
        f'<i class="m-c{i % COLORS}" style="width:{100 * part.share:.2f}%" title="{_titled(part, t)}"></i>'
        for i, part in enumerate(trained)
    )
    rows = "".join(_row(i, part, t) for i, part in enumerate([*trained, *(p for p in plan.parts if p.held_out)]))
    head = "".join(
        f"<th>{shown(t(f'ui.mix.plan.{name}'))}</th>" for name in ("part", "rows", "passes", "tokens", "share")
    )
    lines = "".join(f"<li>{shown(note)}</li>" for note in _notes(plan, t))
    notes = f'<ul class="d-notes">{lines}</ul>' if lines else ""
    total = t("ui.mix.plan.total", rows=plan.rows, tokens=plan.tokens)
    return (
        f'<p class="m-total">{shown(total)}</p><div class="m-bar" aria-hidden="true">{bar}</div>'
        f'<div class="d-grid-scroll"><table class="d-grid"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        f'</div>{notes}<p class="s-muted">{shown(t("ui.mix.plan.expected"))}</p>'
    )


def _named(part: PlannedPart, t: Sentence) -> tuple[str, str]:
    """What a part is called, and where it is from."""
    source = t("ui.mix.world") if part.replay and part.source == STARTER else part.source
    return (t("ui.mix.plan.replay") if part.replay else part.task), source


def _titled(part: PlannedPart, t: Sentence) -> str:
    return shown(f"{shorten(_named(part, t)[0], 60)}: {part.share:.1%}")


def _row(number: int, part: PlannedPart, t: Sentence) -> str:
    name, source = _named(part, t)
    small = f" <small>{shown(shorten(source, 60))}</small>" if source != name else ""
    apart = f' <span class="s-badge">{shown(t("ui.mix.plan.held_out"))}</span>' if part.held_out else ""
    dot = "" if part.held_out else f'<i class="m-dot m-c{number % COLORS}"></i>'
    passes = "–" if part.available is None or part.held_out else f"{part.passes:.2g}"
    share = "–" if part.held_out else f"{part.share:.1%}"
    cells = "".join(f"<td>{cell}</td>" for cell in (f"{part.rows:,}", passes, f"{part.tokens:,}", share))
    return f'<tr><th scope="row">{dot}{shown(shorten(name, 60))}{small}{apart}</th>{cells}</tr>'


def _notes(plan: MixPlan, t: Sentence) -> list[str]:
    notes = []
    for part in plan.parts:
        name = shorten(_named(part, t)[0], 60)
        if part.held_out:
            notes.append(t("ui.mix.note.held_out", part=name, rows=part.rows))
        elif part.passes > MOST_PASSES:
            notes.append(t("ui.mix.note.passes", part=name, passes=f"{part.passes:.0f}", most=MOST_PASSES))
        elif part.share < _LEAST_SHARE:
            notes.append(t("ui.mix.note.little", part=name, share=f"{part.share:.1%}"))
    return notes


def trouble(error: StudioError, language: str, names: list[str], t: Sentence) -> str:
    """What is wrong, each by the name of its field on the page rather than by its path."""
    if not isinstance(error, SpecError):
        return f'<p class="d-error" role="alert">{said(error.message(language))}</p>'
    lines = "".join(f"<li>{said(_plainly(path, text, names, t))}</li>" for path, text in problems(error, language))
    return f'<div class="d-error" role="alert"><ul class="m-problems">{lines}</ul></div>'


_FIELDS = {"templates": "ui.mix.ways", "template_sets": "ui.mix.ways", "share": "ui.mix.replay"}


def _plainly(path: str, text: str, names: list[str], t: Sentence) -> str:
    steps = path.split(".")
    if not path or steps[0] not in ("parts", "mixing", "replay", "rows", "seed"):
        return text
    if steps[0] == "parts" and len(steps) > 2:
        field = t(_FIELDS.get(steps[2], f"ui.mix.part.{steps[2]}")) if steps[2] in _PART_FIELDS else steps[2]
        place = names[int(steps[1])] if int(steps[1]) < len(names) else steps[1]
        told = f"{shorten(place, 60)}: {field}"
    else:
        told = t(_FIELDS.get(steps[-1], f"ui.mix.{steps[-1]}")) if steps[-1] in _TOP_FIELDS else path
    return text.replace(f"{path} ({path})", told).replace(f"`{path}`", told).replace(path, told)


_PART_FIELDS = frozenset({"task", "weight", "cap", "held_out", "templates", "template_sets"})
_TOP_FIELDS = frozenset({"maximum", "temperature", "rows", "share", "seed"})


def counting(t: Sentence) -> str:
    """Stands there while rows and tokens are counted."""
    return f'<p class="s-muted d-waiting" role="status">{shown(t("ui.mix.counting"))}</p>'


def busy(share: float, t: Sentence) -> str:
    """How far the making is."""
    percent = f"{100 * share:.0f}"
    return (
        f'<div class="m-busy"><div class="m-progress" role="progressbar" aria-valuemin="0" aria-valuemax="100"'
        f' aria-valuenow="{percent}" aria-label="{shown(t("ui.mix.making"))}"><i style="width:{percent}%"></i></div>'
        f"<span>{shown(t('ui.mix.making'))} {percent} %</span></div>"
    )


def stopped(t: Sentence) -> str:
    """That nothing was made, because it was stopped."""
    return f'<p class="d-note" role="status">{shown(t("ui.mix.stopped"))}</p>'


def made(found: MadeMix, t: Sentence) -> str:
    """What was made; with a way to the rows that are held out."""
    told = t("ui.mix.made", name=shorten(found.version.name, 80), rows=found.version.rows)
    if found.held_out is None:
        return f'<p class="m-made" role="status">{shown(told)}</p>'
    apart = t("ui.mix.made.held_out", name=shorten(found.held_out.name, 80), rows=found.held_out.rows)
    button = act_button("version", t("ui.mix.made.open"), version=found.held_out.id)
    return f'<div class="m-made" role="status"><p>{shown(told)}</p><p>{shown(apart)}</p>{button}</div>'
