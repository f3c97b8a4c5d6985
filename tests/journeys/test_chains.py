"""Runs that follow each other, set up by the page: RLHF in three runs, answers after documents; and 4 bits."""

import json
from pathlib import Path

from playwright.sync_api import BrowserContext, expect

from studio.runs.methods import RolloutSpec
from tests.journeys import record
from tests.journeys.server import ROOT, running_studio
from tests.journeys.test_first_visit import plain_peft
from tests.journeys.test_methods import ENDING, learning_rate, write_pairs, write_text
from tests.journeys.walk import Walk

PATIENCE = 240.0
STARTER = ROOT / "assets" / "starter"


def set_up(walk: Walk, stage: str, method: str) -> None:
    """Press the button of a stage on the Train tab, and wait until the form has taken its settings."""
    walk.press(f'[data-stage={stage}] [data-act=next][data-method="{method}"]')
    expect(walk.page.locator(f"#train-method input[value={method}]")).to_be_checked()


def train(walk: Walk, epochs: float, **numbers: float) -> None:
    """The form as it is, with as many passes, and other settings by their paths with `__` for dots."""
    for setting, value in {"training.epochs": epochs, **numbers}.items():
        walk.set_number(setting.replace("__", "."), value)
    name = walk.page.locator("#train-name input, #train-name textarea").input_value()
    assert name
    walk.start_training()
    walk.wait_until_done(name, PATIENCE)


def test_rlhf_in_three_runs(context: BrowserContext, tmp_path: Path) -> None:
    """What follows is set up by the strip on the Train tab and by what the Runs tab offers when a run ends, which do
    the same; the last run on the Japanese page."""
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        page = walk.page
        walk.open(server.address)
        walk.upload(write_pairs(tmp_path / "pairs.jsonl", 60))
        walk.continue_to_training()
        stages = page.locator("#train-chain .chain-steps li")
        expect(stages).to_have_count(3)
        page.locator("#train-chain summary").click()
        set_up(walk, "answers", "sft")
        train(walk, 0.5)  # longer, and nothing is left to be won by trying

        def by_strip(stage: str, method: str) -> None:
            walk.tab("train")
            expect(page.locator(f"[data-stage={stage}].s-next")).to_be_visible()
            set_up(walk, stage, method)

        def by_runs_tab(method: str) -> None:
            walk.tab("runs")
            walk.press(f'#runs-next [data-act=next][data-method="{method}"]')
            expect(page.locator(f"#train-method input[value={method}]")).to_be_checked()

        by_runs_tab("reward")
        page.locator("#train-method input[value=dpo]").check()
        expect(page.locator("#set-method-dpo-beta input")).to_be_visible()
        by_strip("judge", "reward")
        train(walk, 3)
        page.locator(".studio-languages a[lang=ja]").click()
        by_strip("practice", "rloo")
        page.locator("#train-method input[value=dpo]").check()
        expect(page.locator("#set-method-dpo-beta input")).to_be_visible()
        by_runs_tab("rloo")
        numbers = {"method.rloo.samples_per_row": 4, "method.rloo.max_new_tokens": 32, "method.rloo.beta": 0.01}
        train(walk, 1, training__learning_rate=2e-3, **numbers)

        practice, judge, answers = record.runs(server.workspace)
        assert [run.spec.method.kind for run in (answers, judge, practice)] == ["sft", "reward", "rloo"]
        assert judge.spec.model.adapter == practice.spec.model.adapter == answers.id
        assert isinstance(practice.spec.method, RolloutSpec)
        assert practice.spec.method.reward_runs == (judge.id,)
        states = [record.state(server.workspace, run.id) for run in (answers, judge, practice)]
        hashes = [state.ended.adapter_sha256 for state in states]  # type: ignore[union-attr]
        assert len(set(hashes)) == 3
        assert states[1].started.sources == {answers.id: hashes[0]}  # type: ignore[union-attr]
        assert states[2].started.sources == {answers.id: hashes[0], judge.id: hashes[1]}  # type: ignore[union-attr]
        assert states[1].latest("validation_accuracy") > 0.8  # type: ignore[operator]
        rewards = [value for _, value in states[2].curves["validation_reward"]]
        assert rewards[-1] > rewards[0]
        assert states[2].latest("kl") is not None

        # All three stages are done, each with its run and its figure.
        walk.tab("train")
        for stage in ("answers", "judge", "practice"):
            expect(page.locator(f"[data-stage={stage}].s-done .chain-figure")).to_be_visible()
        walk.tab("runs")
        expect(page.locator("#runs-progress")).to_contain_text(answers.name)  # the run that this one goes on from
        walk.go_to_compare()
        given = walk.send()
        assert given.base
        assert hashes[2][:8] in given.tuned_head  # type: ignore[index]
        assert walk.page_errors == []


