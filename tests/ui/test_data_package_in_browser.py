"""A data set taken away with its recipe, in a real browser: downloaded, opened, and put on the Hub."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect

from studio.backend.publishing import Publishing
from studio.backend.studio import Studio
from tests.hub_server import TOKEN, StandIn, running
from tests.ui.test_data_clean_in_browser import open_panel, open_sample

pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def hub(open_studio: Studio) -> Iterator[StandIn]:
    """The Hub that the studio's page pushes to."""
    with running(StandIn()) as hub, pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        open_studio.publishing = Publishing(open_studio.settings, open_studio.store, hub.address)
        yield hub


@pytest.fixture(scope="module")
def address(hub: StandIn, address: str) -> str:
    """Its page is built after it knows its Hub."""
    return address


def clean(page: Page) -> None:
    open_panel(page, "clean")
    page.locator('#data-suggested [data-fixes="drop_blank"]').click()
    page.locator("#data-clean-apply").click()
    expect(page.locator("#data-clean-outcome")).to_contain_text("258 rows became")
    open_panel(page, "rows")


def make(page: Page, to: Path) -> set[str]:
    """The names in the zip that the browser saved."""
    with page.expect_download() as saving:
        page.locator("#data-package-make").click()
    saving.value.save_as(to)
    with zipfile.ZipFile(to) as archive:
        assert archive.testzip() is None
        archive.extractall(to.with_suffix(""))
        return set(archive.namelist())


def test_the_cleaned_rows_with_their_recipe_go_home_and_to_the_hub(
    page: Page, address: str, hub: StandIn, tmp_path: Path
) -> None:
    open_sample(page, address)
    clean(page)
    page.locator("#data-package > button").click()
    expect(page.locator("#data-publish")).to_be_hidden()
    expect(page.get_by_role("button", name="Run", exact=True)).to_have_count(0)  # a button that nobody laid out
    names = make(page, tmp_path / "first.zip")
    others = {"recipe.yaml", "lineage.json", "findings.json", "README.md"}
    assert names == {"rows.jsonl", "train.jsonl", "validation.jsonl", "test.jsonl", *others}
    rows = (tmp_path / "first" / "rows.jsonl").read_text(encoding="utf-8").rstrip("\n").split("\n")
    heading = page.locator("#data-heading")
    expect(heading).to_contain_text(f"{len(rows)} rows")
    assert all(json.loads(row) for row in rows)
    assert "drop_blank" in (tmp_path / "first" / "recipe.yaml").read_text(encoding="utf-8")
    state = page.locator("#data-package-state")
    expect(state.locator("li").first).to_have_text(f"rows.jsonl{len(rows)} rows")

    page.locator("#data-package-form").get_by_text("Parquet").click()
    names = make(page, tmp_path / "second.zip")
    assert names == {"rows.parquet", "train.parquet", "validation.parquet", "test.parquet", *others}
    assert pq.read_table(tmp_path / "second" / "rows.parquet").num_rows == len(rows)
    with page.expect_download() as saving:
        state.get_by_role("link").click()
    assert Path(saving.value.path()).read_bytes() == (tmp_path / "second.zip").read_bytes()

    page.locator("#data-publish-repo input, #data-publish-repo textarea").fill("owner/questions")
    page.locator("#data-publish-token input").fill(TOKEN)
    page.locator("#data-publish-look").click()
    terms = page.locator("#data-publish-terms")
    expect(terms).to_contain_text("owner/questions, a data set")
    expect(terms).to_contain_text("rows.parquet")
    page.locator("#data-publish-send").click()
    expect(page.locator("#data-publish-made a")).to_have_text("owner/questions")
    sent = hub.repositories["dataset", "owner/questions"]
    assert sent.private
    assert sent.files["rows.parquet"] == (tmp_path / "second" / "rows.parquet").read_bytes()
    assert names <= set(sent.files)


def test_what_was_made_is_not_shown_beside_another_version(page: Page, address: str, tmp_path: Path) -> None:
    open_sample(page, address)
    page.locator("#data-package > button").click()
    make(page, tmp_path / "first.zip")
    state = page.locator("#data-package-state")
    expect(state).to_contain_text("Saved as")
    expect(page.locator("#data-publish")).to_be_visible()
    clean(page)
    expect(state).to_be_empty()
    expect(page.locator("#data-publish")).to_be_hidden()


def test_a_full_disk_is_told_and_the_page_goes_on(
    page: Page, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_sample(page, address)
    page.locator("#data-package > button").click()
    with monkeypatch.context() as patch:
        patch.setattr("studio.backend.placing.free_bytes", lambda folder: 0)
        page.locator("#data-package-make").click()
        expect(page.locator(".toast-wrap")).to_contain_text("disk")
        expect(page.locator("#data-package-make")).to_be_enabled()
        expect(page.locator("#data-package-stop")).to_be_hidden()
    assert "rows.jsonl" in make(page, tmp_path / "first.zip")
