"""The envelope: one spelling, every fault its code, signing by one and by many."""

from __future__ import annotations

import copy
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.codes import Code
from state.modules.table import ROWS
from state.primitives.codec import encode
from state.primitives.errors import MalformedError, TransactionError
from state.primitives.hashing import sha256
from state.primitives.keys import CONTEXT_TX
from state.primitives.limits import MEMO_BYTES_MAX, TX_BYTES_MAX, TX_OPS_MAX, TX_SIGNERS_MAX
from state.transaction import Draft, Transaction, build, call, sign
from tests.state.ledger_world import ACCOUNTS, ADDRESS, CHAIN, NOW, World, entry, key_of, pay

ALICE, BOB = ADDRESS["alice"], ADDRESS["bob"]
TRANSFER = [23, b"", ["QNX", BOB, b"\x05", ""]]


def body(**changes: Any) -> list[Any]:
    fields = {
        "v": 1, "chain_id": CHAIN, "sender": ALICE, "lane": 0, "seq": 0, "valid_from": 0, "valid_until": NOW,
        "client_ref": b"", "max_fee": b"", "fee_payer": b"", "preconditions": [], "ops": [TRANSFER], "memo": "",
        "travel": None, "purpose": "", "e2e_id": b"", "related_tx": b"",
    }  # fmt: skip
    assert changes.keys() <= fields.keys()
    return list({**fields, **changes}.values())


def code_of(raw: bytes) -> int:
    with pytest.raises(MalformedError) as caught:
        Transaction.decode(raw)
    assert isinstance(caught.value, TransactionError)
    return caught.value.result


def code_of_body(**changes: Any) -> int:
    return code_of(encode([body(**changes), []]))


def test_layout_is_the_fixed_one() -> None:
    raw = encode([body(seq=7, max_fee=b"\x01\x00", memo="hi", ops=[TRANSFER]), [[ALICE, 3, b"s" * 64]]])
    tx = Transaction.decode(raw)
    assert (tx.raw, tx.hash, tx.size) == (raw, sha256(raw), len(raw))
    assert tx.body_hash == sha256(encode(body(seq=7, max_fee=b"\x01\x00", memo="hi")))
    assert tx.sign_bytes == b"qenex/tx/1" + tx.body_hash
    assert len(tx.sign_bytes) == 42
    assert (tx.chain_id, tx.sender, tx.lane, tx.seq, tx.max_fee, tx.memo) == (CHAIN, ALICE, 0, 7, 256, "hi")
    assert tx.calls[0].operation.name == "asset.transfer"
    assert tx.calls[0].args == ("QNX", BOB, 5, "")
    assert tx.calls[0].account == tx.sender == tx.fee_payer
    assert tx.auth[0] == (ALICE, 3, b"s" * 64)
    assert tx.required == ((ALICE, 1),)


