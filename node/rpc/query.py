"""The query language of events: conditions joined by AND. `tm.event = 'Tx' AND transfer.sender = 'qx1...' AND tx.height > 5`.

Operators: = < <= > >= CONTAINS EXISTS. Values: 'text', or a number. A condition holds if any value of the key satisfies it.
Source: CometBFT's query grammar (without DATE and TIME, which no event of ours carries).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from node.rpc.errors import invalid_params

CONDITIONS_MAX: Final = 16
QUERY_LENGTH_MAX: Final = 512
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<op><=|>=|=|<|>)|(?P<number>-?[0-9]+(?:\.[0-9]+)?)(?![\w.])|(?P<word>[A-Za-z_][\w.\-]*))"
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison; `number` is None for text and for EXISTS."""

    key: str
    operator: str
    text: str
    number: int | None

    def holds(self, values: list[str]) -> bool:
        """Whether any of the values satisfies it."""
        if self.operator == "EXISTS":
            return bool(values)
        if self.operator == "CONTAINS":
            return any(self.text in value for value in values)
        if self.number is None:
            return self.operator == "=" and self.text in values
        return any(_compare(self.operator, _number_of(value), self.number) for value in values)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; `text` is as it was written."""

    text: str
    conditions: tuple[Condition, ...]

    def matches(self, events: Mapping[str, list[str]]) -> bool:
        """Whether all conditions hold."""
        return all(condition.holds(events.get(condition.key, [])) for condition in self.conditions)

    def find(self, key: str, operator: str = "=") -> Condition | None:
        """The first condition on a key with an operator."""
        return next((c for c in self.conditions if c.key == key and c.operator == operator), None)


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
    if kind != "word":
        raise invalid_params(f"in the query, a key is expected instead of {key!r}")
    kind, operator = token(1)
    if (kind, operator) == ("word", "EXISTS"):
        return Condition(key, "EXISTS", "", None), place + 2
    value_kind, value = token(2)
    if (kind, operator) == ("word", "CONTAINS") and value_kind == "text":
        return Condition(key, "CONTAINS", value[1:-1], None), place + 3
    if kind == "op" and value_kind == "text" and operator == "=":
        return Condition(key, "=", value[1:-1], None), place + 3
    if kind == "op" and value_kind == "number" and "." not in value:
        return Condition(key, operator, value, int(value)), place + 3
    raise invalid_params(f"in the query, {key} is followed by {operator!r} {value!r}, which is no condition")


def _number_of(value: str) -> int | None:
    digits = value[1:] if value[:1] == "-" else value
    return int(value) if digits.isascii() and digits.isdigit() and len(digits) <= 200 else None


def _compare(operator: str, left: int | None, right: int) -> bool:
    if left is None:
        return False
    if operator == "=":
        return left == right
    if operator == "<":
        return left < right
    if operator == "<=":
        return left <= right
    return left > right if operator == ">" else left >= right
