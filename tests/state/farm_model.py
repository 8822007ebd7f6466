"""An independent model of a farm, slow and obvious, in fractions; and a command that compares it with the ledger.

    python tests/state/farm_model.py --operations 100000 --seed 1

The model has no accumulator and no debts: at each step it goes through all stakes and gives each its part of what has come out since the
last one. A part is cut to 2^-640 units per unit of weight, because that is what the ledger promises; what is cut off stays in the pot.
The ledger side is the handlers on a view, each operation held to the invariants; signatures are left out. Compared after every
operation: its code, every balance, what every stake has earned to the last 2^-640 unit, and every total. Amounts go to 2^640.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from state.codes import Code
from state.invariants import check_operation
from state.invariants_farm import audit_farm
from state.modules.farm_books import settle, take_dues
from state.modules.gate import FLAG_STAKEABLE, FLAG_TRANSFERABLE
from state.modules.operation import FARMS_ADDRESS, OpContext
from state.modules.table import BY_NAME
from state.primitives.errors import OperationFailed
from state.primitives.limits import AMOUNT_MAX
from state.schema import account_key, asset_key, holding_key, supply_key
from state.schema_amm import Pool, Position, Switches, pool_key, position_key
from state.schema_farm import Tier, campaign_key, farm_key, farm_position_key
from state.transaction import Call
from state.view import View

GRAIN = 2**640
DURATION_MAX = 10 * 365 * 24 * 3600
REWARDS = ("AA", "BB", "CC")
POOL = "AA/BB"
PEOPLE = {name: name.encode() * 32 for name in "sxyz"}  # s is the sponsor
START_S = 1_800_000_000


class Refused(Exception):
    """With the code that the ledger must give."""

    def __init__(self, code: int) -> None:
        super().__init__(int(code))
        self.code = int(code)


def require(condition: bool, code: int) -> None:
    """Refuse unless a condition holds."""
    if not condition:
        raise Refused(code)


@dataclass
class Stake:
    """One stake and what it has earned of each reward."""

    owner: str
    amount: int
    tier: int
    locked_s: int
    earned: dict[str, Fraction]


@dataclass
class Pot:
    """One reward asset: its schedule, what has come out of it, and what became of that."""

    start_s: int
    end_s: int
    budget: int
    released: int = 0
    left: Fraction = Fraction(0)  # came out, and could not be divided
    funded: int = 0
    paid: int = 0
    unallocated: int = 0
    refunded: int = 0


@dataclass
class ModelFarm:
    """A farm of `s`, and what everybody holds."""

    stake: str
    tiers: tuple[Tier, ...]
    min_stake: int
    max_stakers: int
    holdings: dict[tuple[str, str], int]
    now_s: int = START_S
    end_s: int = 0
    pots: dict[str, Pot] = field(default_factory=dict)
    stakes: dict[tuple[str, int], Stake] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    def weight(self, stake: Stake) -> int:
        """A stake counts as its tier says."""
        return stake.amount * self.tiers[stake.tier].weight_ppm

    def advance(self, now_s: int) -> None:
        """Time passes: what came out goes to the stakes that were there, or to nobody."""
        self.now_s = now_s
        total = sum(self.weight(stake) for stake in self.stakes.values())
        for code, pot in self.pots.items():
            part = Fraction(min(max(now_s - pot.start_s, 0), pot.end_s - pot.start_s), pot.end_s - pot.start_s)
            out = floor(pot.budget * part) - pot.released
            pot.released += out
            if out and not total:
                pot.unallocated += out
            elif out:
                whole = out + pot.left
                each = Fraction(floor(whole / total * GRAIN), GRAIN)
                for stake in self.stakes.values():
                    stake.earned[code] += each * self.weight(stake)
                pot.left = whole - each * total

    def _hold(self, who: str, code: str, amount: int) -> None:
        self.holdings[who, code] += amount

    def _require_holding(self, who: str, code: str, amount: int) -> None:
        require(self.holdings[who, code] >= amount, Code.INSUFFICIENT_FUNDS)

    def create(self, who: str, reward: str, start_s: int, end_s: int, budget: int) -> None:
        """The first campaign."""
        require(budget > 0, Code.FARM_UNFUNDED)
        self._add_schedule(who, reward, start_s or self.now_s, end_s, budget, 0)

    def _add_schedule(self, who: str, reward: str, start_s: int, end_s: int, amount: int, rest: int) -> None:
        require(self.now_s <= start_s < end_s <= self.now_s + DURATION_MAX, Code.PARAM_OUT_OF_RANGE)
        self._require_holding(who, reward, amount)
        self._hold(who, reward, -amount)
        pot = self.pots.setdefault(reward, Pot(start_s, end_s, 0))
        pot.start_s, pot.end_s, pot.budget, pot.released = start_s, end_s, amount + rest, 0
        pot.funded += amount
        self.end_s = max(self.end_s, end_s)
        for stake in self.stakes.values():
            stake.earned.setdefault(reward, Fraction(0))

    def fund(self, who: str, reward: str, amount: int, start_s: int, end_s: int) -> None:
        """More money: a new schedule, or the rest of the old one and the new money together."""
        require(amount > 0, Code.ZERO_AMOUNT)
        require(who == "s", Code.NO_PERMISSION)
        require(self.now_s < self.end_s, Code.FARM_ENDED)
        pot = self.pots.get(reward)
        if pot is None or pot.end_s <= self.now_s:
            self._add_schedule(who, reward, start_s or self.now_s, end_s or self.end_s, amount, 0)
            return
        rest = pot.budget - pot.released
        require(not start_s and (not end_s or end_s >= pot.end_s), Code.PARAM_OUT_OF_RANGE)
        start_s, end_s = max(self.now_s, pot.start_s), end_s or pot.end_s
        old_rate = Fraction(pot.budget, pot.end_s - pot.start_s)
        require(Fraction(rest + amount, end_s - start_s) >= old_rate, Code.PARAM_OUT_OF_RANGE)
        self._add_schedule(who, reward, start_s, end_s, amount, rest)

    def add_stake(self, who: str, amount: int, tier: int) -> None:
        """A new stake has earned nothing."""
        require(amount > 0, Code.ZERO_AMOUNT)
        require(self.now_s < self.end_s, Code.FARM_ENDED)
        require(tier < len(self.tiers), Code.PARAM_OUT_OF_RANGE)
        require(amount >= self.min_stake, Code.STAKE_TOO_SMALL)
        self._require_holding(who, self.stake, amount)
        stakers = {stake.owner for stake in self.stakes.values()} | {who}
        require(not self.max_stakers or len(stakers) <= self.max_stakers, Code.ASSERT_FAILED)
        self._hold(who, self.stake, -amount)
        number = self.numbers.get(who, 0)
        self.numbers[who] = number + 1
        earned = dict.fromkeys(self.pots, Fraction(0))
        self.stakes[who, number] = Stake(who, amount, tier, self.now_s + self.tiers[tier].seconds, earned)

    def _own(self, who: str, number: int, *, unlocked: bool = True) -> Stake:
        require((who, number) in self.stakes, Code.PENDING_NOT_FOUND)
        stake = self.stakes[who, number]
        require(not unlocked or self.now_s >= stake.locked_s, Code.LOCKED_UNTIL)
        return stake

    def _take_left(self, stake: Stake) -> None:
        """What could not be divided is his who is alone."""
        if stake.amount and all(other is stake or not other.amount for other in self.stakes.values()):
            for code, pot in self.pots.items():
                stake.earned[code] += pot.left
                pot.left = Fraction(0)

    def _tidy(self) -> None:
        """A stake of nothing that is owed no whole unit is gone; without stakes whole units are nobody's."""
        for key, stake in list(self.stakes.items()):
            if not stake.amount and all(earned < 1 for earned in stake.earned.values()):
                for code, earned in stake.earned.items():
                    self.pots[code].left += earned
                del self.stakes[key]
        if not any(stake.amount for stake in self.stakes.values()):
            for pot in self.pots.values():
                pot.unallocated += floor(pot.left)
                pot.left -= floor(pot.left)

    def _pay(self, stake: Stake, only: str) -> int:
        units = 0
        for code, pot in self.pots.items():
            whole = floor(stake.earned[code]) if only in ("", code) else 0
            stake.earned[code] -= whole
            pot.paid += whole
            self._hold(stake.owner, code, whole)
            units += whole
        return units

    def unstake(self, who: str, number: int, amount: int) -> None:
        """A part comes back."""
        require(amount > 0, Code.ZERO_AMOUNT)
        stake = self._own(who, number)
        require(amount <= stake.amount, Code.INSUFFICIENT_FUNDS)
        require(amount == stake.amount or stake.amount - amount >= self.min_stake, Code.STAKE_TOO_SMALL)
        self._take_left(stake)
        stake.amount -= amount
        self._hold(who, self.stake, amount)
        self._tidy()

    def claim(self, who: str, number: int, only: str) -> None:
        """Whole units are paid."""
        stake = self._own(who, number)
        left = {code: pot.left for code, pot in self.pots.items()}
        earned = dict(stake.earned)
        self._take_left(stake)
        if not self._pay(stake, only):
            stake.earned = earned
            for code, pot in self.pots.items():
                pot.left = left[code]
            raise Refused(Code.NOTHING_TO_CLAIM)
        self._tidy()

    def leave(self, who: str, number: int) -> None:
        """Everything."""
        stake = self._own(who, number)
        self._take_left(stake)
        self._pay(stake, "")
        self._hold(who, self.stake, stake.amount)
        stake.amount = 0
        self._tidy()

    def emergency_exit(self, who: str, number: int) -> None:
        """The principal; what was earned is nobody's."""
        stake = self._own(who, number, unlocked=False)
        require(stake.amount > 0, Code.ZERO_AMOUNT)
        self._take_left(stake)
        for code, pot in self.pots.items():
            pot.unallocated += floor(stake.earned[code])
            stake.earned[code] -= floor(stake.earned[code])
        self._hold(who, self.stake, stake.amount)
        stake.amount = 0
        self._tidy()

    def close(self, who: str) -> None:
        """What is nobody's is the sponsor's, after the end."""
        require(who == "s", Code.NO_PERMISSION)
        require(self.now_s >= self.end_s, Code.TOO_EARLY)
        require(any(pot.unallocated for pot in self.pots.values()), Code.NOTHING_TO_CLAIM)
        for code, pot in self.pots.items():
            self._hold(who, code, pot.unallocated)
            pot.refunded += pot.unallocated
            pot.unallocated = 0

    def check(self) -> None:
        """The identity, for each reward."""
        for code, pot in self.pots.items():
            owed = sum((stake.earned[code] for stake in self.stakes.values()), Fraction(0))
            assert pot.funded == pot.paid + pot.refunded + pot.unallocated + (pot.budget - pot.released) + pot.left + owed, code


