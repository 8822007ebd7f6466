"""Checks of holds, escrows, settlements and offers on what was touched, and of the whole state; they know nothing of the handlers.

I3: what an account's holding has `held` is the sum of its open holds, allocated legs and offers, and of what it has pledged to a central
bank or asked it to redeem. I5: the escrows' account holds the open
escrows; every record is settled once; what is paid is no more than what was promised, and it moved from the one to the other of its
accounts to the unit, and nothing beside it. I24: nobody promises for another, nobody agrees for another, and by itself the ledger only
gives back. The lists of accounts have what is open and nothing else. Source: ledger rules, section 3. Nothing here may change a record,
and no arithmetic is shared with the handlers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from state.codes import Code
from state.modules.operation import ESCROWS_ADDRESS, MODULE_ACCOUNTS
from state.primitives.codec import Value
from state.primitives.limits import AMOUNT_MAX
from state.schema import HOLDING, HOLDING_ADDRESS
from state.schema_claims import CLAIM, CLAIM_LIST_KEY_BYTES, CLAIM_OWNER
from state.schema_pending import (
    LIST_ACCOUNT,
    LIST_KEY_BYTES,
    PENDING_KEY_BYTES,
    PENDING_LETTERS,
    Escrow,
    Hold,
    Offer,
    Settled,
    Settlement,
)
from state.schema_treasury import (
    LINE_PREFIX,
    OF_ADDRESS,
    PREFIX_BYTES,
    REDEMPTION_ASSET_START,
    REDEMPTION_PREFIX,
    TREASURY,
)
from state.view import View

_PAID: Final = (Code.PENDING_ALREADY_POSTED, Code.ALREADY_SETTLED)
_GIVEN_BACK: Final = (Code.PENDING_ALREADY_VOIDED, Code.PENDING_EXPIRED)
_ADDRESS_START: Final = 2
_AUDITED: Final = PENDING_LETTERS | {HOLDING, TREASURY}


def _held_by(record: Value) -> list[tuple[bytes, int]]:
    """What an open record keeps held: (owner and asset, amount)."""
    kind = type(record)
    if kind is Hold:
        return [(record.owner + record.asset.encode(), record.amount)]
    if kind is Offer and record.give_asset:
        return [(record.owner + record.give_asset.encode(), record.give_amount)]
    if kind is Settlement:
        return [(leg.sender + leg.asset.encode(), leg.amount) for i, leg in enumerate(record.legs) if record.allocated >> i & 1]
    return []


def _pledged_by(key: bytes, record: Value) -> list[tuple[bytes, int]]:
    """What a central bank's record keeps held: collateral, and what waits to be redeemed."""
    kind = key[:PREFIX_BYTES]
    if kind == LINE_PREFIX:
        return [(key[OF_ADDRESS] + asset.encode(), amount) for asset, amount in record.collateral]
    return [(record.dealer + key[REDEMPTION_ASSET_START:], record.amount)] if kind == REDEMPTION_PREFIX else []


def _owners(record: Value) -> set[bytes]:
    """Every account in whose list an open record stands."""
    kind = type(record)
    if kind is Hold:
        found = {record.owner, record.beneficiary, record.agent}
    elif kind is Settlement:
        found = {record.creator, record.agent} | {leg.sender for leg in record.legs}
    else:
        found = {record.owner, record.recipient}
    return found - {b""}


