"""A stateful search over limits of every scope, groups, tiers and time, against the plainest books: every movement that happened.

Amounts go to 2^640, scales from 0 to 128. After each payment that went through, no interval as long as a window saw more than its limit,
no transaction and no balance was above its own; what was refused was refused for a reason that the books show as well.
"""

from __future__ import annotations

from dataclasses import replace as replaced
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from state.audit import audit_state
from state.codes import Code
from state.initial import GenesisAsset, GenesisHolding, genesis_changes
from state.modules.velocity import compute_bucket_s
from state.primitives.limits import AMOUNT_MAX, LIMIT_WINDOW_BUCKETS
from state.schema import decode_record, holding_key
from tests.state import kyc_world
from tests.state.kyc_world import ADDRESS, PEOPLE, KycWorld
from tests.state.ledger_world import ACCOUNTS, genesis_state, pay

HEADS = {"alice": "alice", "bob": "bob", "north": "north", "north1": "north", "deep": "north"}
NAMES = tuple(HEADS)
CODE = "WID"


_STEPS = st.lists(st.integers(1, len(NAMES) - 1), min_size=1, max_size=3)


class Moved:
    """One movement: when, whose, in which transaction, how much came in and went out."""

    def __init__(self, time_s: int, who: str, tx: int, came: int, went: int) -> None:
        self.time_s, self.who, self.tx, self.came, self.went = time_s, who, tx, came, went


