"""Pure reads of pools for the RPC and the command line: pools, positions, quotes. Nothing here writes.

A quote is the operation itself, run on a copy of the state with an account that has enough of everything, so it gives the same numbers and
the same code as applying would (invariant I13). What a position has earned is counted from sqrt(k), which only fees raise; fractions
are exact. See `state.queries` for the forms.
"""

from __future__ import annotations

from math import gcd
from typing import Any, Final

from state.codes import Code
from state.modules.amm_math import (
    Fraction,
    compute_impermanent_loss,
    compute_price_impact,
    compute_root_k,
    compute_trade_cost,
    compute_withdrawal,
)
from state.modules.amm_pool import ROOT_BITS, get_position, pay_protocol, split_pool
from state.modules.amm_trade import find_hops, sides_of
from state.modules.operation import OpContext
from state.modules.table import BY_NAME
from state.primitives.codec import Value
from state.primitives.errors import MalformedError, OperationFailed, TransactionError
from state.primitives.hashing import sha256
from state.primitives.ids import check_asset_code, format_address
from state.primitives.limits import AMOUNT_MAX, PPM
from state.receipts import LIQUIDITY_ADDED, LIQUIDITY_REMOVED, SWAPPED, Event
from state.schema import asset_key, holding_key
from state.schema_amm import (
    POOL_LIST_KEY,
    SWITCHES_KEY_BYTES,
    Pool,
    Position,
    Switches,
    members_key,
    pool_key,
    pool_number_key,
    position_key,
)
from state.view import Reader, View

Json = dict[str, object]

POSITIONS_POOLS_MAX: Final = 1_000  # in how many pools an account's positions are looked for
QUOTABLE: Final = ("swap_in", "swap_out", "add", "add_single", "remove", "remove_single")
YEAR_S: Final = 365 * 24 * 3_600
_STRANGER: Final = sha256(b"qenex/quote/1")  # who asks when no account is named: it has no keys and no name


def check_pool(a: str, b: str) -> str:
    """The name of the pool of two assets in order. Raises `MalformedError`."""
    if check_asset_code(a) >= check_asset_code(b):
        raise MalformedError("a pool is named by its assets, the smaller code first: A/B")
    return f"{a}/{b}"


def read_pool_name(text: str) -> str:
    """A pool's name from `A/B`; the codes may be in either order. Raises `MalformedError`."""
    one, _, other = text.partition("/")
    return check_pool(min(one, other), max(one, other))


def show_switches(record: Switches) -> Json:
    """JSON form of switches."""
    return {"trade_until": record.trade_s, "deposit_until": record.deposit_s, "withdraw_until": record.withdraw_s}


def show_pool(key: bytes, record: Value) -> Json:
    """JSON form of a pool, or of the switches of all pools."""
    if len(key) == SWITCHES_KEY_BYTES:
        return show_switches(record)
    pool = key[2:].decode("ascii")
    a, b = split_pool(pool)
    return {
        "pool": pool,
        "asset_a": a,
        "reserve_a": str(record.reserve_a),
        "asset_b": b,
        "reserve_b": str(record.reserve_b),
        "shares": str(record.supply),
        "fee_ppm": record.fee_ppm,
        "protocol_fee": record.is_protocol_on,
        "k_last": str(record.k_last),
        "price_a_sum_q640": str(record.price_a),
        "price_b_sum_q640": str(record.price_b),
        "price_time": record.price_s,
        "creator": format_address(record.creator),
        "start_height": record.start_height,
        **show_switches(record.switches),
    }


def show_position(key: bytes, record: Position) -> Json:
    """JSON form of a position's record."""
    return {
        "account": format_address(key[2:34]),
        "pool": key[34:].decode("ascii"),
        "shares": str(record.shares),
        "basis_a": str(record.basis_a),
        "basis_b": str(record.basis_b),
    }


def show_members(key: bytes, record: Value) -> Json:
    """JSON form of a pool's members, or of the domain whose members they are."""
    return {"pool": key[2:].decode("ascii"), **_show_who(record)}


