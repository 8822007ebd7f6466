"""Assets: create, mint, burn, transfer, transfer between many.

Only mint and burn change a supply. A minter mints within an allowance that is granted once and never refilled by burning.
An asset that is not transferable moves only to or from its issuer. Source: ledger rules, sections 1.4 and 6. Only operations on
plain holdings go in here; holds, pools and farms have files of their own.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.marks import DESTROYED, GUARDED
from state.modules.fields import (
    ADDRESS,
    AMOUNT,
    CODE,
    CREDIT,
    DEBIT,
    LEGS,
    MINTERS,
    OPTIONAL_HASH,
    SCALE,
    SMALL,
    TAG,
    malformed,
)
from state.modules.gate import (
    FLAG_CLAWBACK,
    FLAG_ESCROWABLE,
    FLAG_FREEZABLE,
    FLAG_LOCKABLE,
    FLAG_PAUSABLE,
    FLAG_REMUNERATED,
    FLAG_REQUIRE_ACCEPT,
    FLAG_REQUIRE_AUTH,
    FLAG_STAKEABLE,
    FLAG_TRADABLE,
    FLAG_TRANSFERABLE,
    FLAGS_GUARDED,
    is_bound,
    require_counterparty,
    require_exempt,
    require_payment,
)
from state.modules.operation import Level, OpContext, Operation
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed, TransactionError
from state.primitives.limits import AMOUNT_MAX
from state.receipts import ASSET_CREATED, BURNED, LEG_MOVED, MINTED, TRANSFERRED
from state.schema import (
    ASSET,
    ASSET_LIST,
    ASSET_LIST_KEY,
    ASSET_PREFIX,
    HOLDING,
    MINTER,
    SUPPLY,
    asset_key,
    asset_number_key,
    minter_key,
    supply_key,
)
from state.schema_freezes import FREEZES, MARKED_KEY
from state.view import View

# the first five are the holders' freedoms, the others the issuer's powers
FLAGS: Final = {
    "transferable": FLAG_TRANSFERABLE,
    "tradable": FLAG_TRADABLE,
    "lockable": FLAG_LOCKABLE,
    "escrowable": FLAG_ESCROWABLE,
    "stakeable": FLAG_STAKEABLE,
    "clawback": FLAG_CLAWBACK,
    "require_auth": FLAG_REQUIRE_AUTH,
    "require_accept": FLAG_REQUIRE_ACCEPT,
    "pausable": FLAG_PAUSABLE,
    "freezable": FLAG_FREEZABLE,
    "remunerated": FLAG_REMUNERATED,
}
FLAGS_ALL: Final = sum(FLAGS.values())


def get_asset(context: OpContext, code: str) -> Value:
    """The asset's record (scale, maximum supply, flags, issuer, metadata hash, marks), or fail with 401."""
    record = context.view.values[ASSET_PREFIX + code.encode("ascii")]
    if record is None or record[5] & DESTROYED:
        raise OperationFailed(Code.ASSET_NOT_FOUND, f"there is no asset {code}")
    return record


def put_asset(view: View, code: str, record: Value) -> None:
    """Write a new asset's record, without its marks, and list its code, so that assets can be enumerated and the list be proved."""
    (number,) = view.get(ASSET_LIST_KEY) or (0,)
    view.put(asset_key(code), (*record, GUARDED if record[2] & FLAGS_GUARDED else 0))
    if record[2] & FLAG_REQUIRE_AUTH:
        count_marked(view, 1)
    view.put(asset_number_key(number), (code,))
    view.put(ASSET_LIST_KEY, (number + 1,))


def count_marked(view: View, change: int) -> None:
    """Keep the number of freezes, sanctions, pauses and assets with required authorisation: none means that nobody is restricted."""
    (count,) = view.get(MARKED_KEY) or (0,)
    view.put(MARKED_KEY, (count + change,) if count + change else None)


def _check_create(args: tuple[Any, ...]) -> None:
    flags, minters = args[3:5]
    if flags & ~FLAGS_ALL:
        raise TransactionError(Code.UNKNOWN_OP_OR_FIELD, "an unknown asset flag")
    if any(allowance == 0 for _, allowance in minters):
        raise malformed("a minter has an allowance above zero")


