"""Rules for assets: limits, jurisdictions, thresholds of the travel rule, and who may attest. How they work is not decided here.

An asset's issuer makes them for its asset, the network's compliance authority for every asset; what the authority has set, only the
authority changes. Each act is in the list of `state.modules.acts`. A rule marks what it concerns, so that nothing else pays for
it; the last one gone takes the mark with it. Source: ledger rules, section 1.5.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

from state.codes import Code
from state.events_kyc import (
    JURISDICTIONS_SET,
    LIMITS_CLEARED,
    LIMITS_SET,
    TRAVEL_THRESHOLD_CLEARED,
    TRAVEL_THRESHOLD_SET,
    VASP_REGISTERED,
)
from state.marks import GUARDED, HOLDING_LIMITED, TRAVEL_RULE
from state.modules.acts import record_act
from state.modules.fields import malformed
from state.modules.gate import FLAGS_GUARDED, put_holding, read_holding
from state.modules.operation import OpContext
from state.modules.standing import is_authority, require_asset_role
from state.primitives.errors import OperationFailed
from state.primitives.limits import LIMIT_WINDOW_S_MAX
from state.schema import ACCOUNT_PREFIX, ASSET_PREFIX, HOLDING_PREFIX
from state.schema_kyc import (
    NO_RULES,
    AssetRules,
    Limits,
    Threshold,
    Vasp,
    account_limits_key,
    asset_limits_key,
    asset_rules_key,
    holding_limits_key,
    holding_window_key,
    lei_key,
    threshold_key,
    tier_limits_key,
    vasp_key,
)
from state.view import View

SET_LIMITS: Final = 165
CLEAR_LIMITS: Final = 166
SET_JURISDICTIONS: Final = 167
SET_TRAVEL_THRESHOLD: Final = 168
CLEAR_TRAVEL_THRESHOLD: Final = 169
REGISTER_VASP: Final = 170


class Scope(IntEnum):
    """Whose limits; stable numbers."""

    ACCOUNT = 1  # an account and its sub-accounts together
    HOLDING = 2  # one account alone
    ASSET = 3  # everybody without limits of his own
    TIER = 4  # those of a tier, before the asset's


def check_scope(args: tuple[Any, ...]) -> None:
    """Each scope has its fields, and no other (101)."""
    scope, account, _, tier = args[:4]
    if scope not in tuple(Scope):
        raise malformed("a scope is 1 (account), 2 (holding), 3 (asset) or 4 (tier)")
    if bool(account) != (scope in (Scope.ACCOUNT, Scope.HOLDING)):
        raise malformed("an account is named for the scopes account and holding, and for no other")
    if tier and scope != Scope.TIER:
        raise malformed("a tier is named for the scope tier, and for no other")


def check_limits(args: tuple[Any, ...]) -> None:
    """Scope and fields agree; a window has limits and the other way round; some limit is there (101)."""
    check_scope(args)
    per_tx, window_s, in_max, out_max, max_balance = args[4:]
    if bool(window_s) != bool(in_max or out_max):
        raise malformed("a window has a limit of what comes in or goes out, and only with a window is there one")
    if not (per_tx or in_max or out_max or max_balance):
        raise malformed("limits limit something; comp.clear_limits takes them away")


def _limits_key(scope: int, account: bytes, code: bytes, tier: int) -> bytes:
    if scope == Scope.ACCOUNT:
        return account_limits_key(account, code)
    if scope == Scope.HOLDING:
        return holding_limits_key(account, code)
    return tier_limits_key(tier, code) if scope == Scope.TIER else asset_limits_key(code)


def _read_rules(view: View, code: bytes) -> AssetRules:
    found: AssetRules = view.get(asset_rules_key(code)) or NO_RULES
    return found


def _put_rules(view: View, code: bytes, rules: AssetRules) -> None:
    """Write which rules an asset has, and mark it accordingly."""
    view.put(asset_rules_key(code), rules if rules != NO_RULES else None)
    asset = view.get(ASSET_PREFIX + code)
    marks: int = asset[5] & ~(GUARDED | TRAVEL_RULE)
    if rules.limits or rules.jurisdictions or asset[2] & FLAGS_GUARDED:
        marks |= GUARDED
    if rules.thresholds:
        marks |= TRAVEL_RULE
    if marks != asset[5]:
        view.put(ASSET_PREFIX + code, (*asset[:5], marks, *asset[6:]))


def _count_limits(view: View, scope: int, code: bytes, tier: int, change: int) -> None:
    """The asset's rules with one limit more or less."""
    rules = _read_rules(view, code)
    tiers = set(rules.tiers)
    if scope == Scope.TIER:
        tiers = tiers | {tier} if change > 0 else tiers - {tier}
    _put_rules(view, code, rules._replace(limits=rules.limits + change, tiers=tuple(sorted(tiers))))


