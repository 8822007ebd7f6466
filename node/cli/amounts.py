"""Amounts as people write them: decimal strings in display units, turned into base units and back without rounding.

"1.25" of an asset with scale 6 is 1250000 base units. What is finer than the scale is refused, never rounded. Pure.
"""

from __future__ import annotations

import re
from typing import Final

from state.primitives.errors import ConfigError
from state.primitives.limits import AMOUNT_MAX

_DISPLAY: Final = re.compile(r"([0-9]{1,193})(?:\.([0-9]{1,128}))?", re.ASCII)
_BASE: Final = re.compile(r"0|[1-9][0-9]{0,192}", re.ASCII)


def parse_amount(text: str, scale: int, asset: str, *, base_units: bool = False) -> int:
    """Base units of a decimal string; with `base_units` the string counts them already. Raises `ConfigError`."""
    if base_units:
        if _BASE.fullmatch(text) is None:
            raise ConfigError(f"{text!r} is not a number of base units", hint="a whole number without sign or leading zeros")
        amount = int(text)
    else:
        match = _DISPLAY.fullmatch(text)
        if match is None:
            raise ConfigError(f"{text!r} is not an amount", hint='a decimal number without sign or exponent, such as "1.25"')
        whole, fraction = match.group(1), match.group(2) or ""
        if len(fraction) > scale:
            finest = "1" if scale == 0 else "0." + "0" * (scale - 1) + "1"
            raise ConfigError(f"{text} {asset} is finer than {asset} allows", hint=f"it has {scale} decimals; the least is {finest}")
        amount = int(whole + fraction.ljust(scale, "0"))
    if amount > AMOUNT_MAX:
        raise ConfigError(f"{text} {asset} is beyond the largest amount of 2^640 - 1 base units")
    return amount


def format_amount(amount: int, scale: int) -> str:
    """Display units: all decimals of the scale without trailing zeros."""
    if scale == 0:
        return str(amount)
    digits = str(amount).rjust(scale + 1, "0")
    fraction = digits[-scale:].rstrip("0")
    return digits[:-scale] + (f".{fraction}" if fraction else "")
