"""Restrictions against a model of its own, step by step: amounts up to 2^640, any scale, freezes that end, acts of authority.

The model knows the table of docs/compliance.md and nothing of marks, records or the gate. After each step every balance, the supply and
the audit of the whole state agree with it.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from state.modules.assets import FLAGS_ALL
from state.primitives.limits import AMOUNT_MAX
from state.transaction import call
from tests.state.compliance_world import (
    GROUND,
    ComplianceWorld,
    authorise,
    clawback,
    forced_transfer,
    freeze_account,
    freeze_holding,
    sanction,
    set_role,
    unfreeze,
    unsanction,
)
from tests.state.ledger_world import ADDRESS, pay
from tests.state.test_modules_assets import create, mint

NAMES = ("alice", "bob", "carol")
PEOPLE = (*NAMES, "bank")
ASSET = "BIG"
who = st.sampled_from(NAMES)
anybody = st.sampled_from(PEOPLE)
amounts = st.one_of(st.integers(0, 5), st.integers(0, AMOUNT_MAX), st.integers(AMOUNT_MAX - 3, AMOUNT_MAX))
levels = st.sampled_from((1, 2))
lengths = st.sampled_from((0, 0, 1, 5, 90))
NEVER = 0


class Restrictions(RuleBasedStateMachine):
    """Three holders and the issuer of one asset."""

    @initialize(scale=st.sampled_from((0, 2, 18, 128)), parts=st.lists(st.integers(1, AMOUNT_MAX // 4), min_size=4, max_size=4))
    def start(self, scale: int, parts: list[int]) -> None:
        self.world = ComplianceWorld()
        minters = ((ADDRESS["minter"], AMOUNT_MAX),)
        self.world.must("bank", create(ASSET, scale=scale, flags=FLAGS_ALL, minters=minters))
        roles = (("freezer", "freezer"), ("clawback", "clawer"), ("compliance", "officer"))
        self.world.must("bank", *(set_role(ASSET, role, name) for role, name in roles))
        for name in NAMES:
            self.world.must("officer", authorise(name, ASSET, "authorised"))
            signer = [("carol", 0), ("carol", 1), ("carol", 7)] if name == "carol" else None
            self.world.must(name, call("asset.accept", asset=ASSET, on=1), signers=signer)
        self.world.must("minter", *(mint(name, part, ASSET) for name, part in zip(PEOPLE, parts, strict=True)))
        self.balances = dict(zip(PEOPLE, parts, strict=True))
        self.accounts: dict[str, tuple[int, int]] = {}  # who -> level, end
        self.holdings: dict[str, tuple[int, int]] = {}
        self.sanctioned: set[str] = set()
        self.states = dict.fromkeys(NAMES, "authorised")
        self.paused = False

    # the model

    def level(self, table: dict[str, tuple[int, int]], name: str) -> int:
        """The freeze in force."""
        level, end = table.get(name, (0, NEVER))
        return level if end == NEVER or end > self.world.now else 0

    def may_pay(self, name: str, to: str) -> int:
        """The code of who pays, 0 if he may."""
        if name in self.sanctioned:
            return 603
        if to != "bank" and self.level(self.accounts, name):
            return 600 + self.level(self.accounts, name)
        if self.paused:
            return 604
        if "bank" in (name, to):
            return 0
        if self.level(self.holdings, name):
            return 606
        return 0 if self.states[name] == "authorised" else 605

    def may_get(self, name: str, *, forced: bool = False) -> int:
        """The code of who receives."""
        if name in self.sanctioned:
            return 603
        if self.level(self.accounts, name) == 2:
            return 602
        if self.paused and not forced:
            return 604
        if name == "bank":
            return 0
        if self.level(self.holdings, name) == 2:
            return 606
        return 0 if self.states[name] == "authorised" else 605

    def do(self, sender: str, op: Any, expected: int) -> bool:
        receipt = self.world.do(sender, op)
        assert receipt.code == expected, (receipt.code, expected, receipt.log)
        return expected == 0

    def move(self, source: str, to: str, amount: int) -> None:
        self.balances[source] -= amount
        self.balances[to] += amount

    # what holders do

    @rule(source=anybody, to=anybody, amount=amounts, part=st.integers(0, 4))
    def transfer(self, source: str, to: str, amount: int, part: int) -> None:
        amount = self.balances[source] // part if part else amount
        code = 603 if source in self.sanctioned else 503 if not amount else 504 if source == to else self.may_pay(source, to)
        code = code or (501 if amount > self.balances[source] else self.may_get(to))
        if self.do(source, pay(to, amount, ASSET), code):
            self.move(source, to, amount)

    # what authorities do

    @rule(name=who, level=levels, length=lengths)
    def freeze(self, name: str, level: int, length: int) -> None:
        self._freeze("reg1", self.accounts, name, level, length, holding=False)

    @rule(name=who, level=levels, length=lengths)
    def freeze_one(self, name: str, level: int, length: int) -> None:
        self._freeze("freezer", self.holdings, name, level, length, holding=True)

    def _freeze(self, sender: str, table: dict[str, tuple[int, int]], name: str, level: int, length: int, *, holding: bool) -> None:
        end = self.world.now + length if length else NEVER
        old, old_end = (*table[name],) if self.level(table, name) else (0, 1)
        is_weaker = old and (level < old or (end != NEVER and (old_end == NEVER or end < old_end)))
        op = freeze_holding(name, ASSET, level, end) if holding else freeze_account(name, level, end)
        if self.do(sender, op, 508 if is_weaker else 0):
            table[name] = (level, end)

    @rule(name=who)
    def release(self, name: str) -> None:
        if self.do("reg2", unfreeze(name), 0 if self.level(self.accounts, name) else 508):
            del self.accounts[name]

    @rule(name=who)
    def release_one(self, name: str) -> None:
        if self.do("officer", unfreeze(name, ASSET), 0 if self.level(self.holdings, name) else 508):
            del self.holdings[name]

    @rule(name=who)
    def list_or_delist(self, name: str) -> None:
        if name in self.sanctioned:
            self.do("reg1", unsanction(name), 0)
        else:
            self.do("reg1", sanction(name), 0)
        self.sanctioned ^= {name}

    @rule(name=who, state=st.sampled_from(("unauthorised", "maintained", "authorised", "authorised")))
    def authorise(self, name: str, state: str) -> None:
        self.do("officer", authorise(name, ASSET, state), 0)
        self.states[name] = state

    @rule()
    def pause_or_not(self) -> None:
        self.do("officer", call("asset.unpause" if self.paused else "asset.pause", asset=ASSET, **GROUND), 0)
        self.paused = not self.paused

    @rule(name=who, amount=amounts, takes_all=st.booleans())
    def claw(self, name: str, amount: int, takes_all: bool) -> None:
        taken = self.balances[name] if takes_all else amount
        code = 503 if not taken else 501 if taken > self.balances[name] else 0
        if self.do("clawer", clawback(name, 0 if takes_all else amount, ASSET, takes_all=takes_all), code):
            self.balances[name] -= taken

    @rule(source=who, to=who, amount=amounts)
    def force(self, source: str, to: str, amount: int) -> None:
        code = 503 if not amount else 504 if source == to else self.may_get(to, forced=True)
        code = code or (501 if amount > self.balances[source] else 0)
        if self.do("clawer", forced_transfer(source, to, amount, ASSET), code):
            self.move(source, to, amount)

    @precondition(lambda self: self.accounts or self.holdings)
    @rule(seconds=st.sampled_from((1, 5, 60, 200)))
    def wait(self, seconds: int) -> None:
        self.world.now += seconds
        self.world.apply()

    @invariant()
    def every_unit_is_where_the_model_says(self) -> None:
        if not hasattr(self, "world"):
            return
        for name, balance in self.balances.items():
            assert self.world.balance(name, ASSET) == balance, name
        assert self.world.supply(ASSET) == sum(self.balances.values())
        self.world.audit()


Restrictions.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
TestRestrictions = Restrictions.TestCase
