"""Examples of the operations of central banks, for `test_authorisation`: `issuer` issues CBC."""

from __future__ import annotations

from state.codes import Code
from state.schema import minter_key
from state.transaction import call
from tests.state.authorisation_world import WHO, Example, PairWorld
from tests.state.ledger_world import NOW

_DEALER = {"asset": "CBC", "account": WHO["ann"], "tier": 1, "issue_max": 0, "window_max": 0, "window_s": 0}
_ISSUE = {"asset": "CBC", "amount": 500, "facility": "", "ref": ""}
_REQUEST = {"asset": "CBC", "amount": 50, "expires": NOW + 1_000, "ref": ""}
_LINE = {"asset": "CBC", "account": WHO["ann"], "limit": 100, "collateral": ()}


def _appointed(world: PairWorld) -> None:
    world.done("issuer", call("cb.appoint_dealer", **_DEALER))


def _issued(world: PairWorld) -> None:
    _appointed(world)
    world.done("issuer", call("cb.issue", **_ISSUE, dealer=WHO["ann"]))


def _asked(world: PairWorld) -> None:
    _issued(world)
    world.done("ann", call("cb.redeem_request", **_REQUEST))


def _rate(world: PairWorld) -> None:
    _issued(world)
    world.done("issuer", call("cb.set_rate", asset="CBC", rate_ppm=100_000, effective_from=NOW + 1))


def _line(world: PairWorld) -> None:
    _issued(world)
    world.done("issuer", call("cb.overdraft", **_LINE), others=("ann",))


def _overdrawn(world: PairWorld) -> None:
    _line(world)
    world.done("ann", call("cb.redeem_request", **{**_REQUEST, "amount": 500}))
    world.done("ann", call("asset.transfer", asset="CBC", to=WHO["ben"], amount=60, tag=""))
    world.done("ann", call("cb.redeem_cancel", asset="CBC", request=0))


def _no_dealer(world: PairWorld) -> None:
    world.done("issuer", call("cb.dismiss_dealer", asset="CBC", account=WHO["ann"]))


def _no_minter(world: PairWorld) -> None:
    world.write(minter_key(WHO["issuer"], "CBC"), None)


_IS_DEALER = (("dealer", _no_dealer, Code.NOT_DEALER),)
_MINTS = (("minter", _no_minter, Code.NO_PERMISSION),)


def _of_bank(operation: str, fields: dict[str, object], **more: object) -> Example:
    return Example(operation, fields, sender="issuer", stranger=Code.NOT_ISSUER).replaced(**more)


EXAMPLES = (
    _of_bank("cb.appoint_dealer", _DEALER),
    _of_bank("cb.dismiss_dealer", {"asset": "CBC", "account": WHO["ann"]}, before=_appointed),
    _of_bank("cb.issue", {**_ISSUE, "dealer": WHO["ann"]}, before=_appointed, roles=(*_IS_DEALER, *_MINTS)),
    _of_bank(
        "cb.inject",
        {"asset": "CBC", "legs": ((WHO["ann"], 5),), "facility": "", "ref": ""},
        before=_appointed,
        roles=(*_IS_DEALER, *_MINTS),
    ),
    Example("cb.redeem_request", _REQUEST, before=_issued, roles=_IS_DEALER),
    _of_bank("cb.redeem_confirm", {"asset": "CBC", "request": 0}, before=_asked),
    Example("cb.redeem_cancel", {"asset": "CBC", "request": 0}, before=_asked, stranger=Code.NO_PERMISSION),
    _of_bank("cb.set_rate", {"asset": "CBC", "rate_ppm": 5, "effective_from": NOW + 100}),
    _of_bank("cb.accrue", {"asset": "CBC", "period": 1}, before=_rate, settled_later_s=365 * 24 * 3600, roles=_MINTS),
    _of_bank("cb.set_reserve_requirement", {"asset": "CBC", "tier": 1, "ratio_ppm": 10_000}),
    Example("cb.report_liabilities", {"asset": "CBC", "amount": 7}, before=_appointed, roles=_IS_DEALER),
    _of_bank("cb.overdraft", _LINE, before=_issued, others=("ann",)),
    Example(
        "cb.close_overdraft", {"asset": "CBC", "account": WHO["ann"]}, sender="issuer", before=_line, stranger=Code.NO_PERMISSION
    ),
    Example("cb.repay", {"asset": "CBC", "amount": 10}, before=_overdrawn, stranger=Code.PENDING_NOT_FOUND),
)
