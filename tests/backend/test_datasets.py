"""Data sets of a workspace, through the door the page and the command line use."""

import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.backend.datasets import Datasets, Stratum, Version
from studio.data.formats import Mapping
from studio.data.hub_data import HubDataset
from studio.data.recipe import CleanSpec
from studio.data.records import Conversation, Message, Record, record_sides
from studio.data.row_kinds import parts_of
from studio.data.scan_workers import Made, Work, in_this_process
from studio.data.splits import SplitSpec
from studio.errors import DataError, InputError, ResourceError, SpecError, Stopped, StudioError
from studio.messages import LANGUAGES, translate
from studio.runs.store import Store
from studio.settings import Settings
from tests.tiny import save_tiny, tiny_tokenizer

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def assets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assets")
    save_tiny(folder / "starter")
    shutil.copytree(ASSETS / "samples", folder / "samples")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "workspace")
    yield opened
    opened.close()


@pytest.fixture
def datasets(store: Store, assets: Path) -> Datasets:
    return Datasets(Settings(workspace=store.folder, assets=assets, max_upload_bytes=20_000_000), store)


def imported(datasets: Datasets, folder: Path, rows: list[Any], name: str = "data.jsonl") -> Version:
    path = folder / "upload"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return datasets.import_file(path, name)


GOOD = [{"question": f"質問{i}", "answer": f"answer {i}"} for i in range(30)]


def test_open_look_clean_and_go_back(datasets: Datasets, tmp_path: Path) -> None:
    first = imported(datasets, tmp_path, [*GOOD, {"question": "x", "answer": " "}, GOOD[3]])
    assert (first.rows, first.kind, first.encoding, first.number) == (32, "JSONL", "UTF-8", 1)
    assert first.mapping == Mapping(layout="question_answer", prompt="question", answer="answer")
    assert [row.values["answer"] for row in datasets.page(first.id, 30, 5)] == [" ", "answer 3"]
    assert datasets.count(first.id, "質問2") == 11
    assert datasets.cells(first.id, 0, 1)[0].texts == ("質問0", "answer 0")
    found = {f.key: f for f in datasets.findings(first.id)}
    assert {key: f.count for key, f in found.items()} == {
        "finding.blank": 1, "finding.duplicate": 1, "finding.few_for_method": 31,
    }  # fmt: skip

    second = datasets.fix(first.id, ["drop_blank", "drop_duplicates"])
    assert (second.number, second.parent, second.rows, second.dataset) == (2, first.id, 30, first.dataset)
    assert second.report is not None
    assert [(s.fix, s.dropped) for s in second.report.steps] == [("drop_blank", 1), ("drop_duplicates", 1)]
    assert [f.key for f in datasets.findings(second.id)] == ["finding.few_for_method"]
    diff = datasets.diff(second.id)
    assert [(d.row_id, d.fixes, d.after) for d in diff] == [
        (31, ("drop_blank",), None),
        (32, ("drop_duplicates",), None),
    ]
    assert diff[0].before is not None
    assert diff[0].before.values["question"] == "x"
    assert datasets.changed_rows(second.id) == 2
    assert datasets.diff(second.id, 1, 1) == diff[1:]
    assert [row.id for row in datasets.page(second.id, 0, 99)] == list(range(1, 31))
    assert datasets.table(first.id).rows == 32
    assert [v.id for v in datasets.versions(first.dataset)] == [first.id, second.id]


