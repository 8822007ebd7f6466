"""The operation table as data for people and clients: nothing is said here that does not stand in a row or in its handler.

Which events a handler may give is found by following the functions that it names, so a list cannot be forgotten. Pure; no rule goes in
here. `docs/ledger-operations.md` is made of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Final, NamedTuple

from state.event_kinds import EventKind
from state.modules.operation import Level, Operation
from state.modules.table import ROWS

_MODULES: Final = "state.modules"


class Entry(NamedTuple):
    """One operation. `signers` are phrases, `codes` and `events` (number, name) and names in order."""

    code: int
    name: str
    module: str
    fields: tuple[tuple[str, str], ...]
    signers: tuple[str, ...]
    codes: tuple[tuple[int, str], ...]
    events: tuple[str, ...]
    work: int
    fee_key: str


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def find_events(handler: Callable[..., object]) -> tuple[EventKind, ...]:
    """Every event that a handler may give, itself or through functions of the modules; sorted by number."""
    found: dict[int, EventKind] = {}
    seen: set[FunctionType] = set()
    waiting: list[object] = [handler]
    while waiting:
        function = waiting.pop()
        if not isinstance(function, FunctionType) or function in seen:
            continue
        seen.add(function)
        for name in _names(function.__code__):
            value = function.__globals__.get(name)
            if isinstance(value, EventKind):
                found[value.number] = value
            elif isinstance(value, FunctionType) and value.__module__.startswith(_MODULES):
                waiting.append(value)
    return tuple(found[number] for number in sorted(found))


def _signers(row: Operation) -> tuple[str, ...]:
    if row.is_governed and "require_governance" in _names(row.handler.__code__):
        return ("governance, by a proposal",)
    acting = f"the acting account at {Level(row.level).name.lower()}"
    out = ["governance, by a proposal", f"or {acting}"] if row.is_governed else [acting]
    if row.authorities is not None:
        out.append(first_sentence(row.authorities))
    return tuple(out)


def first_sentence(function: Callable[..., object]) -> str:
    """The first sentence of a function's text, without its full stop."""
    text = " ".join((inspect.getdoc(function) or "").split())
    return text.split(". ")[0].rstrip(".")


def describe(row: Operation) -> Entry:
    """One row for people."""
    return Entry(
        row.code,
        row.name,
        row.module,
        tuple((name, kind.name) for name, kind in row.fields),
        _signers(row),
        tuple((int(code), code.name) for code in row.codes),
        tuple(kind.name for kind in find_events(row.handler)),
        row.work,
        row.fee_key,
    )


def describe_all() -> tuple[Entry, ...]:
    """Every operation, sorted by its number."""
    return tuple(describe(row) for row in sorted(ROWS, key=lambda row: row.code))
