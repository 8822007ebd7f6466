"""A ledger with several validators, each with an owner of its own, and short ways to stake. Not a test file."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from state.initial import GenesisAccount, GenesisHolding, GenesisValidator, genesis_changes
from state.invariants_staking import audit_staking
from state.machine import BlockContext, BlockResult, apply_block
from state.misbehavior import CommitVote, Misbehavior, MisbehaviorKind
from state.modules.operation import MODULE_ACCOUNTS
from state.params import ConsensusParams, FeeParams, Params, StakeParams
from state.primitives.hashing import validator_address
from state.primitives.keys import KeyKind
from state.queries_staking import get_validator_set
from state.receipts import Receipt
from state.schema import ADMIT_VALIDATOR, admission_key, decode_record, encode_record
from state.schema_staking import (
    Delegation,
    Entry,
    Pool,
    delegation_key,
    pool_key,
    redelegation_key,
    unbonding_key,
    window_key,
)
from state.transaction import call
from state.validators import ValidatorSet
from tests.state import ledger_world
from tests.state.ledger_world import ADDRESS, CHAIN, NOW, World, entry, genesis_state, key_of

BOND = 10_000
UNIT = 1_000  # ten units of power each
CONSENSUS = ConsensusParams(evidence_blocks_max=50, evidence_age_s_max=50, block_interval_ms=1_000)
STAKE = StakeParams("QNX", UNIT, bond_min=UNIT, unbonding_s=100, entries_max=3, downtime_window=20, jail_s=10)
OWNERS = ("o0", "o1", "o2", "o3", "o4")  # o4 owns no validator at the start

for _name in OWNERS:  # the short ways of the ledger's world then know them too
    _account = GenesisAccount((entry(0, _name),))
    ADDRESS[_name] = _account.address
    ledger_world.SIGNERS[_name] = ((0, _name, KeyKind.ED25519),)


@cache
def vote_keys(name: str) -> tuple[bytes, int, bytes]:
    """Ed25519 key, kind and ML-DSA key of a validator."""
    return key_of(name).public_key.data, int(KeyKind.MLDSA87), key_of(name, KeyKind.MLDSA87).public_key.data


@cache
def address_of(name: str) -> bytes:
    """The address of a validator's key; of the first one it is the id."""
    return validator_address(vote_keys(name)[0])


