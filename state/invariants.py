"""Checks that run after every transaction on what it touched, and know nothing of the handlers.

They read the view's undo log (what was there before) and its records (what is there now), so a handler that is wrong cannot
also be wrong here. A broken invariant reverts the transaction with 203, keeps its fee and trips the breaker of its module.
Checked: I1 conservation; I2 no negative holding, no foreign hand on a module account, no record of a kind that the operation's row
does not name; I3 what can be spent is not negative; I4 supply within its maximum, minting within the allowance; I12 no success
without effect; I23 one sequence per transaction; I24 whoever is debited or re-keyed authorised it; I25 the fee. Source: ledger rules,
section 3. Those of a module's own records are in `state.invariants_*`, I26 in `_compliance`, I27 in `_limits`. Nothing here may
change a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from state.invariants_accounts import check_accounts, is_confirmed_change
from state.invariants_amm import check_amm
from state.invariants_audit import check_anchors
from state.invariants_claims import check_claims
from state.invariants_compliance import check_compliance, check_definition
from state.invariants_farm import check_farm
from state.invariants_gov import check_gov
from state.invariants_limits import GATE_LETTERS, check_acts, check_kyc, check_limits, check_rules
from state.invariants_pending import check_pending
from state.invariants_recall import check_recall
from state.invariants_staking import check_staking
from state.invariants_treasury import (
    BREACH,
    MOVED_LETTERS,
    check_moves,
    check_treasury,
    has_moved_debt,
    is_moved_record,
)
from state.marks import DEBIT_FROZEN, DEEP_FROZEN, HOLDING_LIMITED, SANCTIONED, TREASURY_MARKS, UNFREEZABLE
from state.modules.accounts import AccountKind
from state.modules.gate import read_holding
from state.modules.operation import FEES_ADDRESS, MODULE_ACCOUNTS, Level, Operation
from state.primitives.codec import Value
from state.primitives.limits import AMOUNT_MAX
from state.schema import (
    ACCOUNT,
    ASSET,
    HOLDING,
    HOLDING_ADDRESS,
    HOLDING_CODE_START,
    HOLDING_PREFIX,
    MINTER,
    NONCES,
    SUPPLY,
    asset_key,
    nonces_key,
)
from state.schema_accounts import POLICY
from state.schema_amm import POSITION as POOL_SHARES
from state.schema_claims import CLAIM
from state.schema_freezes import MARKED_KEY
from state.schema_kyc import OVERSIGHT
from state.schema_treasury import TREASURY
from state.transaction import Call, Transaction
from state.view import View

# what a module's own records must satisfy: (view, records before, acting account or None) -> the first that is broken, or nothing
_OF_MODULE: Final[dict[str, Callable[[View, Mapping[bytes, Value], bytes | None], str]]] = {
    "stake": check_staking,
    "amm": check_amm,
    "claim": check_claims,
    "farm": check_farm,
    "farm_exit": check_farm,
    "hold": check_pending,
    "escrow": check_pending,
    "settle": check_pending,
    "pay": check_pending,
    "cb": check_treasury,
    "kyc": check_kyc,
    "limits": check_rules,
    "account": check_accounts,
    "gov": check_gov,
    "audit": check_anchors,
    "recall": check_recall,
}
# the same for records that the operations of several modules write
_OF_LETTER: Final = {CLAIM: check_claims, OVERSIGHT: check_acts}
_SHARED: Final = frozenset(_OF_LETTER)
_NOTHING: Final[tuple[int, ...]] = (0,)
_OTHERS: Final = frozenset({ACCOUNT, MINTER, POLICY, ASSET})  # of which `_check_other` knows a rule
_OF_POLICIES: Final = frozenset({ACCOUNT, POLICY})
RESTRICTIONS: Final = DEBIT_FROZEN | DEEP_FROZEN | SANCTIONED | UNFREEZABLE  # nobody sets or clears them for himself


def check_charge(view: View, tx: Transaction, fee: int, fee_code: bytes) -> str:
    """I23 and I25, after nonce and fee and before the first operation; the empty string if they hold.

    The fee is within what its payer consented to, left the payer and arrived at the fee account; the sequence rose by one.
    """
    if fee > tx.max_fee:
        return "I25: the fee exceeds max_fee"
    expected = (
        {HOLDING_PREFIX + tx.fee_payer + fee_code: -fee, HOLDING_PREFIX + FEES_ADDRESS + fee_code: fee} if fee else {}
    )
    values = view.values
    own_nonces = nonces_key(tx.sender)
    advanced = 0
    for key, before in view.undo:
        tag = key[1]
        if tag == HOLDING:
            if expected.pop(key, None) != (values[key] or _NOTHING)[0] - (before or _NOTHING)[0]:
                return "I25: something else than the fee was charged"
        elif tag == NONCES:
            if key != own_nonces or not _has_advanced(before, values[key], tx.lane, tx.seq):
                return "I23: the sequence did not rise by exactly one"
            advanced += 1
    if expected:
        return "I25: the fee was not charged"
    if advanced != (0 if tx.is_unordered else 1):
        return "I23: a sequence was not used up"
    return ""


def _has_advanced(before: Value, after: Value, lane: int, sequence: int) -> bool:
    """Whether exactly this lane rose, from `sequence` to the next."""
    old = before or ()
    if after is None or lane >= len(after) or after[lane] != sequence + 1 or (old[lane] if lane < len(old) else 0) != sequence:
        return False
    rest = old + (0,) * (len(after) - len(old))
    return bool(after[:lane] == rest[:lane] and after[lane + 1 :] == rest[lane + 1 :])


def check_operation(view: View, mark: int, call: Call, time_s: int | None = None) -> str:
    """I1 to I4, I12, I24 and I26 over what one operation wrote since `mark`; the empty string if they hold, else which one broke.

    `time_s` is the block's; without it freezes that have an end are not held against anybody. What was done
    by a grant is checked further in `state.invariants_accounts`.
    """
    operation, account, args = call
    authorised: tuple[bytes, ...] = (account,) if operation.level >= Level.MEDIUM else ()
    if operation.authorities is not None:
        authorised += tuple([other for other, _ in operation.authorities(account, args)])
    values = view.values
    first = dict(reversed(view.undo[mark:]))  # the earliest entry of a key wins
    drift: dict[bytes, int] = {}
    moved = is_limited = False
    is_followed = False  # a central bank's records were written beside the holdings they follow
    for key, before in first.items():
        after = values[key]
        tag = key[1]
        if tag not in operation.writes:
            if tag in GATE_LETTERS and HOLDING in operation.writes:
                is_limited = True
                continue
            if not is_moved_record(key, first, operation.writes):
                return "I2: an operation wrote a record that is not its own"
            is_followed = True
        if tag == HOLDING:
            balance = after[0] if after is not None else 0
            delta = balance - (before[0] if before is not None else 0)
            if not 0 <= balance <= AMOUNT_MAX:
                return "I2: a holding is out of range"
            address = key[HOLDING_ADDRESS]
            held_delta = 0
            if (after is not None and len(after) > 1) or (before is not None and len(before) > 1):
                held = read_holding(after)[1]
                if not 0 <= held <= balance:
                    return "I3: more is held than there is"
                held_delta = held - read_holding(before)[1]
                is_followed = is_followed or bool((read_holding(after)[2] | read_holding(before)[2]) & TREASURY_MARKS)
                is_limited = is_limited or bool(read_holding(after)[2] & HOLDING_LIMITED)
            if delta or held_delta:
                moved = True
            if address in MODULE_ACCOUNTS:
                if MODULE_ACCOUNTS[address] not in operation.touches:
                    return "I2: a module account changed by a foreign operation"
            elif (delta < held_delta or held_delta > 0) and address not in authorised and not operation.forces:
                # what is held was promised before, with a signature: that may be paid without a new one, and nothing beside it
                return "I24: an account was debited without its authorisation"
            code = key[HOLDING_CODE_START:]
            drift[code] = drift.get(code, 0) + delta
        elif tag == SUPPLY:
            supply = after[0] if after is not None else 0
            drift[key[2:]] = drift.get(key[2:], 0) - supply + (before[0] if before is not None else 0)
            problem = _check_supply(view, key, supply)
            if problem:
                return problem
        else:
            moved = moved or tag == POOL_SHARES  # they are staked without a holding being moved
            if tag in _OTHERS:
                problem = _check_other(view, key, before, after, _with_confirmed(view, first, key, authorised, time_s), operation)
                if problem:
                    return problem
    for delta in drift.values():
        if delta:
            return "I1: an asset was not conserved"
    if operation.moves_value and not moved and not has_moved_debt(first, values):
        return "I12: an operation succeeded without effect"
    if is_limited:
        problem = check_limits(view, first, operation.forces)
        if problem:
            return problem
    if values[MARKED_KEY] is not None or operation.forces or MARKED_KEY in first:
        problem = check_compliance(view, first, operation, time_s)
        if problem:
            return problem
    if is_followed:
        problem = _check_followed(view, first, operation, authorised)
        if problem:
            return problem
    return _check_modules(view, first, operation, account) if operation.module in _OF_MODULE or operation.writes & _SHARED else ""


def _check_modules(view: View, first: Mapping[bytes, Value], operation: Operation, account: bytes) -> str:
    """What the operation's module checks by itself, and whoever else has a part in the records that it writes."""
    check_module = _OF_MODULE.get(operation.module)
    problem = "" if check_module is None else check_module(view, first, account)
    if problem or not operation.writes & _SHARED:
        return problem
    return next((p for letter, check in _OF_LETTER.items() if letter in operation.writes and (p := check(view, first, account))), "")


