"""An export on the Hub, which a server in this process plays: what arrives is what was there, or nothing is shown."""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import huggingface_hub.constants
import huggingface_hub.utils._http as library
import pytest

from studio.errors import ExportError, InputError, Stopped, StudioError
from studio.export.hub import Place, Remote, files_of, look, push
from studio.messages import LANGUAGES
from studio.models.hub import SILENCE_SECONDS
from tests.hub_server import COMMIT, TINY, TOKEN, Fault, Repository, StandIn, account, running

PLACE = Place("owner/support")
CARD = "---\nlicense: apache-2.0\n---\n# Card\n"
BIG = bytes(range(256)) * 2_000


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The library waits longer from try to try than a test may."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    pauses = type("Pauses", (), {"sleep": staticmethod(lambda seconds: time.sleep(0.01)), "time": time.time})
    monkeypatch.setattr(library, "time", pauses)
    with running(StandIn()) as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An export: two files that are large to the Hub, and small ones, one of them in a folder and one empty."""
    made = tmp_path / "export"
    (made / "more").mkdir(parents=True)
    (made / "README.md").write_text(CARD, encoding="utf-8")
    (made / "adapter_config.json").write_text("{}", encoding="utf-8")
    (made / "adapter_model.safetensors").write_bytes(BIG)
    (made / "model.gguf").write_bytes(BIG[::-1] * 2)
    (made / "more" / "日本語.txt").write_text("やあ", encoding="utf-8")
    (made / "more" / "empty.txt").write_bytes(b"")
    return made


def sent(hub: StandIn, folder: Path, place: Place = PLACE, token: str = TOKEN, **options: object) -> object:
    found = look(place, token, endpoint=hub.address)
    return push(folder, place, token, found, endpoint=hub.address, **options)  # type: ignore[arg-type]


def content(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in files_of(folder).items()}


def on_hub(hub: StandIn, repo: str = PLACE.repo, kind: str = "model") -> dict[str, bytes]:
    files = dict(hub.repositories[kind, repo].files)
    files.pop(".gitattributes", None)
    return files


# What arrives


@pytest.mark.parametrize("kind", ["model", "dataset"])
@pytest.mark.parametrize("private", [True, False])
def test_what_the_hub_shows_is_what_was_there(hub: StandIn, folder: Path, kind: str, private: bool) -> None:
    place = Place("owner/support", private=private, repo_type=kind)  # type: ignore[arg-type]
    found = look(place, TOKEN, endpoint=hub.address)
    assert found == Remote("owner", None, ())
    assert (kind, place.repo) not in hub.repositories  # looking makes nothing
    shares: list[float] = []
    made = push(folder, place, TOKEN, found, tell=shares.append, endpoint=hub.address)
    there = hub.repositories[kind, place.repo]
    assert there.private is private
    assert on_hub(hub, kind=kind) == content(folder)
    assert len(there.commits) == 2  # that of the empty repository, and one with all files
    assert (made.commit, made.files, made.bytes) == (there.head, 6, sum(map(len, content(folder).values())))
    assert made.url == f"{hub.address}/{'datasets/' if kind == 'dataset' else ''}owner/support"
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert len([share for share in shares if 0 < share < 1]) > 10


def test_a_large_file_may_be_wanted_in_parts(hub: StandIn, folder: Path) -> None:
    hub.part_bytes = 100_000
    sent(hub, folder)
    assert on_hub(hub) == content(folder)
    assert any("part=2" in path for path in hub.asked)


def test_private_is_what_is_not_asked_otherwise(hub: StandIn, folder: Path) -> None:
    sent(hub, folder, Place("owner/quiet"))
    assert hub.repositories["model", "owner/quiet"].private


def test_pushing_again_changes_nothing(hub: StandIn, folder: Path) -> None:
    sent(hub, folder)
    there = hub.repositories["model", PLACE.repo]
    before = (there.head, dict(hub.received))
    sent(hub, folder, Place(PLACE.repo, replace=True))
    assert (there.head, dict(hub.received)) == before


def test_what_is_replaced_is_gone_and_its_history_stays(hub: StandIn, folder: Path) -> None:
    old = {".gitattributes": b"a", "README.md": b"old", "old.safetensors": b"old weights"}
    there = hub.repositories["model", PLACE.repo] = Repository(True, [(COMMIT, old)])
    with pytest.raises(InputError) as caught:
        sent(hub, folder)
    assert caught.value.key == "error.hub.exists"
    assert caught.value.values["files"] == 2
    sent(hub, folder, Place(PLACE.repo, replace=True))
    assert on_hub(hub) == content(folder)
    assert there.files[".gitattributes"] == b"a"
    assert there.commits[0] == (COMMIT, old)


def test_requests_name_the_studio_and_nothing_else(hub: StandIn, folder: Path) -> None:
    sent(hub, folder)
    agents = {one.headers["user-agent"] for one in hub.requests if "/storage/" not in one.path}
    assert len(agents) == 1
    assert "torch" not in agents.pop()
    assert [one.path for one in hub.requests if "/storage/" in one.path and "authorization" in one.headers] == []
    assert not any(TOKEN in one.path for one in hub.requests)


# What is refused before anything is sent


def refused(hub: StandIn, place: Place = PLACE, token: str = TOKEN) -> InputError:
    """The error of a look, in both languages; nothing was made or sent."""
    before = {key: there.head for key, there in hub.repositories.items()}
    with pytest.raises(StudioError) as caught:
        look(place, token, endpoint=hub.address)
    assert [one for one in hub.requests if one.method != "GET"] == []
    assert {key: there.head for key, there in hub.repositories.items()} == before
    for language in LANGUAGES:
        assert token not in caught.value.message(language)
    assert isinstance(caught.value, InputError)
    return caught.value


@pytest.mark.parametrize("repo", ["", "alone", "a/b/c", "owner/", "/x", "owner/a b", "owner/..", "owner/日本", "../x"])
def test_what_is_no_name(hub: StandIn, repo: str) -> None:
    assert refused(hub, Place(repo)).key == "error.hub.name"
    assert hub.asked == []


@pytest.mark.parametrize("token", ["hf_brie", "hf_with space 0123", "hf_line\n0123456789", "hf_ｆｕｌｌ0123456789"])
def test_what_is_no_token_is_not_sent_nor_quoted(hub: StandIn, token: str) -> None:
    assert refused(hub, token=token).key == "error.hub.token_form"
    assert hub.asked == []


def test_a_token_that_the_hub_does_not_know(hub: StandIn) -> None:
    assert refused(hub, token="hf_nobody0123456789").key == "error.hub.token_wrong"


def test_a_token_that_has_expired(hub: StandIn) -> None:
    hub.faults = [Fault(lambda method, path: "whoami" in path, 401, "User Access Token is expired")]
    assert refused(hub).key == "error.hub.token_expired"


def test_a_token_that_may_only_read(hub: StandIn) -> None:
    hub.accounts[TOKEN] = account("owner", "read")
    assert refused(hub).key == "error.hub.token_reads"


def test_repositories_of_somebody_else(hub: StandIn, folder: Path) -> None:
    hub.accounts[TOKEN] = account("owner", orgs=(("clinic", "write"), ("library", "read")))
    for other in ("stranger/x", "library/x"):
        told = refused(hub, Place(other))
        assert told.key == "error.hub.not_yours"
        assert told.values["owners"] == "owner, clinic"
    sent(hub, folder, Place("clinic/x"))
    assert on_hub(hub, "clinic/x") == content(folder)


def test_a_public_repository_is_never_filled_silently(hub: StandIn) -> None:
    hub.repositories["model", PLACE.repo] = Repository(False, [(COMMIT, {})])
    assert refused(hub, Place(PLACE.repo, replace=True)).key == "error.hub.is_public"
    hub.repositories["model", PLACE.repo] = Repository(True, [(COMMIT, {})])
    assert refused(hub, Place(PLACE.repo, private=False, replace=True)).key == "error.hub.is_private"


@pytest.mark.parametrize("rule", [True, False])
def test_an_owner_with_rules_of_its_own(hub: StandIn, folder: Path, rule: bool) -> None:
    """It was asked to be private, and came to be public, or the other way round: nothing is sent."""
    hub.forced_private = rule
    with pytest.raises(InputError) as caught:
        sent(hub, folder, Place(PLACE.repo, private=not rule))
    assert caught.value.key == ("error.hub.is_private" if rule else "error.hub.is_public")
    assert (on_hub(hub), hub.received) == ({}, {})


def test_a_repository_that_was_renamed(hub: StandIn) -> None:
    there = hub.repositories["model", TINY]
    hub.repositories["model", "owner/old"] = Repository(there.private, there.commits)
    hub.renamed = {"owner/old": TINY}
    assert refused(hub, Place("owner/old", private=False, replace=True)).key == "error.hub.renamed"


@pytest.mark.parametrize(("status", "key"), [(500, "unreachable"), (503, "unreachable"), (429, "unreachable")])
def test_a_hub_that_is_not_well(hub: StandIn, status: int, key: str) -> None:
    hub.faults = [Fault(lambda method, path: True, status)]
    with pytest.raises(ExportError) as caught:
        look(PLACE, TOKEN, endpoint=hub.address)
    assert caught.value.key == f"error.hub.{key}"


def test_no_network_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ExportError) as caught:
        look(PLACE, TOKEN, endpoint="http://hub.invalid")
    assert caught.value.key == "error.hub.unreachable"


# A folder that is no export


def test_a_folder_without_a_card(folder: Path) -> None:
    (folder / "README.md").unlink()
    with pytest.raises(InputError) as caught:
        files_of(folder)
    assert caught.value.key == "error.hub.no_card"


@pytest.mark.parametrize("name", ["link.json", "more/link"])
def test_a_link_to_another_place(folder: Path, name: str) -> None:
    (folder / name).symlink_to("/etc")
    with pytest.raises(InputError) as caught:
        files_of(folder)
    assert caught.value.key == "error.hub.link"
    assert caught.value.values["name"] == name


def test_a_name_that_the_hub_keeps_for_itself(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")
    with pytest.raises(InputError) as caught:
        files_of(folder)
    assert caught.value.key == "error.hub.file_name"


# Midway


def to_storage(method: str, path: str) -> bool:
    return method == "PUT"


def test_the_connection_breaks_once(hub: StandIn, folder: Path) -> None:
    """The file at hand is sent again, from its beginning."""
    hub.faults = [Fault(to_storage, after=100_000, times=1)]
    sent(hub, folder)
    assert on_hub(hub) == content(folder)


def fails(hub: StandIn, folder: Path) -> StudioError:
    with pytest.raises(StudioError) as caught:
        sent(hub, folder)
    for language in LANGUAGES:
        assert PLACE.repo in caught.value.message(language)
        assert TOKEN not in caught.value.message(language)
    return caught.value


@pytest.mark.parametrize("fault", [Fault(to_storage, after=100_000), Fault(to_storage, 500)])
def test_pushing_again_goes_on_where_it_broke(hub: StandIn, folder: Path, fault: Fault) -> None:
    first = hashlib.sha256(BIG).hexdigest()
    hub.faults = [Fault(lambda method, path: method == "PUT" and first not in path, fault.status, after=fault.after)]
    error = fails(hub, folder)
    assert error.key == "error.hub.broken"
    assert (error.values["sent"], error.values["total"]) == ("0.5", "1.5")
    assert on_hub(hub) == {}  # nothing shows
    hub.faults = []
    sent(hub, folder)  # needs no `replace`: the repository is empty
    assert on_hub(hub) == content(folder)
    assert hub.received[first] == len(BIG)  # was not sent a second time


def test_a_hub_that_falls_silent(hub: StandIn, folder: Path) -> None:
    assert library.get_session().timeout == httpx2.Timeout(SILENCE_SECONDS)
    hub.faults = [Fault(to_storage, silent=5.0)]
    library.get_session().timeout = httpx2.Timeout(0.2)
    began = time.monotonic()
    try:
        assert fails(hub, folder).key == "error.hub.broken"
    finally:
        library.close_session()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("where", "status", "key"),
    [
        ("/create", 403, "no_right"),
        ("/create", 409, "changed"),
        ("/create", 500, "broken"),
        ("/preupload/", 403, "no_right"),
        ("/preupload/", 401, "token_wrong"),
        ("/objects/batch", 403, "no_right"),
        ("/storage/", 403, "no_right"),
        ("/storage/", 422, "refused"),
        ("/commit/", 403, "no_right"),
        ("/commit/", 412, "changed"),
        ("/commit/", 400, "refused"),
        ("/commit/", 502, "unsure"),
    ],
)
def test_refusals_on_the_way(hub: StandIn, folder: Path, where: str, status: int, key: str) -> None:
    hub.faults = [Fault(lambda method, path: method != "GET" and where in path, status, f"because of {TOKEN}")]
    with pytest.raises(StudioError) as caught:
        sent(hub, folder)
    assert caught.value.key == f"error.hub.{key}"
    assert not any(TOKEN in caught.value.message(language) for language in LANGUAGES)
    assert on_hub(hub) == {} if ("model", PLACE.repo) in hub.repositories else where == "/create"


def test_a_commit_whose_answer_is_lost(hub: StandIn, folder: Path) -> None:
    hub.faults = [Fault(lambda method, path: "/commit/" in path)]
    assert fails(hub, folder).key == "error.hub.unsure"


def test_somebody_else_writes_in_the_meantime(hub: StandIn, folder: Path) -> None:
    there = hub.repositories["model", PLACE.repo] = Repository(True, [(COMMIT, {"README.md": b"old"})])
    place = Place(PLACE.repo, replace=True)
    found = look(place, TOKEN, endpoint=hub.address)
    there.commits.append(("f" * 40, {"README.md": b"theirs"}))
    with pytest.raises(InputError) as caught:
        push(folder, place, TOKEN, found, endpoint=hub.address)
    assert caught.value.key == "error.hub.changed"
    assert on_hub(hub) == {"README.md": b"theirs"}


def test_a_repository_that_leaves_a_file_out(hub: StandIn, folder: Path) -> None:
    hub.ignored = {"model.gguf"}
    error = fails(hub, folder)
    assert error.key == "error.hub.not_equal"
    assert error.values["files"] == "model.gguf"


def test_a_file_that_disappears(hub: StandIn, folder: Path) -> None:
    def tell(share: float) -> None:
        (folder / "model.gguf").unlink(missing_ok=True)

    with pytest.raises(InputError) as caught:
        sent(hub, folder, tell=tell)
    assert caught.value.key == "error.hub.gone"
    assert on_hub(hub) == {}


@pytest.mark.parametrize("at", [0.0, 0.2, 0.6, 0.9])
def test_a_push_stops_soon_and_shows_nothing(hub: StandIn, folder: Path, at: float) -> None:
    stop = threading.Event()
    shares: list[float] = []

    def tell(share: float) -> None:
        shares.append(share)
        if share >= at:
            stop.set()

    with pytest.raises(Stopped):
        sent(hub, folder, tell=tell, stopping=stop.is_set)
    assert at <= shares[-1] < at + 0.25
    assert on_hub(hub) == {}
    sent(hub, folder)
    assert on_hub(hub) == content(folder)


def test_the_token_is_in_no_log_and_no_error(
    hub: StandIn, folder: Path, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    hub.faults = [Fault(to_storage, 500)]
    error = fails(hub, folder)
    assert error.__cause__ is None
    assert error.__suppress_context__
    hub.faults = []
    sent(hub, folder)
    assert TOKEN not in caplog.text
    home = Path(huggingface_hub.constants.HF_HOME)
    kept = [path for root in (tmp_path, home) for path in root.rglob("*") if path.is_file()]
    assert [path for path in kept if path.stat().st_size < 1e7 and TOKEN.encode() in path.read_bytes()] == []