class Limits(RuleBasedStateMachine):
    """The ledger and the books."""

    @initialize(bits=st.sampled_from((20, 64, 637)), scale=st.sampled_from((0, 2, 18, 128)))
    def begin(self, bits: int, scale: int) -> None:
        """A world in which everybody has some of one asset of any scale."""
        self.world = KycWorld()
        bank, base = ADDRESS["bank"], genesis_state()
        self.unit = 1 << bits
        state = replaced(
            base,
            params=replaced(base.params, compliance=kyc_world.ComplianceParams((ADDRESS["auth"],))),
            accounts=(*ACCOUNTS.values(), *PEOPLE.values()),
            assets=(*base.assets, GenesisAsset(CODE, bank, scale)),
            holdings=(*base.holdings, *(GenesisHolding(ADDRESS[name], CODE, self.unit) for name in NAMES)),
        )
        self.world.db = {key: value for key, value in genesis_changes(state) if value is not None}
        self.limits: dict[tuple[str, str], dict[str, int]] = {}  # (scope, account or tier or nothing) -> limits
        self.since: dict[tuple[str, str], int] = {}  # how many movements there were when they were set
        self.tiers: dict[str, tuple[int, int]] = {}  # account -> (tier, until when)
        self.books: list[Moved] = []
        self.txs = 0
        self.set_limits("holding", "alice", 0, (2, 0, 3, 0), 60)
        self.set_limits("account", "north", 0, (0, 3, 3, 9), 60)

    def rule_of(self, head: str) -> tuple[str, str] | None:
        """Which limits of the group count now."""
        if ("account", head) in self.limits:
            return ("account", head)
        tier, until_s = self.tiers.get(head, (0, 0))
        if until_s <= self.world.now:
            tier = 0
        if ("tier", str(tier)) in self.limits:
            return ("tier", str(tier))
        return ("asset", "") if ("asset", "") in self.limits else None

    def bounds(self, who: str) -> list[tuple[tuple[str, str], tuple[str, ...]]]:
        """(which limits, whose movements they count) of an account."""
        found: list[tuple[tuple[str, str], tuple[str, ...]]] = []
        if ("holding", who) in self.limits:
            found.append((("holding", who), (who,)))
        of_group = self.rule_of(HEADS[who])
        if of_group is not None:
            found.append((of_group, tuple(name for name in NAMES if HEADS[name] == HEADS[who])))
        return found

    @rule(
        scope=st.sampled_from(("account", "holding", "asset", "tier")),
        who=st.sampled_from(NAMES),
        tier=st.integers(0, 2),
        parts=st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 12)),
        window_s=st.sampled_from((7, 60)),
    )
    def set_limits(self, scope: str, who: str, tier: int, parts: tuple[int, ...], window_s: int) -> None:
        """Limits of any scope, in eighths of what each has at first."""
        per_tx, in_max, out_max, balance = (part * self.unit // 8 for part in parts)
        fields = {"per_tx": per_tx, "in_max": in_max, "out_max": out_max, "max_balance": min(3 * balance, AMOUNT_MAX)}
        fields["window_s"] = window_s if in_max or out_max else 0
        if not any(fields.values()):
            return
        who = HEADS[who] if scope == "account" else who
        named = {"account": ADDRESS[who]} if scope in ("account", "holding") else {}
        if scope == "tier":
            named = {"tier": tier}  # type: ignore[dict-item]
        key = (scope, who if scope in ("account", "holding") else str(tier) if scope == "tier" else "")
        assert self.world.limit("auth", scope, CODE, **named, **fields).code == Code.OK
        self.limits[key] = fields
        self.since[key] = len(self.books)

    @precondition(lambda self: len(self.limits) > 3)
    @rule(number=st.integers(0, 99))
    def clear(self, number: int) -> None:
        """Take some limits away."""
        keys = sorted(self.limits)
        scope, who = key = keys[number % len(keys)]
        fields: dict[str, Any] = {"scope": {"account": 1, "holding": 2, "asset": 3, "tier": 4}[scope], "asset": CODE}
        if scope in ("account", "holding"):
            fields["account"] = ADDRESS[who]
        elif scope == "tier":
            fields["tier"] = int(who)
        before = {head: self.rule_of(head) for head in set(HEADS.values())}
        assert self.world.op("auth", "comp.clear_limits", **fields).code == Code.OK
        del self.limits[key], self.since[key]
        for head, found in before.items():
            other = self.rule_of(head)
            if other is not None and other != found:
                self.since[other] = len(self.books)  # it counts for this head from here on, and has not counted before

    @rule(who=st.sampled_from(("alice", "bob", "north")), tier=st.integers(0, 2), for_s=st.integers(10, 5_000))
    def certify(self, who: str, tier: int, for_s: int) -> None:
        """A tier, attested for a while."""
        until_s = self.world.now + for_s
        self.world.certify(who, tier=tier, for_s=for_s)
        self.tiers[who] = (tier, until_s)
        self.since = {key: len(self.books) for key in self.since}  # other limits may count from here on, and have not counted before

    @rule(seconds=st.sampled_from((1, 4, 30, 52, 55, 58, 100, 5_000)))
    def wait(self, seconds: int) -> None:
        """Time goes by."""
        self.wait_for(seconds)

    def wait_for(self, seconds: int) -> None:
        """Limits of a tier may end with the time."""
        before = {head: self.rule_of(head) for head in set(HEADS.values())}
        self.world.now += seconds
        if any(self.rule_of(head) != found for head, found in before.items()):
            self.since = {key: len(self.books) for key in self.since}

    @rule(payer=st.sampled_from(NAMES), steps=_STEPS, eighths=st.integers(0, 2), rest=st.integers(1, 3))
    def payments(self, payer: str, steps: list[int], eighths: int, rest: int) -> None:
        """One transaction of one to three payments, to those so many places after the payer."""
        self.pay(payer, [NAMES[(NAMES.index(payer) + step) % len(NAMES)] for step in steps], eighths * self.unit // 8 + rest)

    @rule(payer=st.sampled_from(("alice", "north1")), steps=_STEPS, seconds=st.sampled_from((0, 5, 11, 58)))
    def steady(self, payer: str, steps: list[int], seconds: int) -> None:
        """Who is limited from the beginning pays an eighth, and again, with little time between."""
        for _ in range(3):
            self.wait_for(seconds)
            self.pay(payer, [NAMES[(NAMES.index(payer) + step) % len(NAMES)] for step in steps], self.unit // 8)

    def pay(self, payer: str, payees: list[str], amount: int) -> None:
        """One transaction, and what it teaches."""
        receipt = self.world.do(payer, *(pay(payee, amount, CODE) for payee in payees))
        time_s = self.world.now - 1
        if receipt.code != Code.OK:
            assert self.explains(receipt.code, payer, payees[receipt.op_index], amount, receipt.op_index, payees), receipt.log
            return
        self.txs += 1
        for payee in payees:
            self.books.append(Moved(time_s, payer, self.txs, 0, amount))
            self.books.append(Moved(time_s, payee, self.txs, amount, 0))
        for payee in payees:
            for key, names in self.bounds(payee):
                received = {m.who for m in self.books[self.since[key] :] if m.came} & set(names)
                owners = received | ({HEADS[payee]} if key[0] != "holding" else set())
                most = self.limits[key]["max_balance"]
                assert not most or sum(self.balance(name) for name in owners) <= most

    def explains(self, code: int, payer: str, payee: str, amount: int, index: int, payees: list[str]) -> bool:
        """Whether the books show why a payment was refused, counted at their widest."""
        before = amount * index  # of the same transaction
        if code == Code.INSUFFICIENT_FUNDS:
            return self.balance(payer) < before + amount
        for side, who in (("out_max", payer), ("in_max", payee)):
            for key, names in self.bounds(who):
                limits = self.limits[key]
                if code == Code.LIMIT_PER_TX and 0 < limits["per_tx"] < before + amount:
                    return True
                if code == Code.LIMIT_WINDOW and limits[side]:
                    longest_s = (LIMIT_WINDOW_BUCKETS + 1) * max(compute_bucket_s(limits["window_s"]), 3_600)
                    recent = [m for m in self.books if m.who in names and m.time_s > self.world.now - 2 * longest_s]
                    if sum(m.went if side == "out_max" else m.came for m in recent) + before + amount > limits[side]:
                        return True
                if code == Code.LIMIT_BALANCE and side == "in_max" and limits["max_balance"]:
                    held = sum(self.balance(name) for name in names)
                    if held + before + amount > limits["max_balance"]:
                        return True
        return False

    def balance(self, who: str) -> int:
        """What an account holds."""
        return self.world.balance(who, CODE)

    @invariant()
    def limits_hold(self) -> None:
        """Of everything that happened since each limit counts."""
        if not hasattr(self, "world"):
            return
        last = self.world.now - 1
        for who in NAMES:
            for key, names in self.bounds(who):
                limits, since = self.limits[key], self.since[key]
                moved = [m for m in self.books[since:] if m.who in names]
                recent = [m for m in moved if m.time_s > last - limits["window_s"]]
                assert not limits["out_max"] or sum(m.went for m in recent) <= limits["out_max"]
                assert not limits["in_max"] or sum(m.came for m in recent) <= limits["in_max"]
                for tx in {m.tx for m in moved}:
                    assert not limits["per_tx"] or sum(m.went for m in moved if m.tx == tx) <= limits["per_tx"]
                    assert not limits["per_tx"] or sum(m.came for m in moved if m.tx == tx) <= limits["per_tx"]

    @invariant()
    def books_agree(self) -> None:
        """Every balance is what moved, and the audit finds nothing."""
        if not hasattr(self, "world"):
            return
        for who in NAMES:
            moved = sum(m.came - m.went for m in self.books if m.who == who)
            assert self.balance(who) == self.unit + moved
        records = [(key, decode_record(key, raw)) for key, raw in self.world.db.items()]
        assert audit_state(records).problems == ()
        assert all(0 <= decode_record(key, self.world.db[key])[0] <= AMOUNT_MAX for key, _ in records if key[1:2] == b"h")
        assert holding_key(ADDRESS["bank"], CODE) not in self.world.db


def test_a_limit_that_comes_to_count_when_another_is_cleared_is_not_asked_of_what_went_before() -> None:
    """The books once asked it, and found a payment guilty that the limits of its time had let through."""
    books = Limits()
    books.begin(bits=20, scale=2)
    books.set_limits("asset", "alice", 0, (1, 0, 0, 0), 7)
    books.set_limits("account", "alice", 0, (4, 0, 0, 0), 7)
    books.set_limits("holding", "alice", 0, (4, 0, 0, 0), 7)
    books.pay("alice", ["bob", "deep"], books.unit // 8)
    books.limits_hold()
    books.clear(sorted(books.limits).index(("account", "alice")))
    books.limits_hold()
    books.books_agree()


Limits.TestCase.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestLimits = Limits.TestCase
