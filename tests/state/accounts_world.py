"""A ledger whose accounts use all that accounts can do, and short ways to do it. Not a test file.

`firm` is an institution: two owners, one operator, one checker, two recovery keys. `desk` is its sub-account. Signers are written
(account, name of the key); a key's name says which it is, wherever it stands in the account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from state.initial import GenesisAccount, GenesisHolding, genesis_changes
from state.invariants_accounts import audit_accounts
from state.machine import BlockResult
from state.modules.account_policy import DUAL_OFF, KeyClass
from state.modules.accounts import AccountKind
from state.modules.table import BY_NAME
from state.params import FeeParams
from state.primitives.keys import KeyKind
from state.receipts import Receipt
from state.schema import account_key, decode_record
from state.schema_accounts import KeyRule, policy_key
from state.transaction import Draft, Transaction, build, call
from tests.state.ledger_world import ADDRESS as PLAIN_ADDRESS
from tests.state.ledger_world import CHAIN, NOW, World, entry, genesis_state, key_of, pay

DAY = 24 * 3600
# firm: key ids 0, 1 owners, 2 operator, 3 checker, 4, 5 recovery
FIRM_KEYS = tuple(entry(i, f"f{i}") for i in range(6))
MORE = {
    "firm": GenesisAccount(FIRM_KEYS, (1, 1, 2, 2), kind=AccountKind.INSTITUTION),
    "watch": GenesisAccount((entry(0, "watch"),), kind=AccountKind.REGULATOR),
}
MORE["desk"] = GenesisAccount((entry(0, "desk"),), kind=AccountKind.SUB_ACCOUNT, parent=MORE["firm"].address)
ADDRESS = {**PLAIN_ADDRESS, **{name: account.address for name, account in MORE.items()}}
RULES = (
    KeyRule(2, KeyClass.OPERATOR, 0, 0),
    KeyRule(3, KeyClass.CHECKER, 0, 0),
    KeyRule(4, KeyClass.RECOVERY, 0, 0),
    KeyRule(5, KeyClass.RECOVERY, 0, 0),
)
KIND = KeyKind.ED25519
Signer = tuple[str, str]


def number(name: str) -> int:
    """The number of an operation."""
    return BY_NAME[name].code


class AccountsWorld(World):
    """Everybody holds 1,000,000 QNX."""

    def __init__(self, fees: FeeParams = FeeParams()) -> None:  # noqa: B008  (frozen)
        base = genesis_state(fees)
        state = replace(
            base,
            accounts=(*base.accounts, *MORE.values()),
            holdings=(*base.holdings, *(GenesisHolding(account.address, "QNX", 1_000_000) for account in MORE.values())),
        )
        self.db = {key: value for key, value in genesis_changes(state) if value is not None}
        self.height = 0
        self.now = NOW
        self.last: BlockResult | None = None
        self.may_trip = False  # a test plants a bug that the invariants are to stop

    def commit(self, result: BlockResult) -> None:
        dropped = [event for event in result.events if event.type in ("action_dropped", "breaker_tripped")]
        assert self.may_trip or not dropped, [event.attributes for event in dropped]
        super().commit(result)

    def read(self, key: bytes) -> Any:
        raw = self.db.get(key)
        return None if raw is None else decode_record(key, raw)

    def record(self, account: str) -> Any:
        return self.read(account_key(ADDRESS[account]))

    def policy(self, account: str) -> Any:
        return self.read(policy_key(ADDRESS[account]))

    def balance(self, account: str | bytes, code: str = "QNX") -> int:
        return super().balance(ADDRESS[account] if isinstance(account, str) else account, code)

    def sequence(self, account: str, lane: int = 0) -> int:
        nonces = self.read(b" n" + ADDRESS[account]) or ()
        return nonces[lane] if lane < len(nonces) else 0

    def key_id(self, account: str, key: str) -> int:
        """Where a key stands in an account, or among its session keys; 999 if nowhere."""
        data = key_of(key).public_key.data
        record = self.record(account)
        for entry_id, _, public_key, _ in record[2]:
            if public_key == data:
                return int(entry_id)
        for name in self.read(b" t" + ADDRESS[account]) or ():
            grant = self.read(b" t" + ADDRESS[account] + name)
            if name[:1] == b"S" and grant.public_key == data:
                return int.from_bytes(name[1:], "big")
        return 999

    def signed(self, sender: str, *ops: Sequence[Any], by: Sequence[Signer], **envelope: Any) -> bytes:
        """A transaction signed by (account, name of a key)."""
        lane = envelope.get("lane", 0)
        fields = {"chain_id": CHAIN, "valid_until": self.now + 300, "max_fee": 10_000, **envelope}
        fields.setdefault("seq", self.sequence(sender, lane) if lane < 64 else 0)
        draft: Draft = build(sender=ADDRESS[sender], ops=ops, **fields)
        for account, key in by:
            draft = draft.sign(ADDRESS[account], self.key_id(account, key), key_of(key))
        return draft.encode()

    def code(self, sender: str, *ops: Sequence[Any], by: Sequence[Signer], **envelope: Any) -> int:
        """The code of a transaction: that of admission if it is refused, else of its receipt."""
        raw = self.signed(sender, *ops, by=by, **envelope)
        admission = self.check(raw)
        if admission.code:
            return int(admission.code)
        return int(self.settle(raw).code)

    def settle(self, raw: bytes) -> Receipt:
        """Apply as a block of one; then the audit."""
        receipt = self.apply(Transaction.decode(raw))[0]
        records = [(key, decode_record(key, value)) for key, value in self.db.items()]
        assert audit_accounts(records) == ()
        for code in ("QNX", "BND"):
            assert self.total(code) == self.supply(code)
        return receipt

    def ok(self, sender: str, *ops: Sequence[Any], by: Sequence[Signer], **envelope: Any) -> Receipt:
        receipt = self.settle(self.signed(sender, *ops, by=by, **envelope))
        assert receipt.code == 0, (receipt.code_name, receipt.log)
        return receipt

    def govern(self, **settings: Any) -> Receipt:
        """Give the firm its classes and delays."""
        return self.ok("firm", set_policy(**settings), by=OWNERS)

    def sweep(self) -> list[str]:
        """Empty blocks until the calendar has come to now: the events of the last, by name."""
        for _ in range(20):
            self.apply()
            assert self.last is not None
            if self.last.events:
                return [event.type for event in self.last.events]
        return []

    def later(self, seconds: int) -> None:
        self.now += seconds


OWNERS: tuple[Signer, ...] = (("firm", "f0"), ("firm", "f1"))


def set_policy(**fields: Any) -> Any:
    given = {
        "add": (),
        "remove": (),
        "thresholds": (),
        "rules": RULES,
        "rotation_delay_s": DAY,
        "recovery_delay_s": 3 * DAY,
        "recovery_weight": 2,
        "dual_from": DUAL_OFF,
        **fields,
    }
    return call("account.set_policy", **given)


def grant_session(**fields: Any) -> Any:
    given = {
        "key": (entry(50, "bot"),),
        "ops": (number("asset.transfer"),),
        "limits": (("QNX", 100, 250),),
        "counterparties": (),
        "fee_limit": 0,
        "window_s": 3600,
        "valid_until": NOW + 10 * DAY,
        **fields,
    }
    return call("account.grant_session", **given)


def delegate(to: str, **fields: Any) -> Any:
    given = {
        "ops": (number("asset.transfer"),),
        "limits": (("QNX", 100, 250),),
        "counterparties": (),
        "window_s": 3600,
        "valid_until": NOW + 10 * DAY,
        **fields,
    }
    return call("account.delegate", to=ADDRESS[to], **given)


def sponsor(who: str, **fields: Any) -> Any:
    given = {"ops": (), "limit": 20, "window_s": 3600, "valid_until": NOW + 10 * DAY, **fields}
    return call("account.sponsor", who=ADDRESS[who], **given)


def close(beneficiary: str = "", *, as_account: bytes = b"") -> Any:
    return call("account.close", as_account=as_account, beneficiary=ADDRESS[beneficiary] if beneficiary else b"")


def allow(*names: str, cosigner: str = "", approver: str = "", as_account: bytes = b"") -> Any:
    return call(
        "account.set_allowlist",
        as_account=as_account,
        counterparties=tuple(sorted(ADDRESS[name] for name in names)),
        cosigner=ADDRESS[cosigner] if cosigner else b"",
        approver=ADDRESS[approver] if approver else b"",
    )


def confirm(account: str, change: int) -> Any:
    return call("account.confirm_keys", account=ADDRESS[account], change=change)


def veto(change: int, *, as_account: bytes = b"") -> Any:
    return call("account.veto_keys", as_account=as_account, change=change)


def recover(*keys: Any, thresholds: Any = (1, 1, 1, 1), as_account: bytes = b"") -> Any:
    return call("account.recover", as_account=as_account, keys=keys, thresholds=thresholds)


def revoke(key_id: int, *, as_account: bytes = b"") -> Any:
    return call("account.revoke_key", as_account=as_account, key_id=key_id)


def send(to: str, amount: int = 1, *, as_account: bytes = b"", asset: str = "QNX") -> Any:
    return pay(ADDRESS[to], amount, asset, as_account=as_account)
