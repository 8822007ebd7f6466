"""Pure reads: paths to raw keys, records as JSON, accounts and assets, and that simulating is applying."""

from __future__ import annotations

import json
from typing import Any

import pytest

from state import paths, queries
from state.codes import Code
from state.params import ConsensusParams
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address
from state.primitives.limits import LANE_UNORDERED
from state.queries_staking import get_validator_set
from state.schema import CONSENSUS_PARAMS_KEY, account_key, asset_key, holding_key
from state.schema_staking import VALIDATORS_KEY
from state.transaction import Draft, Transaction, call
from tests.state.ledger_world import ADDRESS, FEES, World, key_of, pay

ALICE = ADDRESS["alice"]
TEXT = format_address(ALICE)


@pytest.fixture
def world() -> World:
    return World(FEES)


def test_paths(world: World) -> None:
    validator = next(key[2:].hex() for key in world.db if key[1:2] == b"v")
    expected = {
        f"/account/{TEXT}": account_key(ALICE),
        f"/holding/{TEXT}/QNX": holding_key(ALICE, "QNX"),
        f"/nonces/{TEXT}": b" n" + ALICE,
        "/asset/QNX": asset_key("QNX"),
        "/supply/QNX": b" sQNX",
        f"/minter/{format_address(ADDRESS['bank'])}/QNX": b" m" + ADDRESS["bank"] + b"QNX",
        f"/validator/{validator}": b" v" + bytes.fromhex(validator),
        "/validators": VALIDATORS_KEY,
        "/params/consensus": CONSENSUS_PARAMS_KEY,
    }
    world.do("alice", pay("bob"))
    for path, key in expected.items():
        assert paths.resolve_path(path) == key
        assert json.dumps(queries.describe_record(key, world.db[key]))
    assert paths.resolve_path("/store/key", b" a" + ALICE) == account_key(ALICE)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/account", "/account/qx1nonsense", "/asset/qnx", "/asset/QNX/more", "/validator/zz", "/validator/00", "/params/x",
     "/holding/QNX", "/store/key", "/nothing/at/all"],
)  # fmt: skip
def test_wrong_paths(path: str) -> None:
    with pytest.raises(MalformedError):
        paths.resolve_path(path)


def test_every_record_of_the_state_can_be_described_or_is_internal(world: World) -> None:
    world.do("alice", pay("bob"), client_ref=b"r" * 16, lane=LANE_UNORDERED)
    for key, raw in world.db.items():
        if key[1:2] in b"cuqLkXRw":
            with pytest.raises(MalformedError):
                queries.describe_record(key, raw)
        else:
            json.dumps(queries.describe_record(key, raw))
    with pytest.raises(MalformedError):
        queries.describe_record(b" ", b"\x90")


def test_account(world: World) -> None:
    world.do("carol", pay("bob", 10), lane=5)
    account = queries.get_account(world.db, ADDRESS["carol"])
    assert account is not None
    assert account["kind"] == "customer"
    assert account["thresholds"] == {"low": 1, "medium": 2, "high": 3, "statutory": 4}
    assert account["next_sequence"] == {"5": "1"}
    assert account["holdings"] == {"QNX": str(world.balance("carol"))}
    keys: Any = account["keys"]
    assert [(key["key_id"], key["kind"], key["weight"]) for key in keys] == [(0, "ed25519", 1), (1, "ed25519", 1), (7, "ed25519", 2)]
    assert keys[0]["public_key"] == key_of("c0").public_key.data.hex()
    assert queries.get_account(world.db, bytes(32)) is None
    assert queries.get_next_sequence(world.db, ADDRESS["carol"], 5) == 1
    assert queries.get_next_sequence(world.db, ADDRESS["carol"]) == 0
    assert queries.get_next_sequence(world.db, bytes(32)) == 0


