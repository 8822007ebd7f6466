"""Checks of farms on what an operation touched, and of the whole state; they know nothing of the handlers.

I14: of every campaign, what came in is what was paid, what fell to nobody, what is still to come, what is carried and what is owed, to
the last 2^-640 unit. I15: a farm's totals are its positions, and what the farms' account holds (or has as pool shares) is the stakes and
the rewards, each for itself; what a position has earned falls by whole units paid, or with the position. I16, I17: only time releases,
as the schedule says and never twice; only a stake that was there before earns. I18: a position goes only with its whole stake. I24:
only the acting account's holdings and positions change, only a sponsor changes a schedule, and a lock holds. Source: ledger rules,
section 3. Nothing here may change a record, and no arithmetic is shared with the handlers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from state.modules.operation import CLAIMS_ADDRESS, FARMS_ADDRESS
from state.primitives.codec import Value
from state.schema import HOLDING, HOLDING_ADDRESS, HOLDING_CODE_START
from state.schema_amm import POSITION as SHARES
from state.schema_amm import POSITION_ADDRESS, POSITION_POOL_START
from state.schema_farm import (
    CAMPAIGN_CODE_START,
    FARM,
    FARM_KEY_BYTES,
    FARM_LETTERS,
    FARM_LIST_KEY,
    FARM_POSITION,
    FARM_STAKER,
    POSITION_LIST_KEY_BYTES,
    POSITION_OWNER,
    Campaign,
    Farm,
    FarmPosition,
    campaign_key,
    farm_key,
)
from state.view import View

ONE: Final = 1 << 640  # a whole unit of a reward
_SHARE_FIELDS: Final = 5


class _Sums:
    """What the records add up to; `add` with sign -1 takes a record away. Every sum must come to zero."""

    def __init__(self, farms: Mapping[bytes, Value]) -> None:
        self._farms = farms  # key -> record as it is now: what a position is in, and in which order its rewards are
        self.sums: dict[tuple[str, bytes], int] = {}

    def _count(self, what: str, of: bytes, number: int) -> None:
        self.sums[what, of] = self.sums.get((what, of), 0) + number

    def add(self, key: bytes, record: Value, sign: int) -> None:
        """Count one record."""
        tag = key[1]
        if tag == HOLDING:
            if key[HOLDING_ADDRESS] == FARMS_ADDRESS:
                self._count("held", key[HOLDING_CODE_START:], -sign * record[0])
        elif tag == SHARES:
            if key[POSITION_ADDRESS] == FARMS_ADDRESS:
                self._count_lot(key[POSITION_POOL_START:], record, -sign)
        elif tag == FARM_STAKER:
            self._count("positions", key[2:], -sign * record[0])
            self._count("stakers", key[2:10], sign)
        elif tag == FARM_POSITION:
            if len(key) == POSITION_LIST_KEY_BYTES:
                self._count("listed", key[POSITION_OWNER], -sign * len(record[1]))
            else:
                self._add_position(key, record, sign)
        elif tag == FARM and len(key) == FARM_KEY_BYTES:
            self._count("amount", key[2:], -sign * record.amount)
            self._count("weight", key[2:], -sign * record.weight)
            self._count("stakers", key[2:], -sign * record.stakers)
            if "/" not in record.stake:
                self._count("held", record.stake.encode("ascii"), sign * record.amount)
        elif tag == FARM and key != FARM_LIST_KEY:
            inside = record.funded - record.paid - record.refunded
            self._count("held", key[CAMPAIGN_CODE_START:], sign * inside)
            open_units = inside - record.unallocated - (record.budget - record.released)
            self._count("rewards", key[2:], sign * (open_units * ONE - record.carry))

    def _add_position(self, key: bytes, record: FarmPosition, sign: int) -> None:
        number = record.farm.to_bytes(8, "big")
        farm: Farm = self._farms[farm_key(record.farm)]
        self._count("amount", number, sign * record.amount)
        self._count("weight", number, sign * record.weight)
        self._count("positions", number + key[POSITION_OWNER], sign)
        self._count("listed", key[POSITION_OWNER], sign)
        for code, due in zip(farm.rewards, record.dues, strict=False):  # later rewards have no due yet
            self._count("rewards", number + code.encode("ascii"), sign * (due.debt - due.owed))
        if "/" in farm.stake:
            self._count_lot(farm.stake.encode("ascii"), (record.amount, *record.lot), sign)

    def _count_lot(self, pool: bytes, fields: Value, sign: int) -> None:
        for index in range(_SHARE_FIELDS):
            self._count("shares", pool + bytes((index,)), sign * fields[index])

    def add_weight(self, campaign: bytes, earned: int) -> None:
        """Count what all weight together has earned by the accumulator, of the campaign with this key."""
        self._count("rewards", campaign[2:], -earned)

    def find_problems(self) -> tuple[str, ...]:
        """The kinds of sums that are not zero, in the order of `_PROBLEMS`."""
        if not any(self.sums.values()):
            return ()
        broken = {what for (what, _), number in self.sums.items() if number}
        return tuple(words for what, words in _PROBLEMS.items() if what in broken)


_PROBLEMS: Final = {
    "held": "I15: the farms' account does not hold what is staked and what is to be paid",
    "shares": "I15: the farms' pool shares are not those that are staked",
    "amount": "I15: a farm's stake is not that of its positions",
    "weight": "I15: a farm's weight is not that of its positions",
    "stakers": "I15: a farm's number of stakers is not that of its stakers",
    "positions": "I15: an account has not as many positions in a farm as it says",
    "listed": "I15: an account's positions are not those on its list",
    "rewards": "I14: a campaign has not what it owes, carries and has still to release",
}


def check_farm(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I14 to I18 and I24 over the records before (`first`) and now; the empty string if they hold. `account` acts, or None."""
    values = view.values
    sums = _Sums(values)
    farms: dict[bytes, None] = {}
    shares: dict[bytes, int] = {}
    for key, before in first.items():
        after = values[key]
        if before is not None:
            sums.add(key, before, -1)
        if after is not None:
            sums.add(key, after, 1)
        tag = key[1]
        if tag == FARM and key != FARM_LIST_KEY:
            farms[key[:FARM_KEY_BYTES]] = None
        elif tag == FARM_POSITION and len(key) > POSITION_LIST_KEY_BYTES:
            farms[farm_key((before or after).farm)] = None
        problem = _check_owner(key, account)
        if tag == SHARES:
            for index in range(_SHARE_FIELDS):
                moved = (after[index] if after is not None else 0) - (before[index] if before is not None else 0)
                field = key[POSITION_POOL_START:] + bytes((index,))
                shares[field] = shares.get(field, 0) + moved
        elif tag == FARM and len(key) == FARM_KEY_BYTES:
            problem = problem or _check_terms(before, after)
        if problem:
            return problem
    if account is not None and any(shares.values()):
        return "I15: pool shares were made or lost on their way"
    for key in farms:
        problem = _check_campaigns(values, first, key, account, sums)
        if problem:
            return problem
    return next(iter(sums.find_problems()), "")


