"""The operations of central banks, `cb.*`: rows only. What they do stands in the files named `treasury_`.

The fields that only they have are here too. Source: ledger rules, section 6 (treasury).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from state.codes import Code
from state.modules.fields import (
    ADDRESS,
    AMOUNT,
    CODE,
    NUMBER,
    PPM_NUMBER,
    SMALL,
    TAG,
    Address,
    FieldKind,
    malformed,
    read_amount,
    read_code,
    too_large,
)
from state.modules.operation import CLAIMS, Level, Operation
from state.modules.treasury_credit import (
    check_overdraft,
    close_overdraft,
    overdraft,
    overdraft_authorities,
    repay,
    show_collateral,
)
from state.modules.treasury_dealers import (
    appoint_dealer,
    check_appoint,
    check_inject,
    check_ratio,
    dismiss_dealer,
    inject,
    issue,
    report_liabilities,
    set_reserve_requirement,
)
from state.modules.treasury_rate import accrue, set_rate
from state.modules.treasury_redemption import redeem_cancel, redeem_confirm, redeem_request
from state.primitives.codec import Value, encode_amount
from state.primitives.ids import format_address
from state.primitives.limits import COLLATERAL_ASSETS_MAX, LEGS_MAX
from state.schema import CALENDAR, HOLDING, MINTER, SUPPLY
from state.schema_claims import CLAIM
from state.schema_treasury import BANK, TREASURY


def _read_legs(legs: Value) -> Value:
    if len(legs) > LEGS_MAX:
        raise too_large(f"an injection has at most {LEGS_MAX} legs")
    if any(one[0] >= other[0] for one, other in pairwise(legs)):
        raise malformed("legs are sorted by dealer, each once")
    return tuple((dealer, read_amount(amount)) for dealer, amount in legs)


def _write_pairs(pairs: Any) -> Any:
    return tuple((name, encode_amount(amount)) for name, amount in pairs)


def _show_legs(legs: Value) -> object:
    return [{"dealer": format_address(dealer), "amount": str(amount)} for dealer, amount in legs]


def _read_collateral(pairs: Value) -> Value:
    if len(pairs) > COLLATERAL_ASSETS_MAX:
        raise too_large(f"a credit line has collateral in at most {COLLATERAL_ASSETS_MAX} assets")
    if any(one[0] >= other[0] for one, other in pairwise(pairs)):
        raise malformed("collateral is sorted by asset, each once")
    return tuple((read_code(code), read_amount(amount)) for code, amount in pairs)


DEALER_LEGS: Final = FieldKind("dealers and amounts", tuple[tuple[Address, bytes], ...], _read_legs, _write_pairs, _show_legs)
COLLATERAL: Final = FieldKind(
    "assets and amounts", tuple[tuple[str, bytes], ...], _read_collateral, _write_pairs, show_collateral
)
_BOOKS: Final = frozenset({BANK, TREASURY})
_MINTING: Final = frozenset({HOLDING, SUPPLY, MINTER, BANK, TREASURY})
_BANK_ONLY: Final = (Code.ASSET_NOT_FOUND, Code.NOT_ISSUER)
_MINT_CODES: Final = (Code.NO_PERMISSION, Code.MINT_ALLOWANCE, Code.MAX_SUPPLY)
_ISSUE_CODES: Final = (
    Code.ZERO_AMOUNT,
    *_BANK_ONLY,
    Code.NOT_DEALER,
    Code.LIMIT_PER_TX,
    Code.LIMIT_WINDOW,
    *_MINT_CODES,
)

OPERATIONS: Final = (
    Operation(
        code=200,
        name="cb.appoint_dealer",
        module="cb",
        fields=(
            ("asset", CODE),
            ("account", ADDRESS),
            ("tier", SMALL),
            ("issue_max", AMOUNT),
            ("window_max", AMOUNT),
            ("window_s", NUMBER),
        ),
        level=Level.HIGH,
        handler=appoint_dealer,
        codes=(
            *_BANK_ONLY,
            Code.SELF_TRANSFER,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.ASSERT_FAILED,
        ),
        writes=_BOOKS | {HOLDING},
        check=check_appoint,
    ),
    Operation(
        code=201,
        name="cb.dismiss_dealer",
        module="cb",
        fields=(("asset", CODE), ("account", ADDRESS)),
        level=Level.HIGH,
        handler=dismiss_dealer,
        codes=(*_BANK_ONLY, Code.NOT_DEALER),
        writes=_BOOKS | {HOLDING},
    ),
    Operation(
        code=202,
        name="cb.issue",
        module="cb",
        fields=(("asset", CODE), ("dealer", ADDRESS), ("amount", AMOUNT), ("facility", TAG), ("ref", TAG)),
        level=Level.STATUTORY,
        handler=issue,
        codes=_ISSUE_CODES,
        writes=_MINTING,
        moves_value=True,
    ),
    Operation(
        code=203,
        name="cb.inject",
        module="cb",
        fields=(("asset", CODE), ("legs", DEALER_LEGS), ("facility", TAG), ("ref", TAG)),
        level=Level.STATUTORY,
        handler=inject,
        codes=_ISSUE_CODES,
        writes=_MINTING,
        work=8,
        moves_value=True,
        check=check_inject,
    ),
    Operation(
        code=204,
        name="cb.redeem_request",
        module="cb",
        fields=(("asset", CODE), ("amount", AMOUNT), ("expires", NUMBER), ("ref", TAG)),
        level=Level.MEDIUM,
        handler=redeem_request,
        codes=(
            Code.ZERO_AMOUNT,
            Code.ASSET_NOT_FOUND,
            Code.NOT_DEALER,
            Code.TOO_LATE,
            Code.PARAM_OUT_OF_RANGE,
            Code.INSUFFICIENT_AVAILABLE,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=_BOOKS | {HOLDING, CALENDAR},
        moves_value=True,
    ),
    Operation(
        code=205,
        name="cb.redeem_confirm",
        module="cb",
        fields=(("asset", CODE), ("request", NUMBER)),
        level=Level.STATUTORY,
        handler=redeem_confirm,
        codes=(*_BANK_ONLY, Code.REDEMPTION_NOT_FOUND, Code.PENDING_EXPIRED),
        writes=_BOOKS | {HOLDING, SUPPLY},
        moves_value=True,
    ),
    Operation(
        code=206,
        name="cb.redeem_cancel",
        module="cb",
        fields=(("asset", CODE), ("request", NUMBER)),
        level=Level.MEDIUM,
        handler=redeem_cancel,
        codes=(Code.ASSET_NOT_FOUND, Code.REDEMPTION_NOT_FOUND, Code.NO_PERMISSION),
        writes=_BOOKS | {HOLDING},
        moves_value=True,
    ),
    Operation(
        code=207,
        name="cb.set_rate",
        module="cb",
        fields=(("asset", CODE), ("rate_ppm", NUMBER), ("effective_from", NUMBER)),
        level=Level.STATUTORY,
        handler=set_rate,
        codes=(*_BANK_ONLY, Code.NO_PERMISSION, Code.RATE_OUT_OF_RANGE, Code.TOO_LATE),
        writes=_BOOKS,
    ),
    Operation(
        code=208,
        name="cb.accrue",
        module="cb",
        fields=(("asset", CODE), ("period", NUMBER)),
        level=Level.STATUTORY,
        handler=accrue,
        codes=(
            *_BANK_ONLY,
            Code.NO_PERMISSION,
            Code.PERIOD_ALREADY_ACCRUED,
            Code.TOO_EARLY,
            Code.NOTHING_TO_CLAIM,
            Code.MINT_ALLOWANCE,
            Code.MAX_SUPPLY,
        ),
        writes=_MINTING | {CLAIM},
        work=32,
        moves_value=True,
        touches=frozenset({CLAIMS}),
    ),
    Operation(
        code=209,
        name="cb.set_reserve_requirement",
        module="cb",
        fields=(("asset", CODE), ("tier", SMALL), ("ratio_ppm", PPM_NUMBER)),
        level=Level.STATUTORY,
        handler=set_reserve_requirement,
        codes=_BANK_ONLY,
        writes=_BOOKS,
        check=check_ratio,
    ),
    Operation(
        code=210,
        name="cb.report_liabilities",
        module="cb",
        fields=(("asset", CODE), ("amount", AMOUNT)),
        level=Level.MEDIUM,
        handler=report_liabilities,
        codes=(Code.ASSET_NOT_FOUND, Code.NOT_DEALER),
        writes=_BOOKS,
    ),
    Operation(
        code=211,
        name="cb.overdraft",
        module="cb",
        fields=(("asset", CODE), ("account", ADDRESS), ("limit", AMOUNT), ("collateral", COLLATERAL)),
        level=Level.STATUTORY,
        handler=overdraft,
        codes=(
            Code.ZERO_AMOUNT,
            *_BANK_ONLY,
            Code.SELF_TRANSFER,
            Code.ASSERT_FAILED,
            Code.NOT_TRANSFERABLE,
            Code.COLLATERAL_SHORT,
        ),
        writes=_BOOKS | {HOLDING},
        check=check_overdraft,
        authorities=overdraft_authorities,
    ),
    Operation(
        code=212,
        name="cb.close_overdraft",
        module="cb",
        fields=(("asset", CODE), ("account", ADDRESS)),
        level=Level.MEDIUM,
        handler=close_overdraft,
        codes=(Code.ASSET_NOT_FOUND, Code.PENDING_NOT_FOUND, Code.NO_PERMISSION, Code.SUPPLY_NOT_ZERO),
        writes=_BOOKS | {HOLDING},
    ),
    Operation(
        code=213,
        name="cb.repay",
        module="cb",
        fields=(("asset", CODE), ("amount", AMOUNT)),
        level=Level.MEDIUM,
        handler=repay,
        codes=(
            Code.ZERO_AMOUNT,
            Code.ASSET_NOT_FOUND,
            Code.PENDING_NOT_FOUND,
            Code.EXCEEDS_PENDING,
            Code.INSUFFICIENT_AVAILABLE,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=_BOOKS | {HOLDING, SUPPLY},
        moves_value=True,
    ),
)
