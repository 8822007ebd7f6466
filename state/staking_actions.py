"""What staking does by itself in every block: judge before the first transaction, settle after the last.

How an action is run is in `state.automatic`, what it does in `state.modules`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from state.automatic import run_action
from state.modules.operation import OpContext
from state.modules.power import validator_updates
from state.modules.rewards import reward_block
from state.modules.slashing import count_votes, punish_downtime, punish_misbehavior
from state.modules.staking_pool import read_stake_params
from state.modules.unbonding import sweep_redelegations, sweep_unbondings
from state.params import ConsensusParams
from state.receipts import Event
from state.schema import HOLDING, SUPPLY
from state.schema_claims import CLAIM
from state.schema_staking import STAKING_LETTERS
from state.validators import ValidatorUpdate

if TYPE_CHECKING:
    from state.machine import BlockContext

_LETTERS: Final = STAKING_LETTERS | {HOLDING, SUPPLY, CLAIM}


def judge_validators(context: OpContext, block: BlockContext, consensus: ConsensusParams, events: list[Event]) -> None:
    """Proved offences and missed votes, before the first transaction."""
    params = read_stake_params(context.view)
    for item in block.misbehavior:
        run_action(
            context,
            events,
            "misbehavior",
            lambda c, item=item: punish_misbehavior(c, params, consensus, block.time_ns, item),  # type: ignore[misc]
            None,
            _LETTERS,
        )
    nobody: tuple[bytes, ...] = ()
    votes, height = block.last_commit, block.height - 1
    missing = run_action(context, events, "missed votes", lambda c: count_votes(c.view, height, votes, params), nobody, _LETTERS)
    for validator in missing:
        run_action(context, events, "downtime", lambda c, v=validator: punish_downtime(c, params, v), None, _LETTERS)  # type: ignore[misc]


def settle_stake(context: OpContext, block: BlockContext, events: list[Event]) -> tuple[ValidatorUpdate, ...]:
    """After the last transaction: what is due is paid, the rewards are shared out, and what the set is to be told."""
    params = read_stake_params(context.view)
    run_action(context, events, "unbondings", lambda c: sweep_unbondings(c, params), None, _LETTERS)
    run_action(context, events, "redelegations", sweep_redelegations, None, _LETTERS)
    run_action(context, events, "rewards", lambda c: reward_block(c, params, block.time_ns, block.proposer_address), None, _LETTERS)
    nothing: tuple[ValidatorUpdate, ...] = ()
    return run_action(context, events, "validator updates", lambda c: validator_updates(c, params), nothing, _LETTERS)
