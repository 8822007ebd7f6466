"""Operations on validators themselves: register, edit, replace the consensus keys, leave jail.

A validator is registered by an account that governance has admitted, once; the bond it brings is a delegation to itself. Every key
that a validator has ever had stays its own for ever, so evidence against an old key finds it and a tombstoned key never returns.
Source: ledger rules, 1.3 and section 6. What happens to stake is in `staking` and `slashing`.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.modules.fields import AMOUNT, DETAILS, HASH_20, KEY_BYTES, MONIKER, PPM_NUMBER, SMALL, malformed
from state.modules.operation import BONDED, BONDED_ADDRESS, Level, OpContext, Operation
from state.modules.slashing import clear_window
from state.modules.staking_pool import (
    add_stake,
    get_delegation,
    get_totals,
    read_stake_params,
    require_validator,
    settle_pool,
    value_of,
)
from state.params import ConsensusParams
from state.primitives.errors import OperationFailed
from state.primitives.hashing import sha256, validator_address
from state.primitives.keys import ED25519_KEY_BYTES, MLDSA_KEY_BYTES, KeyKind
from state.primitives.limits import COMMISSION_CHANGE_S_MIN, VALIDATOR_RECORDS_MAX
from state.receipts import (
    VALIDATOR_EDITED,
    VALIDATOR_REGISTERED,
    VALIDATOR_ROTATED,
    VALIDATOR_UNJAILED,
)
from state.schema import ADMIT_VALIDATOR, CONSENSUS_PARAMS_KEY, HOLDING, admission_key
from state.schema_staking import (
    CONSENSUS_KEY,
    DELEGATION,
    DELEGATOR,
    POOL,
    VALIDATOR,
    VALIDATORS,
    VALIDATORS_KEY,
    WINDOW,
    Pool,
    ValidatorRecord,
    address_owner_key,
    operator_key,
    pool_key,
    pq_owner_key,
    validator_key,
)
from state.view import View

_VOTE_KINDS: Final = {int(kind): size for kind, size in MLDSA_KEY_BYTES.items()}


def put_validator(view: View, record: ValidatorRecord) -> bytes:
    """Write a new validator with an empty pool, its keys and its place in the list; its id."""
    validator = validator_address(record.ed25519_key)
    acc = get_totals(view).acc
    view.put(validator_key(validator), record)
    view.put(pool_key(validator), Pool(0, 0, False, 0, False, 0, 0, 0, acc, 0, 0, 0))
    view.put(operator_key(record.owner), (validator,))
    claim_keys(view, validator, record.ed25519_key, record.pq_key)
    view.put(VALIDATORS_KEY, tuple(sorted((*(view.get(VALIDATORS_KEY) or ()), validator))))
    return validator


def claim_keys(view: View, validator: bytes, ed25519_key: bytes, pq_key: bytes) -> None:
    """Note for ever whose these keys are."""
    view.put(address_owner_key(validator_address(ed25519_key)), (validator,))
    view.put(pq_owner_key(sha256(pq_key)), (validator,))


def _check_keys(ed25519_key: bytes, kind: int, pq_key: bytes) -> None:
    if len(ed25519_key) != ED25519_KEY_BYTES:
        raise malformed(f"an Ed25519 key has {ED25519_KEY_BYTES} bytes")
    if kind not in _VOTE_KINDS or len(pq_key) != _VOTE_KINDS[kind]:
        raise malformed("the second key is an ML-DSA key with the length of its kind")


def _require_fresh_keys(context: OpContext, ed25519_key: bytes, kind: int, pq_key: bytes) -> None:
    """Fail with 204 for a kind that validators do not vote with, 1006 for a tombstoned validator's key, 508 for a used one."""
    view = context.view
    params = view.get(CONSENSUS_PARAMS_KEY)
    wanted = ConsensusParams() if params is None else ConsensusParams.from_record(params)
    if kind != wanted.vote_key_kind:
        raise OperationFailed(Code.NO_PERMISSION, f"validators vote with {KeyKind(wanted.vote_key_kind).name}")
    for key in (address_owner_key(validator_address(ed25519_key)), pq_owner_key(sha256(pq_key))):
        found = view.get(key)
        if found is not None:
            if view.get(pool_key(found[0])).is_tombstoned:
                raise OperationFailed(Code.TOMBSTONED, "the key is that of a tombstoned validator")
            raise OperationFailed(Code.ASSERT_FAILED, "the key is or was a validator's")


