"""An independent model of a pool, slow and obvious, in fractions; and a command that compares it with the arithmetic.

    python tests/state/amm_model.py --operations 100000 --seed 1
    python tests/state/amm_model.py --operations 100000 --ledger

The model never uses the closed forms of `state.modules.amm_math`. What may leave a pool follows from one sentence: the product of the
reserves, the fee of the input left out, may not fall. Roots are found by bisection. Amounts are drawn from one unit to 2^640.
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
from state.modules import amm_math
from state.modules.amm_pool import get_position
from state.modules.gate import FLAGS_OPEN
from state.modules.operation import GOVERNANCE_ADDRESS, TREASURY_ADDRESS, OpContext
from state.modules.table import BY_NAME
from state.primitives.errors import OperationFailed
from state.primitives.limits import AMOUNT_MAX
from state.schema import asset_key, holding_key, supply_key
from state.schema_amm import Pool, pool_key
from state.transaction import Call
from state.view import View

LOCKED = 1_000


OWNER = b"o" * 32
BOUNDS = (Code.BELOW_MIN_RESERVES, Code.INSUFFICIENT_FUNDS, Code.OVERFLOW_MAX)  # of the ledger, which the model does not have


class Refused(Exception):
    """Nothing would move, or more than there is."""


class TooMuch(Exception):
    """The ledger's own bounds: the least reserves, what the account holds."""


