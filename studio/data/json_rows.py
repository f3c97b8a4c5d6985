"""JSON Lines and JSON lists -> rows."""

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import orjson

from studio.data.encodings import TextFile
from studio.data.reading import MAX_DEPTH, MAX_ROW_BYTES, Reading, is_too_deep
from studio.data.squad import flatten_squad, is_squad
from studio.errors import DataError

# Up to here a JSON file is read at once, above it row by row.
_AT_ONCE_BYTES = 64_000_000
_SHOWN = 5
_LOOK_ROWS = 1_024
# Whole numbers that do not fit 64 bits; orjson makes them floating-point numbers.
_BIG = re.compile(rb"\d{19}")
_BIG_DIGITS = 19
_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


# JSON Lines


def is_lines(head: str, whole: bool, expected: str | None) -> bool:
    """Whether the first lines are JSON values of their own. One line alone is only where lines are expected."""
    parts = head.split("\n", 20)
    lines = [line for line in parts if line.strip()][:2]
    if len(lines) == 1:
        return expected == "JSONL" and (_is_object(lines[0]) or not whole)
    return any(_is_object(line) for line in lines)


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def read_lines(text: TextFile, reading: Reading) -> None:
    """Every line that is a JSON object is a row; all others but empty ones are left out."""
    number = 1
    for data, too_long in _line_blocks(text):
        if too_long:
            reading.leave_too_long(number, data.decode("utf-8", "ignore"))
            number += 1
        else:
            number += _read_block(data, number, reading)
    reading.flush()


def _line_blocks(text: TextFile) -> Iterator[tuple[bytes, bool]]:
    """Whole lines, many at once; or the beginning of one that is too long, with True."""
    rest: list[bytes] = []  # pieces of the line that is not ended yet
    held = 0
    skipping = False
    for block in text.blocks():
        if skipping:
            end = block.find(b"\n") + 1
            if not end:
                continue
            block, skipping = block[end:], False
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join([*rest, block[: cut - 1]]), False
            rest, held = [], 0
        rest.append(block[cut:])
        held += len(block) - cut
        if held > MAX_ROW_BYTES:
            yield b"".join(rest)[:1000], True
            rest, held, skipping = [], 0, True
    if held:
        yield b"".join(rest), False


def _read_block(data: bytes, first: int, reading: Reading) -> int:
    """Rows of whole lines, of which the first has this number; how many lines there were."""
    lines = data.split(b"\n")
    big = _has_big_number(data)
    if not big:
        try:
            values = list(map(orjson.loads, lines))
        except orjson.JSONDecodeError:
            values = []
        if set(map(type, values)) == {dict} and not any(
            _may_be_deep(line) for line in lines if len(line) > 2 * MAX_DEPTH
        ):
            reading.keep_all(values)
            return len(lines)
    for number, line in enumerate(lines, first):
        _read_line(line, number, big, reading)
    return len(lines)


def _may_be_deep(line: bytes) -> bool:
    return line.count(b"[") + line.count(b"{") > MAX_DEPTH


def _has_big_number(data: bytes) -> bool:
    """Whether there is a row of 19 digits. It covers two bytes of every eighth, so that few places are looked at."""
    every = np.frombuffer(data, np.uint8)
    eighth = every[::8] - np.uint8(48) < 10
    places = np.flatnonzero(eighth[:-1] & eighth[1:]) * 8
    for step in range(1, 8):
        places = places[every[places + step] - np.uint8(48) < 10]
    return any(_BIG.search(data, max(0, place - _BIG_DIGITS), place + 2 * _BIG_DIGITS) for place in places.tolist())


def _read_line(line: bytes, number: int, big: bool, reading: Reading) -> None:
    try:
        value = _value(line, big)
    except json.JSONDecodeError as error:
        text = line.decode()
        if text and not text.isspace():
            reading.leave(number, "error.row.json", text, column=error.colno)
    except UnicodeDecodeError:
        raise
    except ValueError:  # a number of more than 4 300 digits
        reading.leave(number, "error.row.json", line.decode(), column=1)
    except RecursionError:
        reading.leave(number, "error.row.too_deep", line.decode())
    else:
        if not isinstance(value, dict):
            reading.leave(number, "error.row.not_object", line.decode())
        elif _may_be_deep(line) and is_too_deep(value):
            reading.leave(number, "error.row.too_deep", line.decode())
        else:
            reading.keep(value, len(line))


