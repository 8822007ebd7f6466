"""A validator's pool of stake: shares of it, and rewards by the share.

Slashing lowers the tokens of a pool and never its shares, so a share is never worth more than one unit and whoever joins gets at
least one share for each unit. Every change of a stake first settles its rewards (F1). Rewards are counted in 2^-640 units with the
remainder carried, so nothing is lost: the pot of rewards is at every moment exactly what is owed. All amounts are integers that
cannot overflow: an accumulator grows by less than 2^1280 in a block. No operation goes in here. Source: ledger rules, 1.2 and 1.3.
"""

from __future__ import annotations

from typing import Final

from state.codes import Code
from state.modules.claims import give_back
from state.modules.operation import BONDED_ADDRESS, REWARDS_ADDRESS, OpContext
from state.params import StakeParams
from state.primitives.errors import OperationFailed
from state.primitives.limits import POWER_TOTAL_MAX, PPM, SHARES_MAX, VALIDATOR_RECORDS_MAX
from state.schema import STAKE_PARAMS_KEY, holding_key
from state.schema_staking import (
    TOTALS_KEY,
    Delegation,
    Pool,
    Totals,
    ValidatorRecord,
    delegation_key,
    delegator_key,
    pool_key,
    unbonding_key,
    validator_key,
)
from state.view import View

SCALE: Final = 1 << 640
NO_TOTALS: Final = Totals(0, 0, 0, 0, 0)
NO_DELEGATION: Final = Delegation(0, 0, 0)


def read_stake_params(view: View) -> StakeParams:
    """The stake group; the defaults if none was ever stored."""
    record = view.get(STAKE_PARAMS_KEY)
    return StakeParams() if record is None else StakeParams.from_record(record)


def get_totals(view: View) -> Totals:
    """The network's rewards and power."""
    totals: Totals = view.get(TOTALS_KEY) or NO_TOTALS
    return totals


def require_validator(context: OpContext, validator: bytes) -> tuple[ValidatorRecord, Pool]:
    """A validator's record and pool, or fail with 1001."""
    record = context.view.get(validator_key(validator))
    if record is None:
        raise OperationFailed(Code.VALIDATOR_NOT_FOUND, f"there is no validator {validator.hex()}")
    return record, context.view.get(pool_key(validator))


def value_of(pool: Pool, shares: int) -> int:
    """What shares are worth, rounded down."""
    return shares * pool.tokens // pool.shares if shares else 0


def credit_rewards(record: ValidatorRecord, pool: Pool, earned: int) -> Pool:
    """The pool after it earned `earned` 2^-640 units: the commission to its owner, the rest by the share."""
    cut = earned * record.commission_ppm // PPM
    rest = earned - cut + pool.carry
    if pool.shares == 0:
        return pool._replace(commission=pool.commission + cut + rest, carry=0)
    gain, carry = divmod(rest, pool.shares)
    return pool._replace(acc=pool.acc + gain, carry=carry, commission=pool.commission + cut)


def settle_pool(view: View, validator: bytes) -> Pool:
    """Bring a pool's rewards up to date and return it."""
    pool: Pool = view.get(pool_key(validator))
    acc = get_totals(view).acc
    if pool.ref != acc:
        earned = pool.power * (acc - pool.ref)
        pool = pool._replace(ref=acc)
        if earned:
            pool = credit_rewards(view.get(validator_key(validator)), pool, earned)
        view.put(pool_key(validator), pool)
    return pool


def get_delegation(view: View, validator: bytes, delegator: bytes) -> Delegation:
    """A delegation; one of no shares if there is none."""
    found: Delegation = view.get(delegation_key(validator, delegator)) or NO_DELEGATION
    return found


def compute_settled(pool: Pool, delegation: Delegation) -> Delegation:
    """A delegation with what it earned up to the pool's accumulator."""
    owed = delegation.owed + delegation.shares * (pool.acc - delegation.ref)
    return Delegation(delegation.shares, pool.acc, owed)


def add_stake(context: OpContext, params: StakeParams, validator: bytes, delegator: bytes, amount: int) -> None:
    """Give `amount` > 0, which is already in the bonded pot, to a pool for the delegator's account. Fails with 508, 505."""
    view = context.view
    pool = settle_pool(view, validator)
    if pool.shares and not pool.tokens:
        raise OperationFailed(Code.ASSERT_FAILED, "the pool was slashed to nothing")
    shares = amount * pool.shares // pool.tokens if pool.shares else amount
    bonded = view.get(holding_key(BONDED_ADDRESS, params.asset))[0]
    if pool.shares + shares > SHARES_MAX or bonded // params.power_unit > POWER_TOTAL_MAX:
        raise OperationFailed(Code.OVERFLOW_MAX, "beyond what can be bonded")
    delegation = compute_settled(pool, get_delegation(view, validator, delegator))
    view.put(pool_key(validator), pool._replace(tokens=pool.tokens + amount, shares=pool.shares + shares))
    view.put(delegation_key(validator, delegator), delegation._replace(shares=delegation.shares + shares))
    list_validator(view, delegator, validator)


def take_stake(context: OpContext, params: StakeParams, validator: bytes, delegator: bytes, amount: int) -> None:
    """Take exactly `amount` > 0 of a delegator's stake out of a pool; the tokens stay in the bonded pot. Fails with 501.

    A rest of shares that is worth nothing goes with it. Rewards of a delegation that ends are paid.
    """
    view = context.view
    pool = settle_pool(view, validator)
    delegation = compute_settled(pool, get_delegation(view, validator, delegator))
    worth = value_of(pool, delegation.shares)
    if amount > worth:
        raise OperationFailed(Code.INSUFFICIENT_FUNDS, f"{worth} delegated, {amount} needed")
    shares = delegation.shares if amount == worth else -(-amount * pool.shares // pool.tokens)
    left = delegation._replace(shares=delegation.shares - shares)
    pool = pool._replace(tokens=pool.tokens - amount, shares=pool.shares - shares)
    if left.shares:
        view.put(pool_key(validator), pool)
        view.put(delegation_key(validator, delegator), left)
        return
    whole, fraction = divmod(left.owed, SCALE)
    view.put(pool_key(validator), pool._replace(carry=pool.carry + fraction))
    view.put(delegation_key(validator, delegator), None)
    unlist_validator(view, delegator, validator)
    pay_rewards(context, params, delegator, whole)


def pay_rewards(context: OpContext, params: StakeParams, account: bytes, amount: int) -> None:
    """Pay whole units out of the pot of rewards; what a rule keeps from their owner waits as a claim."""
    if amount:
        code = params.asset.encode("ascii")
        context.debit(REWARDS_ADDRESS, code, amount)
        give_back(context, account, code, amount)


def list_validator(view: View, delegator: bytes, validator: bytes) -> None:
    """Note that an account has to do with a validator."""
    known: tuple[bytes, ...] = view.get(delegator_key(delegator)) or ()
    if validator not in known:
        if len(known) >= VALIDATOR_RECORDS_MAX:
            raise OperationFailed(Code.ASSERT_FAILED, "an account delegates to too many validators")
        view.put(delegator_key(delegator), tuple(sorted((*known, validator))))


def unlist_validator(view: View, delegator: bytes, validator: bytes) -> None:
    """Forget it when neither a delegation nor an unbonding is left."""
    if view.get(delegation_key(validator, delegator)) is None and view.get(unbonding_key(validator, delegator)) is None:
        known: tuple[bytes, ...] = view.get(delegator_key(delegator)) or ()
        view.put(delegator_key(delegator), tuple(item for item in known if item != validator) or None)
