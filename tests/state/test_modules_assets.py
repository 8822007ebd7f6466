"""Assets: every failure in its order, supply and allowance, transfers between many, and the authorisation of each operation."""

from __future__ import annotations

from typing import Any

import pytest

from state.codes import Code
from state.modules.operation import BONDED_ADDRESS, FEES_ADDRESS
from state.modules.table import ROWS
from state.primitives.errors import TransactionError
from state.primitives.limits import AMOUNT_MAX
from state.schema import asset_key, decode_record, minter_key
from state.transaction import Draft, call
from tests.state.ledger_world import ADDRESS, FEES, World, create_account, entry, key_names, pay, update_keys

NOBODY = b"\x0b" * 32


@pytest.fixture
def world() -> World:
    return World(FEES)


def create(code: str = "NEW", **changes: Any) -> Any:
    fields = {
        "scale": 2, "max_supply": 0, "flags": 1, "minters": ((ADDRESS["alice"], 1_000),), "metadata_hash": b"", **changes
    }  # fmt: skip
    return call("asset.create", code=code, **fields)


def mint(to: str | bytes, amount: int, asset: str = "QNX") -> Any:
    return call("asset.mint", asset=asset, to=ADDRESS[to] if isinstance(to, str) else to, amount=amount, ref="r1")


def burn(amount: int, asset: str = "QNX") -> Any:
    return call("asset.burn", asset=asset, amount=amount)


def move(*legs: tuple[str | bytes, str, int]) -> Any:
    """Legs as (account, asset, amount), negative for a debit."""
    return call(
        "asset.multi_transfer",
        legs=tuple(
            (ADDRESS[account] if isinstance(account, str) else account, asset, int(amount >= 0), abs(amount))
            for account, asset, amount in legs
        ),
    )


def code_of(world: World, sender: str, *ops: Any, **envelope: Any) -> int:
    return int(world.do(sender, *ops, **envelope).code)


def refused(world: World, op: Any) -> int:
    with pytest.raises(TransactionError) as caught:
        world.raw("alice", op)
    return caught.value.result


# create


def test_create(world: World) -> None:
    receipt = world.do("bank", create(max_supply=500, metadata_hash=b"m" * 32))
    assert receipt.code == Code.OK
    record = decode_record(asset_key("NEW"), world.db[asset_key("NEW")])
    assert record == (2, 500, 1, ADDRESS["bank"], b"m" * 32, 0)
    assert decode_record(minter_key(ADDRESS["alice"], "NEW"), world.db[minter_key(ADDRESS["alice"], "NEW")]) == (1_000, 0)
    assert code_of(world, "alice", create()) == Code.ASSET_EXISTS


@pytest.mark.parametrize(
    ("minter", "code"), [(NOBODY, Code.ACCOUNT_NOT_FOUND), (FEES_ADDRESS, Code.RECIPIENT_IS_MODULE)]
)
def test_minters_are_accounts(world: World, minter: bytes, code: Code) -> None:
    assert code_of(world, "bank", create(minters=((minter, 5),))) == code
    assert asset_key("NEW") not in world.db
    assert code_of(world, "bank", create("QNX", minters=((minter, 5),))) == Code.ASSET_EXISTS


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"code": "x"}, Code.MALFORMED),
        ({"code": "TOOLONGTOOLONGTOO"}, Code.MALFORMED),
        ({"code": "A-B"}, Code.MALFORMED),
        ({"code": "AB\n"}, Code.MALFORMED),
        ({"scale": 129}, Code.MALFORMED),
        ({"scale": -1}, Code.MALFORMED),
        ({"flags": 1 << 11}, Code.UNKNOWN_OP_OR_FIELD),
        ({"flags": -1}, Code.MALFORMED),
        ({"flags": 1 << 16}, Code.MALFORMED),
        ({"metadata_hash": b"m"}, Code.MALFORMED),
        ({"minters": ((ADDRESS["alice"], 0),)}, Code.MALFORMED),
        ({"minters": ((ADDRESS["alice"], 1), (ADDRESS["alice"], 1))}, Code.MALFORMED),
        ({"minters": tuple((bytes([i]) * 32, 1) for i in range(1, 18))}, Code.TOO_LARGE),
    ],
)
def test_malformed_assets(world: World, changes: Any, code: Code) -> None:
    assert refused(world, create(**changes)) == code