def _require_owner(record: ValidatorRecord, account: bytes) -> None:
    if record.owner != account:
        raise OperationFailed(Code.NO_PERMISSION, "only the validator's owner may do that")


def self_bond(view: View, validator: bytes) -> int:
    """What the owner has delegated to his own validator."""
    record, pool = view.get(validator_key(validator)), view.get(pool_key(validator))
    return value_of(pool, get_delegation(view, validator, record.owner).shares)


def register(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """stake.register by an admitted owner, who brings the first bond: 204, 1006, 508, 1107, 1002, 501, 505."""
    ed25519_key, kind, pq_key, commission_ppm, min_self_bond, amount, moniker, details = args
    view = context.view
    params = read_stake_params(view)
    if view.get(admission_key(ADMIT_VALIDATOR, account)) is None:
        raise OperationFailed(Code.NO_PERMISSION, "the account is not admitted as a validator's owner")
    known = view.get(operator_key(account))
    if known is not None:
        if view.get(pool_key(known[0])).is_tombstoned:
            raise OperationFailed(Code.TOMBSTONED, "the account's validator is tombstoned")
        raise OperationFailed(Code.ASSERT_FAILED, "the account has a validator")
    _require_fresh_keys(context, ed25519_key, kind, pq_key)
    if len(view.get(VALIDATORS_KEY) or ()) >= VALIDATOR_RECORDS_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"there are {VALIDATOR_RECORDS_MAX} validators")
    if commission_ppm > params.commission_max_ppm:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"a commission is at most {params.commission_max_ppm} ppm")
    if amount < max(params.bond_min, min_self_bond):
        raise OperationFailed(Code.BOND_TOO_SMALL, f"the bond is at least {max(params.bond_min, min_self_bond)}")
    record = ValidatorRecord(
        ed25519_key, kind, pq_key, account, commission_ppm, min_self_bond, moniker, details, context.height, context.time_s, 0, ()
    )
    code = params.asset.encode("ascii")
    context.debit(account, code, amount)
    context.credit(BONDED_ADDRESS, code, amount)
    validator = put_validator(view, record)
    add_stake(context, params, validator, account, amount)
    context.emit(VALIDATOR_REGISTERED, validator, account, amount, moniker)


def edit(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """stake.edit: 1001, 204, 1107 (commission), 707 (changed within a day), 508 (lower minimum), 1002 (minimum above the bond)."""
    validator, commission_ppm, min_self_bond, moniker, details = args
    view = context.view
    record, _ = require_validator(context, validator)
    _require_owner(record, account)
    params = read_stake_params(view)
    changed_s = record.commission_s
    if commission_ppm != record.commission_ppm:
        highest = min(params.commission_max_ppm, record.commission_ppm + params.commission_step_ppm)
        if commission_ppm > highest:
            raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"the commission may now be at most {highest} ppm")
        if context.time_s < changed_s + COMMISSION_CHANGE_S_MIN:
            raise OperationFailed(Code.TOO_EARLY, "a commission changes at most once a day")
        settle_pool(view, validator)
        changed_s = context.time_s
    if min_self_bond < record.min_self_bond:
        raise OperationFailed(Code.ASSERT_FAILED, "the minimum self bond never falls")
    if min_self_bond > record.min_self_bond and min_self_bond > self_bond(view, validator):
        raise OperationFailed(Code.BOND_TOO_SMALL, "the minimum exceeds the owner's own bond")
    view.put(
        validator_key(validator),
        record._replace(
            commission_ppm=commission_ppm,
            min_self_bond=min_self_bond,
            moniker=moniker,
            details=details,
            commission_s=changed_s,
        ),
    )
    context.emit(VALIDATOR_EDITED, validator, commission_ppm, min_self_bond, moniker)


