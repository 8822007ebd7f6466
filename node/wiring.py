"""The composition root: makes the parts of a node and tells each of those it works with. Parts are wired here and nowhere else.

Nothing is started here; no part's work is done here.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import trio

from consensus.commit import HybridVerifier
from node.audit.anchoring import Anchorer
from node.audit.journal import Journal
from node.audit.life import note_alert, note_ban, note_convictions
from node.audit.requests import RequestLog
from node.audit.writer import AuditWriter
from node.backup.task import SnapshotMaker
from node.clock import SystemClock
from node.config import split_listen
from node.config_sections import LOG_MODULES
from node.engine import Edges, Engine
from node.evidence.gossip import EvidenceGossip
from node.evidence.pool import EvidencePool
from node.executor import CommittedBlock, LedgerExecutor, read_admitted
from node.indexer.task import Index, make_index
from node.maintenance.pruning import Pruner, Retention
from node.mempool.gossip import MempoolGossip
from node.mempool.mempool import ACCOUNT_TXS_MAX, Mempool
from node.mempool.pool import Pool
from node.opening import VERSION, Opened, make_greeting
from node.peer_scores import load_scores
from node.reload import Reloader, Targets
from node.rpc.backend import NodeBackend
from node.rpc.events import EventBus
from node.rpc.live import LiveRpc
from node.rpc.tls import open_tls
from node.signing.key_watch import KeyWatch
from node.signing.parts import wire_signer
from node.signing.remote import RemoteSigner
from node.source import StoreSource
from node.statesync.server import SnapshotServer
from node.telemetry.levels import LogLevels
from node.telemetry.logs import get_log
from node.telemetry.metrics import NodeMetrics
from node.telemetry.monitor import Monitor, make_monitor
from node.telemetry.observer import Observer
from node.workers import InlineChecker, WorkerPool, default_worker_count, make_checker
from p2p.channels import BLOCK, CONSENSUS, EVIDENCE, MEMPOOL, SNAPSHOT, SYNC
from p2p.limits import LinkLimits
from p2p.switch import Switch, SwitchSettings, parse_peers
from state.primitives.errors import (
    QenexError,
)
from state.view import RecordCache


@dataclass(frozen=True)
class Parts:
    """A wired node, not yet running."""

    checker: InlineChecker | WorkerPool
    engine: Engine
    gossip: MempoolGossip
    evidence_gossip: EvidenceGossip
    snapshots: SnapshotServer
    pruner: Pruner
    snapshot_maker: SnapshotMaker
    index: Index | None
    switch: Switch
    backend: NodeBackend
    metrics: NodeMetrics
    monitor: Monitor
    clock: SystemClock
    reloader: Reloader
    warn: Callable[[str, QenexError], None]
    audit: AuditWriter
    requests: RequestLog
    anchorer: Anchorer | None
    signing: KeyWatch | RemoteSigner | None  # what has to run so that this node can sign


def make_warn(module: str) -> Callable[[str, QenexError], None]:
    """Lines about what was refused. A part that names itself in place of a peer gets its own logger."""

    def warn(who: str, error: QenexError) -> None:
        log = get_log(who if who in LOG_MODULES else module)
        log.warning("refused", who=who, error=error.name, code=error.code, reason=error.message, hint=error.hint)

    return warn


def wire(opened: Opened) -> Parts:
    """Make the parts and tell each of those it works with. Raises `ConfigError` for settings that name what does not do."""
    config, document, store, state = opened.config, opened.document, opened.store, opened.state
    clock, verifier, bus = SystemClock(), HybridVerifier(), EventBus()
    checker = _make_checker(config.workers.signatures)
    records = RecordCache(store, state.height)
    signer, own_address = opened.signer, b"" if opened.signer is None else opened.signer.address
    executor = LedgerExecutor(store, document.hash, records, state, own_address, verifier, clock)

    log = get_log("consensus")
    warn = make_warn("p2p")
    switch = _make_switch(opened, clock, warn)
    metrics = NodeMetrics(document.chain_id)
    audit = AuditWriter(Journal(opened.home.audit_log_file), clock.now_ns, warn, get_log("app"))
    pool = Pool(config.mempool.txs_max, config.mempool.bytes_max, ACCOUNT_TXS_MAX)

    def on_added(hashes: list[bytes], source: str) -> None:
        gossip.added(hashes, source)
        engine.notify_txs()

    mempool = Mempool(pool, records, document.hash, checker, clock, lambda h: store.tx_location(h) is not None, on_added)
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
        signer=signer,
        clock=clock,
        verifier=verifier,
        data_directory=opened.home.data_dir,
        warn=make_warn("sync"),
    )
    engine = Engine(edges, state)
    evidence_warn = make_warn("evidence")
    evidence = EvidencePool(
        opened.home.evidence_file, document.chain_id, own_address, executor.history, lambda: executor.state.tip, verifier, evidence_warn
    )
    executor.attach_evidence(evidence)
    evidence_gossip = EvidenceGossip(switch, switch.inbound(EVIDENCE), evidence, engine.sync.height_of)
    backend = NodeBackend(config.moniker, VERSION, document, signer, store, executor, mempool, engine, switch, clock, bus)

    def on_committed(committed: CommittedBlock) -> None:
        bus.publish_block(committed)
        switch.set_height(committed.block.header.height)
        _follow_admissions(switch, committed)
        observer.measure_block(committed)
        note_convictions(audit, committed, () if signer is None else signer.addresses)
        _log_block(committed, log)

    executor.on_committed.append(on_committed)
    index = _add_index(opened, backend, executor)
    observer = Observer(metrics, opened.home, store, executor, mempool, engine, switch, evidence, signer, clock.now_ns)
    monitor = backend.monitor = make_monitor(opened.home, config, metrics, observer, clock, get_log("monitor"))
    switch.on_banned, monitor.on_alert = note_ban(audit), note_alert(audit)
    anchorer = observer.anchorer = _make_anchorer(opened, audit, mempool, clock, warn)
    backend.audit = observer.audit = audit
    snapshots = SnapshotServer(switch, switch.inbound(SNAPSHOT), store, StoreSource(store), config.storage.snapshot_interval)
    retention = Retention(config.storage.retain_blocks, config.storage.snapshot_interval)
    pruner = Pruner(store, retention, lambda: executor.state.tip, get_log("storage"))
    maker, reloader = _add_snapshots(opened, backend), _add_reloader(opened, backend, pool, pruner, monitor)
    note_administration(audit, reloader, maker)
    return Parts(
        checker, engine, gossip, evidence_gossip, snapshots, pruner, maker, index, switch, backend, metrics, monitor, clock, reloader, warn,
        audit, RequestLog(audit, trio.current_time), anchorer, wire_signer(opened, executor, evidence, metrics, audit, get_log("signer")),
    )  # fmt: skip


def note_administration(audit: AuditWriter, reloader: Reloader, maker: SnapshotMaker) -> None:
    """The audit log hears of what is done to a running node."""
    reloader.on_reload = lambda changed: audit.note("node", "config.reload", changed=changed)
    reloader.targets.levels.on_set = lambda module, level: audit.note("node", "log.level", module=module, level=level)
    maker.on_made = lambda name, height: audit.note("node", "snapshot.create", name=name, height=height)


def _log_block(committed: CommittedBlock, log: Any) -> None:
    header = committed.block.header
    log.info(
        "block committed", height=header.height, round=committed.commit.round, txs=len(committed.txs), app_hash=committed.app_hash
    )


def _make_anchorer(
    opened: Opened, audit: AuditWriter, mempool: Mempool, clock: SystemClock, warn: Callable[[str, QenexError], None]
) -> Anchorer | None:
    """What anchors the audit log; None if the settings name no key for it."""
    if opened.anchor_key is None:
        return None
    interval_s = opened.config.audit.anchor_interval_s
    return Anchorer(audit, opened.anchor_key, opened.store, mempool.submit, opened.document.hash, interval_s, clock.now_ns, warn)


def _make_checker(workers: int | str) -> InlineChecker | WorkerPool:
    return make_checker(workers if isinstance(workers, int) else default_worker_count(2))


def _add_reloader(opened: Opened, backend: NodeBackend, pool: Pool, pruner: Pruner, monitor: Monitor) -> Reloader:
    """What changes settings while the node runs, asked by RPC."""
    config, clock = opened.config, SystemClock()
    levels = backend.levels = LogLevels(config.log, clock.now_ns)
    live = LiveRpc(config.rpc, open_tls(opened.home.root, config.rpc))
    reloader = backend.reloader = Reloader(opened, Targets(levels, live, backend.switch, pool, pruner, monitor, clock))
    return reloader


def _add_index(opened: Opened, backend: NodeBackend, executor: LedgerExecutor) -> Index | None:
    """The index of history, told of every height and asked by RPC; None if the settings want none."""
    chain = opened.document.hash.hex()
    index = backend.index = make_index(opened.home, opened.config.index, opened.store.snapshot, chain, get_log("index"))
    if index is not None:
        notify = index.indexer.notify
        executor.on_committed.append(lambda committed: notify())
    return index


def _add_snapshots(opened: Opened, backend: NodeBackend) -> SnapshotMaker:
    """What makes snapshots when RPC asks for one."""
    needs_ticket = opened.config.rpc.access == "open"
    take = partial(opened.store.snapshot, fill_cache=False)
    maker = SnapshotMaker(take, opened.document, opened.home.snapshots_dir, VERSION, get_log("storage"), needs_ticket=needs_ticket)
    backend.snapshots = maker
    return maker


def _follow_admissions(switch: Switch, committed: CommittedBlock) -> None:
    """Who may be a peer is in the state: when a block changes it, whoever is no longer admitted is disconnected."""
    if committed.admitted is not None:
        get_log("p2p").info("admitted nodes changed", nodes=len(committed.admitted))
        switch.set_admitted(committed.admitted)


def _make_switch(opened: Opened, clock: SystemClock, warn: Callable[[str, QenexError], None]) -> Switch:
    config, document = opened.config, opened.document
    host, port = split_listen(config.p2p.listen)
    greeting = make_greeting(config, document, opened.state.height)
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
