"""Examples of the operations on assets, of freezes and of claims, for `test_authorisation`."""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.modules.gate import FLAG_PAUSABLE
from state.modules.operation import CLAIMS_ADDRESS
from state.modules.pending import compute_id
from state.modules.recall import Place
from state.schema import COMPLIANCE_PARAMS_KEY, asset_key, holding_key, minter_key
from state.schema_claims import claim_key, claims_key
from state.schema_freezes import roles_key
from state.schema_pending import HOLD
from state.transaction import call
from tests.state.authorisation_world import FLAGS, WHO, Change, Example, PairWorld

_NEW = {"code": "NEW", "scale": 0, "max_supply": 0, "flags": FLAGS, "minters": (), "metadata_hash": b""}
_LEGS = (
    (WHO["ann"], "QNX", 0, 5),
    (WHO["ben"], "QNX", 1, 5),
    (WHO["ben"], "EUR", 0, 7),
    (WHO["ann"], "EUR", 1, 7),
)


def _no_minter(world: PairWorld) -> None:
    world.write(minter_key(WHO["issuer"], "QNX"), None)


def _no_burner(world: PairWorld) -> None:
    _no_minter(world)
    record = world.read(asset_key("QNX"))
    world.write(asset_key("QNX"), (*record[:3], WHO["cat"], *record[4:]))


def _claim_of(world: PairWorld, asset: str) -> None:
    """5 of what ann holds wait for her instead."""
    balance, *rest = world.read(holding_key(WHO["ann"], asset))
    world.write(holding_key(WHO["ann"], asset), (balance - 5, *rest))
    world.write(holding_key(CLAIMS_ADDRESS, asset), (5,))
    world.write(claims_key(WHO["ann"]), (1, 1))
    world.write(claim_key(WHO["ann"], 0), (asset, 5, 602, world.now))


def _claimable(world: PairWorld) -> None:
    _claim_of(world, "QNX")


def _not_claimable(world: PairWorld) -> None:
    world.write(claim_key(WHO["ann"], 0), None)


def _appointed(world: PairWorld) -> None:
    """ben freezes, cat releases, spare claws back, owner decides about holders, ann describes."""
    for role, who in ((2, "ben"), (3, "cat"), (4, "spare"), (5, "owner"), (6, "ann")):
        world.done("issuer", call("asset.set_role", asset="GLD", role=role, account=WHO[who], allowance=0))


def _no_roles(world: PairWorld) -> None:
    world.write(roles_key(b"GLD"), None)


def _paused(world: PairWorld) -> None:
    _appointed(world)
    world.done("ben", call("asset.pause", asset="GLD", **GROUND))


def _promised(world: PairWorld) -> None:
    """Ann has given ben a hold of 5."""
    _appointed(world)
    promise = {"asset": "GLD", "amount": 5, "beneficiary": WHO["ben"], "agent": b"", "expires": world.now + 3_600}
    world.done("ann", call("hold.create", ref=bytes(16), **promise))


def _kept_from_her(world: PairWorld) -> None:
    """A claim of ann's, in reach of a role."""
    _appointed(world)
    _claim_of(world, "GLD")


def _other_issuer(code: str) -> Change:
    def take_away(world: PairWorld) -> None:
        record = world.read(asset_key(code))
        world.write(asset_key(code), (*record[:3], WHO["cat"], *record[4:]))

    return take_away


def _restricted(operation: str, fields: dict[str, Any], by: str) -> Change:
    def before(world: PairWorld) -> None:
        world.done(by, call(operation, **fields, **GROUND))

    return before


def _no_authorities(world: PairWorld) -> None:
    world.write(COMPLIANCE_PARAMS_KEY, None)


GROUND = {"reason": "why", "legal_ref": "law"}
_ISSUER = (("issuer", _other_issuer("GLD"), Code.NO_PERMISSION),)
_ROLE = (("role", _no_roles, Code.NO_PERMISSION),)
_AUTHORITY = (("authority", _no_authorities, Code.NO_PERMISSION),)
_ACCOUNT = {"scope": 1, "account": WHO["ann"], "asset": ""}
_HOLDING = {"scope": 2, "account": WHO["ann"], "asset": "GLD"}

