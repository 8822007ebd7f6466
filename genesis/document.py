"""The genesis document: what a network agrees on before its first block.

JSON for people, strict: unknown and repeated keys, wrong types, values out of range and contradictions are refused with the place
named. Its hash, the 32-byte chain id of every transaction, is SHA-256 of the canonical msgpack form of its *content*, so layout
does not matter and a single changed value makes another network. Amounts are decimal strings in base units, keys and hashes
hex, addresses in text form. Making state from it is `genesis.build`'s; the cross-checks are in `genesis.rules`.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from state.modules.groups import group_address
from state.params import ConsensusParams, StakeParams
from state.params_compliance import ComplianceParams
from state.params_gov import GOV_RANGES, GovParams
from state.primitives.codec import encode_amount, encode_trusted
from state.primitives.errors import GenesisError
from state.primitives.hashing import sha256
from state.primitives.ids import parse_address
from state.primitives.keys import KeyKind, PublicKey
from state.primitives.limits import (
    ACCOUNT_KEYS_MAX,
    ASSET_SCALE_MAX,
    AUTHORITIES_MAX,
    FEE_RULES_MAX,
    GENESIS_ACCOUNTS_MAX,
    GENESIS_ASSETS_MAX,
    GENESIS_BYTES_MAX,
    GENESIS_HOLDINGS_MAX,
    GENESIS_NODE_IDS_MAX,
    GROUP_MEMBERS_MAX,
    HEIGHT_MAX,
    KEY_ID_MAX,
    KEY_WEIGHT_MAX,
    VALIDATORS_MAX,
)

FORMAT: Final = 1
_HASH_DOMAIN: Final = "qenex/genesis/1"
_SECOND: Final = timedelta(seconds=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Amount = Annotated[str, Meta(pattern=r"^(0|[1-9][0-9]{0,192})\Z")]
AssetCode = Annotated[str, Meta(pattern=r"^[A-Z][A-Z0-9.]{1,15}\Z")]
Address = Annotated[str, Meta(pattern=r"^qx1[02-9ac-hj-np-z]{58}\Z")]
OptionalAddress = Annotated[str, Meta(pattern=r"^(qx1[02-9ac-hj-np-z]{58})?\Z")]
HexText = Annotated[str, Meta(pattern=r"^([0-9a-f]{2})+\Z", max_length=6_000)]
OptionalHash = Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?\Z")]
NodeId = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}\Z")]
ChainName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,49}\Z")]
Moniker = Annotated[str, Meta(pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,62}[\x21-\x7e])?\Z")]
KindName = Literal["ed25519", "mldsa87", "hybrid", "mldsa65", "mldsa44"]
VoteKindName = Literal["mldsa87", "mldsa65", "mldsa44"]
AccountKindName = Literal["customer", "institution", "sub_account", "omnibus", "regulator", "validator"]
Threshold = Annotated[int, Meta(ge=1, le=ACCOUNT_KEYS_MAX * KEY_WEIGHT_MAX)]
Int64 = Annotated[int, Meta(ge=0, le=HEIGHT_MAX)]


class Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, dict=True):
    """A table of the document; unknown keys are refused."""


class ConsensusSection(Strict, frozen=True):
    """The consensus parameters; names, units and ranges are those of `state.params.ConsensusParams`."""

    block_bytes_max: Int64
    block_txs_max: Int64
    timeout_propose_ms: Int64
    timeout_prevote_ms: Int64
    timeout_precommit_ms: Int64
    timeout_delta_ms: Int64
    timeout_max_ms: Int64
    block_interval_ms: Int64
    empty_blocks: bool
    heartbeat_interval_ms: Int64
    precision_ms: Int64
    message_delay_ms: Int64
    message_delay_max_ms: Int64
    evidence_blocks_max: Int64
    evidence_age_s_max: Int64
    evidence_bytes_max: Int64
    vote_key_kind: VoteKindName
    app_version: Int64

    @classmethod
    def from_params(cls, params: ConsensusParams) -> ConsensusSection:
        """The section that says these parameters."""
        values = {name: getattr(params, name) for name in cls.__struct_fields__}
        return cls(**{**values, "vote_key_kind": KeyKind(params.vote_key_kind).name.lower()})

    def to_params(self) -> ConsensusParams:
        """The parameters. Raises `MalformedError` for a value out of range."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        params = ConsensusParams(**{**values, "vote_key_kind": key_kind(self.vote_key_kind)})
        return ConsensusParams.from_record(params.to_record())


