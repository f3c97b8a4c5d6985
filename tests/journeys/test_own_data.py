"""The journey with other people's files and models: each runs, improves its validation loss, and exports."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.journeys import record
from tests.journeys.server import ROOT, running_studio
from tests.journeys.test_first_visit import PATIENCE, check_export
from tests.journeys.walk import Walk
from tests.tiny import save_tiny

STARTER = ROOT / "assets" / "starter"
FILES = {
    "gsm8k_train_500.jsonl": "A box holds 12 eggs. How many eggs do 3 boxes hold?",
    "instruction_ja_dev.jsonl": "お茶のおいしい入れ方を教えてください。",
}


def base_model(name: str, shared: Path, folder: Path) -> Path | None:
    """The folder a user would name; None for the starter."""
    if name == "starter":
        return None
    return save_tiny(folder / "gpt2-shaped", "gpt2") if name == "gpt2" else shared / "models" / name


@pytest.mark.parametrize("model", ["starter", "stories260k", "gpt2"])
@pytest.mark.parametrize("file", list(FILES))
def test_other_peoples_data(context: BrowserContext, shared: Path, tmp_path: Path, file: str, model: str) -> None:
    base = base_model(model, shared, tmp_path)
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        walk.open(server.address)
        walk.upload(shared / "data" / file)
        walk.continue_to_training()
        if base:
            walk.choose_model(base)
        walk.set_number("data.max_length", 128)
        walk.set_number("training.epochs", 0.5)
        walk.start_training()
        walk.wait_for_compare(PATIENCE)

        (run,) = record.runs(server.workspace)
        state = record.state(server.workspace, run.id)
        assert run.spec.data.max_length == 128
        assert run.spec.model.source == (str(base) if base else "starter")
        assert state.status == "done"
        assert state.ended
        assert state.ended.validation_loss < state.validation_loss_before  # type: ignore[operator]

        walk.go_to_compare()
        answers = walk.send(FILES[file])
        archive = walk.export(tmp_path / "adapter.zip")
        check_export(archive, base or STARTER, answers)
        assert walk.page_errors == []


def test_columns_mapped_by_hand(context: BrowserContext, tmp_path: Path) -> None:
    """Columns of no known layout: the page asks which is which, and training uses the answer."""
    path = tmp_path / "tickets.jsonl"
    rows = [{"betreff": f"Say {n}", "erledigt": f"{n}!", "nr": n} for n in range(40)]
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    model = save_tiny(tmp_path / "tiny")
    with running_studio(tmp_path / "workspace") as server:
        walk = Walk(context.new_page())
        walk.open(server.address)
        walk.upload(path)
        walk.map_column("prompt", "betreff")
        walk.map_column("answer", "erledigt")
        walk.press("#data-mapping-apply")
        expect(walk.page.locator("#data-view")).to_contain_text("Say 0")
        walk.continue_to_training()
        walk.choose_model(model)
        walk.start_training()
        walk.wait_for_compare(PATIENCE)
        (run,) = record.runs(server.workspace)
        assert run.spec.data.mapping
        assert (run.spec.data.mapping.prompt, run.spec.data.mapping.answer) == ("betreff", "erledigt")
        assert record.state(server.workspace, run.id).status == "done"
