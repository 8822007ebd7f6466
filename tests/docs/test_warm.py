"""The process that types for the pages leaves no network behind when who asked it was stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from node.testnet.processes import describe_process
from tests.docs.blocks import ROOT
from tests.node.ports import free_base_port


def test_a_network_that_nobody_takes_down_is_taken_down(tmp_path: Path) -> None:
    warm = subprocess.Popen([sys.executable, "-m", "tests.docs.warm"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert warm.stdin is not None
    assert warm.stdout is not None
    up = ["testnet", "up", "--detach", "--validators", "1", "--base-port", str(free_base_port()), "--json"]
    environment = {"QENEX_HOME": str(tmp_path), "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    asked = {"argv": up, "cwd": str(tmp_path), "output": str(tmp_path / "said"), "env": environment, "seconds": 60}
    warm.stdin.write(json.dumps(asked) + "\n")
    warm.stdin.flush()
    assert warm.stdout.readline().strip() == "0", (tmp_path / "said").read_text()
    status = [sys.executable, "-m", "node.cli.main", "testnet", "status", "--json"]
    found = subprocess.run(status, cwd=ROOT, env=environment | {"PYTHONPATH": str(ROOT)}, check=True, capture_output=True, text=True)
    (pid,) = [node["pid"] for node in json.loads(found.stdout)["nodes"]]
    assert describe_process(pid)[0]
    with warm:
        warm.stdin.close()
        assert warm.wait(60) == 0
    assert describe_process(pid) == ("", "")
