"""The composition root: one process, one nursery. Opens a home, wires the parts, runs them, ends them in order.

Start: settings, genesis, keys, store, signer record, log; then replay; only then the network and RPC. A part that fails cancels all others
and the process ends with a non-zero exit: no RPC goes on answering for a dead consensus. Parts are wired here and nowhere else; no
part's work is done here.
"""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import structlog
import trio

from consensus.commit import HybridVerifier
from consensus.validation import ChainTip
from genesis.build import build_changes, build_params, build_validators
from genesis.document import Document, parse
from node.clock import SystemClock
from node.config import Home, Overrides, StateSync, load_config
from node.config_sections import Config
from node.engine import Edges, Engine
from node.evidence.gossip import EvidenceGossip
from node.evidence.pool import EvidencePool
from node.executor import CommittedBlock, LedgerExecutor, load_state, read_admitted, require_known_rules, write_genesis
from node.gc_tuning import tune_gc
from node.indexer.task import Index, make_index
from node.keystore import KeySet, Role, read_key_file
from node.look_back import check_record_against_chain
from node.maintenance.pruning import Pruner, Retention
from node.mempool.gossip import MempoolGossip
from node.mempool.mempool import ACCOUNT_TXS_MAX, Mempool
from node.mempool.pool import Pool
from node.peer_scores import keep_scores, load_scores
from node.roles import ChainState
from node.rpc.access import open_access
from node.rpc.backend import NodeBackend
from node.rpc.events import EventBus
from node.rpc.server import serve_rpc
from node.rpc.tls import open_tls
from node.signer import Signer
from node.source import StoreSource
from node.statesync.run import join_network
from node.statesync.server import SnapshotServer
from node.stop_deadline import StopDeadline
from node.storage.store import Store, StoreOptions
from node.telemetry.logs import configure_logs
from node.telemetry.metrics import NodeMetrics, serve_metrics
from node.telemetry.monitor import Monitor, make_monitor
from node.telemetry.observer import Observer
from node.tips import find_commit
from node.wal import Wal
from node.workers import InlineChecker, WorkerPool, default_worker_count, make_checker
from p2p.channels import BLOCK, CONSENSUS, EVIDENCE, MEMPOOL, SNAPSHOT, SYNC
from p2p.handshake import PROTOCOL_VERSION, Greeting
from p2p.identity import NodeIdentity
from p2p.limits import LinkLimits
from p2p.switch import Switch, SwitchSettings, parse_peers
from state.primitives.errors import (
    ConfigError,
    HomeError,
    KeyFileError,
    PortInUseError,
    QenexError,
    UpgradeRequiredError,
)
from state.primitives.limits import GENESIS_BYTES_MAX
from state.view import RecordCache

VERSION: Final = metadata.version("qenex-node")
EXIT_OPERATOR: Final = 2
EXIT_FAILURE: Final = 1
GRACE_SECONDS: Final = 1.5  # of an orderly stop; supervisors wait longer, operators do not


@dataclass(frozen=True)
class Opened:
    """A home with everything in it open and checked."""

    home: Home
    config: Config
    document: Document
    identity: NodeIdentity
    store: Store
    state: ChainState
    signer: Signer | None
    wal: Wal


def run(root: Path, *, overrides: Overrides) -> int:
    """Run the node of a home until SIGTERM or Ctrl-C. Returns the exit code; raises `QenexError` for an operator's mistake."""
    deadline = StopDeadline(GRACE_SECONDS)
    with ExitStack() as stack:
        stack.callback(deadline.cancel)  # after everything is closed
        opened = open_home(root, overrides, stack)
        configure_logs(
            level=opened.config.log.level,
            as_json=opened.config.log.format == "json",
            moniker=opened.config.moniker,
        )
        try:
            return trio.run(_run, opened, deadline)
        except BaseExceptionGroup as group:
            return _report(group)


