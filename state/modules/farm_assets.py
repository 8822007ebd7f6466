"""How a stake gets into a farm and out of it again: an asset by holdings, pool shares as positions of the farms' account in the pool.

Staked shares stay shares of their pool: they move, with what they cost and when, from their owner's position into that of the farms'
account, and the part that belongs to them comes back with them to the last unit. A freeze keeps what is in a farm there; an emergency
exit asks for none: who is sanctioned may not act at all. No accrual and no operation goes in here.
"""

from __future__ import annotations

from state.codes import Code
from state.modules.amm_pool import get_position, split_pool
from state.modules.assets import get_asset
from state.modules.claims import give_back
from state.modules.farm_math import split_lot
from state.modules.gate import FLAG_STAKEABLE, require_flag, require_movable, require_position
from state.modules.operation import FARMS_ADDRESS, OpContext
from state.primitives.errors import OperationFailed
from state.schema_amm import POOL_PREFIX, Position, position_key


def codes_of(stake: str) -> tuple[str, ...]:
    """The assets behind a stake: itself, or the two of its pool."""
    return split_pool(stake) if "/" in stake else (stake,)


def _require_allowed(context: OpContext, code: str) -> None:
    get_asset(context, code)
    require_flag(context, code, FLAG_STAKEABLE, Code.NOT_TRANSFERABLE, "farms to take or pay it")


def require_stakeable(context: OpContext, stake: str) -> None:
    """Fail unless farms may take it: 401, 615, 801. Of pool shares both assets are asked: the most restrictive counts."""
    for code in codes_of(stake):
        _require_allowed(context, code)
    if "/" in stake:
        pool = context.view.values[POOL_PREFIX + stake.encode("ascii")]
        if pool is None or not pool.reserve_a:
            raise OperationFailed(Code.POOL_NOT_FOUND, f"there is no pool {stake}")


def require_own(context: OpContext, account: bytes, code: str) -> None:
    """Fail unless the account may act upon what it has of an asset in a farm, to get it back: 604, 606, 605."""
    require_position(context, account, code.encode("ascii"), is_exit=True)


def take_in(context: OpContext, account: bytes, stake: str, amount: int) -> tuple[int, ...]:
    """Move a stake into the farms: the gate's codes, 501. The lot of pool shares, else nothing."""
    if "/" not in stake:
        raw = stake.encode("ascii")
        context.debit(account, raw, amount)
        context.credit(FARMS_ADDRESS, raw, amount)
        return ()
    for code in codes_of(stake):
        require_position(context, account, code.encode("ascii"), is_exit=False)
    old = get_position(context.view, account, stake)
    if amount > old.shares:
        raise OperationFailed(Code.INSUFFICIENT_FUNDS, f"{old.shares} shares held, {amount} needed")
    lot = split_lot(old[1:], amount, old.shares)
    _add_shares(context, account, stake, -amount, tuple(-number for number in lot))
    _add_shares(context, FARMS_ADDRESS, stake, amount, lot)
    return lot


def pay_back(context: OpContext, account: bytes, stake: str, amount: int, lot: tuple[int, ...]) -> None:
    """Move a stake back to its owner, who asks for it: the gate's codes, 505. Nothing for zero."""
    if not amount:
        return
    for code in codes_of(stake):
        require_own(context, account, code)
    if "/" not in stake:
        raw = stake.encode("ascii")
        context.debit(FARMS_ADDRESS, raw, amount)
        context.credit(account, raw, amount, is_return=True)
        return
    _give_shares(context, account, stake, amount, lot)


def force_back(context: OpContext, account: bytes, stake: str, amount: int, lot: tuple[int, ...]) -> None:
    """Move a stake back to its owner; what keeps it from him makes a claim of it.

    Pool shares need no claim: what they are worth cannot leave the pool past the gate.
    """
    if "/" in stake:
        _give_shares(context, account, stake, amount, lot)
        return
    raw = stake.encode("ascii")
    context.debit(FARMS_ADDRESS, raw, amount)
    give_back(context, account, raw, amount)


def _give_shares(context: OpContext, account: bytes, pool: str, amount: int, lot: tuple[int, ...]) -> None:
    _add_shares(context, FARMS_ADDRESS, pool, -amount, tuple(-number for number in lot))
    _add_shares(context, account, pool, amount, lot)


def _add_shares(context: OpContext, account: bytes, pool: str, amount: int, lot: tuple[int, ...]) -> None:
    old = get_position(context.view, account, pool)
    new = Position(*(one + other for one, other in zip(old, (amount, *lot), strict=True)))
    context.view.put(position_key(account, pool), new if new.shares else None)


def require_reward(context: OpContext, code: str, sponsor: bytes, account: bytes) -> None:
    """Fail unless an asset may be paid as a reward of the sponsor to the account: 401, 615."""
    _require_allowed(context, code)
    require_movable(context, code, sponsor, account)


def pay_reward(context: OpContext, sponsor: bytes, account: bytes, code: str, amount: int) -> None:
    """Pay a reward of more than zero, which was earned and so is the account's own: 615, the gate's codes, 505."""
    raw = code.encode("ascii")
    require_movable(context, code, sponsor, account)
    require_own(context, account, code)
    context.debit(FARMS_ADDRESS, raw, amount)
    context.credit(account, raw, amount, is_return=True)
