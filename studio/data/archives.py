"""Packed files: what a gzip or zip file holds, unpacked piece by piece under a name of our own.

Nothing is written where an archive wants it: the names of its members are only shown. Unpacking stops when too much
comes out, whatever the archive says about its size.
"""

import errno
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from studio.data.watch import Watch
from studio.errors import DataError

_PIECE = 1_000_000
# Text packs to a tenth, seldom to a fiftieth; zeros to a thousandth.
_MAX_RATIO = 200
_HARMLESS_BYTES = 50_000_000
_ENCRYPTED = 1


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(slots=True)
class Allowance:
    """How many bytes may still be unpacked."""

    limit: int
    unpacked: int = 0
    watch: Watch = field(default_factory=Watch)

    def spend(self, size: int, whole: int, packed: int, file: str) -> None:
        """`size` bytes more, `whole` so far of this file out of `packed` bytes. Raises DataError."""
        self.watch.look()
        self.unpacked += size
        if whole > _HARMLESS_BYTES and whole > _MAX_RATIO * max(1, packed):
            raise DataError("error.data.bomb", file=file, ratio=_MAX_RATIO)
        if self.unpacked > self.limit:
            raise DataError("error.data.too_big_unpacked", file=file, limit_mb=self.limit // 1_000_000)


def is_gzip(head: bytes) -> bool:
    return head.startswith(b"\x1f\x8b")


def is_zip(head: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def gunzip(path: Path, file: str, target: Path, allowance: Allowance) -> None:
    """Unpack a gzip file to `target`. Raises DataError: damaged, too big."""
    with _damage_told(file), gzip.open(path, "rb") as packed:
        _copy(packed, path.stat().st_size, file, target, allowance)


def members(path: Path, file: str) -> list[tuple[int, str]]:
    """Numbers and names of what is in a zip file, without folders and what programs hide there."""
    with _damage_told(file), zipfile.ZipFile(path) as archive:
        found = [(number, info) for number, info in enumerate(archive.infolist()) if not info.is_dir()]
        return [(number, info.filename) for number, info in found if not is_hidden(info.filename)]


def is_hidden(name: str) -> bool:
    """Whether a system put the file there: `.DS_Store`, `__MACOSX/...`."""
    parts = name.replace("\\", "/").split("/")
    return parts[0] == "__MACOSX" or any(part.startswith(".") and part.strip(".") for part in parts)


def unzip(path: Path, member: int, file: str, target: Path, allowance: Allowance) -> None:
    """Unpack one member to `target`. Raises DataError: damaged, encrypted, too big."""
    with _damage_told(file), zipfile.ZipFile(path) as archive:
        info = archive.infolist()[member]
        if info.flag_bits & _ENCRYPTED:
            raise DataError("error.data.encrypted", file=file)
        with archive.open(info) as packed:
            _copy(packed, info.compress_size, file, target, allowance)


def check_zip(path: Path, file: str, allowance: Allowance) -> None:
    """Unpack everything into nothing, to know that a program that unpacks it all will not be flooded."""
    with _damage_told(file), zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.flag_bits & _ENCRYPTED:
                raise DataError("error.data.encrypted", file=file)
            with archive.open(info) as packed:
                _copy(packed, info.compress_size, file, None, allowance)


def _copy(packed: _Readable, packed_size: int, file: str, target: Path | None, allowance: Allowance) -> None:
    whole = 0
    out = target.open("wb") if target else None
    try:
        while piece := packed.read(_PIECE):
            whole += len(piece)
            allowance.spend(len(piece), whole, packed_size, file)
            if out:
                out.write(piece)
    finally:
        if out:
            out.close()


@contextmanager
def _damage_told(file: str) -> Iterator[None]:
    """What gzip, zlib and zipfile raise for a damaged file, as one sentence."""
    try:
        yield
    except (zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise DataError("error.data.archive", file=file) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the beginning of the file
            raise
        raise DataError("error.data.archive", file=file) from error
