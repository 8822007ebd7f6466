"""The rows of the operations on pools. The handlers are in `amm_trade`, `amm_liquidity` and `amm_governance`; nothing else goes in here."""

from __future__ import annotations

from typing import Final

from state.codes import Code
from state.modules import amm_governance, amm_liquidity, amm_trade
from state.modules.fields import AMOUNT, CODE, MEMBERS, NUMBER, OPTIONAL_HASH, OPTIONAL_POOL, PATH, POOL, PRICE, SMALL
from state.modules.kyc_fields import DOMAIN_NAME
from state.modules.operation import AMM, TREASURY, Level, Operation
from state.schema import HOLDING
from state.schema_amm import MEMBERS as MEMBERS_LETTER
from state.schema_amm import POOL as POOL_LETTER
from state.schema_amm import POOL_LIST, POSITION

_USABLE: Final = (
    Code.POOL_NOT_FOUND,
    Code.MODULE_PAUSED,
    Code.CREDENTIAL_MISSING,
    Code.CREDENTIAL_EXPIRED,
    Code.ASSET_NOT_FOUND,
    Code.NOT_TRANSFERABLE,
)
_LEAVING: Final = (Code.POOL_NOT_FOUND, Code.MODULE_PAUSED, Code.ASSET_NOT_FOUND, Code.NOT_TRANSFERABLE)
_PATH_CODES: Final = (Code.ZERO_AMOUNT, Code.PATH_INVALID, Code.SAME_ASSET, Code.PATH_REPEATS_POOL, *_USABLE)
_LIQUIDITY: Final = frozenset({HOLDING, POOL_LETTER, POSITION})
_POOLS: Final = frozenset({AMM})
_POOLS_AND_TREASURY: Final = frozenset({AMM, TREASURY})

