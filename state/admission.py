"""Whether a transaction may enter a block: everything that ends in a code of 1xx, in its order of precedence.

MALFORMED (103: an operation of later rules), CHAIN (105), EXPIRY (106-108), AUTH (114, 111, 113, 112, 110), NONCE (122, 123, 120, 121),
FEE (130, 132, 131); the other 101-104 were already given by `Transaction.decode`. Within AUTH the cheap questions come first, so
that nobody makes us verify for nothing. Nothing here writes; what admission decides is carried out by `state.machine`.

The mempool asks `check_transaction` with two numbers of its own, so that a hundred transfers of one sender can wait together:

- `expected_seq`: the sequence after the last one it holds for (sender, lane); None means the state's.
- `reserved`: the fees that transactions it holds have already promised from the same payer.

It passes `verified=None`: then signatures are not checked, and the answer carries `jobs` to check elsewhere and `binding`, to
remember under the transaction hash once they have proved good. A block is executed with that memory: `verified.get(hash)` must
equal the binding of the keys the state has *then*, so a key rotated in between is verified again with the new key, and fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol, TypeAlias

from state.authority import Authority
from state.codes import Code
from state.marks import SANCTIONED
from state.modules.operation import Operation
from state.modules.preconditions import next_sequence
from state.modules.table import ROWS
from state.params import FeeParams
from state.primitives.codec import Value, encode
from state.primitives.hashing import sha256
from state.primitives.keys import CONTEXT_TX, KeyKind, PublicKey, verify_ed25519
from state.primitives.limits import (
    LANE_UNORDERED,
    UNORDERED_WINDOW_S_MAX,
    VALIDITY_WINDOW_MULTISIG_S_MAX,
    VALIDITY_WINDOW_S_MAX,
)
from state.schema import ACCOUNT_PREFIX, HOLDING_PREFIX, NONCES_PREFIX, client_ref_key, unordered_key
from state.signers import SPECIAL, Refusal, find_fee_scope, find_signers, is_affordable
from state.transaction import Transaction
from state.upgrades import RuleSet
from state.view import Reader, View

# (key, message, signature, ML-DSA context)
SignatureJob: TypeAlias = tuple[PublicKey, bytes, bytes, bytes]

_SHORT_KEY_BYTES: Final = 32


class Verified(Protocol):
    """What is already known about signatures: transaction hash -> binding of the keys they were good for. A dict will do."""

    def get(self, tx_hash: bytes, /) -> bytes | None:
        """The binding remembered for a transaction hash, or None."""
        ...


NOTHING_VERIFIED: Final[Verified] = dict[bytes, bytes]()


class Admission(NamedTuple):
    """The answer. With a code of OK: the fee and the records that the machine goes on from."""

    code: int
    log: str = ""
    fee: int = 0
    keys: tuple[Value, ...] = ()  # key entries of the signers, in the order of `auth`
    binding: bytes = b""
    nonces: Value = None  # the sender's record of sequences
    seen_hash: bytes = b""  # with TX_SEEN: body hash of the transaction that used the reference first
    authority: Authority | None = None  # what the operations are held to, if an account has rules of its own


class SignatureCheck(NamedTuple):
    """What to verify, and what to remember when all of it is good."""

    jobs: tuple[SignatureJob, ...]
    binding: bytes


class Gate:
    """The admission rules at one block's chain, time and fee table."""

    __slots__ = ("_base", "_chain_id", "_fees", "_holding_code", "_is_free", "_time_s", "_unknown")

    def __init__(self, chain_id: bytes, time_s: int, fees: FeeParams, rules: RuleSet) -> None:
        self._chain_id = chain_id
        self._time_s = time_s
        self._fees = fees
        self._is_free = fees.is_free
        self._unknown = frozenset(row.code for row in ROWS if row.since > rules.version)  # operations of later rules
        by_key = dict(fees.base)
        self._base = {row.code: by_key.get(row.fee_key, fees.base_default) for row in ROWS}
        self._holding_code = fees.asset.encode("ascii")

    def _is_unknown(self, operation: Operation, args: tuple[object, ...]) -> bool:
        carried = () if operation.carried is None else operation.carried(args)
        return operation.code in self._unknown or not self._unknown.isdisjoint(carried)

    def compute_fee(self, tx: Transaction) -> int:
        """The whole fee: of each operation, each signature, each byte above the free ones."""
        if self._is_free:
            return 0
        fees, base = self._fees, self._base
        total = fees.per_signature * len(tx.auth)
        for call in tx.calls:
            total += base[call[0].code]
        over = len(tx.raw) - fees.free_bytes
        return total + fees.per_byte * over if over > 0 else total

    def check(
        self,
        view: View,
        tx: Transaction,
        *,
        verified: Verified | None = NOTHING_VERIFIED,
        expected_seq: int | None = None,
        reserved: int = 0,
    ) -> Admission:
        """The first fault, or OK. `verified=None` leaves the signatures to the caller; see the module's text."""
        if self._unknown and any(self._is_unknown(call.operation, call.args) for call in tx.calls):
            return Admission(Code.UNKNOWN_OP_OR_FIELD, "an operation that the rules do not know yet")
        if tx.chain_id != self._chain_id:
            return Admission(Code.WRONG_CHAIN, "signed for another chain")
        time_s = self._time_s
        ahead_s = tx.valid_until - time_s
        lane = tx.lane
        longest = UNORDERED_WINDOW_S_MAX if lane == LANE_UNORDERED else VALIDITY_WINDOW_S_MAX
        if ahead_s < 0 or tx.valid_from > time_s or ahead_s > longest:
            refusal = self._check_window(tx, ahead_s)
            if refusal is not None:
                return refusal

        signers = check_signers(view, tx, time_s)
        if isinstance(signers, Admission):
            return signers
        keys, binding, authority = signers
        if verified is not None and verified.get(tx.hash) != binding and not verify_signatures(tx, keys):
            return Admission(Code.BAD_SIGNATURE, "a signature is wrong")

        nonces = view.values[NONCES_PREFIX + tx.sender]
        if tx.client_ref or lane == LANE_UNORDERED:
            refusal = self._check_seen(view, tx)
            if refusal is not None:
                return refusal
        if lane != LANE_UNORDERED:
            expected = next_sequence(nonces, lane) if expected_seq is None else expected_seq
            if tx.seq != expected:
                code = Code.SEQ_PAST if tx.seq < expected else Code.SEQ_FUTURE
                return Admission(code, f"lane {lane} expects sequence {expected}, not {tx.seq}")

        fee = 0 if self._is_free else self.compute_fee(tx)
        if fee > tx.max_fee:
            return Admission(Code.FEE_TOO_LOW, f"the fee is {fee}, max_fee allows {tx.max_fee}")
        if tx.fee_payer != tx.sender or authority is not None:
            scope = find_fee_scope(view, tx, keys, authority, time_s)
            if isinstance(scope, str):
                return Admission(Code.SPONSOR_NOT_ALLOWED, scope)
            if scope is not None:
                if not is_affordable(view, scope, fee, time_s):
                    return Admission(Code.SPONSOR_NOT_ALLOWED, "the fee is more than what is granted for fees")
                authority = Authority(tx.sender) if authority is None else authority
                authority.fee_scope = scope
        if fee:
            holding = view.values[HOLDING_PREFIX + tx.fee_payer + self._holding_code]
            if (
                holding is None
                or holding[0] - reserved < fee
                or view.values[ACCOUNT_PREFIX + tx.fee_payer][4] & SANCTIONED
                or (len(holding) > 1 and holding[0] - holding[1] - reserved < fee)
            ):
                return Admission(Code.FEE_PAYER_CANNOT_PAY, f"the fee payer cannot pay {fee}")
        return tuple.__new__(Admission, (Code.OK, "", fee, keys, binding, nonces, b"", authority))

    def _check_window(self, tx: Transaction, ahead_s: int) -> Admission | None:
        if ahead_s < 0:
            return Admission(Code.EXPIRED, f"valid until {tx.valid_until}, the block is at {self._time_s}")
        if tx.valid_from > self._time_s:
            return Admission(Code.NOT_YET_VALID, f"valid from {tx.valid_from}, the block is at {self._time_s}")
        longest = VALIDITY_WINDOW_S_MAX if len(tx.auth) < 2 else VALIDITY_WINDOW_MULTISIG_S_MAX
        if tx.lane == LANE_UNORDERED:
            longest = UNORDERED_WINDOW_S_MAX
        if ahead_s > longest:
            return Admission(Code.WINDOW_TOO_LONG, f"valid_until is {ahead_s} s ahead, at most {longest} are allowed")
        return None

    def _check_seen(self, view: View, tx: Transaction) -> Admission | None:
        if tx.lane == LANE_UNORDERED:
            seen = view.get(unordered_key(tx.body_hash))
            if seen is not None and seen[0] >= self._time_s:
                return Admission(Code.TX_SEEN, "this unordered transaction was applied", seen_hash=tx.body_hash)
        if tx.client_ref:
            used = view.get(client_ref_key(tx.sender, tx.client_ref))
            if used is not None and used[2] >= self._time_s:
                if used[1] == intent_hash(tx):
                    return Admission(Code.TX_SEEN, "this client_ref was used for the same request", seen_hash=used[0])
                return Admission(Code.CLIENT_REF_REUSED_DIFFERENT, "this client_ref was used for another request")
        return None


