"""Reads of governance: every record has a path and a JSON form; overviews say what the records say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from state.codes import Code
from state.paths import resolve_path
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address
from state.queries import describe_record
from state.queries_gov import get_group, get_group_proposal, get_overview, get_proposal, get_proposals
from state.schema import decode_record, encode_record
from state.transaction import call
from tests.state.gov_world import NO, YES, GovWorld, op, set_param
from tests.state.ledger_world import ADDRESS, pay

ALICE = format_address(ADDRESS["alice"])


@pytest.fixture(scope="module")
def world() -> GovWorld:
    """A proposal in each phase, a group with an open proposal, a committee, an admitted node, a planned rule set, a tripped breaker."""
    world = GovWorld()
    world.make_committee("o0", "o1")  # proposal 0
    world.pass_proposal(
        op("gov.admit", kind="node", identity=bytes(20)),
        op("gov.upgrade", version=2, height=10_000, release="second", build_hash=b"h" * 32),
        op("gov.trip", module="amm", function="amm.swap_in", until=0, second=b""),
    )
    world.pass_proposal(set_param("stake", "jail_s", 10), set_param("stake", "jail_s", -1))
    number = world.propose(op("amm.collect", pool="EUR/QNX"))
    world.vote("o0", number, YES)
    world.vote("o1", number, (500_000, 250_000, 250_000, 0))
    world.propose_in("o0", world.make_group(("o0", 1), ("alice", 2), threshold=3), pay("bob", 5))
    return world


PATHS = (
    ("/proposal/3", "status", "voting"),
    ("/voters/3", "proposal", "3"),
    (f"/vote/3/{format_address(ADDRESS['o1'])}", "abstain_ppm", 250_000),
    ("/governance", "proposals", "4"),
    ("/proposals", "open", None),
    ("/upgrades", "rule_sets", [{"version": 2, "height": "10000", "release": "second", "build_hash": (b"h" * 32).hex()}]),
    ("/breakers", "breakers", None),
    ("/params/gov", "threshold_ppm", 500_000),
    ("/nodes", "nodes", ["00" * 20]),
    ("/admission/node/" + "00" * 20, "kind", "node"),
    (f"/admission/validator/{format_address(ADDRESS['o0'])}", "since", "0"),
)


@pytest.mark.parametrize(("path", "name", "value"), PATHS)
def test_records_have_paths_and_a_json_form(world: GovWorld, path: str, name: str, value: Any) -> None:
    key = resolve_path(path)
    shown = describe_record(key, world.db[key])
    assert name in shown and (value is None or shown[name] == value)
    json.dumps(shown)


@pytest.mark.parametrize(
    "path", ["/proposal/x", "/proposal/-1", "/vote/1/x", "/admission/node/zz", "/admission/thing/00", "/group/x", "/voters/" + "9" * 20]
)
def test_wrong_paths(path: str) -> None:
    with pytest.raises(MalformedError):
        resolve_path(path)


def test_every_record_can_be_described_and_is_stored_in_one_form(world: GovWorld) -> None:
    for key, raw in world.db.items():
        if key[1:2] in b"gGoONb":
            json.dumps(describe_record(key, raw))
            assert encode_record(key, decode_record(key, raw)) == raw


def test_a_proposal_with_its_votes(world: GovWorld) -> None:
    found: Any = get_proposal(world.db, 3)
    assert (found["status"], found["ops"]) == ("voting", [{"op": "amm.collect", "pool": "EUR/QNX"}])
    assert found["deposits"] == [{"account": ALICE, "amount": "1000"}]
    assert [(vote["power"], vote["yes_ppm"]) for vote in sorted(found["votes"], key=lambda v: -v["yes_ppm"])] == [
        ("10", 1_000_000),
        ("10", 500_000),
    ]
    assert (found["vote"]["yes"], found["vote"]["turnout_ppm"], found["vote"]["would"]) == ("15000000", 500_000, "passed")
    assert found["vote"]["yes_ppm"] == 15_000_000 * 1_000_000 // 17_500_000
    assert get_proposal(world.db, 9) is None
    failed: Any = get_proposal(world.db, 2)
    assert failed["failure"] == {"code": 1107, "code_name": "PARAM_OUT_OF_RANGE", "operation": 1}


def test_lists(world: GovWorld) -> None:
    assert [row["status"] for row in get_proposals(world.db, 0, 10)] == ["executed", "executed", "failed", "voting"]
    assert [row["proposal"] for row in get_proposals(world.db, 1, 2)] == ["1", "2"]
    assert get_proposals({}, 0, 10) == []
    overview: Any = get_overview(world.db)
    assert overview["open"] == [{"due": world.proposal(3).due_s, "proposal": "3"}]
    assert [row["function"] for row in overview["breakers"]] == ["amm.swap_in"]
    assert overview["totals"]["held"] == "1000"
    empty: Any = get_overview({})
    assert (empty["open"], empty["breakers"], empty["rule_sets"]) == ([], [], [])


def test_groups(world: GovWorld) -> None:
    from state.modules.groups import group_address

    group = group_address(1)
    found: Any = get_group(world.db, group)
    assert (found["threshold"], [m["weight"] for m in found["members"]].count(2)) == (3, 1)
    assert [(row["status"], row["ops"][0]["op"], len(row["approvals"])) for row in found["open"]] == [("open", "asset.transfer", 1)]
    assert get_group(world.db, ADDRESS["alice"]) is None
    assert (get_group_proposal(world.db, group, 0) or {})["group"] == format_address(group)
    assert get_group_proposal(world.db, group, 1) is None


def test_a_record_that_is_the_machines_own_has_no_form(world: GovWorld) -> None:
    from state.schema_gov import STAGED_KEY

    with pytest.raises(MalformedError):
        describe_record(STAGED_KEY, encode_record(STAGED_KEY, (("stake", ()),)))


def test_operations_that_are_no_more_are_shown_by_number(world: GovWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    from state.modules.table import OPERATIONS

    monkeypatch.delitem(OPERATIONS, 111)
    found: Any = get_proposal(world.db, 3)
    assert found["ops"] == [{"op": "111"}]


def test_a_vote_against_shows_what_it_would_come_to(world: GovWorld) -> None:
    copy = GovWorld()
    number = copy.propose()
    found: Any = get_proposal(copy.db, number)
    assert (found["vote"]["would"], found["vote"]["yes_ppm"]) == ("rejected", 0)
    assert copy.vote("o0", number, NO) == 0
    assert copy.do("alice", call("gov.cancel", proposal=number)).code == Code.OK
