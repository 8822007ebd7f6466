"""Checks of staking on what an operation or an automatic action touched, and of the whole state; they know nothing of the handlers.

I19: the bonded pot is the sum of the pools, the unbonding pot the sum of the entries, the shares of a pool are those of its
delegators and never worth more than it has; the pot of rewards is, to the 2^-640 of a unit, what is owed. I24: nobody's stake is touched
by another's operation. Each sum is linear in the records, so a change of the records touched is a change of the sum. Nothing here may
change a record. Source: ledger rules, section 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from state.modules.operation import BONDED_ADDRESS, REWARDS_ADDRESS, UNBONDING_ADDRESS
from state.primitives.codec import Value
from state.schema import HOLDING, HOLDING_ADDRESS
from state.schema_staking import (
    DELEGATION,
    DELEGATOR,
    DELEGATOR_OF,
    ID,
    POOL,
    POOL_KEY_BYTES,
    REDELEGATION,
    STAKING_LETTERS,
    UNBONDING,
    VALIDATOR,
    delegation_key,
    delegator_key,
    unbonding_key,
)
from state.view import View

SCALE: Final = 1 << 640


class _Sums:
    """What the records add up to; `add` with sign -1 takes a record away."""

    def __init__(self) -> None:
        self.bonded = 0  # pools less pot
        self.unbonding = 0  # entries less pot
        self.owed = 0  # in 2^-640 units: what is owed less pot
        self.power = 0  # of the validators less the total
        self.shares: dict[bytes, int] = {}  # of delegators less pool

    def add(self, key: bytes, record: Value, sign: int) -> None:
        """Count one record."""
        tag = key[1]
        if tag == HOLDING:
            address, amount = key[HOLDING_ADDRESS], sign * record[0]
            if address == BONDED_ADDRESS:
                self.bonded -= amount
            elif address == UNBONDING_ADDRESS:
                self.unbonding -= amount
            elif address == REWARDS_ADDRESS:
                self.owed -= amount * SCALE
        elif tag == POOL and len(key) == POOL_KEY_BYTES:
            validator = key[ID]
            self.bonded += sign * record.tokens
            self.power += sign * record.power
            self.owed += sign * (record.commission + record.carry + record.acc * record.shares - record.power * record.ref)
            self.shares[validator] = self.shares.get(validator, 0) - sign * record.shares
        elif tag == POOL:
            self.power -= sign * record.power
            self.owed += sign * (record.acc * record.power + record.carry)
        elif tag == DELEGATION:
            self.owed += sign * (record.owed - record.shares * record.ref)
            self.shares[key[ID]] = self.shares.get(key[ID], 0) + sign * record.shares
        elif tag == UNBONDING:
            self.unbonding += sign * sum(entry.balance for entry in record)

    def find_problem(self) -> str:
        """The first sum that is not zero."""
        if self.bonded:
            return "I19: the bonded pot is not the sum of the pools"
        if self.unbonding:
            return "I19: the unbonding pot is not the sum of the entries"
        if any(self.shares.values()):
            return "I19: the shares of a pool are not those of its delegators"
        if self.power:
            return "I21: the total power is not the sum of the validators'"
        return "I19: the pot of rewards is not what is owed" if self.owed else ""


def check_staking(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I19, I21 and I24 over the records before (`first`) and now; the empty string if they hold. `account` acts, or None."""
    sums = _Sums()
    values = view.values
    for key, before in first.items():
        after = values[key]
        if before is not None:
            sums.add(key, before, -1)
        if after is not None:
            sums.add(key, after, 1)
        problem = _check_record(key, after) or ("" if account is None else _check_authority(key, before, after, account))
        if problem:
            return problem
    return sums.find_problem()


def _check_record(key: bytes, record: Value) -> str:
    if record is None:
        return "I19: a validator vanished" if key[1] == VALIDATOR or (len(key) == POOL_KEY_BYTES and key[1] == POOL) else ""
    tag = key[1]
    if tag == POOL and len(key) == POOL_KEY_BYTES:
        if not 0 <= record.tokens <= record.shares or min(record.power, record.acc, record.carry, record.commission) < 0:
            return "I19: a pool is out of range"
    elif tag == DELEGATION:
        if record.shares <= 0 or record.owed < 0:
            return "I19: a delegation is out of range"
    elif tag in (UNBONDING, REDELEGATION) and any(
        type(entry) is not int and not 0 <= entry.balance <= entry.initial for entry in record
    ):
        return "I20: an entry holds more than at its start, or less than nothing"
    return ""


def _check_authority(key: bytes, before: Value, after: Value, account: bytes) -> str:
    tag = key[1]
    if tag in (DELEGATION, UNBONDING, DELEGATOR, REDELEGATION) and key[-32:] != account:
        return "I24: somebody else's stake was touched"
    if tag == VALIDATOR and account != (before or after).owner:
        return "I24: somebody else's validator was changed"
    return ""


def audit_staking(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit of I19 and I21 over all (key, record); what is wrong, in a stated order."""
    sums = _Sums()
    known = {key: record for key, record in records if key[1] in STAKING_LETTERS or key[1] == HOLDING}
    problems = []
    worth: dict[bytes, int] = {}
    listed: dict[bytes, list[bytes]] = {}
    for key in sorted(known):
        record = known[key]
        sums.add(key, record, 1)
        problem = _check_record(key, record)
        if problem:
            problems.append(f"{problem} ({key.hex()})")
        if key[1] == DELEGATION:
            pool = known[b" f" + key[ID]]
            worth[key[ID]] = worth.get(key[ID], 0) + record.shares * pool.tokens // pool.shares
        if key[1] in (DELEGATION, UNBONDING):
            listed.setdefault(key[DELEGATOR_OF], []).append(key[ID])
    problems += [
        f"I19: shares are worth more than the pool of {validator.hex()}"
        for validator, total in worth.items()
        if total > known[b" f" + validator].tokens
    ]
    for delegator, validators in sorted(listed.items()):
        if known.get(delegator_key(delegator)) != tuple(sorted(set(validators))):
            problems.append(f"the list of validators of {delegator.hex()} is wrong")
    for key, record in known.items():
        if key[1] == DELEGATOR and any(
            delegation_key(v, key[2:]) not in known and unbonding_key(v, key[2:]) not in known for v in record
        ):
            problems.append(f"the list of validators of {key[2:].hex()} names a stranger")
    problem = sums.find_problem()
    return (*problems, problem) if problem else tuple(problems)
