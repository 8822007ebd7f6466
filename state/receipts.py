"""What a transaction leaves behind for people: its code, its fee, its events.

The result that consensus hashes is code, data, gas wanted and gas used; data is the canonical array (index of the failing
operation or -1, fee). Events are kept as raw values and put into words only when somebody reads them: writing an address as text
costs more than executing the transfer. No rule of the ledger goes in here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from state.codes import Code
from state.event_kinds import ACCOUNT, AMOUNT, BYTES, NUMBER, TEXT, EventKind, EventValue
from state.events_accounts import ACCOUNT_EVENTS
from state.events_assets import ASSET_EVENTS
from state.events_audit import AUDIT_EVENTS
from state.events_farm import FARM_EVENTS
from state.events_gov import GOV_EVENTS
from state.events_kyc import KYC_EVENTS
from state.events_pending import PENDING_EVENTS
from state.events_treasury import TREASURY_EVENTS
from state.primitives.codec import Value, decode_amount, encode_amount, encode_trusted
from state.primitives.errors import MalformedError

ACCOUNT_CREATED: Final = EventKind(
    1, "account_created", (("account", ACCOUNT), ("creator", ACCOUNT), ("parent", ACCOUNT), ("kind", NUMBER))
)
KEYS_UPDATED: Final = EventKind(2, "keys_updated", (("account", ACCOUNT), ("added", NUMBER), ("removed", NUMBER)))
ASSET_CREATED: Final = EventKind(10, "asset_created", (("asset", TEXT), ("issuer", ACCOUNT), ("scale", NUMBER)))
MINTED: Final = EventKind(
    11, "mint", (("asset", TEXT), ("minter", ACCOUNT), ("recipient", ACCOUNT), ("amount", AMOUNT), ("ref", TEXT))
)
BURNED: Final = EventKind(12, "burn", (("asset", TEXT), ("account", ACCOUNT), ("amount", AMOUNT)))
TRANSFERRED: Final = EventKind(
    13, "transfer", (("sender", ACCOUNT), ("recipient", ACCOUNT), ("asset", TEXT), ("amount", AMOUNT), ("tag", TEXT))
)
LEG_MOVED: Final = EventKind(
    14, "leg", (("account", ACCOUNT), ("asset", TEXT), ("direction", TEXT), ("amount", AMOUNT))
)
CLAIM_PARKED: Final = EventKind(
    70,
    "claim_parked",
    (("owner", ACCOUNT), ("claim", NUMBER), ("asset", TEXT), ("amount", AMOUNT), ("reason", NUMBER)),
)
CLAIM_TAKEN: Final = EventKind(
    71, "claim_taken", (("owner", ACCOUNT), ("claim", NUMBER), ("asset", TEXT), ("amount", AMOUNT))
)
VALIDATOR_REGISTERED: Final = EventKind(
    40,
    "validator_registered",
    (
        ("validator", BYTES),
        ("owner", ACCOUNT),
        ("amount", AMOUNT),
        ("moniker", TEXT),
    ),
)
VALIDATOR_EDITED: Final = EventKind(
    41,
    "validator_edited",
    (
        ("validator", BYTES),
        ("commission_ppm", NUMBER),
        ("min_self_bond", AMOUNT),
        ("moniker", TEXT),
    ),
)
VALIDATOR_ROTATED: Final = EventKind(
    42,
    "validator_rotated",
    (
        ("validator", BYTES),
        ("old_address", BYTES),
        ("new_address", BYTES),
    ),
)
VALIDATOR_UNJAILED: Final = EventKind(43, "validator_unjailed", (("validator", BYTES),))
STAKE_DELEGATED: Final = EventKind(44, "delegated", (("validator", BYTES), ("delegator", ACCOUNT), ("amount", AMOUNT)))
STAKE_UNDELEGATED: Final = EventKind(
    45,
    "undelegated",
    (
        ("validator", BYTES),
        ("delegator", ACCOUNT),
        ("amount", AMOUNT),
        ("entry", NUMBER),
        ("until", NUMBER),
    ),
)
STAKE_UNBONDING_CANCELLED: Final = EventKind(
    46,
    "unbonding_cancelled",
    (
        ("validator", BYTES),
        ("delegator", ACCOUNT),
        ("amount", AMOUNT),
        ("entry", NUMBER),
    ),
)
STAKE_REDELEGATED: Final = EventKind(
    47,
    "redelegated",
    (
        ("source", BYTES),
        ("destination", BYTES),
        ("delegator", ACCOUNT),
        ("amount", AMOUNT),
        ("until", NUMBER),
    ),
)
STAKE_CLAIMED: Final = EventKind(
    48,
    "stake_claimed",
    (
        ("validator", BYTES),
        ("delegator", ACCOUNT),
        ("rewards", AMOUNT),
        ("commission", AMOUNT),
        ("released", AMOUNT),
    ),
)
STAKE_RELEASED: Final = EventKind(
    49,
    "unbonding_released",
    (
        ("validator", BYTES),
        ("delegator", ACCOUNT),
        ("amount", AMOUNT),
    ),
)
VALIDATOR_SLASHED: Final = EventKind(
    50,
    "validator_slashed",
    (
        ("validator", BYTES),
        ("reason", TEXT),
        ("height", NUMBER),
        ("time", NUMBER),
        ("fraction_ppm", NUMBER),
        ("bonded", AMOUNT),
        ("unbonding", AMOUNT),
        ("redelegated", AMOUNT),
    ),
)
VALIDATOR_JAILED: Final = EventKind(51, "validator_jailed", (("validator", BYTES), ("reason", TEXT), ("until", NUMBER)))
VALIDATOR_TOMBSTONED: Final = EventKind(52, "validator_tombstoned", (("validator", BYTES),))
MISBEHAVIOR_IGNORED: Final = EventKind(
    53,
    "misbehavior_ignored",
    (
        ("address", BYTES),
        ("reason", TEXT),
        ("height", NUMBER),
    ),
)
STAKE_MINTED: Final = EventKind(54, "stake_minted", (("asset", TEXT), ("amount", AMOUNT)))
POOL_CREATED: Final = EventKind(
    100,
    "pool_created",
    (
        ("pool", TEXT),
        ("account", ACCOUNT),
        ("asset_a", TEXT),
        ("amount_a", AMOUNT),
        ("asset_b", TEXT),
        ("amount_b", AMOUNT),
        ("shares", AMOUNT),
        ("fee_ppm", NUMBER),
    ),
)
_POOL_CHANGE: Final = (
    ("pool", TEXT),
    ("account", ACCOUNT),
    ("asset_a", TEXT),
    ("amount_a", AMOUNT),
    ("asset_b", TEXT),
    ("amount_b", AMOUNT),
    ("shares", AMOUNT),
)
LIQUIDITY_ADDED: Final = EventKind(101, "liquidity_added", _POOL_CHANGE)
LIQUIDITY_REMOVED: Final = EventKind(102, "liquidity_removed", _POOL_CHANGE)
SWAPPED: Final = EventKind(
    103,
    "swap",
    (
        ("pool", TEXT),
        ("account", ACCOUNT),
        ("asset_in", TEXT),
        ("amount_in", AMOUNT),
        ("asset_out", TEXT),
        ("amount_out", AMOUNT),
    ),
)
PROTOCOL_FEE_MINTED: Final = EventKind(104, "protocol_fee", (("pool", TEXT), ("shares", AMOUNT)))
PROTOCOL_FEE_SET: Final = EventKind(105, "protocol_fee_set", (("pool", TEXT), ("on", NUMBER)))
POOL_SWITCHED: Final = EventKind(
    106,
    "pool_switched",
    (("pool", TEXT), ("trade_until", NUMBER), ("deposit_until", NUMBER), ("withdraw_until", NUMBER)),
)
POOL_CLOSED: Final = EventKind(107, "pool_closed", _POOL_CHANGE)
POOL_REPAIRED: Final = EventKind(
    108,
    "pool_repaired",
    (("pool", TEXT), ("asset_a", TEXT), ("amount_a", AMOUNT), ("asset_b", TEXT), ("amount_b", AMOUNT), ("plan", BYTES)),
)
POOL_MEMBERS_SET: Final = EventKind(109, "pool_members_set", (("pool", TEXT), ("account", ACCOUNT), ("members", NUMBER)))
BREAKER_TRIPPED: Final = EventKind(90, "breaker_tripped", (("module", TEXT), ("operation", NUMBER), ("reason", TEXT)))
ACTION_DROPPED: Final = EventKind(91, "action_dropped", (("action", TEXT), ("reason", TEXT)))

EVENT_KINDS: Final[dict[int, EventKind]] = {
    kind.number: kind
    for kind in (
        ACCOUNT_CREATED,
        KEYS_UPDATED,
        ASSET_CREATED,
        MINTED,
        BURNED,
        TRANSFERRED,
        LEG_MOVED,
        *ASSET_EVENTS,
        *KYC_EVENTS,
        CLAIM_PARKED,
        CLAIM_TAKEN,
        VALIDATOR_REGISTERED,
        VALIDATOR_EDITED,
        VALIDATOR_ROTATED,
        VALIDATOR_UNJAILED,
        STAKE_DELEGATED,
        STAKE_UNDELEGATED,
        STAKE_UNBONDING_CANCELLED,
        STAKE_REDELEGATED,
        STAKE_CLAIMED,
        STAKE_RELEASED,
        VALIDATOR_SLASHED,
        VALIDATOR_JAILED,
        VALIDATOR_TOMBSTONED,
        MISBEHAVIOR_IGNORED,
        STAKE_MINTED,
        POOL_CREATED,
        LIQUIDITY_ADDED,
        LIQUIDITY_REMOVED,
        SWAPPED,
        PROTOCOL_FEE_MINTED,
        PROTOCOL_FEE_SET,
        POOL_SWITCHED,
        POOL_CLOSED,
        POOL_REPAIRED,
        POOL_MEMBERS_SET,
        *FARM_EVENTS,
        *TREASURY_EVENTS,
        BREAKER_TRIPPED,
        ACTION_DROPPED,
        *PENDING_EVENTS,
        *ACCOUNT_EVENTS,
        *GOV_EVENTS,
        *AUDIT_EVENTS,
    )
}


class Event(NamedTuple):
    """Something that happened: a kind and its values in the order of the kind's fields."""

    kind: EventKind
    values: tuple[EventValue, ...]

    @property
    def type(self) -> str:
        """The event's name."""
        return self.kind.name

    @property
    def attributes(self) -> tuple[tuple[str, str], ...]:
        """(name, text) of every value that is not empty."""
        pairs = ((name, kind.text(value)) for (name, kind), value in zip(self.kind.fields, self.values, strict=True))
        return tuple((name, text) for name, text in pairs if text)

    def to_wire(self) -> tuple[Value, ...]:
        """Stored form: number of the kind, values."""
        return (
            self.kind.number,
            tuple(
                encode_amount(value) if kind.is_amount and type(value) is int else value
                for (_, kind), value in zip(self.kind.fields, self.values, strict=True)
            ),
        )

    @classmethod
    def from_wire(cls, wire: Value) -> Event:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        if type(wire) is not tuple or len(wire) != 2 or type(wire[1]) is not tuple or type(wire[0]) is not int:
            raise MalformedError("an event has a wrong shape")
        kind = EVENT_KINDS.get(wire[0])
        if kind is None or len(kind.fields) != len(wire[1]):
            raise MalformedError("an event of an unknown kind")
        return cls(
            kind,
            tuple(
                decode_amount(value) if field.is_amount else value
                for (_, field), value in zip(kind.fields, wire[1], strict=True)
            ),
        )


