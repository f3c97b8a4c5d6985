"""Why a run failed, told as a cause, what there is to see of it, and what mends it. Pure.

The sentence of the error itself (`Ended.key`) says what is wrong and what to do; here stands what a button can do about
it. What nothing on the page can mend is told by that sentence alone.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from studio.errors import SpecError
from studio.runs.events import Ended, RunState
from studio.runs.methods import RolloutSpec, SftSpec
from studio.runs.rates import FULL_RATE
from studio.runs.spec import FullSpec, LoraSpec, RunSpec, with_changes
from studio.runs.ways import Change, Look, Visit, Way

CAUSES = {
    "train.memory": "memory",
    "model.memory": "model_memory",
    "unfit": "memory",
    "cluster.workers_lost": "memory",
    "disk": "disk",
    "train.all_masked": "masked",
    "train.all_cut": "cut",
    "train.prompts_cut": "cut",
    "train.no_room": "no_room",
    "train.no_rows": "rows",
    "train.all_alike": "rows",
    "train.no_expected": "rewards",
    "train.slow_pattern": "rewards",
    "train.learns": "rows",
    "data.template": "template",
    "data.template_tools": "template",
    "data.no_template": "template",
    "source.other_template": "template",
    "model.vocabulary": "vocabulary",
    "model.bad_tokenizer": "vocabulary",
    "model.no_tokenizer": "vocabulary",
    "model.no_end_token": "vocabulary",
    "model.new_tokens_bias": "new_tokens",
    "model.new_tokens_tokenizer": "new_tokens",
    "train.divided_tokens": "new_tokens",
    "cluster.sharding.new_tokens": "new_tokens",
    "data.slow_tokenizer": "vocabulary",
    "source.other_tokens": "vocabulary",
    "source.other_judge": "vocabulary",
    "model.hub_unreachable": "network",
    "model.hub_offline": "network",
    "model.hub_gated": "licence",
    "model.hub_token": "licence",
    "train.not_finite": "not_finite",
    "train.not_finite_early": "not_finite",
    "adapter": "adapter",
    "adapter_folder": "adapter",
    "adapter_folder.settings": "shape",
    "source.other_adapter": "shape",
    "source": "adapter",
    "train.base_changed": "changed",
    "source.changed": "changed",
    "adapter_folder.changed": "changed",
    "source.other_base": "changed",
    "model.no_layers": "layers",
    "model": "model",
    "tracker": "tracker",
    "cluster.sharding.dora": "sharding",
    "cluster.sharding.four_bits": "sharding",
}
"""The cause that an error tells of, by its key behind `error.` or what that begins with; the longest decides."""

PLAIN = {
    "bug": "it names the log, and nobody knows more",
    "compare": "of answers in a chat, which a run does not ask for",
    "estimate": "of measuring a plan before it begins",
    "cluster": "the cluster is mended on its own machines, and the run is resumed then",
    "dataset": "the data set is gone",
    "workspace": "the workspace could not be opened, so that no run began",
    "run": "of what is asked of a run, not of how it ended",
    "serve": "of what other programs ask a served model",
    "spec": "of settings, before a run begins",
    "preset": "of settings, before a run begins",
}
"""Errors that are told by their sentence alone, and why; by what their keys behind `error.` begin with."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`cause` names the title (`diagnosis.<cause>`); `evidence`: what the record shows, as sentence keys with their
    values; `ways`: what mends it, the best first."""

    cause: str
    evidence: tuple[tuple[str, Mapping[str, Any]], ...]
    ways: tuple[Way, ...]


def diagnose(state: RunState, spec: RunSpec) -> Diagnosis | None:
    """Of a run that failed by something known; else None."""
    ended = state.ended
    cause = cause_of(ended.key) if ended and ended.status == "failed" and ended.key else None
    if ended is None or cause is None:
        return None
    ways = tuple(way for way in WAYS[cause](ended, spec) if _allowed(way, spec))
    return Diagnosis(cause, tuple(_evidence(state, cause)), ways)


def cause_of(key: str) -> str | None:
    """By the whole key of an error; None where none is known."""
    key = key.removeprefix("error.")
    while key:
        if key in CAUSES:
            return CAUSES[key]
        key = key.rpartition(".")[0]
    return None


def _allowed(way: Way, spec: RunSpec) -> bool:
    """Whether the other settings go with what it changes."""
    if isinstance(way, Change):
        try:
            with_changes(spec, way.settings)
        except SpecError:
            return False
    return True


# What the record shows


def _evidence(state: RunState, cause: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if state.started is None:
        yield "diagnosis.seen.before", {}
    elif state.step:
        yield "diagnosis.seen.step", {"step": f"{state.step:,}", "total": f"{state.total_steps:,}"}
    if cause == "memory" and (used := [value for _, value in state.curves.get("memory_bytes", [])]):
        yield "diagnosis.seen.memory", {"used": f"{max(used) / 1e9:.2g}"}
    if cause == "not_finite":
        for metric in ("loss", "grad_norm"):
            if points := state.curves.get(metric):
                values = ", ".join(f"{value:.3g}" for _, value in points[-5:])
                yield f"diagnosis.seen.{metric}", {"values": values}


# What mends it


def _memory(ended: Ended, spec: RunSpec) -> Iterator[Way]:
    """The nearest plan that fits, where it is known; else what takes less, first what learns the same."""
    if nearest := told_settings(str(ended.values.get("settings", ""))):
        yield Change(nearest)
        return
    training, changes = spec.training, {}
    if smaller := _smaller_batch(spec):
        changes |= smaller
    if not training.gradient_checkpointing:
        changes["training.gradient_checkpointing"] = True
    if changes:
        yield Change(changes)
    yield from _smaller_model(spec)
    if spec.data.max_length >= 128:
        yield Change({"data.max_length": spec.data.max_length // 2})


def _smaller_batch(spec: RunSpec) -> dict[str, Any]:
    """Half the rows at once, twice as often: what is learned stays the same."""
    batch, accumulation = spec.training.batch_size, spec.training.accumulation
    half = batch // 2
    if batch % 2 or half < spec.method.least_rows or accumulation > 512:
        return {}
    return {"training.batch_size": half, "training.accumulation": 2 * accumulation}


def _smaller_model(spec: RunSpec) -> Iterator[Way]:
    """Base weights in 4 bits; an adapter in place of all weights, at the rate that is usual for it."""
    if isinstance(spec.tuner, LoraSpec):
        if spec.tuner.quantisation == "none":
            yield Change({"tuner.quantisation": "nf4"})
    elif spec.method.writes and not isinstance(spec.method, RolloutSpec):
        rate = min(1.0, spec.training.learning_rate * FULL_RATE)
        yield Change({"tuner.kind": "lora", "training.learning_rate": float(f"{rate:.3g}")})


def _model_memory(_: Ended, spec: RunSpec) -> Iterator[Way]:
    """The model itself is too large: no batch is small enough."""
    yield from _smaller_model(spec)
    if spec.model.precision != "bfloat16":
        yield Change({"model.precision": "bfloat16"})
    yield Change()


def _disk(_: Ended, spec: RunSpec) -> Iterator[Way]:
    """Each evaluation keeps a checkpoint, and one of all weights is as large as the model."""
    if isinstance(spec.tuner, FullSpec):
        yield from _smaller_model(spec)
    if spec.training.evaluations > 1 and not spec.training.patience:
        yield Change({"training.evaluations": max(1, spec.training.evaluations // 2)})


def _cut(ended: Ended, spec: RunSpec) -> Iterator[Way]:
    """The longest prompt is to fit, with as much room for its answer as rows had."""
    longest = _whole(ended.values.get("prompt_tokens"))
    if longest:
        length = longest if isinstance(spec.method, RolloutSpec) else longest + spec.data.max_length
        yield Change({"data.max_length": min(131_072, -(-length // 16) * 16)})
    yield Look()


def _no_room(ended: Ended, spec: RunSpec) -> Iterator[Way]:
    """A shorter answer leaves room for the longest question."""
    room, longest, answer = (_whole(ended.values.get(n)) for n in ("max_length", "prompt_tokens", "answer_tokens"))
    if 0 < longest - room < answer:
        yield Change({"method.max_new_tokens": answer - (longest - room)})
    yield Look()


def _masked(_: Ended, spec: RunSpec) -> Iterator[Way]:
    yield Look()
    if isinstance(spec.method, SftSpec) and spec.method.loss_on != "all":
        yield Change({"method.loss_on": "all"})


def _template(ended: Ended, spec: RunSpec) -> Iterator[Way]:
    chosen = str(ended.values.get("setting", "chatml"))
    if spec.model.chat_template != chosen:
        yield Change({"model.chat_template": chosen})
    yield Look()


def _not_finite(ended: Ended, spec: RunSpec) -> Iterator[Way]:
    """A lower rate, from the last good checkpoint or from the beginning; and gradients that are clipped."""
    lower = ended.values.get("lower")
    rate = float(lower) if isinstance(lower, int | float) else spec.training.learning_rate / 10
    changes: dict[str, Any] = {"training.learning_rate": float(f"{rate:.2g}")}
    if not spec.training.max_grad_norm:
        changes["training.max_grad_norm"] = 1.0
    yield Change(changes)
    checkpoint = _whole(ended.values.get("checkpoint"))
    if checkpoint and spec.method.writes and isinstance(spec.tuner, LoraSpec):
        yield Change(changes, step=checkpoint)


def _licence(ended: Ended, _: RunSpec) -> Iterator[Way]:
    name = str(ended.values.get("name", ""))
    if _HUB_NAME.fullmatch(name):
        yield Visit(name)


def _adapter(_: Ended, spec: RunSpec) -> Iterator[Way]:
    """Without the adapter that cannot be gone on with; where it is none of the settings', with other ones."""
    if spec.model.parent:
        keeps = isinstance(spec.tuner, LoraSpec) and spec.tuner.targets == "adapter"
        own = {"tuner.targets": LoraSpec().targets} if keeps else {}
        yield Change({"model.adapter": "", "model.adapter_step": 0, "model.adapter_folder": "", **own})
    yield Change()


