"""Another model's opinion as HTML. Pure."""

from studio.backend.report import Judged
from studio.ui.markup import Sentence, badge, shorten, shown


def judged_html(judged: Judged, t: Sentence) -> str:
    """Win rate with its interval, ties, and rows without an answer; marked as an opinion."""
    lines = "".join(
        f'<tr><th scope="row">{shown(t(f"ui.evaluate.judged.{key}", **values))}</th>'
        f"<td><b>{shown(figure)}</b></td></tr>"
        for key, values, figure in judged.lines()
    )
    judge = shorten(judged.judge.model, 80)
    return (
        f'<section class="s-card" id="ev-judge"><h3 class="s-h2">{shown(t("ui.evaluate.judged", judge=judge))} '
        f"{badge(t('ui.evaluate.judged.opinion'), 'warn')}</h3>"
        f'<p class="s-muted">{shown(t("ui.evaluate.judged.about"))}</p>'
        f'<div class="d-grid-scroll"><table class="ev-table"><tbody>{lines}</tbody></table></div></section>'
    )
