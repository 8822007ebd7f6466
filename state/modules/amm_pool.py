"""Pools as records: finding one, whether it may be used, its shares, its accumulated prices. No operation goes in here.

Reserves are fields of the pool's record; the assets are held by the module account `amm`, which nothing else can credit, so there is
no donation and nothing to skim or to sync. Source: ledger rules, 1.1.
"""

from __future__ import annotations

from typing import Final

from state.codes import Code
from state.modules.amm_math import compute_price, compute_protocol_shares, compute_root_k
from state.modules.domains import require_member as require_domain_member
from state.modules.gate import is_unrestricted, require_movable, require_position
from state.modules.operation import AMM_ADDRESS, TREASURY_ADDRESS, OpContext
from state.primitives.errors import OperationFailed
from state.primitives.limits import POOL_RESERVE_MIN
from state.receipts import PROTOCOL_FEE_MINTED
from state.schema_amm import (
    ALL_ON,
    NO_POSITION,
    POOL_PREFIX,
    SWITCHES_KEY,
    Pool,
    Position,
    Switches,
    members_key,
    pool_key,
    position_key,
)
from state.view import View

TRADE: Final = 0
DEPOSIT: Final = 1
WITHDRAW: Final = 2
_FUNCTIONS: Final = ("trading", "depositing", "withdrawing")
ROOT_BITS: Final = 64


def pool_of(one: str, other: str) -> str:
    """The name of the pool of two assets."""
    return f"{one}/{other}" if one < other else f"{other}/{one}"


def split_pool(pool: str) -> tuple[str, str]:
    """The two assets of a pool."""
    a, _, b = pool.partition("/")
    return a, b


def get_pool(context: OpContext, pool: str) -> Pool:
    """A pool that is not empty, or fail with 801."""
    record: Pool | None = context.view.values[POOL_PREFIX + pool.encode("ascii")]
    if record is None or not record.reserve_a:
        raise OperationFailed(Code.POOL_NOT_FOUND, f"there is no pool {pool}")
    return record


def require_on(context: OpContext, pool: str, record: Pool, function: int) -> None:
    """Fail with 202 while a function is switched off, of this pool or of all."""
    every: Switches | None = context.view.values[SWITCHES_KEY]
    if max(record.switches[function], 0 if every is None else every[function]) > context.time_s:
        raise OperationFailed(Code.MODULE_PAUSED, f"{_FUNCTIONS[function]} is switched off for {pool}")


def require_member(context: OpContext, pool: str, account: bytes) -> None:
    """Fail with 607 or 608 unless the account may use the pool. The one place that knows who may."""
    members = context.view.values[members_key(pool)]
    if members is None:
        return
    if type(members[0]) is str:
        require_domain_member(context, members[0], account)
    elif account not in members:
        raise OperationFailed(Code.CREDENTIAL_MISSING, f"the account is not a member of {pool}")


def require_usable(context: OpContext, pool: str, record: Pool, function: int, account: bytes) -> None:
    """Fail with 202, 607, 608, or as a transfer of either asset between the account and the pool would: 401, 615, 604, 606, 605, 507.

    Both assets are asked for, whichever moves: who may not hold one must not get at it by way of the other. Who withdraws need not
    be a member any more.
    """
    require_on(context, pool, record, function)
    if function != WITHDRAW:
        require_member(context, pool, account)
    for code in split_pool(pool):
        if is_unrestricted(context, account, code.encode("ascii")):
            continue
        if function == WITHDRAW:
            require_movable(context, code, AMM_ADDRESS, account)
        else:
            require_movable(context, code, account, AMM_ADDRESS)
        require_position(context, account, code.encode("ascii"), is_exit=function == WITHDRAW)


def require_reserves(record: Pool) -> None:
    """Fail with 810 if a side is below the minimum."""
    if record.reserve_a < POOL_RESERVE_MIN or record.reserve_b < POOL_RESERVE_MIN:
        raise OperationFailed(Code.BELOW_MIN_RESERVES, f"a pool keeps {POOL_RESERVE_MIN} base units of each asset")


