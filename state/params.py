"""Governed parameters: consensus, fees, accounts, stake, compliance, gov. Stored in the state, set in genesis, in force at the next height.

Each group is one record; `to_record` and `from_record` are its stored form and `from_record` refuses values out of range.
What the parameters do stands where they are used. Source: consensus rules, section 1; ledger rules, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Final

from state.params_compliance import NO_AUTHORITY, ComplianceParams
from state.params_gov import GovParams, check_periods
from state.primitives.codec import Value, decode_amount, encode_amount
from state.primitives.errors import MalformedError
from state.primitives.ids import check_asset_code
from state.primitives.keys import KeyKind
from state.primitives.limits import (
    AMOUNT_MAX,
    BLOCK_BYTES_HARD_MAX,
    BLOCK_BYTES_MAX,
    BLOCK_TXS_HARD_MAX,
    BLOCK_TXS_MAX,
    DOWNTIME_WINDOW_MAX,
    FEE_RULES_MAX,
    PPM,
    STAKE_ENTRIES_HARD_MAX,
)

MS_PER_HOUR: Final = 3_600_000
VOTE_KEY_KINDS: Final = (KeyKind.MLDSA87, KeyKind.MLDSA65, KeyKind.MLDSA44)


@dataclass(frozen=True, slots=True)
class ConsensusParams:
    """What the engine must know. Times in milliseconds unless the name says otherwise."""

    block_bytes_max: int = BLOCK_BYTES_MAX
    block_txs_max: int = BLOCK_TXS_MAX
    timeout_propose_ms: int = 3_000
    timeout_prevote_ms: int = 1_000
    timeout_precommit_ms: int = 1_000
    timeout_delta_ms: int = 500  # added per round
    timeout_max_ms: int = 60_000
    block_interval_ms: int = 1_000  # 0: blocks follow each other as fast as a quorum allows
    empty_blocks: bool = True
    heartbeat_interval_ms: int = 60_000  # between empty blocks when they are switched off
    precision_ms: int = 505  # proposer-based timestamps
    message_delay_ms: int = 15_000
    message_delay_max_ms: int = 24 * MS_PER_HOUR
    evidence_blocks_max: int = 100_000  # both windows must be exceeded to expire
    evidence_age_s_max: int = 48 * 3_600
    evidence_bytes_max: int = 1024 * 1024
    vote_key_kind: int = KeyKind.MLDSA87
    app_version: int = 1

    def to_record(self) -> tuple[int | bool, ...]:
        """Stored form: the fields in order."""
        return tuple(int(v) if type(v) is not bool else v for v in (getattr(self, f.name) for f in fields(self)))

    @classmethod
    def from_record(cls, record: Value) -> ConsensusParams:
        """Inverse of `to_record`. Raises `MalformedError` for a wrong shape or a value out of range."""
        names = _PARAM_RANGES.keys()
        if type(record) is not tuple or len(record) != len(names):
            raise MalformedError("consensus parameters have a wrong shape")
        for (name, (low, high)), value in zip(_PARAM_RANGES.items(), record, strict=True):
            if type(value) is not (bool if name == "empty_blocks" else int) or not low <= value <= high:
                raise MalformedError(f"consensus parameter {name} must be within {low}..{high}")
        params = cls(*record)
        if params.vote_key_kind not in VOTE_KEY_KINDS:
            raise MalformedError("consensus parameter vote_key_kind must be an ML-DSA parameter set")
        return params


# name -> allowed values; the order is the stored order
_PARAM_RANGES: Final[dict[str, tuple[int, int]]] = {
    "block_bytes_max": (64 * 1024, BLOCK_BYTES_HARD_MAX),
    "block_txs_max": (1, BLOCK_TXS_HARD_MAX),
    "timeout_propose_ms": (1, 600_000),
    "timeout_prevote_ms": (1, 600_000),
    "timeout_precommit_ms": (0, 600_000),
    "timeout_delta_ms": (0, 60_000),
    "timeout_max_ms": (1, 600_000),
    "block_interval_ms": (0, 60_000),
    "empty_blocks": (False, True),
    "heartbeat_interval_ms": (0, 24 * MS_PER_HOUR),
    "precision_ms": (1, 60_000),
    "message_delay_ms": (1, 600_000),
    "message_delay_max_ms": (1, 24 * MS_PER_HOUR),
    "evidence_blocks_max": (1, 100_000_000),
    "evidence_age_s_max": (1, 365 * 24 * 3_600),
    "evidence_bytes_max": (0, BLOCK_BYTES_HARD_MAX),
    "vote_key_kind": (2, 5),
    "app_version": (1, 1 << 32),
}


@dataclass(frozen=True, slots=True)
class FeeParams:
    """The flat fee table: `base` of each operation, plus per signature, plus per byte above `free_bytes`. All in base units.

    `asset` may be empty when every amount is zero. An operation that is not in `base` costs `base_default`.
    """

    asset: str = ""
    base_default: int = 0
    per_signature: int = 0
    per_byte: int = 0
    free_bytes: int = 512
    base: tuple[tuple[str, int], ...] = ()  # (fee key of the operation, amount), sorted by key

    @property
    def is_free(self) -> bool:
        """Whether no transaction can cost anything."""
        return not (self.base_default or self.per_signature or self.per_byte or any(a for _, a in self.base))

    def to_record(self) -> tuple[Value, ...]:
        """Stored form."""
        return (
            self.asset,
            encode_amount(self.base_default),
            encode_amount(self.per_signature),
            encode_amount(self.per_byte),
            self.free_bytes,
            tuple((key, encode_amount(amount)) for key, amount in self.base),
        )

    @classmethod
    def from_record(cls, record: Value) -> FeeParams:
        """Inverse of `to_record`. Raises `MalformedError` for a wrong shape or a value out of range."""
        if type(record) is not tuple or len(record) != 6:
            raise MalformedError("fee parameters have a wrong shape")
        asset, default, per_signature, per_byte, free_bytes, base = record
        if type(free_bytes) is not int or not 0 <= free_bytes <= 1 << 32:
            raise MalformedError("fee parameter free_bytes must be within 0..2^32")
        if type(base) is not tuple or len(base) > FEE_RULES_MAX or any(type(r) is not tuple or len(r) != 2 for r in base):
            raise MalformedError("the fee table has a wrong shape")
        keys = [key for key, _ in base]
        if any(type(key) is not str for key in keys) or keys != sorted(set(keys)):
            raise MalformedError("the fee table is sorted by operation, each once")
        params = cls(
            asset,
            decode_amount(default),
            decode_amount(per_signature),
            decode_amount(per_byte),
            free_bytes,
            tuple((key, decode_amount(amount)) for key, amount in base),
        )
        if asset != "" or not params.is_free:
            check_asset_code(asset)
        return params


@dataclass(frozen=True, slots=True)
class AccountParams:
    """Which kinds of keys accounts may have."""

    key_kinds: tuple[int, ...] = (KeyKind.ED25519, KeyKind.MLDSA87, KeyKind.HYBRID)

    def to_record(self) -> tuple[Value, ...]:
        """Stored form."""
        return (tuple(int(kind) for kind in self.key_kinds),)

    @classmethod
    def from_record(cls, record: Value) -> AccountParams:
        """Inverse of `to_record`. Raises `MalformedError` for a wrong shape, an unknown kind or no kind at all."""
        if type(record) is not tuple or len(record) != 1 or type(record[0]) is not tuple:
            raise MalformedError("account parameters have a wrong shape")
        kinds = record[0]
        known = tuple(int(kind) for kind in KeyKind)
        if not kinds or any(type(kind) is not int or kind not in known for kind in kinds):
            raise MalformedError("account key kinds are a non-empty list of known kinds")
        if list(kinds) != sorted(set(kinds)):
            raise MalformedError("account key kinds are sorted, each once")
        return cls(kinds)


@dataclass(frozen=True, slots=True)
class StakeParams:
    """What is bonded, how much of it is one unit of voting power, and what the rules of staking cost. See docs/staking.md."""

    asset: str = "QNX"
    power_unit: int = 1
    bond_min: int = 1  # what a new validator's owner must bond
    unbonding_s: int = 21 * 24 * 3_600
    entries_max: int = 7  # unbondings at once of one account from one validator, and redelegations between two
    power_cap_ppm: int = 0  # of the total power, for one validator; 0: no cap
    slash_double_sign_ppm: int = 50_000
    slash_downtime_ppm: int = 100
    slash_burns: bool = True  # else what is slashed goes to the treasury
    downtime_window: int = 10_000  # blocks
    downtime_missed_max_ppm: int = 500_000  # of the window
    jail_s: int = 600
    commission_max_ppm: int = 1_000_000
    commission_step_ppm: int = 100_000  # the most it may rise in one change; one change a day
    reward_fees_ppm: int = 0  # of the fees of each block, to validators and those who delegate to them
    reward_proposer_ppm: int = 50_000  # of the rewards of a block, to its proposer
    inflation_ppm: int = 0  # of the supply of the staked asset, minted per year as rewards

    def to_record(self) -> tuple[Value, ...]:
        """Stored form."""
        values = [getattr(self, f.name) for f in fields(self)]
        return (self.asset, encode_amount(self.power_unit), encode_amount(self.bond_min), *values[3:])

    @classmethod
    def from_record(cls, record: Value) -> StakeParams:
        """Inverse of `to_record`. Raises `MalformedError` for a wrong shape or a value out of range."""
        if type(record) is not tuple or len(record) != 3 + len(_STAKE_RANGES):
            raise MalformedError("stake parameters have a wrong shape")
        asset, power_unit, bond_min = record[0], decode_amount(record[1]), decode_amount(record[2])
        if not 0 < power_unit <= AMOUNT_MAX:
            raise MalformedError("stake parameter power_unit is at least one base unit")
        if not 0 < bond_min <= AMOUNT_MAX:
            raise MalformedError("stake parameter bond_min is at least one base unit")
        for (name, (low, high)), value in zip(_STAKE_RANGES.items(), record[3:], strict=True):
            if type(value) is not (bool if name == "slash_burns" else int) or not low <= value <= high:
                raise MalformedError(f"stake parameter {name} must be within {low}..{high}")
        return cls(check_asset_code(asset), power_unit, bond_min, *record[3:])


# name -> allowed values; the order is the stored order
_STAKE_RANGES: Final[dict[str, tuple[int, int]]] = {
    "unbonding_s": (1, 365 * 24 * 3_600),
    "entries_max": (1, STAKE_ENTRIES_HARD_MAX),
    "power_cap_ppm": (0, PPM),
    "slash_double_sign_ppm": (0, PPM),
    "slash_downtime_ppm": (0, PPM),
    "slash_burns": (False, True),
    "downtime_window": (1, DOWNTIME_WINDOW_MAX),
    "downtime_missed_max_ppm": (0, PPM),
    "jail_s": (0, 365 * 24 * 3_600),
    "commission_max_ppm": (0, PPM),
    "commission_step_ppm": (0, PPM),
    "reward_fees_ppm": (0, PPM),
    "reward_proposer_ppm": (0, PPM),
    "inflation_ppm": (0, PPM),
}


def check_unbonding(stake: StakeParams, consensus: ConsensusParams) -> None:
    """Refuse parameters with which stake could leave before its misdeed can no longer be proved (consensus rules, L4).

    To be called whenever one of the two groups changes. Raises `MalformedError`.
    """
    pace_ms = consensus.block_interval_ms
    if not consensus.empty_blocks:  # a chain that stands still lets evidence live on while stake leaves by the clock
        if not consensus.heartbeat_interval_ms:
            raise MalformedError("without empty blocks a heartbeat is needed: else nothing bounds the time in which evidence is accepted")
        pace_ms = max(pace_ms, consensus.heartbeat_interval_ms)
    window_s = consensus.evidence_blocks_max * pace_ms // 1_000
    needed_s = max(consensus.evidence_age_s_max, window_s)
    if stake.unbonding_s < needed_s:
        raise MalformedError(
            f"stake parameter unbonding_s is {stake.unbonding_s}, shorter than the {needed_s} s in which evidence is accepted"
        )


def check_together(consensus: ConsensusParams, stake: StakeParams, gov: GovParams) -> None:
    """Everything that groups ask of each other. Raises `MalformedError`."""
    check_unbonding(stake, consensus)
    check_periods(gov, consensus.block_interval_ms)


@dataclass(frozen=True, slots=True)
class Params:
    """All groups: what genesis sets."""

    consensus: ConsensusParams = ConsensusParams()
    fees: FeeParams = FeeParams()
    accounts: AccountParams = AccountParams()
    stake: StakeParams = StakeParams()
    compliance: ComplianceParams = NO_AUTHORITY
    gov: GovParams = field(default_factory=GovParams)
