"""Methods about validators and stake as the ledger knows them. Ours; CometBFT's `validators` gives the voting set of a height."""

from __future__ import annotations

from typing import Any

from node.rpc.backend import NodeBackend
from node.rpc.errors import invalid_params
from state.primitives.errors import MalformedError
from state.primitives.ids import parse_address
from state.queries_staking import (
    get_delegation_of,
    get_delegations,
    get_validator,
    get_validators,
    read_validator_id,
)

Json = Any


async def stake_validators(backend: NodeBackend) -> Json:
    """Every registered validator, in the set or not."""
    return {"validators": get_validators(backend.store), "height": str(max(0, backend.height))}


async def stake_validator(backend: NodeBackend, validator: str) -> Json:
    """A validator by its id or by the address of any key it has had, or null."""
    try:
        found = get_validator(backend.store, read_validator_id(validator))
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"validator": found, "height": str(max(0, backend.height))}


async def stake_delegation(backend: NodeBackend, validator: str, delegator: str) -> Json:
    """What an account has with one validator, rewards and unbondings included, or null."""
    try:
        found = get_delegation_of(backend.store, read_validator_id(validator), parse_address(delegator))
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"delegation": found, "height": str(max(0, backend.height))}


async def stake_delegations(backend: NodeBackend, delegator: str) -> Json:
    """What an account has with every validator it has to do with."""
    try:
        found = get_delegations(backend.store, parse_address(delegator))
    except MalformedError as error:
        raise invalid_params(error.message) from error
    return {"delegations": found, "height": str(max(0, backend.height))}
