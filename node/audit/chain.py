"""What an entry of the audit log is, how its hash is made, and how a sequence of entries is checked. Pure: no file, no clock.

An entry's hash is over everything in it and over the hash of the entry before it, so a change anywhere changes every later hash:

    hash = SHA-256(msgpack("qenex/audit/1", number, time_ns, actor, action, ((field, value), ...) sorted by field, previous hash))

in the canonical form of `state.primitives.codec`. The first entry follows 32 zero bytes. On disk an entry is one line of JSON in one
spelling only (fields in the order of `Entry`, those of `detail` sorted, no spaces), so a byte that changes no value is found as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from state.primitives.codec import encode_trusted
from state.primitives.errors import AuditLogDamagedError, MalformedError
from state.primitives.hashing import HASH_BYTES, sha256

DOMAIN: Final = "qenex/audit/1"
LINE_BYTES_MAX: Final = 64 * 1024  # a line of the longest texts is half of it; what is longer is no entry
NOTHING: Final = bytes(HASH_BYTES).hex()  # what the first entry follows

Scalar = str | int | bool | None
Detail = Mapping[str, Scalar]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line. `number` counts from 1, `time_ns` is UTC in nanoseconds since 1970; hashes are 64 lower-case hex digits."""

    number: int
    time_ns: int
    actor: str
    action: str
    detail: dict[str, Scalar]
    previous: str
    hash: str


class Head(msgspec.Struct, frozen=True):
    """How far a log goes: how many entries, the hash of the last."""

    entries: int = 0
    hash: str = NOTHING


_encode: Final = msgspec.json.Encoder(order="deterministic").encode
_decode: Final = msgspec.json.Decoder(Entry).decode


def compute_hash(number: int, time_ns: int, actor: str, action: str, detail: Detail, previous: str) -> str:
    """The hash of an entry. Raises `MalformedError` for a value that has no canonical form."""
    try:
        return sha256(
            encode_trusted((DOMAIN, number, time_ns, actor, action, tuple(sorted(detail.items())), bytes.fromhex(previous)))
        ).hex()
    except ValueError as error:
        raise MalformedError(f"the hash of the entry before is no hash: {error}") from error


def make_entry(head: Head, time_ns: int, actor: str, action: str, detail: Detail) -> Entry:
    """The entry that follows `head`. Raises `MalformedError`."""
    number = head.entries + 1
    return Entry(
        number, time_ns, actor, action, dict(detail), head.hash, compute_hash(number, time_ns, actor, action, detail, head.hash)
    )


def write_line(entry: Entry) -> bytes:
    """The line of an entry, with its end."""
    return _encode(entry) + b"\n"


def read_line(line: bytes, number: int = 0) -> Entry:
    """The entry of a line with its end; `number` is for the message. Raises `AuditLogDamagedError` unless it is exactly what was written.

    Whether it follows the one before it is the `Checker`'s to say.
    """
    what = f"entry {number}" if number else "an entry"
    if len(line) > LINE_BYTES_MAX or line[-1:] != b"\n":
        raise AuditLogDamagedError(f"{what} is cut off" if len(line) <= LINE_BYTES_MAX else f"{what} is longer than any entry")
    try:
        entry = _decode(line)
        made = compute_hash(entry.number, entry.time_ns, entry.actor, entry.action, entry.detail, entry.previous)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AuditLogDamagedError(f"{what} cannot be read: {error}") from None
    except MalformedError as error:
        raise AuditLogDamagedError(f"{what} has values that no entry has: {error.message}") from None
    if made != entry.hash:
        raise AuditLogDamagedError(f"{what} was changed: its hash is {made}, it says {entry.hash}")
    if write_line(entry) != line:
        raise AuditLogDamagedError(f"{what} was changed: it is not spelled as it was written")
    return entry


class Checker:
    """Takes the lines of a log one after another and remembers how far it goes. `head` is where the first line follows on."""

    def __init__(self, head: Head | None = None) -> None:
        self.head = head or Head()
        self.first: Entry | None = None
        self.last: Entry | None = None
        self.set_back = 0  # entries that are older than the one before: somebody set the clock back

    def take(self, line: bytes) -> Entry:
        """The next entry. Raises `AuditLogDamagedError`, which names it."""
        number = self.head.entries + 1
        entry = read_line(line, number)
        if entry.number != number:
            kind = "an entry is missing or stands elsewhere" if entry.number > number else "an entry stands here twice, or in a wrong place"
            raise AuditLogDamagedError(f"entry {number} is not here but {entry.number}: {kind}")
        if entry.previous != self.head.hash:
            raise AuditLogDamagedError(f"entry {number} does not follow the one before it: one of them was replaced")
        self.head = Head(number, entry.hash)
        self.set_back += self.last is not None and entry.time_ns < self.last.time_ns
        self.first, self.last = self.first or entry, entry
        return entry


def check_lines(lines: Iterable[bytes], head: Head | None = None) -> Head:
    """How far a sequence of lines goes. Raises `AuditLogDamagedError` at the first that is wrong."""
    checker = Checker(head)
    for line in lines:
        checker.take(line)
    return checker.head


def log_name(first: Entry) -> str:
    """The name under which a log is anchored: made of its first entry, so that another log never has it."""
    return f"audit-{first.hash[:16]}"
