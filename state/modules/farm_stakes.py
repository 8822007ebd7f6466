"""What stakers do: stake, take out, claim, leave, leave at once. Codes in their order of precedence.

Settle, then change: so a stake earns nothing for the time before it, and what is staked and taken out in one block earns nothing. A
locked stake cannot be taken out, nor what it has earned be claimed, before its time; who leaves it by the emergency exit gets the
principal and forfeits all it has earned, or the heavier weight of a lock would cost nothing. Source: ledger rules, 1.2, I14 to I18.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from state.codes import Code
from state.events_farm import FARM_CLAIMED, FARM_EMERGENCY, FARM_FORFEITED, FARM_STAKED, FARM_UNSTAKED
from state.modules.domains import require_member
from state.modules.farm_assets import codes_of, force_back, pay_back, pay_reward, require_stakeable, take_in
from state.modules.farm_books import (
    close_position,
    get_farm,
    get_own,
    open_position,
    put_books,
    settle,
    take_dues,
    with_dues,
)
from state.modules.farm_math import SCALE, compute_weight, split_lot, split_owed
from state.modules.operation import OpContext
from state.primitives.errors import OperationFailed
from state.schema_farm import Campaign, Farm, FarmPosition, farm_position_key


def _require_amount(amount: int) -> None:
    if not amount:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")


def _require_unlocked(context: OpContext, number: int, position: FarmPosition) -> None:
    if context.time_s < position.locked_s:
        raise OperationFailed(Code.LOCKED_UNTIL, f"position {number} is locked until {position.locked_s}")


def add_stake(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """farm.stake into a tier, as a position of its own: 503, 901, 902, 1107, 904, 607, 608, 401, 615, 801, 508,
    the gate's codes, 501, 505. Who is no member of the farm's domain any more still claims and leaves."""
    number, amount, tier = args
    _require_amount(amount)
    farm = get_farm(context, number)
    now_s = context.time_s
    if now_s >= farm.end_s:
        raise OperationFailed(Code.FARM_ENDED, f"farm {number} has ended")
    if tier >= len(farm.tiers):
        raise OperationFailed(
            Code.PARAM_OUT_OF_RANGE, f"farm {number} has {len(farm.tiers)} lock tiers, numbered from 0"
        )
    if amount < farm.min_stake:
        raise OperationFailed(Code.STAKE_TOO_SMALL, f"farm {number} takes stakes of at least {farm.min_stake}")
    if farm.domain:
        require_member(context, farm.domain, account)
    require_stakeable(context, farm.stake)
    campaigns = settle(context.view, number, farm, now_s)
    lot = take_in(context, account, farm.stake, amount)
    terms = farm.tiers[tier]
    weight, locked_s = compute_weight(amount, terms.weight_ppm), now_s + terms.seconds
    position = FarmPosition(amount, weight, lot, (), number, tier, now_s, locked_s)
    own, is_new = open_position(context, account, with_dues(position, [0] * len(campaigns), campaigns))
    if is_new and farm.max_stakers and farm.stakers >= farm.max_stakers:
        raise OperationFailed(Code.ASSERT_FAILED, f"farm {number} takes {farm.max_stakers} stakers")
    farm = farm._replace(amount=farm.amount + amount, weight=farm.weight + weight, stakers=farm.stakers + is_new)
    put_books(context.view, number, farm, campaigns)
    context.emit(FARM_STAKED, number, account, own, farm.stake, amount, tier, locked_s)


def unstake(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """farm.unstake of a part or all of a position, what it has earned stays: 503, 901, 701, 905, 501, 904, the gate's codes, 505."""
    number, own, amount = args
    _require_amount(amount)
    farm = get_farm(context, number)
    position = _get_of(context, account, own, number)
    _require_unlocked(context, own, position)
    if amount > position.amount:
        raise OperationFailed(Code.INSUFFICIENT_FUNDS, f"{position.amount} staked, {amount} needed")
    if 0 < position.amount - amount < farm.min_stake:
        raise OperationFailed(
            Code.STAKE_TOO_SMALL, f"farm {number} takes stakes of at least {farm.min_stake}: leave as much, or nothing"
        )
    _take_out(context, account, own, position, amount, pay_back)


def _take_out(
    context: OpContext,
    account: bytes,
    own: int,
    position: FarmPosition,
    amount: int,
    give: Callable[[OpContext, bytes, str, int, tuple[int, ...]], None],
) -> None:
    """A part or all of a stake leaves by `give`; what it has earned stays with the position."""
    number = position.farm
    farm = get_farm(context, number)
    campaigns = settle(context.view, number, farm, context.time_s)
    owed = take_dues(position, farm, campaigns)
    lot = split_lot(position.lot, amount, position.amount)
    farm, rest = _shrink(farm, position, amount, lot)
    give(context, account, farm.stake, amount, lot)
    farm = _put_rest(context, account, own, farm, rest, owed, campaigns)
    put_books(context.view, number, farm, campaigns)
    context.emit(FARM_UNSTAKED, number, account, own, farm.stake, amount)


def recall(context: OpContext, holder: bytes, own: int, asset: str) -> int:
    """Give a holder's stake back to him by authority; of pool shares the shares, which are recalled from their pool in turn: 701.

    What it has earned stays his to claim; a locked stake leaves as its owner himself could, by the emergency exit.
    """
    position: FarmPosition | None = context.view.get(farm_position_key(holder, own))
    if position is None or not position.amount or asset not in codes_of(get_farm(context, position.farm).stake):
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"the holder has no {asset} in a position {own}")
    if context.time_s < position.locked_s:
        emergency_exit(context, holder, (own,))
    else:
        _take_out(context, holder, own, position, position.amount, force_back)
    return position.amount


