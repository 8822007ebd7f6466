"""A ledger with assets that can be held and escrowed, and short ways to make holds, escrows, settlements and offers. Not a test file.

QNX (6) and EUR (2) allow everything; BIG (128) too; PLN allows transfers only, BND moves only to and from its issuer.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from state.audit import audit_state
from state.codes import Code
from state.initial import GenesisAsset, GenesisHolding, genesis_changes
from state.machine import BlockResult
from state.modules import offers, settlements
from state.modules.gate import FLAG_ESCROWABLE, FLAG_LOCKABLE, FLAG_TRANSFERABLE, read_holding
from state.modules.pending import compute_id
from state.modules.table import BY_NAME
from state.params import FeeParams
from state.receipts import Receipt
from state.schema import asset_key, decode_record, encode_record, holding_key
from state.schema_pending import ESCROW, HOLD, OFFER, SETTLEMENT, list_entry_key, list_key, pending_key
from state.transaction import call
from tests.state.ledger_world import ADDRESS, NOW, World, genesis_state

CODES = ("BIG", "EUR", "QNX")
RICH = 10**30
HOUR = 3_600
PEOPLE = ("alice", "bob", "carol", "bank")
LETTERS = {"hold": HOLD, "escrow": ESCROW, "settlement": SETTLEMENT, "offer": OFFER}
ALL_FLAGS = FLAG_TRANSFERABLE | FLAG_LOCKABLE | FLAG_ESCROWABLE


def ref(number: int) -> bytes:
    """A reference of 16 bytes."""
    return number.to_bytes(16, "big")


def name_of(kind: str, creator: str, number: int = 0) -> bytes:
    """The id of what somebody made with his reference of this number."""
    return compute_id(LETTERS[kind], ADDRESS[creator], ref(number))


class PendingWorld(World):
    """Alice, bob, carol and the bank hold `holding` of each asset; blocks one second apart."""

    def __init__(self, holding: int = RICH, *, fees: FeeParams = FeeParams()) -> None:  # noqa: B008  (frozen)
        base = genesis_state(fees)
        bank = ADDRESS["bank"]
        pln = GenesisAsset("PLN", bank, 2, flags=FLAG_TRANSFERABLE)
        assets = (*base.assets, GenesisAsset("EUR", bank, 2), GenesisAsset("BIG", bank, 128), pln)
        kept = tuple(h for h in base.holdings if not (h.code == "QNX" and h.account in {ADDRESS[name] for name in PEOPLE}))
        mine = (GenesisHolding(ADDRESS[name], code, holding) for name in PEOPLE for code in (*CODES, "PLN"))
        state = replace(base, assets=assets, holdings=(*kept, *mine))
        self.db = {key: value for key, value in genesis_changes(state) if value is not None}
        for code in CODES:
            self.edit(asset_key(code), flags=ALL_FLAGS)
        self.height = 0
        self.now = NOW
        self.last: BlockResult | None = None

    def commit(self, result: BlockResult) -> None:
        assert not [event for event in result.events if event.type in ("action_dropped", "breaker_tripped")], result.events
        super().commit(result)
        self.now += 1

    def edit(self, key: bytes, marks: int | None = None, flags: int | None = None) -> None:
        """Set the marks of an account, asset or holding, or the flags of an asset, by hand."""
        record = list(decode_record(key, self.db[key])) if key in self.db else [0]
        if key[1:2] == b"h":
            balance, held, _ = read_holding(tuple(record))
            if not (balance or held or marks):
                self.db.pop(key, None)
                return
            record = [balance, held, marks] if held or marks else [balance]
        elif marks is not None:
            record[-1 if key[1:2] == b"A" else 4] = marks
        if flags is not None:
            record[2] = flags
        self.db[key] = encode_record(key, tuple(record))

    def read(self, key: bytes) -> Any:
        raw = self.db.get(key)
        return None if raw is None else decode_record(key, raw)

    def record(self, kind: str, creator: str, number: int = 0) -> Any:
        return self.read(pending_key(LETTERS[kind], name_of(kind, creator, number)))

    def held(self, account: str, code: str = "EUR") -> int:
        return read_holding(self.read(holding_key(ADDRESS[account], code)))[1]

    def available(self, account: str, code: str = "EUR") -> int:
        return self.balance(account, code) - self.held(account, code)

    def list_of(self, account: str) -> list[bytes]:
        """Letters and ids in an account's list, newest first."""
        address = ADDRESS[account]
        name, _ = self.read(list_key(address)) or (b"", 0)
        found = []
        while name:
            found.append(name)
            name = self.read(list_entry_key(address, name))[1]
        return found

    def audit(self) -> None:
        """The whole state: every unit, every promise, every list. Marks that were set by hand have no act of authority behind them."""
        problems = audit_state((key, decode_record(key, raw)) for key, raw in self.db.items()).problems
        assert [problem for problem in problems if not problem.startswith("comp:")] == []

    def act(self, account: str, name: str, **fields: Any) -> Receipt:
        """One operation in a block of its own, and the audit."""
        receipt = self.do(account, op(name, **fields))
        assert receipt.code in (*BY_NAME[name].codes, *GATE, Code.OK, Code.OVERFLOW_MAX), (name, receipt)
        self.audit()
        return receipt

    def ok(self, account: str, name: str, **fields: Any) -> Receipt:
        """The same, and it must succeed."""
        receipt = self.act(account, name, **fields)
        assert receipt.code == Code.OK, receipt
        return receipt

    def wait(self, seconds: int) -> None:
        """Time passes; what is due is settled."""
        self.now += seconds
        for _ in range(3):
            self.apply()
        self.audit()

    def terms(self, kind: str, creator: str, number: int = 0) -> bytes:
        name = name_of(kind, creator, number)
        record = self.record(kind, creator, number)
        return (settlements if kind == "settlement" else offers).compute_terms(name, record)


