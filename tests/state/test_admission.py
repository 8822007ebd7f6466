"""Codes of 1xx: each one, their precedence, the windows' edges, what the mempool asks, and how verdicts are remembered."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from state import admission, upgrades
from state.admission import key_binding, missing_signatures, signature_jobs, verify_signatures
from state.codes import RETRY, Code, is_refusal
from state.machine import apply_block
from state.modules import table
from state.params import FeeParams
from state.primitives.errors import InvalidBlockError, UpgradeRequiredError
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind
from state.primitives.limits import LANE_UNORDERED
from state.transaction import Draft, Transaction, call
from state.view import View
from tests.state.ledger_world import ADDRESS, FEES, NOW, World, entry, key_names, key_of, pay

DAY = 24 * 3600
BAD = b"\x01" * 64


def spoil(raw: bytes) -> bytes:
    """The same transaction with its first signature wrong."""
    draft = Draft.load(raw)
    first = draft.auth[0]
    return draft.attach(first.account, first.key_id, bytes(len(first.signature))).encode()


def duplicate(raw: bytes) -> bytes:
    """The same transaction with its first signature twice."""
    draft = Draft.load(raw)
    return Draft(draft.body, (draft.auth[0], *draft.auth)).encode()


@pytest.fixture
def world() -> World:
    return World(FEES)


def refused_everywhere(world: World, raw: bytes, code: Code) -> None:
    """The mempool's check gives the code, and a block that holds the transaction is invalid and changes nothing."""
    assert world.check(raw).code == code
    assert is_refusal(code)
    before = dict(world.db)
    with pytest.raises(InvalidBlockError):
        world.apply(raw)
    assert world.db == before


def test_a_good_transaction(world: World) -> None:
    admission = world.check(world.raw("alice", pay("bob")))
    assert admission.code == Code.OK
    assert admission.fee == 3 + 2


# One way to break a transaction for each code, in order of precedence
FAULTS: dict[Code, Any] = {
    Code.WRONG_CHAIN: {"chain_id": sha256(b"another")},
    Code.EXPIRED: {"valid_until": NOW - 1},
    Code.NOT_YET_VALID: {"valid_from": NOW + 1},
    Code.WINDOW_TOO_LONG: {"valid_until": NOW + DAY + 1},
    Code.DUPLICATE_SIGNATURE: duplicate,
    Code.UNKNOWN_SIGNER: {"signers": [("bob", 0)]},
    Code.QUORUM_NOT_MET: {"signers": []},
    Code.BAD_SIGNATURE: spoil,
    Code.SEQ_PAST: {"seq": 0},
    Code.SEQ_FUTURE: {"seq": 9},
    Code.FEE_TOO_LOW: {"max_fee": 1},
    Code.SPONSOR_NOT_ALLOWED: {"fee_payer": ADDRESS["poor"]},
    Code.FEE_PAYER_CANNOT_PAY: {"sender": "poor"},
}
# Faults that cannot meet in one transaction: they break the same field, or one removes what the other needs
EXCLUSIVE = (
    {Code.EXPIRED, Code.NOT_YET_VALID, Code.WINDOW_TOO_LONG},
    {Code.DUPLICATE_SIGNATURE, Code.UNKNOWN_SIGNER, Code.QUORUM_NOT_MET, Code.BAD_SIGNATURE},
    {Code.SEQ_PAST, Code.SEQ_FUTURE},
    {Code.SEQ_PAST, Code.FEE_PAYER_CANNOT_PAY},
    {Code.SPONSOR_NOT_ALLOWED, Code.FEE_PAYER_CANNOT_PAY},
    {Code.WINDOW_TOO_LONG, Code.DUPLICATE_SIGNATURE},
)


def make_faulty(world: World, codes: list[Code]) -> bytes:
    envelope: dict[str, Any] = {}
    changes = []
    sender = "alice"
    for code in codes:
        fault = FAULTS[code]
        if callable(fault):
            changes.append(fault)
        else:
            sender = fault.get("sender", sender)
            envelope |= {key: value for key, value in fault.items() if key != "sender"}
    if sender == "poor" and envelope.get("signers") is None:
        envelope["signers"] = [("poor", 0)]
    if "seq" not in envelope:
        envelope["seq"] = world.next_seq(sender)
    raw = world.raw(sender, pay("bob"), **envelope)
    for change in changes:
        raw = change(raw)
    return raw


