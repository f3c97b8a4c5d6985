"""What an export takes, told beforehand: the rows that go along, a window that is not kept to, a base to be fetched."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from studio.backend.export_plan import Offer
from studio.backend.training_rows import write_training_rows
from studio.messages import LANGUAGES, translate
from studio.runs.exports import ExportSpec
from studio.ui.export_view import plan_html
from tests.backend.made import Made, make
from tests.tiny import save_tiny

HUB = "owner/deleted-since"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    models = tmp_path_factory.mktemp("models")
    save_tiny(models / "llama")
    made = make(tmp_path_factory.mktemp("studio"), models)
    yield made
    made.studio.close()


def by_kind(offers: tuple[Offer, ...]) -> dict[tuple[str, str], Offer]:
    return {(one.spec.target, one.spec.kind): one for one in offers}


def told(language: str, key: str, **values: object) -> str:
    return translate(key, language, **values)


def test_the_rows_that_go_along_are_counted(made: Made, tmp_path: Path) -> None:
    studio, run = made.studio, made.run()
    write_training_rows(studio.store, studio.datasets, studio.settings, run, tmp_path)
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    alone, beside = (by_kind(studio.exports.offers(run, rows=rows)) for rows in (False, True))
    for (target, kind), offer in beside.items():
        more = offer.room_bytes - alone[target, kind].room_bytes
        times = 2 if target == "adapter" else 1  # once more in the zip
        assert times * written <= more < 10 * times * written, target


def test_a_window_that_llama_cpp_does_not_keep_to_is_told(made: Made, tmp_path: Path) -> None:
    base = tmp_path / "windowed"
    shutil.copytree(made.models / "llama", base)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    window = config["max_position_embeddings"] - 8  # farther than the proof goes
    (base / "config.json").write_text(json.dumps({**config, "sliding_window": window}), encoding="utf-8")
    run = made.run(base=base, strength=4.0)
    offers = by_kind(made.studio.exports.offers(run))
    assert {key: offer.window for key, offer in offers.items() if offer.window} == {
        key: window for key in offers if key[0].startswith("gguf")
    }
    assert not any(offer.window for offer in made.studio.exports.offers(made.run()))
    for language in LANGUAGES:
        sentence = told(language, "ui.export.window", tokens=window)
        say = lambda key, language=language, **values: told(language, key, **values)  # noqa: E731
        assert sentence in plan_html(offers["gguf", "F32"], 10**12, say)
        assert sentence not in plan_html(offers["merged", "float32"], 10**12, say)
    for target, kind, there in (("gguf", "F32", window), ("merged", "float32", 0)):
        spec = ExportSpec.model_validate({"target": target, "numbers": kind})
        export = made.studio.exports.write(run, tmp_path / target, None, spec)
        assert export.window == there
        card = (export.path / "README.md").read_text(encoding="utf-8")
        sentences = [told(language, "ui.export.window", tokens=window) for language in LANGUAGES]
        assert [sentence in card for sentence in sentences] == [bool(there)] * len(LANGUAGES)


@pytest.fixture
def gone(made: Made, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run on a model of the Hub that is not in this machine's cache."""
    monkeypatch.setattr(made.studio.exports, "_settings", replace(made.studio.settings, offline=False))
    return made.run(changes={"model.source": HUB})


def test_a_base_that_can_be_fetched_again_is_no_refusal(made: Made, gone: str) -> None:
    offers, there = (by_kind(made.studio.exports.offers(run)) for run in (gone, made.run()))
    assert {key for key, offer in offers.items() if offer.refusal} == {
        key for key, offer in there.items() if offer.refusal
    }
    for key, offer in offers.items():
        assert offer.fetched_bytes > 0
        # All of a tiny model is small print: norms, words and rows that are no whole number of blocks.
        assert offer.bytes == pytest.approx(there[key].bytes, rel=0.7), key
    assert offers["merged", "float32"].bytes == 2 * offers["adapter", ""].fetched_bytes
    for language in LANGUAGES:
        say = lambda key, language=language, **values: told(language, key, **values)  # noqa: E731
        first = told(language, "ui.export.plan.fetched", size="").split("（")[0].split(",")[0]
        assert first in plan_html(offers["merged", "bfloat16"], 10**12, say)
        assert first not in plan_html(there["merged", "bfloat16"], 10**12, say)


def test_offline_it_stays_one(made: Made, gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made.studio.exports, "_settings", replace(made.studio.settings, offline=True))
    refusals = [offer.refusal for offer in made.studio.exports.offers(gone)]
    assert {one.key for one in refusals if one} == {"error.model.hub_offline"}
    assert all(refusals)


def test_a_folder_that_is_gone_stays_one(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made.studio.exports, "_settings", replace(made.studio.settings, offline=False))
    base = save_tiny(tmp_path / "base")
    run = made.run(base=base)
    shutil.rmtree(base)
    assert all(offer.refusal for offer in made.studio.exports.offers(run))
