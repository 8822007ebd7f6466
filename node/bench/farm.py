"""How long operations on farms take in the state machine. How it is measured is `node.bench.in_machine`'s.

Stakes, claims, withdrawals and exits in four farms with two rewards and two lock tiers each, one of them for shares of a pool. Blocks
are small, so that most operations find something to settle.
"""

from __future__ import annotations

import random
from typing import Any, Final

from node.bench.in_machine import NOW_S, Actor, Measurement, make_ledger, measure
from state.modules.gate import FLAG_STAKEABLE, FLAG_TRADABLE, FLAG_TRANSFERABLE
from state.schema_farm import Tier
from state.transaction import call

ASSETS: Final = ("AAA", "BBB", "CCC")
STAKES: Final = ("AAA", "BBB", "CCC", "AAA/BBB")
TIERS: Final = (Tier(0, 1_000_000), Tier(1, 1_500_000))
BUDGET: Final = 10**30
STAKE_MAX: Final = 10**18
DURATION_S: Final = 10**7
BLOCK_TXS: Final = 20
OPEN_MAX: Final = 200


def run_farm(operations: int, seed: int = 1) -> Measurement:
    """Measure so many operations of one account; all of them succeed."""
    actor = Actor()
    end_s = NOW_S + DURATION_S
    first: list[tuple[str, tuple[Any, ...]]] = [("amm.create", ("AAA", "BBB", 3_000, 10**27, 10**27, ()))]
    for number, stake in enumerate(STAKES):
        first.append(("farm.create", (stake, "BBB", 0, end_s, BUDGET, TIERS, 0, 0, "")))
        first.append(("farm.fund", (number, "CCC", BUDGET, 0, 0)))
    db = make_ledger(actor, ASSETS, FLAG_TRANSFERABLE | FLAG_TRADABLE | FLAG_STAKEABLE, first)
    ops = _draw_operations(random.Random(seed), operations)
    return measure(db, [actor.sign(number, op) for number, op in enumerate(ops)], actor, BLOCK_TXS)


def _draw_operations(rng: random.Random, count: int) -> list[Any]:
    """Half of them stakes; the rest of positions of an earlier block, each touched once in a block."""
    ops: list[Any] = []
    positions: dict[int, tuple[int, int, int]] = {}  # number -> farm, amount, block of the last touch
    staked = 0
    for index in range(count):
        block = index // BLOCK_TXS
        free = [number for number, (_, _, last) in positions.items() if last < block - 2]
        if not free or (len(positions) < OPEN_MAX and rng.random() < 0.5):
            farm, amount = rng.randrange(len(STAKES)), rng.randrange(2, STAKE_MAX)
            ops.append(call("farm.stake", farm=farm, amount=amount, tier=rng.randrange(len(TIERS))))
            positions[staked] = (farm, amount, block)
            staked += 1
            continue
        number = rng.choice(free)
        farm, amount, _ = positions[number]
        kind = rng.choice(("claim", "claim", "unstake", "exit"))
        if kind == "claim":
            ops.append(call("farm.claim", farm=farm, positions=(number,), reward_asset=""))
            positions[number] = (farm, amount, block)
        elif kind == "unstake" and amount > 2:
            ops.append(call("farm.unstake", farm=farm, position=number, amount=amount // 2))
            positions[number] = (farm, amount - amount // 2, block)
        else:
            ops.append(call("farm.exit", position=number))
            del positions[number]
    return ops
