"""What governance decides beside parameters: who is admitted, which rules come when, which modules stand still.

Breakers are the exception: any two members of the emergency committee may trip one for a few days, so that nobody has to wait for a
vote; governance makes it last or ends it. Source: ledger rules, section 6; consensus rules on the set (it is never emptied).
"""

from __future__ import annotations

from bisect import insort
from typing import Any, Final

from state.breakers import GOV_MODULE, Breaker, find_breaker, replace_breaker
from state.codes import Code
from state.events_gov import ADMISSION_REMOVED, ADMITTED, BREAKER_RESET, BREAKER_SET, UPGRADE_PLANNED
from state.modules.fields import malformed
from state.modules.gov_fields import NODE
from state.modules.gov_tally import read_gov_params
from state.modules.operation import GOVERNANCE_ADDRESS, Level, OpContext, require_governance
from state.modules.power import get_wanted_powers
from state.modules.staking_pool import read_stake_params
from state.params import ConsensusParams
from state.primitives.errors import OperationFailed
from state.primitives.limits import (
    ADMITTED_NODES_MAX,
    BREAKER_S_MAX,
    HEIGHT_MAX,
    UPGRADE_NOTICE_BLOCKS_MIN,
)
from state.schema import (
    ADMIT_NODE,
    ADMIT_VALIDATOR,
    CONSENSUS_PARAMS_KEY,
    NODES_KEY,
    account_key,
    admission_key,
)
from state.schema_gov import UPGRADES_KEY, Group, group_key

TRIP_CODE: Final = 149


def admit(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.admit: 204, 508 (admitted already, or too many nodes), 301 (a validator's owner without account)."""
    kind, identity = args
    require_governance(account)
    view = context.view
    key = admission_key(ADMIT_NODE if kind == NODE else ADMIT_VALIDATOR, identity)
    if view.get(key) is not None:
        raise OperationFailed(Code.ASSERT_FAILED, "it is admitted already")
    if kind == NODE:
        nodes = list(view.get(NODES_KEY) or ())
        if len(nodes) >= ADMITTED_NODES_MAX:
            raise OperationFailed(Code.ASSERT_FAILED, f"{ADMITTED_NODES_MAX} nodes are admitted")
        insort(nodes, identity)
        view.put(NODES_KEY, tuple(nodes))
    elif view.get(account_key(identity)) is None:
        raise OperationFailed(Code.ACCOUNT_NOT_FOUND, "the owner has no account")
    view.put(key, (context.height,))
    context.emit(ADMITTED, kind, identity)


def remove(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.remove: 204, 508 (not admitted, or nobody would be left)."""
    kind, identity = args
    require_governance(account)
    view = context.view
    key = admission_key(ADMIT_NODE if kind == NODE else ADMIT_VALIDATOR, identity)
    if view.get(key) is None:
        raise OperationFailed(Code.ASSERT_FAILED, "it is not admitted")
    view.put(key, None)
    if kind == NODE:
        nodes = tuple(node for node in view.get(NODES_KEY) or () if node != identity)
        if not nodes:
            raise OperationFailed(Code.ASSERT_FAILED, "the last node stays")
        view.put(NODES_KEY, nodes)
    elif not get_wanted_powers(view, read_stake_params(view)):
        raise OperationFailed(Code.ASSERT_FAILED, "no validator would be left")
    context.emit(ADMISSION_REMOVED, kind, identity)


def plan_upgrade(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.upgrade, replaced by a later one of the same version, withdrawn with height 0: 204, 1107."""
    version, height, release, build_hash = args
    require_governance(account)
    view = context.view
    record = view.get(CONSENSUS_PARAMS_KEY)
    current = 1 if record is None else ConsensusParams.from_record(record).app_version
    plans = [plan for plan in view.get(UPGRADES_KEY) or () if plan[1] <= context.height + 1]
    due = plans[-1][0] if plans else current
    if version != max(current, due) + 1:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"the next rule set is {max(current, due) + 1}")
    if height and not context.height + UPGRADE_NOTICE_BLOCKS_MIN <= height <= HEIGHT_MAX:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"the height is at least {UPGRADE_NOTICE_BLOCKS_MIN} blocks ahead")
    if height:
        plans.append((version, height, release, build_hash))
    view.put(UPGRADES_KEY, tuple(plans) or None)
    context.emit(UPGRADE_PLANNED, version, height, release, build_hash)


def breaker_authorities(account: bytes, args: tuple[Any, ...]) -> tuple[tuple[bytes, Level], ...]:
    """The second member of the committee, when one is named."""
    second: bytes = args[-1]
    return ((second, Level.HIGH),) if second else ()


def _require_two_members(context: OpContext, account: bytes, second: bytes) -> None:
    """Fail with 204 unless both are members of the emergency committee, and two."""
    address = read_gov_params(context.view).emergency_group
    group: Group | None = context.view.get(group_key(address)) if address else None
    members = {} if group is None else dict(group.members)
    if account not in members or second not in members or account == second:
        raise OperationFailed(Code.NO_PERMISSION, "two members of the emergency committee may do this, or governance")


def _require_known(module: str, function: str) -> None:
    from state.modules.table import ROWS

    rows = [row for row in ROWS if row.module == module and function in ("", row.name)]
    if not rows or module == GOV_MODULE:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"there is no breaker for {function or module}")


def check_breaker(args: tuple[Any, ...]) -> None:
    """A module is always named (101)."""
    if not args[0]:
        raise malformed("a breaker is that of a module")


def trip(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.trip by two members of the committee until a time, or by governance as long as it likes: 204, 1107, 508, 707.

    508: it has tripped already. 707: it was tripped by the committee not long ago. Governance's replaces what is there.
    """
    module, function, until_s, second = args
    view = context.view
    is_governance = account == GOVERNANCE_ADDRESS
    if not is_governance:
        _require_two_members(context, account, second)
    _require_known(module, function)
    last_s = HEIGHT_MAX if is_governance else context.time_s + BREAKER_S_MAX
    if (until_s or not is_governance) and not context.time_s < until_s <= last_s:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"the committee stops a module for at most {BREAKER_S_MAX} s")
    known = find_breaker(view, module, function, context.time_s)
    if known is not None and not is_governance:
        if not known.until_s or context.time_s < known.until_s:
            raise OperationFailed(Code.ASSERT_FAILED, "the breaker has tripped already")
        if known.is_of_committee:
            raise OperationFailed(Code.TOO_EARLY, "the committee tripped it not long ago; governance may")
    new = Breaker(module, context.height, TRIP_CODE, function, until_s, not is_governance)
    replace_breaker(view, module, function, new)
    context.emit(BREAKER_SET, module, function, until_s, account)


def reset(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """gov.reset, of the committee's own by two members, of any by governance: 204, 508 (not tripped)."""
    module, function, second = args
    view = context.view
    is_governance = account == GOVERNANCE_ADDRESS
    if not is_governance:
        _require_two_members(context, account, second)
    known = find_breaker(view, module, function, context.time_s)
    if known is None or (known.until_s and known.until_s <= context.time_s):
        raise OperationFailed(Code.ASSERT_FAILED, "the breaker has not tripped")
    if not is_governance and not known.is_of_committee:
        raise OperationFailed(Code.NO_PERMISSION, "only governance resets what it has tripped, or an invariant has")
    # what the committee has tripped is remembered for a while, so that it cannot trip the same again at once
    rest = known._replace(until_s=context.time_s) if known.is_of_committee else None
    replace_breaker(view, module, function, rest)
    context.emit(BREAKER_RESET, module, function, account)
