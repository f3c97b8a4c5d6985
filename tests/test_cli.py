"""The commands as a shell runs them, on a tiny model."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.__main__ import choose_language, main
from studio.errors import InputError
from studio.messages import LANGUAGES, translate
from studio.runs.methods import METHODS
from studio.runs.store import Store
from studio.shell.command_line import build_parser
from tests.models.adapters import save_plain
from tests.tiny import save_tiny

ROOT = Path(__file__).parents[1]
ROWS = [{"prompt": f"Say {n} twice.", "completion": f"{n} {n}"} for n in range(40)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "twice.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("workspace")


def command(*words: object, **variables: str) -> subprocess.CompletedProcess[str]:
    """`studio ...` in a shell of its own."""
    return subprocess.run(
        [sys.executable, "-m", "studio", *map(str, words)],
        cwd=ROOT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=180,
    )  # fmt: skip


Shell = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    """A command with `--json` in this process, which has torch loaded already: its code, its object, what it told."""

    def run(*words: object) -> tuple[int, dict[str, Any], str]:
        code = main([*map(str, words), "--json"])
        output = capsys.readouterr()
        assert len(output.out.splitlines()) == 1
        return code, json.loads(output.out), output.err

    return run


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The one JSON object on standard output."""
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    return json.loads(lines[0])


