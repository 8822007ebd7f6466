"""The query language of events: conditions joined by AND. `tm.event = 'Tx' AND transfer.sender = 'qx1...' AND tx.height > 5`.

Operators: = < <= > >= CONTAINS EXISTS. Values: 'text', a number, DATE 2026-01-31, TIME 2026-01-31T12:00:00Z (the last two also in quotes).
A condition holds if any value of the key satisfies it; a value that is no number, date or time satisfies no comparison with one. Texts
are compared by = and CONTAINS only. Source: CometBFT's query grammar; numbers below zero are ours.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

from node.rpc.errors import RpcError, invalid_params
from node.rpc.moments import parse_date, parse_time

CONDITIONS_MAX: Final = 16
QUERY_LENGTH_MAX: Final = 512
YEARS: Final = range(1900, 3000)
_DIGITS_MAX: Final = 400  # of a number in a value; an amount has 193
_WORD: Final = r"[^\W\d][\w.\-]*"
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'[^']*')|(?P<op><=|>=|=|<|>)|(?P<moment>(?:DATE|TIME) +'?[-+:.TZ0-9]*'?)"
    rf"|(?P<number>-?[0-9]+(?:\.[0-9]*)?)|(?P<word>{_WORD}))"
)
_NUMBER: Final = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")  # what a value starts with: "8atom" is 8
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison, with a text, a number, a date or a time; EXISTS has none. Dates and times are `moment_ns`."""

    key: str
    operator: str
    text: str
    number: Fraction | None = None
    moment_ns: int | None = None
    is_date: bool = False

    def holds(self, values: list[str]) -> bool:
        """Whether any of the values satisfies it."""
        if self.operator == "EXISTS":
            return bool(values)
        if self.operator == "CONTAINS":
            return any(self.text in value for value in values)
        if self.number is not None:
            return self._compares(_number_of, values, self.number)
        if self.moment_ns is not None:
            return self._compares(parse_date if self.is_date else parse_time, values, self.moment_ns)
        return self.text in values

    def _compares(self, read: Callable[[str], Any], values: list[str], wanted: Any) -> bool:
        compare = _COMPARE[self.operator]
        return any(compare(found, wanted) for value in values if (found := read(value)) is not None)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; `text` is as it was written."""

    text: str
    conditions: tuple[Condition, ...]

    def matches(self, events: Mapping[str, list[str]]) -> bool:
        """Whether all conditions hold."""
        return all(condition.holds(_values(events, condition.key)) for condition in self.conditions)

    def find(self, key: str, operator: str = "=") -> Condition | None:
        """The first condition on a key with an operator."""
        return next((c for c in self.conditions if c.key == key and c.operator == operator), None)


def _values(events: Mapping[str, list[str]], key: str) -> list[str]:
    """The values of a key; the type of an event alone, `transfer`, has an empty one."""
    found = events.get(key)
    if found is None:
        found = [""] if any(name.rpartition(".")[0] == key for name in events) else []
    return found


def parse_query(text: str) -> Query:
    """Raises `RpcError` that says where it stops making sense."""
    if len(text) > QUERY_LENGTH_MAX:
        raise invalid_params(f"a query has at most {QUERY_LENGTH_MAX} characters")
    tokens = _tokens(text)
    conditions: list[Condition] = []
    place = 0
    while place < len(tokens):
        if conditions:
            if tokens[place] != ("word", "AND"):
                raise invalid_params(f"in the query, AND is expected before {tokens[place][1]!r}")
            place += 1
        condition, place = _read_condition(tokens, place)
        conditions.append(condition)
        if len(conditions) > CONDITIONS_MAX:
            raise invalid_params(f"a query has at most {CONDITIONS_MAX} conditions")
    if not conditions:
        raise invalid_params("the query is empty")
    return Query(text, tuple(conditions))


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens: list[tuple[str, str]] = []
    place = 0
    while text[place:].strip():
        match = _TOKEN.match(text, place)
        if match is None or match.lastgroup is None:
            raise invalid_params(f"the query makes no sense at {text[place : place + 20]!r}")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        place = match.end()
    return tokens


def _read_condition(tokens: list[tuple[str, str]], place: int) -> tuple[Condition, int]:
    def token(offset: int) -> tuple[str, str]:
        return tokens[place + offset] if place + offset < len(tokens) else ("end", "the end")

    kind, key = token(0)
    if kind != "word" or key in ("AND", "EXISTS", "CONTAINS"):
        raise invalid_params(f"in the query, a key is expected instead of {key!r}")
    kind, operator = token(1)
    if (kind, operator) == ("word", "EXISTS"):
        return Condition(key, "EXISTS", ""), place + 2
    value_kind, value = token(2)
    if (kind, operator) == ("word", "CONTAINS") and value_kind == "text":
        return Condition(key, "CONTAINS", value[1:-1]), place + 3
    if kind == "op" and value_kind == "text" and operator == "=":
        return Condition(key, "=", value[1:-1]), place + 3
    if kind == "op" and value_kind == "number":
        return Condition(key, operator, value, Fraction(value.removesuffix("."))), place + 3
    if kind == "op" and value_kind == "moment":
        return Condition(key, operator, value, None, *_read_moment(value)), place + 3
    if kind == "op" and value_kind == "text":
        raise invalid_params(f"in the query, {key} {operator} {value}: a text is compared by = or CONTAINS")
    raise invalid_params(f"in the query, {key} is followed by {operator!r} {value!r}, which is no condition")


def _read_moment(token: str) -> tuple[int, bool]:
    name, _, rest = token.partition(" ")
    text = rest.strip()
    if len(text) >= 2 and text[0] == text[-1] == "'":
        text = text[1:-1]
    is_date = name == "DATE"
    found = parse_date(text) if is_date else parse_time(text)
    if found is None or int(text[:4]) not in YEARS:
        raise _bad_moment(token, is_date)
    return found, is_date


def _bad_moment(token: str, is_date: bool) -> RpcError:
    example = "DATE 2026-01-31" if is_date else "TIME 2026-01-31T12:00:00Z"
    return invalid_params(f"in the query, {token!r} is none of the years {YEARS.start} to {YEARS.stop - 1}: write {example}")


def _number_of(value: str) -> Fraction | None:
    match = _NUMBER.match(value)
    return None if match is None or len(match.group()) > _DIGITS_MAX else Fraction(match.group())
