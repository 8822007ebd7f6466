"""Names of things: account addresses, module addresses, asset codes.

An address is 32 bytes, written as bech32m (BIP-350) with the prefix `qx` so that a mistyped one is refused. It is derived
from the first key policy, so its owner knows it before the account exists; later rotation keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from state.primitives.codec import Value, encode
from state.primitives.errors import MalformedError
from state.primitives.hashing import sha256
from state.primitives.limits import ACCOUNT_ADDRESS_BYTES

ADDRESS_PREFIX: Final = "qx"
_CHARSET: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32M: Final = 0x2BC830A3
_GENERATOR: Final = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_ASSET_CODE: Final = re.compile(r"[A-Z][A-Z0-9.]{1,15}\Z", re.ASCII)


def account_address(policy: Sequence[Value]) -> bytes:
    """Address of the account whose first key policy has this canonical form: 32 bytes."""
    return sha256(b"qenex/account/1" + encode(policy))


def module_address(name: str) -> bytes:
    """Address of a ledger module's own account; no key can sign for it."""
    return sha256(b"qenex/module/1" + name.encode("ascii"))


def check_asset_code(code: Value) -> str:
    """The code itself if it is 2 to 16 characters of A-Z, 0-9 and '.', starting with a letter."""
    if type(code) is not str or _ASSET_CODE.match(code) is None:
        raise MalformedError("an asset code is 2 to 16 characters: A-Z, 0-9 and '.', a letter first")
    return code


def format_address(address: bytes) -> str:
    """Text form of an address, 62 characters."""
    if len(address) != ACCOUNT_ADDRESS_BYTES:
        raise MalformedError(f"an address has {ACCOUNT_ADDRESS_BYTES} bytes, not {len(address)}")
    data = _regroup(address, 8, 5, pad=True)
    checksum = _polymod([*_expand_prefix(), *data, 0, 0, 0, 0, 0, 0]) ^ _BECH32M
    words = [*data, *((checksum >> 5 * (5 - i)) & 31 for i in range(6))]
    return ADDRESS_PREFIX + "1" + "".join(_CHARSET[word] for word in words)


def parse_address(text: str) -> bytes:
    """The 32 bytes of an address in text form. Raises `MalformedError` for any typing mistake."""
    if not text.startswith(ADDRESS_PREFIX + "1"):
        raise MalformedError(f"an address starts with {ADDRESS_PREFIX}1")
    try:
        words = [_CHARSET.index(char) for char in text[len(ADDRESS_PREFIX) + 1 :]]
    except ValueError:
        raise MalformedError("an address has a character that is never used in one") from None
    if _polymod([*_expand_prefix(), *words]) != _BECH32M:
        raise MalformedError("the address has a typing mistake: its checksum does not fit")
    data = bytes(_regroup(words[:-6], 5, 8, pad=False))
    if len(data) != ACCOUNT_ADDRESS_BYTES:
        raise MalformedError(f"an address has {ACCOUNT_ADDRESS_BYTES} bytes, not {len(data)}")
    return data


def _expand_prefix() -> list[int]:
    return [*(ord(c) >> 5 for c in ADDRESS_PREFIX), 0, *(ord(c) & 31 for c in ADDRESS_PREFIX)]


def _polymod(words: Iterable[int]) -> int:
    checksum = 1
    for word in words:
        top = checksum >> 25
        checksum = (checksum & 0x1FFFFFF) << 5 ^ word
        for i, generator in enumerate(_GENERATOR):
            if top >> i & 1:
                checksum ^= generator
    return checksum


def _regroup(words: Iterable[int], bits_in: int, bits_out: int, *, pad: bool) -> list[int]:
    accumulator = bits = 0
    out: list[int] = []
    for word in words:
        accumulator = accumulator << bits_in | word
        bits += bits_in
        while bits >= bits_out:
            bits -= bits_out
            out.append(accumulator >> bits & ((1 << bits_out) - 1))
    rest = accumulator & ((1 << bits) - 1)
    if pad:
        if bits:
            out.append(rest << (bits_out - bits))
    elif bits >= bits_in or rest:
        raise MalformedError("an address has stray bits at its end")
    return out
