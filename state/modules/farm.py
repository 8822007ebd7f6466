"""The rows of the operations on farms. The handlers are in `farm_sponsor` and `farm_stakes`; nothing else goes in here.

The emergency exit is a module of its own for the breakers: when farms are stopped, everybody still gets his principal.
"""

from __future__ import annotations

from typing import Final

from state.codes import Code
from state.modules import farm_sponsor, farm_stakes
from state.modules.farm_fields import OPTIONAL_DOMAIN, POSITIONS, STAKE, TIERS
from state.modules.fields import AMOUNT, CODE, NUMBER, OPTIONAL_CODE
from state.modules.operation import CLAIMS, FARMS, Level, Operation
from state.schema import HOLDING
from state.schema_amm import POSITION as SHARES
from state.schema_claims import CLAIM
from state.schema_farm import FARM, FARM_POSITION, FARM_STAKER

_FARMS: Final = frozenset({FARMS})
_STAKES: Final = frozenset({HOLDING, SHARES, FARM, FARM_POSITION, FARM_STAKER})

_SPONSOR_ROWS: Final = (
    Operation(
        code=120,
        name="farm.create",
        module="farm",
        fields=(
            ("stake_asset", STAKE),
            ("reward_asset", CODE),
            ("start", NUMBER),
            ("end", NUMBER),
            ("budget", AMOUNT),
            ("lock_tiers", TIERS),
            ("max_stakers", NUMBER),
            ("min_stake", AMOUNT),
            ("domain", OPTIONAL_DOMAIN),
        ),
        level=Level.MEDIUM,
        handler=farm_sponsor.create,
        codes=(
            Code.FARM_UNFUNDED,
            Code.PARAM_OUT_OF_RANGE,
            Code.ASSET_NOT_FOUND,
            Code.NOT_TRANSFERABLE,
            Code.POOL_NOT_FOUND,
            Code.CREDENTIAL_MISSING,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=frozenset({HOLDING, FARM}),
        work=3,
        moves_value=True,
        touches=_FARMS,
    ),
    Operation(
        code=121,
        name="farm.fund",
        module="farm",
        fields=(("farm", NUMBER), ("reward_asset", CODE), ("amount", AMOUNT), ("start", NUMBER), ("extend_to", NUMBER)),
        level=Level.MEDIUM,
        handler=farm_sponsor.fund,
        codes=(
            Code.ZERO_AMOUNT,
            Code.FARM_NOT_FOUND,
            Code.NO_PERMISSION,
            Code.FARM_ENDED,
            Code.ASSET_NOT_FOUND,
            Code.NOT_TRANSFERABLE,
            Code.PARAM_OUT_OF_RANGE,
            Code.INSUFFICIENT_FUNDS,
        ),
        writes=frozenset({HOLDING, FARM}),
        work=2,
        moves_value=True,
        touches=_FARMS,
    ),
    Operation(
        code=126,
        name="farm.close",
        module="farm",
        fields=(("farm", NUMBER),),
        level=Level.MEDIUM,
        handler=farm_sponsor.close,
        codes=(Code.FARM_NOT_FOUND, Code.NO_PERMISSION, Code.TOO_EARLY, Code.NOTHING_TO_CLAIM),
        writes=frozenset({HOLDING, FARM}),
        work=2,
        moves_value=True,
        touches=_FARMS,
    ),
)

_STAKER_ROWS: Final = (
    Operation(
        code=122,
        name="farm.stake",
        module="farm",
        fields=(("farm", NUMBER), ("amount", AMOUNT), ("tier", NUMBER)),
        level=Level.MEDIUM,
        handler=farm_stakes.add_stake,
        codes=(
            Code.ZERO_AMOUNT,
            Code.FARM_NOT_FOUND,
            Code.FARM_ENDED,
            Code.PARAM_OUT_OF_RANGE,
            Code.STAKE_TOO_SMALL,
            Code.CREDENTIAL_MISSING,
            Code.CREDENTIAL_EXPIRED,
            Code.ASSET_NOT_FOUND,
            Code.NOT_TRANSFERABLE,
            Code.POOL_NOT_FOUND,
            Code.INSUFFICIENT_FUNDS,
            Code.ASSERT_FAILED,
        ),
        writes=_STAKES,
        work=2,
        moves_value=True,
        touches=_FARMS,
    ),
    Operation(
        code=123,
        name="farm.unstake",
        module="farm",
        fields=(("farm", NUMBER), ("position", NUMBER), ("amount", AMOUNT)),
        level=Level.MEDIUM,
        handler=farm_stakes.unstake,
        codes=(
            Code.ZERO_AMOUNT,
            Code.FARM_NOT_FOUND,
            Code.PENDING_NOT_FOUND,
            Code.LOCKED_UNTIL,
            Code.INSUFFICIENT_FUNDS,
            Code.STAKE_TOO_SMALL,
        ),
        writes=_STAKES,
        work=2,
        moves_value=True,
        touches=_FARMS,
    ),
    Operation(
        code=124,
        name="farm.claim",
        module="farm",
        fields=(("farm", NUMBER), ("positions", POSITIONS), ("reward_asset", OPTIONAL_CODE)),
        level=Level.LOW,
        handler=farm_stakes.claim,
        codes=(
            Code.FARM_NOT_FOUND,
            Code.PENDING_NOT_FOUND,
            Code.LOCKED_UNTIL,
            Code.NOTHING_TO_CLAIM,
            Code.NOT_TRANSFERABLE,
        ),
        writes=frozenset({HOLDING, FARM, FARM_POSITION, FARM_STAKER}),
        work=4,
        moves_value=True,
        touches=_FARMS,
    ),
    Operation(
        code=125,
        name="farm.exit",
        module="farm",
        fields=(("position", NUMBER),),
        level=Level.MEDIUM,
        handler=farm_stakes.leave,
        codes=(Code.PENDING_NOT_FOUND, Code.LOCKED_UNTIL, Code.NOT_TRANSFERABLE),
        writes=_STAKES,
        work=3,
        moves_value=True,
        touches=_FARMS,
    ),
    Operation(
        code=127,
        name="farm.emergency_exit",
        module="farm_exit",
        fields=(("position", NUMBER),),
        level=Level.MEDIUM,
        handler=farm_stakes.emergency_exit,
        codes=(Code.PENDING_NOT_FOUND, Code.ZERO_AMOUNT),
        writes=_STAKES | {CLAIM},
        work=3,
        moves_value=True,
        touches=frozenset({FARMS, CLAIMS}),
        frozen_may=True,
    ),
)

OPERATIONS: Final = (*_SPONSOR_ROWS, *_STAKER_ROWS)
