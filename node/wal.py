"""The consensus log: what the core did in the height in progress, so that a restarted node is the same node.

One file for each height, `<20 digits>.log`, in `HOME/data/wal`. It is created by the first durable write of its height and
deleted once the next height is durable in the store, so it needs no repair tool and never grows past one height.

Layout: frames of `length u32 | crc32(length) u32 | crc32(payload) u32 | payload`, big-endian. The payload is a canonical array of
entries (opaque bytes of `consensus.replay`); the first frame of a file is its title `[version, chain id, height, damaged]`.
`append` only collects; `sync` writes everything collected as one frame and waits for the disk. So at any instant at most one
frame, the last, can be torn, and nothing in a torn frame can have been acted on.

What a reader accepts (consensus.md J8): a torn last frame is cut off silently. Anything else is damage: the file is set aside
under `*.damaged-<n>` for inspection, the log of that height starts again with the mark `damaged`, and the node does not
sign in that height (the mark survives restarts). A log shorter than the signer's record says it was when a signature was given
(`signed_position`) is damage too, also when every frame in it is whole: its end was lost.

No decision about signing and no knowledge of entries may go in here. Any error of the disk is final: the handle refuses all
further use, because after a failed fsync nobody knows what is on the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from zlib import crc32

from node.files import APPEND, CREATE, MACHINE, Files
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import ConsensusLogError, MalformedError
from state.primitives.limits import WAL_ENTRY_BYTES_MAX, WAL_FRAME_BYTES_MAX

VERSION: Final = 1
SUFFIX: Final = ".log"
_HEADER: Final = 12  # length, crc of the length, crc of the payload
_FLUSH_BYTES: Final = WAL_FRAME_BYTES_MAX - WAL_ENTRY_BYTES_MAX - 1024  # the next entry always fits


class Wal:
    """The log of one height at a time, open for appending. Made by `Wal.open`; single owner, not thread-safe.

    `entries` are what the file held at opening, for replay; `damaged` says that they are not all that there was, and is then
    empty. `position` is the durable length of the file in bytes: what the signer's record should remember.
    """

    def __init__(self, directory: Path, chain_id: bytes, height: int, files: Files = MACHINE) -> None:
        self.directory = directory
        self.chain_id = chain_id
        self.height = height
        self.damaged = False
        self.entries: tuple[bytes, ...] = ()
        self.position = 0
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._descriptor = -1
        self._failed = False
        self._files = files

    @classmethod
    def open(
        cls, directory: Path, chain_id: bytes, height: int, *, signed_position: int = 0, files: Files = MACHINE
    ) -> Wal:
        """Open the log for `height`, the one after the last height in the store; `directory` is made if missing.

        `signed_position` is the `position` at which the signer last signed in this height, 0 if it did not.
        Raises `ConsensusLogError` if the disk fails or the log belongs to another chain.
        """
        wal = cls(directory, chain_id, height, files)
        try:
            files.make_folder(directory)
            wal._read(signed_position)
        except OSError as error:
            raise wal._failure("open", error) from error
        return wal

    @property
    def path(self) -> Path:
        """The file of the height in progress; it may not exist yet."""
        return self.directory / f"{self.height:020d}{SUFFIX}"

    @property
    def pending_count(self) -> int:
        """Entries appended and not yet durable."""
        return len(self._pending)

    def append(self, entry: bytes) -> None:
        """Add an entry to the next frame. Not durable before `sync`; very large collections are written out at once."""
        if len(entry) > WAL_ENTRY_BYTES_MAX:
            raise ConsensusLogError(f"a log entry of {len(entry)} bytes; at most {WAL_ENTRY_BYTES_MAX} are allowed")
        if self._pending_bytes + len(entry) > _FLUSH_BYTES:
            self.sync()
        self._pending.append(entry)
        self._pending_bytes += len(entry) + 5

    def sync(self) -> None:
        """Make every appended entry durable. Nothing to do costs nothing. Blocks for as long as the disk takes."""
        if self._failed:
            raise self._failure("use after an error", None)
        if not self._pending:
            return
        frame = _frame(encode_trusted(self._pending))
        try:
            created = self._descriptor < 0
            if created:
                self._create(damaged=self.damaged)
            self._files.write(self._descriptor, frame)
            self._files.sync_data(self._descriptor)
            if created:
                self._files.sync_folder(self.directory)
        except OSError as error:
            raise self._failure("write", error) from error
        self.position += len(frame)
        self._pending.clear()
        self._pending_bytes = 0

    def start_height(self, height: int) -> None:
        """Begin the log of `height`, after the one before is durable in the store; the older log is deleted.

        Entries that were not yet durable are dropped with it: their height is decided.
        """
        if self._failed:
            raise self._failure("use after an error", None)
        if height <= self.height:
            raise ConsensusLogError(f"the log cannot go back from height {self.height} to {height}")
        try:
            self._close_descriptor()
            self._files.remove(self.path)
            self.height = height
            self.damaged = False
            self.entries = ()
            self.position = 0
            self._pending.clear()
            self._pending_bytes = 0
            if self._files.exists(self.path):  # the store went back in time; what was logged then is not ours to extend
                self._set_aside()
        except OSError as error:
            raise self._failure("rotate", error) from error

    def take_entries(self) -> tuple[bytes, ...]:
        """What the file held at opening; afterwards they are forgotten, since a height may log many blocks."""
        entries, self.entries = self.entries, ()
        return entries

    def abandon(self) -> None:
        """Set this height's log aside and begin it again marked as damaged: its entries are whole, but not to be continued."""
        if self._failed:
            raise self._failure("use after an error", None)
        self.entries = ()
        self._pending.clear()
        self._pending_bytes = 0
        try:
            self._close_descriptor()
            self._restart_damaged()
        except OSError as error:
            raise self._failure("set aside", error) from error

    def close(self) -> None:
        """Release the file. What was not synced is lost, as in a crash."""
        self._failed = True
        self._close_descriptor()

    # reading

    def _read(self, signed_position: int) -> None:
        for name in self._files.names(self.directory):
            if name.endswith(SUFFIX) and name < self.path.name:
                self._files.remove(self.directory / name)
        if not self._files.exists(self.path):
            if signed_position > 0:
                self._restart_damaged()
            return
        data = self._files.read(self.path)
        entries, length, intact = read_frames(data)
        title = self._check_title(entries[0]) if entries else None
        if title is True or not intact or length < signed_position or (title is None and entries):
            self._restart_damaged()
            return
        if not entries:  # torn while it was being created
            self._files.remove(self.path)
            return
        self._descriptor = self._files.open(self.path, APPEND)
        if length < len(data):
            self._files.truncate(self._descriptor, length)
            self._files.sync(self._descriptor)
        self.entries = tuple(entry for frame in entries[1:] for entry in frame)
        self.position = length

    def _check_title(self, frame: Sequence[Value]) -> bool | None:
        """The damaged mark of the first frame; None if it is no title of ours."""
        if len(frame) != 4 or frame[0] != VERSION or frame[2] != self.height or type(frame[3]) is not bool:
            return None
        if frame[1] != self.chain_id:
            raise ConsensusLogError(
                f"{self.path} belongs to another chain",
                hint="this data directory was mixed up with another network's; restore the right one",
            )
        return frame[3]

    def _restart_damaged(self) -> None:
        if self._files.exists(self.path):
            self._set_aside()
        self.damaged = True
        self._create(damaged=True)
        self._files.sync_data(self._descriptor)
        self._files.sync_folder(self.directory)

    def _set_aside(self) -> None:
        number = 1
        while self._files.exists(aside := self.path.with_name(f"{self.path.name}.damaged-{number}")):
            number += 1
        self._files.rename(self.path, aside)
        self._files.sync_folder(self.directory)

    # writing

    def _create(self, *, damaged: bool) -> None:
        self._descriptor = self._files.open(self.path, APPEND | CREATE)
        title = _frame(encode_trusted([VERSION, self.chain_id, self.height, damaged]))
        self._files.write(self._descriptor, title)
        self.position = len(title)

    def _close_descriptor(self) -> None:
        if self._descriptor >= 0:
            self._files.close(self._descriptor)
            self._descriptor = -1

    def _failure(self, action: str, error: OSError | None) -> ConsensusLogError:
        self._failed = True
        reason = error.strerror or str(error) if error else "the log is closed"
        return ConsensusLogError(
            f"consensus log {self.path}: cannot {action}: {reason}",
            hint="check the disk and its free space, then start the node again",
        )