def _show_who(members: Value) -> Json:
    """Who may use a pool: accounts, a domain, or (both null) everybody."""
    domain = members[0] if members is not None and type(members[0]) is str else None
    listed = None if members is None or domain is not None else [format_address(member) for member in members]
    return {"members": listed, "domain": domain}


def show_pool_list(key: bytes, record: Value) -> Json:
    """JSON form of the number of pools, or of one entry of their list."""
    return {"pools": record[0]} if key == POOL_LIST_KEY else {"pool": record[0]}


def get_pool_names(reader: Reader, start: int, limit: int) -> tuple[str, ...]:
    """`limit` pools in order of creation, from number `start`; the empty ones too."""
    view = View(reader)
    (count,) = view.get(POOL_LIST_KEY) or (0,)
    return tuple(view.get(pool_number_key(number))[0] for number in range(start, min(count, start + limit)))


def get_pool(reader: Reader, pool: str) -> Json | None:
    """A pool, its members, and the scales of its assets; None if there is none."""
    view = View(reader)
    record = view.get(pool_key(pool))
    if record is None:
        return None
    members = view.get(members_key(pool))
    a, b = split_pool(pool)
    return {
        **show_pool(pool_key(pool), record),
        "scale_a": view.get(asset_key(a))[0],
        "scale_b": view.get(asset_key(b))[0],
        **_show_who(members),
    }


def get_pools(reader: Reader, start: int, limit: int) -> list[Json]:
    """Pools in order of creation."""
    return [found for pool in get_pool_names(reader, start, limit) if (found := get_pool(reader, pool)) is not None]