def open_home(root: Path, overrides: Overrides, stack: ExitStack) -> Opened:
    """Open a home; what is opened is closed by `stack`. Raises `QenexError` with a hint for everything an operator can mend."""
    home = Home(root)
    home.require()
    config = load_config(home.config_file, overrides=overrides.settings)
    document = parse(_read_genesis(home.genesis_file))
    identity = NodeIdentity(_read_keys(home.node_key_file, Role.NODE, overrides).key.seed)
    if overrides.state_sync is not None and not home.db_dir.exists():
        _join(home, config, document, identity, overrides.state_sync)
    store = open_store(home, config, document)
    stack.callback(store.close)
    state = load_state(store)
    if state.tip.chain_id != document.chain_id:
        raise ConfigError(f"the database in {home.db_dir} is of chain {state.tip.chain_id}", hint="genesis.json is another network's")
    require_known_rules(state.tip)
    signer = _open_signer(home, document, state, overrides)
    position = 0
    if signer is not None:
        stack.callback(signer.close)
        check_record_against_chain(signer, state.height, lambda height: find_commit(store, height))
        if signer.record.height == state.height + 1:
            position = signer.record.log_position
    wal = Wal.open(home.wal_dir, document.hash, state.height + 1, signed_position=position)
    stack.callback(wal.close)
    return Opened(home, config, document, identity, store, state, signer, wal)


def _read_genesis(path: Path) -> bytes:
    """The bytes of genesis.json, which is no secret: any mode will do."""
    try:
        with path.open("rb") as file:
            return file.read(GENESIS_BYTES_MAX + 1)
    except OSError as error:
        raise HomeError(f"cannot read {path}: {error.strerror}", hint="get the document from another operator") from error


def _join(home: Home, config: Config, document: Document, identity: NodeIdentity, wanted: StateSync) -> None:
    """Make the database from peers' snapshots."""
    log = structlog.get_logger()

    def warn(who: str, error: QenexError) -> None:
        log.warning("refused", who=who, error=error.name, code=error.code, reason=error.message, hint=error.hint)

    greeting = _make_greeting(config, document, 0)
    join_network(home, config, document, identity, greeting, store_options(config), wanted, warn, lambda text: log.info(text))


def store_options(config: Config) -> StoreOptions:
    """The store's bounds as the operator set them."""
    settings = config.storage
    return StoreOptions(settings.cache_bytes, settings.values_max, settings.leaves_max, tree_worker=config.workers.tree)


def open_store(home: Home, config: Config, document: Document) -> Store:
    """The store of a home; a new one gets the first state of its genesis document."""
    options = store_options(config)
    home.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = Store.open(home.db_dir, options) if home.db_dir.exists() else Store.create(home.db_dir, options)
    if not store.tip:
        validators = build_validators(document)
        tip = ChainTip.at_genesis(
            document.chain_id,
            document.initial_height,
            document.time_ns,
            validators,
            b"",
            build_params(document).consensus,
        )
        write_genesis(store, tip, build_changes(document), validators)
    return store


def _read_keys(path: Path, role: Role, overrides: Overrides) -> KeySet:
    def passphrase(file: Path) -> bytes:
        if overrides.passphrase is None:
            raise KeyFileError(f"{file} is encrypted", hint="give --passphrase-file or set QENEX_PASSPHRASE")
        return overrides.passphrase(file)

    return read_key_file(path, passphrase, role=role)


def _open_signer(home: Home, document: Document, state: ChainState, overrides: Overrides) -> Signer | None:
    if not home.validator_key_file.exists():
        return None
    keys = _read_keys(home.validator_key_file, Role.VALIDATOR, overrides)
    if overrides.accept_empty_signer_record:
        return Signer.open_or_accept_empty(
            home.signer_file, document.hash, keys.key, keys.pq_key, abstain_through=state.height + 1
        )
    return Signer.open(home.signer_file, document.hash, keys.key, keys.pq_key)


async def _run(opened: Opened, deadline: StopDeadline) -> int:
    log = structlog.get_logger()
    async with trio.open_nursery() as nursery:
        await nursery.start(_run_node, opened)
        log.info("node started", home=str(opened.home.root), height=opened.state.height, version=VERSION)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                deadline.start()
                break
        nursery.cancel_scope.cancel()
    return 0


