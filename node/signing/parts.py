"""Joining the node's signer with the parts that must know who votes: whose name blocks carry, whose offences are ours, what is measured.

Wiring only, called by `node.wiring` once these parts exist.
"""

from __future__ import annotations

from typing import Any

from node.audit.writer import AuditWriter
from node.evidence.pool import EvidencePool
from node.executor import CommittedBlock, LedgerExecutor
from node.look_back import find_unknown_commit
from node.opening import Opened
from node.signer_record import SignerRecord
from node.signing.key_watch import KeyWatch
from node.signing.remote import RemoteSigner
from node.signing.voter import find_left_behind
from node.telemetry.metrics import NodeMetrics
from node.tips import find_commit
from state.primitives.errors import SignerRecordError


def wire_signer(
    opened: Opened, executor: LedgerExecutor, evidence: EvidencePool, metrics: NodeMetrics, audit: AuditWriter, log: Any
) -> KeyWatch | RemoteSigner | None:
    """What has to run so that this node can sign; None for a node that only follows."""
    signer = opened.signer
    if signer is None:
        return None
    executor.name_proposer = lambda: signer.address
    evidence.list_own = lambda: signer.addresses
    signer.measure = metrics.observe_signature
    signer.count_refusal = metrics.count_signer_refusal
    if isinstance(signer, RemoteSigner):
        remote = signer
        _note_connections(remote, opened.config.signer.listen, audit, log)
        remote.judge = lambda record: _judge(opened, executor, record)

        def retire_elsewhere(_: CommittedBlock) -> None:
            old = find_left_behind(remote.held, executor.state.tip)
            if old:
                remote.retire(old)

        executor.on_committed.append(retire_elsewhere)
        return remote
    ring = signer
    watch = KeyWatch(opened.home, opened.document.hash, ring, opened.read_keys, log)

    def retire_here(_: CommittedBlock) -> None:
        if find_left_behind(ring.held, executor.state.tip):
            watch.retire_old()

    executor.on_committed.append(retire_here)
    return watch


def _note_connections(remote: RemoteSigner, listen: str, audit: AuditWriter, log: Any) -> None:
    def note_here() -> None:
        log.info("the signer is here")
        audit.note("node", "signer.connect", listen=listen, validator_address=remote.address.hex().upper())

    def note_gone() -> None:
        audit.note("node", "signer.lost", listen=listen, reason="its connection ended")

    remote.on_here, remote.on_gone = note_here, note_gone


def _judge(opened: Opened, executor: LedgerExecutor, record: SignerRecord) -> None:
    """As for a record in this home at its start (consensus.md J10). Raises `SignerRecordError`.

    A vote that was signed elsewhere often comes too late for the commit that this node decided with; the next block's has it.
    """
    height = executor.state.height
    commit = find_unknown_commit(record, height, lambda below: executor.history.commit(below) or find_commit(opened.store, below))
    if commit is not None:
        raise SignerRecordError(
            f"the signer's record of {record.address.hex().upper()} ends at height {record.height}, but the chain holds its signature of "
            f"height {commit.height}",
            hint="the record is older than the key's last signature: it was restored from a backup, or the key runs elsewhere as well",
        )
