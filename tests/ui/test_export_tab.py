"""The Export tab shows what is in the zip, tells the proof, and offers nothing before it passed."""

import functools
import hashlib
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
import pytest

from studio.backend.candidates import Candidate
from studio.backend.export_plan import Offer
from studio.backend.exports import Export
from studio.backend.making import Making
from studio.backend.residence import Adapter
from studio.backend.studio import Studio
from studio.errors import ExportError, Stopped
from studio.messages import LANGUAGES, translate
from studio.runs.contestants import Contestant
from studio.runs.exports import ExportSpec, Proof
from studio.runs.spec import ModelSpec
from studio.settings import Settings
from studio.ui import export_tab
from studio.ui.export_view import card_html, code_html, files_html, progress_html, read_package, result_html
from studio.ui.markup import shown
from studio.ui.page import Page, chosen

KEPT = Candidate("run-1", "Friendly support", None, "a" * 64, "starter", 0.5)
CODE = 'print("<b>hello</b>")\nprint(2)'
CARD = f"# Card\n\n<script>window.hit=1</script>\n\n```python\n{CODE}\n```\n\n```python\nsecond()\n```\n"


def t(key: str, **values: object) -> str:
    return translate(key, "en", **values)


@pytest.fixture
def made(tmp_path: Path) -> Export:
    path = tmp_path / "adapter.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README.md", CARD)
        archive.writestr("adapter_model.safetensors", b"0" * 2_500_000)
        archive.writestr("vocab<b>.json", "{}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    proof = Proof(program="PEFT 1", prompts=4, equal=4, max_score_difference=0.00012, passed=True)
    return Export(path=path, bytes=path.stat().st_size, sha256=digest, proof=proof, run="run-1", created=1.0)


class FakeExports:
    def __init__(self, made: Export) -> None:
        self.finished = made
        self.error: Exception | None = None
        self.asked: list[tuple[str, int | None, ExportSpec]] = []
        self.go_on = threading.Event()
        self.going: list[Making] = []

    folder = Path("/")

    def offers_of(self, who: Contestant, prompts: int = 8, rows: bool = False) -> tuple[Offer, ...]:
        refusal = ExportError("error.export.not_loaded", reason="<i>never</i>")
        return (
            Offer(ExportSpec(), 9_900_000 if rows else 2_500_000, 3_000_000, 12.0),
            Offer(ExportSpec(target="merged"), 14_000_000, 15_000_000, 200.0),
            Offer(ExportSpec(target="gguf"), 4_000_000, 10**18, 30.0),
            Offer(ExportSpec(target="gguf", numbers="Q4_K_M"), refusal=refusal),
            Offer(ExportSpec(target="gguf-adapter"), refusal=refusal),
        )

    def made_of(self, who: Contestant) -> tuple[Export, ...]:
        return ()

    def adapter(self, who: Contestant) -> Adapter:
        raise AssertionError("of a run")

    def under_way(self) -> tuple[Making, ...]:
        return tuple(one for one in self.going if not one.done)

    def elsewhere(self, base: str, folder: str) -> Candidate:
        return Candidate("", folder or base, None, None, base, full=not folder, folder=folder)

    def begin(self, who: Contestant, spec: ExportSpec) -> Making:
        self.going.append(Making(who, spec, functools.partial(self.make, who, spec)))
        return self.going[-1]

    def make(
        self,
        who: Contestant,
        spec: ExportSpec,
        progress: Callable[[float, str], None],
        stopping: Callable[[], bool],
    ) -> Export:
        self.asked.append((who.run, who.step, spec))
        progress(0.5, "ui.export.progress.proof.adapter")
        while not self.go_on.wait(0.05):
            if stopping():
                raise Stopped("error.stopped")
        if self.error:
            raise self.error
        return self.finished


class Opened:
    """The tab with its handlers, found by the names of their functions."""

    def __init__(self, exports: FakeExports, folder: Path, found: tuple[Candidate, ...] = (KEPT,)) -> None:
        model = Adapter("run-1", "A run", None, folder, None, ModelSpec(), None, full=True)
        compare = SimpleNamespace(candidates=lambda: found, adapter=lambda run, step: model)
        runner = SimpleNamespace(record=lambda run: SimpleNamespace(name=run, created=0.0))
        publishing = SimpleNamespace(pushed=lambda path: ())
        parts = {"compare": compare, "runner": runner, "exports": exports, "publishing": publishing}
        studio = cast(Studio, SimpleNamespace(**parts, settings=Settings(workspace=folder)))
        with gr.Blocks() as self.blocks:
            tabs = gr.Tabs()
            self.page = Page(studio, "en", tabs, chosen("version", folder), chosen("run", folder))
            with gr.Tab("export") as tab:
                export_tab.build(self.page, self.blocks, tab)

    def handler(self, name: str) -> Any:
        return next(f.fn for f in self.blocks.fns.values() if f.fn is not None and f.fn.__name__ == name)

    def by_id(self, name: str, elem_id: str, row: list[Any]) -> Any:
        """What a handler's row says about the component `elem_id`."""
        function = next(f for f in self.blocks.fns.values() if f.fn is not None and f.fn.__name__ == name)
        return next(value for part, value in zip(function.outputs, row, strict=True) if part.elem_id == elem_id)


def test_an_export_is_offered_only_after_its_proof(made: Export, tmp_path: Path) -> None:
    exports = FakeExports(made)
    opened = Opened(exports, tmp_path)
    running: Iterator[list[Any]] = opened.handler("export")(KEPT, "merged", "float32", 3, True)
    first = next(running)
    assert opened.by_id("export", "export-download", first)["visible"] is False
    assert opened.by_id("export", "export-make", first)["interactive"] is False
    second = next(running)
    assert t("ui.export.progress.proof.adapter") in opened.by_id("export", "export-state", second)
    exports.go_on.set()
    last = list(running)[-1]
    download = opened.by_id("export", "export-download", last)
    assert (download["visible"], download["value"]) == (True, str(made.path))
    assert made.sha256 in opened.by_id("export", "export-state", last)
    assert opened.by_id("export", "export-make", last)["interactive"] is True
    assert exports.asked == [("run-1", None, ExportSpec(target="merged", numbers="float32", prompts=3, rows=True))]


def test_a_failed_export_is_told_and_offers_nothing(made: Export, tmp_path: Path) -> None:
    exports = FakeExports(made)
    exports.error = ExportError("error.export.not_loaded", reason="<b>no</b>")
    exports.go_on.set()
    opened = Opened(exports, tmp_path)
    running = opened.handler("export")(KEPT, "adapter", None, 8, False)
    with pytest.raises(gr.Error, match="&lt;b&gt;no"):
        list(running)
    fresh = export_tab._fresh(opened.page, KEPT, "adapter")
    assert fresh[0]["interactive"] is True
    assert fresh[3]["visible"] is False


def test_an_export_can_be_cancelled(made: Export, tmp_path: Path) -> None:
    exports = FakeExports(made)
    opened = Opened(exports, tmp_path)
    running = opened.handler("export")(KEPT, "adapter", None, 8, False)
    first = next(running)
    assert opened.by_id("export", "export-cancel", first)["visible"] is True
    next(running)
    opened.handler("stop")(first[0])
    last = list(running)[-1]
    assert opened.by_id("export", "export-make", last)["interactive"] is True
    assert opened.by_id("export", "export-state", last) == ""
    assert opened.by_id("export", "export-run", last)["interactive"] is True


def test_the_ways_are_told_with_size_and_time_or_why_not(made: Export, tmp_path: Path) -> None:
    opened = Opened(FakeExports(made), tmp_path)
    event = SimpleNamespace(_data={"method": "gguf"})
    row = opened.handler("choose_target")(KEPT, False, event)
    cards = opened.by_id("choose_target", "export-target", row)
    assert "2.5 MB, about 10 s" in cards
    assert "14 MB, about 3 min" in cards
    assert "&lt;i&gt;never" in cards
    assert 'value="gguf-adapter" disabled' in cards
    assert 'value="gguf" checked' in cards
    kinds = opened.by_id("choose_target", "export-numbers", row)
    assert [kind for _, kind in kinds["choices"]] == ["Q8_0"]
    plan = opened.by_id("choose_target", "export-plan", row)
    assert t("ui.export.plan.tight") in plan
    assert "Q4_K_M" in plan


def test_rows_that_go_along_count_whatever_is_chosen_next(made: Export, tmp_path: Path) -> None:
    opened = Opened(FakeExports(made), tmp_path)
    for data, told in ((False, "2.5 MB"), (True, "9.9 MB")):
        rows = {
            "choose_target": opened.handler("choose_target")(KEPT, data, SimpleNamespace(_data={"method": "adapter"})),
            "choose_run": opened.handler("choose_run")("run-1", "adapter", None, data),
            "choose_step": opened.handler("choose_step")("kept", KEPT, "adapter", None, data),
        }
        for name, row in rows.items():
            assert told in opened.by_id(name, "export-plan", row), name


def test_a_target_that_there_is_not_is_not_chosen(made: Export, tmp_path: Path) -> None:
    opened = Opened(FakeExports(made), tmp_path)
    row = opened.handler("choose_target")(KEPT, False, SimpleNamespace(_data={"method": "gguf-adapter"}))
    assert 'value="adapter" checked' in opened.by_id("choose_target", "export-target", row)


def test_another_adapter_hides_the_finished_export(made: Export, tmp_path: Path) -> None:
    opened = Opened(FakeExports(made), tmp_path)
    row = opened.handler("choose_run")("run-1", "adapter", None, False)
    assert opened.by_id("choose_run", "export-download", row)["visible"] is False
    assert opened.by_id("choose_run", "export-state", row) == ""
    kept = opened.handler("refresh")("run-1", KEPT, "adapter", None, False, "", "")
    assert opened.by_id("refresh", "export-download", kept) == gr.skip()


def test_nothing_to_export_says_so(made: Export, tmp_path: Path) -> None:
    opened = Opened(FakeExports(made), tmp_path, found=())
    empty, some, body, outside, *lists = opened.handler("refresh")(None, None, "adapter", None, False, "", "")
    assert (empty["visible"], some["visible"], body["visible"], outside) == (True, False, False, "")
    assert all(value in (gr.skip(), None) for value in lists)


def test_one_under_way_is_found_again(made: Export, tmp_path: Path) -> None:
    exports = FakeExports(made)
    opened = Opened(exports, tmp_path)
    first = opened.handler("export")(KEPT, "merged", "float32", 3, False)
    next(first)
    # another page
    row = opened.handler("refresh")("run-1", None, "adapter", None, False, "", "")
    assert 'value="merged" checked' in opened.by_id("refresh", "export-target", row)
    second = opened.handler("follow_again")(KEPT, "")
    begun = next(second)
    assert opened.by_id("follow_again", "export-make", begun)["interactive"] is False
    assert next(opened.handler("follow_again")(KEPT, begun[0]))[0] == gr.skip(), "it is followed here already"
    exports.go_on.set()
    for running in (first, second):
        assert made.sha256 in opened.by_id("export", "export-state", list(running)[-1])
    assert len(exports.asked) == 1


def test_what_was_made_elsewhere_stays_chosen_until_a_run_is_meant(made: Export, tmp_path: Path) -> None:
    opened = Opened(FakeExports(made), tmp_path)
    row = opened.handler("choose_elsewhere")("/a/<b>", "starter", "adapter", False, "run-1")
    assert "/a/&lt;b&gt;" in opened.by_id("choose_elsewhere", "export-outside", row)
    assert opened.by_id("choose_elsewhere", "export-run", row)["value"] is None
    outside = Candidate("", "/a/<b>", None, None, "starter", folder="/a/<b>")
    for meant, chosen_run in (("run-1", None), ("run-2", "run-1")):
        row = opened.handler("refresh")(meant, outside, "adapter", None, False, "", "run-1")
        assert opened.by_id("refresh", "export-run", row)["value"] == chosen_run


def test_the_zip_is_shown_as_it_is(made: Export) -> None:
    package = read_package(made.path)
    assert package.code == CODE
    html = files_html(package.files, t)
    assert "2.5 MB" in html
    assert "vocab&lt;b&gt;.json" in html
    assert "run-spec.yaml" not in html
    assert "run-spec.yaml" in files_html(None, t)


@pytest.mark.parametrize("language", LANGUAGES)
def test_all_of_it_is_text_in_every_language(made: Export, language: str) -> None:
    def say(key: str, **values: object) -> str:
        return translate(key, language, **values)

    package = read_package(made.path)
    html = code_html(package, say) + card_html(package, say) + result_html(made, say) + files_html(None, say)
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert "0.00012" in html


@pytest.mark.parametrize(
    ("kind", "after", "told"), [("Q8_0", 2.2, False), ("Q4_K_M", 2.05, False), ("Q4_K_M", 2.2, True)]
)
def test_what_few_bits_cost_is_told(made: Export, kind: str, after: float, told: bool) -> None:
    found = Proof(prompts=4, equal=1, first_tokens=0.9, perplexity=(2.0, after), passed=True)
    spec = ExportSpec(target="gguf", numbers=kind)
    html = result_html(made.model_copy(update={"proof": found, "spec": spec}), t)
    assert (shown(t("ui.export.proof.few_bits", kind=kind)) in html) is told
    assert ("say-warn" in html) is told


def test_a_file_that_is_larger_than_told_says_why(made: Export) -> None:
    assert shown(t("ui.export.proof.mixed")) not in result_html(made, t)
    proof = made.proof.model_copy(update={"mixed": True})
    assert shown(t("ui.export.proof.mixed")) in result_html(made.model_copy(update={"proof": proof}), t)


@pytest.mark.parametrize(("share", "percent"), [(-1, 0), (0.504, 50), (7, 100)])
def test_progress_stays_between_its_ends(share: float, percent: int) -> None:
    assert f'aria-valuenow="{percent}"' in progress_html(share, "words")
