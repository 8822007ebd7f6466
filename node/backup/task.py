"""Snapshots of a running node: asked for by RPC, made one at a time in a thread from one moment of the store.

Consensus never waits for it: after each piece of work the thread rests for longer than the piece took, and what fails is kept as the
answer and logged. How a snapshot is made is `node.backup.make`'s.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from genesis.document import Document
from node.backup.make import Made, make_snapshot
from node.storage.frozen import FrozenStore
from node.storage.leveldb import Snapshot
from state.primitives.errors import QenexError, SnapshotError

TICKET: Final = ".ticket"  # in the folder of snapshots
TICKET_LENGTH_MAX: Final = 128
REST_FACTOR: Final = 2  # at most a third of the time
REST_MAX_S: Final = 0.25  # a stop waits no longer for it


@dataclass(frozen=True, slots=True)
class Wanted:
    """A snapshot to make; see `make_snapshot`."""

    number: int
    height: int | None
    base: int


class SnapshotMaker:
    """`run` it for the life of the node.

    `needs_ticket`: where no tokens are asked for, the port alone must not be enough to fill a disk, so who asks shows that he can write
    into the home: the parameter `ticket` is what the file `snapshots/.ticket` holds, and works once.
    """

    def __init__(
        self, snapshot: Callable[[], Snapshot], document: Document, folder: Path, version: str, log: Any, *, needs_ticket: bool
    ) -> None:
        self._snapshot = snapshot
        self._document = document
        self._folder = folder
        self._version = version
        self._log = log
        self._needs_ticket = needs_ticket
        self._send, self._receive = trio.open_memory_channel[Wanted](1)
        self._number = 0
        self._is_busy = False
        self._progress = ("", 0, 0)
        self._last: dict[str, Any] = {}
        self._rested = 0.0
        self.on_made: Callable[[str, int], None] = lambda name, height: None

    def start(self, height: int | None, base: int, ticket: str) -> int:
        """Ask for a snapshot; its number. Raises `SnapshotError` if one is being made, or the ticket is wrong."""
        if self._needs_ticket:
            self._take_ticket(ticket)
        if self._is_busy:
            raise SnapshotError("a snapshot is being made already", hint="wait until it is done: qenex snapshot list")
        self._is_busy = True
        self._number += 1
        self._progress = ("starting", 0, 1)
        self._send.send_nowait(Wanted(self._number, height, base))
        return self._number

    def _take_ticket(self, ticket: str) -> None:
        path = self._folder / TICKET
        try:
            wanted = path.read_bytes()[:TICKET_LENGTH_MAX]
        except OSError:
            wanted = b""
        if not wanted or not hmac.compare_digest(wanted, ticket.encode("utf-8", "surrogatepass")):
            raise SnapshotError("the ticket is not the home's", hint="use: qenex snapshot create --home HOME, as the node's user")
        path.unlink(missing_ok=True)

    def status(self) -> dict[str, Any]:
        """What is being made and how far it is, and how the last one ended."""
        stage, done, of = self._progress
        running = {"number": self._number, "stage": stage, "done": str(done), "of": str(of)} if self._is_busy else None
        return {"running": running, "last": self._last or None}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Make what is asked for until cancelled."""
        task_status.started()
        limiter = trio.CapacityLimiter(1)
        async for wanted in self._receive:
            started = trio.current_time()
            try:
                made = await trio.to_thread.run_sync(self._make, wanted, limiter=limiter)
            except QenexError as error:
                self._last = {"number": wanted.number, "error": error.to_json()}
                self._log.warning("no snapshot was made", error=error.name, code=error.code, reason=error.message, hint=error.hint)
            else:
                self._finish(wanted, made, trio.current_time() - started)
            self._is_busy = False

    def _finish(self, wanted: Wanted, made: Made, seconds: float) -> None:
        """A snapshot is there: whoever has to hear of it hears of it here."""
        self._last = {"number": wanted.number, "snapshot": describe_made(made)}
        self.on_made(made.path.name, made.manifest.height)
        self._log.info("snapshot made", path=str(made.path), bytes=made.manifest.size, seconds=round(seconds, 3))

    def _make(self, wanted: Wanted) -> Made:
        """In the thread."""
        self._rested = time.monotonic()
        snapshot = self._snapshot()
        try:
            store = FrozenStore(snapshot)
            return make_snapshot(
                store, self._document, self._folder, self._version, self._watch, height=wanted.height, base=wanted.base
            )
        finally:
            snapshot.close()

    def _watch(self, stage: str, done: int, of: int) -> None:
        """In the thread, after each piece: leaves the machine to the others, and ends the work when the node stops."""
        self._progress = (stage, done, of)
        trio.from_thread.check_cancelled()
        time.sleep(min(REST_MAX_S, REST_FACTOR * (time.monotonic() - self._rested)))
        self._rested = time.monotonic()


def describe_made(made: Made) -> dict[str, Any]:
    """A new snapshot for JSON answers."""
    missing = None if not made.missing_from else {"first": str(made.missing_from), "last": str(made.missing_to)}
    return {**made.manifest.describe(), "path": str(made.path), "missing_blocks": missing}
