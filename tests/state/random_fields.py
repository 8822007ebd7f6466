"""How each kind of operation field is drawn at random for `tests.state.random_ledger`. Not a test file.

`FIELDS` is by the kind's name; `HINTS` by (operation or empty, field name) where the kind alone would nearly never hit. Values are as a
handler gets them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from state.modules.accounts import new_account_address
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind
from state.primitives.limits import AMOUNT_MAX
from state.schema import COMPLIANCE_PARAMS_KEY

if TYPE_CHECKING:
    from tests.state.random_ledger import RandomLedger

Draw = Callable[["RandomLedger", bytes], Any]


def _account(ledger: RandomLedger, account: bytes) -> bytes:
    return ledger.rng.choice(ledger.accounts)


def _code(ledger: RandomLedger, account: bytes) -> str:
    return ledger.rng.choice(ledger.assets)


def _pair(ledger: RandomLedger) -> tuple[str, str]:
    a, b = sorted(ledger.rng.sample(ledger.assets, 2))
    return a, b


def _pool(ledger: RandomLedger, account: bytes) -> str:
    a, b = _pair(ledger)
    return f"{a}/{b}"


def _path(ledger: RandomLedger, account: bytes) -> tuple[str, ...]:
    return tuple(ledger.rng.sample(ledger.assets, ledger.rng.choice((2, 2, 2, 3, 4))))


def _number(ledger: RandomLedger, account: bytes) -> int:
    roll = ledger.rng.random()
    if roll < 0.4:
        return ledger.rng.randrange(0, 40)
    if roll < 0.8:
        return ledger.now + ledger.rng.randrange(-100, 5_000)
    return ledger.rng.choice((0, 1, 3_000, 10_000, 1_000_000, (1 << 63) - 1))


def _when(ledger: RandomLedger, account: bytes) -> int:
    return ledger.now + ledger.rng.choice((-10, 1, 60, 600, 3_600, 86_400))


def _small_index(ledger: RandomLedger, account: bytes) -> int:
    return ledger.rng.randrange(0, 30)


def _ppm(ledger: RandomLedger, account: bytes) -> int:
    return ledger.rng.choice((0, 1, 3_000, 50_000, 100_000, 1_000_000))


def _keys(ledger: RandomLedger, account: bytes) -> tuple[tuple[int, int, bytes, int], ...]:
    number = ledger.rng.randrange(1, 1 << 30)
    return ((number % 9 + 1, int(KeyKind.ED25519), sha256(b"new key %d" % number), 1),)


def _legs(ledger: RandomLedger, account: bytes) -> tuple[tuple[bytes, str, int, int], ...]:
    code, amount = _code(ledger, account), ledger.draw_amount(account)
    other = _account(ledger, account)
    return ((account, code, 0, amount), (other, code, 1, amount))


def _amount(ledger: RandomLedger, account: bytes) -> int:
    return ledger.draw_amount(account)


def _validator(ledger: RandomLedger, account: bytes) -> bytes:
    return ledger.rng.choice(ledger.validator_ids) if ledger.validator_ids else bytes(20)


def _constant(value: Any) -> Draw:
    return lambda ledger, account: value


def _new_code(ledger: RandomLedger, account: bytes) -> str:
    """Few names, so that most are taken after a while and the state stays small."""
    return f"N{ledger.rng.randrange(20)}"


def _new_key_bytes(length: int) -> Draw:
    return lambda ledger, account: (sha256(b"key %d" % ledger.rng.randrange(1 << 30)) * 82)[:length]


FIELDS: dict[str, Draw] = {
    "address": _account,
    "optional address": lambda ledger, account: ledger.rng.choice((b"", _account(ledger, account))),
    "optional hash": lambda ledger, account: ledger.rng.choice((b"", sha256(b"hash"))),
    "amount": _amount,
    "asset code": _code,
    "tag": _constant(""),
    "reason": _constant("case 1"),
    "optional asset code": lambda ledger, account: ledger.rng.choice(("", _code(ledger, account))),
    "accounts": lambda ledger, account: tuple(sorted(ledger.rng.sample(ledger.accounts, 2))),
    "scale": lambda ledger, account: ledger.rng.choice((0, 2, 18, 128)),
    "number": _number,
    "keys": _keys,
    "key ids": _constant(()),
    "thresholds": _constant((1, 1, 1, 1)),
    "optional thresholds": _constant(()),
    "minters": _constant(()),
    "legs": _legs,
    "20 bytes": _validator,
    "public key": _new_key_bytes(32),
    "parts per million": _ppm,
    "moniker": lambda ledger, account: f"m{ledger.rng.randrange(100)}",
    "details": _constant(""),
    "pool": _pool,
    "optional pool": lambda ledger, account: ledger.rng.choice(("", _pool(ledger, account))),
    "path": _path,
    "members": lambda ledger, account: tuple(sorted(set(ledger.rng.sample(ledger.accounts, 3)))) if ledger.rng.random() < 0.2 else (),
    "price": _constant((0, 0)),
    "key id": lambda ledger, account: ledger.rng.randrange(0, 12),
    "rules of keys": lambda ledger, account: _rules(ledger, account),
    "operations": lambda ledger, account: _operations(ledger, account),
    "limits": lambda ledger, account: _limits(ledger, account),
    "counterparties": lambda ledger, account: _some_accounts(ledger, account),
    "allowed accounts": lambda ledger, account: _some_accounts(ledger, account),
}


def _operations(ledger: RandomLedger, account: bytes) -> tuple[int, ...]:
    """Mostly what can be given to others, sometimes what cannot."""
    numbers = [row.code for row in ledger.rows if row.level <= 1 and row.module != "account"]
    numbers = numbers if ledger.rng.random() < 0.9 else [row.code for row in ledger.rows]
    return tuple(sorted(set(ledger.rng.choices(numbers, k=8))))


def _limits(ledger: RandomLedger, account: bytes) -> tuple[tuple[str, int, int], ...]:
    codes = sorted(set(ledger.rng.choices(ledger.assets, k=3)))
    return tuple((code, 1 + ledger.draw_amount(account) // 4, 1 << 639) for code in codes)


def _some_accounts(ledger: RandomLedger, account: bytes) -> tuple[bytes, ...]:
    if ledger.rng.random() < 0.5:
        return ()
    return tuple(sorted(ledger.rng.sample(ledger.accounts, len(ledger.accounts) * 2 // 3)))


def _rules(ledger: RandomLedger, account: bytes) -> tuple[tuple[int, int, int, int], ...]:
    return ((ledger.rng.randrange(0, 9), ledger.rng.choice((1, 2, 4, 5)), 0, 0),) if ledger.rng.random() < 0.3 else ()


def _address_of_keys(ledger: RandomLedger, account: bytes) -> bytes:
    ledger.last_keys = _keys(ledger, account)
    return new_account_address(ledger.last_keys, (1, 1, 1, 1))


def _suspect(ledger: RandomLedger, account: bytes) -> bytes:
    """Few accounts, so that most of the ledger goes on."""
    return ledger.rng.choice(ledger.accounts[-4:])


def _suspect_or_nobody(ledger: RandomLedger, account: bytes) -> bytes:
    return ledger.rng.choice((b"", _suspect(ledger, account), _suspect(ledger, account)))


def _authority(ledger: RandomLedger) -> bytes:
    return ledger.rng.choice(ledger.view.values[COMPLIANCE_PARAMS_KEY][0])


def _officer(ledger: RandomLedger) -> bytes:
    return ledger.rng.choice((*ledger.officers, _authority(ledger)))


# who acts, where anybody else would nearly always be refused
ACTORS: dict[str, Callable[[RandomLedger], bytes]] = {
    **dict.fromkeys(("asset.pause", "asset.unpause", "asset.clawback", "asset.forced_transfer", "asset.set_metadata"), _officer),
    **dict.fromkeys(("comp.freeze", "comp.unfreeze", "comp.authorise"), _officer),
    **dict.fromkeys(("comp.sanction", "comp.unsanction"), _authority),
}

HINTS: dict[tuple[str, str], Draw] = {
    ("account.create", "address"): _address_of_keys,
    ("account.create", "kind"): _constant(1),
    ("account.create", "parent"): _constant(b""),
    ("account.create", "keys"): lambda ledger, account: ledger.last_keys,
    ("account.close", "beneficiary"): _constant(b""),
    ("account.set_policy", "add"): _constant(()),
    ("account.set_policy", "rotation_delay_s"): lambda ledger, account: ledger.rng.choice((0, 0, 600)),
    ("account.set_policy", "recovery_delay_s"): _constant(7_200),
    ("account.set_policy", "recovery_weight"): lambda ledger, account: ledger.rng.choice((0, 0, 1)),
    ("account.set_policy", "dual_from"): _constant(4),
    ("account.confirm_keys", "change"): lambda ledger, account: ledger.rng.randrange(1, 6),
    ("account.veto_keys", "change"): lambda ledger, account: ledger.rng.randrange(1, 6),
    ("account.set_allowlist", "cosigner"): _constant(b""),
    ("account.set_allowlist", "approver"): _constant(b""),
    ("", "window_s"): lambda ledger, account: ledger.rng.choice((60, 3_600)),
    ("asset.create", "code"): _new_code,
    ("asset.create", "max_supply"): lambda ledger, account: ledger.rng.choice((0, 10**30)),
    ("asset.create", "flags"): lambda ledger, account: ledger.rng.choice((1, 31, 2047)),
    ("asset.set_role", "role"): lambda ledger, account: ledger.rng.randrange(7),
    ("asset.set_role", "allowance"): lambda ledger, account: ledger.rng.choice((0, 0, 10**40)),
    ("asset.renounce_flag", "asset"): _new_code,
    ("asset.renounce_flag", "flag"): lambda ledger, account: 1 << ledger.rng.randrange(11),
    ("asset.destroy", "asset"): _new_code,
    ("asset.accept", "on"): lambda ledger, account: int(ledger.rng.random() < 0.8),
    ("asset.clawback", "all"): lambda ledger, account: int(ledger.rng.random() < 0.1),
    ("comp.freeze", "account"): _suspect_or_nobody,
    ("comp.unfreeze", "account"): _suspect_or_nobody,
    ("comp.sanction", "account"): _suspect,
    ("comp.unsanction", "account"): _suspect,
    ("comp.freeze", "scope"): lambda ledger, account: ledger.rng.choice((1, 2, 3)),
    ("comp.freeze", "level"): lambda ledger, account: ledger.rng.choice((1, 2)),
    ("comp.unfreeze", "scope"): lambda ledger, account: ledger.rng.choice((1, 2, 3)),
    ("comp.authorise", "state"): lambda ledger, account: ledger.rng.choice((0, 1, 2, 2, 2)),
    ("comp.set_authorities", "separate_release"): lambda ledger, account: ledger.rng.choice((0, 1)),
    ("stake.register", "ed25519_key"): _new_key_bytes(32),
    ("stake.register", "pq_key"): _new_key_bytes(2592),
    ("stake.register", "pq_kind"): _constant(int(KeyKind.MLDSA87)),
    ("stake.register", "amount"): lambda ledger, account: ledger.rng.randrange(1_000, 100_000),
    ("stake.register", "min_self_bond"): _constant(0),
    ("stake.rotate_consensus_key", "pq_key"): _new_key_bytes(2592),
    ("stake.rotate_consensus_key", "pq_kind"): _constant(int(KeyKind.MLDSA87)),
    ("amm.create", "fee_ppm"): lambda ledger, account: ledger.rng.choice((0, 3_000, 10_000)),
    ("amm.create", "amount_a"): lambda ledger, account: ledger.rng.randrange(9_000, 10**9),
    ("amm.create", "amount_b"): lambda ledger, account: ledger.rng.randrange(9_000, 10**9),
    ("amm.create", "members"): _constant(()),
    ("amm.set_protocol_fee", "on"): lambda ledger, account: ledger.rng.choice((0, 1)),
    ("", "min_shares"): _constant(0),
    ("", "min_a"): _constant(0),
    ("", "min_b"): _constant(0),
    ("", "min_out"): _constant(0),
    ("", "max_in"): _constant(AMOUNT_MAX),
    ("", "entry"): _small_index,
    ("", "claim"): _small_index,
    ("", "expires"): _when,
    ("", "until"): _when,
    ("", "deadline"): _when,
    ("", "valid_until"): _when,
}
