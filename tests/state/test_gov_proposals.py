"""Proposals from deposit to execution: phases, votes, quorum, veto, delay, failure, refunds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from state.codes import Code
from state.machine import apply_block
from state.marks import DEEP_FROZEN, SANCTIONED
from state.modules import gov_params
from state.modules.operation import CLAIMS_ADDRESS, OpContext
from state.modules.table import OPERATIONS
from state.primitives.errors import TransactionError
from state.primitives.limits import (
    PROPOSAL_DEPOSITORS_MAX,
    PROPOSAL_OPS_MAX,
    PROPOSALS_CLOSED_PER_BLOCK_MAX,
    PROPOSALS_OPEN_MAX,
)
from state.schema import BREAKERS_KEY, STAKE_PARAMS_KEY, account_key, decode_record, encode_record
from state.schema_gov import OPEN_KEY, Status, vote_key, voters_key
from state.transaction import Transaction, call
from tests.state.gov_world import ABSTAIN, GOV, NO, NOTHING, VETO, VOTERS, YES, GovWorld, op, set_param
from tests.state.ledger_world import ADDRESS, CHAIN, pay
from tests.state.staking_world import STAKE


@pytest.fixture
def world() -> GovWorld:
    return GovWorld()


def test_a_proposal_is_voted_on_waits_and_is_executed_once(world: GovWorld) -> None:
    number = world.propose(set_param("stake", "jail_s", 77))
    record = world.proposal(number)
    assert (record.status, record.snapshot_height, record.power) == (Status.VOTING, world.height - 1, 40)
    assert (world.deposits(), world.balance("alice")) == (1_000, 999_000)
    assert world.execute(number).code == Code.ASSERT_FAILED
    world.vote_all(number)
    world.wait_until(record.due_s)
    passed = world.proposal(number)
    assert (passed.status, passed.ready_s, passed.due_s) == (
        Status.PASSED, record.due_s + GOV.delay_s, record.due_s + GOV.delay_s + GOV.execute_s,
    )  # fmt: skip
    assert (world.deposits(), world.balance("alice")) == (0, 1_000_000)
    assert world.execute(number).code == Code.DELAY_NOT_OVER
    world.wait_until(passed.ready_s)
    receipt = world.execute(number)
    assert [event.type for event in receipt.events] == ["proposal_closed", "proposal_executed", "param_set"]
    assert (receipt.code, world.proposal(number).status) == (0, Status.EXECUTED)
    assert world.read(STAKE_PARAMS_KEY) == replace(STAKE, jail_s=77).to_record()
    assert world.execute(number).code == Code.ALREADY_EXECUTED
    assert (world.totals().deposited, world.totals().refunded, world.totals().burned) == (1_000, 1_000, 0)
    world.audit()


def test_parameters_are_in_force_from_the_next_height_on(world: GovWorld) -> None:
    number = world.propose(set_param("fees", "asset", "QNX"), set_param("fees", "base_default", 1))
    world.vote_all(number)
    world.wait_until(world.proposal(number).due_s)
    world.wait_until(world.proposal(number).ready_s)
    later = world.raw("bob", pay("alice"))
    receipts = world.apply(world.raw("alice", call("gov.execute", proposal=number)), later)
    assert [(receipt.code, receipt.fee) for receipt in receipts] == [(0, 0), (0, 0)]
    assert world.do("bob", pay("alice")).fee == 1


def test_a_deposit_is_gathered_before_the_vote(world: GovWorld) -> None:
    world.propose(deposit=249, code=Code.DEPOSIT_TOO_SMALL)
    number = world.propose(deposit=250)
    assert world.proposal(number).status == Status.DEPOSIT
    assert world.vote("o0", number) == Code.VOTING_CLOSED
    assert world.gov("bob", "deposit", proposal=number, amount=0).code == Code.ZERO_AMOUNT
    assert world.gov("bob", "deposit", proposal=9, amount=1).code == Code.PROPOSAL_NOT_FOUND
    assert world.gov("poor", "deposit", proposal=number, amount=1).code == Code.INSUFFICIENT_FUNDS
    assert world.gov("bob", "deposit", proposal=number, amount=100).code == 0
    assert world.gov("bob", "deposit", proposal=number, amount=650).code == 0
    record = world.proposal(number)
    assert (record.status, record.deposits) == (
        Status.VOTING, tuple(sorted([(ADDRESS["alice"], 250), (ADDRESS["bob"], 750)])),
    )  # fmt: skip
    assert world.gov("bob", "deposit", proposal=number, amount=1).code == Code.VOTING_CLOSED
    world.wait_until(record.due_s)
    assert world.proposal(number).status == Status.REJECTED  # nobody voted
    assert (world.balance("alice"), world.balance("bob")) == (1_000_000, 1_000_000)
    world.audit()


def test_a_proposal_that_finds_no_deposit_loses_what_it_had(world: GovWorld) -> None:
    number = world.propose(deposit=300)
    supply = world.supply()
    world.now = world.proposal(number).due_s
    assert world.gov("bob", "deposit", proposal=number, amount=700).code == Code.VOTING_CLOSED
    assert world.proposal(number).status == Status.UNFUNDED
    assert (world.supply(), world.deposits(), world.totals().burned) == (supply - 300, 0, 300)
    world.audit()


def test_depositors_are_bounded() -> None:
    world = GovWorld(replace(GOV, deposit_min=10**6))
    number = world.propose(deposit=250_000)
    key = b" g" + number.to_bytes(8, "big")
    record = world.proposal(number)
    others = tuple((bytes([i]) * 32, 1) for i in range(1, PROPOSAL_DEPOSITORS_MAX))
    world.db[key] = encode_record(key, record._replace(deposits=tuple(sorted((*record.deposits, *others)))))
    assert world.gov("bob", "deposit", proposal=number, amount=1).code == Code.ASSERT_FAILED
    assert world.gov("alice", "deposit", proposal=number, amount=1).code == 0


@pytest.mark.parametrize(
    ("votes", "status"),
    [
        ((), Status.REJECTED),
        ((YES,), Status.REJECTED),  # 10 of 40 is no quorum
        ((YES, YES), Status.PASSED),
        ((YES, NO), Status.REJECTED),  # exactly half is not more than half
        ((YES, ABSTAIN), Status.PASSED),
        ((ABSTAIN, ABSTAIN), Status.REJECTED),
        ((YES, YES, NO), Status.PASSED),
        ((YES, NO, NO, YES), Status.REJECTED),
        ((YES, YES, YES, VETO), Status.PASSED),
        ((YES, YES, VETO), Status.PASSED),  # a third is not more than 0.334
        ((YES, VETO), Status.VETOED),
        ((YES, YES, VETO, VETO), Status.VETOED),
        (((500_001, 499_999, 0, 0), (500_000, 500_000, 0, 0)), Status.PASSED),
        (((500_000, 500_000, 0, 0), (500_000, 500_000, 0, 0)), Status.REJECTED),
        (((400_000, 0, 600_000, 0), (0, 400_001, 599_999, 0)), Status.REJECTED),
    ],
)
def test_verdicts(world: GovWorld, votes: tuple[tuple[int, int, int, int], ...], status: Status) -> None:
    number = world.propose()
    for name, weights in zip(VOTERS, votes, strict=False):
        assert world.vote(name, number, weights) == 0
    supply = world.supply()
    world.wait_until(world.proposal(number).due_s)
    assert world.proposal(number).status == status
    burned = 1_000 if status == Status.VETOED else 0
    assert (world.supply(), world.balance("alice")) == (supply - burned, 1_000_000 - burned)
    world.audit()


def test_the_last_vote_counts_and_each_voter_once(world: GovWorld) -> None:
    number = world.propose()
    assert world.vote("alice", number) == Code.NOT_A_VOTER
    assert world.vote("o4", number) == Code.NOT_A_VOTER
    assert world.vote("o0", 7) == Code.PROPOSAL_NOT_FOUND
    for weights in (YES, NO, VETO, (250_000, 250_000, 250_000, 250_000), NO):
        assert world.vote("o0", number, weights) == 0
        assert world.proposal(number).tally == tuple(10 * part for part in weights)
    assert world.read(vote_key(number, ADDRESS["o0"])) == (10, *NO)
    world.now = world.proposal(number).due_s
    assert world.vote("o1", number) == Code.VOTING_CLOSED
    world.audit()


def test_power_is_that_of_the_moment_in_which_the_vote_began(world: GovWorld) -> None:
    number = world.propose()
    world.stake("alice", "delegate", validator="v0", amount=100_000)
    world.stake("o1", "undelegate", validator="v1", amount=9_000)
    world.blocks(20)
    assert [voter.power for voter in world.voters().validators] != [10, 10, 10, 10]
    world.vote_all(number)
    assert world.read(voters_key(number)) == tuple(sorted((ADDRESS[name], 10) for name in VOTERS))
    assert world.proposal(number).tally == (40_000_000, 0, 0, 0)
    later = world.propose()
    assert dict(world.read(voters_key(later)))[ADDRESS["o0"]] > 100


def test_an_owner_of_two_validators_votes_once_with_both() -> None:
    world = GovWorld(bonds=(10_000, 10_000, 10_000, 20_000, 30_000))
    number = world.propose()
    assert dict(world.read(voters_key(number)))[ADDRESS["o3"]] == 50
    assert world.vote("o3", number) == 0
    assert world.proposal(number).tally[0] == 50_000_000


def test_a_vote_is_held_under_the_rules_of_its_beginning(world: GovWorld) -> None:
    number = world.propose()
    for name in ("o0", "o1"):
        world.vote(name, number)
    key = b" pgov"
    stricter = replace(GOV, quorum_ppm=667_000, threshold_ppm=667_000, delay_s=0)
    world.db[key] = encode_record(key, stricter.to_record())
    world.wait_until(world.proposal(number).due_s)
    record = world.proposal(number)
    assert (record.status, record.ready_s - record.rules.delay_s) == (Status.PASSED, record.due_s - GOV.execute_s - GOV.delay_s)


def test_an_expedited_proposal_is_faster_and_needs_more(world: GovWorld) -> None:
    for votes, status in (((YES, YES, NO), Status.REJECTED), ((YES, YES, YES, NO), Status.PASSED)):
        number = world.propose(expedited=1)
        record = world.proposal(number)
        assert record.due_s - record.start_s == GOV.voting_expedited_s
        for name, weights in zip(VOTERS, votes, strict=False):
            world.vote(name, number, weights)
        world.wait_until(record.due_s)
        assert world.proposal(number).status == status
    world.wait_until(record.due_s + GOV.delay_expedited_s)
    assert world.execute(number).code == 0


def test_a_proposal_that_nobody_executes_in_time_lapses(world: GovWorld) -> None:
    number = world.propose()
    world.vote_all(number)
    world.wait_until(world.proposal(number).due_s)
    world.now = world.proposal(number).due_s
    assert world.execute(number).code == Code.TOO_LATE
    world.blocks(1)
    assert world.proposal(number).status == Status.LAPSED
    assert world.execute(number).code == Code.TOO_LATE
    world.audit()


def test_a_failing_operation_undoes_the_whole_proposal_and_is_recorded(world: GovWorld) -> None:
    done = world.pass_proposal(
        set_param("stake", "jail_s", 77), set_param("stake", "jail_s", -1), set_param("stake", "jail_s", 78)
    )
    assert (done.status, done.code, done.op_index) == (Status.FAILED, Code.PARAM_OUT_OF_RANGE, 1)
    assert world.read(STAKE_PARAMS_KEY) == STAKE.to_record()
    world.audit()


def test_other_operations_of_the_transaction_stand_after_a_failed_proposal(world: GovWorld) -> None:
    number = world.propose(set_param("stake", "nonsense", 1))
    world.vote_all(number)
    world.wait_until(world.proposal(number).due_s)
    world.wait_until(world.proposal(number).ready_s)
    receipt = world.do("bob", pay("alice", 5), call("gov.execute", proposal=number), pay("alice", 6))
    assert [event.type for event in receipt.events] == ["transfer", "proposal_closed", "proposal_failed", "transfer"]
    assert world.balance("alice") == 1_000_011
    assert world.execute(number).code == Code.ALREADY_EXECUTED


def test_a_wrong_handler_inside_a_proposal_stops_its_module_and_nothing_else(
    world: GovWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steal(context: OpContext, account: bytes, args: object) -> None:
        context.credit(ADDRESS["alice"], b"QNX", 5)

    row = OPERATIONS[112]  # amm.repair
    monkeypatch.setitem(OPERATIONS, 112, replace(row, handler=steal))
    repair = op("amm.repair", pool="EUR/QNX", amount_a=1, amount_b=1, plan_hash=b"")
    done = world.pass_proposal(set_param("stake", "jail_s", 77), repair)
    assert (done.status, done.code, done.op_index) == (Status.FAILED, Code.INVARIANT_VIOLATION, 1)
    assert world.read(BREAKERS_KEY) == (("amm", world.height - 1, 112, "", 0, False),)
    assert world.balance("alice") == 1_000_000
    assert world.do("alice", call("amm.close", pool="EUR/QNX")).code == Code.MODULE_PAUSED
    monkeypatch.undo()
    # governance is not stopped by a breaker, and resets it
    done = world.pass_proposal(op("gov.reset", module="amm", function="", second=b""))
    assert done.status == Status.EXECUTED
    assert world.do("alice", call("amm.close", pool="EUR/QNX")).code == Code.POOL_NOT_FOUND


def test_a_handler_that_raises_inside_a_proposal_is_recorded(world: GovWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(gov_params, "change", fail)
    done = world.pass_proposal(NOTHING)
    assert (done.status, done.code, done.op_index) == (Status.FAILED, Code.INVARIANT_VIOLATION, 0)


def test_an_operation_that_the_rules_no_longer_know_is_recorded(world: GovWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    number = world.propose(op("amm.collect", pool="EUR/QNX"))
    world.vote_all(number)
    world.wait_until(world.proposal(number).due_s)
    world.wait_until(world.proposal(number).ready_s)
    monkeypatch.delitem(OPERATIONS, 111)
    assert world.execute(number).code == 0
    assert (world.proposal(number).status, world.proposal(number).code) == (Status.FAILED, Code.UNKNOWN_OP_OR_FIELD)


def test_the_proposer_may_cancel_until_the_vote_ends(world: GovWorld) -> None:
    for deposit in (300, 1_000):
        number = world.propose(deposit=deposit)
        assert world.gov("bob", "cancel", proposal=number).code == Code.NO_PERMISSION
        assert world.gov("alice", "cancel", proposal=number).code == 0
        assert (world.proposal(number).status, world.deposits()) == (Status.CANCELLED, 0)
        assert world.gov("alice", "cancel", proposal=number).code == Code.VOTING_CLOSED
    number = world.propose()
    world.now = world.proposal(number).due_s
    assert world.gov("alice", "cancel", proposal=number).code == Code.VOTING_CLOSED
    assert world.gov("alice", "cancel", proposal=44).code == Code.PROPOSAL_NOT_FOUND
    world.audit()


@pytest.mark.parametrize("mark", [DEEP_FROZEN, SANCTIONED])
def test_a_deposit_that_cannot_go_back_becomes_a_claim(world: GovWorld, mark: int) -> None:
    number = world.propose()
    key = account_key(ADDRESS["alice"])
    record = world.read(key)
    world.db[key] = encode_record(key, (*record[:4], mark))
    world.wait_until(world.proposal(number).due_s)
    assert (world.proposal(number).status, world.deposits()) == (Status.REJECTED, 0)
    assert (world.balance("alice"), world.balance(CLAIMS_ADDRESS)) == (999_000, 1_000)
    world.db[key] = encode_record(key, record)
    assert world.do("alice", call("claim.take", claim=0)).code == 0
    assert world.balance("alice") == 1_000_000
    world.audit()


def test_open_proposals_are_bounded_and_close_a_few_in_each_block(world: GovWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("state.modules.gov_proposals.PROPOSALS_OPEN_MAX", 40)
    ops = [call("gov.propose", ops=(NOTHING,), title_hash=b"", deposit=1_000, expedited=0)] * 40
    assert world.do("alice", *ops).code == 0
    world.propose(account="bob", code=Code.ASSERT_FAILED)
    due_s = world.proposal(0).due_s
    world.now = due_s + 5
    counts = []
    for _ in range(3):
        world.blocks(1)
        counts.append(len(world.read(OPEN_KEY) or ()))
    assert counts == [40 - PROPOSALS_CLOSED_PER_BLOCK_MAX, 40 - 2 * PROPOSALS_CLOSED_PER_BLOCK_MAX, 0]
    assert all(world.proposal(number).status == Status.REJECTED for number in range(40))
    assert world.balance("alice") == 1_000_000
    assert PROPOSALS_OPEN_MAX >= 40
    world.audit()


def test_a_late_sweep_makes_no_difference(world: GovWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Voted, counted and executed by operations alone: the same dates, the same end."""
    monkeypatch.setattr("state.gov_actions.get_due", lambda view, time_s: ())
    number = world.propose(set_param("stake", "jail_s", 77))
    world.vote_all(number)
    due_s = world.proposal(number).due_s
    world.now = due_s + GOV.delay_s - 1
    assert world.execute(number).code == Code.DELAY_NOT_OVER
    assert world.proposal(number).status == Status.VOTING
    assert world.execute(number).code == 0
    record = world.proposal(number)
    assert (record.status, record.ready_s) == (Status.EXECUTED, due_s + GOV.delay_s)
    assert world.balance("alice") == 1_000_000
    world.audit()


