"""The table itself: each row alone, on facts stated outright. What rows do together is in the transcripts."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field

import pytest

from consensus import round as table
from consensus.block_id import BlockID
from consensus.messages import Lock, Step
from consensus.round import CastVote, DecideValue, EnterRound, RoundState, StartTimeout, on_timeout
from consensus.vote import Proposal, VoteType

A, B = BlockID(b"a" * 32, 1, b"a" * 32), BlockID(b"b" * 32, 1, b"b" * 32)
PREVOTE, PRECOMMIT = VoteType.PREVOTE, VoteType.PRECOMMIT
Quorum = tuple[int, VoteType, BlockID | None]


@dataclass
class Stated:
    """Facts as a test states them."""

    offers: dict[int, list[Proposal]] = field(default_factory=dict)
    verdicts: dict[BlockID, bool] = field(default_factory=dict)
    quorums: tuple[Quorum, ...] = ()
    any_quorums: tuple[tuple[int, VoteType], ...] = ()
    late: bool = False
    skip: int | None = None
    fired: list[tuple[str, int]] = field(default_factory=list)

    def proposals(self, round_: int) -> list[Proposal]:
        return self.offers.get(round_, [])

    def is_timely(self, proposal: Proposal) -> bool:
        return not self.late

    def verdict(self, value: BlockID) -> bool | None:
        return self.verdicts.get(value)

    def verdict_of(self, proposal: Proposal) -> bool | None:
        return self.verdicts.get(proposal.block_id)

    def has_block(self, value: BlockID) -> bool:
        return value in self.verdicts

    def has_quorum(self, round_: int, vote_type: VoteType, value: BlockID | None) -> bool:
        return (round_, vote_type, value) in self.quorums

    def has_quorum_any(self, round_: int, vote_type: VoteType) -> bool:
        return (round_, vote_type) in self.any_quorums or any(q[:2] == (round_, vote_type) for q in self.quorums)

    def quorum_value(self, round_: int, vote_type: VoteType) -> BlockID | None:
        return next((q[2] for q in self.quorums if q[:2] == (round_, vote_type) and q[2] is not None), None)

    def decided_rounds(self) -> list[tuple[int, BlockID]]:
        return [(q[0], q[2]) for q in self.quorums if q[1] is PRECOMMIT and q[2] is not None]

    def skip_round(self, current_round: int) -> int | None:
        return self.skip if self.skip is not None and self.skip > current_round else None

    def first_time(self, row: str, round_: int) -> bool:
        self.fired.append((row, round_))
        return self.fired.count((row, round_)) == 1


def offer(round_: int, value: BlockID, pol_round: int = -1) -> dict[int, list[Proposal]]:
    return {round_: [Proposal(1, round_, pol_round, value, 0)]}


NO_LOCK = Lock()


def at(round_: int, step: Step, lock: Lock = NO_LOCK) -> RoundState:
    return RoundState(round_, step, lock)


LOCKED_A0 = Lock(A, 0, A, 0)
LOCKED_A3 = Lock(A, 3, A, 3)
VALID_A0 = Lock(None, -1, A, 0)
YES, NO = {A: True, B: True}, {A: False, B: False}

# lock, proposed value, verdicts, late -> prevote ("-": none yet)
L22 = [
    (NO_LOCK, A, YES, False, A),
    (NO_LOCK, A, NO, False, None),
    (NO_LOCK, A, {}, False, "-"),
    (NO_LOCK, A, YES, True, None),
    (NO_LOCK, A, {}, True, None),
    (LOCKED_A0, A, YES, False, A),
    (LOCKED_A0, A, YES, True, A),
    (LOCKED_A0, B, YES, False, None),
    (LOCKED_A0, B, {}, False, None),
    (VALID_A0, A, YES, True, A),
    (VALID_A0, B, YES, False, B),
    (VALID_A0, B, YES, True, None),
]


@pytest.mark.parametrize(("lock", "value", "verdicts", "late", "expected"), L22)
def test_c1_l22(lock: Lock, value: BlockID, verdicts: dict[BlockID, bool], late: bool, expected: object) -> None:
    change = table.prevote_new_l22(at(5, Step.PROPOSE, lock), Stated(offer(5, value), verdicts, late=late))
    if expected == "-":
        assert change is None
    else:
        assert change == (at(5, Step.PREVOTE, lock), (CastVote(PREVOTE, expected),))  # type: ignore[arg-type]


# lock, proposed value, proof-of-lock round, quorums, verdicts -> prevote ("-": none yet)
POLKA_A, POLKA_B = (2, PREVOTE, A), (2, PREVOTE, B)
L28 = [
    (NO_LOCK, A, 2, (POLKA_A,), YES, A),
    (NO_LOCK, A, 2, (POLKA_A,), NO, None),
    (NO_LOCK, A, 2, (POLKA_A,), {}, "-"),
    (NO_LOCK, A, 2, (), YES, "-"),
    (NO_LOCK, A, 2, (POLKA_B,), YES, "-"),
    (NO_LOCK, A, 2, ((2, PREVOTE, None),), YES, "-"),
    (NO_LOCK, A, 2, ((2, PRECOMMIT, A),), YES, "-"),
    (NO_LOCK, A, 2, ((1, PREVOTE, A),), YES, "-"),
    (NO_LOCK, A, 5, ((5, PREVOTE, A),), YES, "-"),
    (NO_LOCK, A, 6, ((6, PREVOTE, A),), YES, "-"),
    (LOCKED_A0, B, 2, (POLKA_B,), YES, B),
    (LOCKED_A3, B, 2, (POLKA_B,), YES, None),
    (LOCKED_A3, B, 3, ((3, PREVOTE, B),), YES, B),
    (LOCKED_A3, A, 2, (POLKA_A,), YES, A),
]


@pytest.mark.parametrize(("lock", "value", "pol_round", "quorums", "verdicts", "expected"), L28)
def test_c2_l28(
    lock: Lock, value: BlockID, pol_round: int, quorums: tuple[Quorum, ...], verdicts: dict[BlockID, bool], expected: object
) -> None:
    facts = Stated(offer(5, value, pol_round), verdicts, quorums, late=True)
    change = table.prevote_old_l28(at(5, Step.PROPOSE, lock), facts)
    if expected == "-":
        assert change is None
    else:
        assert change == (at(5, Step.PREVOTE, lock), (CastVote(PREVOTE, expected),))  # type: ignore[arg-type]


@pytest.mark.parametrize("row", [table.prevote_new_l22, table.prevote_old_l28])
@pytest.mark.parametrize("step", [Step.PREVOTE, Step.PRECOMMIT, Step.COMMIT])
def test_c5_no_second_prevote(row: table.Row, step: Step) -> None:
    for pol_round in (-1, 2):
        facts = Stated(offer(5, A, pol_round), YES, (POLKA_A,))
        assert row(at(5, step), facts) is None


NEW_LOCK = Lock(B, 5, B, 5)
POLKA_NOW = (5, PREVOTE, B)
# step, lock, proposals, verdicts, quorums -> state after, or None
L36 = [
    (Step.PREVOTE, LOCKED_A0, offer(5, B), YES, (POLKA_NOW,), at(5, Step.PRECOMMIT, NEW_LOCK)),
    (Step.PRECOMMIT, LOCKED_A0, offer(5, B), YES, (POLKA_NOW,), at(5, Step.PRECOMMIT, Lock(A, 0, B, 5))),
    (Step.PRECOMMIT, NO_LOCK, offer(5, B), YES, (POLKA_NOW,), at(5, Step.PRECOMMIT, Lock(None, -1, B, 5))),
    (Step.PROPOSE, LOCKED_A0, offer(5, B), YES, (POLKA_NOW,), None),
    (Step.PREVOTE, LOCKED_A0, offer(5, A), YES, (POLKA_NOW,), None),
    (Step.PREVOTE, LOCKED_A0, {}, YES, (POLKA_NOW,), None),
    (Step.PREVOTE, LOCKED_A0, offer(4, B), YES, ((4, PREVOTE, B),), None),
    (Step.PREVOTE, LOCKED_A0, offer(5, B), {}, (POLKA_NOW,), None),
    (Step.PREVOTE, LOCKED_A0, offer(5, B), NO, (POLKA_NOW,), None),
    (Step.PREVOTE, LOCKED_A0, offer(5, B), YES, ((5, PREVOTE, None),), None),
    (Step.PREVOTE, LOCKED_A0, offer(5, B), YES, ((5, PRECOMMIT, B),), None),
]


@pytest.mark.parametrize(("step", "lock", "offers", "verdicts", "quorums", "after"), L36)
def test_d1_d3_l36(
    step: Step,
    lock: Lock,
    offers: dict[int, list[Proposal]],
    verdicts: dict[BlockID, bool],
    quorums: tuple[Quorum, ...],
    after: RoundState | None,
) -> None:
    change = table.lock_l36(at(5, step, lock), Stated(offers, verdicts, quorums))
    if after is None:
        assert change is None
    else:
        effects = (CastVote(PRECOMMIT, B),) if step is Step.PREVOTE else ()
        assert change == (after, effects)


def test_d1_l36_only_the_first_time() -> None:
    facts = Stated(offer(5, B), YES, (POLKA_NOW,))
    assert table.lock_l36(at(5, Step.PREVOTE), facts) is not None
    assert table.lock_l36(at(5, Step.PRECOMMIT), facts) is None


@pytest.mark.parametrize("step", Step)
def test_d2_l44_a_nil_polka_never_touches_the_lock(step: Step) -> None:
    change = table.precommit_nil_l44(at(5, step, LOCKED_A0), Stated(quorums=((5, PREVOTE, None),)))
    expected = (at(5, Step.PRECOMMIT, LOCKED_A0), (CastVote(PRECOMMIT, None),)) if step is Step.PREVOTE else None
    assert change == expected


def test_d2_no_row_ever_releases_a_lock_to_nothing() -> None:
    """Whatever the facts, a lock is kept or replaced by one of a later round."""
    kinds = [(round_, vote_type, value) for round_ in (0, 3, 5) for vote_type in VoteType for value in (None, A, B)]
    for pol_round in (-1, 3):
        for offered in (A, B):
            for first in kinds:
                for second in kinds:
                    facts = Stated(offer(5, offered, pol_round), YES, (first, second), skip=7)
                    for step in (Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT):
                        for row in table.ROWS:
                            change = row(at(5, step, LOCKED_A3), facts)
                            lock = LOCKED_A3 if change is None else change[0].lock
                            assert lock == LOCKED_A3 or lock.locked_round == 5 or lock.valid_round == 5
                            assert lock.locked_round >= 3


@pytest.mark.parametrize("step", Step)
def test_d5_l34_only_in_step_prevote_and_once(step: Step) -> None:
    facts = Stated(any_quorums=((5, PREVOTE),))
    change = table.wait_prevotes_l34(at(5, step), facts)
    assert change == ((at(5, step), (StartTimeout(Step.PREVOTE),)) if step is Step.PREVOTE else None)
    assert table.wait_prevotes_l34(at(5, step), facts) is None


@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT])
def test_e3_l47_in_any_step_and_once(step: Step) -> None:
    facts = Stated(any_quorums=((5, PRECOMMIT),))
    assert table.wait_precommits_l47(at(5, step), facts) == (at(5, step), (StartTimeout(Step.PRECOMMIT),))
    assert table.wait_precommits_l47(at(5, step), facts) is None
    assert table.wait_precommits_l47(at(4, step), Stated(any_quorums=((5, PRECOMMIT),))) is None


@pytest.mark.parametrize("step", [Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT])
@pytest.mark.parametrize("round_", [0, 5, 9])
def test_e1_l49_any_round_any_step_before_everything(step: Step, round_: int) -> None:
    facts = Stated(offer(5, A), YES, ((round_, PRECOMMIT, B), (5, PREVOTE, A)), skip=9)
    first = next(change for row in table.ROWS if (change := row(at(5, step), facts)) is not None)
    assert first == (at(5, Step.COMMIT), (DecideValue(round_, B),))


def test_e1_l49_not_without_the_block() -> None:
    assert table.decide_l49(at(5, Step.PRECOMMIT), Stated(quorums=((5, PRECOMMIT, B),))) is None


def test_e1_l49_a_decision_needs_no_verdict_of_ours() -> None:
    assert table.decide_l49(at(5, Step.PRECOMMIT), Stated({}, NO, ((5, PRECOMMIT, B),))) is not None


@pytest.mark.parametrize(("skip", "expected"), [(None, None), (5, None), (4, None), (6, 6), (1 << 30, 1 << 30)])
def test_e4_l55(skip: int | None, expected: int | None) -> None:
    change = table.skip_l55(at(5, Step.PREVOTE), Stated(skip=skip))
    assert change == (None if expected is None else (at(5, Step.PREVOTE), (EnterRound(expected),)))


TIMEOUTS = {
    (Step.PROPOSE, Step.PROPOSE): (at(5, Step.PREVOTE, LOCKED_A0), (CastVote(PREVOTE, None),)),
    (Step.PREVOTE, Step.PREVOTE): (at(5, Step.PRECOMMIT, LOCKED_A0), (CastVote(PRECOMMIT, None),)),
    (Step.PROPOSE, Step.PRECOMMIT): (at(5, Step.PROPOSE, LOCKED_A0), (EnterRound(6),)),
    (Step.PREVOTE, Step.PRECOMMIT): (at(5, Step.PREVOTE, LOCKED_A0), (EnterRound(6),)),
    (Step.PRECOMMIT, Step.PRECOMMIT): (at(5, Step.PRECOMMIT, LOCKED_A0), (EnterRound(6),)),
}


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("fired", [Step.PROPOSE, Step.PREVOTE, Step.PRECOMMIT])
def test_e5_l57_l61_l65(step: Step, fired: Step) -> None:
    assert on_timeout(at(5, step, LOCKED_A0), 5, fired) == TIMEOUTS.get((step, fired))
    for other in (4, 6):
        assert on_timeout(at(5, step, LOCKED_A0), other, fired) is None


def test_every_row_names_its_lines_of_the_paper() -> None:
    for row in table.ROWS:
        line = re.search(r"_l(\d+)$", row.__name__)
        assert line is not None
        assert (inspect.getdoc(row) or "").startswith(f"L{line.group(1)}")
