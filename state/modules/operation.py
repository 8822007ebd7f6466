"""What an operation is: one row of the table, and what its handler is given.

A new operation is a handler and a row. The row says everything that other parts need to know without running the handler:
fields, who must authorise at which level, fee key, which failures it may have and in which order, what it may touch. No
handler goes in here, and no knowledge of a particular operation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from state.codes import Code
from state.event_kinds import EventKind, EventValue
from state.marks import OVERDRAWN, RESERVE, TREASURY_MARKS
from state.modules.fields import FieldKind
from state.modules.gate import put_holding, require_credit, require_debit
from state.modules.treasury_moves import follow, prepare_debit, repay_from
from state.primitives.codec import Value
from state.primitives.errors import OperationFailed, TransactionError
from state.primitives.ids import module_address
from state.primitives.limits import AMOUNT_MAX
from state.receipts import Event
from state.schema import ACCOUNT_PREFIX, ASSET_PREFIX, HOLDING_PREFIX
from state.view import View

if TYPE_CHECKING:
    from state.authority import Authority
    from state.transaction import Call, Transaction

# The ledger's own accounts. None has keys; each changes only by the operations whose row names it, and FEES by fees.
FEES: Final = "fees"
BONDED: Final = "bonded"  # stake that is in the pools of validators
UNBONDING: Final = "unbonding"  # stake on its way out
REWARDS: Final = "rewards"  # of validators and delegators, not yet claimed
TREASURY: Final = "treasury"
AMM: Final = "amm"  # the reserves of all pools
FARMS: Final = "farms"  # what is staked in farms, and what they have to pay out
ESCROWS: Final = "escrows"
CLAIMS: Final = "claims"  # what its owner could not be given when it was due
GOVERNANCE: Final = "governance"  # deposits on proposals; who acts in operations that only governance may do
MODULE_ACCOUNTS: Final[dict[bytes, str]] = {
    module_address(name): name
    for name in (FEES, BONDED, UNBONDING, REWARDS, TREASURY, AMM, FARMS, ESCROWS, CLAIMS, GOVERNANCE)
}
FEES_ADDRESS: Final = module_address(FEES)
BONDED_ADDRESS: Final = module_address(BONDED)
UNBONDING_ADDRESS: Final = module_address(UNBONDING)
REWARDS_ADDRESS: Final = module_address(REWARDS)
TREASURY_ADDRESS: Final = module_address(TREASURY)
AMM_ADDRESS: Final = module_address(AMM)
FARMS_ADDRESS: Final = module_address(FARMS)
ESCROWS_ADDRESS: Final = module_address(ESCROWS)
CLAIMS_ADDRESS: Final = module_address(CLAIMS)
GOVERNANCE_ADDRESS: Final = module_address(GOVERNANCE)


class Level(IntEnum):
    """Classes of authority; the number is the index into an account's thresholds."""

    LOW = 0  # claims, votes
    MEDIUM = 1  # payments, trades
    HIGH = 2  # keys, limits, roles
    STATUTORY = 3  # mint, clawback, freeze


class Subcalls(NamedTuple):
    """Operations that a handler wants done after it, as `account`, whole or not at all; see `state.subcalls`.

    `on_failure` gets the context as it was before the handler, the code and the index of the failing operation.
    """

    account: bytes
    calls: tuple[tuple[Operation, tuple[Any, ...]], ...]
    on_failure: Callable[[OpContext, int, int], None]


