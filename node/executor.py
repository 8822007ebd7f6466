"""Where a block meets the state: the only file that knows both consensus and ledger.

The seam is shaped like ABCI 2.0: `build_value` is PrepareProposal, `validate` ProcessProposal, `commit` FinalizeBlock and Commit, the
mempool's `submit` CheckTx. A block is executed once, when it is built or judged, and its result kept by name until the decision; then the
tree is updated and everything of the height goes into one synchronous batch. What stands in a block is not decided here.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar, cast

import trio

from consensus.block import Block, results_hash
from consensus.block_id import BlockID
from consensus.commit import EMPTY_COMMIT, EMPTY_PQ_COMMIT, Commit, PqCommit, Verifier
from consensus.evidence import Evidence, misbehavior_of, size_of
from consensus.messages import ReportEvidence
from consensus.proposer import hash_priorities
from consensus.validation import ChainTip, make_block, validate_block
from node.clock import Clock
from node.evidence.history import StoreHistory
from node.evidence.pool import EvidencePool
from node.indexer.rows import index_rows
from node.maintenance.divergence import Divergence
from node.mempool.mempool import Mempool
from node.roles import ChainState
from node.storage.store import HeightBatch, Store
from node.telemetry.logs import get_log
from node.tips import decode_tip, encode_tip
from state.machine import BlockContext, BlockResult, Steps, apply_block_in_steps, build_block_in_steps
from state.misbehavior import CommitVote
from state.primitives.codec import encode_trusted
from state.primitives.errors import InvalidBlockError, StorageCorruptError, TransactionError
from state.primitives.hashing import sha256
from state.receipts import Receipt
from state.schema import ACCOUNT, HOLDING, NODES_KEY, NONCES, decode_record
from state.schema_accounts import GRANT, POLICY
from state.transaction import Transaction
from state.upgrades import get_rules
from state.validators import ValidatorSet
from state.view import RecordCache

MS: Final = 1_000_000
RunBlocking = Callable[..., Awaitable[Any]]  # (function, *arguments), in a thread; the simulator has none
TURN_TXS: Final = 64  # executed before others have a turn: some 30 ms
EXECUTIONS_MAX: Final = 4  # results of candidate blocks kept at one height
BLOCK_OVERHEAD_BYTES: Final = 64 * 1024  # header, commit of 200 validators
EVIDENCE_SHARE: Final = 2  # at most half of a block is evidence
_T = TypeVar("_T")
_ADDRESS: Final = slice(2, 34)
_DECISIVE: Final = (NONCES, HOLDING, ACCOUNT, POLICY, GRANT)  # letters of what decides whether a waiting transaction is still good


@dataclass(frozen=True, slots=True)
class Execution:
    """What a block does, before it is decided."""

    txs: tuple[Transaction, ...]
    result: BlockResult


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """What subscribers and metrics hear of."""

    block: Block
    block_id: BlockID
    commit: Commit
    receipts: tuple[Receipt, ...]
    txs: tuple[Transaction, ...]
    app_hash: bytes
    seconds: dict[str, float]
    admitted: frozenset[str] | None = None  # the ids of nodes that may connect, when the block changed them


class LedgerExecutor:
    """See `node.roles.Executor`. The mempool and the pool of evidence are set once they exist: they need the executor's state."""

    def __init__(
        self,
        store: Store,
        chain_id: bytes,
        records: RecordCache,
        state: ChainState,
        proposer_address: bytes,
        verifier: Verifier,
        clock: Clock,
        run_blocking: RunBlocking = trio.to_thread.run_sync,
    ) -> None:
        self.state = state
        self._run_blocking = run_blocking
        self.on_committed: list[Callable[[CommittedBlock], None]] = []
        self.history = StoreHistory(store)
        self._store = store
        self._chain_id = chain_id
        self._records = records
        self.name_proposer: Callable[[], bytes] = lambda: proposer_address  # of the height in progress
        self._verifier = verifier
        self._clock = clock
        self._mempool: Mempool | None = None
        self._executions: dict[BlockID, Execution] = {}
        self._evidence: EvidencePool | None = None
        self._log = get_log("consensus")

    def attach(self, mempool: Mempool) -> None:
        """Give it the mempool that blocks are built from."""
        self._mempool = mempool
        mempool.new_height(self.state.tip.last_block_time_ns)

    @property
    def _pool(self) -> Mempool:
        if self._mempool is None:
            raise StorageCorruptError("the executor has no mempool")
        return self._mempool

    # the driver's questions

    def has_pending_txs(self) -> bool:
        """See `node.roles.Executor`."""
        return len(self._pool.pool) > 0

    def attach_evidence(self, pool: EvidencePool) -> None:
        """Give it the proofs that blocks are built with."""
        self._evidence = pool

    @property
    def evidence(self) -> EvidencePool:
        """The proofs that wait for a block."""
        if self._evidence is None:
            raise StorageCorruptError("the executor has no pool of evidence")
        return self._evidence

    def add_evidence(self, report: ReportEvidence) -> None:
        """See `node.roles.Executor`."""
        first = report.first
        self._log.warning("double signature seen", validator=report.address, height=first.height, round=first.round)
        if self._evidence is not None:
            self._evidence.report(report)

    async def build_value(self, height: int, round_: int, last_commit: Commit) -> Block:
        """See `node.roles.Executor`."""
        tip, proposer = self.state.tip, self.name_proposer()
        time_ns = await self._wait_for_time(tip.last_block_time_ns)
        params = tip.params
        evidence: tuple[Evidence, ...] = ()
        if self._evidence is not None:
            evidence = self._evidence.take(params.block_bytes_max // EVIDENCE_SHARE, height, time_ns)
        room = max(0, params.block_bytes_max - BLOCK_OVERHEAD_BYTES - sum(map(size_of, evidence)))
        candidates = self._pool.pool.reap(room, params.block_txs_max)
        await self._pool.verify_for_block(candidates)
        context = self._context(height, time_ns, proposer, last_commit, evidence)
        steps = build_block_in_steps(self._records, context, candidates, verified=self._pool.verified, bytes_max=room)
        built = await self._in_turns(steps, height)
        block = make_block(
            tip, time_ns, [tx.raw for tx in built.txs], last_commit, evidence, proposer
        )
        self._remember(block.block_id(), Execution(built.txs, built.result))
        self._pool.drop([(candidates[position].hash, code) for position, code in built.refused])
        return block

    async def _wait_for_time(self, last_ns: int) -> int:
        """Our clock, in whole milliseconds, once it is past the last block's time (F1)."""
        while True:
            now_ns = self._clock.now_ns() // MS * MS
            if now_ns > last_ns:
                return now_ns
            await trio.sleep(min(1.0, (last_ns + MS - now_ns) / 1e9))

    async def validate(self, block: Block) -> bool:
        """See `node.roles.Executor`."""
        try:
            validate_block(block, self.state.tip, self._verifier, self.history)
            await self._execute(block)
        except InvalidBlockError as error:
            self._log.warning("invalid block refused", height=block.header.height, reason=error.message)
            return False
        return True

    async def _execute(self, block: Block) -> Execution:
        """The result of a block; executed at most once. Raises `InvalidBlockError`."""
        block_id = block.block_id()
        known = self._executions.get(block_id)
        if known is not None:
            return known
        txs: list[Transaction] = []
        for index, raw in enumerate(block.txs):
            if index % TURN_TXS == TURN_TXS - 1:
                await trio.lowlevel.checkpoint()
            waiting = self._pool.pool.transaction(sha256(raw))
            if waiting is not None:
                txs.append(waiting)
                continue
            try:
                txs.append(Transaction.decode(raw))
            except TransactionError as error:
                raise InvalidBlockError(f"transaction {index} is malformed: {error.message}") from error
        height = block.header.height
        if not await self._pool.verify_for_block(txs):
            raise InvalidBlockError("a transaction of the block is not signed by its signers")
        self._require_next(height)
        header = block.header
        context = self._context(height, header.time_ns, header.proposer_address, block.last_commit, block.evidence)
        result = await self._in_turns(apply_block_in_steps(self._records, context, txs, verified=self._pool.verified), height)
        execution = Execution(tuple(txs), result)
        self._remember(block_id, execution)
        return execution

    async def _in_turns(self, steps: Steps[_T], height: int) -> _T:
        """Take the steps, a few at a time: pings, votes and clients have their turns while a large block is executed (M8).

        The turns are counted, not timed, so that a simulation is the same each time. Raises as the steps, and `InvalidBlockError` if the
        height was decided in between: the state that the steps have read is another one then.
        """
        count = 0
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return cast(_T, end.value)
            count += 1
            if count % TURN_TXS == 0:
                await trio.lowlevel.checkpoint()
                self._require_next(height)

    def _require_next(self, height: int) -> None:
        if height != self.state.height + 1:
            raise InvalidBlockError(f"height {height} was decided meanwhile")

    def _context(
        self, height: int, time_ns: int, proposer: bytes, last_commit: Commit, evidence: Sequence[Evidence]
    ) -> BlockContext:
        voters = self.state.tip.last_validators
        votes = () if voters is None else tuple(
            CommitVote(validator.address, validator.power, bool(part.signature))
            for validator, part in zip(voters.validators, last_commit.signatures, strict=True)
        )
        priorities_hash = hash_priorities(self.state.tip.compute_next_priorities())
        return BlockContext(height, time_ns, self._chain_id, proposer, votes, misbehavior_of(evidence), priorities_hash)

    def _remember(self, block_id: BlockID, execution: Execution) -> None:
        while len(self._executions) >= EXECUTIONS_MAX:
            del self._executions[next(iter(self._executions))]
        self._executions[block_id] = execution

    async def commit(self, block: Block, commit: Commit, pq_commit: PqCommit) -> ChainState:
        """See `node.roles.Executor`."""
        started = time.perf_counter()
        try:
            if block.block_id() not in self._executions:
                # decided by others before we judged it: the same rules, and now a fault is fatal
                validate_block(block, self.state.tip, self._verifier, self.history, is_decided=True)
            execution = await self._execute(block)
        except InvalidBlockError as error:
            raise Divergence(self._store, self._chain_id, self.state.tip, block, commit, pq_commit, error) from error
        executed = time.perf_counter()
        result, height = execution.result, block.header.height
        root = self._store.stage(height, result.changes)
        rooted = time.perf_counter()
        hashed = results_hash([(r.code, r.data, r.gas_wanted, r.gas_used) for r in result.receipts])
        old = self.state.tip
        tip = old.advance(block, root, hashed, result.validator_updates, result.params)
        state = ChainState(tip, commit, pq_commit, had_txs=bool(block.txs))
        batch = self._make_batch(block, commit, pq_commit, execution, old, state)
        rows = self._store.prepare(batch)
        await self._run_blocking(self._store.write_prepared, rows)
        self._store.finish(batch)
        self._records.commit(height, result.records)
        self.state = state
        self._executions.clear()
        self._after_evidence(block)
        self._after(block, execution)
        stored = time.perf_counter()
        get_log("storage").debug("height is durable", height=height, rows=len(rows), seconds=round(stored - rooted, 4))
        seconds = {"execute": executed - started, "tree": rooted - executed, "store": stored - rooted}
        admitted = next((_read_nodes(value) for key, value in result.changes if key == NODES_KEY), None)
        committed = CommittedBlock(
            block, block.block_id(), commit, result.receipts, execution.txs, root, seconds, admitted
        )
        for callback in self.on_committed:
            callback(committed)
        require_known_rules(tip)
        return state

    def _make_batch(
        self,
        block: Block,
        commit: Commit,
        pq_commit: PqCommit,
        execution: Execution,
        old: ChainTip,
        state: ChainState,
    ) -> HeightBatch:
        height, receipts = block.header.height, execution.result.receipts
        rows = [
            ("b", height, encode_trusted(block.to_wire())),
            ("c", height, encode_trusted(commit.to_wire())),
            ("p", height, encode_trusted(pq_commit.to_wire())),
            ("e", height, encode_trusted([receipt.to_wire() for receipt in receipts])),
        ]
        if execution.result.events:
            rows.append(("f", height, encode_trusted([event.to_wire() for event in execution.result.events])))
        if state.tip.next_validators != old.next_validators:
            rows.append(("v", height + 2, encode_trusted(state.tip.next_validators.to_wire())))
        return HeightBatch(
            height,
            encode_tip(state),
            block.block_id().hash,
            tuple(rows),
            tuple(tx.hash for tx in execution.txs),
            index_rows(height, receipts),
            tuple(offence for item in block.evidence for offence in item.offences),
        )

    def _after_evidence(self, block: Block) -> None:
        for item in block.evidence:
            accused = [found.address for found in item.misbehavior()]
            self._log.warning("misbehaviour punished", height=item.height, validators=accused)
        if self._evidence is not None:
            self._evidence.decided()

    def _after(self, block: Block, execution: Execution) -> None:
        touched: dict[bytes, None] = {}
        for key, _ in execution.result.changes:
            if key[1] in _DECISIVE:
                touched[key[_ADDRESS]] = None
        pool = self._pool
        pool.new_height(block.header.time_ns)
        pool.committed([tx.hash for tx in execution.txs], list(touched), block.header.time_ns)


def write_genesis(
    store: Store, tip: ChainTip, changes: Sequence[tuple[bytes, bytes | None]], validators: ValidatorSet
) -> ChainState:
    """Make the first state durable; the chain is then one below its initial height."""
    root = store.stage(tip.height, changes)
    first = ChainTip.at_genesis(
        tip.chain_id, tip.initial_height, tip.last_block_time_ns, validators, root, tip.params
    )
    state = ChainState(first, EMPTY_COMMIT, EMPTY_PQ_COMMIT)
    rows = (("v", tip.initial_height, encode_trusted(validators.to_wire())),)
    batch = HeightBatch(tip.height, encode_tip(state), height_rows=rows)
    store.write_prepared(store.prepare(batch))
    store.finish(batch)
    return state


def read_admitted(store: Store) -> frozenset[str]:
    """The ids of the nodes that may connect after the last height in the store."""
    return _read_nodes(store.get(NODES_KEY))


def _read_nodes(raw: bytes | None) -> frozenset[str]:
    return frozenset() if raw is None else frozenset(node_id.hex() for node_id in decode_record(NODES_KEY, raw))


def require_known_rules(tip: ChainTip) -> None:
    """Raise `UpgradeRequiredError` if the block after this one follows rules that this software does not know."""
    get_rules(tip.params.app_version)


def load_state(store: Store) -> ChainState:
    """The state after the last height in the store."""
    return decode_tip(store)


__all__: list[Any] = [
    "CommittedBlock",
    "Execution",
    "LedgerExecutor",
    "load_state",
    "read_admitted",
    "require_known_rules",
    "write_genesis",
]
