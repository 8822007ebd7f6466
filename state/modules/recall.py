"""What an authority reaches of a holder's beyond his holding: what he has promised, pooled, farmed or staked, and his claims.

A recall ends one engagement as a whole and gives each of its parties what is its own; what a rule keeps from the holder waits as a
claim. Then it is in reach of a clawback, in the same transaction if that is wanted, or, as a claim, of `claim.clawback`. So one rule
reaches everything that a holder has of an asset, and nothing is burned for nothing. Who may is who may claw the asset back. How a
thing is ended is its module's own; nothing of that goes in here. Source: ledger rules, 1.5 and section 6, incident 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple

from msgspec import Meta

from state.codes import Code
from state.events_assets import CLAIM_CLAWED_BACK, RECALLED
from state.modules import amm_liquidity, claims, escrows, farm_stakes, holds, offers, settlements, staking
from state.modules.acts import ground_hash, record_act
from state.modules.asset_force import require_power
from state.modules.assets import burn_taken
from state.modules.fields import ADDRESS, CODE, NUMBER, REASON, FieldKind, malformed, read_pool
from state.modules.operation import AMM, BONDED, CLAIMS, ESCROWS, FARMS, REWARDS, UNBONDING, Level, OpContext, Operation
from state.modules.pending import BOOKS
from state.primitives.limits import HEIGHT_MAX, PENDING_ID_BYTES
from state.schema import HOLDING, SUPPLY
from state.schema_amm import POOL, POSITION
from state.schema_claims import CLAIM
from state.schema_farm import FARM, FARM_POSITION, FARM_STAKER
from state.schema_kyc import OVERSIGHT
from state.schema_pending import ESCROW, HOLD, SETTLEMENT
from state.schema_staking import DELEGATION, DELEGATOR, UNBONDING_QUEUE, WINDOW
from state.schema_staking import POOL as VALIDATOR_POOL
from state.schema_staking import UNBONDING as UNBONDING_LETTER

# the numbers of the operations, for the list of privileged acts
RECALL: Final = 34
CLAIM_CLAWBACK: Final = 75

_PLACE_CHARS_MAX: Final = 80
_VALIDATOR_BYTES: Final = 20


class Place(NamedTuple):
    """Where something of a holder's is: the kind of place, and its name there."""

    kind: str
    name: bytes | str | int


def _read_hex(size: int) -> Callable[[str], bytes]:
    def read(text: str) -> bytes:
        if len(text) != 2 * size or text.strip("0123456789abcdef"):
            raise malformed(f"it is named by {2 * size} lower-case hex digits")
        return bytes.fromhex(text)

    return read


def _read_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20) or str(int(text)) != text or int(text) > HEIGHT_MAX:
        raise malformed("a position is named by its number")
    return int(text)


class _Kind(NamedTuple):
    """A kind of place: how what is there is named, and how it is brought back (what came of the asset)."""

    read: Callable[[str], Any]
    recall: Callable[[OpContext, bytes, Any, str], int]


_PLACES: Final[dict[str, _Kind]] = {
    "hold": _Kind(_read_hex(PENDING_ID_BYTES), holds.recall),
    "escrow": _Kind(_read_hex(PENDING_ID_BYTES), escrows.recall),
    "settlement": _Kind(_read_hex(PENDING_ID_BYTES), settlements.recall),
    "offer": _Kind(_read_hex(PENDING_ID_BYTES), offers.recall),
    "pool": _Kind(read_pool, amm_liquidity.recall),
    "farm": _Kind(_read_number, farm_stakes.recall),
    "stake": _Kind(_read_hex(_VALIDATOR_BYTES), staking.recall),
}
PLACE_KINDS: Final = tuple(_PLACES)


def read_place(text: str) -> Place:
    """A place from its text; 101 for any other."""
    kind, _, name = text.partition("/")
    if kind not in _PLACES:
        raise malformed(f"a place is KIND/NAME, with one of {', '.join(PLACE_KINDS)}")
    return Place(kind, _PLACES[kind].read(name))


