"""Admission of transactions: decode, check against the state, check signatures once, put into the pool.

A batch is the unit: no task and no hop for each transaction. Signatures that were good are remembered by transaction hash with the
exact keys they were good for, so execution does not check them again. A refused transaction leaves nothing behind but its count.
What arrives ahead of its sequence from a peer is parked for a moment, within a bound, since peers' messages overtake each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from node.clock import Clock
from node.mempool.pool import Pool
from node.workers import SignatureChecker, SignatureJob
from state.admission import Gate, signature_jobs
from state.codes import Code
from state.machine import NS_PER_S, BlockContext, make_gate
from state.primitives.errors import TransactionError
from state.primitives.hashing import sha256
from state.transaction import Transaction
from state.view import RecordCache, View

PARKED_MAX: Final = 2_000
ACCOUNT_TXS_MAX: Final = 5_000
OUTCOMES_MAX: Final = 50_000  # how many refusals after acceptance are remembered for `tx_status`


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one submitted transaction. `code` 0: it waits for a block."""

    hash: bytes
    code: int
    log: str

    @property
    def code_name(self) -> str:
        """The code's name."""
        return Code(self.code).name


class Mempool:
    """Owned by the event loop. `on_added` hears of every newly admitted hash with the peer it came from ("" for a client)."""

    def __init__(
        self,
        pool: Pool,
        records: RecordCache,
        chain_id: bytes,
        checker: SignatureChecker,
        clock: Clock,
        is_committed: Callable[[bytes], bool],
        on_added: Callable[[list[bytes], str], None],
    ) -> None:
        self.pool = pool
        self.verified: dict[bytes, bytes] = {}  # transaction hash -> binding of the keys it was verified with
        self.dropped: dict[bytes, int] = {}  # accepted once, inadmissible later: hash -> code
        self._records = records
        self._chain_id = chain_id
        self._checker = checker
        self._clock = clock
        self._is_committed = is_committed
        self._on_added = on_added
        self._parked: dict[tuple[bytes, int, int], Transaction] = {}
        self._view = View(records)
        self._height_time_ns = 0

    def new_height(self, time_ns: int) -> None:
        """The state has moved: look at it afresh."""
        self._view = View(self._records)
        self._height_time_ns = time_ns

    async def submit(self, raws: Sequence[bytes], source: str = "") -> list[Submitted]:
        """Admit a batch, in order; one result for each. `source` is the peer it came from."""
        results: list[Submitted | None] = [None] * len(raws)
        gate = self._make_gate()
        waiting: list[tuple[int, Transaction]] = []
        jobs: list[SignatureJob] = []
        spans: list[tuple[int, int, bytes]] = []
        batch: dict[bytes, None] = {}
        for index, raw in enumerate(raws):
            tx = self._decode(raw, results, index)
            if tx is None:
                continue
            code, log = self.pool.room_for(tx)
            if code == Code.OK and tx.hash in batch:
                code, log = Code.TX_SEEN, "the transaction is in this batch twice"
            check = None
            if code == Code.OK:
                code, log = self._check_early(gate, tx)
                check = signature_jobs(tx, self._view) if code == Code.OK else None
            if check is None:
                results[index] = Submitted(tx.hash, code, log)
                continue
            batch[tx.hash] = None
            start = len(jobs)
            if self.verified.get(tx.hash) != check.binding:
                jobs += check.jobs
            spans.append((start, len(jobs), check.binding))
            waiting.append((index, tx))
        verdicts = await self._checker.verify(jobs)
        gate = self._make_gate()  # a height may have passed meanwhile
        added: list[bytes] = []
        for (index, tx), (start, end, binding) in zip(waiting, spans, strict=True):
            if not all(verdicts[start:end]):
                results[index] = Submitted(tx.hash, Code.BAD_SIGNATURE, "a signature is wrong")
                continue
            code, log = self._add(gate, tx, binding, added)
            if code == Code.SEQ_FUTURE and source and len(self._parked) < PARKED_MAX:
                self._parked[(tx.sender, tx.lane, tx.seq)] = tx
            results[index] = Submitted(tx.hash, code, log)
        if added:
            self._on_added(added, source)
        return [result for result in results if result is not None]

    def _decode(self, raw: bytes, results: list[Submitted | None], index: int) -> Transaction | None:
        try:
            return Transaction.decode(raw)
        except TransactionError as error:
            results[index] = Submitted(sha256(raw), error.result, error.message)
            return None

    def _check_early(self, gate: Gate, tx: Transaction) -> tuple[int, str]:
        """What can be said before the expensive check of signatures."""
        admission = gate.check(self._view, tx, verified=None, expected_seq=self.pool.expected_seq(tx))
        if admission.code == Code.SEQ_FUTURE:
            return Code.OK, ""  # its predecessors may be in the same batch; asked again when it is added
        if admission.code == Code.SEQ_PAST and self._is_committed(tx.hash):
            return Code.TX_SEEN, "the transaction is committed"
        return admission.code, admission.log

    def _add(self, gate: Gate, tx: Transaction, binding: bytes, added: list[bytes]) -> tuple[int, str]:
        code, log = self.pool.add(tx, self._checked_by(gate))
        if code == Code.OK:
            self.verified[tx.hash] = binding
            added.append(tx.hash)
            following = self._parked.pop((tx.sender, tx.lane, tx.seq + 1), None) if self._parked else None
            if following is not None:
                check = signature_jobs(following, self._view)
                if check is not None:
                    self._add(gate, following, check.binding, added)
        return code, log

    def _checked_by(self, gate: Gate) -> Callable[[Transaction, int | None, int], tuple[int, str, int]]:
        view = self._view

        def check(tx: Transaction, expected_seq: int | None, reserved: int) -> tuple[int, str, int]:
            found = gate.check(view, tx, verified=None, expected_seq=expected_seq, reserved=reserved)
            return found.code, found.log, found.fee

        return check

    def _make_gate(self) -> Gate:
        # an idle chain's last block may be old, so expiry is judged by whichever clock is later
        time_ns = max(self._height_time_ns, self._clock.now_ns())
        return make_gate(self._view, BlockContext(0, time_ns, self._chain_id))

    def committed(self, hashes: Sequence[bytes], touched: Sequence[bytes], time_ns: int) -> None:
        """A block was applied; `touched` are the accounts whose records it changed. Call `new_height` first."""
        gate = self._make_gate()
        dropped = self.pool.update(hashes, touched, time_ns // NS_PER_S, self._checked_by(gate))
        for tx_hash in hashes:
            self.verified.pop(tx_hash, None)
            self.dropped.pop(tx_hash, None)
        self._note_dropped(dropped)
        for key in [key for key, tx in self._parked.items() if tx.valid_until * NS_PER_S < time_ns]:
            del self._parked[key]

    def drop(self, refused: Sequence[tuple[bytes, int]]) -> None:
        """A block could not take these: they and what waits behind them leave the pool."""
        for tx_hash, code in refused:
            self._note_dropped([(fallen, code) for fallen in self.pool.remove(tx_hash)])

    def _note_dropped(self, dropped: Sequence[tuple[bytes, int]]) -> None:
        for tx_hash, code in dropped:
            self.verified.pop(tx_hash, None)
            self.dropped[tx_hash] = code
        while len(self.dropped) > OUTCOMES_MAX:
            del self.dropped[next(iter(self.dropped))]

    async def verify_for_block(self, txs: Sequence[Transaction]) -> bool:
        """Check and remember the signatures of a block's transactions that are not remembered yet. False if one is wrong."""
        jobs: list[SignatureJob] = []
        remember: list[tuple[bytes, bytes]] = []
        for tx in txs:
            check = signature_jobs(tx, self._view)
            if check is None:
                continue  # keys of this very block, or too few: execution decides
            if self.verified.get(tx.hash) != check.binding:
                jobs += check.jobs
                remember.append((tx.hash, check.binding))
        if not all(await self._checker.verify(jobs)):
            return False
        self.verified.update(remember)
        return True
