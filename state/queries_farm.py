"""Pure reads of farms for the RPC and the command line: farms, positions, what is owed now, yields. Nothing here writes.

What is owed is counted by the functions that pay it, on a copy of the state at the time that is given. A yield is an exact fraction in
base units: of the reward, for one base unit of the stake, in a year at the rate and the weight of now. No price goes into it. See
`state.queries` for the forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from state.modules.amm_math import Fraction
from state.modules.farm_books import settle, take_dues
from state.modules.farm_fields import show_tiers
from state.modules.farm_math import split_owed
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.ids import check_asset_code, format_address, parse_address
from state.primitives.limits import HEIGHT_MAX, PPM
from state.queries_amm import YEAR_S, show_fraction
from state.schema import asset_key
from state.schema_farm import (
    CAMPAIGN_CODE_START,
    FARM,
    FARM_KEY_BYTES,
    FARM_LIST_KEY,
    FARM_POSITION,
    FARM_STAKER,
    POSITION_LIST_KEY_BYTES,
    POSITION_NUMBER_START,
    POSITION_OWNER,
    STAKER_OWNER_START,
    Campaign,
    Farm,
    FarmPosition,
    campaign_key,
    farm_key,
    farm_position_key,
    farm_positions_key,
)
from state.view import Reader, View

Json = dict[str, object]

LOT_FIELDS: Final = ("basis_a", "basis_b")  # what is shown of a lot; the rest is how a position counts its yield


def read_number(text: str) -> int:
    """A farm's or a position's number. Raises `MalformedError`."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) > HEIGHT_MAX or (text[0] == "0" and text != "0"):
        raise MalformedError("farms and positions are numbered from 0")
    return int(text)


def show_farm(key: bytes, record: Value) -> Json:
    """JSON form of a farm, of one of its campaigns, or of the number of farms."""
    if key == FARM_LIST_KEY:
        return {"farms": record[0]}
    number = str(int.from_bytes(key[2:FARM_KEY_BYTES], "big"))
    if len(key) > FARM_KEY_BYTES:
        return {"farm": number, "reward_asset": key[CAMPAIGN_CODE_START:].decode("ascii"), **_show_campaign(record)}
    return {
        "farm": number,
        "sponsor": format_address(record.sponsor),
        "stake_asset": record.stake,
        "staked": str(record.amount),
        "weight": str(record.weight),
        "stakers": record.stakers,
        "max_stakers": record.max_stakers,
        "min_stake": str(record.min_stake),
        "lock_tiers": show_tiers(record.tiers),
        "reward_assets": list(record.rewards),
        "domain": record.domain,
        "end": record.end_s,
        "start_height": record.start_height,
    }


def _show_campaign(record: Campaign) -> Json:
    return {
        "funded": str(record.funded),
        "paid": str(record.paid),
        "refunded": str(record.refunded),
        "unallocated": str(record.unallocated),
        "unreleased": str(record.budget - record.released),
        "budget": str(record.budget),
        "released": str(record.released),
        "start": record.start_s,
        "end": record.end_s,
        "settled": record.settled_s,
        "acc_q640": str(record.acc),
        "carry_q640": str(record.carry),
    }


def show_farm_position(key: bytes, record: Value) -> Json:
    """JSON form of a position in a farm, or of the list of an account's positions."""
    owner = format_address(key[POSITION_OWNER])
    if len(key) == POSITION_LIST_KEY_BYTES:
        return {"account": owner, "positions": [str(number) for number in record[1]]}
    lot = zip(LOT_FIELDS, record.lot, strict=False)
    return {
        "account": owner,
        "position": str(int.from_bytes(key[POSITION_NUMBER_START:], "big")),
        "farm": str(record.farm),
        "amount": str(record.amount),
        "weight": str(record.weight),
        "tier": record.tier,
        "start": record.start_s,
        "locked_until": record.locked_s,
        **{name: str(number) for name, number in lot},
        "dues_q640": [{"owed": str(due.owed), "debt": str(due.debt)} for due in record.dues],
    }


def show_farm_staker(key: bytes, record: Value) -> Json:
    """JSON form of how many positions an account has in a farm."""
    number = int.from_bytes(key[2:STAKER_OWNER_START], "big")
    return {"farm": str(number), "account": format_address(key[STAKER_OWNER_START:]), "positions": record[0]}


