"""What a link tells the protocols above it. Every channel gets the peers' comings and goings in order with its
messages.

On one channel the events of one peer always read: up, messages, down; up, messages, down. Data only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class PeerInfo:
    """A peer that has proved its key and whose greeting we accepted, as it did ours.

    Everything but `id` and `is_outbound` is what the peer says of itself: `address` is where it listens, or
    empty; `height` what it had decided when it greeted.
    """

    id: str
    address: str = ""
    moniker: str = ""
    version: str = ""
    is_outbound: bool = False
    height: int = 0
    capabilities: tuple[str, ...] = ()


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