def _mark_holding(view: View, account: bytes, code: bytes, is_limited: bool) -> None:
    key = HOLDING_PREFIX + account + code
    balance, held, marks = read_holding(view.get(key))
    wanted = marks | HOLDING_LIMITED if is_limited else marks & ~HOLDING_LIMITED
    if wanted != marks:
        put_holding(view, key, balance, held, wanted)


def _require_account(context: OpContext, scope: int, account: bytes) -> None:
    """Fail unless limits can be set of an account: 506, 301, 508 (a sub-account: its group is limited at its head)."""
    if scope not in (Scope.ACCOUNT, Scope.HOLDING):
        return
    context.require_recipient(account)
    if scope == Scope.ACCOUNT and context.view.get(ACCOUNT_PREFIX + account)[1]:
        raise OperationFailed(Code.ASSERT_FAILED, "a sub-account is counted with the head of its group; limit its holding")


def set_limits(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.set_limits, new or instead of the old ones: 401, 204, 1107, 506, 301, 508. What was counted keeps counting."""
    scope, subject, asset, tier, per_tx, window_s, in_max, out_max, max_balance = args
    view, code = context.view, asset.encode("ascii")
    key = _limits_key(scope, subject, code, tier)
    old: Limits | None = view.get(key)
    require_asset_role(context, account, asset, b"" if old is None else old.set_by)
    if window_s > LIMIT_WINDOW_S_MAX:
        raise OperationFailed(Code.PARAM_OUT_OF_RANGE, f"a window has at most {LIMIT_WINDOW_S_MAX} seconds")
    _require_account(context, scope, subject)
    view.put(key, Limits(per_tx, in_max, out_max, max_balance, window_s, account))
    if old is None:
        if scope == Scope.HOLDING:
            _mark_holding(view, subject, code, True)
        else:
            _count_limits(view, scope, code, tier, 1)
    record_act(context, SET_LIMITS, account, subject=subject, asset=asset)
    numbers = (per_tx, window_s, in_max, out_max, max_balance)
    context.emit(LIMITS_SET, asset, Scope(scope).name.lower(), subject, tier, *numbers, account)


def clear_limits(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.clear_limits: 401, 204, 701 (there are none)."""
    scope, subject, asset, tier = args
    view, code = context.view, asset.encode("ascii")
    key = _limits_key(scope, subject, code, tier)
    old: Limits | None = view.get(key)
    require_asset_role(context, account, asset, b"" if old is None else old.set_by)
    if old is None:
        raise OperationFailed(Code.PENDING_NOT_FOUND, "there are no such limits")
    view.put(key, None)
    if scope == Scope.HOLDING:
        _mark_holding(view, subject, code, False)
        if view.get(holding_window_key(subject, code)) is not None:
            view.put(holding_window_key(subject, code), None)
    else:
        _count_limits(view, scope, code, tier, -1)
    record_act(context, CLEAR_LIMITS, account, subject=subject, asset=asset)
    context.emit(LIMITS_CLEARED, asset, Scope(scope).name.lower(), subject, tier, account)


def check_jurisdictions(args: tuple[Any, ...]) -> None:
    """Only is 1 with somebody to let in, else 0 (101)."""
    _, is_only, jurisdictions = args
    if is_only > 1 or (is_only and not jurisdictions):
        raise malformed("only is 1, with at least one jurisdiction, or 0")


def set_jurisdictions(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.set_jurisdictions of an asset, those that may not hold it or the only ones that may; none: all may. 401, 204."""
    asset, is_only, jurisdictions = args
    code = asset.encode("ascii")
    rules = _read_rules(context.view, code)
    require_asset_role(context, account, asset, rules.set_by)
    set_by = account if jurisdictions else b""
    _put_rules(context.view, code, rules._replace(is_only=bool(is_only), jurisdictions=jurisdictions, set_by=set_by))
    record_act(context, SET_JURISDICTIONS, account, asset=asset)
    context.emit(JURISDICTIONS_SET, asset, is_only, " ".join(jurisdictions), account)


def set_travel_threshold(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.set_travel_threshold; zero: every payment. The empty jurisdiction stands for all without one of their own. 401, 204."""
    jurisdiction, asset, amount = args
    view, code = context.view, asset.encode("ascii")
    key = threshold_key(jurisdiction, code)
    old: Threshold | None = view.get(key)
    require_asset_role(context, account, asset, b"" if old is None else old.set_by)
    view.put(key, Threshold(amount, account))
    if old is None:
        rules = _read_rules(view, code)
        _put_rules(view, code, rules._replace(thresholds=rules.thresholds + 1))
    record_act(context, SET_TRAVEL_THRESHOLD, account, asset=asset)
    context.emit(TRAVEL_THRESHOLD_SET, asset, jurisdiction, amount, account)


def clear_travel_threshold(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.clear_travel_threshold: 401, 204, 701 (there is none)."""
    jurisdiction, asset = args
    view, code = context.view, asset.encode("ascii")
    key = threshold_key(jurisdiction, code)
    old: Threshold | None = view.get(key)
    require_asset_role(context, account, asset, b"" if old is None else old.set_by)
    if old is None:
        raise OperationFailed(Code.PENDING_NOT_FOUND, "there is no such threshold")
    view.put(key, None)
    rules = _read_rules(view, code)
    _put_rules(view, code, rules._replace(thresholds=rules.thresholds - 1))
    record_act(context, CLEAR_TRAVEL_THRESHOLD, account, asset=asset)
    context.emit(TRAVEL_THRESHOLD_CLEARED, asset, jurisdiction, account)


def check_vasp(args: tuple[Any, ...]) -> None:
    """An institution attests with at least one key (101)."""
    if not args[2]:
        raise malformed("an institution attests with at least one key")


def register_vasp(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.register_vasp by the authority, which has seen who bears the identifier; the institution itself may then change its keys.

    204, 506, 301, 508 (a sub-account), 302 (the identifier is another institution's).
    """
    institution, lei, keys = args
    view = context.view
    old: Vasp | None = view.get(vasp_key(institution))
    if not is_authority(view, account) and (account != institution or old is None or old.lei != lei):
        raise OperationFailed(Code.NO_PERMISSION, "the compliance authority registers an institution; then that may change its keys")
    context.require_recipient(institution)
    if view.get(ACCOUNT_PREFIX + institution)[1]:
        raise OperationFailed(Code.ASSERT_FAILED, "a sub-account attests by the head of its group")
    bearer = view.get(lei_key(lei))
    if bearer is not None and bearer[0] != institution:
        raise OperationFailed(Code.ACCOUNT_EXISTS, "the legal entity identifier is another institution's")
    if old is not None and old.lei != lei:
        view.put(lei_key(old.lei), None)
    view.put(lei_key(lei), (institution,))
    view.put(vasp_key(institution), Vasp(lei, keys))
    record_act(context, REGISTER_VASP, account, subject=institution)
    context.emit(VASP_REGISTERED, institution, lei, len(keys), account)
