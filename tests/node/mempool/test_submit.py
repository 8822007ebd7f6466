"""Admission with real signed transactions over a real ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import trio

from node.clock import VirtualClock
from node.mempool.mempool import PARKED_MAX, Mempool, Submitted
from node.mempool.pool import Pool
from node.workers import SignatureJob, verify_now
from state.codes import Code
from state.machine import BlockContext, BlockResult, apply_block, build_block
from state.params import FeeParams
from state.primitives.keys import KeyKind
from state.transaction import Draft, Transaction
from state.view import RecordCache
from tests.state.ledger_world import ADDRESS, CHAIN, FEES, NOW, World, entry, key_of, pay, update_keys

NS = 1_000_000_000


class CountingChecker:
    """Verifies inline and counts; `meanwhile` runs while a submission waits for its verdicts."""

    def __init__(self) -> None:
        self.jobs = 0
        self.meanwhile: Any = None

    async def verify(self, jobs: Sequence[SignatureJob]) -> list[bool]:
        self.jobs += len(jobs)
        await trio.lowlevel.checkpoint()
        if self.meanwhile is not None:
            action, self.meanwhile = self.meanwhile, None
            action()
        return verify_now(jobs)


class Node:
    """A mempool over the test ledger, and blocks made from it."""

    def __init__(self, fees: FeeParams | None = None, txs_max: int = 1_000, bytes_max: int = 1_000_000) -> None:
        self.world = World() if fees is None else World(fees)
        self.records = RecordCache(self.world.db, 0)
        self.checker = CountingChecker()
        self.committed: set[bytes] = set()
        self.added: list[tuple[list[bytes], str]] = []
        self.pool = Pool(txs_max, bytes_max, 500)
        self.mempool = Mempool(
            self.pool,
            self.records,
            CHAIN,
            self.checker,
            VirtualClock(NOW * NS - round(trio.current_time() * NS)),
            self.committed.__contains__,
            lambda hashes, source: self.added.append((hashes, source)),
        )
        self.mempool.new_height(NOW * NS)

    async def codes(self, *raws: bytes, source: str = "") -> list[int]:
        return [result.code for result in await self.mempool.submit(raws, source)]

    def snapshot(self) -> tuple[Any, ...]:
        pool, mempool = self.pool, self.mempool
        return len(pool), pool.bytes, pool.hashes(9_999), dict(mempool.verified), dict(mempool._parked), list(self.added)

    def block(self, *txs: Transaction) -> BlockResult:
        """Commit a block of these, as the executor does."""
        context = BlockContext(self.world.height + 1, NOW * NS, CHAIN)
        result = apply_block(self.records, context, txs, verified=self.mempool.verified)
        self.finish(result, txs)
        return result

    def finish(self, result: BlockResult, txs: Sequence[Transaction]) -> None:
        self.world.commit(result)
        self.records.commit(self.world.height, result.records)
        self.committed.update(tx.hash for tx in txs)
        self.mempool.new_height(NOW * NS)
        touched = list({key[2:34] for key, _ in result.changes if key[1:2] in (b"n", b"h", b"a")})
        self.mempool.committed([tx.hash for tx in txs], touched, NOW * NS)


def spoil(raw: bytes) -> bytes:
    """The same transaction with one bit of its signature flipped."""
    return raw[:-1] + bytes((raw[-1] ^ 1,))


def by_alice(node: Node, seq: int, **envelope: Any) -> bytes:
    return node.world.raw("alice", pay("bob"), seq=seq, **envelope)


async def test_a_hundred_of_one_sender_in_one_batch() -> None:
    node = Node()
    raws = [by_alice(node, seq) for seq in range(100)]
    assert await node.codes(*raws) == [Code.OK] * 100
    assert node.checker.jobs == 100
    assert [tx.seq for tx in node.pool.reap(1_000_000, 999)] == list(range(100))
    assert node.added == [([Transaction.decode(raw).hash for raw in raws], "")]
    assert await node.codes(by_alice(node, 100)) == [Code.OK]


async def test_results_are_in_the_order_of_the_batch() -> None:
    node = Node()
    good, bad = by_alice(node, 0), b"\xc0"
    results = await node.mempool.submit([bad, good, bad, spoil(by_alice(node, 1))])
    assert [result.code for result in results] == [Code.MALFORMED, Code.OK, Code.MALFORMED, Code.BAD_SIGNATURE]
    assert results[1] == Submitted(Transaction.decode(good).hash, 0, "")
    assert results[0].code_name == "MALFORMED"


async def test_duplicates() -> None:
    node = Node()
    raw = by_alice(node, 0)
    assert await node.codes(raw, raw) == [Code.OK, Code.TX_SEEN]
    assert await node.codes(raw) == [Code.TX_SEEN]
    assert node.checker.jobs == 1
    node.block(*node.pool.reap(1_000_000, 9))
    assert len(node.pool) == 0
    assert await node.codes(raw) == [Code.TX_SEEN]  # committed
    assert await node.codes(node.world.raw("alice", pay("carol"), seq=0)) == [Code.SEQ_PAST]


async def test_two_submissions_of_one_transaction_at_once() -> None:
    node = Node()
    raw = by_alice(node, 0)
    found: list[int] = []

    async def submit() -> None:
        found.extend(await node.codes(raw))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(submit)
        nursery.start_soon(submit)
    assert sorted(found) == [Code.OK, Code.TX_SEEN]
    assert len(node.pool) == 1


def _foreign(node: Node) -> bytes:
    return node.world.raw("alice", pay("bob"), seq=0, chain_id=bytes(32))


REFUSED = [
    (lambda node: spoil(by_alice(node, 0)), Code.BAD_SIGNATURE),
    (lambda node: by_alice(node, 1), Code.SEQ_FUTURE),
    (lambda node: by_alice(node, 0, valid_until=NOW - 1), Code.EXPIRED),
    (lambda node: by_alice(node, 0, valid_from=NOW + 60), Code.NOT_YET_VALID),
    (_foreign, Code.WRONG_CHAIN),
    (lambda node: node.world.raw("alice", pay("bob"), seq=0, signers=[("bob", 0)]), Code.QUORUM_NOT_MET),
    (lambda node: node.world.raw("alice", pay("bob"), seq=0, max_fee=0), Code.FEE_TOO_LOW),
    (lambda node: node.world.raw("poor", pay("bob"), seq=0), Code.FEE_PAYER_CANNOT_PAY),
    (lambda node: b"", Code.MALFORMED),
    (lambda node: by_alice(node, 0)[:-1], Code.MALFORMED),
]


@pytest.mark.parametrize(("make", "code"), REFUSED, ids=[code.name + str(i) for i, (_, code) in enumerate(REFUSED)])
async def test_what_is_refused_leaves_no_trace(make: Any, code: Code) -> None:
    node = Node(FEES)
    before = node.snapshot()
    found = (await node.codes(make(node)))[0]
    assert found == code or (code == Code.QUORUM_NOT_MET and found == Code.UNKNOWN_SIGNER)
    assert node.snapshot() == before
    assert await node.codes(by_alice(node, 0)) == [Code.OK]


async def test_behind_a_bad_signature_nothing_of_its_lane_is_admitted() -> None:
    node = Node()
    raws = [by_alice(node, 0), spoil(by_alice(node, 1)), by_alice(node, 2), node.world.raw("bob", pay("alice"), seq=0)]
    assert await node.codes(*raws) == [Code.OK, Code.BAD_SIGNATURE, Code.SEQ_FUTURE, Code.OK]
    assert await node.codes(by_alice(node, 1), by_alice(node, 2)) == [Code.OK, Code.OK]


async def test_a_batch_against_its_order() -> None:
    node = Node()
    assert await node.codes(by_alice(node, 1), by_alice(node, 0)) == [Code.SEQ_FUTURE, Code.OK]


async def test_reserved_fees_end_what_one_payer_can_promise() -> None:
    node = Node(FeeParams(asset="QNX", base_default=400_000))
    raws = [by_alice(node, seq, max_fee=400_000) for seq in range(3)]
    assert await node.codes(*raws) == [Code.OK, Code.OK, Code.FEE_PAYER_CANNOT_PAY]
    assert await node.codes(raws[2]) == [Code.FEE_PAYER_CANNOT_PAY]
    assert node.pool.reserved(ADDRESS["alice"]) == 800_000


async def test_a_full_pool() -> None:
    node = Node(txs_max=2)
    raws = [by_alice(node, seq) for seq in range(3)]
    assert await node.codes(*raws) == [Code.OK, Code.OK, Code.QUOTA_EXCEEDED]
    before = node.snapshot()
    assert await node.codes(raws[2]) == [Code.QUOTA_EXCEEDED]
    assert node.snapshot() == before
    assert node.checker.jobs == 3  # the second time it was refused before its signature was looked at
    node.block(*node.pool.reap(1_000_000, 1))
    assert await node.codes(raws[2]) == [Code.OK]


async def test_peers_may_overtake_each_other_and_clients_may_not() -> None:
    node = Node()
    assert await node.codes(by_alice(node, 2), by_alice(node, 1), source="peer") == [Code.SEQ_FUTURE] * 2
    assert len(node.pool) == 0
    assert await node.codes(by_alice(node, 0), source="other") == [Code.OK]
    assert [tx.seq for tx in node.pool.reap(1_000_000, 9)] == [0, 1, 2]
    assert node.mempool._parked == {}
    assert await node.codes(node.world.raw("bob", pay("alice"), seq=1)) == [Code.SEQ_FUTURE]
    assert node.mempool._parked == {}


async def test_parked_ones_are_bounded_and_expire() -> None:
    node = Node()
    dummy = Transaction.decode(by_alice(node, 0, valid_until=NOW - 1))
    node.mempool._parked.update({(bytes(32), 0, seq): (dummy, b"") for seq in range(PARKED_MAX)})
    assert await node.codes(by_alice(node, 2), source="peer") == [Code.SEQ_FUTURE]
    assert len(node.mempool._parked) == PARKED_MAX
    node.block()
    assert node.mempool._parked == {}


def _rotate(node: Node) -> Transaction:
    """Alice's key 0 becomes another one."""
    there = update_keys(add=(entry(1, "between"),), remove=(0,))
    return node.world.tx("alice", there, update_keys(add=(entry(0, "alice2"),), remove=(1,)), seq=0)