def advance_price(record: Pool, time_s: int) -> Pool:
    """The pool with its prices summed up to now. To be called before its reserves change: only the first call in a block counts."""
    elapsed_s = time_s - record.price_s
    if elapsed_s <= 0:
        return record
    a, b = record.reserve_a, record.reserve_b
    if not a:
        return record._replace(price_s=time_s)
    return record._replace(
        price_a=record.price_a + compute_price(a, b) * elapsed_s,
        price_b=record.price_b + compute_price(b, a) * elapsed_s,
        price_s=time_s,
    )


def get_position(view: View, account: bytes, pool: str) -> Position:
    """An account's position; one of no shares if there is none."""
    found: Position = view.values[position_key(account, pool)] or NO_POSITION
    return found


def pay_protocol(context: OpContext, pool: str, record: Pool) -> Pool:
    """Give the protocol the shares it is due, before a deposit or a withdrawal; the pool with its new supply."""
    if not record.is_protocol_on:
        return record
    shares = compute_protocol_shares(record.reserve_a, record.reserve_b, record.k_last, record.supply)
    if not shares:
        return record
    position = get_position(context.view, TREASURY_ADDRESS, pool)
    context.view.put(position_key(TREASURY_ADDRESS, pool), position._replace(shares=position.shares + shares))
    context.emit(PROTOCOL_FEE_MINTED, pool, shares)
    return record._replace(supply=record.supply + shares)


def remember_k(record: Pool) -> Pool:
    """The pool with the product that the protocol's next shares are counted from."""
    return record._replace(k_last=record.reserve_a * record.reserve_b if record.is_protocol_on else 0)


def add_shares(context: OpContext, pool: str, record: Pool, account: bytes, shares: int, paid: tuple[int, int]) -> None:
    """Give an account shares of `record`, the pool as it is with them."""
    old = get_position(context.view, account, pool)
    root = shares * compute_root_k(record.reserve_a, record.reserve_b, ROOT_BITS) // record.supply
    context.view.put(
        position_key(account, pool),
        Position(
            old.shares + shares,
            old.basis_a + paid[0],
            old.basis_b + paid[1],
            old.root + root,
            old.moment + root * context.time_s,
        ),
    )


def take_shares(context: OpContext, pool: str, account: bytes, shares: int) -> None:
    """Take shares from an account, and the same part of what they cost: 501."""
    old = get_position(context.view, account, pool)
    if shares > old.shares:
        raise OperationFailed(Code.INSUFFICIENT_FUNDS, f"{old.shares} shares held, {shares} needed")
    left = old.shares - shares
    rest = Position(*(number * left // old.shares for number in old)) if left else None
    context.view.put(position_key(account, pool), rest)


def put_pool(context: OpContext, pool: str, record: Pool) -> None:
    """Write a pool."""
    context.view.put(pool_key(pool), record)


def receive(context: OpContext, account: bytes, code: str, amount: int) -> None:
    """Move an amount from an account to the pools: 501, 505. Nothing for zero."""
    if amount:
        raw = code.encode("ascii")
        context.debit(account, raw, amount)
        context.credit(AMM_ADDRESS, raw, amount)


def pay_out(context: OpContext, account: bytes, code: str, amount: int, *, is_return: bool = False) -> None:
    """Move an amount from the pools to an account: 505. Nothing for zero. `is_return`: it is what its shares are worth."""
    if amount:
        raw = code.encode("ascii")
        context.debit(AMM_ADDRESS, raw, amount)
        context.credit(account, raw, amount, is_return=is_return)


def switches_or_on(view: View) -> Switches:
    """The switches of all pools."""
    found: Switches = view.values[SWITCHES_KEY] or ALL_ON
    return found