def _with_confirmed(
    view: View, first: Mapping[bytes, Value], key: bytes, authorised: tuple[bytes, ...], time_s: int | None
) -> tuple[bytes, ...]:
    """Who has authorised what is written under `key`: also an account whose own waiting change is confirmed."""
    if key[1] in _OF_POLICIES and key[2:34] not in authorised and is_confirmed_change(view, first, key[2:34], time_s):
        return (*authorised, key[2:34])
    return authorised


def _check_followed(view: View, first: Mapping[bytes, Value], operation: Operation, authorised: tuple[bytes, ...]) -> str:
    """What an operation of another module did to the records of a central bank, by way of marked holdings."""
    if operation.module == "cb":
        return ""
    problem = check_moves(view, first, authorised, is_supply_free=SUPPLY in operation.writes)
    return BREACH + problem if problem else ""


def find_module(problem: str, operation: Operation) -> str:
    """Whose breaker trips: that of the operation's module, unless it is a central bank's records that its debits or credits broke."""
    return "cb" if problem.startswith(BREACH) else operation.module


def check_action(view: View, mark: int, letters: frozenset[int], *, time_s: int | None = None) -> str:
    """I1 to I4, I26, and those of every module, over what an automatic action wrote since `mark`; the empty string if they hold.

    `letters` are those of the records that it may write. Nobody acts, so no account may lose what is not held.
    """
    values = view.values
    first = dict(reversed(view.undo[mark:]))
    drift: dict[bytes, int] = {}
    is_limited = False
    for key, before in first.items():
        after = values[key]
        tag = key[1]
        if tag in GATE_LETTERS and HOLDING in letters:
            is_limited = True
        elif tag not in letters and not is_moved_record(key, first, letters):
            return "I2: an automatic action wrote a record that is not its own"
        if tag == HOLDING:
            balance, held, marks = read_holding(after)
            is_limited = is_limited or bool(marks & HOLDING_LIMITED)
            balance_before, held_before, _ = read_holding(before)
            if not 0 <= held <= balance <= AMOUNT_MAX:
                return "I2: a holding is out of range"
            if key[HOLDING_ADDRESS] not in MODULE_ACCOUNTS and (
                held > held_before or balance - held < balance_before - held_before
            ):
                return "I24: an automatic action debited an account"
            code = key[HOLDING_CODE_START:]
            drift[code] = drift.get(code, 0) + balance - balance_before
        elif tag == SUPPLY:
            supply = after[0] if after is not None else 0
            drift[key[2:]] = drift.get(key[2:], 0) - supply + (before[0] if before is not None else 0)
            problem = _check_supply(view, key, supply)
            if problem:
                return problem
    if any(drift.values()):
        return "I1: an asset was not conserved"
    if values[MARKED_KEY] is not None or MARKED_KEY in first:
        problem = check_compliance(view, first, None, time_s)
        if problem:
            return problem
    if is_limited:
        problem = check_limits(view, first, False)
        if problem:
            return problem
    if TREASURY not in letters and any(key[1] in MOVED_LETTERS for key in first):
        problem = check_moves(view, first, (), is_supply_free=SUPPLY in letters)
        if problem:
            return BREACH + problem
    for check_module in dict.fromkeys(_OF_MODULE.values()):
        problem = check_module(view, first, None)
        if problem:
            return problem
    return ""