def show_place(place: Place) -> str:
    """The text of a place: `hold/0123...`, `pool/EUR/USD`, `farm/3`."""
    return f"{place.kind}/{place.name.hex() if isinstance(place.name, bytes) else place.name}"


PLACE: Final = FieldKind("place", Annotated[str, Meta(max_length=_PLACE_CHARS_MAX)], read_place, show_place, show_place)


def recall(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """asset.recall: 401, 616, 204, 506, 301, 701 to 704, 711, 801, 202, 810, 806, 1003."""
    code, holder, place, reason, legal_ref = args
    require_power(context, account, code)
    context.require_recipient(holder)
    amount = _PLACES[place.kind].recall(context, holder, place.name, code)
    record_act(context, RECALL, account, subject=holder, asset=code, evidence=ground_hash(legal_ref))
    context.emit(RECALLED, code, holder, show_place(place), amount, account, reason, legal_ref)


def clawback_claim(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """claim.clawback of a whole claim, which is burned: 401, 616, 204, 506, 301, 701."""
    code, holder, number, reason, legal_ref = args
    require_power(context, account, code)
    context.require_recipient(holder)
    amount = claims.drop(context, holder, number, code)
    burn_taken(context, code, amount)
    record_act(context, CLAIM_CLAWBACK, account, subject=holder, asset=code, evidence=ground_hash(legal_ref))
    context.emit(CLAIM_CLAWED_BACK, code, holder, number, amount, account, reason, legal_ref)


_GROUND: Final = (("reason", REASON), ("legal_ref", REASON))
_AUTHORITY: Final = (
    Code.ASSET_NOT_FOUND,
    Code.CLAWBACK_NOT_ENABLED,
    Code.NO_PERMISSION,
    Code.RECIPIENT_IS_MODULE,
    Code.ACCOUNT_NOT_FOUND,
    Code.PENDING_NOT_FOUND,
)
_STAKES: Final = frozenset({VALIDATOR_POOL, DELEGATION, DELEGATOR, WINDOW, UNBONDING_LETTER, UNBONDING_QUEUE})
_FARMS: Final = frozenset({FARM, FARM_POSITION, FARM_STAKER})
_POOLS: Final = frozenset({POOL, POSITION})

OPERATIONS: Final = (
    Operation(
        code=RECALL,
        name="asset.recall",
        module="recall",
        fields=(("asset", CODE), ("holder", ADDRESS), ("place", PLACE), *_GROUND),
        level=Level.STATUTORY,
        handler=recall,
        codes=(
            *_AUTHORITY,
            Code.PENDING_ALREADY_POSTED,
            Code.PENDING_ALREADY_VOIDED,
            Code.PENDING_EXPIRED,
            Code.ALREADY_SETTLED,
            Code.POOL_NOT_FOUND,
            Code.MODULE_PAUSED,
            Code.BELOW_MIN_RESERVES,
            Code.ZERO_OUTPUT,
            Code.UNBONDING_LIMIT,
        ),
        writes=frozenset({HOLDING, HOLD, ESCROW, SETTLEMENT, CLAIM, OVERSIGHT}) | BOOKS | _POOLS | _FARMS | _STAKES,
        work=4,
        moves_value=True,
        touches=frozenset({AMM, BONDED, CLAIMS, ESCROWS, FARMS, REWARDS, UNBONDING}),
    ),
    Operation(
        code=CLAIM_CLAWBACK,
        name="claim.clawback",
        module="recall",
        fields=(("asset", CODE), ("holder", ADDRESS), ("claim", NUMBER), *_GROUND),
        level=Level.STATUTORY,
        handler=clawback_claim,
        codes=_AUTHORITY,
        writes=frozenset({HOLDING, SUPPLY, CLAIM, OVERSIGHT}),
        moves_value=True,
        touches=frozenset({CLAIMS}),
    ),
)