class _Sums:
    """What the records add up to; `add` with sign -1 takes a record away."""

    def __init__(self) -> None:
        self.held: dict[bytes, int] = {}  # by account and asset: of what is open less what the holding says
        self.escrows: dict[bytes, int] = {}  # by asset: of the open ones less what their account holds
        self.listed: dict[bytes, int] = {}  # by account: what concerns it less the entries of its list
        self.counts: dict[bytes, int] = {}  # by account: entries of its list less its count

    def add(self, key: bytes, record: Value, sign: int) -> None:
        """Count one record."""
        tag = key[1]
        if tag == HOLDING:
            if len(record) > 1:
                _count(self.held, key[_ADDRESS_START:], -sign * record[1])
            if key[HOLDING_ADDRESS] == ESCROWS_ADDRESS:
                _count(self.escrows, key[34:], -sign * record[0])
        elif tag == TREASURY:
            for owner, amount in _pledged_by(key, record):
                _count(self.held, owner, sign * amount)
        elif tag in PENDING_LETTERS:
            if len(key) == LIST_KEY_BYTES:
                _count(self.counts, key[LIST_ACCOUNT], -sign * record[1])
            elif len(key) > LIST_KEY_BYTES:
                _count(self.counts, key[LIST_ACCOUNT], sign)
                _count(self.listed, key[LIST_ACCOUNT], -sign)
            elif type(record) is not Settled:
                self._add_open(record, sign)

    def _add_open(self, record: Value, sign: int) -> None:
        for owner, amount in _held_by(record):
            _count(self.held, owner, sign * amount)
        if type(record) is Escrow:
            _count(self.escrows, record.asset.encode(), sign * record.amount)
        for account in sorted(_owners(record)):
            _count(self.listed, account, sign)

    def find_problem(self) -> str:
        """The first sum that is not zero."""
        if any(self.held.values()):
            return "I3: what is held is not what is promised"
        if any(self.escrows.values()):
            return "I5: the escrows' account does not hold the escrows"
        if any(self.listed.values()) or any(self.counts.values()):
            return "I5: an account's list is not what concerns it"
        return ""


def _count(sums: dict[bytes, int], key: bytes, amount: int) -> None:
    sums[key] = sums.get(key, 0) + amount


