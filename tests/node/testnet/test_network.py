"""The manager of a local network: it comes up, it goes down, and no process is left behind on any way out."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.testnet import network
from node.testnet.files import MANIFEST, read_manifest
from node.testnet.network import UpResult
from node.testnet.processes import Children, describe_process, find_node
from node.testnet.screen import SilentScreen
from node.testnet.watch import NodeStatus
from state.primitives.errors import HomeError, LocalError, PortInUseError
from tests.node.ports import free_base_port

FAKE = Path(__file__).with_name("fake_qenex.py")


class Notes(SilentScreen):
    """Remembers what the operator was told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def step(self, text: str) -> None:
        """Remember."""
        self.texts.append(text)

    note = step


def children() -> Children:
    return Children([sys.executable, str(FAKE)])


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "net"
    yield path
    if (path / MANIFEST).exists():
        network.down(path)


def bring_up(root: Path, screen: Notes | None = None, **options: int) -> UpResult:
    requested = {"validators": 3, "base_port": free_base_port(), **options} if not root.exists() else options
    return network.up(root, requested, screen or Notes(), detach=True, demo=False, children=children())


def pids(root: Path) -> list[int]:
    found = [find_node(root / entry.home) for entry in read_manifest(root).nodes]
    return [process.pid for process in found if process is not None]


def wait_until(is_true: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not is_true():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def all_gone(numbers: list[int]) -> bool:
    return all(describe_process(pid) == ("", "") for pid in numbers)


def test_up_status_down_and_up_again(root: Path) -> None:
    result = bring_up(root)
    assert len(result.statuses) == 3
    statuses = network.status(root)
    assert all(one.running and one.height > 0 and one.peers == 3 for one in statuses)
    assert [one.pid for one in statuses] == pids(root)
    first = pids(root)
    assert len(first) == 3
    with pytest.raises(HomeError, match="is running already"):
        bring_up(root)
    assert pids(root) == first
    assert network.down(root) == first
    assert all_gone(first)
    assert network.down(root) == []
    silent = network.status(root)
    assert [(one.running, one.height, one.app_hash, one.pid) for one in silent] == [(False, 0, "", None)] * 3
    with pytest.raises(HomeError, match="made with --validators 3, not 4"):
        bring_up(root, validators=4)
    genesis_hash = read_manifest(root).genesis_hash
    again = bring_up(root)
    assert again.manifest.genesis_hash == genesis_hash


def test_a_network_that_is_made_and_not_started(root: Path) -> None:
    made = network.make(root, {"validators": 3, "base_port": free_base_port()}, Notes())
    assert len(made.nodes) == 3 and pids(root) == []
    assert network.make(root, {"validators": 3}, Notes()) == made
    with pytest.raises(HomeError, match="made with --validators 3, not 4"):
        network.make(root, {"validators": 4}, Notes())
    other = network.make(root, {"validators": 4}, Notes(), fresh=True)
    assert len(other.nodes) == 4 and other.genesis_hash != made.genesis_hash


def test_a_port_in_use_is_named_and_nothing_is_started(root: Path) -> None:
    base = free_base_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 11))
        taken.listen()
        with pytest.raises(PortInUseError, match=f"127.0.0.1:{base + 11}, the RPC address of node1, is in use"):
            network.up(root, {"validators": 3, "base_port": base}, Notes(), detach=True, demo=False, children=children())
    assert pids(root) == []


def test_a_node_that_dies_at_its_start_takes_the_others_down(root: Path) -> None:
    bring_up(root)
    network.down(root)
    (root / "node1" / "dies").touch()
    with pytest.raises(LocalError, match="node1 ended at its start with exit code 3: error 2210 STORAGE"):
        bring_up(root)
    assert pids(root) == []
    (root / "node1" / "dies").unlink()


class Impatient(Notes):
    """Waits no longer once only node2 is not there."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.patch = patch

    def progress(self, statuses: tuple[NodeStatus, ...]) -> None:
        if [one.height > 0 for one in statuses] == [True, True, False]:
            self.patch.setattr(network, "READY_S_MAX", 0.0)


def test_a_node_that_never_answers_ends_the_attempt(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bring_up(root)
    network.down(root)
    (root / "node2" / "mute").touch()
    with pytest.raises(LocalError, match="node2 has no block after 0 s"):
        bring_up(root, Impatient(monkeypatch))
    assert pids(root) == []


def test_status_without_one_node(root: Path) -> None:
    bring_up(root)
    os.kill(pids(root)[1], signal.SIGKILL)
    wait_until(lambda: len(pids(root)) == 2)
    statuses = network.status(root)
    assert [one.running for one in statuses] == [True, False, True]
    assert statuses[0].height > 0


def test_fresh_replaces_the_network(root: Path) -> None:
    base = free_base_port()
    options = {"validators": 1, "base_port": base}
    first = network.up(root, options, Notes(), detach=True, demo=False, children=children())
    network.down(root)
    (root / "notes.txt").write_text("mine")
    (root / "notes.txt").unlink()
    second = network.up(root, options, Notes(), detach=True, fresh=True, demo=False, children=children())
    assert first.manifest.genesis_hash != second.manifest.genesis_hash


def test_a_directory_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(HomeError, match="holds no network"):
        network.up(tmp_path, {"validators": 1}, Notes(), detach=True, fresh=True, demo=False, children=children())
    assert (tmp_path / "letter.txt").read_text() == "dear"


FOREGROUND = """
import sys
from pathlib import Path
from node.testnet import network
from node.testnet.processes import Children
from node.testnet.screen import RichScreen
network.up(Path(sys.argv[1]), {"validators": 3, "base_port": int(sys.argv[2])}, RichScreen(), detach=False, demo=False,
           children=Children([sys.executable, sys.argv[3]]))
print("stopped in order")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_foreground_shows_blocks_and_stops_everything_on_a_signal(root: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", FOREGROUND, str(root), str(free_base_port()), str(FAKE)], stdout=subprocess.PIPE, text=True
    ) as manager:
        assert manager.stdout is not None
        lines: list[str] = []
        while sum(line.startswith("block") for line in lines) < 2:
            lines.append(manager.stdout.readline())
            assert lines[-1], f"ended early: {lines}"
        running = pids(root)
        assert len(running) == 3
        manager.send_signal(number)
        rest = manager.stdout.read()
        assert manager.wait(120) == 0
    assert "stopped in order" in rest
    assert all_gone(running)


def test_signals_before_it_is_up_leave_nothing(root: Path) -> None:
    bring_up(root)
    network.down(root)
    for entry in read_manifest(root).nodes:
        (root / entry.home / "stubborn").touch()
    (root / "node2" / "mute").touch()
    base = read_manifest(root).base_port
    with subprocess.Popen([sys.executable, "-c", FOREGROUND, str(root), str(base), str(FAKE)], stderr=subprocess.PIPE) as manager:
        wait_until(lambda: len(pids(root)) == 3)
        running = pids(root)
        manager.send_signal(signal.SIGKILL)
        manager.wait()
        assert manager.stderr is not None
    for pid in running:  # told by the kernel to end, they refuse; the next `down` is firm
        assert describe_process(pid) != ("", "")
    assert sorted(network.stop_nodes([root / e.home for e in read_manifest(root).nodes], grace_s=0.2)) == sorted(running)
    assert all_gone(running)
