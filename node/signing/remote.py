"""A signer in another process, as the node sees it: a place where it calls, whose key must call there, what is known of its record.

The signer dials the node (docs/decisions/0016): its machine needs no open port. The link is TLS 1.3 with both keys pinned, as between
peers, and begins with words of its own. One connection at a time: a second one is refused while the first answers. A connection is used
only after the signer's chain, keys and records were looked at; each signature that comes is verified, because a wrong one, sent on, would
cost this node its peers.

While nobody is connected the node follows and signs nothing; it says so once, and once more when the signer is back. What was asked for
meanwhile waits at the desk. No key in here, and no decision about what is signed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import trio

from consensus.vote import Proposal, Vote
from node.signer_record import SignerRecord, SignRequest, Step
from node.signing.link import Link
from node.signing.messages import (
    ANSWER_BYTES_MAX,
    VERSION,
    Abstain,
    HeldKey,
    NodeHello,
    Refusal,
    Retire,
    Sign,
    Signatures,
    SignerHello,
    decode_to_node,
    encode_to_signer,
    make_refusal,
)
from node.signing.session import Session
from node.signing.voter import choose_address
from p2p.defects import LINK_ENDS
from p2p.identity import node_id_of
from p2p.limits import REFUSAL_SECONDS_MAX, LinkLimits, Notices
from p2p.listener import Doorkeeper, Visit, describe_timeout
from p2p.transport import SecureStream, Transport
from state.primitives.errors import (
    ConnectionLostError,
    DoubleSignError,
    DuplicatePeerError,
    NotAdmittedError,
    PortInUseError,
    QenexError,
    RemoteError,
    RemoteSignerError,
    SignerAwayError,
    SignerRecordError,
)
from state.primitives.keys import CONTEXT_VOTE, KeyKind, PublicKey
from state.primitives.limits import ROUND_MAX
from state.validators import ValidatorSet

LIMITS: Final = LinkLimits(handshake_seconds_max=10.0, handshakes_max=8, handshakes_per_host_max=4)
PROBE_SECONDS_MAX: Final = 2.0  # for the connected signer to answer when another connection wants its place


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """Where the signer calls and who it must be; `addresses` are those that the validator is known to vote with, the oldest first."""

    host: str
    port: int
    signer_id: str
    genesis_hash: bytes
    addresses: tuple[bytes, ...]
    answer_seconds_max: float


class RemoteSigner:
    """See `VoteSigner`. `run` it for the life of the node.

    `judge` is given the record of each key before a connection is used, and raises a `QenexError` for one that is older than the chain.
    `measure` hears how many seconds each signature took, `count_refusal` the code of each refusal.
    """

    answers_at_once = False

    def __init__(self, settings: RemoteSettings, transport: Transport, warn: Callable[[str, QenexError], None]) -> None:
        self.judge: Callable[[SignerRecord], None] = lambda record: None
        self.measure: Callable[[float], None] = lambda seconds: None
        self.count_refusal: Callable[[int], None] = lambda code: None
        self.on_here: Callable[[], None] = lambda: None
        self.on_gone: Callable[[], None] = lambda: None
        self._settings = settings
        self._transport = transport
        self._warn = warn
        self._notices = Notices()
        self._door = Doorkeeper(self._serve, LIMITS, self._notice)
        self._known = list(settings.addresses)
        self._address = self._known[0] if self._known else b""
        self._keys: dict[bytes, HeldKey] = {}
        self._session: Session | None = None
        self._ready = trio.Event()
        self._floor = 0  # nothing is signed up to this height

    # VoteSigner

    @property
    def is_connected(self) -> bool:
        """Whether the signer can be asked."""
        return self._session is not None

    @property
    def address(self) -> bytes:
        """See `VoteSigner`."""
        return self._address

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """See `VoteSigner`."""
        return tuple(self._known)

    @property
    def held(self) -> tuple[bytes, ...]:
        """The addresses whose keys the signer holds, the oldest first, as it said last."""
        return tuple(self._keys)

    @property
    def public_key(self) -> bytes:
        """See `VoteSigner`."""
        held = self._keys.get(self._address)
        return bytes(32) if held is None else held.key

    @property
    def record(self) -> SignerRecord | None:
        """See `VoteSigner`."""
        held = self._keys.get(self._address)
        return None if held is None else held.record

    def select(self, validators: ValidatorSet) -> None:
        """See `VoteSigner`."""
        self._address = choose_address(self._known, validators, self._address)

    async def wait_ready(self) -> None:
        """See `VoteSigner`."""
        await self._ready.wait()

    async def ask(self, message: Vote | Proposal, request: SignRequest, address: bytes) -> tuple[bytes, bytes]:
        """See `VoteSigner`. Raises `RemoteSignerError` also for a refusal of another kind than `DoubleSignError`."""
        session, held = self._session, self._keys.get(address)
        if session is None:
            raise SignerAwayError("the signer is not connected", hint="nothing is signed until it is back")
        if held is None:
            raise RemoteSignerError(f"the signer does not hold the key of {address.hex().upper()}", hint="see qenex signer show")
        started = trio.current_time()
        locks = request.locked_value, request.locked_round, request.valid_value, request.valid_round
        answer = await session.request(
            lambda number: Sign(number, address, message, *locks, request.log_position), self._settings.answer_seconds_max
        )
        if isinstance(answer, Refusal):
            self.count_refusal(answer.code)
            kind = DoubleSignError if answer.code == DoubleSignError.code else RemoteSignerError
            raise kind(f"the signer refuses: {answer.text}", hint=answer.hint)
        if not isinstance(answer, Signatures) or not _is_signed(held, request.sign_bytes, answer):
            session.end()
            raise RemoteSignerError("the signer gave a signature that does not verify", hint="check the files of the signer's home")
        self.measure(trio.current_time() - started)
        record = replace(
            held.record,
            height=request.height,
            round=request.round,
            step=int(request.step),
            signature=answer.signature,
            log_position=request.log_position,
        )
        self._keys[address] = replace(held, record=record)
        return answer.signature, answer.pq_signature

    def knows(self, height: int, round_: int, step: Step) -> bool:
        """See `VoteSigner`. What cannot be known now is looked at when the signer comes."""
        record = self.record
        if record is None or self._session is None:
            return True
        if height == record.height and not record.signature:
            return False
        return record.moment >= (height, round_, int(step))

    def abstain_through(self, height: int) -> None:
        """See `VoteSigner`. Holds here at once; the signer is told as soon as it is there."""
        self._floor = max(self._floor, height)
        self._on_keys(tuple(self._keys.values()))
        if self._session is not None:
            self._session.send_errand("abstain", lambda number: Abstain(number, height))

    def require_at_least(self, height: int, round_: int, step: Step) -> None:
        """See `VoteSigner`."""
        record = self.record
        if record is not None and record.moment < (height, round_, int(step)):
            raise SignerRecordError(
                f"the signer's record ends at height {record.height}, but the chain holds this validator's signature at {height}",
                hint="the record is older than the key's last signature: it was restored from a backup, or the key runs elsewhere",
            )

    def retire(self, address: bytes) -> None:
        """The validator set has left this key behind: the signer may set it aside."""
        if self._session is not None:
            self._session.send_errand("retire", lambda number: Retire(number, address))

    # connections

    async def run(self, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; reports `host:port` once it listens. Raises `PortInUseError`."""
        host, port = self._settings.host, self._settings.port
        try:
            listeners = await self._transport.listen(host, port)
        except OSError as error:
            raise PortInUseError(
                f"cannot listen for the signer on {host}:{port}: {error.strerror or error}",
                hint="stop the program that uses the port, or change [signer] listen in config.toml",
            ) from error
        async with trio.open_nursery() as nursery:
            for listener in listeners:
                nursery.start_soon(self._door.run, listener, nursery)
            task_status.started(listeners[0].address)

    async def _serve(self, stream: SecureStream, visit: Visit) -> None:
        link = Link(stream, ANSWER_BYTES_MAX)
        try:
            hello = None
            with visit.scope:
                try:
                    await self._check_caller(stream)
                    await link.send(encode_to_signer(NodeHello(VERSION, self._settings.genesis_hash)))
                    hello = decode_to_node(await link.receive())
                    self._check_hello(hello)
                except QenexError as error:
                    if not isinstance(error, ConnectionLostError):
                        await _refuse(link, stream, error)
                    raise
            if not isinstance(hello, SignerHello):
                raise describe_timeout(visit.scope, LIMITS.handshake_seconds_max)
            self._door.passed(visit)
            await self._host(link, hello)
        except LINK_ENDS:
            return
        except SignerRecordError as error:
            self._notice(visit.host, error)
        finally:
            with trio.CancelScope(shield=True):
                await link.aclose()

    async def _check_caller(self, stream: SecureStream) -> None:
        caller = node_id_of(await stream.handshake())
        if caller != self._settings.signer_id:
            raise NotAdmittedError(f"{caller} is not this node's signer")
        if self._session is not None and await self._session.is_alive(PROBE_SECONDS_MAX):
            raise DuplicatePeerError("the signer is connected already, and answers")

    def _check_hello(self, hello: object) -> None:
        """Raises `RemoteSignerError`, or `SignerRecordError` for a record that the chain has left behind."""
        if isinstance(hello, Refusal):
            raise RemoteSignerError(f"the signer will not work for this node: {hello.text}", hint=hello.hint)
        if not isinstance(hello, SignerHello):
            raise RemoteSignerError("the signer does not say who it is")
        if hello.version != VERSION:
            raise RemoteSignerError(f"the signer speaks version {hello.version}, not {VERSION}", hint="install the same release on both")
        if hello.genesis_hash != self._settings.genesis_hash:
            raise RemoteSignerError("the signer's record belongs to another chain", hint="genesis.json of both homes must be the same file")
        if self._known and not any(held.address in self._known for held in hello.keys):
            listed = ", ".join(held.address.hex().upper() for held in hello.keys)
            raise RemoteSignerError(f"the signer votes as {listed}, which is not this validator", hint="check [signer] validator")
        for held in hello.keys:
            self.judge(held.record)
        if self._session is not None:
            raise DuplicatePeerError("the signer is connected already")  # two of them came in the same moment

    async def _host(self, link: Link, hello: SignerHello) -> None:
        def let_go() -> None:
            if self._session is session:
                self._session = None
                self._ready = trio.Event()

        session = self._session = Session(link, self._on_keys, let_go)
        self._on_keys(hello.keys)
        self._ready.set()
        self.on_here()
        if self._floor:
            floor = self._floor
            session.send_errand("abstain", lambda number: Abstain(number, floor))
        try:
            await session.run()
        except RemoteError as error:
            self._notice("signer", error)
        self.on_gone()
        self._warn("signer", SignerAwayError("the signer is gone", hint="nothing is signed until it is back; this node follows"))

    def _on_keys(self, keys: tuple[HeldKey, ...]) -> None:
        known: dict[bytes, HeldKey] = {}
        for held in keys:
            record = held.record
            if record.height < self._floor:
                record = SignerRecord(record.chain_id, held.address, self._floor, ROUND_MAX, int(Step.PRECOMMIT))
            known[held.address] = replace(held, record=record)
            if held.address not in self._known:
                self._known.append(held.address)
        self._keys = known
        if self._address not in self._known:
            self._address = next(iter(self._known), b"")

    def _notice(self, who: str, error: QenexError) -> None:
        if isinstance(error, RemoteSignerError | SignerRecordError):
            self.count_refusal(error.code)
        if not isinstance(error, ConnectionLostError) and self._notices.is_due(who, error.code, trio.current_time()):
            self._warn("signer", error)


def _is_signed(held: HeldKey, sign_bytes: bytes, answer: Signatures) -> bool:
    key = PublicKey(KeyKind.ED25519, held.key)
    is_classic = key.verify(sign_bytes, answer.signature, b"")
    return is_classic and held.pq_key.verify(sign_bytes, answer.pq_signature, CONTEXT_VOTE)


async def _refuse(link: Link, stream: SecureStream, error: QenexError) -> None:
    """Say why, and wait a moment for the other side to hang up: closing with bytes unread would lose the words."""
    with trio.move_on_after(REFUSAL_SECONDS_MAX):
        try:
            await link.send(encode_to_signer(make_refusal(0, error.code, error.message, error.hint)))
            while await stream.receive_some():
                pass
        except (RemoteError, *LINK_ENDS):
            return
