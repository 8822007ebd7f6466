"""A node that is asked to stop ends, whatever keeps it; what it has reported is there afterwards."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from genesis.testnet import NetworkOptions
from node.testnet.files import create_network
from tests.node.ports import free_base_port

STUCK = """
import sys, threading
from node.cli.main import main
from node.storage.store import Store
if sys.argv[1] == "stuck":
    Store.close = lambda self: threading.Event().wait()
sys.exit(main(sys.argv[2:]))
"""

FAILING = """
import sys, threading, trio
from node.cli.main import main
from node.maintenance.pruning import Pruner
from node.telemetry.levels import LogLevels
from state.primitives.errors import UpgradeRequiredError

async def sit(self, *, task_status):
    task_status.started()
    await trio.to_thread.run_sync(threading.Event().wait)

async def fail(self, *, task_status):
    task_status.started()
    await trio.sleep(0.1)
    raise UpgradeRequiredError("rule set 9", hint="install it") if sys.argv[1] == "upgrade" else RuntimeError("words " * 100_000)

Pruner.run, LogLevels.run = sit, fail
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.parametrize(
    ("why", "code", "words"), [("defect", 1, "node failed"), ("upgrade", 3, "UPGRADE_REQUIRED: rule set 9 - install it")]
)
def test_a_part_that_fails_ends_the_node_though_another_sits_in_a_thread(tmp_path: Path, why: str, code: int, words: str) -> None:
    root = tmp_path / "net"
    create_network(root, NetworkOptions(validators=1, base_port=free_base_port(), block_interval_ms=100))
    command = [sys.executable, "-c", FAILING, why, "start", "--home", str(root / "node0")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as node:
        try:
            said = node.communicate(timeout=120)[1]
        finally:
            node.kill()
    assert node.returncode == code
    assert words in said and "was cut off; nothing is lost" in said
    assert max(map(len, said.splitlines())) < 2_000 and "Traceback" not in said
    trace = root / "node0" / "data" / "failure.txt"
    if why == "defect":
        assert trace.stat().st_mode & 0o777 == 0o600
        assert len(trace.read_text()) < 20_000 and str(trace) in said
    else:
        assert not trace.exists()


@pytest.mark.parametrize("how", ["as usual", "stuck"])
def test_a_stop_ends(tmp_path: Path, how: str) -> None:
    root, base = tmp_path / "net", free_base_port()
    create_network(root, NetworkOptions(validators=1, base_port=base, block_interval_ms=100))
    command = [sys.executable, "-c", STUCK, how, "start", "--home", str(root / "node0")]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    height = wait_for_height(first, f"http://127.0.0.1:{base + 1}/status")
    first.send_signal(signal.SIGTERM)
    said = first.communicate(timeout=240)[1]
    assert first.returncode == 0
    if how == "stuck":
        assert "was cut off; nothing is lost" in said
    second = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert wait_for_height(second, f"http://127.0.0.1:{base + 1}/status") >= height
    second.kill()
    second.communicate(timeout=240)


def wait_for_height(node: subprocess.Popen[str], url: str) -> int:
    """The height of a node once it has a block; its log is read meanwhile, so that it never waits for us."""
    assert node.stderr is not None
    for line in node.stderr:
        if "block committed" in line:
            break
    while node.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=240) as response:
                answer: Any = json.load(response)
        except urllib.error.URLError:  # blocks may come before the RPC listens
            node.stderr.readline()
        else:
            return int(answer["result"]["sync_info"]["latest_block_height"])
    raise AssertionError(f"the node ended with {node.returncode}")
