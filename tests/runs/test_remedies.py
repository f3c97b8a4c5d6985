"""Every error that a run can end with is told by its cause and what mends it, or plain on purpose; and what is offered
are settings that can be used."""

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from studio.messages import LANGUAGES, catalogue, translate
from studio.runs.events import Ended, Event, Metrics, RunState, Stamped, Started
from studio.runs.remedies import CAUSES, PLAIN, WAYS, Diagnosis, cause_of, diagnose, told_settings
from studio.runs.spec import RunSpec, with_changes
from studio.runs.unfit import Unfit
from studio.runs.ways import Change, Look, Visit, Way

PACKAGE = Path(__file__).parents[2] / "studio"
# Where a run comes by from when it begins until it ends: what is raised there, it can end with.
ROADS = ("training/*.py", "models/*.py", "runs/*.py", "backend/sources.py", "backend/runner.py", "data/tokens.py")
SPEC = with_changes(RunSpec(), {"model.source": "some/model", "training.batch_size": 8})


def begins(key: str, known: Mapping[str, str]) -> bool:
    return any(f"{key}.".startswith(f"error.{start}.") for start in known)


def raised() -> set[str]:
    """The keys of the errors that are raised on the roads; of those put together, all that they can be."""
    found = set()
    for file in (file for road in ROADS for file in PACKAGE.glob(road)):
        if file.name == "remedies.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in catalogue("en"):
                found.add(node.value)
            elif isinstance(node, ast.JoinedStr) and str(getattr(node.values[0], "value", "")).startswith("error."):
                parts = (re.escape(str(v.value)) if isinstance(v, ast.Constant) else ".*" for v in node.values)
                pattern = re.compile("".join(parts))
                found |= {key for key in catalogue("en") if pattern.fullmatch(key)}
    return {key for key in found if key.startswith("error.")}


def test_every_error_that_a_run_can_end_with_is_told_or_plain_on_purpose() -> None:
    keys = raised()
    assert len(keys) > 80
    assert {"error.train.memory", "error.train.not_finite.loss", "error.data.template"} <= keys
    silent = {key for key in keys if cause_of(key) is None and not begins(key, PLAIN)}
    # Asked when a run is queued; and told of what is no run.
    assert silent == {"error.train.no_mapping", "error.comparison.unknown"}


def test_what_is_told_or_plain_is_an_error_that_exists_and_each_cause_is_used() -> None:
    for start in (*CAUSES, *PLAIN):
        assert any(begins(key, {start: ""}) for key in catalogue("en")), start
    assert set(CAUSES.values()) == set(WAYS)
    for language in LANGUAGES:
        for cause in WAYS:
            assert translate(f"diagnosis.{cause}", language)


def failed(key: str, spec: RunSpec = SPEC, *events: Event, **values: Any) -> Diagnosis:
    ended = Ended(status="failed", step=3, key=key, values=values)
    state = RunState().fold([Stamped(i, 0.0, event) for i, event in enumerate([*events, ended], 1)])
    found = diagnose(state, spec)
    assert found is not None
    for way in found.ways:
        if isinstance(way, Change):
            with_changes(spec, way.settings)
    return found


def ways(key: str, spec: RunSpec = SPEC, **values: Any) -> tuple[Way, ...]:
    return failed(key, spec, **values).ways


STARTED = Started(
    total_steps=90, train_rows=9, validation_rows=1, trainable_parameters=1, parameters=9, device="CPU",
    base_fingerprint="0", base_name="some",
)  # fmt: skip


def test_out_of_memory_first_offers_what_learns_the_same() -> None:
    numbers = Metrics(step=3, values={"memory_bytes": 3.2e9})
    found = failed("error.train.memory", SPEC, STARTED, numbers, batch_size=8, accumulation=1, max_length=256)
    assert found.cause == "memory"
    assert found.evidence == (
        ("diagnosis.seen.step", {"step": "3", "total": "90"}),
        ("diagnosis.seen.memory", {"used": "3.2"}),
    )
    same = {"training.batch_size": 4, "training.accumulation": 2, "training.gradient_checkpointing": True}
    assert found.ways == (Change(same), Change({"tuner.quantisation": "nf4"}), Change({"data.max_length": 128}))


