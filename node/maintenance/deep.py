"""The slow half of `qenex doctor --deep`: every record of the state against its root, every block against the next one.

The root is computed again from the records themselves, not from the hashes that are stored beside them. Memory: one shard's leaves. An
error in one place does not end the examination of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from consensus.block import Block, data_hash, results_hash
from consensus.commit import HybridVerifier, verify_commit
from consensus.evidence import evidence_hash
from node.maintenance.chain_checks import ChainData
from node.maintenance.findings import Finding, make_finding
from node.tips import commits_at, validators_at
from state.primitives.codec import decode
from state.primitives.errors import CorruptError, InvalidCommitError, MalformedError
from state.receipts import Receipt
from state.schema import decode_record
from state.tree import SHARDS
from state.tree_hash import compute_root, leaf_hash

FINDINGS_MAX: Final = 50  # of one sort: a broken disk need not print a million lines
SHARDS_STEP: Final = 16
BLOCKS_STEP: Final = 1_000
_RESTORE: Final = "move data/db away and let the node catch up again; leave data/signer_record where it is"

Progress = Callable[[str], None]


def examine_deeply(data: ChainData, progress: Progress) -> Iterator[Finding]:
    """Everything that disagrees."""
    yield from _limited(_check_state(data, progress), "STATE_ROOT")
    yield from _limited(_check_blocks(data, progress), "BLOCK_CHAIN")


def _limited(findings: Iterator[Finding], name: str) -> Iterator[Finding]:
    for number, finding in enumerate(findings):
        if number == FINDINGS_MAX:
            yield make_finding(name, "and more of that kind", _RESTORE)
            return
        yield finding


def _check_state(data: ChainData, progress: Progress) -> Iterator[Finding]:
    store = data.store
    wanted = store.shard_roots_at(store.height)
    records = 0
    for shard in range(SHARDS):
        if shard % SHARDS_STEP == 0:
            progress(f"state: {shard * 100 // SHARDS} %, {records} records")
        leaves: list[tuple[bytes, bytes]] = []
        try:
            for kh, key, value in store.shard_rows(shard, store.height):
                leaves.append((kh, leaf_hash(kh, value)))
                records += 1
                try:
                    decode_record(key, value)
                except CorruptError as error:
                    yield make_finding("RECORD", error.message, _RESTORE)
        except CorruptError as error:
            yield make_finding("RECORD", error.message, _RESTORE)
            continue
        if (compute_root(leaves) if leaves else None) != wanted[shard]:
            yield make_finding("STATE_ROOT", f"the records of shard {shard:02x} do not have the root that is stored for it", _RESTORE)
    kept = sum(1 for _ in store.state_keys(b" "))
    if kept != records:
        yield make_finding("STATE_ROOT", f"the state has {kept} records, its tree {records}", _RESTORE)
    progress(f"state: 100 %, {records} records")


def _check_blocks(data: ChainData, progress: Progress) -> Iterator[Finding]:
    store, tip = data.store, data.state.tip
    base = store.base_height()
    before: Block | None = None
    verifier = HybridVerifier()
    for height in range(base, store.height + 1) if base else ():
        if (height - base) % BLOCKS_STEP == 0:
            progress(f"blocks: {height} of {store.height}")
        try:
            raw = store.height_row("b", height)
            if raw is None:
                yield make_finding("BLOCK_MISSING", f"block {height} is missing in the database", _RESTORE)
                before = None
                continue
            block = Block.from_wire(decode(raw))
            yield from _check_block(data, block, before, height)
            commit, pq_commit = commits_at(store, height)
            voters = validators_at(store, height)
            verify_commit(tip.chain_id, voters, height, block.block_id(), commit, pq_commit, verifier)
        except InvalidCommitError as error:
            yield make_finding("COMMIT", f"the commit of height {height} does not hold: {error.message}", _RESTORE)
        except (CorruptError, MalformedError, ValueError, TypeError) as error:
            yield make_finding("BLOCK_CHAIN", f"height {height} cannot be read: {error}", _RESTORE)
        before = block
    if base:
        progress(f"blocks: {store.height} of {store.height}")


def _check_block(data: ChainData, block: Block, before: Block | None, height: int) -> Iterator[Finding]:
    store, header = data.store, block.header
    receipts = store.height_row("e", height)
    expected: list[tuple[str, object, object]] = [
        ("height", header.height, height),
        ("chain id", header.chain_id, data.state.tip.chain_id),
        ("data hash", header.data_hash, data_hash(block.txs)),
        ("last commit hash", header.last_commit_hash, block.last_commit.hash()),
        ("evidence hash", header.evidence_hash, evidence_hash(block.evidence)),
        ("validators hash", header.validators_hash, validators_at(store, height).hash()),
        ("next validators hash", header.next_validators_hash, validators_at(store, height + 1).hash()),
    ]
    if before is not None:
        expected.append(("last block id", header.last_block_id, before.block_id()))
    root = store.root_at(height - 1)
    if root is not None:
        expected.append(("app hash", header.app_hash, root))
    # a node that joined by a snapshot or an import has its first block without receipts and index
    is_brought_in = height == store.base_height() and root is None
    if receipts is None and is_brought_in:
        pass
    elif receipts is None:
        yield make_finding("BLOCK_MISSING", f"the receipts of height {height} are missing in the database", _RESTORE)
    else:
        found = [Receipt.from_wire(item) for item in decode(receipts)]
        hashed = results_hash([(r.code, r.data, r.gas_wanted, r.gas_used) for r in found])
        following = store.height_row("b", height + 1)
        known = data.state.tip.last_results_hash if following is None else Block.from_wire(decode(following)).header.last_results_hash
        expected.append(("results hash", hashed, known))
    if store.height_of_block(header.hash()) != height and not is_brought_in:
        yield make_finding("BLOCK_CHAIN", f"block {height} is not found by its hash", _RESTORE)
    for what, one, other in expected:
        if one != other:
            yield make_finding("BLOCK_CHAIN", f"block {height} has a wrong {what}", _RESTORE)
