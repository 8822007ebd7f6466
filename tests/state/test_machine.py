"""apply_block: what a failure costs, what is rolled back, what is remembered and forgotten, and that it is total and deterministic."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state import machine
from state.codes import Code
from state.machine import BlockContext, BlockExecution, apply_block, build_block
from state.modules import table
from state.modules.operation import FEES_ADDRESS, Level, OpContext, Operation
from state.modules.preconditions import write_precondition
from state.params import ConsensusParams, FeeParams
from state.primitives.errors import ConsensusFailure, InvalidBlockError, OperationFailed
from state.primitives.limits import LANE_UNORDERED, SWEEP_ENTRIES_MAX
from state.schema import (
    BREAKERS_KEY,
    CLIENT_REF_QUEUE,
    CONSENSUS_PARAMS_KEY,
    PRIORITIES_KEY,
    UNORDERED_QUEUE,
    decode_record,
    encode_record,
    holding_key,
    nonces_key,
)
from state.transaction import Transaction, call
from state.view import RecordCache, View
from tests.state.ledger_world import ADDRESS, CHAIN, FEES, NOW, World, key_names, pay

DAY = 24 * 3600


@pytest.fixture
def world() -> World:
    return World(FEES)


def test_a_transfer(world: World) -> None:
    receipt = world.do("alice", pay("bob", 1_000))
    assert (receipt.code, receipt.op_index, receipt.fee) == (Code.OK, -1, 5)
    assert world.balance("alice") == 1_000_000 - 1_000 - 5
    assert world.balance("bob") == 1_001_000
    assert world.balance(FEES_ADDRESS) == 5
    assert world.next_seq("alice") == 1
    assert world.total() == world.supply()


def test_a_transfer_touches_nothing_else(world: World) -> None:
    world.do("alice", pay("bob"))
    world.do("alice", pay("bob"))
    assert world.last is not None
    assert {key for key, _ in world.last.changes} == {
        nonces_key(ADDRESS["alice"]),
        holding_key(ADDRESS["alice"], "QNX"),
        holding_key(ADDRESS["bob"], "QNX"),
        holding_key(FEES_ADDRESS, "QNX"),
    }
    assert [key for key, _ in world.last.changes] == sorted(key for key, _ in world.last.changes)


def test_a_failure_costs_fee_and_sequence_and_nothing_else(world: World) -> None:
    receipt = world.do("alice", pay("bob", 5), pay("bob", 10**9), pay("bank", 1))
    assert (receipt.code, receipt.op_index, receipt.fee) == (Code.INSUFFICIENT_FUNDS, 1, 11 - 3 + 3)
    assert receipt.events == ()
    assert world.balance("alice") == 1_000_000 - receipt.fee
    assert world.balance("bob") == 1_000_000
    assert world.next_seq("alice") == 1


def test_the_fee_can_leave_too_little(world: World) -> None:
    assert world.do("alice", pay("bob", 1_000_000)).code == Code.INSUFFICIENT_FUNDS
    rest = world.balance("alice") - 5
    assert world.do("alice", pay("bob", rest)).code == Code.OK
    assert world.balance("alice") == 0
    assert holding_key(ADDRESS["alice"], "QNX") not in world.db


def test_a_sponsor_pays(world: World) -> None:
    world.do("alice", pay("poor", 10))
    before = world.balance("carol")
    signers = [("poor", 0), ("carol", 7)]
    receipt = world.do("poor", pay("bob", 10), fee_payer=ADDRESS["carol"], signers=signers)
    assert (receipt.code, receipt.fee) == (Code.OK, 7)
    assert (world.balance("poor"), world.balance("carol")) == (0, before - 7)
    assert (world.next_seq("poor"), world.next_seq("carol")) == (1, 0)


def test_one_block_sees_its_earlier_transactions(world: World) -> None:
    first = world.raw("alice", pay("poor", 100))
    second = world.raw("poor", pay("bob", 50))
    receipts = world.apply(first, second, world.raw("alice", pay("bob", 1), seq=1))
    assert [receipt.code for receipt in receipts] == [0, 0, 0]
    assert world.balance("poor") == 45


def test_a_block_with_a_refused_transaction_is_invalid(world: World) -> None:
    good = world.raw("alice", pay("bob"))
    for bad in (good, b"", b"\x92\x90\x90", world.raw("bob", pay("alice"), seq=5)):
        with pytest.raises(InvalidBlockError):
            apply_block(world.db, world.context(), [good, bad])
    with pytest.raises(InvalidBlockError):
        apply_block(world.db, replace(world.context(), chain_id=bytes(32)), [good])


def test_an_empty_block_changes_nothing(world: World) -> None:
    result = apply_block(world.db, world.context(), [])
    assert (result.receipts, result.changes, result.validator_updates, result.params) == ((), (), (), None)


def test_the_hash_of_the_priorities_is_a_record(world: World) -> None:
    """Whatever the block does, and only when it is another one than before."""
    context = replace(world.context(), priorities_hash=bytes([7]) * 32)
    record = (PRIORITIES_KEY, encode_record(PRIORITIES_KEY, (bytes([7]) * 32,)))
    assert apply_block(world.db, context, []).changes == (record,)
    spent = apply_block(world.db, context, [world.tx("alice", pay("bob", 1)).raw])
    assert record in spent.changes
    assert [row for row in spent.changes if row != record] == list(
        apply_block(world.db, world.context(), [world.tx("alice", pay("bob", 1)).raw]).changes
    )
    world.db.update([record])
    assert apply_block(world.db, context, []).changes == ()


def test_too_many_transactions(world: World) -> None:
    params = replace(ConsensusParams(), block_txs_max=1)
    world.db[CONSENSUS_PARAMS_KEY] = encode_record(CONSENSUS_PARAMS_KEY, params.to_record())
    txs = [world.raw("alice", pay("bob"), seq=seq) for seq in range(2)]
    with pytest.raises(InvalidBlockError):
        apply_block(world.db, world.context(), txs)
    assert len(build_block(world.db, world.context(), [Transaction.decode(tx) for tx in txs]).txs) == 1


def test_build_block_drops_what_may_not_be_in_it_and_agrees_with_apply(world: World) -> None:
    candidates = [
        world.tx("alice", pay("bob", 10), seq=0),
        world.tx("alice", pay("bob", 10), seq=0, memo="double"),
        world.tx("bob", pay("alice", 1), seq=3),
        world.tx("alice", pay("bob", 10**12), seq=1),
        world.tx("poor", pay("bob"), seq=0),
        world.tx("carol", pay("poor", 50), seq=0),
    ]
    built = build_block(world.db, world.context(), candidates)
    assert built.txs == (candidates[0], candidates[3], candidates[5])
    assert built.refused == ((1, Code.SEQ_PAST), (2, Code.SEQ_FUTURE), (4, Code.FEE_PAYER_CANNOT_PAY))
    assert apply_block(world.db, world.context(), [tx.raw for tx in built.txs]) == built.result
    small = build_block(world.db, world.context(), candidates, bytes_max=candidates[0].size)
    assert small.txs == (candidates[0],)


# Preconditions and pauses


@pytest.mark.parametrize(
    ("precondition", "holds"),
    [
        (write_precondition("height_between", low=1, high=1), True),
        (write_precondition("height_between", low=0, high=0), False),
        (write_precondition("height_between", low=2, high=9), False),
        (write_precondition("balance_at_least", account=ADDRESS["bob"], asset="QNX", amount=1_000_000), True),
        (write_precondition("balance_at_least", account=ADDRESS["bob"], asset="QNX", amount=1_000_001), False),
        (write_precondition("balance_at_least", account=ADDRESS["alice"], asset="QNX", amount=999_995), True),
        (write_precondition("balance_at_least", account=ADDRESS["alice"], asset="QNX", amount=999_996), False),
        (write_precondition("balance_at_most", account=ADDRESS["poor"], asset="QNX", amount=0), True),
        (write_precondition("balance_at_most", account=ADDRESS["bob"], asset="QNX", amount=999_999), False),
        (write_precondition("balance_at_least", account=ADDRESS["poor"], asset="NONE", amount=0), True),
        (write_precondition("sequence_is", account=ADDRESS["bob"], lane=0, seq=0), True),
        (write_precondition("sequence_is", account=ADDRESS["bob"], lane=9, seq=1), False),
        (write_precondition("sequence_is", account=ADDRESS["alice"], lane=0, seq=1), True),
    ],
)
def test_preconditions(world: World, precondition: Any, holds: bool) -> None:
    receipt = world.do("alice", pay("bob"), preconditions=[precondition])
    assert (receipt.code, receipt.op_index) == (Code.OK if holds else Code.PRECONDITION_FAILED, -1)
    assert receipt.fee > 0
    assert world.balance("bob") == 1_000_000 + holds


def test_all_preconditions_must_hold(world: World) -> None:
    good = write_precondition("height_between", low=0, high=9)
    bad = write_precondition("height_between", low=8, high=9)
    assert world.do("alice", pay("bob"), preconditions=[good, bad]).code == Code.PRECONDITION_FAILED


def trip(world: World, module: str) -> None:
    world.db[BREAKERS_KEY] = encode_record(BREAKERS_KEY, ((module, 1, 23, "", 0, False),))


def test_a_tripped_module_is_paused_and_others_run(world: World) -> None:
    trip(world, "asset")
    update = call("account.update_keys", add=(), remove=(), thresholds=(1, 1, 1, 1))
    receipt = world.do("alice", update, pay("bob"))
    assert (receipt.code, receipt.op_index) == (Code.MODULE_PAUSED, 1)
    assert receipt.fee > 0
    assert world.do("alice", update).code == Code.OK


def test_paused_comes_before_precondition_and_operation_checks(world: World) -> None:
    trip(world, "asset")
    bad = write_precondition("height_between", low=8, high=9)
    assert world.do("alice", pay("bob", 0), preconditions=[bad]).code == Code.MODULE_PAUSED
    del world.db[BREAKERS_KEY]
    assert world.do("alice", pay("bob", 0), preconditions=[bad]).code == Code.PRECONDITION_FAILED
    assert world.do("alice", pay("bob", 0)).code == Code.ZERO_AMOUNT


# Wrong handlers: planted bugs must be reverted, charged and paused


def plant(monkeypatch: pytest.MonkeyPatch, handler: Any, **changes: Any) -> None:
    """Replace the transfer's handler by a wrong one, in a row that lets it write what other operations write."""
    row = table.OPERATIONS[23]
    fields = {
        name: getattr(row, name)
        for name in ("code", "name", "module", "fields", "level", "codes", "work", "moves_value", "check", "authorities")
    }
    fields["writes"] = frozenset(b"haAsm")
    monkeypatch.setitem(table.OPERATIONS, 23, Operation(handler=handler, **{**fields, **changes}))