def check_pending(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I3, I5 and I24 over the records before (`first`) and now; the empty string if they hold. `account` acts, or None."""
    values = view.values
    is_ours = False
    for key in first:
        if key[1] in PENDING_LETTERS or key[HOLDING_ADDRESS] == ESCROWS_ADDRESS:
            is_ours = True
            break
    if not is_ours:
        return ""  # an automatic action of somebody else
    sums = _Sums()
    moved: dict[bytes, int] = {}  # by account and asset: what it got less what it should have
    for key, before in first.items():
        after = values[key]
        if before is not None:
            sums.add(key, before, -1)
        if after is not None:
            sums.add(key, after, 1)
        tag = key[1]
        if tag == HOLDING and key[HOLDING_ADDRESS] not in MODULE_ACCOUNTS:
            _count(moved, key[_ADDRESS_START:], (after[0] if after is not None else 0) - (before[0] if before is not None else 0))
        elif tag == CLAIM and len(key) > CLAIM_LIST_KEY_BYTES:
            for record, sign in ((before, -1), (after, 1)):
                if record is not None:
                    _count(moved, key[CLAIM_OWNER] + record[0].encode(), sign * record[1])
        elif key[:PREFIX_BYTES] == LINE_PREFIX:  # what a credit line lent, or was repaid with, is no payment
            debt = (after.debt if after is not None else 0) - (before.debt if before is not None else 0)
            _count(moved, key[PREFIX_BYTES:], -debt)
        elif tag in PENDING_LETTERS and len(key) == PENDING_KEY_BYTES:
            problem = _check_step(before, after, account, moved)
            if problem:
                return problem
    if any(moved.values()):
        return "I5: something else was paid than what was promised"
    return sums.find_problem()


def _check_step(before: Value, after: Value, account: bytes | None, moved: dict[bytes, int]) -> str:
    """Whether a record may change like this; what has to be paid for it is taken off `moved`."""
    if before is None:
        return _check_new(after, account, moved)
    if type(before) is Settled:
        return "" if after is None else "I5: something settled was settled again"
    if after is None:
        return "I5: something open vanished"
    if type(after) is Settled:
        return _check_end(before, after, account, moved)
    if type(before) is not Settlement or before._replace(allocated=after.allocated) != after:
        return "I5: the terms of something open changed"
    added = after.allocated ^ before.allocated
    if added & before.allocated or not added or added >> len(before.legs):
        return "I5: a leg was set aside twice"
    if any(added >> i & 1 and leg.sender != account for i, leg in enumerate(before.legs)):
        return "I24: somebody set aside what is another's"
    return ""


def _check_new(after: Value, account: bytes | None, moved: dict[bytes, int]) -> str:
    if type(after) is Settled:
        return "I5: something settled came from nowhere"
    if type(after) is Settlement:
        if after.allocated or any(not 0 < leg.amount <= AMOUNT_MAX for leg in after.legs):
            return "I5: a settlement begins with legs of nothing, or set aside"
        return "" if after.creator == account else "I24: somebody promised for another"
    if type(after) is Escrow:
        _count(moved, after.owner + after.asset.encode(), after.amount)
    is_something = max(after.give_amount, after.want_amount) if type(after) is Offer else after.amount
    if not is_something:
        return "I12: nothing was promised"
    return "" if after.owner == account else "I24: somebody promised for another"


def _check_end(before: Value, after: Settled, account: bytes | None, moved: dict[bytes, int]) -> str:
    kind = type(before)
    if after.code in _GIVEN_BACK:
        if after.amount:
            return "I5: something taken back was paid as well"
        if kind is Escrow:
            _count(moved, before.owner + before.asset.encode(), -before.amount)
        return ""
    if after.code not in _PAID or account is None:
        return "I5: something ended in a way that there is not"
    if kind is Hold:
        if not 0 < after.amount <= before.amount or account not in _owners(before):
            return "I5: more was posted than was held, or by somebody else"
        _pay(moved, before.owner, before.beneficiary, before.asset, after.amount)
    elif kind is Escrow:
        if after.amount != before.amount:
            return "I5: an escrow was paid in part"
        _count(moved, before.recipient + before.asset.encode(), -before.amount)
    elif kind is Offer:
        if account != before.recipient:
            return "I24: somebody agreed for another"
        _pay(moved, before.owner, before.recipient, before.give_asset, before.give_amount)
        _pay(moved, before.recipient, before.owner, before.want_asset, before.want_amount)
    else:
        if before.allocated + 1 != 1 << len(before.legs) or before.agent not in (b"", account):
            return "I24: a settlement was executed that not all had agreed to"
        for leg in before.legs:
            _pay(moved, *leg)
    return ""


def _pay(moved: dict[bytes, int], sender: bytes, recipient: bytes, asset: str, amount: int) -> None:
    _count(moved, sender + asset.encode(), amount)
    _count(moved, recipient + asset.encode(), -amount)


def audit_pending(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit of I3 and I5 over all (key, record); what is wrong, in a stated order."""
    sums = _Sums()
    known = {key: record for key, record in records if key[1] in _AUDITED}
    problems = []
    for key in sorted(known):
        record = known[key]
        sums.add(key, record, 1)
        problem = ""
        if key[1] not in PENDING_LETTERS:
            continue
        if len(key) > LIST_KEY_BYTES:
            problem = _check_entry(known, key, record)
        elif len(key) == LIST_KEY_BYTES:
            problem = _check_list(known, key, record)
        elif type(record) is Settled and record.code not in (*_PAID, *_GIVEN_BACK):
            problem = "I5: something ended in a way that there is not"
        if problem:
            problems.append(f"{problem} ({key.hex()})")
    problem = sums.find_problem()
    return (*problems, problem) if problem else tuple(problems)


def _check_entry(known: Mapping[bytes, Value], key: bytes, entry: Value) -> str:
    """The record that a list names is open and concerns the account, and the neighbours name it back."""
    account, name = key[LIST_ACCOUNT], key[LIST_KEY_BYTES:]
    record = known.get(b" " + name)
    if record is None or type(record) is Settled or account not in _owners(record):
        return "I5: a list names what is not open or does not concern the account"
    before, after = entry
    if before and known[b" Y" + account + before][1] != name:
        return "I5: the entries of a list do not name each other"
    if after and known[b" Y" + account + after][0] != name:
        return "I5: the entries of a list do not name each other"
    return ""


def _check_list(known: Mapping[bytes, Value], key: bytes, record: Value) -> str:
    """Walking along the list finds as many entries as it counts."""
    name, count = record
    walked = 0
    while name and walked <= count:
        name, walked = known[key + name][1], walked + 1
    return "" if walked == count else "I5: a list has not the entries that it counts"
