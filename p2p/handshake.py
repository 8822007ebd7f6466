"""How two nodes introduce themselves inside TLS before either counts as a peer. Sans-I/O.

Both send `QENEX1` and a greeting at once; each judges the other's and answers with a verdict: accepted, or the
code of the error. Only who has given *and* received "accepted" is a peer, so the two sides never disagree for
longer than a message is under way. Messages are `length u16 big-endian | canonical msgpack`: `[1, seven
fields]` a greeting, `[2, code]` a verdict, 0 for accepted. A refusal may come instead of the greeting (a key
that is not admitted learns nothing about us, not even which chain we serve).

No signature binds the greeting to the TLS session, because TLS already does: both sides have proved possession
of their ML-DSA-87 key in the CertificateVerify of this very session, over its transcript, and the greeting
travels inside it. A relay in the middle would need one of the two keys; a recorded greeting replayed in another
session arrives under the replayer's own key. The chain is compared by genesis hash, so two networks that share
a name never mix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from state.primitives.codec import decode, encode
from state.primitives.errors import (
    BadFrameError,
    DuplicatePeerError,
    MalformedError,
    NotAdmittedError,
    PeerBannedError,
    ProtocolVersionError,
    QenexError,
    RefusedByPeerError,
    TooManyPeersError,
    WrongChainError,
)
from state.primitives.hashing import HASH_BYTES
from state.primitives.limits import HEIGHT_MAX

PROTOCOL_VERSION: Final = 2
MAGIC: Final = b"QENEX1"
MESSAGE_BYTES_MAX: Final = 12 * 1024  # 19 texts of 128 characters, four bytes each at worst, fit
TEXT_CHARS_MAX: Final = 128
CAPABILITIES_MAX: Final = 16
ACCEPTED: Final = 0
_GREETING: Final = 1
_VERDICT: Final = 2
_LENGTH_BYTES: Final = 2
_CODE_MAX: Final = 9999
_REASONS: Final[dict[int, str]] = {
    kind.code: kind.name
    for kind in (
        BadFrameError,
        DuplicatePeerError,
        MalformedError,
        NotAdmittedError,
        PeerBannedError,
        ProtocolVersionError,
        TooManyPeersError,
        WrongChainError,
    )
}


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a node says of itself. `height` is its last decided height; it is only a hint."""

    protocol: int
    genesis_hash: bytes
    version: str
    moniker: str
    address: str
    capabilities: tuple[str, ...]
    height: int

    def to_wire(self) -> tuple[object, ...]:
        """The seven fields."""
        return (
            self.protocol,
            self.genesis_hash,
            self.version,
            self.moniker,
            self.address,
            self.capabilities,
            self.height,
        )

    @classmethod
    def from_wire(cls, value: tuple[object, ...]) -> Greeting:
        """Inverse of `to_wire`. Raises `MalformedError`."""
        if len(value) != 7:
            raise MalformedError("a greeting has seven fields")
        protocol, genesis_hash, version, moniker, address, capabilities, height = value
        if type(protocol) is not int or type(genesis_hash) is not bytes or len(genesis_hash) != HASH_BYTES:
            raise MalformedError("a greeting names a protocol and a genesis hash")
        if type(capabilities) is not tuple or len(capabilities) > CAPABILITIES_MAX:
            raise MalformedError(f"a greeting lists at most {CAPABILITIES_MAX} capabilities")
        if type(height) is not int or not 0 <= height <= HEIGHT_MAX:
            raise MalformedError("a greeting's height is a height")
        return cls(
            protocol,
            genesis_hash,
            _check_text(version),
            _check_text(moniker),
            _check_text(address),
            tuple(_check_text(text) for text in capabilities),
            height,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """0, or the code of the error for which the peer refuses us."""

    code: int


Message: TypeAlias = Greeting | Verdict


def encode_greeting(greeting: Greeting) -> bytes:
    """One message."""
    return _frame((_GREETING, *greeting.to_wire()))


def encode_verdict(code: int) -> bytes:
    """One message."""
    return _frame((_VERDICT, code))


def decode_message(data: bytes) -> Message:
    """What is in one message, without its length. Raises `MalformedError`."""
    value = decode(data, bytes_max=MESSAGE_BYTES_MAX, depth_max=2, items_max=32)
    if type(value) is tuple and value and type(value[0]) is int:
        if value[0] == _GREETING:
            return Greeting.from_wire(value[1:])
        if value[0] == _VERDICT and len(value) == 2 and type(value[1]) is int and 0 <= value[1] <= _CODE_MAX:
            return Verdict(value[1])
    raise MalformedError("neither a greeting nor a verdict")


def check_greeting(ours: Greeting, theirs: Greeting) -> None:
    """Whether we can talk. Raises `ProtocolVersionError`, `WrongChainError`."""
    if theirs.protocol != ours.protocol:
        raise ProtocolVersionError(f"the peer speaks protocol {theirs.protocol}, we speak {ours.protocol}")
    if theirs.genesis_hash != ours.genesis_hash:
        raise WrongChainError(f"the peer is of another chain, genesis {theirs.genesis_hash.hex()[:16]}")


class Introduction:
    """One side of an introduction. The driver sends what it is given and feeds what arrives.

    `greeting` is theirs once it has come; `is_accepted` once their verdict has; then `rest` is what came behind
    it, the first frames.
    """

    def __init__(self, ours: Greeting) -> None:
        self._ours = ours
        self._buffer = b""
        self._has_magic = False
        self._is_open = False  # our magic is out
        self.greeting: Greeting | None = None
        self.is_accepted = False
        self.refused_with = 0  # the code of their verdict

    @property
    def rest(self) -> bytes:
        """Bytes behind the peer's verdict."""
        return self._buffer if self.is_accepted else b""

    def open(self) -> bytes:
        """Our first words."""
        self._is_open = True
        return MAGIC + encode_greeting(self._ours)

    def accept(self) -> bytes:
        """Our verdict on an acceptable greeting."""
        return encode_verdict(ACCEPTED)

    def refuse(self, error: QenexError) -> bytes:
        """Our last words; they say why, by code only."""
        head = b"" if self._is_open else MAGIC
        self._is_open = True
        return head + encode_verdict(error.code)

    def feed(self, data: bytes) -> None:
        """Take bytes of the peer. Raises `BadFrameError`, `MalformedError`, `RefusedByPeerError` if it will not
        have us."""
        self._buffer += data
        if not self._has_magic:
            if not MAGIC.startswith(self._buffer[: len(MAGIC)]):
                raise BadFrameError("the peer does not speak our protocol")
            if len(self._buffer) < len(MAGIC):
                return
            self._buffer = self._buffer[len(MAGIC) :]
            self._has_magic = True
        while not self.is_accepted and (message := self._next()) is not None:
            if isinstance(message, Verdict):
                if message.code != ACCEPTED:
                    self.refused_with = message.code
                    raise RefusedByPeerError(f"the peer refuses us: {_REASONS.get(message.code, message.code)}")
                if self.greeting is None:
                    raise BadFrameError("a verdict before the greeting")
                self.is_accepted = True
            elif self.greeting is not None:
                raise BadFrameError("a second greeting")
            else:
                self.greeting = message

    def _next(self) -> Message | None:
        if len(self._buffer) < _LENGTH_BYTES:
            return None
        size = int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
        if size > MESSAGE_BYTES_MAX:
            raise BadFrameError(f"an introduction of {size} bytes")
        end = _LENGTH_BYTES + size
        if len(self._buffer) < end:
            return None
        message = decode_message(self._buffer[_LENGTH_BYTES:end])
        self._buffer = self._buffer[end:]
        return message


def _frame(value: tuple[object, ...]) -> bytes:
    data = encode(value)
    return len(data).to_bytes(_LENGTH_BYTES, "big") + data


def _check_text(text: object) -> str:
    # printable: a moniker ends up in logs and on terminals
    if type(text) is not str or len(text) > TEXT_CHARS_MAX or not text.isprintable():
        raise MalformedError(f"a greeting's texts are printable and at most {TEXT_CHARS_MAX} characters long")
    return text