def steal(context: OpContext, account: bytes, args: Any) -> None:
    context.debit(ADDRESS["bob"], b"QNX", 5)
    context.credit(ADDRESS["alice"], b"QNX", 5)


def print_money(context: OpContext, account: bytes, args: Any) -> None:
    context.credit(account, b"QNX", 5)


def burn_money(context: OpContext, account: bytes, args: Any) -> None:
    context.debit(account, b"QNX", 5)


def do_nothing(context: OpContext, account: bytes, args: Any) -> None:
    return None


def there_and_back(context: OpContext, account: bytes, args: Any) -> None:
    context.debit(account, b"QNX", 5)
    context.credit(account, b"QNX", 5)


def crash(context: OpContext, account: bytes, args: Any) -> None:
    context.debit(account, b"QNX", 5)
    raise KeyError("bug")


def take_fees(context: OpContext, account: bytes, args: Any) -> None:
    context.debit(FEES_ADDRESS, b"QNX", 1)
    context.credit(account, b"QNX", 1)


def change_keys(context: OpContext, account: bytes, args: Any) -> None:
    key = b" a" + ADDRESS["bob"]
    context.view.put(key, (*context.view.get(key)[:3], (2, 2, 2, 2)))
    there_and_away(context, account)


def there_and_away(context: OpContext, account: bytes) -> None:
    context.debit(account, b"QNX", 5)
    context.credit(ADDRESS["bob"], b"QNX", 5)