@pytest.mark.parametrize("code", FAULTS)
def test_each_code(world: World, code: Code) -> None:
    world.do("alice", pay("bob"))  # so that sequence 0 is past
    refused_everywhere(world, make_faulty(world, [code]), code)


PAIRS = [
    (first, second)
    for i, first in enumerate(FAULTS)
    for second in list(FAULTS)[i + 1 :]
    if not any({first, second} <= group for group in EXCLUSIVE)
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_of_two_faults_the_first_is_told(world: World, first: Code, second: Code) -> None:
    world.do("alice", pay("bob"))
    assert world.check(make_faulty(world, [first, second])).code == first


def test_precedence_within_auth(world: World) -> None:
    raw = world.raw("carol", pay("bob"), signers=[("carol", 0)])
    assert world.check(duplicate(spoil(raw))).code == Code.DUPLICATE_SIGNATURE
    raw = world.raw("carol", pay("bob"), signers=[("bob", 0), ("carol", 0)])
    assert world.check(spoil(raw)).code == Code.UNKNOWN_SIGNER
    raw = world.raw("carol", pay("bob"), signers=[("carol", 0)])
    assert world.check(spoil(raw)).code == Code.QUORUM_NOT_MET


def test_codes_are_in_the_documented_order() -> None:
    classes = [105, 106, 107, 108, 114, 111, 112, 110, 120, 121, 130, 132, 131]
    assert [int(code) for code in FAULTS] == classes
    assert all(a != b for a, b in pairwise(classes))
    assert Code.SEQ_FUTURE in RETRY and Code.SEQ_PAST not in RETRY


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        ({"valid_until": NOW}, Code.OK),
        ({"valid_until": NOW - 1}, Code.EXPIRED),
        ({"valid_from": NOW}, Code.OK),
        ({"valid_from": NOW + 1}, Code.NOT_YET_VALID),
        ({"valid_until": NOW + DAY}, Code.OK),
        ({"valid_until": NOW + DAY + 1}, Code.WINDOW_TOO_LONG),
        ({"valid_until": NOW + 600, "lane": LANE_UNORDERED}, Code.OK),
        ({"valid_until": NOW + 601, "lane": LANE_UNORDERED}, Code.WINDOW_TOO_LONG),
    ],
)
def test_edges_of_the_windows(world: World, envelope: dict[str, Any], code: Code) -> None:
    assert world.check(world.raw("alice", pay("bob"), **envelope)).code == code


@pytest.mark.parametrize(("ahead", "code"), [(30 * DAY, Code.OK), (30 * DAY + 1, Code.WINDOW_TOO_LONG)])
def test_several_signers_have_thirty_days(world: World, ahead: int, code: Code) -> None:
    assert world.check(world.raw("carol", pay("bob"), valid_until=NOW + ahead)).code == code
    unordered = world.raw("carol", pay("bob"), valid_until=NOW + ahead, lane=LANE_UNORDERED)
    assert world.check(unordered).code == Code.WINDOW_TOO_LONG


def test_block_time_counts_in_whole_seconds(world: World) -> None:
    raw = world.raw("alice", pay("bob"), valid_until=NOW)
    context = world.context()
    late = type(context)(context.height, context.time_ns + 999_999_999, context.chain_id)
    assert apply_block(world.db, late, [raw]).receipts[0].code == Code.OK


# Signers and weights


@pytest.mark.parametrize(
    ("key_ids", "is_enough"),
    [((0,), False), ((1,), False), ((7,), True), ((0, 1), True), ((0, 7), True), ((0, 1, 7), True), ((), False)],
)
def test_weights_against_the_medium_threshold(world: World, key_ids: tuple[int, ...], is_enough: bool) -> None:
    raw = world.raw("carol", pay("bob"), signers=[("carol", key_id) for key_id in key_ids])
    assert world.check(raw).code == (Code.OK if is_enough else Code.QUORUM_NOT_MET)


