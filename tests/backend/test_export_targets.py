"""Every target of an export, made of a run and proven by the program it is for; an adapter from elsewhere, too."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from studio.backend.exports import Export
from studio.backend.serving import hints
from studio.errors import ExportError, InputError, ModelError, ResourceError, Stopped, StudioError
from studio.export import gguf_model, llama_cpp_kinds, llama_cpp_proof, merged, proof
from studio.runs.exports import ExportSpec, Proof
from studio.runs.spec import ModelSpec
from tests.backend.made import Made, make
from tests.models.adapters import save_adapter, save_plain
from tests.tiny import save_tiny

TOLD = {"README.md", "run-spec.yaml", "reproduce.py"}
WORDS = {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    models = tmp_path_factory.mktemp("models of someone")
    for kind in ("llama", "mixtral", "qwen2"):
        save_tiny(models / kind, kind)
    made = make(tmp_path_factory.mktemp("studio"), models)
    yield made
    made.studio.close()


@pytest.fixture(scope="module")
def run(made: Made) -> str:
    return made.run(strength=4.0)  # so that no two tokens are nearly as likely


def left(made: Made) -> set[str]:
    return {path.name for path in made.studio.exports.folder.iterdir()}


def check(export: Export) -> None:
    assert export.proof.passed
    assert export.proof.rendered == export.proof.conversations >= 5
    assert export.files == {path.name: path.stat().st_size for path in export.path.iterdir()}
    assert export.bytes == sum(export.files.values())
    card = (export.path / "README.md").read_text(encoding="utf-8")
    assert export.proof.program.split()[0] in card
    for path in export.path.iterdir():
        if path.suffix in {".json", ".md", ".yaml", ".py", ""}:
            assert "someone" not in path.read_text(encoding="utf-8"), path.name


def test_one_merged_model(made: Made, run: str) -> None:
    told: list[float] = []
    spec = ExportSpec(target="merged", numbers="float32")
    export = made.studio.exports.make(run, None, spec, lambda share, key: told.append(share))
    check(export)
    assert export.proof.program.startswith("Transformers ")
    assert export.proof.equal == export.proof.prompts == 2
    assert set(export.files) == {"model.safetensors", "config.json", "generation_config.json", *TOLD, *WORDS}
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert made.studio.exports.made(run)[0] == export
    packed = made.studio.exports.zipped(export.path)
    assert packed.stat().st_size > 0
    assert packed.name == f"{export.path.name}.zip"


def test_a_gguf_file_with_its_modelfile(made: Made, run: str) -> None:
    export = made.studio.exports.make(run, None, ExportSpec(target="gguf", numbers="F32"))
    check(export)
    assert export.proof.program.startswith("llama.cpp ")
    assert export.proof.equal == export.proof.prompts == 2
    assert set(export.files) == {"a-run-F32.gguf", "Modelfile", *TOLD}
    assert "FROM ./a-run-F32.gguf" in (export.path / "Modelfile").read_text()


def test_a_gguf_adapter(made: Made, run: str, tmp_path: Path) -> None:
    export = made.studio.exports.write(run, tmp_path / "out", None, ExportSpec(target="gguf-adapter", numbers="F32"))
    check(export)
    assert set(export.files) == {"a-run-lora-F32.gguf", *TOLD}
    assert export.proof.first_tokens == 1.0
    assert export.path not in {one.path for one in made.studio.exports.made()}


def test_rows_go_along_only_where_they_are_wanted(
    made: Made, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "prove", lambda *_, **__: Proof(prompts=1, equal=1, passed=True))
    for wanted in (False, True):
        spec = ExportSpec(target="merged", rows=wanted)
        files = made.studio.exports.write(run, tmp_path / str(wanted), None, spec).files
        assert ("train.jsonl" in files) is wanted


def test_an_adapter_from_elsewhere(made: Made, tmp_path: Path) -> None:
    adapter = save_plain(tmp_path / "their adapter", use_rslora=True, strength=0.5)
    base = ModelSpec(source=str(made.models / "llama"))
    spec = ExportSpec(target="merged", numbers="float32")
    export = made.studio.exports.write_outside(base, adapter, tmp_path / "out", spec)
    assert export.proof.passed
    assert export.proof.prompts == 8
    assert export.run == ""
    assert set(export.files) == {"model.safetensors", "config.json", "generation_config.json", "README.md", *WORDS}
    assert str(tmp_path) not in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_one_begun_goes_on_and_is_found_again(made: Made, tmp_path: Path) -> None:
    exports = made.studio.exports
    adapter = save_plain(tmp_path / "their adapter", strength=0.5)
    outside = exports.elsewhere(f" {made.models / 'llama'} ", str(adapter))
    assert (outside.run, outside.name, outside.full) == ("", "their adapter", False)
    who = outside.contestant
    assert any(one.spec.target == "merged" and one.refusal is None for one in exports.offers_of(who))
    exact = ExportSpec(target="merged", numbers="float32")
    making = exports.begin(who, exact)
    assert exports.begin(who, exact) is making
    assert exports.under_way() == (making,)
    export = making.result()
    assert (making.share, exports.under_way()) == (1.0, ())
    assert exports.made_of(who) == (export,)
    assert export.outside == who
    assert [hint.program for hint in hints(made.studio, export)] == ["vLLM", "Transformers"]
    assert exports.zipped(export.path).is_file()
    before = left(made)
    stopped = exports.begin(who, ExportSpec(target="gguf"))
    stopped.stop()
    with pytest.raises(Stopped):
        stopped.result()
    assert left(made) == before


@pytest.mark.parametrize(("base", "folder", "key"), [
    ("", "", "error.export.no_model"),
    ("starter", "/nowhere at all", "error.adapter_folder.missing"),
    ("no such model", "", "error.model.unknown_source"),
])  # fmt: skip
def test_what_is_nowhere_cannot_be_exported(base: str, folder: str, key: str, made: Made) -> None:
    with pytest.raises(StudioError) as caught:
        made.studio.exports.elsewhere(base, folder)
    assert caught.value.key == key


@pytest.mark.parametrize(("target", "numbers"), [("merged", "bfloat16"), ("gguf", "F32")])
def test_a_model_from_elsewhere(target: str, numbers: str, made: Made, tmp_path: Path) -> None:
    """Written as it is: for another program, or in other numbers."""
    base = ModelSpec(source=str(made.models / "llama"))
    spec = ExportSpec.model_validate({"target": target, "numbers": numbers})
    export = made.studio.exports.write_outside(base, None, tmp_path / "out", spec)
    assert export.proof.passed
    assert export.proof.perplexity is None
    assert "llama" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    with pytest.raises(ExportError) as caught:
        made.studio.exports.write_outside(base, None, tmp_path / "adapter")
    assert caught.value.key == "error.export.is_model"


def test_a_run_on_four_bits_is_merged_as_it_was_trained(made: Made, tmp_path: Path) -> None:
    run = made.run(strength=4.0, changes={"tuner.quantisation": "nf4", "model.precision": "float32"})
    spec = ExportSpec(target="merged", numbers="float32")
    export = made.studio.exports.write(run, tmp_path / "out", None, spec)
    assert export.proof.equal == export.proof.prompts == 2
    assert export.proof.weight_error is not None
    assert 0.01 < export.proof.weight_error < 0.5
    own, merged = export.proof.perplexity or (0, 0)
    assert merged == pytest.approx(own, rel=1e-4)
    plain = made.studio.exports.write(run, tmp_path / "adapter")
    assert plain.proof.weight_error is None
    assert plain.proof.perplexity != export.proof.perplexity  # on the base as everybody has it
    gguf = ExportSpec(target="gguf-adapter", numbers="F32")
    assert made.studio.exports.write(run, tmp_path / "gguf", None, gguf).proof.equal == 2


def test_an_adapter_of_another_base_is_told(made: Made, tmp_path: Path) -> None:
    adapter = save_adapter(tmp_path / "adapter")
    (adapter / "base_model.json").write_text(json.dumps({"name": "other", "revision": None, "sha256": "0" * 64}))
    base = ModelSpec(source=str(made.models / "llama"))
    with pytest.raises(ModelError) as caught:
        made.studio.exports.write_outside(base, adapter, tmp_path / "out", ExportSpec(target="merged"))
    assert caught.value.key == "error.adapter_folder.other_weights"
    assert not (tmp_path / "out").exists()


# Said before anything is started


def test_what_cannot_be_is_said_beforehand(made: Made, tmp_path: Path) -> None:
    other = made.run("mixtral", base=made.models / "mixtral", name="Experts")
    offers = {offer.spec.target: offer for offer in made.studio.exports.offers(other)}
    assert offers["merged"].refusal is None
    assert isinstance(offers["gguf"].refusal, ExportError)
    with pytest.raises(ExportError):
        made.studio.exports.write(other, tmp_path / "out", None, ExportSpec(target="gguf"))
    assert not list(tmp_path.iterdir())


def test_what_could_not_be_proven_is_refused_beforehand(made: Made, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llama_cpp_kinds, "has_llama_cpp", lambda: False)
    refusals = {one.spec.target: one.refusal for one in made.studio.exports.offers(run) if one.spec.kind in ("", "F16")}
    assert refusals["adapter"] is None
    for target in ("gguf", "gguf-adapter"):
        refusal = refusals[target]
        assert refusal is not None
        assert refusal.key == "error.gguf.proof_needs_llama_cpp"


def test_sizes_are_told_beforehand(made: Made, run: str) -> None:
    offers = {(one.spec.target, one.spec.kind): one for one in made.studio.exports.offers(run)}
    made.studio.exports.make(run, None, ExportSpec(target="merged", numbers="float32"))
    sizes = {(one.spec.target, one.spec.kind): one for one in made.studio.exports.made(run)}
    for key, export in sizes.items():
        weights = max(size for name, size in export.files.items() if name.endswith((".safetensors", ".gguf")))
        assert offers[key].bytes == pytest.approx(weights, rel=0.2), key
        assert offers[key].room_bytes > export.bytes
    more = {(one.spec.target, one.spec.kind): one for one in made.studio.exports.offers(run, None, 100)}
    assert all(more[key].seconds > offers[key].seconds for key in offers if offers[key].refusal is None)


@pytest.mark.parametrize("harm", ["gone", "changed"])
def test_a_base_that_is_not_there_any_more(harm: str, made: Made, tmp_path: Path) -> None:
    base = save_tiny(tmp_path / "base")
    run = made.run(base=base)
    if harm == "gone":
        shutil.rmtree(base)
    else:
        weights = load_file(base / "model.safetensors")
        save_file({name: weight + 1 for name, weight in weights.items()}, base / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError) as caught:
        made.studio.exports.make(run, None, ExportSpec(target="merged"))
    assert caught.value.key == ("error.model.folder_missing" if harm == "gone" else "error.compare.base_changed")
    if harm == "gone":
        assert all(offer.refusal for offer in made.studio.exports.offers(run))


@pytest.mark.parametrize("fails", [1, 2])
def test_8_bits_that_are_too_few(fails: int, made: Made, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What costs most is written in 16 bits, and asked again; what does not pass even so is not kept."""
    before, prove = left(made), llama_cpp_proof.prove_gguf
    asked: list[int] = []

    def later(*args: Any, **facts: Any) -> Proof:
        asked.append(args[1].stat().st_size)
        proof = prove(*args, **facts)
        return proof.model_copy(update={"passed": len(asked) > fails})

    monkeypatch.setattr(llama_cpp_proof, "prove_gguf", later)
    spec, shares = ExportSpec(target="gguf", numbers="Q8_0"), list[float]()
    if fails == 2:
        with pytest.raises(ExportError) as caught:
            made.studio.exports.make(run, None, spec)
        assert caught.value.key == "error.export.not_equal"
        assert left(made) == before
        return
    export = made.studio.exports.make(run, None, spec, lambda share, key: shares.append(share))
    check(export)
    assert export.proof.mixed
    assert shares == sorted(shares)
    small, wide = asked
    assert small < wide == export.files[next(name for name in export.files if name.endswith(".gguf"))]
    offer = next(one for one in made.studio.exports.offers(run) if one.spec.kind == "Q8_0")
    assert offer.room_bytes > wide
    card = (export.path / "README.md").read_text(encoding="utf-8")
    assert "in 16 bits" in card


