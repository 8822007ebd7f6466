"""Decided blocks executed again on a store: each with its whole certificate checked first, then by the node's own executor.

Both signatures of every validator in a commit are verified, every transaction's signature, every rule of a block, and the app hash in the
next header. Nothing is taken from a snapshot on its word. No network and no consensus is here.
"""

from __future__ import annotations

from collections.abc import Iterable

from consensus.commit import HybridVerifier, verify_commit
from consensus.validation import ChainTip, compare_header
from genesis.document import Document
from node.clock import SystemClock
from node.executor import LedgerExecutor, load_state, require_known_rules
from node.maintenance.divergence import Divergence
from node.mempool.mempool import Mempool
from node.mempool.pool import Pool
from node.storage.store import Store
from node.sync.messages import CertifiedBlock
from node.workers import InlineChecker
from state.primitives.errors import InvalidBlockError, InvalidCommitError, MalformedError, SnapshotError
from state.view import RecordCache

_WRONG = "the archive is not this chain's, or it was changed: take another copy"


class Replay:
    """Executes blocks on a store that nobody else writes to."""

    def __init__(self, store: Store, document: Document) -> None:
        self._chain_id = document.chain_id
        self._verifier = HybridVerifier()
        clock, state = SystemClock(), load_state(store)
        records = RecordCache(store, state.height)
        self._executor = LedgerExecutor(store, document.hash, records, state, b"", self._verifier, clock)
        self._executor.attach(
            Mempool(Pool(1, 1, 1), records, document.hash, InlineChecker(), clock, lambda tx_hash: False, lambda hashes, source: None)
        )

    @property
    def tip(self) -> ChainTip:
        """The chain so far."""
        return self._executor.state.tip

    async def apply(self, certified: CertifiedBlock) -> None:
        """Decide the next block. Raises `SnapshotError` if it is not that, or its certificate or its effects do not hold."""
        require_known_rules(self.tip)
        self.check(certified)
        try:
            await self._executor.commit(certified.block, certified.commit, certified.pq_commit)
        except (Divergence, InvalidBlockError, MalformedError) as error:
            raise SnapshotError(f"block {certified.height} does not follow from the state: {error.message}", hint=_WRONG) from error

    def check(self, certified: CertifiedBlock) -> None:
        """Whether a block carries what the chain says so far, its app hash among it, and is certified by its validators."""
        tip = self.tip
        for what, found, wanted in compare_header(certified.block, tip):
            if found != wanted:
                raise SnapshotError(f"block {certified.height} has another {what} than the chain before it", hint=_WRONG)
        try:
            verify_commit(
                self._chain_id, tip.validators, certified.height, certified.block.block_id(), certified.commit, certified.pq_commit,
                self._verifier,
            )  # fmt: skip
        except InvalidCommitError as error:
            raise SnapshotError(f"the certificate of block {certified.height} does not hold: {error.message}", hint=_WRONG) from error


async def replay(store: Store, document: Document, blocks: Iterable[CertifiedBlock], target: int) -> CertifiedBlock | None:
    """Execute blocks up to a height; the one after it, checked, if there is one. Raises `SnapshotError`."""
    chain = Replay(store, document)
    for certified in blocks:
        if certified.height > target:
            chain.check(certified)
            return certified
        await chain.apply(certified)
    return None
