"""apply_block: the only way the state changes.

A transaction goes through four stages: admission (`state.admission`; a 1xx stops here and may not be in a block), the charge
(sequence, fee, remembered references: kept whatever follows), the operations (all or nothing), the invariants
(`state.invariants`). A failure in the last two rolls back to after the charge. Between transactions nothing is pending.

A block is executed once: `build_block` for its proposer, `apply_block` for everybody else, when they judge the proposal; the
`BlockResult` is kept by block hash until the decision. Neither writes anywhere: the result lists the changes.
No rule of an operation goes in here, and nothing may raise but `InvalidBlockError` and errors of the storage below.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

from state.admission import NOTHING_VERIFIED, Admission, Gate, Verified, intent_hash
from state.automatic import BUGS
from state.breakers import is_paused, trip_for_violation
from state.codes import REFUSED_MAX, REFUSED_MIN, Code
from state.expiry_actions import settle_due
from state.gov_actions import finish_governance, settle_governance
from state.invariants import check_charge, check_operation, find_module
from state.invariants_accounts import check_authority, check_scopes
from state.misbehavior import CommitVote, Misbehavior
from state.modules.gate import require_acting
from state.modules.operation import FEES_ADDRESS, OpContext, Operation
from state.modules.preconditions import apply_preconditions
from state.params import AccountParams, ConsensusParams, FeeParams
from state.primitives.codec import Value
from state.primitives.errors import (
    ConsensusFailure,
    InvalidBlockError,
    OperationFailed,
    TransactionError,
)
from state.primitives.limits import CLIENT_REF_KEEP_S, SWEEP_ENTRIES_MAX, UNORDERED_WINDOW_S_MAX
from state.receipts import ACTION_DROPPED, BREAKER_TRIPPED, NO_OPERATION, Event, Receipt, receipt_data
from state.schema import (
    ACCOUNT_PARAMS_KEY,
    ACCOUNT_PREFIX,
    BREAKERS_KEY,
    CLIENT_REF_QUEUE,
    CONSENSUS_PARAMS_KEY,
    FEE_PARAMS_KEY,
    NONCES_PREFIX,
    PRIORITIES_KEY,
    UNORDERED_QUEUE,
    client_ref_key,
    queue_entry_key,
    unordered_key,
)
from state.staking_actions import judge_validators, settle_stake
from state.subcalls import run_subcalls
from state.transaction import Call, Transaction
from state.upgrades import get_rules
from state.validators import ValidatorUpdate
from state.view import Reader, RecordCache, View, encode_changes

NS_PER_S: Final = 1_000_000_000
_T = TypeVar("_T")
Steps: TypeAlias = Generator[None, None, _T]  # something long, which ends with its result; its caller lets others work in between


@dataclass(frozen=True, slots=True)
class BlockContext:
    """What a block says about itself. `chain_id` is the 32-byte genesis hash; `last_commit` is of the block before.

    `priorities_hash` is that of the proposer priorities after the block, for a record of the state; empty where nobody takes turns.
    """

    height: int
    time_ns: int
    chain_id: bytes
    proposer_address: bytes = b""
    last_commit: tuple[CommitVote, ...] = ()
    misbehavior: tuple[Misbehavior, ...] = ()
    priorities_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What a block did. `changes` is sorted by key, None meaning deleted; `params` only when the consensus group changed.

    `records` are the same changes decoded, for `RecordCache.commit`.
    """

    receipts: tuple[Receipt, ...]
    changes: tuple[tuple[bytes, bytes | None], ...]
    validator_updates: tuple[ValidatorUpdate, ...]
    params: ConsensusParams | None
    events: tuple[Event, ...] = ()
    records: tuple[tuple[bytes, Value], ...] = ()


