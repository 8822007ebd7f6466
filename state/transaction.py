"""The signed envelope: its one byte form, its reading, its building and signing.

    raw  = msgpack [body, auth]
    body = [1, chain id (32), sender (32), lane, seq, valid_from (s), valid_until (s), client_ref (0 or 16), max_fee,
            fee_payer (0 or 32), preconditions, ops [[code, as (0 or 32), [field, ...]], ...], memo, travel or nil,
            purpose, e2e_id, related_tx (0 or 32)]
    auth = [[account (32), key id, signature], ...]  sorted by account and key id

A signature is over `qenex/tx/1` and SHA-256 of the body, so it is not over the other signatures. The transaction hash is
SHA-256 of the raw bytes; the body hash names what was signed, and replay protection uses that one: signatures can be made
again, dropped or added without changing what was agreed. In the unordered lane `seq` is free and tells equal payments apart.

`Transaction.decode` accepts exactly one spelling of a transaction, with every leaf's type and bound checked and every
operation read. Whether it may enter a block is decided in `state.admission`; what it does, in `state.machine`. Source: ledger
rules, section 6.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final, NamedTuple, TypeAlias

import msgspec

from state.codes import Code
from state.modules.fields import Address, malformed, read_amount, too_large
from state.modules.operation import Level, Operation
from state.modules.preconditions import Precondition, read_preconditions
from state.modules.table import BY_NAME, OPERATIONS
from state.primitives.codec import Value, decode, encode, encode_amount
from state.primitives.errors import MalformedError, TransactionError
from state.primitives.keys import CONTEXT_TX, SIGNATURE_BYTES, PrivateKey
from state.primitives.limits import (
    ACCOUNT_ADDRESS_BYTES,
    CLIENT_REF_BYTES,
    E2E_ID_BYTES_MAX,
    KEY_ID_MAX,
    LANE_ORDERED_MAX,
    LANE_UNORDERED,
    MEMO_BYTES_MAX,
    PURPOSE_BYTES_MAX,
    TIME_NS_MAX,
    TRAVEL_FIELD_BYTES_MAX,
    TX_BYTES_MAX,
    TX_OPS_MAX,
    TX_SIGNERS_MAX,
)

VERSION: Final = 1
SIGN_DOMAIN: Final = b"qenex/tx/1"
TIME_S_MAX: Final = TIME_NS_MAX // 1_000_000_000
SIGNATURE_BYTES_MAX: Final = max(SIGNATURE_BYTES.values())

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Body: TypeAlias = tuple[
    _Count, Address, Address, _Count, _Count, _Count, _Count, bytes, bytes, bytes,
    tuple[msgspec.Raw, ...], tuple[tuple[int, bytes, msgspec.Raw], ...], str, msgspec.Raw, str, bytes, bytes,
]  # fmt: skip
_Auth: TypeAlias = tuple[tuple[Address, Annotated[int, msgspec.Meta(ge=0, le=KEY_ID_MAX)], bytes], ...]
_TRAVEL: Final = (str, bytes, str, str, tuple, str)
_NIL: Final = msgspec.Raw(b"\xc0")

_sha256: Final = hashlib.sha256
_decode: Final = msgspec.msgpack.Decoder(tuple[_Body, _Auth]).decode
_encode: Final = msgspec.msgpack.Encoder().encode


class Call(NamedTuple):
    """One operation of a transaction: its row, the acting account, its fields as the handler wants them."""

    operation: Operation
    account: bytes
    args: tuple[Any, ...]


class Signature(NamedTuple):
    """One entry of `auth`."""

    account: bytes
    key_id: int
    signature: bytes


class Transaction(NamedTuple):
    """A well-formed transaction. `required` is every account that must authorise it, with the highest level asked of it."""

    raw: bytes
    hash: bytes
    body_hash: bytes
    chain_id: bytes
    sender: bytes
    lane: int
    seq: int
    valid_from: int
    valid_until: int
    client_ref: bytes
    max_fee: int
    fee_payer: bytes  # the sender when the envelope names none
    preconditions: tuple[tuple[Precondition, tuple[Any, ...]], ...]
    calls: tuple[Call, ...]
    memo: str
    travel: Value
    purpose: str
    e2e_id: bytes
    related_tx: bytes
    auth: tuple[Signature, ...]
    required: tuple[tuple[bytes, int], ...]

    @property
    def size(self) -> int:
        """Bytes of the raw form."""
        return len(self.raw)

    @property
    def sign_bytes(self) -> bytes:
        """What every signature is over: 42 bytes."""
        return SIGN_DOMAIN + self.body_hash

    @property
    def is_unordered(self) -> bool:
        """Whether it uses the unordered lane."""
        return self.lane == LANE_UNORDERED

    @classmethod
    def decode(cls, raw: bytes) -> Transaction:
        """The transaction of canonical bytes. Raises `TransactionError` (a `MalformedError`) whose `result` is 101 to 104."""
        if len(raw) > TX_BYTES_MAX:
            raise too_large(f"{len(raw)} bytes, at most {TX_BYTES_MAX} are allowed")
        try:
            body, auth = _decode(raw)
        except (ValueError, RecursionError) as error:
            raise malformed(f"not an envelope: {error}") from error
        packed = _encode(body)
        if b"\x92" + packed + _encode(auth) != raw:
            raise malformed("bytes are not in canonical form")
        (
            version, chain_id, sender, lane, seq, valid_from, valid_until, client_ref, max_fee, fee_payer,
            preconditions, ops, memo, raw_travel, purpose, e2e_id, related_tx,
        ) = body  # fmt: skip
        if not (
            version == VERSION
            and (lane <= LANE_ORDERED_MAX or lane == LANE_UNORDERED)
            and valid_from <= valid_until <= TIME_S_MAX
            and (not client_ref or len(client_ref) == CLIENT_REF_BYTES)
            and (not fee_payer or (len(fee_payer) == 32 and fee_payer != sender))
            and ops
            and (not related_tx or len(related_tx) == 32)
        ):
            raise malformed("an envelope field is out of range")
        if len(ops) > TX_OPS_MAX or len(auth) > TX_SIGNERS_MAX:
            raise too_large(f"at most {TX_OPS_MAX} operations and {TX_SIGNERS_MAX} signatures are allowed")
        if memo and len(memo.encode()) > MEMO_BYTES_MAX:
            raise too_large(f"a memo has at most {MEMO_BYTES_MAX} bytes")
        if purpose or e2e_id:
            _check_payment_data(purpose, e2e_id)
        travel = None if raw_travel == _NIL else _read_travel(bytes(raw_travel))
        fee = read_amount(max_fee)
        calls = tuple([_read_call(op, sender) for op in ops])
        new: Transaction = tuple.__new__(
            cls,
            (
                raw, _sha256(raw).digest(), _sha256(packed).digest(), chain_id, sender, lane, seq, valid_from, valid_until,
                client_ref, fee, fee_payer or sender, read_preconditions(preconditions) if preconditions else (),
                calls, memo, travel, purpose, e2e_id, related_tx, _read_auth(auth), _required(sender, calls),
            ),
        )  # fmt: skip
        return new


def _read_call(op: tuple[int, bytes, msgspec.Raw], sender: bytes) -> Call:
    code, account, fields = op
    operation = OPERATIONS.get(code)
    if operation is None:
        raise TransactionError(Code.UNKNOWN_OP_OR_FIELD, f"there is no operation {code}")
    if account:
        if len(account) != ACCOUNT_ADDRESS_BYTES or account == sender:
            raise malformed("`as` is another account's address, or empty")
    else:
        account = sender
    return tuple.__new__(Call, (operation, account, operation.read(fields)))


def _read_auth(auth: tuple[tuple[bytes, int, bytes], ...]) -> tuple[Signature, ...]:
    out = []
    last = (b"", 0)
    for item in auth:
        if len(item[2]) > SIGNATURE_BYTES_MAX:
            raise malformed("no signature is that long")
        if item[:2] < last:
            raise malformed("signatures are sorted by account and key id")
        last = item[:2]
        out.append(tuple.__new__(Signature, item))
    return tuple(out)


def _required(sender: bytes, calls: tuple[Call, ...]) -> tuple[tuple[bytes, int], ...]:
    """Every account that must authorise, in order of first mention, the sender first, with its highest level."""
    if len(calls) == 1:
        operation, account, _ = calls[0]
        if account == sender and operation.authorities is None:
            return ((sender, operation.level),)
    levels: dict[bytes, int] = {sender: Level.LOW}
    for operation, account, args in calls:
        levels[account] = max(levels.get(account, 0), operation.level)
        if operation.authorities is not None:
            for other, level in operation.authorities(account, args):
                levels[other] = max(levels.get(other, 0), level)
    return tuple(levels.items())


def _check_payment_data(purpose: str, e2e_id: bytes) -> None:
    if purpose and (len(purpose) != PURPOSE_BYTES_MAX or not purpose.isascii() or not purpose.isalnum()):
        raise malformed("a purpose is an ISO 20022 code of four letters or digits")
    if len(e2e_id) > E2E_ID_BYTES_MAX:
        raise too_large(f"an end-to-end id has at most {E2E_ID_BYTES_MAX} bytes")


def _read_travel(raw: bytes) -> Value:
    try:
        travel = decode(raw)
    except MalformedError as error:
        raise malformed(error.message) from error
    if type(travel) is not tuple:
        raise malformed("travel data is an array or nil")
    if tuple(map(type, travel)) != _TRAVEL:
        raise malformed("travel data is [scheme, payload hash, originator, beneficiary, attestation, reference]")
    scheme, payload_hash, originator, beneficiary, attestation, reference = travel
    if not scheme or len(payload_hash) != 32:
        raise malformed("travel data has a scheme and a payload hash of 32 bytes")
    if any(len(text.encode()) > TRAVEL_FIELD_BYTES_MAX for text in (scheme, originator, beneficiary, reference)):
        raise too_large(f"a travel field has at most {TRAVEL_FIELD_BYTES_MAX} bytes")
    if attestation:
        if tuple(map(type, attestation)) != (int, bytes):
            raise malformed("an attestation is [key id, signature]")
        if not 0 <= attestation[0] <= KEY_ID_MAX or len(attestation[1]) > SIGNATURE_BYTES_MAX:
            raise malformed("an attestation is out of range")
    return travel


# For clients: build, sign (alone or one after another), encode


def call(name: str, *, as_account: bytes = b"", **fields: Any) -> tuple[Value, ...]:
    """Wire form of an operation by its name and named fields; amounts are integers of base units.

    Raises `TransactionError` for an unknown operation or field.
    """
    operation = BY_NAME.get(name)
    if operation is None:
        raise TransactionError(Code.UNKNOWN_OP_OR_FIELD, f"there is no operation {name}")
    return (operation.code, as_account, operation.write(fields))


class Draft(NamedTuple):
    """An envelope on its way through its signers. Send `encode()` to the next signer, who goes on from `Draft.load`."""

    body: bytes
    auth: tuple[Signature, ...] = ()

    @property
    def sign_bytes(self) -> bytes:
        """What to sign."""
        return SIGN_DOMAIN + _sha256(self.body).digest()

    def sign(self, account: bytes, key_id: int, key: PrivateKey) -> Draft:
        """With this key's signature added."""
        return self.attach(account, key_id, key.sign(self.sign_bytes, CONTEXT_TX))

    def attach(self, account: bytes, key_id: int, signature: bytes) -> Draft:
        """With a signature made elsewhere (a hardware module) added; it replaces an earlier one of the same key."""
        others = [entry for entry in self.auth if entry[:2] != (account, key_id)]
        return Draft(self.body, tuple(sorted([*others, Signature(account, key_id, signature)])))

    def encode(self) -> bytes:
        """The raw transaction with the signatures so far."""
        return b"\x92" + self.body + encode([tuple(entry) for entry in self.auth])

    @classmethod
    def load(cls, raw: bytes) -> Draft:
        """The draft of raw bytes, fully checked. Raises `TransactionError`."""
        transaction = Transaction.decode(raw)
        auth = encode([tuple(entry) for entry in transaction.auth])
        return cls(raw[1 : len(raw) - len(auth)], transaction.auth)