def test_a_surplus_signature_must_be_good_too(world: World) -> None:
    raw = world.raw("carol", pay("bob"))
    assert world.check(raw).code == Code.OK
    for key_id in (0, 1, 7):
        draft = Draft.load(raw).attach(ADDRESS["carol"], key_id, BAD)
        assert world.check(draft.encode()).code == Code.BAD_SIGNATURE


def test_an_unrelated_signer_is_refused(world: World) -> None:
    assert world.check(world.raw("alice", pay("bob"), signers=[("alice", 0), ("bob", 0)])).code == Code.UNKNOWN_SIGNER


def test_unknown_key_id_and_unknown_account(world: World) -> None:
    draft = Draft.load(world.raw("alice", pay("bob")))
    assert world.check(draft.attach(ADDRESS["alice"], 5, BAD).encode()).code == Code.UNKNOWN_SIGNER
    assert world.check(draft.attach(b"\x00" * 32, 0, BAD).encode()).code == Code.UNKNOWN_SIGNER


def test_hybrid_needs_both_halves(world: World) -> None:
    raw = world.raw("hybrid", pay("bob"))
    assert world.check(raw).code == Code.OK
    signature = Draft.load(raw).auth[0].signature
    for wrong in (signature[:64], signature[:64] + bytes(4627), bytes(64) + signature[64:]):
        draft = Draft.load(raw).attach(ADDRESS["hybrid"], 0, wrong)
        assert world.check(draft.encode()).code == Code.BAD_SIGNATURE


def test_every_acting_account_must_authorise(world: World) -> None:
    op = pay("bob", as_account=ADDRESS["carol"])
    both = [*key_names("alice"), *key_names("carol")]
    assert world.check(world.raw("alice", op, signers=both)).code == Code.OK
    assert world.check(world.raw("alice", op)).code == Code.QUORUM_NOT_MET
    assert world.check(world.raw("alice", op, signers=key_names("carol"))).code == Code.QUORUM_NOT_MET
    assert world.check(world.raw("alice", pay("bob", as_account=b"\x07" * 32))).code == Code.QUORUM_NOT_MET


def test_fee_payer_consents_by_signing(world: World) -> None:
    sponsored = {"fee_payer": ADDRESS["carol"]}
    assert world.check(world.raw("poor", pay("bob"), **sponsored)).code == Code.SPONSOR_NOT_ALLOWED
    weak = [("poor", 0), ("carol", 0)]
    assert world.check(world.raw("poor", pay("bob"), signers=weak, **sponsored)).code == Code.SPONSOR_NOT_ALLOWED
    enough = [("poor", 0), ("carol", 7)]
    assert world.check(world.raw("poor", pay("bob"), signers=enough, **sponsored)).code == Code.OK
    nobody = world.raw("poor", pay("bob"), fee_payer=b"\x09" * 32)
    assert world.check(nobody).code == Code.SPONSOR_NOT_ALLOWED


# Fees


def test_fee_is_base_and_signatures_and_bytes(world: World) -> None:
    plain = world.tx("alice", pay("bob"), pay("bank"))
    assert world.check(plain).fee == 3 + 3 + 2
    update = call("account.update_keys", add=(), remove=(), thresholds=(1, 2, 3, 4))
    assert world.check(world.tx("carol", update)).fee == 10 + 3 * 2
    long = world.tx("alice", *[pay("bob")] * 10)
    assert long.size > 512
    assert world.check(long).fee == 10 * 3 + 2 + (long.size - 512)


def test_max_fee_and_balance_edges(world: World) -> None:
    assert world.check(world.raw("alice", pay("bob"), max_fee=5)).code == Code.OK
    assert world.check(world.raw("alice", pay("bob"), max_fee=4)).code == Code.FEE_TOO_LOW
    world.do("alice", pay("poor", 5))
    raw = world.raw("poor", pay("bob"))
    assert world.check(raw).code == Code.OK
    assert world.check(raw, reserved=1).code == Code.FEE_PAYER_CANNOT_PAY


def test_zero_fees_are_allowed() -> None:
    world = World(FeeParams())
    assert world.check(world.raw("poor", pay("bob"), max_fee=0)).code == Code.OK


