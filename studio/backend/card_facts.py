"""What a model card tells of a run, gathered from the record."""

from typing import TYPE_CHECKING

from studio import __version__
from studio.backend.datasets import Datasets
from studio.backend.report import Reports, figures
from studio.backend.residence import Adapter
from studio.errors import InputError
from studio.messages import LANGUAGES, translate
from studio.runs.events import RunState
from studio.runs.store import Store

if TYPE_CHECKING:
    from studio.export.card import CardEvaluation, CardFacts
    from studio.export.proof import Expected
    from studio.models.catalog import ModelIdentity


def ended_time(store: Store, run: str) -> float:
    """When the run last reported something, or was made: seconds since the epoch."""
    state = store.outlines().get(run)
    return (state and state.last_time) or store.run(run).created


def card_facts(
    store: Store, datasets: Datasets, reports: Reports, adapter: Adapter, base: "ModelIdentity", expected: "Expected",
    sha256: str, vocabulary: int | None,
) -> "CardFacts":  # fmt: skip
    """`sha256`: of the weights that the run made; `vocabulary`: rows of the embedding, where there are new ones."""
    from studio.export.card import CardFacts

    started = adapter.started
    assert started is not None
    state = store.outlines().get(adapter.run, RunState())
    spec = store.run(adapter.run).spec
    version = datasets.version(spec.data.version)
    ended = state.ended if adapter.step is None else None
    step = (ended.best_step or ended.step) if ended else adapter.step or 0
    losses = {c.step: c.validation_loss for c in state.checkpoints}
    events = [stamped.event for stamped in store.events(adapter.run)]
    notices = [(e.key, e.values) for e in events if e.kind == "notice" and e.key.startswith("notice.model.")]
    measured = {e.step: e.values for e in events if e.kind == "metrics" and "validation_loss" in e.values}
    return CardFacts(
        run=adapter.run,
        name=adapter.name,
        spec=spec,
        step=step,
        base=base,
        dtype=str(expected.dtype).removeprefix("torch."),
        stops=expected.stops,
        adapter_sha256=sha256,
        trainable_parameters=started.trainable_parameters,
        data_name=version.name,
        data_version=version.number,
        data_fingerprint=version.fingerprint,
        data_rows=version.rows,
        train_rows=started.train_rows,
        validation_rows=started.validation_rows,
        loss_before=state.validation_loss_before,
        loss_after=ended.validation_loss if ended else losses.get(step),
        accuracy_after=measured.get(step, {}).get("validation_accuracy"),
        samples=len(expected.prompts),
        notices=tuple(notices),
        vocabulary=vocabulary,
        studio_version=__version__,
        evaluation=_evaluated(reports, adapter.run, adapter.step),
    )


def _evaluated(reports: Reports, run: str, step: int | None) -> "CardEvaluation | None":
    """None where it was not evaluated, or no longer can be: its data may be gone."""
    from studio.export.card import CardEvaluation

    try:
        report = reports.report(run, step)
    except InputError:
        return None
    if report is None or report.verdict is None:
        return None
    verdict = report.verdict
    return CardEvaluation(
        rows=verdict.rows,
        decision={one: translate(f"ui.verdict.{verdict.decision}", one) for one in LANGUAGES},
        reasons={one: tuple(reason.message(one) for reason in verdict.reasons) for one in LANGUAGES},
        figures={one: figures(report, one) for one in LANGUAGES},
    )
