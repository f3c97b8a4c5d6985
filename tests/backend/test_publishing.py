"""What would go where is told before it goes; the token is kept nowhere."""

import logging
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import huggingface_hub.constants
import pytest

from studio.backend.publishing import Publishing
from studio.backend.studio import Studio
from studio.errors import InputError, ResourceError, StudioError, WorkspaceError
from studio.export.hub import Place
from studio.settings import Settings
from tests.hub_server import COMMIT, TOKEN, Fault, Repository, StandIn, running

PLACE = Place("owner/support")
CARD = "---\nlicense: apache-2.0\n---\n# Card\n"
FILES = {
    "README.md": CARD.encode(),
    "adapter_model.safetensors": bytes(200_000),
    "more/notes.txt": b"hello",
    "tokenizer.json": b"{}",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """No token of this machine counts."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "home" / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with running(StandIn()) as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path / "workspace")


@pytest.fixture
def studio(settings: Settings) -> Iterator[Studio]:
    with Studio(settings, worker=False) as opened:
        (settings.workspace / "exports").mkdir(exist_ok=True)
        yield opened


@pytest.fixture
def publishing(studio: Studio, settings: Settings, hub: StandIn) -> Publishing:
    return Publishing(settings, studio.store, hub.address)


def written(place: Path, files: dict[str, bytes] = FILES) -> Path:
    """An export as a folder, or as a zip."""
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as archive:
            for name, raw in files.items():
                archive.writestr(name, raw)
        return place
    for name, raw in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(raw)
    return place


@pytest.fixture(params=["support", "support.zip"])
def source(request: pytest.FixtureRequest, settings: Settings, studio: Studio) -> Path:
    return written(settings.workspace / "exports" / request.param)


def on_hub(hub: StandIn) -> dict[str, bytes]:
    files = hub.repositories["model", PLACE.repo].files
    return {name: raw for name, raw in files.items() if name != ".gitattributes"}


def test_what_is_told_is_what_goes(publishing: Publishing, hub: StandIn, source: Path, settings: Settings) -> None:
    parcel = publishing.look(source, PLACE, TOKEN)
    assert dict(parcel.files) == {name: len(raw) for name, raw in FILES.items()}
    assert (parcel.licence, parcel.with_rows, parcel.found.account) == ("apache-2.0", (), "owner")
    assert [one for one in hub.requests if one.method != "GET"] == []
    made = publishing.push(parcel, TOKEN)
    assert on_hub(hub) == FILES
    assert hub.repositories["model", PLACE.repo].private
    assert publishing.pushed(source) == (made,)
    assert (made.commit, made.bytes) == (hub.repositories["model", PLACE.repo].head, parcel.bytes)
    assert not (settings.workspace / "publishing").exists()


def test_every_push_is_remembered_by_the_next_studio(
    publishing: Publishing, hub: StandIn, source: Path, settings: Settings, studio: Studio
) -> None:
    first = publishing.push(publishing.look(source, PLACE, TOKEN), TOKEN)
    second = publishing.push(publishing.look(source, Place("owner/other", private=False), TOKEN), TOKEN)
    assert Publishing(settings, studio.store).pushed(source) == (second, first)


def test_what_lies_elsewhere_leaves_no_record(
    publishing: Publishing, hub: StandIn, tmp_path: Path, settings: Settings
) -> None:
    source = written(tmp_path / "elsewhere")
    publishing.push(publishing.look(source, PLACE, TOKEN), TOKEN)
    assert publishing.pushed(source) == ()
    assert list((settings.workspace / "exports").iterdir()) == []


def test_a_record_that_cannot_be_read_is_told(publishing: Publishing, source: Path) -> None:
    source.with_name(f"{source.name}.pushed.json").write_text("{")
    with pytest.raises(WorkspaceError) as caught:
        publishing.pushed(source)
    assert caught.value.key == "error.hub.record"


def test_rows_of_data_are_told(publishing: Publishing, hub: StandIn, tmp_path: Path) -> None:
    source = written(tmp_path / "data", {**FILES, "rows/train.jsonl": b"{}", "rows/Test.PARQUET": b"PAR1"})
    place = Place("owner/rows", repo_type="dataset")
    parcel = publishing.look(source, place, TOKEN)
    assert parcel.with_rows == ("rows/Test.PARQUET", "rows/train.jsonl")
    publishing.push(parcel, TOKEN)
    assert ("dataset", "owner/rows") in hub.repositories


@pytest.mark.parametrize("card", ["# no front matter", "---\nlanguage: ja\n---\n", ""])
def test_a_card_that_names_no_licence(publishing: Publishing, tmp_path: Path, card: str) -> None:
    source = written(tmp_path / "export", {**FILES, "README.md": card.encode()})
    assert publishing.look(source, PLACE, TOKEN).licence is None


@pytest.mark.parametrize("card", ["---\n: [\n---\n", "---\n- a list\n---\n"])
def test_a_card_that_the_hub_could_not_read(publishing: Publishing, hub: StandIn, tmp_path: Path, card: str) -> None:
    source = written(tmp_path / "export", {**FILES, "README.md": card.encode()})
    with pytest.raises(InputError) as caught:
        publishing.look(source, PLACE, TOKEN)
    assert caught.value.key == "error.hub.card"
    assert hub.asked == []


def test_an_export_that_changed_since_it_was_looked_at(publishing: Publishing, hub: StandIn, source: Path) -> None:
    parcel = publishing.look(source, PLACE, TOKEN)
    written(source, {**FILES, "extra.txt": b"not seen"})
    with pytest.raises(InputError) as caught:
        publishing.push(parcel, TOKEN)
    assert caught.value.key == "error.hub.changed"
    assert ("model", PLACE.repo) not in hub.repositories


def test_a_repository_that_was_made_public_since(publishing: Publishing, hub: StandIn, source: Path) -> None:
    there = hub.repositories["model", PLACE.repo] = Repository(True, [(COMMIT, {})])
    parcel = publishing.look(source, PLACE, TOKEN)
    there.private = False
    with pytest.raises(InputError) as caught:
        publishing.push(parcel, TOKEN)
    assert caught.value.key == "error.hub.is_public"
    assert (on_hub(hub), hub.received) == ({}, {})


def test_a_repository_that_was_made_by_others_since(publishing: Publishing, hub: StandIn, source: Path) -> None:
    parcel = publishing.look(source, replace(PLACE, replace=True), TOKEN)
    hub.repositories["model", PLACE.repo] = Repository(True, [(COMMIT, {"README.md": b"theirs"})])
    with pytest.raises(InputError) as caught:
        publishing.push(parcel, TOKEN)
    assert caught.value.key == "error.hub.changed"
    assert on_hub(hub) == {"README.md": b"theirs"}


def test_the_token_of_this_machine(
    publishing: Publishing, hub: StandIn, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not publishing.has_token()
    with pytest.raises(InputError) as caught:
        publishing.look(source, PLACE)
    assert caught.value.key == "error.hub.token_missing"
    assert hub.asked == []
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert publishing.has_token()
    publishing.push(publishing.look(source, PLACE))
    assert on_hub(hub) == FILES


def test_offline_asks_nobody(studio: Studio, settings: Settings, hub: StandIn, source: Path) -> None:
    offline = Publishing(replace(settings, offline=True), studio.store, hub.address)
    with pytest.raises(InputError) as caught:
        offline.look(source, PLACE, TOKEN)
    assert caught.value.key == "error.hub.offline"
    assert hub.asked == []


def test_no_room_to_unpack(publishing: Publishing, studio: Studio, settings: Settings, hub: StandIn) -> None:
    source = written(settings.workspace / "exports" / "support.zip")
    tight = Publishing(replace(settings, min_free_bytes=10**18), studio.store, hub.address)
    with pytest.raises(ResourceError):
        tight.push(tight.look(source, PLACE, TOKEN), TOKEN)
    assert ("model", PLACE.repo) not in hub.repositories


@pytest.mark.parametrize("kind", ["missing", "text", "damaged", "outside", "no card"])
def test_what_is_no_export(publishing: Publishing, hub: StandIn, tmp_path: Path, kind: str) -> None:
    source = tmp_path / "export.zip"
    if kind == "text":
        source.write_text("no zip")
    elif kind == "no card":
        written(source, {"a.txt": b"a"})
    elif kind == "outside":
        written(source, {**FILES, "../outside.txt": b"x"})
    elif kind == "damaged":
        raw = bytearray(written(source).read_bytes())
        raw[raw.index(bytes(100)) + 50] = 1
        source.write_bytes(raw)
    with pytest.raises(InputError) as caught:
        publishing.push(publishing.look(source, PLACE, TOKEN), TOKEN)
    assert caught.value.key == ("error.hub.no_card" if kind == "no card" else "error.hub.no_export")
    assert ("model", PLACE.repo) not in hub.repositories
    assert not (tmp_path / "outside.txt").exists()


def test_the_token_is_nowhere_in_the_workspace(
    publishing: Publishing, hub: StandIn, source: Path, settings: Settings, tmp_path: Path
) -> None:
    """Neither after what went well, nor after what failed and was logged."""
    for fault in (Fault(lambda method, path: method == "PUT", 403, TOKEN), None):
        hub.faults = [fault] if fault else []
        try:
            publishing.push(publishing.look(source, PLACE, TOKEN), TOKEN)
        except StudioError:
            logging.getLogger("studio").exception("a push failed")
    assert on_hub(hub) == FILES
    assert "a push failed" in (settings.workspace / "logs" / "studio.log").read_text(encoding="utf-8")
    homes = (tmp_path, Path(huggingface_hub.constants.HF_HOME))
    kept = [path for home in homes for path in home.rglob("*") if path.is_file() and path.stat().st_size < 1e8]
    assert len(kept) > 3
    assert [path for path in kept if TOKEN.encode() in path.read_bytes()] == []
