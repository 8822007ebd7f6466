"""Deposits and withdrawals: making a pool, adding to it, taking out, closing it. Codes in their order of precedence.

The arithmetic is Uniswap v2's; shares are positions that cannot be transferred. A deposit of one asset is a swap and a deposit, a
withdrawal in one asset a withdrawal and a swap, and each is held to the rules of both. Source: ledger rules, 1.1 and section 6.
"""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.events_kyc import POOL_DOMAIN_SET
from state.modules.amm_math import (
    LOCKED_SHARES,
    compute_deposit,
    compute_first_shares,
    compute_shares,
    compute_shares_above,
    compute_single_deposit,
    compute_single_withdrawal,
    compute_withdrawal,
)
from state.modules.amm_pool import (
    DEPOSIT,
    TRADE,
    WITHDRAW,
    add_shares,
    advance_price,
    get_pool,
    get_position,
    pay_out,
    pay_protocol,
    pool_of,
    put_pool,
    receive,
    remember_k,
    require_on,
    require_reserves,
    require_usable,
    split_pool,
    take_shares,
)
from state.modules.amm_trade import change_reserves
from state.modules.assets import get_asset
from state.modules.claims import give_back
from state.modules.domains import require_domain
from state.modules.fields import malformed
from state.modules.gate import FLAG_TRADABLE, FLAG_TRANSFERABLE, require_position
from state.modules.operation import AMM_ADDRESS, TREASURY_ADDRESS, OpContext
from state.primitives.errors import OperationFailed
from state.primitives.limits import POOL_FEE_PPM_MAX, POOL_RESERVE_MIN
from state.receipts import (
    LIQUIDITY_ADDED,
    LIQUIDITY_REMOVED,
    POOL_CLOSED,
    POOL_CREATED,
    POOL_MEMBERS_SET,
    SWAPPED,
)
from state.schema_amm import (
    ALL_ON,
    POOL_LIST_KEY,
    Pool,
    Position,
    members_key,
    pool_key,
    pool_number_key,
    position_key,
)


def _require_amounts(*amounts: int) -> None:
    if not all(amounts):
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")


def _require_at_least(found: int, wanted: int, what: str) -> None:
    if found < wanted:
        raise OperationFailed(Code.SLIPPAGE, f"{found} {what} would be given, at least {wanted} is asked for")