async def test_a_signature_is_good_only_for_the_key_it_was_verified_with() -> None:
    """Also when the key changes while the transaction waits: verified, parked or in the pool."""
    node = Node()
    later = by_alice(node, 2)
    assert await node.codes(later, source="peer") == [Code.SEQ_FUTURE]  # parked, its signature good for the old key
    rotation = _rotate(node)
    result = node.block(rotation)
    assert [receipt.code for receipt in result.receipts] == [Code.OK]
    unsigned = node.world.raw("alice", pay("bob"), seq=1, signers=[])
    new = Draft.load(unsigned).sign(ADDRESS["alice"], 0, key_of("alice2", KeyKind.ED25519)).encode()
    assert await node.codes(new) == [Code.OK]
    candidates = node.pool.reap(1_000_000, 9)
    context = BlockContext(node.world.height + 1, NOW * NS, CHAIN)
    built = build_block(node.records, context, candidates, verified=node.mempool.verified)
    assert [tx.raw for tx in built.txs] == [new]
    assert built.refused == ((1, Code.BAD_SIGNATURE),)


async def test_a_changed_key_is_forgotten_and_verified_before_the_block() -> None:
    node = Node()
    waiting = node.world.tx("alice", pay("bob"), seq=0, lane=1)
    assert await node.codes(waiting.raw) == [Code.OK]
    node.block(_rotate(node))
    assert waiting.hash in node.pool
    assert waiting.hash not in node.mempool.verified
    before = node.checker.jobs
    assert not await node.mempool.verify_for_block([waiting])
    assert node.checker.jobs == before + 1


