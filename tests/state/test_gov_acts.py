"""What governance decides: admissions, rule sets at a height, breakers of the emergency committee and their end."""

from __future__ import annotations

import pytest

from state import upgrades
from state.breakers import Breaker
from state.codes import Code
from state.machine import apply_block
from state.params import ConsensusParams
from state.primitives.errors import UpgradeRequiredError
from state.primitives.ids import format_address
from state.primitives.limits import BREAKER_REST_S, BREAKER_S_MAX, UPGRADE_NOTICE_BLOCKS_MIN
from state.schema import (
    ADMIT_NODE,
    ADMIT_VALIDATOR,
    BREAKERS_KEY,
    CONSENSUS_PARAMS_KEY,
    NODES_KEY,
    admission_key,
    encode_record,
)
from state.schema_gov import UPGRADES_KEY, Status
from state.transaction import call
from tests.state.gov_world import GovWorld, op, set_param
from tests.state.ledger_world import ADDRESS, pay
from tests.state.staking_world import address_of, register_op

NODE = bytes(range(20))


@pytest.fixture
def world() -> GovWorld:
    return GovWorld()


def act(world: GovWorld, *ops: object) -> int:
    """A proposal, executed; the code of the failing operation or 0."""
    done = world.pass_proposal(*ops, expedited=1)
    assert (done.status == Status.EXECUTED) == (done.code == 0)
    return done.code


# admissions


def test_an_admitted_owner_registers_and_joins_the_set(world: GovWorld) -> None:
    assert world.do("o4", register_op("v4")).code == Code.NO_PERMISSION
    admit = op("gov.admit", kind="validator", identity=ADDRESS["o4"])
    assert act(world, admit) == 0
    assert act(world, admit) == Code.ASSERT_FAILED
    assert act(world, op("gov.admit", kind="validator", identity=bytes(32))) == Code.ACCOUNT_NOT_FOUND
    assert world.do("o4", register_op("v4")).code == 0
    world.blocks(3)
    assert world.voters().by_address(address_of("v4")) is not None
    number = world.propose()
    assert world.vote("o4", number) == 0
    world.audit()


def test_a_removed_owner_leaves_the_set_and_keeps_the_stake(world: GovWorld) -> None:
    remove = op("gov.remove", kind="validator", identity=ADDRESS["o3"])
    assert act(world, remove) == 0
    world.blocks(6)
    assert world.voters().by_address(address_of("v3")) is None
    assert [v.power for v in world.voters().validators] == [10, 10, 10]
    assert world.pool("v3").tokens == 10_000
    assert act(world, remove) == Code.ASSERT_FAILED
    assert world.vote("o3", world.propose()) == Code.NOT_A_VOTER
    assert world.stake("o3", "undelegate", validator="v3", amount=10_000).code == 0
    world.audit()


def test_the_set_is_never_emptied(world: GovWorld) -> None:
    removals = [op("gov.remove", kind="validator", identity=ADDRESS[f"o{i}"]) for i in range(4)]
    assert act(world, *removals) == Code.ASSERT_FAILED
    assert act(world, *removals[:3]) == 0
    world.blocks(20)
    assert [v.address for v in world.voters().validators] == [address_of("v3")]
    assert world.propose() >= 0
    world.audit()


def test_nodes_are_admitted_and_removed_and_one_stays(world: GovWorld) -> None:
    admit, remove = (op(f"gov.{verb}", kind="node", identity=NODE) for verb in ("admit", "remove"))
    assert act(world, remove) == Code.ASSERT_FAILED
    assert act(world, admit) == 0
    assert world.read(NODES_KEY) == (NODE,)
    assert world.read(admission_key(ADMIT_NODE, NODE))[0] > 0
    assert act(world, admit) == Code.ASSERT_FAILED
    assert act(world, remove) == Code.ASSERT_FAILED  # the last one
    other = op("gov.admit", kind="node", identity=bytes(20))
    assert act(world, other, remove) == 0
    assert world.read(NODES_KEY) == (bytes(20),)
    assert world.read(admission_key(ADMIT_NODE, NODE)) is None


