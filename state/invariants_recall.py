"""Checks of what an authority brought back or burned beyond a holding (`asset.recall`, `claim.clawback`), knowing nothing of the handlers.

I24 and I26: who acted has the role, the issuer had reserved the power, and value went to the one holder that the act names, or was burned
out of his claims; nobody else's balance changed. What was ended is held to the rules of its own module, with the holder as the one who
acts. Source: ledger rules, section 3. Nothing here may change a record.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from state.invariants_amm import check_amm
from state.invariants_farm import check_farm
from state.invariants_pending import check_pending
from state.invariants_staking import check_staking
from state.modules.gate import FLAG_CLAWBACK
from state.modules.operation import MODULE_ACCOUNTS
from state.primitives.codec import Value
from state.schema import HOLDING, HOLDING_ADDRESS, asset_key
from state.schema_amm import POOL
from state.schema_claims import CLAIM, CLAIM_OWNER
from state.schema_farm import FARM_POSITION
from state.schema_freezes import roles_key
from state.schema_kyc import ACTS_KEY, Act, act_key
from state.schema_staking import DELEGATION
from state.view import View

_NOTHING: Final = (0,)


def check_recall(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I24 and I26 over the records before (`first`) and now; the empty string if they hold. `account` acts, or None."""
    if account is None:
        return ""
    values = view.values
    act: Act | None = values[act_key((values[ACTS_KEY] or (0,))[0] - 1)] if values[ACTS_KEY] else None
    if act is None or act.actor != account:
        return "I27: a privileged act without its entry"
    asset, roles = values[asset_key(act.asset)], values[roles_key(act.asset.encode("ascii"))]
    if asset is None or not asset[2] & FLAG_CLAWBACK or roles is None or roles.clawback != account:
        return "I24: somebody reached beyond a holding without the role"
    holder = act.subject
    for key, before in first.items():
        tag = key[1]
        if tag == HOLDING and key[HOLDING_ADDRESS] not in MODULE_ACCOUNTS and key[HOLDING_ADDRESS] != holder:
            if (values[key] or _NOTHING)[0] != (before or _NOTHING)[0]:
                return "I26: an act of authority moved what is another's"
        elif tag == CLAIM and key[CLAIM_OWNER] != holder:
            return "I26: an act of authority touched the claims of another"
    tags = {key[1] for key in first}
    problem = check_pending(view, first, holder)
    if FARM_POSITION in tags:
        problem = problem or check_farm(view, first, holder)
    elif POOL in tags:
        problem = problem or check_amm(view, first, holder)
    if DELEGATION in tags:
        problem = problem or check_staking(view, first, holder)
    return problem