_LIQUIDITY_ROWS: Final = (
    Operation(
        code=100,
        name="amm.create",
        module="amm",
        fields=(
            ("a", CODE),
            ("b", CODE),
            ("fee_ppm", NUMBER),
            ("amount_a", AMOUNT),
            ("amount_b", AMOUNT),
            ("members", MEMBERS),
        ),
        level=Level.MEDIUM,
        handler=amm_liquidity.create,
        codes=(
            Code.ZERO_AMOUNT,
            Code.SAME_ASSET,
            Code.PARAM_OUT_OF_RANGE,
            Code.ASSET_NOT_FOUND,
            Code.ASSET_NOT_TRADABLE,
            Code.NOT_ISSUER,
            Code.RECIPIENT_IS_MODULE,
            Code.ACCOUNT_NOT_FOUND,
            Code.POOL_EXISTS,
            Code.BELOW_MIN_RESERVES,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=_LIQUIDITY | {POOL_LIST, MEMBERS_LETTER},
        work=4,
        moves_value=True,
        touches=_POOLS,
    ),
    Operation(
        code=101,
        name="amm.add",
        module="amm",
        fields=(
            ("pool", POOL),
            ("max_a", AMOUNT),
            ("max_b", AMOUNT),
            ("min_shares", AMOUNT),
            ("min_price", PRICE),
            ("max_price", PRICE),
        ),
        level=Level.MEDIUM,
        handler=amm_liquidity.add,
        codes=(
            Code.ZERO_AMOUNT,
            *_USABLE,
            Code.ZERO_OUTPUT,
            Code.SLIPPAGE,
            Code.PRICE_OUT_OF_BOUNDS,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=_LIQUIDITY,
        work=2,
        moves_value=True,
        touches=_POOLS,
    ),
    Operation(
        code=102,
        name="amm.add_single",
        module="amm",
        fields=(("pool", POOL), ("asset", CODE), ("amount", AMOUNT), ("min_shares", AMOUNT)),
        level=Level.MEDIUM,
        handler=amm_liquidity.add_single,
        codes=(
            Code.ZERO_AMOUNT,
            Code.PATH_INVALID,
            *_USABLE,
            Code.ZERO_OUTPUT,
            Code.BELOW_MIN_RESERVES,
            Code.SLIPPAGE,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=_LIQUIDITY,
        work=3,
        moves_value=True,
        touches=_POOLS,
    ),
    Operation(
        code=103,
        name="amm.remove",
        module="amm",
        fields=(("pool", POOL), ("shares", AMOUNT), ("min_a", AMOUNT), ("min_b", AMOUNT)),
        level=Level.MEDIUM,
        handler=amm_liquidity.remove,
        codes=(
            Code.ZERO_AMOUNT,
            *_LEAVING,
            Code.INSUFFICIENT_FUNDS,
            Code.ZERO_OUTPUT,
            Code.SLIPPAGE,
            Code.BELOW_MIN_RESERVES,
        ),
        writes=_LIQUIDITY,
        work=2,
        moves_value=True,
        touches=_POOLS,
    ),
    Operation(
        code=104,
        name="amm.remove_single",
        module="amm",
        fields=(("pool", POOL), ("shares", AMOUNT), ("asset", CODE), ("min_out", AMOUNT)),
        level=Level.MEDIUM,
        handler=amm_liquidity.remove_single,
        codes=(
            Code.ZERO_AMOUNT,
            Code.PATH_INVALID,
            *_USABLE,
            Code.INSUFFICIENT_FUNDS,
            Code.ZERO_OUTPUT,
            Code.SLIPPAGE,
            Code.BELOW_MIN_RESERVES,
        ),
        writes=_LIQUIDITY,
        work=3,
        moves_value=True,
        touches=_POOLS,
    ),
    Operation(
        code=105,
        name="amm.close",
        module="amm",
        fields=(("pool", POOL),),
        level=Level.MEDIUM,
        handler=amm_liquidity.close,
        codes=(*_LEAVING, Code.SUPPLY_NOT_ZERO),
        writes=_LIQUIDITY | {MEMBERS_LETTER},
        work=3,
        moves_value=True,
        touches=_POOLS_AND_TREASURY,
    ),
    Operation(
        code=106,
        name="amm.set_members",
        module="amm",
        fields=(("pool", POOL), ("members", MEMBERS)),
        level=Level.HIGH,
        handler=amm_liquidity.set_members,
        codes=(Code.POOL_NOT_FOUND, Code.NO_PERMISSION, Code.RECIPIENT_IS_MODULE, Code.ACCOUNT_NOT_FOUND),
        writes=frozenset({MEMBERS_LETTER}),
        work=2,
        check=amm_liquidity.check_members,
    ),
    Operation(
        code=174,
        name="amm.set_domain",
        module="amm",
        fields=(("pool", POOL), ("domain", DOMAIN_NAME)),
        level=Level.HIGH,
        handler=amm_liquidity.set_domain,
        codes=(Code.POOL_NOT_FOUND, Code.NO_PERMISSION, Code.CREDENTIAL_MISSING),
        writes=frozenset({MEMBERS_LETTER}),
    ),
)

_TRADE_ROWS: Final = (
    Operation(
        code=107,
        name="amm.swap_in",
        module="amm",
        fields=(("path", PATH), ("amount_in", AMOUNT), ("min_out", AMOUNT)),
        level=Level.MEDIUM,
        handler=amm_trade.swap_in,
        codes=(*_PATH_CODES, Code.ZERO_OUTPUT, Code.SLIPPAGE, Code.INSUFFICIENT_FUNDS, Code.BELOW_MIN_RESERVES),
        writes=frozenset({HOLDING, POOL_LETTER}),
        work=2,
        moves_value=True,
        touches=_POOLS,
    ),
    Operation(
        code=108,
        name="amm.swap_out",
        module="amm",
        fields=(("path", PATH), ("amount_out", AMOUNT), ("max_in", AMOUNT)),
        level=Level.MEDIUM,
        handler=amm_trade.swap_out,
        codes=(
            *_PATH_CODES,
            Code.INSUFFICIENT_LIQUIDITY,
            Code.SLIPPAGE,
            Code.INSUFFICIENT_FUNDS,
            Code.BELOW_MIN_RESERVES,
        ),
        writes=frozenset({HOLDING, POOL_LETTER}),
        work=2,
        moves_value=True,
        touches=_POOLS,
    ),
)

_GOVERNANCE_ROWS: Final = (
    Operation(
        code=109,
        name="amm.set_protocol_fee",
        module="amm",
        fields=(("pool", POOL), ("on", SMALL)),
        level=Level.STATUTORY,
        handler=amm_governance.set_protocol_fee,
        codes=(Code.NO_PERMISSION, Code.POOL_NOT_FOUND),
        writes=frozenset({POOL_LETTER}),
        is_governed=True,
        check=amm_governance.check_on,
    ),
    Operation(
        code=110,
        name="amm.set_switches",
        module="amm",
        fields=(
            ("pool", OPTIONAL_POOL),
            ("trade_until", NUMBER),
            ("deposit_until", NUMBER),
            ("withdraw_until", NUMBER),
        ),
        level=Level.STATUTORY,
        handler=amm_governance.set_switches,
        codes=(Code.NO_PERMISSION, Code.PARAM_OUT_OF_RANGE, Code.POOL_NOT_FOUND),
        writes=frozenset({POOL_LETTER}),
        is_governed=True,
    ),
    Operation(
        code=111,
        name="amm.collect",
        module="amm",
        fields=(("pool", POOL),),
        level=Level.STATUTORY,
        handler=amm_governance.collect,
        codes=(
            Code.NO_PERMISSION,
            Code.POOL_NOT_FOUND,
            Code.NOTHING_TO_CLAIM,
            Code.ZERO_OUTPUT,
            Code.BELOW_MIN_RESERVES,
        ),
        writes=_LIQUIDITY,
        is_governed=True,
        work=2,
        moves_value=True,
        touches=_POOLS_AND_TREASURY,
    ),
    Operation(
        code=112,
        name="amm.repair",
        module="amm",
        fields=(("pool", POOL), ("amount_a", AMOUNT), ("amount_b", AMOUNT), ("plan_hash", OPTIONAL_HASH)),
        level=Level.STATUTORY,
        handler=amm_governance.repair,
        codes=(Code.NO_PERMISSION, Code.ZERO_AMOUNT, Code.POOL_NOT_FOUND, Code.INSUFFICIENT_FUNDS),
        writes=_LIQUIDITY,
        is_governed=True,
        work=2,
        moves_value=True,
        touches=_POOLS_AND_TREASURY,
    ),
)

OPERATIONS: Final = (*_LIQUIDITY_ROWS, *_TRADE_ROWS, *_GOVERNANCE_ROWS)