def reset_sequence(context: OpContext, account: bytes, args: Any) -> None:
    context.view.put(nonces_key(account), None)
    there_and_away(context, account)


def set_negative(context: OpContext, account: bytes, args: Any) -> None:
    context.view.put(holding_key(account, "QNX"), (-5,))


def raise_supply(context: OpContext, account: bytes, args: Any) -> None:
    context.view.put(b" sBND", (10**6,))
    context.credit(account, b"BND", 10**6 - 500)


def raise_allowance(context: OpContext, account: bytes, args: Any) -> None:
    context.view.put(b" m" + ADDRESS["bank"] + b"QNX", (10**30, 0))
    there_and_away(context, account)


def swap_asset(context: OpContext, account: bytes, args: Any) -> None:
    context.view.put(b" AQNX", (0, 0, 1, account, b""))
    there_and_away(context, account)


def delete_account(context: OpContext, account: bytes, args: Any) -> None:
    context.view.put(b" a" + account, None)
    there_and_away(context, account)


def stale_copy(context: OpContext, account: bytes, args: Any) -> None:
    """Merge twice: the same balance is read once and paid out twice."""
    key = holding_key(account, "QNX")
    (balance,) = context.view.get(key)
    context.view.put(key, None)
    context.credit(ADDRESS["bob"], b"QNX", balance)
    context.credit(ADDRESS["bob"], b"QNX", balance)


