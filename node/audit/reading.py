"""Reading a log's file by lines: onwards, backwards, from an entry's number. Memory does not grow with the file.

Nothing is written here, and whether entries follow each other is `node.audit.chain`'s to say.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from node.audit.chain import LINE_BYTES_MAX, Entry, read_line
from state.primitives.errors import AuditLogDamagedError, AuditLogUnavailableError, ConfigError

_CHUNK_BYTES: Final = 64 * 1024


class _Number(msgspec.Struct):
    number: int


_decode_number: Final = msgspec.json.Decoder(_Number).decode


def open_log(path: Path) -> BinaryIO:
    """A file to read. Raises `ConfigError` if there is none, `AuditLogUnavailableError` if it cannot be read."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise ConfigError(f"there is no audit log {path}", hint="a node makes one when it starts; check --home or --file") from None
    except OSError as error:
        raise AuditLogUnavailableError(f"cannot read {path}: {error.strerror}", hint="run it as the node's user") from error


def read_lines(file: BinaryIO, offset: int = 0) -> Iterator[bytes]:
    """Lines with their ends, from an offset on; the last may be without one, and one longer than an entry is cut there."""
    file.seek(offset)
    while line := file.readline(LINE_BYTES_MAX + 1):
        yield line


def read_backwards(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Lines with their ends before the offset `end`, the last first. Raises `AuditLogDamagedError` for one that is too long."""
    start, rest, stop = end, b"", 0
    while True:
        newline = rest.rfind(b"\n", 0, stop - 1) if stop else -1
        if newline >= 0 or start == 0:
            line, stop = rest[newline + 1 : stop], newline + 1
            if line[-1:] == b"\n":  # whatever stands after the last end is no line yet
                yield line
            if newline < 0:
                return
        elif stop > LINE_BYTES_MAX:
            raise AuditLogDamagedError("a line of the audit log is longer than any entry", hint="qenex audit verify says where")
        else:
            size = min(_CHUNK_BYTES, start)
            start -= size
            file.seek(start)
            rest = file.read(size) + rest[:stop]
            stop = len(rest)


def number_of(line: bytes) -> int:
    """The number that a line says it has, 0 if it says none."""
    try:
        return _decode_number(line).number
    except (msgspec.DecodeError, UnicodeDecodeError):
        return 0


def find_offset(file: BinaryIO, number: int) -> int:
    """Where the line of an entry begins; the file's end if it is not there. Looks at a few lines, however long the file is.

    Raises `AuditLogDamagedError` where the lines are no entries.
    """
    low, high = 0, os.fstat(file.fileno()).st_size
    while low < high:
        middle = (low + high) // 2
        start = _start_of_line(file, middle, low)
        file.seek(start)
        line = file.readline(LINE_BYTES_MAX + 1)
        found = number_of(line)
        if not found:
            if line[-1:] != b"\n" and start + len(line) >= high:  # a line that is being written, or was cut off
                high = start
                continue
            raise AuditLogDamagedError("the audit log has lines that are no entries", hint="qenex audit verify says where")
        if found < number:
            low = start + len(line)
        else:
            high = start
    return low


def _start_of_line(file: BinaryIO, offset: int, floor: int) -> int:
    """Where the line begins that the byte at `offset` is in; not before `floor`, where one begins."""
    end = offset
    while end > floor:
        start = max(floor, end - 4_096)
        file.seek(start)
        found = file.read(end - start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        if offset - start > LINE_BYTES_MAX:
            raise AuditLogDamagedError("a line of the audit log is longer than any entry", hint="qenex audit verify says where")
        end = start
    return floor


def select_last(
    path: Path, limit: int, *, before: int = 0, actor: str = "", action: str = "", walk_max: int = 0
) -> tuple[list[Entry], int]:
    """The last `limit` entries (those before number `before`, if it is given) of an actor and an action, in their order.

    An actor or action ending in `*` is the start of one. Also: the number from which on all was looked at; with `walk_max` it may be
    that the entries before it were not. Raises as `open_log` and `read_line`.
    """
    with open_log(path) as file:
        size = os.fstat(file.fileno()).st_size
        end = find_offset(file, before) if before else size
        found: list[Entry] = []
        looked_from = 0
        for walked, line in enumerate(read_backwards(file, end), 1):
            entry = read_line(line)
            looked_from = entry.number
            if _fits(entry.actor, actor) and _fits(entry.action, action):
                found.append(entry)
            if len(found) == limit or walked == walk_max:
                break
        return found[::-1], looked_from


def _fits(text: str, wanted: str) -> bool:
    return not wanted or text == wanted or (wanted[-1:] == "*" and text.startswith(wanted[:-1]))