@pytest.fixture(scope="module")
def trained(workspace: Path, data: Path, model: Path) -> dict[str, object]:
    """A finished run."""
    done = command(
        "run", "--data", data, "--model", model, "--set", "training.epochs=1", "--set", "data.max_length=128",
        "--name", "First", "--workspace", workspace, "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "First" in done.stderr  # the progress bar
    return answer(done)


def test_run_tells_what_came_of_it(trained: dict[str, object], workspace: Path) -> None:
    assert trained["status"] == "done"
    assert trained["steps"] == trained["total_steps"]
    assert isinstance(trained["loss_before"], float)
    assert trained["loss_of"] == "validation"
    adapter = Path(str(trained["adapter"]))
    assert adapter.is_relative_to(workspace)
    assert (adapter / "adapter_model.safetensors").is_file()


def test_runs_lists_it(trained: dict[str, object], workspace: Path) -> None:
    listed = answer(command("runs", "--workspace", workspace, "--json"))["runs"]
    assert isinstance(listed, list)
    first = next(row for row in listed if row["run"] == trained["run"])
    assert (first["name"], first["status"], first["loss_after"]) == ("First", "done", trained["loss_after"])
    text = command("runs", "--workspace", workspace)
    assert text.returncode == 0
    assert str(trained["run"]) in text.stdout


def test_runs_needs_no_torch(trained: dict[str, object], workspace: Path) -> None:
    code = (
        "import sys; from studio.__main__ import main; main(sys.argv[1:]);"
        " print(*{'torch', 'transformers', 'gradio'} & sys.modules.keys())"
    )
    words = [sys.executable, "-c", code, "runs", "--workspace", str(workspace)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=180, check=True)
    assert str(trained["run"]) in done.stdout
    assert done.stdout.splitlines()[-1] == ""


def test_a_reader_that_has_enough_is_no_error() -> None:
    words = [sys.executable, "-m", "studio", "settings", "--language", "ja"]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        assert (process.stderr.read(), process.wait(180)) == (b"", 0)


def test_chat_answers_with_both(trained: dict[str, object], workspace: Path, shell: Shell) -> None:
    words = ("chat", trained["run"], "--prompt", "Say 3 twice.", "--max-tokens", 8, "--workspace", workspace)
    code, found, _ = shell(*words)
    assert code == 0
    assert {"base", "tuned"} <= found.keys()
    assert found["adapter_sha256"] == trained["adapter_sha256"]
    drawn = [shell(*words, "--seed", seed, "--temperature", 1)[1] for seed in (5, 5, 6)]
    texts = [(item["base"], item["tuned"]) for item in drawn]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_export_writes_a_zip_and_a_folder(
    trained: dict[str, object], workspace: Path, tmp_path: Path, shell: Shell
) -> None:
    zipped, folder = tmp_path / "out.zip", tmp_path / "out"
    code, found, _ = shell("export", trained["run"], "--to", zipped, "--workspace", workspace)
    assert (code, found["path"]) == (0, str(zipped))
    assert found["proof"]["passed"] is True
    assert shell("export", trained["run"], "--to", folder, "--workspace", workspace)[0] == 0
    assert {path.name for path in folder.iterdir()} == set(zipfile.ZipFile(zipped).namelist())


def test_what_was_cautioned_is_not_told_again(workspace: Path, tmp_path: Path, data: Path, capsys: Any) -> None:
    """The markers of ChatML are no tokens of this model: known before the start, and part of the record."""
    model = save_tiny(tmp_path / "unmarked", "gpt2", chat_template=None)
    settings = ("model.chat_template=chatml", "training.epochs=0.1", "training.evaluations=1", "tuner.rank=1")
    chosen = [word for setting in settings for word in ("--set", setting)]
    assert main(["run", "--workspace", str(workspace), "--data", str(data), "--model", str(model), *chosen]) == 0
    output = capsys.readouterr()
    assert output.err.count("are no tokens of this model") == 1
    assert "are no tokens of this model" not in output.out
    assert "“chatml”" in output.out  # which template is used is told once, at the end


def test_a_spec_file_runs(workspace: Path, tmp_path: Path, model: Path, data: Path, shell: Shell) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(f"model: {{source: '{model}'}}\ntraining: {{epochs: 1, evaluations: 1}}\n", encoding="utf-8")
    code, found, _ = shell("run", spec, "--data", data, "--workspace", workspace)
    assert (code, found["status"]) == (0, "done")
    code, found, _ = shell("run", spec, "--workspace", workspace)
    assert (code, found["key"]) == (2, "error.cli.no_data")


def test_a_run_goes_on_from_an_adapter_in_a_folder(
    workspace: Path, tmp_path: Path, model: Path, data: Path, shell: Shell
) -> None:
    """The settings that it needs are its own; those that are named all the same are told where they do not fit."""
    folder = save_plain(tmp_path / "mine", use_rslora=True)
    words: list[object] = [
        "run", "--data", data, "--model", model, "--workspace", workspace, "--set", f"model.adapter_folder={folder}",
        "--set", "training.epochs=1", "--set", "data.max_length=64",
    ]  # fmt: skip
    code, told, _ = shell(*words)
    assert (code, told["status"]) == (0, "done")
    store = Store(workspace, read_only=True)
    spec = store.run(told["run"]).spec
    store.close()
    assert spec.model.adapter_folder == str(folder)
    assert spec.tuner.model_dump() | {"variant": "rslora", "rank": 3, "targets": "adapter"} == spec.tuner.model_dump()
    code, _, error = shell(*words, "--set", "tuner.rank=4")
    assert code == 2
    assert "tuner.rank 3" in error
    code, _, error = shell(*words, "--set", f"model.adapter_folder={tmp_path}")
    assert code == 2
    assert "adapter_config.json" in error


def test_the_data_decides_the_method_unless_it_is_named(
    workspace: Path, tmp_path: Path, model: Path, shell: Shell
) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"Say {n}.", "chosen": f"{n}!", "rejected": "No."} for n in range(24)]
    pairs.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    words = ("run", "--data", pairs, "--model", model, "--set", "training.epochs=1", "--workspace", workspace)
    for named, kind in (((), "dpo"), (("--method", "orpo", "--set", "method.beta=0.5"), "orpo")):
        code, found, _ = shell(*words, *named)
        assert (code, found["status"]) == (0, "done")
        _, listed, _ = shell("runs", "--workspace", workspace)
        assert next(row["method"] for row in listed["runs"] if row["run"] == found["run"]) == kind
    code, found, _ = shell(*words, "--method", "cpt")
    assert (code, found["key"]) == (2, "error.train.learns.text")
    code, found, _ = shell(*words, "--method", "nothing")
    assert code == 2
    assert "simpo" in found["error"]


