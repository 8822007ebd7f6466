"""Kinds of fields that only operations on farms have: what is staked, lock tiers, numbers of positions. See `state.modules.fields`."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

from state.modules.fields import FieldKind, malformed, read_code, read_pool, too_large
from state.modules.kyc_fields import DOMAIN_NAME
from state.primitives.codec import Value
from state.primitives.limits import (
    FARM_CLAIM_POSITIONS_MAX,
    FARM_LOCK_S_MAX,
    FARM_TIERS_MAX,
    FARM_WEIGHT_PPM_MAX,
    HEIGHT_MAX,
)
from state.schema_farm import Tier


def read_stake(text: str) -> str:
    """An asset code or the name of a pool, checked."""
    return read_pool(text) if "/" in text else read_code(text)


def _read_optional_domain(text: str) -> str:
    if text and DOMAIN_NAME.read is not None:
        DOMAIN_NAME.read(text)
    return text


def read_tiers(tiers: Value) -> Value:
    """Lock tiers, the shorter ones first."""
    if not 1 <= len(tiers) <= FARM_TIERS_MAX:
        raise too_large(f"a farm has 1 to {FARM_TIERS_MAX} lock tiers")
    for seconds, weight_ppm in tiers:
        if not 0 <= seconds <= FARM_LOCK_S_MAX:
            raise malformed(f"a lock is 0 to {FARM_LOCK_S_MAX} seconds")
        if not 1 <= weight_ppm <= FARM_WEIGHT_PPM_MAX:
            raise malformed(f"a weight is 1 to {FARM_WEIGHT_PPM_MAX} parts per million")
    if any(one[0] >= other[0] for one, other in pairwise(tiers)):
        raise malformed("lock tiers are sorted by seconds, each once")
    return tuple(Tier(*tier) for tier in tiers)


def _read_positions(numbers: Value) -> Value:
    if not 1 <= len(numbers) <= FARM_CLAIM_POSITIONS_MAX:
        raise too_large(f"1 to {FARM_CLAIM_POSITIONS_MAX} positions are named")
    last = -1
    for number in numbers:
        if not last < number <= HEIGHT_MAX:
            raise malformed("positions are sorted, each once")
        last = number
    return numbers


def _same(value: Any) -> Any:
    return value


def show_tiers(tiers: Value) -> object:
    """JSON form of lock tiers."""
    return [{"seconds": seconds, "weight_ppm": weight_ppm} for seconds, weight_ppm in tiers]


def _show_numbers(numbers: Value) -> object:
    return [str(number) for number in numbers]


OPTIONAL_DOMAIN: Final = FieldKind("optional domain name", str, _read_optional_domain, _same, _same)
STAKE: Final = FieldKind("asset code or pool", str, read_stake, _same, _same)
TIERS: Final = FieldKind(
    "lock tiers", tuple[tuple[int, int], ...], read_tiers, lambda tiers: tuple(map(tuple, tiers)), show_tiers
)
POSITIONS: Final = FieldKind("positions", tuple[int, ...], _read_positions, tuple, _show_numbers)