async def test_a_height_that_passes_during_verification_is_taken_into_account() -> None:
    node = Node()
    rival = node.world.tx("alice", pay("carol"), seq=0)
    node.checker.meanwhile = lambda: node.block(rival)
    assert await node.codes(by_alice(node, 0)) == [Code.SEQ_PAST]
    node.checker.meanwhile = lambda: node.block(node.world.tx("alice", pay("carol"), seq=1))
    assert await node.codes(by_alice(node, 2)) == [Code.OK]


async def test_blocks_of_others_are_verified_once() -> None:
    node = Node()
    txs = [Transaction.decode(by_alice(node, seq)) for seq in range(3)]
    assert await node.codes(txs[0].raw) == [Code.OK]
    assert await node.mempool.verify_for_block(txs)
    assert node.checker.jobs == 3
    assert await node.mempool.verify_for_block(txs)
    assert node.checker.jobs == 3
    node.block(*txs)
    assert node.mempool.verified == {}
    wrong = Transaction.decode(spoil(by_alice(node, 3)))
    assert not await node.mempool.verify_for_block([wrong])
    assert node.mempool.verified == {}


async def test_proposals_that_were_not_decided_leave_no_trace() -> None:
    node = Node()
    waiting, foreign, decided = (Transaction.decode(node.world.raw(name, pay("poor"), seq=0)) for name in ("alice", "bob", "bank"))
    assert await node.codes(waiting.raw) == [Code.OK]
    assert await node.mempool.verify_for_block([waiting, foreign, decided])
    assert set(node.mempool.verified) == {waiting.hash, foreign.hash, decided.hash}
    node.block(decided)
    assert set(node.mempool.verified) == {waiting.hash}


async def test_dropped_ones_are_remembered_with_their_code() -> None:
    node = Node()
    first, second = (Transaction.decode(by_alice(node, seq)) for seq in range(2))
    assert await node.codes(first.raw, second.raw) == [Code.OK, Code.OK]
    node.mempool.drop([(first.hash, Code.FEE_TOO_LOW)])
    assert node.mempool.dropped == {first.hash: Code.FEE_TOO_LOW, second.hash: Code.FEE_TOO_LOW}
    assert (len(node.pool), node.pool.bytes, node.mempool.verified) == (0, 0, {})


async def test_a_rival_in_a_block_drops_those_that_waited_for_its_sequence() -> None:
    node = Node()
    first, second = (Transaction.decode(by_alice(node, seq)) for seq in range(2))
    assert await node.codes(first.raw, second.raw) == [Code.OK, Code.OK]
    node.block(node.world.tx("alice", pay("carol"), seq=0))
    assert len(node.pool) == 0
    assert node.mempool.dropped == {first.hash: Code.SEQ_PAST, second.hash: Code.SEQ_PAST}
