"""`qenex bench pipeline`: what one node does with a transaction, without network and without waiting for others.

Every block takes the running node's own path: bodies go through `Mempool.submit` (decoding, admission, signatures in worker
processes or inline), `LedgerExecutor` builds and executes the block once and commits it durably. As in the running node, the
signatures of the next block are checked while this one executes. Making the state and signing the transfers are off the clock.
Nothing is simplified for the measurement; the disk is the real one under `directory`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from consensus.block import Block
from consensus.commit import EMPTY_COMMIT, EMPTY_PQ_COMMIT, Commit, CommitSig, Flag, HybridVerifier, PqCommit
from consensus.vote import VoteType, vote_sign_bytes
from genesis.document import Document
from genesis.entries import single_key_address
from genesis.testnet import ASSET, NodePlan, bench_seed_label
from node.bench.seed import fill_store, plan_single
from node.bench.signing import LoadAccount, TransferPlan, sign_transfers
from node.clock import NS_PER_S, SystemClock
from node.executor import CommittedBlock, LedgerExecutor
from node.gc_tuning import tune_gc
from node.mempool.mempool import Mempool
from node.mempool.pool import Pool
from node.roles import ChainState
from node.storage.store import Store
from node.testnet.files import load_account_seed
from node.workers import SignatureChecker, SignatureJob, WorkerPool, default_worker_count, make_checker, verify_now
from state.admission import signature_jobs
from state.codes import Code
from state.params import ConsensusParams
from state.primitives.errors import ConfigError, ConsensusFailure
from state.primitives.hashing import sha256
from state.primitives.keys import CONTEXT_VOTE, KeyKind, PrivateKey
from state.primitives.limits import BLOCK_BYTES_HARD_MAX, BLOCK_TXS_MAX
from state.transaction import Transaction
from state.view import RecordCache, View

TRANSACTIONS_MAX: Final = 10_000_000
SAMPLE_TXS: Final = 2_000  # of the run's own transactions, for the costs that overlap hides
VALID_FOR_S: Final = 6 * 3_600
POOL_BYTES_MAX: Final = 1024 * 1024 * 1024
LOAD_SEED: Final = sha256(b"qenex/bench/pipeline")


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What to run. `workers` None: as many as the machine has cores to spare."""

    txs: int = 40_000
    accounts: int = 10_000
    block_txs: int = 5_000
    workers: int | None = None


@dataclass(frozen=True, slots=True)
class PipelineReport:
    """The outcome; `to_json` is stable. `stages_us` are microseconds for one transaction; stages overlap, so they do not add up.

    `decode` is part of `admit`; `verify` is one core's work.
    """

    transactions: int
    seconds: float
    stages_us: dict[str, float]
    accounts: int

    def to_json(self) -> dict[str, object]:
        """The machine-readable form."""
        return {
            "transactions": self.transactions,
            "seconds": round(self.seconds, 3),
            "tps": round(self.transactions / self.seconds, 1),
            "stages_us": self.stages_us,
            "accounts": self.accounts,
        }


