"""Forgetting old blocks: how many must stay, and the task that lets the others go beside a running node.

An operator says how many blocks to keep; never fewer are kept than evidence may still be judged by, than snapshots are served from, and
than a node needs to go back a little. A piece is a few heights, deleted in a thread; then the task rests for several times as long as the
piece took, so that blocks are not slowed down. Space comes back by compaction, range by range with rests between, once enough is deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import trio

from consensus.validation import ChainTip
from node.evidence.history import StoreHistory
from node.maintenance.block_rows import derived_rows
from node.storage.store import Store

KEEP_MIN: Final = 10  # a node that goes back one height, a peer that asks for the last ones
SNAPSHOTS_KEPT: Final = 2  # the newest is served while the one before is still being fetched
PIECE_HEIGHTS: Final = 16  # at most; a few milliseconds without transactions
PIECE_S_MAX: Final = 0.1  # a piece that took longer makes the next one smaller
COMPACT_ROWS: Final = 100_000  # fewer dead rows are not worth the writing: some 5 MB
COMPACT_SHARE: Final = 4  # nor is less than a quarter of what lives: the living are written again, too
CHECK_S: Final = 2.0
REST_MIN_S: Final = 0.005
REST_FACTOR: Final = 4  # at most a fifth of the time
NS_PER_S: Final = 1_000_000_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Retention:
    """What the operator wants: `blocks` to keep (0: all), and every how many blocks a snapshot is served (0: none)."""

    blocks: int
    snapshot_interval: int = 0

    @property
    def kept(self) -> int:
        """How many blocks stay at least, apart from evidence."""
        return max(self.blocks, KEEP_MIN, SNAPSHOTS_KEPT * self.snapshot_interval + KEEP_MIN)


def find_stop(store: Store, tip: ChainTip, retention: Retention, limit: int) -> int:
    """The height below which blocks may go, at most `limit` above the lowest; the lowest itself if none may."""
    base = store.base_height()
    if not retention.blocks or not base:
        return base
    history = StoreHistory(store)
    stop = max(base, min(tip.height + 1 - retention.kept, base + limit))
    while stop > base and not _is_expired(history, tip, stop - 1):
        stop = base + (stop - base) // 2
    return stop


def _is_expired(history: StoreHistory, tip: ChainTip, height: int) -> bool:
    """Whether no block to come can carry evidence of a height: both windows are exceeded (see `consensus.evidence.is_expired`)."""
    params = tip.params
    if tip.height - height <= params.evidence_blocks_max:
        return False
    header = history.header(height)
    return header is None or tip.last_block_time_ns - header.time_ns > params.evidence_age_s_max * NS_PER_S


class Pruner:
    """`run` it for the life of the node. `pruned` and `compactions` count what was done."""

    def __init__(self, store: Store, retention: Retention, tip: Callable[[], ChainTip], log: Any) -> None:
        self._store = store
        self._retention = retention
        self._changed = trio.Event()
        self._tip = tip
        self._log = log
        self._dead_heights = self._dead_rows = 0  # deleted since the last compaction
        self._piece_heights = PIECE_HEIGHTS
        self.pruned = 0
        self.compactions = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Prune until cancelled. An error of the store ends the node."""
        task_status.started()
        while True:
            if not self._retention.blocks:
                await self._changed.wait()
            self._changed = trio.Event()
            if not await self._piece():
                with trio.move_on_after(CHECK_S):
                    await self._changed.wait()
            if self._dead_rows >= COMPACT_ROWS and self._dead_heights >= self._retention.kept // COMPACT_SHARE:
                await self._compact()

    def set_blocks(self, blocks: int) -> None:
        """How many of the last blocks to keep from now on; 0: all that are still there."""
        self._retention = replace(self._retention, blocks=blocks)
        self._changed.set()

    async def _piece(self) -> bool:
        """A few heights; whether there were any."""
        store = self._store
        limit = self._piece_heights
        heights = store.begin_prune(find_stop(store, self._tip(), self._retention, limit), limit)
        if not heights:
            return False
        rows, took = await self._resting(store.delete_pruned, heights, derived_rows)
        self._piece_heights = max(1, limit // 2) if took > PIECE_S_MAX else min(PIECE_HEIGHTS, limit * 2)
        self.pruned += len(heights)
        self._dead_heights += len(heights)
        self._dead_rows += rows
        return True

    async def _compact(self) -> None:
        self._dead_heights = self._dead_rows = 0
        for start, stop in self._store.compaction_steps():
            await self._resting(self._store.compact_range, start, stop)
        self.compactions += 1
        self._log.info("old blocks pruned", lowest_height=self._store.base_height(), heights=self.pruned)

    async def _resting(self, work: Callable[..., T], *arguments: Any) -> tuple[T, float]:
        """Work in a thread, then leave the machine to the others; its result, and how many seconds it took."""
        started = trio.current_time()
        result = await trio.to_thread.run_sync(work, *arguments)
        took = trio.current_time() - started
        await trio.sleep(max(REST_MIN_S, REST_FACTOR * took))
        return result, took


def prune_stopped(store: Store, tip: ChainTip, retention: Retention, progress: Callable[[int, int], None]) -> int:
    """Everything that may go, then the whole database compacted; returns how many heights went. `progress(done, of)`."""
    pruned = 0
    while heights := store.begin_prune(find_stop(store, tip, retention, PIECE_HEIGHTS), PIECE_HEIGHTS):
        store.delete_pruned(heights, derived_rows)
        pruned += len(heights)
        progress(heights.stop, tip.height + 1 - retention.kept)
    store.compact()
    return pruned
