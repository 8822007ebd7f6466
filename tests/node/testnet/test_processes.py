"""Processes of a local network: found by who they are, stopped for certain, and nothing else is touched."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.testnet.processes import (
    PID_FILE,
    Children,
    claim_home,
    describe_process,
    find_node,
    last_log_line,
    stop_nodes,
)
from state.primitives.errors import HomeError

# stands for `qenex start --home DIR`: claims the home and waits
NODE = """
import signal, sys, time
from pathlib import Path
from node.testnet.processes import claim_home
if {stubborn}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with claim_home(Path(sys.argv[3])):
    print("ready", flush=True)
    time.sleep(60)
"""


def wait_until(is_true: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.fixture
def children(tmp_path: Path) -> Iterator[Children]:
    script = tmp_path / "fake_qenex.py"
    script.write_text(NODE.format(stubborn=False))
    group = Children([sys.executable, str(script)])
    yield group
    group.stop(0)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "node0"
    path.mkdir()
    return path


def is_gone(pid: int) -> bool:
    return describe_process(pid) == ("", "")


def test_start_find_stop(children: Children, home: Path) -> None:
    pid = children.start(0, home, outlive_us=False)
    wait_until(lambda: find_node(home))
    found = find_node(home)
    assert found is not None
    assert found.pid == pid == children.pid(0)
    wait_until(lambda: last_log_line(home) == "ready")
    with pytest.raises(HomeError, match=f"run by process {pid} already"), claim_home(home):
        pass
    children.stop()
    assert is_gone(pid)
    assert find_node(home) is None
    assert children.pid(0) is None


def test_a_node_that_ignores_sigterm_is_killed(tmp_path: Path, home: Path) -> None:
    script = tmp_path / "fake_qenex.py"
    script.write_text(NODE.format(stubborn=True))
    group = Children([sys.executable, str(script)])
    pid = group.start(0, home, outlive_us=False)
    wait_until(lambda: find_node(home))
    group.stop(0.2)
    assert is_gone(pid)


def test_ended_tells_the_signal(children: Children, home: Path) -> None:
    pid = children.start(3, home, outlive_us=False)
    wait_until(lambda: find_node(home))
    os.kill(pid, signal.SIGKILL)
    ended: list[tuple[int, int]] = []
    wait_until(lambda: ended.extend(children.ended()) or ended)
    assert ended == [(3, -signal.SIGKILL)]
    assert find_node(home) is None  # its pid file is there, its process is not
    assert (home / PID_FILE).exists()


def test_stop_nodes_started_by_others(children: Children, home: Path) -> None:
    pid = children.start(0, home, outlive_us=True)
    wait_until(lambda: find_node(home))
    assert stop_nodes([home, home.parent / "node1"]) == [pid]
    assert is_gone(pid)
    assert not (home / PID_FILE).exists()
    assert stop_nodes([home]) == []


def test_a_recycled_number_is_left_alone(home: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as stranger:
        started, _ = describe_process(stranger.pid)
        for record in (
            {"pid": stranger.pid, "started": "1"},  # another start time
            {"pid": stranger.pid, "started": started},  # not a node
            {"pid": 1, "started": "1"},
            {"pid": -1, "started": "1"},
            {"pid": "x"},
            [],
        ):
            (home / PID_FILE).write_text(json.dumps(record))
            assert find_node(home) is None
            assert stop_nodes([home]) == []
        assert stranger.poll() is None
        stranger.communicate(b"\n")


def test_children_end_when_the_parent_is_killed(tmp_path: Path, home: Path) -> None:
    script = tmp_path / "fake_qenex.py"
    script.write_text(NODE.format(stubborn=False))
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from node.testnet.processes import Children; "
            "c = Children(sys.argv[1:3]); c.start(0, Path(sys.argv[3]), outlive_us=False); time.sleep(60)",
            sys.executable,
            str(script),
            str(home),
        ]
    )
    try:
        wait_until(lambda: find_node(home))
        found = find_node(home)
        assert found is not None
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: is_gone(found.pid))
