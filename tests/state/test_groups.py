"""Groups: members approve by weight, the group acts as an account of its own, and changes itself."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.modules.accounts import AccountKind
from state.modules.groups import group_address
from state.modules.operation import FEES_ADDRESS
from state.primitives.errors import TransactionError
from state.primitives.ids import format_address
from state.primitives.limits import GROUP_DELAY_S_MAX, GROUP_PROPOSAL_S_MAX, GROUP_PROPOSALS_OPEN_MAX
from state.schema import account_key
from state.schema_gov import Status
from state.transaction import Transaction, call
from tests.state.gov_world import YES, GovWorld, op, set_param
from tests.state.ledger_world import ADDRESS, create_account, entry, pay, update_keys


@pytest.fixture
def world() -> GovWorld:
    return GovWorld()


@pytest.fixture
def group(world: GovWorld) -> bytes:
    """Alice 2, bob 1, carol 1; three approve; a minute passes."""
    group = world.make_group(("alice", 2), ("bob", 1), ("carol", 1), threshold=3, min_delay_s=60)
    assert world.do("bank", pay(group, 1_000)).code == 0
    return group


def test_a_group_pays_when_enough_members_approve_and_its_delay_is_over(world: GovWorld, group: bytes) -> None:
    assert world.propose_in("bob", group, pay("poor", 300)).code == 0
    assert world.execute_in(group, 0).code == Code.ASSERT_FAILED
    assert world.approve_in("bob", group, 0).code == 0  # again: counted once
    assert world.group_proposal(group, 0).ready_s == 0
    assert world.approve_in("alice", group, 0).code == 0
    ready_s = world.group_proposal(group, 0).ready_s
    assert ready_s == world.now - 1 + 60
    assert world.execute_in(group, 0).code == Code.DELAY_NOT_OVER
    world.now = ready_s
    receipt = world.execute_in(group, 0)
    assert [event.type for event in receipt.events] == ["group_executed", "transfer"]
    assert (world.balance(group), world.balance("poor")) == (700, 300)
    assert world.group_proposal(group, 0).status == Status.EXECUTED
    assert world.execute_in(group, 0).code == Code.ALREADY_EXECUTED
    assert world.group(group).open_numbers == ()
    world.audit()


def test_an_approval_can_be_taken_back_and_the_delay_begins_anew(world: GovWorld, group: bytes) -> None:
    world.propose_in("alice", group, pay("poor", 1))
    world.approve_in("bob", group, 0)
    world.now += 30
    assert world.approve_in("bob", group, 0, 0).code == 0
    assert world.group_proposal(group, 0).ready_s == 0
    world.now += 60
    assert world.execute_in(group, 0).code == Code.ASSERT_FAILED
    world.approve_in("carol", group, 0)
    assert world.group_proposal(group, 0).ready_s == world.now - 1 + 60


def test_only_members_propose_and_approve(world: GovWorld, group: bytes) -> None:
    assert world.propose_in("bank", group, pay("poor", 1)).code == Code.NOT_A_VOTER
    assert world.propose_in("alice", ADDRESS["bank"], pay("poor", 1)).code == Code.ACCOUNT_NOT_FOUND
    world.propose_in("alice", group, pay("poor", 1))
    assert world.approve_in("bank", group, 0).code == Code.NOT_A_VOTER
    assert world.approve_in("bob", group, 5).code == Code.PROPOSAL_NOT_FOUND
    assert world.execute_in(bytes(32), 0).code == Code.ACCOUNT_NOT_FOUND


def test_nobody_signs_for_a_group(world: GovWorld, group: bytes) -> None:
    """Not even with no signature: its threshold is one, and it has no keys."""
    raw = world.raw("alice", pay("poor", 1, as_account=group))
    assert world.check(raw).code == Code.QUORUM_NOT_MET
    assert world.read(account_key(group)) == (AccountKind.GROUP, b"", (), (1, 1, 1, 1), 0)
    draft = world.raw("alice", pay("poor", 1), fee_payer=group)
    assert world.check(draft).code == Code.SPONSOR_NOT_ALLOWED


def test_an_account_cannot_pass_for_a_group(world: GovWorld) -> None:
    with pytest.raises(TransactionError, match="kind"):
        world.do("alice", create_account((entry(0, "x"),), kind=AccountKind.GROUP))


def test_what_fails_inside_is_recorded_and_undone(world: GovWorld, group: bytes) -> None:
    world.propose_in("alice", group, pay("poor", 300), pay("poor", 701))
    world.approve_in("bob", group, 0)
    world.now += 60
    assert world.execute_in(group, 0).code == 0
    record = world.group_proposal(group, 0)
    assert (record.status, record.code, record.op_index) == (Status.FAILED, Code.INSUFFICIENT_FUNDS, 1)
    assert world.balance(group) == 1_000


def test_a_group_changes_itself_and_what_was_open_is_void(world: GovWorld, group: bytes) -> None:
    terms: dict[str, Any] = {"members": ((ADDRESS["carol"], 5),), "threshold": 5, "min_delay_s": 0}
    assert world.do("alice", call("group.update", **terms)).code == Code.NO_PERMISSION
    world.propose_in("alice", group, pay("poor", 1))
    world.propose_in("alice", group, call("group.update", **terms))
    for number in (0, 1):
        world.approve_in("bob", group, number)
    world.now += 60
    assert world.execute_in(group, 1).code == 0
    assert (world.group(group).members, world.group(group).version) == (terms["members"], 1)
    assert world.execute_in(group, 0).code == Code.VOTING_CLOSED
    assert world.propose_in("alice", group, pay("poor", 1)).code == Code.NOT_A_VOTER
    assert world.propose_in("carol", group, pay("poor", 1)).code == 0
    assert world.execute_in(group, 2).code == 0
    world.audit()


def test_a_group_is_no_member_of_itself(world: GovWorld, group: bytes) -> None:
    terms = {"members": tuple(sorted([(group, 1), (ADDRESS["bob"], 1)])), "threshold": 1, "min_delay_s": 0}
    world.propose_in("alice", group, call("group.update", **terms))
    world.approve_in("bob", group, 0)
    world.now += 60
    world.execute_in(group, 0)
    assert world.group_proposal(group, 0).code == Code.SELF_TRANSFER


def test_a_group_in_a_group_approves_by_its_own_proposal(world: GovWorld) -> None:
    inner = world.make_group(("alice", 1), ("bob", 1), threshold=2)
    assert inner == group_address(0)
    terms = tuple(sorted([(inner, 1), (ADDRESS["carol"], 1)]))
    assert world.do("alice", call("group.create", members=terms, threshold=2, min_delay_s=0)).code == 0
    outer = group_address(1)
    world.do("bank", pay(outer, 10))
    world.propose_in("carol", outer, pay("poor", 10))
    world.propose_in("alice", inner, call("group.approve", group=outer, proposal=0, on=1))
    world.approve_in("bob", inner, 0)
    assert world.execute_in(inner, 0).code == 0
    assert world.execute_in(outer, 0).code == 0
    assert world.balance("poor") == 10


def test_a_group_proposes_to_governance_and_stakes(world: GovWorld, group: bytes) -> None:
    world.do("bank", pay(group, 10_000))
    carried = call("gov.propose", ops=(set_param("stake", "jail_s", 77),), title_hash=b"", deposit=1_000, expedited=1)
    world.propose_in("alice", group, carried, call("stake.delegate", validator=world.voters().validators[0].address, amount=500))
    world.approve_in("bob", group, 0)
    world.now += 60
    assert world.execute_in(group, 0).code == 0
    assert world.group_proposal(group, 0).status == Status.EXECUTED
    assert world.proposal(0).proposer == group
    world.vote_all(0, YES)
    world.wait_until(world.proposal(0).due_s)
    assert world.balance(group) == 11_000 - 500
    world.audit()


@pytest.mark.parametrize(
    ("carried", "code"),
    [
        (update_keys(remove=(0,)), Code.MALFORMED),
        (op("group.execute", group=bytes(32), proposal=0), Code.MALFORMED),
        (op("gov.execute", proposal=0), Code.MALFORMED),
        (op("group.propose", group=bytes(32), ops=(pay("bob"),), title_hash=b""), Code.MALFORMED),
        (op("asset.multi_transfer", legs=((ADDRESS["bob"], "QNX", 0, 1), (ADDRESS["alice"], "QNX", 1, 1))), Code.MALFORMED),
    ],
)
def test_what_a_group_cannot_carry(world: GovWorld, group: bytes, carried: Any, code: int) -> None:
    with pytest.raises(TransactionError) as error:
        world.propose_in("alice", group, carried)
    assert error.value.result == code


def test_a_group_pays_many_at_once(world: GovWorld, group: bytes) -> None:
    legs = ((group, "QNX", 0, 3), (ADDRESS["poor"], "QNX", 1, 1), (ADDRESS["bob"], "QNX", 1, 2))
    world.propose_in("alice", group, call("asset.multi_transfer", legs=legs))
    world.approve_in("bob", group, 0)
    world.now += 60
    world.execute_in(group, 0)
    assert (world.balance(group), world.balance("poor")) == (997, 1)


@pytest.mark.parametrize(
    "terms",
    [
        {"members": (), "threshold": 1},
        {"members": ((ADDRESS["bob"], 1),), "threshold": 2},
        {"members": ((ADDRESS["bob"], 1),), "threshold": 0},
        {"members": ((ADDRESS["bob"], 0),), "threshold": 1},
        {"members": ((ADDRESS["bob"], 1), (ADDRESS["bob"], 1)), "threshold": 1},
        {"members": ((ADDRESS["bob"], 1),), "threshold": 1, "min_delay_s": GROUP_DELAY_S_MAX + 1},
    ],
)
def test_a_group_that_could_never_act_is_refused(world: GovWorld, terms: dict[str, Any]) -> None:
    with pytest.raises(TransactionError):
        world.do("alice", call("group.create", **{"min_delay_s": 0, **terms}))


def test_members_have_accounts(world: GovWorld) -> None:
    for member, code in ((bytes(32), Code.ACCOUNT_NOT_FOUND), (FEES_ADDRESS, Code.RECIPIENT_IS_MODULE)):
        terms = {"members": ((member, 1),), "threshold": 1, "min_delay_s": 0}
        assert world.do("alice", call("group.create", **terms)).code == code


def test_open_proposals_are_few_and_old_ones_give_way(world: GovWorld, group: bytes) -> None:
    for _ in range(GROUP_PROPOSALS_OPEN_MAX):
        assert world.propose_in("alice", group, pay("poor", 1)).code == 0
    assert world.propose_in("bob", group, pay("poor", 1)).code == Code.ASSERT_FAILED
    world.now += GROUP_PROPOSAL_S_MAX
    assert world.approve_in("bob", group, 0).code == Code.VOTING_CLOSED
    assert world.propose_in("bob", group, pay("poor", 1)).code == 0
    assert world.group(group).open_numbers == (GROUP_PROPOSALS_OPEN_MAX,)


def test_a_proposal_of_a_group_is_read_back_as_it_was_signed(world: GovWorld, group: bytes) -> None:
    tx = Transaction.decode(world.raw("alice", call("group.propose", group=group, ops=(pay("poor", 1),), title_hash=b"")))
    row, _, args = tx.calls[0]
    assert row.carried is not None and row.carried(args) == (23,)
    assert row.write_args(args) == (group, (pay("poor", 1),), b"")
    shown: Any = row.show(args)["ops"]
    assert [(call_["op"], call_["amount"], call_["to"]) for call_ in shown] == [("asset.transfer", "1", format_address(ADDRESS["poor"]))]