def test_answers_after_documents(context: BrowserContext, tmp_path: Path) -> None:
    """The Runs tab offers what comes after documents; the Train tab has it ready once data for it is open."""
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        page = walk.page
        walk.open(server.address)
        walk.upload(write_text(tmp_path / "story.txt"))
        walk.continue_to_training()
        expect(page.locator("#train-method input[value=cpt]")).to_be_checked()
        page.locator("#train-name").locator("input, textarea").fill("The story")
        train(walk, 1)
        walk.press("#runs-next [data-act=next]")  # no data has answers yet: the Data tab opens
        expect(page.locator("#data-next")).to_be_visible()
        asked = [{"prompt": f"Who is {name}?", "completion": f"{name} has things."} for name in ("Mira", "Tom")] * 12
        rows = tmp_path / "rows.jsonl"
        rows.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
        walk.tab("start")
        walk.upload(rows)
        walk.continue_to_training()
        walk.press("#train-chain .chain-offer [data-act=next]")
        expect(page.locator("#train-name").locator("input, textarea")).to_have_value("rows.jsonl · SFT")
        train(walk, 2)

        answers, read = record.runs(server.workspace)
        assert (read.spec.method.kind, answers.spec.method.kind) == ("cpt", "sft")
        assert answers.spec.model.adapter == read.id
        before, after = (record.state(server.workspace, run.id) for run in (read, answers))
        assert after.started.sources == {read.id: before.ended.adapter_sha256}  # type: ignore[union-attr]
        assert after.ended.validation_loss < after.validation_loss_before  # type: ignore[operator, union-attr]
        expect(page.locator("#runs-progress")).to_contain_text("after “The story”")
        assert walk.page_errors == []


def test_four_bits(context: BrowserContext, tmp_path: Path) -> None:
    """QLoRA: the weights in 4 bits while training; what comes out is an adapter as any other."""
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        page = walk.page
        walk.open(server.address)
        walk.upload(write_pairs(tmp_path / "pairs.jsonl", 24))
        walk.continue_to_training()
        expect(page.locator("#train-method input[value=dpo]")).to_be_checked()
        page.locator("#train-method input[value=sft]").check()
        expect(page.locator("#set-training-learning_rate input")).to_have_value(learning_rate("sft"))
        page.locator("#train-advanced > button, #train-advanced .label-wrap").first.click()
        page.locator("#set-tuner-quantisation input[value=nf4]").check()
        page.locator("#train-name").locator("input, textarea").fill("Four bits")
        train(walk, 2)

        (run,) = record.runs(server.workspace)
        state = record.state(server.workspace, run.id)
        assert (run.spec.tuner.kind, run.spec.tuner.quantisation) == ("lora", "nf4")
        assert state.ended.validation_loss < state.validation_loss_before  # type: ignore[operator, union-attr]
        walk.go_to_compare()
        prompt = json.loads((tmp_path / "pairs.jsonl").read_text(encoding="utf-8").splitlines()[0])["prompt"]
        given = walk.send(prompt)
        assert given.tuned.endswith(ENDING.strip())
        assert not given.base.endswith(ENDING.strip())
        archive = walk.export(tmp_path / "export.zip")
        outside = plain_peft(archive, STARTER, prompt)
        assert (outside["tuned"], outside["studio"]) == (given.tuned, False)
        assert walk.page_errors == []
