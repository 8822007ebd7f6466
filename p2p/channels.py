"""The channels of a link: number, priority, bounds, and what a full queue does. Data only.

Outbound queues are per peer and channel: full means that `send` says no and the caller decides (drop, retry,
ask another).

Inbound, every channel of every peer has a window of `window_bytes` that both ends count: what the peer has sent
and our handler has not yet taken. A sender stops at the end of its window and goes on when the receiver grants
more, so a slow handler fills the *sender's* queue of that channel and nothing else: other channels of the same
link, pings among them, pass by. Sending beyond the window breaks the protocol. Between the windows and the
handler stands one short queue of `inbound_messages_max` events for all peers, filled in turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from state.primitives.limits import (
    BLOCK_MESSAGE_BYTES_MAX,
    CERTIFIED_BLOCK_BYTES_MAX,
    CONSENSUS_MESSAGE_BYTES_MAX,
)

CONTROL: Final = 0x01  # of the link itself: pings and grants; no protocol sees it
SYNC: Final = 0x10
CONSENSUS: Final = 0x20
BLOCK: Final = 0x21
MEMPOOL: Final = 0x30
EVIDENCE: Final = 0x38
SNAPSHOT: Final = 0x60

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Channel:
    """One row. `priority`: lower goes first. All bounds are per peer, but for `inbound_messages_max`."""

    number: int
    name: str
    priority: int
    message_bytes_max: int
    outbound_messages_max: int
    outbound_bytes_max: int
    inbound_messages_max: int
    window_bytes: int


# Three quarters of a window must hold the largest message, because grants are given by the quarter (frames.py); tested.
CHANNELS: Final[dict[int, Channel]] = {
    channel.number: channel
    for channel in (
        Channel(CONTROL, "control", 0, 64, 0, 0, 0, 0),
        # twelve votes with both signatures are 58 kB; a summary of 32 rounds of 200 validators 4 kB
        Channel(CONSENSUS, "consensus", 1, CONSENSUS_MESSAGE_BYTES_MAX, 4096, 16 * MIB, 512, 4 * MIB),
        Channel(BLOCK, "block", 2, BLOCK_MESSAGE_BYTES_MAX, 256, 32 * MIB, 32, 16 * MIB),
        # half a MiB of bodies and one transaction more
        Channel(MEMPOOL, "mempool", 3, 1 * MIB, 1024, 16 * MIB, 64, 4 * MIB),
        # one proof of an offence, of any kind, is below half a MiB
        Channel(EVIDENCE, "evidence", 3, 1 * MIB, 64, 4 * MIB, 16, 2 * MIB),
        # a certified block: the largest block, its commit and 200 ML-DSA signatures
        Channel(SYNC, "sync", 4, CERTIFIED_BLOCK_BYTES_MAX, 64, 32 * MIB, 16, 24 * MIB),
        # one chunk of a snapshot, or the manifest of all
        Channel(SNAPSHOT, "snapshot", 5, 16 * MIB, 16, 32 * MIB, 8, 24 * MIB),
    )
}
PROTOCOL_CHANNELS: Final = tuple(number for number in CHANNELS if number != CONTROL)
