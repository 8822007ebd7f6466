"""Consensus as one part of the node: the driver with its gossip, its block propagation and its catching up, wired together.

The composition root gives it the edges (network, store, executor, mempool, log, signer, clock) and runs it; tests and the simulator give
it doubles of them. It is the driver's `Outbox`. Wiring only: whatever decides something lives in one of the four.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from consensus import messages as m
from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import Verifier
from consensus.height import HeightState
from consensus.vote import Proposal, Vote
from node.clock import Clock
from node.consensus_gossip import ConsensusGossip
from node.driver import Driver
from node.network import Network, NetworkEvent
from node.propagation import Propagation
from node.roles import ChainState, Executor
from node.signing.voter import VoteSigner
from node.sync.loop import BlockSource, SyncLoop
from node.sync.messages import CertifiedBlock
from node.telemetry.logs import get_log
from node.wal import Wal
from state.primitives.errors import QenexError, RemoteError

_LOG: Final = get_log("consensus")


@dataclass(frozen=True)
class Edges:
    """What surrounds consensus. The three channels are the switch's, one reader each."""

    network: Network
    consensus_channel: trio.MemoryReceiveChannel[NetworkEvent]
    block_channel: trio.MemoryReceiveChannel[NetworkEvent]
    sync_channel: trio.MemoryReceiveChannel[NetworkEvent]
    source: BlockSource
    executor: Executor
    find_tx: Callable[[bytes], bytes | None]  # a body of the mempool by its hash
    wal: Wal
    signer: VoteSigner | None
    clock: Clock
    verifier: Verifier
    data_directory: Path
    warn: Callable[[str, QenexError], None]  # (peer or part, what happened)


class Engine:
    """`run` it for the life of the node. `on_decided` callbacks are called after each height, in order; they must not wait."""

    def __init__(self, edges: Edges, state: ChainState) -> None:
        self._network = edges.network
        self.driver = Driver(
            state,
            edges.wal,
            edges.signer,
            edges.executor,
            self,
            edges.clock,
            edges.verifier,
            edges.data_directory,
            edges.warn,
        )
        self.propagation = Propagation(
            edges.network, edges.block_channel, edges.clock, edges.find_tx, self._submit_block, self._missing_blocks
        )
        self.gossip = ConsensusGossip(
            edges.network,
            edges.consensus_channel,
            edges.clock,
            self._view,
            self.driver.submit,
            self.propagation.heard_of,
        )
        self.sync = SyncLoop(edges.network, edges.sync_channel, edges.source, self.driver, edges.clock, edges.warn)
        self.on_decided: list[Callable[[ChainState, CertifiedBlock], None]] = []

    @property
    def catching_up(self) -> bool:
        """Whether a peer in good standing claims at least two blocks that we lack."""
        return self.sync.catching_up

    def notify_txs(self) -> None:
        """The mempool has something to build from."""
        self.driver.notify_txs()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Replay the log, then take part until cancelled. Any exception means that the node must stop."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self.driver.run)  # nothing from the network before the log is replayed (J7)
            await nursery.start(self.propagation.run)
            await nursery.start(self.gossip.run)
            await nursery.start(self.sync.run)
            task_status.started()

    def _view(self) -> HeightState | None:
        return self.driver.core.view if self.driver.core.height else None

    def _missing_blocks(self) -> tuple[int, list[BlockID]]:
        core, view = self.driver.core, self._view()
        return (0, []) if view is None or core.decided else (view.height, view.missing_blocks())

    async def _submit_block(self, block: Block) -> None:
        await self.driver.submit(m.BlockReceived(block))

    # the driver's outbox

    def broadcast(self, message: Vote | Proposal) -> None:
        """See `node.roles.Outbox`."""
        _LOG.debug("said", what=type(message).__name__, height=message.height, round=message.round)
        self.gossip.broadcast(message)
        if isinstance(message, Proposal) and message.pol_round < 0:
            self.propagation.announce(message.block_id)  # a block of an earlier round is known or asked for

    def want_block(self, height: int, block_id: BlockID) -> None:
        """See `node.roles.Outbox`."""
        _LOG.debug("block wanted", height=height, hash=block_id.hash)
        self.propagation.want_block(height, block_id)

    def add_block(self, block: Block) -> None:
        """See `node.roles.Outbox`."""
        self.propagation.add_block(block)

    def report(self, peer: str, error: RemoteError) -> None:
        """See `node.roles.Outbox`."""
        _LOG.debug("peer reported", peer=peer, error=error.name, reason=error.message)
        self._network.report(peer, error)

    def changed(self) -> None:
        """See `node.roles.Outbox`."""
        self.gossip.changed()

    def decided(self, state: ChainState, certified: CertifiedBlock) -> None:
        """See `node.roles.Outbox`."""
        self.propagation.decided(state.height)
        self.sync.decided(state.height)
        for callback in self.on_decided:
            callback(state, certified)
