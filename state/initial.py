"""The first state: what a genesis document's contents become, written through the same view as everything after it.

`genesis_changes` takes plain entries and returns the records of height 0. It refuses contents that contradict each other; the
document's own form is checked in `genesis`. Bonded stake is part of its asset's supply and is held by the module account
`bonded`, so conservation holds from the first record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from state.marks import ACCEPTED, AUTHORISED, UNFREEZABLE
from state.modules.accounts import (
    AccountKind,
    check_new_account,
    first_marks,
    is_satisfiable,
    new_account_address,
)
from state.modules.assets import FLAGS_ALL, put_asset
from state.modules.fields import read_code, read_keys, read_thresholds
from state.modules.gate import FLAG_REQUIRE_ACCEPT, FLAG_REQUIRE_AUTH, FLAGS_OPEN, put_holding
from state.modules.groups import check_terms, put_group
from state.modules.operation import BONDED_ADDRESS, MODULE_ACCOUNTS
from state.modules.power import compute_powers
from state.modules.staking_pool import list_validator
from state.modules.staking_validators import put_validator
from state.params import AccountParams, ConsensusParams, FeeParams, Params, StakeParams, check_together
from state.params_compliance import ComplianceParams
from state.params_gov import GovParams
from state.primitives.codec import Value
from state.primitives.errors import GenesisError, MalformedError
from state.primitives.hashing import validator_address
from state.primitives.keys import ED25519_KEY_BYTES, MLDSA_KEY_BYTES, KeyKind
from state.primitives.limits import AMOUNT_MAX, ASSET_SCALE_MAX, NODE_ID_BYTES, POWER_TOTAL_MAX, VALIDATORS_MAX
from state.schema import (
    ACCOUNT_PARAMS_KEY,
    ADMIT_NODE,
    ADMIT_VALIDATOR,
    COMPLIANCE_PARAMS_KEY,
    CONSENSUS_PARAMS_KEY,
    FEE_PARAMS_KEY,
    GOV_PARAMS_KEY,
    NODES_KEY,
    STAKE_PARAMS_KEY,
    account_key,
    admission_key,
    asset_key,
    holding_key,
    minter_key,
    supply_key,
)
from state.schema_staking import TOTALS_KEY, Delegation, Pool, Totals, ValidatorRecord, delegation_key, pool_key
from state.view import View, encode_changes


class GenesisAccount(NamedTuple):
    """An account by its first policy; `keys` are (key id, kind, public key, weight)."""

    keys: tuple[tuple[int, int, bytes, int], ...]
    thresholds: tuple[int, int, int, int] = (1, 1, 1, 1)
    kind: int = AccountKind.CUSTOMER
    parent: bytes = b""

    @property
    def address(self) -> bytes:
        """The address that follows from the policy."""
        return new_account_address(self.keys, self.thresholds, kind=self.kind, parent=self.parent)


class GenesisAsset(NamedTuple):
    """An asset; `minters` are (account, allowance). A maximum supply of 0 means only the global bound."""

    code: str
    issuer: bytes
    scale: int = 0
    max_supply: int = 0
    flags: int = FLAGS_OPEN
    minters: tuple[tuple[bytes, int], ...] = ()
    metadata_hash: bytes = b""


class GenesisHolding(NamedTuple):
    """What an account holds at the start."""

    account: bytes
    code: str
    amount: int


class GenesisValidator(NamedTuple):
    """A validator: both keys, the account that owns it, its bonded stake, its name. The bond is the owner's delegation."""

    ed25519_key: bytes
    pq_kind: int
    pq_key: bytes
    owner: bytes
    bonded: int
    moniker: str = ""


@dataclass(frozen=True, slots=True)
class GenesisState:
    """Everything that the first state is made of."""

    params: Params = field(default_factory=Params)
    accounts: Sequence[GenesisAccount] = ()
    assets: Sequence[GenesisAsset] = ()
    holdings: Sequence[GenesisHolding] = ()
    validators: Sequence[GenesisValidator] = ()
    node_ids: Sequence[bytes] = ()  # that may connect, 20 bytes each
    emergency_members: Sequence[bytes] = ()  # of the committee that may trip breakers


_EMPTY: Final = dict[bytes, bytes]()


