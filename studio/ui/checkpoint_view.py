"""The checkpoints of a run: as a table on the Runs tab, and as a list to go on from on the Train tab. Pure."""

from collections.abc import Callable

from studio.runs.events import Checkpoint, RunState
from studio.runs.spec import FullSpec, RunSpec
from studio.ui.markup import shown

T = Callable[..., str]
BRANCH = """
element.addEventListener('click', event => {
  const button = event.target.closest('[data-branch]');
  if (button) trigger('branch', {step: Number(button.dataset.branch)});
});
"""
"""Has the table tell which checkpoint is to be gone on from."""


def can_be_gone_on_from(spec: RunSpec) -> bool:
    """Adapters that write answers; not all weights, and no reward models."""
    return spec.method.writes and not isinstance(spec.tuner, FullSpec)


def best_step(state: RunState) -> int | None:
    """The step whose weights were kept, or the best so far; None where nothing was measured."""
    if state.ended and state.ended.adapter:
        return state.ended.best_step or state.ended.step
    measured = [(checkpoint.cost, checkpoint.step) for checkpoint in state.checkpoints if checkpoint.cost is not None]
    return min(measured)[1] if measured else None


def measured(label: str, loss: float | None, reward: float | None, t: T) -> str:
    """`label` with what was measured on the validation rows."""
    if reward is not None:
        return t("ui.checkpoint.reward", label=label, value=f"{reward:.4g}")
    return label if loss is None else t("ui.checkpoint.loss", label=label, value=f"{loss:.4f}")


def checkpoint_choices(state: RunState, t: T) -> list[tuple[str, int]]:
    """What a run can be gone on from: the adapter that was kept, as step 0, then its checkpoints, newest first."""
    best, first = best_step(state), []
    if state.ended and state.ended.adapter:
        first = [(t("ui.train.checkpoint.kept", step=f"{best or 0:,}"), 0)]
    return first + [(_choice(checkpoint, best, t), checkpoint.step) for checkpoint in reversed(state.checkpoints)]


def _choice(checkpoint: Checkpoint, best: int | None, t: T) -> str:
    step = t("ui.checkpoint.step", step=f"{checkpoint.step:,}")
    label = measured(step, checkpoint.validation_loss, checkpoint.validation_reward, t)
    return t("ui.checkpoint.best", label=label) if checkpoint.step == best else label


def checkpoints_table(spec: RunSpec, state: RunState, writable: bool, t: T) -> str:
    """Newest first, each with what was measured; the best is marked, and those that can be have a button to go on."""
    if not state.checkpoints:
        return ""
    branch, best = can_be_gone_on_from(spec), best_step(state)
    mark = t(f"ui.runs.checkpoints.{'best' if state.ended and state.ended.adapter else 'lowest'}")
    by_reward = any(checkpoint.validation_reward is not None for checkpoint in state.checkpoints)
    head = t("ui.runs.checkpoints.reward") if by_reward else t("ui.runs.list.validation")
    lines = []
    for checkpoint in reversed(state.checkpoints):
        value = checkpoint.validation_reward if by_reward else checkpoint.validation_loss
        number = "–" if value is None else f"{value:.4g}" if by_reward else f"{value:.3f}"
        sign = f'<span class="hit">✓ {shown(mark)}</span>' if checkpoint.step == best else ""
        button = (
            f'<button type="button" class="checkpoint-branch" data-branch="{checkpoint.step}">'
            f"{shown(t('ui.runs.checkpoints.branch'))}</button>"
            if branch and writable
            else ""
        )
        lines.append(
            f'<tr><th scope="row">{checkpoint.step:,}</th><td>{number}</td><td>{sign}</td><td>{button}</td></tr>'
        )
    about = t(f"ui.runs.checkpoints.{'about' if branch else 'about_model' if spec.method.writes else 'about_scores'}")
    return (
        f'<h3 class="section">{shown(t("ui.runs.checkpoints"))}</h3><p class="quiet">{shown(about)}</p>'
        f'<div class="s-card checkpoints"><table class="settings"><thead><tr><th scope="col">'
        f'{shown(t("ui.runs.checkpoints.step"))}</th><th scope="col">{shown(head)}</th><td></td><td></td></tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
