"""Checks of pools on what an operation touched, and of the whole state; they know nothing of the handlers.

I6: what the pools' account holds is the sum of their reserves, and a pool's shares are its positions and the locked ones. I7: a swap
never lowers the product, also with the fee of its input left out, and mints nothing. I9: nothing but closing lowers the worth of a
share, the protocol's own share of the growth aside, which is bounded. I11: a new pool has isqrt(ab) shares, a closed one nothing but
the locked ones; accumulated prices grow once in a block, as they must. I24: nobody's position is touched by another. Source: ledger
rules, section 3. Nothing here may change a record, and no arithmetic is shared with the handlers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import isqrt
from typing import Final

from state.modules.operation import AMM_ADDRESS, TREASURY_ADDRESS
from state.primitives.codec import Value
from state.primitives.limits import AMOUNT_MAX, POOL_FEE_PPM_MAX, POOL_RESERVE_MIN, PPM
from state.schema import HOLDING, HOLDING_ADDRESS, HOLDING_CODE_START
from state.schema_amm import (
    AMM_LETTERS,
    MEMBERS,
    POOL,
    POSITION,
    POSITION_ADDRESS,
    POSITION_POOL_START,
    SWITCHES_KEY_BYTES,
    Pool,
)
from state.view import View

LOCKED: Final = 1_000
_POOL_START: Final = 2
_NOTHING: Final = (0, 0, LOCKED)  # a holding or a position that is not there, and a pool with no shares but the locked ones


class _Sums:
    """What the records add up to; `change` counts a record that became another, None for one that is not there."""

    def __init__(self) -> None:
        self.reserves: dict[bytes, int] = {}  # by asset: of the pools less what their account holds
        self.shares: dict[bytes, int] = {}  # by pool: of its positions less its own

    def change(self, key: bytes, before: Value, after: Value) -> None:
        """Count one record."""
        tag = key[1]
        if tag == HOLDING:
            if key[HOLDING_ADDRESS] == AMM_ADDRESS:
                code, reserves = key[HOLDING_CODE_START:], self.reserves
                reserves[code] = reserves.get(code, 0) + (before or _NOTHING)[0] - (after or _NOTHING)[0]
        elif tag == POOL and len(key) > SWITCHES_KEY_BYTES:
            pool, reserves, shares = key[_POOL_START:], self.reserves, self.shares
            a, _, b = pool.partition(b"/")
            old, new = before or _NOTHING, after or _NOTHING
            reserves[a] = reserves.get(a, 0) + new[0] - old[0]
            reserves[b] = reserves.get(b, 0) + new[1] - old[1]
            shares[pool] = shares.get(pool, 0) + old[2] - new[2]
        elif tag == POSITION:
            pool = key[POSITION_POOL_START:]
            self.shares[pool] = self.shares.get(pool, 0) + (after or _NOTHING)[0] - (before or _NOTHING)[0]

    def find_problem(self) -> str:
        """The first sum that is not zero."""
        if any(self.reserves.values()):
            return "I6: the pools' account does not hold the reserves of the pools"
        return "I6: the shares of a pool are not its positions" if any(self.shares.values()) else ""


def check_amm(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I6, I7, I9, I11 and I24 over the records before (`first`) and now; the empty string if they hold. `account` acts, or None."""
    sums = _Sums()
    values = view.values
    for key, before in first.items():
        after = values[key]
        sums.change(key, before, after)
        tag = key[1]
        problem = ""
        if tag == POOL:
            if len(key) > SWITCHES_KEY_BYTES:
                protocol = _protocol_gain(first, values, key[_POOL_START:])
                problem = _check_pool(before, after, protocol)
        elif tag == POSITION:
            problem = _check_position(key, after, account)
        elif tag == MEMBERS and key[:1] + b"l" + key[2:] in first and after is None:
            problem = "" if not values[b" l" + key[2:]].reserve_a else "I24: the members of an open pool vanished"
        if problem:
            return problem
    return sums.find_problem()


def _protocol_gain(first: Mapping[bytes, Value], values: Mapping[bytes, Value], pool: bytes) -> int | None:
    """By how many shares the protocol's position changed; None if it was not touched."""
    key = b" i" + TREASURY_ADDRESS + pool
    if key not in first:
        return None
    before, after = first[key], values[key]
    return (after.shares if after is not None else 0) - (before.shares if before is not None else 0)


def _check_position(key: bytes, after: Value, account: bytes | None) -> str:
    if key[POSITION_ADDRESS] not in (account, TREASURY_ADDRESS):
        return "I24: somebody else's position was touched"
    if after is not None and (after.shares <= 0 or min(after) < 0):
        return "I6: a position is out of range"
    return ""