def test_it_stops_while_8_bits_are_written_once_more(made: Made, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, asked, prove = left(made), list[Proof](), llama_cpp_proof.prove_gguf

    def failing(*args: Any, **facts: Any) -> Proof:
        asked.append(prove(*args, **facts).model_copy(update={"passed": False}))
        return asked[-1]

    monkeypatch.setattr(llama_cpp_proof, "prove_gguf", failing)
    spec = ExportSpec(target="gguf", numbers="Q8_0")
    with pytest.raises(Stopped):
        made.studio.exports.make(run, None, spec, stopping=lambda: bool(asked))
    assert len(asked) == 1
    assert left(made) == before


# Stopped, and in the way


@pytest.mark.parametrize("at", ["answers", "files", "proof"])
def test_it_stops_soon_and_leaves_nothing(at: str, made: Made, run: str) -> None:
    before, heard = left(made), []

    def told(share: float, key: str) -> None:
        heard.append(key)

    with pytest.raises(Stopped):
        made.studio.exports.make(
            run, None, ExportSpec(target="merged", numbers="float16"), told, lambda: f".{at}" in " ".join(heard)
        )
    assert left(made) == before


def test_a_disk_that_fills_up_while_a_model_is_written(made: Made, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """safetensors tells it by an error of its own."""
    from safetensors import SafetensorError

    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    before = left(made)
    for module, name, target in ((merged, "_save", "merged"), (gguf_model, "_write", "gguf")):
        with monkeypatch.context() as patched:
            patched.setattr(module, name, full)
            with pytest.raises(ResourceError):
                made.studio.exports.make(run, None, ExportSpec.model_validate({"target": target, "numbers": ""}))
        assert left(made) == before


def test_a_place_that_cannot_be_written(made: Made, run: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError) as caught:
        made.studio.exports.write(run, tmp_path / "file" / "out", None, ExportSpec(target="merged"))
    assert caught.value.key == "error.export.target_refused"
    assert (tmp_path / "file").read_text() == "mine"


def test_room_is_looked_for_where_it_is_written(made: Made, run: str, tmp_path: Path) -> None:
    exports = made.studio.exports
    settings = exports._settings
    exports._settings = replace(settings, min_free_bytes=10**18)
    try:
        with pytest.raises(ResourceError) as caught:
            exports.write(run, tmp_path / "out", None, ExportSpec(target="merged"))
    finally:
        exports._settings = settings
    assert caught.value.values["folder"] == str(tmp_path)
    assert not list(tmp_path.iterdir())