# Sequences and memory


def test_a_queue_of_one_sender_is_admitted_with_the_expected_sequence(world: World) -> None:
    for seq in range(100):
        raw = world.raw("alice", pay("bob"), seq=seq)
        assert world.check(raw, expected_seq=seq, reserved=5 * seq).code == Code.OK
    assert world.check(world.raw("alice", pay("bob"), seq=7), expected_seq=8).code == Code.SEQ_PAST
    assert world.check(world.raw("alice", pay("bob"), seq=9), expected_seq=8).code == Code.SEQ_FUTURE


def test_lanes_are_independent(world: World) -> None:
    for lane in (0, 5, 63):
        world.do("alice", pay("bob"), lane=lane, seq=0)
        assert world.check(world.raw("alice", pay("bob"), lane=lane, seq=0)).code == Code.SEQ_PAST
        assert world.check(world.raw("alice", pay("bob"), lane=lane, seq=1)).code == Code.OK
    assert world.check(world.raw("alice", pay("bob"), lane=4, seq=0)).code == Code.OK
    assert world.check(world.raw("alice", pay("bob"), lane=4, seq=1)).code == Code.SEQ_FUTURE


def test_unordered_is_seen_once_however_it_is_signed(world: World) -> None:
    signers = [("carol", 0), ("carol", 7)]
    raw = world.raw("carol", pay("bob"), lane=LANE_UNORDERED, seq=42, signers=signers)
    assert world.apply(raw)[0].code == Code.OK
    refused_everywhere(world, raw, Code.TX_SEEN)
    fewer = world.raw("carol", pay("bob"), lane=LANE_UNORDERED, seq=42, signers=[("carol", 7)])
    assert sha256(fewer) != sha256(raw)
    refused_everywhere(world, fewer, Code.TX_SEEN)
    assert world.check(world.raw("carol", pay("bob"), lane=LANE_UNORDERED, seq=43)).code == Code.OK
    both = world.raw("alice", pay("bob"), lane=LANE_UNORDERED)
    with pytest.raises(InvalidBlockError):
        world.apply(both, both)


def test_client_ref_finds_the_first_request(world: World) -> None:
    ref = b"payment-00000001"
    first = world.tx("alice", pay("bob", 7), client_ref=ref)
    assert world.apply(first)[0].code == Code.OK
    again = world.check(world.raw("alice", pay("bob", 7), client_ref=ref, valid_until=NOW + 500))
    assert (again.code, again.seen_hash) == (Code.TX_SEEN, first.body_hash)
    assert world.check(first).code == Code.TX_SEEN  # before SEQ_PAST, so that a client learns what happened
    other = world.check(world.raw("alice", pay("bob", 8), client_ref=ref))
    assert other.code == Code.CLIENT_REF_REUSED_DIFFERENT
    refused_everywhere(world, world.raw("alice", pay("bob", 8), client_ref=ref), Code.CLIENT_REF_REUSED_DIFFERENT)
    assert world.check(world.raw("bob", pay("alice", 8), client_ref=ref)).code == Code.OK  # per account


def test_client_ref_of_a_failed_transaction_is_used(world: World) -> None:
    ref = b"payment-00000002"
    assert world.do("alice", pay("bob", 10**9), client_ref=ref).code == Code.INSUFFICIENT_FUNDS
    assert world.check(world.raw("alice", pay("bob", 10**9), client_ref=ref)).code == Code.TX_SEEN


def test_client_ref_ends_after_seven_days(world: World) -> None:
    ref = b"payment-00000003"
    world.do("alice", pay("bob"), client_ref=ref)
    world.now += 7 * DAY
    assert world.check(world.raw("alice", pay("bob", 9), client_ref=ref)).code == Code.CLIENT_REF_REUSED_DIFFERENT
    world.now += 1
    assert world.do("alice", pay("bob", 9), client_ref=ref).code == Code.OK
    assert world.check(world.raw("alice", pay("bob", 10), client_ref=ref)).code == Code.CLIENT_REF_REUSED_DIFFERENT


# Remembered verdicts


