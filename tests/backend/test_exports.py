"""Exports: what leaves the studio works without it, and a failure leaves nothing behind."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studio.backend import placing
from studio.backend.exports import Export, Exports, file_name
from studio.backend.studio import Studio
from studio.data.records import Message
from studio.errors import ExportError, InputError, ResourceError
from studio.export import adapter as files
from studio.export import proof as proofs
from studio.messages import translate
from studio.runs.exports import ExportSpec, Proof
from studio.runs.spec import load_spec
from tests.backend.asked import beside_base, last
from tests.backend.made import Made, make, save_models
from tests.models.adapters import save_adapter
from tests.tiny import save_tiny

PASSED = Proof(prompts=1, equal=1, max_score_difference=0.0, passed=True)
NAMES = {
    "README.md", "adapter_config.json", "adapter_model.safetensors", "base_model.json", "chat_template.jinja",
    "reproduce.py", "run-spec.yaml", "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    models = save_models(tmp_path_factory.mktemp("models of someone"))
    made = make(tmp_path_factory.mktemp("studio"), models)
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def exported(made: Made) -> tuple[str, Export, list[tuple[float, str]]]:
    """A real export, proven in another process."""
    run = made.run(name="Très *bon* 😀", strength=1.0)
    told: list[tuple[float, str]] = []
    return run, made.studio.exports.make(run, progress=lambda share, key: told.append((share, key))), told


def test_what_a_killed_export_left_is_swept_up(made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "workspace" / "exports"
    (folder / "0123.partial" / "files").mkdir(parents=True)
    (folder / "out.zip.partial").write_bytes(b"half of it")
    (folder / "kept.zip").write_bytes(b"all of it")
    with Studio(replace(made.studio.settings, workspace=tmp_path / "workspace"), worker=False):
        assert {path.name for path in folder.iterdir()} == {"kept.zip"}


def test_the_log_says_which_record_cannot_be_read(made: Made, tmp_path: Path) -> None:
    record = tmp_path / "workspace" / "exports" / "other.zip.json"
    record.parent.mkdir(parents=True)
    record.write_text("[]", encoding="utf-8")
    with Studio(replace(made.studio.settings, workspace=tmp_path / "workspace"), worker=False) as studio:
        assert studio.exports.made() == ()
    assert str(record) in (tmp_path / "workspace" / "logs" / "studio.log").read_text(encoding="utf-8")
    assert record.is_file()


@pytest.fixture
def proven(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proof takes its seconds elsewhere; here it passes."""
    monkeypatch.setattr(proofs, "prove", lambda *_, **__: PASSED)


def left(made: Made) -> list[str]:
    return sorted(path.name for path in (made.studio.store.folder / "exports").iterdir())


# What leaves


def test_the_export_is_proven_and_whole(made: Made, exported: tuple[str, Export, list[tuple[float, str]]]) -> None:
    run, export, told = exported
    assert export.proof.passed
    assert export.proof.equal == export.proof.prompts == 2  # all there are in the validation split
    assert export.path.name == f"tr-s-bon-{run}.zip"
    assert export.bytes == export.path.stat().st_size
    assert export.sha256 == hashlib.sha256(export.path.read_bytes()).hexdigest()
    assert [share for share, _ in told] == sorted(share for share, _ in told)
    assert told[-1][0] == 1.0
    with zipfile.ZipFile(export.path) as archive:
        assert set(archive.namelist()) == NAMES
        assert (
            archive.read("adapter_model.safetensors")
            == (made.studio.store.run_folder(run) / "adapter" / "adapter_model.safetensors").read_bytes()
        )
        for name in NAMES - {"adapter_model.safetensors"}:
            text = archive.read(name).decode()
            assert "someone" not in text, name  # the path of the model's folder is private
            assert str(made.studio.store.folder) not in text, name
        assert json.loads(archive.read("adapter_config.json"))["base_model_name_or_path"] == "llama"
        assert str(made.studio.compare.adapter(run).sha256) in archive.read("README.md").decode()
        spec = load_spec(archive.read("run-spec.yaml").decode(), "run-spec.yaml")
    recorded = made.studio.store.run(run).spec
    assert spec == recorded.model_copy(update={"model": recorded.model.model_copy(update={"source": "llama"})})


