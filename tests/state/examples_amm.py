"""Examples of the operations on pools, for `test_authorisation`."""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.modules.operation import GOVERNANCE_ADDRESS, TREASURY_ADDRESS
from state.schema import asset_key, holding_key, supply_key
from state.schema_amm import members_key, pool_key
from state.transaction import call
from tests.state.authorisation_world import WHO, Example, PairWorld

_POOL = "EUR/QNX"
_NO_PRICE = (0, 0)
_CREATE = {"a": "EUR", "b": "QNX", "fee_ppm": 3_000, "amount_a": 10**8, "amount_b": 10**8}
_ADD = {"pool": _POOL, "max_a": 10**6, "max_b": 10**6, "min_shares": 0, "min_price": _NO_PRICE, "max_price": _NO_PRICE}


def _pool(world: PairWorld) -> None:
    world.done("ann", call("amm.create", **_CREATE, members=()))


def _restricted(world: PairWorld) -> None:
    world.done("issuer", call("amm.create", **_CREATE, members=(WHO["ann"],)))


def _not_member(world: PairWorld) -> None:
    world.write(members_key(_POOL), (WHO["cat"],))


def _not_issuer(world: PairWorld) -> None:
    for code in ("EUR", "QNX"):
        record = world.read(asset_key(code))
        world.write(asset_key(code), (*record[:3], WHO["cat"], *record[4:]))


def _not_creator(world: PairWorld) -> None:
    world.change(pool_key(_POOL), creator=WHO["cat"])


def _shared(world: PairWorld) -> None:
    _restricted(world)
    world.done("ann", call("amm.add", **_ADD))


def _protocol_shares(world: PairWorld) -> None:
    _pool(world)
    world.done_by(GOVERNANCE_ADDRESS, "amm.set_protocol_fee", pool=_POOL, on=1)
    world.done("ann", call("amm.add", **_ADD))
    world.done("ann", call("amm.swap_in", path=("EUR", "QNX"), amount_in=10**7, min_out=0))
    world.done("ann", call("amm.add", **_ADD))


def _treasury(world: PairWorld) -> None:
    _pool(world)
    world.write(holding_key(TREASURY_ADDRESS, "EUR"), (10**6,))
    world.write(supply_key("EUR"), (world.supply("EUR") + 10**6,))


def _member(operation: str, fields: dict[str, Any]) -> Example:
    return Example(operation, fields, before=_shared, roles=(("membership", _not_member, Code.CREDENTIAL_MISSING),))


def _governed(operation: str, fields: dict[str, Any], before: Any = _pool) -> Example:
    return Example(operation, fields, before=before, by_governance=True)


EXAMPLES = (
    Example(
        "amm.create",
        {**_CREATE, "members": (WHO["ann"],)},
        sender="issuer",
        roles=(("issuer of one of the two", _not_issuer, Code.NOT_ISSUER),),
    ),
    _member("amm.add", _ADD),
    _member("amm.add_single", {"pool": _POOL, "asset": "EUR", "amount": 10**5, "min_shares": 0}),
    Example("amm.remove", {"pool": _POOL, "shares": 1_000, "min_a": 0, "min_b": 0}, before=_shared),
    _member("amm.remove_single", {"pool": _POOL, "shares": 1_000, "asset": "EUR", "min_out": 0}),
    Example("amm.close", {"pool": _POOL}, before=_pool),
    Example(
        "amm.set_members",
        {"pool": _POOL, "members": (WHO["ben"],)},
        sender="issuer",
        before=_restricted,
        roles=(("creator of the pool", _not_creator, Code.NO_PERMISSION),),
    ),
    _member("amm.swap_in", {"path": ("EUR", "QNX"), "amount_in": 1_000, "min_out": 0}),
    _member("amm.swap_out", {"path": ("EUR", "QNX"), "amount_out": 1_000, "max_in": 10**6}),
    _governed("amm.set_protocol_fee", {"pool": _POOL, "on": 1}),
    _governed("amm.set_switches", {"pool": _POOL, "trade_until": 0, "deposit_until": 0, "withdraw_until": 0}),
    _governed("amm.collect", {"pool": _POOL}, _protocol_shares),
    _governed("amm.repair", {"pool": _POOL, "amount_a": 5, "amount_b": 0, "plan_hash": bytes(32)}, _treasury),
)
