"""The audit of a whole state: every unit of every asset found again, every record within its bounds, every module's sums.

One pass over the records; kept in memory is what modules add up, not the plain holdings of people. What each module checks is in its
`state.invariants_*`. Pure: where the records come from is the caller's. Source: ledger rules, section 3 (I1 to I6, I14, I19, I22).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from state.invariants import check_asset_totals
from state.invariants_accounts import audit_accounts
from state.invariants_amm import audit_amm
from state.invariants_audit import audit_anchors
from state.invariants_claims import audit_claims
from state.invariants_compliance import audit_compliance
from state.invariants_farm import audit_farm
from state.invariants_gov import audit_gov
from state.invariants_limits import audit_kyc
from state.invariants_pending import audit_pending
from state.invariants_staking import audit_staking
from state.invariants_treasury import audit_treasury
from state.modules.accounts import AccountKind
from state.modules.gate import read_holding
from state.modules.operation import MODULE_ACCOUNTS
from state.primitives.codec import Value
from state.primitives.limits import AMOUNT_MAX
from state.schema import (
    ACCOUNT,
    ASSET,
    CALENDAR,
    CALENDAR_KEY,
    HOLDING,
    HOLDING_ADDRESS,
    HOLDING_CODE_START,
    MINTER,
    NONCES,
    SUPPLY,
)

Records = Iterable[tuple[bytes, Value]]

# module -> what is wrong in all its records; each is given every record that is not a plain account, sequence or holding of somebody
AUDITS: Final[tuple[tuple[str, Callable[[Records], tuple[str, ...]]], ...]] = (
    ("stake", audit_staking),
    ("amm", audit_amm),
    ("claim", audit_claims),
    ("comp", audit_compliance),
    ("farm", audit_farm),
    ("pending", audit_pending),
    ("cb", audit_treasury),
    ("kyc", audit_kyc),
    ("account", audit_accounts),
    ("gov", audit_gov),
    ("audit", audit_anchors),
)

_CALENDAR_MINUTE_BYTES: Final = 10


class Audit(NamedTuple):
    """The outcome: how many records, the supply of each asset, the holdings of each that were found, and what is wrong."""

    records: int
    supplies: dict[str, int]
    holdings: dict[str, int]
    problems: tuple[str, ...]


class _Pass:
    """One pass over the records."""

    def __init__(self) -> None:
        self.count = 0
        self.holdings: dict[str, int] = {}
        self.supplies: dict[str, int] = {}
        self.maxima: dict[str, int] = {}
        self.kept: list[tuple[bytes, Value]] = []
        self.problems: list[str] = []
        self.waiting = 0  # entries of the calendar less what it says
        self.minutes: dict[bytes, int] = {}

    def add(self, key: bytes, record: Value) -> None:
        """Look at one record."""
        self.count += 1
        tag = key[1]
        if tag == HOLDING:
            self._add_holding(key, record)
            return
        if tag == NONCES:
            return
        if tag == ACCOUNT:
            if record[0] != AccountKind.GROUP and sum(entry[3] for entry in record[2]) < max(record[3]):
                self._report("I24: a policy that cannot be satisfied", key)
            if not record[4]:
                return
        elif tag == SUPPLY:
            self.supplies[key[2:].decode("ascii")] = record[0]
        elif tag == ASSET:
            self.maxima[key[2:].decode("ascii")] = record[1] or AMOUNT_MAX
        elif tag == MINTER:
            if not 0 <= record[1] <= record[0]:
                self._report("I4: more minted than allowed", key)
        elif tag == CALENDAR:
            self._add_calendar(key, record)
        self.kept.append((key, record))

    def _add_holding(self, key: bytes, record: Value) -> None:
        code = key[HOLDING_CODE_START:].decode("ascii")
        balance, held, marks = read_holding(record)
        self.holdings[code] = self.holdings.get(code, 0) + balance
        if not 0 <= held <= balance <= AMOUNT_MAX or not (balance or marks):
            self._report("I3: a holding is out of range", key)
        if len(record) > 1 or key[HOLDING_ADDRESS] in MODULE_ACCOUNTS:
            self.kept.append((key, record))

    def _add_calendar(self, key: bytes, record: Value) -> None:
        if key == CALENDAR_KEY:
            self.waiting -= record[2]
        elif len(key) > _CALENDAR_MINUTE_BYTES:
            self.waiting += 1

    def _report(self, problem: str, key: bytes) -> None:
        self.problems.append(f"{problem} ({key.hex()})")


def audit_state(records: Records) -> Audit:
    """Audit all (key, record) of a state, in any order."""
    work = _Pass()
    for key, record in records:
        work.add(key, record)
    problems = work.problems
    problems += [f"I1: {code} was not conserved" for code in check_asset_totals(work.holdings, work.supplies)]
    for code, supply in sorted(work.supplies.items()):
        if not 0 <= supply <= work.maxima.get(code, -1):
            problems.append(f"I4: the supply of {code} is out of range")
    if work.waiting:
        problems.append("I31: the calendar does not have the entries that it counts")
    for name, audit in AUDITS:
        try:
            problems += [f"{name}: {problem}" for problem in audit(work.kept)]
        except (LookupError, ArithmeticError, TypeError, AttributeError) as error:
            # records that name each other wrongly: an audit says so and goes on
            problems.append(f"{name}: the records contradict each other ({type(error).__name__}: {error})")
    return Audit(work.count, dict(sorted(work.supplies.items())), dict(sorted(work.holdings.items())), tuple(problems))
