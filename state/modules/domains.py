"""Domains: names for "whoever has one of these credentials". Membership is computed when it is used and never stored.

So a credential that expires or is revoked takes its subject out of every domain at once, and a domain that is changed or deleted takes
out whoever it no longer accepts. A deleted domain keeps its name and owner: nobody else can take the name and with it what it
guards. Source: ledger rules, section 1.5. Operations on domains and the question of membership go in here, nothing else.
"""

from __future__ import annotations

from typing import Any

from state.codes import Code
from state.events_kyc import DOMAIN_DELETED, DOMAIN_SET
from state.modules.operation import OpContext
from state.primitives.errors import OperationFailed
from state.schema_kyc import Credential, Domain, credential_key, domain_key


def require_member(context: OpContext, domain: str, account: bytes) -> None:
    """Fail unless the account bears a credential that the domain accepts: 607, or 608 if it had one that has expired."""
    view = context.view
    record: Domain | None = view.values[domain_key(domain)]
    failure = Code.CREDENTIAL_MISSING
    for issuer, kind, tier in () if record is None else record.credentials:
        credential: Credential | None = view.values[credential_key(account, issuer, kind)]
        if credential is None or not credential.accepted_s or credential.tier < tier:
            continue
        if credential.expires_s > context.time_s:
            return
        failure = Code.CREDENTIAL_EXPIRED
    if failure == Code.CREDENTIAL_EXPIRED:
        raise OperationFailed(failure, f"the account's credential for the domain {domain} has expired")
    raise OperationFailed(failure, f"the account has no credential that the domain {domain} accepts")


def require_domain(context: OpContext, domain: str) -> Domain:
    """The record of a domain that accepts somebody, or fail with 607."""
    record: Domain | None = context.view.values[domain_key(domain)]
    if record is None or not record.credentials:
        raise OperationFailed(Code.CREDENTIAL_MISSING, f"there is no domain {domain}")
    return record


def _require_owner(record: Domain | None, account: bytes, name: str) -> None:
    if record is not None and record.owner != account:
        raise OperationFailed(Code.NO_PERMISSION, f"the domain {name} is somebody else's")


def set_domain(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """domain.set: makes a domain, or replaces what one's own accepts. 204 (somebody else's)."""
    name, credentials = args
    _require_owner(context.view.get(domain_key(name)), account, name)
    context.view.put(domain_key(name), Domain(account, credentials))
    context.emit(DOMAIN_SET, name, account, len(credentials))


def delete(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """domain.delete: nobody is a member any more. 607 (no such domain), 204."""
    (name,) = args
    record = require_domain(context, name)
    _require_owner(record, account, name)
    context.view.put(domain_key(name), Domain(account, ()))
    context.emit(DOMAIN_DELETED, name, account)
