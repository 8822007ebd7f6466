"""LevelDB behind a small protocol: the only file that knows plyvel.

Every read verifies checksums and the store is opened with paranoid checks: with LevelDB's defaults a flipped bit gave a silently
wrong value. After any error the handle is poisoned and every later call raises, because LevelDB goes on acknowledging writes
after a full disk and then loses them. Rows, batches and prefixes only; what they mean is `store.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import plyvel

from state.primitives.errors import StorageCorruptError, StorageError

MIB = 1024 * 1024
_TABLE_BYTES = 2 * MIB  # LevelDB's files; it maps the open ones into memory, where they count as ours
_OTHER_FILES = 10  # that LevelDB keeps open beside its tables
_TABLES_MIN = 64  # what LevelDB itself insists on
# A closed handle raises RuntimeError, which a reader that is still iterating meets
_FAILURES = (plyvel.Error, OSError, RuntimeError)


class Snapshot(Protocol):
    """The rows of a database as they were at one moment, whatever is written meanwhile; may be read in another thread.

    Errors are `StorageError` and `StorageCorruptError`. A snapshot keeps what was deleted since on the disk: close it soon.
    """

    def get(self, key: bytes) -> bytes | None:
        """The row's value, checksum verified, or None."""
        ...

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False, values: bool = True
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop in order; without `values` each value is empty."""
        ...

    def scan_ranges(self, ranges: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        """The rows of each range (start, stop), ascending, one after the other, with one iterator for all."""
        ...

    def size_of(self, start: bytes, stop: bytes) -> int:
        """About how many bytes these rows take on the disk now, compressed; what is not in a table yet counts nothing."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Database(Protocol):
    """Ordered rows of bytes. Errors are `StorageError` and `StorageCorruptError`, and final."""

    def get(self, key: bytes) -> bytes | None:
        """The row's value, checksum verified, or None."""
        ...

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False, values: bool = True
    ) -> Iterator[tuple[bytes, bytes]]:
        """Rows with start <= key < stop in order, on a snapshot of now; without `values` each value is empty."""
        ...

    def scan_ranges(
        self, ranges: Iterable[tuple[bytes, bytes]], *, rows_max: int = 0
    ) -> Iterator[list[tuple[bytes, bytes]]]:
        """For each range (start, stop), ascending, its rows, or its first `rows_max`: one iterator for all, half the cost of `scan`."""
        ...

    def write(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """All rows at once (None deletes), durable on return."""
        ...

    def write_unsynced(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """As `write`, but durable only with the next `write`: for bulk loading."""
        ...

    def compact(self, start: bytes, stop: bytes) -> None:
        """Give deleted rows' space back; may take long."""
        ...

    def snapshot(self, *, fill_cache: bool = True) -> Snapshot:
        """All rows as they are now. Who reads everything once does not fill the cache: it holds what the others need."""
        ...

    def poison(self) -> None:
        """Refuse every later call: something beside the database failed, and nothing may be written after that."""
        ...

    def close(self) -> None:
        """Release the folder."""
        ...


class LevelDb:
    """The real one.

    `cache_bytes` bounds the uncompressed blocks kept, `tables_bytes_max` the files kept mapped: reading beyond those costs a file's
    opening, about 30 us, and more of them is resident memory.
    """

    def __init__(
        self, path: Path, *, cache_bytes: int = 32 * MIB, tables_bytes_max: int = 192 * MIB, create: bool = False
    ) -> None:
        self.path = path
        self._failed = False
        try:
            self._db = plyvel.DB(
                str(path),
                create_if_missing=create,
                error_if_exists=create,
                paranoid_checks=True,
                lru_cache_size=cache_bytes,
                write_buffer_size=16 * MIB,
                max_open_files=max(_TABLES_MIN, tables_bytes_max // _TABLE_BYTES) + _OTHER_FILES,
                bloom_filter_bits=10,
            )
        except plyvel.Error as error:
            raise _open_error(path, error) from error

    def get(self, key: bytes) -> bytes | None:
        """See `Database`."""
        self._check()
        try:
            return self._db.get(key, verify_checksums=True)  # type: ignore[no-any-return]
        except _FAILURES as error:
            raise self._poison("read", error) from error

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False, values: bool = True
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `Database`."""
        self._check()
        try:
            with self._db.iterator(
                start=start, stop=stop, reverse=reverse, include_value=values, verify_checksums=True
            ) as rows:
                if values:
                    yield from rows
                else:
                    for key in rows:
                        yield key, b""
        except _FAILURES as error:
            raise self._poison("read", error) from error

    def scan_ranges(
        self, ranges: Iterable[tuple[bytes, bytes]], *, rows_max: int = 0
    ) -> Iterator[list[tuple[bytes, bytes]]]:
        """See `Database`."""
        self._check()
        try:
            with self._db.raw_iterator(verify_checksums=True) as place:
                for start, stop in ranges:
                    rows: list[tuple[bytes, bytes]] = []
                    place.seek(start)
                    while place.valid() and (not rows_max or len(rows) < rows_max):
                        key = place.key()
                        if key >= stop:
                            break
                        rows.append((key, place.value()))
                        place.next()
                    yield rows
        except _FAILURES as error:
            raise self._poison("read", error) from error

    def write(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """See `Database`."""
        self._write(rows, sync=True)

    def write_unsynced(self, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """See `Database`."""
        self._write(rows, sync=False)

    def compact(self, start: bytes, stop: bytes) -> None:
        """See `Database`."""
        self._check()
        try:
            self._db.compact_range(start=start, stop=stop)
        except _FAILURES as error:
            raise self._poison("compact", error) from error

    def snapshot(self, *, fill_cache: bool = True) -> Snapshot:
        """See `Database`."""
        self._check()
        return _LevelDbSnapshot(self.path, self._db.snapshot(), self._db, fill_cache)

    def poison(self) -> None:
        """See `Database`."""
        self._failed = True

    def close(self) -> None:
        """See `Database`."""
        self._failed = True
        self._db.close()

    def _write(self, rows: Sequence[tuple[bytes, bytes | None]], *, sync: bool) -> None:
        self._check()
        try:
            with self._db.write_batch(sync=sync, transaction=True) as batch:
                put, delete = batch.put, batch.delete
                for key, value in rows:
                    if value is None:
                        delete(key)
                    else:
                        put(key, value)
        except _FAILURES as error:
            raise self._poison("write", error) from error

    def _check(self) -> None:
        if self._failed:
            raise StorageError("the database is closed or failed before", hint="start the node again")

    def _poison(self, action: str, error: Exception) -> StorageError | StorageCorruptError:
        self._failed = True
        return _failure(self.path, action, error)


class _LevelDbSnapshot:
    """See `Snapshot`. It poisons nothing: what only reads history may fail without ending the node."""

    def __init__(self, path: Path, snapshot: Any, db: Any, fill_cache: bool) -> None:
        self._path = path
        self._fill_cache = fill_cache
        self._snapshot = snapshot
        self._db = db

    def get(self, key: bytes) -> bytes | None:
        """See `Snapshot`."""
        try:
            return self._snapshot.get(key, verify_checksums=True, fill_cache=self._fill_cache)  # type: ignore[no-any-return]
        except _FAILURES as error:
            raise _failure(self._path, "read", error) from error

    def scan(
        self, start: bytes, stop: bytes, *, reverse: bool = False, values: bool = True
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `Snapshot`."""
        try:
            with self._snapshot.iterator(
                start=start, stop=stop, reverse=reverse, include_value=values, verify_checksums=True, fill_cache=self._fill_cache
            ) as rows:
                if values:
                    yield from rows
                else:
                    for key in rows:
                        yield key, b""
        except _FAILURES as error:
            raise _failure(self._path, "read", error) from error

    def scan_ranges(self, ranges: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        """See `Snapshot`."""
        try:
            with self._snapshot.raw_iterator(verify_checksums=True) as place:
                for start, stop in ranges:
                    place.seek(start)
                    while place.valid() and (key := place.key()) < stop:
                        yield key, place.value()
                        place.next()
        except _FAILURES as error:
            raise _failure(self._path, "read", error) from error

    def size_of(self, start: bytes, stop: bytes) -> int:
        """See `Snapshot`."""
        try:
            return self._db.approximate_size(start, stop)  # type: ignore[no-any-return]
        except _FAILURES as error:
            raise _failure(self._path, "read", error) from error

    def close(self) -> None:
        """See `Snapshot`."""
        self._snapshot.close()


def _say(error: Exception) -> str:
    """LevelDB's words; plyvel hands on their bytes."""
    words = error.args[0] if error.args else ""
    return words.decode("utf-8", "backslashreplace") if isinstance(words, bytes) else str(error)


def _failure(path: Path, action: str, error: Exception) -> StorageError | StorageCorruptError:
    if isinstance(error, plyvel.CorruptionError):
        return StorageCorruptError(
            f"the database in {path} is damaged: {_say(error)}",
            hint="restore it from a snapshot, or empty the data folder's db and let the node catch up again",
        )
    return StorageError(
        f"the database in {path} cannot {action}: {_say(error)}",
        hint="check the disk and its free space, then start the node again",
    )


def _open_error(path: Path, error: Exception) -> StorageError | StorageCorruptError:
    text = _say(error)
    if "LOCK" in text and ("already held" in text or "temporarily unavailable" in text):
        return StorageError(
            f"the database in {path} is in use by another process", hint="stop the other node of this home first"
        )
    if isinstance(error, plyvel.CorruptionError):
        return StorageCorruptError(
            f"the database in {path} is damaged: {text}",
            hint="restore it from a snapshot, or empty the data folder's db and let the node catch up again",
        )
    if "does not exist" in text:
        hint = "is its disk mounted? an empty folder that never held one may be deleted"
        return StorageError(f"there is no database in {path}", hint=hint)
    return StorageError(
        f"the database in {path} cannot be opened: {text}", hint="check the folder's owner and the disk"
    )
