"""What misbehaviour costs, and that no stake which stood behind it gets away or pays twice."""

from __future__ import annotations

from dataclasses import replace

import pytest

from state.codes import Code
from state.invariants import check_action
from state.misbehavior import Misbehavior, MisbehaviorKind
from state.modules import unbonding
from state.modules.operation import TREASURY_ADDRESS, OpContext
from state.modules.slashing import slash
from state.primitives.limits import AMOUNT_MAX
from state.schema import HOLDING, SUPPLY
from state.schema_staking import STAKING_LETTERS, UNBONDING_QUEUE_KEY, pool_key, redelegation_key, unbonding_key
from state.view import View
from tests.state.ledger_world import ADDRESS
from tests.state.staking_world import BOND, STAKE, StakingWorld, address_of, register_op, rotate_op

LETTERS = STAKING_LETTERS | {HOLDING, SUPPLY}
HALF = replace(STAKE, slash_double_sign_ppm=500_000)


def slashed(world: StakingWorld) -> tuple[int, int, int]:
    """(bonded, unbonding, redelegated) of the last block's only slash."""
    (found,) = [fields for name, fields in world.events if name == "validator_slashed"]
    return int(found["bonded"]), int(found["unbonding"]), int(found["redelegated"])


def reasons(world: StakingWorld) -> list[str]:
    return [fields["reason"] for name, fields in world.events if name == "misbehavior_ignored"]


@pytest.mark.parametrize("kind", list(MisbehaviorKind))
def test_a_double_signer_loses_stake_and_never_returns(kind: MisbehaviorKind) -> None:
    world = StakingWorld()
    world.stake("alice", "delegate", validator="v1", amount=2_000)
    world.blocks(5)
    supply = world.supply()
    world.cheat("v1", 4, kind)
    world.blocks(1)
    assert slashed(world) == (600, 0, 0)
    assert (world.pool("v1").tokens, world.supply()) == (11_400, supply - 600)
    assert [name for name, _ in world.events] == ["validator_slashed", "validator_jailed", "validator_tombstoned"]
    assert world.sets[2].by_address(address_of("v1")) is None
    world.blocks(2)
    assert world.voters().by_address(address_of("v1")) is None
    assert world.stake("o1", "unjail", validator="v1").code == Code.TOMBSTONED
    assert world.stake("alice", "delegate", validator="v1", amount=1).code == Code.TOMBSTONED
    assert world.stake("alice", "redelegate", source="v0", destination="v1", amount=1).code == Code.TOMBSTONED
    assert world.do("o1", register_op("v1b")).code == Code.TOMBSTONED
    assert world.do("o1", rotate_op("v1", "v1b")).code == Code.TOMBSTONED
    world.admit("o4")
    assert world.do("o4", register_op("v1")).code == Code.TOMBSTONED
    assert world.stake("alice", "undelegate", validator="v1", amount=1_900).code == Code.OK  # what is left may leave
    assert world.delegation("v1", "alice") is None
    world.audit()


def test_one_tombstone_however_often_it_is_proved() -> None:
    world = StakingWorld()
    world.blocks(5)
    world.cheat("v1", 4)
    world.cheat("v1", 3)
    world.cheats = (*world.cheats, world.cheats[0])
    world.blocks(1)
    assert slashed(world) == (500, 0, 0)
    assert reasons(world) == ["tombstoned", "tombstoned"]
    world.cheat("v1", 2)
    world.blocks(1)
    assert reasons(world) == ["tombstoned"]
    world.cheats = (Misbehavior(MisbehaviorKind.DOUBLE_VOTE, b"?" * 20, 1, 1, 1, 1),)
    world.blocks(1)
    assert reasons(world) == ["unknown validator"]
    world.audit()


def test_evidence_is_too_old_only_when_both_ages_are_exceeded() -> None:
    def ages(blocks: int, seconds: int) -> list[str]:
        world = StakingWorld()
        world.blocks(60)
        height = world.height + 1 - blocks
        time_ns = (world.now - seconds) * 1_000_000_000
        world.cheats = (Misbehavior(MisbehaviorKind.DOUBLE_VOTE, address_of("v1"), height, time_ns, 10, 40),)
        world.blocks(1)
        return reasons(world)

    assert ages(50, 50) == ages(51, 50) == ages(50, 51) == []
    assert ages(51, 51) == ["too old"]


def test_stake_in_flight_is_slashed_by_what_it_was() -> None:
    world = StakingWorld(HALF)
    world.stake("alice", "delegate", validator="v0", amount=4_000)  # height 1
    world.stake("alice", "undelegate", validator="v0", amount=100)  # 2: gone from the power at 4
    world.stake("alice", "undelegate", validator="v0", amount=200)  # 3: still votes at 4
    world.stake("alice", "redelegate", source="v0", destination="v1", amount=400)  # 4
    world.stake("alice", "redelegate", source="v0", destination="v2", amount=600)  # 5
    world.stake("alice", "undelegate", validator="v2", amount=500)  # 6
    assert world.height == 6
    world.cheat("v0", 4)
    world.blocks(1)
    # the pool: half of 10,000 + 2,700; unbonding: half of 200; moved: half of 400 from v1, of 600 from the entry at v2
    assert slashed(world) == (6_350, 100, 500)
    assert [entry.balance for entry in world.unbondings("v0", "alice")] == [100, 100]
    assert [entry.balance for entry in world.unbondings("v2", "alice")] == [200]
    assert (world.pool("v1").tokens, world.pool("v2").tokens) == (BOND + 200, BOND + 100)
    assert [entry.balance for entry in world.redelegations("v0", "v1", "alice")] == [200]
    world.audit()