def test_build_makes_the_same_bytes() -> None:
    draft = build(chain_id=CHAIN, sender=ALICE, seq=0, valid_until=NOW, ops=[pay("bob", 5)])
    assert draft.encode() == encode([body(), []])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"v": 2}, Code.MALFORMED),
        ({"v": True}, Code.MALFORMED),
        ({"chain_id": b"x" * 31}, Code.MALFORMED),
        ({"chain_id": "x" * 32}, Code.MALFORMED),
        ({"sender": b""}, Code.MALFORMED),
        ({"lane": 64}, Code.MALFORMED),
        ({"lane": (1 << 32) - 2}, Code.MALFORMED),
        ({"lane": 1 << 32}, Code.MALFORMED),
        ({"lane": -1}, Code.MALFORMED),
        ({"seq": -1}, Code.MALFORMED),
        ({"seq": "0"}, Code.MALFORMED),
        ({"valid_until": -5}, Code.MALFORMED),
        ({"valid_until": (1 << 64) - 1}, Code.MALFORMED),
        ({"valid_from": NOW + 1}, Code.MALFORMED),
        ({"client_ref": b"x" * 15}, Code.MALFORMED),
        ({"max_fee": b"\x00"}, Code.BAD_AMOUNT_ENCODING),
        ({"max_fee": b"\x00\x01"}, Code.BAD_AMOUNT_ENCODING),
        ({"max_fee": b"\x01" * 81}, Code.BAD_AMOUNT_ENCODING),
        ({"max_fee": 5}, Code.MALFORMED),
        ({"fee_payer": ALICE}, Code.MALFORMED),
        ({"fee_payer": b"x" * 20}, Code.MALFORMED),
        ({"preconditions": None}, Code.MALFORMED),
        ({"preconditions": [[1, 0, 1]] * 17}, Code.TOO_LARGE),
        ({"preconditions": [[1, 0]]}, Code.UNKNOWN_OP_OR_FIELD),
        ({"preconditions": [[9, 0, 1]]}, Code.UNKNOWN_OP_OR_FIELD),
        ({"preconditions": [[1, 0, "1"]]}, Code.MALFORMED),
        ({"preconditions": [[1, 0, -1]]}, Code.MALFORMED),
        ({"preconditions": [[]]}, Code.MALFORMED),
        ({"preconditions": [5]}, Code.MALFORMED),
        ({"preconditions": [[2, ALICE, "QNX", b"\x00"]]}, Code.BAD_AMOUNT_ENCODING),
        ({"preconditions": [[2, ALICE[:5], "QNX", b"\x01"]]}, Code.MALFORMED),
        ({"preconditions": [[4, ALICE, 64, 0]]}, Code.MALFORMED),
        ({"preconditions": [[4, ALICE, 0, -1]]}, Code.MALFORMED),
        ({"ops": []}, Code.MALFORMED),
        ({"ops": [TRANSFER] * (TX_OPS_MAX + 1)}, Code.TOO_LARGE),
        ({"ops": [[23, b""]]}, Code.MALFORMED),
        ({"ops": [[23, b"", "QNX"]]}, Code.MALFORMED),
        ({"ops": [[23, b"x", TRANSFER[2]]]}, Code.MALFORMED),
        ({"ops": [[23, ALICE, TRANSFER[2]]]}, Code.MALFORMED),
        ({"ops": [[999, b"", []]]}, Code.UNKNOWN_OP_OR_FIELD),
        ({"ops": [[23, b"", ["QNX", BOB, b"\x05"]]]}, Code.UNKNOWN_OP_OR_FIELD),
        ({"ops": [[23, b"", ["QNX", BOB, b"\x05", "", ""]]]}, Code.UNKNOWN_OP_OR_FIELD),
        ({"ops": [[23, b"", ["QNX", BOB, 5, ""]]]}, Code.MALFORMED),
        ({"ops": [[23, b"", ["qnx", BOB, b"\x05", ""]]]}, Code.MALFORMED),
        ({"ops": [[23, b"", ["QNX", BOB[:31], b"\x05", ""]]]}, Code.MALFORMED),
        ({"ops": [[23, b"", ["QNX", BOB, b"\x00\x05", ""]]]}, Code.BAD_AMOUNT_ENCODING),
        ({"ops": [[23, b"", ["QNX", BOB, b"\x05", "t" * 65]]]}, Code.MALFORMED),
        ({"ops": [[23, b"", ["QNX", BOB, b"\x00", ""]], [999, b"", []]]}, Code.BAD_AMOUNT_ENCODING),
        ({"memo": "m" * (MEMO_BYTES_MAX + 1)}, Code.TOO_LARGE),
        ({"memo": "\u20ac" * 86}, Code.TOO_LARGE),
        ({"memo": b"m"}, Code.MALFORMED),
        ({"travel": "x"}, Code.MALFORMED),
        ({"travel": []}, Code.MALFORMED),
        ({"travel": ["ivms101", b"h" * 31, "A", "B", [], ""]}, Code.MALFORMED),
        ({"travel": ["", b"h" * 32, "A", "B", [], ""]}, Code.MALFORMED),
        ({"travel": ["ivms101", b"h" * 32, "A" * 257, "B", [], ""]}, Code.TOO_LARGE),
        ({"travel": ["ivms101", b"h" * 32, "A", "B", [1], ""]}, Code.MALFORMED),
        ({"travel": ["ivms101", b"h" * 32, "A", "B", [-1, b""], ""]}, Code.MALFORMED),
        ({"purpose": "TOOLONG"}, Code.MALFORMED),
        ({"purpose": "A B "}, Code.MALFORMED),
        ({"e2e_id": b"e" * 37}, Code.TOO_LARGE),
        ({"related_tx": b"r" * 31}, Code.MALFORMED),
    ],
)
def test_wrong_bodies(changes: dict[str, Any], code: Code) -> None:
    assert code_of_body(**changes) == code


