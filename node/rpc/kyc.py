"""Methods about credentials, domains, limits, views and privileged acts as the ledger knows them. Ours. Amounts are base units."""

from __future__ import annotations

from typing import Any, Final

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import parse_address
from state.queries_kyc import (
    find_membership,
    get_acts,
    get_credential,
    get_credentials,
    get_domain,
    get_limits,
    get_view,
)

Json = Any
PAGE_MAX: Final = 100


def _height(backend: NodeBackend) -> str:
    return str(max(0, backend.height))


async def kyc_credentials(backend: NodeBackend, account: str) -> Json:
    """What an account bears, its tier, its jurisdiction, the head of its group."""
    try:
        found = get_credentials(backend.store, parse_address(account), backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {**found, "height": _height(backend)}


async def kyc_credential(backend: NodeBackend, subject: str, issuer: str, type: str) -> Json:
    """One credential, accepted or not, or null."""
    try:
        found = get_credential(backend.store, parse_address(subject), parse_address(issuer), type, backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"credential": found, "height": _height(backend)}


async def kyc_domain(backend: NodeBackend, domain: str, account: str) -> Json:
    """A domain, or null; and whether an account is a member now, if one is named."""
    try:
        found = get_domain(backend.store, domain)
        member = find_membership(backend.store, domain, parse_address(account), backend.time_s()) if account else None
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"domain": found, "membership": member, "height": _height(backend)}


async def comp_limits(backend: NodeBackend, account: str, asset: str) -> Json:
    """The limits that count for an account's next movement of an asset, and what is left; or null."""
    try:
        found = get_limits(backend.store, parse_address(account), asset, backend.time_s())
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"limits": found, "height": _height(backend)}


async def comp_view(backend: NodeBackend, regulator: str, account: str, asset: str) -> Json:
    """Whether a regulator may see an account or an asset now."""
    try:
        subject = parse_address(account) if account else b""
        found = get_view(backend.store, parse_address(regulator), backend.time_s(), subject, asset)
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {**found, "height": _height(backend)}


async def comp_acts(backend: NodeBackend, start: int, limit: int) -> Json:
    """Privileged acts in order, from number `start`."""
    if start < 0 or not 1 <= limit <= PAGE_MAX:
        raise invalid_params(f"start is 0 or more, limit within 1..{PAGE_MAX}")
    return {"acts": get_acts(backend.store, start, limit), "height": _height(backend)}
