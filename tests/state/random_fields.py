"""How each kind of operation field is drawn at random for `tests.state.random_ledger`. Not a test file.

`FIELDS` is by the kind's name; `HINTS` by (operation or empty, field name) where the kind alone would nearly never hit. Values are as a
handler gets them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from state.modules import offers, settlements
from state.modules.accounts import new_account_address
from state.modules.pending import compute_id
from state.modules.recall import Place
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind
from state.primitives.limits import AMOUNT_MAX
from state.schema import COMPLIANCE_PARAMS_KEY
from state.schema_farm import FARM_LIST_KEY, Tier, farm_position_key, farm_positions_key
from state.schema_pending import ESCROW, HOLD, OFFER, SETTLEMENT, Offer, Settlement, list_entry_key, list_key
from tests.state.random_fields_gov import GOV_FIELDS, GOV_HINTS
from tests.state.random_fields_recall import RECALL_HINTS

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


def _farm(ledger: RandomLedger, account: bytes) -> int:
    (count,) = ledger.view.values[FARM_LIST_KEY] or (1,)
    return ledger.rng.randrange(count)


def _farm_position(ledger: RandomLedger, account: bytes) -> int:
    _, numbers = ledger.view.values[farm_positions_key(account)] or (0, ())
    return ledger.rng.choice(numbers) if numbers else ledger.rng.randrange(3)


def _farm_of_position(ledger: RandomLedger, account: bytes) -> int:
    """The farm of a position that the next field names."""
    ledger.last_position = _farm_position(ledger, account)
    position = ledger.view.values[farm_position_key(account, ledger.last_position)]
    return position.farm if position is not None else _farm(ledger, account)


def _stake(ledger: RandomLedger, account: bytes) -> str:
    return _pool(ledger, account) if ledger.rng.random() < 0.3 else _code(ledger, account)


def _tiers(ledger: RandomLedger, account: bytes) -> tuple[Tier, ...]:
    return ledger.rng.choice(((Tier(0, 1_000_000),), (Tier(0, 1), Tier(30, 2_500_000)), (Tier(5, 99_999_999),)))
def _legs_of_settlement(ledger: RandomLedger, account: bytes) -> tuple[tuple[bytes, bytes, str, int], ...]:
    """Two accounts exchange; now and then a third one takes part."""
    other, third = ledger.rng.sample(ledger.accounts, 2)
    legs = [(account, other, _code(ledger, account), _little(ledger, account)), (other, account, _code(ledger, account), 5)]
    return tuple(legs if ledger.rng.random() < 0.8 else [*legs, (third, other, _code(ledger, account), 7)])


def _little(ledger: RandomLedger, account: bytes) -> int:
    return ledger.rng.randrange(1, 10_000)


def _open(letter: int) -> Draw:
    """The name of something open that concerns the account, of its list's first entries; or no name at all."""

    def draw(ledger: RandomLedger, account: bytes) -> bytes:
        view = ledger.view
        name, count = view.values[list_key(account)] or (b"", 0)
        for _ in range(min(count, ledger.rng.randrange(1, 12))):
            if name[0] == letter and ledger.rng.random() < 0.5:
                break
            name = view.values[list_entry_key(account, name)][1] or name
        ledger.last_open = view.values[b" " + name] if name else None
        return name[1:] if name and name[0] == letter else bytes(20)

    return draw


def _terms(compute: Callable[[bytes, Any], bytes], letter: int) -> Draw:
    """The terms of what was drawn just before."""

    def draw(ledger: RandomLedger, account: bytes) -> bytes:
        found = ledger.last_open
        kind = {SETTLEMENT: Settlement, OFFER: Offer}[letter]
        if type(found) is not kind:
            return bytes(32)
        maker = found.creator if isinstance(found, Settlement) else found.owner
        return compute(compute_id(letter, maker, found.ref), found)

    return draw
def _dealer(ledger: RandomLedger, account: bytes) -> bytes:
    """One of few, so that most of them are appointed after a while."""
    return ledger.rng.choice(ledger.accounts[3:7])


def _dealer_legs(ledger: RandomLedger, account: bytes) -> tuple[tuple[bytes, int], ...]:
    return tuple((dealer, ledger.rng.randrange(1, 10**9)) for dealer in sorted(ledger.rng.sample(ledger.accounts[3:7], 2)))


def _collateral(ledger: RandomLedger, account: bytes) -> tuple[tuple[str, int], ...]:
    return tuple((code, ledger.rng.randrange(1, 10**12)) for code in sorted(ledger.rng.sample(ledger.assets, ledger.rng.randrange(3))))


def _own_asset(ledger: RandomLedger, account: bytes) -> str:
    """An asset that the account issues and may mint, if it is one of the issuers."""
    return ledger.rng.choice(("QNX", "BTC"))


def _issuer(ledger: RandomLedger) -> bytes:
    return ledger.accounts[0]


def _any_dealer(ledger: RandomLedger) -> bytes:
    return _dealer(ledger, b"")


