"""Holds, escrows, settlements, offers and claims as people read them: paths, JSON forms, lists by pages."""

from __future__ import annotations

from typing import Any

import pytest

from state import marks
from state.paths import resolve_path
from state.primitives.errors import MalformedError
from state.primitives.hashing import sha256
from state.primitives.ids import format_address
from state.queries import describe_record
from state.queries_pending import get_claims, get_pending, get_pending_of
from state.schema import account_key
from state.transaction import call
from tests.state.ledger_world import ADDRESS, NOW
from tests.state.pending_world import EXPIRES, HOUR, PendingWorld, name_of, op, ref

ALICE, BOB, CAROL = (format_address(ADDRESS[name]) for name in ("alice", "bob", "carol"))


@pytest.fixture(scope="module")
def world() -> PendingWorld:
    """One of each, all of which concern alice."""
    world = PendingWorld()
    world.ok("alice", "hold.create", agent=ADDRESS["carol"])
    world.ok("alice", "escrow.create", hash=sha256(b"x"))
    world.ok("carol", "settle.create")
    world.ok("alice", "settle.allocate", terms=world.terms("settlement", "carol"))
    world.ok("alice", "pay.offer")
    return world


def shown(world: PendingWorld, path: str) -> Any:
    key = resolve_path(path)
    return describe_record(key, world.db[key])


def test_every_kind_has_its_path_and_its_form(world: PendingWorld) -> None:
    hold = name_of("hold", "alice").hex()
    assert shown(world, f"/hold/{hold}") == {
        "hold": hold,
        "status": "open",
        "owner": ALICE,
        "beneficiary": BOB,
        "agent": CAROL,
        "asset": "EUR",
        "amount": "100",
        "expires": EXPIRES,
        "ref": ref(0).hex(),
    }
    escrow = shown(world, f"/escrow/{name_of('escrow', 'alice').hex()}")
    assert (escrow["to"], escrow["finish_after"], escrow["cancel_after"]) == (BOB, NOW + 600, EXPIRES)
    assert escrow["hash"] == sha256(b"x").hex()
    settlement = shown(world, f"/settlement/{name_of('settlement', 'carol').hex()}")
    assert (settlement["creator"], settlement["agent"], settlement["complete"]) == (CAROL, "", False)
    assert settlement["legs"] == [
        {"from": ALICE, "to": BOB, "asset": "EUR", "amount": "500", "allocated": True},
        {"from": BOB, "to": ALICE, "asset": "QNX", "amount": "70", "allocated": False},
    ]
    assert settlement["terms"] == world.terms("settlement", "carol").hex()
    offer = shown(world, f"/offer/{name_of('offer', 'alice').hex()}")
    assert (offer["give_asset"], offer["give_amount"], offer["want_asset"], offer["want_amount"]) == ("EUR", "500", "QNX", "70")
    assert offer["terms"] == world.terms("offer", "alice").hex()
    assert shown(world, f"/pending/{ALICE}") == {"account": ALICE, "count": 4, "first": f"offer/{offer['offer']}"}
    entry = shown(world, f"/pending/{ALICE}/hold/{hold}")
    assert entry == {"account": ALICE, "entry": f"hold/{hold}", "next": ""}
    held = shown(world, f"/holding/{ALICE}/EUR")
    assert (held["held"], int(held["balance"]) - int(held["available"])) == ("1100", 1_100)


def test_what_is_settled_says_how(world: PendingWorld) -> None:
    own = PendingWorld()
    own.ok("alice", "hold.create")
    own.ok("bob", "hold.post", amount=60)
    found = get_pending(own.db, "hold", name_of("hold", "alice"), own.now)
    assert found == {
        "hold": name_of("hold", "alice").hex(),
        "status": "paid",
        "code": 702,
        "paid": "60",
        "forgotten": own.now - 1 + 86_400,
    }
    assert get_pending(own.db, "escrow", name_of("hold", "alice"), own.now) is None


def test_what_is_past_its_date_is_expired_before_the_calendar_comes(world: PendingWorld) -> None:
    for kind, creator in (("hold", "alice"), ("escrow", "alice"), ("settlement", "carol"), ("offer", "alice")):
        for now, status in ((EXPIRES - 1, "open"), (EXPIRES, "expired")):
            found = get_pending(world.db, kind, name_of(kind, creator), now)
            assert found is not None
            assert found["status"] == status


def test_an_accounts_list_comes_in_pages(world: PendingWorld) -> None:
    address = ADDRESS["alice"]
    everything, following = get_pending_of(world.db, address, NOW, "", 100)
    assert ([row["kind"] for row in everything], following) == (["offer", "settlement", "escrow", "hold"], "")
    found: list[Any] = []
    start = ""
    for _ in range(4):
        rows, start = get_pending_of(world.db, address, NOW, start, 1)
        found += rows
    assert (found, start) == (everything, "")
    assert get_pending_of(world.db, ADDRESS["bank"], NOW, "", 10) == ([], "")
    for wrong in ("hold/00", "pool/" + "00" * 20, f"hold/{'00' * 20}"):
        with pytest.raises(MalformedError):
            get_pending_of(world.db, address, NOW, wrong, 10)


def test_claims_are_listed_and_say_why() -> None:
    world = PendingWorld()
    for number in range(3):
        world.ok("alice", "escrow.create", ref=ref(number), amount=number + 1)
    world.edit(account_key(ADDRESS["alice"]), marks=marks.DEEP_FROZEN)
    world.wait(2 * HOUR)
    rows, following = get_claims(world.db, ADDRESS["alice"], 0, 10)
    assert [(row["claim"], row["amount"], row["reason_name"]) for row in rows] == [
        (number, str(number + 1), "ACCOUNT_DEEP_FROZEN") for number in range(3)
    ]
    assert following is None
    assert get_claims(world.db, ADDRESS["alice"], 0, 2)[1] == 2
    world.edit(account_key(ADDRESS["alice"]), marks=0)
    assert world.do("alice", call("claim.take", claim=1)).code == 0
    rows, _ = get_claims(world.db, ADDRESS["alice"], 0, 10)
    assert [row["claim"] for row in rows] == [0, 2]
    assert shown(world, f"/claims/{ALICE}") == {"owner": ALICE, "numbers": 3, "waiting": 2}
    assert shown(world, f"/claim/{ALICE}/2")["amount"] == "3"
    assert get_claims(world.db, ADDRESS["bob"], 0, 10) == ([], None)


@pytest.mark.parametrize("path", ["/hold/00", "/escrow/zz", "/pending/x", "/claim/x/y", f"/claim/{ALICE}/-1", f"/pending/{ALICE}/pool/00"])
def test_mistyped_paths_are_refused(path: str) -> None:
    with pytest.raises(MalformedError):
        resolve_path(path)


def test_operations_show_themselves(world: PendingWorld) -> None:
    """What a signer reads before he signs."""
    tx = world.tx("carol", op("settle.create", ref=ref(5)))
    shown_args = tx.calls[0].operation.show(tx.calls[0].args)
    assert shown_args["legs"] == [
        {"from": ALICE, "to": BOB, "asset": "EUR", "amount": "500"},
        {"from": BOB, "to": ALICE, "asset": "QNX", "amount": "70"},
    ]
    assert shown_args["ref"] == ref(5).hex()