def test_redelegate_then_unbond_pays_once() -> None:
    """cosmos-sdk #20688: the moved stake was charged in the pool and again in the unbonding."""
    world = StakingWorld(HALF)
    world.stake("alice", "delegate", validator="v0", amount=1_000)
    world.stake("alice", "redelegate", source="v0", destination="v1", amount=1_000)
    world.stake("alice", "undelegate", validator="v1", amount=800)
    world.cheat("v0", 2)
    world.blocks(1)
    assert slashed(world) == (5_000, 0, 500)
    assert world.unbondings("v1", "alice")[0].balance == 300
    assert world.pool("v1").tokens == BOND + 200
    world.audit()


def test_redelegated_stake_does_not_hide_in_an_unbonding() -> None:
    """GHSA-86h5-xcpx-cfqc: redelegate, unbond all of it, and nothing was left in the pool to take."""
    world = StakingWorld(HALF)
    world.stake("alice", "delegate", validator="v0", amount=1_000)
    world.stake("alice", "redelegate", source="v0", destination="v1", amount=1_000)
    for amount in (300, 700):
        world.stake("alice", "undelegate", validator="v1", amount=amount)
    assert world.delegation("v1", "alice") is None
    world.cheat("v0", 2)
    world.blocks(1)
    assert slashed(world) == (5_000, 0, 500)
    assert [entry.balance for entry in world.unbondings("v1", "alice")] == [0, 500]
    world.audit()


def test_an_unbonding_that_was_there_before_the_redelegation_is_left_alone() -> None:
    world = StakingWorld(HALF)
    world.stake("alice", "delegate", validator="v1", amount=1_000)
    world.stake("alice", "undelegate", validator="v1", amount=1_000)
    world.stake("alice", "delegate", validator="v0", amount=1_000)
    world.stake("alice", "redelegate", source="v0", destination="v1", amount=1_000)
    world.cheat("v0", 4)
    world.blocks(1)
    assert slashed(world) == (5_000, 0, 500)
    assert world.unbondings("v1", "alice")[0].balance == 1_000
    world.audit()


def test_a_due_entry_is_not_slashed_even_if_the_sweep_is_late() -> None:
    world = StakingWorld(HALF)
    world.stake("alice", "delegate", validator="v0", amount=1_000)
    world.stake("alice", "undelegate", validator="v0", amount=400)
    world.stake("alice", "delegate", validator="v0", amount=400)
    world.stake("alice", "redelegate", source="v0", destination="v1", amount=400)
    world.now = world.redelegations("v0", "v1", "alice")[0].until_s
    world.cheats = (Misbehavior(MisbehaviorKind.DOUBLE_VOTE, address_of("v0"), 2, (world.now - 1) * 10**9, 10, 40),)
    world.blocks(1)  # evidence comes first in the block, the sweep last
    assert slashed(world) == (5_300, 0, 0)
    assert world.balance("alice") == 1_000_000 - 1_000 - 400 + 400
    world.audit()


def test_each_slash_is_of_the_initial_amount_and_takes_at_most_what_is_left() -> None:
    world = StakingWorld()
    world.stake("alice", "delegate", validator="v0", amount=2_000)
    world.stake("alice", "undelegate", validator="v0", amount=1_000)
    world.stake("alice", "redelegate", source="v0", destination="v1", amount=1_000)
    view = View(world.db)
    context = OpContext(view, world.height + 1, world.now, ())
    left = []
    for _ in range(4):
        slash(context, STAKE, address_of("v0"), 3, world.now - 1, 400_000, "test")
        (out,) = view.get(unbonding_key(address_of("v0"), ADDRESS["alice"]))
        (moved,) = view.get(redelegation_key(address_of("v0"), address_of("v1"), ADDRESS["alice"]))
        left.append((out.balance, moved.balance, view.get(pool_key(address_of("v1"))).tokens - BOND))
        assert check_action(view, 0, LETTERS) == ""
    assert left == [(600, 600, 600), (200, 200, 200), (0, 0, 0), (0, 0, 0)]
    taken = [event.values[5:] for event in context.events]
    assert taken == [(4_000, 400, 400), (2_400, 400, 400), (1_440, 200, 200), (864, 0, 0)]