def _check_owner(key: bytes, account: bytes | None) -> str:
    """Whose records an operation on farms may change; automatic actions change none of a farm's."""
    tag = key[1]
    if tag == FARM_POSITION and key[POSITION_OWNER] != account:
        return "I24: somebody else's position was touched"
    if account is None:
        return ""
    if tag == HOLDING and key[HOLDING_ADDRESS] not in (account, FARMS_ADDRESS, CLAIMS_ADDRESS):
        return "I24: a farm paid somebody else"
    if tag == SHARES and key[POSITION_ADDRESS] not in (account, FARMS_ADDRESS):
        return "I24: somebody else's pool shares were touched"
    return ""


def _check_terms(before: Farm | None, after: Farm | None) -> str:
    if after is None:
        return "I15: a farm vanished"
    if min(after.amount, after.weight, after.stakers) < 0 or (after.max_stakers and after.stakers > after.max_stakers):
        return "I15: a farm's totals are out of range"
    if before is None:
        return ""
    kept = ("min_stake", "sponsor", "stake", "tiers", "domain", "max_stakers", "start_height")
    if any(getattr(before, name) != getattr(after, name) for name in kept) or after.end_s < before.end_s:
        return "I24: the terms of a farm changed"
    return "" if after.rewards[: len(before.rewards)] == before.rewards else "I24: the rewards of a farm changed"


def _was(first: Mapping[bytes, Value], values: Mapping[bytes, Value], key: bytes) -> Value:
    return first[key] if key in first else values[key]