def test_several_files_a_folder_and_pasted_text(datasets: Datasets, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.csv").write_text("question,answer\n1,2\n")
    (folder / "b.csv").write_text("question,answer\n3,4\n")
    for version in (
        datasets.import_file(folder),
        datasets.import_files([(folder / "a.csv", "a.csv"), (folder / "b.csv", "b\n.csv")]),
    ):
        assert (version.rows, version.kind) == (2, "CSV")
        assert [column.name for column in version.columns] == ["question", "answer", "source"]
        assert version.mapping is not None
        assert [note.key for note in version.notes] == ["notice.data.files"]
    assert [v.name for v in datasets.versions()] == ["a.csv +1", "folder"]
    again = datasets.import_files([(folder / name, "a.csv") for name in ("a.csv", "b.csv")])
    assert {row.values["source"] for row in datasets.page(again.id, 0, 9)} == {"a.csv", "(2) a.csv"}
    pasted = datasets.import_text("question\tanswer\n1\t2\n", "Pasted text")
    assert (pasted.name, pasted.rows, pasted.kind) == ("Pasted text", 1, "CSV")
    with pytest.raises(DataError, match="Pasted text"):
        datasets.import_text(" ", "Pasted text")
    offline = Datasets(Settings(workspace=tmp_path / "w", offline=True), datasets._store)
    with pytest.raises(DataError, match="owner/name"):
        offline.import_hub(HubDataset("owner/name"))
    with pytest.raises(DataError, match="owner/name"):
        offline.hub_parts(HubDataset("owner/name"))
    assert len(datasets.versions()) == 4
    assert {p.name for p in datasets.table(pasted.id).path.parents[1].iterdir()} == {v.id for v in datasets.versions()}


def test_fixing_twice_makes_one_version(datasets: Datasets, tmp_path: Path) -> None:
    first = imported(datasets, tmp_path, [*GOOD, GOOD[0]])
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.append(datasets.fix(first.id, ["drop_duplicates"]).id)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1
    assert datasets.fix(made[0], ["drop_duplicates", "repair_text"]).id == made[0]
    assert len(datasets.versions()) == 2


def test_changed_cells_show_before_and_after(datasets: Datasets, tmp_path: Path) -> None:
    first = imported(
        datasets, tmp_path, [*GOOD, {"question": "x", "answer": "cafÃ© 3"}, {"question": "y", "answer": 7}]
    )
    second = datasets.fix(first.id, ["repair_text", "to_text"])
    shown = [
        (d.row_id, d.columns, d.before and d.before.values["answer"], d.after and d.after.values["answer"])
        for d in datasets.diff(second.id)
    ]
    assert shown == [(31, ("answer",), "cafÃ© 3", "café 3"), (32, ("answer",), 7, "7")]


def test_the_model_decides_what_is_too_long(datasets: Datasets, tmp_path: Path) -> None:
    rows = [*GOOD, {"question": "q", "answer": "long " * 30}, {"question": "q " * 60, "answer": "late"}]
    first = imported(datasets, tmp_path, rows)
    found = {f.key: f.examples for f in datasets.findings(first.id, max_length=64) if f.severity != "info"}
    assert found == {"finding.lost": (32,), "finding.too_long": (31,)}
    assert {f.severity for f in datasets.findings(first.id, model=None)} == {"info"}
    assert {f.severity for f in datasets.findings(first.id, max_length=512)} == {"info"}
    shorter = datasets.fix(first.id, ["drop_too_long"], max_length=64)
    assert (shorter.rows, [d.row_id for d in datasets.diff(shorter.id)]) == (31, [31])
    assert datasets.fix(shorter.id, ["drop_lost"], max_length=64).rows == 30
    bars = datasets.histogram(first.id, max_length=64)
    assert (bars.rows, bars.over) == (32, 2)
    with pytest.raises(DataError) as caught:
        datasets.fix(first.id, ["drop_lost"], max_length=4)
    assert caught.value.key == "error.clean.nothing_left"
    assert {p.name for p in datasets.table(first.id).path.parents[1].iterdir()} == {v.id for v in datasets.versions()}


def test_a_row_as_the_model_sees_it(datasets: Datasets, tmp_path: Path) -> None:
    version = imported(datasets, tmp_path, [*GOOD, {"question": "x", "answer": ""}])
    view = datasets.view_row(version.id, 3)
    assert "".join(s.text for s in view.spans) == "<|user|>質問2<|end|><|assistant|>answer 2<|end|>"
    assert "".join(s.text for s in view.spans if s.trained) == "answer 2<|end|>"
    assert view.total_tokens == view.prompt_tokens + view.answer_tokens == sum(s.tokens for s in view.spans)
    assert view.trained_tokens == view.answer_tokens == 9
    problem = datasets.view_row(version.id, 31).problem
    assert problem is not None
    assert problem.kind == "blank_answer"
    with pytest.raises(InputError):
        datasets.view_row(version.id, 99)


def test_a_template_that_refuses_rows(datasets: Datasets, tmp_path: Path) -> None:
    template = "{% if messages|length > 2 %}{{ raise_exception('one turn only') }}{% endif %}"
    save_tiny(tmp_path / "strict", chat_template=template + str(tiny_tokenizer().chat_template))
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    version = imported(datasets, tmp_path, [*[{"messages": turns}] * 20, {"messages": turns * 2}])
    found = {f.key: f for f in datasets.findings(version.id, str(tmp_path / "strict"))}
    assert found["finding.refused"].examples == (21,)
    refused = datasets.view_row(version.id, 21, str(tmp_path / "strict")).refused
    assert "one turn only" in str(refused)
    assert datasets.fix(version.id, ["drop_refused"], str(tmp_path / "strict")).rows == 20


def last_said(record: Record) -> str:
    return record_sides(record)[0][-1].text


def test_mapping_by_hand(datasets: Datasets, tmp_path: Path) -> None:
    rows = [{"a": f"q{i}", "b": "z", "c": [{"who": "x"}], "label": i} for i in range(5)]
    version = imported(datasets, tmp_path, rows)
    assert version.mapping is None
    for call in (
        lambda: datasets.findings(version.id),
        lambda: datasets.split_counts(version.id, SplitSpec()),
        lambda: datasets.view_row(version.id, 1),
    ):
        with pytest.raises(DataError) as caught:
            call()
        assert caught.value.key == "error.train.no_mapping"
        assert "data.jsonl" in caught.value.message("ja")
    with pytest.raises(DataError):
        datasets.set_mapping(version.id, Mapping(prompt="a", answer="nope"))
    with pytest.raises(DataError):
        datasets.hand_mapping(version.id, "talk", {"turns": "c"})
    mapped = datasets.set_mapping(version.id, Mapping(prompt="a", answer="label"))
    found = {f.key: f for f in datasets.findings(mapped.id)}
    assert found["finding.wrong_type"].count == 5
    assert "（整数）" in found["finding.wrong_type"].message("ja")
    fixed = datasets.fix(mapped.id, ["to_text"])
    assert [last_said(record) for _, record in datasets.lessons(fixed.id, None)[0]] == ["0", "1", "2", "3", "4"]
    assert datasets.fix(fixed.id, ["to_text"]).id == fixed.id


def test_split_preview(datasets: Datasets, tmp_path: Path) -> None:
    version = imported(datasets, tmp_path, GOOD)
    spec = SplitSpec(validation_share=0.2, seed=3)
    assert datasets.split_counts(version.id, spec) == (24, 6, 0)
    shown = datasets.kept_rows(version.id, spec, "validation")
    assert [row.row_id for row in shown] == list(datasets.split(version.id, spec).validation)
    assert shown[0].prompt == f"質問{shown[0].row_id - 1}"
    examples = datasets.examples(version.id, spec, 2)
    assert [answer for _, answer in examples] == [row.answer for row in shown[:2]]
    assert datasets.split_counts(version.id, SplitSpec(validation_share=0)) == (30, 0, 0)
    assert datasets.split_counts(version.id, SplitSpec(validation_share=0.2, test_share=0.1)) == (21, 6, 3)


def test_one_row(datasets: Datasets, tmp_path: Path) -> None:
    version = imported(datasets, tmp_path, GOOD[:1])
    assert [f.key for f in datasets.findings(version.id)] == ["finding.few_rows"]
    assert datasets.split_counts(version.id, SplitSpec()) == (1, 0, 0)
    assert len(datasets.examples(version.id, SplitSpec(), 5)) == 1


def test_a_cell_of_five_megabytes(datasets: Datasets, tmp_path: Path) -> None:
    version = imported(datasets, tmp_path, [*GOOD, {"question": "y", "answer": "長い話" * 560_000}])
    assert all(len(text) <= 301 for row in datasets.cells(version.id, 0, 50) for text in row.texts)
    found = {f.key: f.examples for f in datasets.findings(version.id, model=None) if f.fix or f.count < 31}
    assert found == {"finding.length_outlier": (31,)}
    view = datasets.view_row(version.id, 31)
    assert (view.truncated, view.answer_tokens) == (True, 560_000 * 9 + 1)
    assert sum(len(s.text) for s in view.spans) < 5_000


def test_left_out_rows_are_kept_to_be_seen(datasets: Datasets, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("question,answer\na,b\nc\nd,e\n")
    version = datasets.import_file(tmp_path / "a.csv")
    assert version.rows == 2
    left = datasets.left_out(version.id)
    assert [(item.line, item.text.strip()) for item in left] == [(3, "c")]
    assert version.rows + len(left) == version.notes[0].values["rows"] == 3
    assert datasets.left_out(imported(datasets, tmp_path, GOOD).id) == ()


@pytest.mark.parametrize("name", ["../../evil.jsonl", "a/b.jsonl", "...", "😀\n.jsonl", "C:\\con.jsonl", "", "x" * 400])
def test_names_are_shown_and_never_paths(datasets: Datasets, store: Store, tmp_path: Path, name: str) -> None:
    before = {p for p in tmp_path.rglob("*") if "workspace" not in p.parts}
    version = imported(datasets, tmp_path, GOOD, name)
    assert version.name == (" ".join(name.split())[:200] or "upload")
    assert datasets.table(version.id).path.parent == store.folder / "datasets" / version.id
    assert {p for p in tmp_path.rglob("*") if "workspace" not in p.parts} == before | {tmp_path / "upload"}


def test_nothing_is_left_of_a_file_that_is_refused(datasets: Datasets, store: Store, tmp_path: Path) -> None:
    with pytest.raises(DataError):
        imported(datasets, tmp_path, [])
    with pytest.raises(InputError):
        datasets.open_sample("nope")
    version = imported(datasets, tmp_path, GOOD)
    with pytest.raises(InputError) as caught:
        datasets.fix(version.id, ["polish"])
    assert "drop_blank" in caught.value.message("ja")
    assert [v.id for v in datasets.versions()] == [version.id]
    assert [p.name for p in (store.folder / "datasets").iterdir()] == [version.id]


def test_a_full_disk_while_importing(
    datasets: Datasets, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ResourceError) as caught:
        imported(datasets, tmp_path, GOOD)
    assert caught.value.key == "error.disk.full"
    assert list((store.folder / "datasets").iterdir()) == []
    monkeypatch.undo()
    assert imported(datasets, tmp_path, GOOD).rows == 30


def test_what_a_killed_import_left_is_swept(datasets: Datasets, store: Store, assets: Path, tmp_path: Path) -> None:
    version = imported(datasets, tmp_path, GOOD)
    half = store.folder / "datasets" / "20200101-000000-abcdef"
    half.mkdir()
    (half / "table.parquet.partial").write_bytes(b"PAR1")
    again = Datasets(Settings(workspace=store.folder, assets=assets), store)
    assert not half.exists()
    assert again.page(version.id, 0, 1)[0].values == GOOD[0]


def test_samples_open_once_and_hold_what_their_cards_say(datasets: Datasets) -> None:
    for card in datasets.samples():
        version = datasets.open_sample(card.name)
        assert datasets.open_sample(card.name).id == version.id
        assert (version.rows, version.sample) == (card.rows, card.name)
        assert version.mapping is not None
        columns = {column.name for column in version.columns}
        assert columns == set(card.columns)
        found = {f.key.removeprefix("finding."): f.count for f in datasets.findings(version.id, model=None)}
        if card.name != "dirty-support":
            assert found == {}, card.name
            continue
        assert found == {
            "blank": 13,
            "duplicate": 18,
            "broken_text": 12,
            "unreadable_text": 4,
            "secret": 2,
            "email": 3,
            "odd_values": 1,
            "length_outlier": 1,
        }
        fixes = [f.fix for f in datasets.findings(version.id, model=None) if f.fix]
        clean = datasets.fix(version.id, fixes)
        assert {f.key for f in datasets.findings(clean.id, model=None)} <= {
            "finding.odd_values", "finding.duplicate", "finding.length_outlier",
        }  # fmt: skip


def test_real_japanese_dialogues(datasets: Datasets, shared: Path) -> None:
    version = datasets.import_file(shared / "data" / "instruction_ja_dev.jsonl")
    assert version.mapping == Mapping(layout="turns", turns="utterances", role_key="name", content_key="text")
    by_hand = datasets.hand_mapping(version.id, "talk", {"turns": "utterances"})
    assert datasets.set_mapping(version.id, by_hand).mapping == version.mapping
    view = datasets.view_row(version.id, 1, max_length=2000)
    assert "喫煙のリスク" in "".join(span.text for span in view.spans if span.trained)


def test_every_message_in_both_languages(datasets: Datasets, tmp_path: Path) -> None:
    faults = {"a.csv": b"", "b.csv": b"q,a\n", "c.jsonl": b"hello", "d.json": b'{"q": 1}', "e.csv": b'q,a\n"1,2\n'}
    for name, content in faults.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(StudioError) as caught:
            datasets.import_file(tmp_path / name)
        english, japanese = caught.value.message("en"), caught.value.message("ja")
        assert english != japanese
        assert name in english
        assert name in japanese


def test_opening_the_data_loads_no_model_library() -> None:
    heavy = "{'torch', 'transformers', 'gradio', 'peft'}"
    code = f"import sys, studio.backend.datasets; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_split_is_remembered_and_inherited_by_cleaned_versions(datasets: Datasets, tmp_path: Path) -> None:
    first = imported(datasets, tmp_path, [*GOOD, {"question": "x", "answer": " "}])
    chosen = SplitSpec(validation_share=0.3, seed=7)
    assert first.split == SplitSpec()
    assert datasets.set_split(first.id, chosen).split == chosen
    assert datasets.fix(first.id, ["drop_blank"]).split == chosen


def test_new_data_with_enough_rows_keeps_some_for_testing(datasets: Datasets, tmp_path: Path) -> None:
    many = [{"question": f"What is {n} plus 1?", "answer": f"{n + 1}"} for n in range(250)]
    version = imported(datasets, tmp_path, many)
    assert datasets.split_counts(version.id, version.split) == (200, 25, 25)


def test_rows_edited_added_excluded_and_brought_back(datasets: Datasets, tmp_path: Path) -> None:
    first = imported(datasets, tmp_path, [*GOOD, {"question": "x", "answer": " "}, GOOD[3]])
    second = datasets.fix(first.id, ["drop_blank", "drop_duplicates"])
    third = datasets.edit_rows(second.id, {2: {"answer": "by hand"}})
    fourth = datasets.restore_rows(third.id, [32])
    fifth = datasets.add_rows(fourth.id, [{"question": "new", "answer": "row"}])
    sixth = datasets.exclude_rows(fifth.id, [1])
    assert [v.rows for v in (first, second, third, fourth, fifth, sixth)] == [32, 30, 30, 31, 32, 31]
    rows = {row.id: row.values["answer"] for row in datasets.page(sixth.id, 0, 99)}
    assert (rows[2], rows[32], rows[33], 1 in rows, 31 in rows) == ("by hand", "answer 3", "row", False, False)

    whole = datasets.diff(sixth.id, since=first.id)
    assert [(d.row_id, d.fixes, d.before is None, d.after is None) for d in whole] == [
        (1, ("exclude_rows",), False, True),
        (2, ("edit_rows",), False, False),
        (31, ("drop_blank",), False, True),
        (32, ("drop_duplicates", "restore_rows"), False, False),
        (33, ("add_rows",), True, False),
    ]
    assert datasets.diff(sixth.id, 1, 2, since=first.id) == whole[1:3]
    assert datasets.changed_rows(sixth.id, since=first.id) == 5
    assert [c.row_id for c in datasets.changes(sixth.id)] == [1]
    assert [c.row_id for c in datasets.changes(sixth.id, 1, 2, since=first.id)] == [2, 31]
    assert [step.fix for step in datasets.recipe(sixth.id).reusable().steps] == ["drop_blank", "drop_duplicates"]
    with pytest.raises(InputError) as caught:
        datasets.diff(first.id, since=sixth.id)
    assert caught.value.key == "error.dataset.not_before"
    with pytest.raises(InputError):
        datasets.edit_rows(sixth.id, {1: {"answer": "gone"}})
    # Undone and done otherwise: the new row does not get the number of the one that was added before.
    other = datasets.add_rows(fourth.id, [{"question": "other", "answer": "row"}])
    assert [row.id for row in datasets.page(other.id, 30, 9)] == [32, 34]


def test_a_recipe_is_used_on_another_data_set(datasets: Datasets, tmp_path: Path) -> None:
    first = imported(datasets, tmp_path, [*GOOD, {"question": "x", "answer": " "}])
    cleaned = datasets.exclude_rows(datasets.fix(first.id, ["drop_blank"]).id, [1])
    saved = datasets.recipe(cleaned.id).reusable().to_yaml()
    other = imported(datasets, tmp_path, [{"question": f"q{i}", "answer": "" if i % 2 else f"a{i}"} for i in range(30)])
    told: list[float] = []
    again = datasets.clean(other.id, CleanSpec.from_yaml(saved, "saved.yaml"), tell=told.append)
    assert (again.rows, again.report and again.report.rows_before, told[-1]) == (15, 30, 1)
    with pytest.raises(DataError):
        datasets.clean(other.id, datasets.recipe(cleaned.id))
    with pytest.raises(Stopped):
        datasets.clean(again.id, CleanSpec.from_yaml("steps: [mask_emails]", "r"), stopping=lambda: True)
    assert len(datasets.versions(other.dataset)) == 2


def test_strata_and_test_rows(datasets: Datasets, tmp_path: Path) -> None:
    rows = [{"question": f"q{i}", "answer": f"a{i}", "kind": "rare" if i % 10 == 0 else "usual"} for i in range(100)]
    version = imported(datasets, tmp_path, rows)
    parts = datasets.split(version.id, SplitSpec(validation_share=0.2, test_share=0.1, stratify="kind"))
    sides = [{int(i) for i in ids} for ids in (parts.train, parts.validation, parts.test)]
    assert [len(side) for side in sides] == [70, 20, 10]
    assert [len({i for i in side if i % 10 == 1}) for side in sides] == [7, 2, 1]
    shown = datasets.strata(version.id, SplitSpec(validation_share=0.2, test_share=0.1, stratify="kind"))
    assert shown == (Stratum("usual", 63, 18, 9), Stratum("rare", 7, 2, 1))
    kept = datasets.kept_rows(version.id, SplitSpec(test_share=0.1), "test", 1, 3)
    assert [row.row_id for row in kept] == datasets.split(version.id, SplitSpec(test_share=0.1)).test[1:4].tolist()
    with pytest.raises(DataError) as caught:
        datasets.split(version.id, SplitSpec(stratify="nope"))
    assert "kind" in caught.value.message("ja")


def test_one_part_of_a_split_changes_and_the_others_stay(datasets: Datasets, tmp_path: Path) -> None:
    version = imported(datasets, tmp_path, GOOD)
    chosen = SplitSpec(
        validation_share=0.2, test_share=0.1, seed=4, group_near_duplicates=True, stratify="answer", train_share=0.5
    )
    datasets.set_split(version.id, chosen)
    changes = {"validation_share": 0.3, "test_share": 0.25, "seed": 9, "group_near_duplicates": False, "stratify": ""}
    for name, value in changes.items():
        changed = datasets.change_split(version.id, {name: value}).split
        assert changed == chosen.model_copy(update={name: value or (None if name == "stratify" else value)})
        chosen = changed
    for language in LANGUAGES:
        with pytest.raises(SpecError) as caught:
            datasets.change_split(version.id, {"seed": None, "test_share": 2})
        told = caught.value.message(language)
        assert translate("spec.data.split.seed.label", language) in told
        assert translate("spec.data.split.test_share.label", language) in told
    assert datasets.version(version.id).split == chosen


def test_near_duplicates_stay_on_one_side(datasets: Datasets, tmp_path: Path) -> None:
    words = ("amber", "basil", "cedar", "delta", "ember", "fjord", "grove", "heron", "iris", "juniper", "kelp", "lotus")
    rows = []
    for i in range(40):
        told = " ".join(words[(i * 7 + j * (i % 5 + 1)) % 12] + str(i * j) for j in range(12))
        rows += [
            {"question": f"Tell me tale {i}.", "answer": told},
            {"question": f"Tell me tale {i}!", "answer": told + "."},
        ]
    version = imported(datasets, tmp_path, rows)
    alone, together = (
        datasets.split(version.id, SplitSpec(validation_share=0.3, group_near_duplicates=group))
        for group in (False, True)
    )

    def torn(ids: Any) -> int:
        chosen = {int(i) for i in ids}
        return sum((i in chosen) != (i + 1 in chosen) for i in range(1, 80, 2))

    assert torn(alone.validation) > 0
    assert torn(together.validation) == 0
    assert len(together.validation) == 24


ASKED = {"role": "user", "content": "何？"}


@pytest.mark.parametrize(
    ("row", "kind", "learned", "note"),
    [
        ({"prompt": "何{i}？", "chosen": "good", "rejected": "bad"}, "preference", 24, "preference"),
        (
            {"messages": [ASKED, {"role": "assistant", "content": "{i}"}], "label": True},
            "unpaired_preference",
            24,
            "unpaired_preference",
        ),
        ({"text": "第{i}章 むかしむかし。"}, "language_modeling", 0, "language_modeling"),
        ({"prompt": "何{i}？"}, "prompt_only", 0, "prompt_only"),
        ({"prompt": "何{i}？", "output": ["good {i}", "bad"]}, "preference", 24, "ranked.first"),
        ({"question": "何{i}？", "answers": ["これ{i}", "それ"]}, "prompt_completion", 24, "first_answer"),
    ],
)
def test_every_dataset_type_can_be_looked_at(
    datasets: Datasets, tmp_path: Path, row: dict[str, Any], kind: str, learned: int, note: str
) -> None:
    rows = [json.loads(json.dumps(row).replace("{i}", str(i))) for i in range(24)]
    version = imported(datasets, tmp_path, rows)
    assert version.mapping is not None
    assert version.mapping.dataset_type == kind
    assert f"notice.mapping.{note}" in [item.key for item in version.notes]
    assert len(datasets.lessons(version.id, None)[0]) == learned
    assert datasets.findings(version.id) is not None
    assert datasets.histogram(version.id).rows == learned
    assert sum(datasets.split_counts(version.id, SplitSpec())) == learned
    assert len(datasets.kept_rows(version.id, SplitSpec(), "validation")) == 2
    assert len(datasets.examples(version.id, SplitSpec(), 2)) == (2 if learned else 0)
    view = datasets.view_row(version.id, 1)
    assert view.problem is None
    assert "".join(span.text for span in view.spans)
    assert bool(view.trained_tokens) == (kind != "prompt_only")
    worse = "".join(span.text for span in view.rejected)
    assert worse == ("bad<|end|>" if kind == "preference" else "")
    assert not any(span.trained for span in view.rejected)
    mapped = datasets.set_mapping(version.id, version.mapping)
    assert mapped.notes == version.notes


def test_thumbs_down_is_not_learned(datasets: Datasets, tmp_path: Path) -> None:
    rows = [{"prompt": f"q{i}", "completion": "a", "label": i % 2 == 0} for i in range(10)]
    version = imported(datasets, tmp_path, rows)
    good, skipped = datasets.lessons(version.id, None)
    assert [row for row, _ in good] == [1, 3, 5, 7, 9]
    assert skipped == 5
    assert datasets.view_row(version.id, 1).trained_tokens > 0
    assert datasets.view_row(version.id, 2).trained_tokens == 0


def test_tools_a_template_leaves_out_are_told(datasets: Datasets, tmp_path: Path) -> None:
    tools = [{"name": "find", "parameters": {}}]
    talk = [ASKED, {"role": "assistant", "content": "はい"}]
    rows = [{"messages": talk, "tools": tools if i % 2 else []} for i in range(10)]
    version = imported(datasets, tmp_path, rows)
    assert version.mapping is not None
    assert version.mapping.tools == "tools"
    refused = datasets.view_row(version.id, 2).refused
    assert refused is not None
    assert refused.key == "error.data.template_tools"
    assert datasets.view_row(version.id, 1).refused is None
    found = {finding.key: finding for finding in datasets.findings(version.id)}
    assert found["finding.refused"].count == 5
    assert len(datasets.examples(version.id, SplitSpec(), 10)) == 5
    assert datasets.guessed_parts(version.id, "talk") == {"turns": "messages", "tools": "tools"}


def test_templates_are_offered_and_tried(datasets: Datasets, tmp_path: Path) -> None:
    rows = [{"question": f"何{i}？", "choice0": "犬", "choice1": "猫", "label": i % 2} for i in range(4)]
    version = imported(datasets, tmp_path, rows)
    assert version.mapping is None
    (offered,) = datasets.suggestions(version.id)
    parts = parts_of(offered.mapping, version.columns)
    assert [seen.record for seen in datasets.preview_mapping(version.id, "template", parts)] == [
        Conversation((Message("user", f"何{i}？\n0. 犬\n1. 猫"),), animal)
        for i, animal in enumerate(("犬", "猫", "犬"))
    ]
    with pytest.raises(DataError, match="choise"):
        datasets.preview_mapping(version.id, "template", {**parts, "answer_template": "{choise}"})
    mapped = datasets.set_mapping(version.id, offered.mapping)
    assert mapped.mapping == offered.mapping
    assert [last_said(record) for _, record in datasets.lessons(version.id, None)[0]] == ["犬", "猫"] * 2
    with pytest.raises(DataError) as caught:
        datasets.preview_mapping(version.id, "template", {**parts, "answer_template": "{choice}"})
    assert "choice0" in caught.value.message()


def test_two_tabs_that_clean_at_once_make_one_version(datasets: Datasets, tmp_path: Path) -> None:
    first = imported(datasets, tmp_path, [*GOOD, {"question": "x", "answer": " "}])
    together = threading.Barrier(4)
    made: list[str] = []

    def press() -> None:
        together.wait()
        made.append(datasets.fix(first.id, ["drop_blank"]).id)

    tabs = [threading.Thread(target=press) for _ in range(4)]
    for tab in tabs:
        tab.start()
    for tab in tabs:
        tab.join()
    assert len(made) == 4
    assert set(made) == {datasets.versions(first.dataset)[1].id}
    assert len(datasets.versions(first.dataset)) == 2


def test_whoever_does_the_work_is_asked(store: Store, assets: Path, tmp_path: Path) -> None:
    jobs: list[str] = []

    def spread(job: Work[Made], stop: Callable[[], bool] | None) -> Iterator[Made]:
        jobs.append(type(job).__name__)
        return in_this_process(job, stop)

    settings = Settings(workspace=store.folder, assets=assets, max_upload_bytes=20_000_000)
    datasets = Datasets(settings, store, spread)
    first = imported(datasets, tmp_path, [*GOOD, GOOD[3]])
    assert "finding.duplicate" in {finding.key for finding in datasets.findings(first.id)}
    asked = len(jobs)
    assert set(jobs) == {"Job", "Counting", "_Scoring"}
    datasets.clean(first.id, CleanSpec.from_yaml("steps: [mask_emails, drop_duplicates]", "recipe.yaml"))
    assert jobs[asked:] == ["CleanJob", "Job"]
    datasets.split(first.id, SplitSpec(seed=1))
    assert jobs[asked + 2 :] == ["_Scoring"]
