"""A stateful search for deposits that are made or lost, votes that count twice, proposals that are executed wrongly.

A model of plain dictionaries follows every proposal: who voted what with which power, what is held, what it must come to. After every
step the whole state is audited, and the model's verdicts, dates and balances must be the ledger's.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from state.codes import Code
from state.schema_gov import Status, voters_key
from state.transaction import call
from tests.state.gov_world import ABSTAIN, GOV, NO, VETO, VOTERS, YES, GovWorld, set_param
from tests.state.ledger_world import ADDRESS

OF = st.sampled_from
PEOPLE = ("alice", "bob", "o0")
OPEN = (Status.DEPOSIT, Status.VOTING, Status.PASSED)
PPM = 1_000_000
PICK = st.integers(0, 40)


class Expected:
    """What a proposal must be."""

    def __init__(self, start_s: int, is_expedited: bool, good: bool) -> None:
        self.status = Status.DEPOSIT
        self.deposits: dict[str, int] = {}
        self.due_s = start_s + GOV.deposit_s
        self.ready_s = 0
        self.is_expedited = is_expedited
        self.good = good
        self.powers: dict[str, int] = {}
        self.votes: dict[str, tuple[int, ...]] = {}

    def verdict(self) -> Status:
        total = sum(self.powers.values())
        parts = [sum(Fraction(self.powers[n] * v[i], PPM) for n, v in self.votes.items()) for i in range(4)]
        cast = sum(parts)
        if cast == 0 or cast < Fraction(total * GOV.quorum_ppm, PPM):
            return Status.REJECTED
        if parts[3] > cast * Fraction(GOV.veto_ppm, PPM):
            return Status.VETOED
        threshold = GOV.threshold_expedited_ppm if self.is_expedited else GOV.threshold_ppm
        counted = parts[0] + parts[1] + parts[3]
        return Status.PASSED if counted and parts[0] / counted > Fraction(threshold, PPM) else Status.REJECTED


class Governing(RuleBasedStateMachine):
    """`wealth` is what each person must hold."""

    @initialize()
    def start(self) -> None:
        self.world = GovWorld()
        self.proposals: list[Expected] = []
        self.wealth = {name: self.world.balance(name) for name in PEOPLE}
        self.burned = 0
        self.supply = self.world.supply()
        self.jail_s = 10

    def picked(self, pick: int) -> int:
        """One of the proposals, the late ones more often; 0: one that there is not."""
        return max(0, len(self.proposals) - 1 - pick % 4) if pick and self.proposals else len(self.proposals)

    def act(self, account: str, name: str, **fields: Any) -> int:
        """One operation in a block of its own, before which the model's time moves on; the phases that end are settled after it."""
        now = self.world.now
        for number, expected in enumerate(self.proposals):
            if fields.get("proposal") == number:
                self.advance(expected, now)
        code = int(self.world.gov(account, name, **fields).code)
        for expected in self.proposals:
            self.advance(expected, now)
        return code

    def advance(self, expected: Expected, now: int) -> None:
        while expected.status in OPEN and now >= expected.due_s:
            if expected.status == Status.DEPOSIT:
                self.close(expected, Status.UNFUNDED)
            elif expected.status == Status.PASSED:
                self.close(expected, Status.LAPSED)
            else:
                verdict = expected.verdict()
                delay = GOV.delay_expedited_s if expected.is_expedited else GOV.delay_s
                expected.ready_s = expected.due_s + delay
                expected.due_s = expected.ready_s + GOV.execute_s
                self.close(expected, verdict)

    def close(self, expected: Expected, status: Status) -> None:
        expected.status = status
        if status in (Status.VETOED, Status.UNFUNDED):
            self.burned += sum(expected.deposits.values())
        else:
            for name, amount in expected.deposits.items():
                self.wealth[name] += amount
        expected.deposits = {}

    @rule(
        account=OF(PEOPLE),
        deposit=OF([249, 250, 600, 1_000, 5_000]),
        is_expedited=st.booleans(),
        good=st.booleans(),
        jail_s=st.integers(11, 99),
    )
    def propose(self, account: str, deposit: int, is_expedited: bool, good: bool, jail_s: int) -> None:
        ops = (set_param("stake", "jail_s", jail_s), set_param("stake", "jail_s", jail_s if good else -1))
        now = self.world.now
        code = self.act(account, "propose", ops=ops, title_hash=b"", deposit=deposit, expedited=int(is_expedited))
        assert code == (Code.DEPOSIT_TOO_SMALL if deposit < 250 else 0)
        if code == 0:
            expected = Expected(now, is_expedited, good)
            self.proposals.append(expected)
            self.add(expected, account, deposit, now)

    def add(self, expected: Expected, account: str, amount: int, now: int) -> None:
        self.wealth[account] -= amount
        expected.deposits[account] = expected.deposits.get(account, 0) + amount
        if sum(expected.deposits.values()) >= GOV.deposit_min:
            expected.status = Status.VOTING
            expected.due_s = now + (GOV.voting_expedited_s if expected.is_expedited else GOV.voting_s)
            number = self.proposals.index(expected)
            voters = dict(self.world.read(voters_key(number)))
            expected.powers = {name: voters[ADDRESS[name]] for name in VOTERS if ADDRESS[name] in voters}

    @rule(account=OF(PEOPLE), pick=PICK, amount=OF([0, 1, 400, 1_000]))
    def deposit(self, account: str, pick: int, amount: int) -> None:
        number = self.picked(pick)
        now = self.world.now
        code = self.act(account, "deposit", proposal=number, amount=amount)
        if amount == 0:
            assert code == Code.ZERO_AMOUNT
        elif number >= len(self.proposals):
            assert code == Code.PROPOSAL_NOT_FOUND
        elif code == 0:
            assert self.proposals[number].status == Status.DEPOSIT
            self.add(self.proposals[number], account, amount, now)
        else:
            assert (code, self.proposals[number].status == Status.DEPOSIT) == (Code.VOTING_CLOSED, False)

    @rule(
        account=OF((*VOTERS, "alice")),
        pick=PICK,
        weights=OF([YES, YES, YES, NO, ABSTAIN, VETO, (333_333, 333_333, 333_334, 0)]),
    )
    def vote(self, account: str, pick: int, weights: tuple[int, ...]) -> None:
        number = self.picked(pick)
        code = self.act(account, "vote", proposal=number, weights=weights)
        if number >= len(self.proposals):
            assert code == Code.PROPOSAL_NOT_FOUND
            return
        expected = self.proposals[number]
        if expected.status != Status.VOTING:
            assert code == Code.VOTING_CLOSED
        elif account not in expected.powers:
            assert code == Code.NOT_A_VOTER
        else:
            assert code == 0
            expected.votes[account] = weights

    @rule(pick=PICK)
    def everybody_says_yes(self, pick: int) -> None:
        for name in VOTERS:
            self.vote(name, pick, YES)

    @rule(pick=st.integers(1, 40), steps=st.integers(1, 5))
    def carry_through(self, pick: int, steps: int) -> None:
        """The usual way of a proposal, some steps of it."""
        for step in (
            lambda: self.deposit("bob", pick, 1_000),
            lambda: self.everybody_says_yes(pick),
            lambda: self.wait_for(pick),
            lambda: self.wait_for(pick),
            lambda: self.execute(pick),
        )[:steps]:
            step()

    @rule(pick=PICK)
    def cancel(self, pick: int) -> None:
        number = self.picked(pick)
        is_open = number < len(self.proposals) and self.proposals[number].status in (Status.DEPOSIT, Status.VOTING)
        account = next((n for n in PEOPLE if is_open and ADDRESS[n] == self.world.proposal(number).proposer), "alice")
        code = self.act(account, "cancel", proposal=number)
        if code == 0:
            self.close(self.proposals[number], Status.CANCELLED)

    @rule(pick=PICK)
    def execute(self, pick: int) -> None:
        number = self.picked(pick)
        now = self.world.now
        code = self.act("poor", "execute", proposal=number)
        if number >= len(self.proposals):
            assert code == Code.PROPOSAL_NOT_FOUND
            return
        expected = self.proposals[number]
        if code == 0:
            assert expected.status == Status.PASSED and now >= expected.ready_s
            expected.status = Status.EXECUTED if expected.good else Status.FAILED
        elif code == Code.DELAY_NOT_OVER:
            assert expected.status == Status.PASSED and now < expected.ready_s
        elif code == Code.ALREADY_EXECUTED:
            assert expected.status in (Status.EXECUTED, Status.FAILED)
        elif code == Code.TOO_LATE:
            assert expected.status == Status.LAPSED
        else:
            assert code == Code.ASSERT_FAILED and expected.status != Status.PASSED

    @rule(seconds=OF([0, 5, 19, 20, 30, 40, 60]))
    def time_passes(self, seconds: int) -> None:
        self.world.now += seconds
        now = self.world.now
        self.world.blocks(1)
        for expected in self.proposals:
            self.advance(expected, now)

    @rule(pick=PICK)
    def wait_for(self, pick: int) -> None:
        """Exactly until a phase ends, or an execution may begin."""
        number = self.picked(pick)
        if number < len(self.proposals) and self.proposals[number].status in OPEN:
            expected = self.proposals[number]
            until = expected.ready_s if expected.status == Status.PASSED and self.world.now < expected.ready_s else expected.due_s
            self.time_passes(max(0, until - self.world.now))

    @rule(account=OF(("alice", "bob")), validator=OF(("v0", "v1")), amount=st.integers(1, 3_000))
    def stake(self, account: str, validator: str, amount: int) -> None:
        """Power moves while votes are held."""
        now = self.world.now
        assert self.world.do(account, call("stake.delegate", validator=self.ids()[validator], amount=amount)).code == 0
        self.wealth[account] -= amount
        for expected in self.proposals:
            self.advance(expected, now)

    def ids(self) -> dict[str, bytes]:
        from tests.state.staking_world import address_of

        return {name: address_of(name) for name in ("v0", "v1")}

    @invariant()
    def the_ledger_agrees(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.audit()
        held = 0
        for number, expected in enumerate(self.proposals):
            record = world.proposal(number)
            assert record.status == expected.status, (number, record, expected.status)
            assert dict(record.deposits) == {ADDRESS[name]: amount for name, amount in expected.deposits.items()}
            if expected.status in OPEN:
                assert record.due_s == expected.due_s
            held += sum(expected.deposits.values())
            tally = [sum(expected.powers[n] * v[i] for n, v in expected.votes.items()) for i in range(4)]
            assert list(record.tally) == tally
        assert world.deposits() == held
        assert world.supply() == self.supply - self.burned
        assert world.totals().burned == self.burned
        for name in PEOPLE:
            assert world.balance(name) == self.wealth[name], name


Governing.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestGoverning = Governing.TestCase