class OpContext:
    """What a handler works with: the view, the block, and the few ways in which value may move."""

    __slots__ = ("authority", "call", "events", "height", "key_kinds", "subcalls", "time_s", "tx", "view")

    def __init__(self, view: View, height: int, time_s: int, key_kinds: tuple[int, ...]) -> None:
        self.view = view
        self.height = height
        self.time_s = time_s
        self.key_kinds = key_kinds
        self.events: list[Event] = []
        self.tx: Transaction | None = None  # the running one; None in automatic actions
        self.call: Call | None = None  # the running operation of it
        self.authority: Authority | None = None  # what it is held to, if an account in it has rules of its own
        self.subcalls: Subcalls | None = None

    def begin(self, tx: Transaction, authority: Authority | None) -> None:
        """Forget the transaction before."""
        self.events = []
        self.call = None
        self.subcalls = None
        self.tx = tx
        self.authority = authority

    def emit(self, kind: EventKind, *values: EventValue) -> None:
        """Record an event of the running transaction."""
        self.events.append(tuple.__new__(Event, (kind, values)))

    def is_authorised_by(self, address: bytes) -> bool:
        """Whether the running operation is one that this account has signed, and not what was promised before or an automatic action."""
        if self.call is None:
            return False
        operation, account, args = self.call
        if account == address and operation.level >= Level.MEDIUM:
            return True
        return operation.authorities is not None and any(other == address for other, _ in operation.authorities(account, args))

    def require_recipient(self, address: bytes) -> None:
        """Fail unless this is an account that may be credited: 506, 301."""
        if address in MODULE_ACCOUNTS:
            raise OperationFailed(Code.RECIPIENT_IS_MODULE, "a module account cannot be paid")
        if self.view.values[ACCOUNT_PREFIX + address] is None:
            raise OperationFailed(Code.ACCOUNT_NOT_FOUND, "the recipient has no account")

    def debit(self, address: bytes, code: bytes, amount: int, to: bytes = b"") -> None:
        """Take `amount` > 0 from what an account may spend: the codes of `gate.require_debit`, 502, 501.

        `to` is the account that gets it in the same operation, empty if a module does. What is missing is drawn on the account's credit
        line if it has one; a dealer's required reserve cannot be spent. A holding that reaches zero is deleted.
        """
        view = self.view
        values = view.values
        key = HOLDING_PREFIX + address + code
        holding = values[key]
        account = values[ACCOUNT_PREFIX + address]
        if account is not None and (account[4] or values[ASSET_PREFIX + code][5] or (holding is not None and len(holding) > 1)):
            require_debit(self, address, code, amount, to)
            if holding is not None and len(holding) > 1 and holding[2] & TREASURY_MARKS:
                prepare_debit(self, address, code, amount)
            self.take(address, code, amount)
            return
        rest: int = (holding[0] if holding is not None else 0) - amount  # `take` in place: every payment comes by here
        if rest < 0:
            raise OperationFailed(Code.INSUFFICIENT_FUNDS, f"{rest + amount} held, {amount} needed")
        view.put(key, (rest,) if rest else None)

    def credit(self, address: bytes, code: bytes, amount: int, *, is_return: bool = False) -> None:
        """Add `amount` > 0 to what an account holds: the codes of `gate.require_credit`, 505.

        `is_return`: it is the account's own value that comes back to it (a withdrawal, a cancellation).
        """
        view = self.view
        values = view.values
        key = HOLDING_PREFIX + address + code
        holding = values[key]
        account = values[ACCOUNT_PREFIX + address]
        if account is not None and (account[4] or values[ASSET_PREFIX + code][5] or (holding is not None and len(holding) > 1)):
            require_credit(self, address, code, amount, is_return)
            self.give(address, code, amount)
            if holding is not None and len(holding) > 1 and holding[2] & OVERDRAWN:
                repay_from(self, address, code, amount)
            return
        total: int = (holding[0] if holding is not None else 0) + amount  # `give` in place
        if total > AMOUNT_MAX:
            raise OperationFailed(Code.OVERFLOW_MAX, "an amount is below 2^640")
        view.put(key, (total,))

    def take(self, address: bytes, code: bytes, amount: int) -> None:
        """A debit that asks no rule but that it is there and not held: 502, 501. For fees, and for acts of authority."""
        key = HOLDING_PREFIX + address + code
        view = self.view
        holding = view.values[key]
        if holding is not None and len(holding) > 1:
            balance, held, marks = holding
            if balance - held < amount <= balance:
                raise OperationFailed(Code.INSUFFICIENT_AVAILABLE, f"{balance - held} available, {held} held, {amount} needed")
            if balance >= amount:
                put_holding(view, key, balance - amount, held, marks)
                if marks & RESERVE:
                    follow(self, address, code, balance - amount)
                return
        rest: int = (holding[0] if holding is not None else 0) - amount
        if rest < 0:
            raise OperationFailed(Code.INSUFFICIENT_FUNDS, f"{rest + amount} held, {amount} needed")
        view.put(key, (rest,) if rest else None)

    def give(self, address: bytes, code: bytes, amount: int) -> None:
        """A credit that asks no rule: 505. For fees, and for acts of authority."""
        key = HOLDING_PREFIX + address + code
        view = self.view
        holding = view.values[key]
        total: int = (holding[0] if holding is not None else 0) + amount
        if total > AMOUNT_MAX:
            raise OperationFailed(Code.OVERFLOW_MAX, "an amount is below 2^640")
        if holding is None or len(holding) == 1:
            view.put(key, (total,))
            return
        view.put(key, (total, *holding[1:]))
        if holding[2] & RESERVE:
            follow(self, address, code, total)


def require_governance(account: bytes) -> None:
    """Fail with 204 unless governance acts: its account has no keys, so no transaction can be in its name."""
    if account != GOVERNANCE_ADDRESS:
        raise OperationFailed(Code.NO_PERMISSION, "only governance may do this")


