"""What a link tells the protocols above it. Every channel gets the peers' comings and goings in order with its messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A peer that has proved its key and greeted us. `address` is where it listens, as it says, or empty."""

    id: str
    address: str = ""
    moniker: str = ""
    version: str = ""
    is_outbound: bool = False


@dataclass(frozen=True, slots=True)
class PeerUp:
    """From now on the peer can be sent to."""

    peer: PeerInfo


@dataclass(frozen=True, slots=True)
class PeerDown:
    """Its connection is gone."""

    peer_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Inbound:
    """One whole message. `received_ns` is the wall clock when its last byte was read."""

    peer_id: str
    channel: int
    payload: bytes
    received_ns: int


LinkEvent: TypeAlias = PeerUp | PeerDown | Inbound
