"""From a checked genesis document to the first state and the first validator set.

Only translation goes in here: what the records are is decided by `state.initial`, what is allowed by `genesis.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping

from genesis.document import (
    AccountEntry,
    AssetEntry,
    Document,
    FeesSection,
    ValidatorEntry,
    key_kind,
    keys_to_wire,
    thresholds_to_wire,
)
from state.initial import (
    GenesisAccount,
    GenesisAsset,
    GenesisHolding,
    GenesisState,
    GenesisValidator,
    genesis_changes,
)
from state.modules.accounts import AccountKind
from state.modules.assets import FLAGS
from state.modules.power import compute_powers
from state.params import AccountParams, FeeParams, Params
from state.primitives.hashing import validator_address
from state.primitives.ids import parse_address
from state.validators import Validator, ValidatorSet


def build_changes(document: Document) -> tuple[tuple[bytes, bytes | None], ...]:
    """The records of the first state as (key, raw value), sorted by key. Raises `GenesisError`."""
    return genesis_changes(build_state(document))


def build_state(document: Document) -> GenesisState:
    """The document's contents in the ledger's terms."""
    return GenesisState(
        params=build_params(document),
        accounts=tuple(_account(entry) for entry in document.accounts),
        assets=tuple(_asset(entry) for entry in document.assets),
        holdings=tuple(GenesisHolding(parse_address(e.account), e.asset, int(e.amount)) for e in document.holdings),
        validators=tuple(
            GenesisValidator(
                bytes.fromhex(entry.ed25519_key),
                int(key_kind(entry.pq_kind)),
                bytes.fromhex(entry.pq_key),
                parse_address(entry.owner),
                int(entry.bonded),
                entry.moniker,
            )
            for entry in document.validators
        ),
        node_ids=tuple(bytes.fromhex(node_id) for node_id in document.allowed_node_ids),
        emergency_members=tuple(parse_address(text) for text in document.gov.emergency_members),
    )


def build_validators(document: Document) -> ValidatorSet:
    """The validator set of the first height."""
    stake = document.stake.to_params()
    bonds = {validator_address(bytes.fromhex(entry.ed25519_key)): int(entry.bonded) for entry in document.validators}
    powers = compute_powers(bonds, stake)
    return ValidatorSet(tuple(_validator(entry, powers) for entry in document.validators))


def build_params(document: Document) -> Params:
    """All governed parameters at the start."""
    return Params(
        consensus=document.consensus.to_params(),
        fees=_fees(document.fees),
        accounts=AccountParams(tuple(sorted(int(key_kind(name)) for name in document.key_kinds))),
        stake=document.stake.to_params(),
        compliance=document.compliance.to_params(),
        gov=document.gov.to_params(),
    )


def _fees(fees: FeesSection) -> FeeParams:
    return FeeParams(
        asset=fees.asset,
        base_default=int(fees.base_default),
        per_signature=int(fees.per_signature),
        per_byte=int(fees.per_byte),
        free_bytes=fees.free_bytes,
        base=tuple((name, int(fees.base[name])) for name in sorted(fees.base)),
    )


def _account(entry: AccountEntry) -> GenesisAccount:
    parent = parse_address(entry.parent) if entry.parent else b""
    return GenesisAccount(keys_to_wire(entry), thresholds_to_wire(entry), AccountKind[entry.kind.upper()], parent)


def _asset(entry: AssetEntry) -> GenesisAsset:
    return GenesisAsset(
        code=entry.code,
        issuer=parse_address(entry.issuer),
        scale=entry.scale,
        max_supply=int(entry.max_supply),
        flags=sum(FLAGS[flag] for flag in entry.flags),
        minters=tuple((parse_address(minter.account), int(minter.allowance)) for minter in entry.minters),
        metadata_hash=bytes.fromhex(entry.metadata_hash),
    )


def _validator(entry: ValidatorEntry, powers: Mapping[bytes, int]) -> Validator:
    ed25519_key = bytes.fromhex(entry.ed25519_key)
    power = powers[validator_address(ed25519_key)]
    return Validator(ed25519_key, key_kind(entry.pq_kind), bytes.fromhex(entry.pq_key), power)
