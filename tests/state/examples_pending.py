"""Examples of holds, escrows, settlements and offers, for `test_authorisation`."""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.modules import offers, settlements
from state.modules.pending import compute_id
from state.schema_pending import ESCROW, HOLD, OFFER, SETTLEMENT, pending_key
from state.transaction import call
from tests.state.authorisation_world import WHO, Change, Example, PairWorld
from tests.state.ledger_world import NOW

_REF = bytes(16)
_EXPIRES = NOW + 1_000
_HOLD = {"ref": _REF, "asset": "EUR", "amount": 100, "beneficiary": WHO["ben"], "agent": b"", "expires": _EXPIRES}
_ESCROW = {
    "ref": _REF,
    "to": WHO["ben"],
    "asset": "EUR",
    "amount": 100,
    "finish_after": NOW + 10,
    "cancel_after": NOW + 500,
    "hash": b"",
}
_LEGS = ((WHO["ann"], WHO["ben"], "EUR", 50), (WHO["ben"], WHO["ann"], "QNX", 7))
_SETTLEMENT = {"ref": _REF, "legs": _LEGS, "agent": WHO["spare"], "deadline": _EXPIRES}
_OFFER = {
    "ref": _REF,
    "to": WHO["ben"],
    "give_asset": "EUR",
    "give_amount": 50,
    "want_asset": "QNX",
    "want_amount": 7,
    "expires": _EXPIRES,
}
_IDS = {
    "hold": compute_id(HOLD, WHO["ann"], _REF),
    "escrow": compute_id(ESCROW, WHO["ann"], _REF),
    "settlement": compute_id(SETTLEMENT, WHO["ann"], _REF),
    "offer": compute_id(OFFER, WHO["ann"], _REF),
}


def _made(operation: str, fields: dict[str, Any]) -> Change:
    def before(world: PairWorld) -> None:
        world.done("ann", call(operation, **fields))

    return before


def _settlement_terms(world: PairWorld) -> bytes:
    return settlements.compute_terms(_IDS["settlement"], world.read(pending_key(SETTLEMENT, _IDS["settlement"])))


def _offer_terms(world: PairWorld) -> bytes:
    return offers.compute_terms(_IDS["offer"], world.read(pending_key(OFFER, _IDS["offer"])))


def _allocated(world: PairWorld) -> None:
    _made("settle.create", _SETTLEMENT)(world)
    for name in ("ann", "ben"):
        world.done(name, call("settle.allocate", settlement=_IDS["settlement"], terms=_settlement_terms(world)))


_HELD = _made("hold.create", _HOLD)
_ESCROWED = _made("escrow.create", _ESCROW)
_SETTLING = _made("settle.create", _SETTLEMENT)
_OFFERED = _made("pay.offer", _OFFER)

EXAMPLES = (
    Example("hold.create", _HOLD),
    Example("hold.post", {"hold": _IDS["hold"], "amount": 60}, before=_HELD, stranger=Code.NO_PERMISSION),
    Example("hold.void", {"hold": _IDS["hold"]}, sender="ben", before=_HELD, stranger=Code.NO_PERMISSION),
    Example("escrow.create", _ESCROW),
    Example("escrow.finish", {"escrow": _IDS["escrow"], "secret": b""}, sender="ben", before=_ESCROWED, settled_later_s=20),
    Example("escrow.cancel", {"escrow": _IDS["escrow"]}, before=_ESCROWED, settled_later_s=500),
    Example("settle.create", _SETTLEMENT),
    Example(
        "settle.allocate",
        {"settlement": _IDS["settlement"], "terms": _settlement_terms},
        before=_SETTLING,
        stranger=Code.NO_PERMISSION,
    ),
    Example(
        "settle.execute", {"settlement": _IDS["settlement"]}, sender="spare", before=_allocated, stranger=Code.NO_PERMISSION
    ),
    Example("settle.cancel", {"settlement": _IDS["settlement"]}, before=_SETTLING, stranger=Code.NO_PERMISSION),
    Example("pay.offer", _OFFER),
    Example(
        "pay.accept", {"offer": _IDS["offer"], "terms": _offer_terms}, sender="ben", before=_OFFERED, stranger=Code.NO_PERMISSION
    ),
    Example("pay.cancel", {"offer": _IDS["offer"]}, before=_OFFERED, stranger=Code.NO_PERMISSION),
)
