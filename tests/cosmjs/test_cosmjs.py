"""CosmJS's Comet38Client, unmodified, reads, searches, proves, sends and listens. Opt-in: `scripts/test --cosmjs`."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from node.keystore import Role, read_key_file
from node.rpc.client import Client
from state.codes import Code
from state.primitives.ids import parse_address
from state.transaction import call
from tests.node.ports import free_base_port

BASE_PORT = free_base_port()
URL = f"http://127.0.0.1:{BASE_PORT + 1}"
QENEX = [sys.executable, "-m", "node.cli.main"]


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "net"
    up = ["testnet", "up", "--detach", "--home", str(home), "--base-port", str(BASE_PORT)]
    try:
        subprocess.run([*QENEX, *up], check=True, timeout=60)
        yield home
    finally:
        subprocess.run([*QENEX, "testnet", "down", "--home", str(home)], check=True, timeout=60)


async def sign_transfers(home: Path) -> list[bytes]:
    alice, bob = (
        read_key_file(home / "keys" / f"{name}.json", lambda _: b"", role=Role.USER) for name in ("alice", "bob")
    )
    async with Client(URL) as client:
        raws = []
        for payer, payee in ((alice, bob), (bob, alice)):
            sender = parse_address(payer.account)
            ops = [call("asset.transfer", asset="QNX", to=parse_address(payee.account), amount=5, tag="")]
            raws.append(await client.sign_operations(ops, sender, [(sender, 0, payer.key)]))
        return raws


@pytest.mark.cosmjs
@pytest.mark.timeout(300)
def test_comet38client(network: Path, tmp_path: Path) -> None:
    here = Path(__file__).parent
    work = tmp_path / "client"
    work.mkdir()
    for name in ("package.json", "client.mjs"):
        shutil.copy(here / name, work / name)
    npm = shutil.which("npm")
    node = shutil.which("node")
    assert npm and node, "this test needs Node and npm"
    subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund"], cwd=work, check=True, timeout=200)
    raws = trio.run(sign_transfers, network)
    arguments = [node, "client.mjs", URL, *(base64.b64encode(raw).decode("ascii") for raw in raws)]
    done = subprocess.run(arguments, cwd=work, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["connected"] == "Comet38Client"
    assert found["network"] == found["genesis"] == found["socketNetwork"] == "qenex-local-1"
    assert found["block"] == 1
    assert (found["commit"], found["validators"], found["blockchain"]) == (4, 4, 2)
    assert (found["canonical"], found["catchingUp"]) == (True, False)
    assert found["sentCode"] == 0
    assert found["again"] == Code.TX_SEEN
    assert found["txHeight"] == found["sentHeight"] > 1
    assert found["txProofTotal"] >= 1
    assert found["txEvents"] == ["transfer"]
    assert (found["validatorsPage"], found["searchedPage"], found["async"]) == ([1, 4], [1, True], 32)
    assert found["blockSearchAll"] is True
    assert (found["methods"] >= 22, found["notCalled"]) == (True, [])
    assert found["searched"] is True
    assert found["results"] >= 1
    assert set(found["resultCodes"]) == {0}
    assert found["blockSearch"] == 1
    assert found["queryBytes"] > 0
    assert found["proofOps"] == 1
    assert found["blocksInOrder"] is True
    assert found["headers"] is True