def _value(line: bytes, big: bool) -> Any:
    """What Python's reader makes of the line; the quick one knows no NaN, no half characters and no big numbers."""
    if not (big and _BIG.search(line)):
        try:
            return orjson.loads(line)
        except orjson.JSONDecodeError:
            pass
    return json.loads(line.decode())


# JSON lists


def is_json(text: TextFile) -> bool:
    """Whether the file as a whole is JSON."""
    try:
        if text.path.stat().st_size <= _AT_ONCE_BYTES:
            json.loads("".join(text.text()))
        else:
            scanner = _Scanner(text, "")
            scanner.skip_value()
            scanner.end()
    except UnicodeDecodeError:
        raise
    except (ValueError, RecursionError, DataError):
        return False
    return True


def read_list(text: TextFile, reading: Reading) -> None:
    """A list of objects, or an object that holds one: each is a row."""
    if text.path.stat().st_size > _AT_ONCE_BYTES:
        _read_long_list(text, reading)
        return
    try:
        value = json.loads("".join(text.text()))
    except json.JSONDecodeError as error:
        raise DataError("error.data.json", file=reading.file, line=error.lineno, column=error.colno) from None
    except UnicodeDecodeError:
        raise
    except ValueError:
        raise DataError("error.data.json", file=reading.file, line=1, column=1) from None
    except RecursionError:
        raise DataError("error.data.too_deep", file=reading.file) from None
    if isinstance(value, dict):
        value = _list_of(value, reading)
    for number, item in enumerate(value, 1):
        if number % _LOOK_ROWS == 1:
            reading.watch.at(number / len(value))
        _keep_item(item, number, 200, reading)
    reading.flush()


def _keep_item(item: Any, number: int, size: int, reading: Reading) -> None:
    if is_too_deep(item):
        reading.leave(number, "error.row.too_deep", "")
    elif isinstance(item, dict):
        reading.keep(item, size)
    else:
        reading.leave(number, "error.row.not_object", json.dumps(item, ensure_ascii=False)[:200])


def _list_of(value: dict[str, Any], reading: Reading) -> list[Any]:
    """The list of rows inside an object: its only list of objects, or its columns if all are equally long lists."""
    if is_squad(value):
        reading.note("notice.data.squad", articles=len(value["data"]))
        return flatten_squad(value)
    lists = {k: v for k, v in value.items() if isinstance(v, list)}
    of_rows = [k for k, v in lists.items() if v and all(isinstance(item, dict) for item in v)]
    key = _key_of_rows(list(lists), of_rows)
    if key is not None:
        reading.note("notice.data.list_key", key=key)
        return lists[key]
    if len(lists) == len(value) > 1 and len({len(v) for v in lists.values()}) == 1 and next(iter(lists.values())):
        reading.note("notice.data.columns_of_lists", columns=len(lists))
        return [dict(zip(lists, items, strict=True)) for items in zip(*lists.values(), strict=True)]
    raise _one_object(list(value), reading.file)


def _key_of_rows(lists: list[str], of_rows: list[str]) -> str | None:
    only = len(of_rows) == 1 and len(lists) == 1 and of_rows[0] not in ("messages", "conversations")
    return of_rows[0] if only else None


def _one_object(keys: list[str], file: str) -> DataError:
    return DataError("error.data.json_object", file=file, keys=", ".join(keys[:_SHOWN]) or "{}")