class StakingWorld(World):
    """Validators v0 to v3, or with the given bonds; blocks one second apart."""

    def __init__(
        self,
        stake: StakeParams = STAKE,
        bonds: tuple[int, ...] = (BOND,) * 4,
        *,
        fees: FeeParams = FeeParams(),  # noqa: B008  (frozen)
        holding: int = 0,
    ) -> None:
        base = genesis_state(fees)
        holdings = [h if not holding else h._replace(amount=holding) if h.code == "QNX" else h for h in base.holdings]
        state = replace(
            base,
            params=Params(CONSENSUS, fees, stake=stake),
            accounts=(*base.accounts, *(GenesisAccount((entry(0, name),)) for name in OWNERS)),
            holdings=(*holdings, *(GenesisHolding(ADDRESS[name], "QNX", holding or 1_000_000) for name in OWNERS)),
            validators=tuple(
                GenesisValidator(*vote_keys(f"v{i}"), ADDRESS[OWNERS[min(i, 3)]], bond) for i, bond in enumerate(bonds)
            ),
        )
        self.db = {key: value for key, value in genesis_changes(state) if value is not None}
        self.height = 0
        self.now = NOW
        self.last: BlockResult | None = None
        first = get_validator_set(self.db)
        self.sets = [first, first, first]  # who voted on the last block, who votes on the next, and on the one after
        self.absent: set[str] = set()
        self.cheats: tuple[Misbehavior, ...] = ()
        self.events: list[tuple[str, dict[str, str]]] = []  # of the last block's automatic actions

    def context(self) -> BlockContext:
        away = {address_of(name) for name in self.absent}
        votes = tuple(CommitVote(v.address, v.power, v.address not in away) for v in self.sets[0].validators)
        return BlockContext(
            self.height + 1,
            self.now * 1_000_000_000,
            CHAIN,
            self.sets[1].validators[0].address,
            votes if self.height else (),
            self.cheats,
        )

    def commit(self, result: BlockResult) -> None:
        assert not [event for event in result.events if event.type == "action_dropped"], result.events
        super().commit(result)
        self.sets = [self.sets[1], self.sets[2], self.sets[2].update(result.validator_updates)]
        self.now += 1
        self.cheats = ()
        self.events = [(event.type, dict(event.attributes)) for event in result.events]
        assert self.sets[2] == get_validator_set(self.db)

    def apply_only(self, raw: bytes) -> Receipt:
        """The receipt of one transaction, without a new state."""
        return apply_block(self.db, self.context(), (raw,)).receipts[0]

    def blocks(self, count: int) -> None:
        for _ in range(count):
            self.commit(apply_block(self.db, self.context(), ()))

    def cheat(self, name: str, height: int, kind: MisbehaviorKind = MisbehaviorKind.DOUBLE_VOTE) -> None:
        """The next block proves an offence of the validator with this key."""
        time_ns = (self.now - (self.height + 1 - height)) * 1_000_000_000
        self.cheats = (*self.cheats, Misbehavior(kind, address_of(name), height, time_ns, 10, 40))

    def admit(self, name: str) -> None:
        key = admission_key(ADMIT_VALIDATOR, ADDRESS[name])
        self.db[key] = encode_record(key, (0,))

    def read(self, key: bytes) -> Any:
        raw = self.db.get(key)
        return None if raw is None else decode_record(key, raw)

    def pool(self, name: str) -> Pool:
        found: Pool = self.read(pool_key(address_of(name)))
        return found

    def delegation(self, name: str, account: str) -> Delegation | None:
        found: Delegation | None = self.read(delegation_key(address_of(name), ADDRESS[account]))
        return found

    def unbondings(self, name: str, account: str) -> tuple[Entry, ...]:
        return self.read(unbonding_key(address_of(name), ADDRESS[account])) or ()

    def redelegations(self, source: str, destination: str, account: str) -> tuple[Entry, ...]:
        return self.read(redelegation_key(address_of(source), address_of(destination), ADDRESS[account])) or ()

    def missed(self, name: str) -> int:
        state = self.read(window_key(address_of(name)))
        return 0 if state is None else int(state[1])

    def voters(self) -> ValidatorSet:
        """Who votes on the next block."""
        return self.sets[1]

    def audit(self) -> None:
        """The whole state: every pot, every share, every unit."""
        records = [(key, decode_record(key, raw)) for key, raw in self.db.items()]
        assert audit_staking(records) == ()
        assert self.total() == self.supply()

    def module(self, name: str) -> int:
        return self.balance(next(address for address, known in MODULE_ACCOUNTS.items() if known == name))

    def stake(self, account: str, operation: str, **fields: Any) -> Receipt:
        return self.do(account, stake_op(operation, **fields))


def stake_op(operation: str, **fields: Any) -> Any:
    """An operation; validators may be given by the name of their first key."""
    for field in ("validator", "source", "destination"):
        if isinstance(fields.get(field), str):
            fields[field] = address_of(fields[field])
    return call(f"stake.{operation}", **fields)


def register_op(name: str, amount: int = BOND, *, commission_ppm: int = 0, min_self_bond: int = 0) -> Any:
    """Registration with the keys of `name`."""
    ed25519_key, kind, pq_key = vote_keys(name)
    return call(
        "stake.register",
        ed25519_key=ed25519_key,
        pq_kind=kind,
        pq_key=pq_key,
        commission_ppm=commission_ppm,
        min_self_bond=min_self_bond,
        amount=amount,
        moniker=name,
        details="",
    )


def rotate_op(validator: str, name: str) -> Any:
    """The validator's keys become those of `name`."""
    ed25519_key, kind, pq_key = vote_keys(name)
    return stake_op("rotate_consensus_key", validator=validator, ed25519_key=ed25519_key, pq_kind=kind, pq_key=pq_key)
