"""Names and folders of models: every odd one gets a sentence that says what to do."""

import json
import shutil
import time
from pathlib import Path

import pytest

from studio.errors import ModelError
from studio.messages import LANGUAGES
from studio.models.catalog import UNLIMITED_CONTEXT, describe, find_files
from studio.settings import Settings
from tests.tiny import save_tiny


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path / "workspace", offline=True)


@pytest.fixture
def model(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))


def refused(source: str | Path, settings: Settings, key: str) -> ModelError:
    """The error of a source, which must be told in both languages and name what is wrong."""
    with pytest.raises(ModelError) as caught:
        find_files(str(source), settings)
    assert caught.value.key == key
    sentences = [caught.value.message(language) for language in LANGUAGES]
    assert all(sentences)
    assert sentences[0] != sentences[1]
    return caught.value


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("", "no_name"),
        ("   ", "no_name"),
        ("a\0b", "no_name"),
        ("no-such-model", "unknown_source"),
        ("owner/name", "hub_offline"),
        ("owner/name@main", "hub_offline"),
        ("a/b/c", "unknown_source"),
        ("owner/../name", "unknown_source"),
        ("owner/name@../../x", "unknown_source"),
        ("owner/name@", "unknown_source"),
        ("owner/na--me", "unknown_source"),
        ("own er/name", "unknown_source"),
        ("😀/model", "unknown_source"),
        ("モデル/名前", "unknown_source"),
        ("https://huggingface.co/owner/name", "unknown_source"),
        ("../owner/name", "folder_missing"),
        ("./name", "folder_missing"),
        ("~/no such folder/😀", "folder_missing"),
        ("~nobody-of-that-name/x", "folder_missing"),
        ("/no/such.folder/model.v1", "folder_missing"),
        ("x" * 5000, "folder_missing"),
        (".", "no_config"),
    ],
)
def test_odd_names(source: str, key: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    refused(source, settings, f"error.model.{key}")
    assert time.monotonic() - began < 5


def test_folder_names_are_taken_as_they_are(saved: Path, settings: Settings, tmp_path: Path) -> None:
    for name in ("a.b", "モデル 😀", "with space", "owner/name", "-dash", "50%"):
        folder = tmp_path / name
        shutil.copytree(saved, folder)
        found = find_files(str(folder), settings)
        assert found.name == folder.name
        assert found.folder == folder


def test_a_folder_that_exists_wins_over_a_hub_name(
    saved: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(saved, tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    assert find_files("owner/name", settings).folder == tmp_path / "owner" / "name"


def test_describe(model: Path, settings: Settings) -> None:
    (model / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n", encoding="utf-8")
    info = describe(str(model), settings)
    assert (info.name, info.context_length, info.licence) == ("tiny", 512, "mit")
    assert info.has_chat_template
    assert not info.notices
    files = find_files(str(model), settings)
    assert info.fingerprint == files.fingerprint() == files.identity().fingerprint
    from tests.tiny import tiny_model

    assert info.parameters == sum(p.numel() for p in tiny_model().parameters())


def test_describe_tells_of_a_missing_chat_template(settings: Settings, tmp_path: Path) -> None:
    info = describe(str(save_tiny(tmp_path / "plain", chat_template=None)), settings)
    assert not info.has_chat_template
    assert [notice.key for notice in info.notices] == ["notice.model.no_template"]


def test_fingerprint_follows_the_weights_only(model: Path, settings: Settings) -> None:
    before = find_files(str(model), settings).fingerprint()
    (model / "README.md").write_text("new", encoding="utf-8")
    assert find_files(str(model), settings).fingerprint() == before
    raw = bytearray((model / "model.safetensors").read_bytes())
    raw[-1] ^= 1
    (model / "model.safetensors").write_bytes(raw)
    assert find_files(str(model), settings).fingerprint() != before


def test_a_model_without_a_longest_sequence(model: Path, settings: Settings) -> None:
    config = json.loads((model / "config.json").read_text())
    del config["max_position_embeddings"]
    (model / "config.json").write_text(json.dumps(config))
    assert describe(str(model), settings).context_length == UNLIMITED_CONTEXT


# What a folder can lack


def test_missing_files(model: Path, settings: Settings) -> None:
    config = (model / "config.json").read_text()
    (model / "config.json").unlink()
    refused(model, settings, "error.model.no_config")
    (model / "adapter_config.json").write_text("{}")
    refused(model, settings, "error.model.is_adapter")
    (model / "config.json").write_text(config)
    (model / "tokenizer.json").unlink()
    refused(model, settings, "error.model.no_tokenizer")
    refused(model / "config.json", settings, "error.model.not_a_folder")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pt", "weights.ckpt", "model.pkl"])
def test_pickles_are_refused_and_never_opened(file: str, model: Path, settings: Settings) -> None:
    (model / "model.safetensors").rename(model / file)
    error = refused(model, settings, "error.model.pickles")
    assert file in error.message()


def test_training_arguments_are_no_weights(model: Path, settings: Settings) -> None:
    (model / "model.safetensors").rename(model / "training_args.bin")
    refused(model, settings, "error.model.no_weights")


def test_a_missing_shard_is_named(model: Path, settings: Settings) -> None:
    (model / "model.safetensors").rename(model / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "model-00002-of-00002" in refused(model, settings, "error.model.shard_missing").message()
    for bad in ("../../etc/passwd", "a/b.safetensors", "..\\x.safetensors"):
        (model / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": bad}}))
        refused(model, settings, "error.model.bad_file")


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_of_a_model_is_refused(file: str, model: Path, settings: Settings) -> None:
    values = json.loads((model / file).read_text())
    (model / file).write_text(json.dumps({**values, "auto_map": {"AutoModelForCausalLM": "evil.Model"}}))
    assert file in refused(model, settings, "error.model.remote_code").message()


@pytest.mark.parametrize("text", ["", "{", "[]", '"text"', "\xff\xfe"])
def test_a_config_that_is_none(text: str, model: Path, settings: Settings) -> None:
    (model / "config.json").write_text(text, encoding="latin-1")
    refused(model, settings, "error.model.bad_file")


@pytest.mark.parametrize("keep", [0, 4, 8, 100, -1, -1000])
def test_weights_that_were_cut_off(keep: int, model: Path, settings: Settings) -> None:
    file = model / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ModelError) as caught:
        find_files(str(model), settings).identity()
    assert caught.value.key == "error.model.bad_weights"