def _read_long_list(text: TextFile, reading: Reading) -> None:
    scanner = _Scanner(text, reading.file)
    key = None
    if scanner.next() == "{":
        key = _find_key(scanner, reading)
        scanner = _Scanner(text, reading.file)
        scanner.expect("{")
        while scanner.key() != key:
            scanner.skip_value()
            scanner.expect(",")
    articles = 0
    for number, (item, size) in enumerate(scanner.items(), 1):
        if key == "data" and is_squad([item]):
            articles += 1
            questions = flatten_squad([item])
            for question in questions:
                _keep_item(question, number, max(200, size // len(questions)), reading)
        else:
            _keep_item(item, number, size, reading)
    if articles:
        reading.note("notice.data.squad", articles=articles)
    if key is None:
        scanner.end()
    reading.flush()


def _find_key(scanner: "_Scanner", reading: Reading) -> str:
    """The key of the list of rows; reads through the whole file."""
    keys: list[str] = []
    lists: list[str] = []
    of_rows: list[str] = []
    scanner.expect("{")
    while not keys or scanner.expect(",}") == ",":
        keys.append(scanner.key())
        if scanner.next() != "[":
            scanner.value()
            continue
        kinds = {type(item) for item, _ in scanner.items()}
        lists.append(keys[-1])
        if kinds == {dict}:
            of_rows.append(keys[-1])
    scanner.end()
    key = _key_of_rows(lists, of_rows)
    if key is None:
        raise _one_object(keys, reading.file)
    reading.note("notice.data.list_key", key=key)
    return key


class _Scanner:
    """Reads JSON value by value out of pieces of text; holds one value and one piece. Raises DataError."""

    def __init__(self, text: TextFile, file: str) -> None:
        self._pieces = text.text()
        self._file = file
        self._held = ""
        self._place = 0
        self._ended = False
        # Where the held text begins.
        self._line = 1
        self._column = 1

    def _more(self) -> None:
        """Hold the next piece too, and let go of what is read."""
        self._line, self._column = self._where(self._place)
        piece = next(self._pieces, None)
        self._ended = piece is None
        self._held = self._held[self._place :] + (piece or "")
        self._place = 0

    def _where(self, place: int) -> tuple[int, int]:
        newlines = self._held.count("\n", 0, place)
        column = place - self._held.rfind("\n", 0, place) if newlines else self._column + place
        return self._line + newlines, column

    def _wrong(self, place: int) -> DataError:
        line, column = self._where(place)
        return DataError("error.data.json", file=self._file, line=line, column=column)

    def next(self) -> str:
        """The next character that is no space; empty at the end."""
        while True:
            space = _SPACE.match(self._held, self._place)
            self._place = space.end() if space else self._place
            if self._place < len(self._held) or self._ended:
                return self._held[self._place : self._place + 1]
            self._more()

    def expect(self, characters: str) -> str:
        """One of these characters."""
        found = self.next()
        if not found or found not in characters:
            raise self._wrong(self._place)
        self._place += 1
        return found

    def end(self) -> None:
        """Nothing but spaces."""
        if self.next():
            raise self._wrong(self._place)

    def key(self) -> str:
        """A key and its colon."""
        if self.next() != '"':
            raise self._wrong(self._place)
        key, _ = self.value()
        self.expect(":")
        return key

    def value(self) -> tuple[Any, int]:
        """The next value and how many characters it takes."""
        self.next()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._held, self._place)
            except json.JSONDecodeError as error:
                cut_off = error.pos > len(self._held) - 20 or error.msg.startswith("Unterminated string")
                if self._ended or not cut_off:
                    raise self._wrong(error.pos) from None
            except ValueError:
                raise self._wrong(self._place) from None
            except RecursionError:
                raise DataError("error.data.too_deep", file=self._file) from None
            else:
                if end < len(self._held) or self._ended:  # a number may go on in the next piece
                    size, self._place = end - self._place, end
                    return value, size
            if len(self._held) - self._place > MAX_ROW_BYTES:
                line, _ = self._where(self._place)
                mb = MAX_ROW_BYTES // 1_000_000
                raise DataError("error.data.row_too_long", file=self._file, line=line, mb=mb)
            self._more()

    def items(self) -> Iterator[tuple[Any, int]]:
        """The values of a list, one by one."""
        self.expect("[")
        if self.next() == "]":
            self._place += 1
            return
        while True:
            yield self.value()
            if self.expect(",]") == "]":
                return

    def skip_value(self) -> None:
        """Read over a value, however long a list it is."""
        match self.next():
            case "[":
                for _ in self.items():
                    pass
            case "{":
                self.expect("{")
                if self.next() == "}":
                    self._place += 1
                    return
                while True:
                    self.key()
                    self.skip_value()
                    if self.expect(",}") == "}":
                        return
            case _:
                self.value()
