"""A message that brings a defect of ours to light costs the peer that sent it; what must end the node passes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from structlog.testing import capture_logs

from node.blame import blamed
from node.clock import SystemClock
from node.consensus_gossip import ConsensusGossip
from node.evidence.gossip import EvidenceGossip
from node.mempool.gossip import MempoolGossip
from node.network import Inbound, NetworkEvent, PeerInfo, PeerUp
from node.propagation import Propagation
from node.sync.loop import SyncLoop
from p2p.scores import PENALTIES
from state.primitives.errors import (
    ConsensusFailure,
    HandlingError,
    MalformedError,
    QenexError,
    StorageCorruptError,
    StorageError,
)


class Reports:
    """The part of a network that is asked here."""

    def __init__(self) -> None:
        self.reported: list[tuple[str, QenexError]] = []

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        return True

    def broadcast(self, channel: int, payload: bytes, except_: Any = ()) -> None: ...

    def report(self, peer_id: str, error: QenexError) -> None:
        self.reported.append((peer_id, error))


@pytest.mark.parametrize("kind", [KeyError, RecursionError, AssertionError, ValueError, ZeroDivisionError])
def test_a_defect_costs_the_peer_and_is_logged_without_its_bytes(kind: type[Exception]) -> None:
    network = Reports()
    with capture_logs() as logs, blamed(network, "liar"):
        raise kind("\x1b[31m" + "x" * 10_000)
    (peer, error) = network.reported[0]
    assert (peer, type(error), PENALTIES[error.code] > 0) == ("liar", HandlingError, True)
    assert [entry["log_level"] for entry in logs] == ["error"]
    assert len(str(logs) + error.message) < 1_000 and "\x1b" not in str(logs) + error.message


def test_a_broken_rule_is_reported_as_it_is() -> None:
    network, broken = Reports(), MalformedError("wrong")
    with blamed(network, "liar"):
        raise broken
    assert network.reported == [("liar", broken)]


@pytest.mark.parametrize(
    "error", [StorageError("x"), StorageCorruptError("x"), ConsensusFailure("x"), OSError(), MemoryError(), trio.ClosedResourceError()]
)
def test_what_must_end_the_node_passes(error: Exception) -> None:
    network = Reports()
    with pytest.raises(type(error)), blamed(network, "liar"):
        raise error
    assert network.reported == []


def propagation(network: Any, inbound: Any) -> Any:
    return Propagation(network, inbound, SystemClock(), lambda tx_hash: None, never, lambda: (0, []))


def mempool(network: Any, inbound: Any) -> Any:
    return MempoolGossip(network, inbound, lambda tx_hash: None, lambda limit: [], never)


def consensus(network: Any, inbound: Any) -> Any:
    return ConsensusGossip(network, inbound, SystemClock(), lambda: None, never, lambda peer, block_hash: None)


def evidence(network: Any, inbound: Any) -> Any:
    pool = SimpleNamespace(on_added=[], pending=tuple, waiting=tuple)
    return EvidenceGossip(network, inbound, pool, lambda peer: 0)  # type: ignore[arg-type]


def sync(network: Any, inbound: Any) -> Any:
    source = SimpleNamespace(base=1, height=0)
    return SyncLoop(network, inbound, source, None, SystemClock(), never)  # type: ignore[arg-type]


async def never(*arguments: Any) -> None:
    raise AssertionError("nothing gets that far")


@pytest.mark.parametrize("make", [propagation, mempool, consensus, evidence, sync])
async def test_each_protocol_goes_on(make: Callable[[Any, Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    network = Reports()
    send, receive = trio.open_memory_channel[NetworkEvent](10)
    protocol = make(network, receive)

    def explode(event: Inbound) -> Any:
        raise KeyError(event.payload)

    monkeypatch.setattr(protocol, "_on_message", explode)
    async with trio.open_nursery() as nursery:
        await nursery.start(protocol.run)
        send.send_nowait(PeerUp(PeerInfo("liar")))
        for payload in (b"one", b"two"):
            send.send_nowait(Inbound("liar", 0, payload, 0))
        while len(network.reported) < 2:
            await trio.sleep(0.01)
        nursery.cancel_scope.cancel()
    assert [(peer, type(error)) for peer, error in network.reported] == [("liar", HandlingError)] * 2
