"""Tripped breakers: which modules or single operations stand still, since when and until when.

A breaker trips by itself when an invariant breaks, and stays until governance resets it; only that of governance itself ends after a while,
because nobody else could reset it. Two members of the emergency committee can trip one for a few days. An entry of theirs
stays for a while after its end, so that the same cannot be tripped again at once. What governance executes is not stopped: it is what
repairs. Who may trip and reset is decided in `state.modules.gov_acts`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from state.modules.operation import GOVERNANCE_ADDRESS, Operation
from state.primitives.codec import Value
from state.primitives.limits import BREAKER_REST_S, BREAKER_S_MAX
from state.schema import BREAKERS_KEY
from state.view import View

GOV_MODULE: Final = "gov"


class Breaker(NamedTuple):
    """One tripped breaker: of a whole module when `function` is empty, else of the operation with that name.

    `operation` is the number of the operation that broke an invariant, or of `gov.trip`. `until_s` 0: until it is reset.
    """

    module: str
    height: int
    operation: int
    function: str
    until_s: int
    is_of_committee: bool


def get_breakers(view: View) -> tuple[Breaker, ...]:
    """All entries, also those that are over, sorted by module and function."""
    return tuple(Breaker(*entry) for entry in view.values[BREAKERS_KEY] or ())


def put_breakers(view: View, breakers: Iterable[Breaker]) -> None:
    """Write all entries."""
    view.put(BREAKERS_KEY, tuple(sorted(breakers, key=lambda b: (b.module, b.function))) or None)


def find_breaker(view: View, module: str, function: str, time_s: int) -> Breaker | None:
    """The entry of a module or function: one that stops it now, or that rests."""
    return next((b for b in get_breakers(view) if (b.module, b.function) == (module, function) and not _is_over(b, time_s)), None)


def replace_breaker(view: View, module: str, function: str, new: Breaker | None) -> None:
    """Put an entry in the place of the one of this module or function; None takes it out."""
    others = [b for b in get_breakers(view) if (b.module, b.function) != (module, function)]
    put_breakers(view, others if new is None else [*others, new])


def is_paused(entries: Value, operation: Operation, account: bytes, time_s: int) -> bool:
    """Whether an operation may not be done now; `entries` is the record."""
    if account == GOVERNANCE_ADDRESS:
        return False
    for module, _, _, function, until_s, _ in entries or ():
        if module == operation.module and function in ("", operation.name) and (not until_s or time_s < until_s):
            return True
    return False


def trip_for_violation(view: View, module: str, operation: Operation, height: int, time_s: int) -> None:
    """Stop a module after an operation, mostly its own, broke one of its invariants."""
    until_s = time_s + BREAKER_S_MAX if module == GOV_MODULE else 0
    replace_breaker(view, module, "", Breaker(module, height, operation.code, "", until_s, False))


def forget_breakers(view: View, time_s: int) -> None:
    """Take out what is over for good."""
    if view.values[BREAKERS_KEY] is None:
        return
    breakers = get_breakers(view)
    kept = [b for b in breakers if not _is_over(b, time_s)]
    if len(kept) < len(breakers):
        put_breakers(view, kept)


def _is_over(breaker: Breaker, time_s: int) -> bool:
    rest_s = BREAKER_REST_S if breaker.is_of_committee else 0
    return bool(breaker.until_s) and breaker.until_s + rest_s <= time_s
