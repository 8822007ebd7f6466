"""The running node's hand on its audit log: a bounded queue, and one thread's turn for each group of entries.

Two ways to record. `record` waits until the entry is durable, and fails if it cannot be: for what must not happen unrecorded, which is then
refused. `note` never waits: for what has happened already; it is kept until the log can be written again. While the log cannot be
written, requests that must be recorded are refused, the health score falls, and the chain goes on (docs/decisions/0015). When it can
again, an entry says since when, how many requests were refused, and how many notes there was no room for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final

import trio

from node.audit.chain import Head
from node.audit.journal import Fact, Journal, make_fact
from state.primitives.errors import AuditLogUnavailableError, QenexError

QUEUE_MAX: Final = 1_024  # requests that wait for their entry; more wait in their own tasks
NOTES_MAX: Final = 4_096  # kept while the log cannot be written: about 2 MB
GROUP_MAX: Final = 512  # entries with one fsync: 200 kB
RECORD_S_MAX: Final = 10.0  # a request that waits longer for its entry is refused
RETRY_S: Final = 5.0
PROBE_S: Final = 30.0
_NS_PER_S: Final = 1_000_000_000


class _Waiting:
    """A request that waits for its entry."""

    def __init__(self, fact: Fact) -> None:
        self.fact = fact
        self.done = trio.Event()
        self.error: QenexError | None = None


class AuditWriter:
    """`run` it for the life of the node. `now_ns` is the wall clock; `warn` is told when the log fails, `log` when it works again."""

    def __init__(self, journal: Journal, now_ns: Callable[[], int], warn: Callable[[str, QenexError], None], log: Any) -> None:
        self.journal = journal
        self.refused = 0  # requests, since the log failed
        self._now_ns = now_ns
        self._warn = warn
        self._log = log
        self._notes: deque[Fact] = deque()
        self._lost = 0
        self._failing: QenexError | None = None
        self._failing_since_ns = 0
        self._send, self._receive = trio.open_memory_channel[_Waiting](QUEUE_MAX)
        self._noted = trio.Event()
        self._turn = trio.Lock()

    @property
    def is_failing(self) -> bool:
        """Whether the log could not be written when it was last tried."""
        return self._failing is not None

    @property
    def head(self) -> Head:
        """How far the log went when this process last looked."""
        return self.journal.head

    def statistics(self) -> dict[str, int]:
        """Requests that wait, notes that are kept, requests refused, notes lost; the last two since the log failed."""
        waiting = self._send.statistics().current_buffer_used
        return {"waiting": waiting, "notes": len(self._notes), "refused": self.refused, "lost": self._lost}

    async def record(self, actor: str, action: str, **detail: Any) -> None:
        """Record, and come back when it is durable. Raises `AuditLogUnavailableError` or `AuditLogDamagedError`."""
        one = _Waiting(make_fact(actor, action, detail, self._now_ns()))
        with trio.move_on_after(RECORD_S_MAX):
            await self._send.send(one)
            await one.done.wait()
        if not one.done.is_set():
            self.refused += 1
            raise AuditLogUnavailableError("the audit log is not written fast enough", hint="look at the disk: qenex monitor")
        if one.error is not None:
            self.refused += 1
            raise one.error

    def note(self, actor: str, action: str, **detail: Any) -> None:
        """Record soon. Never waits and never fails."""
        if len(self._notes) >= NOTES_MAX:
            self._lost += 1
            return
        self._notes.append(make_fact(actor, action, detail, self._now_ns()))
        self._noted.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Write until cancelled. What was noted before is tried first."""
        await self._write_group([])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_notes)
            task_status.started()
            while True:
                group = [await self._receive.receive()]
                while len(group) < GROUP_MAX:
                    try:
                        group.append(self._receive.receive_nowait())
                    except trio.WouldBlock:
                        break
                await self._write_group(group)

    async def _write_notes(self) -> None:
        """Notes, as they come; without any, look now and then whether the file is still there and goes on."""
        while True:
            if self._failing:
                await trio.sleep(RETRY_S)
            else:
                with trio.move_on_after(PROBE_S):
                    await self._noted.wait()
            self._noted = trio.Event()
            await self._write_group([])

    async def _write_group(self, group: list[_Waiting]) -> None:
        async with self._turn:
            facts, notes, counted = self._take(len(group))
            error = await trio.to_thread.run_sync(self._append, [*facts, *(one.fact for one in group)])
            self._learn(error, notes, counted)
            for one in group:
                one.error = error
                one.done.set()

    def _take(self, more: int) -> tuple[list[Fact], int, tuple[int, int]]:
        """(what is to be written first, how many notes are in it, what the entry about a gap counts)."""
        counted = self.refused, self._lost
        notes = list(islice(self._notes, max(0, GROUP_MAX - more)))
        gap = [self._describe_gap()] if self._failing is not None or self._lost else []
        return [*gap, *notes], len(notes), counted

    def _append(self, facts: list[Fact]) -> QenexError | None:
        """In a thread: what went wrong. Nothing of the node's own state is looked at."""
        try:
            self.journal.record_facts(facts)
        except QenexError as error:
            return error
        return None

    def _learn(self, error: QenexError | None, notes: int, counted: tuple[int, int]) -> None:
        if error is not None:
            if self._failing is None:
                self._failing_since_ns = self._now_ns()
                self._warn("audit log", error)
            self._failing = error
            return
        for _ in range(notes):
            self._notes.popleft()
        if self._failing is not None or self._lost:
            self._log.info("the audit log is written again", refused=counted[0], lost=counted[1])
            self.refused, self._lost = self.refused - counted[0], self._lost - counted[1]
        self._failing = None

    def _describe_gap(self) -> Fact:
        reason = "there was no room for more notes" if self._failing is None else f"{self._failing.name}: {self._failing.message}"
        detail = {"since_ns": self._failing_since_ns, "refused": self.refused, "lost": self._lost, "reason": reason}
        return make_fact("node", "log.gap", detail, self._now_ns())

    def close(self) -> None:
        """At the end of the node: what was noted is written, blocking, and the file is released."""
        while self._notes:
            facts, notes, counted = self._take(0)
            error = self._append(facts)
            self._learn(error, notes, counted)
            if error is not None:
                break
        self.journal.close()
