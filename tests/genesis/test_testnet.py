"""The plan of a local network: the same for the same options, no two nodes alike, refused when it cannot run."""

from __future__ import annotations

import pytest

from genesis.document import parse
from genesis.testnet import ASSET, FUNDS, NetworkOptions, bench_seed_label, plan_network, ports
from state.primitives.errors import GenesisError
from state.primitives.hashing import sha256
from state.primitives.ids import parse_address
from state.primitives.keys import KeyKind


def seed_of(label: str) -> bytes:
    return sha256(b"test" + label.encode())


def test_default_ports() -> None:
    assert [ports(26_656, i) for i in range(3)] == [
        (26656, 26657, 26660),
        (26666, 26667, 26670),
        (26676, 26677, 26680),
    ]


@pytest.mark.parametrize("count", [1, 4, 7])
def test_plan_is_complete_and_without_collisions(count: int) -> None:
    plan = plan_network(NetworkOptions(validators=count, base_port=30_000, time_ns=10**18), seed_of)
    assert plan == plan_network(NetworkOptions(validators=count, base_port=30_000, time_ns=10**18), seed_of)
    assert parse(plan.document.to_json()) == plan.document
    assert len(plan.nodes) == len(plan.document.validators) == count
    addresses = [address for node in plan.nodes for address in (node.rpc, node.p2p, node.metrics)]
    assert len(set(addresses)) == 3 * count
    by_id = {node.node_id: node.p2p for node in plan.nodes}
    assert plan.document.allowed_node_ids == tuple(sorted(by_id))
    for node in plan.nodes:
        assert sorted(node.peers) == sorted(f"{i}@{p}" for i, p in by_id.items() if i != node.node_id)
        entry = plan.document.validators[node.index]
        assert entry.ed25519_key == node.validator_keys[0].public_key.data.hex()
        assert entry.pq_key == node.validator_keys[1].public_key.data.hex()


def test_users_are_funded() -> None:
    plan = plan_network(NetworkOptions(time_ns=10**18, accounts=3), seed_of)
    assert [user.name for user in plan.users] == ["alice", "bob", "carol"]
    held = {(entry.account, entry.asset): int(entry.amount) for entry in plan.document.holdings}
    assert all(held[user.address, ASSET] == FUNDS for user in plan.users)
    assert len(held) == 6
    assert all(len(parse_address(user.address)) == 32 for user in plan.users)
    assert len({seed_of(bench_seed_label(i)) for i in range(3)}) == 3


def test_options_reach_the_document() -> None:
    plan = plan_network(
        NetworkOptions(time_ns=10**18, block_interval_ms=0, vote_key_kind=KeyKind.MLDSA44, chain_id="other"), seed_of
    )
    assert plan.document.consensus.block_interval_ms == 0
    assert {entry.pq_kind for entry in plan.document.validators} == {"mldsa44"}
    assert plan.document.chain_id == "other"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (NetworkOptions(validators=0), "1 to 64"),
        (NetworkOptions(validators=65), "1 to 64"),
        (NetworkOptions(base_port=0), "65535"),
        (NetworkOptions(base_port=65_520), "65535"),
        (NetworkOptions(accounts=-1), "--accounts"),
        (NetworkOptions(accounts=10**6), "--accounts"),
        (NetworkOptions(block_interval_ms=60_001), "block_interval_ms"),
    ],
)
def test_impossible_options_are_refused(options: NetworkOptions, message: str) -> None:
    with pytest.raises(GenesisError, match=message):
        plan_network(options, seed_of)


def test_secrets_do_not_show() -> None:
    plan = plan_network(NetworkOptions(time_ns=10**18), seed_of)
    text = repr(plan.nodes) + repr(plan.users)
    assert all(repr(seed_of(f"user/{user.name}")) not in text for user in plan.users)
    assert "PrivateKey" not in text
