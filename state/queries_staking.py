"""Pure reads of staking for the RPC and the command line: validators, delegations, what is unbonding. Nothing here writes.

Rewards are shown as they would be paid now: pools are brought up to date on a copy. See `state.queries` for the forms.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from state.modules.power import get_wanted_powers
from state.modules.staking_pool import (
    SCALE,
    compute_settled,
    get_delegation,
    read_stake_params,
    settle_pool,
    value_of,
)
from state.modules.unbonding import get_entries
from state.params import StakeParams
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.hashing import validator_address
from state.primitives.ids import format_address
from state.primitives.keys import KeyKind
from state.schema_staking import (
    POOL_KEY_BYTES,
    VALIDATORS_KEY,
    Entry,
    Pool,
    ValidatorRecord,
    address_owner_key,
    delegator_key,
    pool_key,
    redelegation_key,
    unbonding_key,
    validator_key,
    window_key,
)
from state.validators import Validator, ValidatorSet
from state.view import Reader, View

Json = dict[str, object]

_ADDRESS_BYTES: Final = 20


def read_validator_id(text: str) -> bytes:
    """A validator's id or address from 40 hex digits. Raises `MalformedError`."""
    try:
        address = bytes.fromhex(text)
    except ValueError as error:
        raise MalformedError("a validator's address is 40 hex digits") from error
    if len(address) != _ADDRESS_BYTES:
        raise MalformedError("a validator's address is 40 hex digits")
    return address


def show_stake_params(params: StakeParams) -> Json:
    """JSON-ready stake parameters, by field name."""
    shown: Json = {field.name: getattr(params, field.name) for field in fields(params)}
    return {**shown, "power_unit": str(params.power_unit), "bond_min": str(params.bond_min)}


def show_validator(key: bytes, record: ValidatorRecord) -> Json:
    """JSON form of a validator's record."""
    return {
        "validator": key[2:].hex(),
        "address": validator_address(record.ed25519_key).hex(),
        "moniker": record.moniker,
        "details": record.details,
        "owner": format_address(record.owner),
        "ed25519_key": record.ed25519_key.hex(),
        "pq_kind": KeyKind(record.pq_kind).name.lower(),
        "pq_key": record.pq_key.hex(),
        "commission_ppm": record.commission_ppm,
        "min_self_bond": str(record.min_self_bond),
        "start_height": record.start_height,
    }


def get_status(pool: Pool) -> str:
    """In a word: tombstoned, jailed, bonded (in the set), or waiting."""
    if pool.is_tombstoned:
        return "tombstoned"
    return "jailed" if pool.is_jailed else "bonded" if pool.power else "waiting"


