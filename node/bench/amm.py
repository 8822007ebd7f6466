"""How long a swap takes in the state machine: a few pools, one swap after another. How it is measured is `node.bench.in_machine`'s."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from node.bench.in_machine import Actor, make_ledger, measure
from state.modules.gate import FLAG_TRADABLE, FLAG_TRANSFERABLE
from state.transaction import call

ASSETS: Final = ("AAA", "BBB", "CCC")
PATHS: Final = (("AAA", "BBB"), ("BBB", "AAA"), ("BBB", "CCC"), ("CCC", "BBB"))
RESERVE: Final = 10**24
BLOCK_SWAPS: Final = 5_000


@dataclass(frozen=True, slots=True)
class AmmReport:
    """Microseconds per swap, as percentiles and by stage (median)."""

    swaps: int
    failed: int
    p50_us: float
    p99_us: float
    max_us: float
    per_second: int
    stages_us: dict[str, float]
    by_operation: dict[str, dict[str, float]]  # name -> count, p50_us, p99_us

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        return {name: getattr(self, name) for name in self.__slots__}


def run_amm(swaps: int, seed: int = 1) -> AmmReport:
    """Measure `swaps` swaps of one and two hops, half of them with exact outputs."""
    rng = random.Random(seed)
    actor = Actor()
    first = [("amm.create", (a, b, 3_000, RESERVE, RESERVE, ())) for a, b in (("AAA", "BBB"), ("BBB", "CCC"))]
    db = make_ledger(actor, ASSETS, FLAG_TRANSFERABLE | FLAG_TRADABLE, first)
    found = measure(db, [actor.sign(number, _draw_swap(rng)) for number in range(swaps)], actor, BLOCK_SWAPS).to_json()
    return AmmReport(swaps=found.pop("operations"), **found)


def _draw_swap(rng: random.Random) -> Any:
    path = rng.choice((*PATHS, ("AAA", "BBB", "CCC"), ("CCC", "BBB", "AAA")))
    amount = rng.randrange(1, RESERVE // 10_000)
    if rng.random() < 0.5:
        return call("amm.swap_in", path=path, amount_in=amount, min_out=0)
    return call("amm.swap_out", path=path, amount_out=amount, max_in=RESERVE)