BUGS = (
    steal, print_money, burn_money, do_nothing, there_and_back, crash, take_fees, change_keys, reset_sequence, set_negative,
    raise_supply, raise_allowance, swap_asset, delete_account, stale_copy,
)  # fmt: skip


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
@pytest.mark.parametrize("operations", [1, 2])
def test_a_wrong_handler_is_reverted_charged_and_paused(
    monkeypatch: pytest.MonkeyPatch, world: World, bug: Any, operations: int
) -> None:
    # A fee was collected before, so that there is something to take
    world.do("alice", pay("bob"))
    plant(monkeypatch, bug)
    before = dict(world.db)
    update = call("account.update_keys", add=(), remove=(), thresholds=(1, 1, 1, 1))
    receipt = world.do("alice", *[update] * (operations - 1), pay("bob"))
    assert (receipt.code, receipt.events) == (Code.INVARIANT_VIOLATION, ())
    assert receipt.fee > 0
    assert world.last is not None
    assert [event.type for event in world.last.events] == ["breaker_tripped"]
    changed = {key for key in before.keys() | world.db.keys() if before.get(key) != world.db.get(key)}
    assert changed == {
        nonces_key(ADDRESS["alice"]),
        holding_key(ADDRESS["alice"], "QNX"),
        holding_key(FEES_ADDRESS, "QNX"),
        BREAKERS_KEY,
    }
    assert world.balance("bob") == 1_000_001
    module, height, operation, function, until_s, _ = decode_record(BREAKERS_KEY, world.db[BREAKERS_KEY])[0]
    assert (function, until_s) == ("", 0)
    assert (height, operation) in ((world.height, 23), (world.height, 2))
    monkeypatch.undo()
    assert world.do("alice", update if module == "account" else pay("bob")).code == Code.MODULE_PAUSED


