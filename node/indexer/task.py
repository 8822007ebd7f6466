"""The index's task in a running node: told of new heights, it reads them from the store and writes them in a thread of its own.

Consensus never waits for it: a full disk, a damaged file or a slow database leave the index behind and are said with a code, and
it is tried again. There is no queue: what is missing is in the store. After each piece it rests as long as the piece took.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import trio

from node.config import Home
from node.config_sections import IndexConfig
from node.indexer.access import IndexReader, Open, opener
from node.indexer.writer import IndexWriter
from node.storage.leveldb import Snapshot
from state.primitives.errors import QenexError
from state.primitives.limits import INDEX_RETRY_S, INDEX_RETRY_S_MAX

REST_S_MAX: Final = 1.0


class Index(NamedTuple):
    """The index of a running node: which database it is in, how to ask it, and what makes it follow."""

    backend: str
    reader: IndexReader
    indexer: Indexer


def make_index(home: Home, config: IndexConfig, snapshot: Callable[[], Snapshot], chain: str, log: Any) -> Index | None:
    """The index that the settings ask for, not yet running; None if they ask for none."""
    if config.backend == "off":
        return None
    indexer = Indexer(opener(home, config, read_only=False), snapshot, chain, log)
    return Index(config.backend, IndexReader(opener(home, config, read_only=True)), indexer)


class Indexer:
    """`run` it for the life of the node; `notify` it of every height. `height` is the last one in the index, `problem` why not more."""

    def __init__(self, open_database: Open, snapshot: Callable[[], Snapshot], chain: str, log: Any) -> None:
        self._open = open_database
        self._snapshot = snapshot
        self._chain = chain
        self._log = log
        self._news = trio.Event()
        self._database: Any = None
        self._writer: IndexWriter | None = None
        self.height = -1
        self.problem: QenexError | None = None
        self.failures = 0

    def notify(self) -> None:
        """There is a new height."""
        self._news.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow the chain until cancelled."""
        task_status.started()
        limiter = trio.CapacityLimiter(1)
        self._news.set()
        try:
            while True:
                await self._news.wait()
                self._news = trio.Event()
                started = trio.current_time()
                try:
                    await trio.to_thread.run_sync(self._follow, limiter=limiter)
                except QenexError as error:
                    await self._rest_after(error)
                    continue
                if self.problem is not None:
                    self._log.info("the index follows again", height=self.height)
                    self.problem = None
                self.failures = 0
                await trio.sleep(min(REST_S_MAX, trio.current_time() - started))
        finally:
            self._close()

    async def _rest_after(self, error: QenexError) -> None:
        if self.problem is None or self.problem.message != error.message:
            self._log.warning(
                "the index is behind", error=error.name, code=error.code, reason=error.message, hint=error.hint, height=self.height
            )
        self.problem = error
        self.failures += 1
        self._close()
        self._news.set()
        await trio.sleep(min(INDEX_RETRY_S_MAX, INDEX_RETRY_S * self.failures))

    def _follow(self) -> None:
        """In the thread. A cancelled task ends it between two pieces of work."""
        snapshot = self._snapshot()
        try:
            if self._writer is None:
                self._database = self._open()
                self._writer = IndexWriter(self._database, self._chain)
            self.height = self._writer.follow(snapshot, trio.from_thread.check_cancelled, self._progress)
        finally:
            snapshot.close()

    def _progress(self, height: int, _of: int) -> None:
        self.height = height

    def _close(self) -> None:
        self._writer = None
        if self._database is not None:
            self._database.close()
            self._database = None