class FeesSection(Strict, frozen=True):
    """The flat fee table, in base units of `asset`; "" when everything is free."""

    asset: Annotated[str, Meta(pattern=r"^([A-Z][A-Z0-9.]{1,15})?\Z")]
    base_default: Amount
    per_signature: Amount
    per_byte: Amount
    free_bytes: Annotated[int, Meta(ge=0, le=1 << 32)]
    base: Annotated[dict[str, Amount], Meta(max_length=FEE_RULES_MAX)]


class StakeSection(Strict, frozen=True):
    """The stake parameters; names, units and ranges are those of `state.params.StakeParams`."""

    asset: AssetCode
    power_unit: Amount
    bond_min: Amount
    unbonding_s: Int64
    entries_max: Int64
    power_cap_ppm: Int64
    slash_double_sign_ppm: Int64
    slash_downtime_ppm: Int64
    slash_burns: bool
    downtime_window: Int64
    downtime_missed_max_ppm: Int64
    jail_s: Int64
    commission_max_ppm: Int64
    commission_step_ppm: Int64
    reward_fees_ppm: Int64
    reward_proposer_ppm: Int64
    inflation_ppm: Int64

    @classmethod
    def from_params(cls, params: StakeParams) -> StakeSection:
        """The section that says these parameters."""
        values = {name: getattr(params, name) for name in cls.__struct_fields__}
        return cls(**{**values, "power_unit": str(params.power_unit), "bond_min": str(params.bond_min)})

    def to_params(self) -> StakeParams:
        """The parameters. Raises `MalformedError` for a value out of range."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        params = StakeParams(**{**values, "power_unit": int(self.power_unit), "bond_min": int(self.bond_min)})
        return StakeParams.from_record(params.to_record())


class ComplianceSection(Strict, frozen=True):
    """Who acts for the network's compliance authority; see `state.params_compliance.ComplianceParams`."""

    authorities: Annotated[tuple[Address, ...], Meta(max_length=AUTHORITIES_MAX)]
    separate_release: bool

    def to_params(self) -> ComplianceParams:
        """The parameters. Raises `MalformedError` for values that contradict each other."""
        authorities = tuple(sorted(parse_address(text) for text in self.authorities))
        return ComplianceParams.from_record((authorities, self.separate_release))


class GovSection(Strict, frozen=True):
    """The governance parameters; names, units and ranges are those of `state.params_gov.GovParams`.

    `emergency_members` are the accounts of the emergency committee, which becomes the first group; empty: there is none.
    """

    deposit_min: Amount
    deposit_initial_ppm: Int64
    deposit_s: Int64
    voting_s: Int64
    voting_expedited_s: Int64
    delay_s: Int64
    delay_expedited_s: Int64
    execute_s: Int64
    quorum_ppm: Int64
    threshold_ppm: Int64
    threshold_expedited_ppm: Int64
    veto_ppm: Int64
    emergency_members: Annotated[tuple[Address, ...], Meta(max_length=GROUP_MEMBERS_MAX)]

    @classmethod
    def from_params(cls, params: GovParams, emergency_members: tuple[str, ...] = ()) -> GovSection:
        """The section that says these parameters."""
        values = {name: getattr(params, name) for name in GOV_RANGES}
        return cls(deposit_min=str(params.deposit_min), emergency_members=emergency_members, **values)

    def to_params(self) -> GovParams:
        """The parameters. Raises `MalformedError` for a value out of range."""
        values = {name: getattr(self, name) for name in GOV_RANGES}
        group = group_address(0) if self.emergency_members else b""
        params = GovParams(deposit_min=int(self.deposit_min), emergency_group=group, **values)
        return GovParams.from_record(params.to_record())


class MinterEntry(Strict, frozen=True):
    """An account that may mint, and how much in all, in base units."""

    account: Address
    allowance: Amount


class AssetEntry(Strict, frozen=True):
    """An asset. `max_supply` "0" means only the global bound."""

    code: AssetCode
    scale: Annotated[int, Meta(ge=0, le=ASSET_SCALE_MAX)]
    max_supply: Amount
    flags: Annotated[tuple[str, ...], Meta(max_length=16)]
    issuer: Address
    minters: Annotated[tuple[MinterEntry, ...], Meta(max_length=1_024)]
    metadata_hash: OptionalHash