class BlockExecution:
    """One block in the making: `deliver` each transaction, then `finish`."""

    def __init__(
        self, reader: Reader, context: BlockContext, verified: Verified = NOTHING_VERIFIED, *, view: View | None = None
    ) -> None:
        if isinstance(reader, RecordCache) and context.height != reader.height + 1:
            raise ConsensusFailure(f"block {context.height} on a record cache at height {reader.height}")
        self.view = View(reader) if view is None else view
        self.consensus_params = read_consensus_params(self.view)
        self._verified = verified
        fees = read_fee_params(self.view)
        time_s = context.time_ns // NS_PER_S
        self._fee_code = fees.asset.encode("ascii")
        self._gate = Gate(context.chain_id, time_s, fees, get_rules(self.consensus_params.app_version))
        self._context = OpContext(self.view, context.height, time_s, read_account_params(self.view).key_kinds)
        self._block_events: list[Event] = []
        self._remembered = 0
        self.view.get(BREAKERS_KEY)
        self._block = context
        if context.misbehavior or context.last_commit:
            judge_validators(self._context, context, self.consensus_params, self._block_events)

    def deliver(self, tx: Transaction) -> Receipt:
        """Execute one transaction. A receipt with a code of 1xx means: refused, nothing changed, not fit for a block."""
        view = self.view
        admission = self._gate.check(view, tx, verified=self._verified)
        fee = admission.fee
        if admission.code:
            return Receipt(admission.code, NO_OPERATION, 0, b"", (), log=admission.log)
        authority = admission.authority
        self._charge(tx, admission)
        problem = check_charge(view, tx, fee, self._fee_code)
        if authority is not None:
            problem = problem or check_authority(view, tx, authority, fee, self._context.time_s)
        if problem:
            view.rollback(0)
            return self._violation(tx, 0, 0, problem)
        mark = len(view.undo)
        context = self._context
        context.begin(tx, authority)
        index = NO_OPERATION
        work = 0
        try:
            values = view.values
            if values[BREAKERS_KEY] is not None:
                index = self._find_paused(tx)
                if index != NO_OPERATION:
                    raise OperationFailed(Code.MODULE_PAUSED, "the module is paused by its breaker")
            if tx.preconditions:
                apply_preconditions(context, tx.preconditions)
            index = 0
            for call in tx.calls:
                start, before = len(view.undo), len(context.events)
                operation, account, args = context.call = call
                if values[ACCOUNT_PREFIX + account][4]:
                    require_acting(context, operation, account)
                if authority is not None:
                    authority.require(context, call)
                operation.handler(context, account, args)
                problem = check_operation(view, start, call, context.time_s)
                if authority is not None and not problem:
                    authority.spend(context, start, call)
                    problem = check_scopes(view, start, call, authority, context.time_s)
                if context.subcalls is not None:
                    problem = problem or self._run_subcalls(call, start, before)
                if problem:
                    break
                work += operation.work
                index += 1
        except OperationFailed as failure:
            view.rollback(mark)
            view.settle()
            return Receipt(
                failure.result, index, fee, receipt_data(index, fee), (), gas_used=_work(tx), log=failure.message
            )
        except BUGS as bug:
            problem = f"a handler failed: {type(bug).__name__}"
        if problem:
            view.rollback(mark)
            return self._violation(tx, max(0, index), fee, problem)
        view.settle()
        receipt: Receipt = tuple.__new__(
            Receipt,
            (0, NO_OPERATION, fee, receipt_data(NO_OPERATION, fee), tuple(context.events), 0, work, ""),
        )
        return receipt

    def finish(self, receipts: Sequence[Receipt]) -> BlockResult:
        """Run the automatic actions and list what the block changed."""
        view = self.view
        for name, action in _END_BLOCK:
            self._run_action(name, action)
        settle_due(self._context, self._block_events)
        settle_governance(self._context, self._block_events)
        updates = settle_stake(self._context, self._block, self._block_events)
        finish_governance(self._context, self._block_events)
        if self._block.priorities_hash:
            view.put(PRIORITIES_KEY, (self._block.priorities_hash,))
            view.settle()
        params = None
        records = view.changed_records()
        for key, _ in records:
            if key == CONSENSUS_PARAMS_KEY:
                params = read_consensus_params(view)
        return BlockResult(
            tuple(receipts), encode_changes(records), updates, params, tuple(self._block_events), records
        )

    def _charge(self, tx: Transaction, admission: Admission) -> None:
        view, fee = self.view, admission.fee
        if tx.lane == 0:
            nonces = admission.nonces
            view.put(NONCES_PREFIX + tx.sender, (tx.seq + 1, *nonces[1:]) if nonces else (tx.seq + 1,))
        elif tx.is_unordered:
            until_s = self._context.time_s + UNORDERED_WINDOW_S_MAX
            self._remember(UNORDERED_QUEUE, unordered_key(tx.body_hash), (until_s,))
        else:
            lanes = list(admission.nonces or ())
            lanes += [0] * (tx.lane + 1 - len(lanes))
            lanes[tx.lane] = tx.seq + 1
            view.put(NONCES_PREFIX + tx.sender, tuple(lanes))
        if tx.client_ref:
            until_s = self._context.time_s + CLIENT_REF_KEEP_S
            record = (tx.body_hash, intent_hash(tx), until_s)
            self._remember(CLIENT_REF_QUEUE, client_ref_key(tx.sender, tx.client_ref), record)
        if fee:
            self._context.take(tx.fee_payer, self._fee_code, fee)
            self._context.give(FEES_ADDRESS, self._fee_code, fee)
            if admission.authority is not None:
                admission.authority.charge_fee(view, fee, self._context.time_s)

    def _remember(self, queue: bytes, key: bytes, record: Value) -> None:
        view = self.view
        first, following = view.get(queue) or (0, 0)
        view.put(key, record)
        view.put(queue_entry_key(queue, following), (record[-1], key))
        view.put(queue, (first, following + 1))
        self._remembered += 1

    def _find_paused(self, tx: Transaction) -> int:
        entries, time_s = self.view.values[BREAKERS_KEY], self._context.time_s
        paused = (i for i, call in enumerate(tx.calls) if is_paused(entries, call.operation, call.account, time_s))
        return next(paused, NO_OPERATION)

    def _run_subcalls(self, call: Call, start: int, events: int) -> str:
        context = self._context
        subcalls, context.subcalls = context.subcalls, None
        return "" if subcalls is None else run_subcalls(context, call, start, events, subcalls)

    def _violation(self, tx: Transaction, index: int, fee: int, problem: str) -> Receipt:
        operation: Operation = tx.calls[index].operation
        module = find_module(problem, operation)
        view = self.view
        trip_for_violation(view, module, operation, self._context.height, self._context.time_s)
        view.settle()
        self._block_events.append(Event(BREAKER_TRIPPED, (module, operation.code, problem)))
        return Receipt(
            Code.INVARIANT_VIOLATION, index, fee, receipt_data(index, fee), (), gas_used=_work(tx), log=problem
        )

    def _run_action(self, name: str, action: Callable[[View, int, int], None]) -> None:
        view = self.view
        mark = view.mark()
        try:
            action(view, self._context.time_s, SWEEP_ENTRIES_MAX + 2 * self._remembered)
        except (OperationFailed, *BUGS) as failure:
            view.rollback(mark)
            self._block_events.append(Event(ACTION_DROPPED, (name, type(failure).__name__)))
        view.settle()