def genesis_changes(state: GenesisState) -> tuple[tuple[bytes, bytes | None], ...]:
    """The records of height 0 as (key, raw value), sorted by key. Raises `GenesisError` that names what is wrong."""
    view = View(_EMPTY)
    try:
        _put_params(view, state.params)
        for account in state.accounts:
            _put_account(view, account, state.params.accounts)
        for authority in state.params.compliance.authorities:
            _require_account(view, authority, "the compliance authority")
            record = view.get(account_key(authority))
            view.put(account_key(authority), (*record[:4], record[4] | UNFREEZABLE))
        for asset in state.assets:
            _put_asset(view, asset)
        supplies: dict[str, int] = {asset.code: 0 for asset in state.assets}
        for holding in state.holdings:
            _put_holding(view, holding, supplies)
        _put_validators(view, state.validators, state.params, supplies)
        _put_nodes(view, state.node_ids)
        _put_committee(view, state.emergency_members, state.params)
        for asset in state.assets:
            _put_supply(view, asset, supplies[asset.code])
    except MalformedError as error:
        raise GenesisError(error.message) from error
    if state.params.fees.asset and state.params.fees.asset not in supplies:
        raise GenesisError(f"the fee asset {state.params.fees.asset} is not among the assets")
    view.settle()
    return encode_changes(view.changed_records())


def _put_params(view: View, params: Params) -> None:
    for key, group in (
        (CONSENSUS_PARAMS_KEY, ConsensusParams.from_record(params.consensus.to_record())),
        (FEE_PARAMS_KEY, FeeParams.from_record(params.fees.to_record())),
        (ACCOUNT_PARAMS_KEY, AccountParams.from_record(params.accounts.to_record())),
        (STAKE_PARAMS_KEY, StakeParams.from_record(params.stake.to_record())),
        (COMPLIANCE_PARAMS_KEY, ComplianceParams.from_record(params.compliance.to_record())),
        (GOV_PARAMS_KEY, GovParams.from_record(params.gov.to_record())),
    ):
        view.put(key, group.to_record())
    check_together(params.consensus, params.stake, params.gov)


def _put_new(view: View, key: bytes, record: Value, what: str) -> None:
    if view.get(key) is not None:
        raise GenesisError(f"{what} is there twice")
    view.put(key, record)


def _require_account(view: View, address: bytes, what: str) -> None:
    if view.get(account_key(address)) is None:
        raise GenesisError(f"{what} {address.hex()} is not among the accounts")


def _put_account(view: View, account: GenesisAccount, params: AccountParams) -> None:
    keys, thresholds = read_keys(tuple(map(tuple, account.keys))), read_thresholds(tuple(account.thresholds))
    check_new_account(account.address, account.kind, account.parent, keys, thresholds)
    if account.parent:
        _require_account(view, account.parent, "the parent")
    if any(key[1] not in params.key_kinds for key in keys):
        raise GenesisError("an account has a kind of key that the network does not admit")
    if not is_satisfiable(keys, thresholds):
        raise GenesisError("an account's keys together do not reach every threshold")
    record = (int(account.kind), account.parent, keys, thresholds, first_marks(account.kind))
    _put_new(view, account_key(account.address), record, f"account {account.address.hex()}")


def _put_asset(view: View, asset: GenesisAsset) -> None:
    code = read_code(asset.code)
    _require_account(view, asset.issuer, f"the issuer of {code}")
    if not 0 <= asset.scale <= ASSET_SCALE_MAX or not 0 <= asset.max_supply <= AMOUNT_MAX:
        raise GenesisError(f"asset {code} has a scale or a maximum supply out of range")
    if asset.flags & ~FLAGS_ALL or asset.flags < 0 or len(asset.metadata_hash) not in (0, 32):
        raise GenesisError(f"asset {code} has an unknown flag or a wrong metadata hash")
    record = (asset.scale, asset.max_supply, asset.flags, asset.issuer, asset.metadata_hash)
    if view.get(asset_key(code)) is not None:
        raise GenesisError(f"asset {code} is there twice")
    put_asset(view, code, record)
    for minter, allowance in asset.minters:
        _require_account(view, minter, f"a minter of {code}")
        if not 0 < allowance <= AMOUNT_MAX:
            raise GenesisError(f"a minter of {code} has an allowance out of range")
        _put_new(view, minter_key(minter, code), (allowance, 0), f"a minter of {code}")


def _put_holding(view: View, holding: GenesisHolding, supplies: dict[str, int]) -> None:
    if holding.code not in supplies:
        raise GenesisError(f"a holding of {holding.code}, which is not among the assets")
    if holding.account in MODULE_ACCOUNTS:
        raise GenesisError("a module account is not given a holding directly")
    _require_account(view, holding.account, "the holder")
    if not 0 < holding.amount <= AMOUNT_MAX:
        raise GenesisError(f"a holding of {holding.code} is out of range")
    key = holding_key(holding.account, holding.code)
    if view.get(key) is not None:
        raise GenesisError(f"a holding of {holding.code} by {holding.account.hex()} is there twice")
    # whoever the document gives something to is authorised and has accepted
    flags = view.get(asset_key(holding.code))[2]
    marks = (AUTHORISED if flags & FLAG_REQUIRE_AUTH else 0) | (ACCEPTED if flags & FLAG_REQUIRE_ACCEPT else 0)
    put_holding(view, key, holding.amount, 0, marks)
    supplies[holding.code] += holding.amount


