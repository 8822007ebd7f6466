"""Admission of transactions: decode, check against the state, check signatures once, put into the pool.

A batch is the unit: no task and no hop for each transaction. Signatures that were good are remembered by transaction hash with the
exact keys they were good for, so execution does not check them again. A refused transaction leaves nothing behind but its count.
What arrives ahead of its sequence from a peer is parked for a moment, within a bound, since peers' messages overtake each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from node.clock import Clock
from node.mempool.pool import Check, LaneKey, Pool
from node.telemetry.logs import get_log
from node.workers import SignatureChecker, SignatureJob
from state.admission import Admission, Gate, SignatureCheck, make_jobs, signature_jobs
from state.codes import Code
from state.machine import NS_PER_S, BlockContext, make_gate
from state.primitives.errors import TransactionError
from state.primitives.hashing import sha256
from state.transaction import Transaction
from state.view import RecordCache, View

PARKED_MAX: Final = 2_000
ACCOUNT_TXS_MAX: Final = 5_000
REASONS_MAX: Final = 10  # of refusals, in one line of the log
OUTCOMES_MAX: Final = 50_000  # how many refusals after acceptance are remembered for `tx_status`

_LOG: Final = get_log("mempool")


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


class _Waiting(NamedTuple):
    """A transaction whose signatures are being verified: `start` to `end` of the jobs."""

    position: int
    tx: Transaction
    admission: Admission
    expected_seq: int | None
    binding: bytes
    start: int
    end: int


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
        self.counts = {"refused": 0, "dropped": 0}  # since the start; a transaction that is known already is not refused
        self.dropped: dict[bytes, int] = {}  # accepted once, inadmissible later: hash -> code
        self._records = records
        self._chain_id = chain_id
        self._checker = checker
        self._clock = clock
        self._is_committed = is_committed
        self._on_added = on_added
        self._parked: dict[tuple[bytes, int, int], tuple[Transaction, bytes]] = {}  # and the binding it was verified with
        self._of_blocks: list[bytes] = []  # verified for a proposed block and not waiting here
        self._view = View(records)
        self._height_time_ns = 0

    def new_height(self, time_ns: int) -> None:
        """The state has moved: look at it afresh."""
        self._view = View(self._records)
        self._height_time_ns = time_ns

    async def submit(self, raws: Sequence[bytes], source: str = "") -> list[Submitted]:
        """Admit a batch, in order; one result for each. `source` is the peer it came from."""
        results: list[Submitted | None] = [None] * len(raws)
        view, gate = self._view, self._make_gate()
        waiting: list[_Waiting] = []
        jobs: list[SignatureJob] = []
        batch: dict[bytes, None] = {}
        following: dict[LaneKey, int] = {}  # sequences that this batch expects of its lanes
        for index, raw in enumerate(raws):
            tx = self._decode(raw, results, index)
            if tx is None:
                continue
            code, log = self.pool.room_for(tx)
            if code == Code.OK and tx.hash in batch:
                code, log = Code.TX_SEEN, "the transaction is in this batch twice"
            if code != Code.OK:
                results[index] = Submitted(tx.hash, code, log)
                continue
            lane = (tx.sender, tx.lane)
            expected = following.get(lane)
            if expected is None:
                expected = self.pool.expected_seq(tx)
            admission = gate.check(view, tx, verified=None, expected_seq=expected)
            check = self._signatures(admission, tx, view)
            if check is None:
                code, log = self._explain(admission, tx)
                results[index] = Submitted(tx.hash, code, log)
                continue
            if admission.code == Code.OK and not tx.is_unordered:
                following[lane] = tx.seq + 1
            batch[tx.hash] = None
            start = len(jobs)
            if self.verified.get(tx.hash) != check.binding:
                jobs += check.jobs
            waiting.append(_Waiting(index, tx, admission, expected, check.binding, start, len(jobs)))
        verdicts = await self._checker.verify(jobs)
        added: list[bytes] = []
        admit = self._make_admit(view, waiting)
        for one in waiting:
            tx = one.tx
            if not all(verdicts[one.start : one.end]):
                results[one.position] = Submitted(tx.hash, Code.BAD_SIGNATURE, "a signature is wrong")
                continue
            code, log = self._add(admit, tx, one.binding, added)
            if code == Code.SEQ_FUTURE and source and len(self._parked) < PARKED_MAX:
                self._parked[(tx.sender, tx.lane, tx.seq)] = (tx, one.binding)
            results[one.position] = Submitted(tx.hash, code, log)
        if added:
            self._on_added(added, source)
        done = [result for result in results if result is not None]
        refused = [result for result in done if result.code not in (Code.OK, Code.TX_SEEN)]
        self.counts["refused"] += len(refused)
        reasons = [result.log for result in refused[:REASONS_MAX]]
        _LOG.debug("transactions came in", peer=source, given=len(raws), added=len(added), refused=reasons)
        return done

    def _decode(self, raw: bytes, results: list[Submitted | None], index: int) -> Transaction | None:
        try:
            return Transaction.decode(raw)
        except TransactionError as error:
            results[index] = Submitted(sha256(raw), error.result, error.message)
            return None

    def _signatures(self, admission: Admission, tx: Transaction, view: View) -> SignatureCheck | None:
        """What to verify; None if the transaction is refused before that."""
        if admission.code == Code.OK:
            return SignatureCheck(make_jobs(tx, admission.keys), admission.binding)
        if admission.code == Code.SEQ_FUTURE:  # its predecessors may be on their way; asked again when it is added
            return signature_jobs(tx, view)
        return None

    def _explain(self, admission: Admission, tx: Transaction) -> tuple[int, str]:
        if admission.code == Code.SEQ_PAST and self._is_committed(tx.hash):
            return Code.TX_SEEN, "the transaction is committed"
        return admission.code, admission.log

    def _make_admit(self, view: View, waiting: Sequence[_Waiting]) -> Check:
        """The check for adding: what was found before the signatures were verified still holds unless something moved since."""
        full = self._checked_by(self._make_gate())
        if view is not self._view:  # a height has passed meanwhile
            return full
        known = {one.tx.hash: one for one in waiting if one.admission.code == Code.OK}

        def check(tx: Transaction, expected_seq: int | None, reserved: int) -> tuple[int, str, int]:
            one = known.get(tx.hash)
            if one is None or one.expected_seq != expected_seq or (one.admission.fee and reserved):
                return full(tx, expected_seq, reserved)
            return Code.OK, "", one.admission.fee

        return check

    def _add(self, admit: Check, tx: Transaction, binding: bytes, added: list[bytes]) -> tuple[int, str]:
        code, log = self.pool.add(tx, admit)
        if code == Code.OK:
            self.verified[tx.hash] = binding
            added.append(tx.hash)
            parked = self._parked.pop((tx.sender, tx.lane, tx.seq + 1), None) if self._parked else None
            if parked is not None:
                # with the binding its signatures were good for: if a key has changed since, they are verified again
                self._add(admit, *parked, added)
        return code, log

    def _checked_by(self, gate: Gate) -> Check:
        view, verified = self._view, self.verified

        def check(tx: Transaction, expected_seq: int | None, reserved: int) -> tuple[int, str, int]:
            found = gate.check(view, tx, verified=None, expected_seq=expected_seq, reserved=reserved)
            if found.code == Code.OK and verified.get(tx.hash, found.binding) != found.binding:
                del verified[tx.hash]  # a key has changed
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
        for tx_hash in self._of_blocks:  # of proposals that were not decided
            if tx_hash not in self.pool:
                self.verified.pop(tx_hash, None)
        self._of_blocks.clear()
        self._note_dropped(dropped)
        for key in [key for key, (tx, _) in self._parked.items() if tx.valid_until * NS_PER_S < time_ns]:
            del self._parked[key]

    def drop(self, refused: Sequence[tuple[bytes, int]]) -> None:
        """A block could not take these: they and what waits behind them leave the pool."""
        for tx_hash, code in refused:
            self._note_dropped([(fallen, code) for fallen in self.pool.remove(tx_hash)])

    def _note_dropped(self, dropped: Sequence[tuple[bytes, int]]) -> None:
        self.counts["dropped"] += len(dropped)
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
            if tx.hash in self.verified:
                continue  # should its keys have changed in this very moment, execution verifies it again
            check = signature_jobs(tx, self._view)
            if check is None:
                continue  # keys of this very block, or too few: execution decides
            jobs += check.jobs
            remember.append((tx.hash, check.binding))
        if not all(await self._checker.verify(jobs)):
            return False
        self.verified.update(remember)
        self._of_blocks += [tx_hash for tx_hash, _ in remember if tx_hash not in self.pool]
        return True
