"""What of a node's life goes into its audit log: start, end and why, bans, convictions, critical alerts. Nothing is decided here."""

from __future__ import annotations

from collections.abc import Callable, Collection

import trio

from node.audit.writer import AuditWriter
from node.config import render_config
from node.config_sections import Config
from node.executor import CommittedBlock
from node.telemetry.alerts import Alert
from state.primitives.errors import DoubleSignError, QenexError, StateDivergenceError
from state.primitives.hashing import sha256
from state.upgrades import VERSION_MAX

ACTOR = "node"


def note_start(writer: AuditWriter, config: Config, version: str, height: int) -> None:
    """The node begins; the settings are those in force, with what the command line and the environment added."""
    digest = sha256(render_config(config).encode()).hex()
    writer.note(ACTOR, "node.start", version=version, rules=VERSION_MAX, config_sha256=digest, height=height)


def note_end(writer: AuditWriter, height: int, error: BaseException | None) -> None:
    """The node ends, in order (cancelled, interrupted) or by an error, which is named."""
    leaves = [leaf for leaf in _leaves(error) if not isinstance(leaf, trio.Cancelled | KeyboardInterrupt)]
    for leaf in leaves:
        if isinstance(leaf, DoubleSignError):
            writer.note(ACTOR, "signer.refused", error=leaf.name, reason=leaf.message, height=height)
        elif isinstance(leaf, StateDivergenceError):
            writer.note(ACTOR, "state.divergence", error=leaf.name, reason=leaf.message, height=height)
    writer.note(ACTOR, "node.stop", reason=_describe(leaves[0]) if leaves else "", height=height)


def note_ban(writer: AuditWriter) -> Callable[[str, QenexError], None]:
    """What the switch calls when it bans a peer."""

    def note(peer: str, error: QenexError) -> None:
        writer.note(ACTOR, "peer.banned", peer=peer, error=error.name, reason=error.message)

    return note


def note_convictions(writer: AuditWriter, committed: CommittedBlock, own: Collection[bytes]) -> None:
    """The validators that a block's evidence accuses; `own` are the addresses that this node votes or voted with."""
    for item in committed.block.evidence:
        for address in dict.fromkeys(found.address for found in item.misbehavior()):
            writer.note(
                ACTOR,
                "validator.convicted",
                validator=address.hex().upper(),
                height=committed.block.header.height,
                own=address in own,
            )


def note_alert(writer: AuditWriter) -> Callable[[Alert], None]:
    """What the monitor calls when an alert begins or ends."""

    def note(alert: Alert) -> None:
        if alert.rule.severity == "critical":
            action = "alert.firing" if alert.state == "firing" else "alert.resolved"
            writer.note(ACTOR, action, alert=alert.rule.name, metric=alert.rule.metric, value=f"{alert.value:g}")

    return note


def _describe(error: BaseException) -> str:
    return f"{error.name}: {error.message}" if isinstance(error, QenexError) else f"{type(error).__name__}: {error}"


def _leaves(error: BaseException | None) -> list[BaseException]:
    if error is None:
        return []
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [error]
