"""Whether a log is what was written: its hashes, the note of its last entry, and the anchors that the chain keeps of it.

The hashes find every change that leaves one line as it was; the note finds an end that is missing; only an anchor finds a log that was
written anew, since whoever has the file can make all hashes again. Asking a node for anchors is the caller's.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from node.audit.chain import Checker, Head, log_name, read_line
from node.audit.cut import CutHead, Progress, format_time, read_cut
from node.audit.journal import Note, note_path, read_note
from node.audit.reading import open_log, read_backwards, read_lines
from state.primitives.errors import AuditLogDamagedError, QenexError


class Anchor(NamedTuple):
    """What the chain says: with so many entries the hash of the last was this, at this height and time (Unix seconds) at the latest."""

    number: int
    entries: int
    hash: str
    height: int
    time_s: int


class Verified(NamedTuple):
    """The outcome. `problems` is empty for a log that is good; `first_bad` is the number of the first entry that is wrong, or 0.

    `torn` is an end that is no line: the node sets it aside at its next entry, and it was promised to nobody.
    `anchored` is up to which entry the chain confirms it, `set_back` how often the clock went backwards.
    """

    log: str
    first: int
    head: Head
    is_cut: bool
    problems: tuple[str, ...]
    first_bad: int
    anchors: int
    anchored: int
    set_back: int
    begins_ns: int
    ends_ns: int
    torn: int = 0

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        return {
            "good": not self.problems,
            "log": self.log,
            "is_cut": self.is_cut,
            "first": str(self.first),
            "entries": str(self.head.entries),
            "head": self.head.hash,
            "begins": format_time(self.begins_ns) if self.begins_ns else "",
            "ends": format_time(self.ends_ns) if self.ends_ns else "",
            "torn_bytes": self.torn,
            "problems": list(self.problems),
            "first_bad": str(self.first_bad) if self.first_bad else "",
            "anchors_checked": self.anchors,
            "anchored_entries": str(self.anchored),
            "clock_set_back": self.set_back,
        }


def read_log_name(path: Path) -> str:
    """The name under which a log, or the log that a cut is of, is anchored. Raises `ConfigError`, `AuditLogDamagedError`."""
    with open_log(path) as file:
        cut = read_cut(file)
        if cut is not None:
            return cut[0].log
        first = next(read_lines(file), b"")
        return log_name(Checker().take(first)) if first else ""


def find_problem(path: Path, *, is_deep: bool) -> str:
    """What is wrong with a home's log, or nothing: its end, and with `is_deep` all of it. No log is none that is wrong."""
    if not path.exists():
        return ""
    try:
        if is_deep:
            return next(iter(verify(path).problems), "")
        note = read_note(path)
        with open_log(path) as file:
            size = os.fstat(file.fileno()).st_size
            if note is None:
                return f"{note_path(path)}, the note of the last entry, is missing or cannot be read" if size else ""
            if size < note.size:
                return f"the end of {path} is missing: it had {note.head.entries} entries"
            last = read_line(next(read_backwards(file, note.size), b""), note.head.entries) if note.size else None
    except QenexError as error:
        return error.message
    is_same = last is None or Head(last.number, last.hash) == note.head
    return "" if is_same else f"entry {note.head.entries} of {path} is not the one that was written there"


def verify(
    path: Path, anchors: Sequence[Anchor] = (), progress: Progress = lambda done, size: None, *, needs_note: bool = True
) -> Verified:
    """Read a log or a cut from beginning to end. `anchors` are of this very log, in their order.

    A log in its home has the note of its last entry; a copy of one need not, if `needs_note` is False.

    Raises `ConfigError` if there is no file, `AuditLogUnavailableError` if it cannot be read; what is wrong with it is in the answer.
    """
    note = None
    with open_log(path) as file:
        size = os.fstat(file.fileno()).st_size
        problems: list[str] = []
        head, lines = None, read_lines(file)
        try:
            found = read_cut(file)
        except AuditLogDamagedError as error:
            return _failed(error.message)
        if found is None:
            note = read_note(path)
            if note is None and size and needs_note:
                problems.append(f"{note_path(path)}, the note of the last entry, is missing or cannot be read")
            file.seek(0)
        else:
            head, lines = found
        work = _Pass(head, note, anchors)
        try:
            for done, line in _counted(lines):
                work.take(line, is_last=done >= size)
                progress(min(done, size), size)
            work.end()
        except AuditLogDamagedError as error:
            problems.insert(0, error.message)
            return work.result(problems, first_bad=work.checker.head.entries + 1)
    bad = work.bad
    return work.result([*work.problems, *problems], first_bad=bad)


