"""Which database the index is in, and how a running node asks it: one question at a time, in a thread, on one moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import trio

from node.config import Home
from node.config_sections import IndexConfig
from node.indexer.database import IndexDatabase, SqliteIndex, delete_file
from node.indexer.postgres import PostgresIndex, drop_tables
from state.primitives.errors import ConfigError, IndexDamagedError, IndexUnavailableError

INDEX_FILE: Final = "index.sqlite"

T = TypeVar("T")
Open = Callable[[], IndexDatabase]


def opener(home: Home, config: IndexConfig, *, read_only: bool, unhurried: bool = False) -> Open:
    """How to open the index that the settings name; opening raises `IndexUnavailableError`, `IndexDamagedError`, `ConfigError`."""
    path = home.data_dir / INDEX_FILE
    if config.backend == "sqlite":
        return lambda: SqliteIndex(path, read_only=read_only, unhurried=unhurried)
    if config.backend == "postgresql":
        return lambda: PostgresIndex(config.dsn, read_only=read_only, unhurried=unhurried)
    raise ConfigError(f"[index] backend = {config.backend}: there is no index", hint='set it to "sqlite" or "postgresql"')


def forget(home: Home, config: IndexConfig) -> None:
    """Delete the index that the settings name, whatever state it is in. Raises `IndexUnavailableError`."""
    if config.backend == "postgresql":
        drop_tables(config.dsn)
    else:
        delete_file(home.data_dir / INDEX_FILE)


class IndexReader:
    """The reading side of an index. `close` it when nobody asks any more."""

    def __init__(self, open_database: Open) -> None:
        self._open = open_database
        self._lock = trio.Lock()
        self._database: IndexDatabase | None = None

    async def ask(self, question: Callable[[IndexDatabase], T]) -> T:
        """What `question` finds, on one moment of the index. Raises `IndexUnavailableError` and `IndexDamagedError`."""
        async with self._lock:
            return await trio.to_thread.run_sync(self._answer, question)

    def _answer(self, question: Callable[[IndexDatabase], T]) -> T:
        if self._database is None:
            self._database = self._open()
        try:
            with self._database.transaction():
                return question(self._database)
        except (IndexUnavailableError, IndexDamagedError):
            self.close()  # opened anew with the next question: the file may be another one then
            raise

    def close(self) -> None:
        """Let go of the database."""
        if self._database is not None:
            self._database.close()
            self._database = None
