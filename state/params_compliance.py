"""The parameters of compliance: who acts for the network's authority. A group of its own, see `state.params`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from state.primitives.codec import Value
from state.primitives.errors import MalformedError
from state.primitives.limits import ACCOUNT_ADDRESS_BYTES, AUTHORITIES_MAX


@dataclass(frozen=True, slots=True)
class ComplianceParams:
    """Accounts that may freeze and sanction accounts; with `separate_release` who froze may not release."""

    authorities: tuple[bytes, ...] = ()
    separate_release: bool = False

    def to_record(self) -> tuple[Value, ...]:
        """Stored form."""
        return (self.authorities, self.separate_release)

    @classmethod
    def from_record(cls, record: Value) -> ComplianceParams:
        """Inverse of `to_record`. Raises `MalformedError` for a wrong shape or a value out of range."""
        if type(record) is not tuple or len(record) != 2 or type(record[0]) is not tuple or type(record[1]) is not bool:
            raise MalformedError("compliance parameters have a wrong shape")
        authorities = record[0]
        if len(authorities) > AUTHORITIES_MAX:
            raise MalformedError(f"at most {AUTHORITIES_MAX} accounts act for the authority")
        if any(type(address) is not bytes or len(address) != ACCOUNT_ADDRESS_BYTES for address in authorities):
            raise MalformedError("an authority is an account's address")
        if list(authorities) != sorted(set(authorities)):
            raise MalformedError("authorities are sorted, each once")
        if record[1] and len(authorities) == 1:
            raise MalformedError("with separate_release there are at least two authorities")
        return cls(authorities, record[1])


NO_AUTHORITY: Final = ComplianceParams()  # until genesis or governance names one