@dataclass(slots=True)
class _Stages:
    """Seconds of the whole run by stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, name: str, seconds: float) -> None:
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds

    def on_committed(self, committed: CommittedBlock) -> None:
        for name in ("tree", "store"):
            self.add(name, committed.seconds[name])

    def per_tx_us(self, count: int) -> dict[str, float]:
        return {name: round(seconds * 1e6 / count, 2) for name, seconds in self.seconds.items()}


class _MeasuredChecker:
    """A checker that knows how long it was waited for."""

    def __init__(self, inner: SignatureChecker) -> None:
        self._inner = inner
        self.waited = 0.0

    async def verify(self, jobs: Sequence[SignatureJob]) -> list[bool]:
        """See `SignatureChecker`."""
        started = time.perf_counter()
        verdicts = await self._inner.verify(jobs)
        self.waited += time.perf_counter() - started
        return verdicts


def run_pipeline(options: PipelineOptions, directory: Path) -> PipelineReport:
    """Measure in an empty directory. Raises `ConfigError` for impossible options."""
    for name, value, least, most in (
        ("transactions", options.txs, 1, TRANSACTIONS_MAX),
        ("accounts", options.accounts, 2, TRANSACTIONS_MAX),
        ("block", options.block_txs, 1, BLOCK_TXS_MAX),
        ("workers", options.workers or 0, 0, 256),
    ):
        if not least <= value <= most:
            raise ConfigError(f"--{name} {value}: {least} to {most} are possible")
    params = ConsensusParams(block_bytes_max=BLOCK_BYTES_HARD_MAX, block_txs_max=options.block_txs)
    plan = plan_single("qenex-pipeline", (int(time.time()) - 60) * NS_PER_S, LOAD_SEED, params)
    store = Store.create(directory / "db")
    try:
        state = fill_store(store, plan.document, LOAD_SEED, options.accounts)
        raws = _sign(options, plan.document.hash)
        return trio.run(_measure, options, plan.document, plan.nodes[0], store, state, raws)
    finally:
        store.close()


def _sign(options: PipelineOptions, chain_id: bytes) -> list[bytes]:
    """Transfers in the order they arrive: every account's first, then every account's second, ..."""
    senders = max(2, min(options.accounts, options.txs))
    seeds = [load_account_seed(LOAD_SEED, bench_seed_label(index)) for index in range(senders)]
    accounts = [
        LoadAccount(seed, single_key_address(PrivateKey.from_seed(KeyKind.ED25519, seed).public_key), 0) for seed in seeds
    ]
    recipients = tuple(account.address for account in accounts)
    plan = TransferPlan(chain_id, ASSET, 1, int(time.time()) + VALID_FOR_S, 0, recipients)
    of_accounts = sign_transfers(plan, accounts, options.txs)
    turns = max(map(len, of_accounts))
    return [mine[turn].raw for turn in range(turns) for mine in of_accounts if turn < len(mine)]


async def _measure(
    options: PipelineOptions, document: Document, node: NodePlan, store: Store, state: ChainState, raws: Sequence[bytes]
) -> PipelineReport:
    stages = _Stages()
    _measure_samples(raws[:SAMPLE_TXS], len(raws), RecordCache(store, state.height), stages)
    clock = SystemClock()
    records = RecordCache(store, state.height)
    proposer = state.tip.validators.validators[0].address
    executor = LedgerExecutor(store, document.hash, records, state, proposer, HybridVerifier(), clock)
    executor.on_committed.append(stages.on_committed)
    inner = make_checker(default_worker_count() if options.workers is None else options.workers)
    checker = _MeasuredChecker(inner)
    room = 2 * options.block_txs
    mempool = Mempool(
        Pool(room, POOL_BYTES_MAX, room),
        records,
        document.hash,
        checker,
        clock,
        lambda tx_hash: store.tx_location(tx_hash) is not None,
        lambda hashes, source: None,
    )
    executor.attach(mempool)
    blocks = [raws[start : start + options.block_txs] for start in range(0, len(raws), options.block_txs)]
    async with trio.open_nursery() as nursery:
        if isinstance(inner, WorkerPool):
            await nursery.start(inner.run)
            await inner.verify(_warm_up_jobs(inner.count))
        tune_gc()
        seconds = await _Pipeline(executor, mempool, checker, node, stages).run(blocks)
        nursery.cancel_scope.cancel()
    return PipelineReport(len(raws), seconds, stages.per_tx_us(len(raws)), options.accounts)


def _warm_up_jobs(count: int) -> list[SignatureJob]:
    """One check for each process, so that all have started before the clock does."""
    return [(PrivateKey.from_seed(KeyKind.ED25519, LOAD_SEED).public_key, b"", bytes(64), b"")] * count


def _measure_samples(raws: Sequence[bytes], count: int, records: RecordCache, stages: _Stages) -> None:
    """Decoding and one core's signature checks, alone on this core; scaled to the whole run."""
    started = time.perf_counter()
    txs = [Transaction.decode(raw) for raw in raws]
    decoded = time.perf_counter()
    view = View(records)
    checks = [signature_jobs(tx, view) for tx in txs]
    jobs = [job for check in checks if check is not None for job in check.jobs]
    prepared = time.perf_counter()
    verify_now(jobs)
    verified = time.perf_counter()
    scale = count / len(raws)
    stages.add("decode", (decoded - started) * scale)
    stages.add("verify", (verified - prepared) * scale)