FIELDS: dict[str, Draw] = {
    "dealers and amounts": _dealer_legs,
    "assets and amounts": _collateral,
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
    "asset code or pool": _stake,
    "lock tiers": _tiers,
    "positions": lambda ledger, account: (ledger.last_position,),
    "16 bytes": lambda ledger, account: ledger.rng.randrange(200).to_bytes(16, "big"),
    "hash": _constant(bytes(32)),
    "secret": lambda ledger, account: ledger.rng.choice((b"", b"secret", b"guess")),
    "settlement legs": _legs_of_settlement,
    "credential type": lambda ledger, account: ledger.rng.choice(("kyc", "vip")),
    "domain name": lambda ledger, account: ledger.rng.choice(("one", "two", "three")),
    "optional jurisdiction": lambda ledger, account: ledger.rng.choice(("", "CH", "KP")),
    "jurisdictions": lambda ledger, account: ledger.rng.choice(((), ("KP",))),
    "asset codes": lambda ledger, account: ledger.rng.choice(((), (_code(ledger, account),))),
    "tier": lambda ledger, account: ledger.rng.randrange(3),
    "accepted credentials": lambda ledger, account: ((_authority(ledger), "kyc", ledger.rng.randrange(3)),),
    "legal entity identifier": lambda ledger, account: ledger.rng.choice(("5493001KJTIIGC8Y1R12", "7LTWFZYICNSX8D621K86")),
    "key id": lambda ledger, account: ledger.rng.randrange(0, 12),
    "rules of keys": lambda ledger, account: _rules(ledger, account),
    "operations": lambda ledger, account: _operations(ledger, account),
    "place": lambda ledger, account: Place("farm", ledger.rng.randrange(3)),
    "log name": lambda ledger, account: ledger.rng.choice(("node", "teller/1")),
    "limits": lambda ledger, account: _limits(ledger, account),
    "counterparties": lambda ledger, account: _some_accounts(ledger, account),
    "allowed accounts": lambda ledger, account: _some_accounts(ledger, account),
    **GOV_FIELDS,
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


def _scope(ledger: RandomLedger, account: bytes) -> int:
    ledger.last_scope = ledger.rng.choice((1, 2, 3, 4))
    return ledger.last_scope


def _view_scope(ledger: RandomLedger, account: bytes) -> int:
    ledger.last_scope = ledger.rng.choice((0, 1, 2))
    return ledger.last_scope


def _limit(ledger: RandomLedger, account: bytes) -> int:
    """Wide enough that most of the ledger goes on."""
    return ledger.rng.choice((10**9, 10**14, 10**24, 10**40))


_LIMITS: dict[tuple[str, str], Draw] = {
    ("comp.set_limits", "scope"): _scope,
    ("comp.clear_limits", "scope"): _scope,
    ("comp.set_limits", "account"): lambda ledger, account: _suspect(ledger, account) if ledger.last_scope < 3 else b"",
    ("comp.clear_limits", "account"): lambda ledger, account: _suspect(ledger, account) if ledger.last_scope < 3 else b"",
    ("comp.set_limits", "tier"): lambda ledger, account: ledger.rng.randrange(3) if ledger.last_scope == 4 else 0,
    ("comp.clear_limits", "tier"): lambda ledger, account: ledger.rng.randrange(3) if ledger.last_scope == 4 else 0,
    ("comp.set_limits", "per_tx"): _limit,
    ("comp.set_limits", "in_max"): _limit,
    ("comp.set_limits", "out_max"): _limit,
    ("comp.set_limits", "max_balance"): lambda ledger, account: ledger.rng.choice((0, 10**24, 10**40)),
    ("comp.set_limits", "window_s"): lambda ledger, account: ledger.rng.choice((60, 3_600, 86_400)),
    ("comp.set_jurisdictions", "only"): _constant(0),
    ("comp.set_travel_threshold", "amount"): _limit,
    ("comp.recover_holder", "old"): lambda ledger, account: ledger.accounts[-1],
    ("comp.grant_view", "scope"): _view_scope,
    ("comp.revoke_view", "scope"): _view_scope,
    ("comp.grant_view", "account"): lambda ledger, account: _suspect(ledger, account) if ledger.last_scope == 1 else b"",
    ("comp.revoke_view", "account"): lambda ledger, account: _suspect(ledger, account) if ledger.last_scope == 1 else b"",
    ("comp.grant_view", "asset"): lambda ledger, account: _code(ledger, account) if ledger.last_scope == 2 else "",
    ("comp.revoke_view", "asset"): lambda ledger, account: _code(ledger, account) if ledger.last_scope == 2 else "",
    ("kyc.accept", "issuer"): lambda ledger, account: _authority(ledger),
}

# who acts, where anybody else would nearly always be refused
ACTORS: dict[str, Callable[[RandomLedger], bytes]] = {
    **dict.fromkeys(("asset.pause", "asset.unpause", "asset.clawback", "asset.forced_transfer", "asset.set_metadata"), _officer),
    **dict.fromkeys(("asset.recall", "claim.clawback"), lambda ledger: ledger.officers[2]),
    **dict.fromkeys(("comp.freeze", "comp.unfreeze", "comp.authorise"), _officer),
    **dict.fromkeys(("comp.sanction", "comp.unsanction"), _authority),
    **{f"cb.{name}": _issuer for name in ("appoint_dealer", "issue", "inject", "redeem_confirm", "set_rate", "accrue", "overdraft")},
    **{f"cb.{name}": _issuer for name in ("set_reserve_requirement", "close_overdraft", "dismiss_dealer")},
    **{f"cb.{name}": _any_dealer for name in ("redeem_request", "redeem_cancel", "report_liabilities", "repay")},
    **dict.fromkeys(("comp.sanction", "comp.unsanction", "comp.recover_holder", "kyc.issue"), _authority),
    **dict.fromkeys({row for row, _ in _LIMITS if row.startswith("comp.")} | {"comp.register_vasp"}, _authority),
}

HINTS: dict[tuple[str, str], Draw] = {
    **{(f"cb.{name}", "account"): _dealer for name in ("appoint_dealer", "dismiss_dealer", "overdraft", "close_overdraft")},
    **{(f"cb.{name}", "asset"): _own_asset for name in ("appoint_dealer", "issue", "inject", "redeem_request", "set_rate", "accrue")},
    **{(f"cb.{name}", "asset"): _own_asset for name in ("redeem_confirm", "redeem_cancel", "overdraft", "close_overdraft", "repay")},
    **{(f"cb.{name}", "asset"): _own_asset for name in ("report_liabilities", "set_reserve_requirement")},
    ("cb.appoint_dealer", "tier"): lambda ledger, account: ledger.rng.randrange(3),
    ("cb.appoint_dealer", "issue_max"): lambda ledger, account: ledger.rng.choice((0, 10**12)),
    ("cb.appoint_dealer", "window_max"): _constant(10**15),
    ("cb.appoint_dealer", "window_s"): _constant(86_400),
    ("cb.issue", "dealer"): _dealer,
    ("cb.set_rate", "rate_ppm"): _ppm,
    ("cb.set_rate", "effective_from"): _when,
    ("cb.set_reserve_requirement", "tier"): lambda ledger, account: ledger.rng.randrange(3),
    ("cb.set_reserve_requirement", "ratio_ppm"): lambda ledger, account: ledger.rng.choice((0, 10_000, 100_000)),
    ("cb.accrue", "period"): _small_index,
    ("", "request"): _small_index,
    **RECALL_HINTS,
    **_LIMITS,
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
    ("farm.create", "start"): lambda ledger, account: ledger.rng.choice((0, ledger.now + 50)),
    ("farm.create", "end"): lambda ledger, account: ledger.now + ledger.rng.choice((60, 600, 86_400)),
    ("farm.create", "max_stakers"): lambda ledger, account: ledger.rng.choice((0, 0, 3)),
    ("farm.create", "min_stake"): lambda ledger, account: ledger.rng.choice((0, 0, 1_000)),
    ("farm.create", "domain"): lambda ledger, account: ledger.rng.choice(("", "", "", "one")),
    ("farm.fund", "start"): _constant(0),
    ("farm.fund", "extend_to"): lambda ledger, account: ledger.rng.choice((0, 0, ledger.now + 1_000)),
    ("farm.stake", "tier"): lambda ledger, account: ledger.rng.choice((0, 0, 1)),
    ("farm.unstake", "farm"): _farm_of_position,
    ("farm.claim", "farm"): _farm_of_position,
    ("farm.unstake", "position"): lambda ledger, account: ledger.last_position,
    ("", "farm"): _farm,
    ("farm.exit", "position"): _farm_position,
    ("farm.emergency_exit", "position"): _farm_position,
    ("hold.create", "amount"): _little,
    ("hold.post", "amount"): _little,
    ("escrow.create", "hash"): lambda ledger, account: ledger.rng.choice((b"", sha256(b"secret"))),
    ("pay.offer", "give_asset"): _code,
    ("pay.offer", "want_asset"): _code,
    ("pay.offer", "give_amount"): _little,
    ("pay.offer", "want_amount"): _little,
    ("settle.allocate", "terms"): _terms(settlements.compute_terms, SETTLEMENT),
    ("pay.accept", "terms"): _terms(offers.compute_terms, OFFER),
    ("", "hold"): _open(HOLD),
    ("", "escrow"): _open(ESCROW),
    ("", "settlement"): _open(SETTLEMENT),
    ("", "offer"): _open(OFFER),
    ("", "finish_after"): _when,
    ("", "cancel_after"): _when,
    ("", "agent"): lambda ledger, account: b"" if ledger.rng.random() < 0.7 else _account(ledger, account),
    **GOV_HINTS,
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