def check_signers(
    view: View, tx: Transaction, time_s: int | None = None
) -> Admission | tuple[tuple[Value, ...], bytes, Authority | None]:
    """Whether the named keys, were their signatures good, suffice: 114, 111, 113, 112. Else the keys, their binding, what they may do.

    Without a time it is not asked whether keys and grants have run out. One key of a plain account that suffices is the short way;
    everything else is in `state.signers`.
    """
    auth, required = tx.auth, tx.required
    if len(auth) == 1 and len(required) == 1:
        (account, key_id, _), = auth
        record = view.values[ACCOUNT_PREFIX + account]
        if record is not None and account == required[0][0] and not record[4] & SPECIAL:
            for key in record[2]:
                if key[0] == key_id:
                    if key[3] < record[3][required[0][1]]:
                        return Admission(Code.QUORUM_NOT_MET, "the signatures' weight is below the threshold")
                    return (key,), key_binding(key[2]), None
    found = find_signers(view, tx, time_s)
    if isinstance(found, Refusal):
        return Admission(found.code, found.log)
    return found.keys, b"".join([key_binding(key[2]) for key in found.keys]), found.authority


def key_binding(public_key: bytes) -> bytes:
    """32 bytes that stand for one exact public key."""
    return public_key if len(public_key) == _SHORT_KEY_BYTES else _long_key_binding(public_key)