@pytest.mark.parametrize("scale", [0, 2, 18, 128])
def test_scales_and_the_largest_amount(world: World, scale: int) -> None:
    minters = ((ADDRESS["alice"], AMOUNT_MAX),)
    assert code_of(world, "bank", create(scale=scale, minters=minters)) == Code.OK
    assert code_of(world, "alice", mint("bob", AMOUNT_MAX, "NEW")) == Code.OK
    assert world.balance("bob", "NEW") == world.supply("NEW") == AMOUNT_MAX
    assert code_of(world, "bob", pay("carol", AMOUNT_MAX - 1, "NEW")) == Code.OK
    assert code_of(world, "alice", mint("bob", 1, "NEW")) == Code.MINT_ALLOWANCE
    assert world.total("NEW") == AMOUNT_MAX


def test_an_amount_beyond_the_bound_has_no_encoding(world: World) -> None:
    with pytest.raises(Exception, match="2\\^640"):
        world.raw("alice", pay("bob", AMOUNT_MAX + 1))


# mint and burn


def test_mint_and_burn(world: World) -> None:
    before = world.supply()
    receipt = world.do("bank", mint("poor", 77))
    assert (receipt.code, receipt.events[0].type) == (Code.OK, "mint")
    assert (world.balance("poor"), world.supply()) == (77, before + 77)
    assert code_of(world, "bank", burn(70)) == Code.OK
    assert world.supply() == before + 7
    assert world.total() == world.supply()


def test_mint_failures_in_order(world: World) -> None:
    """Each line repairs the first fault of the line before."""
    world.do("bank", create(max_supply=500))
    assert code_of(world, "bob", mint(NOBODY, 0, "NONE")) == Code.ZERO_AMOUNT
    assert code_of(world, "bob", mint(NOBODY, 1_001, "NONE")) == Code.ASSET_NOT_FOUND
    assert code_of(world, "bob", mint(NOBODY, 1_001, "NEW")) == Code.NO_PERMISSION
    assert code_of(world, "alice", mint(NOBODY, 1_001, "NEW")) == Code.MINT_ALLOWANCE
    assert code_of(world, "alice", mint(NOBODY, 501, "NEW")) == Code.MAX_SUPPLY
    assert code_of(world, "alice", mint(FEES_ADDRESS, 500, "NEW")) == Code.RECIPIENT_IS_MODULE
    assert code_of(world, "alice", mint(NOBODY, 500, "NEW")) == Code.ACCOUNT_NOT_FOUND
    assert code_of(world, "alice", mint("bob", 500, "NEW")) == Code.OK


def test_the_allowance_is_not_refilled_by_burning(world: World) -> None:
    world.do("bank", create(minters=((ADDRESS["bank"], 100),)))
    for _ in range(2):
        assert code_of(world, "bank", mint("bank", 50, "NEW")) == Code.OK
        assert code_of(world, "bank", burn(50, "NEW")) == Code.OK
    assert code_of(world, "bank", mint("bank", 1, "NEW")) == Code.MINT_ALLOWANCE
    assert world.supply("NEW") == 0


def test_supply_is_bounded_whoever_mints(world: World) -> None:
    world.do("bank", create(max_supply=100, minters=tuple(sorted(((ADDRESS["alice"], 80), (ADDRESS["bob"], 80))))))
    assert code_of(world, "alice", mint("carol", 80, "NEW")) == Code.OK
    assert code_of(world, "bob", mint("carol", 21, "NEW")) == Code.MAX_SUPPLY
    assert code_of(world, "bob", mint("carol", 20, "NEW")) == Code.OK


