"""Rewards of a block: a share of its fees, and newly minted stake if the parameters say so; to its proposer and by power to all.

The network's accumulator is in 2^-640 units per unit of power, so a block costs the same for 1 validator as for 200: a validator's
pool takes its part when it is next looked at. Only fees in the staked asset are shared out; others stay in the fees account. What
is minted is added to the supply and said in an event. No operation goes in here. Source: ledger rules 1.2, 1.3.
"""

from __future__ import annotations

from typing import Final

from state.modules.operation import FEES_ADDRESS, REWARDS_ADDRESS, OpContext
from state.modules.staking_pool import SCALE, credit_rewards, get_totals, settle_pool
from state.params import StakeParams
from state.primitives.limits import AMOUNT_MAX, PPM
from state.receipts import STAKE_MINTED
from state.schema import asset_key, holding_key, supply_key
from state.schema_staking import TOTALS_KEY, address_owner_key, pool_key, validator_key

YEAR_NS: Final = 365 * 24 * 3_600 * 1_000_000_000


def reward_block(context: OpContext, params: StakeParams, time_ns: int, proposer_address: bytes) -> None:
    """Share out what this block earned."""
    if not params.reward_fees_ppm and not params.inflation_ppm and not get_totals(context.view).minted_ns:
        return
    amount = _take_fees(context, params) + _mint(context, params, time_ns)
    if not amount:
        return
    view = context.view
    totals = get_totals(view)
    context.credit(REWARDS_ADDRESS, params.asset.encode("ascii"), amount)
    proposer = view.get(address_owner_key(proposer_address)) if proposer_address else None
    bonus = 0
    if proposer is not None:
        bonus = amount * params.reward_proposer_ppm // PPM
        pool = settle_pool(view, proposer[0])
        view.put(pool_key(proposer[0]), credit_rewards(view.get(validator_key(proposer[0])), pool, bonus * SCALE))
    gain, carry = divmod((amount - bonus) * SCALE + totals.carry, totals.power)
    view.put(TOTALS_KEY, totals._replace(acc=totals.acc + gain, carry=carry))


def _take_fees(context: OpContext, params: StakeParams) -> int:
    """The validators' share of the fees that this block has collected."""
    key = holding_key(FEES_ADDRESS, params.asset)
    holding = context.view.get(key)
    before = context.view.original(key)
    collected = (0 if holding is None else holding[0]) - (0 if before is None else before[0])
    share: int = max(0, collected) * params.reward_fees_ppm // PPM
    if share:
        context.debit(FEES_ADDRESS, params.asset.encode("ascii"), share)
    return share


def _mint(context: OpContext, params: StakeParams, time_ns: int) -> int:
    """What the inflation adds since the last block; the fraction of a unit is carried."""
    view = context.view
    totals = get_totals(view)
    if not params.inflation_ppm:
        if totals.minted_ns:
            view.put(TOTALS_KEY, totals._replace(minted_ns=0, mint_carry=0))
        return 0
    supply: int = view.get(supply_key(params.asset))[0]
    elapsed_ns = time_ns - totals.minted_ns if totals.minted_ns else 0
    whole, carry = divmod(supply * params.inflation_ppm * elapsed_ns + totals.mint_carry, PPM * YEAR_NS)
    minted = min(whole, (view.get(asset_key(params.asset))[1] or AMOUNT_MAX) - supply)
    view.put(TOTALS_KEY, totals._replace(minted_ns=time_ns, mint_carry=carry))
    if minted:
        view.put(supply_key(params.asset), (supply + minted,))
        context.emit(STAKE_MINTED, params.asset, minted)
    return minted
