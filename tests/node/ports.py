"""Free ports for real local networks, so that two runs on one machine never meet."""

from __future__ import annotations

import fcntl
import random
import socket
import tempfile
from pathlib import Path
from typing import IO

# Below the ports that a system gives to outgoing connections: one of those may be taken between our look and the node's start.
BASES = range(10_000, 32_000, 100)  # from each on, a network of up to nine nodes

_kept: list[IO[str]] = []  # what this process has reserved, until it ends


def free_base_port() -> int:
    """A --base-port whose first nodes' ports can all be bound now, and that no other test process is given."""
    chance = random.SystemRandom()
    while True:
        base = chance.choice(BASES)
        if _reserve(base) and all(_is_free(base + 10 * node + offset) for node in range(4) for offset in (0, 1, 4)):
            return base


def _reserve(base: int) -> bool:
    file = (Path(tempfile.gettempdir()) / f"qenex-test-port-{base}").open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return False
    _kept.append(file)
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
