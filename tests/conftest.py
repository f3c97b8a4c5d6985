"""What holds for all tests: no network, one thread for tiny models, the same language everywhere."""

import gc
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import open_browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_ERROR_REPORTING"] = "false"
os.environ["TRACKIO_DIR"] = tempfile.mkdtemp(prefix="trackio-")  # read when it is imported
for name in ("LC_ALL", "LC_MESSAGES", "STUDIO_WORKSPACE"):
    os.environ.pop(name, None)
os.environ["LANG"] = "C.UTF-8"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, so that both workers end at about the same time: journeys, then other browser tests."""
    items.sort(key=lambda item: ("journeys" not in item.path.parts, "in_browser" not in item.path.name))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real files of other people that lie beside the checkout on some machines."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("no folder of real files beside the checkout")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    """One browser for all tests: Playwright allows one open session in a process."""
    with open_browser() as opened:
        yield opened


def pytest_collection_finish() -> None:
    """What was imported by now is no garbage; a search for that takes longest among the objects of the libraries."""
    gc.freeze()