def _failed(problem: str) -> Verified:
    return Verified("", 0, Head(), True, (problem,), 0, 0, 0, 0, 0, 0)


def _counted(lines: Iterator[bytes]) -> Iterator[tuple[int, bytes]]:
    done = 0
    for line in lines:
        done += len(line)
        yield done, line


class _Pass:
    """One pass over the lines."""

    def __init__(self, cut: CutHead | None, note: Note | None, anchors: Sequence[Anchor]) -> None:
        self.checker = Checker(None if cut is None else Head(cut.first - 1, cut.previous))
        self.problems: list[str] = []
        self.bad = 0
        self.torn = 0  # bytes of an end that is no line: being written now, or when the machine stopped
        self._cut = cut
        self._note = note
        self._anchors = {anchor.entries: anchor for anchor in anchors}
        self._checked: list[int] = []
        if cut is not None and cut.first > 1:
            self._compare(Head(cut.first - 1, cut.previous))

    def take(self, line: bytes, *, is_last: bool) -> None:
        """One line. Raises `AuditLogDamagedError`."""
        if line[-1:] != b"\n" and is_last and self._cut is None:
            self.torn = len(line)
            return
        self.checker.take(line)
        head = self.checker.head
        if self._note is not None and head.entries == self._note.head.entries and head != self._note.head:
            self._report(head.entries, f"entry {head.entries} is not the one that was last when it was written: the log was written anew")
        self._compare(head)

    def _compare(self, head: Head) -> None:
        anchor = self._anchors.get(head.entries)
        if anchor is None:
            return
        self._checked.append(head.entries)
        if anchor.hash != head.hash:
            since = max((entries for entries in self._checked[:-1]), default=0)
            self._report(
                since + 1,
                f"entry {head.entries} is not the one that was anchored in block {anchor.height} ({format_time(anchor.time_s * 10**9)}): "
                f"entries {since + 1} to {head.entries} were written anew",
            )
            self._checked.pop()

    def _report(self, number: int, problem: str) -> None:
        self.bad = self.bad or number
        self.problems.append(problem)

    def end(self) -> None:
        """What can only be said when all was read."""
        head = self.checker.head
        if self.torn and self._note is None:
            self._report(head.entries + 1, f"entry {head.entries + 1} is cut off")
        if self._note is not None and head.entries < self._note.head.entries:
            self._report(head.entries + 1, f"the end is missing: the log had {self._note.head.entries} entries, here are {head.entries}")
        if self._cut is not None:
            if head != Head(self._cut.last, self._cut.last_hash):
                self._report(head.entries + 1, f"the cut ends with entry {head.entries}, and says that it ends with {self._cut.last}")
            first = self.checker.first
            if first is None or first.hash != self._cut.first_hash or self._cut.entries != self._cut.last - self._cut.first + 1:
                self._report(self._cut.first, "the cut is not what its head says")
            return
        missing = [anchor for anchor in self._anchors.values() if anchor.entries > head.entries]
        if missing:
            last = max(missing, key=lambda anchor: anchor.entries)
            self._report(
                head.entries + 1,
                f"the end is missing: {last.entries} entries were anchored in block {last.height}, here are {head.entries}",
            )

    def result(self, problems: Sequence[str], first_bad: int) -> Verified:
        """The outcome."""
        checker, cut = self.checker, self._cut
        first, last = checker.first, checker.last
        name = cut.log if cut is not None else "" if first is None else log_name(first)
        return Verified(
            log=name,
            first=1 if cut is None else cut.first,
            head=checker.head,
            is_cut=cut is not None,
            problems=tuple(problems),
            first_bad=first_bad,
            anchors=len(self._checked),
            anchored=max(self._checked, default=0),
            set_back=checker.set_back,
            begins_ns=0 if first is None else first.time_ns,
            ends_ns=0 if last is None else last.time_ns,
            torn=self.torn,
        )