@pytest.mark.parametrize(
    ("auth", "code"),
    [
        ([[ALICE, 0]], Code.MALFORMED),
        ([[ALICE[:9], 0, b"s"]], Code.MALFORMED),
        ([[ALICE, -1, b"s"]], Code.MALFORMED),
        ([[ALICE, 1 << 32, b"s"]], Code.MALFORMED),
        ([[ALICE, 0, "s"]], Code.MALFORMED),
        ([[ALICE, 0, b"s" * 5000]], Code.MALFORMED),
        ([[ALICE, 1, b"s"], [ALICE, 0, b"s"]], Code.MALFORMED),
        ([[ALICE, i, b"s"] for i in range(TX_SIGNERS_MAX + 1)], Code.TOO_LARGE),
        (5, Code.MALFORMED),
    ],
)
def test_wrong_signature_lists(auth: Any, code: Code) -> None:
    assert code_of(encode([body(), auth])) == code


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xc0",
        b"\x92",
        b"\x92\xc0\xc0",
        b"\xdf" + b"\xff" * 4,
        b"\xdd" + b"\xff" * 4,
        b"\x91" * 5_000,
        b"\x92" * 200_000,
        encode([body()]),
        encode([body(), [], []]),
        encode([body(), []]) + b"\x00",
        encode([body(), []])[:-1],
        encode([body()[:-1], []]),
        encode([[*body(), 0], []]),
        msgpack.packb({"body": 1}),
        msgpack.packb([body(memo={}), []]),
        msgpack.packb([body(seq=1.0), []]),
        msgpack.packb([body(seq=msgpack.ExtType(1, b"x")), []]),
    ],
)
def test_garbage_is_malformed(raw: bytes) -> None:
    assert code_of(raw) == Code.MALFORMED


def test_size_bound_comes_first() -> None:
    assert code_of(b"\xc1" * (TX_BYTES_MAX + 1)) == Code.TOO_LARGE


@pytest.mark.parametrize(
    ("canonical", "other"),
    [
        (b"\x92\xdc\x00\x11\x01", b"\x92\xdc\x00\x11\xcc\x01"),  # version as uint8
        (b"\x92\xdc\x00\x11\x01", b"\x92\xdd\x00\x00\x00\x11\x01"),  # body as array32
        (b"\x92\xdc", b"\xdc\x00\x02\xdc"),  # outer array16
        (b"\xc4\x20" + CHAIN, b"\xc5\x00\x20" + CHAIN),  # bin16
        (b"\xa3QNX", b"\xd9\x03QNX"),  # str8
        (b"\xc4\x01\x05", b"\xc5\x00\x01\x05"),  # an amount inside the fields
        (b"\x94\xa3QNX", b"\xdc\x00\x04\xa3QNX"),  # the fields as array16
    ],
)
def test_other_spellings_are_refused(canonical: bytes, other: bytes) -> None:
    raw = encode([body(), []])
    assert canonical in raw
    Transaction.decode(raw)
    assert code_of(raw.replace(canonical, other, 1)) == Code.MALFORMED


