"""A ledger with pools, and short ways to use them. Not a test file.

Assets of all scales: QNX (6), EUR (2), BIG (128), BTC (8), and BND, which is not transferable. Governance acts through its handler, as
it does when a proposal is executed: nobody can sign for it.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from state.codes import Code
from state.initial import GenesisAsset, GenesisHolding, genesis_changes
from state.invariants import check_operation
from state.invariants_amm import audit_amm
from state.machine import BlockResult
from state.modules.operation import AMM_ADDRESS, GOVERNANCE_ADDRESS, TREASURY_ADDRESS, OpContext
from state.modules.table import BY_NAME
from state.params import FeeParams
from state.primitives.errors import OperationFailed
from state.receipts import Receipt
from state.schema import decode_record
from state.schema_amm import NO_POSITION, Pool, Position, pool_key, position_key
from state.transaction import Call, call
from state.view import View, encode_changes
from tests.state.ledger_world import ADDRESS, NOW, World, genesis_state

CODES = ("BIG", "BTC", "EUR", "QNX")
RICH = 10**30
NO_PRICE = (0, 0)


class AmmWorld(World):
    """Alice, bob, carol and the bank hold `holding` of each asset; blocks one second apart."""

    def __init__(self, holding: int = RICH, *, fees: FeeParams = FeeParams()) -> None:  # noqa: B008  (frozen)
        base = genesis_state(fees)
        bank = ADDRESS["bank"]
        assets = (*base.assets, GenesisAsset("EUR", bank, 2), GenesisAsset("BIG", bank, 128), GenesisAsset("BTC", bank, 8))
        people = ("alice", "bob", "carol", "bank")
        kept = tuple(h for h in base.holdings if not (h.code == "QNX" and h.account in {ADDRESS[name] for name in people}))
        state = replace(
            base,
            assets=assets,
            holdings=(*kept, *(GenesisHolding(ADDRESS[name], code, holding) for name in people for code in CODES)),
        )
        self.db = {key: value for key, value in genesis_changes(state) if value is not None}
        self.height = 0
        self.now = NOW
        self.last: BlockResult | None = None

    def commit(self, result: BlockResult) -> None:
        assert not [event for event in result.events if event.type in ("action_dropped", "breaker_tripped")], result.events
        super().commit(result)
        self.now += 1

    def read(self, key: bytes) -> Any:
        raw = self.db.get(key)
        return None if raw is None else decode_record(key, raw)

    def pool(self, pool: str = "EUR/QNX") -> Pool:
        found: Pool = self.read(pool_key(pool))
        return found

    def position(self, account: str, pool: str = "EUR/QNX") -> Position:
        address = TREASURY_ADDRESS if account == "treasury" else ADDRESS[account]
        found: Position = self.read(position_key(address, pool)) or NO_POSITION
        return found

    def audit(self) -> None:
        """The whole state: every reserve, every share, every unit."""
        assert audit_amm([(key, decode_record(key, raw)) for key, raw in self.db.items()]) == ()
        for code in (*CODES, "BND"):
            assert self.total(code) == self.supply(code), code

    def amm(self, account: str, operation: str, **fields: Any) -> Receipt:
        """One operation in a block of its own, and the audit."""
        receipt = self.do(account, amm_op(operation, **fields))
        self.audit()
        return receipt

    def govern(self, operation: str, **fields: Any) -> int:
        """An operation by governance, in a block of its own: its code."""
        row = BY_NAME[f"amm.{operation}"]
        args = tuple(_DEFAULTS[name] if name not in fields else fields[name] for name, _ in row.fields)
        view = View(self.db)
        context = OpContext(view, self.height + 1, self.now, ())
        try:
            row.handler(context, GOVERNANCE_ADDRESS, args)
        except OperationFailed as failure:
            return failure.result
        assert check_operation(view, 0, Call(row, GOVERNANCE_ADDRESS, args)) == ""
        view.settle()
        for key, value in encode_changes(view.changed_records()):
            if value is None:
                del self.db[key]
            else:
                self.db[key] = value
        self.height += 1
        self.now += 1
        self.audit()
        return int(Code.OK)

    def held(self, code: str) -> int:
        """What the pools' account holds."""
        return self.balance(AMM_ADDRESS, code)

    def worth(self, pool: str = "EUR/QNX") -> Fraction:
        """k per squared share: it only grows."""
        record = self.pool(pool)
        return Fraction(record.reserve_a * record.reserve_b, record.supply**2)


_DEFAULTS: dict[str, Any] = {
    "pool": "EUR/QNX",
    "min_shares": 0,
    "min_price": NO_PRICE,
    "max_price": NO_PRICE,
    "min_a": 0,
    "min_b": 0,
    "min_out": 0,
    "max_in": (1 << 640) - 1,
    "members": (),
    "fee_ppm": 3_000,
    "a": "EUR",
    "b": "QNX",
    "path": ("EUR", "QNX"),
    "asset": "EUR",
    "trade_until": 0,
    "deposit_until": 0,
    "withdraw_until": 0,
    "plan_hash": b"",
    "domain": "retail",
    "amount_a": 0,
    "amount_b": 0,
}


def amm_op(operation: str, **fields: Any) -> Any:
    """An operation; what is not given is of the pool EUR/QNX, without bounds."""
    as_account = fields.pop("as_account", b"")
    names = [name for name, _ in BY_NAME[f"amm.{operation}"].fields]
    return call(f"amm.{operation}", as_account=as_account, **{n: fields[n] if n in fields else _DEFAULTS[n] for n in names})
