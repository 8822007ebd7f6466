"""Operations on stake: delegate, undelegate, cancel an unbonding, redelegate, claim.

An undelegation waits the whole unbonding time whatever the validator's state, so that stake never leaves before its misdeed can be
proved. Stake that came by redelegation may not be redelegated on until its own time is over (1004). Source: ledger rules, 1.3
and section 6; the arithmetic is in `staking_pool`, the waiting in `unbonding`.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.modules.fields import AMOUNT, HASH_20, NUMBER
from state.modules.gate import require_position
from state.modules.operation import (
    BONDED,
    BONDED_ADDRESS,
    CLAIMS,
    REWARDS,
    UNBONDING,
    UNBONDING_ADDRESS,
    Level,
    OpContext,
    Operation,
)
from state.modules.slashing import jail
from state.modules.staking_pool import (
    SCALE,
    add_stake,
    compute_settled,
    get_delegation,
    list_validator,
    pay_rewards,
    read_stake_params,
    require_validator,
    settle_pool,
    take_stake,
    unlist_validator,
    value_of,
)
from state.modules.staking_validators import VALIDATOR_OPERATIONS, self_bond
from state.modules.unbonding import (
    append_entry,
    find_entry,
    forget_due,
    get_entries,
    incoming_until_s,
    release_due,
    remove_entry,
)
from state.primitives.errors import OperationFailed
from state.receipts import (
    STAKE_CLAIMED,
    STAKE_DELEGATED,
    STAKE_REDELEGATED,
    STAKE_UNBONDING_CANCELLED,
    STAKE_UNDELEGATED,
)
from state.schema import HOLDING
from state.schema_claims import CLAIM
from state.schema_staking import DELEGATION as DELEGATION_LETTER
from state.schema_staking import (
    DELEGATOR,
    POOL,
    REDELEGATION,
    REDELEGATION_QUEUE,
    REDELEGATION_QUEUE_KEY,
    UNBONDING_QUEUE,
    UNBONDING_QUEUE_KEY,
    WINDOW,
    Link,
    delegation_key,
    incoming_key,
    pool_key,
    redelegation_key,
    unbonding_key,
)
from state.schema_staking import UNBONDING as UNBONDING_LETTER


def _require_amount(amount: int) -> None:
    if amount == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")


def _require_living(context: OpContext, validator: bytes) -> None:
    """Fail with 1001, 1006."""
    if require_validator(context, validator)[1].is_tombstoned:
        raise OperationFailed(Code.TOMBSTONED, "the validator is tombstoned")


def _require_own(context: OpContext, account: bytes) -> None:
    """Fail unless the account may act upon what it has of the staked asset: 604, 606, 605."""
    require_position(context, account, read_stake_params(context.view).asset.encode("ascii"), is_exit=True)


def _require_room(count: int, entries_max: int) -> None:
    if count >= entries_max:
        raise OperationFailed(Code.UNBONDING_LIMIT, f"at most {entries_max} at once")


def delegate(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """stake.delegate: 503, 1001, 1006, 501, 508, 505."""
    validator, amount = args
    _require_amount(amount)
    _require_living(context, validator)
    params = read_stake_params(context.view)
    code = params.asset.encode("ascii")
    context.debit(account, code, amount)
    context.credit(BONDED_ADDRESS, code, amount)
    add_stake(context, params, validator, account, amount)
    context.emit(STAKE_DELEGATED, validator, account, amount)


def undelegate(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """stake.undelegate: 503, 1001, 1003, 501."""
    validator, amount = args
    _require_amount(amount)
    require_validator(context, validator)
    _require_own(context, account)
    _unbond(context, validator, account, amount)


def recall(context: OpContext, holder: bytes, validator: bytes, asset: str) -> int:
    """Begin by authority the unbonding of all that a holder has with a validator; how much that is: 701, 1003.

    It stays within the reach of a slash as long as any unbonding does, and then comes to the holding or waits as a claim.
    """
    view = context.view
    shares = get_delegation(view, validator, holder).shares
    worth = value_of(settle_pool(view, validator), shares) if shares else 0
    if asset != read_stake_params(view).asset or not worth:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"the holder has no {asset} with this validator")
    _unbond(context, validator, holder, worth)
    return worth


def _unbond(context: OpContext, validator: bytes, account: bytes, amount: int) -> None:
    """1003, 501."""
    view = context.view
    params = read_stake_params(view)
    release_due(context, params, validator, account)
    key = unbonding_key(validator, account)
    _require_room(len(get_entries(view, key)), params.entries_max)
    take_stake(context, params, validator, account, amount)
    code = params.asset.encode("ascii")
    context.debit(BONDED_ADDRESS, code, amount)
    context.credit(UNBONDING_ADDRESS, code, amount)
    # stake that was redelegated stays within reach until its redelegation is over
    until_s = max(context.time_s + params.unbonding_s, incoming_until_s(view, validator, account))
    entry = append_entry(context, UNBONDING_QUEUE_KEY, key, Link(validator, account, b"", -1, 0), amount, until_s)
    list_validator(view, account, validator)
    context.emit(STAKE_UNDELEGATED, validator, account, amount, entry.number, until_s)
    _jail_without_bond(context, validator, account)


def _jail_without_bond(context: OpContext, validator: bytes, account: bytes) -> None:
    """An owner who takes his bond below what he promised takes his validator out of the set."""
    record, pool = require_validator(context, validator)
    if account == record.owner and not pool.is_jailed and self_bond(context.view, validator) < record.min_self_bond:
        jail(context, validator, context.time_s, "self bond")


def cancel_unbond(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """stake.cancel_unbond, the whole entry back to the pool: 1001, 1006, 701, 708 (already due), 503 (nothing left), 508, 505."""
    validator, number = args
    _require_living(context, validator)
    _require_own(context, account)
    view = context.view
    params = read_stake_params(view)
    key = unbonding_key(validator, account)
    entry = find_entry(view, key, number)
    if entry is None:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"there is no unbonding {number}")
    if entry.until_s <= context.time_s:
        raise OperationFailed(Code.TOO_LATE, "the unbonding is over")
    _require_amount(entry.balance)
    remove_entry(view, key, number)
    code = params.asset.encode("ascii")
    context.debit(UNBONDING_ADDRESS, code, entry.balance)
    context.credit(BONDED_ADDRESS, code, entry.balance)
    add_stake(context, params, validator, account, entry.balance)
    context.emit(STAKE_UNBONDING_CANCELLED, validator, account, entry.balance, number)


def redelegate(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """stake.redelegate: 503, 504, 1001, 1006, 1004, 1003, 501, 508, 505."""
    source, destination, amount = args
    _require_amount(amount)
    if source == destination:
        raise OperationFailed(Code.SELF_TRANSFER, "source and destination are one validator")
    require_validator(context, source)
    _require_living(context, destination)
    _require_own(context, account)
    view = context.view
    params = read_stake_params(view)
    if incoming_until_s(view, source, account) > context.time_s:
        raise OperationFailed(Code.REDELEGATION_IN_PROGRESS, "stake that was redelegated lately may not move on")
    key = redelegation_key(source, destination, account)
    forget_due(context, key)
    _require_room(len(get_entries(view, key)), params.entries_max)
    take_stake(context, params, source, account, amount)
    add_stake(context, params, destination, account, amount)
    until_s = context.time_s + params.unbonding_s
    append_entry(context, REDELEGATION_QUEUE_KEY, key, Link(source, account, destination, -1, 0), amount, until_s)
    latest_s = max(until_s, incoming_until_s(view, destination, account))
    view.put(incoming_key(destination, account), (latest_s,))
    context.emit(STAKE_REDELEGATED, source, destination, account, amount, until_s)
    _jail_without_bond(context, source, account)


def claim(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """stake.claim: rewards, the owner's commission, unbondings that are due. 1001, 906."""
    validator = args[0]
    record, _ = require_validator(context, validator)
    _require_own(context, account)
    view = context.view
    params = read_stake_params(view)
    pool = settle_pool(view, validator)
    delegation = compute_settled(pool, get_delegation(view, validator, account))
    rewards, fraction = divmod(delegation.owed, SCALE)
    if rewards:
        view.put(delegation_key(validator, account), delegation._replace(owed=fraction))
    commission = 0
    if account == record.owner:
        commission, fraction = divmod(pool.commission, SCALE)
        if commission:
            view.put(pool_key(validator), pool._replace(commission=fraction))
    released = release_due(context, params, validator, account)
    if not rewards + commission + released:
        raise OperationFailed(Code.NOTHING_TO_CLAIM, "nothing to claim")
    pay_rewards(context, params, account, rewards + commission)
    unlist_validator(view, account, validator)
    context.emit(STAKE_CLAIMED, validator, account, rewards, commission, released)