def test_a_failing_handler_with_an_own_code_is_only_a_failure(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    def refuse(context: OpContext, account: bytes, args: Any) -> None:
        context.debit(account, b"QNX", 5)
        raise OperationFailed(Code.ASSERT_FAILED, "no")

    plant(monkeypatch, refuse)
    assert world.do("alice", pay("bob")).code == Code.ASSERT_FAILED
    assert BREAKERS_KEY not in world.db


@pytest.mark.parametrize("level", list(Level))
def test_the_rows_level_is_what_is_asked(monkeypatch: pytest.MonkeyPatch, world: World, level: Level) -> None:
    plant(monkeypatch, table.OPERATIONS[23].handler, level=level)
    weights = {0: 1, 1: 1, 7: 2}
    for key_ids in ((0,), (7,), (0, 7), (0, 1, 7)):
        raw = world.raw("carol", pay("bob"), signers=[("carol", key_id) for key_id in key_ids])
        enough = sum(weights[key_id] for key_id in key_ids) >= (1, 2, 3, 4)[level]
        assert world.check(raw).code == (Code.OK if enough else Code.QUORUM_NOT_MET)


# Automatic actions


def queue_length(world: World, queue: bytes) -> int:
    raw = world.db.get(queue)
    if raw is None:
        return 0
    first, following = decode_record(queue, raw)
    return int(following - first)


def test_unordered_hashes_are_forgotten_after_ten_minutes(world: World) -> None:
    start = set(world.db)
    world.apply(*(world.raw("alice", pay("bob"), lane=LANE_UNORDERED, seq=seq) for seq in range(20)))
    assert queue_length(world, UNORDERED_QUEUE) == 20
    world.now += 600
    world.apply()
    assert queue_length(world, UNORDERED_QUEUE) == 20
    world.now += 1
    world.apply()
    assert set(world.db) - start == {holding_key(FEES_ADDRESS, "QNX")}


def test_forgetting_is_bounded_per_block(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "SWEEP_ENTRIES_MAX", 7)
    world.apply(*(world.raw("alice", pay("bob"), lane=LANE_UNORDERED, seq=seq) for seq in range(20)))
    world.now += 601
    lengths = []
    for _ in range(4):
        world.apply()
        lengths.append(queue_length(world, UNORDERED_QUEUE))
    assert lengths == [13, 6, 0, 0]
    assert SWEEP_ENTRIES_MAX >= 7


def test_a_reference_used_again_is_not_forgotten_with_its_first_use(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = b"r" * 16
    monkeypatch.setattr(machine, "SWEEP_ENTRIES_MAX", 0)  # a sweep that is late
    world.do("alice", pay("bob"), client_ref=ref)
    world.now += 7 * DAY + 1
    assert world.do("alice", pay("bob", 2), client_ref=ref).code == Code.OK
    monkeypatch.setattr(machine, "SWEEP_ENTRIES_MAX", 100)
    world.apply()
    assert queue_length(world, CLIENT_REF_QUEUE) == 1
    assert world.check(world.raw("alice", pay("bob", 3), client_ref=ref)).code == Code.CLIENT_REF_REUSED_DIFFERENT
    world.now += 7 * DAY + 1
    world.apply()
    assert queue_length(world, CLIENT_REF_QUEUE) == 0


def test_an_automatic_action_that_fails_is_dropped_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(view: View, time_s: int, entries_max: int) -> None:
        view.put(holding_key(ADDRESS["alice"], "QNX"), None)
        raise ZeroDivisionError

    actions = (("broken", broken), *machine._END_BLOCK)
    monkeypatch.setattr(machine, "_END_BLOCK", actions)
    assert world.do("alice", pay("bob")).code == Code.OK
    assert world.balance("alice") == 999_994
    assert world.last is not None
    assert [(event.type, event.attributes[0]) for event in world.last.events] == [("action_dropped", ("action", "broken"))]


# Validators and parameters


def test_changed_parameters_are_reported(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    params = replace(ConsensusParams(), block_interval_ms=7)

    def action(view: View, time_s: int, entries_max: int) -> None:
        view.put(CONSENSUS_PARAMS_KEY, params.to_record())

    monkeypatch.setattr(machine, "_END_BLOCK", (("set", action),))
    result = apply_block(world.db, world.context(), [])
    assert result.params == params


# The cache, totality, determinism


def test_with_the_record_cache_the_results_are_the_same(world: World) -> None:
    other = World(FEES)
    cache = RecordCache(other.db, 0)
    for height in range(1, 6):
        raws = [
            world.raw("alice", pay("bob", height), client_ref=bytes([height]) * 16),
            world.raw("carol", pay("alice", 3)),
            world.raw("bob", pay("poor", 10**7)),
        ]
        result = apply_block(cache, other.context(), raws)
        world.apply(*raws)
        assert result == world.last
        other.commit(result)
        cache.commit(height, result.records)
        assert other.db == world.db
    with pytest.raises(ConsensusFailure):
        apply_block(cache, BlockContext(9, NOW * 10**9, CHAIN), [])


@given(st.lists(st.binary(max_size=200), max_size=3))
def test_garbage_blocks_are_invalid_and_nothing_else(txs: list[bytes]) -> None:
    world = World()
    if txs:
        with pytest.raises(InvalidBlockError):
            world.apply(*txs)
    else:
        world.apply()


@settings(max_examples=60)
@given(st.data())
def test_signed_garbage_never_raises(data: st.DataObject) -> None:
    """Well-formed operations with arbitrary values, signed: each has a receipt, and value is conserved."""
    world = World(FEES)
    addresses = st.one_of(st.sampled_from(sorted(ADDRESS.values())), st.just(FEES_ADDRESS), st.binary(min_size=32, max_size=32))
    amounts = st.one_of(st.sampled_from([0, 1, 10**6, (1 << 640) - 1]), st.integers(0, (1 << 640) - 1))
    codes = st.sampled_from(["QNX", "BND", "NONE", "A1"])
    op = st.one_of(
        st.builds(lambda a, t, n: call("asset.transfer", asset=a, to=t, amount=n, tag=""), codes, addresses, amounts),
        st.builds(lambda a, t, n: call("asset.mint", asset=a, to=t, amount=n, ref=""), codes, addresses, amounts),
        st.builds(lambda a, n: call("asset.burn", asset=a, amount=n), codes, amounts),
        st.builds(
            lambda c, s, m: call(
                "asset.create", code=c, scale=s, max_supply=m, flags=1, minters=((ADDRESS["bank"], m + 1),), metadata_hash=b""
            ),
            codes, st.integers(0, 128), st.integers(0, (1 << 640) - 2),
        ),
        st.builds(
            lambda f, t, n: call("asset.multi_transfer", legs=((f, "QNX", 0, n), (t, "QNX", 1, n))),
            st.just(ADDRESS["bank"]), addresses, amounts,
        ),
    )  # fmt: skip
    for _ in range(4):
        ops = data.draw(st.lists(op, min_size=1, max_size=4))
        receipt = world.do("bank", *ops)
        assert receipt.code not in (Code.INVARIANT_VIOLATION, Code.MODULE_PAUSED)
        for code in ("QNX", "BND", "NONE", "A1"):
            assert world.total(code) == world.supply(code)


SCENARIO = """
import sys
from state.primitives.hashing import sha256
from state.primitives.limits import LANE_UNORDERED
from tests.state.ledger_world import ADDRESS, FEES, World, pay
from state.transaction import call
world = World(FEES)
digest = b""
for height in range(8):
    legs = tuple(sorted(((ADDRESS[name], "QNX", 0, 3) for name in ("alice", "bob")))) + ((ADDRESS["poor"], "QNX", 1, 6),)
    signers = [("alice", 0), ("bob", 0)]
    world.apply(
        world.raw("alice", pay("bob", height), client_ref=bytes([height]) * 16),
        world.raw("carol", pay("alice", 3), lane=5),
        world.raw("bank", pay("bob", 10**9, asset="BND")),
        world.raw("bob", pay("bank", 1), lane=LANE_UNORDERED, seq=height),
        world.raw("alice", call("asset.multi_transfer", legs=legs), lane=3, signers=signers),
    )
    world.now += 400
    for key, value in world.last.changes:
        digest = sha256(digest + key + (value or b"-"))
    for receipt in world.last.receipts:
        digest = sha256(digest + bytes([receipt.code % 256]) + receipt.data)
sys.stdout.write(digest.hex())
"""


def test_hash_randomisation_changes_nothing() -> None:
    digests = set()
    for seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Asia/Tokyo" if seed == "1" else "UTC"}
        done = subprocess.run(
            [sys.executable, "-c", SCENARIO], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        digests.add(done.stdout)
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def test_deliver_after_a_refusal_leaves_no_trace(world: World) -> None:
    execution = BlockExecution(world.db, world.context())
    good = world.tx("alice", pay("bob"))
    refused = execution.deliver(world.tx("bob", pay("alice"), seq=9))
    assert (refused.code, refused.fee, refused.data) == (Code.SEQ_FUTURE, 0, b"")
    receipt = execution.deliver(good)
    assert execution.finish([receipt]).changes == apply_block(world.db, world.context(), [good]).changes


def test_free_network_charges_nothing() -> None:
    world = World(FeeParams())
    receipt = world.do("alice", pay("bob"), max_fee=0)
    assert (receipt.code, receipt.fee) == (Code.OK, 0)
    assert world.balance(FEES_ADDRESS) == 0


def test_every_acting_account_pays_from_its_own(world: World) -> None:
    signers = [*key_names("alice"), *key_names("carol")]
    receipt = world.do("alice", pay("bob", 7, as_account=ADDRESS["carol"]), signers=signers)
    assert receipt.code == Code.OK
    assert (world.balance("carol"), world.balance("alice")) == (999_993, 1_000_000 - receipt.fee)