def show_fraction(fraction: Fraction) -> Json:
    """An exact quotient in lowest terms, and parts per million rounded down."""
    n, d = fraction
    common = gcd(n, d) or 1
    return {"numerator": str(n // common), "denominator": str(d // common), "ppm": n * PPM // d if d else 0}


def get_position_of(reader: Reader, address: bytes, pool: str, time_s: int) -> Json | None:
    """An account's position in a pool: what it is worth, what fees have earned, what holding would have been worth."""
    view = View(reader)
    record: Pool | None = view.get(pool_key(pool))
    position = get_position(view, address, pool)
    if record is None or not position.shares:
        return None
    record = pay_protocol(OpContext(view, 0, time_s, ()), pool, record)
    position = get_position(view, address, pool)
    return {
        **show_position(position_key(address, pool), position),
        "share_ppm": position.shares * PPM // record.supply,
        **_show_earnings(position, record, time_s),
    }


def _show_earnings(position: Position, record: Pool, time_s: int) -> Json:
    worth = compute_withdrawal(position.shares, record.reserve_a, record.reserve_b, record.supply)
    root = position.shares * compute_root_k(record.reserve_a, record.reserve_b, ROOT_BITS) // record.supply
    shown: Json = {"amount_a": str(worth[0]), "amount_b": str(worth[1])}
    if not position.root or not root:
        return shown
    grown = max(0, root - position.root)
    since_s = position.moment // position.root
    held = (position.basis_a, position.basis_b)
    reserves = (record.reserve_a, record.reserve_b)
    without_fees = (worth[0] * position.root, worth[1] * position.root)
    as_held = (held[0] * root, held[1] * root)
    return {
        **shown,
        "since": since_s,
        "fees_a": str(worth[0] * grown // root),
        "fees_b": str(worth[1] * grown // root),
        "growth": show_fraction(Fraction(grown, position.root)),
        "yield_per_year": show_fraction(Fraction(grown * YEAR_S, position.root * max(1, time_s - since_s))),
        "impermanent_loss": show_fraction(compute_impermanent_loss(as_held, without_fees, reserves)),
        "loss_to_holding": show_fraction(compute_impermanent_loss(held, worth, reserves)),
    }


def get_positions(reader: Reader, address: bytes, time_s: int) -> list[Json]:
    """An account's positions in the first `POSITIONS_POOLS_MAX` pools."""
    names = get_pool_names(reader, 0, POSITIONS_POOLS_MAX)
    return [found for pool in names if (found := get_position_of(reader, address, pool, time_s)) is not None]


def quote(reader: Reader, height: int, time_s: int, operation: str, args: dict[str, Any], account: bytes = b"") -> Json:
    """What an operation of the module would do in the next block for an account (or a stranger) with enough of everything.

    `args` are field values by name. Raises `MalformedError` for an operation or field values that no transaction can have.
    """
    if operation not in QUOTABLE:
        raise MalformedError(f"a quote is for one of {', '.join(QUOTABLE)}")
    row = BY_NAME[f"amm.{operation}"]
    try:
        values = tuple(kind.write(args[name]) for name, kind in row.fields)
        fields = tuple(v if kind.read is None else kind.read(v) for v, (_, kind) in zip(values, row.fields, strict=True))
        if row.check is not None:
            row.check(fields)
    except KeyError as error:
        raise MalformedError(f"the field {error.args[0]} is missing") from error
    except TransactionError as error:
        raise MalformedError(error.message) from error
    who = account or _STRANGER
    view = View(reader)
    context = OpContext(view, height, time_s, ())
    shown: Json = {"operation": row.name, "code": int(Code.OK), "code_name": Code.OK.name, "log": ""}
    try:
        prices = _show_prices(context, args)
        _enrich(view, who, args)
        row.handler(context, who, fields)
    except OperationFailed as failure:
        code = Code(failure.result)
        return {**shown, "code": int(code), "code_name": code.name, "log": failure.message}
    return {**shown, **_sum_up(context.events), **prices(context.events)}


def _codes_of(args: dict[str, Any]) -> tuple[str, ...]:
    """The assets that an operation can move."""
    return tuple(args["path"]) if "path" in args else split_pool(args["pool"])


def _enrich(view: View, who: bytes, args: dict[str, Any]) -> None:
    """Half of all there may be of each asset, so that nothing overflows either, and shares enough to give back."""
    for code in _codes_of(args):
        view.put(holding_key(who, code), (AMOUNT_MAX // 2,))
    if "shares" in args:
        old = get_position(view, who, args["pool"])
        missing = max(old.shares, args["shares"])
        view.put(position_key(who, args["pool"]), old._replace(shares=max(1, missing)))


def _sum_up(events: list[Event]) -> Json:
    """What goes in, what comes out, and the shares."""
    moved: dict[str, int] = {}
    shares = 0
    for event in events:
        if event.kind is SWAPPED:
            _, _, one, spent, other, bought = event.values
            changes = ((one, -int(spent)), (other, int(bought)))
        elif event.kind is LIQUIDITY_ADDED or event.kind is LIQUIDITY_REMOVED:
            _, _, one, first, other, second, count = event.values
            sign = -1 if event.kind is LIQUIDITY_ADDED else 1
            changes = ((one, sign * int(first)), (other, sign * int(second)))
            shares -= sign * int(count)
        else:
            continue
        for code, change in changes:
            moved[str(code)] = moved.get(str(code), 0) + change
    return {
        "pays": {code: str(-amount) for code, amount in moved.items() if amount < 0},
        "gets": {code: str(amount) for code, amount in moved.items() if amount > 0},
        "shares": str(shares),
    }


class _Prices:
    """The prices before a swap, to be compared with what it paid."""

    def __init__(self, hops: tuple[tuple[int, int, int], ...]) -> None:
        self._hops = hops

    def __call__(self, events: list[Event]) -> Json:
        """Impact and cost of a swap along a path; nothing for other operations."""
        if not self._hops:
            return {}
        swaps = [event.values for event in events if event.kind is SWAPPED]
        first, last = int(swaps[0][3]), int(swaps[-1][5])
        return {
            "amounts": [str(first), *(str(values[5]) for values in swaps)],
            "price_impact": show_fraction(compute_price_impact(first, last, self._hops)),
            "cost": show_fraction(compute_trade_cost(first, last, self._hops)),
        }


def _show_prices(context: OpContext, args: dict[str, Any]) -> _Prices:
    if "path" not in args or not (args.get("amount_in") or args.get("amount_out")):
        return _Prices(())
    return _Prices(sides_of(find_hops(context, tuple(args["path"]))))