def _get_of(context: OpContext, account: bytes, own: int, number: int) -> FarmPosition:
    position = get_own(context, account, own)
    if position.farm != number:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"position {own} is not in farm {number}")
    return position


def _shrink(farm: Farm, position: FarmPosition, amount: int, lot: tuple[int, ...]) -> tuple[Farm, FarmPosition]:
    """Both without `amount` of the stake."""
    weight = compute_weight(amount, farm.tiers[position.tier].weight_ppm)
    rest = position._replace(
        amount=position.amount - amount,
        weight=position.weight - weight,
        lot=tuple(one - other for one, other in zip(position.lot, lot, strict=True)),
    )
    return farm._replace(amount=farm.amount - amount, weight=farm.weight - weight), rest


def _put_rest(
    context: OpContext,
    account: bytes,
    own: int,
    farm: Farm,
    position: FarmPosition,
    owed: list[int],
    campaigns: list[Campaign],
) -> Farm:
    """Write a position; one without stake that is owed no whole unit is closed, and its fractions go to those who stay."""
    if position.amount or any(one >= SCALE for one in owed):
        context.view.put(farm_position_key(account, own), with_dues(position, owed, campaigns))
        return farm
    return _drop(context, account, own, farm, position, owed, campaigns)


def _drop(
    context: OpContext,
    account: bytes,
    own: int,
    farm: Farm,
    position: FarmPosition,
    owed: list[int],
    campaigns: list[Campaign],
) -> Farm:
    """Close a position; what it is still owed, less than a unit of each, is carried to the next release."""
    for index, one in enumerate(owed):
        campaigns[index] = campaigns[index]._replace(carry=campaigns[index].carry + one)
    return farm._replace(stakers=farm.stakers - close_position(context, account, own, position))


def _pay_owed(
    context: OpContext,
    account: bytes,
    farm: Farm,
    owed: list[int],
    campaigns: list[Campaign],
    own: tuple[int, int],
    only: str,
) -> int:
    """Pay the whole units of what a position (`own`: farm and number) is owed, leaving the fractions in `owed`; the sum of all units."""
    total = 0
    for index, code in enumerate(farm.rewards):
        if only not in ("", code):
            continue
        amount, rest = split_owed(owed[index])
        if not amount:
            continue
        owed[index] = rest
        campaigns[index] = campaigns[index]._replace(paid=campaigns[index].paid + amount)
        pay_reward(context, farm.sponsor, account, code, amount)
        context.emit(FARM_CLAIMED, own[0], account, own[1], code, amount)
        total += amount
    return total


def claim(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """farm.claim of positions in one farm, of one reward asset or of all: 901, 701, 905, 906, 615, the gate's codes, 505.

    A reward asset that is kept from the account does not keep the others from it: it names them one at a time.
    """
    number, numbers, only = args
    farm = get_farm(context, number)
    for own in numbers:
        _require_unlocked(context, own, _get_of(context, account, own, number))
    campaigns = settle(context.view, number, farm, context.time_s)
    total = 0
    for own in numbers:
        position = get_own(context, account, own)
        owed = take_dues(position, farm, campaigns)
        total += _pay_owed(context, account, farm, owed, campaigns, (number, own), only)
        farm = _put_rest(context, account, own, farm, position, owed, campaigns)
    if not total:
        raise OperationFailed(Code.NOTHING_TO_CLAIM, "the positions are owed less than one unit of a reward")
    put_books(context.view, number, farm, campaigns)


def leave(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """farm.exit of a position, its stake and all it has earned: 701, 905, 615, the gate's codes, 505."""
    (own,) = args
    position = get_own(context, account, own)
    _require_unlocked(context, own, position)
    number = position.farm
    farm = get_farm(context, number)
    campaigns = settle(context.view, number, farm, context.time_s)
    owed = take_dues(position, farm, campaigns)
    _pay_owed(context, account, farm, owed, campaigns, (number, own), "")
    pay_back(context, account, farm.stake, position.amount, position.lot)
    farm, rest = _shrink(farm, position, position.amount, position.lot)
    farm = _drop(context, account, own, farm, rest, owed, campaigns)
    put_books(context.view, number, farm, campaigns)
    context.emit(FARM_UNSTAKED, number, account, own, farm.stake, position.amount)


def emergency_exit(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """farm.emergency_exit of a position: its whole stake, locked or not; 701, 503 (only rewards are left in it).

    What a freeze keeps from the owner waits for him as a claim. What it has earned falls to nobody.
    """
    (own,) = args
    position = get_own(context, account, own)
    _require_amount(position.amount)
    number = position.farm
    farm = get_farm(context, number)
    campaigns = settle(context.view, number, farm, context.time_s)
    owed = take_dues(position, farm, campaigns)
    for index, code in enumerate(farm.rewards):
        amount, owed[index] = split_owed(owed[index])
        if amount:
            campaigns[index] = campaigns[index]._replace(unallocated=campaigns[index].unallocated + amount)
            context.emit(FARM_FORFEITED, number, account, own, code, amount)
    force_back(context, account, farm.stake, position.amount, position.lot)
    farm, rest = _shrink(farm, position, position.amount, position.lot)
    farm = _drop(context, account, own, farm, rest, owed, campaigns)
    put_books(context.view, number, farm, campaigns)
    context.emit(FARM_EMERGENCY, number, account, own, farm.stake, position.amount)
