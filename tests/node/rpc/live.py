"""Real nodes in this process: homes, stores, consensus, links and RPC, with a block every tenth of a second."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import trio

from genesis.testnet import NetworkOptions
from node.app import run_opened
from node.config import Overrides, load_config, render_config
from node.config_sections import MetricsConfig, WorkersConfig
from node.keystore import Role, read_key_file
from node.opening import open_home
from node.rpc.client import Client
from node.testnet.files import create_network
from state.params import ConsensusParams
from state.primitives.ids import parse_address
from state.primitives.keys import KeyKind, PrivateKey
from state.transaction import build, call, sign
from tests.node.ports import free_base_port

WAIT_S = 300.0
PARAMS = ConsensusParams(block_interval_ms=100)


@dataclass
class Live:
    """A running network; `url` is its first node's."""

    root: Path
    url: str
    alice: PrivateKey
    sender: bytes
    recipient: bytes

    async def transfer(self, client: Client, amount: int = 7) -> bytes:
        """A signed transfer from Alice to Bob with her next sequence."""
        draft = build(
            chain_id=await client.chain_id(),
            sender=self.sender,
            seq=await client.next_sequence(self.sender),
            valid_until=int(time.time()) + 600,
            ops=[call("asset.transfer", asset="QNX", to=self.recipient, amount=amount, tag="")],
            memo="",
            max_fee=0,
        )
        return sign(draft, [(self.sender, 0, self.alice)])


def no_passphrase(path: Path) -> bytes:
    raise AssertionError(f"{path} is encrypted")


async def run_node(home: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    with ExitStack() as stack:
        await run_opened(open_home(home, Overrides(), stack), task_status=task_status)


def make_live(root: Path, validators: int, **rpc: Any) -> Live:
    """The homes of a network; `rpc` are settings of the first node's RPC."""
    base = free_base_port()
    create_network(
        root,
        NetworkOptions(
            validators=validators,
            base_port=base,
            time_ns=int(time.time()) * 10**9,
            vote_key_kind=KeyKind.MLDSA44,
            block_interval_ms=100,
            params=PARAMS,
        ),
    )
    for number in range(validators):
        path = root / f"node{number}" / "config.toml"
        config = load_config(path, environment={})
        settings = msgspec.structs.replace(config.rpc, **rpc) if number == 0 else config.rpc
        config = msgspec.structs.replace(
            config, rpc=settings, workers=WorkersConfig(signatures=0), metrics=MetricsConfig(listen="")
        )
        path.write_text(render_config(config))
    keys = [read_key_file(root / "keys" / f"{name}.json", no_passphrase, role=Role.USER) for name in ("alice", "bob")]
    scheme = "https" if rpc.get("tls_cert") else "http"
    return Live(root, f"{scheme}://127.0.0.1:{base + 1}", keys[0].key, *(parse_address(key.account) for key in keys))


@asynccontextmanager
async def running(live: Live, validators: int) -> AsyncIterator[Live]:
    """The network until the block ends."""
    with trio.fail_after(WAIT_S):
        async with trio.open_nursery() as nursery:
            for number in range(validators):
                await nursery.start(run_node, live.root / f"node{number}")
            yield live
            nursery.cancel_scope.cancel()


async def wait_for_height(client: Client, height: int) -> None:
    while await client.height() < height:
        await trio.sleep(0.02)
