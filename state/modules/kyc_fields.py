"""Kinds of fields that only credentials, domains and compliance rules have. See `state.modules.fields`."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any, Final, TypeAlias

from msgspec import Meta

from state.modules.fields import Address, FieldKind, malformed, read_code, too_large
from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.ids import format_address
from state.primitives.limits import (
    CREDENTIAL_TIER_MAX,
    CREDENTIAL_TYPE_CHARS_MAX,
    DOMAIN_CREDENTIALS_MAX,
    DOMAIN_NAME_CHARS_MAX,
    JURISDICTIONS_MAX,
    LEI_CHARS,
    RECOVERY_CODES_MAX,
)

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]*\Z", re.ASCII)
_JURISDICTION: Final = re.compile(r"[A-Z]{2}\Z", re.ASCII)
_LEI: Final = re.compile(rf"[A-Z0-9]{{{LEI_CHARS - 2}}}[0-9]{{2}}\Z", re.ASCII)


def check_name(text: str, chars_max: int, what: str) -> str:
    """A name of lower-case letters, digits and `._-`, a letter or digit first. Raises `MalformedError`."""
    if len(text) > chars_max or _NAME.match(text) is None:
        raise MalformedError(f"{what} is 1 to {chars_max} characters of a-z, 0-9, '.', '_' and '-', a letter or digit first")
    return text


def check_credential_type(text: str) -> str:
    """The type of a credential. Raises `MalformedError`."""
    return check_name(text, CREDENTIAL_TYPE_CHARS_MAX, "the type of a credential")


def check_domain_name(text: str) -> str:
    """The name of a domain. Raises `MalformedError`."""
    return check_name(text, DOMAIN_NAME_CHARS_MAX, "the name of a domain")


def check_jurisdiction(text: str) -> str:
    """Two capital letters (ISO 3166, or ZZ for unknown). Raises `MalformedError`."""
    if _JURISDICTION.match(text) is None:
        raise MalformedError("a jurisdiction is two capital letters, such as CH; ZZ stands for none known")
    return text


def check_lei(text: str) -> str:
    """A legal entity identifier with right check digits (ISO 17442). Raises `MalformedError`."""
    if _LEI.match(text) is None:
        raise MalformedError(f"a legal entity identifier is {LEI_CHARS} capital letters and digits")
    if int("".join(str(int(char, 36)) for char in text)) % 97 != 1:
        raise MalformedError("the check digits of the legal entity identifier do not fit")
    return text


def _read(check: Any) -> Any:
    def read(text: str) -> str:
        try:
            found: str = check(text)
        except MalformedError as error:
            raise malformed(error.message) from error
        return found

    return read


_read_type: Final = _read(check_credential_type)
_read_domain: Final = _read(check_domain_name)
_read_one_jurisdiction: Final = _read(check_jurisdiction)


def _read_jurisdiction(text: str) -> str:
    found: str = _read_one_jurisdiction(text) if text else text
    return found


def _read_optional_code(text: str) -> str:
    return read_code(text) if text else text


def _read_jurisdictions(names: Value) -> Value:
    if len(names) > JURISDICTIONS_MAX:
        raise too_large(f"at most {JURISDICTIONS_MAX} jurisdictions")
    for name in names:
        _read_one_jurisdiction(name)
    if any(one >= other for one, other in pairwise(names)):
        raise malformed("jurisdictions are sorted, each once")
    return names


def _read_codes(codes: Value) -> Value:
    if len(codes) > RECOVERY_CODES_MAX:
        raise too_large(f"at most {RECOVERY_CODES_MAX} assets can be named")
    for code in codes:
        read_code(code)
    if any(one >= other for one, other in pairwise(codes)):
        raise malformed("asset codes are sorted, each once")
    return codes


def _read_tier(tier: int) -> int:
    if not 0 <= tier <= CREDENTIAL_TIER_MAX:
        raise malformed(f"a tier is 0 to {CREDENTIAL_TIER_MAX}")
    return tier


def _read_accepted(credentials: Value) -> Value:
    if not credentials:
        raise malformed("a domain accepts at least one credential")
    if len(credentials) > DOMAIN_CREDENTIALS_MAX:
        raise too_large(f"a domain accepts at most {DOMAIN_CREDENTIALS_MAX} credentials")
    for _, kind, tier in credentials:
        _read_type(kind)
        _read_tier(tier)
    if any(one[:2] >= other[:2] for one, other in pairwise(credentials)):
        raise malformed("accepted credentials are sorted by issuer and type, each once")
    return credentials


def _same(value: Any) -> Any:
    return value


def show_accepted(credentials: Value) -> list[dict[str, object]]:
    """JSON form of the credentials that a domain accepts."""
    return [{"issuer": format_address(issuer), "type": kind, "min_tier": tier} for issuer, kind, tier in credentials]


def _show_hex(data: bytes) -> object:
    return data.hex()


_Accepted: TypeAlias = tuple[tuple[Address, str, int], ...]

CREDENTIAL_TYPE: Final = FieldKind("credential type", str, _read_type, _same, _same)
DOMAIN_NAME: Final = FieldKind("domain name", str, _read_domain, _same, _same)
JURISDICTION: Final = FieldKind("optional jurisdiction", str, _read_jurisdiction, _same, _same)
JURISDICTIONS: Final = FieldKind("jurisdictions", tuple[str, ...], _read_jurisdictions, _same, list)
OPTIONAL_CODE: Final = FieldKind("optional asset code", str, _read_optional_code, _same, _same)
CODES: Final = FieldKind("asset codes", tuple[str, ...], _read_codes, _same, list)
TIER: Final = FieldKind("tier", int, _read_tier, _same, _same)
ACCEPTED: Final = FieldKind("accepted credentials", _Accepted, _read_accepted, _same, show_accepted)
LEI: Final = FieldKind("legal entity identifier", str, _read(check_lei), _same, _same)
EVIDENCE: Final = FieldKind("hash", Annotated[bytes, Meta(min_length=32, max_length=32)], None, _same, _show_hex)
