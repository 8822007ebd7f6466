"""The books of a farm: settling its campaigns, what a position is owed, its totals. No operation goes in here.

Every change of a stake, of a schedule or of a claim settles first; the settled campaigns are then written once. See
`state.modules.farm_math` for the identity that holds at every step. Source: ledger rules, 1.2 and I14 to I17.
"""

from __future__ import annotations

from state.codes import Code
from state.modules.farm_math import compute_owed, compute_released, share_out, split_owed
from state.modules.operation import OpContext
from state.primitives.errors import OperationFailed
from state.primitives.limits import FARM_POSITIONS_MAX
from state.schema_farm import (
    NO_DUE,
    Campaign,
    Due,
    Farm,
    FarmPosition,
    campaign_key,
    farm_key,
    farm_position_key,
    farm_positions_key,
    staker_key,
)
from state.view import View


def get_farm(context: OpContext, number: int) -> Farm:
    """A farm, or fail with 901."""
    record: Farm | None = context.view.get(farm_key(number))
    if record is None:
        raise OperationFailed(Code.FARM_NOT_FOUND, f"there is no farm {number}")
    return record


def get_own(context: OpContext, account: bytes, number: int) -> FarmPosition:
    """A position of the account, or fail with 701."""
    record: FarmPosition | None = context.view.get(farm_position_key(account, number))
    if record is None:
        raise OperationFailed(Code.PENDING_NOT_FOUND, f"the account has no position {number} in a farm")
    return record


def settle_campaign(campaign: Campaign, weight: int, now_s: int) -> Campaign:
    """The campaign with everything shared out that came out since the last look, among `weight`; to nobody if there is none."""
    if now_s <= campaign.settled_s:
        return campaign
    released = compute_released(campaign.budget, campaign.start_s, campaign.end_s, now_s)
    gained = released - campaign.released
    acc, carry, unallocated = campaign.acc, campaign.carry, campaign.unallocated
    if gained and weight:
        acc, carry = share_out(gained, weight, acc, carry)
    else:
        unallocated += gained
    return campaign._replace(released=released, acc=acc, carry=carry, unallocated=unallocated, settled_s=now_s)


def settle(view: View, number: int, farm: Farm, now_s: int) -> list[Campaign]:
    """All campaigns of a farm as of now, in the order of its rewards; to be written with `put_books`."""
    return [settle_campaign(view.get(campaign_key(number, code)), farm.weight, now_s) for code in farm.rewards]


def put_books(view: View, number: int, farm: Farm, campaigns: list[Campaign]) -> None:
    """Write a farm and its campaigns. Without any stake, whole units that were carried fall to nobody."""
    view.put(farm_key(number), farm)
    for code, campaign in zip(farm.rewards, campaigns, strict=True):
        if not farm.weight and campaign.carry:
            whole, carry = split_owed(campaign.carry)
            campaign = campaign._replace(carry=carry, unallocated=campaign.unallocated + whole)
        key = campaign_key(number, code)
        if view.get(key) != campaign:
            view.put(key, campaign)


def take_dues(position: FarmPosition, farm: Farm, campaigns: list[Campaign]) -> list[int]:
    """What a position is owed of each settled campaign, in 2^-640 units; to be written or paid.

    What is carried could not be divided among the weight: who is all of the weight takes it.
    """
    dues = position.dues + (NO_DUE,) * (len(campaigns) - len(position.dues))
    owed = [
        compute_owed(due.owed, due.debt, position.weight, campaign.acc)
        for due, campaign in zip(dues, campaigns, strict=True)
    ]
    if position.weight and position.weight == farm.weight:
        for index, campaign in enumerate(campaigns):
            owed[index] += campaign.carry
            campaigns[index] = campaign._replace(carry=0)
    return owed


def with_dues(position: FarmPosition, owed: list[int], campaigns: list[Campaign]) -> FarmPosition:
    """The position, owed this much now."""
    return position._replace(
        dues=tuple(Due(one, position.weight * campaign.acc) for one, campaign in zip(owed, campaigns, strict=True))
    )


def open_position(context: OpContext, owner: bytes, position: FarmPosition) -> tuple[int, bool]:
    """Write a new position: its number among its owner's, and whether it is the owner's first in the farm. 508."""
    view = context.view
    given, open_numbers = view.get(farm_positions_key(owner)) or (0, ())
    if len(open_numbers) == FARM_POSITIONS_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"an account has at most {FARM_POSITIONS_MAX} positions in farms")
    view.put(farm_position_key(owner, given), position)
    view.put(farm_positions_key(owner), (given + 1, (*open_numbers, given)))
    (count,) = view.get(staker_key(position.farm, owner)) or (0,)
    view.put(staker_key(position.farm, owner), (count + 1,))
    return given, not count


def close_position(context: OpContext, owner: bytes, number: int, position: FarmPosition) -> bool:
    """Delete a position; whether it was the owner's last in the farm."""
    view = context.view
    given, open_numbers = view.get(farm_positions_key(owner))
    view.put(farm_position_key(owner, number), None)
    view.put(farm_positions_key(owner), (given, tuple(one for one in open_numbers if one != number)))
    key = staker_key(position.farm, owner)
    (count,) = view.get(key)
    view.put(key, (count - 1,) if count > 1 else None)
    return bool(count == 1)
