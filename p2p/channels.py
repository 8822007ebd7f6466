"""The channels of a link: number, priority, bounds, and what a full queue does. Data only.

Outbound queues are per peer and channel: full means that `send` says no and the caller decides (drop, retry, ask another). Inbound
queues are per channel, for all peers: full means that the reader of that peer waits, and with it the peer's socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONTROL: Final = 0x01
SYNC: Final = 0x10
CONSENSUS: Final = 0x20
BLOCK: Final = 0x21
MEMPOOL: Final = 0x30

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Channel:
    """One row. `priority`: lower goes first."""

    number: int
    name: str
    priority: int
    message_bytes_max: int
    outbound_messages_max: int
    outbound_bytes_max: int
    inbound_messages_max: int


CHANNELS: Final[dict[int, Channel]] = {
    channel.number: channel
    for channel in (
        Channel(CONTROL, "control", 0, 64, 16, 1024, 0),
        # a vote with both signatures is 5 kB; a summary of 32 rounds of 200 validators 4 kB
        Channel(CONSENSUS, "consensus", 1, 64 * 1024, 4096, 16 * MIB, 4096),
        Channel(BLOCK, "block", 2, 8 * MIB, 256, 32 * MIB, 256),
        Channel(MEMPOOL, "mempool", 3, 1 * MIB, 1024, 16 * MIB, 1024),
        # a certified block: the largest block, its commit and 200 ML-DSA signatures
        Channel(SYNC, "sync", 4, 10 * MIB, 64, 32 * MIB, 256),
    )
}
PROTOCOL_CHANNELS: Final = tuple(number for number in CHANNELS if number != CONTROL)
