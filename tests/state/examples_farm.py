"""Examples of the operations on farms, for `test_authorisation`."""

from __future__ import annotations

from state.codes import Code
from state.schema_farm import farm_key
from state.schema_kyc import Credential, Domain, credential_key, domain_key
from state.transaction import call
from tests.state.authorisation_world import WHO, Example, PairWorld
from tests.state.ledger_world import NOW

_CREATE = {
    "stake_asset": "EUR",
    "reward_asset": "QNX",
    "start": 0,
    "end": NOW + 100,
    "budget": 10**6,
    "lock_tiers": ((0, 1_000_000),),
    "max_stakers": 0,
    "min_stake": 0,
    "domain": "funds",
}


def _domain(world: PairWorld) -> None:
    world.write(domain_key("funds"), Domain(WHO["issuer"], ((WHO["issuer"], "fund", 1),)))
    world.write(credential_key(WHO["ann"], WHO["issuer"], "fund"), Credential(1, "", NOW + 10**6, b"e" * 32, 1, 1))


def _no_domain(world: PairWorld) -> None:
    world.write(domain_key("funds"), None)


def _no_credential(world: PairWorld) -> None:
    world.write(credential_key(WHO["ann"], WHO["issuer"], "fund"), None)


def _farm(world: PairWorld) -> None:
    _domain(world)
    world.done("ann", call("farm.create", **_CREATE))


def _staked(world: PairWorld) -> None:
    _farm(world)
    world.done("ann", call("farm.stake", farm=0, amount=10**6, tier=0))
    world.now += 50


def _ended(world: PairWorld) -> None:
    _farm(world)
    world.now += 100


def _not_sponsor(world: PairWorld) -> None:
    world.change(farm_key(0), sponsor=WHO["cat"])


_SPONSOR = (("sponsor of the farm", _not_sponsor, Code.NO_PERMISSION),)

EXAMPLES = (
    Example("farm.create", _CREATE, before=_domain, roles=(("domain", _no_domain, Code.CREDENTIAL_MISSING),)),
    Example(
        "farm.fund",
        {"farm": 0, "reward_asset": "BTC", "amount": 10**6, "start": 0, "extend_to": 0},
        before=_farm,
        roles=_SPONSOR,
    ),
    Example(
        "farm.stake",
        {"farm": 0, "amount": 5, "tier": 0},
        before=_farm,
        roles=(
            ("credential", _no_credential, Code.CREDENTIAL_MISSING),
            ("domain", _no_domain, Code.CREDENTIAL_MISSING),
        ),
    ),
    Example("farm.unstake", {"farm": 0, "position": 0, "amount": 5}, before=_staked),
    Example("farm.claim", {"farm": 0, "positions": (0,), "reward_asset": ""}, before=_staked),
    Example("farm.exit", {"position": 0}, before=_staked),
    Example("farm.close", {"farm": 0}, before=_ended, roles=_SPONSOR),
    Example("farm.emergency_exit", {"position": 0}, before=_staked),
)