class KeyEntry(Strict, frozen=True):
    """One key of an account."""

    key_id: Annotated[int, Meta(ge=0, le=KEY_ID_MAX)]
    kind: KindName
    public_key: HexText
    weight: Annotated[int, Meta(ge=1, le=KEY_WEIGHT_MAX)]


class ThresholdsEntry(Strict, frozen=True):
    """Weights needed for each class of operation."""

    low: Threshold
    medium: Threshold
    high: Threshold
    statutory: Threshold


class AccountEntry(Strict, frozen=True):
    """An account and its first policy; the address must be the one of that policy."""

    address: Address
    kind: AccountKindName
    parent: OptionalAddress
    keys: Annotated[tuple[KeyEntry, ...], Meta(min_length=1, max_length=ACCOUNT_KEYS_MAX)]
    thresholds: ThresholdsEntry


class HoldingEntry(Strict, frozen=True):
    """What an account holds at the start, in base units."""

    account: Address
    asset: AssetCode
    amount: Amount


class ValidatorEntry(Strict, frozen=True):
    """A validator: its two voting keys, the account that owns the bond, the bond in base units, and its node."""

    moniker: Moniker
    ed25519_key: HexText
    pq_kind: VoteKindName
    pq_key: HexText
    owner: Address
    bonded: Amount
    node_id: NodeId


class Document(Strict, frozen=True):
    """A whole genesis document. Made by `parse`, or by code that then calls `genesis.rules.check`."""

    format: Literal[1]
    chain_id: ChainName
    genesis_time: Annotated[str, Meta(max_length=30)]
    initial_height: Annotated[int, Meta(ge=1, le=HEIGHT_MAX)]
    consensus: ConsensusSection
    key_kinds: Annotated[tuple[KindName, ...], Meta(min_length=1, max_length=5)]
    fees: FeesSection
    stake: StakeSection
    gov: GovSection
    assets: Annotated[tuple[AssetEntry, ...], Meta(min_length=1, max_length=GENESIS_ASSETS_MAX)]
    accounts: Annotated[tuple[AccountEntry, ...], Meta(min_length=1, max_length=GENESIS_ACCOUNTS_MAX)]
    holdings: Annotated[tuple[HoldingEntry, ...], Meta(max_length=GENESIS_HOLDINGS_MAX)]
    validators: Annotated[tuple[ValidatorEntry, ...], Meta(max_length=VALIDATORS_MAX)]
    admitted_node_ids: Annotated[tuple[NodeId, ...], Meta(max_length=GENESIS_NODE_IDS_MAX)]
    compliance: ComplianceSection

    @cached_property
    def time_ns(self) -> int:
        """Genesis time, nanoseconds since the Unix epoch."""
        return parse_time(self.genesis_time)

    @cached_property
    def hash(self) -> bytes:
        """The chain id of transactions: 32 bytes."""
        return sha256(encode_trusted(self.to_wire()))

    @property
    def allowed_node_ids(self) -> tuple[str, ...]:
        """Every node that may connect: the validators' and the admitted others, sorted."""
        return tuple(sorted({*self.admitted_node_ids, *(entry.node_id for entry in self.validators)}))

    def to_json(self) -> bytes:
        """The document as indented JSON text."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    def to_wire(self) -> tuple[Any, ...]:
        """The content as canonical arrays: what the hash covers."""
        return (
            _HASH_DOMAIN,
            self.chain_id,
            self.time_ns,
            self.initial_height,
            self.consensus.to_params().to_record(),
            tuple(int(key_kind(name)) for name in self.key_kinds),
            _fees_to_wire(self.fees),
            self.stake.to_params().to_record(),
            self.gov.to_params().to_record(),
            tuple(parse_address(text) for text in self.gov.emergency_members),
            tuple(_asset_to_wire(entry) for entry in self.assets),
            tuple(_account_to_wire(entry) for entry in self.accounts),
            tuple((parse_address(e.account), e.asset, _amount(e.amount)) for e in self.holdings),
            tuple(validator_to_wire(entry) for entry in self.validators),
            tuple(bytes.fromhex(text) for text in self.admitted_node_ids),
            self.compliance.to_params().to_record(),
        )


def parse(data: bytes, *, is_draft: bool = False) -> Document:
    """The document of JSON bytes, fully checked. Raises `GenesisError` that names the place.

    A draft has its validators still to come (`genesis.ceremony`); only its fields are checked.
    """
    from genesis.rules import check

    if len(data) > GENESIS_BYTES_MAX:
        raise GenesisError(f"the genesis document has {len(data)} bytes, at most {GENESIS_BYTES_MAX} are allowed")
    _refuse_repeated_keys(data)
    try:
        document = msgspec.json.decode(data, type=Document)
    except msgspec.ValidationError as error:
        raise GenesisError(f"genesis document: {error}", hint="docs/genesis.md lists every field") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GenesisError(f"the genesis document is not JSON: {error}") from None
    if not is_draft:
        check(document)
    return document


def key_kind(name: str) -> KeyKind:
    """The kind of a name that the document's types have already admitted."""
    return KeyKind[name.upper()]


