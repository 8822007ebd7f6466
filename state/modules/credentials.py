"""Credentials: what an issuer says of a subject, until a date, once the subject agrees to bear it. And the rows of `kyc` and `domain`.

Anybody may issue; who relies on a credential decides whose he accepts. An offer costs its subject nothing: only what he has accepted
stands in his list, which is bounded. An expired credential stays until somebody removes it, and counts for nothing. Issuing
again renews: it replaces what was said and keeps the acceptance. Source: ledger rules, section 1.5.
"""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.events_kyc import CREDENTIAL_ACCEPTED, CREDENTIAL_ISSUED, CREDENTIAL_REVOKED
from state.modules import domains
from state.modules.fields import ADDRESS, NUMBER
from state.modules.kyc_fields import ACCEPTED, CREDENTIAL_TYPE, DOMAIN_NAME, EVIDENCE, JURISDICTION, TIER
from state.modules.operation import Level, OpContext, Operation
from state.primitives.errors import OperationFailed
from state.primitives.limits import CREDENTIALS_MAX
from state.schema_kyc import CREDENTIAL, DOMAIN, Credential, credential_key, credentials_key


def issue(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """kyc.issue: 506, 301, 708 (a date that is over)."""
    subject, kind, tier, jurisdiction, expires_s, evidence_hash = args
    context.require_recipient(subject)
    if expires_s <= context.time_s:
        raise OperationFailed(Code.TOO_LATE, "the credential would have expired already")
    key = credential_key(subject, account, kind)
    old: Credential | None = context.view.get(key)
    accepted_s = 0 if old is None else old.accepted_s
    context.view.put(key, Credential(tier, jurisdiction, expires_s, evidence_hash, context.time_s, accepted_s))
    context.emit(CREDENTIAL_ISSUED, subject, account, kind, tier, jurisdiction, expires_s, evidence_hash)


def _require_credential(context: OpContext, subject: bytes, issuer: bytes, kind: str) -> Credential:
    record: Credential | None = context.view.get(credential_key(subject, issuer, kind))
    if record is None:
        raise OperationFailed(Code.CREDENTIAL_MISSING, f"there is no credential {kind} of this issuer and subject")
    return record


def accept(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """kyc.accept of a credential that was issued to the account: 607, 711 (accepted before), 608, 508 (too many)."""
    issuer, kind = args
    view = context.view
    record = _require_credential(context, account, issuer, kind)
    if record.accepted_s:
        raise OperationFailed(Code.ALREADY_SETTLED, "the credential was accepted before")
    if record.expires_s <= context.time_s:
        raise OperationFailed(Code.CREDENTIAL_EXPIRED, "the credential has expired")
    listed = view.get(credentials_key(account)) or ()
    if len(listed) >= CREDENTIALS_MAX:
        raise OperationFailed(Code.ASSERT_FAILED, f"an account bears at most {CREDENTIALS_MAX} credentials; it may revoke one")
    view.put(credential_key(account, issuer, kind), record._replace(accepted_s=context.time_s))
    view.put(credentials_key(account), tuple(sorted((*listed, (issuer, kind)))))
    context.emit(CREDENTIAL_ACCEPTED, account, issuer, kind)


def revoke(context: OpContext, account: bytes, args: tuple[Any, ...]) -> None:
    """kyc.revoke by the issuer, or by the subject who no longer wants it: 204, 607."""
    subject, issuer, kind = args
    if account not in (subject, issuer):
        raise OperationFailed(Code.NO_PERMISSION, "only the issuer or the subject of a credential may revoke it")
    view = context.view
    record = _require_credential(context, subject, issuer, kind)
    view.put(credential_key(subject, issuer, kind), None)
    if record.accepted_s:
        listed = tuple(entry for entry in view.get(credentials_key(subject)) if entry != (issuer, kind))
        view.put(credentials_key(subject), listed or None)
    context.emit(CREDENTIAL_REVOKED, subject, issuer, kind, account)


OPERATIONS: Final = (
    Operation(
        code=160,
        name="kyc.issue",
        module="kyc",
        fields=(
            ("subject", ADDRESS),
            ("type", CREDENTIAL_TYPE),
            ("tier", TIER),
            ("jurisdiction", JURISDICTION),
            ("expires", NUMBER),
            ("evidence_hash", EVIDENCE),
        ),
        level=Level.HIGH,
        handler=issue,
        codes=(Code.RECIPIENT_IS_MODULE, Code.ACCOUNT_NOT_FOUND, Code.TOO_LATE),
        writes=frozenset({CREDENTIAL}),
    ),
    Operation(
        code=161,
        name="kyc.accept",
        module="kyc",
        fields=(("issuer", ADDRESS), ("type", CREDENTIAL_TYPE)),
        level=Level.MEDIUM,
        handler=accept,
        codes=(Code.CREDENTIAL_MISSING, Code.ALREADY_SETTLED, Code.CREDENTIAL_EXPIRED, Code.ASSERT_FAILED),
        writes=frozenset({CREDENTIAL}),
    ),
    Operation(
        code=162,
        name="kyc.revoke",
        module="kyc",
        fields=(("subject", ADDRESS), ("issuer", ADDRESS), ("type", CREDENTIAL_TYPE)),
        level=Level.HIGH,
        handler=revoke,
        codes=(Code.NO_PERMISSION, Code.CREDENTIAL_MISSING),
        writes=frozenset({CREDENTIAL}),
    ),
    Operation(
        code=163,
        name="domain.set",
        module="kyc",
        fields=(("domain", DOMAIN_NAME), ("credentials", ACCEPTED)),
        level=Level.HIGH,
        handler=domains.set_domain,
        codes=(Code.NO_PERMISSION,),
        writes=frozenset({DOMAIN}),
    ),
    Operation(
        code=164,
        name="domain.delete",
        module="kyc",
        fields=(("domain", DOMAIN_NAME),),
        level=Level.HIGH,
        handler=domains.delete,
        codes=(Code.CREDENTIAL_MISSING, Code.NO_PERMISSION),
        writes=frozenset({DOMAIN}),
    ),
)