def root(number: int) -> int:
    """The largest integer whose square is not above `number`, by bisection."""
    low, high = 0, 1 << (number.bit_length() // 2 + 1)
    while low < high:
        middle = (low + high + 1) >> 1
        if middle * middle <= number:
            low = middle
        else:
            high = middle - 1
    return low


@dataclass
class ModelPool:
    """Two reserves, shares by holder, a fee, and sqrt(k) at the last deposit or withdrawal while the protocol's fee is on."""

    fee: Fraction
    reserves: list[Fraction]
    shares: dict[str, Fraction] = field(default_factory=dict)
    is_protocol_on: bool = False
    root_last: int = 0

    @classmethod
    def create(cls, fee_ppm: int, a: int, b: int, owner: str, *, is_protocol_on: bool = False) -> ModelPool:
        """A pool's first deposit."""
        total = root(a * b)
        if total <= LOCKED:
            raise Refused
        pool = cls(Fraction(fee_ppm, 1_000_000), [Fraction(a), Fraction(b)], is_protocol_on=is_protocol_on)
        pool.shares = {"": Fraction(LOCKED), owner: Fraction(total - LOCKED)}
        pool._remember()
        return pool

    @property
    def supply(self) -> Fraction:
        """All shares."""
        return sum(self.shares.values(), Fraction(0))

    def _root_k(self) -> int:
        return root(int(self.reserves[0] * self.reserves[1]))

    def _remember(self) -> None:
        self.root_last = self._root_k() if self.is_protocol_on else 0

    def _give(self, holder: str, shares: Fraction) -> None:
        self.shares[holder] = self.shares.get(holder, Fraction(0)) + shares

    def _pay_protocol(self) -> None:
        """The protocol's shares are to be a sixth of what sqrt(k) has grown by, as a part of the whole."""
        now = self._root_k()
        if self.root_last and now > self.root_last:
            part = Fraction(now - self.root_last, now) / 6
            self._give("protocol", Fraction(floor(self.supply * part / (1 - part))))

    def set_protocol(self, is_on: bool) -> None:
        """Switch the protocol's fee; it counts from the first deposit or withdrawal while it is on."""
        if is_on != self.is_protocol_on:
            self.root_last = 0
        self.is_protocol_on = is_on

    def swap_in(self, side: int, amount: int) -> int:
        """Pay in `amount` on a side, get the most that leaves the product as it was."""
        product = self.reserves[0] * self.reserves[1]
        counted = self.reserves[side] + amount * (1 - self.fee)
        out = floor(self.reserves[1 - side] - product / counted)
        if amount <= 0 or out <= 0:
            raise Refused
        self.reserves[side] += amount
        self.reserves[1 - side] -= out
        return out

    def swap_out(self, side: int, amount: int) -> int:
        """Take `amount` from the other side, pay for it: the exact price down to a unit, and one."""
        left = self.reserves[1 - side] - amount
        if amount <= 0 or left <= 0:
            raise Refused
        product = self.reserves[0] * self.reserves[1]
        paid = floor((product / left - self.reserves[side]) / (1 - self.fee)) + 1
        self.reserves[side] += paid
        self.reserves[1 - side] = left
        return paid

    def add(self, holder: str, max_a: int, max_b: int, *, first: int = 0) -> tuple[int, int, int]:
        """Both assets in the pool's ratio: (a, b, shares). The side `first` is taken whole if it can be."""
        maxima = (max_a, max_b)
        ratio = self.reserves[1 - first] / self.reserves[first]
        one, other = maxima[first], floor(maxima[first] * ratio)
        if other > maxima[1 - first]:
            one, other = floor(maxima[1 - first] / ratio), maxima[1 - first]
        a, b = (Fraction(one), Fraction(other)) if first == 0 else (Fraction(other), Fraction(one))
        self._pay_protocol()
        total = self.supply
        shares = min(floor(a / self.reserves[0] * total), floor(b / self.reserves[1] * total))
        if shares <= 0:
            raise Refused
        self._give(holder, Fraction(shares))
        self.reserves = [self.reserves[0] + a, self.reserves[1] + b]
        self._remember()
        return int(a), int(b), shares

    def add_single(self, holder: str, side: int, amount: int) -> tuple[int, int, int]:
        """One asset: (how much of it is kept, how much of the other one goes back, shares)."""
        swapped = self._part_to_swap(side, amount)
        bought = self.swap_in(side, swapped)
        maxima = (amount - swapped, bought) if side == 0 else (bought, amount - swapped)
        a, b, shares = self.add(holder, *maxima, first=side)
        used, used_other = (a, b) if side == 0 else (b, a)
        return swapped + used, bought - used_other, shares

    def _part_to_swap(self, side: int, amount: int) -> int:
        """The largest s with g s^2 + R (1 + g) s <= R x: after it the rest has at least the pool's new ratio, but for rounding."""
        g, reserve = 1 - self.fee, self.reserves[side]
        low, high = 0, amount
        while low < high:
            s = (low + high + 1) >> 1
            if g * s * s + reserve * (1 + g) * s <= reserve * amount:
                low = s
            else:
                high = s - 1
        return low

    def remove(self, holder: str, shares: int) -> tuple[int, int]:
        """Both assets for shares."""
        if not 0 < shares <= self.shares.get(holder, 0):
            raise Refused
        self._pay_protocol()
        part = shares / self.supply
        a, b = floor(self.reserves[0] * part), floor(self.reserves[1] * part)
        if not (a and b):
            raise Refused
        self.shares[holder] -= shares
        self.reserves = [self.reserves[0] - a, self.reserves[1] - b]
        self._remember()
        return a, b

    def remove_single(self, holder: str, shares: int, side: int) -> int:
        """One asset for shares."""
        amounts = self.remove(holder, shares)
        return amounts[side] + self.swap_in(1 - side, amounts[1 - side])


class MathPool:
    """The same pool out of `amm_math`, as a handler would put it together."""

    def __init__(self, fee_ppm: int, a: int, b: int, *, is_protocol_on: bool = False) -> None:
        self.fee_ppm, self.r, self.is_protocol_on = fee_ppm, [a, b], is_protocol_on
        self.supply = amm_math.compute_first_shares(a, b)
        self.protocol = 0
        self.k_last = a * b if is_protocol_on else 0

    def _pay_protocol(self, a: int, b: int) -> None:
        minted = amm_math.compute_protocol_shares(a, b, self.k_last, self.supply)
        self.protocol += minted
        self.supply += minted

    def _remember(self) -> None:
        self.k_last = self.r[0] * self.r[1] if self.is_protocol_on else 0

    def set_protocol(self, is_on: bool) -> None:
        if is_on != self.is_protocol_on:
            self.k_last = 0
        self.is_protocol_on = is_on

    def swap_in(self, side: int, amount: int) -> int:
        out = amm_math.compute_out(amount, self.r[side], self.r[1 - side], self.fee_ppm)
        if not out:
            raise Refused
        self.r[side] += amount
        self.r[1 - side] -= out
        return out

    def swap_out(self, side: int, amount: int) -> int:
        if not 0 < amount < self.r[1 - side]:
            raise Refused
        paid = amm_math.compute_in(amount, self.r[side], self.r[1 - side], self.fee_ppm)
        self.r[side] += paid
        self.r[1 - side] -= amount
        return paid

    def add(self, max_a: int, max_b: int) -> tuple[int, int, int]:
        a, b = amm_math.compute_deposit(max_a, max_b, *self.r)
        return a, b, self._mint(a, b)

    def _mint(self, a: int, b: int) -> int:
        self._pay_protocol(*self.r)
        shares = amm_math.compute_shares(a, b, *self.r, self.supply)
        if not shares:
            raise Refused
        self.supply += shares
        self.r = [self.r[0] + a, self.r[1] + b]
        self._remember()
        return shares

    def add_single(self, side: int, amount: int) -> tuple[int, int, int]:
        parts = amm_math.compute_single_deposit(amount, self.r[side], self.r[1 - side], self.fee_ppm)
        if not parts.bought:
            raise Refused
        self.r[side] += parts.swapped
        self.r[1 - side] -= parts.bought
        shares = self._mint(*((parts.used_in, parts.used_out) if side == 0 else (parts.used_out, parts.used_in)))
        return parts.swapped + parts.used_in, parts.bought - parts.used_out, shares

    def remove(self, shares: int) -> tuple[int, int]:
        self._pay_protocol(*self.r)
        a, b = amm_math.compute_withdrawal(shares, *self.r, self.supply)
        if not (a and b):
            raise Refused
        self.supply -= shares
        self.r = [self.r[0] - a, self.r[1] - b]
        self._remember()
        return a, b

    def remove_single(self, shares: int, side: int) -> int:
        self._pay_protocol(*self.r)
        found = amm_math.compute_single_withdrawal(shares, self.r[side], self.r[1 - side], self.supply, self.fee_ppm)
        if not (found.wanted and found.other and found.bought):
            raise Refused
        self.supply -= shares
        self.r[side] -= found.wanted
        self.r[1 - side] -= found.other
        self._remember()
        self.r[side] -= found.bought
        self.r[1 - side] += found.other
        return found.wanted + found.bought


class LedgerPool:
    """The same pool in the ledger: the handlers on a view, each operation held to the invariants. Signatures are left out."""

    def __init__(self, fee_ppm: int, a: int, b: int, *, is_protocol_on: bool = False) -> None:
        holding = (AMOUNT_MAX,)
        self.view = View({})
        for code in ("AA", "BB"):
            self.view.put(asset_key(code), (0, 0, FLAGS_OPEN, OWNER, b"", 0))
            self.view.put(holding_key(OWNER, code), holding)
            self.view.put(supply_key(code), holding)
        self.view.settle()
        self.context = OpContext(self.view, 1, 1_800_000_000, ())
        self.do("create", OWNER, "AA", "BB", fee_ppm, a, b, ())
        if is_protocol_on:  # as in the model: counted from the first deposit on
            self.do("set_protocol_fee", GOVERNANCE_ADDRESS, "AA/BB", 1)
            pool = self.pool
            self.view.put(pool_key("AA/BB"), pool._replace(k_last=a * b))
            self.view.settle()

    @property
    def pool(self) -> Pool:
        found: Pool = self.view.get(pool_key("AA/BB"))
        return found

    @property
    def r(self) -> list[int]:
        return [self.pool.reserve_a, self.pool.reserve_b]

    @property
    def supply(self) -> int:
        return self.pool.supply

    @property
    def protocol(self) -> int:
        return get_position(self.view, TREASURY_ADDRESS, "AA/BB").shares

    def do(self, name: str, account: bytes, *args: Any) -> None:
        """One operation, its invariants; the state is as before if it is refused."""
        row = BY_NAME[f"amm.{name}"]
        try:
            row.handler(self.context, account, args)
        except OperationFailed as failure:
            self.view.rollback(0)
            assert failure.result in row.codes or failure.result == Code.OVERFLOW_MAX
            raise (TooMuch if failure.result in BOUNDS else Refused) from failure
        problem = check_operation(self.view, 0, Call(row, account, args))
        assert not problem, (problem, name, args)
        self.view.settle()
        self.context.events = []
        self.context.time_s += 1

    def _holds(self, side: int) -> int:
        return int(self.view.get(holding_key(OWNER, ("AA", "BB")[side]))[0])

    def set_protocol(self, is_on: bool) -> None:
        self.do("set_protocol_fee", GOVERNANCE_ADDRESS, "AA/BB", int(is_on))

    def swap_in(self, side: int, amount: int) -> int:
        before = self._holds(1 - side)
        self.do("swap_in", OWNER, ("AA", "BB")[:: 1 - 2 * side], amount, 0)
        return self._holds(1 - side) - before

    def swap_out(self, side: int, amount: int) -> int:
        before = self._holds(side)
        self.do("swap_out", OWNER, ("AA", "BB")[:: 1 - 2 * side], amount, AMOUNT_MAX)
        return before - self._holds(side)

    def _shares(self) -> int:
        return get_position(self.view, OWNER, "AA/BB").shares

    def add(self, max_a: int, max_b: int) -> tuple[int, int, int]:
        a, b, shares = self._holds(0), self._holds(1), self._shares()
        self.do("add", OWNER, "AA/BB", max_a, max_b, 0, (0, 0), (0, 0))
        return a - self._holds(0), b - self._holds(1), self._shares() - shares

    def add_single(self, side: int, amount: int) -> tuple[int, int, int]:
        mine, other, shares = self._holds(side), self._holds(1 - side), self._shares()
        self.do("add_single", OWNER, "AA/BB", ("AA", "BB")[side], amount, 0)
        return mine - self._holds(side), self._holds(1 - side) - other, self._shares() - shares

    def remove(self, shares: int) -> tuple[int, int]:
        a, b = self._holds(0), self._holds(1)
        self.do("remove", OWNER, "AA/BB", shares, 0, 0)
        return self._holds(0) - a, self._holds(1) - b

    def remove_single(self, shares: int, side: int) -> int:
        before = self._holds(side)
        self.do("remove_single", OWNER, "AA/BB", shares, ("AA", "BB")[side], 0)
        return self._holds(side) - before


def draw_amount(rng: random.Random, near: int) -> int:
    """One unit, dust, about as much as `near`, or anything up to 2^640."""
    kind = rng.randrange(6)
    if kind == 0:
        return rng.randint(1, 3)
    if kind == 1:
        return rng.randint(1, 10_000)
    if kind == 2:
        return rng.randint(1, 1 << rng.randint(1, 640))
    return max(1, near * rng.randint(1, 3_000) // rng.choice((1_000, 10_000, 1_000_000)))


def draw_pool(rng: random.Random, bits_max: int = 640) -> tuple[int, int, int, bool]:
    """Fee, two first amounts (often far apart) and whether the protocol's fee is on."""
    fee_ppm = rng.choice((0, 1, 100, 500, 3_000, 3_000, 3_000, 10_000, 100_000))
    a, b = (rng.randint(1, 1 << rng.randint(8, bits_max - 8)) + 2_000 for _ in "ab")
    return fee_ppm, a, b, rng.random() < 0.5


def step(rng: random.Random, model: ModelPool, pool: MathPool | LedgerPool) -> str:
    """One random operation on both. Returns its name; raises `AssertionError` where they differ."""
    kind = rng.choice(("swap_in",) * 4 + ("swap_out",) * 3 + ("add", "add_single", "remove", "remove_single", "protocol"))
    side = rng.randrange(2)
    amount = draw_amount(rng, int(model.reserves[side]))
    saved = (list(model.reserves), dict(model.shares), model.root_last)
    kept = (list(pool.r), pool.supply, pool.protocol, pool.k_last) if isinstance(pool, MathPool) else ()
    outcomes: list[object] = []
    shares = min(draw_amount(rng, int(model.supply)), int(model.shares["owner"]))
    calls = {
        "swap_in": (lambda: model.swap_in(side, amount), lambda: pool.swap_in(side, amount)),
        "swap_out": (lambda: model.swap_out(side, amount), lambda: pool.swap_out(side, amount)),
        "add": (lambda: model.add("owner", amount, amount * 2), lambda: pool.add(amount, amount * 2)),
        "add_single": (lambda: model.add_single("owner", side, amount), lambda: pool.add_single(side, amount)),
        "remove": (lambda: model.remove("owner", shares), lambda: pool.remove(shares)),
        "remove_single": (lambda: model.remove_single("owner", shares, side), lambda: pool.remove_single(shares, side)),
        "protocol": (lambda: model.set_protocol(amount % 2 == 0), lambda: pool.set_protocol(amount % 2 == 0)),
    }
    for act in calls[kind]:
        try:
            outcomes.append(act())
        except Refused:
            outcomes.append("refused")
        except TooMuch:
            outcomes = ["refused", "refused"]
    assert outcomes[0] == outcomes[1], (kind, side, amount, outcomes)
    if outcomes[0] == "refused":
        model.reserves, model.shares, model.root_last = saved
        if isinstance(pool, MathPool):
            pool.r, pool.supply, pool.protocol, pool.k_last = kept
    assert [int(r) for r in model.reserves] == pool.r, kind
    assert (int(model.supply), int(model.shares.get("protocol", 0))) == (pool.supply, pool.protocol), kind
    return kind if outcomes[0] != "refused" else "refused"


def compare(operations: int, seed: int, *, in_ledger: bool = False, steps_per_pool: int = 60) -> dict[str, int]:
    """Random operations on many pools, on the model and on the arithmetic or the ledger; how many of each kind were equal."""
    rng = random.Random(seed)
    counts: dict[str, int] = {}
    done = 0
    while done < operations:
        fee_ppm, a, b, is_on = draw_pool(rng)
        if in_ledger:
            a, b = a + 10_000, b + 10_000
        model = ModelPool.create(fee_ppm, a, b, "owner", is_protocol_on=is_on)
        pool = (LedgerPool if in_ledger else MathPool)(fee_ppm, a, b, is_protocol_on=is_on)
        for _ in range(min(steps_per_pool, operations - done)):
            kind = step(rng, model, pool)
            counts[kind] = counts.get(kind, 0) + 1
            done += 1
    return dict(sorted(counts.items()))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Compare the pools' arithmetic with a model in fractions.")
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--ledger", action="store_true", help="Compare the handlers on a ledger, with every invariant.")
    options = parser.parse_args()
    counts = compare(options.operations, options.seed, in_ledger=options.ledger)
    print(f"{sum(counts.values())} operations equal to the last unit: {counts}")


if __name__ == "__main__":
    main()
