"""`qenex inspect`: what the RPC would say, from a stopped node's data; it changes nothing and takes nothing."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from node.config_sections import RpcConfig
from node.maintenance.inspect import READING, RUNNING_ONLY, make_backend, serve_stopped
from node.maintenance.opening import open_stopped
from node.rpc.client import Client
from node.rpc.methods import METHODS
from state.primitives.errors import ClientError, StorageCorruptError
from tests.node.maintenance.chain import contents, make_home, qenex

HEIGHT = 5
OF_INDEX = [name for name, row in METHODS.items() if row.handler.__module__ == "node.rpc.history" and name != "index_status"]
ARGUMENTS: dict[str, dict[str, Any]] = {
    "block_by_hash": {}, "block_search": {"query": "block.height > 1"}, "tx_search": {"query": "tx.height > 1"},
    "abci_query": {"path": "/params/consensus", "prove": True}, "record": {"path": "/params/consensus"},
    "blockchain": {"minHeight": "1", "maxHeight": "5"}, "asset": {"code": "QNX"},
    "amm_pool": {"pool": "EUR/QNX"}, "amm_quote": {"operation": "swap_in", "target": "EUR,QNX", "amount": "1"},
    "farm": {"farm": "0"},
}  # fmt: skip
# what a parameter of this name is given where nothing is said above; accounts are the first validator's owner
BY_NAME = {
    "asset": "QNX", "request": "0", "proposal": "1", "type": "kyc", "domain": "traders", "amount": "1",
    **dict.fromkeys(("hold", "escrow", "settlement", "offer"), "00" * 20),
}  # fmt: skip
ACCOUNTS = ("account", "subject", "issuer", "regulator", "to", "who", "group")


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pattern")
    trio.run(make_home, root / "net", HEIGHT)
    return root


@pytest.fixture
def home(pattern: Path, tmp_path: Path) -> Path:
    shutil.copytree(pattern, tmp_path / "all")
    return tmp_path / "all" / "net" / "node0"


async def test_every_reading_method_answers(home: Path) -> None:
    before = contents(home)
    with open_stopped(home, read_only=True) as node:
        backend = make_backend(node, "stopped", "00" * 20, "1")
        async with trio.open_nursery() as nursery:
            address = await nursery.start(serve_stopped, backend, RpcConfig(listen="127.0.0.1:0"))
            async with Client(f"http://{address}") as client:
                status = await client.call("status")
                assert status["sync_info"]["latest_block_height"] == str(HEIGHT)
                assert status["sync_info"]["catching_up"] is False
                block = await client.call("block", height="3")
                ARGUMENTS["header_by_hash"] = {"hash": block["block_id"]["hash"]}
                ARGUMENTS["block_by_hash"] = {"hash": _b64(block["block_id"]["hash"])}
                found = (await client.call("tx_search", query="tx.height = 3"))["txs"]
                ARGUMENTS["tx"] = ARGUMENTS["tx_status"] = {"hash": _b64(found[0]["hash"])}
                raw = found[0]["tx"]
                ARGUMENTS["check_tx"] = ARGUMENTS["simulate"] = ARGUMENTS["tx_decode"] = {"tx": raw}
                account = json.loads(json.dumps(await client.call("genesis")))["genesis"]["app_state"]["document"]
                ARGUMENTS["account"] = {"address": account["accounts"][0]["address"]}
                validator = status_validator(await client.call("validators"))
                ARGUMENTS["stake_validator"] = {"validator": validator}
                owner = account["validators"][0]["owner"]
                ARGUMENTS["stake_delegation"] = {"validator": validator, "delegator": owner}
                ARGUMENTS["stake_delegations"] = {"delegator": owner}
                ARGUMENTS["amm_positions"] = {"account": owner}
                ARGUMENTS["farm_positions"] = {"account": owner}
                ARGUMENTS["farm_position"] = {"account": owner, "position": "0"}
                ARGUMENTS["amm_position"] = {"account": owner, "pool": "EUR/QNX"}
                given = {**BY_NAME, **dict.fromkeys(ACCOUNTS, owner)}
                for name, method in METHODS.items():
                    if name in OF_INDEX:
                        needed = {param.name: "1" for param in method.params if param.default is ...}
                        known = {"account": owner, "asset": "QNX", "pool": "EUR/QNX"}
                        needed |= {key: value for key, value in known.items() if key in needed}
                        with pytest.raises(ClientError, match="no index here"):
                            await client.call(name, **needed)
                    elif name not in RUNNING_ONLY:
                        needed = {param.name: given[param.name] for param in method.params if param.default is ... and param.name in given}
                        await client.call(name, **ARGUMENTS.get(name, needed))
                assert (await client.call("tx_status", **ARGUMENTS["tx"]))["status"] == "committed"
                for name in RUNNING_ONLY:
                    arguments = {param.name: raw for param in METHODS[name].params if param.default is ...}
                    if name == "broadcast_tx_batch":
                        arguments = {"txs": [raw]}
                    with pytest.raises(ClientError, match="stopped node's data"):
                        await client.call(name, **arguments)
            nursery.cancel_scope.cancel()
    assert set(READING) == set(METHODS)
    assert contents(home) == before


def _b64(hexed: str) -> str:
    import base64

    return base64.b64encode(bytes.fromhex(hexed)).decode()


def status_validator(answer: Any) -> str:
    return str(answer["validators"][0]["address"]).lower()


async def test_damage_ends_it(home: Path) -> None:
    with open_stopped(home, read_only=True) as node:
        backend = make_backend(node, "stopped", "00" * 20, "1")

        def broken(height: int) -> Any:
            raise StorageCorruptError("a table is damaged")

        backend.block_at = broken
        with pytest.RaisesGroup(StorageCorruptError, flatten_subgroups=True):
            async with trio.open_nursery() as nursery:
                address = await nursery.start(serve_stopped, backend, RpcConfig(listen="127.0.0.1:0"))
                async with Client(f"http://{address}") as client:
                    with pytest.raises(ClientError):
                        await client.call("block", height="2")
                    await trio.sleep_forever()


def test_the_command(home: Path) -> None:
    command = [sys.executable, "-m", "node.cli.main", "inspect", "--home", str(home), "--listen", "127.0.0.1:0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        try:
            said = json.loads(process.stdout.readline())
            assert said["height"] == str(HEIGHT)

            async def ask() -> Any:
                async with Client(f"http://{said['listening']}") as client:
                    return await client.call("commit", height="2")

            assert trio.run(ask)["signed_header"]["header"]["height"] == "2"
            assert "in use by another process" in qenex("rollback", "--home", home, "--yes", "--json").error["message"]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
        assert process.stderr.read() == ""


def test_mistakes(home: Path, tmp_path: Path) -> None:
    assert qenex("inspect", "--home", tmp_path / "none", "--json").error["name"] == "HOME"
    assert qenex("inspect", "--home", home, "--listen", "nowhere", "--json").error["name"] == "CONFIG"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = qenex("inspect", "--home", home, "--listen", f"127.0.0.1:{port}", "--json")
        assert (done.code, done.error["name"]) == (2, "PORT_IN_USE")
    for listen, why in (
        ("nohost.invalid:5000", "the name nohost.invalid leads nowhere: "),
        ("192.0.2.1:5000", "192.0.2.1 is no address of this machine"),  # of the documentation, RFC 5737
        (f"{'x' * 70}.invalid:5000", f"{'x' * 70}.invalid "),
    ):
        done = qenex("inspect", "--home", home, "--listen", listen, "--json")
        assert (done.code, done.error["name"]) == (2, "CONFIG")
        assert f"[rpc] listen = {listen}: {why}" in done.error["message"]
    shutil.rmtree(home / "data" / "db")
    assert "no database" in qenex("inspect", "--home", home, "--json").error["message"]
