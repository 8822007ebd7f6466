"""Methods about what was: histories, holders, prices, supplies, from the index beside the chain. Ours. Amounts are base units.

Every answer says `indexed_height`: how far the index is. Pages go on with `start` set to the `next` of the page before, until it is
empty. Times are Unix seconds or RFC 3339, from `since` to before `until`. Without an index the error is -32006, and -32007 while it
cannot be asked; `index_status` answers always. What the questions mean in SQL is `node.indexer.queries`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from node.indexer import queries
from node.indexer.candles import NS_PER_S, Candle, find_candles, last_swap_s
from node.indexer.database import IndexDatabase
from node.indexer.queries import ANY_FAILURE, Entry, HistoryFilter, Holder, Place
from node.rpc.backend import NodeBackend
from node.rpc.errors import INDEX_OFF, INDEX_UNAVAILABLE, RpcError, invalid_params
from node.rpc.shapes import hexed, time_text
from state.primitives.errors import IndexDamagedError, IndexUnavailableError, MalformedError
from state.primitives.ids import check_asset_code, format_address, parse_address
from state.primitives.limits import AMOUNT_MAX, INDEX_CANDLES_MAX, INDEX_PAGE_MAX, INDEX_POINTS_MAX, TIME_NS_MAX
from state.queries_amm import read_pool_name

Json = Any
T = TypeVar("T")
_PPM: Final = 1_000_000
_CANDLES_SHOWN: Final = 100  # when no time is asked for
_INTERVAL_S_MAX: Final = 366 * 86_400
_CODE_MAX: Final = (1 << 31) - 1
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,192}", re.ASCII)
_PLACE: Final = re.compile(r"([0-9]{1,18})\.(-1|[0-9]{1,9})\.([0-9]{1,9})", re.ASCII)
_TX_PLACE: Final = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})", re.ASCII)
_HOLDER: Final = re.compile(r"([1-9][0-9]{0,192})\.(qx1[a-z0-9]{1,80})", re.ASCII)
_DIRECTIONS: Final = {1: "in", -1: "out", 0: "none"}


async def account_history(
    backend: NodeBackend,
    account: str,
    start: str,
    limit: int,
    order: str,
    asset: str,
    counterparty: str,
    since: str,
    until: str,
    min_amount: str,
    max_amount: str,
    code: str,
) -> Json:
    """What happened to an account, line by line: amounts in and out, fees, and events that name it (direction `none`).

    `index` is the transaction's place in its block, -1 for what the block itself did. `code` is a result code, or `failed`.
    """
    address, place = _address(account, "account"), _read_place(start)
    wanted = HistoryFilter(
        asset=_asset(asset) if asset else "",
        counterparty=_address(counterparty, "counterparty") if counterparty else b"",
        since_ns=_time_ns(since, "since"),
        until_ns=_time_ns(until, "until"),
        min_amount=_amount(min_amount, "min_amount"),
        max_amount=_amount(max_amount, "max_amount"),
        code=_code(code),
    )
    if order not in ("asc", "desc"):
        raise invalid_params('order is "asc" or "desc"')
    count = _limit(limit)

    def ask(database: IndexDatabase) -> Json:
        found, following = queries.find_history(database, address, place, count, descending=order == "desc", wanted=wanted)
        return _page(database, [_entry(entry) for entry in found], _join(following))

    return await _ask(backend, ask)


def _entry(entry: Entry) -> Json:
    return {
        "height": str(entry.height),
        "index": entry.idx,
        "sequence": entry.sequence,
        "time": time_text(entry.time_ns),
        "hash": hexed(entry.hash),
        "kind": entry.kind,
        "asset": entry.asset,
        "amount": str(entry.amount),
        "direction": _DIRECTIONS[entry.direction],
        "counterparty": _address_text(entry.counterparty),
        "code": entry.code,
    }


async def asset_holders(backend: NodeBackend, asset: str, start: str, limit: int) -> Json:
    """Who holds an asset, the largest first."""
    code, count, after = _asset(asset), _limit(limit), None
    if start:
        match = _HOLDER.fullmatch(start)
        if match is None or int(match.group(1)) > AMOUNT_MAX:
            raise _bad_start()
        after = Holder(_address(match.group(2), "start"), int(match.group(1)))

    def ask(database: IndexDatabase) -> Json:
        found, following = queries.find_holders(database, code, after, count)
        items = [{"account": format_address(holder.account), "amount": str(holder.amount)} for holder in found]
        text = "" if following is None else f"{following.amount}.{format_address(following.account)}"
        return _page(database, items, text)

    return await _ask(backend, ask)


async def top_accounts(backend: NodeBackend, asset: str, limit: int) -> Json:
    """The largest holders of an asset, with their parts of the supply in millionths."""
    code, count = _asset(asset), _limit(limit)

    def ask(database: IndexDatabase) -> Json:
        found, _ = queries.find_holders(database, code, None, count)
        supply = queries.supply_at(database, code, queries.indexed_height(database))
        items = [
            {"account": format_address(account), "amount": str(amount), "share_ppm": amount * _PPM // supply if supply else 0}
            for account, amount in found
        ]
        return {"items": items, "supply": str(supply), "indexed_height": str(queries.indexed_height(database))}

    return await _ask(backend, ask)


async def asset_supply_history(backend: NodeBackend, asset: str, since: str, until: str, points: int) -> Json:
    """The supply of an asset at moments evenly spread over a time, from the first block to the last by default."""
    code, since_ns, until_ns = _asset(asset), _time_ns(since, "since"), _time_ns(until, "until")
    if not 1 <= points <= INDEX_POINTS_MAX:
        raise invalid_params(f"points is within 1..{INDEX_POINTS_MAX}")

    def ask(database: IndexDatabase) -> Json:
        found = queries.find_supplies(database, code, since_ns, until_ns, points)
        items = [{"height": str(height), "time": time_text(time_ns), "supply": str(supply)} for height, time_ns, supply in found]
        return {"asset": code, "items": items, "indexed_height": str(queries.indexed_height(database))}

    return await _ask(backend, ask)


async def pool_candles(backend: NodeBackend, pool: str, interval_s: int, since: str, until: str) -> Json:
    """Prices and volumes of a pool by intervals: base units of the second asset for one of the first, as exact fractions.

    Without times: the last hundred intervals up to the last swap. Intervals without swaps are left out.
    """
    try:
        name = read_pool_name(pool)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    since_ns, until_ns = _time_ns(since, "since"), _time_ns(until, "until")
    if not 1 <= interval_s <= _INTERVAL_S_MAX:
        raise invalid_params(f"interval_s is within 1..{_INTERVAL_S_MAX}")

    def ask(database: IndexDatabase) -> Json:
        last_s = last_swap_s(database, name)
        end_s = (0 if last_s is None else last_s + 1) if until_ns is None else until_ns // NS_PER_S
        first_s = max(0, (end_s - 1) // interval_s - _CANDLES_SHOWN + 1) * interval_s if since_ns is None else since_ns // NS_PER_S
        if end_s - first_s > INDEX_CANDLES_MAX * interval_s:
            raise invalid_params(f"at most {INDEX_CANDLES_MAX} intervals: ask for a shorter time or a longer interval_s")
        found = find_candles(database, name, interval_s, first_s, end_s)
        height = queries.indexed_height(database)
        return {"pool": name, "interval_s": interval_s, "items": [_candle(c) for c in found], "indexed_height": str(height)}

    return await _ask(backend, ask)


def _candle(candle: Candle) -> Json:
    return {
        "time": time_text(candle.time_s * NS_PER_S),
        "open": str(candle.open),
        "high": str(candle.high),
        "low": str(candle.low),
        "close": str(candle.close),
        "volume_a": str(candle.volume_a),
        "volume_b": str(candle.volume_b),
        "swaps": candle.swaps,
    }


async def recent_txs(backend: NodeBackend, start: str, limit: int) -> Json:
    """The latest transactions of the chain, the last one first."""
    count, before = _limit(limit), None
    if start:
        match = _TX_PLACE.fullmatch(start)
        if match is None:
            raise _bad_start()
        before = int(match.group(1)), int(match.group(2))

    def ask(database: IndexDatabase) -> Json:
        found, following = queries.find_txs(database, before, count)
        items = [
            {
                "height": str(row.height),
                "index": row.idx,
                "hash": hexed(row.hash),
                "time": time_text(row.time_ns),
                "sender": format_address(row.sender),
                "fee_payer": format_address(row.payer),
                "fee": str(row.fee),
                "code": row.code,
                "events": row.events,
                "memo": row.memo,
            }
            for row in found
        ]
        return _page(database, items, _join(following))

    return await _ask(backend, ask)


async def index_status(backend: NodeBackend) -> Json:
    """How far the index is, what it does not have, and what keeps it. `earliest` is the first block in it."""
    height = str(max(0, backend.height))
    empty: dict[str, Any] = {"indexed_height": "0", "earliest": "0", "gaps": [], "problem": None}
    if backend.index is None:
        return {"backend": "off", "chain_height": height, **empty}
    problem, found = backend.index.indexer.problem, {}
    try:
        found = await backend.index.reader.ask(_describe)
    except (IndexUnavailableError, IndexDamagedError) as error:
        problem = problem or error
    told = None if problem is None else {"code": problem.code, "name": problem.name, "message": problem.message, "hint": problem.hint}
    return {"backend": backend.index.backend, "chain_height": height, **empty, **found, "problem": told}


def _describe(database: IndexDatabase) -> dict[str, Any]:
    missing = [{"first": str(first), "last": str(last)} for first, last in queries.gaps(database)]
    height, earliest = max(0, queries.indexed_height(database)), queries.first_height(database)
    return {"indexed_height": str(height), "earliest": str(earliest), "gaps": missing}


async def _ask(backend: NodeBackend, question: Callable[[IndexDatabase], T]) -> T:
    if backend.index is None:
        raise RpcError(INDEX_OFF, 'there is no index here: a running node keeps one with [index] backend = "sqlite"')
    try:
        return await backend.index.reader.ask(question)
    except (IndexUnavailableError, IndexDamagedError) as error:
        hint = f" - {error.hint}" if error.hint else ""
        raise RpcError(INDEX_UNAVAILABLE, f"{error.code} {error.name}: {error.message}{hint}") from error


def _page(database: IndexDatabase, items: list[Json], following: str) -> Json:
    return {"items": items, "next": following, "indexed_height": str(queries.indexed_height(database))}


def _join(place: tuple[int, ...] | None) -> str:
    return "" if place is None else ".".join(map(str, place))


def _read_place(text: str) -> Place | None:
    if not text:
        return None
    match = _PLACE.fullmatch(text)
    if match is None:
        raise _bad_start()
    return int(match.group(1)), int(match.group(2)), int(match.group(3))


def _bad_start() -> RpcError:
    return invalid_params("start is the `next` of the page before, or empty")


def _limit(limit: int) -> int:
    if not 1 <= limit <= INDEX_PAGE_MAX:
        raise invalid_params(f"limit is within 1..{INDEX_PAGE_MAX}")
    return limit


def _address(text: str, name: str) -> bytes:
    try:
        return parse_address(text)
    except MalformedError as error:
        raise invalid_params(f"{name}: {error.message}") from error


def _address_text(address: bytes) -> str:
    return format_address(address) if address else ""


def _asset(text: str) -> str:
    try:
        return check_asset_code(text)
    except MalformedError as error:
        raise invalid_params(error.message) from error


def _amount(text: str, name: str) -> int | None:
    if not text:
        return None
    if _NUMBER.fullmatch(text) is None or int(text) > AMOUNT_MAX:
        raise invalid_params(f"{name} is a decimal string of base units below 2^640")
    return int(text)


def _code(text: str) -> int | None:
    if not text or text == "failed":
        return ANY_FAILURE if text else None
    if _NUMBER.fullmatch(text) is None or int(text) > _CODE_MAX:
        raise invalid_params('code is a number of a result, 0 for success, or "failed"')
    return int(text)


def _time_ns(text: str, name: str) -> int | None:
    if not text:
        return None
    if _NUMBER.fullmatch(text) is not None and int(text) * NS_PER_S <= TIME_NS_MAX:
        return int(text) * NS_PER_S
    try:
        moment = datetime.fromisoformat(text)
        # whole seconds by themselves: a float has not enough digits for the rest
        found = int(moment.replace(microsecond=0).timestamp()) * NS_PER_S + moment.microsecond * 1_000
    except (ValueError, OverflowError):
        moment, found = datetime.min.replace(tzinfo=UTC), -1
    if moment.tzinfo is None or not 0 <= found <= TIME_NS_MAX or _NUMBER.fullmatch(text):
        raise invalid_params(f"{name} is Unix seconds, or a time such as 2030-01-31T12:00:00Z")
    return found
