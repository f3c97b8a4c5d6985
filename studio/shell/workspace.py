"""The workspace as commands open it, and the files that they are given."""

import argparse
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from studio.backend.datasets import Version
from studio.backend.studio import Studio
from studio.data.cluster import on_cluster
from studio.data.scan_workers import BOTH_CORES
from studio.errors import DataError, FaultError, InputError, StudioError
from studio.messages import translate
from studio.settings import read_settings

log = logging.getLogger("studio")


@contextmanager
def open_studio(options: argparse.Namespace, *, read_only: bool = False, worker: bool = False) -> Iterator[Studio]:
    """The workspace, opened. A bug inside goes to its log with one plain line to the user."""
    settings = read_settings(options.workspace)
    quiet_libraries()
    with Studio(settings, read_only=read_only, worker=worker) as studio:
        try:
            yield studio
        except StudioError:
            raise
        except Exception as error:
            if read_only:
                raise
            log.exception("the command failed")
            raise FaultError("error.bug", log=str(settings.workspace / "logs" / "studio.log")) from error


@contextmanager
def passing_studio(cluster: str | None = None) -> Iterator[Studio]:
    """A studio whose workspace is gone afterwards. `cluster`: the address of one that is to check and clean."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="studio-data-")))
        quiet_libraries()
        spread = stack.enter_context(on_cluster(cluster)) if cluster else BOTH_CORES
        yield stack.enter_context(Studio(read_settings(folder), worker=False, spread=spread))


def readable(studio: Studio, name: str) -> Version:
    """A file whose columns are understood."""
    version = studio.datasets.import_file(existing_data(name))
    if version.mapping is None:
        columns = ", ".join(column.name for column in version.columns)
        raise DataError("error.cli.no_layout", file=version.name, columns=columns)
    return version


def open_data(studio: Studio, name: str) -> Version:
    """A file, or the name of a sample data set."""
    if not Path(name).expanduser().exists() and name in {card.name for card in studio.datasets.samples()}:
        return studio.datasets.open_sample(name)
    return studio.datasets.import_file(existing_data(name))


def existing_data(name: str) -> Path:
    """A data file, or a folder of them."""
    path = Path(name).expanduser().absolute()
    return path if path.is_dir() else existing_file(name)


def existing_file(name: str) -> Path:
    path = Path(name).expanduser().absolute()
    if not path.is_file():
        raise InputError("error.cli.no_file", file=name)
    return path


def text_of(path: Path) -> str:
    try:
        return existing_file(str(path)).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError("error.cli.not_text", file=str(path)) from None


@contextmanager
def bar_of(key: str, language: str) -> Iterator[Callable[[float], None]]:
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
    with tqdm(total=1.0, file=sys.stderr, bar_format=form, desc=translate(key, language)) as bar:

        def tell(share: float) -> None:
            bar.update(share - bar.n)

        yield tell


def quiet_libraries() -> None:
    """Bars and deprecations of libraries are no news to who types commands (`python -W` still shows them)."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