def test_other_spellings_inside_preconditions_and_travel_are_refused() -> None:
    travel = ["ivms101", b"h" * 32, "A", "B", [1, b"sig"], "ref"]
    raw = encode([body(preconditions=[[1, 2, 3]], travel=travel), []])
    assert Transaction.decode(raw).travel == ("ivms101", b"h" * 32, "A", "B", (1, b"sig"), "ref")
    assert code_of(raw.replace(b"\x93\x01\x02\x03", b"\x93\x01\xcc\x02\x03")) == Code.MALFORMED
    assert code_of(raw.replace(b"\x92\x01\xc4\x03sig", b"\x92\xcc\x01\xc4\x03sig")) == Code.MALFORMED


def test_text_must_be_utf8() -> None:
    raw = encode([body(memo="ab"), []])
    for wrong in (b"\xff\xfe", b"\xc3\x28"):
        assert code_of(raw.replace(b"\xa2ab", b"\xa2" + wrong)) == Code.MALFORMED
    assert code_of(encode([body(memo="abc"), []]).replace(b"\xa3abc", b"\xa3\xed\xa0\x80")) == Code.MALFORMED


@given(st.binary(max_size=300))
def test_decode_is_total(data: bytes) -> None:
    with pytest.raises(TransactionError):
        Transaction.decode(data)


@given(st.data())
def test_every_flipped_byte_is_refused_or_is_another_transaction(data: st.DataObject) -> None:
    raw = encode([body(memo="hello", client_ref=b"r" * 16), [[ALICE, 0, b"s" * 64]]])
    position = data.draw(st.integers(0, len(raw) - 1))
    changed = bytearray(raw)
    changed[position] ^= data.draw(st.integers(1, 255))
    try:
        tx = Transaction.decode(bytes(changed))
    except TransactionError:
        return
    assert tx.hash != sha256(raw)
    assert Draft.load(bytes(changed)).encode() == bytes(changed)


@given(
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 640) - 1),
    st.text(max_size=64).filter(lambda text: len(text.encode()) <= MEMO_BYTES_MAX),
    st.binary(min_size=0, max_size=36),
    st.lists(st.binary(max_size=300), max_size=4),
)
def test_decode_inverts_build_for_all_lengths(
    seq: int, amount: int, memo: str, e2e_id: bytes, signatures: list[bytes]
) -> None:
    """Both encoders (ours to build, the C one to check) agree at every length."""
    draft = build(
        chain_id=CHAIN, sender=ALICE, seq=seq, valid_until=NOW, ops=[pay("bob", amount)], max_fee=amount, memo=memo,
        e2e_id=e2e_id,
    )  # fmt: skip
    for key_id, signature in enumerate(signatures):
        draft = draft.attach(ALICE, key_id, signature)
    tx = Transaction.decode(draft.encode())
    assert (tx.seq, tx.max_fee, tx.memo, tx.e2e_id) == (seq, amount, memo, e2e_id)
    assert tx.calls[0].args[2] == amount
    assert [entry.signature for entry in tx.auth] == signatures


Anything = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 64) - 1), st.floats(), st.binary(max_size=40), st.text(max_size=20),
        st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=4)),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=400)
@given(st.data())
def test_anything_anywhere_is_refused_with_a_code_or_is_a_transaction(data: st.DataObject) -> None:
    """A random value put at a random place of a full envelope."""
    full = body(
        preconditions=[[2, ALICE, "QNX", b"\x01"]],
        ops=[TRANSFER, [24, BOB, [[[ALICE, "QNX", 0, b"\x01"], [BOB, "QNX", 1, b"\x01"]]]]],
        travel=["ivms101", b"h" * 32, "A", "B", [1, b"s"], "ref"],
    )
    tree: Any = copy.deepcopy([full, [[ALICE, 0, b"s" * 64]]])
    node = tree
    while True:
        index = data.draw(st.integers(0, len(node) - 1))
        if isinstance(node[index], list) and node[index] and data.draw(st.booleans()):
            node = node[index]
            continue
        node[index] = data.draw(Anything)
        break
    raw = msgpack.packb(tree, use_bin_type=True)
    try:
        tx = Transaction.decode(raw)
    except TransactionError as error:
        assert error.result in (101, 102, 103, 104)
    else:
        assert Draft.load(raw).encode() == raw == tx.raw


