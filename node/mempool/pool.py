"""The waiting transactions, as a pure structure: order, bounds, what is reserved, what a block leaves of it.

Transactions of one (account, lane) wait in sequence without gaps; blocks take them in order of arrival, which respects that. A full
pool refuses: a transaction that was accepted is never evicted for another. Whether one is admissible is asked of the caller's
`check`; no clock, no network, no signature here.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from state.codes import Code
from state.transaction import Transaction

# (transaction, the sequence its lane expects, fees its payer owes for others in the pool) -> (code, log, fee)
Check: TypeAlias = Callable[[Transaction, int | None, int], tuple[int, str, int]]
LaneKey: TypeAlias = tuple[bytes, int]


@dataclass(slots=True)
class _Entry:
    tx: Transaction
    fee: int


@dataclass(slots=True)
class _Lane:
    hashes: dict[int, bytes] = field(default_factory=dict)  # sequence -> transaction, in order

    @property
    def next_seq(self) -> int:
        """The sequence after the last one waiting."""
        return next(reversed(self.hashes)) + 1


class Pool:
    """At most `txs_max` transactions and `bytes_max` bytes; `account_txs_max` of one account."""

    def __init__(self, txs_max: int, bytes_max: int, account_txs_max: int) -> None:
        self._txs_max = txs_max
        self._bytes_max = bytes_max
        self._account_txs_max = account_txs_max
        self._entries: dict[bytes, _Entry] = {}
        self._lanes: dict[LaneKey, _Lane] = {}
        self._by_account: dict[bytes, dict[bytes, None]] = {}  # sender or payer -> transactions
        self._reserved: dict[bytes, int] = {}
        self._expiry: list[tuple[int, bytes]] = []
        self._lane_counts = {"first": 0, "other": 0, "unordered": 0}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, tx_hash: bytes) -> bool:
        return tx_hash in self._entries

    def set_bounds(self, txs_max: int, bytes_max: int) -> None:
        """From now on. What waits stays, also where it is more than that."""
        self._txs_max = txs_max
        self._bytes_max = bytes_max

    def count_lanes(self) -> dict[str, int]:
        """Waiting transactions of lanes 0, of other lanes, and unordered ones."""
        return dict(self._lane_counts)

    def fill_share(self) -> float:
        """How full it is, of its transactions or its bytes, whichever is more: 0 to 1."""
        return max(len(self._entries) / self._txs_max, self.bytes / self._bytes_max)

    def get(self, tx_hash: bytes) -> bytes | None:
        """The raw bytes of a waiting transaction."""
        entry = self._entries.get(tx_hash)
        return None if entry is None else entry.tx.raw

    def transaction(self, tx_hash: bytes) -> Transaction | None:
        """A waiting transaction, decoded."""
        entry = self._entries.get(tx_hash)
        return None if entry is None else entry.tx

    def expected_seq(self, tx: Transaction) -> int | None:
        """The sequence the transaction must have because of others that wait; None if none do (the state decides)."""
        lane = self._lanes.get((tx.sender, tx.lane))
        return lane.next_seq if lane is not None and not tx.is_unordered else None

    def reserved(self, payer: bytes) -> int:
        """Fees that waiting transactions will take from an account."""
        return self._reserved.get(payer, 0)

    def room_for(self, tx: Transaction) -> tuple[int, str]:
        """(OK, "") or why there is none: bounds and duplicates, the cheap questions."""
        if tx.hash in self._entries:
            return Code.TX_SEEN, "the transaction waits in the mempool already"
        if len(self._entries) >= self._txs_max or self.bytes + len(tx.raw) > self._bytes_max:
            return Code.QUOTA_EXCEEDED, "the mempool is full: try again later"
        if len(self._by_account.get(tx.sender, ())) >= self._account_txs_max:
            return Code.QUOTA_EXCEEDED, f"the account has {self._account_txs_max} transactions waiting already"
        return Code.OK, ""

    def add(self, tx: Transaction, check: Check) -> tuple[int, str]:
        """Admit a transaction whose signatures are good. (code, log)."""
        code, log = self.room_for(tx)
        if code == Code.OK:
            code, log, fee = check(tx, self.expected_seq(tx), self.reserved(tx.fee_payer))
            if code == Code.OK:
                self._insert(tx, fee)
        return code, log

    def reap(self, bytes_max: int, txs_max: int) -> list[Transaction]:
        """What a block can take, in order of arrival."""
        chosen: list[Transaction] = []
        for entry in self._entries.values():
            if len(chosen) >= txs_max:
                break
            bytes_max -= len(entry.tx.raw)
            if bytes_max < 0:
                break
            chosen.append(entry.tx)
        return chosen

    def hashes(self, limit: int) -> list[bytes]:
        """Waiting transactions in order of arrival, at most `limit`."""
        return [tx_hash for tx_hash, _ in zip(self._entries, range(limit), strict=False)]

    def update(
        self, committed: Iterable[bytes], touched: Collection[bytes], time_s: int, check: Check
    ) -> list[tuple[bytes, int]]:
        """After a block: drop what it took, what has expired, and what its changes made inadmissible.

        Only transactions that concern a `touched` account are checked again. Returns (hash, code) of those that fell out.
        """
        for tx_hash in committed:
            self._remove(tx_hash)
        dropped: list[tuple[bytes, int]] = []
        while self._expiry and self._expiry[0][0] < time_s:
            _, tx_hash = heapq.heappop(self._expiry)
            if tx_hash in self._entries:
                dropped += [(fallen, Code.EXPIRED) for fallen in self.remove(tx_hash)]
        for account in touched:
            for tx_hash in list(self._by_account.get(account, ())):
                dropped += self._recheck(tx_hash, check)
        return dropped

    def _recheck(self, tx_hash: bytes, check: Check) -> list[tuple[bytes, int]]:
        entry = self._entries.get(tx_hash)
        if entry is None:
            return []
        tx = entry.tx
        expected = None
        if not tx.is_unordered:
            first = next(iter(self._lanes[(tx.sender, tx.lane)].hashes))
            expected = None if tx.seq == first else tx.seq  # behind another that waits: only the first meets the state
        reserved = self._reserved.get(tx.fee_payer, 0) - entry.fee
        code, _, _ = check(tx, expected, reserved)
        if code == Code.OK:
            return []
        return [(fallen, code) for fallen in self.remove(tx_hash)]

    def _insert(self, tx: Transaction, fee: int) -> None:
        self._entries[tx.hash] = _Entry(tx, fee)
        self.bytes += len(tx.raw)
        self._lane_counts[_lane_kind(tx)] += 1
        if not tx.is_unordered:
            key = (tx.sender, tx.lane)
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = _Lane()
            lane.hashes[tx.seq] = tx.hash
        for account in _accounts(tx):
            waiting = self._by_account.get(account)
            if waiting is None:
                self._by_account[account] = {tx.hash: None}
            else:
                waiting[tx.hash] = None
        if fee:
            self._reserved[tx.fee_payer] = self._reserved.get(tx.fee_payer, 0) + fee
        heapq.heappush(self._expiry, (tx.valid_until, tx.hash))

    def _remove(self, tx_hash: bytes) -> Transaction | None:
        entry = self._entries.pop(tx_hash, None)
        if entry is None:
            return None
        tx = entry.tx
        self.bytes -= len(tx.raw)
        self._lane_counts[_lane_kind(tx)] -= 1
        lane = self._lanes.get((tx.sender, tx.lane))
        if lane is not None and not tx.is_unordered:
            lane.hashes.pop(tx.seq, None)
            if not lane.hashes:
                del self._lanes[(tx.sender, tx.lane)]
        for account in _accounts(tx):
            waiting = self._by_account.get(account)
            if waiting is not None:
                waiting.pop(tx_hash, None)
                if not waiting:
                    del self._by_account[account]
        if entry.fee:
            left = self._reserved[tx.fee_payer] - entry.fee
            if left:
                self._reserved[tx.fee_payer] = left
            else:
                del self._reserved[tx.fee_payer]
        if len(self._expiry) > 2 * len(self._entries) + 1024:  # most of it is gone already
            self._expiry = [item for item in self._expiry if item[1] in self._entries]
            heapq.heapify(self._expiry)
        return tx

    def remove(self, tx_hash: bytes) -> list[bytes]:
        """A transaction and those that wait behind it in its lane."""
        entry = self._entries.get(tx_hash)
        if entry is None:
            return []
        tx = entry.tx
        lane = self._lanes.get((tx.sender, tx.lane))
        if lane is None or tx.is_unordered:
            fallen = [tx_hash]
        else:
            fallen = [other for seq, other in lane.hashes.items() if seq >= tx.seq]
        for other in fallen:
            self._remove(other)
        return fallen


def _lane_kind(tx: Transaction) -> str:
    if tx.is_unordered:
        return "unordered"
    return "other" if tx.lane else "first"


def _accounts(tx: Transaction) -> tuple[bytes, ...]:
    """Whose records decide about it, each once: the sender, everybody else who must authorise it, the payer of its fee."""
    if len(tx.required) == 1 and tx.fee_payer == tx.sender:
        return (tx.sender,)
    return tuple(dict.fromkeys((*[account for account, _ in tx.required], tx.fee_payer)))