_STAKE: Final = frozenset({HOLDING, POOL, DELEGATION_LETTER, DELEGATOR, WINDOW, CLAIM})
_QUEUES: Final = frozenset({UNBONDING_LETTER, UNBONDING_QUEUE})

OPERATIONS: Final = (
    *VALIDATOR_OPERATIONS,
    Operation(
        code=44,
        name="stake.delegate",
        module="stake",
        fields=(("validator", HASH_20), ("amount", AMOUNT)),
        level=Level.MEDIUM,
        handler=delegate,
        codes=(
            Code.ZERO_AMOUNT,
            Code.VALIDATOR_NOT_FOUND,
            Code.TOMBSTONED,
            Code.INSUFFICIENT_FUNDS,
            Code.ASSERT_FAILED,
            Code.OVERFLOW_MAX,
        ),
        writes=_STAKE,
        work=2,
        moves_value=True,
        touches=frozenset({BONDED}),
    ),
    Operation(
        code=45,
        name="stake.undelegate",
        module="stake",
        fields=(("validator", HASH_20), ("amount", AMOUNT)),
        level=Level.MEDIUM,
        handler=undelegate,
        codes=(Code.ZERO_AMOUNT, Code.VALIDATOR_NOT_FOUND, Code.UNBONDING_LIMIT, Code.INSUFFICIENT_FUNDS),
        writes=_STAKE | _QUEUES,
        work=4,
        moves_value=True,
        touches=frozenset({BONDED, UNBONDING, REWARDS, CLAIMS}),
    ),
    Operation(
        code=46,
        name="stake.cancel_unbond",
        module="stake",
        fields=(("validator", HASH_20), ("entry", NUMBER)),
        level=Level.MEDIUM,
        handler=cancel_unbond,
        codes=(
            Code.VALIDATOR_NOT_FOUND,
            Code.TOMBSTONED,
            Code.PENDING_NOT_FOUND,
            Code.TOO_LATE,
            Code.ZERO_AMOUNT,
            Code.ASSERT_FAILED,
            Code.OVERFLOW_MAX,
        ),
        writes=_STAKE | _QUEUES,
        work=2,
        moves_value=True,
        touches=frozenset({BONDED, UNBONDING}),
    ),
    Operation(
        code=47,
        name="stake.redelegate",
        module="stake",
        fields=(("source", HASH_20), ("destination", HASH_20), ("amount", AMOUNT)),
        level=Level.MEDIUM,
        handler=redelegate,
        codes=(
            Code.ZERO_AMOUNT,
            Code.SELF_TRANSFER,
            Code.VALIDATOR_NOT_FOUND,
            Code.TOMBSTONED,
            Code.REDELEGATION_IN_PROGRESS,
            Code.UNBONDING_LIMIT,
            Code.INSUFFICIENT_FUNDS,
            Code.ASSERT_FAILED,
            Code.OVERFLOW_MAX,
        ),
        writes=_STAKE | {REDELEGATION, REDELEGATION_QUEUE},
        work=4,
        touches=frozenset({REWARDS, CLAIMS}),
    ),
    Operation(
        code=48,
        name="stake.claim",
        module="stake",
        fields=(("validator", HASH_20),),
        level=Level.LOW,
        handler=claim,
        codes=(Code.VALIDATOR_NOT_FOUND, Code.NOTHING_TO_CLAIM),
        writes=_STAKE | {UNBONDING_LETTER},
        work=2,
        moves_value=True,
        touches=frozenset({REWARDS, UNBONDING, CLAIMS}),
    ),
)