def _work(tx: Transaction) -> int:
    return sum(call.operation.work for call in tx.calls)


def _forget(queue: bytes, view: View, time_s: int, entries_max: int) -> None:
    """Forget what is due, oldest first, at most `entries_max`. Lateness has no effect: admission looks at the date itself."""
    first, following = view.get(queue) or (0, 0)
    start = first
    while first < following and first - start < entries_max:
        entry_key = queue_entry_key(queue, first)
        until_s, key = view.get(entry_key)
        if until_s >= time_s:
            break
        record = view.get(key)
        if record is not None and record[-1] == until_s:
            view.put(key, None)
        view.put(entry_key, None)
        first += 1
    if first != start:
        view.put(queue, (first, following) if first < following else None)


def _forget_client_refs(view: View, time_s: int, entries_max: int) -> None:
    _forget(CLIENT_REF_QUEUE, view, time_s, entries_max)


def _forget_unordered(view: View, time_s: int, entries_max: int) -> None:
    _forget(UNORDERED_QUEUE, view, time_s, entries_max)


_END_BLOCK: Final = (("forget client references", _forget_client_refs), ("forget unordered hashes", _forget_unordered))


def read_consensus_params(view: View) -> ConsensusParams:
    """The consensus group; the defaults if none was ever stored."""
    record = view.get(CONSENSUS_PARAMS_KEY)
    return ConsensusParams() if record is None else ConsensusParams.from_record(record)


def read_fee_params(view: View) -> FeeParams:
    """The fee table; free if none was ever stored."""
    record = view.get(FEE_PARAMS_KEY)
    return FeeParams() if record is None else FeeParams.from_record(record)


def read_account_params(view: View) -> AccountParams:
    """The account group; the defaults if none was ever stored."""
    record = view.get(ACCOUNT_PARAMS_KEY)
    return AccountParams() if record is None else AccountParams.from_record(record)