def test_the_code_of_the_card_gives_the_answer_of_the_page(
    made: Made, exported: tuple[str, Export, list[tuple[float, str]]], tmp_path: Path
) -> None:
    """Another process, plain transformers and PEFT, by the card's own words."""
    run, export, _ = exported
    zipfile.ZipFile(export.path).extractall(tmp_path)
    code = re.search(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    script = code[1].replace("'PATH/TO/llama'", repr(str(made.models / "llama")))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONUTF8": "1"},
    )
    turns = (Message("user", "Hello!"),)
    end = last(made.studio, beside_base(made.studio, run, turns=turns, max_new_tokens=128))
    printed = done.stdout.decode("utf-8").removesuffix("\n")
    assert printed.rstrip("\ufffd") == end.tuned.text.rstrip("\ufffd")
    assert end.tuned.text != end.base.text


def test_a_checkpoint_of_a_gpt2_without_chat_template(made: Made, tmp_path: Path) -> None:
    plain = save_tiny(tmp_path / "plain", "gpt2", chat_template=None, pad=False, eos=False)
    export = made.studio.exports.make(made.run("gpt2", base=plain, ended=False), 4)
    assert export.proof.passed
    assert export.path.stem.endswith("-step4")
    with zipfile.ZipFile(export.path) as archive:
        assert "### Assistant:" in archive.read("chat_template.jinja").decode()
        assert json.loads(archive.read("tokenizer_config.json"))["eos_token"] == "<|end|>"


