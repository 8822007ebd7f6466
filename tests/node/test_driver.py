"""The driver alone, between doubles: order of durability, replay before anything else, failures, refusals, the record's guards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import trio
import trio.testing

from consensus import messages as m
from consensus import proposer
from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import ABSENT, EMPTY_COMMIT, EMPTY_PQ_COMMIT, Commit, CommitSig, Flag, HybridVerifier, PqCommit
from consensus.validation import ChainTip
from consensus.vote import Proposal, Vote, VoteType
from node.clock import VirtualClock
from node.driver import Driver
from node.roles import ChainState
from node.signer import Signer
from node.simulator.cluster import CHAIN_ID, GENESIS_NS, SimExecutor, SimStore
from node.sync.messages import CertifiedBlock
from node.wal import Wal
from state.params import ConsensusParams
from state.primitives.errors import ConsensusFailure, InvalidCommitError, QenexError, RemoteError
from state.primitives.hashing import sha256, validator_address
from state.primitives.keys import CONTEXT_VOTE, KeyKind, PrivateKey
from state.validators import Validator, ValidatorSet

KEYS = [
    (
        PrivateKey.from_seed(KeyKind.ED25519, sha256(b"e%d" % i)),
        PrivateKey.from_seed(KeyKind.MLDSA44, sha256(b"p%d" % i)),
    )
    for i in range(4)
]


class Notes:
    """An outbox, a log's file and a signer that write down what happened, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.sent: list[Vote | Proposal] = []
        self.wanted: list[BlockID] = []
        self.reports: list[tuple[str, RemoteError]] = []
        self.blocks: list[Block] = []
        self.decisions: list[int] = []
        self.changed_event = trio.Event()

    def broadcast(self, message: Vote | Proposal) -> None:
        self.events.append("send")
        self.sent.append(message)

    def want_block(self, height: int, block_id: BlockID) -> None:
        self.wanted.append(block_id)

    def add_block(self, block: Block) -> None:
        self.blocks.append(block)

    def report(self, peer: str, error: RemoteError) -> None:
        self.reports.append((peer, error))

    def changed(self) -> None:
        self.changed_event.set()
        self.changed_event = trio.Event()

    def decided(self, state: ChainState, certified: CertifiedBlock) -> None:
        self.events.append("decided")
        self.decisions.append(state.height)


class Bench:
    """A driver of one validator of a set, on a directory."""

    def __init__(
        self, directory: Path, validators: int = 1, own: int = 0, params: ConsensusParams | None = None
    ) -> None:
        self.directory = directory
        members = [Validator(k.public_key.data, KeyKind.MLDSA44, q.public_key.data, 10) for k, q in KEYS[:validators]]
        tip = ChainTip.at_genesis(
            CHAIN_ID,
            1,
            GENESIS_NS,
            ValidatorSet(members),
            b"\x01" * 32,
            params or ConsensusParams(block_interval_ms=50),
        )
        self.genesis = ChainState(tip, EMPTY_COMMIT, EMPTY_PQ_COMMIT)
        self.store = SimStore(self.genesis, self.genesis)
        self.own = own
        self.warnings: list[tuple[str, QenexError]] = []
        if not (directory / "record").exists():
            Signer.create(directory / "record", b"c", *KEYS[own]).close()

    @asynccontextmanager
    async def running(self, *, raises: bool = False) -> AsyncIterator[tuple[Driver, Notes]]:
        signer = Signer.open(self.directory / "record", b"c", *KEYS[self.own])
        height = self.store.height + 1
        position = signer.record.log_position if signer.record.height == height else 0
        wal = Wal.open(self.directory / "wal", b"c", height, signed_position=position)
        notes = Notes()
        clock = VirtualClock(GENESIS_NS)
        executor = SimExecutor(self.store, clock, signer.address, {})
        self.executor, self.wal, self.signer, self.clock = executor, wal, signer, clock
        self.watch(notes)
        driver = Driver(
            self.store.state,
            wal,
            signer,
            executor,
            notes,
            clock,
            HybridVerifier(),
            self.directory,
            lambda who, error: self.warnings.append((who, error)),
        )
        try:
            async with trio.open_nursery() as nursery:
                await nursery.start(driver.run)
                yield driver, notes
                nursery.cancel_scope.cancel()
        finally:
            signer.close()
            wal.close()

    def watch(self, notes: Notes) -> None:
        wal, signer = self.wal, self.signer
        sync, sign, append = wal.sync, signer.sign, wal.append

        def watched_sync() -> None:
            if wal.pending_count:
                notes.events.append("sync")
            sync()

        def watched_append(entry: bytes) -> None:
            notes.events.append("append")
            append(entry)

        def watched_sign(request: object) -> object:
            notes.events.append("sign")
            return sign(request)  # type: ignore[arg-type]

        wal.sync, wal.append, signer.sign = watched_sync, watched_append, watched_sign  # type: ignore[method-assign,assignment]


