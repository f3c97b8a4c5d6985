"""The wheel holds all the studio needs, and finds it where it is installed."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_SHIPPED = ("screenshots",)  # only README shows them
LOOK = """
import json, studio
from studio.messages import catalogue
from studio.runs.presets import list_presets
from studio.data.samples import list_samples
from studio.settings import read_settings
settings = read_settings()
print(json.dumps({
    "package": studio.__file__,
    "presets": [p.name for p in list_presets(settings.presets)],
    "samples": [card.name for card in list_samples(settings.samples)],
    "starter": str(settings.starter),
    "weights": sorted(p.name for p in settings.starter.iterdir()),
    "sentences": len(catalogue("ja")),
}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    (made,) = folder.glob("finetuning_studio-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(folder)]
    subprocess.run([*command, str(wheel)], check=True, capture_output=True, timeout=300)
    return folder


def look(place: Path, cwd: Path) -> dict[str, object]:
    environment = {**os.environ, "PYTHONPATH": str(place)}
    command = [sys.executable, "-c", LOOK]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=True)
    return json.loads(done.stdout)


def test_the_wheel_holds_assets_and_presets(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    needed = {
        f"studio/{path.relative_to(ROOT).as_posix()}"
        for folder in ("assets", "presets")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.relative_to(ROOT / folder).parts[0] not in NOT_SHIPPED
    }
    assert needed
    assert needed - names == set()
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert not [name for name in names if name.startswith(("tests/", "studio/assets/screenshots/"))]


def test_a_wheel_finds_what_it_ships(installed: Path, tmp_path: Path) -> None:
    found = look(installed, tmp_path)
    assert str(found["package"]).startswith(str(installed))
    assert str(found["starter"]).startswith(str(installed))
    assert found == {**look(ROOT, tmp_path), "package": found["package"], "starter": found["starter"]}


def test_a_checkout_finds_what_it_ships(tmp_path: Path) -> None:
    found = look(ROOT, tmp_path)
    assert Path(str(found["starter"])) == ROOT / "assets" / "starter"
    assert {"quick-look", "balanced", "thorough"} <= set(found["presets"])  # type: ignore[arg-type]
    assert len(found["samples"]) >= 3  # type: ignore[arg-type]
    assert "model.safetensors" in found["weights"]  # type: ignore[operator]


def test_the_installed_command_starts(installed: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [str(installed / "bin" / "studio"), "--help"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=180, check=True
    )
    assert "--workspace" in done.stdout
