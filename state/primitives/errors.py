"""The one tree of errors, each leaf with a stable numeric code.

Three branches say who broke the rule: `LocalError` (we, or our operator), `RemoteError` (a peer or a client), `CorruptError`
(what the disk gave back). An error carries a message for people and a hint that says what to do next.
Result codes of transactions are not errors; they live in `state.codes`. No logic may go in here.

Code ranges: 2000 configuration and operator, 2100 keys, 2200 storage, 2300 consensus, log and signer, 2400 peers,
2500 RPC and clients, 2600 genesis, 2700 malformed bytes, 2800 state, tree and proofs. A code is never reused.
"""

from __future__ import annotations

from state.primitives.error_branches import CorruptError as CorruptError
from state.primitives.error_branches import LocalError as LocalError
from state.primitives.error_branches import QenexError as QenexError
from state.primitives.error_branches import RemoteError as RemoteError

# 2000: configuration and operator


class ConfigError(LocalError):
    """A setting, a path or an argument is missing or wrong."""

    code = 2010
    name = "CONFIG"


class HomeError(LocalError):
    """The home directory is missing, incomplete, or in use by another process."""

    code = 2011
    name = "HOME"


class PortInUseError(LocalError):
    """A listening address is taken."""

    code = 2012
    name = "PORT_IN_USE"


# 2100: keys


class KeyFormatError(LocalError):
    """Key material of the wrong kind or length."""

    code = 2110
    name = "KEY_FORMAT"


class KeyFileError(LocalError):
    """A key file is missing, unsafe to read, damaged, or of another kind."""

    code = 2111
    name = "KEY_FILE"


class WrongPassphraseError(LocalError):
    """The passphrase does not open the key file, or none was given."""

    code = 2112
    name = "WRONG_PASSPHRASE"


# 2200: storage


class StorageError(LocalError):
    """The store failed or was closed; its handle must not be used again."""

    code = 2210
    name = "STORAGE"


class StorageCorruptError(CorruptError):
    """The store's contents fail a checksum or a root comparison."""

    code = 2211
    name = "STORAGE_CORRUPT"


class TreeWorkerError(StorageError):
    """The process that keeps the tree is gone or silent; the store cannot go on without it."""

    code = 2212
    name = "TREE_WORKER"


class ExportFileError(CorruptError):
    """An exported state is damaged, unfinished, or not of the network it is meant for."""

    code = 2213
    name = "EXPORT_FILE"


class SnapshotError(LocalError):
    """A snapshot cannot be made, is not whole, or does not lead to the height that is wanted."""

    code = 2214
    name = "SNAPSHOT"


class IndexUnavailableError(LocalError):
    """The index of the chain's history is off, behind a server that does not answer, or on a disk that takes nothing more."""

    code = 2220
    name = "INDEX_UNAVAILABLE"


class IndexDamagedError(CorruptError):
    """The index cannot be read, contradicts the chain, or is another chain's or version's. It can always be made again."""

    code = 2221
    name = "INDEX_DAMAGED"


class AuditLogUnavailableError(LocalError):
    """The audit log cannot be written or is held by another process: what it must record is not done."""

    code = 2230
    name = "AUDIT_LOG_UNAVAILABLE"


class AuditLogDamagedError(CorruptError):
    """The audit log is not what was written: an entry was changed, taken out, put in, or its end is missing."""

    code = 2231
    name = "AUDIT_LOG_DAMAGED"


# 2300: consensus, log, signer


class ConsensusFailure(LocalError):
    """A rule that can only break when the node itself is wrong. The process stops."""

    code = 2310
    name = "CONSENSUS_FAILURE"


class DoubleSignError(LocalError):
    """A signature was asked for that would contradict one already given."""

    code = 2311
    name = "DOUBLE_SIGN"


class SignerRecordError(LocalError):
    """The signer's record is missing, damaged or locked."""

    code = 2312
    name = "SIGNER_RECORD"


class ConsensusLogError(LocalError):
    """The consensus log cannot be written, or belongs to another chain."""

    code = 2313
    name = "CONSENSUS_LOG"


class UpgradeRequiredError(LocalError):
    """The chain has come to rules that this software does not know. Nothing is wrong with the node or its data."""

    code = 2316
    name = "UPGRADE_REQUIRED"


class SignerAwayError(LocalError):
    """The signer in another process did not answer: it is not connected, or its connection broke. The same may be asked again."""

    code = 2317
    name = "SIGNER_AWAY"


class RemoteSignerError(RemoteError):
    """A signer in another process, or a node that asks one, said what cannot be used: another chain, key, version or signature."""

    code = 2318
    name = "REMOTE_SIGNER"


class KeyRotationError(LocalError):
    """A validator's keys cannot be changed now: another change is under way, or the files of one are not whole."""

    code = 2319
    name = "KEY_ROTATION"


class UnknownHistoryError(LocalError):
    """Heights that a judgement needs are not kept here, or not decided yet."""

    code = 2314
    name = "UNKNOWN_HISTORY"


