"""gov.set_param: one parameter of one group, as text, by governance; in force from the next height on.

What is refused here is not only what the group's own form refuses: a proposal must never be able to stop the chain or governance, so
some ranges are narrower than a genesis document's, and groups are checked against each other. Values are canonical text: decimal
numbers, `true` and `false`, names of kinds with commas between, `operation` rows of the fee table by key `base/OPERATION`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any, Final, TypeVar

from state.codes import Code
from state.events_gov import PARAM_SET, RULES_BEGAN
from state.modules.operation import OpContext, require_governance
from state.modules.staking_pool import read_stake_params
from state.params import AccountParams, ConsensusParams, FeeParams, StakeParams, check_together
from state.params_gov import GovParams
from state.primitives.codec import Value
from state.primitives.errors import MalformedError, OperationFailed
from state.primitives.ids import parse_address
from state.primitives.keys import KeyKind
from state.primitives.limits import (
    AMOUNT_DIGITS_MAX,
    AMOUNT_MAX,
    FEE_BYTE_DIVISOR,
    FEE_SUPPLY_DIVISOR,
    GOV_SUPPLY_DIVISOR,
)
from state.schema import (
    ACCOUNT_PARAMS_KEY,
    CONSENSUS_PARAMS_KEY,
    FEE_PARAMS_KEY,
    GOV_PARAMS_KEY,
    STAKE_PARAMS_KEY,
    asset_key,
    supply_key,
)
from state.schema_gov import STAGED_KEY, UPGRADES_KEY, group_key
from state.view import View

Group = ConsensusParams | FeeParams | AccountParams | StakeParams | GovParams
G = TypeVar("G")

GROUPS: Final[dict[str, tuple[bytes, Any]]] = {
    "consensus": (CONSENSUS_PARAMS_KEY, ConsensusParams),
    "fees": (FEE_PARAMS_KEY, FeeParams),
    "accounts": (ACCOUNT_PARAMS_KEY, AccountParams),
    "stake": (STAKE_PARAMS_KEY, StakeParams),
    "gov": (GOV_PARAMS_KEY, GovParams),
}
# of these no proposal can change: what is bonded in, and the rule set, which `gov.upgrade` sets
FIXED: Final = frozenset({("stake", "asset"), ("consensus", "app_version")})

# (group, name) -> narrower range than genesis has: a lower one could leave no room for a transaction, or no time for a round
NARROW: Final[dict[tuple[str, str], tuple[int, int]]] = {
    ("consensus", "block_bytes_max"): (512 * 1024, AMOUNT_MAX),  # header, commits and one transaction of the largest size
    ("consensus", "timeout_propose_ms"): (100, 60_000),
    ("consensus", "timeout_prevote_ms"): (50, 60_000),
    ("consensus", "timeout_precommit_ms"): (0, 60_000),
    ("consensus", "timeout_delta_ms"): (50, 60_000),  # rounds must grow until everybody's messages arrive
    ("consensus", "timeout_max_ms"): (10_000, 600_000),
    ("consensus", "precision_ms"): (100, 60_000),
    ("consensus", "message_delay_ms"): (500, 600_000),
    ("consensus", "message_delay_max_ms"): (60_000, AMOUNT_MAX),
    ("consensus", "heartbeat_interval_ms"): (0, 3_600_000),  # the light client's and the pruner's idea of a living chain
}


def set_param(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.set_param: 204, 1107."""
    group, key, value = args
    require_governance(account)
    view = context.view
    if group not in GROUPS:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"a group is one of {', '.join(GROUPS)}")
    try:
        new = change(get_group(view, group), group, key, value)
        _check_range(view, group, key, new)
        staged = dict(view.get(STAGED_KEY) or ())
        staged[group] = new.to_record()
        _check_all(view, staged)
    except MalformedError as error:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, error.message) from error
    view.put(STAGED_KEY, tuple(sorted(staged.items())))
    context.emit(PARAM_SET, group, key, value)


def get_group(view: View, group: str) -> Group:
    """A group as it will be at the next height."""
    key, form = GROUPS[group]
    record = dict(view.get(STAGED_KEY) or ()).get(group) or view.get(key)
    found: Group = form() if record is None else form.from_record(record)
    return found


def change(params: Group, group: str, key: str, value: str) -> Group:
    """The group with one value replaced. Raises `MalformedError` for an unknown name or a value that is not one."""
    if (group, key) in FIXED:
        raise MalformedError(f"{group}.{key} cannot be changed by a proposal")
    changed: Group
    if isinstance(params, FeeParams) and key.startswith("base/"):
        changed = replace(params, base=_change_table(params.base, key.removeprefix("base/"), value))
    elif key in {f.name for f in fields(params)} and key != "base":
        new: dict[str, Any] = {key: _read_value(key, getattr(params, key), value)}
        changed = replace(params, **new)
    else:
        raise MalformedError(f"there is no parameter {key} in {group}")
    form = GROUPS[group][1]
    checked: Group = form.from_record(changed.to_record())
    return checked