def test_help_names_every_method_with_its_everyday_name(capsys: pytest.CaptureFixture[str]) -> None:
    for language in LANGUAGES:
        with pytest.raises(SystemExit):
            build_parser(language).parse_args(["run", "--help"])
        told = "".join(capsys.readouterr().out.split())
        for kind in METHODS:
            name = translate(f"ui.method.{kind}.name", language)
            assert translate("ui.method.full", language, name=kind, term=name).replace(" ", "") in told


def test_ctrl_c_keeps_an_adapter_and_resume_goes_on(workspace: Path, data: Path, model: Path, shell: Shell) -> None:
    words = ["run", "--data", data, "--model", model, "--set", "training.epochs=40", "--workspace", workspace, "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "studio", *map(str, words)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    wait_for_step(workspace, 3)
    process.send_signal(signal.SIGINT)
    output, shown = process.communicate(timeout=180)
    found = json.loads(output)
    assert process.returncode == 1
    assert found["status"] == "stopped"
    assert 3 <= found["steps"] < found["total_steps"]
    assert (Path(found["adapter"]) / "adapter_model.safetensors").is_file()
    assert "Ctrl-C" in shown
    _, resumed, _ = shell("resume", found["run"], "--workspace", workspace)
    assert (resumed["status"], resumed["steps"]) == ("done", found["total_steps"])
    code, _, told = shell("resume", found["run"], "--workspace", workspace)
    assert code == 2
    assert found["name"] in told


def wait_for_step(workspace: Path, step: int) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if (workspace / "studio.db").is_file():
            store = Store(workspace, read_only=True)
            latest = store.outlines()[runs[0].id].step if (runs := store.runs()) else 0
            running = bool(runs) and store.outlines()[runs[0].id].status == "running"
            store.close()
            if running and latest >= step:
                return
        time.sleep(0.1)
    raise AssertionError("the run did not begin")


def test_a_held_workspace_is_told_but_can_be_read(
    trained: dict[str, object], workspace: Path, data: Path, shell: Shell
) -> None:
    store = Store(workspace)
    try:
        refused = command("run", "--data", data, "--workspace", workspace, "--json")
        assert refused.returncode == 1
        assert str(workspace) in str(answer(refused)["error"])
        assert shell("runs", "--workspace", workspace)[0] == 0
    finally:
        store.close()


def test_data_check_tells_the_layout_and_what_is_wrong(tmp_path: Path, model: Path, shell: Shell) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [*ROWS, ROWS[0], {"prompt": "Say nothing.", "completion": ""}]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    code, found, _ = shell("data", "check", path, "--model", model)
    assert (code, found["layout"], found["rows"]) == (0, "prompt_completion", 42)
    kinds = {item["kind"]: item["count"] for item in found["findings"]}
    assert kinds["blank"] == 1
    assert kinds["duplicate"] == 1
    assert all(item["message"] for item in found["findings"])


@pytest.mark.parametrize(
    ("words", "code", "key"),
    [
        (["fly"], 2, "error.cli.choice"),
        (["chat", "x"], 2, "error.cli.required"),
        (["runs", "--fast"], 2, "error.cli.unrecognized"),
        (["--port", "many"], 2, "error.cli.value"),
        (["run", "--data"], 2, "error.cli.expected"),
        (["run"], 2, "error.cli.no_data"),
        (["run", "--data", "nothing.csv"], 2, "error.cli.no_file"),
        (["run", "nothing.yaml"], 2, "error.cli.no_file"),
        (["data", "check", "nothing.csv"], 2, "error.cli.no_file"),
        (["resume", "nothing"], 2, "error.run.unknown"),
        (["chat", "nothing", "--prompt", "x"], 2, "error.run.unknown"),
        (["export", "nothing", "--to", "x.zip"], 2, "error.run.unknown"),
        (["export", "--to", "x.zip"], 2, "error.cli.run_or_adapter"),
        (["export", "some", "--model", "starter", "--to", "x.zip"], 2, "error.cli.run_or_adapter"),
        (["export", "some", "--target", "paper", "--to", "x"], 2, "error.cli.choice"),
        (["export", "some", "--target", "merged", "--numbers", "Q8_0", "--to", "x"], 2, "error.cli.choice"),
        (["export", "--model", "starter", "--to", "x.zip"], 1, "error.export.is_model"),
    ],
)
def test_a_mistake_is_told_in_both_languages(
    words: list[str], code: int, key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Store(tmp_path / "workspace").close()
    told = {}
    for language in ("en", "ja"):
        common = ["--workspace", str(tmp_path / "workspace"), "--language", language, "--json"]
        assert main([*words, *common]) == code
        output = capsys.readouterr()
        found = json.loads(output.out)
        assert found["key"] == key
        assert output.err.strip().endswith(found["error"])
        told[language] = found["error"]
    assert told["en"] != told["ja"]


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["--set", "training.epochs=-1"], "error.spec.invalid"),
        (["--set", "training.epoch=1"], "error.spec.unknown"),
        (["--preset", "nothing"], "error.preset.unknown"),
        (["--model", "./no/such/folder"], None),
        (["--workers", "2"], "error.cli.no_cluster"),
        (["--shard"], "error.cli.no_cluster"),
        (["--cluster", "nowhere"], "error.cluster.address"),
        (["--cluster", "local", "--workers", "3"], "error.cluster.problems"),
    ],
)
def test_a_wrong_setting_is_told_before_training(
    words: list[str], key: str | None, tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "--data", str(data), "--workspace", str(tmp_path / "w"), "--json", *words]) == 2
    found = json.loads(capsys.readouterr().out)
    assert key in (None, found["key"])
    assert words[0 if words[0] in ("--workers", "--shard") else -1].split("=")[0].split("/")[-1] in found["error"]