def test_a_wrong_adapter_does_not_pass(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole proof, with other weights in the zip."""
    real = files.write_adapter

    def swapped(source: Path, target: Path, base: object) -> str:
        sha256 = real(source, target, base)  # type: ignore[arg-type]
        save_adapter(source.parent / "other", seed=99)
        shutil.copyfile(source.parent / "other" / "adapter_model.safetensors", target / "adapter_model.safetensors")
        return sha256

    monkeypatch.setattr(files, "write_adapter", swapped)
    run, before = made.run(), left(made)
    with pytest.raises(ExportError) as caught:
        made.studio.exports.make(run)
    assert caught.value.key == "error.export.not_equal"
    assert left(made) == before


@pytest.mark.usefixtures("proven")
def test_the_rows_go_along_only_where_they_are_wanted(made: Made, tmp_path: Path) -> None:
    run = made.run()
    beside = made.studio.exports.write(run, tmp_path / "with", spec=ExportSpec(rows=True)).path
    assert {path.name for path in beside.iterdir()} == NAMES | {"train.jsonl", "validation.jsonl"}
    card = (beside / "README.md").read_text(encoding="utf-8")
    assert card.count(translate("ui.export.card.data.inside", "en")) == 1
    sha256 = hashlib.sha256((beside / "train.jsonl").read_bytes()).hexdigest()
    assert card.count(sha256) == 2


@pytest.mark.usefixtures("proven")
def test_equal_runs_give_equal_files(made: Made) -> None:
    run = made.run()
    first = made.studio.exports.make(run)
    second = made.studio.exports.make(run)
    assert first.sha256 == second.sha256
    assert first.path == second.path


@pytest.mark.usefixtures("proven")
def test_the_base_is_not_kept_in_memory_twice(made: Made) -> None:
    made.studio.exports.make(made.run())
    assert made.studio.compare._residence._resident is None


# Where it goes


@pytest.mark.usefixtures("proven")
def test_written_to_a_folder_or_a_zip(made: Made, tmp_path: Path) -> None:
    run = made.run()
    folder = made.studio.exports.write(run, tmp_path / "new" / "adapter.v1 😀").path
    assert {path.name for path in folder.iterdir()} == NAMES
    packed = made.studio.exports.write(run, tmp_path / "new" / "a.zip")
    assert hashlib.sha256(packed.path.read_bytes()).hexdigest() == packed.sha256
    (tmp_path / "empty").mkdir()
    assert made.studio.exports.write(run, tmp_path / "empty").path == tmp_path / "empty"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "new"]


@pytest.mark.usefixtures("proven")
def test_nothing_is_overwritten(made: Made, tmp_path: Path) -> None:
    run = made.run()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "mine.zip").write_text("mine")
    for target in (tmp_path / "full", tmp_path / "mine.zip", tmp_path / "full" / "mine.txt"):
        with pytest.raises(InputError) as caught:
            made.studio.exports.write(run, target)
        assert caught.value.key == "error.export.target_exists"
    with pytest.raises(InputError) as caught:
        made.studio.exports.write(run, tmp_path / "mine.zip" / "below" / "x.zip")
    assert caught.value.key == "error.export.target_refused"
    assert (tmp_path / "mine.zip").read_text() == (tmp_path / "full" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("../../etc/passwd", "etc-passwd-"), ("", "adapter-"), ("日本語", "adapter-"), ("a" * 300, "a" * 40 + "-"),
        ("CON", "con-"), ("x\n<script>", "x-script-"),
    ],
)  # fmt: skip
def test_names_never_become_paths(name: str, start: str) -> None:
    made = file_name(name, "20260101-000000-abcdef", 8)
    assert made == f"{start}20260101-000000-abcdef-step8.zip"


# Faults


def test_a_disk_without_room_is_told_before_anything_is_written(made: Made) -> None:
    studio = made.studio
    tight = replace(studio.settings, min_free_bytes=10**18)
    run, before = made.run(), left(made)
    with pytest.raises(ResourceError) as caught:
        Exports(tight, studio.store, studio.datasets, studio.compare, studio.reports).make(run)
    assert caught.value.key == "error.disk.needed"
    assert left(made) == before


@pytest.mark.usefixtures("proven")
def test_a_disk_that_fills_up_leaves_nothing(made: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    run, before = made.run(), left(made)
    with monkeypatch.context() as patched:
        patched.setattr(files, "pack", full)
        with pytest.raises(ResourceError):
            made.studio.exports.make(run)
    assert left(made) == before
    with monkeypatch.context() as patched:
        patched.setattr(placing, "sync_folder", full)
        with pytest.raises(ResourceError):
            made.studio.exports.write(run, tmp_path / "out")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("proven")
def test_what_a_killed_export_left_is_swept(made: Made) -> None:
    old = made.studio.store.folder / "exports" / "0123456789ab.partial"
    (old / "files").mkdir(parents=True)
    (old / "files" / "adapter_model.safetensors").write_bytes(b"half")
    made.studio.exports.make(made.run())
    assert not old.exists()


def test_a_run_without_an_adapter(made: Made) -> None:
    run = made.run()
    shutil.rmtree(made.studio.store.run_folder(run) / "adapter")
    with pytest.raises(ExportError) as caught:
        made.studio.exports.make(run)
    assert caught.value.key == "error.adapter.missing"
    with pytest.raises(InputError):
        made.studio.exports.make(run, 7)


@pytest.mark.parametrize("harm", ["other", "missing", "more", "cut"])
def test_a_zip_that_did_not_read_back(harm: str, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "a.txt").write_text("a" * 1000)
    (folder / "b.txt").write_text("b")
    archive = tmp_path / "a.zip"
    files.pack(folder, archive, 0.0)
    files.check_zip(archive, folder)
    match harm:
        case "other":
            (folder / "a.txt").write_text("a" * 999 + "b")
        case "missing":
            (folder / "c.txt").write_text("c")
        case "more":
            (folder / "b.txt").unlink()
        case "cut":
            raw = archive.read_bytes()
            archive.write_bytes(raw[:60] + b"\0" * 4 + raw[64:])
    with pytest.raises(ExportError) as caught:
        files.check_zip(archive, folder)
    assert caught.value.key == "error.export.damaged"
