"""Old Office files, written by hand: just enough of them for a test.

Streams in a compound file ([MS-CFB], version 3: one FAT sector, no mini stream), and in one a BIFF8 workbook
([MS-XLS]).
"""

import struct
from collections.abc import Sequence

_SECTOR = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def compound_file(streams: dict[str, bytes]) -> bytes:
    """A file with these streams; at most about 60 kB."""
    folders = -(-(len(streams) + 1) * 128 // _SECTOR)
    table = [_FAT, *(i + 2 for i in range(folders - 1)), _END]
    sectors: list[bytes] = []
    entries = []
    for name, data in streams.items():
        padded = data.ljust(4096, b"\0")  # shorter ones would be in the mini stream
        count = -(-len(padded) // _SECTOR)
        start = len(table)
        table += [*range(start + 1, start + count), _END]
        sectors += [padded[i * _SECTOR : (i + 1) * _SECTOR].ljust(_SECTOR, b"\0") for i in range(count)]
        entries.append((name, start, len(padded)))
    entries.sort(key=lambda entry: (len(entry[0]), entry[0].upper()))
    folder = _entry("Root Entry", 5, _FREE, 1, _END, 0)
    for i, (name, start, size) in enumerate(entries, 2):
        folder += _entry(name, 2, i if i <= len(entries) else _FREE, _FREE, start, size)
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<5H", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    head += struct.pack("<9I", 0, 1, 1, 0, 4096, _END, 0, _END, 0) + struct.pack("<109I", 0, *[_FREE] * 108)
    fat = struct.pack("<128I", *table, *[_FREE] * (128 - len(table)))
    return head + fat + folder.ljust(folders * _SECTOR, b"\0") + b"".join(sectors)


def _entry(name: str, kind: int, right: int, child: int, start: int, size: int) -> bytes:
    raw = (name + "\0").encode("utf-16-le")
    links = struct.pack("<HBBIII", len(raw), kind, 1, _FREE, right, child)
    return raw.ljust(64, b"\0") + links + bytes(16) + struct.pack("<IQQIQ", 0, 0, 0, start, size)


def old_workbook(rows: Sequence[Sequence[str | float]]) -> bytes:
    """An .xls file with one sheet."""
    sheet = _record(0x809, struct.pack("<4H2I", 0x600, 0x10, 0x0DBB, 0x07CC, 0, 6))
    sheet += _record(0x200, struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows)), 0))
    for r, row in enumerate(rows):
        for c, value in enumerate(row):
            if isinstance(value, str):
                text = struct.pack("<4HB", r, c, 0, len(value), 1) + value.encode("utf-16-le")
                sheet += _record(0x204, text)
            else:
                sheet += _record(0x203, struct.pack("<3Hd", r, c, 0, value))
    sheet += _record(0x0A, b"")
    return compound_file({"Workbook": _globals(len(_globals(0))) + sheet})


def _globals(sheet_at: int) -> bytes:
    begin = _record(0x809, struct.pack("<4H2I", 0x600, 5, 0x0DBB, 0x07CC, 0, 6)) + _record(
        0x42, struct.pack("<H", 1200)
    )
    return begin + _record(0x85, struct.pack("<IBBBB", sheet_at, 0, 0, 6, 0) + b"Sheet1") + _record(0x0A, b"")


def _record(kind: int, body: bytes) -> bytes:
    return struct.pack("<HH", kind, len(body)) + body
