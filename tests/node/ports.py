"""Free ports for real local networks, so that two runs on one machine never meet.

All are below the range from which the system takes the ports of outgoing connections (32,768 and up on Linux): in that range a
port that is free now may be somebody's a moment later, and a restarted node would not get its own back.
"""

from __future__ import annotations

import random
import socket
from typing import Final

BASES: Final = range(12_000, 32_700, 100)  # below each, a network of up to nine nodes
CLAIM_OFFSET: Final = 99  # bound as long as this process lives: the base is taken
_CLAIMS: Final[list[socket.socket]] = []


def free_base_port() -> int:
    """A --base-port whose first nodes' ports can all be bound now, and that nobody else is given while this process lives."""
    chance = random.SystemRandom()
    while True:
        base = chance.choice(BASES)
        if not _claim(base + CLAIM_OFFSET):
            continue
        if all(_is_free(base + 10 * node + offset) for node in range(5) for offset in (0, 1, 4)):
            return base
        _CLAIMS.pop().close()


def _claim(port: int) -> bool:
    probe = socket.socket()
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        probe.close()
        return False
    _CLAIMS.append(probe)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
