"""`qenex start` with a wall clock that is wrong by so many milliseconds: `chaos_node.py OFFSET_MS start --home HOME`.

The switch is here and not in the product: nobody can set it by mistake.
"""

from __future__ import annotations

import sys
import time

from node import clock
from node.cli.main import main


def shift(offset_ms: int) -> None:
    """Make the node's wall clock wrong."""

    def now_ns(_self: clock.SystemClock) -> int:
        return time.time_ns() + offset_ms * 1_000_000

    clock.SystemClock.now_ns = now_ns  # type: ignore[method-assign]


if __name__ == "__main__":
    shift(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