def _check_pool(before: Pool | None, after: Pool | None, protocol: int | None) -> str:
    if after is None:
        return "I6: a pool vanished"
    problem = check_pool_alone(after)
    if problem:
        return problem
    if before is not None and not _has_right_prices(before, after):
        return "I11: an accumulated price is not that of the reserves before the block"
    if before is None or not before.reserve_a:
        k = after.reserve_a * after.reserve_b
        return "" if after.supply == isqrt(k) else "I11: a new pool has not the shares of its first deposit"
    if not after.reserve_a:
        return ""
    if after.fee_ppm != before.fee_ppm or after.creator != before.creator:
        return "I24: the terms of an open pool changed"
    if protocol is not None and protocol > 0 and not _is_due(before, after, protocol):
        return "I9: the protocol took more than its part"
    if after.supply == before.supply and protocol is None:
        problem = _check_swap(before, after)
        if problem:
            return problem
    return _check_worth(before, after, protocol)


def _has_right_prices(before: Pool, after: Pool) -> bool:
    """Once in a block, because its time is one: by the price before it times the seconds since; never down."""
    elapsed_s = after.price_s - before.price_s
    gained = (after.price_a - before.price_a, after.price_b - before.price_b)
    if elapsed_s == 0 or not before.reserve_a:
        return gained == (0, 0) and elapsed_s >= 0
    a, b = before.reserve_a, before.reserve_b
    return elapsed_s > 0 and gained == ((b << 640) // a * elapsed_s, (a << 640) // b * elapsed_s)


def check_pool_alone(record: Pool) -> str:
    """What is true of every pool at any time: its numbers, and what an empty one has left."""
    a, b = record.reserve_a, record.reserve_b
    if not a:
        return "" if not b and record.supply == LOCKED and not record.k_last else "I11: an empty pool has something left"
    if not (POOL_RESERVE_MIN <= a <= AMOUNT_MAX and POOL_RESERVE_MIN <= b <= AMOUNT_MAX):
        return "I6: a reserve is out of range"
    if not LOCKED <= record.supply <= isqrt(a * b) or not 0 <= record.fee_ppm <= POOL_FEE_PPM_MAX:
        return "I11: a pool has more shares than its reserves allow"
    return "I9: the protocol counts from a product above the pool's" if record.k_last > a * b else ""


def _check_swap(before: Pool, after: Pool) -> str:
    """One side rose, the other fell by no more than the product allows without the fee of the input."""
    in_a, in_b = after.reserve_a - before.reserve_a, after.reserve_b - before.reserve_b
    a, b = after.reserve_a * PPM, after.reserve_b * PPM
    if in_a > 0:
        a -= in_a * before.fee_ppm
    if in_b > 0:
        b -= in_b * before.fee_ppm
    if in_a >= 0 and in_b >= 0:
        return ""  # nothing left the pool
    if in_a <= 0 and in_b <= 0:
        return "I7: a swap took from both sides"
    return "" if a * b >= before.reserve_a * before.reserve_b * PPM * PPM else "I7: a swap lowered the product"


def _check_worth(before: Pool, after: Pool, protocol: int | None) -> str:
    """A share is worth no less, counted after the protocol's new shares; those come out of what has grown since `k_last` alone.

    When the protocol takes its shares out, the new ones among them (perhaps all) cannot be told apart: then only the second is asked.
    """
    k_before, k_after = before.reserve_a * before.reserve_b, after.reserve_a * after.reserve_b
    is_taken_out = protocol is not None and protocol <= 0 and before.k_last > 0
    if not is_taken_out and k_after * (before.supply + max(0, protocol or 0)) ** 2 < k_before * after.supply**2:
        return "I9: a share lost worth"
    if protocol is not None and before.k_last and k_after * before.supply**2 < before.k_last * after.supply**2:
        return "I9: the protocol took of what was there before"
    return ""


def _is_due(before: Pool, after: Pool, protocol: int) -> bool:
    """At most a sixth of the growth of sqrt(k) since `k_last`, as a part of all shares.

    A deposit of one asset swaps before it counts, so the growth is looked for in both states.
    """
    if not before.is_protocol_on or not before.k_last:
        return False
    root_last = isqrt(before.k_last)
    root = max(isqrt(before.reserve_a * before.reserve_b), isqrt(after.reserve_a * after.reserve_b))
    return protocol * (5 * root + root_last) <= before.supply * (root - root_last)


def audit_amm(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit of I6 and I11 over all (key, record); what is wrong, in a stated order."""
    sums = _Sums()
    known = {key: record for key, record in records if key[1] in AMM_LETTERS or key[1] == HOLDING}
    problems = []
    for key in sorted(known):
        record = known[key]
        sums.change(key, None, record)
        problem = ""
        if key[1] == POOL and len(key) > SWITCHES_KEY_BYTES:
            problem = check_pool_alone(record)
        elif key[1] == POSITION and (record.shares <= 0 or b" l" + key[POSITION_POOL_START:] not in known):
            problem = "I6: a position without shares or pool"
        if problem:
            problems.append(f"{problem} ({key.hex()})")
    problem = sums.find_problem()
    return (*problems, problem) if problem else tuple(problems)
