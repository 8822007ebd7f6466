"""A ledger with farms, and short ways to use them. Not a test file.

The assets are those of the pools' world (QNX 6, EUR 2, BIG 128, BTC 8 decimals), all of which farms may take; BND may be neither
transferred nor staked. `audit` looks at the whole state after every step, and every farm's identity is summed up anew.
"""

from __future__ import annotations

from typing import Any

from state import marks
from state.codes import Code
from state.invariants_farm import audit_farm
from state.modules.gate import FLAG_REQUIRE_AUTH, FLAG_STAKEABLE, FLAG_TRADABLE
from state.modules.operation import FARMS_ADDRESS
from state.modules.table import BY_NAME
from state.receipts import Receipt
from state.schema import asset_key, decode_record, encode_record
from state.schema_farm import (
    Campaign,
    Farm,
    FarmPosition,
    campaign_key,
    farm_key,
    farm_position_key,
    farm_positions_key,
)
from state.schema_freezes import LEVEL_DEBIT, LEVEL_DEEP, MARKED_KEY, Freeze, Sanction, sanction_key
from state.transaction import call
from tests.state.amm_world import CODES, RICH, AmmWorld
from tests.state.ledger_world import ADDRESS

FREE = ((0, 1_000_000),)
TIERS = ((0, 1_000_000), (100, 1_500_000), (1_000, 4_000_000))
ONE = 1 << 640


class FarmWorld(AmmWorld):
    """Farms of alice, in which others stake."""

    def __init__(self, holding: int = RICH, *, flags: int = FLAG_STAKEABLE) -> None:
        super().__init__(holding)
        for code in CODES:
            self.set_flags(code, flags)

    def set_flags(self, code: str, flags: int, *, transferable: int = 1) -> None:
        """The flags of an asset, which can be traded, beside these."""
        self._edit(asset_key(code), 2, transferable | FLAG_TRADABLE | flags)
        self._count()

    def _edit(self, key: bytes, position: int, value: int) -> None:
        record = list(decode_record(key, self.db[key])) if key in self.db else [0]
        if key[1:2] == b"h":
            record = [record[0], 0, value] if value else record[:1]
        else:
            record[position] = value
        self.db[key] = encode_record(key, tuple(record))

    def mark(self, key: bytes, bits: int) -> None:
        """Bring an account, an asset or a holding into a restriction, or out of all for 0, as the operations for that leave it."""
        subject = key[2:]
        letter = {b"a": b"a", b"A": b"p", b"h": b"h"}[key[1:2]]
        for old in (b" M" + letter + subject, b" Ms" + subject):
            self.db.pop(old, None)
        level = LEVEL_DEEP if bits & (marks.DEEP_FROZEN | marks.HOLDING_DEEP_FROZEN) and letter != b"p" else LEVEL_DEBIT
        is_frozen = bits == marks.PAUSED if letter == b"p" else bits not in (0, marks.SANCTIONED, marks.CLOSED)
        if is_frozen:
            self.put(b" M" + letter + subject, Freeze(level, ADDRESS["bank"], "a", "b", self.now, 0))
        elif bits == marks.SANCTIONED:
            self.put(sanction_key(subject), Sanction("a", ADDRESS["bank"], "b", "c", self.now))
        lower = bits >> 1 if is_frozen and level == LEVEL_DEEP else 0  # a deep freeze is a freeze
        self._edit(key, 4 if letter == b"a" else 5, bits | lower)
        self._count()

    def put(self, key: bytes, record: Any) -> None:
        """Write a record."""
        self.db[key] = encode_record(key, record)

    def _count(self) -> None:
        guarded = sum(1 for code in CODES if decode_record(asset_key(code), self.db[asset_key(code)])[2] & FLAG_REQUIRE_AUTH)
        count = guarded + sum(1 for key in self.db if key[1:2] == b"M" and key[2:3] in b"ahps" and len(key) > 3)
        self.db.pop(MARKED_KEY, None)
        if count:
            self.put(MARKED_KEY, (count,))

    def farm_record(self, number: int = 0) -> Farm:
        found: Farm = self.read(farm_key(number))
        return found

    def campaign(self, code: str = "QNX", number: int = 0) -> Campaign:
        found: Campaign = self.read(campaign_key(number, code))
        return found

    def own(self, account: str, number: int = 0) -> FarmPosition:
        found: FarmPosition = self.read(farm_position_key(ADDRESS[account], number))
        return found

    def open_numbers(self, account: str) -> tuple[int, ...]:
        found: tuple[int, ...] = (self.read(farm_positions_key(ADDRESS[account])) or (0, ()))[1]
        return found

    def audit(self) -> None:
        """The whole state: pools, farms, every unit; and nothing in the farms' account that is nobody's."""
        super().audit()
        assert audit_farm([(key, decode_record(key, raw)) for key, raw in self.db.items()]) == ()

    def farm(self, account: str, operation: str, **fields: Any) -> Receipt:
        """One operation in a block of its own, and the audit."""
        receipt = self.do(account, fields["op"] if "op" in fields else farm_op(operation, **fields))
        assert receipt.code != Code.INVARIANT_VIOLATION, receipt.log
        self.audit()
        return receipt

    def start(self, **fields: Any) -> None:
        """A farm of alice: stake EUR, earn 1,000,000 units of QNX in 1,000 seconds that begin with the next block's second."""
        terms = {"start": self.now + 1, "end": self.now + 1_001, "budget": 1_000_000, **fields}
        receipt = self.farm("alice", "create", **terms)
        assert receipt.code == Code.OK, receipt.log

    def at(self, second: int, start: int) -> None:
        """The next block is so many seconds after a start."""
        self.now = start + second

    def staked(self, code: str) -> int:
        """What the farms' account holds."""
        return self.balance(FARMS_ADDRESS, code)


_DEFAULTS: dict[str, Any] = {
    "stake_asset": "EUR",
    "reward_asset": "QNX",
    "lock_tiers": FREE,
    "max_stakers": 0,
    "min_stake": 0,
    "domain": "",
    "farm": 0,
    "tier": 0,
    "position": 0,
    "positions": (0,),
    "start": 0,
    "extend_to": 0,
}


def farm_op(operation: str, **fields: Any) -> Any:
    """An operation; what is not given is of farm 0 and position 0. A claim is of all rewards unless one is named."""
    as_account = fields.pop("as_account", b"")
    names = [name for name, _ in BY_NAME[f"farm.{operation}"].fields]
    defaults = {**_DEFAULTS, "reward_asset": ""} if operation == "claim" else _DEFAULTS
    return call(f"farm.{operation}", as_account=as_account, **{n: fields[n] if n in fields else defaults[n] for n in names})