# what the gate may answer to every operation that moves value
GATE = (
    Code.ACCOUNT_CLOSED,
    Code.ACCOUNT_SANCTIONED,
    Code.ACCOUNT_DEEP_FROZEN,
    Code.ACCOUNT_FROZEN,
    Code.ASSET_PAUSED,
    Code.HOLDING_FROZEN,
    Code.NOT_AUTHORISED_FOR_ASSET,
    Code.RECIPIENT_MUST_ACCEPT,
    Code.INSUFFICIENT_AVAILABLE,
)

EXPIRES = NOW + HOUR
LEGS = (
    (ADDRESS["alice"], ADDRESS["bob"], "EUR", 500),
    (ADDRESS["bob"], ADDRESS["alice"], "QNX", 70),
)
_DEFAULTS: dict[str, Any] = {
    "ref": ref(0),
    "asset": "EUR",
    "amount": 100,
    "beneficiary": ADDRESS["bob"],
    "to": ADDRESS["bob"],
    "agent": b"",
    "expires": EXPIRES,
    "deadline": EXPIRES,
    "finish_after": NOW + 600,
    "cancel_after": EXPIRES,
    "hash": b"",
    "secret": b"",
    "legs": LEGS,
    "give_asset": "EUR",
    "give_amount": 500,
    "want_asset": "QNX",
    "want_amount": 70,
    "terms": b"\0" * 32,
    "hold": name_of("hold", "alice"),
    "escrow": name_of("escrow", "alice"),
    "settlement": name_of("settlement", "carol"),
    "offer": name_of("offer", "alice"),
}


def op(name: str, **fields: Any) -> Any:
    """An operation; what is not given is of alice's first hold, escrow or offer, or of carol's first settlement."""
    as_account = fields.pop("as_account", b"")
    names = [field for field, _ in BY_NAME[name].fields]
    assert set(fields) <= set(names), (name, fields)
    return call(name, as_account=as_account, **{n: fields[n] if n in fields else _DEFAULTS[n] for n in names})