def _read_value(key: str, old: object, text: str) -> object:
    if key == "key_kinds":
        return tuple(sorted({int(_read_kind(name)) for name in text.split(",")}))
    if key == "vote_key_kind":
        return int(_read_kind(text))
    if key == "emergency_group":
        return parse_address(text) if text else b""
    if type(old) is bool:
        return read_bool(text)
    return text if type(old) is str else read_number(text)


def read_bool(text: str) -> bool:
    """`true` or `false`. Raises `MalformedError`."""
    if text not in ("true", "false"):
        raise MalformedError("the value is true or false")
    return text == "true"


def read_number(text: str) -> int:
    """A canonical decimal number below 2^640. Raises `MalformedError`."""
    if not (text.isascii() and text.isdecimal()) or len(text) > AMOUNT_DIGITS_MAX or (text[0] == "0" and text != "0"):
        raise MalformedError("the value is a decimal number")
    number = int(text)
    if number > AMOUNT_MAX:
        raise MalformedError("a number is below 2^640")
    return number


def _read_kind(name: str) -> KeyKind:
    kinds: dict[str, KeyKind] = {kind.name.lower(): kind for kind in KeyKind}
    if name not in kinds:
        raise MalformedError(f"a kind of key is one of {', '.join(kinds)}")
    return kinds[name]


def _change_table(base: tuple[tuple[str, int], ...], operation: str, value: str) -> tuple[tuple[str, int], ...]:
    from state.modules.table import BY_NAME

    if operation not in BY_NAME:
        raise MalformedError(f"there is no operation {operation}")
    table = dict(base)
    if value:
        table[operation] = read_number(value)
    elif table.pop(operation, None) is None:
        raise MalformedError(f"the fee table has no row {operation}")
    return tuple(sorted(table.items()))


def _check_range(view: View, group: str, key: str, params: Group) -> None:
    low, high = NARROW.get((group, key), (0, AMOUNT_MAX))
    if (group, key) in NARROW and not low <= getattr(params, key) <= high:
        raise MalformedError(f"a proposal can set {group}.{key} to at least {low} and at most {high}")
    if isinstance(params, FeeParams):
        _check_fees(view, params)
    if isinstance(params, GovParams):
        if params.deposit_min * GOV_SUPPLY_DIVISOR > _supply(view, read_stake_params(view).asset):
            raise MalformedError(f"a deposit is at most a {GOV_SUPPLY_DIVISOR}th of the supply")
        if params.emergency_group and view.get(group_key(params.emergency_group)) is None:
            raise MalformedError("the emergency committee is a group")


def _check_fees(view: View, params: FeeParams) -> None:
    if params.asset and view.get(asset_key(params.asset)) is None:
        raise MalformedError(f"there is no asset {params.asset}")
    highest = (_supply(view, params.asset) if params.asset else 0) // FEE_SUPPLY_DIVISOR
    amounts = (params.base_default, params.per_signature, *(amount for _, amount in params.base))
    if max(amounts) > highest or params.per_byte > highest // FEE_BYTE_DIVISOR:
        raise MalformedError(f"a proposal can set fees to at most {highest}, and {highest // FEE_BYTE_DIVISOR} for a byte")


def _supply(view: View, code: str) -> int:
    record = view.get(supply_key(code))
    return 0 if record is None else int(record[0])


def _check_all(view: View, staged: dict[str, Value]) -> None:
    def read(group: str, form: Callable[[Value], G], default: G) -> G:
        record = staged.get(group) or view.get(GROUPS[group][0])
        return default if record is None else form(record)

    check_together(
        read("consensus", ConsensusParams.from_record, ConsensusParams()),
        read("stake", StakeParams.from_record, StakeParams()),
        read("gov", GovParams.from_record, GovParams()),
    )


def apply_staged(context: OpContext) -> None:
    """At the end of a block: what was set in it is in force in the next; a rule set that begins there, too."""
    view = context.view
    staged = dict(view.get(STAGED_KEY) or ())
    if staged:
        view.put(STAGED_KEY, None)
        for group in sorted(staged):
            view.put(GROUPS[group][0], staged[group])
    for version, height, _, _ in view.get(UPGRADES_KEY) or ():
        if height == context.height + 1:
            record = view.get(CONSENSUS_PARAMS_KEY)
            params = ConsensusParams() if record is None else ConsensusParams.from_record(record)
            view.put(CONSENSUS_PARAMS_KEY, replace(params, app_version=version).to_record())
            context.emit(RULES_BEGAN, version, height)