OF_ISSUERS = (
    Example(
        "asset.set_role",
        {"asset": "GLD", "role": 0, "account": WHO["cat"], "allowance": 0},
        sender="issuer",
        others=("cat",),
        roles=_ISSUER,
    ),
    Example("asset.renounce_flag", {"asset": "GLD", "flag": FLAG_PAUSABLE}, sender="issuer", roles=_ISSUER),
    Example("asset.accept", {"asset": "GLD", "on": 1}),
    Example("asset.set_metadata", {"asset": "GLD", "metadata_hash": b""}, before=_appointed, roles=_ROLE),
    Example(
        "asset.destroy",
        {"asset": "OLD"},
        sender="issuer",
        roles=(("issuer", _other_issuer("OLD"), Code.NO_PERMISSION),),
    ),
)
OF_ROLES = (
    Example("asset.pause", {"asset": "GLD", **GROUND}, sender="ben", before=_appointed, roles=_ROLE),
    Example("asset.unpause", {"asset": "GLD", **GROUND}, sender="cat", before=_paused, roles=_ROLE),
    Example(
        "asset.clawback",
        {"asset": "GLD", "holder": WHO["ann"], "amount": 5, "all": 0, **GROUND},
        sender="spare",
        before=_appointed,
        roles=_ROLE,
    ),
    Example(
        "asset.recall",
        {"asset": "GLD", "holder": WHO["ann"], "place": Place("hold", compute_id(HOLD, WHO["ann"], bytes(16))), **GROUND},
        sender="spare",
        before=_promised,
        roles=_ROLE,
    ),
    Example(
        "claim.clawback",
        {"asset": "GLD", "holder": WHO["ann"], "claim": 0, **GROUND},
        sender="spare",
        before=_kept_from_her,
        roles=_ROLE,
    ),
    Example(
        "asset.forced_transfer",
        {"asset": "GLD", "holder": WHO["ann"], "to": WHO["ben"], "amount": 5, **GROUND},
        sender="spare",
        before=_appointed,
        roles=_ROLE,
    ),
    Example(
        "comp.authorise",
        {"asset": "GLD", "account": WHO["cat"], "state": 2, **GROUND},
        sender="owner",
        before=_appointed,
        roles=_ROLE,
    ),
    Example("comp.freeze", {**_HOLDING, "level": 1, **GROUND, "until": 0}, sender="ben", before=_appointed, roles=_ROLE),
)
OF_AUTHORITIES = (
    Example(
        "comp.unfreeze",
        {**_ACCOUNT, **GROUND},
        sender="spare",
        before=_restricted("comp.freeze", {**_ACCOUNT, "level": 1, "until": 0}, "cat"),
        roles=_AUTHORITY,
    ),
    Example("comp.sanction", {"account": WHO["ann"], "list_id": "x", **GROUND}, sender="cat", roles=_AUTHORITY),
    Example(
        "comp.unsanction",
        {"account": WHO["ann"], **GROUND},
        sender="spare",
        before=_restricted("comp.sanction", {"account": WHO["ann"], "list_id": "x"}, "cat"),
        roles=_AUTHORITY,
    ),
    Example(
        "comp.set_authorities",
        {"accounts": tuple(sorted((WHO["ann"], WHO["cat"]))), "separate_release": 1},
        by_governance=True,
    ),
)

EXAMPLES = (
    *OF_ISSUERS,
    *OF_ROLES,
    *OF_AUTHORITIES,
    Example("asset.create", _NEW),
    Example(
        "asset.mint",
        {"asset": "QNX", "to": WHO["ann"], "amount": 5, "ref": ""},
        sender="issuer",
        roles=(("minter", _no_minter, Code.NO_PERMISSION),),
    ),
    Example(
        "asset.burn",
        {"asset": "QNX", "amount": 5},
        sender="issuer",
        roles=(("issuer or minter", _no_burner, Code.NO_PERMISSION),),
    ),
    Example("asset.transfer", {"asset": "QNX", "to": WHO["ben"], "amount": 5, "tag": ""}),
    Example("asset.multi_transfer", {"legs": _LEGS}, sender="ann", others=("ben",)),
    Example(
        "claim.take",
        {"claim": 0},
        before=_claimable,
        roles=(("claim of its own", _not_claimable, Code.PENDING_NOT_FOUND),),
    ),
)
