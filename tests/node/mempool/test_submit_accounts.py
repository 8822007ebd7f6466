"""Admission of what session keys, delegates and sponsors sign, while keys run out and grants end before the block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio

from node.clock import VirtualClock
from node.executor import _DECISIVE
from node.mempool.mempool import Mempool
from node.mempool.pool import Pool
from state.codes import Code
from state.machine import BlockContext, BlockResult, apply_block, build_block
from state.params import FeeParams
from state.transaction import Transaction, call
from state.view import RecordCache
from tests.node.mempool.test_submit import NS, CountingChecker
from tests.state.accounts_world import (
    ADDRESS,
    NOW,
    RULES,
    AccountsWorld,
    delegate,
    grant_session,
    number,
    send,
    sponsor,
)
from tests.state.ledger_world import CHAIN, FEES, entry

ALICE = ADDRESS["alice"]
BY_ALICE = (("alice", "alice"),)
BY_BOB = (("bob", "bob"),)
BOT = (("alice", "bot"),)


class Node:
    """A mempool over a ledger with grants, and blocks made from it, at a time that can be moved."""

    def __init__(self, *ops: Any, fees: FeeParams | None = None) -> None:
        self.world = AccountsWorld() if fees is None else AccountsWorld(fees)
        for op in ops:
            self.world.ok("alice", op, by=BY_ALICE)
        self.records = RecordCache(self.world.db, self.world.height)
        self.checker = CountingChecker()
        self.pool = Pool(1_000, 1_000_000, 500)
        self.mempool = Mempool(
            self.pool,
            self.records,
            CHAIN,
            self.checker,
            VirtualClock(NOW * NS - round(trio.current_time() * NS)),
            lambda tx_hash: False,
            lambda hashes, source: None,
        )
        self.mempool.new_height(NOW * NS)

    async def codes(self, *raws: bytes) -> list[int]:
        return [result.code for result in await self.mempool.submit(raws)]

    def context(self) -> BlockContext:
        return BlockContext(self.world.height + 1, self.world.now * NS, CHAIN)

    def commit(self, result: BlockResult, txs: Sequence[Transaction]) -> None:
        self.world.commit(result)
        self.records.commit(self.world.height, result.records)
        self.mempool.new_height(self.world.now * NS)
        touched = list({key[2:34]: None for key, _ in result.changes if key[1] in _DECISIVE})
        self.mempool.committed([tx.hash for tx in txs], touched, self.world.now * NS)

    def block(self, *raws: bytes) -> None:
        """A block of somebody else."""
        txs = [Transaction.decode(raw) for raw in raws]
        self.commit(apply_block(self.records, self.context(), txs, verified=self.mempool.verified), txs)

    def propose(self) -> tuple[int, list[int]]:
        """A block of what waits, as a proposer builds it: (how many it took, codes of what it could not)."""
        built = build_block(self.records, self.context(), self.pool.reap(1_000_000, 1_000), verified=self.mempool.verified)
        waiting = self.pool.reap(1_000_000, 1_000)
        self.mempool.drop([(waiting[position].hash, code) for position, code in built.refused])
        self.commit(built.result, built.txs)
        return len(built.txs), [code for _, code in built.refused]


def bot_pays(node: Node, seq: int, **envelope: Any) -> bytes:
    return node.world.signed("alice", send("carol"), by=BOT, seq=seq, **envelope)


async def test_session_keys_and_delegates_wait_in_sequence_and_are_verified_once() -> None:
    node = Node(grant_session(), delegate("bob"))
    raws = [bot_pays(node, 2 + i) for i in range(20)]
    raws += [node.world.signed("bob", send("carol", as_account=ALICE), by=BY_BOB, seq=i) for i in range(20)]
    assert await node.codes(*raws) == [Code.OK] * 40
    assert node.checker.jobs == 40
    assert node.propose() == (40, [])
    assert node.world.balance("alice") == 1_000_000 - 40


async def test_a_revoked_session_and_delegation_fall_out_with_what_waits_behind_them() -> None:
    node = Node(grant_session(), delegate("bob"))
    waiting = [bot_pays(node, 2, lane=0), bot_pays(node, 3), bot_pays(node, 0, lane=4)]
    waiting += [node.world.signed("bob", send("carol", as_account=ALICE), by=BY_BOB, seq=i) for i in range(2)]
    own = node.world.signed("bob", send("carol"), by=BY_BOB, lane=9)
    assert await node.codes(*waiting, own) == [Code.OK] * 6
    ends = (call("account.revoke_session", key_id=50), call("account.revoke_delegation", to=ADDRESS["bob"]))
    node.block(node.world.signed("alice", *ends, by=BY_ALICE, lane=1))
    assert len(node.pool) == 1
    dropped = [node.mempool.dropped[Transaction.decode(raw).hash] for raw in waiting]
    assert sorted(dropped) == sorted([Code.UNKNOWN_SIGNER] * 3 + [Code.QUORUM_NOT_MET] * 2)
    assert node.propose() == (1, [])


async def test_a_replaced_session_key_is_verified_again_and_fails() -> None:
    node = Node(grant_session())
    raw = bot_pays(node, 1)
    assert await node.codes(raw) == [Code.OK]
    other = grant_session(key=(entry(50, "another"),))
    node.block(node.world.signed("alice", other, by=BY_ALICE, lane=1))
    assert Transaction.decode(raw).hash not in node.mempool.verified
    assert node.propose() == (0, [Code.BAD_SIGNATURE])


async def test_keys_and_grants_that_run_out_while_they_wait_are_not_put_into_a_block() -> None:
    node = Node(grant_session(valid_until=NOW + 100), delegate("bob", valid_until=NOW + 100))
    raws = [bot_pays(node, 2), node.world.signed("bob", send("carol", as_account=ALICE), by=BY_BOB)]
    assert await node.codes(*raws) == [Code.OK] * 2
    node.world.later(101)
    assert node.propose() == (0, [Code.KEY_EXPIRED, Code.QUORUM_NOT_MET])
    assert len(node.pool) == 0


async def test_a_change_of_classes_drops_what_waits() -> None:
    node = Node()
    owners = [("firm", "f0"), ("firm", "f1")]
    raw = node.world.signed("firm", send("bob"), by=[("firm", "f4")])
    assert await node.codes(raw) == [Code.OK]  # an owner's key as yet
    fields = {"rotation_delay_s": 0, "recovery_delay_s": 9, "recovery_weight": 1, "dual_from": 4}
    policy = call("account.set_policy", add=(), remove=(), thresholds=(), rules=RULES, **fields)
    node.block(node.world.signed("firm", policy, by=owners, lane=1))
    assert node.mempool.dropped[Transaction.decode(raw).hash] == Code.QUORUM_NOT_MET


async def test_a_sponsor_s_window_ends_in_the_block_not_in_the_pool() -> None:
    """The pool cannot know which of several will come first; the proposer leaves out what the allowance no longer covers."""
    node = Node(sponsor("bob", ops=(number("asset.transfer"),), limit=11), fees=FEES)
    raws = [node.world.signed("bob", send("carol"), by=BY_BOB, seq=i, fee_payer=ALICE) for i in range(3)]
    assert await node.codes(*raws) == [Code.OK] * 3
    assert node.propose() == (2, [Code.SPONSOR_NOT_ALLOWED])
    again = node.world.signed("bob", send("carol"), by=BY_BOB, seq=2, fee_payer=ALICE)
    assert await node.codes(again) == [Code.SPONSOR_NOT_ALLOWED]
