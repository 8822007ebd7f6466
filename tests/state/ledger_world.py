"""A small ledger to test on: named accounts, two assets, one validator, and short ways to sign and apply.

Not a test file. Keys come from seeds, so every run has the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from state.admission import Admission
from state.initial import (
    GenesisAccount,
    GenesisAsset,
    GenesisHolding,
    GenesisState,
    GenesisValidator,
    genesis_changes,
)
from state.machine import BlockContext, BlockResult, apply_block, check_transaction
from state.modules.accounts import AccountKind, new_account_address
from state.params import FeeParams, Params, StakeParams
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PrivateKey
from state.receipts import Receipt
from state.schema import decode_record, holding_key, nonces_key, supply_key
from state.transaction import Transaction, build, call

CHAIN = sha256(b"test chain")
NOW = 1_800_000_000
FEES = FeeParams(asset="QNX", base_default=10, per_signature=2, per_byte=1, base=(("asset.transfer", 3),))


@cache
def key_of(name: str, kind: KeyKind = KeyKind.ED25519) -> PrivateKey:
    return PrivateKey.from_seed(kind, sha256(name.encode()))


def entry(key_id: int, name: str, weight: int = 1, kind: KeyKind = KeyKind.ED25519) -> tuple[int, int, bytes, int]:
    return (key_id, int(kind), key_of(name, kind).public_key.data, weight)


# carol: three keys, two for payments, all for keys and statutory acts
ACCOUNTS = {
    "alice": GenesisAccount((entry(0, "alice"),)),
    "bob": GenesisAccount((entry(0, "bob"),)),
    "carol": GenesisAccount((entry(0, "c0"), entry(1, "c1"), entry(7, "c7", 2)), (1, 2, 3, 4)),
    "bank": GenesisAccount((entry(0, "bank"),), kind=AccountKind.INSTITUTION),
    "hybrid": GenesisAccount((entry(0, "hybrid", 1, KeyKind.HYBRID),)),
    "poor": GenesisAccount((entry(0, "poor"),)),
}
ADDRESS = {name: account.address for name, account in ACCOUNTS.items()}
# account -> its signers: (key id, name of the key, kind)
SIGNERS = {
    "alice": ((0, "alice", KeyKind.ED25519),),
    "bob": ((0, "bob", KeyKind.ED25519),),
    "carol": ((0, "c0", KeyKind.ED25519), (1, "c1", KeyKind.ED25519), (7, "c7", KeyKind.ED25519)),
    "bank": ((0, "bank", KeyKind.ED25519),),
    "hybrid": ((0, "hybrid", KeyKind.HYBRID),),
    "poor": ((0, "poor", KeyKind.ED25519),),
}


def genesis_state(fees: FeeParams = FeeParams()) -> GenesisState:  # noqa: B008  (frozen)
    rich = [name for name in ACCOUNTS if name != "poor"]
    return GenesisState(
        params=Params(fees=fees, stake=StakeParams("QNX", 100)),
        accounts=tuple(ACCOUNTS.values()),
        assets=(
            GenesisAsset("QNX", ADDRESS["bank"], 6, minters=((ADDRESS["bank"], 10**15),)),
            GenesisAsset("BND", ADDRESS["bank"], 0, max_supply=1_000, flags=0, minters=((ADDRESS["bank"], 10**15),)),
        ),
        holdings=(
            *(GenesisHolding(ADDRESS[name], "QNX", 1_000_000) for name in rich),
            GenesisHolding(ADDRESS["bank"], "BND", 500),
        ),
        validators=(
            GenesisValidator(
                key_of("val").public_key.data,
                KeyKind.MLDSA87,
                key_of("val", KeyKind.MLDSA87).public_key.data,
                ADDRESS["bank"],
                1_050,
            ),
        ),
    )


def key_names(account: str) -> tuple[tuple[str, int], ...]:
    return tuple((account, key_id) for key_id, _, _ in SIGNERS[account])


class World:
    """The ledger's state in a dictionary, one block after another."""

    def __init__(self, fees: FeeParams = FeeParams()) -> None:  # noqa: B008  (frozen)
        self.db: dict[bytes, bytes] = {key: value for key, value in genesis_changes(genesis_state(fees)) if value is not None}
        self.height = 0
        self.now = NOW
        self.last: BlockResult | None = None

    def context(self) -> BlockContext:
        return BlockContext(self.height + 1, self.now * 1_000_000_000, CHAIN)

    def next_seq(self, account: str, lane: int = 0) -> int:
        raw = self.db.get(nonces_key(ADDRESS[account]))
        nonces = decode_record(nonces_key(ADDRESS[account]), raw) if raw else ()
        return nonces[lane] if lane < len(nonces) else 0

    def balance(self, account: str | bytes, code: str = "QNX") -> int:
        key = holding_key(ADDRESS[account] if isinstance(account, str) else account, code)
        raw = self.db.get(key)
        return decode_record(key, raw)[0] if raw else 0

    def supply(self, code: str = "QNX") -> int:
        raw = self.db.get(supply_key(code))
        return decode_record(supply_key(code), raw)[0] if raw else 0

    def total(self, code: str = "QNX") -> int:
        """Sum of all holdings of an asset, found without the ledger's own code paths."""
        suffix = code.encode()
        return sum(decode_record(key, raw)[0] for key, raw in self.db.items() if key[1:2] == b"h" and key[34:] == suffix)

    def raw(
        self,
        sender: str,
        *ops: Sequence[Any],
        signers: Sequence[tuple[str, int]] | None = None,
        **envelope: Any,
    ) -> bytes:
        """A signed transaction; `signers` are (account, key id), by default all keys of the sender."""
        if "seq" not in envelope:
            lane = envelope.get("lane", 0)
            envelope["seq"] = self.next_seq(sender, lane) if lane < 64 else 0
        fields: dict[str, Any] = {"chain_id": CHAIN, "valid_until": self.now + 300, "max_fee": 10_000, **envelope}
        draft = build(sender=ADDRESS[sender], ops=ops, **fields)
        for account, key_id in key_names(sender) if signers is None else signers:
            name, kind = next((n, k) for i, n, k in SIGNERS[account] if i == key_id)
            draft = draft.sign(ADDRESS[account], key_id, key_of(name, kind))
        return draft.encode()

    def tx(self, sender: str, *ops: Sequence[Any], **envelope: Any) -> Transaction:
        return Transaction.decode(self.raw(sender, *ops, **envelope))

    def apply(self, *txs: bytes | Transaction) -> tuple[Receipt, ...]:
        result = apply_block(self.db, self.context(), txs)
        self.commit(result)
        return result.receipts

    def commit(self, result: BlockResult) -> None:
        for key, value in result.changes:
            if value is None:
                del self.db[key]
            else:
                self.db[key] = value
        self.height += 1
        self.last = result

    def check(self, tx: bytes | Transaction, **options: Any) -> Admission:
        decoded = tx if isinstance(tx, Transaction) else Transaction.decode(tx)
        return check_transaction(self.db, self.context(), decoded, **options)

    def do(self, sender: str, *ops: Sequence[Any], **envelope: Any) -> Receipt:
        """Sign, apply as a block of one, and return the receipt."""
        return self.apply(self.raw(sender, *ops, **envelope))[0]


def pay(to: str | bytes, amount: int = 1, asset: str = "QNX", *, as_account: bytes = b"", tag: str = "") -> Sequence[Any]:
    address = ADDRESS[to] if isinstance(to, str) else to
    return call("asset.transfer", as_account=as_account, asset=asset, to=address, amount=amount, tag=tag)


def create_account(keys: Any, thresholds: Any = (1, 1, 1, 1), kind: int = AccountKind.CUSTOMER, parent: bytes = b"") -> Any:
    address = new_account_address(keys, thresholds, kind=kind, parent=parent)
    return call("account.create", address=address, kind=int(kind), parent=parent, keys=keys, thresholds=thresholds)


def update_keys(add: Any = (), remove: Any = (), thresholds: Any = ()) -> Any:
    return call("account.update_keys", add=add, remove=remove, thresholds=thresholds)