def test_out_of_memory_offers_only_what_is_left_to_change() -> None:
    changes = {
        "training.batch_size": 1, "training.gradient_checkpointing": True, "tuner.quantisation": "nf4",
        "data.max_length": 64,
    }  # fmt: skip
    assert ways("error.train.memory", with_changes(SPEC, changes)) == ()
    pairs = with_changes(
        SPEC, {"method.kind": "kto", "training.batch_size": 2, "training.gradient_checkpointing": True}
    )
    assert not any(
        "training.batch_size" in way.settings for way in ways("error.train.memory", pairs) if isinstance(way, Change)
    )
    full = with_changes(SPEC, {"tuner.kind": "full", "training.learning_rate": 2e-5})
    assert Change({"tuner.kind": "lora", "training.learning_rate": 2e-4}) in ways("error.train.memory", full)


def test_a_plan_that_does_not_fit_offers_the_nearest_that_does() -> None:
    nearest = {"training.batch_size": 2, "tuner.quantisation": "nf4", "training.gradient_checkpointing": True}
    error = Unfit(9_000_000, 1_000_000, nearest).error()
    assert told_settings(str(error.values["settings"])) == nearest
    assert ways(error.key, settings=error.values["settings"]) == (Change(nearest),)


def test_a_model_that_is_too_large_is_not_helped_by_a_smaller_batch() -> None:
    found = ways("error.model.memory", model="some/model", parameters=9)
    assert found == (Change({"tuner.quantisation": "nf4"}), Change({"model.precision": "bfloat16"}), Change())


def test_a_full_disk() -> None:
    found = failed("error.disk.full", SPEC, STARTED, folder="/x", free_mb=1)
    assert found.ways == (Change({"training.evaluations": 2}),)
    full = with_changes(SPEC, {"tuner.kind": "full"})
    assert "tuner.kind" in ways("error.disk.needed", full, folder="/x", free_mb=1, needed_mb=9)[0].settings  # type: ignore[union-attr]


def test_nothing_to_learn_from() -> None:
    cut = ways("error.train.all_cut", rows=9, max_length=256, prompt_tokens=300)
    assert cut == (Change({"data.max_length": 560}), Look())
    grpo = with_changes(SPEC, {"method.kind": "grpo"})
    assert ways("error.train.prompts_cut", grpo, prompt_tokens=300)[0] == Change({"data.max_length": 304})
    room = ways("error.train.no_room", grpo, rows=9, max_length=100, prompt_tokens=120, answer_tokens=64)
    assert room[0] == Change({"method.max_new_tokens": 44})
    assert ways("error.train.no_room", grpo, max_length=100, prompt_tokens=200, answer_tokens=64) == (Look(),)
    assert ways("error.train.all_masked", rows=9) == (Look(), Change({"method.loss_on": "all"}))
    for key in ("error.train.no_rows", "error.train.all_alike", "error.train.learns.pairs"):
        assert ways(key) == (Look(),)


def test_a_template_that_refuses_the_rows() -> None:
    assert ways("error.data.template", reason="x") == (Change({"model.chat_template": "chatml"}), Look())
    chosen = with_changes(SPEC, {"model.chat_template": "chatml"})
    assert ways("error.data.template", chosen, reason="x") == (Look(),)
    other = ways("error.source.other_template", run="a", theirs="plain", ours="alpaca", setting="plain")
    assert other[0] == Change({"model.chat_template": "plain"})


