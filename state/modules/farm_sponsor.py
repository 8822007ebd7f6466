"""What a sponsor does: make a farm, fund it, take back after its end what fell to nobody. Codes in their order of precedence.

A farm begins funded, and every schedule is written by the operation that pays for it. More money for a running campaign is merged with
all that has not come out of it yet, and its rate never falls: who has locked a stake was promised it. Source: ledger rules, 1.2.
"""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.events_farm import FARM_CREATED, FARM_FUNDED, FARM_REFUNDED
from state.modules.domains import require_domain
from state.modules.farm_assets import require_own, require_reward, require_stakeable
from state.modules.farm_books import get_farm, put_books, settle, settle_campaign
from state.modules.farm_math import keeps_rate
from state.modules.operation import FARMS_ADDRESS, OpContext
from state.primitives.errors import OperationFailed
from state.primitives.limits import FARM_DURATION_S_MAX, FARM_REWARDS_MAX
from state.schema_farm import FARM_LIST_KEY, Campaign, Farm, campaign_key, farm_key


def _require_schedule(now_s: int, start_s: int, end_s: int) -> None:
    if not now_s <= start_s < end_s <= now_s + FARM_DURATION_S_MAX:
        raise OperationFailed(
            Code.PARAM_OUT_OF_RANGE,
            f"a campaign starts now or later and ends after it, within {FARM_DURATION_S_MAX} seconds",
        )


def _pay_in(context: OpContext, sponsor: bytes, code: str, amount: int) -> None:
    raw = code.encode("ascii")
    context.debit(sponsor, raw, amount)
    context.credit(FARMS_ADDRESS, raw, amount)


def create(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """farm.create by its sponsor: 903, 1107, 401, 615, 801, 607 (no such domain), 501, 505. A start of 0 is now."""
    stake, reward, start_s, end_s, budget, tiers, max_stakers, min_stake, domain = args
    if not budget:
        raise OperationFailed(Code.FARM_UNFUNDED, "a farm begins with its budget")
    now_s, view = context.time_s, context.view
    start_s = start_s or now_s
    _require_schedule(now_s, start_s, end_s)
    require_stakeable(context, stake)
    require_reward(context, reward, account, FARMS_ADDRESS)
    if domain:
        require_domain(context, domain)
    _pay_in(context, account, reward, budget)
    (number,) = view.get(FARM_LIST_KEY) or (0,)
    view.put(FARM_LIST_KEY, (number + 1,))
    farm = Farm(0, 0, min_stake, account, stake, tiers, (reward,), domain, max_stakers, 0, end_s, context.height)
    put_books(view, number, farm, [Campaign(budget, 0, 0, 0, budget, 0, 0, 0, start_s, end_s, now_s)])
    context.emit(FARM_CREATED, number, account, stake, len(tiers), max_stakers, min_stake)
    context.emit(FARM_FUNDED, number, account, reward, budget, budget, start_s, end_s)


def fund(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """farm.fund by its sponsor: 503, 901, 204, 902, 401, 615, 1107, 501, 505.

    A reward asset that the farm does not have, or whose campaign is over, gets a schedule from `start` (0: now) to `extend_to` (0: the
    farm's end). A campaign that runs is merged with the amount and goes on to `extend_to` (0: its own end), which may not lower its
    rate; `start` is 0 then.
    """
    number, reward, amount, start_s, extend_to_s = args
    if not amount:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")
    farm = get_farm(context, number)
    if farm.sponsor != account:
        raise OperationFailed(Code.NO_PERMISSION, "only its sponsor funds a farm")
    now_s, view = context.time_s, context.view
    if now_s >= farm.end_s:
        raise OperationFailed(Code.FARM_ENDED, f"farm {number} has ended")
    require_reward(context, reward, account, FARMS_ADDRESS)
    old: Campaign | None = view.get(campaign_key(number, reward))
    if old is None:
        if len(farm.rewards) == FARM_REWARDS_MAX:
            raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"a farm has at most {FARM_REWARDS_MAX} reward assets")
        farm = farm._replace(rewards=(*farm.rewards, reward))
        old = Campaign(0, 0, 0, 0, 0, 0, 0, 0, now_s - 1, now_s, now_s)  # a schedule of nothing, over now
    new = _merge(settle_campaign(old, farm.weight, now_s), amount, start_s, extend_to_s, now_s, farm.end_s)
    _pay_in(context, account, reward, amount)
    view.put(farm_key(number), farm._replace(end_s=max(farm.end_s, new.end_s)))
    view.put(campaign_key(number, reward), new)
    context.emit(FARM_FUNDED, number, account, reward, amount, new.budget, new.start_s, new.end_s)


def _merge(old: Campaign, amount: int, start_s: int, extend_to_s: int, now_s: int, farm_end_s: int) -> Campaign:
    """A settled campaign with `amount` more and its new schedule: 1107."""
    budget = old.budget - old.released + amount
    if now_s >= old.end_s:
        start_s, end_s = start_s or now_s, extend_to_s or farm_end_s
    else:
        if start_s or 0 < extend_to_s < old.end_s:
            raise OperationFailed(Code.PARAM_OUT_OF_RANGE, "a campaign that runs is only extended")
        start_s, end_s = max(now_s, old.start_s), extend_to_s or old.end_s
        if not keeps_rate(old.budget, old.end_s - old.start_s, budget, end_s - start_s):
            raise OperationFailed(
                Code.PARAM_OUT_OF_RANGE, "the amount does not keep the campaign's rate up to that end"
            )
    _require_schedule(now_s, start_s, end_s)
    return old._replace(funded=old.funded + amount, budget=budget, released=0, start_s=start_s, end_s=end_s)


def close(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """farm.close by its sponsor, after the end, again if more has fallen to nobody: 901, 204, 707, 906, the gate's codes, 505.

    What is owed stays: positions claim and leave as before.
    """
    (number,) = args
    farm = get_farm(context, number)
    if farm.sponsor != account:
        raise OperationFailed(Code.NO_PERMISSION, "only its sponsor closes a farm")
    if context.time_s < farm.end_s:
        raise OperationFailed(Code.TOO_EARLY, f"farm {number} ends at {farm.end_s}")
    campaigns = settle(context.view, number, farm, context.time_s)
    total = 0
    for index, (code, campaign) in enumerate(zip(farm.rewards, campaigns, strict=True)):
        amount = campaign.unallocated
        if not amount:
            continue
        raw = code.encode("ascii")
        require_own(context, account, code)
        context.debit(FARMS_ADDRESS, raw, amount)
        context.credit(account, raw, amount, is_return=True)
        campaigns[index] = campaign._replace(unallocated=0, refunded=campaign.refunded + amount)
        context.emit(FARM_REFUNDED, number, account, code, amount)
        total += amount
    if not total:
        raise OperationFailed(Code.NOTHING_TO_CLAIM, f"nothing of farm {number} has fallen to nobody")
    put_books(context.view, number, farm, campaigns)
