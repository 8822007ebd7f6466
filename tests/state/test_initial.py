"""The first state: conserved from its first record, independent of the order of its parts, and refused when it contradicts itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from state.initial import GenesisAccount, GenesisAsset, GenesisHolding, GenesisState, genesis_changes
from state.modules.operation import BONDED_ADDRESS, FEES_ADDRESS
from state.params import AccountParams, ConsensusParams, FeeParams, Params, StakeParams
from state.primitives.errors import GenesisError, MalformedError
from state.primitives.keys import KeyKind
from state.primitives.limits import AMOUNT_MAX, POWER_TOTAL_MAX
from tests.state.ledger_world import ADDRESS, FEES, World, entry, genesis_state, key_of

BASE = genesis_state(FEES)
VALIDATOR = BASE.validators[0]


def test_supply_is_the_sum_of_holdings_with_the_bonded_stake() -> None:
    world = World(FEES)
    for code in ("QNX", "BND"):
        assert world.total(code) == world.supply(code)
    assert world.balance(BONDED_ADDRESS) == 1_050
    assert world.supply() == 5 * 1_000_000 + 1_050


def test_changes_are_sorted_and_independent_of_order() -> None:
    changes = genesis_changes(BASE)
    assert [key for key, _ in changes] == sorted(key for key, _ in changes)
    mixed = replace(BASE, accounts=tuple(reversed(BASE.accounts)), holdings=tuple(reversed(BASE.holdings)))
    assert genesis_changes(mixed) == changes


def with_params(**groups: Any) -> GenesisState:
    return replace(BASE, params=replace(BASE.params, **groups))


WRONG: dict[str, GenesisState] = {
    "no validators": replace(BASE, validators=()),
    "a validator twice": replace(BASE, validators=(VALIDATOR, VALIDATOR)),
    "one ML-DSA key twice": replace(BASE, validators=(VALIDATOR, VALIDATOR._replace(ed25519_key=key_of("v2").public_key.data))),
    "less than one unit of power": replace(BASE, validators=(VALIDATOR._replace(bonded=99),)),
    "too much power": replace(BASE, validators=(VALIDATOR._replace(bonded=(POWER_TOTAL_MAX + 1) * 100),)),
    "a short key": replace(BASE, validators=(VALIDATOR._replace(ed25519_key=b"x"),)),
    "a key of another kind": replace(
        BASE,
        validators=(VALIDATOR._replace(pq_kind=KeyKind.MLDSA44, pq_key=key_of("val", KeyKind.MLDSA44).public_key.data),),
    ),
    "an unknown owner": replace(BASE, validators=(VALIDATOR._replace(owner=bytes(32)),)),
    "an account twice": replace(BASE, accounts=(*BASE.accounts, BASE.accounts[0])),
    "no keys": replace(BASE, accounts=(*BASE.accounts, GenesisAccount(()))),
    "locked out": replace(BASE, accounts=(*BASE.accounts, GenesisAccount((entry(0, "x"),), (1, 1, 1, 2)))),
    "a kind of key not admitted": replace(
        BASE, accounts=(*BASE.accounts, GenesisAccount((entry(0, "x", 1, KeyKind.MLDSA44),)))
    ),
    "an unknown parent": replace(BASE, accounts=(*BASE.accounts, GenesisAccount((entry(0, "x"),), kind=3, parent=b"p" * 32))),
    "an unknown issuer": replace(BASE, assets=(*BASE.assets, GenesisAsset("XX", bytes(32)))),
    "an asset twice": replace(BASE, assets=(*BASE.assets, BASE.assets[0])),
    "a wrong code": replace(BASE, assets=(*BASE.assets, GenesisAsset("x", ADDRESS["bank"]))),
    "a wrong scale": replace(BASE, assets=(*BASE.assets, GenesisAsset("XX", ADDRESS["bank"], 129))),
    "an unknown flag": replace(BASE, assets=(*BASE.assets, GenesisAsset("XX", ADDRESS["bank"], flags=1 << 11))),
    "an unknown minter": replace(BASE, assets=(*BASE.assets, GenesisAsset("XX", ADDRESS["bank"], minters=((bytes(32), 1),)))),
    "a minter twice": replace(
        BASE, assets=(*BASE.assets, GenesisAsset("XX", ADDRESS["bank"], minters=((ADDRESS["bank"], 1),) * 2))
    ),
    "an empty allowance": replace(BASE, assets=(*BASE.assets, GenesisAsset("XX", ADDRESS["bank"], minters=((ADDRESS["bank"], 0),)))),
    "an unknown asset": replace(BASE, holdings=(GenesisHolding(ADDRESS["bank"], "ZZ", 1),)),
    "an unknown holder": replace(BASE, holdings=(GenesisHolding(bytes(32), "QNX", 1),)),
    "a module as holder": replace(BASE, holdings=(GenesisHolding(FEES_ADDRESS, "QNX", 1),)),
    "an empty holding": replace(BASE, holdings=(GenesisHolding(ADDRESS["bank"], "QNX", 0),)),
    "a holding twice": replace(BASE, holdings=(GenesisHolding(ADDRESS["bank"], "QNX", 1),) * 2),
    "more than its maximum": replace(BASE, holdings=(GenesisHolding(ADDRESS["bank"], "BND", 1_001),)),
    "more than any amount": replace(
        BASE, holdings=(GenesisHolding(ADDRESS["bank"], "QNX", AMOUNT_MAX), GenesisHolding(ADDRESS["bob"], "QNX", 1))
    ),
    "an unknown fee asset": with_params(fees=FeeParams(asset="ZZ", base_default=1)),
    "fees without asset": with_params(fees=FeeParams(base_default=1)),
    "an unknown stake asset": with_params(stake=StakeParams("ZZ")),
    "no power unit": with_params(stake=StakeParams("QNX", 0)),
    "a parameter out of range": with_params(consensus=replace(ConsensusParams(), block_bytes_max=1)),
    "no kinds of keys": with_params(accounts=AccountParams(())),
}


@pytest.mark.parametrize("name", WRONG)
def test_contradictions_are_refused(name: str) -> None:
    with pytest.raises(GenesisError):
        genesis_changes(WRONG[name])


def test_parameters_come_back() -> None:
    params = Params(fees=FEES, stake=StakeParams("QNX", 7), accounts=AccountParams((1, 3)))
    for group in (params.consensus, params.fees, params.stake, params.accounts):
        assert type(group).from_record(group.to_record()) == group
    assert not FEES.is_free
    assert FeeParams().is_free


@pytest.mark.parametrize(
    ("group", "record"),
    [
        (ConsensusParams, ()),
        (ConsensusParams, ConsensusParams().to_record()[:-1]),
        (ConsensusParams, (True, *ConsensusParams().to_record()[1:])),
        (FeeParams, ()),
        (FeeParams, ("QNX", b"", b"", b"", -1, ())),
        (FeeParams, ("QNX", b"", b"", b"", 0, (("b", b""), ("a", b"")))),
        (FeeParams, ("QNX", b"", b"", b"", 0, (("b", b""), ("b", b"")))),
        (FeeParams, ("QNX", b"", b"", b"", 0, (("b",),))),
        (FeeParams, ("QNX", b"\x00", b"", b"", 0, ())),
        (AccountParams, ((3, 1),)),
        (AccountParams, ((1, 1),)),
        (AccountParams, ((9,),)),
        (StakeParams, ("QNX", b"")),
        (StakeParams, ("qnx", b"\x01")),
        (StakeParams, ("QNX",)),
    ],
)
def test_wrong_parameter_records(group: Any, record: Any) -> None:
    with pytest.raises(MalformedError):
        group.from_record(record)
