"""Cross-checks of a genesis document: what the types of single fields cannot say.

Every refusal names the place and the value. Amounts that the document gives out are summed here, so that the first block starts
from a ledger that obeys the supply rules. Nothing is changed or built here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from genesis.document import Document, HoldingEntry, key_kind, keys_to_wire, thresholds_to_wire
from state.modules.accounts import AccountKind, check_new_account, is_satisfiable
from state.modules.assets import FLAGS
from state.modules.fields import read_keys, read_thresholds
from state.modules.table import BY_NAME
from state.params import check_unbonding
from state.params_gov import check_periods
from state.primitives.errors import GenesisError, QenexError
from state.primitives.ids import parse_address
from state.primitives.keys import PUBLIC_KEY_BYTES, KeyKind
from state.primitives.limits import AMOUNT_MAX, POWER_TOTAL_MAX, TIME_NS_MAX
from state.upgrades import VERSION_MAX


def check(document: Document) -> None:
    """Raise `GenesisError` for the first contradiction found."""
    if document.time_ns > TIME_NS_MAX:
        raise GenesisError("genesis_time is beyond the year 9999")
    try:
        document.consensus.to_params()
    except QenexError as error:
        raise GenesisError(f"consensus: {error.message}") from None
    _require_unique("key_kinds", document.key_kinds)
    _require_unique("admitted_node_ids", document.admitted_node_ids)
    accounts = _check_accounts(document)
    assets = _check_assets(document, accounts)
    _check_fees_and_stake(document, assets)
    _check_compliance(document, accounts)
    _check_gov(document, accounts)
    _check_validators(document, accounts)
    _check_supplies(document, accounts, assets)


def voting_power(document: Document, bonded: str) -> int:
    """Voting power of a bond: bond // power unit."""
    return int(bonded) // int(document.stake.power_unit)


def _check_accounts(document: Document) -> set[str]:
    admitted = {int(key_kind(name)) for name in document.key_kinds}
    known: set[str] = set()
    _require_unique("accounts", (entry.address for entry in document.accounts))
    for position, entry in enumerate(document.accounts):
        place = f"accounts[{position}] {entry.address}"
        try:
            keys = read_keys(keys_to_wire(entry))
            thresholds = read_thresholds(thresholds_to_wire(entry))
            parent = parse_address(entry.parent) if entry.parent else b""
            kind = AccountKind[entry.kind.upper()]
            check_new_account(parse_address(entry.address), kind, parent, keys, thresholds)
        except QenexError as error:
            raise GenesisError(f"{place}: {error.message}") from None
        if any(key[1] not in admitted for key in keys):
            raise GenesisError(f"{place}: has a key of a kind that key_kinds does not admit")
        if not is_satisfiable(keys, thresholds):
            raise GenesisError(f"{place}: its keys together do not reach every threshold")
        if entry.parent and entry.parent not in known:
            raise GenesisError(f"{place}: its parent is not among the accounts above it")
        known.add(entry.address)
    return known


def _check_assets(document: Document, accounts: set[str]) -> set[str]:
    _require_unique("assets", (entry.code for entry in document.assets))
    for entry in document.assets:
        place = f"assets {entry.code}"
        _require_amount(f"{place}: max_supply", entry.max_supply)
        _require_account(f"{place}: issuer", entry.issuer, accounts)
        _require_unique(f"{place}: flags", entry.flags)
        _require_unique(f"{place}: minters", (minter.account for minter in entry.minters))
        for flag in entry.flags:
            if flag not in FLAGS:
                raise GenesisError(f"{place}: flag {flag[:32]!r} is unknown", hint="known are: " + ", ".join(FLAGS))
        for minter in entry.minters:
            _require_account(f"{place}: minter", minter.account, accounts)
            if _require_amount(f"{place}: allowance", minter.allowance) == 0:
                raise GenesisError(f"{place}: a minter has an allowance above zero")
    return {entry.code for entry in document.assets}


def _check_fees_and_stake(document: Document, assets: set[str]) -> None:
    fees = document.fees
    for name in fees.base:
        if name not in BY_NAME:
            raise GenesisError(f"fees: base names {name[:48]!r}, which is no operation")
    amounts = [fees.base_default, fees.per_signature, fees.per_byte, *fees.base.values()]
    total = sum(_require_amount("fees", text) for text in amounts)
    if (total or fees.asset) and fees.asset not in assets:
        raise GenesisError(f"fees: asset {fees.asset!r} is not among the assets")
    if document.stake.asset not in assets:
        raise GenesisError(f"stake: asset {document.stake.asset} is not among the assets")
    _require_amount("stake: power_unit", document.stake.power_unit)
    _require_amount("stake: bond_min", document.stake.bond_min)
    try:
        check_unbonding(document.stake.to_params(), document.consensus.to_params())
    except QenexError as error:
        raise GenesisError(f"stake: {error.message}") from None


