"""A stateful search for money that a central bank makes or loses: any operations of several people, amounts to 2^640, scales 0 to 128.

After every step the whole state is audited. Beside that a second set of books is kept here, in plain numbers: what was issued, redeemed,
paid and lent; the supply must be exactly that, each dealer's interest exactly what his balances earned by the second, and nothing
but an invariant's own code ever answers 203.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from state.codes import Code
from state.modules.treasury import OPERATIONS
from state.primitives.limits import AMOUNT_MAX, PPM
from tests.state.ledger_world import ADDRESS, pay
from tests.state.treasury_world import TreasuryWorld

PEOPLE = ("alice", "bob", "carol")
OF = st.sampled_from
YEAR_S = 365 * 24 * 3_600
AMOUNTS = st.one_of(st.integers(0, 5), st.integers(0, 10**6), st.integers(0, AMOUNT_MAX), OF([AMOUNT_MAX, AMOUNT_MAX // 16]))
PARTS = st.integers(0, 1_100)
_ROWS = {row.name.partition(".")[2]: row for row in OPERATIONS}
_GATE = (Code.OK, Code.OVERFLOW_MAX, Code.INSUFFICIENT_AVAILABLE)


class Model:
    """What the ledger must agree with: supply, and for each dealer the parts of a unit that he has earned since `since`."""

    def __init__(self, world: TreasuryWorld) -> None:
        self.supply = world.supply("EUR")
        self.earned: dict[str, int] = {}
        self.since = world.now
        self.rates: list[tuple[int, int]] = []  # (from, rate), in order

    def rate_seconds(self, until: int) -> int:
        """The sum of the rate over the seconds from `since` to `until`, second by second where it changes."""
        total = 0
        for number, (start, rate) in enumerate(self.rates):
            end = self.rates[number + 1][0] if number + 1 < len(self.rates) else until
            total += rate * max(0, min(end, until) - max(start, self.since))
        return total

    def pass_time(self, world: TreasuryWorld, until: int) -> None:
        """Let every dealer earn on what he holds now, up to `until`."""
        index = self.rate_seconds(until)
        for name in self.earned:
            if world.dealer(name) is not None and world.dealer(name).is_active:
                self.earned[name] += world.balance(name, "EUR") * index
        self.since = until


class CentralBank(RuleBasedStateMachine):
    """Every block is one second; `skip` lets time pass."""

    @initialize(large=st.booleans(), scale=OF([0, 2, 128]), bounded=st.booleans())
    def start(self, large: bool, scale: int, bounded: bool) -> None:
        holding = AMOUNT_MAX // 8 if large else 10**9
        max_supply = 5 * holding if bounded else 0
        self.world = TreasuryWorld(holding, AMOUNT_MAX if large else 10**12, scale=scale, max_supply=max_supply)
        self.model = Model(self.world)
        for name in ("alice", "bob"):
            self.act("appoint_dealer", account=name)

    def act(self, name: str, who: str = "bank", **fields: Any) -> int:
        """One operation in a block; its code is one of its row's."""
        self.model.pass_time(self.world, self.world.now)
        receipt = self.world.cb(name, who, **fields)
        assert receipt.code in (*_ROWS[name].codes, *_GATE), receipt
        for event in receipt.events:
            self.count(event.type, dict(event.attributes))
        return receipt.code

    def count(self, kind: str, said: dict[str, str]) -> None:
        amount = int(said.get("amount", 0))
        if kind in ("issued", "interest_paid", "credit_drawn"):
            self.model.supply += amount
        elif kind in ("redeemed", "credit_repaid"):
            self.model.supply -= amount
        if kind == "interest_paid":
            name = next(name for name in PEOPLE if ADDRESS[name] == _parse(said["dealer"]))
            self.model.earned[name] -= amount * PPM * YEAR_S
        if kind == "dealer_appointed":
            name = next(name for name in PEOPLE if ADDRESS[name] == _parse(said["dealer"]))
            self.model.earned.setdefault(name, 0)

    @rule(name=OF(PEOPLE), tier=st.integers(0, 2), issue_max=OF([0, 10**5]), window_max=OF([0, 10**6]))
    def appoint(self, name: str, tier: int, issue_max: int, window_max: int) -> None:
        self.act("appoint_dealer", account=name, tier=tier, issue_max=issue_max, window_max=window_max, window_s=10 * bool(window_max))

    @rule(name=OF(PEOPLE))
    def dismiss(self, name: str) -> None:
        if self.act("dismiss_dealer", account=name) == Code.OK and self.world.dealer(name) is None:
            assert 0 <= self.model.earned.pop(name) < PPM * YEAR_S

    @rule(name=OF(PEOPLE), amount=AMOUNTS)
    def issue(self, name: str, amount: int) -> None:
        self.act("issue", dealer=name, amount=amount)

    @rule(a=AMOUNTS, b=AMOUNTS)
    def inject(self, a: int, b: int) -> None:
        self.act("inject", legs=(("alice", a), ("bob", b)))

    @rule(name=OF(PEOPLE), part=PARTS, wait=st.integers(1, 200))
    def request(self, name: str, part: int, wait: int) -> None:
        self.act("redeem_request", name, amount=self.world.balance(name, "EUR") * part // 1_000, expires=self.world.now + wait)

    @rule(number=st.integers(0, 6), confirm=st.booleans(), who=OF(("bank", *PEOPLE)))
    def answer(self, number: int, confirm: bool, who: str) -> None:
        self.act("redeem_confirm" if confirm else "redeem_cancel", "bank" if confirm else who, request=number)

    @rule(rate=OF([0, 1, 50_000, PPM]), wait=st.integers(0, 10**7))
    def announce(self, rate: int, wait: int) -> None:
        start = self.world.now + wait
        if self.act("set_rate", rate_ppm=rate, effective_from=start) == Code.OK:
            self.model.rates = [known for known in self.model.rates if known[0] < self.world.now] + [(start, rate)]

    @rule(ahead=st.integers(0, 1))
    def accrue(self, ahead: int) -> None:
        gone = [name for name in PEOPLE if self.world.dealer(name) is not None and not self.world.dealer(name).is_active]
        if self.act("accrue", period=self.world.bank().period + ahead) == Code.OK:
            for name in gone:
                assert 0 <= self.model.earned.pop(name) < PPM * YEAR_S

    @rule(tier=st.integers(0, 2), ratio=OF([0, 1, 100_000, PPM]), name=OF(PEOPLE), amount=AMOUNTS)
    def reserves(self, tier: int, ratio: int, name: str, amount: int) -> None:
        self.act("set_reserve_requirement", tier=tier, ratio_ppm=ratio)
        self.act("report_liabilities", name, amount=amount)

    @rule(name=OF(PEOPLE), limit=AMOUNTS, part=PARTS)
    def overdraft(self, name: str, limit: int, part: int) -> None:
        pledge = self.world.balance(name, "GLD") * part // 1_000
        self.act("overdraft", account=name, limit=limit, collateral=(("GLD", pledge),) if pledge else ())

    @rule(name=OF(PEOPLE), who=OF(("bank", *PEOPLE)))
    def close(self, name: str, who: str) -> None:
        self.act("close_overdraft", who, account=name)

    @rule(name=OF(PEOPLE), amount=AMOUNTS, whole=st.booleans())
    def repay(self, name: str, amount: int, whole: bool) -> None:
        line = self.world.line(name)
        self.act("repay", name, amount=line.debt if whole and line is not None else amount)

    @rule(payer=OF(PEOPLE), payee=OF(PEOPLE), part=PARTS, more=st.integers(0, 10**6))
    def pay(self, payer: str, payee: str, part: int, more: int) -> None:
        self.model.pass_time(self.world, self.world.now)
        amount = self.world.balance(payer, "EUR") * part // 1_000 + more
        receipt = self.world.do(payer, pay(payee, min(amount, AMOUNT_MAX), "EUR"))
        assert receipt.code in (0, 501, 502, 503, 504, 505), receipt
        for event in receipt.events:
            self.count(event.type, dict(event.attributes))

    @rule(seconds=st.integers(1, 10**6))
    def skip(self, seconds: int) -> None:
        self.world.now += seconds
        self.model.pass_time(self.world, self.world.now)
        self.world.apply()

    @invariant()
    def audit(self) -> None:
        if not hasattr(self, "world"):
            return
        world, bank = self.world, self.world.bank()
        world.audit()
        assert world.supply("EUR") == self.model.supply == world.total("EUR")
        lines = [line for name in PEOPLE if (line := world.line(name)) is not None]
        assert sum(line.debt for line in lines) == bank.drawn
        self.model.pass_time(world, world.now)
        for name, earned in self.model.earned.items():
            dealer = world.dealer(name)
            index = self._index(bank)
            owed = dealer.owed + dealer.base * (index - dealer.ref)
            assert owed == earned, name

    def _index(self, bank: Any) -> int:
        """The index now, from what the books say, counted second by second in the model's way."""
        rates = [(bank.acc_s, bank.rate_ppm)] + ([(bank.next_s, bank.next_ppm)] if bank.next_s else [])
        total: int = bank.acc
        for number, (start, rate) in enumerate(rates):
            end = rates[number + 1][0] if number + 1 < len(rates) else self.world.now
            total += rate * max(0, min(end, self.world.now) - start)
        return total


def _parse(text: str) -> bytes:
    from state.primitives.ids import parse_address

    return parse_address(text)


TestCentralBank = CentralBank.TestCase
TestCentralBank.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
