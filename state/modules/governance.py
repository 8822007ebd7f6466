"""The rows of the operations of governance and of groups. The handlers are in `gov_proposals`, `gov_params`, `gov_acts` and `groups`."""

from __future__ import annotations

from typing import Any, Final

from state.codes import Code
from state.modules import gov_acts, gov_params, gov_proposals, groups
from state.modules.fields import ADDRESS, AMOUNT, NUMBER, OPTIONAL_ADDRESS, OPTIONAL_HASH, SMALL, malformed
from state.modules.gov_fields import (
    GOVERNED_CALLS,
    GROUP_CALLS,
    GROUP_MEMBERS,
    IDENTITY,
    KEY_TEXT,
    KIND,
    NAME,
    VALUE_TEXT,
    WEIGHTS,
    check_identity,
    codes_of,
)
from state.modules.operation import CLAIMS, GOVERNANCE, Level, Operation
from state.schema import ACCOUNT, ADMISSION, BREAKERS, HOLDING, SUPPLY
from state.schema_claims import CLAIM
from state.schema_gov import GOVERNANCE as GOVERNANCE_LETTER
from state.schema_gov import GROUP, PROPOSAL, VOTE

_DEPOSIT: Final = frozenset({HOLDING, PROPOSAL, GOVERNANCE_LETTER, VOTE})
# who executes or cancels may be the first to find a vote over: deposits go back, or are burned
_CLOSE: Final = frozenset({HOLDING, SUPPLY, CLAIM, PROPOSAL, GOVERNANCE_LETTER})
_DEPOSITS: Final = frozenset({GOVERNANCE})
_CLOSED: Final = frozenset({GOVERNANCE, CLAIMS})
_MEMBERS: Final = (("members", GROUP_MEMBERS), ("threshold", NUMBER), ("min_delay_s", NUMBER))


def _check_propose(args: tuple[Any, ...]) -> None:
    if args[3] > 1:
        raise malformed("expedited is 1 or 0")


def _check_on(args: tuple[Any, ...]) -> None:
    if args[2] > 1:
        raise malformed("on is 1 or 0")


_PROPOSAL_ROWS: Final = (
    Operation(
        code=140,
        name="gov.propose",
        module="gov",
        fields=(("ops", GOVERNED_CALLS), ("title_hash", OPTIONAL_HASH), ("deposit", AMOUNT), ("expedited", SMALL)),
        level=Level.MEDIUM,
        handler=gov_proposals.propose,
        codes=(Code.DEPOSIT_TOO_SMALL, Code.ASSERT_FAILED, Code.INSUFFICIENT_FUNDS, Code.OVERFLOW_MAX),
        writes=_DEPOSIT,
        work=4,
        moves_value=True,
        check=_check_propose,
        touches=_DEPOSITS,
        carried=lambda args: codes_of(args[0]),
    ),
    Operation(
        code=141,
        name="gov.deposit",
        module="gov",
        fields=(("proposal", NUMBER), ("amount", AMOUNT)),
        level=Level.MEDIUM,
        handler=gov_proposals.deposit,
        codes=(
            Code.ZERO_AMOUNT,
            Code.PROPOSAL_NOT_FOUND,
            Code.VOTING_CLOSED,
            Code.ASSERT_FAILED,
            Code.INSUFFICIENT_FUNDS,
            Code.OVERFLOW_MAX,
        ),
        writes=_DEPOSIT,
        work=2,
        moves_value=True,
        touches=_DEPOSITS,
    ),
    Operation(
        code=142,
        name="gov.vote",
        module="gov",
        fields=(("proposal", NUMBER), ("weights", WEIGHTS)),
        level=Level.LOW,
        handler=gov_proposals.vote,
        codes=(Code.PROPOSAL_NOT_FOUND, Code.VOTING_CLOSED, Code.NOT_A_VOTER),
        writes=frozenset({PROPOSAL, VOTE}),
    ),
    Operation(
        code=143,
        name="gov.execute",
        module="gov",
        fields=(("proposal", NUMBER),),
        level=Level.LOW,
        handler=gov_proposals.execute,
        codes=(
            Code.PROPOSAL_NOT_FOUND,
            Code.ALREADY_EXECUTED,
            Code.TOO_LATE,
            Code.ASSERT_FAILED,
            Code.DELAY_NOT_OVER,
        ),
        writes=_CLOSE,
        work=16,
        touches=_CLOSED,
    ),
    Operation(
        code=144,
        name="gov.cancel",
        module="gov",
        fields=(("proposal", NUMBER),),
        level=Level.MEDIUM,
        handler=gov_proposals.cancel,
        codes=(Code.PROPOSAL_NOT_FOUND, Code.NO_PERMISSION, Code.VOTING_CLOSED),
        writes=_CLOSE,
        work=2,
        touches=_CLOSED,
    ),
)

