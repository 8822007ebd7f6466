"""What the parts of the node around consensus are to each other: the executor, the peers, and the state between two heights.

Protocols and one record, no behaviour. The driver is written against these, so that the simulator can be the second implementation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from consensus.block import Block
from consensus.block_id import BlockID
from consensus.commit import Commit, PqCommit
from consensus.messages import ReportEvidence
from consensus.validation import ChainTip
from consensus.vote import Proposal, Vote
from node.sync.messages import CertifiedBlock
from state.primitives.errors import RemoteError


@dataclass(frozen=True, slots=True)
class ChainState:
    """What consensus needs to know after a height is durable: the chain's tip and the commit that made it final.

    At genesis the tip's height is the initial height less one, and the commits are the empty ones.
    """

    tip: ChainTip
    last_commit: Commit
    last_pq_commit: PqCommit
    had_txs: bool = False  # whether the last block had transactions

    @property
    def height(self) -> int:
        """The last decided height."""
        return self.tip.height


class Executor(Protocol):
    """Where a block meets the ledger. Long work must leave the event loop free; a call may be cancelled when its height is over."""

    async def build_value(self, height: int, round_: int, last_commit: Commit) -> Block:
        """Our block for a height: from the mempool, dated after the last block."""
        ...

    async def validate(self, block: Block) -> bool:
        """Whether the block may be prevoted: chain rules, and a ledger that accepts it. False for any fault, never an exception."""
        ...

    async def commit(self, block: Block, commit: Commit, pq_commit: PqCommit) -> ChainState:
        """Apply a decided block and make it durable; the state after it. Raising stops the node."""
        ...

    def has_pending_txs(self) -> bool:
        """Whether a block built now would have a transaction in it."""
        ...

    def add_evidence(self, report: ReportEvidence) -> None:
        """Keep two contradicting messages, as a proof for a coming block. May be told the same twice."""
        ...


class Outbox(Protocol):
    """Towards the peers. Nothing here waits."""

    def broadcast(self, message: Vote | Proposal) -> None:
        """Push our signed message to every peer."""
        ...

    def want_block(self, height: int, block_id: BlockID) -> None:
        """Fetch a block; it comes back through `Driver.submit`."""
        ...

    def add_block(self, block: Block) -> None:
        """Serve this block to peers that want it."""
        ...

    def report(self, peer: str, error: RemoteError) -> None:
        """A peer sent what no honest one sends."""
        ...

    def changed(self) -> None:
        """The core has taken a step: peers may need something, or may want to know."""
        ...

    def decided(self, state: ChainState, certified: CertifiedBlock) -> None:
        """A height is durable."""
        ...
