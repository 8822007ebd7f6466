"""Joining as a step before the node starts: its own switch, the joiner, the database at the end. Wiring only."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import trio

from consensus.commit import HybridVerifier
from consensus.light import Trust
from genesis.document import Document
from node.clock import NS_PER_S, SystemClock
from node.config import Home, StateSync
from node.config_sections import Config
from node.light.client import TrustedStart
from node.light.trusted import TrustedStore
from node.statesync.desk import Desk
from node.statesync.joining import Joiner, Warn
from node.statesync.restore import ChunkFolder, build_store
from node.storage.store import StoreOptions
from p2p.channels import SNAPSHOT
from p2p.handshake import Greeting
from p2p.identity import NodeIdentity
from p2p.switch import Switch, SwitchSettings, parse_peers
from state.primitives.errors import ClientError, QenexError

PEERS_SECONDS_MAX = 30.0
MORE_PEERS_SECONDS = 2.0


def join_network(
    home: Home, config: Config, document: Document, identity: NodeIdentity, greeting: Greeting, options: StoreOptions,
    wanted: StateSync, warn: Warn, say: Callable[[str], None],
) -> int:  # fmt: skip
    """Make the database of a home from peers' snapshots; returns its height. Raises `QenexError`."""
    host, _, port = config.p2p.listen.rpartition(":")
    peers = parse_peers(config.p2p.peers)
    # the list of admitted nodes is in the state that is still to come: until then those of genesis and those that the operator names
    admitted = frozenset((*document.allowed_node_ids, *(peer.id for peer in peers)))
    settings = SwitchSettings(host.strip("[]"), int(port), peers, admitted)

    async def work() -> int:
        clock = SystemClock()
        switch = Switch(settings, identity, greeting, now_ns=clock.now_ns, jitter=random.SystemRandom().random, warn=warn)
        desk = Desk(switch, switch.inbound(SNAPSHOT))
        async with trio.open_nursery() as nursery:
            await nursery.start(desk.run)
            await nursery.start(switch.run)
            if not await desk.wait_for_peers(1, PEERS_SECONDS_MAX):
                raise ClientError("no peer answers", hint="are [p2p] peers right, and is this node's key admitted?")
            await desk.wait_for_peers(len(settings.peers), MORE_PEERS_SECONDS)
            joiner = Joiner(
                desk,
                TrustedStart(wanted.height, wanted.hash),
                Trust(wanted.period_s * NS_PER_S, needs_pq=True),
                TrustedStore(home.data_dir / "light"),
                lambda height, roots: ChunkFolder(home.data_dir / "joining", height, roots),
                HybridVerifier(),
                clock,
                warn,
                say,
                initial_height=document.initial_height,
            )
            snapshot = await joiner.join()
            offer = snapshot.offer
            build_store(
                home.db_dir, options, snapshot.folder, offer.height, offer.tip, snapshot.height_rows(), snapshot.app_hash
            )
            _clean(home.data_dir)
            say(f"joined at height {offer.height} with {joiner.chunks} chunks, {desk.bytes} bytes received")
            nursery.cancel_scope.cancel()
        return offer.height

    home.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return trio.run(work)
    except BaseExceptionGroup as group:
        leaf: BaseException = group
        while isinstance(leaf, BaseExceptionGroup) and len(leaf.exceptions) == 1:
            leaf = leaf.exceptions[0]
        if isinstance(leaf, QenexError):
            raise leaf from None
        raise


def _clean(data_dir: Path) -> None:
    for name in ("joining", "light"):
        shutil.rmtree(data_dir / name, ignore_errors=True)