_ACT_ROWS: Final = (
    Operation(
        code=145,
        name="gov.set_param",
        module="gov",
        fields=(("group", KEY_TEXT), ("key", KEY_TEXT), ("value", VALUE_TEXT)),
        level=Level.STATUTORY,
        handler=gov_params.set_param,
        codes=(Code.NO_PERMISSION, Code.PARAM_OUT_OF_RANGE),
        writes=frozenset({GOVERNANCE_LETTER}),
        is_governed=True,
    ),
    Operation(
        code=146,
        name="gov.admit",
        module="gov",
        fields=(("kind", KIND), ("identity", IDENTITY)),
        level=Level.STATUTORY,
        handler=gov_acts.admit,
        codes=(Code.NO_PERMISSION, Code.ASSERT_FAILED, Code.ACCOUNT_NOT_FOUND),
        writes=frozenset({ADMISSION}),
        is_governed=True,
        check=check_identity,
    ),
    Operation(
        code=147,
        name="gov.remove",
        module="gov",
        fields=(("kind", KIND), ("identity", IDENTITY)),
        level=Level.STATUTORY,
        handler=gov_acts.remove,
        codes=(Code.NO_PERMISSION, Code.ASSERT_FAILED),
        writes=frozenset({ADMISSION}),
        is_governed=True,
        check=check_identity,
    ),
    Operation(
        code=148,
        name="gov.upgrade",
        module="gov",
        fields=(("version", NUMBER), ("height", NUMBER), ("release", NAME), ("build_hash", OPTIONAL_HASH)),
        level=Level.STATUTORY,
        handler=gov_acts.plan_upgrade,
        codes=(Code.NO_PERMISSION, Code.PARAM_OUT_OF_RANGE),
        writes=frozenset({GOVERNANCE_LETTER}),
        is_governed=True,
    ),
    Operation(
        code=gov_acts.TRIP_CODE,
        name="gov.trip",
        module="gov",
        fields=(("module", NAME), ("function", NAME), ("until", NUMBER), ("second", OPTIONAL_ADDRESS)),
        level=Level.HIGH,
        handler=gov_acts.trip,
        codes=(Code.NO_PERMISSION, Code.PARAM_OUT_OF_RANGE, Code.ASSERT_FAILED, Code.TOO_EARLY),
        writes=frozenset({BREAKERS}),
        is_governed=True,
        check=gov_acts.check_breaker,
        authorities=gov_acts.breaker_authorities,
    ),
    Operation(
        code=150,
        name="gov.reset",
        module="gov",
        fields=(("module", NAME), ("function", NAME), ("second", OPTIONAL_ADDRESS)),
        level=Level.HIGH,
        handler=gov_acts.reset,
        codes=(Code.NO_PERMISSION, Code.ASSERT_FAILED),
        writes=frozenset({BREAKERS}),
        is_governed=True,
        check=gov_acts.check_breaker,
        authorities=gov_acts.breaker_authorities,
    ),
)

_GROUP_ROWS: Final = (
    Operation(
        code=151,
        name="group.create",
        module="gov",
        fields=_MEMBERS,
        level=Level.HIGH,
        handler=groups.create,
        codes=(Code.RECIPIENT_IS_MODULE, Code.ACCOUNT_NOT_FOUND),
        writes=frozenset({ACCOUNT, GROUP}),
        work=2,
        check=groups.check_create,
    ),
    Operation(
        code=152,
        name="group.update",
        module="gov",
        fields=_MEMBERS,
        level=Level.HIGH,
        handler=groups.update,
        codes=(Code.NO_PERMISSION, Code.RECIPIENT_IS_MODULE, Code.ACCOUNT_NOT_FOUND, Code.SELF_TRANSFER),
        writes=frozenset({GROUP}),
        work=2,
        check=groups.check_create,
    ),
    Operation(
        code=153,
        name="group.propose",
        module="gov",
        fields=(("group", ADDRESS), ("ops", GROUP_CALLS), ("title_hash", OPTIONAL_HASH)),
        level=Level.MEDIUM,
        handler=groups.propose,
        codes=(Code.ACCOUNT_NOT_FOUND, Code.NOT_A_VOTER, Code.ASSERT_FAILED),
        writes=frozenset({GROUP}),
        work=2,
        check=groups.check_propose,
        carried=lambda args: codes_of(args[1]),
    ),
    Operation(
        code=154,
        name="group.approve",
        module="gov",
        fields=(("group", ADDRESS), ("proposal", NUMBER), ("on", SMALL)),
        level=Level.MEDIUM,
        handler=groups.approve,
        codes=(
            Code.ACCOUNT_NOT_FOUND,
            Code.NOT_A_VOTER,
            Code.PROPOSAL_NOT_FOUND,
            Code.ALREADY_EXECUTED,
            Code.VOTING_CLOSED,
        ),
        writes=frozenset({GROUP}),
        check=_check_on,
    ),
    Operation(
        code=155,
        name="group.execute",
        module="gov",
        fields=(("group", ADDRESS), ("proposal", NUMBER)),
        level=Level.LOW,
        handler=groups.execute,
        codes=(
            Code.ACCOUNT_NOT_FOUND,
            Code.PROPOSAL_NOT_FOUND,
            Code.ALREADY_EXECUTED,
            Code.VOTING_CLOSED,
            Code.ASSERT_FAILED,
            Code.DELAY_NOT_OVER,
        ),
        writes=frozenset({GROUP}),
        work=16,
    ),
)

OPERATIONS: Final = tuple(sorted((*_PROPOSAL_ROWS, *_ACT_ROWS, *_GROUP_ROWS), key=lambda row: row.code))
