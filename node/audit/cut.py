"""Cuts of a log: which entries lie between two moments, how a cut is written so that it can be checked alone, how one is read again.

A cut says how many entries it has, after which hash they follow and with which they end. Two forms, with the same lines in them:

    jsonl   a line {"format":"qenex-audit-cut/1",...}, then the lines of the log as they are
    csv     a line "# " with the same head, a line of column names, a row for each entry; `detail` is JSON

Nothing in a cut proves where it comes from: that do the anchors, which `node.audit.verify` asks for.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec

from node.audit.chain import LINE_BYTES_MAX, Checker, Entry, Head, log_name, read_line, write_line
from node.audit.reading import open_log, read_lines
from state.primitives.errors import AuditLogDamagedError, ConfigError

COLUMNS: Final = ("number", "time", "time_ns", "actor", "action", "detail", "previous", "hash")
JSONL_START: Final = b'{"format":"qenex-audit-cut/1"'
CSV_START: Final = b"# " + JSONL_START
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,18}\Z", re.ASCII)
_NS_PER_S: Final = 1_000_000_000
_DAY_NS: Final = 86_400 * _NS_PER_S
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
Progress = Callable[[int, int], None]  # bytes done, bytes in all


class CutHead(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a cut says of itself. Hashes are of the entry before the first, of the first, and of the last."""

    format: Literal["qenex-audit-cut/1"] = "qenex-audit-cut/1"
    log: str
    first: int
    last: int
    entries: int
    previous: str
    first_hash: str
    last_hash: str


class Moment(msgspec.Struct, frozen=True):
    """One end of a cut: an entry's number, or a time in nanoseconds."""

    number: int = 0
    time_ns: int | None = None


def parse_moment(text: str, option: str, *, is_end: bool) -> Moment:
    """An entry's number, or a time as ISO 8601 has it (UTC unless it says so); a date alone is its first or last moment.

    Raises `ConfigError`.
    """
    if _NUMBER.match(text):
        return Moment(number=int(text))
    try:
        found = datetime.datetime.fromisoformat(text if text[4:5] == "-" else "")
    except ValueError:
        raise ConfigError(
            f"{option} {text} is neither a time nor the number of an entry", hint="such as 2026-01-31, 2026-01-31T12:00:00Z, or 1200"
        ) from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=datetime.UTC)
    since = found - _EPOCH
    time_ns = (since.days * 86_400 + since.seconds) * _NS_PER_S + since.microseconds * 1_000
    return Moment(time_ns=time_ns + _DAY_NS - 1 if is_end and _DATE.match(text) else time_ns)


def format_time(time_ns: int) -> str:
    """A time as ISO 8601, to the nanosecond."""
    seconds, ns = divmod(time_ns, _NS_PER_S)
    try:
        return f"{_EPOCH + datetime.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{ns:09d}Z"
    except OverflowError:
        return f"{time_ns} ns"


def find_cut(path: Path, first: Moment, last: Moment, progress: Progress = lambda done, size: None) -> CutHead:
    """Which entries are meant, in one pass in which every entry up to there is checked.

    By time: from the first that is not before `first` to the last that is not after `last`; where a clock was set back, what lies between
    them belongs to the cut. Raises `ConfigError` if there are none, `AuditLogDamagedError`.
    """
    checker, begin, end = Checker(), None, None
    name, previous = "", ""
    with open_log(path) as file:
        size, done = os.fstat(file.fileno()).st_size, 0
        for line in read_lines(file):
            if line[-1:] != b"\n" and done + len(line) >= size:
                break  # it is being written
            before = checker.head.hash
            entry = checker.take(line)
            name = name or log_name(entry)
            if begin is None and _is_from(entry, first):
                begin, previous = entry, before
            if begin is not None and _is_to(entry, last):
                end = entry
            done += len(line)
            progress(done, size)
    if begin is None or end is None:
        hint = f"it has {checker.head.entries}; qenex audit list shows the last"
        raise ConfigError(f"{path} has no entries between these two", hint=hint)
    return CutHead(
        log=name,
        first=begin.number,
        last=end.number,
        entries=end.number - begin.number + 1,
        previous=previous,
        first_hash=begin.hash,
        last_hash=end.hash,
    )