def test_burn_failures_in_order(world: World) -> None:
    assert code_of(world, "alice", burn(0, "NONE")) == Code.ZERO_AMOUNT
    assert code_of(world, "alice", burn(10**9, "NONE")) == Code.ASSET_NOT_FOUND
    assert code_of(world, "alice", burn(10**9)) == Code.NO_PERMISSION
    assert code_of(world, "bank", burn(10**9)) == Code.INSUFFICIENT_FUNDS
    assert code_of(world, "bank", burn(1)) == Code.OK


def test_the_issuer_burns_without_being_a_minter(world: World) -> None:
    world.do("bank", create())
    world.do("alice", mint("bank", 10, "NEW"))
    assert code_of(world, "bank", burn(10, "NEW")) == Code.OK
    assert code_of(world, "bank", mint("bank", 10, "NEW")) == Code.NO_PERMISSION


# transfer


def test_transfer_failures_in_order(world: World) -> None:
    world.do("bank", mint("alice", 5, "BND"))
    assert code_of(world, "alice", pay("alice", 0, "NONE")) == Code.ZERO_AMOUNT
    assert code_of(world, "alice", pay("alice", 10**9, "NONE")) == Code.SELF_TRANSFER
    assert code_of(world, "alice", pay(FEES_ADDRESS, 10**9, "NONE")) == Code.ASSET_NOT_FOUND
    assert code_of(world, "alice", pay(FEES_ADDRESS, 10**9, "BND")) == Code.NOT_TRANSFERABLE
    assert code_of(world, "alice", pay(FEES_ADDRESS, 10**9)) == Code.RECIPIENT_IS_MODULE
    assert code_of(world, "alice", pay(BONDED_ADDRESS, 10**9)) == Code.RECIPIENT_IS_MODULE
    assert code_of(world, "alice", pay(NOBODY, 10**9)) == Code.ACCOUNT_NOT_FOUND
    assert code_of(world, "alice", pay("bob", 10**9)) == Code.INSUFFICIENT_FUNDS
    assert code_of(world, "alice", pay("bob", 1)) == Code.OK


def test_what_is_not_transferable_goes_back_to_its_issuer(world: World) -> None:
    assert code_of(world, "bank", pay("alice", 50, "BND")) == Code.OK
    assert code_of(world, "alice", pay("bob", 1, "BND")) == Code.NOT_TRANSFERABLE
    assert code_of(world, "alice", pay("bank", 50, "BND")) == Code.OK


def test_tag_and_event(world: World) -> None:
    receipt = world.do("alice", pay("bob", 5, tag="invoice 7"))
    event = receipt.events[0]
    assert event.type == "transfer"
    assert dict(event.attributes)["tag"] == "invoice 7"
    assert dict(event.attributes)["amount"] == "5"


def test_there_and_back_in_one_transaction(world: World) -> None:
    both = [*key_names("alice"), *key_names("carol")]
    ops = [pay("carol", 10), pay("alice", 10, as_account=ADDRESS["carol"])] * 10
    receipt = world.do("alice", *ops, signers=both)
    assert receipt.code == Code.OK
    assert (world.balance("carol"), world.balance("alice")) == (1_000_000, 1_000_000 - receipt.fee)


def test_the_whole_balance_cannot_be_sent_twice(world: World) -> None:
    """Merge twice in one transaction."""
    rest = world.balance("alice") - 3 * 2 - 2
    receipt = world.do("alice", pay("bob", rest), pay("bob", rest))
    assert (receipt.code, receipt.op_index) == (Code.INSUFFICIENT_FUNDS, 1)
    assert world.total() == world.supply()


# multi-transfer