def show_pool(key: bytes, record: Value) -> Json:
    """JSON form of a pool, or of the network's totals."""
    if len(key) != POOL_KEY_BYTES:
        return {"power": str(record.power), "reward_accumulator": str(record.acc), "minted_until_ns": str(record.minted_ns)}
    return {
        "validator": key[2:].hex(),
        "tokens": str(record.tokens),
        "shares": str(record.shares),
        "power": str(record.power),
        "status": get_status(record),
        "jailed": record.is_jailed,
        "jailed_until": record.jailed_until_s,
        "tombstoned": record.is_tombstoned,
        "commission_owed": str(record.commission // SCALE),
        "reward_accumulator": str(record.acc),
    }


def show_delegation(key: bytes, record: Value) -> Json:
    """JSON form of a delegation's record."""
    return {"validator": key[2:22].hex(), "delegator": format_address(key[22:]), "shares": str(record.shares)}


def show_delegator(key: bytes, record: Value) -> Json:
    """JSON form of the list of an account's validators."""
    return {"delegator": format_address(key[2:]), "validators": [validator.hex() for validator in record]}


def show_entries(key: bytes, record: Value) -> Json:
    """JSON form of unbonding entries, or of redelegation entries."""
    rest = {"delegator": format_address(key[-32:]), "entries": [_show_entry(e) for e in record if isinstance(e, Entry)]}
    if key[1:2] == b"x":
        return {"validator": key[2:22].hex(), **rest}
    if len(key) == len(redelegation_key(b"s" * 20, b"d" * 20, b"a" * 32)):
        return {"source": key[2:22].hex(), "destination": key[22:42].hex(), **rest}
    return {"destination": key[2:22].hex(), "delegator": format_address(key[-32:]), "until": record[0]}


def _show_entry(entry: Entry) -> Json:
    return {
        "entry": entry.number,
        "height": entry.height,
        "initial": str(entry.initial),
        "balance": str(entry.balance),
        "until": entry.until_s,
    }


def get_validator_set(reader: Reader) -> ValidatorSet:
    """The set as it was last told: every validator with power."""
    view = View(reader)
    validators = []
    for validator in view.get(VALIDATORS_KEY) or ():
        record, pool = view.get(validator_key(validator)), view.get(pool_key(validator))
        if pool.power:
            ed25519_key, kind, pq_key = record.told_keys or record[:3]
            validators.append(Validator(ed25519_key, KeyKind(kind), pq_key, pool.power))
    return ValidatorSet(validators)


def get_validator(reader: Reader, address: bytes) -> Json | None:
    """Everything of the validator that has this id, or that has or had a key with this address; None if there is none."""
    view = View(reader)
    found = view.get(address_owner_key(address))
    return None if found is None else _describe(view, found[0], get_wanted_powers(view, read_stake_params(view)))


def get_validators(reader: Reader) -> list[Json]:
    """All registered validators, by id; keys are left out."""
    view = View(reader)
    wanted = get_wanted_powers(view, read_stake_params(view))
    shown = [_describe(view, validator, wanted) for validator in view.get(VALIDATORS_KEY) or ()]
    return [{name: value for name, value in item.items() if not name.endswith("_key")} for item in shown]


def _describe(view: View, validator: bytes, wanted: dict[bytes, int]) -> Json:
    record: ValidatorRecord = view.get(validator_key(validator))
    pool = settle_pool(view, validator)
    window = view.get(window_key(validator))
    return {
        **show_validator(validator_key(validator), record),
        **show_pool(pool_key(validator), pool),
        "wanted_power": str(wanted.get(validator, 0)),
        "self_bond": str(value_of(pool, get_delegation(view, validator, record.owner).shares)),
        "missed_votes": 0 if window is None else window[1],
    }


def get_delegation_of(reader: Reader, validator: bytes, delegator: bytes) -> Json | None:
    """What an account has with one validator, with its rewards; None if nothing."""
    view = View(reader)
    found = view.get(address_owner_key(validator))
    if found is None or found[0] not in (view.get(delegator_key(delegator)) or ()):
        return None
    return _describe_delegation(view, found[0], delegator)


def get_delegations(reader: Reader, delegator: bytes) -> list[Json]:
    """What an account has with every validator it has to do with."""
    view = View(reader)
    return [_describe_delegation(view, validator, delegator) for validator in view.get(delegator_key(delegator)) or ()]


def _describe_delegation(view: View, validator: bytes, delegator: bytes) -> Json:
    pool = settle_pool(view, validator)
    delegation = compute_settled(pool, get_delegation(view, validator, delegator))
    record: ValidatorRecord = view.get(validator_key(validator))
    return {
        "validator": validator.hex(),
        "moniker": record.moniker,
        "delegator": format_address(delegator),
        "shares": str(delegation.shares),
        "tokens": str(value_of(pool, delegation.shares)),
        "rewards": str(delegation.owed // SCALE),
        "commission": str(pool.commission // SCALE if record.owner == delegator else 0),
        "unbonding": [_show_entry(entry) for entry in get_entries(view, unbonding_key(validator, delegator))],
    }