def _shape(ended: Ended, spec: RunSpec) -> Iterator[Way]:
    if settings := told_settings(str(ended.values.get("settings", ""))):
        yield Change(settings)
    yield from _adapter(ended, spec)


def _sharding(ended: Ended, _: RunSpec) -> Iterator[Way]:
    dora = str(ended.key).endswith("dora")
    yield Change({"tuner.variant": "lora"} if dora else {"tuner.quantisation": "none"})


def _new_tokens(_: Ended, spec: RunSpec) -> Iterator[Way]:
    if spec.method.kind == "cpt":
        yield Change({"method.new_tokens": 0})


def _always(*ways: Way) -> Callable[[Ended, RunSpec], tuple[Way, ...]]:
    return lambda ended, spec: ways


WAYS: dict[str, Callable[[Ended, RunSpec], Iterator[Way] | tuple[Way, ...]]] = {
    "memory": _memory,
    "model_memory": _model_memory,
    "disk": _disk,
    "masked": _masked,
    "cut": _cut,
    "no_room": _no_room,
    "rows": _always(Look()),
    "rewards": _always(Change()),
    "template": _template,
    "vocabulary": _always(Change()),
    "new_tokens": _new_tokens,
    "network": _always(Change()),
    "licence": _licence,
    "not_finite": _not_finite,
    "adapter": _adapter,
    "shape": _shape,
    "changed": _always(Change()),
    "layers": _always(Change({"tuner.targets": "all-linear"})),
    "model": _always(Change()),
    "tracker": _always(Change({"training.report_to": []})),
    "sharding": _sharding,
}
"""What mends each cause."""

# As names on the Hub are: nothing else becomes an address.
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SETTING = re.compile(r"([a-z_]+\.[a-z_]+)[= ]([^,\s]+)")


def told_settings(text: str) -> dict[str, Any]:
    """The settings that an error names in its words, such as `training.batch_size=4, data.max_length=128`."""
    return {path: _read(value) for path, value in _SETTING.findall(text)}


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
