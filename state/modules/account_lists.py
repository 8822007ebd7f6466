"""Whom an account may pay, and its end.

A list is asked by the gate (`state.modules.gate`) for every payment from one account to another, whatever the operation. An account is
closed for ever: its sequences stay, so nothing that it signed can be used again. Source: ledger rules, section 5 (accounts).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from state.codes import Code
from state.events_accounts import ACCOUNT_CLOSED, ALLOWLIST_SET
from state.marks import ALLOW_LISTED, CLOSED
from state.modules.account_grants import end_grants
from state.modules.account_policy import read_account, read_policy
from state.modules.gate import read_holding, require_payment
from state.modules.operation import Level, OpContext
from state.primitives.errors import OperationFailed
from state.primitives.limits import CLOSE_RECORDS_MAX
from state.schema import ASSET_LIST_KEY, account_key, asset_key, asset_number_key, holding_key
from state.schema_accounts import AllowList, allowlist_key
from state.schema_amm import POOL_LIST_KEY, pool_number_key, position_key
from state.schema_claims import claims_key
from state.schema_farm import FARM_LIST_KEY, campaign_key, farm_key, farm_positions_key
from state.schema_gov import OPEN_KEY, proposal_key
from state.schema_pending import list_key
from state.schema_staking import delegator_key
from state.schema_treasury import line_key

_MARKS: Final = 4


def allowlist_authorities(account: bytes, args: tuple[Any, ...]) -> tuple[tuple[bytes, Level], ...]:
    """The one who agrees to the change, if one is named."""
    approver: bytes = args[2]
    return ((approver, Level.HIGH),) if approver else ()


def set_allowlist(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.set_allowlist: whom the account may pay, and who must agree to the next change. 303, 204, 506, 301, 504.

    204: the list that is in force has a cosigner, and another, or none, is named as the one who agrees. A list of nobody without a
    cosigner takes the list away.
    """
    counterparties, cosigner, approver = args
    record = read_account(context, account)
    view = context.view
    key = allowlist_key(account)
    old: AllowList | None = view.get(key)
    if approver != (b"" if old is None else old.cosigner):
        raise OperationFailed(Code.NO_PERMISSION, "the cosigner of the list in force must agree, and nobody else")
    if cosigner:
        context.require_recipient(cosigner)
    if cosigner == account:
        raise OperationFailed(Code.SELF_TRANSFER, "the cosigner is another account")
    is_on = bool(counterparties or cosigner)
    view.put(key, AllowList(cosigner, counterparties) if is_on else None)
    marks = record[_MARKS] & ~ALLOW_LISTED | (ALLOW_LISTED if is_on else 0)
    if marks != record[_MARKS]:
        view.put(account_key(account), (*record[:_MARKS], marks))
    context.emit(ALLOWLIST_SET, account, len(counterparties), cosigner)