def test_multi_transfer(world: World) -> None:
    op = move(("alice", "QNX", -30), ("bank", "BND", -2), ("bob", "QNX", 10), ("carol", "QNX", 20), ("bob", "BND", 2))
    receipt = world.do("alice", op, signers=[("alice", 0), ("bank", 0)])
    assert receipt.code == Code.OK
    assert (world.balance("bob"), world.balance("carol"), world.balance("bob", "BND")) == (1_000_010, 1_000_020, 2)
    assert [dict(event.attributes)["direction"] for event in receipt.events] == ["debit"] * 2 + ["credit"] * 3
    assert world.balance("alice") == 1_000_000 - 30 - receipt.fee


def test_multi_transfer_by_a_third_party(world: World) -> None:
    """The sender brings the legs of two others; each of them signs."""
    op = move(("alice", "QNX", -30), ("carol", "QNX", -5), ("bank", "QNX", 35))
    signers = [("bob", 0), ("alice", 0), ("carol", 7)]
    assert code_of(world, "bob", op, signers=signers) == Code.OK
    for missing in signers:
        raw = world.raw("bob", op, signers=[signer for signer in signers if signer != missing])
        assert world.check(raw).code == Code.QUORUM_NOT_MET


def test_multi_transfer_failures_in_order(world: World) -> None:
    world.do("bank", mint("alice", 5, "BND"))
    steps = [
        (move(("alice", "QNX", -3), ("alice", "QNX", 3), ("bob", "QNX", 0)), Code.ZERO_AMOUNT),
        (move(("alice", "NONE", -3), ("alice", "NONE", 3)), Code.SELF_TRANSFER),
        (move(("alice", "NONE", -3), ("bob", "NONE", 3)), Code.ASSET_NOT_FOUND),
        (move(("alice", "BND", -3), (NOBODY, "BND", 3)), Code.NOT_TRANSFERABLE),
        (move(("alice", "QNX", -(10**9)), (FEES_ADDRESS, "QNX", 10**9)), Code.RECIPIENT_IS_MODULE),
        (move(("alice", "QNX", -(10**9)), (NOBODY, "QNX", 10**9)), Code.ACCOUNT_NOT_FOUND),
        (move(("alice", "QNX", -(10**9)), ("bob", "QNX", 10**9)), Code.INSUFFICIENT_FUNDS),
        (move(("alice", "QNX", -3), ("bob", "QNX", 3)), Code.OK),
        (move(("alice", "BND", -3), ("bank", "BND", 3)), Code.OK),
    ]
    for op, code in steps:
        assert code_of(world, "alice", op) == code


def test_not_transferable_in_many_legs(world: World) -> None:
    world.do("bank", mint("alice", 5, "BND"))
    both = [("alice", 0), ("bank", 0)]
    mixed = move(("alice", "BND", -3), ("bank", "BND", -1), ("bob", "BND", 4))
    assert code_of(world, "alice", mixed, signers=both) == Code.NOT_TRANSFERABLE
    out = move(("bank", "BND", -4), ("bob", "BND", 1), ("carol", "BND", 3))
    assert code_of(world, "bank", out) == Code.OK


@pytest.mark.parametrize(
    ("op", "code"),
    [
        (move(), Code.MALFORMED),
        (move(("alice", "QNX", -3), ("bob", "QNX", 4)), Code.MALFORMED),
        (move(("alice", "QNX", -3), ("bob", "BND", 3)), Code.MALFORMED),
        (move(*[("alice", "QNX", -1), ("bob", "QNX", 1)] * 33), Code.TOO_LARGE),
    ],
)
def test_malformed_legs(world: World, op: Any, code: Code) -> None:
    assert refused(world, op) == code


def test_a_leg_has_one_of_two_directions(world: World) -> None:
    legs = ((ADDRESS["alice"], "QNX", 2, 3), (ADDRESS["bob"], "QNX", 0, 3))
    assert refused(world, call("asset.multi_transfer", legs=legs)) == Code.MALFORMED


def test_sixty_four_legs(world: World) -> None:
    op = move(*[("alice", "QNX", -1)] * 32, *[("bob", "QNX", 1)] * 32)
    assert code_of(world, "alice", op) == Code.OK
    assert world.balance("bob") == 1_000_032


