"""What the index needs of a database, and SQLite as such: the only file that knows `sqlite3`.

SQL is written once, with `?` for values, in what SQLite and PostgreSQL both understand. Errors become `IndexUnavailableError` (try again:
a full disk, a lock, a server that is away) or `IndexDamagedError` (make it again). One owner at a time; any thread.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from node.indexer.schema import FORMAT, TABLES, columns_of, statements
from state.primitives.errors import IndexDamagedError, IndexUnavailableError

REINDEX: Final = "make it again with: qenex reindex"
QUERY_S_MAX: Final = 5.0  # of one question; a reader that asks for more must narrow it
_STEPS_AT_ONCE: Final = 20_000  # of SQLite's machine between two looks at the clock: under a millisecond
_BUSY_MS: Final = 5_000
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)

Row = tuple[Any, ...]


class IndexDatabase(Protocol):
    """Tables of `node.indexer.schema`."""

    name: str

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Run one statement; what it answers."""
        ...

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """As `execute`, row by row: for answers that may be larger than memory."""
        ...

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """Add rows with all columns of a table."""
        ...

    def put(self, table: str, rows: Iterable[Row]) -> None:
        """As `insert`, replacing rows with the same key: for `meta` and `holdings`."""
        ...

    def transaction(self) -> Any:
        """A context: everything within becomes durable together at its end, or nothing does."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class SqliteIndex:
    """A file beside the chain's database. `pages_max` bounds its size, for tests of full disks.

    A question to a `read_only` one ends after `QUERY_S_MAX`, unless it is `unhurried`.
    """

    name = "sqlite"

    def __init__(self, path: Path, *, read_only: bool = False, unhurried: bool = False, pages_max: int = 0) -> None:
        self.path = path
        self._unhurried = unhurried or not read_only
        self._deadline = float("inf")
        with self._errors():
            if read_only:
                self._db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
                self._db.set_progress_handler(self._is_late, _STEPS_AT_ONCE)
            else:
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
            self._db.execute("PRAGMA cache_size = -32768")  # KiB
            if not read_only:
                self._db.execute("PRAGMA journal_mode = WAL")  # readers and the writer do not wait for each other
                self._db.execute("PRAGMA synchronous = NORMAL")  # a power cut may cost the last batches: they come again from the store
                self._db.execute("PRAGMA journal_size_limit = 67108864")
                if pages_max:
                    self._db.execute(f"PRAGMA max_page_count = {pages_max}")
                for statement in statements(blob="BLOB", table_tail=" WITHOUT ROWID"):
                    self._db.execute(statement)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """See `IndexDatabase`."""
        with self._errors():
            return self._db.execute(sql, values).fetchall()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """See `IndexDatabase`."""
        with self._errors():
            yield from self._db.execute(sql, values)

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """See `IndexDatabase`."""
        self._add("INSERT", table, rows)

    def put(self, table: str, rows: Iterable[Row]) -> None:
        """See `IndexDatabase`."""
        self._add("REPLACE", table, rows)

    def _add(self, verb: str, table: str, rows: Iterable[Row]) -> None:
        places = ", ".join("?" * len(columns_of(table)))
        with self._errors():
            self._db.executemany(f"{verb} INTO {table} VALUES ({places})", rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `IndexDatabase`."""
        with self._errors():
            self._deadline = float("inf") if self._unhurried else time.monotonic() + QUERY_S_MAX
            self._db.execute("BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                self._deadline = float("inf")
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    def close(self) -> None:
        """See `IndexDatabase`."""
        self._db.close()

    def _is_late(self) -> bool:
        return time.monotonic() > self._deadline

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _DAMAGED or type(error) is sqlite3.DatabaseError:
                raise IndexDamagedError(f"the index {self.path} is damaged: {error}", hint=REINDEX) from error
            if code == sqlite3.SQLITE_INTERRUPT:
                raise IndexUnavailableError(
                    f"the question takes longer than {QUERY_S_MAX:g} s", hint="ask for a shorter time"
                ) from error
            hint = "check the disk and its free space" if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR) else ""
            raise IndexUnavailableError(f"the index {self.path} cannot be used: {error}", hint=hint) from error


def read_meta(database: IndexDatabase) -> dict[str, str]:
    """What the index says about itself; empty if it is new. Raises `IndexDamagedError` for another format's."""
    found: dict[str, str] = dict(database.execute("SELECT key, value FROM meta"))
    if found and found.get("format") != FORMAT:
        raise IndexDamagedError(f"the index has format {found.get('format')}, this version writes {FORMAT}", hint=REINDEX)
    return found


def clear(database: IndexDatabase) -> None:
    """Delete everything in it."""
    for table in TABLES:
        database.execute(f"DELETE FROM {table}")


def delete_file(path: Path) -> None:
    """Delete an SQLite index. Raises `IndexUnavailableError`."""
    try:
        for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            name.unlink(missing_ok=True)
    except OSError as error:
        raise IndexUnavailableError(f"cannot delete {path}: {error.strerror}", hint="check the owner of the folder") from error
