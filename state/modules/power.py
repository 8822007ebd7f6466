"""Voting power from stake, and what the validator set is told of it.

`power = tokens // power_unit`, with an optional cap for one validator, for the 200 with most; jailed, tombstoned and no longer admitted
validators have none. A block changes at most a third of the total (I21): the rest waits for the next block. Downward changes go
first, in the order of the validators' ids; the set is never emptied. A change of keys cannot be split: when it alone exceeds the third,
it is the only change of its block. What a block tells is in force two blocks later. No operation goes in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from state.modules.operation import OpContext
from state.modules.slashing import clear_window
from state.modules.staking_pool import get_totals, settle_pool
from state.params import StakeParams
from state.primitives.codec import Value
from state.primitives.keys import KeyKind
from state.primitives.limits import POWER_TOTAL_MAX, PPM, VALIDATORS_MAX
from state.schema import ADMIT_VALIDATOR, admission_key
from state.schema_staking import TOTALS_KEY, VALIDATORS_KEY, Pool, ValidatorRecord, pool_key, validator_key
from state.validators import ValidatorUpdate
from state.view import View

CHANGE_DIVISOR: Final = 3  # at most this part of the total power changes in one block


def compute_powers(tokens: Mapping[bytes, int], params: StakeParams) -> dict[bytes, int]:
    """Wanted power of each validator by its stake, above zero only: unit, size of the set, cap, total."""
    unit = params.power_unit
    powers = {validator: amount // unit for validator, amount in tokens.items() if amount >= unit}
    if len(powers) > VALIDATORS_MAX:
        powers = dict(sorted(powers.items(), key=lambda item: (-item[1], item[0]))[:VALIDATORS_MAX])
    total = sum(powers.values())
    if params.power_cap_ppm:
        cap = max(1, total * params.power_cap_ppm // PPM)
        powers = {validator: min(power, cap) for validator, power in powers.items()}
        total = sum(powers.values())
    if total > POWER_TOTAL_MAX:
        powers = {validator: max(1, power * (POWER_TOTAL_MAX - VALIDATORS_MAX) // total) for validator, power in powers.items()}
    return powers


def get_wanted_powers(view: View, params: StakeParams) -> dict[bytes, int]:
    """Wanted power of each validator that may be in the set."""
    values = view.values
    tokens = {}
    for validator in values[VALIDATORS_KEY] or ():
        pool: Pool = values[pool_key(validator)]
        if pool.is_jailed or pool.is_tombstoned:
            continue
        if values[admission_key(ADMIT_VALIDATOR, values[validator_key(validator)].owner)] is not None:
            tokens[validator] = pool.tokens
    return compute_powers(tokens, params)


def validator_updates(context: OpContext, params: StakeParams) -> tuple[ValidatorUpdate, ...]:
    """What the set must be told after this block; also notes it as told."""
    view = context.view
    wanted = get_wanted_powers(view, params)
    pools: dict[bytes, Pool] = {v: view.values[pool_key(v)] for v in view.get(VALIDATORS_KEY) or ()}
    told = {validator: pool.power for validator, pool in pools.items()}
    rotated = [v for v in wanted if told[v] and view.values[validator_key(v)].told_keys]
    lagging = [v for v, pool in pools.items() if told[v] != wanted.get(v, 0) or (pool.lag_from and not pool.lag_until)]
    if not rotated and not lagging:
        return ()
    granted = _grant(wanted, told, rotated) if wanted else {}
    updates = []
    for validator in told:
        if validator in granted:
            updates += _tell(context, validator, granted[validator], is_swap=validator in rotated)
    for validator in lagging:
        _note_lag(context, validator, granted.get(validator, told[validator]) > wanted.get(validator, 0))
    return tuple(updates)


def _grant(wanted: dict[bytes, int], told: dict[bytes, int], rotated: list[bytes]) -> dict[bytes, int]:
    """The power that each changed validator gets in this block, within the bound."""
    total = sum(told.values())
    left = max(1, total // CHANGE_DIVISOR)
    granted: dict[bytes, int] = {}
    for validator in rotated:
        if told[validator] > left and granted:
            continue  # waits
        granted[validator] = told[validator]
        left -= told[validator]
        if left <= 0:
            return granted
    members = sum(1 for power in told.values() if power)
    for validator, power in told.items():
        step = min(power - wanted.get(validator, 0), left, total - 1)
        if step > 0 and validator not in rotated:
            granted[validator] = power - step
            total -= step
            left -= step
            members -= power == step
    for validator, power in told.items():
        step = min(wanted.get(validator, 0) - power, left, POWER_TOTAL_MAX - total)
        if step > 0 and validator not in rotated and (power or members < VALIDATORS_MAX):
            granted[validator] = power + step
            total += step
            left -= step
            members += power == 0
    return granted


def _tell(context: OpContext, validator: bytes, power: int, *, is_swap: bool) -> list[ValidatorUpdate]:
    view = context.view
    record: ValidatorRecord = view.get(validator_key(validator))
    pool = settle_pool(view, validator)
    current = (record.ed25519_key, record.pq_kind, record.pq_key)
    if is_swap:
        updates = [_update(record.told_keys, 0), _update(current, power)]
    else:
        updates = [_update(record.told_keys or current, power)]
    if record.told_keys and (is_swap or not power):
        view.put(validator_key(validator), record._replace(told_keys=()))
    totals = get_totals(view)
    view.put(TOTALS_KEY, totals._replace(power=totals.power - pool.power + power))
    view.put(pool_key(validator), pool._replace(power=power))
    if not power:
        clear_window(view, validator)
    return updates


def _update(keys: Value, power: int) -> ValidatorUpdate:
    ed25519_key, kind, pq_key = keys
    return ValidatorUpdate(ed25519_key, KeyKind(kind), pq_key, power)


def _note_lag(context: OpContext, validator: bytes, is_behind: bool) -> None:
    """Remember between which blocks a validator's power was above its stake: see `slashing`."""
    view = context.view
    pool: Pool = view.get(pool_key(validator))
    is_lagging = bool(pool.lag_from) and not pool.lag_until
    if is_behind and not is_lagging:
        view.put(pool_key(validator), pool._replace(lag_from=context.height, lag_until=0))
    elif not is_behind and is_lagging:
        view.put(pool_key(validator), pool._replace(lag_until=context.height))
