"""Pages of a list, as CometBFT cuts them: `per_page` is brought into 1..100, a page that is not there is refused."""

from __future__ import annotations

from typing import Final

from node.rpc.errors import invalid_params

PER_PAGE_DEFAULT: Final = 30
PER_PAGE_MAX: Final = 100


def clamp_per_page(per_page: int) -> int:
    """Below 1 is the default, above the maximum is the maximum."""
    return PER_PAGE_DEFAULT if per_page < 1 else min(per_page, PER_PAGE_MAX)


def page_of(page: int, per_page: int, total: int) -> tuple[int, int]:
    """(start, end) of a page counted from 1. An empty list has one page. Raises `RpcError`."""
    size = clamp_per_page(per_page)
    pages = max(1, -(-total // size))
    if not 1 <= page <= pages:
        raise invalid_params(f"page is within 1..{pages}")
    start = (page - 1) * size
    return start, min(start + size, total)