Handler = Callable[[OpContext, bytes, tuple[Any, ...]], None]
# (acting account, fields) -> further accounts that must authorise, each with its level
Authorities = Callable[[bytes, tuple[Any, ...]], tuple[tuple[bytes, Level], ...]]


def _count_items(raw: msgspec.Raw) -> int:
    """How many items an array of anything has; -1 if it is no array."""
    try:
        return len(msgspec.msgpack.decode(raw, type=tuple[msgspec.Raw, ...]))
    except (ValueError, RecursionError):
        return -1


def _make_reader(
    name: str, fields: tuple[tuple[str, FieldKind], ...], check: Callable[[tuple[Any, ...]], None] | None
) -> Callable[[msgspec.Raw], tuple[Any, ...]]:
    """A closure, because the hot path goes through it once per operation."""
    decode = msgspec.msgpack.Decoder(tuple[tuple(kind.wire for _, kind in fields)]).decode  # type: ignore[misc]
    encode = msgspec.msgpack.Encoder().encode
    readers = tuple((i, kind.read) for i, (_, kind) in enumerate(fields) if kind.read is not None)
    count = len(fields)

    def read(raw: msgspec.Raw) -> tuple[Any, ...]:
        try:
            wire = decode(raw)
        except (ValueError, RecursionError) as error:
            if _count_items(raw) not in (count, -1):
                raise TransactionError(Code.UNKNOWN_OP_OR_FIELD, f"{name} has {count} fields") from error
            raise TransactionError(Code.MALFORMED, f"{name}: {error}") from error
        if encode(wire) != bytes(raw):
            raise TransactionError(Code.MALFORMED, "bytes are not in canonical form")
        values = list(wire)
        for i, read_field in readers:
            values[i] = read_field(values[i])
        args = tuple(values)
        if check is not None:
            check(args)
        return args

    return read


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of the table.

    `codes` are the failures the handler can give, in order of precedence. `check` refuses field values that contradict each
    other (101). `read` turns the fields' bytes into what the handler wants, or raises `TransactionError` with 101 to 104; the
    bytes must be canonical. `writes` are the letters of the records it may write (`state.schema`). `moves_value` rows must
    change at least one holding or fail (invariant I12). `touches` names the module accounts the handler may change. `since` is
    the rule set that brought it. `is_governed` rows may stand in a proposal of governance; a row that carries other operations names
    them with `carried`. `marks` are the bits that it may change in the records of accounts that have not authorised it.
    `frozen_may`: whether a frozen account may do it; by default nothing that moves value, touches a module account or is
    statutory. Every row may also give the codes of the gate (`state.modules.gate`) and 502 where it moves value.
    """

    code: int
    name: str
    module: str
    fields: tuple[tuple[str, FieldKind], ...]
    level: Level
    handler: Handler
    codes: tuple[Code, ...]
    writes: frozenset[int]
    work: int = 1  # units of a block's capacity
    moves_value: bool = False
    check: Callable[[tuple[Any, ...]], None] | None = None
    authorities: Authorities | None = None
    touches: frozenset[str] = frozenset()
    marks: int = 0
    frozen_may: bool | None = None
    forces: bool = False  # may debit accounts that have not authorised it: clawback, forced transfer
    is_governed: bool = False  # may stand in a proposal of governance
    since: int = 1
    carried: Callable[[tuple[Any, ...]], tuple[int, ...]] | None = None
    read: Callable[[msgspec.Raw], tuple[Any, ...]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "read", _make_reader(self.name, self.fields, self.check))

    @property
    def is_stopped_by_freeze(self) -> bool:
        """Whether an account that is frozen may not do it, whatever the gate would say to its parts."""
        if self.frozen_may is not None:
            return not self.frozen_may
        return self.moves_value or bool(self.touches) or self.level is Level.STATUTORY

    @property
    def fee_key(self) -> str:
        """Its key in the governed fee table."""
        return self.name

    def write(self, args: dict[str, Any]) -> tuple[Value, ...]:
        """Wire form of named field values. Raises `TransactionError` for a missing or unknown name."""
        names = [name for name, _ in self.fields]
        if sorted(args) != sorted(names):
            raise TransactionError(Code.UNKNOWN_OP_OR_FIELD, f"{self.name} has the fields {', '.join(names)}")
        return tuple(kind.write(args[name]) for name, kind in self.fields)

    def write_args(self, args: tuple[Any, ...]) -> tuple[Value, ...]:
        """Wire form of read field values: the inverse of `read`."""
        return tuple(kind.write(value) for (_, kind), value in zip(self.fields, args, strict=True))

    def show(self, args: tuple[Any, ...]) -> dict[str, object]:
        """JSON form of read field values."""
        return {name: kind.show(value) for (name, kind), value in zip(self.fields, args, strict=True)}