class Recorder(dict[bytes, bytes]):
    """Remembers which hashes were asked for."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.asked: list[bytes] = []

    def get(self, tx_hash: bytes, default: Any = None) -> Any:
        self.asked.append(tx_hash)
        return super().get(tx_hash, default)


def test_jobs_are_what_an_inline_check_would_do(world: World) -> None:
    for raw in (world.raw("carol", pay("bob")), world.raw("hybrid", pay("bob"))):
        tx = Transaction.decode(raw)
        view = View(world.db)
        check = signature_jobs(tx, view)
        assert check is not None
        assert [key.verify(message, signature, context) for key, message, signature, context in check.jobs] == [True] * len(tx.auth)
        bad = signature_jobs(Transaction.decode(spoil(raw)), view)
        assert bad is not None
        assert not all(key.verify(message, signature, context) for key, message, signature, context in bad.jobs)
        deferred = world.check(spoil(raw), verified=None)
        assert deferred.code == Code.OK
        assert deferred.binding == check.binding
        assert not verify_signatures(Transaction.decode(spoil(raw)), deferred.keys)
    assert signature_jobs(world.tx("carol", pay("bob"), signers=[]), View(world.db)) is None


def test_a_remembered_verdict_is_not_verified_again(world: World) -> None:
    tx = Transaction.decode(spoil(world.raw("alice", pay("bob"))))
    verified = Recorder({tx.hash: key_binding(key_of("alice").public_key.data)})
    assert apply_block(world.db, world.context(), [tx], verified=verified).receipts[0].code == Code.OK
    assert verified.asked == [tx.hash]


def test_nothing_unverified_is_executed(world: World) -> None:
    tx = Transaction.decode(spoil(world.raw("alice", pay("bob"))))
    for verified in ({}, {tx.hash: b""}, {tx.hash: key_binding(key_of("bob").public_key.data)}):
        with pytest.raises(InvalidBlockError):
            apply_block(world.db, world.context(), [tx], verified=verified)


def test_a_key_rotated_in_between_is_verified_anew(world: World) -> None:
    """The old key's verdict must not let the old key's signature pass once the id belongs to a new key."""
    payment = world.tx("alice", pay("bob"), lane=1)
    binding = world.check(payment, verified=None).binding
    verified = {payment.hash: binding}
    assert world.check(payment, verified=verified).code == Code.OK
    rotate = call("account.update_keys", add=(entry(0, "alice-new"),), remove=(), thresholds=())
    rotation = world.tx("alice", rotate)
    with pytest.raises(InvalidBlockError):
        apply_block(world.db, world.context(), [rotation, payment], verified=verified)
    assert apply_block(world.db, world.context(), [payment, rotation], verified=verified).receipts[1].code == Code.OK
    world.apply(rotation)
    assert world.check(payment, verified=verified).code == Code.BAD_SIGNATURE


def test_what_a_block_still_needs_verified(world: World) -> None:
    txs = [world.tx("alice", pay("bob")), world.tx("bob", pay("alice")), world.tx("carol", pay("bob"), signers=[])]
    verified: dict[bytes, bytes] = {txs[0].hash: key_binding(key_of("alice").public_key.data)}
    missing = missing_signatures(world.db, txs, verified)
    assert [tx_hash for tx_hash, _ in missing] == [txs[1].hash]
    assert missing[0][1] == signature_jobs(txs[1], world.db)
    verified |= {tx_hash: check.binding for tx_hash, check in missing}
    assert missing_signatures(world.db, txs, verified) == ()


def test_an_operation_of_later_rules_is_unknown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    later = replace(table.OPERATIONS[23], since=2)
    monkeypatch.setattr(admission, "ROWS", tuple(later if row.code == 23 else row for row in table.ROWS))
    assert world.check(world.raw("alice", pay("bob"), chain_id=bytes(32))).code == Code.UNKNOWN_OP_OR_FIELD
    for version in (0, upgrades.VERSION_MAX + 1):
        with pytest.raises(UpgradeRequiredError):
            upgrades.get_rules(version)


def test_bindings_tell_long_keys_apart() -> None:
    short = key_of("alice").public_key.data
    long = key_of("alice", KeyKind.MLDSA87).public_key.data
    assert key_binding(short) == short
    assert key_binding(long) == sha256(long)
