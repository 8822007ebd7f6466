"""A node's disk in a simulation: a database in memory, a log whose writes may tear, a signer's record; and the moments to kill it at.

`Disk` outlives its node. Each write of each kind asks it first, so a kill can come before, after or, for the log, in the middle of any
write. The log itself is the production `Wal` on real files; the database stands in for LevelDB, whose batches are whole or absent.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, cast

from node.signer import Signer, SignerRecord, SignRequest
from node.simulator.keys import SimKeys
from node.storage.leveldb import Snapshot
from node.wal import Wal
from state.primitives.errors import ConsensusLogError, StorageError
from state.primitives.keys import PrivateKey

KILL_BEFORE: Final = "before"
KILL_AFTER: Final = "after"
KILL_TORN: Final = "torn"
FULL: Final = "full"


class Killed(BaseException):
    """The process ends here, as by SIGKILL: nothing of the node may catch it."""


class MemorySnapshot:
    """See `node.storage.leveldb.Snapshot`: a copy."""

    def __init__(self, rows: Mapping[bytes, bytes]) -> None:
        self._rows = dict(sorted(rows.items()))

    def get(self, key: bytes) -> bytes | None:
        """See `Snapshot`."""
        return self._rows.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False, values: bool = True
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `Snapshot`."""
        found = [(key, value if values else b"") for key, value in self._rows.items() if start <= key < stop]
        return iter(found[::-1] if reverse else found)

    def scan_ranges(self, ranges: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        """See `Snapshot`."""
        return (row for start, stop in ranges for row in self.scan(start, stop))

    def size_of(self, start: bytes, stop: bytes) -> int:
        """See `Snapshot`."""
        return sum(len(key) + len(value) for key, value in self.scan(start, stop))

    def close(self) -> None:
        """See `Snapshot`."""
        self._rows = {}


class MemoryDatabase:
    """See `node.storage.leveldb.Database`: rows in a dictionary, every batch whole."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._failed = False

    def get(self, key: bytes) -> bytes | None:
        """See `Database`."""
        self._check()
        return self._disk.rows.get(key)

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False, values: bool = True
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `Database`."""
        self._check()
        rows, keys = self._disk.rows, self._disk.sorted_keys()
        found = keys[bisect_left(keys, start) : bisect_left(keys, stop)]
        for key in found[::-1] if reverse else found:
            yield key, rows[key] if values else b""

    def scan_ranges(
        self, ranges: Iterable[tuple[bytes, bytes]], *, rows_max: int = 0
    ) -> Iterator[list[tuple[bytes, bytes]]]:
        """See `Database`."""
        for start, stop in ranges:
            found = list(self.scan(start, stop))
            yield found[:rows_max] if rows_max else found

    def write(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """See `Database`."""
        self._check()
        fate = self._disk.fate("database")
        if fate == FULL:
            self._failed = True
            raise StorageError("the simulated disk is full")
        if fate in (KILL_BEFORE, KILL_TORN):
            raise Killed
        self._disk.apply(rows)
        if fate == KILL_AFTER:
            raise Killed

    def write_unsynced(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """See `Database`."""
        self.write(rows)

    def compact(self, start: bytes, stop: bytes) -> None:
        """See `Database`."""

    def snapshot(self, *, fill_cache: bool = True) -> Snapshot:
        """See `Database`."""
        self._check()
        return MemorySnapshot(self._disk.rows)

    def poison(self) -> None:
        """See `Database`."""
        self._failed = True

    def close(self) -> None:
        """See `Database`."""
        self._failed = True

    def _check(self) -> None:
        if self._failed:
            raise StorageError("the database is closed or failed before")


class Disk:
    """What a node leaves behind. `fate` says what becomes of the next write; a node without faults answers "" always."""

    def __init__(self, folder: Path, keys: SimKeys, index: int, chain_id: bytes) -> None:
        self.folder = folder
        self.rows: dict[bytes, bytes] = {}
        self.record = SignerRecord(chain_id, keys.validators.validators[index].address)
        self.fate: Callable[[str], str] = _no_fault
        self._keys: list[bytes] = []
        self._is_sorted = True

    def apply(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """One batch."""
        for key, value in rows:
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value
        self._is_sorted = False

    def sorted_keys(self) -> list[bytes]:
        """Every key, in order."""
        if not self._is_sorted:
            self._keys = sorted(self.rows)
            self._is_sorted = True
        return self._keys

    def lose_log(self) -> None:
        """The folder of the log is gone."""
        for path in self.folder.glob("wal/*"):
            path.unlink()

    def flip_log_bit(self, draw: Callable[[int], int]) -> bool:
        """One bit of the log's file is another; False if there is no log."""
        for path in sorted(self.folder.glob("wal/*.log")):
            data = bytearray(path.read_bytes())
            if data:
                place = draw(len(data) * 8)
                data[place // 8] ^= 1 << place % 8
                path.write_bytes(data)
                return True
        return False


def _no_fault(_what: str) -> str:
    return ""


class SimWal(Wal):
    """The production log, killed where its disk says so."""

    disk: Disk

    def sync(self) -> None:
        """See `Wal`."""
        if not self.pending_count:
            return
        fate = self.disk.fate("log")
        if fate == FULL:
            raise ConsensusLogError("the simulated disk is full")
        if fate == KILL_BEFORE:
            raise Killed
        before = self.path.stat().st_size if self.path.exists() else 0
        super().sync()
        if fate == KILL_TORN:
            size = self.path.stat().st_size
            os.truncate(self.path, before + (size - before) // 2)
        if fate in (KILL_AFTER, KILL_TORN):
            raise Killed


class SimSigner(Signer):
    """The production signer, its record on a simulated disk. `on_signed` hears of every signature that leaves it."""

    def __init__(self, keys: SimKeys, index: int, disk: Disk, on_signed: Callable[[SignRequest, bytes], None]) -> None:
        key, pq_key = keys.pair(index)
        super().__init__(disk.folder / "signer", -1, cast(PrivateKey, key), cast(PrivateKey, pq_key), disk.record)
        self._disk = disk
        self._on_signed = on_signed

    def sign(self, request: SignRequest) -> tuple[bytes, bytes]:
        """See `Signer`."""
        signatures = super().sign(request)
        self._on_signed(request, signatures[1])
        return signatures

    def _write(self, record: SignerRecord) -> None:
        fate = self._disk.fate("record")
        if fate == FULL:
            raise OSError(28, "no space left on device")
        if fate in (KILL_BEFORE, KILL_TORN):  # two slots: the record is the old one or the new one
            raise Killed
        self._disk.record = record
        if fate == KILL_AFTER:
            raise Killed
