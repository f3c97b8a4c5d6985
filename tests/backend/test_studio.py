"""The studio as one object: opens, refuses a second writer, logs, closes."""

import logging
from pathlib import Path

import pytest

from studio.backend.studio import Studio
from studio.data.splits import SplitSpec
from studio.errors import InputError, SpecError, WorkspaceError
from studio.runs.presets import list_presets
from studio.settings import Settings
from tests.tiny import save_tiny


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path / "workspace", offline=True)


def test_one_writer_and_any_number_of_readers(settings: Settings) -> None:
    with Studio(settings, worker=False):
        with pytest.raises(WorkspaceError):
            Studio(settings, worker=False)
        with Studio(settings, read_only=True) as reader:
            assert reader.compare.candidates() == ()
            with pytest.raises(WorkspaceError):
                reader.exports.make("any")
    with Studio(settings, worker=False):
        pass


def test_closing_twice_is_closing_once(settings: Settings) -> None:
    studio = Studio(settings)
    studio.close()
    studio.close()


def test_tracebacks_go_to_the_log(settings: Settings) -> None:
    logger = logging.getLogger("studio")
    before = list(logger.handlers)
    with Studio(settings, worker=False):
        try:
            raise ValueError("something odd")
        except ValueError:
            logger.exception("a bug")
    text = (settings.workspace / "logs" / "studio.log").read_text(encoding="utf-8")
    assert "Traceback" in text
    assert "something odd" in text
    assert logger.handlers == before


def test_a_spec_to_begin_with(settings: Settings) -> None:
    with Studio(settings, worker=False) as studio:
        names = [preset.name for preset in studio.presets()]
        assert names == [preset.name for preset in list_presets(settings.presets)]
        version = studio.datasets.open_sample("support-en").id
        for name in names:
            spec = studio.default_spec(version, name, "owner/name", "sft")
            assert (spec.data.version, spec.preset, spec.model.source) == (version, name, "owner/name")
        with pytest.raises(SpecError):
            studio.default_spec(version, "no-such-preset", method="sft")
        with pytest.raises(InputError, match="v1"):
            studio.default_spec("v1", names[0], method="sft")


def test_a_run_begins_with_the_split_of_its_data(settings: Settings) -> None:
    with Studio(settings, worker=False) as studio:
        version = studio.datasets.open_sample("support-en")
        assert version.split.test_share == 0.1
        assert studio.default_spec(version.id).data.split == version.split
        assert studio.default_spec("").data.split == SplitSpec()


def test_models_are_described(settings: Settings, tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny")
    with Studio(settings, worker=False) as studio:
        assert studio.models.describe(str(folder)).name == "tiny"