def create(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.create: 503, 803, 1107, 401, 811, 1201, 506, 301, 802, 810, 501, 505. An empty pool may be created again."""
    a, b, fee_ppm, amount_a, amount_b, members = args
    _require_amounts(amount_a, amount_b)
    if a == b:
        raise OperationFailed(Code.SAME_ASSET, "a pool has two assets")
    if fee_ppm > POOL_FEE_PPM_MAX:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"a fee is at most {POOL_FEE_PPM_MAX} ppm")
    issuers = []
    for code in (a, b):
        _, _, flags, issuer, *_ = get_asset(context, code)
        issuers.append(issuer)
        if not flags & FLAG_TRANSFERABLE:
            raise OperationFailed(Code.ASSET_NOT_TRADABLE, f"{code} moves only to and from its issuer")
        if not flags & FLAG_TRADABLE:
            raise OperationFailed(Code.ASSET_NOT_TRADABLE, f"the issuer of {code} does not allow pools of it")
    if members and account not in issuers:
        raise OperationFailed(Code.NOT_ISSUER, "only an issuer of one of the assets may restrict their pool")
    for member in members:
        context.require_recipient(member)
    for code in (a, b):
        require_position(context, account, code.encode("ascii"), is_exit=False)
    pool, view = pool_of(a, b), context.view
    if a > b:
        a, b, amount_a, amount_b = b, a, amount_b, amount_a
    old: Pool | None = view.get(pool_key(pool))
    if old is not None and old.reserve_a:
        raise OperationFailed(Code.POOL_EXISTS, f"there is a pool {pool}")
    total = compute_first_shares(amount_a, amount_b)
    now_s, height = context.time_s, context.height
    if old is None:
        record = Pool(amount_a, amount_b, total, 0, 0, 0, now_s, fee_ppm, False, ALL_ON, account, height)
    else:
        record = advance_price(old, now_s)._replace(
            reserve_a=amount_a, reserve_b=amount_b, supply=total, fee_ppm=fee_ppm, creator=account, start_height=height
        )
    require_reserves(record)
    record = remember_k(record)
    receive(context, account, a, amount_a)
    receive(context, account, b, amount_b)
    if old is None:
        (number,) = view.get(POOL_LIST_KEY) or (0,)
        view.put(pool_number_key(number), (pool,))
        view.put(POOL_LIST_KEY, (number + 1,))
    put_pool(context, pool, record)
    if members:
        view.put(members_key(pool), members)
    shares = total - LOCKED_SHARES
    add_shares(context, pool, record, account, shares, (amount_a, amount_b))
    context.emit(POOL_CREATED, pool, account, a, amount_a, b, amount_b, shares, fee_ppm)


def check_members(args: tuple[Any, ...]) -> None:
    """A restricted pool has a member (101)."""
    if not args[1]:
        raise malformed("a restricted pool has at least one member")


def set_members(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.set_members of a restricted pool, by who created it: 801, 204, 506, 301."""
    pool, members = args
    record = get_pool(context, pool)
    if record.creator != account or context.view.get(members_key(pool)) is None:
        raise OperationFailed(Code.NO_PERMISSION, f"the account did not create {pool} as a restricted pool")
    for member in members:
        context.require_recipient(member)
    context.view.put(members_key(pool), members)
    context.emit(POOL_MEMBERS_SET, pool, account, len(members))


def set_domain(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.set_domain of a restricted pool, instead of its members, by who created it: 801, 204, 607 (no such domain)."""
    pool, domain = args
    record = get_pool(context, pool)
    if record.creator != account or context.view.get(members_key(pool)) is None:
        raise OperationFailed(Code.NO_PERMISSION, f"the account did not create {pool} as a restricted pool")
    require_domain(context, domain)
    context.view.put(members_key(pool), (domain,))
    context.emit(POOL_DOMAIN_SET, pool, account, domain)


def add(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.add: 503, 801, 202, 607, 401, 615, 806, 804, 809, 501, 505."""
    pool, max_a, max_b, min_shares, min_price, max_price = args
    _require_amounts(max_a, max_b)
    record = get_pool(context, pool)
    require_usable(context, pool, record, DEPOSIT, account)
    used = compute_deposit(max_a, max_b, record.reserve_a, record.reserve_b)
    record = _deposit(context, account, pool, advance_price(record, context.time_s), used, min_shares, used)
    # the price did not move but by rounding; the bounds are for the one that was found
    _require_price(record, min_price, max_price)
    a, b = split_pool(pool)
    receive(context, account, a, used[0])
    receive(context, account, b, used[1])


def _require_price(record: Pool, low: tuple[int, int], high: tuple[int, int]) -> None:
    """The price of a in units of b is within both bounds, of which each may be missing."""
    a, b = record.reserve_a, record.reserve_b
    if (low[1] and b * low[1] < low[0] * a) or (high[1] and b * high[1] > high[0] * a):
        raise OperationFailed(Code.PRICE_OUT_OF_BOUNDS, "the pool's price is outside of the bounds")


def _deposit(
    context: OpContext,
    account: bytes,
    pool: str,
    record: Pool,
    used: tuple[int, int],
    min_shares: int,
    paid: tuple[int, int],
) -> Pool:
    """Shares for what the pool is about to receive: 806, 804. `paid` is what they cost their owner."""
    record = pay_protocol(context, pool, record)
    shares = compute_shares(*used, record.reserve_a, record.reserve_b, record.supply)
    if not (shares and all(used)):
        raise OperationFailed(Code.ZERO_OUTPUT, "the deposit is too small for a share")
    _require_at_least(shares, min_shares, "shares")
    record = remember_k(
        record._replace(
            reserve_a=record.reserve_a + used[0], reserve_b=record.reserve_b + used[1], supply=record.supply + shares
        )
    )
    put_pool(context, pool, record)
    add_shares(context, pool, record, account, shares, paid)
    a, b = split_pool(pool)
    context.emit(LIQUIDITY_ADDED, pool, account, a, used[0], b, used[1], shares)
    return record


def add_single(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.add_single: 503, 807 (not the pool's asset), 801, 202, 607, 401, 615, 806, 810, 804, 501, 505.

    What cannot be used goes back: of the asset given it is not taken, of the other one it is paid out.
    """
    pool, asset, amount, min_shares = args
    _require_amounts(amount)
    other, is_a = _other_asset(pool, asset)
    record = get_pool(context, pool)
    require_usable(context, pool, record, DEPOSIT, account)
    require_on(context, pool, record, TRADE)
    sides = (record.reserve_a, record.reserve_b) if is_a else (record.reserve_b, record.reserve_a)
    parts = compute_single_deposit(amount, *sides, record.fee_ppm)
    if not parts.bought:
        raise OperationFailed(Code.ZERO_OUTPUT, "the deposit is too small to be divided")
    record = change_reserves(advance_price(record, context.time_s), is_a, parts.swapped, parts.bought)
    context.emit(SWAPPED, pool, account, asset, parts.swapped, other, parts.bought)
    taken, back = parts.swapped + parts.used_in, parts.bought - parts.used_out
    used = (parts.used_in, parts.used_out) if is_a else (parts.used_out, parts.used_in)
    _deposit(context, account, pool, record, used, min_shares, used)
    receive(context, account, asset, taken)
    pay_out(context, account, other, back)


def _other_asset(pool: str, asset: str) -> tuple[str, bool]:
    """The pool's other asset, and whether `asset` is a: 807."""
    a, b = split_pool(pool)
    if asset not in (a, b):
        raise OperationFailed(Code.PATH_INVALID, f"{asset} is not in {pool}")
    return (b, True) if asset == a else (a, False)


def remove(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.remove: 503, 801, 202, 401, 615, 501, 806, 804, 810, 505."""
    pool, shares, min_a, min_b = args
    _require_amounts(shares)
    record = get_pool(context, pool)
    require_usable(context, pool, record, WITHDRAW, account)
    record = advance_price(record, context.time_s)
    record, amounts = withdraw(context, account, pool, record, shares)
    a, b = split_pool(pool)
    _require_at_least(amounts[0], min_a, a)
    _require_at_least(amounts[1], min_b, b)
    require_reserves(record)
    put_pool(context, pool, record)
    pay_out(context, account, a, amounts[0], is_return=True)
    pay_out(context, account, b, amounts[1], is_return=True)


def withdraw(
    context: OpContext, account: bytes, pool: str, record: Pool, shares: int
) -> tuple[Pool, tuple[int, int]]:
    """Pay the protocol and burn an account's shares: the pool without them and what they are worth: 501, 806."""
    return _burn(context, account, pool, pay_protocol(context, pool, record), shares)


def _burn(context: OpContext, account: bytes, pool: str, record: Pool, shares: int) -> tuple[Pool, tuple[int, int]]:
    take_shares(context, pool, account, shares)
    amounts = compute_withdrawal(shares, record.reserve_a, record.reserve_b, record.supply)
    if not all(amounts):
        raise OperationFailed(Code.ZERO_OUTPUT, "so few shares are worth nothing of one asset")
    a, b = split_pool(pool)
    context.emit(LIQUIDITY_REMOVED, pool, account, a, amounts[0], b, amounts[1], shares)
    record = record._replace(
        reserve_a=record.reserve_a - amounts[0],
        reserve_b=record.reserve_b - amounts[1],
        supply=record.supply - shares,
    )
    return remember_k(record), amounts


def recall(context: OpContext, holder: bytes, pool: str, asset: str) -> int:
    """Take a holder's shares out of a pool by authority, as many as leave the pool its minimum; what came of the asset: 701, 801, 202,
    806, 810. Both sides are his; what a rule keeps from him waits as a claim."""
    shares = get_position(context.view, holder, pool).shares
    if asset not in split_pool(pool) or not shares:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"the holder has no shares of {pool}")
    record = get_pool(context, pool)
    require_on(context, pool, record, WITHDRAW)
    record = pay_protocol(context, pool, advance_price(record, context.time_s))
    reserves = (record.reserve_a, record.reserve_b)
    most = min(compute_shares_above(reserve, POOL_RESERVE_MIN, record.supply) for reserve in reserves)
    if most < shares and not all(compute_withdrawal(most, *reserves, record.supply)):
        raise OperationFailed(Code.BELOW_MIN_RESERVES, f"{pool} has no more than its minimum")
    record, amounts = _burn(context, holder, pool, record, min(shares, most))
    put_pool(context, pool, record)
    for code, amount in zip(split_pool(pool), amounts, strict=True):
        raw = code.encode("ascii")
        context.debit(AMM_ADDRESS, raw, amount)
        give_back(context, holder, raw, amount)
    return amounts[split_pool(pool).index(asset)]


def remove_single(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.remove_single: 503, 807, 801, 202, 607, 401, 615, 501, 806, 804, 810, 505."""
    pool, shares, asset, min_out = args
    _require_amounts(shares)
    other, is_a = _other_asset(pool, asset)
    record = get_pool(context, pool)
    require_on(context, pool, record, WITHDRAW)
    require_usable(context, pool, record, TRADE, account)
    before = advance_price(record, context.time_s)
    record, _ = withdraw(context, account, pool, before, shares)
    sides = (before.reserve_a, before.reserve_b) if is_a else (before.reserve_b, before.reserve_a)
    parts = compute_single_withdrawal(shares, *sides, record.supply + shares, record.fee_ppm)
    if not parts.bought:
        raise OperationFailed(Code.ZERO_OUTPUT, "so few shares are worth nothing of one asset")
    _require_at_least(parts.wanted + parts.bought, min_out, asset)
    record = change_reserves(record, not is_a, parts.other, parts.bought)
    context.emit(SWAPPED, pool, account, other, parts.other, asset, parts.bought)
    put_pool(context, pool, record)
    pay_out(context, account, asset, parts.wanted + parts.bought)


def close(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.close by who holds every share but the locked ones and the protocol's: 801, 202, 401, 615, 406, 505.

    The treasury is paid for the protocol's shares; the rest, the locked shares' part with it, goes to the account. The empty pool
    keeps its locked shares and its accumulated prices.
    """
    (pool,) = args
    record = get_pool(context, pool)
    require_usable(context, pool, record, WITHDRAW, account)
    view = context.view
    record = pay_protocol(context, pool, advance_price(record, context.time_s))
    protocol = get_position(view, TREASURY_ADDRESS, pool).shares
    own: Position = get_position(view, account, pool)
    if not own.shares or own.shares + protocol + LOCKED_SHARES != record.supply:
        raise OperationFailed(Code.SUPPLY_NOT_ZERO, "the account does not hold all shares of the pool")
    due = compute_withdrawal(protocol, record.reserve_a, record.reserve_b, record.supply)
    a, b = split_pool(pool)
    amounts = (record.reserve_a - due[0], record.reserve_b - due[1])
    for code, to_treasury, to_account in zip((a, b), due, amounts, strict=True):
        pay_out(context, TREASURY_ADDRESS, code, to_treasury, is_return=True)
        pay_out(context, account, code, to_account, is_return=True)
    view.put(position_key(account, pool), None)
    if protocol:
        view.put(position_key(TREASURY_ADDRESS, pool), None)
    if view.get(members_key(pool)) is not None:
        view.put(members_key(pool), None)
    put_pool(context, pool, record._replace(reserve_a=0, reserve_b=0, supply=LOCKED_SHARES, k_last=0))
    context.emit(POOL_CLOSED, pool, account, a, amounts[0], b, amounts[1], own.shares)
