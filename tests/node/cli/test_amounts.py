"""Amounts on the command line: exact both ways, refused when finer than the asset."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.cli.amounts import format_amount, parse_amount
from state.primitives.errors import ConfigError
from state.primitives.limits import AMOUNT_MAX, ASSET_SCALE_MAX


@pytest.mark.parametrize(
    ("text", "scale", "amount"),
    [("1.25", 6, 1_250_000), ("0", 0, 0), ("007", 0, 7), ("1.0", 1, 10), ("0.000001", 6, 1), ("12", 2, 1200), ("1.50", 2, 150)],
)
def test_parse(text: str, scale: int, amount: int) -> None:
    assert parse_amount(text, scale, "QNX") == amount


@pytest.mark.parametrize(
    ("text", "scale", "message"),
    [
        ("1.255", 2, "finer"),
        ("1.0", 0, "finer"),
        ("-1", 2, "not an amount"),
        ("+1", 2, "not an amount"),
        ("1e3", 2, "not an amount"),
        ("1,5", 2, "not an amount"),
        (".5", 2, "not an amount"),
        ("5.", 2, "not an amount"),
        ("", 2, "not an amount"),
        ("1 ", 2, "not an amount"),
        ("١", 2, "not an amount"),
        ("1_000", 2, "not an amount"),
        ("9" * 193, 0, "beyond"),
        ("9" * 100, 128, "beyond"),
    ],
)
def test_refused(text: str, scale: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_amount(text, scale, "QNX")


@pytest.mark.parametrize("text", ["1.5", "01", "-1", "", "x", str(AMOUNT_MAX + 1)])
def test_base_units_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_amount(text, 6, "QNX", base_units=True)


@given(st.integers(0, AMOUNT_MAX), st.integers(0, ASSET_SCALE_MAX))
def test_round_trip(amount: int, scale: int) -> None:
    assert parse_amount(format_amount(amount, scale), scale, "QNX") == amount
    assert parse_amount(str(amount), scale, "QNX", base_units=True) == amount