def make_gate(view: View, context: BlockContext) -> Gate:
    """The admission rules at a block's chain and time: what the mempool checks with."""
    rules = get_rules(read_consensus_params(view).app_version)
    return Gate(context.chain_id, context.time_ns // NS_PER_S, read_fee_params(view), rules)


def check_transaction(
    reader: Reader | View,
    context: BlockContext,
    tx: Transaction,
    *,
    verified: Verified | None = NOTHING_VERIFIED,
    expected_seq: int | None = None,
    reserved: int = 0,
) -> Admission:
    """The full stateful admission code of one transaction; see `state.admission` for the arguments.

    For many transactions make one `View` and one `make_gate` per committed height and call `gate.check`.
    """
    view = reader if isinstance(reader, View) else View(reader)
    return make_gate(view, context).check(
        view, tx, verified=verified, expected_seq=expected_seq, reserved=reserved
    )


def apply_block(
    reader: Reader, context: BlockContext, txs: Sequence[bytes | Transaction], *, verified: Verified = NOTHING_VERIFIED
) -> BlockResult:
    """`apply_block_in_steps`, all at once."""
    return _run(apply_block_in_steps(reader, context, txs, verified=verified))


def apply_block_in_steps(
    reader: Reader, context: BlockContext, txs: Sequence[bytes | Transaction], *, verified: Verified = NOTHING_VERIFIED
) -> Steps[BlockResult]:
    """Execute a whole block, with a pause for others after each transaction; nothing may change what `reader` reads meanwhile.

    Raises `InvalidBlockError` if it holds a transaction that may not be in a block, or too many. Signatures are verified here unless
    `verified` remembers them (see `state.admission`).
    """
    execution = BlockExecution(reader, context, verified)
    if len(txs) > execution.consensus_params.block_txs_max:
        raise InvalidBlockError(f"{len(txs)} transactions, at most {execution.consensus_params.block_txs_max} are allowed")
    receipts = []
    deliver = execution.deliver
    for index, tx in enumerate(txs):
        if type(tx) is bytes:
            try:
                tx = Transaction.decode(tx)
            except TransactionError as error:
                raise InvalidBlockError(f"transaction {index} is malformed ({error.result}): {error.message}") from error
        receipt = deliver(tx)  # type: ignore[arg-type]
        if REFUSED_MIN <= receipt.code <= REFUSED_MAX:
            raise InvalidBlockError(f"transaction {index} may not be in a block ({receipt.code}): {receipt.log}")
        receipts.append(receipt)
        yield
    return execution.finish(receipts)


@dataclass(frozen=True, slots=True)
class BuiltBlock:
    """A proposer's block: the chosen transactions, their result, and (position among the candidates, code) of the refused."""

    txs: tuple[Transaction, ...]
    result: BlockResult
    refused: tuple[tuple[int, int], ...]


def build_block(
    reader: Reader,
    context: BlockContext,
    candidates: Sequence[Transaction],
    *,
    verified: Verified = NOTHING_VERIFIED,
    bytes_max: int | None = None,
) -> BuiltBlock:
    """`build_block_in_steps`, all at once."""
    return _run(build_block_in_steps(reader, context, candidates, verified=verified, bytes_max=bytes_max))


def build_block_in_steps(
    reader: Reader,
    context: BlockContext,
    candidates: Sequence[Transaction],
    *,
    verified: Verified = NOTHING_VERIFIED,
    bytes_max: int | None = None,
) -> Steps[BuiltBlock]:
    """Choose from candidates, in order, what fits and may be in a block, and execute it on the way; pauses as `apply_block_in_steps`.

    `bytes_max` bounds the sum of the raw transactions; the block's own parameters bound it as well.
    """
    execution = BlockExecution(reader, context, verified)
    params = execution.consensus_params
    room = params.block_bytes_max if bytes_max is None else min(bytes_max, params.block_bytes_max)
    txs: list[Transaction] = []
    receipts: list[Receipt] = []
    refused: list[tuple[int, int]] = []
    for position, tx in enumerate(candidates):
        if len(txs) == params.block_txs_max:
            break
        if len(tx.raw) > room:
            continue
        receipt = execution.deliver(tx)
        yield
        if REFUSED_MIN <= receipt.code <= REFUSED_MAX:
            refused.append((position, receipt.code))
            continue
        room -= len(tx.raw)
        txs.append(tx)
        receipts.append(receipt)
    return BuiltBlock(tuple(txs), execution.finish(receipts), tuple(refused))


def _run(steps: Steps[_T]) -> _T:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
