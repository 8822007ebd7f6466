"""How what an authority recalls is drawn: something that an account really has, most of the time. Not a test file. See `random_fields`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from state.modules.recall import Place
from state.schema_amm import position_key
from state.schema_claims import claim_key, claims_key
from state.schema_farm import farm_key, farm_position_key, farm_positions_key
from state.schema_pending import ESCROW, HOLD, OFFER, SETTLEMENT, Offer, Settlement, list_entry_key, list_key
from state.schema_staking import delegator_key

if TYPE_CHECKING:
    from tests.state.random_ledger import RandomLedger

Draw = Callable[["RandomLedger", bytes], Any]
_TRIES = 12
_KINDS = {HOLD: "hold", ESCROW: "escrow", SETTLEMENT: "settlement", OFFER: "offer"}


def _promised(ledger: RandomLedger, holder: bytes) -> tuple[str, Place] | None:
    view = ledger.view
    name, count = view.values[list_key(holder)] or (b"", 0)
    for _ in range(min(count - 1, ledger.rng.randrange(6))):
        name = view.values[list_entry_key(holder, name)][1] or name
    if not name:
        return None
    record = view.values[b" " + name]
    if isinstance(record, Settlement):
        asset = record.legs[0].asset
    else:
        asset = record.give_asset if isinstance(record, Offer) else record.asset
    return asset, Place(_KINDS[name[0]], name[1:])


def _farmed(ledger: RandomLedger, holder: bytes) -> tuple[str, Place] | None:
    _, numbers = ledger.view.values[farm_positions_key(holder)] or (0, ())
    if not numbers:
        return None
    number = ledger.rng.choice(numbers)
    stake = ledger.view.values[farm_key(ledger.view.values[farm_position_key(holder, number)].farm)].stake
    return stake.partition("/")[0], Place("farm", number)


def _staked(ledger: RandomLedger, holder: bytes) -> tuple[str, Place] | None:
    known = ledger.view.values[delegator_key(holder)] or ()
    return ("QNX", Place("stake", ledger.rng.choice(known))) if known else None


def _pooled(ledger: RandomLedger, holder: bytes) -> tuple[str, Place] | None:
    a, b = sorted(ledger.rng.sample(ledger.assets, 2))
    if ledger.view.values[position_key(holder, f"{a}/{b}")] is None:
        return None
    return ledger.rng.choice((a, b)), Place("pool", f"{a}/{b}")


def _asset(ledger: RandomLedger, account: bytes) -> str:
    """Draws holder and place as well; the next two fields take them. A few tries to find something of an asset with powers."""
    rng, asset = ledger.rng, ""
    for _ in range(_TRIES):
        holder = rng.choice(ledger.accounts)
        found = rng.choice((_promised, _farmed, _staked, _pooled))(ledger, holder)
        if found is not None:
            asset, place = found
            ledger.last_recall = (holder, place)
            if asset in ledger.assets[1::2]:
                return asset
    if not asset:
        ledger.last_recall = (rng.choice(ledger.accounts), Place("farm", rng.randrange(3)))
    return asset or rng.choice(ledger.assets)


def _claim_asset(ledger: RandomLedger, account: bytes) -> str:
    """As `_asset` does, of claims."""
    rng = ledger.rng
    for _ in range(_TRIES):
        holder = rng.choice(ledger.accounts)
        given, _ = ledger.view.values[claims_key(holder)] or (1, 0)
        ledger.last_recall = (holder, rng.randrange(given))
        record = ledger.view.values[claim_key(*ledger.last_recall)]
        if record is not None and record[0] in ledger.assets[1::2]:
            return str(record[0])
    return rng.choice(ledger.assets)


RECALL_HINTS: dict[tuple[str, str], Draw] = {
    ("asset.recall", "asset"): _asset,
    ("claim.clawback", "asset"): _claim_asset,
    **{(name, "holder"): lambda ledger, account: ledger.last_recall[0] for name in ("asset.recall", "claim.clawback")},
    ("asset.recall", "place"): lambda ledger, account: ledger.last_recall[1],
    ("claim.clawback", "claim"): lambda ledger, account: ledger.last_recall[1],
}
