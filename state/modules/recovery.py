"""Recovery of a holder who has lost his keys, or had them stolen: what he holds goes to a new account, and the old one gets its keys.

Everything that is free moves at once. What is promised (held in place), in pools, farms, stakes, escrows and claims, and what a pause, a
freeze of the holding, a missing authorisation or a credit line keeps in place, stays under the old address, where each rule goes on;
because the old account now has the keys of the new one, its holder ends each of them in his own time, and whoever had the old keys can
do nothing more. So nothing has to be refused, and nothing changes its owner. An issuer's authorisation and the holder's acceptance
of an asset go with it; a freeze of the old account stays there, and does not keep its authority from recovering it. Source: ledger
rules, section 6 (`comp.recover_holder`).
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_kyc import HOLDER_RECOVERED, HOLDING_RECOVERED
from state.marks import (
    ACCEPTED,
    ALLOW_LISTED,
    AUTHORISED,
    CLOSED,
    DELEGATING,
    GOVERNED_KEYS,
    HOLDING_FREEZE_MARKS,
    OVERDRAWN,
    SANCTIONED,
    UNFREEZABLE,
)
from state.modules.account_keys import adopt_keys
from state.modules.acts import record_act
from state.modules.fields import malformed
from state.modules.gate import (
    FLAG_REQUIRE_AUTH,
    holding_marks,
    put_holding,
    read_holding,
    require_open_to,
    require_running,
)
from state.modules.operation import Level, OpContext
from state.modules.standing import require_authority
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.primitives.limits import RECOVERY_ASSETS_MAX
from state.schema import ACCOUNT_PREFIX, ASSET_LIST_KEY, ASSET_PREFIX, HOLDING_PREFIX, asset_number_key
from state.schema_accounts import ALLOWLIST, GRANT, POLICY

RECOVER_HOLDER: Final = 171
_GOES_ALONG: Final = AUTHORISED | ACCEPTED
POLICY_LETTERS: Final = frozenset({POLICY, GRANT, ALLOWLIST})
POLICY_MARKS: Final = ALLOW_LISTED | GOVERNED_KEYS | DELEGATING  # they speak of keys that are no longer the account's


def check_recovery(args: tuple[Any, ...]) -> None:
    """Two accounts (101)."""
    if args[0] == args[1]:
        raise malformed("a holder is recovered to another account")


def new_must_sign(account: bytes, args: tuple[Any, ...]) -> tuple[tuple[bytes, Level], ...]:
    """The new account shows that it has its keys."""
    return ((args[1], Level.HIGH),)


def _require_usable(context: OpContext, address: bytes) -> Value:
    """An account's record: 506, 301, 303, 603."""
    context.require_recipient(address)
    record = context.view.get(ACCOUNT_PREFIX + address)
    if record[4] & CLOSED:
        raise OperationFailed(Code.ACCOUNT_CLOSED, "the account is closed")
    if record[4] & SANCTIONED:
        raise OperationFailed(Code.ACCOUNT_SANCTIONED, "the account is sanctioned")
    return record


def _find_codes(context: OpContext, named: tuple[str, ...]) -> tuple[str, ...]:
    """The assets to look through: 401, 508."""
    view = context.view
    for code in named:
        if view.get(ASSET_PREFIX + code.encode("ascii")) is None:
            raise OperationFailed(Code.ASSET_NOT_FOUND, f"there is no asset {code}")
    if named:
        return named
    (count,) = view.get(ASSET_LIST_KEY) or (0,)
    if count > RECOVERY_ASSETS_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"there are more than {RECOVERY_ASSETS_MAX} assets: name those of the holder")
    return tuple(view.get(asset_number_key(number))[0] for number in range(count))


def recover(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """comp.recover_holder: 204, 506, 301, 303, 603, 602 (the new one), 401, 508, 505.

    Without named assets all of them are looked through.
    """
    old, new, evidence_hash, named = args
    require_authority(context, account)
    before = _require_usable(context, old)
    _require_usable(context, new)
    require_open_to(context, new)
    if before[4] & UNFREEZABLE:
        raise OperationFailed(Code.NO_PERMISSION, "a root account is not the authority's to recover")
    for code in _find_codes(context, named):
        _move(context, old, new, code)
    adopt_keys(context, old, new)
    record_act(context, RECOVER_HOLDER, account, subject=old, evidence=evidence_hash)
    context.emit(HOLDER_RECOVERED, old, new, account, evidence_hash)


def _move(context: OpContext, old: bytes, new: bytes, code: str) -> None:
    view, raw = context.view, code.encode("ascii")
    balance, held, marks = read_holding(view.get(HOLDING_PREFIX + old + raw))
    if balance == held or _is_kept(context, old, new, raw, marks):
        return
    context.take(old, raw, balance - held)
    context.give(new, raw, balance - held)
    if marks & _GOES_ALONG:
        got, promised, own = read_holding(view.get(HOLDING_PREFIX + new + raw))
        put_holding(view, HOLDING_PREFIX + new + raw, got, promised, own | marks & _GOES_ALONG)
    context.emit(HOLDING_RECOVERED, old, new, code, balance - held)


def _is_kept(context: OpContext, old: bytes, new: bytes, code: bytes, marks: int) -> bool:
    """Whether a holding stays where it is."""
    view = context.view
    asset = view.get(ASSET_PREFIX + code)
    try:
        require_running(context, code, asset)
    except OperationFailed:
        return True
    own = read_holding(view.get(HOLDING_PREFIX + new + code))[2]
    frozen = holding_marks(context, old, code, marks) | holding_marks(context, new, code, own)
    if marks & OVERDRAWN or frozen & HOLDING_FREEZE_MARKS:
        return True
    return bool(asset[2] & FLAG_REQUIRE_AUTH) and asset[3] not in (old, new) and not marks & AUTHORISED
