"""Checks of central banks on what an operation touched, and of the whole state; they know nothing of the handlers.

I1: an operation of a central bank changes the supply by what it issues, redeems, accrues, draws and repays, and every other operation by
what its debits draw and its credits repay. I4: what is minted for good is minted within the issuer's allowance. The debts of credit lines
are what was drawn. What a central bank holds in place is its open redemptions and the collateral of its lines. Interest is what each
dealer's balance earned at the index, to the last part, and is paid out of it. The rate has no past but the one that was announced. I24:
debts rise only by who owes them, requests come only from their dealer. Source: ledger rules, sections 3 and 6. Nothing here may change a
record, and no arithmetic is shared with the handlers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from state.marks import OVERDRAWN, RESERVE
from state.modules.gate import read_holding
from state.primitives.codec import Value
from state.primitives.limits import AMOUNT_MAX, CREDIT_LINES_MAX, DEALERS_MAX, PPM
from state.schema import HOLDING, MINTER, SUPPLY
from state.schema_treasury import (
    BANK_PREFIX,
    DEALER_PREFIX,
    DEALERS_PREFIX,
    LINE_PREFIX,
    LINES_PREFIX,
    NO_BANK,
    OF_ADDRESS,
    OF_ASSET_START,
    PREFIX_BYTES,
    REDEMPTION_ASSET_START,
    REDEMPTION_PREFIX,
    TREASURY_LETTERS,
    Bank,
    CreditLine,
    Dealer,
)
from state.view import View

PARTS: Final = PPM * 365 * 24 * 3_600  # of a base unit, in which interest is owed
BREACH: Final = "central bank: "  # begins what `check_moves` finds: the breaker of this module trips, not that of the operation's
MOVED_LETTERS: Final = TREASURY_LETTERS | {SUPPLY}  # what a debit or a credit of a marked holding may write beside it
_MINTER_ASSET_START: Final = 34
# lists of addresses -> the records of those, and how many there may be
_LISTS: Final = {DEALERS_PREFIX: (DEALER_PREFIX, DEALERS_MAX), LINES_PREFIX: (LINE_PREFIX, CREDIT_LINES_MAX)}
_First = Mapping[bytes, Value]


def _raise(sums: dict[bytes, int], code: bytes, amount: int) -> None:
    sums[code] = sums.get(code, 0) + amount


class _Sums:
    """What the records add up to, by asset; `add` with sign -1 takes a record away."""

    def __init__(self) -> None:
        self.supply: dict[bytes, int] = {}  # less what the central bank says of it
        self.minted: dict[bytes, int] = {}  # of allowances, less what was issued and accrued
        self.drawn: dict[bytes, int] = {}  # less the debts
        self.held: dict[bytes, int] = {}  # by address and asset, in holdings
        self.pledged: dict[bytes, int] = {}  # by address and asset: redemptions and collateral

    def add(self, key: bytes, record: Value, sign: int) -> None:
        """Count one record."""
        tag, kind = key[1], key[:PREFIX_BYTES]
        if tag == HOLDING:
            if len(record) > 1:
                _raise(self.held, key[2:], sign * record[1])
        elif tag == SUPPLY:
            _raise(self.supply, key[2:], sign * record[0])
        elif tag == MINTER:
            _raise(self.minted, key[_MINTER_ASSET_START:], sign * record[1])
        elif kind == BANK_PREFIX:
            code = key[PREFIX_BYTES:]
            for_good = record.issued + record.accrued
            _raise(self.supply, code, -sign * (for_good - record.redeemed + record.drawn))
            _raise(self.minted, code, -sign * for_good)
            _raise(self.drawn, code, sign * record.drawn)
        elif kind == LINE_PREFIX:
            _raise(self.drawn, key[OF_ASSET_START:], -sign * record.debt)
            for asset, amount in record.collateral:
                _raise(self.pledged, key[OF_ADDRESS] + asset.encode("ascii"), sign * amount)
        elif kind == REDEMPTION_PREFIX:
            _raise(self.pledged, record.dealer + key[REDEMPTION_ASSET_START:], sign * record.amount)


def _sum_changes(first: _First, values: _First) -> _Sums:
    sums = _Sums()
    for key, before in first.items():
        after = values[key]
        if before is not None:
            sums.add(key, before, -1)
        if after is not None:
            sums.add(key, after, 1)
    return sums


def check_treasury(view: View, first: _First, account: bytes | None) -> str:
    """All of the above over the records before (`first`) and now; the empty string if they hold. `account` acts, or None.

    When nobody acts, supplies and what is held may change by what is not a central bank's.
    """
    values = view.values
    sums = _sum_changes(first, values)
    if account is None:
        if not any(key[1] in TREASURY_LETTERS for key in first):
            return ""
        sums.supply, sums.minted = {}, {}
        sums.pledged = {pair: amount for pair, amount in sums.pledged.items() if amount}
        sums.held = {pair: sums.held.get(pair, 0) for pair in sums.pledged}
    if any(sums.supply.values()):
        return "I1: a supply changed by something else than its central bank says"
    if any(sums.minted.values()):
        return "I4: what a central bank minted is not within its allowance"
    if any(sums.drawn.values()):
        return "I1: the debts of credit lines are not what was drawn"
    for pair, amount in sums.pledged.items():
        _raise(sums.held, pair, -amount)
    if any(sums.held.values()):
        return "I3: what is held is not what is pledged or asked to be redeemed"
    for key, before in first.items():
        problem = _check_record(key, before, values[key], account)
        if problem:
            return problem
    return _check_interest(first, values) or check_marks(first, values)


def _check_record(key: bytes, before: Value, after: Value, account: bytes | None) -> str:
    kind = key[:PREFIX_BYTES]
    if kind == BANK_PREFIX:
        return _check_bank(before or NO_BANK, after)
    if kind == LINE_PREFIX:
        if after is None:
            return "I1: a credit line vanished with its debt" if before.debt else ""
        if after.debt > (before.debt if before is not None else 0) and key[OF_ADDRESS] != account:
            return "I24: a debt rose without the account that owes it"
        return check_line(after, before)
    if kind == REDEMPTION_PREFIX:
        if after is not None and (before is not None or after.dealer != account):
            return "I24: a redemption was asked for by somebody else, or changed"
        return "" if after is None or 0 < after.amount <= AMOUNT_MAX else "I2: a redemption is out of range"
    if kind == DEALER_PREFIX and after is not None:
        return check_dealer(after, before)
    return ""


def _check_bank(before: Bank, after: Bank | None) -> str:
    if after is None:
        return "I1: a central bank's books vanished"
    if after.issued < before.issued or after.redeemed < before.redeemed or after.accrued < before.accrued or after.drawn < 0:
        return "I1: what a central bank has done was undone"
    if after.requests < before.requests or after.period not in (before.period, before.period + 1):
        return "I5: a number was used twice"
    if after.accrued > before.accrued and after.period != before.period + 1:
        return "I17: interest was paid without a period"
    return _check_rate(before, after)


def _check_rate(before: Bank, after: Bank) -> str:
    elapsed_s = after.acc_s - before.acc_s
    at, rate = after.acc_s, before.rate_ppm
    if before.next_s and before.next_s <= after.acc_s:
        at, rate = before.next_s, before.next_ppm
    due = before.rate_ppm * (at - before.acc_s) + rate * (after.acc_s - at)
    if elapsed_s < 0 or after.acc - before.acc != due or after.rate_ppm != rate:
        return "I17: interest was counted at a rate that was not announced"
    if after.next_s and after.next_s <= after.acc_s:
        return "I17: a rate was announced for the past"
    return ""


def check_line(line: CreditLine, before: CreditLine | None = None) -> str:
    """What is true of a credit line: no debt below zero, none above the limit but that of a limit lowered since."""
    if not 0 <= line.limit <= AMOUNT_MAX or line.debt < 0 or bool(line.debt) != bool(line.drawn_s):
        return "I3: a credit line is out of range"
    if line.debt > line.limit and (before is None or line.debt > before.debt):
        return "I3: a debt exceeds its limit"
    return ""


def check_dealer(dealer: Dealer, before: Dealer | None = None) -> str:
    """What is true of a dealer: numbers in range, an index that does not fall, limits kept when something was issued."""
    if min(dealer.issue_max, dealer.window_max, dealer.used, dealer.liabilities, dealer.base, dealer.owed) < 0:
        return "I2: a dealer's numbers are out of range"
    if not dealer.is_active and dealer.base:
        return "I17: a dismissed dealer goes on earning"
    if before is None:
        return "" if not dealer.owed and not dealer.used else "I15: a new dealer has earned already"
    if dealer.ref < before.ref:
        return "I17: a dealer's interest was counted backwards"
    is_issue = (dealer.used, dealer.window_start_s) != (before.used, before.window_start_s) and dealer.used > 0
    return "I27: a dealer got more than his limit" if is_issue and dealer.used > dealer.window_max else ""


def _check_interest(first: _First, values: _First) -> str:
    """By asset: what was owed and earned since is owed still or was paid; a dismissed dealer may lose less than a unit."""
    rest: dict[bytes, int] = {}
    removed: dict[bytes, int] = {}
    for key, before in first.items():
        after = values[key]
        if key[:PREFIX_BYTES] == DEALER_PREFIX:
            code = key[OF_ASSET_START:]
            if before is not None:
                _raise(rest, code, before.owed)
            if after is None:
                _raise(removed, code, 1)
            else:
                earned = before.base * (after.ref - before.ref) if before is not None else 0
                _raise(rest, code, earned - after.owed)
        elif key[:PREFIX_BYTES] == BANK_PREFIX:
            _raise(rest, key[PREFIX_BYTES:], -PARTS * (after.accrued - (before or NO_BANK).accrued))
    for code, parts in rest.items():
        if not 0 <= parts <= removed.get(code, 0) * (PARTS - 1):
            return "I14: interest is not what the dealers' balances have earned"
    return ""


def check_marks(first: _First, values: _First) -> str:
    """Dealers and credit lines are known by the marks of their holdings, and interest counts what is held."""
    for key in first:
        kind = key[:PREFIX_BYTES]
        if kind in (DEALER_PREFIX, LINE_PREFIX):
            pair = key[PREFIX_BYTES:]
        elif key[1] == HOLDING and any(record is not None and len(record) > 1 for record in (first[key], values[key])):
            pair = key[2:]
        else:
            continue
        balance, _, marks = read_holding(values[b" h" + pair])
        dealer, line = values[DEALER_PREFIX + pair], values[LINE_PREFIX + pair]
        is_dealer = dealer is not None and dealer.is_active
        if is_dealer != bool(marks & RESERVE) or (line is not None) != bool(marks & OVERDRAWN):
            return "I3: a holding's mark and its central bank's record differ"
        if is_dealer and dealer.base != balance:
            return "I14: interest does not follow a dealer's balance"
    return ""


def is_moved_record(key: bytes, first: _First, letters: frozenset[int]) -> bool:
    """Whether a debit or a credit of a marked holding, which `letters` allow, may have written this record beside it."""
    if HOLDING not in letters or key[1] not in MOVED_LETTERS:
        return False
    return key[1] != SUPPLY or BANK_PREFIX + key[2:] in first


def has_moved_debt(first: _First, values: _First) -> bool:
    """Whether a debt changed: what an account gets may leave its balance as it was, when all of it repays."""
    changed = ((first[key], values[key]) for key in first if key[:PREFIX_BYTES] == LINE_PREFIX)
    return any(before is not None and after is not None and before.debt != after.debt for before, after in changed)


def check_moves(view: View, first: _First, authorised: tuple[bytes, ...], *, is_supply_free: bool) -> str:
    """What an operation of another module did to central banks' records: draws of its debits, repayments of its credits, no more.

    `is_supply_free`: the operation may change supplies by itself.
    """
    values = view.values
    sums = _sum_changes(first, values)
    if any(sums.drawn.values()):
        return "I1: the debts of credit lines are not what was drawn"
    if not is_supply_free and any(sums.supply.values()):
        return "I1: a supply changed by something else than a credit line"
    for key, before in first.items():
        if key[1] in TREASURY_LETTERS:
            problem = _check_move(key, before, values[key], authorised)
            if problem:
                return problem
    return check_marks(first, values)


def _check_move(key: bytes, before: Value, after: Value, authorised: tuple[bytes, ...]) -> str:
    kind = key[:PREFIX_BYTES]
    if before is None or after is None:
        return "I2: an operation wrote a record that is not its own"
    if kind == BANK_PREFIX:
        is_same = after._replace(drawn=before.drawn) == before
    elif kind == LINE_PREFIX:
        is_same = after._replace(debt=before.debt, drawn_s=before.drawn_s) == before
        if after.debt > before.debt and key[OF_ADDRESS] not in authorised:
            return "I24: a debt rose without the account that owes it"
        problem = check_line(after, before)
        if problem:
            return problem
    elif kind == DEALER_PREFIX:
        is_same = after._replace(base=before.base, ref=before.ref, owed=before.owed) == before
        if after.ref < before.ref or after.owed != before.owed + before.base * (after.ref - before.ref):
            return "I14: interest is not what the dealers' balances have earned"
    else:
        is_same = False
    return "" if is_same else "I2: an operation wrote a record that is not its own"


def audit_treasury(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit over all (key, record); what is wrong, in a stated order."""
    wanted = TREASURY_LETTERS | {HOLDING}
    known = {key: record for key, record in records if key[1] in wanted}
    sums = _Sums()
    problems = []
    for key in sorted(known):
        record = known[key]
        sums.add(key, record, 1)
        problem = _audit_record(key, record, known)
        if problem:
            problems.append(f"{problem} ({key.hex()})")
    for code in sorted(sums.drawn):
        if sums.drawn[code]:
            problems.append(f"I1: the debts of credit lines are not what was drawn ({code.decode('ascii')})")
    for pair in sorted(sums.pledged):
        if sums.pledged[pair] > sums.held.get(pair, 0):
            problems.append(f"I3: less is held than is pledged or asked to be redeemed ({pair.hex()})")
    return tuple(problems)


