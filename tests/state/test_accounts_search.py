"""A stateful search over grants and key changes against a plain model that says the code of everything beforehand.

Amounts go to 2^640. The model shares nothing with the ledger: it remembers what was granted, what was spent in which window, and which
changes of keys wait.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from state.codes import Code
from state.primitives.limits import AMOUNT_MAX
from state.schema import encode_record, holding_key, supply_key
from state.transaction import call
from tests.state.accounts_world import (
    ADDRESS,
    AccountsWorld,
    confirm,
    delegate,
    grant_session,
    send,
    set_policy,
    veto,
)
from tests.state.ledger_world import entry, update_keys

ALICE = ADDRESS["alice"]
RICH = AMOUNT_MAX - 10**9
DELAY = 500
amounts = st.one_of(st.integers(0, 5), st.integers(0, RICH), st.sampled_from((0, 1, 1 << 639, RICH)))

limits = st.one_of(st.tuples(amounts, amounts), st.sampled_from(((1, 1), (2, 2), (3, 5))))  # the small ones are used up


class Grant:
    def __init__(self, limit: tuple[int, int], window_s: int, now: int, until: int) -> None:
        self.limit, self.window_s, self.since, self.until = limit, window_s, now, until
        self.spent: dict[int, int] = {}

    def window(self, now: int) -> int:
        return (now - self.since) // self.window_s


class Accounts(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = AccountsWorld()
        held, supply = holding_key(ALICE, "QNX"), supply_key("QNX")
        self.world.db[supply] = encode_record(supply, (self.world.supply() - 1_000_000 + RICH,))
        self.world.db[held] = encode_record(held, (RICH,))
        self.balance = RICH
        self.grants: dict[str, Grant] = {}
        self.owner = "alice"
        self.delay = 0
        self.waiting: tuple[int, str, int] | None = None  # number, next owner's key, ready
        self.number = 1
        self.keys = 0

    @property
    def by_owner(self) -> tuple[tuple[str, str], ...]:
        return (("alice", self.owner),)

    @initialize(kind=st.sampled_from(("session", "delegate")), limit=limits)
    def begin(self, kind: str, limit: tuple[int, int]) -> None:
        self.give(kind, limit, 1_000, 40)

    @rule(kind=st.sampled_from(("session", "delegate")), limit=limits, window_s=st.sampled_from((60, 1_000)),
          days=st.sampled_from((0, 2, 4, 40)))  # fmt: skip
    def give(self, kind: str, limit: tuple[int, int], window_s: int, days: int) -> None:
        low, high = sorted(max(1, amount) for amount in limit)
        until = self.world.now + days * 600
        fields: dict[str, Any] = {"limits": (("QNX", low, high),), "window_s": window_s, "valid_until": until}
        op = grant_session(**fields) if kind == "session" else delegate("bob", **fields)
        assert self.world.code("alice", op, by=self.by_owner) == Code.OK
        self.grants[kind] = Grant((low, high), window_s, self.world.now, until)

    @rule(kind=st.sampled_from(("session", "delegate")))
    def take_back(self, kind: str) -> None:
        op = call("account.revoke_session", key_id=50) if kind == "session" else call("account.revoke_delegation", to=ADDRESS["bob"])
        code = self.world.code("alice", op, by=self.by_owner)
        if kind not in self.grants:
            assert code == Code.PENDING_NOT_FOUND
            return
        # one that has run out may be swept already, or not yet
        assert code == Code.OK or (code == Code.PENDING_NOT_FOUND and self.grants[kind].until < self.world.now)
        del self.grants[kind]

    @rule(kind=st.sampled_from(("session", "delegate")), share=st.sampled_from((0, 1, 2, 3, "left", "beyond")), amount=amounts)
    def pay_by_grant(self, kind: str, share: int | str, amount: int) -> None:
        grant = self.grants.get(kind)
        if grant is not None and isinstance(share, str):
            left = grant.limit[1] - grant.spent.get(grant.window(self.world.now), 0)
            amount = left + (share == "beyond")  # to the last unit of the window, or one more
        elif grant is not None and isinstance(share, int) and share:
            amount = grant.limit[0] * share // 2  # around the limit of a transaction
        self.pay(kind, amount)

    @rule(kind=st.sampled_from(("session", "delegate")))
    def use_up(self, kind: str) -> None:
        """Spend a small window to its last unit, and one more."""
        grant = self.grants.get(kind)
        if grant is None or grant.limit[1] > 5 or grant.until < self.world.now:
            return
        while left := grant.limit[1] - grant.spent.get(grant.window(self.world.now), 0):
            if min(left, grant.limit[0]) > self.balance:
                return
            self.pay(kind, min(left, grant.limit[0]))
        self.pay(kind, 1)

    def pay(self, kind: str, amount: int) -> None:
        grant = self.grants.get(kind)
        codes = self.expect(kind, grant, amount)
        if kind == "session":
            found = self.world.code("alice", send("carol", min(amount, AMOUNT_MAX)), by=[("alice", "bot")])
        else:
            op = send("carol", min(amount, AMOUNT_MAX), as_account=ALICE)
            found = self.world.code("bob", op, by=[("bob", "bob")])
        assert found in codes, (kind, amount, found, codes)
        if found == Code.OK and grant is not None:
            window = grant.window(self.world.now)
            grant.spent[window] = grant.spent.get(window, 0) + amount
            self.balance -= amount

    def expect(self, kind: str, grant: Grant | None, amount: int) -> tuple[int, ...]:
        if grant is None:
            return (Code.UNKNOWN_SIGNER,) if kind == "session" else (Code.QUORUM_NOT_MET,)
        if grant.until < self.world.now:
            return (Code.KEY_EXPIRED, Code.UNKNOWN_SIGNER) if kind == "session" else (Code.QUORUM_NOT_MET,)
        if amount == 0:
            return (Code.ZERO_AMOUNT,)
        if amount > self.balance:
            return (Code.INSUFFICIENT_FUNDS,)
        if amount > grant.limit[0]:
            return (Code.LIMIT_PER_TX,)
        if grant.spent.get(grant.window(self.world.now), 0) + amount > grant.limit[1]:
            return (Code.LIMIT_WINDOW,)
        return (Code.OK,)

    @rule(amount=amounts)
    def pay_by_owner(self, amount: int) -> None:
        code = self.world.code("alice", send("carol", amount), by=self.by_owner)
        expected = Code.ZERO_AMOUNT if amount == 0 else Code.INSUFFICIENT_FUNDS if amount > self.balance else Code.OK
        assert code == expected
        self.balance -= amount if code == Code.OK else 0

    @rule(seconds=st.sampled_from((1, 59, 60, 499, 500, 700)))
    def wait(self, seconds: int) -> None:
        self.world.later(seconds)

    @precondition(lambda self: not self.delay)
    @rule()
    def govern(self) -> None:
        op = set_policy(rules=(), rotation_delay_s=DELAY, recovery_weight=0)
        assert self.world.code("alice", op, by=self.by_owner) == Code.OK
        self.delay = DELAY

    @rule()
    def rotate(self) -> None:
        self.keys += 1
        name = f"key{self.keys}"
        code = self.world.code("alice", update_keys((entry(0, name),)), by=self.by_owner)
        if not self.delay:
            assert code == Code.OK
            self.owner = name
        elif self.waiting is not None:
            assert code == Code.ROTATION_PENDING
        else:
            assert code == Code.OK
            self.waiting = (self.number, name, self.world.now + self.delay)
            self.number += 1

    @rule(is_right=st.booleans())
    def confirm(self, is_right: bool) -> None:
        number = self.waiting[0] if self.waiting is not None and is_right else self.number + 7
        code = self.world.code("bob", confirm("alice", number), by=[("bob", "bob")])
        if self.waiting is None or not is_right:
            assert code == Code.PENDING_NOT_FOUND
        elif self.world.now < self.waiting[2]:
            assert code == Code.TOO_EARLY
        else:
            assert code == Code.OK
            self.owner = self.waiting[1]
            self.waiting = None

    @rule()
    def veto(self) -> None:
        number = self.waiting[0] if self.waiting is not None else 1
        code = self.world.code("alice", veto(number), by=self.by_owner)
        assert code == (Code.OK if self.waiting is not None else Code.PENDING_NOT_FOUND)
        self.waiting = None

    @invariant()
    def holds(self) -> None:
        assert self.world.balance("alice") == self.balance
        for grant in self.grants.values():
            assert all(spent <= grant.limit[1] for spent in grant.spent.values())


TestAccounts = Accounts.TestCase
TestAccounts.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