class StateDivergenceError(ConsensusFailure):
    """More than 2/3 of the power decided on another state than this node has computed. The process stops."""

    code = 2315
    name = "STATE_DIVERGENCE"


class InvalidBlockError(RemoteError):
    """A block breaks a chain rule."""

    code = 2320
    name = "INVALID_BLOCK"


class InvalidCommitError(RemoteError):
    """A commit does not prove what it claims."""

    code = 2321
    name = "INVALID_COMMIT"


class InsufficientTrustError(InvalidCommitError):
    """Too little of a trusted validator set stands behind a header: one in between has to be verified first."""

    code = 2323
    name = "INSUFFICIENT_TRUST"


class InvalidVoteError(RemoteError):
    """A vote or proposal that no honest validator of this height could have sent."""

    code = 2322
    name = "INVALID_VOTE"


class InvalidEvidenceError(RemoteError):
    """A proof of an offence that proves nothing."""

    code = 2329
    name = "INVALID_EVIDENCE"


# 2400: peers


class InsecureLinkError(RemoteError):
    """The link is not what the network demands: TLS version, key exchange, certificate."""

    code = 2410
    name = "INSECURE_LINK"


class NotAdmittedError(RemoteError):
    """The node's key is not on the list of admitted nodes."""

    code = 2411
    name = "NOT_ADMITTED"


class WrongChainError(RemoteError):
    """The peer belongs to another network."""

    code = 2412
    name = "WRONG_CHAIN_PEER"


class ProtocolVersionError(RemoteError):
    """The peer speaks another version of the protocol."""

    code = 2413
    name = "PROTOCOL_VERSION"


class HandshakeTimeoutError(RemoteError):
    """The peer took too long to introduce itself."""

    code = 2414
    name = "HANDSHAKE_TIMEOUT"


class BadFrameError(RemoteError):
    """Bytes on a link that are no frame."""

    code = 2415
    name = "BAD_FRAME"


class FrameTooLargeError(RemoteError):
    """A frame or message beyond its bound."""

    code = 2416
    name = "FRAME_TOO_LARGE"


class PeerBannedError(RemoteError):
    """The peer is banned for what it did before."""

    code = 2417
    name = "PEER_BANNED"


class DuplicatePeerError(RemoteError):
    """The peer is connected already."""

    code = 2418
    name = "DUPLICATE_PEER"


class PeerTimeoutError(RemoteError):
    """The peer has been silent for too long."""

    code = 2419
    name = "PEER_TIMEOUT"


class ConnectionLostError(RemoteError):
    """The peer's connection ended."""

    code = 2420
    name = "CONNECTION_LOST"


class TooManyPeersError(RemoteError):
    """Every place for peers that dial us is taken."""

    code = 2421
    name = "TOO_MANY_PEERS"


class RefusedByPeerError(RemoteError):
    """The peer would not have us, and said so."""

    code = 2422
    name = "REFUSED_BY_PEER"


class UnreachableError(RemoteError):
    """Nobody answers at a peer's address."""

    code = 2423
    name = "UNREACHABLE"


class MessageTooLargeError(LocalError):
    """Our own code wanted to send more than a channel carries."""

    code = 2424
    name = "MESSAGE_TOO_LARGE"


class HandlingError(RemoteError):
    """A peer's message brought a defect of ours to light."""

    code = 2425
    name = "HANDLING"


# 2500: RPC and clients


class ClientError(LocalError):
    """A node did not answer a call as asked: not reachable, refused, or an error of the call itself."""

    code = 2520
    name = "CLIENT"


class DivergenceError(RemoteError):
    """Two nodes prove different blocks for one height: somebody with more than 1/3 of the power has cheated, or signed twice."""

    code = 2530
    name = "DIVERGENCE"


# 2600: genesis


class GenesisError(LocalError):
    """The genesis document is malformed or contradicts itself."""

    code = 2610
    name = "GENESIS"


# 2700: malformed bytes


class MalformedError(RemoteError):
    """Bytes or values that are not in the one canonical form."""

    code = 2710
    name = "MALFORMED"


class TooLargeError(MalformedError):
    """Bytes, lists or nesting beyond a stated bound."""

    code = 2711
    name = "TOO_LARGE"


class TransactionError(MalformedError):
    """A transaction that is not well formed. `result` is its result code (101 to 104 of `state.codes`)."""

    code = 2720
    name = "TRANSACTION_MALFORMED"

    def __init__(self, result: int, message: str) -> None:
        super().__init__(message)
        self.result = result


# 2800: state, tree, proofs


class OperationFailed(RemoteError):
    """An operation that breaks a rule of the ledger. `result` is its result code (2xx and above of `state.codes`)."""

    code = 2820
    name = "OPERATION_FAILED"

    def __init__(self, result: int, message: str = "") -> None:
        super().__init__(message)
        self.result = result


class ProofError(RemoteError):
    """A Merkle proof does not prove its claim."""

    code = 2810
    name = "PROOF"
