"""What `qenex doctor` can find: a stable number, a name and a severity for each. The words of a finding are its finder's.

Numbers: 3000 the home, 3100 keys, 3200 the database, 3300 the signer's record and the consensus log, 3400 the machine, 3500 the deep
examination. A number is never used again for something else. `error`: the node will not start, or must not; `warning`: it starts, but
something is not as it should be; `note`: worth knowing, nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ERROR: Final = "error"
WARNING: Final = "warning"
NOTE: Final = "note"


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing that can be found."""

    code: int
    name: str
    severity: str


KINDS: Final = (
    Kind(3001, "HOME", ERROR),  # missing, without config.toml or genesis.json, or with something else in a folder's place
    Kind(3002, "CONFIG", ERROR),
    Kind(3003, "GENESIS", ERROR),  # unreadable, or breaks its own rules
    Kind(3004, "FOREIGN_OWNER", ERROR),
    Kind(3005, "OPEN_TO_OTHERS", WARNING),  # a folder that others may write to
    Kind(3006, "NODE_RUNNING", WARNING),  # its data was not looked at
    Kind(3101, "NODE_KEY", ERROR),
    Kind(3102, "VALIDATOR_KEY", ERROR),
    Kind(3103, "OTHER_KEY", WARNING),  # of an account
    Kind(3104, "NODE_NOT_ADMITTED", WARNING),
    Kind(3105, "NOT_IN_SET", WARNING),
    Kind(3106, "UNENCRYPTED_KEY", NOTE),
    Kind(3201, "NO_DATABASE", WARNING),
    Kind(3202, "DATABASE", ERROR),
    Kind(3203, "GENESIS_MISMATCH", ERROR),
    Kind(3204, "BLOCK_MISSING", ERROR),
    Kind(3205, "TIP_MISMATCH", ERROR),
    Kind(3206, "PRUNED", NOTE),
    Kind(3207, "UNFINISHED", ERROR),  # a database or an import that was left half made
    Kind(3301, "SIGNER_RECORD", ERROR),
    Kind(3302, "SIGNER_AHEAD", WARNING),
    Kind(3303, "SIGNER_BEHIND", ERROR),
    Kind(3304, "LOG_MISSING", WARNING),
    Kind(3305, "LOG_DAMAGED", WARNING),
    Kind(3306, "LOG_TORN", NOTE),
    Kind(3307, "LOG_OF_OTHER_CHAIN", ERROR),
    Kind(3308, "LOG_AHEAD", WARNING),
    Kind(3309, "SET_ASIDE", NOTE),
    Kind(3310, "AUDIT_LOG", WARNING),
    Kind(3401, "DISK_FULL", ERROR),
    Kind(3402, "DISK_LOW", WARNING),
    Kind(3403, "CLOCK", ERROR),
    Kind(3404, "BEHIND", NOTE),  # the last block is old
    Kind(3405, "PORT_IN_USE", WARNING),
    Kind(3406, "CRASH_BUNDLE", WARNING),
    Kind(3407, "DISK_READ_ONLY", ERROR),
    Kind(3501, "STATE_ROOT", ERROR),
    Kind(3502, "RECORD", ERROR),
    Kind(3503, "BLOCK_CHAIN", ERROR),
    Kind(3504, "COMMIT", ERROR),
)
_BY_NAME: Final = {kind.name: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: what is wrong, and what to do about it."""

    kind: Kind
    message: str
    hint: str = ""

    @property
    def counts(self) -> bool:
        """Whether it makes a home unclean."""
        return self.kind.severity != NOTE

    def to_json(self) -> dict[str, object]:
        """The machine-readable form."""
        kind = self.kind
        return {
            "severity": kind.severity,
            "code": kind.code,
            "name": kind.name,
            "message": self.message,
            "hint": self.hint,
        }

    def line(self) -> str:
        """One line for people, in the form of errors."""
        hint = f" - {self.hint}" if self.hint else ""
        return f"{self.kind.severity} {self.kind.code} {self.kind.name}: {self.message}{hint}".replace("\n", " ")


def make_finding(name: str, message: str, hint: str = "") -> Finding:
    """The finding with this name of `KINDS`."""
    return Finding(_BY_NAME[name], message, hint)