def test_a_vocabulary_and_a_network_ask_for_another_model_or_another_try() -> None:
    for key, cause in (
        ("error.model.vocabulary", "vocabulary"),
        ("error.model.hub_unreachable", "network"),
        ("error.model.hub_offline", "network"),
        ("error.model.bad_weights", "model"),
    ):
        found = failed(key)
        assert (found.cause, found.ways) == (cause, (Change(),))
        assert found.evidence == (("diagnosis.seen.before", {}),)


def test_a_licence_leads_to_the_page_of_the_model_and_nowhere_else() -> None:
    assert ways("error.model.hub_gated", name="owner/model-1.5_x") == (Visit("owner/model-1.5_x"),)
    for name in ("https://evil.example/x", "javascript:alert(1)", "owner", "a/b/c", 'a/b" onclick="x', ""):
        assert ways("error.model.hub_gated", name=name) == ()


def test_numbers_that_ran_away() -> None:
    losses = [Metrics(step=i, values={"loss": 10.0**i, "grad_norm": 2.0}) for i in range(1, 4)]
    values = {"step": 4, "checkpoint": 2, "learning_rate": 0.3, "lower": 0.03}
    found = failed("error.train.not_finite.loss", SPEC, STARTED, *losses, **values)
    assert found.ways == (
        Change({"training.learning_rate": 0.03}),
        Change({"training.learning_rate": 0.03}, step=2),
    )
    assert ("diagnosis.seen.loss", {"values": "10, 100, 1e+03"}) in found.evidence
    unlimited = with_changes(SPEC, {"training.max_grad_norm": 0, "method.kind": "reward"})
    early = ways("error.train.not_finite_early.grad_norm", unlimited, step=4, checkpoint=0, lower=0.03)
    assert early == (Change({"training.learning_rate": 0.03, "training.max_grad_norm": 1.0}),)


def test_an_adapter_that_cannot_be_gone_on_with() -> None:
    after = with_changes(SPEC, {"model.adapter": "r1", "model.adapter_step": 4, "tuner.targets": "adapter"})
    for key in ("error.adapter.damaged", "error.adapter_folder.rank", "error.source.missing"):
        afresh = ways(key, after)[0]
        assert isinstance(afresh, Change)
        spec = with_changes(after, afresh.settings)
        assert (spec.model.parent, spec.tuner.targets) == ("", "all-linear")  # type: ignore[union-attr]
        assert ways(key) == (Change(),)
    shape = ways("error.source.other_adapter", after, run="a", settings="tuner.rank 4, tuner.alpha 8.0")
    assert shape[0] == Change({"tuner.rank": 4, "tuner.alpha": 8.0})
    for key in ("error.train.base_changed", "error.source.changed", "error.adapter_folder.changed"):
        assert failed(key, after).cause == "changed"


def test_the_others() -> None:
    report = with_changes(SPEC, {"training.report_to": ["tensorboard"]})
    assert ways("error.tracker.failed", report) == (Change({"training.report_to": []}),)
    dora = with_changes(SPEC, {"tuner.variant": "dora"})
    assert ways("error.cluster.sharding.dora", dora) == (Change({"tuner.variant": "lora"}),)
    documents = with_changes(SPEC, {"method.kind": "cpt", "method.new_tokens": 9})
    assert ways("error.model.new_tokens_bias", documents) == (Change({"method.new_tokens": 0}),)
    assert ways("error.model.no_layers")[0] == Change({"tuner.targets": "all-linear"})


@pytest.mark.parametrize("key", ["error.bug", "error.cluster.failed", None])
def test_what_is_not_known_is_told_as_it_is(key: str | None) -> None:
    state = RunState().fold([Stamped(1, 0.0, Ended(status="failed", key=key))])
    assert diagnose(state, SPEC) is None


def test_a_run_that_did_not_fail_has_no_cause() -> None:
    state = RunState().fold([Stamped(1, 0.0, Ended(status="stopped", key="error.disk.full"))])
    assert diagnose(state, SPEC) is None
    assert diagnose(RunState(), SPEC) is None