def test_asset_and_listing(world: World) -> None:
    asset = queries.get_asset(world.db, "BND")
    assert asset is not None
    assert (asset["scale"], asset["max_supply"], asset["flags"], asset["supply"]) == (0, "1000", [], "500")
    assert queries.get_asset(world.db, "NONE") is None
    assert queries.get_supply(world.db, "NONE") == 0
    create = call("asset.create", code="NEW", scale=0, max_supply=0, flags=1, minters=(), metadata_hash=b"")
    assert world.do("alice", create).code == Code.OK
    assert queries.get_asset_codes(world.db, 0, 10) == ("QNX", "BND", "NEW")
    assert queries.get_asset_codes(world.db, 1, 1) == ("BND",)
    assert queries.get_asset_codes({}, 0, 10) == ()
    assert queries.get_holdings(world.db, ADDRESS["bank"], ["BND", "NEW"]) == {"BND": "500"}


def test_validators_and_parameters(world: World) -> None:
    validators = get_validator_set(world.db)
    assert [validator.power for validator in validators.validators] == [10]
    assert queries.show_consensus_params(ConsensusParams())["block_interval_ms"] == 1_000
    assert queries.describe_record(CONSENSUS_PARAMS_KEY, world.db[CONSENSUS_PARAMS_KEY]) == queries.show_consensus_params(
        ConsensusParams()
    )
    fees = queries.describe_record(b" pfees", world.db[b" pfees"])
    assert fees["base"] == {"asset.transfer": "3"}


def test_transaction_and_receipt_in_words(world: World) -> None:
    tx = world.tx(
        "alice", pay("bob", 5), memo="hi", travel=("ivms101", b"h" * 32, "A", "B", (1, b"s"), "ref"),
        preconditions=[(1, 0, 5)], e2e_id=b"e" * 16, purpose="SALA",
    )  # fmt: skip
    shown = queries.describe_transaction(tx)
    json.dumps(shown)
    ops: Any = shown["ops"]
    assert ops[0] == {"op": "asset.transfer", "as": TEXT, "asset": "QNX", "to": format_address(ADDRESS["bob"]), "amount": "5", "tag": ""}
    assert shown["preconditions"] == [{"kind": "height_between", "low": 0, "high": 5}]
    receipt = queries.describe_receipt(world.apply(tx)[0])
    json.dumps(receipt)
    assert (receipt["code"], receipt["code_name"]) == (0, "OK")


@pytest.mark.parametrize(
    ("sender", "op", "envelope"),
    [
        ("alice", pay("bob", 5), {}),
        ("alice", pay("bob", 10**9), {}),
        ("alice", pay("bob", 5), {"preconditions": [(1, 8, 9)]}),
        ("carol", pay("bob", 5), {"lane": LANE_UNORDERED, "client_ref": b"c" * 16}),
        ("bank", call("asset.mint", asset="QNX", to=ALICE, amount=5, ref=""), {}),
        ("alice", pay("bob", 5), {"seq": 4}),
        ("poor", pay("bob", 5), {}),
        ("alice", pay("bob", 5), {"signers": []}),
    ],
)
def test_simulating_is_applying(world: World, sender: str, op: Any, envelope: dict[str, Any]) -> None:
    tx = world.tx(sender, op, **envelope)
    before = dict(world.db)
    simulated = queries.simulate(world.db, world.context(), tx)
    assert world.db == before
    assert simulated.code == world.check(tx).code or simulated.code == world.apply(tx)[0].code
    if simulated.code < 100 or simulated.code >= 200:
        other = World(FEES)
        assert other.apply(tx)[0] == simulated


def test_simulating_before_signing(world: World) -> None:
    signed = world.tx("alice", pay("bob", 5))
    dummy = Transaction.decode(Draft.load(signed.raw).attach(ALICE, 0, bytes(64)).encode())
    assert queries.simulate(world.db, world.context(), dummy).code == Code.BAD_SIGNATURE
    assert queries.simulate(world.db, world.context(), dummy, assume_signed=True) == world.apply(signed)[0]
    unsigned = world.tx("alice", pay("bob", 5), signers=[])
    assert queries.simulate(world.db, world.context(), unsigned, assume_signed=True).code == Code.QUORUM_NOT_MET