@pytest.mark.parametrize(
    ("ops", "code"),
    [
        ((), Code.MALFORMED),
        (([145, b"x" * 32, ["stake", "jail_s", "1"]],), Code.MALFORMED),
        (([145, b"", ["stake", "jail_s"]],), Code.UNKNOWN_OP_OR_FIELD),
        (([999, b"", []],), Code.UNKNOWN_OP_OR_FIELD),
        (([23, b"", ["QNX", b"x" * 32, b"\x01", ""]],), Code.MALFORMED),  # a transfer is not governance's
        (([140, b"", [[[145, b"", ["stake", "jail_s", "1"]]], b"", b"\x01", 0]],), Code.MALFORMED),
        (([149, b"", ["amm", "", 0, b"x" * 32]],), Code.MALFORMED),  # somebody else would have to sign
        (([145, b"", ["stake", "jail_s", "1"]],) * (PROPOSAL_OPS_MAX + 1), Code.TOO_LARGE),
        (([145, b"", ["stake", "jail_s", "1" * 257]],), Code.MALFORMED),
        (([148, b"", [2, 1 << 63, "", b""]],), Code.MALFORMED),
    ],
)
def test_what_no_proposal_carries_is_refused_before_it_is_signed(world: GovWorld, ops: object, code: int) -> None:
    from state.primitives.codec import encode, encode_amount

    good = world.tx("alice", call("gov.propose", ops=(NOTHING,), title_hash=b"", deposit=1_000, expedited=0))
    wire = (140, b"", (ops, b"", encode_amount(1_000), 0))
    body = (
        1, CHAIN, good.sender, 0, good.seq, 0, good.valid_until, b"", b"", b"", (), (wire,), "", None, "", b"", b"",
    )  # fmt: skip
    with pytest.raises(TransactionError) as error:
        Transaction.decode(encode((body, ())))
    assert error.value.result == code


def test_the_same_proposal_on_two_ledgers_leaves_the_same_bytes() -> None:
    one, other = GovWorld(), GovWorld()
    for world in (one, other):
        world.pass_proposal(set_param("stake", "jail_s", 77))
    assert one.db == other.db


def test_simulating_an_execution_is_executing_it(world: GovWorld) -> None:
    number = world.propose(set_param("stake", "jail_s", 77))
    world.vote_all(number)
    world.wait_until(world.proposal(number).due_s)
    world.wait_until(world.proposal(number).ready_s)
    raw = world.raw("poor", call("gov.execute", proposal=number))
    alone = apply_block(world.db, world.context(), (raw,)).receipts[0]
    assert alone == world.apply(raw)[0]
    assert decode_record(STAKE_PARAMS_KEY, world.db[STAKE_PARAMS_KEY]) == replace(STAKE, jail_s=77).to_record()
