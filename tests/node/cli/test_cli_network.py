"""Commands against a real one-validator network, started and stopped by the command line itself."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import httpx2
import pytest

from node.cli.main import main
from node.testnet.processes import describe_process
from tests.node.ports import free_base_port


class Network:
    """A running network and a way to call the command line."""

    def __init__(self, root: Path, base_port: int) -> None:
        self.root, self.base_port = root, base_port
        self.node = f"http://127.0.0.1:{base_port + 1}"

    def run(self, *arguments: str, code: int = 0) -> Any:
        """The JSON answer of one command (of the error, if a code is expected)."""
        out, err = io.StringIO(), io.StringIO()
        environment = {"QENEX_NODE": self.node, "QENEX_HOME": str(self.root)}
        with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            found = main([*arguments, "--json"])
        assert found == code, err.getvalue() + out.getvalue()
        return json.loads(out.getvalue() or err.getvalue())


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    root = tmp_path_factory.mktemp("user")
    found = Network(root, free_base_port())
    up = found.run(
        "testnet", "up", "--validators", "1", "--base-port", str(found.base_port), "--block-interval", "0.1",
        "--accounts", "4", "--detach",
    )  # fmt: skip
    assert up["demonstration"]["proof_ok"]
    assert up["demonstration"]["code"] == 0
    yield found
    (pid,) = found.run("testnet", "down")["stopped"]
    assert describe_process(pid) == ("", "")


def test_status(network: Network) -> None:
    (node,) = network.run("testnet", "status")["nodes"]
    assert set(node) >= {"index", "rpc", "p2p", "height", "app_hash", "catching_up", "peers", "pid"}
    assert node["height"] > 0
    assert len(node["app_hash"]) == 64
    assert node["rpc"] == network.node


def test_transfer_query_and_proof(network: Network) -> None:
    bob = network.run("keys", "show", "bob")["account"]
    before = int(network.run("query", "account", "bob")["holdings"]["QNX"])
    sent = network.run("tx", "transfer", "--from", "alice", "--to", bob, "--amount", "1.25", "--asset", "QNX", "--wait")
    assert set(sent) == {"hash", "height", "code", "code_name", "log", "op_index", "fee", "events"}
    assert (sent["code"], sent["code_name"]) == (0, "OK")
    assert network.run("query", "tx", sent["hash"])["height"] == sent["height"]
    proved = network.run("query", "proof", f"/holding/{bob}/QNX")
    assert proved["proof_ok"]
    assert int(proved["record"]["balance"]) == before + 1_250_000
    absent = network.run("query", "proof", f"/holding/{bob}/EUR")
    assert (absent["exists"], absent["proof_ok"]) == (False, True)
    assert network.run("query", "block", str(sent["height"]))["block"]["header"]["height"] == str(sent["height"])
    assert len(network.run("query", "validators")["validators"]) == 1


def test_assets_and_accounts(network: Network) -> None:
    network.run("keys", "new", "dora", "--no-encrypt")
    network.run("keys", "new", "spare", "--no-encrypt", "--kind", "hybrid")
    created = network.run("tx", "create-account", "--from", "alice", "--key", "dora", "--wait")
    assert created["code"] == 0
    assert network.run("tx", "create-asset", "EURX", "--from", "dora", "--scale", "2", "--max-supply", "1000", "--wait")["code"] == 0
    assert network.run("tx", "mint", "--from", "dora", "--asset", "EURX", "--amount", "12.34", "--wait")["code"] == 0
    assert network.run("tx", "burn", "--from", "dora", "--asset", "EURX", "--amount", "34", "--base-units", "--wait")["code"] == 0
    assert network.run("query", "asset", "EURX")["supply"] == "1200"
    assert network.run("tx", "update-keys", "--from", "dora", "--add", "spare", "--wait")["code"] == 0
    assert len(network.run("query", "account", "dora")["keys"]) == 2
    legs = ("--leg", "dora:EURX:-5", "--leg", "bob:EURX:2", "--leg", "carol:EURX:3", "--leg", "alice:QNX:-1", "--leg", "dora:QNX:1")
    moved = network.run("tx", "multi-transfer", "--from", "dora", "--signer", "alice", *legs, "--wait")
    assert moved["code"] == 0
    assert network.run("query", "account", "carol")["holdings"]["EURX"] == "300"


def test_failures(network: Network) -> None:
    transfer = ("tx", "transfer", "--from", "alice", "--asset", "QNX", "--wait")
    failed = network.run(*transfer, "--to", "alice", "--amount", "1", code=1)
    assert (failed["code"], failed["code_name"]) == (504, "SELF_TRANSFER")
    finer = network.run(*transfer, "--to", "bob", "--amount", "0.0000001", code=2)
    assert "finer" in finer["error"]["message"]
    nobody = network.run("query", "account", "qx1nobody", code=2)
    assert nobody["error"]["name"] == "CONFIG"
    assert network.run("query", "asset", "NONE", code=2)["error"]["message"] == "there is no asset NONE"
    assert network.run("query", "block", "999999999", code=2)["error"]["name"] == "CLIENT"
    assert network.run("query", "proof", "/nothing", code=2)["error"]["name"] == "CONFIG"
    away = network.run("query", "validators", "--node", "http://127.0.0.1:1", code=2)
    assert away["error"]["name"] == "CLIENT"
    assert network.run("query", "validators", "--node", "nonsense://x", code=2)["error"]["name"] == "CONFIG"
    again = network.run("testnet", "up", "--detach", code=2)
    assert "is running already" in again["error"]["message"]
    taken = network.run("start", "--home", str(network.root / "testnet" / "node0"), code=2)
    assert "already" in taken["error"]["message"]


@pytest.mark.parametrize("accounts", ["4", "6"], ids=["of genesis", "opened and funded"])
def test_load(network: Network, accounts: str) -> None:
    report = network.run("bench", "load", "--txs", "300", "--accounts", accounts, "--connections", "2", "--batch", "50")
    assert set(report) >= {"submitted", "committed", "rejected", "seconds", "tps", "latency_ms", "app_hashes_equal"}
    assert (report["submitted"], report["committed"], report["rejected"]) == (300, 300, 0)
    assert report["app_hashes_equal"]
    assert set(report["latency_ms"]) == {"p50", "p95", "p99"}


def test_the_command_line_in_process(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "asset", "QNX", "--node", network.node]) == 0
    assert "scale: 6" in capsys.readouterr().out


def test_light_client(network: Network, tmp_path: Path) -> None:
    commit = httpx2.get(f"{network.node}/commit?height=2").json()["result"]["signed_header"]["commit"]
    known, home = commit["block_id"]["hash"], ("--home", str(tmp_path / "light"))
    ask = ("light", "--primary", network.node)
    begin = ("--trust-height", "2", "--trust-hash", known)
    refused = [
        network.run(*ask, code=2),
        network.run(*ask, "--no-witness", *home, code=2),
        network.run(*ask, "--no-witness", *home, "--trust-height", "2", "--trust-hash", "0" * 64, code=2),
        network.run(*ask, "--no-witness", *home, "--trust-height", "2", "--trust-hash", "xy", code=2),
        network.run(*ask, "--no-witness", *home, *begin, "--trust-level", "1/4", code=2),
        network.run(*ask, "--witness", network.node, *home, *begin, code=2),
        network.run("light", "--primary", "http://127.0.0.1:9", *ask[3:], "--no-witness", *home, *begin, code=2),
    ]
    assert [answer["error"]["name"] for answer in refused] == ["CONFIG", "CONFIG", "INVALID_COMMIT", "CONFIG", "CONFIG", "CONFIG", "CLIENT"]
    found = network.run(*ask, "--no-witness", *home, *begin)
    assert found["height"] > 2
    assert found["post_quantum"]
    assert network.run(*ask, "--no-witness", *home, "--height", "1")["blocks"] == 1


def test_verifying_proxy(network: Network, tmp_path: Path) -> None:
    early = "tm.event='Tx' AND tx.height<500"  # without an index it may read a thousand blocks, and this chain has its age
    done = httpx2.get(f'{network.node}/tx_search?query="{early}"').json()["result"]["txs"][0]
    known = httpx2.get(f"{network.node}/commit?height=2").json()["result"]["signed_header"]["commit"]["block_id"]["hash"]
    port = free_base_port()
    command = [sys.executable, "-m", "node.cli.main", "light", "--primary", network.node, "--no-witness", "--listen", f"127.0.0.1:{port}"]
    command += ["--home", str(tmp_path / "light"), "--trust-height", "2", "--trust-hash", known]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        assert "verified answers" in process.stderr.readline()

        def get(call: str) -> Any:
            return httpx2.get(f"http://127.0.0.1:{port}/{call}", timeout=240).json()

        height = done["height"]
        for call in (f"header?height={height}", f"block?height={height}", f"validators?height={height}"):
            proved, plain = get(call)["result"], httpx2.get(f"{network.node}/{call}").json()["result"]
            for answer in (proved, plain):
                for row in answer.get("validators", ()):
                    row["proposer_priority"] = "0"  # not part of any hash
            assert proved == plain
        proved_tx = get(f"tx?hash=0x{done['hash']}&prove=true")["result"]
        assert (proved_tx["tx"], proved_tx["height"], proved_tx["tx_result"]["code"]) == (done["tx"], height, 0)
        assert get(f"block_results?height={height}")["result"]["txs_results"][0]["code"] == 0
        assert get('record?path="/supply/QNX"')["result"]["record"]["asset"] == "QNX"
        assert get('record?path="/asset/NONE"')["result"]["record"] is None
        assert get("status")["result"]["node_info"]["network"] == "qenex-local-1"
        assert get("genesis")["error"]["code"] == -32601
        assert get("block?height=99999999")["error"]["code"] == -32603
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
        process.stderr.close()
