"""Who may use an issuer's powers, and giving powers up: roles, flags, metadata, acceptance by holders, the end of an asset.

The issuer appoints, and does not use what he grants: none of his roles may be his own account (205), and who releases a freeze is
neither who freezes nor the compliance role. Powers are reserved when the asset is created and can only be given up; the holders'
freedoms can be taken away only while there is no holder (403). A destroyed asset's code is never used again, so nobody's allowance of
the old one is good for a new one. Source: ledger rules, sections 1.5 and 6. Acts upon holders are in `asset_force` and `compliance`.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_assets import ASSET_ACCEPTED, ASSET_DESTROYED, FLAG_RENOUNCED, METADATA_SET, ROLE_SET
from state.marks import ACCEPTED, DESTROYED, PAUSED
from state.modules.assets import FLAGS, count_marked, get_asset
from state.modules.fields import AMOUNT, CODE, OPTIONAL_ADDRESS, OPTIONAL_HASH, SMALL, malformed
from state.modules.gate import (
    FLAG_CLAWBACK,
    FLAG_FREEZABLE,
    FLAG_PAUSABLE,
    FLAG_REQUIRE_ACCEPT,
    FLAG_REQUIRE_AUTH,
    FLAGS_OPEN,
    put_holding,
    read_holding,
)
from state.modules.operation import Level, OpContext, Operation
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed
from state.schema import ASSET, HOLDING, MINTER, asset_key, holding_key, minter_key, supply_key
from state.schema_freezes import FREEZES, NO_ROLES, Roles, roles_key

ROLES: Final = ("issuer", "minter", "freezer", "unfreezer", "clawback", "compliance", "metadata")
ISSUER, MINTER_ROLE, FREEZER, UNFREEZER, CLAWBACK, COMPLIANCE, METADATA = range(len(ROLES))
# which of the powers reserved at the creation a role needs, one of them
_NEEDS: Final = {
    FREEZER: FLAG_FREEZABLE | FLAG_PAUSABLE,
    UNFREEZER: FLAG_FREEZABLE | FLAG_PAUSABLE,
    CLAWBACK: FLAG_CLAWBACK,
}


def get_roles(context: OpContext, code: str) -> Roles:
    """The roles of an asset."""
    found: Roles = context.view.values[roles_key(code.encode("ascii"))] or NO_ROLES
    return found


def require_issuer(context: OpContext, account: bytes, code: str) -> Value:
    """The asset's record if the account is its issuer: 401, 204."""
    asset = get_asset(context, code)
    if asset[3] != account:
        raise OperationFailed(Code.NO_PERMISSION, f"the account is not the issuer of {code}")
    return asset


def _check_role(args: tuple[Any, ...]) -> None:
    _, role, account, allowance = args
    if role >= len(ROLES):
        raise malformed(f"a role is 0 to {len(ROLES) - 1}")
    if role in (ISSUER, MINTER_ROLE) and not account:
        raise malformed("an asset has an issuer, and a minter is an account")
    if role != MINTER_ROLE and allowance:
        raise malformed("only a minter has an allowance")


def _role_authorities(account: bytes, args: tuple[Any, ...]) -> tuple[tuple[bytes, Level], ...]:
    """A new issuer takes the asset over with his own signature."""
    return ((args[2], Level.HIGH),) if args[1] == ISSUER and args[2] != account else ()