def rotate(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """stake.rotate_consensus_key: 1001, 204, 1006, 306 (replaced within the unbonding time), 508."""
    validator, ed25519_key, kind, pq_key = args
    view = context.view
    record, pool = require_validator(context, validator)
    _require_owner(record, account)
    if pool.is_tombstoned:
        raise OperationFailed(Code.TOMBSTONED, "the validator is tombstoned")
    if record.told_keys or (record.rotated_s and context.time_s < record.rotated_s + read_stake_params(view).unbonding_s):
        raise OperationFailed(Code.ROTATION_PENDING, "keys are replaced at most once per unbonding time")
    _require_fresh_keys(context, ed25519_key, kind, pq_key)
    claim_keys(view, validator, ed25519_key, pq_key)
    told = (record.ed25519_key, record.pq_kind, record.pq_key) if pool.power else ()
    view.put(
        validator_key(validator),
        record._replace(
            ed25519_key=ed25519_key, pq_kind=kind, pq_key=pq_key, rotated_s=context.time_s, told_keys=told
        ),
    )
    context.emit(VALIDATOR_ROTATED, validator, validator_address(record.ed25519_key), validator_address(ed25519_key))


def unjail(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """stake.unjail: 1001, 204, 1006, 508 (not jailed), 1005 (too early), 1002."""
    validator = args[0]
    view = context.view
    record, pool = require_validator(context, validator)
    _require_owner(record, account)
    if pool.is_tombstoned:
        raise OperationFailed(Code.TOMBSTONED, "the validator is tombstoned and never returns")
    if not pool.is_jailed:
        raise OperationFailed(Code.ASSERT_FAILED, "the validator is not jailed")
    if context.time_s < pool.jailed_until_s:
        raise OperationFailed(Code.JAILED, f"jailed for {pool.jailed_until_s - context.time_s} more seconds")
    if self_bond(view, validator) < record.min_self_bond:
        raise OperationFailed(Code.BOND_TOO_SMALL, f"the owner's own bond is below {record.min_self_bond}")
    clear_window(view, validator)
    view.put(pool_key(validator), pool._replace(is_jailed=False, jailed_until_s=0))
    context.emit(VALIDATOR_UNJAILED, validator)


def _check_register(args: tuple[Any, ...]) -> None:
    _check_keys(*args[:3])


def _check_rotate(args: tuple[Any, ...]) -> None:
    _check_keys(*args[1:4])


_KEY_FIELDS: Final = (("ed25519_key", KEY_BYTES), ("pq_kind", SMALL), ("pq_key", KEY_BYTES))
_TERMS: Final = (("commission_ppm", PPM_NUMBER), ("min_self_bond", AMOUNT))
_WORDS: Final = (("moniker", MONIKER), ("details", DETAILS))

VALIDATOR_OPERATIONS: Final = (
    Operation(
        code=40,
        name="stake.register",
        module="stake",
        fields=(*_KEY_FIELDS, *_TERMS, ("amount", AMOUNT), *_WORDS),
        level=Level.HIGH,
        handler=register,
        codes=(
            Code.NO_PERMISSION,
            Code.TOMBSTONED,
            Code.ASSERT_FAILED,
            Code.PARAM_OUT_OF_RANGE,
            Code.BOND_TOO_SMALL,
            Code.INSUFFICIENT_FUNDS,
            Code.OVERFLOW_MAX,
        ),
        writes=frozenset({HOLDING, VALIDATOR, VALIDATORS, POOL, CONSENSUS_KEY, DELEGATION, DELEGATOR}),
        work=4,
        moves_value=True,
        check=_check_register,
        touches=frozenset({BONDED}),
    ),
    Operation(
        code=41,
        name="stake.edit",
        module="stake",
        fields=(("validator", HASH_20), *_TERMS, *_WORDS),
        level=Level.HIGH,
        handler=edit,
        codes=(
            Code.VALIDATOR_NOT_FOUND,
            Code.NO_PERMISSION,
            Code.PARAM_OUT_OF_RANGE,
            Code.TOO_EARLY,
            Code.ASSERT_FAILED,
            Code.BOND_TOO_SMALL,
        ),
        writes=frozenset({VALIDATOR, POOL}),
    ),
    Operation(
        code=42,
        name="stake.rotate_consensus_key",
        module="stake",
        fields=(("validator", HASH_20), *_KEY_FIELDS),
        level=Level.HIGH,
        handler=rotate,
        codes=(
            Code.VALIDATOR_NOT_FOUND,
            Code.NO_PERMISSION,
            Code.TOMBSTONED,
            Code.ROTATION_PENDING,
            Code.ASSERT_FAILED,
        ),
        writes=frozenset({VALIDATOR, CONSENSUS_KEY}),
        check=_check_rotate,
    ),
    Operation(
        code=43,
        name="stake.unjail",
        module="stake",
        fields=(("validator", HASH_20),),
        level=Level.MEDIUM,
        handler=unjail,
        codes=(
            Code.VALIDATOR_NOT_FOUND,
            Code.NO_PERMISSION,
            Code.TOMBSTONED,
            Code.ASSERT_FAILED,
            Code.JAILED,
            Code.BOND_TOO_SMALL,
        ),
        writes=frozenset({POOL, WINDOW}),
    ),
)
