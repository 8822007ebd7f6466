"""What only governance does to pools: the protocol's fee, the kill switches, repair. It acts as a module account without keys.

Withdrawals can be switched off for a few days at most; after that the switch ends by itself. Repair gives a pool from the treasury
what it has lost, without new shares: who was left in it is made whole, and nothing that is held changes its owner otherwise.
Source: ledger rules, 1.1 and incident 2.
"""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.modules.amm_liquidity import withdraw
from state.modules.amm_pool import (
    advance_price,
    get_pool,
    get_position,
    pay_out,
    pay_protocol,
    put_pool,
    receive,
    remember_k,
    require_reserves,
    split_pool,
)
from state.modules.fields import malformed
from state.modules.operation import TREASURY_ADDRESS, OpContext, require_governance
from state.primitives.errors import OperationFailed
from state.primitives.limits import POOL_WITHDRAW_OFF_S_MAX
from state.receipts import POOL_REPAIRED, POOL_SWITCHED, PROTOCOL_FEE_SET
from state.schema_amm import SWITCHES_KEY, Switches


def check_on(args: tuple[Any, ...]) -> None:
    """On is 1, off is 0 (101)."""
    if args[1] > 1:
        raise malformed("on is 1, off is 0")


def set_protocol_fee(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.set_protocol_fee: 204, 801. What grew while it was off is never charged."""
    pool, is_on = args
    require_governance(account)
    record = get_pool(context, pool)
    if bool(is_on) != record.is_protocol_on:
        put_pool(context, pool, record._replace(is_protocol_on=bool(is_on), k_last=0))
    context.emit(PROTOCOL_FEE_SET, pool, is_on)


def set_switches(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.set_switches of one pool, or of all when none is named: 204, 1107, 801."""
    pool, trade_s, deposit_s, withdraw_s = args
    require_governance(account)
    if withdraw_s > context.time_s + POOL_WITHDRAW_OFF_S_MAX:
        hours = POOL_WITHDRAW_OFF_S_MAX // 3_600
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"withdrawals may be switched off for {hours} hours at once")
    switches = Switches(trade_s, deposit_s, withdraw_s)
    if pool:
        put_pool(context, pool, get_pool(context, pool)._replace(switches=switches))
    else:
        context.view.put(SWITCHES_KEY, switches if any(switches) else None)
    context.emit(POOL_SWITCHED, pool, trade_s, deposit_s, withdraw_s)


def collect(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.collect, the protocol's shares paid to the treasury: 204, 801, 906, 806, 810, 505."""
    (pool,) = args
    require_governance(account)
    record = pay_protocol(context, pool, advance_price(get_pool(context, pool), context.time_s))
    shares = get_position(context.view, TREASURY_ADDRESS, pool).shares
    if not shares:
        raise OperationFailed(Code.NOTHING_TO_CLAIM, "the protocol has no shares of the pool")
    record, amounts = withdraw(context, TREASURY_ADDRESS, pool, remember_k(record), shares)
    require_reserves(record)
    put_pool(context, pool, record)
    for code, amount in zip(split_pool(pool), amounts, strict=True):
        pay_out(context, TREASURY_ADDRESS, code, amount)


def repair(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """amm.repair, reserves from the treasury according to a published plan: 204, 503, 801, 501, 505."""
    pool, amount_a, amount_b, plan_hash = args
    require_governance(account)
    if not (amount_a or amount_b):
        raise OperationFailed(Code.ZERO_AMOUNT, "the amounts are zero")
    record = pay_protocol(context, pool, advance_price(get_pool(context, pool), context.time_s))
    a, b = split_pool(pool)
    receive(context, TREASURY_ADDRESS, a, amount_a)
    receive(context, TREASURY_ADDRESS, b, amount_b)
    record = record._replace(reserve_a=record.reserve_a + amount_a, reserve_b=record.reserve_b + amount_b)
    put_pool(context, pool, remember_k(record))
    context.emit(POOL_REPAIRED, pool, a, amount_a, b, amount_b, plan_hash)