# The authorisation matrix: one good transaction per row of the table; without any one of its signers it fails

CAROL_ALL = key_names("carol")
SUB_ACCOUNT = create_account((entry(0, "sub"),), kind=3, parent=ADDRESS["carol"])
MATRIX: dict[str, tuple[str, Any, list[tuple[str, int]]]] = {
    "account.create": ("alice", SUB_ACCOUNT, [("alice", 0), ("carol", 0), ("carol", 7)]),
    "account.update_keys": ("carol", update_keys((entry(9, "k9"),)), [("carol", 0), ("carol", 7)]),
    "asset.create": ("carol", create(), [("carol", 1), ("carol", 7)]),
    "asset.mint": ("bank", mint("bob", 5), [("bank", 0)]),
    "asset.burn": ("bank", burn(5), [("bank", 0)]),
    "asset.transfer": ("carol", pay("bob", 5), [("carol", 0), ("carol", 1)]),
    "asset.multi_transfer": (
        "bob",
        move(("alice", "QNX", -5), ("carol", "QNX", -5), ("bank", "QNX", 10)),
        [("bob", 0), ("alice", 0), ("carol", 7)],
    ),
}


POWERS = 25  # from here on see test_asset_powers.py
KEYS = 3  # operations on accounts from here on see test_authorisation.py, which has every row of the table
ROWS_HERE = [
    row.name
    for row in ROWS
    if (row.module == "account" and row.code < KEYS) or (row.module == "asset" and row.code < POWERS)
]


def test_the_matrix_has_every_row_of_these_modules() -> None:
    assert list(MATRIX) == ROWS_HERE


@pytest.mark.parametrize("name", ROWS_HERE)
def test_delete_any_signer_and_it_fails(world: World, name: str) -> None:
    sender, op, signers = MATRIX[name]
    for missing in signers:
        rest = [signer for signer in signers if signer != missing]
        assert world.check(world.raw(sender, op, signers=rest)).code == Code.QUORUM_NOT_MET
    # The same through another sender, acting for the account
    other = "hybrid"
    acting = (op[0], ADDRESS[sender], op[2])
    assert world.check(world.raw(other, acting)).code == Code.QUORUM_NOT_MET
    together = [*key_names(other), *signers]
    assert world.check(world.raw(other, acting, signers=together)).code == Code.OK
    assert world.do(sender, op, signers=signers).code == Code.OK


@pytest.mark.parametrize("name", ROWS_HERE)
def test_spoil_any_signature_and_it_fails(world: World, name: str) -> None:
    sender, op, signers = MATRIX[name]
    draft = Draft.load(world.raw(sender, op, signers=signers))
    for account, key_id, signature in draft.auth:
        spoiled = bytes([signature[0] ^ 1]) + signature[1:]
        assert world.check(draft.attach(account, key_id, spoiled).encode()).code == Code.BAD_SIGNATURE


@pytest.mark.parametrize("name", ["asset.mint", "asset.burn", "asset.create"])
def test_the_role_belongs_to_the_acting_account(world: World, name: str) -> None:
    """Signing for an account gives its roles; the sender's own are not enough and not needed."""
    _, op, _ = MATRIX[name]
    acting = (op[0], ADDRESS["bank"], op[2])
    both = [("bob", 0), ("bank", 0)]
    assert code_of(world, "bob", acting, signers=both) == Code.OK
    if name != "asset.create":
        assert code_of(world, "bob", op) == Code.NO_PERMISSION


def test_rows_list_their_codes_in_the_order_of_the_tests_above() -> None:
    rows = {row.name: row for row in ROWS}
    assert [int(code) for code in rows["asset.mint"].codes] == [503, 401, 204, 405, 404, 506, 301]
    assert [int(code) for code in rows["asset.burn"].codes] == [503, 401, 204, 501]
    for name in ("asset.transfer", "asset.multi_transfer"):
        assert [int(code) for code in rows[name].codes] == [503, 504, 401, 615, 506, 301, 501]