def test_nodes_are_bounded(world: GovWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("state.modules.gov_acts.ADMITTED_NODES_MAX", 1)
    first, second = (op("gov.admit", kind="node", identity=bytes([i]) * 20) for i in (1, 2))
    assert act(world, first) == 0
    assert act(world, second) == Code.ASSERT_FAILED


@pytest.mark.parametrize("row", ["set_param", "admit", "remove", "upgrade"])
def test_nobody_but_governance_decides(world: GovWorld, row: str) -> None:
    fields: dict[str, dict[str, object]] = {
        "set_param": {"group": "stake", "key": "jail_s", "value": "1"},
        "admit": {"kind": "validator", "identity": ADDRESS["o4"]},
        "remove": {"kind": "validator", "identity": ADDRESS["o3"]},
        "upgrade": {"version": 2, "height": 1_000, "release": "", "build_hash": b""},
    }
    before = dict(world.db)
    assert world.gov("o0", row, **fields[row]).code == Code.NO_PERMISSION
    assert {key for key in world.db if world.db[key] != before.get(key)} <= {b" n" + ADDRESS["o0"], b" f"}


# rule sets


def plan(world: GovWorld, version: int, ahead: int, *, height: int | None = None) -> object:
    at = world.height + ahead if height is None else height
    return op("gov.upgrade", version=version, height=at, release="second", build_hash=b"h" * 32)


def test_a_rule_set_begins_at_its_height_for_software_that_knows_it(world: GovWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    assert act(world, plan(world, 2, 60)) == 0
    height = world.read(UPGRADES_KEY)[0][1]
    while world.height < height - 1:
        world.blocks(1)
        assert ConsensusParams.from_record(world.read(CONSENSUS_PARAMS_KEY)).app_version == (2 if world.height == height - 1 else 1)
    assert world.last is not None and world.last.params is not None and world.last.params.app_version == 2
    assert [name for name, _ in world.events] == ["rules_began"]
    with pytest.raises(UpgradeRequiredError, match="rule set 2"):
        apply_block(world.db, world.context(), ())
    with pytest.raises(UpgradeRequiredError):
        world.check(world.raw("alice", pay("bob")))
    monkeypatch.setattr(upgrades, "VERSION_MAX", 2)
    assert world.do("alice", pay("bob")).code == 0
    assert act(world, plan(world, 3, 100)) == 0


def test_a_planned_rule_set_can_be_moved_and_withdrawn(world: GovWorld) -> None:
    assert act(world, plan(world, 2, 500)) == 0
    assert act(world, plan(world, 2, 700)) == 0
    assert len(world.read(UPGRADES_KEY)) == 1
    assert act(world, plan(world, 2, 0, height=0)) == 0
    assert world.read(UPGRADES_KEY) is None


@pytest.mark.parametrize(("version", "ahead"), [(1, 500), (3, 500), (2, 0)])
def test_a_rule_set_is_the_next_one_and_announced_in_time(world: GovWorld, version: int, ahead: int) -> None:
    number = world.propose(plan(world, version, ahead) if ahead else plan(world, version, 12))
    world.vote_all(number)
    world.wait_until(world.proposal(number).due_s)
    world.wait_until(world.proposal(number).ready_s)
    world.execute(number)
    # 12 blocks ahead when it was proposed are fewer than it takes by now
    assert UPGRADE_NOTICE_BLOCKS_MIN == 10
    assert world.proposal(number).code == Code.PARAM_OUT_OF_RANGE


# breakers


def trip(world: GovWorld, account: str, second: str, module: str = "asset", function: str = "", after: int = 600) -> int:
    fields = {"module": module, "function": function, "until": world.now + after, "second": ADDRESS[second]}
    signers = [(name, 0) for name in {account, second}]
    return int(world.do(account, call("gov.trip", **fields), signers=signers).code)


def reset(world: GovWorld, account: str, second: str, module: str = "asset", function: str = "") -> int:
    fields = {"module": module, "function": function, "second": ADDRESS[second]}
    return int(world.do(account, call("gov.reset", **fields), signers=[(account, 0), (second, 0)]).code)


@pytest.fixture
def guarded(world: GovWorld) -> GovWorld:
    world.make_committee("o0", "o1", "bob")
    return world


def test_two_members_stop_a_module_for_a_while(guarded: GovWorld) -> None:
    world = guarded
    assert trip(world, "o0", "bob") == 0
    assert world.do("alice", pay("bob")).code == Code.MODULE_PAUSED
    assert world.stake("alice", "delegate", validator="v0", amount=5).code == 0
    world.now += 600
    assert world.do("alice", pay("bob")).code == 0
    # and not the same again at once
    assert trip(world, "o0", "o1") == Code.TOO_EARLY
    world.now += BREAKER_REST_S
    assert trip(world, "o0", "o1") == 0


def test_a_single_operation_can_be_stopped(guarded: GovWorld) -> None:
    world = guarded
    assert trip(world, "o0", "o1", function="asset.transfer") == 0
    assert world.do("alice", pay("bob")).code == Code.MODULE_PAUSED
    assert world.do("bank", call("asset.burn", asset="QNX", amount=1)).code == 0
    assert reset(world, "o1", "bob", function="asset.transfer") == 0
    assert world.do("alice", pay("bob")).code == 0


def test_who_may_trip_and_what(guarded: GovWorld) -> None:
    world = guarded
    world.do("alice", pay("poor", 50))
    for account, second, code in (
        ("alice", "o0", Code.NO_PERMISSION),
        ("o0", "alice", Code.NO_PERMISSION),
        ("alice", "bank", Code.NO_PERMISSION),
    ):
        assert trip(world, account, second) == code
    own = call("gov.trip", module="asset", function="", until=world.now + 5, second=ADDRESS["o0"])
    assert world.do("o0", own).code == Code.NO_PERMISSION  # twice the same
    alone = call("gov.trip", module="asset", function="", until=world.now + 5, second=b"")
    assert world.do("o0", alone).code == Code.NO_PERMISSION
    for options in (
        {"module": "gov"},
        {"module": "nothing"},
        {"function": "stake.claim"},
        {"after": 0},
        {"after": BREAKER_S_MAX + 1},
    ):
        assert trip(world, "o0", "o1", **options) == Code.PARAM_OUT_OF_RANGE  # type: ignore[arg-type]
    assert trip(world, "o0", "o1", after=BREAKER_S_MAX) == 0
    assert trip(world, "o0", "o1") == Code.ASSERT_FAILED
    assert reset(world, "alice", "bank") == Code.NO_PERMISSION
    assert reset(world, "o0", "o1") == 0
    assert reset(world, "o0", "o1") == Code.ASSERT_FAILED


def test_the_second_member_must_sign(guarded: GovWorld) -> None:
    raw = guarded.raw("o0", call("gov.trip", module="asset", function="", until=guarded.now + 5, second=ADDRESS["o1"]))
    assert guarded.check(raw).code == Code.QUORUM_NOT_MET


def test_governance_makes_it_last_and_ends_it(guarded: GovWorld) -> None:
    world = guarded
    assert trip(world, "o0", "o1", after=BREAKER_S_MAX) == 0
    ratify = op("gov.trip", module="asset", function="", until=0, second=b"")
    assert act(world, ratify) == 0
    world.now += 2 * BREAKER_S_MAX
    assert world.do("alice", pay("bob")).code == Code.MODULE_PAUSED
    assert reset(world, "o0", "o1") == Code.NO_PERMISSION
    assert trip(world, "o0", "o1") == Code.ASSERT_FAILED
    assert act(world, op("gov.reset", module="asset", function="", second=b"")) == 0
    assert world.do("alice", pay("bob")).code == 0
    assert act(world, op("gov.reset", module="asset", function="", second=b"")) == Code.ASSERT_FAILED


def test_what_governance_ends_the_committee_does_not_trip_at_once(guarded: GovWorld) -> None:
    world = guarded
    assert trip(world, "o0", "o1", after=BREAKER_S_MAX) == 0
    assert act(world, op("gov.reset", module="asset", function="", second=b"")) == 0
    assert trip(world, "o0", "o1") == Code.TOO_EARLY


def test_without_a_committee_nobody_trips(world: GovWorld) -> None:
    assert trip(world, "o0", "o1") == Code.NO_PERMISSION


def test_the_breaker_of_governance_itself_ends_alone(world: GovWorld) -> None:
    broken = Breaker("gov", 1, 142, "", world.now + BREAKER_S_MAX, False)
    world.db[BREAKERS_KEY] = encode_record(BREAKERS_KEY, (tuple(broken),))
    assert world.gov("o0", "vote", proposal=0, weights=(10**6, 0, 0, 0)).code == Code.MODULE_PAUSED
    world.now += BREAKER_S_MAX
    assert world.gov("o0", "vote", proposal=0, weights=(10**6, 0, 0, 0)).code == Code.PROPOSAL_NOT_FOUND
    assert world.read(BREAKERS_KEY) is None


def test_a_committee_must_be_a_group(world: GovWorld) -> None:
    assert act(world, set_param("gov", "emergency_group", format_address(ADDRESS["alice"]))) == Code.PARAM_OUT_OF_RANGE
    world.make_committee("o0", "o1")
    assert act(world, set_param("gov", "emergency_group", "")) == 0
    assert trip(world, "o0", "o1") == Code.NO_PERMISSION


def test_genesis_validators_are_admitted() -> None:
    world = GovWorld()
    assert world.read(admission_key(ADMIT_VALIDATOR, ADDRESS["o0"])) == (0,)
