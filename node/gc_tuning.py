"""How the node's process collects garbage: rarely, and never through what was loaded before it began to serve.

Nearly everything a block makes (decoded transactions, receipts, rows) dies by reference count. The collector's default, a pass
for every 700 new containers and a walk over the whole heap now and then, cost up to a fifth of a block's processor time and stopped votes
for as long as it takes to walk a million cached records. Cycles are still found, only later. Nothing else may go in here.
"""

from __future__ import annotations

import gc
from typing import Final

YOUNG_MAX: Final = 100_000  # containers between two passes over the young: about a block of 5,000 transactions
YOUNG_PASSES: Final = 50  # passes over the young for one over the middle generation
MIDDLE_PASSES: Final = 100  # and of those for one over everything


def tune_gc() -> None:
    """Call once, when everything that lives as long as the process is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, YOUNG_PASSES, MIDDLE_PASSES)