def test_a_cancelled_unbonding_is_slashed_with_the_pool() -> None:
    world = StakingWorld(HALF)
    world.stake("alice", "delegate", validator="v0", amount=1_000)
    world.stake("alice", "undelegate", validator="v0", amount=1_000)
    world.stake("alice", "cancel_unbond", validator="v0", entry=0)
    world.cheat("v0", 3)
    world.blocks(1)
    assert slashed(world) == (5_500, 0, 0)
    world.audit()


def test_evidence_against_an_old_key_finds_its_validator() -> None:
    world = StakingWorld()
    world.blocks(3)
    assert world.do("o1", rotate_op("v1", "v1b")).code == Code.OK
    world.blocks(3)
    world.cheat("v1", 3)
    world.blocks(1)
    assert slashed(world) == (500, 0, 0)
    assert world.sets[2].by_address(address_of("v1b")) is None
    world.cheat("v1b", 7)
    world.blocks(1)
    assert reasons(world) == ["tombstoned"]


def test_what_is_slashed_may_go_to_the_treasury() -> None:
    world = StakingWorld(replace(STAKE, slash_burns=False))
    world.blocks(3)
    supply = world.supply()
    world.cheat("v1", 2)
    world.blocks(1)
    assert (world.supply(), world.balance(TREASURY_ADDRESS)) == (supply, 500)
    world.audit()


def test_slashed_to_nothing() -> None:
    world = StakingWorld(replace(STAKE, slash_downtime_ppm=1_000_000, downtime_window=2))
    world.stake("alice", "delegate", validator="v1", amount=1_000)
    world.absent = {"v1"}
    world.blocks(2)
    assert (world.pool("v1").tokens, world.pool("v1").shares) == (0, 11_000)
    assert world.stake("alice", "delegate", validator="v1", amount=1).code == Code.ASSERT_FAILED
    assert world.stake("alice", "undelegate", validator="v1", amount=1).code == Code.INSUFFICIENT_FUNDS
    world.audit()


def test_the_last_validator_stays() -> None:
    """A set is never empty: the chain could not even record why."""
    world = StakingWorld(bonds=(BOND,))
    world.blocks(3)
    world.cheat("v0", 2)
    world.blocks(3)
    assert world.pool("v0").is_tombstoned
    assert [v.power for v in world.voters().validators] == [10]
    world.admit("o4")
    world.do("o4", register_op("v4", 5_000))
    world.blocks(12)
    assert [v.address for v in world.voters().validators] == [address_of("v4")]
    world.audit()


def test_power_that_could_not_leave_at_once_keeps_its_stake_at_risk() -> None:
    """More than a third of the power leaves: it votes on for some blocks, and what was behind it can be slashed for them."""
    world = StakingWorld(HALF, (20_000, BOND, BOND))
    assert world.stake("o0", "undelegate", validator="v0", amount=20_000).code == Code.OK  # height 1
    assert world.sets[2].total_power == 27  # a third of 40 in this block
    world.blocks(1)
    voter = world.voters().by_address(address_of("v0"))
    assert voter is not None and voter.power == 7  # at height 3, though its stake left at height 1
    world.blocks(3)
    assert world.voters().by_address(address_of("v0")) is None
    world.cheat("v0", 3)
    world.blocks(1)
    assert slashed(world) == (0, 10_000, 0)
    assert world.pool("v0").lag_until == 2
    world.audit()


def test_amounts_of_any_size() -> None:
    whole = AMOUNT_MAX // 16
    stake = replace(HALF, power_unit=1 << 600, bond_min=1)
    world = StakingWorld(stake, (1 << 610,) * 4, holding=whole)
    assert world.stake("alice", "delegate", validator="v0", amount=whole).code == Code.OK
    assert world.stake("alice", "undelegate", validator="v0", amount=whole - 1).code == Code.OK
    world.cheat("v0", 2)
    world.blocks(1)
    assert slashed(world) == (((1 << 610) + 1) // 2, (whole - 1) // 2, 0)
    world.audit()




def test_a_late_sweep_has_no_economic_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    """I31: one entry per block is swept; the others are due all the same."""
    monkeypatch.setattr(unbonding, "SWEEP_ENTRIES_MAX", 1)
    world = StakingWorld(HALF)
    for account in ("alice", "bob", "carol"):
        world.stake(account, "delegate", validator="v0", amount=1_000)
        world.stake(account, "undelegate", validator="v0", amount=1_000)
    world.now += 100
    world.cheats = (Misbehavior(MisbehaviorKind.DOUBLE_VOTE, address_of("v0"), 2, (world.now - 1) * 10**9, 10, 40),)
    world.blocks(1)
    assert slashed(world) == (5_000, 0, 0)
    assert [world.balance(name) for name in ("alice", "bob", "carol")] == [1_000_000, 999_000, 999_000]
    assert world.stake("carol", "claim", validator="v0").code == Code.OK  # and bob's is swept in the same block
    assert [world.balance(name) for name in ("alice", "bob", "carol")] == [1_000_000] * 3
    world.blocks(2)
    assert world.read(UNBONDING_QUEUE_KEY) == (3, 3)
    world.audit()