def _check_supply(view: View, key: bytes, supply: int) -> str:
    asset = view.get(asset_key(key[2:].decode("ascii")))
    if asset is None or not 0 <= supply <= (asset[1] or AMOUNT_MAX):
        return "I4: a supply is out of range"
    return ""


def _check_other(
    view: View, key: bytes, before: Value, after: Value, authorised: tuple[bytes, ...], operation: Operation
) -> str:
    tag = key[1]
    if tag == ACCOUNT:
        if after is None:
            return "I24: an account vanished"
        if before is not None:
            if before[:4] != after[:4] and key[2:] not in authorised and not operation.forces:
                return "I24: an account's policy changed without its authorisation"
            changed = before[4] ^ after[4]
            if changed & ~operation.marks & (RESTRICTIONS if key[2:] in authorised else -1):
                return "I24: an account's marks changed without its authorisation"
        if after[0] == AccountKind.GROUP:
            if after[2] or min(after[3]) < 1:
                return "I24: a group has keys, or would need none"
        elif sum(entry[3] for entry in after[2]) < max(after[3]):
            return "I24: an account's policy can no longer be satisfied"
    elif tag == MINTER:
        allowance, minted = after or (0, 0)
        old_allowance, old_minted = before or (0, 0)
        if not 0 <= old_minted <= minted <= allowance or (allowance != old_allowance and ASSET not in operation.writes):
            return "I4: minting beyond the allowance"
        if minted != old_minted and (allowance != old_allowance or key[2:34] not in authorised):
            return "I24: an allowance was used without its minter's authorisation"
        if allowance != old_allowance and view.values[b" A" + key[34:]][3] not in authorised:
            return "I24: an allowance was granted without the issuer's authorisation"
    elif tag == POLICY and key[2:34] not in authorised and not operation.forces:
        return "I24: an account's policy changed without its authorisation"
    elif tag == ASSET and before is not None:
        return check_definition(view, key, before, after, authorised)
    return ""


def check_asset_totals(holdings: dict[str, int], supplies: dict[str, int]) -> tuple[str, ...]:
    """Whole-state audit of I1: the codes whose holdings, summed by the caller, differ from their supply; sorted."""
    return tuple(code for code in sorted(holdings.keys() | supplies.keys()) if holdings.get(code, 0) != supplies.get(code, 0))
