"""Bringing a local network up, following it, taking it down.

`up` makes the files if there are none, checks every port, starts one process per node, waits until all of them have a block, and
then either leaves (`detach`) or follows the chain until Ctrl-C. Whatever goes wrong on the way, every process it started is
stopped before it returns. What the operator sees is `node.testnet.screen`'s.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

import trio

from genesis.testnet import NetworkOptions
from node.config import split_listen
from node.testnet.demo import Demonstration, demonstrate
from node.testnet.files import (
    Manifest,
    NodeEntry,
    create_network,
    has_network,
    lock_network,
    node_home,
    now_ns,
    read_manifest,
    remove_network,
)
from node.testnet.processes import LOG_FILE, Children, find_node, last_log_line, stop_nodes
from node.testnet.watch import BlockLine, NodeStatus, ask, follow_blocks, take_snapshot
from state.primitives.errors import HomeError, LocalError, PortInUseError, QenexError

READY_S_MAX: Final = 90.0  # four nodes starting at once on a slow single core
DEMO_S_MAX: Final = 30.0
_POLL_S: Final = 0.1


class Screen(Protocol):
    """What `up` tells the operator."""

    def step(self, text: str) -> None:
        """Something begins."""

    def progress(self, statuses: tuple[NodeStatus, ...]) -> None:
        """How far the nodes are."""

    def table(self, statuses: tuple[NodeStatus, ...]) -> None:
        """The network is up."""

    def demonstration(self, result: Demonstration) -> None:
        """What became of the demonstration transfer."""

    def block(self, line: BlockLine) -> None:
        """A new block."""

    def note(self, text: str) -> None:
        """Something happened that the operator should know."""


@dataclass(frozen=True, slots=True)
class UpResult:
    """A network that came up."""

    manifest: Manifest
    statuses: tuple[NodeStatus, ...]
    demonstration: Demonstration | None


class StopSignals:
    """While active, SIGINT, SIGTERM and SIGHUP only set `requested`, so that no process is forgotten between two lines."""

    def __init__(self) -> None:
        self.requested = 0

    @contextmanager
    def active(self) -> Iterator[StopSignals]:
        """Install the handlers for the length of the block."""

        def note(_number: int, _frame: FrameType | None) -> None:
            self.requested += 1

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, note) for number in numbers]
        try:
            yield self
        finally:
            for number, handler in zip(numbers, before, strict=True):
                signal.signal(number, handler)


def up(
    root: Path,
    requested: Mapping[str, Any],
    screen: Screen,
    *,
    detach: bool,
    fresh: bool = False,
    demo: bool = True,
    on_up: Callable[[UpResult], None] = lambda result: None,
    children: Children | None = None,
) -> UpResult:
    """Bring the network up; returns when it is up (`detach`) or after it was stopped. Raises `QenexError`s of one line.

    `requested`: the fields of `NetworkOptions` that the operator named; a network that exists must fit them.
    """
    group = children or Children()
    with lock_network(root), StopSignals().active() as stop:
        try:
            manifest = _prepare(root, requested, screen, fresh=fresh)
            _require_here(root, manifest)
            _check_ports(manifest)
            for entry in manifest.nodes:
                group.start(entry.index, root / entry.home, outlive_us=detach)
            screen.step(f"started {len(manifest.nodes)} nodes, waiting for the first block")
            result = trio.run(_run, root, manifest, group, screen, stop, detach, demo, on_up)
            if detach:
                group.release()
        finally:
            group.stop()
    return result


def make(root: Path, requested: Mapping[str, Any], screen: Screen, *, fresh: bool = False) -> Manifest:
    """The network's files, made or found to fit, as `up` would; nothing is started. Raises `QenexError`s of one line."""
    with lock_network(root):
        return _prepare(root, requested, screen, fresh=fresh)


def status(root: Path) -> tuple[NodeStatus, ...]:
    """Every node of the network in this directory."""
    manifest = read_manifest(root)
    return trio.run(take_snapshot, root, manifest)


def down(root: Path) -> list[int]:
    """Stop every node of the network; returns the numbers of the processes that were there."""
    manifest = read_manifest(root)
    return stop_nodes([root / entry.home for entry in manifest.nodes])


def _prepare(root: Path, requested: Mapping[str, Any], screen: Screen, *, fresh: bool) -> Manifest:
    """The network's files: found and fitting the options, or made."""
    if has_network(root):
        manifest = read_manifest(root)
        for entry in manifest.nodes:
            running = find_node(root / entry.home)
            if running is not None:
                raise HomeError(
                    f"the network in {root} is running already ({entry.moniker} is process {running.pid})",
                    hint="qenex testnet status shows it, qenex testnet down stops it",
                )
        if fresh:
            screen.step(f"removing the old network in {root}")
            remove_network(root)
        else:
            _require_same(root, manifest, requested)
            screen.step(f"using the network in {root}")
            return manifest
    options = NetworkOptions(time_ns=now_ns(), **requested)
    screen.step(f"making keys and genesis of {options.validators} validators in {root}")
    return create_network(root, options)


