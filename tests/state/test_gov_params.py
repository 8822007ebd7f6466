"""Every governed parameter at its boundaries, past its activation: blocks go on, transfers and stakes work, governance can take it back."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from state import params as params_module
from state.codes import Code
from state.modules.gov_params import FIXED, GROUPS, NARROW
from state.params import AccountParams, ConsensusParams, FeeParams, StakeParams
from state.params_gov import GOV_RANGES, GovParams
from state.primitives.limits import AMOUNT_MAX, FEE_SUPPLY_DIVISOR, GOV_SUPPLY_DIVISOR
from state.schema import CONSENSUS_PARAMS_KEY, decode_record
from state.schema_gov import STAGED_KEY, Status
from tests.state.gov_world import GOV, GovWorld, set_param
from tests.state.ledger_world import pay

RANGES: dict[str, dict[str, tuple[int, int]]] = {
    "consensus": params_module._PARAM_RANGES,
    "stake": params_module._STAKE_RANGES,
    "gov": GOV_RANGES,
}
ODD = ("", "x", "-1", "01", "1.5", "true", "1" * 194, str(AMOUNT_MAX + 1))


def edges() -> list[tuple[str, str, str]]:
    """(group, key, value) at the ends of every range, one beyond them, and what other kinds of values there are."""
    found: list[tuple[str, str, str]] = []
    for group, ranges in RANGES.items():
        for key, (low, high) in ranges.items():
            if low is False:
                found += [(group, key, "false"), (group, key, "true"), (group, key, "1")]
                continue
            narrow_low, narrow_high = NARROW.get((group, key), (low, high))
            values = {low, high, low - 1, high + 1, narrow_low, narrow_low - 1, min(high, narrow_high), min(high, narrow_high) + 1}
            found += [(group, key, str(value)) for value in sorted(values)]
    for key in ("power_unit", "bond_min"):
        found += [("stake", key, str(value)) for value in (0, 1, 10_000, AMOUNT_MAX, AMOUNT_MAX + 1)]
    found += [("gov", "deposit_min", str(value)) for value in (0, 1, AMOUNT_MAX)]
    found += [("fees", key, str(value)) for key in ("base_default", "per_signature", "per_byte") for value in (0, AMOUNT_MAX)]
    found += [("fees", "free_bytes", str(value)) for value in (0, 1 << 32, (1 << 32) + 1)]
    found += [("fees", "base/gov.vote", str(value)) for value in (0, AMOUNT_MAX)]
    found += [("consensus", "vote_key_kind", name) for name in ("mldsa87", "mldsa65", "mldsa44", "ed25519", "nothing")]
    found += [("accounts", "key_kinds", names) for names in ("ed25519", "mldsa87", "hybrid,ed25519", "", "ed25519,ed448")]
    return found


def check_alive(world: GovWorld) -> None:
    """Blocks, a transfer, a delegation, an unbonding; then a proposal from its deposit to its execution."""
    for _ in range(5):
        world.blocks(1)
        assert world.do("alice", pay("bob"), max_fee=10**6).code == 0
        receipt = world.stake("alice", "delegate", validator="v0", amount=10)
        assert receipt.code in (0, Code.OVERFLOW_MAX), receipt
    receipt = world.stake("alice", "undelegate", validator="v0", amount=1)
    assert receipt.code in (0, Code.UNBONDING_LIMIT, Code.INSUFFICIENT_FUNDS), receipt
    world.audit()


def govern(world: GovWorld, *ops: Any) -> int:
    """A normal proposal with whatever deposit is needed now; the code of its execution."""
    deposit = GovParams.from_record(world.read(b" pgov")).deposit_min
    number = world.propose(*ops, account="carol", deposit=deposit)
    world.vote_all(number)
    world.wait_until(world.proposal(number).due_s)
    world.wait_until(world.proposal(number).ready_s)
    assert world.execute(number, "carol").code == 0
    world.blocks(1)
    record = world.proposal(number)
    assert record.status in (Status.EXECUTED, Status.FAILED)
    return record.code


def current(world: GovWorld, group: str, key: str) -> str:
    """The value of a parameter as a proposal writes it."""
    record, form = GROUPS[group]
    value = getattr(form.from_record(world.read(record)), key.partition("/")[0])
    if key.startswith("base/"):
        return ""
    if key == "vote_key_kind":
        return "mldsa87"
    if key == "key_kinds":
        return "ed25519,mldsa87,hybrid"
    return str(value).lower() if type(value) is bool else str(value)


@pytest.mark.parametrize(("group", "key", "value"), edges(), ids=lambda text: str(text)[:24])
def test_a_value_is_refused_or_the_chain_and_governance_go_on(group: str, key: str, value: str) -> None:
    world = GovWorld(holding=10**9)
    before, old = world.read(GROUPS[group][0]), current(world, group, key)
    code = govern(world, set_param(group, key, value))
    if code:
        assert code == Code.PARAM_OUT_OF_RANGE
        assert world.read(GROUPS[group][0]) == before
        return
    assert (group, key) not in FIXED
    check_alive(world)
    if old != value:
        # back again, unless the old value is one that only a genesis document may have
        assert govern(world, set_param(group, key, old)) in (0, Code.PARAM_OUT_OF_RANGE)
    check_alive(world)


@pytest.mark.parametrize("group", RANGES)
@pytest.mark.parametrize("end", [0, 1])
def test_all_parameters_of_a_group_at_one_end_together(group: str, end: int) -> None:
    world = GovWorld(holding=10**9)
    for key, (low, high) in RANGES[group].items():
        narrow = NARROW.get((group, key), (low, high))
        value = (max(low, narrow[0]), min(high, narrow[1]))[end]
        if (group, key) in FIXED or key == "vote_key_kind":
            continue
        govern(world, set_param(group, key, bool(value) if low is False else value))
        world.blocks(3)
    check_alive(world)
    assert govern(world, set_param("stake", "jail_s", 77)) == 0


@pytest.mark.parametrize(
    ("group", "key"), [("consensus", "block_txs_max"), ("stake", "jail_s"), ("gov", "delay_s"), ("fees", "base_default")]
)
@pytest.mark.parametrize("value", ODD)
def test_what_is_no_value_is_refused(group: str, key: str, value: str) -> None:
    world = GovWorld()
    assert govern(world, set_param(group, key, value)) == Code.PARAM_OUT_OF_RANGE


@pytest.mark.parametrize(
    ("group", "key", "value"),
    [
        ("nothing", "x", "1"),
        ("stake", "nothing", "1"),
        ("stake", "__class__", "1"),
        ("stake", "asset", "BND"),
        ("consensus", "app_version", "2"),
        ("fees", "base", "1"),
        ("fees", "asset", "NONE"),
        ("fees", "base/no.operation", "1"),
        ("fees", "base/gov.vote", ""),
        ("stake", "unbonding_s", "49"),  # shorter than the evidence window
        ("consensus", "evidence_age_s_max", "101"),  # longer than the unbonding time
        ("consensus", "block_interval_ms", "60000"),  # too few blocks in a vote
        ("gov", "threshold_expedited_ppm", "500000"),  # not a problem by itself: see below
        ("gov", "emergency_group", "qx1nonsense"),
    ],
)
def test_contradictions_are_refused(group: str, key: str, value: str) -> None:
    world = GovWorld(replace(GOV, threshold_ppm=600_000) if key.startswith("threshold") else GOV)
    assert govern(world, set_param(group, key, value)) == Code.PARAM_OUT_OF_RANGE


def test_groups_are_checked_with_what_is_already_decided_in_the_same_proposal() -> None:
    world = GovWorld()
    both = set_param("stake", "unbonding_s", 200), set_param("consensus", "evidence_age_s_max", 200)
    assert govern(world, *reversed(both)) == Code.PARAM_OUT_OF_RANGE
    assert govern(world, *both) == 0
    assert world.read(STAGED_KEY) is None


def test_fees_and_deposits_are_within_what_voters_can_pay() -> None:
    world = GovWorld(holding=10**9)
    supply = world.supply()
    for key, highest in (("deposit_min", supply // GOV_SUPPLY_DIVISOR),):
        assert govern(world, set_param("gov", key, highest + 1)) == Code.PARAM_OUT_OF_RANGE
        assert govern(world, set_param("gov", key, highest)) == 0
    dearest = supply // FEE_SUPPLY_DIVISOR
    asset = set_param("fees", "asset", "QNX")
    assert govern(world, asset, set_param("fees", "base_default", dearest + 1)) == Code.PARAM_OUT_OF_RANGE
    assert govern(world, asset, set_param("fees", "base_default", dearest), set_param("fees", "base/gov.vote", 0)) == 0
    assert world.do("alice", pay("bob"), max_fee=10**6).fee == dearest
    assert govern(world, set_param("fees", "base/gov.vote", "")) == 0


def test_every_parameter_of_every_group_is_tried() -> None:
    tried = {(group, key.partition("/")[0]) for group, key, _ in edges()}
    forms = {"consensus": ConsensusParams, "fees": FeeParams, "accounts": AccountParams, "stake": StakeParams, "gov": GovParams}
    every = {(group, f.name) for group, form in forms.items() for f in fields(form)}
    assert every - tried == {("stake", "asset"), ("fees", "asset"), ("gov", "emergency_group")}


def test_the_engine_hears_of_consensus_parameters_in_the_block_that_decides() -> None:
    world = GovWorld()
    number = world.propose(set_param("consensus", "block_txs_max", 7))
    world.vote_all(number)
    world.wait_until(world.proposal(number).due_s)
    world.wait_until(world.proposal(number).ready_s)
    world.execute(number)
    assert world.last is not None and world.last.params is not None
    assert world.last.params.block_txs_max == 7
    assert ConsensusParams.from_record(decode_record(CONSENSUS_PARAMS_KEY, world.db[CONSENSUS_PARAMS_KEY])).block_txs_max == 7
    world.blocks(1)
    assert world.last.params is None
