"""What misbehaviour costs: slashing, jail, tombstone; missed votes counted in a window.

A slash takes the same fraction of everything that stood behind the validator at the infraction: the pool as it is, and what has left
it since (unbonding entries and redelegations), by what they were when they left. Power lags behind stake by two blocks, and by more
when a block may not change that much, so stake that left shortly before still counts. A block's facts arrive in its `BlockContext`;
that they are true was checked before. Source: ledger rules 1.3 and I20; consensus rules L1 to L8.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from state.misbehavior import CommitVote, Misbehavior
from state.modules.operation import BONDED_ADDRESS, TREASURY_ADDRESS, UNBONDING_ADDRESS, OpContext
from state.modules.staking_pool import get_delegation, settle_pool, take_stake, value_of
from state.modules.unbonding import find_entry, get_entries, replace_entry, walk_back
from state.params import ConsensusParams, StakeParams
from state.primitives.limits import DOWNTIME_PART_BLOCKS, PPM
from state.receipts import (
    MISBEHAVIOR_IGNORED,
    VALIDATOR_JAILED,
    VALIDATOR_SLASHED,
    VALIDATOR_TOMBSTONED,
)
from state.schema import supply_key
from state.schema_staking import (
    REDELEGATION_QUEUE_KEY,
    UNBONDING_QUEUE_KEY,
    Link,
    Pool,
    address_owner_key,
    pool_key,
    redelegation_key,
    unbonding_key,
    window_key,
    window_part_key,
)
from state.view import View

DELAY_BLOCKS: Final = 2  # a change of stake at height h changes the power at h + 2
_PART_BYTES: Final = DOWNTIME_PART_BLOCKS // 8
_NS_PER_S: Final = 1_000_000_000


def slash(
    context: OpContext,
    params: StakeParams,
    validator: bytes,
    infraction_height: int,
    infraction_time_s: int,
    fraction_ppm: int,
    reason: str,
) -> int:
    """Take `fraction_ppm` of what was at risk at the infraction, and burn it or give it to the treasury; how much it was.

    Every part is rounded down and capped at what is left of it. Each infraction is to be slashed once: the caller sees to that.
    """
    view = context.view
    pool: Pool = view.get(pool_key(validator))
    since = compute_at_risk_height(pool, infraction_height)
    bonded = pool.tokens * fraction_ppm // PPM
    if bonded:
        view.put(pool_key(validator), pool._replace(tokens=pool.tokens - bonded))
    unbonding = 0
    for number, link in walk_back(view, UNBONDING_QUEUE_KEY, validator, since):
        unbonding += _slash_entry(context, unbonding_key(validator, link.account), number, fraction_ppm)
    moved_bonded = moved_unbonding = 0
    for number, link in walk_back(view, REDELEGATION_QUEUE_KEY, validator, since):
        from_pool, from_entries = _slash_redelegation(context, params, link, number, fraction_ppm)
        moved_bonded += from_pool
        moved_unbonding += from_entries
    _remove(context, params, BONDED_ADDRESS, bonded + moved_bonded)
    _remove(context, params, UNBONDING_ADDRESS, unbonding + moved_unbonding)
    moved = moved_bonded + moved_unbonding
    context.emit(
        VALIDATOR_SLASHED, validator, reason, infraction_height, infraction_time_s, fraction_ppm, bonded, unbonding, moved
    )
    return bonded + unbonding + moved


def compute_at_risk_height(pool: Pool, infraction_height: int) -> int:
    """Stake that left the pool at this height or later was still voting at the infraction."""
    since = infraction_height - DELAY_BLOCKS + 1
    if pool.lag_from and (not pool.lag_until or infraction_height < pool.lag_until + DELAY_BLOCKS):
        since = min(since, pool.lag_from)
    return since


def _slash_entry(context: OpContext, key: bytes, number: int, fraction_ppm: int) -> int:
    entry = find_entry(context.view, key, number)
    if entry is None or entry.until_s <= context.time_s:
        return 0
    taken = min(entry.initial * fraction_ppm // PPM, entry.balance)
    if taken:
        replace_entry(context.view, key, entry._replace(balance=entry.balance - taken))
    return taken


def _slash_redelegation(
    context: OpContext, params: StakeParams, link: Link, number: int, fraction_ppm: int
) -> tuple[int, int]:
    """What was taken from the destination's pool, and from unbondings that the account has begun there since."""
    view = context.view
    key = redelegation_key(link.validator, link.destination, link.account)
    entry = find_entry(view, key, number)
    if entry is None or entry.until_s <= context.time_s:
        return 0, 0
    due = left = min(entry.initial * fraction_ppm // PPM, entry.balance)
    unbonding = unbonding_key(link.destination, link.account)
    for out in get_entries(view, unbonding):
        taken = min(left, out.balance)
        if taken and out.height >= entry.height and out.until_s > context.time_s:
            replace_entry(view, unbonding, out._replace(balance=out.balance - taken))
            left -= taken
    from_entries = due - left
    pool = settle_pool(view, link.destination)
    from_pool = min(left, value_of(pool, get_delegation(view, link.destination, link.account).shares))
    if from_pool:
        take_stake(context, params, link.destination, link.account, from_pool)
    if due:
        replace_entry(view, key, entry._replace(balance=entry.balance - from_entries - from_pool))
    return from_pool, from_entries


def _remove(context: OpContext, params: StakeParams, pot: bytes, amount: int) -> None:
    """Burn it where everybody sees it, or give it to the treasury."""
    if not amount:
        return
    code = params.asset.encode("ascii")
    context.debit(pot, code, amount)
    if not params.slash_burns:
        context.credit(TREASURY_ADDRESS, code, amount)
        return
    key = supply_key(params.asset)
    supply: int = context.view.get(key)[0] - amount
    context.view.put(key, (supply,) if supply else None)


def punish_misbehavior(
    context: OpContext, params: StakeParams, consensus: ConsensusParams, time_ns: int, item: Misbehavior
) -> None:
    """A proved offence: slash, jail, tombstone. Ignored, with an event: a stranger, an old offence, a second one."""
    view = context.view
    found = view.get(address_owner_key(item.address))
    ignored = ""
    if found is None:
        ignored = "unknown validator"
    elif (
        context.height - item.height > consensus.evidence_blocks_max
        and time_ns - item.time_ns > consensus.evidence_age_s_max * _NS_PER_S
    ):
        ignored = "too old"
    elif view.get(pool_key(found[0])).is_tombstoned:
        ignored = "tombstoned"
    if ignored:
        context.emit(MISBEHAVIOR_IGNORED, item.address, ignored, item.height)
        return
    validator = found[0]
    reason = item.kind.name.lower()
    slash(context, params, validator, item.height, item.time_ns // _NS_PER_S, params.slash_double_sign_ppm, reason)
    jail(context, validator, 0, reason)
    view.put(pool_key(validator), view.get(pool_key(validator))._replace(is_tombstoned=True))
    context.emit(VALIDATOR_TOMBSTONED, validator)


def jail(context: OpContext, validator: bytes, until_s: int, reason: str) -> None:
    """Take a validator out of the set; what it missed is forgotten."""
    view = context.view
    pool: Pool = view.get(pool_key(validator))
    view.put(pool_key(validator), pool._replace(is_jailed=True, jailed_until_s=until_s))
    clear_window(view, validator)
    context.emit(VALIDATOR_JAILED, validator, reason, until_s)


def count_votes(view: View, height: int, votes: Sequence[CommitVote], params: StakeParams) -> tuple[bytes, ...]:
    """Count who missed the vote of the block at `height`; the validators that have now missed too many.

    A vote for nil is a vote. A validator that signs everything costs two look-ups and no write.
    """
    window = params.downtime_window
    limit = window * params.downtime_missed_max_ppm
    values = view.values
    over = []
    for address, _, signed in votes:
        found = values[address_owner_key(address)]
        if found is None:
            continue
        validator = found[0]
        state = values[window_key(validator)]
        if state is None and signed:
            continue
        if state is not None and state[0] != window:
            clear_window(view, validator)
            state = None
        if not signed and view.get(pool_key(validator)).is_jailed:
            continue
        missed = _mark(view, validator, height % window, signed) + (0 if state is None else state[1])
        view.put(window_key(validator), (window, missed) if missed else None)
        if not signed and missed * PPM > limit:
            over.append(validator)
    return tuple(over)


def _mark(view: View, validator: bytes, position: int, signed: bool) -> int:
    """Set or clear the bit of one height; by how much the number of missed votes changed."""
    part, offset = divmod(position, DOWNTIME_PART_BLOCKS)
    key = window_part_key(validator, part)
    record = view.get(key)
    bits = 0 if record is None else int.from_bytes(record[0], "big")
    changed = bits & ~(1 << offset) if signed else bits | 1 << offset
    if changed == bits:
        return 0
    view.put(key, (changed.to_bytes(_PART_BYTES, "big"),) if changed else None)
    return -1 if signed else 1


def clear_window(view: View, validator: bytes) -> None:
    """Forget what a validator missed."""
    state = view.get(window_key(validator))
    if state is not None:
        for part in range(-(-state[0] // DOWNTIME_PART_BLOCKS)):
            if view.get(window_part_key(validator, part)) is not None:
                view.put(window_part_key(validator, part), None)
        view.put(window_key(validator), None)


def punish_downtime(context: OpContext, params: StakeParams, validator: bytes) -> None:
    """Too many votes missed: slash a little and jail for a while."""
    slash(context, params, validator, context.height - 1, context.time_s, params.slash_downtime_ppm, "downtime")
    jail(context, validator, context.time_s + params.jail_s, "downtime")