def test_frozen() -> None:
    tx = Transaction.decode(encode([body(), []]))
    with pytest.raises(AttributeError):
        tx.seq = 5  # type: ignore[misc]
    assert not hasattr(tx, "__dict__")


def test_one_after_another_signs_the_same_as_together() -> None:
    draft = build(chain_id=CHAIN, sender=ADDRESS["carol"], seq=0, valid_until=NOW, ops=[pay("bob", 5)])
    first = draft.sign(ADDRESS["carol"], 7, key_of("c7")).encode()
    second = Draft.load(first).sign(ADDRESS["carol"], 0, key_of("c0")).encode()
    assert second == sign(draft, [(ADDRESS["carol"], 0, key_of("c0")), (ADDRESS["carol"], 7, key_of("c7"))])
    tx = Transaction.decode(second)
    assert [entry.key_id for entry in tx.auth] == [0, 7]
    assert key_of("c0").public_key.verify(tx.sign_bytes, tx.auth[0].signature, CONTEXT_TX)


def test_signing_again_replaces() -> None:
    draft = build(chain_id=CHAIN, sender=ALICE, seq=0, valid_until=NOW, ops=[pay("bob", 5)])
    twice = draft.attach(ALICE, 0, b"x").sign(ALICE, 0, key_of("alice"))
    assert twice == draft.sign(ALICE, 0, key_of("alice"))


def test_body_hash_ignores_signatures_and_hash_does_not() -> None:
    draft = build(chain_id=CHAIN, sender=ALICE, seq=0, valid_until=NOW, ops=[pay("bob", 5)])
    one, other = (Transaction.decode(draft.attach(ALICE, 0, signature).encode()) for signature in (b"1", b"2"))
    assert one.body_hash == other.body_hash
    assert one.hash != other.hash


def test_build_refuses_what_no_node_would_accept() -> None:
    with pytest.raises(TransactionError):
        build(chain_id=CHAIN, sender=ALICE, seq=0, valid_until=NOW, ops=[])
    with pytest.raises(TransactionError) as caught:
        call("asset.transfer", asset="QNX", to=BOB)
    assert caught.value.result == Code.UNKNOWN_OP_OR_FIELD
    with pytest.raises(TransactionError):
        call("asset.teleport")


def test_required_accounts_and_levels() -> None:
    parent = ACCOUNTS["bank"]
    from state.modules.accounts import AccountKind, new_account_address

    keys, thresholds = (entry(0, "new"),), (1, 1, 1, 1)
    address = new_account_address(keys, thresholds, kind=AccountKind.SUB_ACCOUNT, parent=parent.address)
    create = call(
        "account.create", address=address, kind=3, parent=parent.address, keys=keys, thresholds=thresholds
    )
    world = World()
    tx = world.tx("alice", create, pay("bob", 1, as_account=ADDRESS["carol"]), signers=[])
    assert tx.required == ((ALICE, 1), (parent.address, 2), (ADDRESS["carol"], 1))
    legs = ((ADDRESS["carol"], "QNX", 0, 5), (BOB, "QNX", 1, 5))
    tx = world.tx("alice", call("asset.multi_transfer", legs=legs), signers=[])
    assert tx.required == ((ALICE, 0), (ADDRESS["carol"], 1))


def test_table_numbers_and_names_are_unique() -> None:
    assert len({row.code for row in ROWS}) == len({row.name for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert row.codes == tuple(dict.fromkeys(row.codes))
        assert all(code >= 200 for code in row.codes)
        # sequences, memory and breakers are the machine's; two rows trip and reset breakers for people
        assert row.writes.isdisjoint(b"ncuq" if row.name in ("gov.trip", "gov.reset") else b"ncuqb")
        assert row.is_governed or ord("p") not in row.writes
        assert row.moves_value <= (ord("h") in row.writes)
