"""Examples of credentials, domains, limits, travel rule, views and the recovery of holders, for `test_authorisation`.

`cat` acts for the network's authority.
"""

from __future__ import annotations

from state.codes import Code
from state.schema import COMPLIANCE_PARAMS_KEY
from state.transaction import call
from tests.state.authorisation_world import WHO, Change, Example, PairWorld
from tests.state.ledger_world import NOW, entry

DAY = 24 * 3_600
_CREDENTIAL = {
    "subject": WHO["ann"],
    "type": "kyc",
    "tier": 1,
    "jurisdiction": "CH",
    "expires": NOW + DAY,
    "evidence_hash": bytes(32),
}
_DOMAIN = {"domain": "retail", "credentials": ((WHO["cat"], "kyc", 1),)}
_LIMITS = {
    "scope": 2,
    "account": WHO["ann"],
    "asset": "GLD",
    "tier": 0,
    "per_tx": 100,
    "window_s": 3_600,
    "in_max": 0,
    "out_max": 500,
    "max_balance": 0,
}
_OF_LIMITS = {"scope": 2, "account": WHO["ann"], "asset": "GLD", "tier": 0}
_THRESHOLD = {"jurisdiction": "CH", "asset": "GLD"}
_VIEW = {"regulator": WHO["spare"], "scope": 0, "account": b"", "asset": ""}


def _no_authorities(world: PairWorld) -> None:
    world.write(COMPLIANCE_PARAMS_KEY, None)


def _before(sender: str, operation: str, fields: dict[str, object]) -> Change:
    def before(world: PairWorld) -> None:
        world.done(sender, call(operation, **fields))

    return before


def _restricted_pool(world: PairWorld) -> None:
    fields = {"a": "EUR", "b": "QNX", "fee_ppm": 3_000, "amount_a": 10**8, "amount_b": 10**8, "members": (WHO["ann"],)}
    world.done("issuer", call("amm.create", **fields), call("domain.set", **_DOMAIN))


_AUTHORITY = (("authority", _no_authorities, Code.NO_PERMISSION),)
_ISSUED = _before("cat", "kyc.issue", _CREDENTIAL)


def _of_authority(operation: str, fields: dict[str, object], **more: object) -> Example:
    return Example(operation, fields, sender="cat", roles=_AUTHORITY).replaced(**more)


EXAMPLES = (
    Example("kyc.issue", _CREDENTIAL, sender="cat"),
    Example("kyc.accept", {"issuer": WHO["cat"], "type": "kyc"}, before=_ISSUED, stranger=Code.CREDENTIAL_MISSING),
    Example(
        "kyc.revoke",
        {"subject": WHO["ann"], "issuer": WHO["cat"], "type": "kyc"},
        before=_ISSUED,
        stranger=None,
        roles=(("credential of its own", _before("cat", "kyc.revoke", {"subject": WHO["ann"], "issuer": WHO["cat"], "type": "kyc"}),
                Code.CREDENTIAL_MISSING),),
    ),
    Example("domain.set", _DOMAIN, before=_before("ann", "domain.set", _DOMAIN), stranger=Code.NO_PERMISSION),
    Example("domain.delete", {"domain": "retail"}, before=_before("ann", "domain.set", _DOMAIN), stranger=Code.NO_PERMISSION),
    Example(
        "amm.set_domain",
        {"pool": "EUR/QNX", "domain": "retail"},
        sender="issuer",
        before=_restricted_pool,
        stranger=Code.NO_PERMISSION,
    ),
    _of_authority("comp.set_limits", _LIMITS),
    _of_authority("comp.clear_limits", _OF_LIMITS, before=_before("cat", "comp.set_limits", _LIMITS)),
    _of_authority("comp.set_jurisdictions", {"asset": "GLD", "only": 0, "jurisdictions": ("XX",)}),
    _of_authority("comp.set_travel_threshold", {**_THRESHOLD, "amount": 1_000}),
    _of_authority(
        "comp.clear_travel_threshold",
        _THRESHOLD,
        before=_before("cat", "comp.set_travel_threshold", {**_THRESHOLD, "amount": 1_000}),
    ),
    _of_authority(
        "comp.register_vasp", {"institution": WHO["ann"], "lei": "5493001KJTIIGC8Y1R12", "keys": (entry(0, "vasp"),)}
    ),
    _of_authority(
        "comp.recover_holder",
        {"old": WHO["ann"], "new": WHO["ben"], "evidence_hash": bytes(32), "assets": ("QNX",)},
        others=("ben",),
    ),
    _of_authority("comp.grant_view", {**_VIEW, "until": NOW + DAY}),
    _of_authority("comp.revoke_view", _VIEW, before=_before("cat", "comp.grant_view", {**_VIEW, "until": NOW + DAY})),
)