def create(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.create, the acting account being the issuer: 402, 301 (a minter without account)."""
    code, scale, max_supply, flags, minters, metadata_hash = args
    if context.view.get(asset_key(code)) is not None:
        raise OperationFailed(Code.ASSET_EXISTS, f"there is an asset {code}")
    for minter, allowance in minters:
        context.require_recipient(minter)
        context.view.put(minter_key(minter, code), (allowance, 0))
    put_asset(context.view, code, (scale, max_supply, flags, account, metadata_hash))
    context.emit(ASSET_CREATED, code, account, scale)


def mint(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.mint by an account with an allowance: 503, 401, 204, 405, 404, 506, 301."""
    code, to, amount, ref = args
    _require_amount(amount)
    max_supply = get_asset(context, code)[1] or AMOUNT_MAX
    allowance, minted = _require_minter(context, account, code)
    if minted + amount > allowance:
        raise OperationFailed(Code.MINT_ALLOWANCE, f"{allowance - minted} of the allowance is left")
    supply_record = context.view.get(supply_key(code))
    supply = (supply_record[0] if supply_record is not None else 0) + amount
    if supply > max_supply:
        raise OperationFailed(Code.MAX_SUPPLY, "the supply would exceed its maximum")
    context.require_recipient(to)
    context.view.put(minter_key(account, code), (allowance, minted + amount))
    context.view.put(supply_key(code), (supply,))
    context.credit(to, code.encode("ascii"), amount)
    context.emit(MINTED, code, account, to, amount, ref)


def burn_taken(context: OpContext, code: str, amount: int) -> None:
    """Lower an asset's supply by what was taken from a holder or a claim."""
    key = supply_key(code)
    supply: int = context.view.get(key)[0] - amount
    context.view.put(key, (supply,) if supply else None)


def burn(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.burn of one's own holding, by the issuer or a minter: 503, 401, 204, 501."""
    code, amount = args
    _require_amount(amount)
    if get_asset(context, code)[3] != account:
        _require_minter(context, account, code)
    context.debit(account, code.encode("ascii"), amount)
    burn_taken(context, code, amount)
    context.emit(BURNED, code, account, amount)


def transfer(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.transfer: 503, 504, 401, 615, 506, 301, 612, 613, then the payer's rules, 614 among them, 501, 505."""
    code, to, amount, tag = args
    _require_amount(amount)
    if account == to:
        raise OperationFailed(Code.SELF_TRANSFER, "sender and recipient are one account")
    require_payment(context, account, to, code, amount, True)
    code_bytes = code.encode("ascii")
    context.debit(account, code_bytes, amount, to)
    context.credit(to, code_bytes, amount)
    context.emit(TRANSFERRED, account, to, code, amount, tag)


def _check_legs(args: tuple[Any, ...]) -> None:
    sums: dict[str, int] = {}
    for _, code, direction, amount in args[0]:
        sums[code] = sums.get(code, 0) + (amount if direction == CREDIT else -amount)
    if not sums or any(sums.values()):
        raise malformed("the legs of each asset sum to zero")


def _leg_authorities(account: bytes, args: tuple[Any, ...]) -> tuple[tuple[bytes, Level], ...]:
    """Every debited account at medium."""
    return tuple((leg[0], Level.MEDIUM) for leg in args[0] if leg[2] == DEBIT)


def multi_transfer(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.multi_transfer: all debits in order, then all credits. 503, 504, then leg by leg 401, 615, 506, 301; 614, 501, 505.

    An account that may pay the issuer only may take part if all of the asset goes to the issuer.
    """
    legs = args[0]
    debited = {(leg[0], leg[1]) for leg in legs if leg[2] == DEBIT}
    for leg in legs:
        _require_amount(leg[3])
    for owner, code, direction, _ in legs:
        if direction == CREDIT and (owner, code) in debited:
            raise OperationFailed(Code.SELF_TRANSFER, "an account is debited and credited in one asset")
    for owner, code, direction, _ in legs:
        _, _, flags, issuer, *_ = get_asset(context, code)
        if not flags & FLAG_TRANSFERABLE and owner != issuer and not _only_with_issuer(legs, code, direction, issuer):
            raise OperationFailed(Code.NOT_TRANSFERABLE, f"{code} moves only to and from its issuer")
        if direction == CREDIT:
            context.require_recipient(owner)
            require_exempt(context, legs, owner, code)
    for owner, code in sorted(debited):
        for payee, other, direction, _ in legs if is_bound(context, owner) else ():
            if direction == CREDIT and other == code:
                require_counterparty(context, owner, payee)
    for owner, code, direction, amount in legs:
        if direction == DEBIT:
            issuer = get_asset(context, code)[3]
            to = issuer if _only_with_issuer(legs, code, direction, issuer) else b""
            context.debit(owner, code.encode("ascii"), amount, to)
    for owner, code, direction, amount in legs:
        if direction == CREDIT:
            context.credit(owner, code.encode("ascii"), amount)
    for owner, code, direction, amount in legs:
        context.emit(LEG_MOVED, owner, code, "credit" if direction == CREDIT else "debit", amount)


def _only_with_issuer(legs: Value, code: str, direction: int, issuer: bytes) -> bool:
    return all(leg[0] == issuer for leg in legs if leg[1] == code and leg[2] != direction)


def _require_amount(amount: int) -> None:
    if amount == 0:
        raise OperationFailed(Code.ZERO_AMOUNT, "the amount is zero")


def _require_minter(context: OpContext, account: bytes, code: str) -> tuple[int, int]:
    record: tuple[int, int] | None = context.view.get(minter_key(account, code))
    if record is None:
        raise OperationFailed(Code.NO_PERMISSION, f"the account is not a minter of {code}")
    return record


OPERATIONS: Final = (
    Operation(
        code=20,
        name="asset.create",
        module="asset",
        fields=(
            ("code", CODE),
            ("scale", SCALE),
            ("max_supply", AMOUNT),
            ("flags", SMALL),
            ("minters", MINTERS),
            ("metadata_hash", OPTIONAL_HASH),
        ),
        level=Level.HIGH,
        handler=create,
        codes=(Code.ASSET_EXISTS, Code.RECIPIENT_IS_MODULE, Code.ACCOUNT_NOT_FOUND),
        writes=frozenset({ASSET, ASSET_LIST, MINTER, FREEZES}),
        check=_check_create,
    ),
    Operation(
        code=21,
        name="asset.mint",
        module="asset",
        fields=(("asset", CODE), ("to", ADDRESS), ("amount", AMOUNT), ("ref", TAG)),
        level=Level.STATUTORY,
        handler=mint,
        codes=(
            Code.ZERO_AMOUNT,
            Code.ASSET_NOT_FOUND,
            Code.NO_PERMISSION,
            Code.MINT_ALLOWANCE,
            Code.MAX_SUPPLY,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
        ),
        writes=frozenset({HOLDING, SUPPLY, MINTER}),
        moves_value=True,
    ),
    Operation(
        code=22,
        name="asset.burn",
        module="asset",
        fields=(("asset", CODE), ("amount", AMOUNT)),
        level=Level.STATUTORY,
        handler=burn,
        codes=(Code.ZERO_AMOUNT, Code.ASSET_NOT_FOUND, Code.NO_PERMISSION, Code.INSUFFICIENT_FUNDS),
        writes=frozenset({HOLDING, SUPPLY}),
        moves_value=True,
    ),
    Operation(
        code=23,
        name="asset.transfer",
        module="asset",
        fields=(("asset", CODE), ("to", ADDRESS), ("amount", AMOUNT), ("tag", TAG)),
        level=Level.MEDIUM,
        frozen_may=True,
        handler=transfer,
        codes=(
            Code.ZERO_AMOUNT,
            Code.SELF_TRANSFER,
            Code.ASSET_NOT_FOUND,
            Code.NOT_TRANSFERABLE,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=frozenset({HOLDING}),
        moves_value=True,
    ),
    Operation(
        code=24,
        name="asset.multi_transfer",
        module="asset",
        fields=(("legs", LEGS),),
        level=Level.LOW,
        frozen_may=True,
        handler=multi_transfer,
        codes=(
            Code.ZERO_AMOUNT,
            Code.SELF_TRANSFER,
            Code.ASSET_NOT_FOUND,
            Code.NOT_TRANSFERABLE,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=frozenset({HOLDING}),
        work=4,
        moves_value=True,
        check=_check_legs,
        authorities=_leg_authorities,
    ),
)