@dataclass(frozen=True)
class _Parts:
    """A wired node, not yet running."""

    checker: InlineChecker | WorkerPool
    engine: Engine
    gossip: MempoolGossip
    evidence_gossip: EvidenceGossip
    snapshots: SnapshotServer
    pruner: Pruner
    index: Index | None
    switch: Switch
    backend: NodeBackend
    metrics: NodeMetrics
    monitor: Monitor
    clock: SystemClock
    warn: Callable[[str, QenexError], None]


async def _run_node(opened: Opened, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Wire everything and run it until cancelled."""
    log = structlog.get_logger()
    config = opened.config
    parts = _wire(opened, log)
    access, tls = open_access(opened.home.tokens_file, config.rpc, trio.current_time, log), open_tls(opened.home.root, config.rpc)
    async with trio.open_nursery() as nursery:
        if isinstance(parts.checker, WorkerPool):
            await nursery.start(parts.checker.run)
        await nursery.start(parts.engine.run)
        await nursery.start(parts.gossip.run)
        await nursery.start(parts.evidence_gossip.run)
        await nursery.start(parts.snapshots.run)
        await nursery.start(parts.pruner.run)
        if parts.index is not None:
            await nursery.start(parts.index.indexer.run)
        p2p_address = await nursery.start(parts.switch.run)
        await nursery.start(keep_scores, opened.home.peer_scores_file, parts.switch.scores, parts.clock, parts.warn)
        serve = partial(serve_rpc, access=access, tls=tls)
        rpc_address = await nursery.start(serve, parts.backend, config.rpc, log)
        log.info("listening", p2p=p2p_address, rpc=rpc_address, node_id=parts.switch.id)
        await nursery.start(parts.monitor.run)
        if config.metrics.listen:
            await _start_metrics(nursery, parts.metrics, config.metrics.listen)
        tune_gc()
        task_status.started()


async def _start_metrics(nursery: trio.Nursery, metrics: NodeMetrics, listen: str) -> None:
    try:
        await nursery.start(serve_metrics, metrics, *_split(listen))
    except* OSError as group:
        error = group.exceptions[0]
        raise PortInUseError(
            f"cannot serve metrics on {listen}: {getattr(error, 'strerror', None) or error}",
            hint='stop the program that uses the port, or set [metrics] listen = "" in config.toml',
        ) from error


def _wire(opened: Opened, log: Any) -> _Parts:
    """Make the parts and tell each of those it works with."""
    config, document, store, state = opened.config, opened.document, opened.store, opened.state
    clock, verifier, bus = SystemClock(), HybridVerifier(), EventBus()
    workers = config.workers.signatures
    checker = make_checker(default_worker_count(2) if workers == "auto" else workers)
    records = RecordCache(store, state.height)
    own_address = b"" if opened.signer is None else opened.signer.address
    executor = LedgerExecutor(store, document.hash, records, state, own_address, verifier, clock)

    def warn(who: str, error: QenexError) -> None:
        log.warning("refused", who=who, error=error.name, code=error.code, reason=error.message, hint=error.hint)

    switch = _make_switch(opened, clock, warn)
    metrics = NodeMetrics(document.chain_id)
    pool = Pool(config.mempool.txs_max, config.mempool.bytes_max, ACCOUNT_TXS_MAX)

    def on_added(hashes: list[bytes], source: str) -> None:
        gossip.added(hashes, source)
        engine.notify_txs()

    mempool = Mempool(
        pool, records, document.hash, checker, clock, lambda h: store.tx_location(h) is not None, on_added
    )
    executor.attach(mempool)
    gossip = MempoolGossip(switch, switch.inbound(MEMPOOL), pool.get, pool.hashes, mempool.submit)
    edges = Edges(
        network=switch,
        consensus_channel=switch.inbound(CONSENSUS),
        block_channel=switch.inbound(BLOCK),
        sync_channel=switch.inbound(SYNC),
        source=StoreSource(store),
        executor=executor,
        find_tx=pool.get,
        wal=opened.wal,
        signer=opened.signer,
        clock=clock,
        verifier=verifier,
        data_directory=opened.home.data_dir,
        warn=warn,
    )
    engine = Engine(edges, state)
    evidence = EvidencePool(
        opened.home.evidence_file,
        document.chain_id,
        own_address,
        executor.history,
        lambda: executor.state.tip,
        verifier,
        warn,
    )
    executor.attach_evidence(evidence)
    evidence_gossip = EvidenceGossip(switch, switch.inbound(EVIDENCE), evidence, engine.sync.height_of)
    backend = NodeBackend(
        config.moniker, VERSION, document, opened.signer, store, executor, mempool, engine, switch, clock, bus
    )

    def on_committed(committed: CommittedBlock) -> None:
        bus.publish_block(committed)
        switch.set_height(committed.block.header.height)
        _follow_admissions(switch, committed, log)
        observer.measure_block(committed)
        log.info(
            "block committed",
            height=committed.block.header.height,
            round=committed.commit.round,
            txs=len(committed.txs),
            app_hash=committed.app_hash,
        )

    executor.on_committed.append(on_committed)
    index = _add_index(opened, backend, executor, log)
    observer = Observer(metrics, opened.home, store, executor, mempool, engine, switch, evidence, own_address, clock.now_ns)
    monitor = backend.monitor = make_monitor(opened.home, config, metrics, observer, clock, log)
    snapshots = SnapshotServer(
        switch, switch.inbound(SNAPSHOT), store, StoreSource(store), config.storage.snapshot_interval
    )
    retention = Retention(config.storage.retain_blocks, config.storage.snapshot_interval)
    pruner = Pruner(store, retention, lambda: executor.state.tip, log)
    return _Parts(checker, engine, gossip, evidence_gossip, snapshots, pruner, index, switch, backend, metrics, monitor, clock, warn)


def _add_index(opened: Opened, backend: NodeBackend, executor: LedgerExecutor, log: Any) -> Index | None:
    """The index of history, told of every height and asked by RPC; None if the settings want none."""
    chain = opened.document.hash.hex()
    index = backend.index = make_index(opened.home, opened.config.index, opened.store.snapshot, chain, log)
    if index is not None:
        notify = index.indexer.notify
        executor.on_committed.append(lambda committed: notify())
    return index


def _follow_admissions(switch: Switch, committed: CommittedBlock, log: Any) -> None:
    """Who may be a peer is in the state: when a block changes it, whoever is no longer admitted is disconnected."""
    if committed.admitted is not None:
        log.info("admitted nodes changed", nodes=len(committed.admitted))
        switch.set_admitted(committed.admitted)


def _make_switch(opened: Opened, clock: SystemClock, warn: Callable[[str, QenexError], None]) -> Switch:
    config, document = opened.config, opened.document
    host, port = _split(config.p2p.listen)
    greeting = _make_greeting(config, document, opened.state.height)
    limits = LinkLimits(inbound_max=config.p2p.inbound_max, handshakes_max=config.p2p.handshakes_max)
    admitted = read_admitted(opened.store)
    settings = SwitchSettings(host, port, parse_peers(config.p2p.peers), admitted, limits)
    return Switch(
        settings,
        opened.identity,
        greeting,
        now_ns=clock.now_ns,
        jitter=random.SystemRandom().random,
        warn=warn,
        scores=load_scores(opened.home.peer_scores_file, trio.current_time(), clock.now_ns(), warn),
    )


def _make_greeting(config: Config, document: Document, height: int) -> Greeting:
    listen = config.p2p.listen if _split(config.p2p.listen)[1] else ""
    return Greeting(PROTOCOL_VERSION, document.hash, VERSION, config.moniker, listen, (), height)


def _split(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host.strip("[]"), int(port)


def _report(group: BaseExceptionGroup[BaseException]) -> int:
    """The exit code for what ended the node; an operator's mistake is raised again as itself."""
    leaves = _leaves(group)
    for error in leaves:
        if isinstance(error, PortInUseError | ConfigError | UpgradeRequiredError):
            raise error from None
    if all(isinstance(error, KeyboardInterrupt | trio.Cancelled) for error in leaves):
        return 0
    structlog.get_logger().error("node failed", errors=[f"{type(e).__name__}: {e}" for e in leaves])
    for error in leaves:
        if not isinstance(error, QenexError):
            sys.excepthook(type(error), error, error.__traceback__)
    return EXIT_FAILURE


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
