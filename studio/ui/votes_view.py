"""How often each contestant won, as HTML; pure."""

from collections.abc import Callable

from studio.backend.votes import Standing, Standings
from studio.ui.markup import badge, shown

Sentence = Callable[..., str]


def standings_html(standings: Standings, t: Sentence) -> str:
    """A bar for each: the win rate, and on it the interval that it lies in."""
    if not standings.votes and not standings.edits:
        return f'<p class="s-muted">{t("ui.votes.none")}</p>'
    told = t("ui.votes.counted", votes=standings.votes, edits=standings.edits)
    rows = "".join(_row(row, t) for row in standings.rows)
    rated = any(row.rating for row in standings.rows)
    how = f'<p class="s-muted">{t("ui.votes.how")}{" " + t("ui.votes.how_rated") if rated else ""}</p>' if rows else ""
    return f'<p class="cmp-counted">{told}</p><ol class="cmp-standings">{rows}</ol>{how}'


def _row(row: Standing, t: Sentence) -> str:
    rate, low, high = row.win_rate.rate, row.win_rate.interval.low, row.win_rate.interval.high
    marks = [badge(t("ui.votes.deleted"), "warn")] if row.deleted else []
    marks += [badge(t("ui.compare.own_prompt"))] if row.contestant.prompted else []
    games = t("ui.votes.games", wins=row.win_rate.wins, ties=row.win_rate.ties, losses=row.win_rate.losses)
    rating = ""
    if row.rating is not None:
        low_points, high_points = (f"{value:.0f}" for value in (row.rating.interval.low, row.rating.interval.high))
        rating = t("ui.votes.rating", points=f"{row.rating.points:.0f}", low=low_points, high=high_points)
    told = t("ui.votes.rate", rate=f"{rate:.0%}", low=f"{low:.0%}", high=f"{high:.0%}")
    return (
        f'<li><div class="cmp-standing"><span class="cmp-name">{shown(row.name)}</span>{"".join(marks)}'
        f"<span>{told}</span></div>"
        f'<div class="cmp-bar" aria-hidden="true"><i style="width:{rate:.1%}"></i>'
        f'<b style="left:{low:.1%};width:{high - low:.1%}"></b></div>'
        f"<small>{games}{' · ' + rating if rating else ''}</small></li>"
    )
