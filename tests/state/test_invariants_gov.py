"""The invariants of governance find what a wrong handler would do; the handlers are replaced by wrong writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from state.codes import Code
from state.invariants import check_action, check_operation
from state.invariants_gov import audit_gov
from state.machine import BlockExecution
from state.modules import gov_proposals
from state.modules.operation import GOVERNANCE_ADDRESS, OpContext
from state.modules.table import BY_NAME
from state.schema import (
    ADMIT_VALIDATOR,
    NODES_KEY,
    STAKE_PARAMS_KEY,
    account_key,
    admission_key,
    decode_record,
    encode_record,
    holding_key,
)
from state.schema_gov import (
    GOV_LETTERS,
    NO_TALLY,
    OPEN_KEY,
    STAGED_KEY,
    TOTALS_KEY,
    UPGRADES_KEY,
    Status,
    Vote,
    group_key,
    group_proposal_key,
    proposal_key,
    vote_key,
    voters_key,
)
from state.transaction import Call, call
from state.view import View
from tests.state.gov_world import YES, GovWorld
from tests.state.ledger_world import ADDRESS, pay

O0, O1 = ADDRESS["o0"], ADDRESS["o1"]
Write = tuple[bytes, Any]


class Scene:
    """Proposals in every phase, a group with two proposals; what they are called."""

    def __init__(self) -> None:
        world = self.world = GovWorld()
        self.group = world.make_group(("o0", 1), ("o1", 1), threshold=2)
        world.propose_in("o0", self.group, pay("bob", 1))
        world.propose_in("o0", self.group, pay("bob", 1))
        world.approve_in("o1", self.group, 0)
        world.execute_in(self.group, 0)
        self.done = world.propose()
        world.vote_all(self.done)
        world.wait_until(world.proposal(self.done).due_s)
        world.wait_until(world.proposal(self.done).ready_s)
        world.execute(self.done)
        self.passed = world.propose()
        world.vote_all(self.passed)
        world.wait_until(world.proposal(self.passed).due_s)
        self.voting = world.propose()
        world.vote("o0", self.voting)
        self.young = world.propose(deposit=300)
        world.audit()


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene()


def found(scene: Scene, operation: str, account: bytes | None, writes: list[Write]) -> str:
    """What the checks say to an operation, or to an automatic action, that writes this."""
    view = View(scene.world.db)
    for key, record in writes:
        view.put(key, record)
    if account is None:
        return check_action(view, 0, GOV_LETTERS | frozenset(b"hspN"))
    row = BY_NAME[operation]
    everything = replace(row, writes=row.writes | GOV_LETTERS | frozenset(b"hspNab"), touches=frozenset({"governance"}), moves_value=False)
    return check_operation(view, 0, Call(everything, account, (0,) * len(row.fields)))


def change(scene: Scene, number: int, **fields: Any) -> Write:
    return proposal_key(number), scene.world.proposal(number)._replace(**fields)


CASES: list[tuple[str, str, Callable[[Scene], list[Write]], str]] = [
    ("nothing wrong", "gov.vote", lambda s: [], ""),
    (
        "a vote",
        "gov.vote",
        lambda s: [(vote_key(s.voting, O1), Vote(10, *YES)), change(s, s.voting, tally=(20_000_000, 0, 0, 0))],
        "",
    ),
    ("a vote that is not counted", "gov.vote", lambda s: [(vote_key(s.voting, O1), Vote(10, *YES))], "I22: a tally is not"),
    ("a count without a vote", "gov.vote", lambda s: [change(s, s.voting, tally=(20_000_000, 0, 0, 0))], "I22: a tally is not"),
    (
        "too much power",
        "gov.vote",
        lambda s: [(vote_key(s.voting, O1), Vote(11, *YES)), change(s, s.voting, tally=(21_000_000, 0, 0, 0))],
        "I22: a vote counts for other",
    ),
    (
        "a stranger's power",
        "gov.vote",
        lambda s: [(vote_key(s.voting, ADDRESS["alice"]), Vote(10, *YES))],
        "I24: somebody else's vote",
    ),
    ("a vote taken away", "gov.vote", lambda s: [(vote_key(s.voting, O0), None)], "I22: a vote vanished"),
    ("other voters", "gov.vote", lambda s: [(voters_key(s.voting), ((O1, 10),))], "I22: who may vote changed"),
    ("no voters", "gov.vote", lambda s: [(voters_key(s.voting), None)], "I22: who may vote changed"),
    ("more than all", "gov.vote", lambda s: [change(s, s.voting, tally=(40_000_001, 0, 0, 0))], "I22: more was voted"),
    ("less than nothing", "gov.vote", lambda s: [change(s, s.voting, tally=(-1, 1, 0, 0))], "I22: a proposal is out of range"),
    ("counted late", "gov.vote", lambda s: [change(s, s.passed, tally=(39_000_000, 0, 0, 0))], "I22: a vote was counted after"),
    ("other terms", "gov.vote", lambda s: [change(s, s.voting, power=50)], "I22: the terms of a vote"),
    ("other operations", "gov.vote", lambda s: [change(s, s.voting, ops=b"\x90")], "I22: a proposal was altered"),
    ("no votes needed", "gov.execute", lambda s: [change(s, s.voting, status=Status.PASSED)], "I22: a proposal that is decided still"),
    (
        "passed by a quarter",
        "gov.execute",
        lambda s: [change(s, s.voting, status=Status.PASSED, deposits=())],
        "I22: a proposal passed without the votes",
    ),
    (
        "before its time",
        "gov.execute",
        lambda s: [change(s, s.passed, status=Status.EXECUTED, done_s=s.world.now)],
        "I22: a proposal was executed outside",
    ),
    (
        "after its time",
        "gov.execute",
        lambda s: [change(s, s.passed, status=Status.EXECUTED, done_s=s.world.proposal(s.passed).due_s)],
        "I22: a proposal was executed outside",
    ),
    ("executed again", "gov.execute", lambda s: [change(s, s.done, done_s=s.world.now)], "I22: a proposal that was over"),
    ("open again", "gov.execute", lambda s: [change(s, s.done, status=Status.PASSED)], "I22: a proposal that was over"),
    ("gone", "gov.cancel", lambda s: [(proposal_key(s.done), None)], "I22: a proposal vanished"),
    ("a step back", "gov.cancel", lambda s: [change(s, s.voting, status=Status.DEPOSIT)], "I22: a proposal took a step"),
    ("a deposit from nowhere", "gov.deposit", lambda s: [change(s, s.young, deposits=((O0, 301),))], "I22: the deposits of proposals"),
    (
        "a deposit that is not booked",
        "gov.deposit",
        lambda s: [
            change(s, s.young, deposits=((ADDRESS["alice"], 300), (O1, 5))),
            (holding_key(GOVERNANCE_ADDRESS, "QNX"), (s.world.deposits() + 5,)),
            (holding_key(O1, "QNX"), (s.world.balance("o1") - 5,)),
        ],
        "I22: deposits are not held",
    ),
    (
        "a refund to nobody",
        "gov.cancel",
        lambda s: [change(s, s.young, deposits=(), status=Status.CANCELLED)],
        "I22: the deposits of proposals",
    ),
    ("books", "gov.cancel", lambda s: [(TOTALS_KEY, s.world.totals()._replace(burned=1))], "I22: deposits are not held"),
    ("a list out of order", "gov.cancel", lambda s: [(OPEN_KEY, ((5, 1), (4, 0)))], "I22: the list of open proposals"),
    ("a parameter", "gov.set_param", lambda s: [(STAGED_KEY, (("stake", ()),))], "I24: a decision of governance"),
    ("a rule set", "gov.upgrade", lambda s: [(UPGRADES_KEY, ((2, 9, "", b""),))], "I24: a decision of governance"),
    ("an admission", "gov.admit", lambda s: [(admission_key(ADMIT_VALIDATOR, O0), None)], "I24: a decision of governance"),
    ("a group gone", "group.update", lambda s: [(group_key(s.group), None)], "I24: a group or its proposal"),
    (
        "a group that cannot act",
        "group.update",
        lambda s: [(group_key(s.group), s.world.group(s.group)._replace(threshold=3))],
        "I24: a group could never act",
    ),
    (
        "too many open",
        "group.propose",
        lambda s: [(group_key(s.group), s.world.group(s.group)._replace(open_numbers=tuple(range(17))))],
        "I22: a group has too many",
    ),
    (
        "a group's proposal again",
        "group.execute",
        lambda s: [(group_proposal_key(s.group, 0), s.world.group_proposal(s.group, 0)._replace(code=5))],
        "I22: a group's proposal that was over",
    ),
    (
        "a group's proposal too early",
        "group.execute",
        lambda s: [(group_proposal_key(s.group, 1), s.world.group_proposal(s.group, 1)._replace(status=Status.EXECUTED, done_s=5))],
        "I22: a group's proposal was executed outside",
    ),
    (
        "a group with keys",
        "group.create",
        lambda s: [(account_key(b"g" * 32), (7, b"", ((0, 1, b"k" * 32, 1),), (1, 1, 1, 1), 0))],
        "I24: a group has keys",
    ),
    (
        "a group that needs none",
        "group.create",
        lambda s: [(account_key(b"g" * 32), (7, b"", (), (0, 0, 0, 0), 0))],
        "I24: a group has keys",
    ),
]


@pytest.mark.parametrize(("operation", "plant", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_wrong_write_is_found(scene: Scene, operation: str, plant: Callable[[Scene], list[Write]], words: str) -> None:
    problem = found(scene, operation, O1, plant(scene))
    assert problem.startswith(words) if words else problem == "", problem


def test_governance_decides_and_the_block_carries_out(scene: Scene) -> None:
    stake = scene.world.read(STAKE_PARAMS_KEY)
    assert found(scene, "gov.set_param", GOVERNANCE_ADDRESS, [(STAGED_KEY, (("stake", stake),))]) == ""
    assert found(scene, "gov.set_param", None, [(STAKE_PARAMS_KEY, stake)]) == ""
    assert found(scene, "gov.set_param", O0, [(STAKE_PARAMS_KEY, stake)]).startswith("I24")
    assert found(scene, "gov.set_param", None, [(STAGED_KEY, (("stake", stake),))]).startswith("I24")
    assert found(scene, "gov.admit", None, [(admission_key(ADMIT_VALIDATOR, O0), None)]).startswith("I24")
    assert found(scene, "gov.remove", GOVERNANCE_ADDRESS, [(NODES_KEY, None)]).startswith("I21")


def test_the_audit_finds_every_record_that_is_wrong(scene: Scene) -> None:
    world = scene.world
    records = {key: decode_record(key, raw) for key, raw in world.db.items()}
    assert audit_gov(records.items()) == ()
    held = holding_key(GOVERNANCE_ADDRESS, "QNX")
    for key, wrong, words in (
        (held, (records[held][0] + 1,), "are not what is held"),
        (TOTALS_KEY, world.totals()._replace(refunded=0), "not held, refunded or burned"),
        (vote_key(scene.voting, O0), Vote(9, *YES), "other than its voter's power"),
        (proposal_key(scene.voting), world.proposal(scene.voting)._replace(tally=NO_TALLY), "not the sum of its votes"),
        (proposal_key(scene.passed), world.proposal(scene.passed)._replace(status=Status.LAPSED), "is not that of the open"),
        (OPEN_KEY, (), "is not that of the open"),
        (group_key(scene.group), world.group(scene.group)._replace(threshold=9), "could never act"),
        (group_proposal_key(b"x" * 32, 0), world.group_proposal(scene.group, 0), "a group that there is not"),
    ):
        assert any(words in problem for problem in audit_gov({**records, key: wrong}.items())), words


def test_a_wrong_handler_is_reverted_and_governance_is_stopped_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every vote counts twice, planted."""
    world = GovWorld()
    number = world.propose()
    honest = gov_proposals.put_proposal

    def twice(view: View, at: int, record: Any) -> None:
        honest(view, at, record._replace(tally=tuple(2 * part for part in record.tally)))

    monkeypatch.setattr(gov_proposals, "put_proposal", twice)
    execution = BlockExecution(world.db, world.context())
    tx = world.tx("o0", call("gov.vote", proposal=number, weights=YES))
    receipt = execution.deliver(tx)
    assert (receipt.code, receipt.log) == (Code.INVARIANT_VIOLATION, "I22: a tally is not the sum of its votes")
    result = execution.finish([receipt])
    assert [event.type for event in result.events] == ["breaker_tripped"]
    monkeypatch.undo()
    for key, value in result.changes:
        if value is not None:
            world.db[key] = value
    world.height += 1
    assert world.vote("o0", number) == Code.MODULE_PAUSED
    assert world.proposal(number).tally == NO_TALLY
    assert encode_record(proposal_key(number), world.proposal(number)) == world.db[proposal_key(number)]


def test_a_context_without_a_machine_hands_nothing_over() -> None:
    assert OpContext(View({}), 1, 1, ()).subcalls is None