def _put_validators(
    view: View, validators: Sequence[GenesisValidator], params: Params, supplies: dict[str, int]
) -> None:
    stake, kind = params.stake, params.consensus.vote_key_kind
    if not 1 <= len(validators) <= VALIDATORS_MAX:
        raise GenesisError(f"a network has 1 to {VALIDATORS_MAX} validators")
    if stake.asset not in supplies:
        raise GenesisError(f"the stake asset {stake.asset} is not among the assets")
    bonds: dict[bytes, int] = {}
    pq_keys = set()
    for entry in validators:
        if entry.pq_kind != kind:
            raise GenesisError("every validator's ML-DSA key has the kind that the parameters name")
        if len(entry.ed25519_key) != ED25519_KEY_BYTES or len(entry.pq_key) != MLDSA_KEY_BYTES[KeyKind(kind)]:
            raise GenesisError("a validator's key has a wrong length for its kind")
        address = validator_address(entry.ed25519_key)
        _require_account(view, entry.owner, "a validator's owner")
        if not stake.power_unit <= entry.bonded <= AMOUNT_MAX:
            raise GenesisError(f"validator {address.hex()} has less stake than one unit of power")
        if address in bonds:
            raise GenesisError(f"validator {address.hex()} is there twice")
        bonds[address] = entry.bonded
        pq_keys.add(entry.pq_key)
        supplies[stake.asset] += entry.bonded
    if len(pq_keys) != len(validators):
        raise GenesisError("two validators have one ML-DSA key")
    if sum(bonds.values()) // stake.power_unit > POWER_TOTAL_MAX:
        raise GenesisError("the total voting power is beyond the encoding's bound; choose a larger power unit")
    powers = compute_powers(bonds, stake)
    for entry in validators:
        _put_validator(view, entry, powers[validator_address(entry.ed25519_key)])
    view.put(TOTALS_KEY, Totals(0, 0, sum(powers.values()), 0, 0))
    view.put(holding_key(BONDED_ADDRESS, stake.asset), (sum(bonds.values()),))


def _put_validator(view: View, entry: GenesisValidator, power: int) -> None:
    """A validator that was admitted and has bonded before the first block."""
    record = ValidatorRecord(
        entry.ed25519_key, int(entry.pq_kind), entry.pq_key, entry.owner, 0, 0, entry.moniker, "", 0, 0, 0, ()
    )
    validator = put_validator(view, record)
    pool: Pool = view.get(pool_key(validator))
    view.put(pool_key(validator), pool._replace(tokens=entry.bonded, shares=entry.bonded, power=power))
    view.put(delegation_key(validator, entry.owner), Delegation(entry.bonded, 0, 0))
    view.put(admission_key(ADMIT_VALIDATOR, entry.owner), (0,))
    list_validator(view, entry.owner, validator)


def _put_nodes(view: View, node_ids: Sequence[bytes]) -> None:
    if len(set(node_ids)) != len(node_ids) or any(len(node_id) != NODE_ID_BYTES for node_id in node_ids):
        raise GenesisError(f"node ids have {NODE_ID_BYTES} bytes, and each is there once")
    for node_id in node_ids:
        view.put(admission_key(ADMIT_NODE, node_id), (0,))
    if node_ids:
        view.put(NODES_KEY, tuple(sorted(node_ids)))


def _put_committee(view: View, members: Sequence[bytes], params: Params) -> None:
    """The emergency committee is a group in which more than half of the members act; any two may trip a breaker."""
    if len(members) == 1 or len(set(members)) != len(members):
        raise GenesisError("an emergency committee has at least two members, each once")
    for member in members:
        _require_account(view, member, "a member of the emergency committee")
    address = b""
    if members:
        terms = tuple((member, 1) for member in sorted(members))
        check_terms(terms, len(members) // 2 + 1, 0)
        address = put_group(view, terms, len(members) // 2 + 1, 0)
    if params.gov.emergency_group != address:
        raise GenesisError("the emergency group is not the one that the members make")


def _put_supply(view: View, asset: GenesisAsset, supply: int) -> None:
    if supply > (asset.max_supply or AMOUNT_MAX):
        raise GenesisError(f"the supply of {asset.code} exceeds its maximum")
    if supply:
        view.put(supply_key(asset.code), (supply,))
