"""Free ports for real local networks, so that two runs on one machine never meet."""

from __future__ import annotations

import random
import socket

BASES = range(20_000, 60_000, 100)  # below, a network of up to nine nodes


def free_base_port() -> int:
    """A --base-port whose first nodes' ports can all be bound now."""
    chance = random.SystemRandom()
    while True:
        base = chance.choice(BASES)
        if all(_is_free(base + 10 * node + offset) for node in range(4) for offset in (0, 1, 4)):
            return base


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