def set_role(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.set_role: 401, 204, 403 (a power that was not reserved), 506, 301, 205.

    A minter's allowance counts all that he has ever minted; one below that stops him. No account: nobody has the role any more.
    """
    code, role, who, allowance = args
    asset = require_issuer(context, account, code)
    if role in _NEEDS and not asset[2] & _NEEDS[role]:
        raise OperationFailed(Code.FLAG_IMMUTABLE, f"{code} was created without that power")
    if who:
        context.require_recipient(who)
    if role == ISSUER:
        _hand_over(context, code, asset, who)
    elif role == MINTER_ROLE:
        allowance = _set_minter(context, account, code, who, allowance)
    else:
        _appoint(context, account, code, role, who)
    context.emit(ROLE_SET, code, account, ROLES[role], who, allowance)


def _hand_over(context: OpContext, code: str, asset: Value, who: bytes) -> None:
    roles = get_roles(context, code)
    minter = context.view.get(minter_key(who, code))
    if who in roles[:4] or (who != asset[3] and minter is not None and minter[1] < minter[0]):
        raise OperationFailed(Code.SAME_KEY_MAKER_CHECKER, "the new issuer has a role that an issuer grants")
    context.view.put(asset_key(code), (*asset[:3], who, *asset[4:]))


def _set_minter(context: OpContext, account: bytes, code: str, who: bytes, allowance: int) -> int:
    key = minter_key(who, code)
    _, minted = context.view.get(key) or (0, 0)
    if who == account and allowance > minted:
        raise OperationFailed(Code.SAME_KEY_MAKER_CHECKER, "who grants a role does not use it")
    allowance = max(allowance, minted)
    context.view.put(key, (allowance, minted) if allowance else None)
    return allowance


def _appoint(context: OpContext, account: bytes, code: str, role: int, who: bytes) -> None:
    if who == account and role != METADATA:
        raise OperationFailed(Code.SAME_KEY_MAKER_CHECKER, "who grants a role does not use it")
    roles = get_roles(context, code)._replace(**{ROLES[role]: who})
    if roles.unfreezer and roles.unfreezer in (roles.freezer, roles.compliance):
        raise OperationFailed(Code.SAME_KEY_MAKER_CHECKER, "who releases is not who freezes")
    context.view.put(roles_key(code.encode("ascii")), roles if any(roles) else None)


def renounce_flag(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.renounce_flag, for ever: 401, 204, 508 (not there), 403 (a freedom of holders), 604 (paused: it would stay so)."""
    code, flag = args
    asset = require_issuer(context, account, code)
    name = next(name for name, bit in FLAGS.items() if bit == flag)
    if not asset[2] & flag:
        raise OperationFailed(Code.ASSERT_FAILED, f"{code} is not {name}")
    if flag & FLAGS_OPEN and context.view.get(supply_key(code)) is not None:
        raise OperationFailed(Code.FLAG_IMMUTABLE, f"{code} has holders, to whom this was promised")
    if flag == FLAG_PAUSABLE and asset[5] & PAUSED:
        raise OperationFailed(Code.ASSET_PAUSED, f"{code} is paused; unpause it first")
    context.view.put(asset_key(code), (*asset[:2], asset[2] & ~flag, *asset[3:]))
    if flag == FLAG_REQUIRE_AUTH:
        count_marked(context.view, -1)
    context.emit(FLAG_RENOUNCED, code, account, name)


def _check_flag(args: tuple[Any, ...]) -> None:
    if args[1] not in FLAGS.values():
        raise malformed("one flag is given up at a time")


def set_metadata(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.set_metadata by the metadata role: 401, 204."""
    code, metadata_hash = args
    asset = get_asset(context, code)
    if get_roles(context, code).metadata != account:
        raise OperationFailed(Code.NO_PERMISSION, f"the account may not describe {code}")
    context.view.put(asset_key(code), (*asset[:4], metadata_hash, *asset[5:]))
    context.emit(METADATA_SET, code, account, metadata_hash)


def accept(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.accept by a holder to be, or taking it back: 401, 508 (the asset asks for none)."""
    code, is_on = args
    if not get_asset(context, code)[2] & FLAG_REQUIRE_ACCEPT:
        raise OperationFailed(Code.ASSERT_FAILED, f"{code} needs no acceptance")
    key = holding_key(account, code)
    balance, held, marks = read_holding(context.view.get(key))
    put_holding(context.view, key, balance, held, marks | ACCEPTED if is_on else marks & ~ACCEPTED)
    context.emit(ASSET_ACCEPTED, code, account, is_on)


def _check_accept(args: tuple[Any, ...]) -> None:
    if args[1] > 1:
        raise malformed("on is 1, off is 0")


def destroy(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.destroy, of which nothing is left: 401, 204, 406. Its record stays, so that the code is never used again."""
    (code,) = args
    asset = require_issuer(context, account, code)
    if context.view.get(supply_key(code)) is not None:
        raise OperationFailed(Code.SUPPLY_NOT_ZERO, f"there is still some {code}")
    context.view.put(asset_key(code), (*asset[:5], asset[5] | DESTROYED))
    if context.view.get(roles_key(code.encode("ascii"))) is not None:
        context.view.put(roles_key(code.encode("ascii")), None)
    context.emit(ASSET_DESTROYED, code, account)


OPERATIONS: Final = (
    Operation(
        code=25,
        name="asset.set_role",
        frozen_may=False,
        module="asset",
        fields=(("asset", CODE), ("role", SMALL), ("account", OPTIONAL_ADDRESS), ("allowance", AMOUNT)),
        level=Level.HIGH,
        handler=set_role,
        codes=(
            Code.ASSET_NOT_FOUND,
            Code.NO_PERMISSION,
            Code.FLAG_IMMUTABLE,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.SAME_KEY_MAKER_CHECKER,
        ),
        writes=frozenset({ASSET, MINTER, FREEZES}),
        check=_check_role,
        authorities=_role_authorities,
    ),
    Operation(
        code=26,
        name="asset.renounce_flag",
        frozen_may=False,
        module="asset",
        fields=(("asset", CODE), ("flag", SMALL)),
        level=Level.HIGH,
        handler=renounce_flag,
        codes=(
            Code.ASSET_NOT_FOUND,
            Code.NO_PERMISSION,
            Code.ASSERT_FAILED,
            Code.FLAG_IMMUTABLE,
            Code.ASSET_PAUSED,
        ),
        writes=frozenset({ASSET, FREEZES}),
        check=_check_flag,
    ),
    Operation(
        code=27,
        name="asset.accept",
        module="asset",
        fields=(("asset", CODE), ("on", SMALL)),
        level=Level.MEDIUM,
        handler=accept,
        codes=(Code.ASSET_NOT_FOUND, Code.ASSERT_FAILED),
        writes=frozenset({HOLDING}),
        check=_check_accept,
    ),
    Operation(
        code=28,
        name="asset.set_metadata",
        frozen_may=False,
        module="asset",
        fields=(("asset", CODE), ("metadata_hash", OPTIONAL_HASH)),
        level=Level.HIGH,
        handler=set_metadata,
        codes=(Code.ASSET_NOT_FOUND, Code.NO_PERMISSION),
        writes=frozenset({ASSET}),
    ),
    Operation(
        code=33,
        name="asset.destroy",
        module="asset",
        fields=(("asset", CODE),),
        level=Level.STATUTORY,
        handler=destroy,
        codes=(Code.ASSET_NOT_FOUND, Code.NO_PERMISSION, Code.SUPPLY_NOT_ZERO),
        writes=frozenset({ASSET, FREEZES}),
    ),
)
