"""The tiny models of the training tests, made once."""

import gc
from pathlib import Path

import pytest
import torch

from tests.tiny import save_tiny, tiny_model


@pytest.fixture(scope="session", autouse=True)
def _libraries_are_no_garbage() -> None:
    """Every run ends with a search for garbage, which takes longest among the objects of the libraries."""
    import studio.training.train  # noqa: F401
    from studio.training import dpo, grpo, kto, reward, rloo, sft  # noqa: F401

    gc.freeze()


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "llama")


@pytest.fixture(scope="session")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "gpt2", "gpt2")


@pytest.fixture(scope="session")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with large embeddings. With those of the others any next token stays about as likely as the next."""
    folder = save_tiny(tmp_path_factory.mktemp("models") / "decided")
    model = tiny_model()
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(15)  # type: ignore[operator]
    model.save_pretrained(folder)
    return folder
