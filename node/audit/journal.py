"""The file of the audit log: `HOME/data/audit_log`, one line for each entry, and beside it the note of the last one.

Appending is: take the file's exclusive lock, read what other processes have appended since, write, fsync, note the new head, give the lock
back. So several processes may append, and an entry that was acknowledged is on the disk. The note (`audit_log.head`: entries, hash,
bytes, checksum) is written after the fsync and is never ahead of the log: a log that is behind its note has lost its end. An end without a
line's end was being written when the machine stopped, and was acknowledged to nobody: it is set aside, and that is recorded.

Only ends are looked at here; whether everything before them holds is for `node.audit.verify`. Blocking: a node calls it in a thread.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from node.audit.actions import check_detail, clean_text
from node.audit.chain import Checker, Entry, Head, log_name, make_entry, read_line, write_line
from node.audit.reading import open_log, read_backwards, read_lines
from node.config import Home
from node.keystore import write_private_file
from state.primitives.errors import AuditLogDamagedError, AuditLogUnavailableError, KeyFileError, MalformedError
from state.primitives.hashing import sha256

LOCK_S_MAX: Final = 5.0  # a group of entries is written in milliseconds; who waits longer waits for something that hangs
_LOCK_POLL_S: Final = 0.005
_HEAD_BYTES_MAX: Final = 256
_HINT: Final = "make room or mend the disk; what must be recorded is refused until then"


class Fact(NamedTuple):
    """What is to be recorded, already checked by `make_fact`, and when it was."""

    time_ns: int
    actor: str
    action: str
    detail: dict[str, Any]


def make_fact(actor: str, action: str, detail: Mapping[str, Any], time_ns: int | None = None) -> Fact:
    """Raises `LocalError` for what the table of actions does not have."""
    return Fact(time.time_ns() if time_ns is None else time_ns, clean_text(actor), action, check_detail(action, detail))


class Note(NamedTuple):
    """The head of a log and the length of its file, as the note beside it has them."""

    head: Head
    size: int

    def to_bytes(self) -> bytes:
        """One line with a checksum."""
        text = f"{self.head.entries} {self.head.hash} {self.size}".encode("ascii")
        return text + b" " + sha256(text).hex().encode("ascii") + b"\n"


def note_path(path: Path) -> Path:
    """Where the note of a log lies."""
    return path.with_name(path.name + ".head")


def read_note(path: Path) -> Note | None:
    """The note of a log; None if there is none that can be read. Raises `AuditLogUnavailableError`."""
    try:
        with note_path(path).open("rb") as file:
            data = file.read(_HEAD_BYTES_MAX)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unavailable(note_path(path), error) from error
    parts = data.split()
    if len(parts) != 4 or not (parts[0].isdigit() and parts[2].isdigit()):
        return None
    found = Note(Head(int(parts[0]), parts[1].decode("ascii", "replace")), int(parts[2]))
    return found if found.to_bytes() == data else None


class Journal:
    """One log. Safe for several threads; the lock of the file is for several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.Lock()
        self._descriptor = -1
        self._head = Head()
        self._size = 0
        self._next_ns: int | None = None  # when that happened which is being recorded

    @classmethod
    def open(cls, home: Home) -> Journal:
        """The log of a home, made if it is missing; what was cut off is set aside.

        Raises `AuditLogUnavailableError`, or `AuditLogDamagedError` for an end that is not what was written.
        """
        journal = cls(home.audit_log_file)
        journal.record_facts(())
        return journal

    @property
    def head(self) -> Head:
        """How far the log went when this process last looked."""
        return self._head

    def record(self, actor: str, action: str, **detail: Any) -> Entry:
        """Append one entry; it is durable on return. Raises as `record_facts`."""
        return self.record_facts((make_fact(actor, action, detail),))[0]

    def record_facts(self, facts: Sequence[Fact]) -> list[Entry]:
        """Append entries with one write and one fsync. Raises `AuditLogUnavailableError` (none of them is in the log then),
        `AuditLogDamagedError`.
        """
        with self._turn:
            self._next_ns = facts[0].time_ns if facts else None
            try:
                with self._locked():
                    self._catch_up()
                    return self._append(facts)
            except OSError as error:
                self._forget()
                raise _unavailable(self.path, error) from error
            except (AuditLogDamagedError, AuditLogUnavailableError):
                self._forget()
                raise

    def read_head(self) -> Head:
        """How far the log goes now, other processes' entries included. Raises as `record_facts`."""
        self.record_facts(())
        return self._head

    def renew(self, actor: str, reason: str) -> Entry:
        """Set the log aside as it is, whatever is wrong with it, and begin a new one that names it. Raises as `record_facts`."""
        with self._turn:
            self._next_ns = None
            try:
                with self._locked():
                    old = _describe(self.path)
                    kept = _free_name(self.path, "set-aside")
                    with suppress(FileNotFoundError):
                        os.rename(note_path(self.path), note_path(kept))
                    os.rename(self.path, kept)
                    self._forget()
                with self._locked():
                    return self._begin(actor, {"reason": reason, **old, "kept_as": kept.name})
            except OSError as error:
                self._forget()
                raise _unavailable(self.path, error) from error

    def close(self) -> None:
        """Release the file."""
        with self._turn:
            self._forget()

    # the file

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """The file open and locked, and still the one with the log's name."""
        deadline = time.monotonic() + LOCK_S_MAX
        while True:
            if self._descriptor < 0:
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._descriptor = _open_private(self.path, flags)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AuditLogUnavailableError(
                        f"{self.path} is locked by another process", hint="find who holds it: fuser -v, and end it"
                    ) from None
                time.sleep(_LOCK_POLL_S)
                continue
            if _is_file_at(self._descriptor, self.path):
                break
            self._forget()  # it was set aside meanwhile
        try:
            yield
        finally:
            if self._descriptor >= 0:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _forget(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._head, self._size = -1, Head(), 0

    def _catch_up(self) -> None:
        """Know the end of the file, which others may have appended to."""
        size = os.fstat(self._descriptor).st_size
        if size == self._size and self._size:
            return
        if not self._size:
            self._find_end(size)
            return
        if size < self._size:
            raise _cut(self.path, self._head.entries)
        self._follow(self._size, self._head, size)

    def _find_end(self, size: int) -> None:
        """From nothing: the note says where the last entry begins to be known."""
        note = read_note(self.path)
        if not size and (note is None or not note.head.entries):
            self._begin("node", {"reason": "", "previous_log": "", "previous_entries": 0, "previous_sha256": "", "kept_as": ""})
            return
        if note is None:
            self._follow(0, Head(), size)  # nothing is known of it: it is read from its beginning, once
            self._append((self._make_own_fact("node", "log.head_lost", {"entries": self._head.entries}),))
            return
        if size < note.size:
            raise _cut(self.path, note.head.entries)
        if note.size:
            with open_log(self.path) as file:
                last = next(read_backwards(file, note.size), b"")
            entry = read_line(last, note.head.entries)
            if Head(entry.number, entry.hash) != note.head:
                raise AuditLogDamagedError(
                    f"entry {note.head.entries} of {self.path} is not the one that was written there", hint=_see_verify()
                )
        self._follow(note.size, note.head, size)

    def _follow(self, offset: int, head: Head, size: int) -> None:
        """Read the lines from `offset` to the end; an end that is no line is set aside."""
        checker = Checker(head)
        torn = b""
        with open_log(self.path) as file:
            for line in read_lines(file, offset):
                if line[-1:] != b"\n" and offset + len(line) == size:
                    torn = line
                    break
                try:
                    checker.take(line)
                except AuditLogDamagedError as error:
                    raise AuditLogDamagedError(f"{self.path}: {error.message}", hint=_see_verify()) from None
                offset += len(line)
        self._head, self._size = checker.head, offset
        if torn:
            self._set_aside(torn)

    def _set_aside(self, torn: bytes) -> None:
        kept = _free_name(self.path, "torn")
        try:
            write_private_file(kept, torn)
        except KeyFileError as error:
            raise AuditLogUnavailableError(error.message, hint=_HINT) from error
        os.ftruncate(self._descriptor, self._size)
        os.fsync(self._descriptor)
        self._append((self._make_own_fact("node", "log.torn", {"bytes": len(torn), "sha256": sha256(torn).hex(), "kept_as": kept.name}),))

    def _begin(self, actor: str, detail: dict[str, Any]) -> Entry:
        """The first entry of a new file."""
        self._head, self._size = Head(), 0
        entry = self._append((self._make_own_fact(actor, "log.begin", {"nonce": secrets.token_hex(16), **detail}),))[0]
        _sync_folder(self.path.parent)
        return entry

    def _make_own_fact(self, actor: str, action: str, detail: dict[str, Any]) -> Fact:
        """About the log itself. Not later than what follows it, which has its time already: `verify` would find it too old."""
        now_ns = time.time_ns()
        return make_fact(actor, action, detail, now_ns if self._next_ns is None else min(now_ns, self._next_ns))

    def _append(self, facts: Sequence[Fact]) -> list[Entry]:
        if not facts:
            return []
        entries: list[Entry] = []
        head = self._head
        for fact in facts:
            try:
                entry = make_entry(head, fact.time_ns, fact.actor, fact.action, fact.detail)
            except MalformedError as error:
                raise AuditLogUnavailableError(f"an entry cannot be written: {error.message}") from error
            entries.append(entry)
            head = Head(entry.number, entry.hash)
        data = b"".join(write_line(entry) for entry in entries)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fsync(self._descriptor)
        except OSError:
            self._take_back()
            raise
        self._head, self._size = head, self._size + len(data)
        self._write_note()
        return entries

    def _take_back(self) -> None:
        """A full disk lets a file be made shorter: nothing that was acknowledged to nobody stays."""
        try:
            os.ftruncate(self._descriptor, self._size)
            os.fsync(self._descriptor)
        except OSError:
            return  # the next one to open it finds an end that was cut off, or entries that nobody was promised

    def _write_note(self) -> None:
        """In place, in one call and one sector. After a power failure, or on a disk that takes nothing, it is behind; never ahead."""
        with suppress(OSError):
            self._put_note()

    def _put_note(self) -> None:
        descriptor = os.open(note_path(self.path), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            data = Note(self._head, self._size).to_bytes()
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)


def _open_private(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags, 0o600)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and not status.st_mode & 0o077 and status.st_uid == os.geteuid():
        return descriptor
    os.close(descriptor)
    raise AuditLogUnavailableError(
        f"{path} is not a plain file of this user with mode 0600", hint=f"as the node's user: chmod 600 {path}"
    )


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        there, ours = os.stat(path, follow_symlinks=False), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _free_name(path: Path, kind: str) -> Path:
    return next(found for number in range(1, 1 << 31) if not os.path.lexists(found := path.with_name(f"{path.name}.{kind}-{number}")))


def _describe(path: Path) -> dict[str, Any]:
    """What a new log says of the one that was set aside: its bytes as a whole, and its name if it has one."""
    digest, count, name = hashlib.sha256(), 0, ""
    with open_log(path) as file:
        for line in read_lines(file):
            digest.update(line)
            count += 1
            if count == 1:
                try:
                    name = log_name(read_line(line, 1))
                except AuditLogDamagedError:
                    name = ""
    return {"previous_log": name, "previous_entries": count, "previous_sha256": digest.hexdigest()}


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unavailable(path: Path, error: OSError) -> AuditLogUnavailableError:
    return AuditLogUnavailableError(f"cannot write the audit log {path}: {error.strerror or error}", hint=_HINT)


def _cut(path: Path, entries: int) -> AuditLogDamagedError:
    return AuditLogDamagedError(f"the end of {path} is missing: it had {entries} entries", hint=_see_verify())


def _see_verify() -> str:
    return "qenex audit verify says what is wrong; keep the file, then: qenex audit renew"