def _require_same(root: Path, manifest: Manifest, requested: Mapping[str, Any]) -> None:
    """An existing network is started as it was made; options that say otherwise are not silently ignored."""
    made = {
        "validators": ("--validators", sum(entry.validator != "" for entry in manifest.nodes)),
        "full_nodes": ("--full-nodes", sum(entry.validator == "" for entry in manifest.nodes)),
        "hosts": ("--hosts", tuple("" if entry.is_here else split_listen(entry.rpc)[0] for entry in manifest.nodes)),
        "base_port": ("--base-port", manifest.base_port),
        "block_interval_ms": ("--block-interval in ms", manifest.block_interval_ms),
        "accounts": ("--accounts", manifest.load_accounts),
    }
    for name, new in requested.items():
        option, old = made[name]
        if old != new:
            raise HomeError(
                f"the network in {root} was made with {option} {old}, not {new}",
                hint="leave the option out, choose another --home, or replace the network with --fresh",
            )


def _require_here(root: Path, manifest: Manifest) -> None:
    if not all(entry.is_here for entry in manifest.nodes):
        raise HomeError(f"the network in {root} was made for other hosts", hint="on each, run: qenex start --home DIR")


def _check_ports(manifest: Manifest) -> None:
    """Every address must be free. Raises `PortInUseError` that names the first which is not."""
    for entry in manifest.nodes:
        for use, address in (("RPC", entry.rpc), ("p2p", entry.p2p), ("metrics", entry.metrics)):
            host, port = split_listen(address)
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    why = "in use" if error.errno == errno.EADDRINUSE else f"not usable ({os.strerror(error.errno or 0)})"
                    raise PortInUseError(
                        f"{address}, the {use} address of {entry.moniker}, is {why}",
                        hint="stop what listens there, or make a network elsewhere: --home DIR --base-port P",
                    ) from None


async def _run(
    root: Path,
    manifest: Manifest,
    group: Children,
    screen: Screen,
    stop: StopSignals,
    detach: bool,
    demo: bool,
    on_up: Callable[[UpResult], None],
) -> UpResult:
    """Wait for the first block, demonstrate, follow. A requested stop ends it at any point."""
    result: UpResult | None = None
    failure: QenexError | None = None
    async with trio.open_nursery() as nursery:

        async def watch_signals() -> None:
            while not stop.requested:
                await trio.sleep(_POLL_S)
            nursery.cancel_scope.cancel()

        async def work() -> None:
            nonlocal result, failure
            try:
                statuses = await _wait_ready(root, manifest, group, screen)
                screen.table(statuses)
                result = UpResult(manifest, statuses, None)
                if demo:
                    result = UpResult(manifest, statuses, await _demonstrate(root, manifest, screen))
            except QenexError as error:
                failure = error
                nursery.cancel_scope.cancel()
                return
            on_up(result)
            if not detach:
                await _follow(root, manifest, group, screen)
            nursery.cancel_scope.cancel()

        nursery.start_soon(watch_signals)
        nursery.start_soon(work)
    if failure is not None:
        raise failure
    if result is None or (detach and stop.requested):
        raise LocalError("stopped before the network was up; every process was ended")
    return result


async def _demonstrate(root: Path, manifest: Manifest, screen: Screen) -> Demonstration | None:
    """The demonstration transfer, or None when it takes too long."""
    found: Demonstration | None = None
    with trio.move_on_after(DEMO_S_MAX + 2 * manifest.block_interval_ms / 1000):
        found = await demonstrate(root, manifest)
    if found is None:
        screen.note("the demonstration transfer took too long and was given up")
    else:
        screen.demonstration(found)
    return found


async def _wait_ready(root: Path, manifest: Manifest, group: Children, screen: Screen) -> tuple[NodeStatus, ...]:
    """Until every node answers and has a block. Raises `LocalError` for a node that ends, or after `READY_S_MAX`."""
    started = trio.current_time()
    while True:
        _raise_if_ended(root, manifest, group)
        statuses = tuple([await ask(entry, root) for entry in manifest.nodes])
        screen.progress(statuses)
        if all(one.running and one.height > 0 for one in statuses):
            return await take_snapshot(root, manifest)
        if trio.current_time() - started > READY_S_MAX:
            late = next(one for one in statuses if not one.running or one.height == 0)
            entry = manifest.nodes[late.index]
            raise LocalError(
                f"{entry.moniker} has no block after {READY_S_MAX:.0f} s", hint=f"see {root / entry.home / LOG_FILE}"
            )
        await trio.sleep(_POLL_S)


def _raise_if_ended(root: Path, manifest: Manifest, group: Children) -> None:
    for index, code in group.ended():
        entry = manifest.nodes[index]
        home = node_home(root, entry).root
        said = last_log_line(home)
        raise LocalError(
            f"{entry.moniker} ended at its start with {_exit_text(code)}" + (f": {said}" if said else ""),
            hint=f"see {home / LOG_FILE}",
        )


async def _follow(root: Path, manifest: Manifest, group: Children, screen: Screen) -> None:
    """A line for each block, and for each node that ends, until cancelled or no node of ours is left."""

    async def show_blocks() -> None:
        async for line in follow_blocks(manifest):
            screen.block(line)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(show_blocks)
        left = len(manifest.nodes)
        while left:
            for index, code in group.ended():
                left -= 1
                entry: NodeEntry = manifest.nodes[index]
                screen.note(
                    f"{entry.moniker} ended with {_exit_text(code)}; bring it back with: qenex start --home {root / entry.home}"
                )
            await trio.sleep(_POLL_S)
        screen.note("no node of this network is left")
        nursery.cancel_scope.cancel()


def _exit_text(code: int) -> str:
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
