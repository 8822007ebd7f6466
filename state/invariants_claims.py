"""Checks of claims on what an operation or an automatic action touched, and of the whole state; they know nothing of the handlers.

I5: what the account of claims holds is, for each asset, the sum of the claims, and an account's count is that of its claims. Nothing
here may change a record. Source: ledger rules, sections 1.4 and 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from state.modules.operation import CLAIMS_ADDRESS
from state.primitives.codec import Value
from state.schema import HOLDING, HOLDING_ADDRESS, HOLDING_CODE_START
from state.schema_claims import CLAIM, CLAIM_LIST_KEY_BYTES, CLAIM_OWNER
from state.view import View


class _Sums:
    """What the records add up to; `add` with sign -1 takes a record away."""

    def __init__(self) -> None:
        self.amounts: dict[bytes, int] = {}  # by asset: of the claims less what their account holds
        self.counts: dict[bytes, int] = {}  # by owner: of the claims less what the owner's count says

    def add(self, key: bytes, record: Value, sign: int) -> None:
        """Count one record."""
        tag = key[1]
        if tag == HOLDING:
            if key[HOLDING_ADDRESS] == CLAIMS_ADDRESS:
                self._count(self.amounts, key[HOLDING_CODE_START:], -sign * record[0])
        elif tag == CLAIM:
            if len(key) == CLAIM_LIST_KEY_BYTES:
                self._count(self.counts, key[CLAIM_OWNER], -sign * record[1])
            else:
                self._count(self.counts, key[CLAIM_OWNER], sign)
                self._count(self.amounts, record[0].encode("ascii"), sign * record[1])

    @staticmethod
    def _count(sums: dict[bytes, int], key: bytes, amount: int) -> None:
        sums[key] = sums.get(key, 0) + amount

    def find_problem(self) -> str:
        """The first sum that is not zero."""
        if any(self.amounts.values()):
            return "I5: the account of claims does not hold the claims"
        return "I5: an account's count of claims is wrong" if any(self.counts.values()) else ""


def check_claims(view: View, first: Mapping[bytes, Value], account: bytes | None) -> str:
    """I5 over the records before (`first`) and now; the empty string if it holds."""
    sums = _Sums()
    values = view.values
    for key, before in first.items():
        after = values[key]
        if before is not None:
            sums.add(key, before, -1)
        if after is not None:
            sums.add(key, after, 1)
            if key[1] == CLAIM and len(key) != CLAIM_LIST_KEY_BYTES and after[1] <= 0:
                return "I5: a claim of nothing"
    return sums.find_problem()


def audit_claims(records: Iterable[tuple[bytes, Value]]) -> tuple[str, ...]:
    """Whole-state audit of I5 over all (key, record); what is wrong."""
    sums = _Sums()
    for key, record in records:
        sums.add(key, record, 1)
    problem = sums.find_problem()
    return (problem,) if problem else ()