class _Pipeline:
    """Blocks one after another; the next one's bodies are admitted meanwhile."""

    def __init__(
        self, executor: LedgerExecutor, mempool: Mempool, checker: _MeasuredChecker, node: NodePlan, stages: _Stages
    ) -> None:
        self._executor = executor
        self._mempool = mempool
        self._checker = checker
        self._node = node
        self._stages = stages

    async def run(self, blocks: Sequence[Sequence[bytes]]) -> float:
        """Seconds from the first body handed in to the last block durable."""
        started = time.perf_counter()
        commit, pq_commit = EMPTY_COMMIT, EMPTY_PQ_COMMIT
        await self._submit(blocks[0])
        for number, bodies in enumerate(blocks):
            async with trio.open_nursery() as nursery:
                if number + 1 < len(blocks):
                    nursery.start_soon(self._submit, blocks[number + 1])
                    await trio.lowlevel.checkpoint()  # the next block's signatures are on their way first
                block = await self._build(commit)
                if len(block.txs) != len(bodies):
                    raise ConsensusFailure(f"a block took {len(block.txs)} of {len(bodies)} transfers")
                commit, pq_commit = self._sign_commit(block)
                await self._commit(block, commit, pq_commit)
        return time.perf_counter() - started

    async def _submit(self, raws: Sequence[bytes]) -> None:
        waited, began = self._checker.waited, time.perf_counter()
        results = await self._mempool.submit(raws)
        # while a block's signatures are waited for, another block executes: its time may exceed what is left of ours
        self._stages.add("admit", max(0.0, time.perf_counter() - began - (self._checker.waited - waited)))
        refused = next((result for result in results if result.code != Code.OK), None)
        if refused is not None:
            raise ConsensusFailure(f"a transfer was refused ({refused.code}): {refused.log}")

    async def _build(self, last_commit: Commit) -> Block:
        began = time.perf_counter()
        block = await self._executor.build_value(self._executor.state.height + 1, 0, last_commit)
        self._stages.add("execute", time.perf_counter() - began)
        return block

    def _sign_commit(self, block: Block) -> tuple[Commit, PqCommit]:
        """The only validator's precommit, with both signatures."""
        key, pq_key = self._node.validator_keys
        header, block_id = block.header, block.block_id()
        data = vote_sign_bytes(header.chain_id, VoteType.PRECOMMIT, header.height, 0, block_id, header.time_ns)
        part = CommitSig(Flag.COMMIT, header.proposer_address, header.time_ns, key.sign(data, CONTEXT_VOTE))
        pq_commit = PqCommit(header.height, 0, (pq_key.sign(data, CONTEXT_VOTE),))
        return Commit(header.height, 0, block_id, (part,)), pq_commit

    async def _commit(self, block: Block, commit: Commit, pq_commit: PqCommit) -> None:
        seconds = self._stages.seconds
        before, began = _storing(seconds), time.perf_counter()
        await self._executor.commit(block, commit, pq_commit)
        self._stages.add("commit_other", time.perf_counter() - began - (_storing(seconds) - before))


def _storing(seconds: dict[str, float]) -> float:
    return seconds.get("tree", 0.0) + seconds.get("store", 0.0)
