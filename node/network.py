"""What the node's protocols need of the network: a switch, or the simulator's double of one.

Protocols written against it: `node.consensus_gossip`, `node.propagation`, `node.sync`. Each reads its own channel's events; sending
never waits. No behaviour may go in here.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol, TypeAlias

from p2p.channels import BLOCK, CONSENSUS, SYNC
from p2p.events import Inbound, LinkEvent, PeerDown, PeerInfo, PeerUp
from state.primitives.errors import QenexError

NetworkEvent: TypeAlias = LinkEvent


class Network(Protocol):
    """The part of `p2p.switch.Switch` that protocols use."""

    def send(self, peer_id: str, channel: int, payload: bytes) -> bool:
        """Queue a message for a peer. False if its queue is full or it is not connected."""
        ...

    def broadcast(self, channel: int, payload: bytes, except_: Collection[str] = ()) -> None:
        """Queue a message for every peer; those whose queues are full do without."""
        ...

    def report(self, peer_id: str, error: QenexError) -> None:
        """A peer broke a rule: its score falls, and it may be banned."""
        ...


__all__ = ["BLOCK", "CONSENSUS", "SYNC", "Inbound", "Network", "NetworkEvent", "PeerDown", "PeerInfo", "PeerUp"]