def _check_compliance(document: Document, accounts: set[str]) -> None:
    _require_unique("compliance: authorities", document.compliance.authorities)
    for address in document.compliance.authorities:
        _require_account("compliance: authority", address, accounts)
    try:
        document.compliance.to_params()
    except QenexError as error:
        raise GenesisError(f"compliance: {error.message}") from None


def _check_gov(document: Document, accounts: set[str]) -> None:
    gov = document.gov
    _require_amount("gov: deposit_min", gov.deposit_min)
    _require_unique("gov: emergency_members", gov.emergency_members)
    for member in gov.emergency_members:
        _require_account("gov: emergency_members", member, accounts)
    if len(gov.emergency_members) == 1:
        raise GenesisError("gov: emergency_members has one member, but any two act: name two or none")
    try:
        check_periods(gov.to_params(), document.consensus.block_interval_ms)
    except QenexError as error:
        raise GenesisError(f"gov: {error.message}") from None
    if document.consensus.app_version > VERSION_MAX:
        raise GenesisError(f"consensus: app_version is a rule set, and this software knows up to {VERSION_MAX}")


def _check_validators(document: Document, accounts: set[str]) -> None:
    entries = document.validators
    if not entries:
        raise GenesisError("validators: a network starts with at least one")
    _require_unique("validators: moniker", (entry.moniker for entry in entries))
    _require_unique("validators: ed25519_key", (entry.ed25519_key for entry in entries))
    _require_unique("validators: pq_key", (entry.pq_key for entry in entries))
    _require_unique("validators: node_id", (entry.node_id for entry in entries))
    total = 0
    for entry in entries:
        place = f"validators {entry.moniker}"
        if entry.pq_kind != document.consensus.vote_key_kind:
            raise GenesisError(
                f"{place}: votes with {entry.pq_kind}, but consensus.vote_key_kind is {document.consensus.vote_key_kind}"
            )
        for name, text, kind in (
            ("ed25519_key", entry.ed25519_key, KeyKind.ED25519),
            ("pq_key", entry.pq_key, key_kind(entry.pq_kind)),
        ):
            if len(text) != 2 * PUBLIC_KEY_BYTES[kind]:
                raise GenesisError(f"{place}: {name} has {len(text) // 2} bytes, not {PUBLIC_KEY_BYTES[kind]}")
        _require_account(f"{place}: owner", entry.owner, accounts)
        _require_amount(f"{place}: bonded", entry.bonded)
        power = voting_power(document, entry.bonded)
        if power == 0:
            raise GenesisError(f"{place}: bonds {entry.bonded}, less than one power unit of {document.stake.power_unit}")
        total += power
    if total > POWER_TOTAL_MAX:
        raise GenesisError(f"validators: total voting power {total} exceeds {POWER_TOTAL_MAX}", hint="raise stake.power_unit")


def _check_supplies(document: Document, accounts: set[str], assets: set[str]) -> None:
    holdings: tuple[HoldingEntry, ...] = document.holdings
    _require_unique("holdings", ((entry.account, entry.asset) for entry in holdings))
    supplies = dict.fromkeys((entry.code for entry in document.assets), 0)
    supplies[document.stake.asset] += sum(int(entry.bonded) for entry in document.validators)
    for entry in holdings:
        _require_account("holdings: account", entry.account, accounts)
        if entry.asset not in assets:
            raise GenesisError(f"holdings: asset {entry.asset} is not among the assets")
        amount = _require_amount(f"holdings of {entry.account}", entry.amount)
        if amount == 0:
            raise GenesisError(f"holdings of {entry.account}: {entry.asset} is zero", hint="leave the entry out")
        supplies[entry.asset] += amount
    for asset in document.assets:
        bound = int(asset.max_supply) or AMOUNT_MAX
        if supplies[asset.code] > bound:
            raise GenesisError(f"assets {asset.code}: {supplies[asset.code]} are given out, more than {bound}")


def _require_unique(place: str, items: Iterable[Hashable]) -> None:
    seen: set[Hashable] = set()
    for item in items:
        if item in seen:
            raise GenesisError(f"{place}: {item} occurs twice")
        seen.add(item)


def _require_account(place: str, address: str, accounts: set[str]) -> None:
    if address not in accounts:
        raise GenesisError(f"{place} {address} is not among the accounts")


def _require_amount(place: str, text: str) -> int:
    amount = int(text)
    if amount > AMOUNT_MAX:
        raise GenesisError(f"{place}: {text[:24]}... is not below 2^640")
    return amount