FARM_PATHS: Final[dict[tuple[str, int], Callable[..., bytes]]] = {
    ("farms", 0): lambda: FARM_LIST_KEY,
    ("farm", 1): lambda number: farm_key(read_number(number)),
    ("farm", 2): lambda number, code: campaign_key(read_number(number), check_asset_code(code)),
    ("farm-positions", 1): lambda address: farm_positions_key(parse_address(address)),
    ("farm-position", 2): lambda address, number: farm_position_key(parse_address(address), read_number(number)),
}
FARM_SHOW: Final[dict[int, Callable[[bytes, Value], Json]]] = {
    FARM: show_farm,
    FARM_POSITION: show_farm_position,
    FARM_STAKER: show_farm_staker,
}


def _scale(view: View, code: str) -> int:
    return 0 if "/" in code else int(view.get(asset_key(code))[0])


def _per_year(campaign: Campaign, weight: int, total: int, time_s: int) -> Fraction | None:
    """Units of the reward that `weight` out of `total` would earn in a year at the present rate; None while nothing comes out."""
    if not total or not campaign.start_s <= time_s < campaign.end_s:
        return None
    return Fraction(campaign.budget * YEAR_S * weight, (campaign.end_s - campaign.start_s) * total)


def _show_yield(earned: Fraction | None, amount: int) -> Json | None:
    return None if earned is None or not amount else show_fraction(Fraction(earned.numerator, earned.denominator * amount))


def get_farm(reader: Reader, number: int, time_s: int) -> Json | None:
    """A farm, its rewards as of `time_s`, and for each tier the yield of a stake that weighs what is there now; None if there is none.

    `yields` are null while nothing comes out or nobody stakes.
    """
    view = View(reader)
    farm: Farm | None = view.get(farm_key(number))
    if farm is None:
        return None
    rewards = []
    for code, campaign in zip(farm.rewards, settle(view, number, farm, time_s), strict=True):
        yields = [_show_yield(_per_year(campaign, tier.weight_ppm, farm.weight, time_s), 1) for tier in farm.tiers]
        rewards.append({"reward_asset": code, "scale": _scale(view, code), **_show_campaign(campaign), "yields_per_year": yields})
    return {
        **show_farm(farm_key(number), farm),
        "scale": _scale(view, farm.stake),
        "has_ended": time_s >= farm.end_s,
        "rewards": rewards,
    }


def get_farms(reader: Reader, start: int, limit: int, time_s: int) -> list[Json]:
    """`limit` farms in order of creation, from number `start`."""
    (count,) = View(reader).get(FARM_LIST_KEY) or (0,)
    return [found for number in range(start, min(count, start + limit)) if (found := get_farm(reader, number, time_s)) is not None]


def get_farm_position(reader: Reader, address: bytes, number: int, time_s: int) -> Json | None:
    """A position: its stake, and of each reward what a claim would pay at `time_s` and the yield per year; None if there is none.

    `pending` are whole units, `pending_q640` all that is owed. What a lock holds back is shown like the rest.
    """
    view = View(reader)
    position: FarmPosition | None = view.get(farm_position_key(address, number))
    if position is None:
        return None
    farm: Farm = view.get(farm_key(position.farm))
    campaigns = settle(view, position.farm, farm, time_s)
    before = list(campaigns)
    rewards = []
    for code, campaign, owed in zip(farm.rewards, before, take_dues(position, farm, campaigns), strict=True):
        earned = _per_year(campaign, position.weight, farm.weight, time_s)
        rewards.append(
            {
                "reward_asset": code,
                "scale": _scale(view, code),
                "pending": str(split_owed(owed)[0]),
                "pending_q640": str(owed),
                "per_year": None if earned is None else show_fraction(earned),
                "yield_per_year": _show_yield(earned, position.amount),
            }
        )
    return {
        **show_farm_position(farm_position_key(address, number), position),
        "stake_asset": farm.stake,
        "scale": _scale(view, farm.stake),
        "share_ppm": position.weight * PPM // farm.weight if farm.weight else 0,
        "is_locked": time_s < position.locked_s,
        "rewards": rewards,
    }


def get_farm_positions(reader: Reader, address: bytes, time_s: int) -> list[Json]:
    """All positions of an account, oldest first."""
    _, numbers = View(reader).get(farm_positions_key(address)) or (0, ())
    return [found for number in numbers if (found := get_farm_position(reader, address, number, time_s)) is not None]