def _check_campaigns(
    values: Mapping[bytes, Value], first: Mapping[bytes, Value], key: bytes, account: bytes | None, sums: _Sums
) -> str:
    """Every campaign of one farm, with the positions of that farm that were touched."""
    number = int.from_bytes(key[2:], "big")
    farm: Farm = values[key]
    old: Farm | None = _was(first, values, key)
    touched = [
        (before, values[k])
        for k, before in first.items()
        if k[1] == FARM_POSITION and len(k) > POSITION_LIST_KEY_BYTES and (before or values[k]).farm == number
    ]
    for index, code in enumerate(farm.rewards):
        campaign = campaign_key(number, code)
        before, after = _was(first, values, campaign), values[campaign]
        weight_before = old.weight if old is not None else 0
        problem = check_campaign_alone(after) if after is not None else "I14: a campaign vanished"
        problem = problem or _check_release(before, after, weight_before)
        problem = problem or _check_schedule(before, after, farm, account)
        problem = problem or _check_earnings(touched, index, before, after, farm, weight_before)
        if problem:
            return problem
        sums.add_weight(campaign, farm.weight * after.acc - (weight_before * before.acc if before is not None else 0))
    now_s = max(values[campaign_key(number, code)].settled_s for code in farm.rewards)
    return next((found for one in touched if (found := _check_position(*one, farm, now_s))), "")


def check_campaign_alone(record: Campaign) -> str:
    """What is true of every campaign at any time: nothing negative, and exactly what the schedule has released by then."""
    if min(record[:8]) < 0 or record.start_s >= record.end_s:
        return "I14: a campaign's number is out of range"
    if record.released != _release_at(record, record.settled_s):
        return "I17: a campaign has not released what its schedule says"
    gone = record.paid + record.refunded + record.unallocated
    return "" if gone <= record.funded - (record.budget - record.released) else "I17: more was paid than released"


def _release_at(record: Campaign, time_s: int) -> int:
    if time_s <= record.start_s:
        return 0
    return record.budget * (min(time_s, record.end_s) - record.start_s) // (record.end_s - record.start_s)


def _all_released(record: Campaign) -> int:
    return record.funded - record.budget + record.released


def _check_release(before: Campaign | None, after: Campaign, weight: int) -> str:
    """Time alone releases; what it released went to the weight that was there, or to nobody if there was none."""
    if before is None:
        rest = (after.paid, after.refunded, after.unallocated, after.released, after.acc, after.carry)
        return "" if not any(rest) and after.funded == after.budget else "I17: a new campaign has a past"
    if after.settled_s < before.settled_s:
        return "I17: a campaign went back in time"
    gained = _all_released(after) - _all_released(before)
    if gained != _release_at(before, after.settled_s) - before.released:
        return "I17: a campaign released what was not due"
    risen = after.acc - before.acc
    if not gained or not weight:
        if risen:
            return "I17: an accumulator rose without a release or without a stake"
        fell = after.unallocated + after.refunded - before.unallocated - before.refunded
        return "" if fell >= gained * (not weight) else "I17: what fell to nobody is lost"
    return (
        ""
        if risen * weight <= gained * ONE + before.carry < (risen + 1) * weight
        else "I17: a release was not shared out"
    )


def _check_schedule(before: Campaign | None, after: Campaign, farm: Farm, account: bytes | None) -> str:
    """Schedules, funds and refunds are the sponsor's; a schedule and its money come together; nothing goes back."""
    if before is None:
        return "" if account == farm.sponsor else "I24: somebody else than the sponsor made a campaign"
    if after.paid < before.paid or after.refunded < before.refunded or after.funded < before.funded:
        return "I14: what was paid came back"
    is_new = (before.start_s, before.end_s, before.budget) != (after.start_s, after.end_s, after.budget)
    if is_new != (after.funded > before.funded):
        return "I24: a schedule changed without funds, or funds came without a schedule"
    if (is_new or after.refunded > before.refunded) and account != farm.sponsor:
        return "I24: somebody else than the sponsor changed a campaign"
    if is_new and (after.end_s < before.end_s or after.start_s < min(after.settled_s, before.start_s)):
        return "I24: a schedule was cut short"
    if after.refunded > before.refunded and after.settled_s < farm.end_s:
        return "I24: a farm that has not ended was refunded"
    return "" if farm.weight or after.carry < ONE else "I14: whole units are carried without a stake"