_long_key_binding = lru_cache(maxsize=4096)(sha256)


@lru_cache(maxsize=16_384)  # 32 bytes each for most
def _public_key(kind: int, data: bytes) -> PublicKey:
    return PublicKey(KeyKind(kind), data)


def verify_signatures(tx: Transaction, keys: Sequence[Value]) -> bool:
    """Whether every signature is that of its key; `keys` are key entries in the order of `auth`."""
    message = tx.sign_bytes
    for (_, _, signature), (_, kind, data, _) in zip(tx.auth, keys, strict=True):
        if kind == KeyKind.ED25519:
            if not verify_ed25519(data, message, signature):
                return False
        elif not _public_key(kind, data).verify(message, signature, CONTEXT_TX):
            return False
    return True


def make_jobs(tx: Transaction, keys: Sequence[Value]) -> tuple[SignatureJob, ...]:
    """The same checks as jobs for worker processes."""
    message = tx.sign_bytes
    return tuple(
        (_public_key(kind, data), message, signature, CONTEXT_TX)
        for (_, _, signature), (_, kind, data, _) in zip(tx.auth, keys, strict=True)
    )


def signature_jobs(tx: Transaction, reader: Reader | View) -> SignatureCheck | None:
    """What to verify for a transaction against a state; None if its signers do not suffice anyway (111, 112, 114)."""
    signers = check_signers(reader if isinstance(reader, View) else View(reader), tx)
    if isinstance(signers, Admission):
        return None
    return SignatureCheck(make_jobs(tx, signers[0]), signers[1])


def missing_signatures(
    reader: Reader, txs: Iterable[Transaction], verified: Verified
) -> tuple[tuple[bytes, SignatureCheck], ...]:
    """(transaction hash, what to verify) of a block's transactions whose signatures are not remembered for today's keys.

    Verify all of it at once, remember the bindings of the good ones, then execute: what is left (an account made or re-keyed in
    the same block) is verified inline, and a wrong signature makes the block invalid.
    """
    view = View(reader)
    missing = []
    for tx in txs:
        signers = check_signers(view, tx)
        if not isinstance(signers, Admission) and verified.get(tx.hash) != signers[1]:
            missing.append((tx.hash, SignatureCheck(make_jobs(tx, signers[0]), signers[1])))
    return tuple(missing)


def intent_hash(tx: Transaction) -> bytes:
    """What stays equal when a client builds the same request again: all but lane, sequence, validity and max_fee."""
    intent = (
        tx.sender,
        tuple((op.operation.code, op.account, op.operation.write_args(op.args)) for op in tx.calls),
        tx.memo,
        tx.travel,
        tx.purpose,
        tx.e2e_id,
        tx.related_tx,
    )
    return sha256(encode(intent))

