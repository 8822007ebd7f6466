"""A real network of four validators, and a careless operator who starts a second home with the keys of the fourth.

Real homes, stores, links and RPC, in one process. The proof is in a block of every other node within five heights, and the ledger has
tombstoned the validator. That instances which hear each other directly stop is shown on a network in one process.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from genesis.document import Document, compute_node_id
from genesis.rules import check
from genesis.testnet import NetworkOptions, NodePlan, plan_network
from node.app import run_opened
from node.config import Home, Overrides
from node.config_sections import Config, MetricsConfig, P2pConfig, RpcConfig, WorkersConfig
from node.driver import Driver
from node.homes import create_home, install_genesis
from node.opening import open_home
from node.rpc.client import Client
from node.storage.store import Store
from state.params import ConsensusParams
from state.primitives.errors import DoubleSignError
from state.primitives.hashing import sha256, validator_address
from state.primitives.keys import KeyKind, PrivateKey
from state.schema_staking import Pool, address_owner_key, pool_key
from state.view import RecordCache, View
from tests.node.ports import free_base_port

HEIGHTS_MAX = 5
WAIT_S = 300.0
PARAMS = ConsensusParams(
    timeout_propose_ms=1_000, timeout_prevote_ms=300, timeout_precommit_ms=300, timeout_delta_ms=300, block_interval_ms=150
)


def make_homes(root: Path) -> tuple[NodePlan, ...]:
    """Four homes, and a fifth with the fourth's voting keys and a node key of its own."""
    base = free_base_port()
    options = NetworkOptions(
        base_port=base, block_interval_ms=150, time_ns=int(time.time()) * 10**9, vote_key_kind=KeyKind.MLDSA44, params=PARAMS
    )
    plan = plan_network(options, lambda label: sha256(b"double signer" + label.encode()))
    second = PrivateKey.from_seed(KeyKind.MLDSA87, sha256(b"the second home's node key"))
    document = msgspec.structs.replace(plan.document, admitted_node_ids=(compute_node_id(second.public_key),))
    check(document)
    for node in plan.nodes:
        make_home(root / node.moniker, node, node.p2p, node.rpc, node.peers, node.node_key, document)
    # its settings are the first home's, so it dials the other three: what the first proposes reaches it by relay, too late to be in step
    twin = plan.nodes[3]
    make_home(root / "second", twin, f"127.0.0.1:{base + 40}", f"127.0.0.1:{base + 41}", twin.peers, second, document)
    return plan.nodes


def make_home(
    home: Path, node: NodePlan, p2p: str, rpc: str, peers: tuple[str, ...], key: PrivateKey, document: Document
) -> None:
    config = Config(
        moniker=home.name,
        rpc=RpcConfig(listen=rpc),
        p2p=P2pConfig(listen=p2p, peers=peers),
        workers=WorkersConfig(signatures=0),
        metrics=MetricsConfig(listen=""),
    )
    create_home(
        home, moniker=home.name, vote_kind=KeyKind.MLDSA44, passphrase=None, config=config, node_key=key,
        validator_keys=node.validator_keys,
    )  # fmt: skip
    install_genesis(home, document.to_json(), lambda path: b"")


async def run_node(root: Path, *, task_status: trio.TaskStatus[None]) -> None:
    """A node until it is cancelled, or until it hears its own key say something else."""
    with ExitStack() as stack:
        opened = open_home(root, Overrides(), stack)
        try:
            await run_opened(opened, task_status=task_status)
        except* DoubleSignError:
            pass


async def find_evidence(client: Client, first: int) -> tuple[int, list[Any]]:
    """(height, evidence) of the first block that carries any, looking from `first` on."""
    height = first
    while True:
        while height > await client.height():
            await trio.sleep(0.05)
        block = (await client.call("block", height=str(height)))["block"]
        if block["evidence"]["evidence"]:
            return height, block["evidence"]["evidence"]
        height += 1


def offence_height(item: Any) -> int:
    value = item["value"]
    return int((value.get("vote_a") or value.get("proposal_a"))["height"])


async def test_a_second_instance_of_a_key_is_proved_and_tombstoned_within_five_heights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not look for what the first has signed: a node that does would mostly stop before it could be proved."""
    monkeypatch.setattr(Driver, "_look_for_ours", lambda *_: None)
    monkeypatch.setattr(Driver, "_require_alone", lambda *_: None)
    plans = make_homes(tmp_path)
    found: dict[int, tuple[int, list[Any]]] = {}
    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            for name in (*(plan.moniker for plan in plans), "second"):
                await nursery.start(run_node, tmp_path / name)
            for index in range(3):
                async with Client(f"http://{plans[index].rpc}") as client:
                    found[index] = await find_evidence(client, 1)
            async with Client(f"http://{plans[0].rpc}") as client:
                while await client.height() < found[0][0] + 3:  # the validator set changes, and the others go on
                    await trio.sleep(0.05)
                powers = (await client.call("validators", height=str(found[0][0] + 3)))["validators"]
            nursery.cancel_scope.cancel()
    address = validator_address(plans[3].validator_keys[0].public_key.data)
    assert found[0] == found[1] == found[2]
    height, items = found[0]
    assert all(height - offence_height(item) <= HEIGHTS_MAX for item in items)
    assert address.hex().upper() not in {row["address"] for row in powers}
    for index in range(3):
        assert is_tombstoned(tmp_path / plans[index].moniker, address)


async def test_a_second_instance_that_looks_ends_by_itself(tmp_path: Path) -> None:
    """Both homes run what everybody runs; one of them at least sees the other's signature, or a block with the proof, and stops.

    Failed now and then before blocks were looked at: when both proposed in the same moment, only the others heard both.
    """
    plans = make_homes(tmp_path)
    ended = trio.Event()

    async def run_until_it_ends(name: str, *, task_status: trio.TaskStatus[None]) -> None:
        await run_node(tmp_path / name, task_status=task_status)
        ended.set()

    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            for plan in plans[:3]:
                await nursery.start(run_node, tmp_path / plan.moniker)
            for name in (plans[3].moniker, "second"):
                await nursery.start(run_until_it_ends, name)
            await ended.wait()
            async with Client(f"http://{plans[0].rpc}") as client:
                height = await client.height()
                while await client.height() < height + 3:  # the others go on
                    await trio.sleep(0.05)
            nursery.cancel_scope.cancel()


def is_tombstoned(root: Path, address: bytes) -> bool:
    store = Store.open(Home(root).db_dir)
    try:
        view = View(RecordCache(store, store.height))
        pool: Pool = view.get(pool_key(view.get(address_owner_key(address))[0]))
        return pool.is_tombstoned
    finally:
        store.close()