class LedgerFarm:
    """The same farm in the ledger."""

    def __init__(self, holding: int) -> None:
        self.view = view = View({})
        for address in PEOPLE.values():
            view.put(account_key(address), (1, b"", ((0, 1, b"k" * 32, 1),), (1, 1, 1, 1), 0))
        for code in REWARDS:
            view.put(asset_key(code), (0, 0, FLAG_TRANSFERABLE | FLAG_STAKEABLE, PEOPLE["s"], b"", 0))
            view.put(supply_key(code), (holding * len(PEOPLE),))
            for address in PEOPLE.values():
                view.put(holding_key(address, code), (holding,))
        off = Switches(0, 0, 0)
        view.put(pool_key(POOL), Pool(10**9, 10**9, holding * 4 + 1_000, 0, 0, 0, START_S, 0, False, off, PEOPLE["s"], 0))
        for index, address in enumerate(PEOPLE.values()):
            view.put(position_key(address, POOL), Position(holding, holding // 3, 7 + index, holding // 7, 10**20))
        view.settle()
        self.context = OpContext(view, 1, START_S, ())

    def do(self, name: str, who: str, *args: Any) -> int:
        """One operation and its invariants: its code. The state is as before if it is refused."""
        row = BY_NAME[f"farm.{name}"]
        try:
            row.handler(self.context, PEOPLE[who], args)
        except OperationFailed as failure:
            self.view.rollback(0)
            assert failure.result in row.codes, (name, failure.result)
            return int(failure.result)
        problem = check_operation(self.view, 0, Call(row, PEOPLE[who], args))
        assert not problem, (problem, name, args)
        self.view.settle()
        self.context.events = []
        return int(Code.OK)

    def held(self, who: str, code: str) -> int:
        """What somebody has: of an asset, or shares of the pool."""
        key = position_key(PEOPLE[who], code) if "/" in code else holding_key(PEOPLE[who], code)
        record = self.view.get(key)
        return int(record[0]) if record is not None else 0


def compare_all(model: ModelFarm, ledger: LedgerFarm) -> None:
    """Everything that can be seen is equal. Raises `AssertionError` where it is not."""
    view = ledger.view
    for (who, code), amount in model.holdings.items():
        assert ledger.held(who, code) == amount, (who, code)
    farm = view.get(farm_key(0))
    campaigns = settle(view, 0, farm, model.now_s)
    for code, campaign in zip(farm.rewards, campaigns, strict=True):
        pot = model.pots[code]
        assert campaign[:6] == (pot.funded, pot.paid, pot.refunded, pot.unallocated, pot.budget, pot.released), code
        assert Fraction(campaign.carry, GRAIN) == pot.left, code
    for (who, number), stake in model.stakes.items():
        record = view.get(farm_position_key(PEOPLE[who], number))
        assert (record.amount, record.locked_s) == (stake.amount, stake.locked_s)
        heavier = farm._replace(weight=record.weight + 1)  # so that it does not take what is left
        owed = [Fraction(one, GRAIN) for one in take_dues(record, heavier, list(campaigns))]
        assert owed == [stake.earned[code] for code in farm.rewards], (who, number)
    assert farm.amount == sum(stake.amount for stake in model.stakes.values())
    assert farm.stakers == len({stake.owner for stake in model.stakes.values()})


def draw_amount(rng: random.Random, near: int) -> int:
    """Nothing, dust, about as much as `near`, or anything."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.randint(0, 3)
    if kind == 1:
        return rng.randint(1, 10_000)
    if kind == 2 and rng.random() < 0.3:
        return rng.randint(1, 1 << rng.randint(1, 640))
    return max(1, near * rng.randint(1, 1_000) // rng.choice((1_000, 10_000, 1_000_000)))


def draw_farm(rng: random.Random) -> tuple[ModelFarm, LedgerFarm]:
    """A farm of random terms, with its first campaign."""
    holding = rng.choice((10**6, 10**24, AMOUNT_MAX // 4, AMOUNT_MAX // 4))
    stake = rng.choice(("AA", "BB", "CC", POOL))  # AA is the first reward too
    locks = sorted({0, *(rng.choice((1, 50, 10**4, 10**6)) for _ in range(rng.randrange(3)))})
    tiers = tuple(Tier(seconds, rng.choice((1, 1_000_000, 1_500_000, 4_000_000, 99_999_999))) for seconds in locks)
    bounds = rng.choice((0, 0, 0, 2, 100)), rng.choice((0, 0, 0, 0, 2))
    codes = (*REWARDS, POOL)
    model = ModelFarm(stake, tiers, *bounds, {(who, code): holding for who in PEOPLE for code in codes})
    ledger = LedgerFarm(holding)
    start_s = rng.choice((0, START_S + rng.randint(0, 100)))
    end_s = (start_s or START_S) + rng.choice((7, 1_000, 86_400, 86_400, 10**7))
    budget = min(draw_amount(rng, holding // 8) + 1, holding)
    model.create("s", "AA", start_s, end_s, budget)
    args = (stake, "AA", start_s, end_s, budget, tiers, model.max_stakers, model.min_stake, "")
    assert ledger.do("create", "s", *args) == Code.OK
    return model, ledger


KINDS = ("stake",) * 8 + ("claim",) * 8 + ("unstake",) * 5 + ("exit",) * 3 + ("fund",) * 4 + ("emergency_exit", "close")


def step(rng: random.Random, model: ModelFarm, ledger: LedgerFarm) -> str:
    """One random operation on both. Returns its name, or `refused`; raises `AssertionError` where they differ."""
    kind = rng.choice(KINDS)
    if len(model.stakes) < 3 and kind in ("claim", "unstake", "exit", "emergency_exit") and rng.random() < 0.6:
        kind = "stake"
    passed_s = rng.choice((0, 0, 1, 13, max(1, (model.end_s - START_S) // rng.randint(20, 200))))
    ledger.context.time_s = now_s = model.now_s + passed_s
    model.advance(now_s)
    who = rng.choice("xyz") if kind not in ("fund", "close") or rng.random() < 0.05 else "s"
    if model.stakes and kind not in ("stake", "fund", "close") and rng.random() < 0.7:
        free = [key for key, stake in model.stakes.items() if stake.locked_s <= now_s]
        who = rng.choice(free or list(model.stakes))[0]
    own = [number for owner, number in model.stakes if owner == who and model.stakes[owner, number].locked_s <= now_s]
    own = own if rng.random() < 0.9 else [number for owner, number in model.stakes if owner == who]
    number = rng.choice(own) if own and rng.random() < 0.95 else rng.randint(0, 50)
    held = model.holdings[who, model.stake]
    in_stake = model.stakes[who, number].amount if (who, number) in model.stakes else 5
    reward = rng.choice(REWARDS)
    amount, tier = draw_amount(rng, held), rng.choice((*range(len(model.tiers)),) * 4 + (len(model.tiers),))
    part = in_stake if rng.random() < 0.4 else draw_amount(rng, in_stake)
    only = rng.choice(("", "", reward))
    money = draw_amount(rng, model.holdings[who, reward])
    pot = model.pots.get(reward)
    running = pot is not None and pot.end_s > now_s
    start_s = 0 if running and rng.random() < 0.9 else rng.choice((0, now_s + rng.randint(-2, 50)))
    longer_s = money * (pot.end_s - pot.start_s) // max(1, pot.budget) if running and pot is not None else 0
    end_s = rng.choice((0, 0, max(model.end_s, now_s) + rng.randint(-10, 1_000), (pot.end_s if pot else 0) + longer_s))
    calls: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "stake": (lambda: model.add_stake(who, amount, tier), (0, amount, tier)),
        "claim": (lambda: model.claim(who, number, only), (0, (number,), only)),
        "unstake": (lambda: model.unstake(who, number, part), (0, number, part)),
        "exit": (lambda: model.leave(who, number), (number,)),
        "emergency_exit": (lambda: model.emergency_exit(who, number), (number,)),
        "fund": (lambda: model.fund(who, reward, money, start_s, end_s), (0, reward, money, start_s, end_s)),
        "close": (lambda: model.close(who), (0,)),
    }
    act, args = calls[kind]
    try:
        act()
        expected = int(Code.OK)
    except Refused as refusal:
        expected = refusal.code
    found = ledger.do(kind, who, *args)
    assert found == expected, (kind, who, args, found, expected)
    model.check()
    compare_all(model, ledger)
    return kind if found == Code.OK else "refused"


def finish(model: ModelFarm, ledger: LedgerFarm) -> None:
    """Everybody leaves and the sponsor is refunded: nothing of anything is left in the farms' account."""
    ledger.context.time_s = now_s = max([model.end_s, model.now_s, *(stake.locked_s for stake in model.stakes.values())])
    model.advance(now_s)
    for who, number in list(model.stakes):
        model.leave(who, number)
        assert ledger.do("exit", who, number) == Code.OK
    if any(pot.unallocated for pot in model.pots.values()):
        model.close("s")
        assert ledger.do("close", "s", 0) == Code.OK
    compare_all(model, ledger)
    view = ledger.view
    assert all(view.get(holding_key(FARMS_ADDRESS, code)) is None for code in REWARDS)
    assert view.get(position_key(FARMS_ADDRESS, POOL)) is None
    assert all(view.get(campaign_key(0, code)).carry == 0 for code in model.pots)
    records = [(key, record) for key, record in view.changed_records() if record is not None]
    assert audit_farm(records) == ()


def compare(operations: int, seed: int, *, steps_per_farm: int = 60) -> dict[str, int]:
    """Random operations on many farms, on the model and on the ledger; how many of each kind were equal."""
    rng = random.Random(seed)
    counts: dict[str, int] = {}
    done = 0
    while done < operations:
        model, ledger = draw_farm(rng)
        for _ in range(min(steps_per_farm, operations - done)):
            if model.now_s >= model.end_s and not model.stakes and rng.random() < 0.5:
                break
            kind = step(rng, model, ledger)
            counts[kind] = counts.get(kind, 0) + 1
            done += 1
        finish(model, ledger)
    return dict(sorted(counts.items()))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Compare farms in the ledger with a model in fractions.")
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    counts = compare(options.operations, options.seed)
    print(f"{sum(counts.values())} operations equal to the last 2^-640 unit: {counts}")


if __name__ == "__main__":
    main()