def _is_from(entry: Entry, moment: Moment) -> bool:
    return entry.number >= moment.number if moment.time_ns is None else entry.time_ns >= moment.time_ns


def _is_to(entry: Entry, moment: Moment) -> bool:
    if moment.time_ns is not None:
        return entry.time_ns <= moment.time_ns
    return not moment.number or entry.number <= moment.number


def write_cut(path: Path, head: CutHead, kind: str, out: BinaryIO, progress: Progress = lambda done, size: None) -> None:
    """Write the entries that `find_cut` has found, checked once more. `kind` is jsonl or csv."""
    start = msgspec.json.encode(head) + b"\n"
    out.write(start if kind == "jsonl" else b"# " + start + ",".join(COLUMNS).encode() + b"\n")
    checker = Checker()
    with open_log(path) as file:
        size, done = os.fstat(file.fileno()).st_size, 0
        for line in read_lines(file):
            entry = checker.take(line)
            done += len(line)
            progress(done, size)
            if entry.number < head.first:
                continue
            out.write(line if kind == "jsonl" else _to_csv(entry).encode())
            if entry.number == head.last:
                break
    if checker.head != Head(head.last, head.last_hash):
        raise AuditLogDamagedError("the log changed while it was read", hint="run it again")


def _to_csv(entry: Entry) -> str:
    detail = msgspec.json.encode(entry.detail, order="deterministic").decode()
    shown = (entry.number, format_time(entry.time_ns), entry.time_ns, entry.actor, entry.action)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow((*shown, detail, entry.previous, entry.hash))
    return text.getvalue()


def read_cut(file: BinaryIO) -> tuple[CutHead, Iterator[bytes]] | None:
    """The head of a cut and the lines of the log that it has; None for a file that is no cut. Raises `AuditLogDamagedError`."""
    file.seek(0)
    start = file.readline(LINE_BYTES_MAX + 1)
    if not start.startswith((JSONL_START, CSV_START)):
        return None
    try:
        head = msgspec.json.decode(start.removeprefix(b"# "), type=CutHead)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AuditLogDamagedError(f"the head of the cut cannot be read: {error}") from None
    offset = len(start)
    return head, _read_rows(file, offset) if start.startswith(b"# ") else read_lines(file, offset)


def _read_rows(file: BinaryIO, offset: int) -> Iterator[bytes]:
    """The lines of the log that the rows of a CSV stand for."""
    taken: list[str] = []  # of the row that is being read; a text may have line ends in it

    def texts() -> Iterator[str]:
        for line in read_lines(file, offset):
            taken.append(line.decode("utf-8"))
            yield taken[-1]

    number = 0
    try:
        rows = csv.reader(texts(), strict=True)
        if tuple(next(rows, ())) != COLUMNS:
            raise AuditLogDamagedError("the column names of the cut are not what was written")
        for row in rows:
            number += 1
            if number == 1:
                taken.pop(0)  # the column names
            line = _from_row(row, number, "".join(taken))
            taken.clear()
            yield line
    except (csv.Error, UnicodeDecodeError) as error:
        raise AuditLogDamagedError(f"row {number + 1} of the cut cannot be read: {error}") from None


def _from_row(row: list[str], place: int, text: str) -> bytes:
    try:
        number, _, time_ns, actor, action, detail, previous, own = row
        entry = Entry(int(number), int(time_ns), actor, action, msgspec.json.decode(detail), previous, own)
        line = write_line(entry)
        read = read_line(line, entry.number)
    except (ValueError, TypeError, msgspec.MsgspecError) as error:
        raise AuditLogDamagedError(f"row {place} of the cut is no entry: {error}") from None
    if text != _to_csv(read):
        raise AuditLogDamagedError(f"row {place} of the cut, entry {number}, was changed: it is not spelled as it was written")
    return line