def test_all_that_stands_in_the_way_is_told_at_once(tmp_path: Path, data: Path, model: Path, shell: Shell) -> None:
    """Settings that cannot be, and what does not go with the data and the model."""
    changes = ("training.epochs=0", "training.learning_rate=0", "tuner.rank=64", "data.max_length=600")
    words = [word for change in changes for word in ("--set", change)]
    code, found, _ = shell(
        "run", "--data", data, "--model", model, "--method", "dpo", *words, "--workspace", tmp_path / "w"
    )
    assert (code, found["key"]) == (2, "error.plan.invalid")
    for word in ("training.epochs", "training.learning_rate", "no preferences", "16 or less", "512 or less"):
        assert word in found["error"]
    assert found["error"].count("\n- ") == 5
    ways = [line.strip() for line in found["error"].splitlines() if line.startswith("  ")]
    assert ways == ["--method sft", "--set tuner.rank=16", "--set data.max_length=512"]


def test_the_line_that_is_told_reads_the_rows_as_pairs(tmp_path: Path, model: Path, shell: Shell) -> None:
    path = tmp_path / "two.jsonl"
    rows = [{"question": f"What is {n}?", "answer": f"{n}!", "前の回答": f"it's {n}"} for n in range(20)]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    words = ["run", "--data", str(path), "--model", str(model), "--method", "dpo", "--workspace", str(tmp_path / "w")]
    code, found, told = shell(*words)
    assert (code, found["key"]) == (2, "error.train.learns.second_answer")
    line = next(line for line in told.splitlines() if line.startswith("  --set"))
    code, found, told = shell(*words, *shlex.split(line.partition(" or ")[0]))
    assert (code, found["status"]) == (0, "done")
    assert "Only 18 rows" in told


