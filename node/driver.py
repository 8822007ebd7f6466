"""Runs the consensus core: one task, one inbox, outputs executed strictly in order.

What is durable before what leaves (architecture.md decision 1, consensus.md J1). Everything that leaves the machine is a signed message of
ours, so two points suffice: all log entries so far are durable, with one fsync, before a signature is asked for; and the signature
is durable in the signer's record before the core hears of it. The entry that logs the signature itself, the one before a broadcast, may
still be in memory then: its content is in the record, and a replay without it asks for the same signature and gets it.
A decision becomes durable in the store's own batch; entries that are lost with a crash before that are inputs not yet heard.

Start (J7): `run` replays the log of the height in progress into the core before anything is taken from the inbox and before
anything is sent; what the log shows as asked for and unanswered (a signature, a block, a verdict, a timeout) is asked for again
at its end. A signature that was given and not logged comes from the signer's record, byte for byte. If the log is damaged or is
shorter than the signer's record says, the node follows without signing until the next height.

Blocks are built and checked in tasks of their own, so votes and timeouts pass meanwhile; a decided block is applied inline,
because nothing of the next height can happen before. When the next height begins is decided by `node.pacing`.

Failure (section 3, row 2): any exception in here is a consensus failure. It writes a diagnostic bundle and goes on rising, so
that the nursery of the node is cancelled and the process ends with an error. A peer cannot cause one: what only a peer can get wrong is a
`RemoteError`, which goes back to that peer. What a node does not do here: touch sockets, decode messages, decide rules.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from consensus import messages as m
from consensus.commit import Verifier, verify_commit
from consensus.core import Core
from consensus.replay import decode_entry
from consensus.timeouts import Timeouts
from consensus.vote import Proposal, Vote
from node.clock import Clock
from node.crash import leaf_of, write_bundle
from node.look_back import check_record_against_chain, note_own_signature
from node.own_key import note_conviction, require_not_said_otherwise, require_one_instance
from node.pacing import compute_pace
from node.roles import ChainState, Executor, Outbox
from node.signing.desk import SigningDesk
from node.signing.voter import VoteSigner
from node.sync.messages import CertifiedBlock
from node.unanswered import Unanswered
from node.wal import Wal
from state.primitives.errors import ConsensusFailure, QenexError, RemoteError, UpgradeRequiredError
from state.primitives.limits import DRIVER_INBOX_MAX

NS_PER_S: Final = 1_000_000_000
RECENT_INPUTS_MAX: Final = 256  # for the diagnostic bundle
NO_DEADLINE: Final = 1 << 62


@dataclass(slots=True, eq=False)
class _Envelope:
    """An input in the inbox: whom it is from ("" for ourselves), and what became of it for someone who waits."""

    item: m.Input | None  # None only wakes the driver
    peer: str = ""
    done: trio.Event | None = None
    error: RemoteError | None = None


class Driver:
    """Owns the core, its log, its signer and its timers. `run` it; give inputs with `submit`; tell it of transactions with `notify_txs`.

    `signer` None is an observer. `state` is the state after the last height in the store, `wal` the log opened for the next. Nothing
    else may call into `wal`, `signer` or `core` while it runs; reading `core.view` between two awaits is allowed.
    """

    def __init__(
        self,
        state: ChainState,
        wal: Wal,
        signer: VoteSigner | None,
        executor: Executor,
        outbox: Outbox,
        clock: Clock,
        verifier: Verifier,
        data_directory: Path,
        warn: Callable[[str, QenexError], None],
    ) -> None:
        if signer is not None:
            signer.select(state.tip.validators)
            check_record_against_chain(signer, state.height, {state.height: state.last_commit}.get)
        self.state = state
        self._wal = wal
        self._signer = signer
        self._executor = executor
        self._outbox = outbox
        self._clock = clock
        self._started_ns = clock.now_ns()
        self._verifier = verifier
        self._data_directory = data_directory
        self._warn = warn
        self.core = self._make_core()
        self._send, self._receive = trio.open_memory_channel[_Envelope](DRIVER_INBOX_MAX)
        self._desk = SigningDesk(signer, wal, self.submit, warn)
        self._timers: list[tuple[int, int, m.TimeoutFired]] = []
        self._timer_count = 0
        self._recent: deque[object] = deque(maxlen=RECENT_INPUTS_MAX)
        self._jobs: dict[trio.CancelScope, None] = {}
        self._started = False  # the core works on state.height + 1
        self._replaying = False
        self._busy_at_ns = self._idle_at_ns = 0
        self._peer_is_ahead = False  # a peer has sent something for the height that we have not begun

    # for the other parts of the node

    @property
    def height(self) -> int:
        """The last decided height; it is durable."""
        return self.state.height

    @property
    def started(self) -> bool:
        """Whether the core works on `height + 1`; else it waits for its time or for work."""
        return self._started

    async def submit(self, item: m.Input, peer: str = "") -> None:
        """Queue an input; waits while the inbox is full, so that a flood stays in its sender's socket."""
        await self._send.send(_Envelope(item, peer))

    async def decide_certified(self, certified: CertifiedBlock) -> None:
        """See `node.sync.loop.Decider`."""
        item = m.CertificateReceived(certified.block, certified.commit, certified.pq_commit)
        done = trio.Event()
        envelope = _Envelope(item, done=done)
        await self._send.send(envelope)
        await done.wait()
        if envelope.error is not None:
            raise envelope.error

    def notify_txs(self) -> None:
        """The mempool has something to build from."""
        if not self._started:
            with suppress(trio.WouldBlock):  # then the driver is about to look anyway
                self._send.send_nowait(_Envelope(None))

    def statistics(self) -> dict[str, int]:
        """Gauges: the inbox, timers, background work, log entries not yet durable."""
        return {
            "inbox": self._receive.statistics().current_buffer_used,
            "timers": len(self._timers),
            "jobs": len(self._jobs),
            "log_pending": self._wal.pending_count,
        }

    # the task

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Replay, then serve until cancelled. Started when the replay is over. Any exception is a consensus failure."""
        try:
            async with trio.open_nursery() as nursery:
                await self._replay(nursery)
                if self._signer is not None and not self._signer.answers_at_once:
                    nursery.start_soon(self._desk.run)
                task_status.started()
                while True:
                    await self._handle(await self._next(), nursery)
        except Exception as error:
            if not isinstance(leaf_of(error), UpgradeRequiredError):  # then nothing has failed: what is decided is durable
                self._write_bundle(error)
            raise

    async def _next(self) -> _Envelope:
        """What is due or arrives first: timeouts, the next height, the inbox."""
        while True:
            now_ns = self._clock.monotonic_ns()
            if self._timers and self._timers[0][0] <= now_ns:
                return _Envelope(heapq.heappop(self._timers)[2])
            start_at_ns = self._start_at_ns()
            if start_at_ns <= now_ns:
                return _Envelope(self._make_start())
            deadline_ns = min(start_at_ns, self._timers[0][0] if self._timers else NO_DEADLINE)
            with trio.move_on_after((deadline_ns - now_ns) / NS_PER_S):
                envelope = await self._receive.receive()
                if envelope.item is not None:
                    return envelope

    async def _handle(self, envelope: _Envelope, nursery: trio.Nursery) -> None:
        """Step the core with an input and with what comes of it, until nothing more does."""
        item = envelope.item
        queue: deque[m.Input] = deque() if item is None else deque([item])
        try:
            if item is not None and not self._started and self._is_of_next_height(item):
                self._peer_is_ahead = True
                if isinstance(item, m.CertificateReceived):
                    if self._start_at_ns() > self._clock.monotonic_ns():
                        self._require_decided(item)
                    queue.appendleft(self._make_start())
            while queue:
                await self._step(queue.popleft(), queue, nursery)
        except RemoteError as error:
            envelope.error = error
            if envelope.peer:
                self._outbox.report(envelope.peer, error)
        if envelope.done is not None:
            envelope.done.set()
        self._outbox.changed()

    async def _step(self, item: m.Input, queue: deque[m.Input], nursery: trio.Nursery) -> None:
        self._recent.append(_brief(item))
        if isinstance(item, m.StartHeight):
            self._started = True
        elif isinstance(item, m.ValueReady | m.BlockReceived):
            self._outbox.add_block(item.block)
        for output in self.core.step(item):
            answer = await self._execute(output, nursery)
            if answer is not None:
                queue.append(answer)
        if self._signer is not None:
            require_one_instance(self.core, self._signer.address, item)

    async def _execute(self, output: m.Output, nursery: trio.Nursery) -> m.Input | None:
        """Do one thing; the answer, if there is one at once."""
        match output:
            case m.Persist(entry):
                self._wal.append(entry)
            case m.ScheduleTimeout(height, round_, step, delay_ns):
                self._timer_count += 1
                deadline_ns = self._clock.monotonic_ns() + delay_ns
                heapq.heappush(self._timers, (deadline_ns, self._timer_count, m.TimeoutFired(height, round_, step)))
            case m.BuildValue() | m.ValidateBlock():
                scope = trio.CancelScope()
                self._jobs[scope] = None  # at once: its height may be decided before it gets to run
                nursery.start_soon(self._run_job, output, scope)
            case m.WantBlock(height, block_id):
                self._outbox.want_block(height, block_id)
            case m.SignVote(message, lock) | m.SignProposal(message, lock):
                self._wal.sync()
                return await self._sign(message, lock)
            case m.Broadcast(message):
                self._outbox.broadcast(message)
            case m.ReportEvidence():
                self._executor.add_evidence(output)
            case m.Decide():
                await self._decide(output)
        return None

    # signing

    async def _sign(self, message: Vote | Proposal, lock: m.Lock) -> m.Input | None:
        signer, desk = self._signer, self._desk
        if signer is None or desk.is_past(message):
            return None
        if desk.is_new(message):
            self._require_alone(signer, message)
        return await desk.sign(message, lock, self.state.tip.chain_id)

    def _require_alone(self, signer: VoteSigner, message: Vote | Proposal) -> None:
        require_not_said_otherwise(self.core, signer.address, message)

    def _look_for_ours(self, signer: VoteSigner, decision: m.Decide) -> None:
        note_own_signature(signer, decision.commit, decision.block.header.time_ns, self._started_ns, self._warn)

    def _require_innocent(self, signer: VoteSigner, decision: m.Decide) -> None:
        note_conviction(decision.block, signer.address, self._desk.has_signed, self._warn)

    # background work

    async def _run_job(self, output: m.BuildValue | m.ValidateBlock, scope: trio.CancelScope) -> None:
        with scope:
            try:
                if scope.cancel_called:
                    return
                if isinstance(output, m.BuildValue):
                    block = await self._executor.build_value(output.height, output.round, output.last_commit)
                    answer: m.Input = m.ValueReady(output.height, output.round, block)
                else:
                    valid = await self._executor.validate(output.block)
                    answer = m.BlockValidity(output.block.block_id(), valid)
                await self._send.send(_Envelope(answer))
            finally:
                del self._jobs[scope]

    async def _decide(self, decision: m.Decide) -> None:
        for scope in self._jobs:
            scope.cancel()
        self._desk.end_height(decision.height)
        if self._signer is not None:
            self._look_for_ours(self._signer, decision)
        self.state = await self._executor.commit(decision.block, decision.commit, decision.pq_commit)
        if self.state.height != decision.height:
            raise ConsensusFailure(f"the store is at height {self.state.height} after deciding {decision.height}")
        self._wal.start_height(decision.height + 1)
        self._started = False
        self._peer_is_ahead = False
        self._timers.clear()
        self._set_pace()
        certified = CertifiedBlock(decision.block, decision.commit, decision.pq_commit)
        self._outbox.decided(self.state, certified)
        if self._signer is not None:
            self._require_innocent(self._signer, decision)

    # heights

    def _set_pace(self) -> None:
        state, now_ns = self.state, self._clock.monotonic_ns()
        pace = compute_pace(state.tip.params, state.tip.last_block_time_ns, state.had_txs, self._clock.now_ns())
        self._busy_at_ns = now_ns + pace.busy_delay_ns
        self._idle_at_ns = NO_DEADLINE if pace.idle_delay_ns is None else now_ns + pace.idle_delay_ns

    def _start_at_ns(self) -> int:
        if self._started:
            return NO_DEADLINE
        busy = self._peer_is_ahead or self._executor.has_pending_txs()
        return self._busy_at_ns if busy else max(self._busy_at_ns, self._idle_at_ns)

    def _is_of_next_height(self, item: m.Input) -> bool:
        match item:
            case m.ProposalReceived(proposal):
                return proposal.height == self.state.height + 1
            case m.VoteReceived(vote):
                return vote.height == self.state.height + 1
            case m.CertificateReceived(block):
                return block.header.height == self.state.height + 1
        return False

    def _require_decided(self, item: m.CertificateReceived) -> None:
        """Only what was decided begins a height before its time: else one peer's invention shortens the interval. `InvalidCommitError`."""
        tip, block = self.state.tip, item.block
        verify_commit(
            tip.chain_id, tip.validators, block.header.height, block.block_id(), item.commit, item.pq_commit, self._verifier
        )

    def _make_start(self) -> m.StartHeight:
        state, tip = self.state, self.state.tip
        if self._signer is not None:
            self._signer.select(tip.validators)
            self.core.address = self._signer.address or None
        return m.StartHeight(
            tip.height + 1,
            tip.validators,
            tip.priorities,
            tip.last_validators,
            tip.last_block_id,
            tip.last_block_time_ns,
            state.last_commit,
            state.last_pq_commit,
            Timeouts.of(tip.params),
            self._desk.must_abstain(tip.height + 1, self._replaying),
        )

    # start

    def _make_core(self) -> Core:
        address = None if self._signer is None else self._signer.address
        return Core(self.state.tip.chain_id, address, self._verifier)

    async def _replay(self, nursery: trio.Nursery) -> None:
        """Begin the height in progress and bring the core to where the log ends. Nothing is sent and nothing is received."""
        self._replaying = True
        start = self._make_start()
        if start.abstain and self._wal.entries:
            self._wal.abandon()
        left = self._replay_entries(start)
        self._started = True
        self._replaying = False
        queue: deque[m.Input] = deque()
        for output in left.take():
            answer = await self._execute(output, nursery)
            if answer is not None:
                queue.append(answer)
        while queue:
            await self._step(queue.popleft(), queue, nursery)
        self._outbox.changed()

    def _replay_entries(self, start: m.StartHeight) -> Unanswered:
        left = Unanswered()
        left.add_outputs(self.core.step(start))
        for entry in self._wal.take_entries():
            try:
                item = decode_entry(entry)
                self._recent.append(_brief(item))
                left.add_input(item)
                outputs = self.core.step(item)
            except (RemoteError, LookupError) as error:
                raise _make_replay_failure(start.height) from error
            if m.Persist(entry) not in outputs:
                raise _make_replay_failure(start.height)
            if isinstance(item, m.ValueReady | m.BlockReceived):
                self._outbox.add_block(item.block)
            left.add_outputs(outputs)
        return left

    def _write_bundle(self, error: Exception) -> None:
        view = self.core.view if self.core.height else None
        summary: dict[str, object] = {
            "chain": self.state.tip.chain_id,
            "decided height": self.state.height,
            "last block": self.state.tip.last_block_id,
            "core height": self.core.height,
            "core state": None if view is None else view.state,
            "signer": None if self._signer is None or self._signer.record is None else self._signer.record.moment,
            "log": f"{self._wal.path} position {self._wal.position} damaged {self._wal.damaged}",
            **self.statistics(),
        }
        inputs = map(repr, self._recent)
        directory = write_bundle(self._data_directory, self.state.height + 1, error, summary, inputs)
        leaf = leaf_of(error)
        failure = leaf if isinstance(leaf, QenexError) else ConsensusFailure(f"consensus failed: {leaf!r}")
        self._warn("consensus", failure)
        if directory is not None:
            self._warn("consensus", ConsensusFailure(f"diagnostic bundle: {directory}"))


def _brief(item: m.Input) -> object:
    """What the bundle tells of an input: a block's name in place of its megabytes, which would otherwise be kept in memory."""
    if isinstance(item, m.ValueReady | m.BlockReceived | m.CertificateReceived):
        return type(item).__name__, item.block.header.height, item.block.header.hash(), len(item.block.txs)
    return item


def _make_replay_failure(height: int) -> ConsensusFailure:
    # not the same as damage: if a new version made every node forget its log, nobody could sign in this height any more
    return ConsensusFailure(
        f"the consensus log of height {height} does not replay: an input of it is not taken now",
        hint="start the version that wrote it; if only this node is affected, move the log away: the node then follows, without "
        "signing, until the next height",
    )