def close(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """account.close: plain holdings go to the beneficiary. 303, 504, 506, 301, 306, 304, then what a payment needs.

    304: something is held, staked, pooled, in a farm or claimable, the account issues an asset, it holds something and no beneficiary is
    named, or the ledger has more assets, pools and farms than are looked through.
    """
    (beneficiary,) = args
    record = read_account(context, account)
    if beneficiary == account:
        raise OperationFailed(Code.SELF_TRANSFER, "the beneficiary is another account")
    if beneficiary:
        context.require_recipient(beneficiary)
    policy = read_policy(context.view, account, record[_MARKS])
    if policy.rotation or policy.recovery:
        raise OperationFailed(Code.ROTATION_PENDING, "a change of the account's keys waits")
    for check in NOT_EMPTY:
        what = check(context, account)
        if what:
            raise OperationFailed(Code.ACCOUNT_NOT_EMPTY, what)
    moved = 0
    for code in _holdings(context, account):
        if not beneficiary:
            raise OperationFailed(Code.ACCOUNT_NOT_EMPTY, f"the account holds {code}, and nobody is named to get it")
        balance = read_holding(context.view.get(holding_key(account, code)))[0]
        require_payment(context, account, beneficiary, code, balance)
        context.debit(account, code.encode("ascii"), balance, beneficiary)
        context.credit(beneficiary, code.encode("ascii"), balance)
        moved += 1
    end_grants(context, account)
    record = context.view.get(account_key(account))
    context.view.put(account_key(account), (*record[:_MARKS], record[_MARKS] | CLOSED))
    context.emit(ACCOUNT_CLOSED, account, beneficiary, moved)


def _count(context: OpContext, key: bytes) -> int:
    record = context.view.get(key)
    return record[0] if record is not None else 0


def _holdings(context: OpContext, account: bytes) -> list[str]:
    """The assets that an account has some of, in order of their creation. 304 if some of it is held or the asset is its own."""
    found = []
    for number in range(_count(context, ASSET_LIST_KEY)):
        (code,) = context.view.get(asset_number_key(number))
        if context.view.get(asset_key(code))[3] == account:
            raise OperationFailed(Code.ACCOUNT_NOT_EMPTY, f"the account is the issuer of {code}")
        if context.view.get(line_key(account, code)) is not None:
            raise OperationFailed(Code.ACCOUNT_NOT_EMPTY, f"the account has a credit line of {code}")
        balance, held, _ = read_holding(context.view.get(holding_key(account, code)))
        if held:
            raise OperationFailed(Code.ACCOUNT_NOT_EMPTY, f"some {code} is held")
        if balance:
            found.append(code)
    return found


def _is_too_much(context: OpContext, account: bytes) -> str:
    records = sum(_count(context, key) for key in (ASSET_LIST_KEY, POOL_LIST_KEY, FARM_LIST_KEY))
    return "the ledger has too many assets, pools and farms to look through" if records > CLOSE_RECORDS_MAX else ""


def _has_stake(context: OpContext, account: bytes) -> str:
    return "the account has to do with validators" if context.view.get(delegator_key(account)) is not None else ""


def _has_claims(context: OpContext, account: bytes) -> str:
    record = context.view.get(claims_key(account))
    return "the account has claims to take" if record is not None and record[1] else ""


def _has_promises(context: OpContext, account: bytes) -> str:
    record = context.view.get(list_key(account))
    return "the account has holds, escrows, settlements or offers open" if record is not None and record[1] else ""


def _has_positions(context: OpContext, account: bytes) -> str:
    for number in range(_count(context, POOL_LIST_KEY)):
        (pool,) = context.view.get(pool_number_key(number))
        if context.view.get(position_key(account, pool)) is not None:
            return f"the account has shares of {pool}"
    return ""


def _has_farms(context: OpContext, account: bytes) -> str:
    """Positions, or farms of its own that have not paid everything out: what falls to nobody in them is its sponsor's."""
    view = context.view
    positions = view.get(farm_positions_key(account))
    if positions is not None and positions[1]:
        return "the account has positions in farms"
    for number in range(_count(context, FARM_LIST_KEY)):
        farm = view.get(farm_key(number))
        campaigns = [view.get(campaign_key(number, code)) for code in farm.rewards] if farm.sponsor == account else ()
        if any(campaign.funded != campaign.paid + campaign.refunded for campaign in campaigns):
            return f"farm {number} of the account has not paid everything out"
    return ""


# what an account may still have beside its holdings: (context, account) -> what it is, or nothing. A module that owes adds its own.
def _has_deposits(context: OpContext, account: bytes) -> str:
    for _, number in context.view.get(OPEN_KEY) or ():
        if any(owner == account for owner, _ in context.view.get(proposal_key(number)).deposits):
            return f"the account has a deposit on proposal {number}"
    return ""


NOT_EMPTY: Final[tuple[Callable[[OpContext, bytes], str], ...]] = (
    _is_too_much,
    _has_stake,
    _has_claims,
    _has_positions,
    _has_farms,
    _has_promises,
    _has_deposits,
)