def test_data_that_cannot_train_is_the_users_to_mend(
    tmp_path: Path, model: Path, shell: Shell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every answer begins after the longest row allowed: found when the run begins, and told as wrong input."""
    path = tmp_path / "long.jsonl"
    rows = [{"prompt": "word " * 40 + str(n), "completion": "yes"} for n in range(8)]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    words = ("run", "--data", path, "--model", model, "--set", "data.max_length=16", "--workspace", tmp_path / "w")
    code, found, told = shell(*words)
    assert (code, found["status"], found["key"]) == (2, "failed", "error.train.all_cut")
    assert "16" in told
    assert found["cause"] == "cut"
    ((path_of, value),) = found["remedies"][0].items()
    assert main([*map(str, words)]) == 2
    assert f"--set {path_of}={value}" in capsys.readouterr().out
    code, found, _ = shell(*words, "--set", f"{path_of}={value}", "--set", "training.epochs=1")
    assert (code, found["status"], "cause" in found) == (0, "done", False)


def test_a_run_that_hardly_learns_says_so(tmp_path: Path, data: Path, model: Path, shell: Shell) -> None:
    settings = ("training.learning_rate=1e-8", "training.batch_size=1", "training.epochs=1", "training.evaluations=1")
    chosen = [word for setting in settings for word in ("--set", setting)]
    _, found, _ = shell("run", "--data", data, "--model", model, *chosen, "--workspace", tmp_path / "w")
    (note,) = found["notes"]
    assert (note["rule"], note["settings"]) == ("rate_low", {"training.learning_rate": 3e-8})
    assert "1e-08" in note["message"]


def test_a_setting_that_is_no_yaml(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--data", str(data), "--workspace", str(tmp_path / "w"), "--set", "training.epochs=[1"]
    assert main(words) == 2
    assert "training.epochs" in capsys.readouterr().err


def test_a_missing_workspace_is_no_mistake_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--workspace", str(tmp_path / "nowhere")]) == 1
    assert str(tmp_path / "nowhere") in capsys.readouterr().err


def test_an_unknown_layout_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.csv"
    path.write_text("alpha,beta\n1,2\n3,4\n", encoding="utf-8")
    assert main(["data", "check", str(path), "--json"]) == 2
    assert "alpha, beta" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.parametrize("place", ["before", "after"])
def test_options_go_before_or_after_the_command(place: str) -> None:
    common, words = ["--workspace", "w", "--json"], ["chat", "r", "--prompt", "p"]
    options = build_parser("en").parse_args([*common, *words] if place == "before" else [*words, *common])
    assert (options.workspace, options.json, options.action) == (Path("w"), True, "chat")


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize(
    "words", [[], ["run"], ["resume"], ["runs"], ["export"], ["push"], ["chat"], ["data"], ["data", "check"]]
)
def test_every_command_has_help(words: list[str], language: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([*words, "--help", "--language", language])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert "--workspace" in shown
    assert ("使い方" in shown) == (language == "ja")


def test_a_mistake_of_argparse_that_is_not_known_is_still_told() -> None:
    with pytest.raises(InputError, match="surprising"):
        build_parser("en").error("something surprising")


@pytest.mark.parametrize(
    ("words", "variables", "language"),
    [
        ([], {}, "en"),
        ([], {"LANG": "ja_JP.UTF-8"}, "ja"),
        ([], {"LANG": "fr_FR.UTF-8"}, "en"),
        ([], {"LANG": "ja_JP.UTF-8", "LC_ALL": "C.UTF-8"}, "en"),
        (["--language", "ja"], {}, "ja"),
        (["runs", "--language=en"], {"LANG": "ja_JP.UTF-8"}, "en"),
        (["--language"], {"LANG": "ja_JP.UTF-8"}, "en"),
    ],
)
def test_the_language_is_the_shells(words: list[str], variables: dict[str, str], language: str) -> None:
    assert choose_language(words, variables) == language
