"""Examples of the operations on accounts, for `test_authorisation`."""

from __future__ import annotations

from state.codes import Code
from state.modules.account_policy import DUAL_OFF, KeyClass
from state.modules.accounts import AccountKind, new_account_address
from state.modules.table import BY_NAME
from state.schema import account_key
from state.schema_accounts import KeyRule, policy_key
from state.transaction import call
from tests.state.authorisation_world import WHO, Example, PairWorld
from tests.state.ledger_world import NOW, entry

DAY = 24 * 3600
_KEYS = (entry(0, "new0"), entry(1, "new1"))
_LEVELS = (1, 1, 1, 1)
_SUB = int(AccountKind.SUB_ACCOUNT)
_SCOPE = {
    "ops": (BY_NAME["asset.transfer"].code,),
    "limits": (("QNX", 100, 100),),
    "counterparties": (),
    "window_s": 60,
    "valid_until": NOW + 5 * DAY,
}
_DELEGATION = {"to": WHO["ben"], **_SCOPE}
_SESSION = {"key": (entry(9, "bot"),), "fee_limit": 0, **_SCOPE}
_SPONSORSHIP = {"who": WHO["ben"], "ops": (), "limit": 5, "window_s": 60, "valid_until": NOW + 5 * DAY}
_RULES = (KeyRule(2, KeyClass.RECOVERY, 0, 0), KeyRule(3, KeyClass.RECOVERY, 0, 0))
_POLICY = {
    "add": (entry(2, "ann2"), entry(3, "ann3")),
    "remove": (),
    "thresholds": (),
    "rules": _RULES,
    "rotation_delay_s": DAY,
    "recovery_delay_s": 2 * DAY,
    "recovery_weight": 2,
    "dual_from": DUAL_OFF,
}
_UPDATE = {"add": (entry(7, "new7"),), "remove": (), "thresholds": ()}


def _governed(world: PairWorld) -> None:
    world.done("ann", call("account.set_policy", **_POLICY))


def _waiting(world: PairWorld) -> None:
    _governed(world)
    world.done("ann", call("account.update_keys", **_UPDATE))


def _granted(world: PairWorld) -> None:
    world.done("ann", call("account.grant_session", **_SESSION), call("account.delegate", **_DELEGATION))
    world.done("ann", call("account.sponsor", **_SPONSORSHIP))


def _listed(world: PairWorld) -> None:
    world.done("ann", call("account.set_allowlist", counterparties=(WHO["ben"],), cosigner=WHO["cat"], approver=b""))


def _owners_only(world: PairWorld) -> None:
    world.change(policy_key(WHO["ann"]), rules=(), recovery_weight=0)
    record = world.read(account_key(WHO["ann"]))
    world.write(account_key(WHO["ann"]), (*record[:2], record[2], (4, 4, 4, 4), record[4]))


EXAMPLES = (
    Example(
        "account.create",
        {
            "address": new_account_address(_KEYS, _LEVELS, kind=_SUB, parent=WHO["ben"]),
            "kind": _SUB,
            "parent": WHO["ben"],
            "keys": _KEYS,
            "thresholds": _LEVELS,
        },
        others=("ben",),
    ),
    Example("account.update_keys", _UPDATE),
    Example("account.set_policy", _POLICY),
    Example("account.confirm_keys", {"account": WHO["ann"], "change": 1}, sender="ben", before=_waiting, settled_later_s=DAY),
    Example("account.veto_keys", {"change": 1}, before=_waiting, stranger=Code.PENDING_NOT_FOUND),
    Example(
        "account.recover",
        {"keys": _KEYS, "thresholds": _LEVELS},
        before=_governed,
        signing=(("ann", 2), ("ann", 3)),
        roles=(("keys for recovery", _owners_only, Code.QUORUM_NOT_MET),),
    ),
    Example("account.revoke_key", {"key_id": 2}, before=_governed),
    Example("account.grant_session", _SESSION),
    Example("account.revoke_session", {"key_id": 9}, before=_granted, stranger=Code.PENDING_NOT_FOUND),
    Example("account.delegate", _DELEGATION),
    Example("account.revoke_delegation", {"to": WHO["ben"]}, before=_granted, stranger=Code.PENDING_NOT_FOUND),
    Example("account.sponsor", _SPONSORSHIP),
    Example("account.revoke_sponsor", {"who": WHO["ben"]}, before=_granted, stranger=Code.PENDING_NOT_FOUND),
    Example(
        "account.set_allowlist",
        {"counterparties": (), "cosigner": b"", "approver": WHO["cat"]},
        others=("cat",),
        before=_listed,
    ),
    Example("account.close", {"beneficiary": WHO["ben"]}),
)