NO_OPERATION: Final = -1


class Receipt(NamedTuple):
    """The result of one transaction. `op_index` is the failing operation, or -1. `fee` is what was charged, in base units."""

    code: int
    op_index: int
    fee: int
    data: bytes
    events: tuple[Event, ...]
    gas_wanted: int = 0
    gas_used: int = 0
    log: str = ""  # for people; never stored or hashed, so that its wording may change

    @property
    def code_name(self) -> str:
        """The code's name."""
        return Code(self.code).name

    def to_wire(self) -> tuple[Value, ...]:
        """Stored form; `log` is left out."""
        return (
            int(self.code),
            self.op_index,
            encode_amount(self.fee),
            tuple(event.to_wire() for event in self.events),
            self.gas_wanted,
            self.gas_used,
        )

    @classmethod
    def from_wire(cls, wire: Value) -> Receipt:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        if type(wire) is not tuple or len(wire) != 6 or type(wire[3]) is not tuple:
            raise MalformedError("a receipt has a wrong shape")
        code, op_index, fee, events, gas_wanted, gas_used = wire
        if any(type(number) is not int for number in (code, op_index, gas_wanted, gas_used)):
            raise MalformedError("a receipt has a wrong shape")
        amount = decode_amount(fee)
        return cls(
            code,
            op_index,
            amount,
            receipt_data(op_index, amount),
            tuple(Event.from_wire(event) for event in events),
            gas_wanted,
            gas_used,
        )


@lru_cache(maxsize=1024)  # nearly every transaction of a block has the same fee and no failing operation
def receipt_data(op_index: int, fee: int) -> bytes:
    """The `data` that consensus hashes."""
    return encode_trusted((op_index, encode_amount(fee)))
