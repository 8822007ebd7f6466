"""PostgreSQL as the index's database: the same tables and questions as in SQLite. The only file that knows `psycopg`.

Rows arrive by COPY, one for each table and batch of blocks. A lock of the server keeps a second writer away: two nodes need two databases.
The package is imported when it is asked for; see docs/index.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from node.indexer.database import QUERY_S_MAX, REINDEX, Row
from node.indexer.schema import TABLES, columns_of, statements
from state.primitives.errors import ConfigError, IndexDamagedError, IndexUnavailableError

_CONNECT_S: Final = 5
_LOCK_MS: Final = 3_000
_WRITERS_LOCK: Final = 0x51454E4558  # QENEX
_DAMAGED: Final = ("XX001", "XX002")  # data_corrupted, index_corrupted


class PostgresIndex:
    """One connection. `dsn` is libpq's: `host=/run/postgresql dbname=qenex user=qenex`, or a postgresql:// URL."""

    name = "postgresql"

    def __init__(self, dsn: str, *, read_only: bool = False, unhurried: bool = False) -> None:
        try:
            import psycopg
        except ImportError as error:
            raise ConfigError("PostgreSQL needs the package psycopg", hint="pip install 'qenex-node[postgresql]'") from error
        self._psycopg = psycopg
        with self._errors():
            self._db = psycopg.connect(dsn, autocommit=True, connect_timeout=_CONNECT_S)
        try:
            self._prepare(read_only, unhurried)
        except BaseException:
            self.close()
            raise

    def _prepare(self, read_only: bool, unhurried: bool) -> None:
        if read_only:
            with self._errors():
                self._db.isolation_level = self._psycopg.IsolationLevel.REPEATABLE_READ
                self.execute("SET default_transaction_read_only = on")
                self.execute(f"SET statement_timeout = {0 if unhurried else round(QUERY_S_MAX * 1_000)}")
            return
        # the server lets go of a lock a moment after its owner is gone
        self.execute(f"SET lock_timeout = {_LOCK_MS}")
        self.execute("SELECT pg_advisory_lock(?)", (_WRITERS_LOCK,))
        self.execute("SET lock_timeout = 0")
        self.execute("SET synchronous_commit = off")  # a crash of the server may cost the last batches: they come again from the store
        self.execute("SET client_min_messages = warning")
        for statement in statements(blob="BYTEA", table_tail=""):
            self.execute(statement)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """See `IndexDatabase`."""
        with self._errors():
            cursor = self._db.execute(_in_its_words(sql), values or None)
            return cursor.fetchall() if cursor.description else []

    def rows(self, sql: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """See `IndexDatabase`; within a transaction."""
        with self._errors(), self._db.cursor(name="rows") as cursor:
            cursor.itersize = 5_000
            yield from cursor.execute(_in_its_words(sql), values or None)

    def insert(self, table: str, rows: Iterable[Row]) -> None:
        """See `IndexDatabase`."""
        with self._errors(), self._db.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)

    def put(self, table: str, rows: Iterable[Row]) -> None:
        """See `IndexDatabase`."""
        columns, key = columns_of(table), TABLES[table][1]
        changes = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key.split(", "))
        places = ", ".join(["%s"] * len(columns))
        with self._errors(), self._db.cursor() as cursor:
            cursor.executemany(f"INSERT INTO {table} VALUES ({places}) ON CONFLICT ({key}) DO UPDATE SET {changes}", list(rows))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """See `IndexDatabase`."""
        with self._errors(), self._db.transaction():
            yield

    def close(self) -> None:
        """See `IndexDatabase`."""
        self._db.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            text = " ".join(str(error).split())
            if error.sqlstate in _DAMAGED:
                raise IndexDamagedError(f"the index in PostgreSQL is damaged: {text}", hint=REINDEX) from error
            if isinstance(error, self._psycopg.errors.LockNotAvailable):
                raise IndexUnavailableError("another node writes this index", hint="give every node a database of its own") from error
            if isinstance(error, self._psycopg.errors.QueryCanceled):
                raise IndexUnavailableError(
                    f"the question takes longer than {QUERY_S_MAX:g} s", hint="ask for a shorter time"
                ) from error
            raise IndexUnavailableError(f"PostgreSQL cannot be used: {text}", hint="check [index] dsn and the server") from error


def _in_its_words(sql: str) -> str:
    return sql.replace("?", "%s")


def drop_tables(dsn: str) -> None:
    """Delete the index, whatever state it is in. Raises `IndexUnavailableError`."""
    database = PostgresIndex(dsn)
    try:
        with database.transaction():
            for table in TABLES:
                database.execute(f"DROP TABLE IF EXISTS {table}")
    finally:
        database.close()