def compute_node_id(identity: PublicKey) -> str:
    """A node's id: the first 20 bytes of SHA-256 of its ML-DSA-87 key, as 40 lower-case hex digits."""
    return sha256(identity.data)[:20].hex()


_TIME: Final = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})T(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?Z", re.ASCII
)


def parse_time(text: str) -> int:
    """Nanoseconds since the Unix epoch of `2026-01-31T12:00:00Z`, fraction optional, UTC only. Raises `GenesisError`."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise GenesisError(f"genesis_time {text!r} is not of the form 2026-01-31T12:00:00Z")
    try:
        moment = datetime(*(int(part) for part in match.groups()[:6]), tzinfo=UTC)  # type: ignore[arg-type, misc]
    except ValueError as error:
        raise GenesisError(f"genesis_time {text!r}: {error}") from None
    seconds = (moment - _EPOCH) // _SECOND
    if seconds < 0:
        raise GenesisError(f"genesis_time {text!r} is before 1970", hint="is the clock of this machine right?")
    return seconds * 1_000_000_000 + int((match.group(7) or "0").ljust(9, "0"))


def format_time(time_ns: int) -> str:
    """Inverse of `parse_time`, without trailing zeros."""
    moment = _EPOCH + time_ns // 1_000_000_000 * _SECOND
    fraction = f"{time_ns % 1_000_000_000:09}".rstrip("0")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if fraction else "") + "Z"


def _refuse_repeated_keys(data: bytes) -> None:
    """JSON allows a key twice and parsers then differ in which one counts."""

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            names = [name for name, _ in pairs]
            raise GenesisError(f"genesis document: key {next(n for n in names if names.count(n) > 1)!r} occurs twice")
        return found

    try:
        json.loads(data, object_pairs_hook=collect)
    except (ValueError, RecursionError) as error:
        raise GenesisError(f"the genesis document is not JSON: {error}") from None


def _amount(text: str) -> bytes:
    return encode_amount(int(text))


def _fees_to_wire(fees: FeesSection) -> tuple[Any, ...]:
    table = tuple((name, _amount(fees.base[name])) for name in sorted(fees.base))
    amounts = (_amount(fees.base_default), _amount(fees.per_signature), _amount(fees.per_byte))
    return (fees.asset, *amounts, fees.free_bytes, table)


def _asset_to_wire(entry: AssetEntry) -> tuple[Any, ...]:
    minters = tuple((parse_address(m.account), _amount(m.allowance)) for m in entry.minters)
    metadata = bytes.fromhex(entry.metadata_hash)
    return (entry.code, entry.scale, _amount(entry.max_supply), entry.flags, parse_address(entry.issuer), minters, metadata)


def _account_to_wire(entry: AccountEntry) -> tuple[Any, ...]:
    parent = parse_address(entry.parent) if entry.parent else b""
    return (parse_address(entry.address), entry.kind, parent, keys_to_wire(entry), thresholds_to_wire(entry))


def keys_to_wire(entry: AccountEntry) -> tuple[tuple[int, int, bytes, int], ...]:
    """(key id, kind, public key, weight) of each key."""
    return tuple((k.key_id, int(key_kind(k.kind)), bytes.fromhex(k.public_key), k.weight) for k in entry.keys)


def thresholds_to_wire(entry: AccountEntry) -> tuple[int, int, int, int]:
    """Low, medium, high, statutory."""
    limits = entry.thresholds
    return limits.low, limits.medium, limits.high, limits.statutory


def validator_to_wire(entry: ValidatorEntry) -> tuple[Any, ...]:
    """Canonical form of a validator's entry."""
    return (
        entry.moniker,
        bytes.fromhex(entry.ed25519_key),
        int(key_kind(entry.pq_kind)),
        bytes.fromhex(entry.pq_key),
        parse_address(entry.owner),
        _amount(entry.bonded),
        bytes.fromhex(entry.node_id),
    )