def read_frames(data: bytes) -> tuple[list[tuple[Value, ...]], int, bool]:
    """(payloads of the whole frames at the start of `data`, their length in bytes, intact).

    `intact` is true if what follows them is nothing, or can only be the remains of one torn write. Never raises.
    """
    payloads: list[tuple[Value, ...]] = []
    offset = 0
    while offset < len(data):
        header = data[offset : offset + _HEADER]
        if len(header) < _HEADER:
            return payloads, offset, True
        size = int.from_bytes(header[:4], "big")
        if crc32(header[:4]) != int.from_bytes(header[4:8], "big"):
            # a file may grow before its bytes arrive; then all of the rest is zero
            return payloads, offset, not any(data[offset:])
        if size > WAL_FRAME_BYTES_MAX:
            return payloads, offset, False
        end = offset + _HEADER + size
        payload = data[offset + _HEADER : end]
        if end > len(data) or crc32(payload) != int.from_bytes(header[8:12], "big"):
            return payloads, offset, end >= len(data)
        try:
            value = decode(payload, bytes_max=WAL_FRAME_BYTES_MAX)
        except MalformedError:
            return payloads, offset, False
        if type(value) is not tuple or (offset > 0 and not all(type(entry) is bytes for entry in value)):
            return payloads, offset, False
        payloads.append(value)
        offset = end
    return payloads, offset, True


def _frame(payload: bytes) -> bytes:
    size = len(payload).to_bytes(4, "big")
    return size + crc32(size).to_bytes(4, "big") + crc32(payload).to_bytes(4, "big") + payload
