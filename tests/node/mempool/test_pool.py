"""The pool against a model: counts and bytes exact, lanes in sequence, fees reserved, what a block leaves of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from node.mempool.pool import Pool
from state.codes import Code
from state.primitives.hashing import sha256
from state.primitives.limits import LANE_UNORDERED
from state.transaction import Transaction, build, call

CHAIN = sha256(b"test chain")
NOW = 1_800_000_000
A, B, C = (sha256(name) for name in (b"A", b"B", b"C"))


def make(sender: bytes, seq: int, *, lane: int = 0, until: int = NOW + 300, payer: bytes = b"", memo: str = "") -> Transaction:
    """An unsigned transfer: the pool never looks at signatures."""
    ops = (call("asset.transfer", asset="QNX", to=sha256(b"to"), amount=1, tag=""),)
    draft = build(
        chain_id=CHAIN, sender=sender, seq=seq, lane=lane, valid_until=until, fee_payer=payer, memo=memo, max_fee=10, ops=ops
    )
    return Transaction.decode(draft.encode())


def accept(fee: int = 0, first: int = 0) -> Callable[[Transaction, int | None, int], tuple[int, str, int]]:
    """A state in which every lane expects `first`."""

    def check(tx: Transaction, expected: int | None, reserved: int) -> tuple[int, str, int]:
        wanted = first if expected is None else expected
        if not tx.is_unordered and tx.seq != wanted:
            return (Code.SEQ_PAST if tx.seq < wanted else Code.SEQ_FUTURE), "", 0
        return Code.OK, "", fee

    return check


def refuse(code: int) -> Callable[[Transaction, int | None, int], tuple[int, str, int]]:
    return lambda tx, expected, reserved: (code, "no", 0)


def filled(*txs: Transaction, fee: int = 0) -> Pool:
    pool = Pool(1_000, 1_000_000, 1_000)
    for tx in txs:
        assert pool.add(tx, accept(fee))[0] == Code.OK
    return pool


SIZE = len(make(A, 0).raw)
FULL = [
    (Pool(2, 1_000_000, 9), (A, B, C), 2),
    (Pool(9, 2 * SIZE, 9), (A, B, C), 2),
    (Pool(9, 2 * SIZE - 1, 9), (A, B, C), 1),
    (Pool(9, 1_000_000, 9), (A, B, C), 3),
]


@pytest.mark.parametrize(("pool", "senders", "fit"), FULL)
def test_a_full_pool_refuses_and_keeps_what_it_has(pool: Pool, senders: tuple[bytes, ...], fit: int) -> None:
    txs = [make(sender, 0) for sender in senders]
    codes = [pool.add(tx, accept())[0] for tx in txs]
    assert codes == [Code.OK] * fit + [Code.QUOTA_EXCEEDED] * (len(txs) - fit)
    assert pool.hashes(99) == [tx.hash for tx in txs[:fit]]
    assert pool.bytes == sum(len(tx.raw) for tx in txs[:fit])


def test_one_account_cannot_take_the_pool() -> None:
    pool = Pool(99, 1_000_000, 2)
    assert [pool.add(make(A, seq), accept())[0] for seq in range(3)] == [Code.OK, Code.OK, Code.QUOTA_EXCEEDED]
    assert pool.add(make(B, 0), accept())[0] == Code.OK


def test_lanes_are_apart_and_without_gaps() -> None:
    pool = filled(make(A, 0), make(A, 1), make(A, 0, lane=1))
    assert pool.add(make(A, 3), accept())[0] == Code.SEQ_FUTURE
    assert pool.add(make(A, 1, memo="another"), accept())[0] == Code.SEQ_PAST
    assert pool.add(make(A, 1, lane=1), accept())[0] == Code.OK
    assert pool.expected_seq(make(A, 9)) == 2
    assert pool.expected_seq(make(A, 9, lane=1)) == 2
    assert pool.expected_seq(make(A, 9, lane=2)) is None


def test_unordered_ones_have_no_sequence_and_no_successors() -> None:
    one, other = make(A, 0, lane=LANE_UNORDERED, memo="1"), make(A, 0, lane=LANE_UNORDERED, memo="2")
    pool = filled(one, other)
    assert pool.remove(one.hash) == [one.hash]
    assert pool.hashes(9) == [other.hash]


def test_reap_takes_in_order_of_arrival_within_both_bounds() -> None:
    txs = [make(A, 0), make(B, 0), make(A, 1), make(C, 0)]
    pool = filled(*txs)
    assert pool.reap(1_000_000, 3) == txs[:3]
    assert pool.reap(2 * SIZE, 9) == txs[:2]
    assert pool.reap(2 * SIZE - 1, 9) == txs[:1]
    assert pool.reap(0, 9) == []
    assert len(pool) == 4


def test_removal_takes_the_successors_of_its_lane_only() -> None:
    first, second, third, other = make(A, 0), make(A, 1), make(A, 2), make(A, 0, lane=1)
    pool = filled(first, second, third, other, fee=7)
    assert pool.reserved(A) == 28
    assert pool.remove(second.hash) == [second.hash, third.hash]
    assert pool.hashes(9) == [first.hash, other.hash]
    assert pool.reserved(A) == 14
    assert pool.remove(second.hash) == []


def test_fees_are_reserved_of_the_payer_and_shown_to_the_check() -> None:
    seen: list[int] = []

    def check(tx: Transaction, expected: int | None, reserved: int) -> tuple[int, str, int]:
        seen.append(reserved)
        return Code.OK, "", 5

    pool = Pool(9, 1_000_000, 9)
    for tx in (make(A, 0, payer=C), make(B, 0, payer=C), make(A, 0, lane=1)):
        pool.add(tx, check)
    assert seen == [0, 5, 0]
    assert (pool.reserved(A), pool.reserved(B), pool.reserved(C)) == (5, 0, 10)


def test_only_touched_accounts_are_checked_again_without_their_own_fee() -> None:
    of_a, of_a_next, of_b, paid_by_a = make(A, 0), make(A, 1), make(B, 0), make(C, 0, payer=A)
    pool = filled(of_a, of_a_next, of_b, paid_by_a, fee=5)
    asked: dict[bytes, tuple[int | None, int]] = {}

    def check(tx: Transaction, expected: int | None, reserved: int) -> tuple[int, str, int]:
        asked[tx.hash] = (expected, reserved)
        return Code.OK, "", 5

    assert pool.update([], [A], NOW, check) == []
    # only the first of a lane meets the state's sequence
    assert asked == {of_a.hash: (None, 10), of_a_next.hash: (1, 10), paid_by_a.hash: (None, 10)}
    assert pool.update([], [sha256(b"nobody")], NOW, refuse(Code.FEE_TOO_LOW)) == []


def test_what_a_block_made_inadmissible_falls_with_its_successors() -> None:
    first, second, of_b = make(A, 0), make(A, 1), make(B, 0)
    pool = filled(first, second, of_b)
    dropped = pool.update([], [A], NOW, refuse(Code.FEE_PAYER_CANNOT_PAY))
    assert dropped == [(first.hash, Code.FEE_PAYER_CANNOT_PAY), (second.hash, Code.FEE_PAYER_CANNOT_PAY)]
    assert pool.hashes(9) == [of_b.hash]


def test_committed_ones_leave_and_the_rest_goes_on() -> None:
    first, second = make(A, 0), make(A, 1)
    pool = filled(first, second)
    assert pool.update([first.hash, sha256(b"never seen")], [A], NOW, accept(first=1)) == []
    assert pool.hashes(9) == [second.hash]
    assert pool.expected_seq(make(A, 2)) == 2


def test_expiry_is_after_valid_until_and_takes_successors() -> None:
    early, behind, late = make(A, 0, until=NOW), make(A, 1, until=NOW + 999), make(B, 0, until=NOW + 999)
    pool = filled(early, behind, late)
    assert pool.update([], [], NOW, accept()) == []
    assert pool.update([], [], NOW + 1, accept()) == [(early.hash, Code.EXPIRED), (behind.hash, Code.EXPIRED)]
    assert pool.hashes(9) == [late.hash]


def test_expiry_list_is_bounded_by_what_waits() -> None:
    pool = Pool(9, 1_000_000, 9)
    for number in range(3_000):
        tx = make(A, 0, lane=LANE_UNORDERED, memo=str(number))
        assert pool.add(tx, accept())[0] == Code.OK
        pool.remove(tx.hash)
    assert len(pool._expiry) <= 1_025
    assert (len(pool), pool.bytes, pool._by_account, pool._lanes) == (0, 0, {}, {})


@dataclass
class _Waiting:
    tx: Transaction
    fee: int


class PoolMachine(RuleBasedStateMachine):
    """Any order of additions, removals, blocks and time, against lists that are searched from end to end."""

    TXS_MAX = 12
    BYTES_MAX = 10 * SIZE + 40
    ACCOUNT_MAX = 6

    def __init__(self) -> None:
        super().__init__()
        self.pool = Pool(self.TXS_MAX, self.BYTES_MAX, self.ACCOUNT_MAX)
        self.waiting: dict[bytes, _Waiting] = {}
        self.next_of_state: dict[tuple[bytes, int], int] = {}
        self.balance: dict[bytes, int] = {A: 40, B: 40, C: 10}
        self.now = NOW

    def lane_of(self, tx: Transaction) -> list[Transaction]:
        return [one.tx for one in self.waiting.values() if (one.tx.sender, one.tx.lane) == (tx.sender, tx.lane)]

    def check(self, tx: Transaction, expected: int | None, reserved: int) -> tuple[int, str, int]:
        fee = len(tx.memo)
        wanted = self.next_of_state.get((tx.sender, tx.lane), 0) if expected is None else expected
        if not tx.is_unordered and tx.seq != wanted:
            return (Code.SEQ_PAST if tx.seq < wanted else Code.SEQ_FUTURE), "", 0
        if self.balance[tx.fee_payer] - reserved < fee:
            return Code.FEE_PAYER_CANNOT_PAY, "", 0
        return Code.OK, "", fee

    def fall(self, tx: Transaction) -> list[bytes]:
        if tx.is_unordered:
            gone = [tx.hash]
        else:
            gone = [other.hash for other in self.lane_of(tx) if other.seq >= tx.seq]
        for tx_hash in gone:
            del self.waiting[tx_hash]
        return gone

    @rule(
        sender=st.sampled_from((A, B)),
        lane=st.sampled_from((0, 1, LANE_UNORDERED)),
        jump=st.sampled_from((0, 0, 0, 0, -1, 1)),
        fee=st.integers(0, 6),
        sponsored=st.booleans(),
        lives=st.integers(0, 20),
    )
    def add(self, sender: bytes, lane: int, jump: int, fee: int, sponsored: bool, lives: int) -> None:
        probe = make(sender, 0, lane=lane)
        mine = self.lane_of(probe)
        head = mine[-1].seq + 1 if mine else self.next_of_state.get((sender, lane), 0)
        seq = 0 if lane == LANE_UNORDERED else max(0, head + jump)
        tx = make(sender, seq, lane=lane, until=self.now + lives, payer=C if sponsored else b"", memo="m" * fee)
        size = sum(len(one.tx.raw) for one in self.waiting.values())
        of_sender = sum(sender in (one.tx.sender, one.tx.fee_payer) for one in self.waiting.values())
        payers = sum(one.fee for one in self.waiting.values() if one.tx.fee_payer == tx.fee_payer)
        if tx.hash in self.waiting:
            expected: int = Code.TX_SEEN
        elif len(self.waiting) >= self.TXS_MAX or size + len(tx.raw) > self.BYTES_MAX or of_sender >= self.ACCOUNT_MAX:
            expected = Code.QUOTA_EXCEEDED
        elif lane != LANE_UNORDERED and seq != head:
            expected = Code.SEQ_PAST if seq < head else Code.SEQ_FUTURE
        elif self.balance[tx.fee_payer] - payers < fee:
            expected = Code.FEE_PAYER_CANNOT_PAY
        else:
            expected = Code.OK
            self.waiting[tx.hash] = _Waiting(tx, fee)
        assert self.pool.add(tx, self.check)[0] == expected

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        tx = data.draw(st.sampled_from([one.tx for one in self.waiting.values()]))
        assert self.pool.remove(tx.hash) == self.fall(tx)

    @rule(count=st.integers(0, 6))
    def block(self, count: int) -> None:
        taken = [one.tx for one in list(self.waiting.values())[:count]]
        assert self.pool.reap(1_000_000, count) == taken
        touched: dict[bytes, None] = {}
        for tx in taken:
            self.balance[tx.fee_payer] -= self.waiting.pop(tx.hash).fee
            touched.update({tx.sender: None, tx.fee_payer: None})
            if not tx.is_unordered:
                self.next_of_state[(tx.sender, tx.lane)] = tx.seq + 1
        assert self.pool.update([tx.hash for tx in taken], touched, self.now, self.check) == []

    @rule(seconds=st.integers(1, 8))
    def pass_time(self, seconds: int) -> None:
        self.now += seconds
        late = [one.tx for one in self.waiting.values() if one.tx.valid_until < self.now]
        gone = {tx_hash for tx in late if tx.hash in self.waiting for tx_hash in self.fall(tx)}
        dropped = self.pool.update([], [], self.now, self.check)
        assert {tx_hash for tx_hash, _ in dropped} == gone
        assert len(dropped) == len(gone)

    @rule(account=st.sampled_from((A, B, C)), balance=st.integers(0, 40))
    def balance_changes(self, account: bytes, balance: int) -> None:
        self.balance[account] = balance
        dropped = self.pool.update([], [account], self.now, self.check)
        for tx_hash, code in dropped:
            assert code == Code.FEE_PAYER_CANNOT_PAY
            del self.waiting[tx_hash]
        assert sum(one.fee for one in self.waiting.values() if one.tx.fee_payer == account) <= balance

    @invariant()
    def counts_are_exact(self) -> None:
        pool = self.pool
        assert pool.hashes(99) == list(self.waiting)
        assert pool.bytes == sum(len(one.tx.raw) for one in self.waiting.values())
        for account in (A, B, C):
            assert pool.reserved(account) == sum(one.fee for one in self.waiting.values() if one.tx.fee_payer == account)

    @invariant()
    def lanes_have_no_gaps(self) -> None:
        for one in self.waiting.values():
            if not one.tx.is_unordered:
                sequences = [tx.seq for tx in self.lane_of(one.tx)]
                assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
                assert sequences[0] == self.next_of_state.get((one.tx.sender, one.tx.lane), 0)


TestPoolMachine = PoolMachine.TestCase
TestPoolMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
