"""What the tests of links share: identities, switches with real TLS or on a network in memory, and waiting for events.

Rules for these tests: loopback and port 0, or memory; an absolute time limit for each test; whoever opens a socket closes it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import trio
from hypothesis import HealthCheck, settings
from trio.testing import MockClock

from p2p.channels import CONSENSUS
from p2p.events import LinkEvent
from p2p.handshake import PROTOCOL_VERSION, Greeting
from p2p.identity import NodeIdentity, PeerAddress
from p2p.limits import DEFAULT_LIMITS, LinkLimits
from p2p.memory import MemoryNetwork
from p2p.scores import Scores
from p2p.switch import Switch, SwitchSettings
from p2p.tls import TlsStream, make_context
from state.primitives.errors import QenexError

CHAIN = b"\x07" * 32
IDENTITIES = [NodeIdentity(bytes([number + 1]) * 32) for number in range(8)]
STRANGER = IDENTITIES[7]
ADMITTED = frozenset(identity.id for identity in IDENTITIES if identity is not STRANGER)
LOWER, HIGHER = sorted(IDENTITIES[:2], key=lambda identity: identity.id)
FUZZ = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
_Event = TypeVar("_Event", bound=LinkEvent)


@dataclass
class Node:
    switch: Switch
    identity: NodeIdentity
    warnings: list[tuple[str, QenexError]] = field(default_factory=list)
    address: str = ""

    @property
    def id(self) -> str:
        return self.switch.id

    @property
    def names(self) -> list[str]:
        return [error.name for _, error in self.warnings]

    @property
    def place(self) -> PeerAddress:
        return PeerAddress.parse(f"{self.id}@{self.address}")

    @property
    def port(self) -> int:
        return self.place.port

    async def event(self, kind: type[_Event], channel: int = CONSENSUS) -> _Event:
        async for event in self.switch.inbound(channel):
            if isinstance(event, kind):
                return event
        raise AssertionError("the channel ended")

    async def met(self, *others: Node) -> None:
        await wait_for(lambda: {other.id for other in others} <= {peer.id for peer in self.switch.peers()})


def greeting(chain: bytes = CHAIN, protocol: int = PROTOCOL_VERSION) -> Greeting:
    return Greeting(protocol, chain, "0.1", "test", "", ("compact",), 12)


def make_node(
    identity: NodeIdentity,
    peers: tuple[PeerAddress, ...] = (),
    *,
    port: int = 0,
    chain: bytes = CHAIN,
    limits: LinkLimits = DEFAULT_LIMITS,
    admitted: frozenset[str] = ADMITTED,
    network: MemoryNetwork | None = None,
    jitter: Callable[[], float] = lambda: 0.5,
    scores: Scores | None = None,
) -> Node:
    warnings: list[tuple[str, QenexError]] = []
    switch = Switch(
        SwitchSettings("127.0.0.1" if network is None else "memory", port, peers, admitted, limits),
        identity,
        greeting(chain),
        now_ns=lambda: 5,
        jitter=jitter,
        warn=lambda who, error: warnings.append((who, error)),
        scores=scores,
        transport=None if network is None else network.transport(identity),
    )
    return Node(switch, identity, warnings)


@asynccontextmanager
async def running(*nodes: Node, seconds: float = 20) -> AsyncIterator[trio.Nursery]:
    with trio.fail_after(seconds):
        async with trio.open_nursery() as nursery:
            for node in nodes:
                node.address = await nursery.start(node.switch.run)
            yield nursery
            nursery.cancel_scope.cancel()


async def start(node: Node, nursery: trio.Nursery) -> Callable[[], None]:
    """Run a node in its own scope; call what is returned to kill it."""
    scope = trio.CancelScope()

    async def run(*, task_status: trio.TaskStatus[str]) -> None:
        with scope:
            await node.switch.run(task_status=task_status)

    node.address = await nursery.start(run)
    return scope.cancel


async def wait_for(predicate: Callable[[], object]) -> None:
    while not predicate():
        await trio.sleep(0.005)


async def pass_time(seconds: float) -> None:
    """Let virtual time pass; never real time, which would be sleeping for luck."""
    assert isinstance(trio.lowlevel.current_clock(), MockClock)
    await trio.sleep(seconds)


@asynccontextmanager
async def tls_client(port: int, identity: NodeIdentity) -> AsyncIterator[TlsStream]:
    """A TLS session with a switch, and nothing said yet."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        tls = TlsStream(stream, make_context(identity), is_server=False)
        await tls.handshake()
        yield tls


async def read_all(tls: TlsStream) -> bytes:
    """Until the other side hangs up, however it does."""
    data = b""
    try:
        while received := await tls.receive_some():
            data += received
    except trio.BrokenResourceError:
        pass
    return data
