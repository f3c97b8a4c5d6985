"""Scans that are kept: made once, true as long as they are used, and what the page shows of them."""

import csv
import json
import shutil
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.backend.datasets import Datasets, Version
from studio.backend.scans import Scans
from studio.backend.work import Stopping, Tell
from studio.data.explore import FindingRows, RowFilter, where_from_json
from studio.data.mapping import Mapping
from studio.data.recipe import CleanSpec, make_step
from studio.errors import DataError, InputError, Stopped
from studio.runs.store import Store
from studio.settings import Settings
from tests.tiny import save_tiny

ROWS = [{"question": f"question {i}", "answer": f"answer {i} " + "long " * (i % 7)} for i in range(60)]
DIRTY = [*ROWS, {"question": "x", "answer": " "}, ROWS[3], ROWS[4], {"question": "q", "answer": "=cmd|me@example.com"}]


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    save_tiny(folder / "starter")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "workspace")
    yield opened
    opened.close()


@pytest.fixture
def opened(store: Store, assets: Path) -> Datasets:
    return opened_again(store, assets)


def opened_again(store: Store, assets: Path) -> Datasets:
    """As after a restart."""
    return Datasets(Settings(workspace=store.folder, assets=assets), store)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The version of every scan that is really made."""
    versions: list[str] = []
    make = Scans._make

    def counted(self: Scans, key: str, asked: Any, *others: Any) -> Any:
        versions.append(asked.version)
        return make(self, key, asked, *others)

    monkeypatch.setattr(Scans, "_make", counted)
    return versions


def imported(datasets: Datasets, folder: Path, rows: list[Any]) -> Version:
    path = folder / "upload"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return datasets.import_file(path, "my data.jsonl")


def scans_of(datasets: Datasets, version: Version) -> list[Path]:
    return sorted((datasets.table(version.id).path.parent / "scans").iterdir())


def test_a_scan_is_made_once_and_kept_over_a_restart(
    opened: Datasets, store: Store, assets: Path, tmp_path: Path, made: list[str]
) -> None:
    version = imported(opened, tmp_path, DIRTY)
    assert not opened.scanned(version.id)
    first = opened.scan(version.id, max_length=32)
    assert opened.scanned(version.id, max_length=32)
    assert not opened.scanned(version.id, max_length=33)
    assert not opened.scanned(version.id, None, 32)
    bars = opened.histogram(version.id, max_length=32)
    assert bars.over > 0
    again = opened_again(store, assets)
    assert again.scanned(version.id, max_length=32)
    kept = again.scan(version.id, max_length=32)
    assert kept.findings == first.findings
    assert kept.features.equals(first.features)
    assert {k: v.tolist() for k, v in kept.found.items()} == {k: v.tolist() for k, v in first.found.items()}
    assert again.histogram(version.id, max_length=32) == bars
    assert again.scan(version.id, max_length=32) is kept
    assert made == [version.id]


def test_another_mapping_is_another_scan(opened: Datasets, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, ROWS)
    opened.scan(version.id)
    opened.set_mapping(version.id, Mapping(prompt="answer", answer="question"))
    assert not opened.scanned(version.id)
    turned = opened.scan(version.id).features
    assert turned["prompt_chars"][6].as_py() == len(ROWS[6]["answer"])


def test_a_changed_tokenizer_is_another_scan(opened: Datasets, assets: Path, tmp_path: Path) -> None:
    model = shutil.copytree(assets / "starter", tmp_path / "model")
    version = imported(opened, tmp_path, ROWS)
    opened.scan(version.id, str(model))
    assert opened.scanned(version.id, str(model))
    path = model / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert not opened.scanned(version.id, str(model))


@pytest.mark.parametrize("file", ["findings.json", "rows.parquet", "features.parquet", "lengths.parquet"])
@pytest.mark.parametrize("damage", ["cut", "changed", "foreign"])
def test_a_broken_scan_is_made_again(
    opened: Datasets, store: Store, assets: Path, tmp_path: Path, made: list[str], file: str, damage: str
) -> None:
    version = imported(opened, tmp_path, DIRTY)
    first = opened.scan(version.id)
    path = scans_of(opened, version)[0] / file
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "foreign":
        path.write_bytes(b'{"a": 1}')
    else:
        path.write_bytes(whole[:20] + bytes(byte ^ 255 for byte in whole[20:40]) + whole[40:])
    again = opened_again(store, assets)
    assert again.scan(version.id).findings == first.findings
    assert made == [version.id] * 2
    assert opened_again(store, assets).scan(version.id).features.equals(first.features)
    assert made == [version.id] * 2


def test_only_the_newest_scans_are_kept(opened: Datasets, store: Store, assets: Path, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, ROWS)
    for length in (10, 20, 30, 40):
        opened.scan(version.id, max_length=length)
    opened_again(store, assets).scan(version.id, max_length=10)  # used: not the oldest any more
    opened.scan(version.id, max_length=50)
    assert len(scans_of(opened, version)) == 4
    kept = opened_again(store, assets)
    assert [kept.scanned(version.id, max_length=n) for n in (10, 20, 30, 40, 50)] == [True, False, True, True, True]


def test_two_who_ask_at_once_share_one_scan(opened: Datasets, tmp_path: Path, made: list[str]) -> None:
    version = imported(opened, tmp_path, ROWS)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(opened.scan(version.id))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [version.id]
    assert all(one is found[0] for one in found)


def test_a_scan_is_followed(opened: Datasets, tmp_path: Path, made: list[str]) -> None:
    version = imported(opened, tmp_path, [{"question": f"q {i}", "answer": f"a {i} " * 9} for i in range(6_000)])
    shares = list(opened.follow_scan(version.id))
    assert shares == sorted(shares)
    assert all(0 <= share <= 1 for share in shares)
    assert opened.scanned(version.id)
    assert list(opened.follow_scan(version.id)) == []
    assert made == [version.id]


def test_a_scan_that_nobody_follows_stops_and_leaves_nothing(opened: Datasets, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, [{"question": f"q {i}", "answer": f"a {i} " * 60} for i in range(20_000)])
    following = opened.follow_scan(version.id)
    next(following)
    began = time.monotonic()
    following.close()
    with pytest.raises(Stopped):  # it waits for its turn until the other one has stopped
        opened.scan(version.id, stopping=lambda: time.monotonic() - began > 0.1)
    until_idle()
    assert not opened.scanned(version.id)
    assert not (opened.table(version.id).path.parent / "scans").exists()


def test_findings_turned_off_are_off_for_all_versions_of_the_data_set(
    opened: Datasets, store: Store, assets: Path, tmp_path: Path
) -> None:
    version, other = imported(opened, tmp_path, DIRTY), imported(opened, tmp_path, DIRTY)
    assert opened.findings_off(version.id) == frozenset()
    before = {f.key for f in opened.findings(version.id)}
    assert {"finding.duplicate", "finding.email", "finding.blank"} <= before
    ready = opened.readiness(version.id)
    assert (ready.with_errors, ready.with_warnings, ready.state) == (1, 3, "look")
    cleaned = opened.fix(version.id, ["drop_blank"])
    opened.set_findings_off(version.id, ["duplicate", "email"])
    again = opened_again(store, assets)
    assert again.findings_off(cleaned.id) == {"duplicate", "email"}
    assert {f.key for f in again.findings(version.id)} == before - {"finding.duplicate", "finding.email"}
    assert again.readiness(cleaned.id).state == "ready"
    assert {f.key for f in again.findings(other.id)} == before
    assert "finding.duplicate" in again.scan(version.id).keys
    again.set_findings_off(cleaned.id, [])
    assert {f.key for f in again.findings(version.id)} == before
    for names in (["duplicates"], ["finding.duplicate"]):
        with pytest.raises(InputError):
            again.set_findings_off(version.id, names)


def test_rows_behind_a_bar_and_behind_a_finding(opened: Datasets, store: Store, assets: Path, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, DIRTY)
    charts = {chart.by: chart for chart in opened.charts(version.id)}
    assert opened.charts(version.id) == opened_again(store, assets).charts(version.id)
    for bar in charts["answer_chars"].bars:
        assert bar.rows is not None
        ids = opened.select(version.id, bar.rows)
        assert opened.count(version.id, ids=ids) == bar.count
    copies = opened.select(version.id, FindingRows(finding="duplicate"))
    assert [row.id for row in opened.page(version.id, 0, 9, ids=copies)] == [62, 63]
    assert [c.id for c in opened.cells(version.id, 0, 9, order="question", descending=True, ids=copies)] == [63, 62]
    assert opened.count(version.id, "question 3", ids=copies) == 1
    assert opened.select(version.id, FindingRows(finding="duplicate")) == copies
    assert opened.count(version.id, ids=opened.select(version.id, FindingRows(finding="secret"))) == 0
    copies.unlink()
    assert opened.select(version.id, FindingRows(finding="duplicate")).is_file()
    with pytest.raises(InputError) as caught:
        opened.page(version.id, 0, 9, order="nope")
    assert "question" in caught.value.message("ja")


@pytest.mark.parametrize(
    "where",
    [
        FindingRows(finding="duplicate"),
        RowFilter(by="language", value="ja"),
        RowFilter(by="turns", value=2),
        RowFilter(by="answer_chars", low=3, high=None),
        RowFilter(by="label", value=True),
    ],
)
def test_a_filter_is_the_same_after_json(opened: Datasets, tmp_path: Path, where: FindingRows | RowFilter) -> None:
    assert where_from_json(where.model_dump_json()) == where
    opened.select(imported(opened, tmp_path, ROWS).id, where, None)


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "null", "{}", '{"finding": "nope"}', '{"finding": 3}', '{"by": "id", "value": 1}',
        '{"by": "turns", "value": "two"}', '{"by": "language", "value": 5}', '{"by": "language", "low": 5}',
        '{"by": "turns", "low": 1e99}', '{"by": "turns", "value": 99999999999999999999}',
        '{"by": "turns", "finding": "duplicate"}', "[" * 5_000,
    ],
)  # fmt: skip
def test_nonsense_is_no_filter(text: str) -> None:
    with pytest.raises(InputError) as caught:
        where_from_json(text)
    assert caught.value.message("en") != caught.value.message("ja")


def test_findings_are_exported(opened: Datasets, store: Store, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, DIRTY)
    opened.set_findings_off(version.id, ["blank"])
    path = opened.export_findings(version.id)
    assert path == store.folder / "exports" / f"my-data-jsonl-findings-{version.id}.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["finding"] for row in rows} >= {"duplicate", "email"}
    assert "blank" not in {row["finding"] for row in rows}
    assert {row["answer"] for row in rows if row["finding"] == "email"} == {"'=cmd|me@example.com"}
    lines = opened.export_findings(version.id, keys=["finding.duplicate"], form="jsonl").read_text(encoding="utf-8")
    assert [(json.loads(line)["finding"], json.loads(line)["row"]) for line in lines.splitlines()] == [
        ("duplicate", 62),
        ("duplicate", 63),
    ]
    assert not list(opened.table(version.id).path.parent.glob("*.partial*"))


def test_what_a_killed_scan_left_is_swept(opened: Datasets, store: Store, assets: Path, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, ROWS)
    opened.scan(version.id)
    folder = scans_of(opened, version)[0]
    half = folder.with_name(f"{folder.name}.abc123.partial")
    half.mkdir()
    (half / "findings.json").write_text("[]")
    for file in (folder / "rows-1.parquet.abc123.partial", folder.parents[1] / "abc123.partial.csv"):
        file.write_text("half")
    opened_again(store, assets)
    assert [path.name for path in scans_of(opened, version)] == [folder.name]
    assert not list(folder.parents[1].rglob("*.partial*"))
    assert opened_again(store, assets).scanned(version.id)


def test_without_a_mapping_there_is_no_scan(opened: Datasets, tmp_path: Path) -> None:
    version = imported(opened, tmp_path, [{"a": 1, "b": "c"}] * 3)
    for ask in (opened.scan, opened.scanned, opened.readiness, opened.charts, opened.export_findings):
        with pytest.raises(DataError) as caught:
            ask(version.id)
        assert caught.value.key == "error.train.no_mapping"
    with pytest.raises(DataError):
        next(opened.follow_scan(version.id))


def test_an_import_and_a_clean_are_followed_and_stopped(opened: Datasets, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"question": f"q{i}", "answer": f"a{i}"}) + "\n" for i in range(40_000)))

    def import_it(tell: Tell, stopping: Stopping) -> Version:
        return opened.import_file(path, tell=tell, stopping=stopping)

    stopped = opened.follow("import", lambda tell, stopping: import_it(until(stopping), stopping))
    next(stopped)
    stopped.close()
    until_idle()
    assert list((store.folder / "datasets").iterdir()) == []
    version = made_by(opened.follow("import", import_it))
    assert version == opened.version(version.id)
    assert version.rows == 40_000

    recipe = CleanSpec(steps=(make_step("drop_duplicates"),))
    stopped = opened.follow("clean", lambda tell, stopping: opened.clean(version.id, recipe, until(stopping), stopping))
    next(stopped)
    stopped.close()
    until_idle()
    assert [v.id for v in opened.versions()] == [version.id]
    assert [p.name for p in (store.folder / "datasets").iterdir()] == [version.id]
    follow = opened.follow("clean", lambda tell, stopping: opened.clean(version.id, recipe, tell, stopping))
    assert made_by(follow).id == version.id  # nothing to drop


def until(stopping: Stopping) -> Tell:
    """Told the first share, it waits until it is to stop: what follows cannot be too late."""

    def tell(share: float) -> None:
        while not stopping():
            time.sleep(0.01)

    return tell


def until_idle() -> None:
    end = time.monotonic() + 5
    while any(thread.name == "studio-work" for thread in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


def made_by(following: Generator[float, None, Version]) -> Version:
    shares = []
    while True:
        try:
            shares.append(next(following))
        except StopIteration as end:
            assert shares == sorted(shares)
            return end.value
