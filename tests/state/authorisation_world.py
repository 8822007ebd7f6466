"""A ledger in which every account has two keys and needs both, and the form of an operation's example. Not a test file.

A file `tests/state/examples_MODULE.py` holds `EXAMPLES` of a module's operations; `test_authorisation` finds it by its name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from state.codes import Code
from state.initial import (
    GenesisAccount,
    GenesisAsset,
    GenesisHolding,
    GenesisState,
    GenesisValidator,
    genesis_changes,
)
from state.machine import BlockResult
from state.modules.assets import FLAGS_ALL
from state.modules.gate import FLAG_REMUNERATED, FLAGS_OPEN
from state.modules.operation import GOVERNANCE_ADDRESS, OpContext
from state.modules.table import BY_NAME
from state.params import Params, StakeParams
from state.params_compliance import ComplianceParams
from state.primitives.keys import KeyKind
from state.receipts import Receipt
from state.schema import decode_record, encode_record, nonces_key
from state.transaction import Draft, Transaction, build, call
from state.view import View, encode_changes
from tests.state.ledger_world import CHAIN, NOW, World, entry, key_of

PEOPLE = ("ann", "ben", "cat", "issuer", "owner", "spare")
ACCOUNTS = {name: GenesisAccount((entry(0, f"{name}0"), entry(1, f"{name}1")), (2, 2, 2, 2)) for name in PEOPLE}
WHO = {name: account.address for name, account in ACCOUNTS.items()}
CODES = ("BTC", "EUR", "QNX")
FLAGS = FLAGS_OPEN
POWERS = FLAGS_ALL  # of GLD: whatever an issuer can reserve
RICH = 10**12
BOND = 10_000
Signing = tuple[str, int]  # (account, key id)


def vote_keys(name: str) -> tuple[bytes, int, bytes]:
    """Ed25519 key, kind and ML-DSA key of a validator."""
    return key_of(name).public_key.data, int(KeyKind.MLDSA87), key_of(name, KeyKind.MLDSA87).public_key.data


class PairWorld(World):
    """Two keys of weight one each, every threshold two. `issuer` issues all assets and mints them; `owner` has a validator."""

    def __init__(self) -> None:
        state = GenesisState(
            params=Params(
                stake=StakeParams("QNX", 100), compliance=ComplianceParams(tuple(sorted((WHO["cat"], WHO["spare"]))), True)
            ),
            accounts=tuple(ACCOUNTS.values()),
            assets=(
                *(GenesisAsset(code, WHO["issuer"], 2, 0, FLAGS, ((WHO["issuer"], 10**15),)) for code in CODES),
                GenesisAsset("GLD", WHO["issuer"], 2, 0, POWERS),
                GenesisAsset("CBC", WHO["issuer"], 2, 0, FLAGS | FLAG_REMUNERATED, ((WHO["issuer"], 10**15),)),
                GenesisAsset("OLD", WHO["issuer"], 2, 0, POWERS),
            ),
            holdings=(
                *(GenesisHolding(WHO[name], code, RICH) for name in PEOPLE for code in CODES),
                *(GenesisHolding(WHO[name], "GLD", RICH) for name in ("ann", "ben")),
            ),
            validators=tuple(
                GenesisValidator(*vote_keys(name), WHO[owner], BOND) for name, owner in (("v0", "owner"), ("v1", "spare"))
            ),
        )
        self.db = {key: value for key, value in genesis_changes(state) if value is not None}
        self.height = 0
        self.now = NOW
        self.last: BlockResult | None = None

    def read(self, key: bytes) -> Any:
        raw = self.db.get(key)
        return None if raw is None else decode_record(key, raw)

    def write(self, key: bytes, record: Any) -> None:
        """Change the state by hand: how an example takes a role or a credential away."""
        if record is None:
            self.db.pop(key, None)
        else:
            self.db[key] = encode_record(key, record)

    def change(self, key: bytes, **fields: Any) -> None:
        """Change fields of a record with names."""
        self.write(key, self.read(key)._replace(**fields))

    def draft(self, sender: str, *ops: Any, **envelope: Any) -> Draft:
        nonces = self.read(nonces_key(WHO[sender])) or (0,)
        given = {"chain_id": CHAIN, "valid_until": self.now + 300, "seq": nonces[0], "max_fee": 10_000, **envelope}
        return build(sender=WHO[sender], ops=ops, **given)

    def signed(self, draft: Draft, signing: Sequence[Signing]) -> bytes:
        for account, key_id in signing:
            draft = draft.sign(WHO[account], key_id, key_of(f"{account}{key_id}"))
        return draft.encode()

    def settle(self, raw: bytes) -> Receipt:
        return self.apply(Transaction.decode(raw))[0]

    def done_by(self, acting: bytes, operation: str, **fields: Any) -> None:
        """An operation of governance or of a group, as the execution of its proposal does it."""
        row = BY_NAME[operation]
        view = View(self.db)
        row.handler(OpContext(view, self.height, self.now, (1,)), acting, tuple(fields[name] for name, _ in row.fields))
        view.settle()
        for key, value in encode_changes(view.changed_records()):
            self.db.pop(key, None)
            if value is not None:
                self.db[key] = value

    def done(self, sender: str, *ops: Any, others: Sequence[str] = ()) -> None:
        """Operations that an example needs before it, signed by the sender and others."""
        signing = [(name, key_id) for name in (sender, *others) for key_id in (0, 1)]
        receipt = self.settle(self.signed(self.draft(sender, *ops), signing))
        assert receipt.code == 0, (receipt.code_name, receipt.log)


Change = Callable[[PairWorld], None]


@dataclass(frozen=True)
class Example:
    """One operation that succeeds, everybody who must sign it, and every role without which it must fail.

    `fields` are its fields. `others` are the accounts that sign beside the sender. `before` makes the state it needs. Each of `roles`
    is (what is missing, how to take it away, the code it then fails with). `signing` replaces the signatures where they are not simply
    both keys of everybody. A governed operation is done by governance: signed by anybody it fails with 204.
    """

    operation: str
    fields: dict[str, Any]
    sender: str = "ann"
    others: tuple[str, ...] = ()
    before: Change | None = None
    roles: tuple[tuple[str, Change, Code], ...] = ()
    signing: tuple[Signing, ...] = ()
    as_account: str = ""
    by_governance: bool = False
    by_group: bytes = b""  # the same for what only a group does, by its own proposal: its address
    settled_later_s: int = 0
    stranger: Code | None = None  # what anybody else gets who does it in his own name

    def call(self, world: PairWorld) -> Any:
        """The operation in a world; a field may be a function of it."""
        fields = {name: value(world) if callable(value) else value for name, value in self.fields.items()}
        return call(self.operation, as_account=WHO[self.as_account] if self.as_account else b"", **fields)

    def signers(self) -> tuple[Signing, ...]:
        """All who must sign."""
        return self.signing or tuple((name, key_id) for name in (self.sender, *self.others) for key_id in (0, 1))

    @property
    def acting(self) -> bytes:
        """Who does it whom no key signs for; empty: somebody signs."""
        return self.by_group or (GOVERNANCE_ADDRESS if self.by_governance else b"")

    def world(self) -> PairWorld:
        """The state before it."""
        world = PairWorld()
        if self.before is not None:
            self.before(world)
        world.now += self.settled_later_s
        return world

    def replaced(self, **changes: Any) -> Example:
        """With other properties."""
        return replace(self, **changes)


def row_of(example: Example) -> Any:
    """The row of an example's operation."""
    return BY_NAME[example.operation]
