"""A ledger with a central bank, and short ways to use it. Not a test file.

The bank issues EUR (2 decimals, remunerated); hybrid issues GLD, which may be pledged; poor may mint 100 of EUR. Alice and bob become
dealers where a test says so. Blocks are one second apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from state.audit import audit_state
from state.initial import GenesisAsset, GenesisHolding, genesis_changes
from state.machine import BlockResult
from state.modules.gate import FLAG_LOCKABLE, FLAG_REMUNERATED, FLAG_TRANSFERABLE
from state.modules.table import BY_NAME
from state.receipts import Receipt
from state.schema import decode_record, encode_record, holding_key, minter_key
from state.schema_treasury import (
    NO_BANK,
    Bank,
    CreditLine,
    Dealer,
    Redemption,
    bank_key,
    dealer_key,
    line_key,
    redemption_key,
)
from state.transaction import call
from tests.state.ledger_world import ADDRESS, NOW, World, genesis_state, key_names

RICH = 10**12
PEOPLE = ("alice", "bob", "carol", "hybrid")
FLAGS = {"EUR": FLAG_TRANSFERABLE | FLAG_LOCKABLE | FLAG_REMUNERATED, "GLD": FLAG_TRANSFERABLE | FLAG_LOCKABLE}


class TreasuryWorld(World):
    """Everybody but poor holds `holding` of EUR and GLD; the bank may mint `allowance` of EUR."""

    def __init__(self, holding: int = RICH, allowance: int = 10**15, *, scale: int = 2, max_supply: int = 0) -> None:
        base = genesis_state()
        bank = ADDRESS["bank"]
        assets = (
            *base.assets,
            GenesisAsset("EUR", bank, scale, max_supply, FLAGS["EUR"], ((bank, allowance), (ADDRESS["poor"], 100))),
            GenesisAsset("GLD", ADDRESS["hybrid"], 0, flags=FLAGS["GLD"]),
        )
        held = tuple(GenesisHolding(ADDRESS[name], code, holding) for name in PEOPLE for code in ("EUR", "GLD") if holding)
        state = replace(base, assets=assets, holdings=(*base.holdings, *held))
        self.db = {key: value for key, value in genesis_changes(state) if value is not None}
        self.height = 0
        self.now = NOW
        self.last: BlockResult | None = None

    def edit(self, key: bytes, record: Any) -> None:
        """Write a record by hand."""
        self.db[key] = encode_record(key, record)

    def commit(self, result: BlockResult) -> None:
        assert not [event for event in result.events if event.type in ("action_dropped", "breaker_tripped")], result.events
        super().commit(result)
        self.now += 1

    def read(self, key: bytes) -> Any:
        raw = self.db.get(key)
        return None if raw is None else decode_record(key, raw)

    def bank(self, asset: str = "EUR") -> Bank:
        found: Bank = self.read(bank_key(asset)) or NO_BANK
        return found

    def dealer(self, account: str, asset: str = "EUR") -> Dealer:
        found: Dealer = self.read(dealer_key(ADDRESS[account], asset))
        return found

    def line(self, account: str, asset: str = "EUR") -> CreditLine | None:
        found: CreditLine | None = self.read(line_key(ADDRESS[account], asset))
        return found

    def redemption(self, number: int = 0, asset: str = "EUR") -> Redemption | None:
        found: Redemption | None = self.read(redemption_key(number, asset))
        return found

    def held(self, account: str, code: str = "EUR") -> int:
        record = self.read(holding_key(ADDRESS[account], code)) or (0,)
        return record[1] if len(record) > 1 else 0

    def minted(self) -> int:
        minted: int = self.read(minter_key(ADDRESS["bank"], "EUR"))[1]
        return minted

    def audit(self) -> None:
        """The whole state: every unit, every debt, every request."""
        assert audit_state((key, decode_record(key, raw)) for key, raw in self.db.items()).problems == ()

    def cb(self, operation: str, who: str = "bank", /, **fields: Any) -> Receipt:
        """One operation in a block of its own, and the audit; whoever must sign signs."""
        op = cb_op(operation, **fields)
        signers = [*key_names(who)]
        if operation == "overdraft" and fields["account"] != who:
            signers += key_names(fields["account"])
        receipt = self.do(who, op, signers=signers)
        self.audit()
        return receipt

    def set_up(self, *, rate_ppm: int = 0, dealers: tuple[str, ...] = ("alice", "bob")) -> None:
        """Dealers without limits, and a rate in force."""
        for name in dealers:
            assert self.cb("appoint_dealer", account=name).code == 0
        if rate_ppm:
            assert self.cb("set_rate", rate_ppm=rate_ppm, effective_from=self.now + 1).code == 0


_DEFAULTS: dict[str, Any] = {
    "asset": "EUR",
    "account": "alice",
    "dealer": "alice",
    "tier": 1,
    "issue_max": 0,
    "window_max": 0,
    "window_s": 0,
    "facility": "",
    "ref": "",
    "request": 0,
    "collateral": (),
    "amount": 1,
    "period": 1,
    "rate_ppm": 1,
    "ratio_ppm": 0,
    "limit": 1,
    "effective_from": 0,
    "expires": NOW + 1_000,
    "legs": (("alice", 1),),
}


def address_of(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else ADDRESS[name]


def cb_op(operation: str, **fields: Any) -> Any:
    """An operation on EUR; accounts are names."""
    as_account = fields.pop("as_account", b"")
    values = {name: fields.get(name, _DEFAULTS[name]) for name, _ in BY_NAME[f"cb.{operation}"].fields}
    for name in ("account", "dealer"):
        if name in values:
            values[name] = address_of(values[name])
    if "legs" in values:
        values["legs"] = tuple(sorted((address_of(name), amount) for name, amount in values["legs"]))
    return call(f"cb.{operation}", as_account=as_account, **values)
