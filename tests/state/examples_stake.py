"""Examples of the operations of staking, for `test_authorisation`."""

from __future__ import annotations

from state.codes import Code
from state.primitives.hashing import validator_address
from state.schema import ADMIT_VALIDATOR, admission_key
from state.schema_staking import pool_key, validator_key
from state.transaction import call
from tests.state.authorisation_world import WHO, Example, PairWorld, vote_keys

V0, V1 = (validator_address(vote_keys(name)[0]) for name in ("v0", "v1"))
_NEW = dict(zip(("ed25519_key", "pq_kind", "pq_key"), vote_keys("v9"), strict=True))


def _admitted(world: PairWorld) -> None:
    world.write(admission_key(ADMIT_VALIDATOR, WHO["ann"]), (0,))


def _not_admitted(world: PairWorld) -> None:
    world.write(admission_key(ADMIT_VALIDATOR, WHO["ann"]), None)


def _not_owner(world: PairWorld) -> None:
    world.change(validator_key(V0), owner=WHO["ben"])


def _jailed(world: PairWorld) -> None:
    world.change(pool_key(V0), is_jailed=True)


def _delegated(world: PairWorld) -> None:
    world.done("ann", call("stake.delegate", validator=V0, amount=1_000))


def _leaving(world: PairWorld) -> None:
    _delegated(world)
    world.done("ann", call("stake.undelegate", validator=V0, amount=400))


_OWNER = (("owner of the validator", _not_owner, Code.NO_PERMISSION),)

EXAMPLES = (
    Example(
        "stake.register",
        {**_NEW, "commission_ppm": 0, "min_self_bond": 0, "amount": 1_000, "moniker": "new", "details": ""},
        before=_admitted,
        roles=(("admission", _not_admitted, Code.NO_PERMISSION),),
    ),
    Example(
        "stake.edit",
        {"validator": V0, "commission_ppm": 0, "min_self_bond": 0, "moniker": "v0", "details": "x"},
        sender="owner",
        roles=_OWNER,
    ),
    Example("stake.rotate_consensus_key", {"validator": V0, **_NEW}, sender="owner", roles=_OWNER),
    Example("stake.unjail", {"validator": V0}, sender="owner", before=_jailed, roles=_OWNER),
    Example("stake.delegate", {"validator": V0, "amount": 500}),
    Example("stake.undelegate", {"validator": V0, "amount": 500}, before=_delegated),
    Example("stake.cancel_unbond", {"validator": V0, "entry": 0}, before=_leaving),
    Example("stake.redelegate", {"source": V0, "destination": V1, "amount": 500}, before=_delegated),
    Example("stake.claim", {"validator": V0}, before=_leaving, settled_later_s=22 * 24 * 3600),
)