async def until(notes: Notes, condition: object) -> None:
    with trio.fail_after(60):
        while not condition():  # type: ignore[operator]
            await notes.changed_event.wait()


async def test_durable_before_it_leaves(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """A lone validator decides alone; before each signature all entries are on the disk."""
    bench = Bench(tmp_path)
    async with bench.running() as (driver, notes):
        await until(notes, lambda: driver.height >= 5)
        events = list(notes.events)
    pending = 0
    for before, event in pairwise(events):
        if event == "append":
            pending += 1
        elif event == "sync":
            pending = 0
        elif event == "sign":
            assert pending == 0, events
        elif event == "send":  # nothing is new since the signature but the entry that holds it
            assert (pending, before) == (1, "append"), events
        elif event == "decided":
            pending = 0
    assert events.count("sign") == events.count("send") >= 15  # proposal, prevote, precommit
    assert bench.signer.record.height >= 5
    assert {path.name for path in (tmp_path / "wal").iterdir()} <= {f"{bench.store.height + 1:020d}.log"}


async def test_replay_sends_nothing_and_comes_first(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """One of four: it votes, is killed, and comes back with the same votes in its books and nothing said again."""
    bench = Bench(tmp_path, validators=4)
    async with bench.running() as (_, notes):
        await until(notes, lambda: notes.sent)  # a nil prevote, or its proposal
        sent = list(notes.sent)
        bench.wal.sync()
    async with bench.running() as (driver, notes):
        assert notes.events == []
        view = driver.core.view
        for vote in (message for message in sent if isinstance(message, Vote)):
            tally = view.votes.tally(vote.round, vote.type)
            assert tally is not None
            assert vote in tally.by_validator[vote.validator_index]


async def test_signature_that_was_not_logged_is_sent_as_it_was(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Killed between the signer's record and the log: the stored signature goes out, not a second one."""
    bench = Bench(tmp_path, validators=4)
    first: list[tuple[bytes, bytes]] = []
    with pytest.raises(BaseExceptionGroup):
        async with bench.running() as (_, notes):
            sign = bench.signer.sign

            def sign_and_die(request: object) -> object:
                first.append(sign(request))  # type: ignore[arg-type]
                raise ConsensusFailure("killed")

            bench.signer.sign = sign_and_die  # type: ignore[method-assign,assignment]
            await until(notes, lambda: first)
            await trio.sleep_forever()
    assert len(first) == 1
    async with bench.running() as (_driver, notes):
        await until(notes, lambda: notes.sent)
        assert (notes.sent[0].signature, notes.sent[0].pq_signature) == first[0]


async def test_failure_leaves_a_bundle_and_ends_the_node(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    bench = Bench(tmp_path)
    with pytest.raises(BaseExceptionGroup) as caught:
        async with bench.running() as (_driver, notes):

            async def explode(*arguments: object) -> ChainState:
                raise ZeroDivisionError("a planted defect")

            bench.executor.commit = explode  # type: ignore[method-assign]
            await trio.sleep_forever()
    assert caught.group_contains(ZeroDivisionError)
    bundle = tmp_path / "crash-1"
    assert "a planted defect" in (bundle / "error.txt").read_text()
    assert "chain: sim-1" in (bundle / "state.txt").read_text()
    assert "TimeoutFired" in (bundle / "inputs.txt").read_text() or "Signed" in (bundle / "inputs.txt").read_text()
    assert "trio" in (bundle / "versions.txt").read_text()
    assert any("bundle" in error.message for _, error in bench.warnings)
    del notes


async def test_peers_are_told_of_and_cannot_end_it(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(tmp_path, validators=4)
    async with bench.running() as (driver, notes):
        address = driver.state.tip.validators.validators[1].address
        vote = Vote(VoteType.PREVOTE, 1, 0, None, GENESIS_NS, address, 1, bytes(64), bytes(2420))
        await driver.submit(m.VoteReceived(vote), "mallory")
        block = await bench.executor.build_value(1, 0, EMPTY_COMMIT)
        commit = Commit(1, 0, block.block_id(), (CommitSig(Flag.COMMIT, address, 1, bytes(64)),) * 4)
        with pytest.raises(InvalidCommitError):
            await driver.decide_certified(CertifiedBlock(block, commit, PqCommit(1, 0, (b"",) * 4)))
        await until(notes, lambda: notes.reports)
        assert notes.reports[0][0] == "mallory"
        assert driver.height == 0


def certify(block: Block, validators: ValidatorSet, round_: int = 0, without: int | None = None) -> CertifiedBlock:
    """A block with the precommits of everybody, or of all but one."""
    header = block.header
    by_address = {address_of(k): (k, q) for k, q in KEYS}
    parts, pq_parts = [], []
    for index, validator in enumerate(validators.validators):
        key, pq_key = by_address[validator.address]
        if without is not None and key is KEYS[without][0]:
            parts.append(ABSENT)
            pq_parts.append(b"")
            continue
        vote = Vote(VoteType.PRECOMMIT, header.height, round_, block.block_id(), header.time_ns, validator.address, index)
        sign_bytes = vote.sign_bytes(CHAIN_ID)
        parts.append(CommitSig(Flag.COMMIT, validator.address, header.time_ns, key.sign(sign_bytes, b"")))
        pq_parts.append(pq_key.sign(sign_bytes, CONTEXT_VOTE))
    commit = Commit(header.height, round_, block.block_id(), tuple(parts))
    return CertifiedBlock(block, commit, PqCommit(header.height, round_, tuple(pq_parts)))


async def test_certified_block_decides_and_an_old_one_changes_nothing(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    bench = Bench(tmp_path, validators=4)
    async with bench.running() as (driver, notes):
        block = await bench.executor.build_value(1, 0, EMPTY_COMMIT)
        certified = certify(block, driver.state.tip.validators)
        await driver.decide_certified(certified)
        assert driver.height == 1
        assert notes.decisions == [1]
        await driver.decide_certified(certified)
        assert notes.decisions == [1]


async def test_no_block_is_built_for_a_height_that_is_decided_before_the_work_begins(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Catching up, a height may begin and be decided in one breath; its proposer must not build on what came after."""
    bench = Bench(tmp_path, validators=4)
    asked: list[tuple[int, int]] = []
    async with bench.running() as (driver, _):
        honest = bench.executor.build_value

        async def build_value(height: int, round_: int, last_commit: Commit) -> Block:
            asked.append((height, bench.store.height + 1))
            return await honest(height, round_, last_commit)

        bench.executor.build_value = build_value  # type: ignore[method-assign]
        for height in range(1, 9):  # each of the four has its turn
            block = await honest(height, 0, driver.state.last_commit)
            await driver.decide_certified(certify(block, driver.state.tip.validators, without=0))
    assert [pair for pair in asked if pair[0] != pair[1]] == []


def address_of(key: PrivateKey) -> bytes:
    from state.primitives.hashing import validator_address

    return validator_address(key.public_key.data)


@pytest.mark.parametrize("kind", ["torn", "damaged", "missing", "empty-record"])
async def test_what_is_not_known_is_not_continued(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, kind: str
) -> None:
    """A damaged or missing log, an accepted empty record: the height passes without our signature. A torn end is no damage."""
    bench = Bench(tmp_path, validators=4)
    async with bench.running() as (_, notes):
        await until(notes, lambda: notes.sent)
        sent = notes.sent[0]
    log = next((tmp_path / "wal").glob("*.log"))
    if kind == "torn":
        log.write_bytes(log.read_bytes() + b"\x00\x00\x01")
    elif kind == "damaged":
        log.write_bytes(log.read_bytes()[: bench.signer.record.log_position - 1])
    elif kind == "missing":
        log.unlink()
    else:
        (tmp_path / "record").unlink()
        Signer.open_or_accept_empty(tmp_path / "record", b"c", *KEYS[0], abstain_through=1).close()
    async with bench.running() as (driver, notes):
        assert driver.core.view.start.abstain == (kind != "torn")
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked()
            autojump_clock.jump(1)
        if kind == "torn":
            assert notes.sent[0] == sent  # from the record, byte for byte
        else:
            assert notes.sent == []
            assert "sign" not in notes.events


async def test_log_that_does_not_replay_stops_the_node(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The store says something else than when the log was written: a failure that says so, and the log stays as it is."""
    bench = Bench(tmp_path, validators=4)
    async with bench.running() as (_, notes):
        await until(notes, lambda: notes.sent)
        bench.wal.sync()
    log = next((tmp_path / "wal").glob("*.log"))
    content = log.read_bytes()
    other = Bench(tmp_path / "other", validators=2)
    bench.store.state = other.genesis
    with pytest.raises(BaseExceptionGroup) as caught:
        async with bench.running():
            raise AssertionError("it must not start")
    assert caught.group_contains(ConsensusFailure, match="does not replay")
    assert log.read_bytes() == content
    assert (tmp_path / "crash-1" / "error.txt").exists()


@pytest.mark.parametrize("step_s", [-3_600, 0, 3_600])
async def test_f5_timeouts_do_not_follow_the_clock_on_the_wall(
    step_s: int, tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    params = ConsensusParams(block_interval_ms=50, timeout_propose_ms=2_000)
    (tmp_path / "other").mkdir()
    tip = Bench(tmp_path / "other", validators=4).genesis.tip
    first = proposer.proposer_of(tip.validators, tip.priorities, 0).address
    own = next(index for index, (key, _) in enumerate(KEYS) if validator_address(key.public_key.data) != first)
    bench = Bench(tmp_path, validators=4, own=own, params=params)
    async with bench.running() as (driver, notes):
        await until(notes, lambda: driver.started)
        bench.clock.skew_ns += step_s * 10**9
        begun, said = trio.current_time(), len(notes.sent)
        await until(notes, lambda: any(isinstance(message, Vote) for message in notes.sent[said:]))
        assert trio.current_time() - begun == pytest.approx(2.0, abs=0.1)
        (vote,) = notes.sent[said:]
        assert isinstance(vote, Vote) and vote.block_id is None


async def test_j9_inputs_are_taken_in_the_order_in_which_they_came(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    bench = Bench(tmp_path, validators=4, own=1)
    taken: list[int] = []
    async with bench.running() as (driver, notes):
        await until(notes, lambda: driver.started)
        step = driver.core.step

        def noting(item: m.Input) -> list[m.Output]:
            if isinstance(item, m.TimeoutFired):
                taken.append(item.round)
            return step(item)

        driver.core.step = noting  # type: ignore[method-assign]
        for round_ in range(100, 150):  # rounds that nobody is in: nothing comes of them
            await driver.submit(m.TimeoutFired(1, round_, m.Step.PROPOSE))
        with trio.fail_after(60):
            while len(taken) < 50:
                await trio.sleep(0.01)
    assert taken == list(range(100, 150))


async def test_an_invented_certificate_does_not_begin_a_height_before_its_time(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    bench = Bench(tmp_path, validators=4, params=ConsensusParams(block_interval_ms=10_000))
    async with bench.running() as (driver, _):
        block = await bench.executor.build_value(1, 0, EMPTY_COMMIT)
        await driver.decide_certified(certify(block, driver.state.tip.validators))
        assert (driver.height, driver.started) == (1, False)
        following = await bench.executor.build_value(2, 0, driver.state.last_commit)
        good = certify(following, driver.state.tip.validators)
        bad = CertifiedBlock(good.block, good.commit, PqCommit(2, 0, (b"",) * 4))
        with pytest.raises(InvalidCommitError):
            await driver.decide_certified(bad)
        assert not driver.started  # the interval of ten seconds has not passed
        await driver.decide_certified(good)  # what was decided is taken at once
        assert driver.height == 2
