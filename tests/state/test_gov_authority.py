"""Who may do what in governance, from the table: without any one signer an operation fails, and a stranger gets nothing done."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.modules.operation import Level
from state.modules.table import ROWS
from state.transaction import call
from tests.state.gov_world import NOTHING, YES, GovWorld
from tests.state.ledger_world import ADDRESS, pay

ROWS_HERE = {row.name: row for row in ROWS if row.module == "gov"}


def make(world: GovWorld, name: str) -> tuple[str, Any, list[tuple[str, int]]]:
    """(acting account, operation, all its signers) of an operation that succeeds, carol (weights 1, 1, 2) acting where she can."""
    carol = [("carol", 0), ("carol", 1), ("carol", 7)]
    number = world.totals().proposals
    if name in ("gov.deposit", "gov.cancel"):
        receipt = world.gov("carol", "propose", ops=(NOTHING,), title_hash=b"", deposit=300, expedited=0)
        assert receipt.code == 0
        if name == "gov.cancel":
            return "carol", call(name, proposal=number), carol
        return "carol", call(name, proposal=number, amount=5), carol
    if name == "gov.vote":
        world.propose()
        return "o0", call(name, proposal=number, weights=YES), [("o0", 0)]
    if name == "gov.execute":
        world.propose()
        world.vote_all(number)
        world.wait_until(world.proposal(number).due_s)
        world.wait_until(world.proposal(number).ready_s)
        return "carol", call(name, proposal=number), carol
    if name in ("gov.trip", "gov.reset"):
        world.make_committee("carol", "o0")
        fields = {"module": "asset", "function": "", "second": ADDRESS["o0"]}
        trip = call("gov.trip", until=world.now + 60, **fields)
        if name == "gov.reset":
            assert world.do("carol", trip, signers=[*carol, ("o0", 0)]).code == 0
        return "carol", trip if name == "gov.trip" else call(name, **fields), [*carol, ("o0", 0)]
    terms = {"members": tuple(sorted([(ADDRESS["carol"], 1), (ADDRESS["o0"], 1)])), "threshold": 2, "min_delay_s": 0}
    if name == "group.create":
        return "carol", call(name, **terms), carol
    group = world.make_group(("carol", 1), ("o0", 1), threshold=2)
    if name == "group.propose":
        return "carol", call(name, group=group, ops=(pay("bob", 1),), title_hash=b""), carol
    assert world.propose_in("o0", group, call("group.update", **terms)).code == 0
    if name == "group.execute":
        assert world.approve_in("carol", group, 0).code == 0
        return "carol", call(name, group=group, proposal=0), carol
    assert name == "group.approve"
    return "carol", call(name, group=group, proposal=0, on=1), carol


NOT_ALONE = ("group.update", "gov.propose")  # the first acts only inside a group's proposal, the second is an operand of the others
SIGNED = [name for name, row in ROWS_HERE.items() if name not in NOT_ALONE and (not row.is_governed or row.authorities)]


@pytest.mark.parametrize("name", SIGNED)
def test_each_signer_is_needed(name: str) -> None:
    world = GovWorld()
    account, operation, signers = make(world, name)
    row = ROWS_HERE[name]
    needed = {Level.LOW: 1, Level.MEDIUM: 2, Level.HIGH: 3}[row.level]
    weights = {("carol", 0): 1, ("carol", 1): 1, ("carol", 7): 2}
    for missing in signers:
        rest = [signer for signer in signers if signer != missing]
        whole = sum(weights.get(signer, 0) for signer in rest) >= needed if missing[0] == "carol" else False
        if missing[0] == "carol" and not whole:
            assert world.check(world.raw(account, operation, signers=rest)).code == Code.QUORUM_NOT_MET
        elif missing[0] != "carol":
            assert world.check(world.raw(account, operation, signers=rest)).code in (Code.QUORUM_NOT_MET, Code.MALFORMED)
    for key_id, weight in ((0, 1), (7, 2)):  # carol by one key alone
        if account == "carol" and weight < needed:
            only = [("carol", key_id), *[signer for signer in signers if signer[0] != "carol"]]
            assert world.check(world.raw(account, operation, signers=only)).code == Code.QUORUM_NOT_MET
    assert world.do(account, operation, signers=signers).code == 0


@pytest.mark.parametrize("name", [name for name, row in ROWS_HERE.items() if row.is_governed and not row.authorities])
def test_what_governance_decides_nobody_else_does(name: str) -> None:
    world = GovWorld()
    values: dict[str, Any] = {
        "group": "stake", "key": "jail_s", "value": "1", "kind": "validator", "identity": ADDRESS["o4"],
        "version": 2, "height": 1_000, "release": "", "build_hash": b"",
    }  # fmt: skip
    fields = {field: values[field] for field, _ in ROWS_HERE[name].fields}
    for account in ("alice", "carol", "o0"):
        assert world.do(account, call(name, **fields)).code == Code.NO_PERMISSION


def test_the_table_is_covered() -> None:
    governed = [name for name, row in ROWS_HERE.items() if row.is_governed and not row.authorities]
    assert sorted({*SIGNED, *governed, "group.update", "gov.propose"}) == sorted(ROWS_HERE)
    for row in ROWS_HERE.values():
        assert 140 <= row.code <= 159
