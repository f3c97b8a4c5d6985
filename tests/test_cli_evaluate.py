"""`studio evaluate`, as a shell runs it, on a finished run of a tiny model."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from studio.__main__ import main
from studio.backend.evaluations import Evaluations
from studio.runs.store import Store
from tests.backend.sums import make_studio, run_on_sums
from tests.evaluation.test_judge import KEY, Server

EXAM = "question,A,B,answer,category\nIs it day?,yes,no,B,time\nIs it hot?,yes,no,A,weather\n"
Shell = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shell")


@pytest.fixture(scope="module")
def run(workspace: Path) -> str:
    """Of a run with 8 test rows."""
    made = make_studio(workspace)
    run = run_on_sums(made, workspace)
    made.studio.close()
    return run


@pytest.fixture
def shell(workspace: Path, run: str, capsys: pytest.CaptureFixture[str]) -> Shell:
    def command(*words: object) -> tuple[int, dict[str, Any], str]:
        code = main(["evaluate", run, *map(str, words), "--workspace", str(workspace / "workspace"), "--json"])
        output = capsys.readouterr()
        assert len(output.out.splitlines()) == 1
        return code, json.loads(output.out), output.err

    return command


def test_figures_verdict_and_what_to_try(shell: Shell, run: str, workspace: Path) -> None:
    (workspace / "mine.csv").write_text(EXAM, encoding="utf-8")
    code, found, told = shell("--exam", workspace / "mine.csv", "--system", "Be kind.", "--other",
                              workspace / "models" / "llama")  # fmt: skip
    assert code == 0
    assert "100%" in told  # progress
    assert (found["run"], found["data"], found["rows"]) == (run, "sums.json", 8)
    assert found["verdict"]["decision"] == "no"
    assert found["next"]
    roles = ["base", "tuned", "base_prompt", "tuned_prompt", "other"]
    assert [one["role"] for one in found["contestants"]] == roles
    loss = next(one for one in found["metrics"] if one["name"] == "loss")
    base, tuned, *_ = loss["figures"]
    assert base["low"] < base["value"] < base["high"]
    assert base["value"] != tuned["value"]
    assert loss["changes"][0] is None
    assert loss["changes"][1]["word"] in ("better", "worse", "unclear")
    assert {one["group"] for one in found["exams"][0]["results"]} == {"time", "weather"}
    code, again, _ = shell()  # as last time, and nobody is asked again
    assert (code, again) == (0, found)


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_report_as_text(run: str, workspace: Path, language: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", run, "--no-exam", "--side", "validation", "--workspace", str(workspace / "workspace")]
    assert main([*words, "--language", language]) == 0
    text = capsys.readouterr().out
    for part in {"en": ("Do not deploy\n", "  x ", "1. ", "Base", "perplexity", "not shown with 4 rows", " MB"),
                 "ja": ("配備しない\n", "  x ", "1. ", "4 行", " MB")}[language]:  # fmt: skip
        assert part in text


def test_a_judge_is_asked_with_a_key_that_is_not_kept(
    shell: Shell, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDIO_JUDGE_KEY", KEY)
    with Server() as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        code, found, _ = shell("--no-exam", "--side", "test", "--judge", "big", "--judge-address", server.url)
        server.shutdown()
    assert code == 0
    assert server.seen[0][1] == f"Bearer {KEY}"
    assert (found["judge"]["model"], found["judge"]["rows"]) == ("big", 8)
    assert found["judge"]["disagreed"] > 0  # it always says A
    assert found["judge"]["win_rate"]["value"] == 0.5
    assert KEY not in json.dumps(found)
    kept = [path for path in (workspace / "workspace").rglob("*") if path.is_file()]
    assert not [path for path in kept if KEY.encode() in path.read_bytes()]
    assert shell("--no-exam", "--judge", "")[1]["judge"] is None


def test_rows_of_a_file(shell: Shell, workspace: Path) -> None:
    fresh = [{"question": f"New {n}?", "answer": "Quite new."} for n in range(6)]
    (workspace / "fresh.json").write_text(json.dumps(fresh), encoding="utf-8")
    code, found, _ = shell("--no-exam", "--data", workspace / "fresh.json", "--metric", "chrf", "loss")
    assert (code, found["rows"], found["data"]) == (0, 6, "fresh.json")
    assert [one["name"] for one in found["metrics"]][:2] == ["chrf", "loss"]
    code, found, _ = shell("--no-exam", "--data", workspace / "sums.json")
    assert (code, found["key"]) == (2, "error.evaluate.trained")


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--metric", "beauty"], "error.metric.unknown"),
        (["--metric", "json_fields"], "error.metric.unfit.json"),
        (["--shots", "99"], "error.evaluate.plan"),
        (["--data", "nothing.csv"], "error.cli.no_file"),
        (["--exam", "nothing.csv"], "error.cli.no_file"),
        (["--schema", "nothing.json"], "error.cli.no_file"),
        (["--side", "left"], "error.cli.choice"),
        (["--judge-address", "http://localhost:1"], "error.cli.required"),
        (["--judge", "big", "--judge-address", "http://me:secret@host"], "error.judge.address"),
        (["--exam", "starter", "--no-exam"], "error.cli.other"),
        (["--step", "5"], "error.run.no_checkpoint"),
    ],
)
def test_what_cannot_be_is_told(shell: Shell, words: list[str], key: str) -> None:
    code, found, _ = shell(*words)
    assert (code, found["key"]) == (2, key)


def test_a_task_of_lm_eval(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name; what it gives is tested with the backend, where lm-eval is installed."""
    monkeypatch.setattr("studio.evaluation.lm_eval_tasks.find_spec", lambda name: None)
    code, found, _ = shell("--exam", "starter", "lm-eval:arc_easy", "--exam-rows", 50)
    assert (code, found["key"]) == (2, "error.lm_eval.missing")
    assert "arc_easy" in found["error"]


def test_ctrl_c_keeps_what_was_answered(shell: Shell, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluate = Evaluations.evaluate

    def interrupted(self: Evaluations, run: str, step: Any, plan: Any, tell: Any, stopping: Any, key: str) -> None:
        def telling(share: float) -> None:
            tell(share)
            if not stopping():
                os.kill(os.getpid(), signal.SIGINT)

        evaluate(self, run, step, plan, telling, stopping, key)

    monkeypatch.setattr(Evaluations, "evaluate", interrupted)
    code, found, told = shell("--no-exam", "--system", "Be quick.")
    assert (code, found["key"]) == (1, "cli.evaluate.stopped")
    assert "Ctrl-C" in told
    Store(workspace / "workspace").close()  # it is free again