def _audit_record(key: bytes, record: Value, known: _First) -> str:
    kind, pair = key[:PREFIX_BYTES], key[PREFIX_BYTES:]
    if key[1] == HOLDING:
        _, _, marks = read_holding(record)
        dealer = known.get(DEALER_PREFIX + key[2:])
        if bool(marks & RESERVE) != (dealer is not None and dealer.is_active):
            return "I3: a holding's mark and its central bank's record differ"
        return "" if bool(marks & OVERDRAWN) == (LINE_PREFIX + key[2:] in known) else "I3: a holding's mark without a credit line"
    if kind in _LISTS:
        of_each, most = _LISTS[kind]
        in_order = list(record) == sorted(set(record)) and len(record) <= most
        return "" if in_order and all(of_each + one + pair in known for one in record) else "I3: a list of dealers or lines is wrong"
    if kind == DEALER_PREFIX:
        asset, address = key[OF_ASSET_START:], key[OF_ADDRESS]
        if address not in (known.get(DEALERS_PREFIX + asset) or ()) or BANK_PREFIX + asset not in known:
            return "I3: a dealer is not on his list"
        if record.is_active and record.base != read_holding(known.get(b" h" + pair))[0]:
            return "I14: interest does not follow a dealer's balance"
        return check_dealer(record, record)
    if kind == LINE_PREFIX:
        if key[OF_ADDRESS] not in (known.get(LINES_PREFIX + key[OF_ASSET_START:]) or ()):
            return "I3: a credit line is not on its list"
        return check_line(record, record)
    return ""
