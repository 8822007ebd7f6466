"""Examples of governance and of groups, for `test_authorisation`: `owner` and `spare` have the validators, and so the votes."""

from __future__ import annotations

from state.codes import Code
from state.modules.groups import group_address
from state.modules.operation import GOVERNANCE_ADDRESS
from state.params_gov import GovParams
from state.primitives.limits import PPM
from state.schema import GOV_PARAMS_KEY
from state.schema_gov import proposal_key
from state.transaction import call
from tests.state.authorisation_world import WHO, Example, PairWorld

_GOV = GovParams(
    deposit_min=1_000,
    deposit_initial_ppm=250_000,
    deposit_s=50,
    voting_s=40,
    voting_expedited_s=20,
    delay_s=30,
    delay_expedited_s=10,
    execute_s=60,
)
_OPS = (call("gov.set_param", group="stake", key="jail_s", value="600"),)
_PROPOSAL = {"ops": _OPS, "title_hash": b"", "deposit": 1_000, "expedited": 0}
_YES = (PPM, 0, 0, 0)
_GROUP = group_address(0)
_MEMBERS = tuple(sorted(((WHO["ann"], 1), (WHO["ben"], 1))))
_TERMS = {"members": _MEMBERS, "threshold": 2, "min_delay_s": 0}
_INNER = (call("asset.transfer", asset="QNX", to=WHO["cat"], amount=5, tag=""),)
_IN_GROUP = {"group": _GROUP, "ops": _INNER, "title_hash": b""}


def _rules(world: PairWorld) -> None:
    world.write(GOV_PARAMS_KEY, _GOV.to_record())


def _tripped(world: PairWorld) -> None:
    _rules(world)
    world.done_by(GOVERNANCE_ADDRESS, "gov.trip", **_BREAKER, until=0)


def _gathering(world: PairWorld) -> None:
    _rules(world)
    world.done("ann", call("gov.propose", **{**_PROPOSAL, "deposit": 500}))


def _voting(world: PairWorld) -> None:
    _rules(world)
    world.done("ann", call("gov.propose", **_PROPOSAL))


def _passed(world: PairWorld) -> None:
    _voting(world)
    for name in ("owner", "spare"):
        world.done(name, call("gov.vote", proposal=0, weights=_YES))
    for moment in ("due_s", "ready_s"):
        world.now = max(world.now, getattr(world.read(proposal_key(0)), moment))
        world.apply()


def _group(world: PairWorld) -> None:
    world.done("ann", call("group.create", **_TERMS))
    world.done("ann", call("asset.transfer", asset="QNX", to=_GROUP, amount=100, tag=""))


def _proposed(world: PairWorld) -> None:
    _group(world)
    world.done("ann", call("group.propose", **_IN_GROUP))


def _approved(world: PairWorld) -> None:
    _proposed(world)
    for name in ("ann", "ben"):
        world.done(name, call("group.approve", group=_GROUP, proposal=0, on=1))


def _not_approved(world: PairWorld) -> None:
    world.done("ben", call("group.approve", group=_GROUP, proposal=0, on=0))


def _no_vote(world: PairWorld) -> None:
    world.change(proposal_key(0), ready_s=world.now + 10)


def _governed(operation: str, fields: dict[str, object], before: object = _rules) -> Example:
    return Example(operation, fields, by_governance=True).replaced(before=before)


_BREAKER = {"module": "amm", "function": "", "second": b""}

EXAMPLES = (
    Example("gov.propose", _PROPOSAL, before=_rules),
    Example("gov.deposit", {"proposal": 0, "amount": 100}, before=_gathering),
    Example("gov.vote", {"proposal": 0, "weights": _YES}, sender="owner", before=_voting, stranger=Code.NOT_A_VOTER),
    Example(
        "gov.execute", {"proposal": 0}, before=_passed, roles=(("delay that is over", _no_vote, Code.DELAY_NOT_OVER),)
    ),
    Example("gov.cancel", {"proposal": 0}, before=_gathering, stranger=Code.NO_PERMISSION),
    _governed("gov.set_param", {"group": "stake", "key": "jail_s", "value": "600"}),
    _governed("gov.admit", {"kind": "validator", "identity": WHO["ann"]}),
    _governed("gov.remove", {"kind": "validator", "identity": WHO["owner"]}),
    _governed("gov.upgrade", {"version": 2, "height": 10_000, "release": "x", "build_hash": b""}),
    _governed("gov.trip", {**_BREAKER, "until": 0}),
    _governed("gov.reset", _BREAKER, _tripped),
    Example("group.create", _TERMS),
    Example("group.propose", _IN_GROUP, before=_group, stranger=Code.NOT_A_VOTER),
    Example("group.approve", {"group": _GROUP, "proposal": 0, "on": 1}, sender="ben", before=_proposed, stranger=Code.NOT_A_VOTER),
    Example(
        "group.execute",
        {"group": _GROUP, "proposal": 0},
        before=_approved,
        roles=(("approval of enough members", _not_approved, Code.ASSERT_FAILED),),
    ),
    Example("group.update", {**_TERMS, "min_delay_s": 5}, before=_group, by_group=_GROUP),
)
