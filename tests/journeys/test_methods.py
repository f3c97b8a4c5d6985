"""The journey with data that is no question and answer: the page finds the method, and the run shows what it did."""

import json
from pathlib import Path

from playwright.sync_api import BrowserContext, expect

from studio.runs.presets import list_presets
from studio.runs.spec import RunSpec, with_changes
from studio.starter.world import lessons
from tests.journeys import record
from tests.journeys.server import ROOT, running_studio
from tests.journeys.test_first_visit import PATIENCE
from tests.journeys.walk import Walk

ENDING = " I am glad to help!"


def write_pairs(path: Path, rows: int) -> Path:
    """Questions the starter can answer; the friendlier of two right answers is the better one."""
    asked = [question for question in lessons() if question.language == "en"][: rows * 7 : 7]
    pairs = [{"prompt": q.text, "chosen": q.answer + ENDING, "rejected": q.answer} for q in asked]
    path.write_text("\n".join(json.dumps(pair) for pair in pairs), encoding="utf-8")
    return path


def learning_rate(kind: str) -> str:
    """That of the first preset, as the page shows it."""
    spec = list_presets(ROOT / "presets")[0].apply(with_changes(RunSpec(), {"method.kind": kind}))
    return f"{spec.training.learning_rate:g}"


def write_text(path: Path) -> Path:
    """A passage for each line."""
    names = ("Mira", "Tom", "Lena", "Ben", "Ada", "Otto")
    things = ("teapot", "lamp", "chair", "mirror", "wallet", "pillow", "jacket", "basket")
    colours = ("blue", "red", "green", "white")
    lines = [
        f"{n} has a new {t}. The {t} of {n} is {c}, and {n} likes it very much."
        for c in colours
        for n in names
        for t in things
    ]
    path.write_text("\n\n".join(lines), encoding="utf-8")
    return path


def test_preferences_become_a_run_of_dpo(context: BrowserContext, tmp_path: Path) -> None:
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        page = walk.page
        walk.open(server.address)
        walk.upload(write_pairs(tmp_path / "pairs.jsonl", 120))
        expect(page.locator("#data-heading")).to_contain_text("Prefer better answers (DPO)")
        walk.continue_to_training()

        # The method falls to DPO, with its settings and its learning rate; what the data cannot teach says why.
        expect(page.locator("#train-method input[value=dpo]")).to_be_checked()
        expect(page.locator("#train-method input[value=cpt]")).to_have_count(0)
        expect(page.locator("#train-method .method-others")).to_contain_text("Read on in documents (CPT)")
        expect(page.locator("#set-method-dpo-beta input")).to_have_value("0.1")
        expect(page.locator("#set-method-simpo-beta input")).to_have_count(0)
        rate = page.locator("#set-training-learning_rate input")
        expect(rate).to_have_value(learning_rate("dpo"))
        page.locator("#train-method input[value=sft]").check()
        expect(rate).to_have_value(learning_rate("sft"))
        expect(page.locator("#set-method-dpo-beta input")).to_have_count(0)
        page.locator("#train-method input[value=dpo]").check()
        expect(rate).to_have_value(learning_rate("dpo"))

        # A setting of the method that cannot be used says so in its own words.
        walk.set_number("method.dpo.beta", 0)
        expect(page.locator("#set-method-dpo-beta")).to_contain_text("stay close to the base model (method.beta)")
        walk.set_number("method.dpo.beta", 0.1)
        expect(page.locator("#set-method-dpo-beta")).not_to_contain_text("method.beta")
        walk.estimate()
        walk.start_training()
        walk.wait_for_compare(PATIENCE)

        expect(page.locator("#runs-progress")).to_contain_text("Prefer better answers (DPO)")
        expect(page.locator("#runs-progress .tile-accuracy")).to_contain_text("%")
        charts = page.locator("#runs-chart .chart-panel")
        for title in ("Better answer ahead", "Margin", "Better and worse answers"):
            panel = charts.filter(has=page.locator(".chart-title", has_text=title)).first
            expect(panel.locator(".chart-stroke").first).to_be_attached()
            expect(panel.locator(".chart-about")).not_to_be_empty()

        (run,) = record.runs(server.workspace)
        state = record.state(server.workspace, run.id)
        assert (run.spec.method.kind, run.spec.preset) == ("dpo", "quick-look")
        assert run.spec.training.learning_rate == float(learning_rate("dpo"))
        assert (state.latest("validation_accuracy") or 0) > 0.8
        walk.go_to_compare()
        answers = walk.send()
        assert answers.base
        assert answers.tuned  # a gentle run: it leans towards friendlier answers, and still knows its capitals
        assert state.ended
        assert state.ended.adapter_sha256[:8] in answers.tuned_head  # type: ignore[index]
        assert walk.page_errors == []


def test_a_text_file_is_read_on_in(context: BrowserContext, tmp_path: Path) -> None:
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        page = walk.page
        walk.open(server.address)
        walk.upload(write_text(tmp_path / "story.txt"))
        walk.continue_to_training()
        expect(page.locator("#train-method input[value=cpt]")).to_be_checked()
        assert "Reading on teaches language" in walk.estimate()
        walk.start_training()
        walk.wait_for_compare(PATIENCE)
        expect(page.locator("#runs-progress")).to_contain_text("Read on in documents (CPT)")
        (run,) = record.runs(server.workspace)
        state = record.state(server.workspace, run.id)
        assert run.spec.method.kind == "cpt"
        assert state.ended
        assert state.ended.validation_loss < state.validation_loss_before  # type: ignore[operator]
        walk.press("#runs-compare")
        answers = walk.send("Who is Mira?")
        assert answers.base
        assert answers.tuned
        assert walk.page_errors == []
