"""Proofs of offences that wait for a block, durable from the moment they are taken.

They come from our own core, as two contradicting messages, which wait until their height is decided, because a proof states its block's
time; and from peers, as whole proofs. Each offence waits once. What the file holds is what memory holds: it is small, changes rarely and is
written whole, so a crash leaves the old or the new one. If it is damaged the node starts without it, since peers hold the same proofs.
Punished offences are remembered by the store, in the batch of their height.

A good proof against ourselves is told to the operator and never kept nor spread; blocks of others that carry one are valid nevertheless.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final, TypeAlias

from consensus.commit import Verifier
from consensus.evidence import (
    DuplicateProposalEvidence,
    DuplicateVoteEvidence,
    Evidence,
    evidence_from_wire,
    evidence_to_wire,
    is_expired,
    is_punished,
    order_of,
    size_of,
    verify_evidence,
)
from consensus.fields import read_bytes, read_int, read_list, read_tuple
from consensus.history import ChainHistory
from consensus.messages import ReportEvidence
from consensus.validation import ChainTip
from consensus.vote import Proposal, Vote
from node.keystore import write_private_file
from node.own_key import make_convicted_error
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import (
    InvalidEvidenceError,
    KeyFileError,
    MalformedError,
    QenexError,
    StorageError,
    UnknownHistoryError,
)
from state.primitives.hashing import HASH_BYTES, VALIDATOR_ADDRESS_BYTES, sha256
from state.primitives.limits import (
    EVIDENCE_BYTES_HARD_MAX,
    EVIDENCE_BYTES_MAX,
    EVIDENCE_PENDING_BYTES_MAX,
    EVIDENCE_PENDING_MAX,
    EVIDENCE_PER_ACCUSED_MAX,
    EVIDENCE_PER_BLOCK_MAX,
)

FORMAT: Final = 1
_ReportKey: TypeAlias = tuple[bytes, int, int, int]


class Added(Enum):
    """What became of a proof."""

    ADDED = 1
    KNOWN = 2  # this offence waits already, whatever proves it
    PUNISHED = 3
    EXPIRED = 4
    EARLY = 5  # its height is not decided here yet
    UNKNOWN = 6  # its height is not kept here, or not yet on the chain in full
    OWN = 7
    FULL = 8


class EvidencePool:
    """One owner, one thread. `path` None keeps nothing. `on_added` is called with each proof that is new and good."""

    def __init__(
        self,
        path: Path | None,
        chain_id: str,
        own_address: bytes,
        history: ChainHistory,
        tip: Callable[[], ChainTip],
        verifier: Verifier,
        warn: Callable[[str, QenexError], None],
    ) -> None:
        self.on_added: list[Callable[[Evidence], None]] = []
        self._path = path
        self._chain_id = chain_id
        self.list_own: Callable[[], tuple[bytes, ...]] = lambda: (own_address,)  # every address that is or was ours
        self._history = history
        self._tip = tip
        self._verifier = verifier
        self._warn = warn
        self._pending: dict[bytes, Evidence] = {}  # by offence
        self._sizes: dict[bytes, int] = {}
        self._reports: dict[_ReportKey, ReportEvidence] = {}
        self._own: dict[bytes, None] = {}  # proofs against us, of which the operator was told
        self._load()

    # reading

    def __len__(self) -> int:
        return len(self._pending)

    def pending(self) -> list[Evidence]:
        """Everything that waits, in the order of blocks."""
        return sorted(self._pending.values(), key=order_of)

    def get(self, offence: bytes) -> Evidence | None:
        """The proof of an offence that waits."""
        return self._pending.get(offence)

    def statistics(self) -> dict[str, int]:
        """Gauges: proofs that wait, their bytes, reports whose height is not decided."""
        return {"pending": len(self._pending), "bytes": sum(self._sizes.values()), "reports": len(self._reports)}

    # taking

    def report(self, report: ReportEvidence) -> None:
        """Two messages that our core found to contradict each other; it has checked their signatures."""
        first = report.first
        if report.address in self.list_own():
            return
        kind = 0 if isinstance(first, Proposal) else int(first.type)
        key = report.address, first.height, first.round, kind
        if key in self._reports:
            return
        if first.height <= self._history.height:
            self._convert(report)
            return
        about = sum(1 for known in self._reports if known[0] == report.address)
        if len(self._reports) < EVIDENCE_PENDING_MAX and about < EVIDENCE_PER_ACCUSED_MAX:
            self._reports[key] = report
            self._save()

    def add(self, item: Evidence) -> Added:
        """Check a proof and keep it. Raises `InvalidEvidenceError` for one that no honest node could have sent."""
        known = self._find_reason(item)
        if known is not None:
            return known
        try:
            verify_evidence(item, self._chain_id, self._history, self._verifier)
        except UnknownHistoryError:
            return Added.UNKNOWN
        if self._is_own(item):
            self._tell_of_own(item)
            return Added.OWN
        self._keep(item)
        self._save()
        for callback in self.on_added:
            callback(item)
        return Added.ADDED

    def _find_reason(self, item: Evidence) -> Added | None:
        """Why a proof need not be verified, cheapest question first."""
        size, offence = size_of(item), item.offence
        if size > EVIDENCE_BYTES_MAX:
            raise InvalidEvidenceError(f"a proof of {size} bytes; at most {EVIDENCE_BYTES_MAX} are allowed")
        tip = self._tip()
        if offence in self._pending:
            return Added.KNOWN
        if offence in self._own:
            return Added.OWN
        if item.height > self._history.height:
            return Added.EARLY
        if is_expired(item, tip.params, tip.height + 1, tip.last_block_time_ns):
            return Added.EXPIRED
        if is_punished(item, self._history):
            return Added.PUNISHED
        room = EVIDENCE_PENDING_BYTES_MAX - sum(self._sizes.values())
        about = sum(1 for other in self._pending.values() if _leader(other) == _leader(item))
        if len(self._pending) >= EVIDENCE_PENDING_MAX or size > room or about >= EVIDENCE_PER_ACCUSED_MAX:
            return Added.FULL
        return None

    def _is_own(self, item: Evidence) -> bool:
        own = self.list_own()
        return any(found.address in own for found in item.misbehavior())

    def _tell_of_own(self, item: Evidence) -> None:
        """Our signer does not sign twice, so somebody else has the key. It is too late to stop: others have the proof."""
        while len(self._own) >= EVIDENCE_PENDING_MAX:
            del self._own[next(iter(self._own))]
        self._own[item.offence] = None
        self._warn("evidence", make_convicted_error(item))

    def _keep(self, item: Evidence) -> None:
        self._pending[item.offence] = item
        self._sizes[item.offence] = size_of(item)

    def _drop(self, offence: bytes) -> bool:
        self._sizes.pop(offence, None)
        return self._pending.pop(offence, None) is not None

    # giving

    def take(self, bytes_max: int, height: int, time_ns: int) -> tuple[Evidence, ...]:
        """What a block of this height and time carries, in order. Nothing is removed: it may not be decided."""
        params = self._tip().params
        room = min(bytes_max, params.evidence_bytes_max, EVIDENCE_BYTES_HARD_MAX)
        chosen: list[Evidence] = []
        covered: dict[bytes, None] = {}
        for item in self.pending():
            size = self._sizes[item.offence]
            if len(chosen) >= EVIDENCE_PER_BLOCK_MAX:
                break
            if size > room or all(offence in covered for offence in item.offences):
                continue
            if not is_expired(item, params, height, time_ns) and self._still_holds(item):
                chosen.append(item)
                covered |= dict.fromkeys(item.offences)
                room -= size
        return tuple(chosen)

    def _still_holds(self, item: Evidence) -> bool:
        """A proof that was judged by the tip of its day, against a header from ahead of it, is judged again."""
        if isinstance(item, DuplicateVoteEvidence | DuplicateProposalEvidence):
            return True
        try:
            verify_evidence(item, self._chain_id, self._history, self._verifier)
        except (InvalidEvidenceError, UnknownHistoryError):
            return False
        return True

    def decided(self) -> None:
        """A height is durable: forget what it punished and what has expired, and prove what was waiting for its time."""
        tip, changed = self._tip(), False
        for offence, item in list(self._pending.items()):
            is_old = is_expired(item, tip.params, tip.height + 1, tip.last_block_time_ns)
            if is_old or is_punished(item, self._history):
                changed |= self._drop(offence)
        ready = [(key, report) for key, report in self._reports.items() if report.first.height <= tip.height]
        for key, report in ready:
            del self._reports[key]
            changed = True
            self._convert(report)
        if changed:
            self._save()

    def _convert(self, report: ReportEvidence) -> None:
        height = report.first.height
        header, validators = self._history.header(height), self._history.validators(height)
        if header is None or validators is None:
            return
        first, second, time_ns = report.first, report.second, header.time_ns
        item: Evidence
        if isinstance(first, Vote) and isinstance(second, Vote):
            item = DuplicateVoteEvidence.of(first, second, validators, time_ns)
        elif isinstance(first, Proposal) and isinstance(second, Proposal):
            item = DuplicateProposalEvidence.of(first, second, report.address, validators, time_ns)
        else:
            return
        try:
            self.add(item)
        except InvalidEvidenceError as error:
            self._warn("evidence", error)

    # the file

    def _save(self) -> None:
        if self._path is None:
            return
        reports = [_report_to_wire(report) for report in self._reports.values()]
        items = [evidence_to_wire(item) for item in self.pending()]
        body = encode_trusted((FORMAT, self._chain_id, reports, items))
        try:
            write_private_file(self._path, sha256(body) + body, replace=True)
        except KeyFileError as error:
            raise StorageError(f"pending evidence cannot be written: {error.message}", hint=error.hint) from error

    def _load(self) -> None:
        if self._path is None:
            return
        try:
            with self._path.open("rb") as file:
                data = file.read(2 * EVIDENCE_PENDING_BYTES_MAX)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {error.strerror}") from error
        try:
            reports, items = _read_file(data, self._chain_id)
        except MalformedError as error:
            self._warn(
                "evidence",
                MalformedError(f"pending evidence in {self._path} is damaged and left out: {error.message}"),
            )
            return
        for item in items:
            self._load_item(item)
        for report in reports:
            self.report(report)

    def _load_item(self, item: Evidence) -> None:
        try:
            if self._find_reason(item) is None and not self._is_own(item):
                verify_evidence(item, self._chain_id, self._history, self._verifier)
                self._keep(item)
        except (InvalidEvidenceError, UnknownHistoryError) as error:
            self._warn("evidence", error)


def _leader(item: Evidence) -> bytes:
    """The first of the accused; nobody, for amnesia."""
    accused = item.misbehavior()
    return accused[0].address if accused else b""


def _report_to_wire(report: ReportEvidence) -> tuple[Value, ...]:
    return isinstance(report.first, Proposal), report.first.to_wire(), report.second.to_wire(), report.address


def _report_from_wire(value: Value) -> ReportEvidence:
    is_proposal, first, second, address = read_tuple(value, 4, "a report")
    if type(is_proposal) is not bool:
        raise MalformedError("a report is of votes or of proposals")
    read = Proposal.from_wire if is_proposal else Vote.from_wire
    return ReportEvidence(
        read(first), read(second), read_bytes(address, (VALIDATOR_ADDRESS_BYTES,), "a validator address")
    )


def _read_file(data: bytes, chain_id: str) -> tuple[list[ReportEvidence], list[Evidence]]:
    if sha256(data[HASH_BYTES:]) != data[:HASH_BYTES]:
        raise MalformedError("its checksum is wrong")
    body = decode(data[HASH_BYTES:], bytes_max=2 * EVIDENCE_PENDING_BYTES_MAX)
    version, chain, reports, items = read_tuple(body, 4, "pending evidence")
    read_int(version, FORMAT, FORMAT, "the format of pending evidence")
    if chain != chain_id:
        raise MalformedError("it is of another chain")
    return (
        [_report_from_wire(item) for item in read_list(reports, EVIDENCE_PENDING_MAX, "reports")],
        [evidence_from_wire(item) for item in read_list(items, EVIDENCE_PENDING_MAX, "pending evidence")],
    )