def build(
    *,
    chain_id: bytes,
    sender: bytes,
    seq: int,
    valid_until: int,
    ops: Iterable[Sequence[Value]],
    lane: int = 0,
    valid_from: int = 0,
    client_ref: bytes = b"",
    max_fee: int = 0,
    fee_payer: bytes = b"",
    preconditions: Iterable[Sequence[Value]] = (),
    memo: str = "",
    travel: Sequence[Value] | None = None,
    purpose: str = "",
    e2e_id: bytes = b"",
    related_tx: bytes = b"",
) -> Draft:
    """An unsigned draft; `ops` come from `call`. Raises `TransactionError` for what no node would accept."""
    body = encode(
        (
            VERSION, chain_id, sender, lane, seq, valid_from, valid_until, client_ref, encode_amount(max_fee), fee_payer,
            tuple(preconditions), tuple(ops), memo, travel, purpose, e2e_id, related_tx,
        )
    )  # fmt: skip
    draft = Draft(body)
    Transaction.decode(draft.encode())
    return draft


def sign(draft: Draft, signers: Iterable[tuple[bytes, int, PrivateKey]]) -> bytes:
    """Raw bytes of the draft signed by every (account, key id, key)."""
    for account, key_id, key in signers:
        draft = draft.sign(account, key_id, key)
    return draft.encode()
