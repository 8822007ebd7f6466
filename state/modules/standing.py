"""Who an account is to the compliance rules, found when it is asked: head of its group, credentials, tier, jurisdiction, roles.

Nothing of this is stored: a credential that has expired or was revoked counts no more from that moment. Tier and jurisdiction of an
account are those that the network's compliance authority has attested, in credentials that the account has accepted. No
operation goes in here, and no rule about amounts. Source: ledger rules, section 1.5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from state.codes import Code
from state.marks import DESTROYED
from state.primitives.errors import OperationFailed
from state.primitives.ids import module_address
from state.primitives.limits import GROUP_DEPTH_MAX
from state.schema import ACCOUNT_PREFIX, ASSET_PREFIX, COMPLIANCE_PARAMS_KEY
from state.schema_freezes import Roles, roles_key
from state.schema_kyc import Credential, credential_key, credentials_key
from state.view import View

if TYPE_CHECKING:
    from state.modules.operation import OpContext

UNKNOWN: Final = "ZZ"  # the jurisdiction of who has none attested
_GOVERNANCE: Final = module_address("governance")


def is_authority(view: View, account: bytes) -> bool:
    """Whether an account is the network's compliance authority. Governance always is."""
    record = view.values[COMPLIANCE_PARAMS_KEY]
    return account == _GOVERNANCE or (record is not None and account in record[0])


def require_authority(context: OpContext, account: bytes) -> None:
    """Fail with 204 unless the account is the network's compliance authority."""
    if not is_authority(context.view, account):
        raise OperationFailed(Code.NO_PERMISSION, "only the network's compliance authority may do this")


def require_asset_role(context: OpContext, account: bytes, code: str, set_by: bytes) -> None:
    """Fail with 401, or with 204 unless the account may make rules for an asset: its issuer, its role, the network's authority.

    The role is the one of compliance that the issuer has appointed. `set_by` is who made the rule that is to change, or empty:
    what the authority has set, only the authority changes.
    """
    asset = context.view.values[ASSET_PREFIX + code.encode("ascii")]
    if asset is None or asset[5] & DESTROYED:
        raise OperationFailed(Code.ASSET_NOT_FOUND, f"there is no asset {code}")
    if is_authority(context.view, account):
        return
    roles: Roles | None = context.view.values[roles_key(code.encode("ascii"))]
    if account != asset[3] and (roles is None or account != roles.compliance):
        raise OperationFailed(Code.NO_PERMISSION, f"the issuer of {code}, its role of compliance, or the compliance authority may do this")
    if set_by and is_authority(context.view, set_by):
        raise OperationFailed(Code.NO_PERMISSION, "the compliance authority has set this, and only it may change it")


def find_head(view: View, address: bytes) -> bytes | None:
    """The account without a parent above an account, or itself; None if it is too deep to be counted."""
    for _ in range(GROUP_DEPTH_MAX + 1):
        record = view.values[ACCOUNT_PREFIX + address]
        parent: bytes = b"" if record is None else record[1]
        if not parent:
            return address
        address = parent
    return None


def find_standing(view: View, address: bytes, time_s: int) -> tuple[int, str]:
    """(tier, jurisdiction) by the valid credential of the compliance authority with the highest tier; (0, "") without one."""
    best = (0, "")
    found = False
    for issuer, kind in view.values[credentials_key(address)] or ():
        if not is_authority(view, issuer):
            continue
        credential: Credential = view.values[credential_key(address, issuer, kind)]
        if credential.expires_s > time_s and (not found or credential.tier > best[0]):
            best = (credential.tier, credential.jurisdiction)
            found = True
    return best


def find_jurisdiction(view: View, address: bytes, time_s: int) -> str:
    """The attested jurisdiction of an account, else of the head of its group, else `UNKNOWN`."""
    _, own = find_standing(view, address, time_s)
    if own:
        return own
    head = find_head(view, address)
    if head is None or head == address:
        return UNKNOWN
    return find_standing(view, head, time_s)[1] or UNKNOWN
