"""The closed table of what the audit log records. An action that is not here cannot be recorded; nothing is recorded here.

A row is what happened, and the fields of its detail. Text fields hold what is public or named by the operator: never a key, a passphrase, a
token, or the parameters of a call in the clear (their hash stands for them).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from node.audit.chain import Scalar
from state.primitives.errors import LocalError

TEXT_CHARS_MAX: Final = 1_024  # of one field; what is longer is cut, and says so
_CUT: Final = "..."


class Action(NamedTuple):
    """One row."""

    what: str
    fields: tuple[str, ...]


ACTIONS: Final[dict[str, Action]] = {
    # the log itself
    "log.begin": Action("a new log", ("nonce", "reason", "previous_log", "previous_entries", "previous_sha256", "kept_as")),
    "log.torn": Action("a line that was cut off when the machine stopped was set aside", ("bytes", "sha256", "kept_as")),
    "log.head_lost": Action("the note of the last entry was missing; the log was read from its beginning", ("entries",)),
    "log.gap": Action("the log could not be written for a while", ("since_ns", "refused", "lost", "reason")),
    # the process
    "node.start": Action("the node began to run", ("version", "rules", "config_sha256", "height")),
    "node.stop": Action("the node ended", ("reason", "height")),
    "config.reload": Action("settings were read again", ("changed",)),
    "log.level": Action("another level of logging", ("module", "level")),
    # callers
    "rpc.request": Action(
        "a call with a token of role regulator or operator, before its answer",
        ("role", "method", "params_sha256", "accounts", "assets", "request", "address"),
    ),
    "rpc.refused": Action("a call that was refused", ("method", "code", "address", "request", "suppressed")),
    "rpc.token.new": Action("a bearer token was made", ("name", "role", "account")),
    "rpc.token.revoke": Action("a bearer token was taken back", ("name",)),
    # safety
    "peer.banned": Action("a peer was banned", ("peer", "error", "reason")),
    "signer.refused": Action("a signature was refused, or our key signed elsewhere; the node stopped", ("error", "reason", "height")),
    "state.divergence": Action("the decided state is not this node's; the node stopped", ("error", "reason", "height")),
    "validator.convicted": Action("a block proved that a validator cheated", ("validator", "height", "own")),
    "alert.firing": Action("a critical alert began", ("alert", "metric", "value")),
    "alert.resolved": Action("a critical alert ended", ("alert", "metric", "value")),
    # commands on a home; each is recorded before it is done, a failure in a second entry
    "command.failed": Action("the command of the entry before did not succeed", ("command", "entry", "error", "reason")),
    "home.init": Action("the home was made", ("moniker", "node_id", "validator_address", "chain_id")),
    "genesis.install": Action("a genesis document was put in", ("chain_id", "genesis_sha256")),
    "rollback": Action("heights were undone", ("from_height", "to_height")),
    "prune": Action("old blocks were deleted", ("retain", "height")),
    "state.export": Action("the state was written into a file", ("file", "height")),
    "state.import": Action("the database was made from a file", ("file", "trust_hash")),
    "index.remake": Action("the index of history was deleted and made again", ("backend",)),
    "state.audit": Action("the whole state was audited", ("height", "app_hash", "clean")),
    "audit.export": Action("entries of this log were given out", ("first", "last", "format", "file")),
    "snapshot.create": Action("a snapshot was made", ("name", "height")),
    "snapshot.restore": Action("a snapshot was put in", ("name", "height")),
    "key.rotate": Action(
        "a key is replaced; `step` is prepared, activated, discarded or forgotten", ("role", "step", "address", "old_address")
    ),
    "signer.connect": Action("a remote signer was connected", ("listen", "validator_address")),
    "signer.lost": Action("a remote signer was lost", ("listen", "reason")),
    "signer.init": Action("a remote signer's home was made", ("node", "validator_address")),
    "signer.start": Action("a remote signer began to run", ("version", "validator_address", "node")),
    "signer.stop": Action("a remote signer ended", ("reason",)),
}


def check_detail(action: str, detail: Mapping[str, Any]) -> dict[str, Scalar]:
    """The detail as it is written: texts in bounds and in UTF-8. Raises `LocalError` for what the table does not have: a defect of ours."""
    row = ACTIONS.get(action)
    if row is None:
        raise LocalError(f"there is no action {action} in the table of the audit log")
    if sorted(detail) != sorted(row.fields):
        raise LocalError(f"the action {action} has the fields {', '.join(row.fields)}, not {', '.join(sorted(detail))}")
    return {name: _scalar(action, name, value) for name, value in detail.items()}


def clean_text(text: str) -> str:
    """A text that every reader of UTF-8 takes, in bounds."""
    found = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return found if len(found) <= TEXT_CHARS_MAX else found[: TEXT_CHARS_MAX - len(_CUT)] + _CUT


def _scalar(action: str, name: str, value: Any) -> Scalar:
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool) or (type(value) is int and -(1 << 63) <= value < 1 << 63):
        return value
    raise LocalError(f"{name} of {action} is no text, whole number, truth value or nothing: {value!r:.60}")