def _earned(position: FarmPosition | None, index: int, acc: int) -> int:
    if position is None:
        return 0
    owed, debt = position.dues[index] if index < len(position.dues) else (0, 0)
    return owed + position.weight * acc - debt


def _check_earnings(
    touched: list[tuple[FarmPosition | None, FarmPosition | None]],
    index: int,
    before: Campaign | None,
    after: Campaign,
    farm: Farm,
    weight: int,
) -> str:
    """What positions have earned of one campaign: it falls by whole units that were paid, or with the position."""
    paid = after.paid - (before.paid if before is not None else 0)
    lost = closed = 0
    left = 0  # what could not be divided: it is his who is all of the weight
    if before is not None:
        gained = _all_released(after) - _all_released(before)
        left = before.carry + (gained * ONE - (after.acc - before.acc) * weight if weight else 0)
    for old, new in touched:
        fell = _earned(old, index, after.acc) - _earned(new, index, after.acc)
        if old is not None and old.weight and old.weight == weight:
            fell += left
        if fell < 0 or _earned(old, index, after.acc) < 0:
            return "I16: a position was credited what it has not earned"
        if new is not None and fell % ONE:
            return "I15: a position lost a fraction of what it has earned"
        if old is not None and old.locked_s > after.settled_s and (paid or (new is not None and fell)):
            return "I24: what is locked was paid"
        lost += fell
        closed += new is None
    if lost < paid * ONE or (not closed and lost != paid * ONE):
        return "I15: what was paid is not what positions gave up"
    carried = max(weight - 1, before.carry if before is not None else 0)
    return "" if after.carry <= carried + closed * (ONE - 1) else "I14: whole units are carried"


def _check_position(before: FarmPosition | None, after: FarmPosition | None, farm: Farm, now_s: int) -> str:
    if after is None:
        return ""
    if min(after.amount, after.weight) < 0 or after.weight != after.amount * farm.tiers[after.tier].weight_ppm:
        return "I15: a position's weight is not that of its tier"
    if len(after.dues) > len(farm.rewards) or len(after.lot) != (_SHARE_FIELDS - 1 if "/" in farm.stake else 0):
        return "I15: a position has a wrong shape"
    if before is None:
        return "" if after.amount else "I12: a position without a stake was made"
    kept = (before.farm, before.tier, before.start_s, before.locked_s)
    if kept != (after.farm, after.tier, after.start_s, after.locked_s) or after.amount > before.amount:
        return "I24: the terms of a position changed"
    return "I24: what is locked was taken out" if after.amount < before.amount and now_s < before.locked_s else ""


def audit_farm(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit of I14, I15 and I17 over all (key, record); what is wrong, in a stated order."""
    known = {key: record for key, record in records if key[1] in FARM_LETTERS or key[1] in (HOLDING, SHARES)}
    (count,) = known.get(FARM_LIST_KEY) or (0,)
    problems = [f"I15: farm {number} vanished" for number in range(count) if farm_key(number) not in known]
    sums = _Sums(known)
    for key in sorted(known):
        record = known[key]
        problem = ""
        if key[1] == FARM_POSITION and len(key) > POSITION_LIST_KEY_BYTES:
            if farm_key(record.farm) not in known:
                problems.append(f"I15: a position without farm ({key.hex()})")
                continue
            problem = _audit_position(known, record)
        elif key[1] == FARM and len(key) > FARM_KEY_BYTES:
            farm: Farm | None = known.get(key[:FARM_KEY_BYTES])
            if farm is None or key[CAMPAIGN_CODE_START:].decode("ascii") not in farm.rewards:
                problem = "I14: a campaign without farm"
            else:
                problem = check_campaign_alone(record)
                sums.add_weight(key, farm.weight * record.acc)
        if problem:
            problems.append(f"{problem} ({key.hex()})")
        sums.add(key, record, 1)
    return (*problems, *sums.find_problems())


def _audit_position(known: Mapping[bytes, Value], record: FarmPosition) -> str:
    farm: Farm = known[farm_key(record.farm)]
    for index, code in enumerate(farm.rewards):
        campaign = known.get(campaign_key(record.farm, code))
        if campaign is None or _earned(record, index, campaign.acc) < 0:
            return "I14: a position has earned less than nothing"
    return _check_position(record, record, farm, 0)
