"""Random operations of every kind on one ledger, block after block, through the machine itself. Not a test file.

Operations are drawn from the operation table: each kind of field has a way to be drawn, so a new operation takes part without being
named here. Signatures are taken as good; everything else is the production path: admission, fee, gate, handlers, invariants, automatic
actions, time. Whenever an invariant breaks, an action is dropped or the audit finds something, the run fails with its seed.

    python -m tests.state.random_ledger --operations 1000000 --seed 1 --json
    python -m tests.state.random_ledger --operations 100000 --seed 1 --trace

`--trace` prints the app hash and a hash over every receipt and change: two machines with different hash seeds, time zones and
locales must print the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from state.admission import key_binding
from state.audit import audit_state
from state.codes import Code
from state.initial import GenesisAccount, GenesisAsset, GenesisHolding, GenesisState, GenesisValidator, genesis_changes
from state.invariants import check_operation
from state.machine import BlockContext, BlockExecution
from state.misbehavior import CommitVote
from state.modules.accounts import AccountKind
from state.modules.assets import FLAGS_ALL
from state.modules.operation import GOVERNANCE_ADDRESS, Level, OpContext, Operation
from state.modules.table import ROWS
from state.params import ConsensusParams, FeeParams, Params, StakeParams
from state.params_compliance import ComplianceParams
from state.params_gov import GovParams
from state.primitives.errors import OperationFailed, TransactionError
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PrivateKey
from state.primitives.limits import AMOUNT_MAX
from state.receipts import Receipt
from state.schema import ADMIT_VALIDATOR, account_key, admission_key, decode_record, encode_record, holding_key
from state.schema_freezes import Roles, roles_key
from state.schema_staking import VALIDATORS_KEY
from state.transaction import Call, Signature, Transaction
from state.tree_hash import compute_root, key_hash, leaf_hash
from state.view import RecordCache, View
from tests.state.random_fields import ACTORS, FIELDS, HINTS

CHAIN = sha256(b"random ledger")
START_S = 1_800_000_000
ACCOUNTS = 24
VALIDATORS = 5
ASSETS = (("QNX", 6), ("EUR", 2), ("USD", 2), ("BTC", 8), ("BIG", 128), ("ONE", 0))
BLOCK_TXS = 500
KEYS_SIGNING_MAX = 4  # of an account; keys are replaced and added on the way
STEPS_S = (1,) * 8 + (2, 5) * 4 + (30,) * 6 + (400,) * 4 + (4_000, 90_000)  # between two blocks
AUDIT_BLOCKS = 50


class Failed(Exception):
    """Something that must never happen, with what led to it."""


class _AllGood:
    """Whatever keys are meant to sign have signed: the hash of a made-up transaction is the binding of its keys."""

    def get(self, tx_hash: bytes, /) -> bytes | None:
        return tx_hash


class RandomLedger:
    """One ledger and one seed."""

    def __init__(self, seed: int, *, fees: bool = True, only: Callable[[Operation], bool] = lambda row: True) -> None:
        self.rng = random.Random(seed)
        self.seed = seed
        self.rows = tuple(row for row in ROWS if only(row) and (not row.is_governed or row.name in ACTORS))
        self.governed = tuple(row for row in ROWS if only(row) and row.is_governed)
        self.keys = {}
        self.accounts: list[bytes] = []
        for number in range(ACCOUNTS):
            key = PrivateKey.from_seed(KeyKind.ED25519, sha256(b"account %d" % number)).public_key.data
            kinds = (AccountKind.CUSTOMER, AccountKind.INSTITUTION, AccountKind.OMNIBUS)
            account = GenesisAccount(((0, int(KeyKind.ED25519), key, 1),), kind=kinds[number % 3])
            self.accounts.append(account.address)
            self.keys[account.address] = (account, key)
        self.officers = self.accounts[12:17]  # freezer, unfreezer, clawback, compliance and metadata of the assets with powers
        self.assets = [code for code, _ in ASSETS]
        self.validator_ids: list[bytes] = []
        self.counts: Counter[tuple[str, int]] = Counter()
        self.last_keys: Any = ()
        self.last_position = 0
        self.last_open: Any = None
        self.last_scope = 0
        self.last_recall: Any = (b"", 0)
        self.last_param = ("", "", "")
        self.last_kind = "node"
        self.height = 0
        self.now = START_S
        self.trace = hashlib.sha256()
        self.db = {key: value for key, value in genesis_changes(self._genesis(fees)) if value is not None}
        for owner in self.accounts[:12]:
            key = admission_key(ADMIT_VALIDATOR, owner)
            self.db.setdefault(key, encode_record(key, (0,)))
        for code, _ in ASSETS[1::2]:
            key = roles_key(code.encode("ascii"))
            self.db[key] = encode_record(key, Roles(*self.officers))
        self.cache = RecordCache(self.db, 0)
        self.view = View(self.cache)

    def _genesis(self, fees: bool) -> GenesisState:
        issuer = self.accounts[0]
        validators = []
        for number in range(VALIDATORS):
            ed25519 = PrivateKey.from_seed(KeyKind.ED25519, sha256(b"validator %d" % number)).public_key.data
            pq = sha256(b"pq %d" % number) * 81
            validators.append(GenesisValidator(ed25519, KeyKind.MLDSA87, pq[:2592], self.accounts[number], 10**9))
        table = FeeParams(asset="QNX", base_default=7, per_signature=1) if fees else FeeParams()
        consensus = ConsensusParams(evidence_blocks_max=50, evidence_age_s_max=50, block_interval_ms=1_000)
        stake = StakeParams("QNX", 1_000, bond_min=1_000, unbonding_s=3_600, downtime_window=50, jail_s=60, reward_fees_ppm=500_000)
        gov = GovParams(1_000, deposit_s=500, voting_s=300, voting_expedited_s=60, delay_s=60, delay_expedited_s=10, execute_s=10**6)
        # half of the assets are open, half give their issuers every power there is
        return GenesisState(
            params=Params(consensus, table, stake=stake, compliance=ComplianceParams(tuple(sorted(self.accounts[20:22]))), gov=gov),
            accounts=tuple(account for account, _ in self.keys.values()),
            assets=tuple(
                GenesisAsset(code, self.accounts[i % 3], scale, flags=FLAGS_ALL if i % 2 else 31 & FLAGS_ALL, minters=((issuer, 10**60),))
                for i, (code, scale) in enumerate(ASSETS)
            ),
            holdings=tuple(
                GenesisHolding(account, code, 10 ** (12 + 5 * (i % 3)))
                for account in self.accounts
                for i, (code, _) in enumerate(ASSETS)
            ),
            validators=tuple(validators),
        )

    # drawing

    def draw_amount(self, account: bytes) -> int:
        """Mostly a part of what the account has of some asset, sometimes an edge."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.05:
            return rng.choice((0, 1, 2, AMOUNT_MAX, 1 << 639))
        holding = self.view.values[holding_key(account, rng.choice(self.assets))]
        balance = holding[0] if holding is not None else 0
        if roll < 0.25:
            return rng.randrange(1, 100_000)
        return rng.randrange(0, max(2, balance // rng.choice((3, 10, 100, 1_000, 100_000))))

    def draw_args(self, row: Operation, account: bytes) -> tuple[Any, ...]:
        """Field values of an operation, as its handler wants them."""
        drawn = []
        for name, kind in row.fields:
            hint = HINTS.get((row.name, name)) or HINTS.get(("", name))
            drawn.append(hint(self, account) if hint is not None else FIELDS[kind.name](self, account))
        return tuple(drawn)

    def draw_call(self) -> Call | None:
        """An operation of somebody; None if its fields contradict each other."""
        row = self.rng.choice(self.rows)
        if row.name in ACTORS:
            account = ACTORS[row.name](self)
        elif row.level is Level.STATUTORY and self.rng.random() < 0.6:
            account = self.rng.choice(self.accounts[:3])  # the issuers
        else:
            account = self.rng.choice(self.accounts)
        args = self.draw_good_args(row, account)
        return None if args is None else Call(row, account, args)

    def draw_good_args(self, row: Operation, account: bytes) -> tuple[Any, ...] | None:
        """Field values that do not contradict each other, or None."""
        args = self.draw_args(row, account)
        try:
            wire = tuple(kind.write(value) for (_, kind), value in zip(row.fields, args, strict=True))
            args = tuple(kind.read(w) if kind.read else w for (_, kind), w in zip(row.fields, wire, strict=True))
            if row.check is not None:
                row.check(args)
        except TransactionError as refused:
            self.counts[row.name, refused.result] += 1
            return None
        return args

    def make_tx(self, call: Call) -> Transaction | None:
        """A transaction of one operation, as if decoded; None if an account that must sign is not one of ours."""
        levels = {call.account: int(call.operation.level)}
        if call.operation.authorities is not None:
            for other, level in call.operation.authorities(call.account, call.args):
                levels[other] = max(levels.get(other, 0), int(level))
        if any(account not in self.keys for account in levels):
            return None
        sender, payer = call.account, call.account
        names = sorted(levels)
        roll = self.rng.random()
        if roll < 0.08:  # somebody acts for the account, which may have let him
            sender = payer = self.rng.choice(self.accounts)
            levels, names = {sender: 0, **levels}, sorted({*levels, sender} - {call.account})
        elif roll < 0.12:  # somebody else is to pay, who may have said so
            payer = self.rng.choice(self.accounts)
        if not names:
            return None
        signers = [(account, key) for account in names for key in self.view.values[account_key(account)][2][:KEYS_SIGNING_MAX]]
        auth = tuple(Signature(account, key[0], b"") for account, key in signers)
        binding = b"".join(key_binding(key[2]) for _, key in signers)
        nonces = self.view.values[b" n" + sender]
        seq = nonces[0] if nonces is not None else 0
        # the hash stands for the keys; see _AllGood
        body_hash = sha256(binding + seq.to_bytes(8, "big") + call.operation.code.to_bytes(4, "big"))
        return Transaction(
            b"", binding, body_hash, CHAIN, sender, 0, seq, 0, self.now + 60, b"", AMOUNT_MAX, payer, (),
            (call,), "", None, "", b"", b"", auth, tuple(levels.items()),
        )  # fmt: skip

    # blocks

    def run_block(self, operations: int) -> int:
        """One block of at most `operations`; how many were executed."""
        context = BlockContext(self.height + 1, self.now * 1_000_000_000, CHAIN, *self._votes())
        self.view = View(self.cache)
        execution = BlockExecution(self.cache, context, _AllGood(), view=self.view)
        receipts: list[Receipt] = []
        done = 0
        while done < operations:
            done += 1
            call = self.draw_call()
            tx = self.make_tx(call) if call is not None else None
            if call is None or tx is None:
                continue
            receipt = execution.deliver(tx)
            self.counts[call.operation.name, int(receipt.code)] += 1
            if receipt.code == Code.INVARIANT_VIOLATION:
                raise Failed(f"seed {self.seed}, height {self.height + 1}: {call.operation.name} {call.args}: {receipt.log}")
            if receipt.code < 100 or receipt.code >= 200:
                receipts.append(receipt)
        if self.governed and self.rng.random() < 0.3:
            self._govern()
        result = execution.finish(receipts)
        for event in result.events:
            if event.type in ("action_dropped", "breaker_tripped"):
                raise Failed(f"seed {self.seed}, height {self.height + 1}: {event.type} {event.attributes}")
        for receipt in receipts:
            self.trace.update(repr((int(receipt.code), receipt.data, receipt.gas_used)).encode())
        for key, value in result.changes:
            self.trace.update(key + b"\x00" + (value or b""))
            if value is None:
                self.db.pop(key, None)
            else:
                self.db[key] = value
        self.height += 1
        self.cache.commit(self.height, result.records)
        self.now += self.rng.choice(STEPS_S)
        return done

    def _votes(self) -> tuple[bytes, tuple[CommitVote, ...]]:
        """The proposer, and who signed the last block: now and then somebody did not."""
        ids = self.cache.committed[VALIDATORS_KEY] or ()
        self.validator_ids = list(ids)
        votes = tuple(CommitVote(address, 1, self.rng.random() < 0.97) for address in ids) if self.height else ()
        return (ids[0] if ids else b""), votes

    def _govern(self) -> None:
        """An operation that only governance may do, as the execution of a proposal does it."""
        row = self.rng.choice(self.governed)
        args = self.draw_good_args(row, GOVERNANCE_ADDRESS)
        if args is None:
            return
        context = OpContext(self.view, self.height + 1, self.now, (1, 5, 6))
        mark = self.view.mark()
        try:
            row.handler(context, GOVERNANCE_ADDRESS, args)
        except OperationFailed as failure:
            self.view.rollback(mark)
            self.counts[row.name, failure.result] += 1
        else:
            problem = check_operation(self.view, mark, Call(row, GOVERNANCE_ADDRESS, args))
            if problem:
                raise Failed(f"seed {self.seed}, height {self.height + 1}: {row.name} {args}: {problem}")
            self.counts[row.name, 0] += 1
        self.view.settle()

    def audit(self) -> None:
        """The whole state."""
        problems = audit_state((key, decode_record(key, raw)) for key, raw in self.db.items()).problems
        if problems:
            raise Failed(f"seed {self.seed}, height {self.height}: {problems[:5]}")

    def app_hash(self) -> bytes:
        """The root of one tree over all records."""
        leaves = sorted((key_hash(key), value) for key, value in self.db.items())
        return compute_root([(kh, leaf_hash(kh, value)) for kh, value in leaves])

    def never_succeeded(self) -> list[str]:
        """Operations of the table that no draw has brought to success."""
        return sorted({row.name for row in self.rows} - {name for (name, code) in self.counts if code == 0})


def run(operations: int, seed: int, show: Callable[[str], None] = lambda text: None) -> dict[str, Any]:
    """The whole run; raises `Failed`."""
    ledger = RandomLedger(seed)
    started = time.perf_counter()
    done = 0
    while done < operations:
        done += ledger.run_block(min(BLOCK_TXS, operations - done))
        if ledger.height % AUDIT_BLOCKS == 0:
            ledger.audit()
            show(f"{done} of {operations} operations, height {ledger.height}, {len(ledger.db)} records")
    ledger.audit()
    seconds = time.perf_counter() - started
    by_code: Counter[int] = Counter()
    for (_, code), count in ledger.counts.items():
        by_code[code] += count
    return {
        "seed": seed,
        "operations": done,
        "succeeded": by_code[0],
        "heights": ledger.height,
        "records": len(ledger.db),
        "codes": {str(code): count for code, count in sorted(by_code.items())},
        "never_succeeded": ledger.never_succeeded(),
        "drift": 0,
        "seconds": round(seconds, 1),
        "app_hash": ledger.app_hash().hex(),
        "trace": ledger.trace.hexdigest(),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Random operations on one ledger; every unit is found again at the end.")
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trace", action="store_true", help="only the hashes")
    options = parser.parse_args()
    quiet = options.json or options.trace
    try:
        outcome = run(options.operations, options.seed, (lambda text: None) if quiet else lambda text: print(text, file=sys.stderr))
    except Failed as failure:
        print(json.dumps({"failed": str(failure)}) if options.json else f"FAILED {failure}")
        return 1
    if options.trace:
        print(outcome["app_hash"], outcome["trace"])
    else:
        print(json.dumps(outcome) if options.json else "\n".join(f"{name}: {value}" for name, value in outcome.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
