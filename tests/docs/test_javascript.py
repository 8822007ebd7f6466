"""The JavaScript of the pages, with CosmJS from the registry. Opt-in, like `tests/cosmjs`: `scripts/test --cosmjs`."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from node.keystore import Role, read_key_file
from node.rpc.client import SyncClient
from state.primitives.ids import parse_address
from state.transaction import call
from tests.docs.blocks import blocks_of
from tests.docs.stage import Stage

PAGE = "docs/applications.md"


@pytest.fixture
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with Stage(tmp_path_factory.mktemp("javascript"), 1, block_interval="0.2") as stage:
        stage.bring_up()
        yield stage


def sign_transfer(stage: Stage) -> str:
    """What the page has signed in Python, as hex."""
    keys = stage.testnet / "keys"
    alice, bob = (read_key_file(keys / f"{name}.json", lambda _: b"", role=Role.USER) for name in ("alice", "bob"))
    sender, recipient = parse_address(alice.account), parse_address(bob.account)
    ops = [call("asset.transfer", asset="QNX", to=recipient, amount=5, tag="")]
    raw: bytes = SyncClient(stage.url()).sign_operations(ops, sender, [(sender, 0, alice.key)])
    return raw.hex()


@pytest.mark.cosmjs
@pytest.mark.timeout(300)
def test_javascript(network: Stage) -> None:
    npm, node = shutil.which("npm"), shutil.which("node")
    assert npm and node, "this test needs Node and npm"
    (block,) = [block for block in blocks_of(PAGE) if block.label == "javascript"]
    work = network.folder / "app"
    work.mkdir()
    (work / "package.json").write_text('{"private": true, "type": "module"}')
    (install,) = [command.text for found in blocks_of(PAGE) for command in found.commands() if command.text.startswith("npm install")]
    subprocess.run([*install.split(), "--silent", "--no-audit", "--no-fund"], cwd=work, check=True, timeout=200)
    program = "\n".join(block.lines).replace("ws://127.0.0.1:26657", network.url().replace("http", "ws"))
    (work / "app.mjs").write_text(program)
    done = subprocess.run([node, "app.mjs", sign_transfer(network)], cwd=work, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    first, second, third = done.stdout.splitlines()
    assert first.startswith("qenex-local-1 ")
    assert second.split()[2:] == ["0", "1"]
    assert third.split()[1] == "1"
