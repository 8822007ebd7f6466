"""The signer's process: dials its node, answers what is asked, one question at a time, for as long as it runs.

It alone holds the voting keys and their records. It signs what its node asks and its record allows, and nothing for anybody else: the
node's key is pinned, one connection is open at a time. A next key that `qenex keys rotate-validator` puts into its home is taken within a
second. Ends with an error when a record cannot be written. No socket is listened on.
"""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from contextlib import ExitStack, suppress
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import trio

from node.audit.commands import record_command
from node.config import Home
from node.config_sections import LOG_MODULES
from node.keystore import KeySet, Passphrase, Role, read_key_file
from node.signer_record import SignRequest, Step
from node.signing.desk import moment_of
from node.signing.home import open_identity, read_signer_home
from node.signing.key_files import open_ring
from node.signing.key_ring import KeyRing
from node.signing.key_watch import KeyWatch
from node.signing.link import Link
from node.signing.messages import (
    REQUEST_BYTES_MAX,
    VERSION,
    Abstain,
    Done,
    HeldKey,
    Keys,
    NodeHello,
    Ping,
    Refusal,
    Retire,
    Sign,
    Signatures,
    SignerHello,
    ToNode,
    ToSigner,
    decode_to_signer,
    encode_to_node,
    make_refusal,
)
from node.telemetry.logs import configure_logs, get_log, set_levels
from p2p.identity import NodeIdentity, PeerAddress, node_id_of
from p2p.transport import SecureStream, TcpTransport, Transport
from state.primitives.errors import (
    DoubleSignError,
    KeyFileError,
    MalformedError,
    NotAdmittedError,
    QenexError,
    RemoteError,
    RemoteSignerError,
    UnreachableError,
)

SILENCE_SECONDS_MAX: Final = 15.0  # of a node that pings every three
INTRODUCTION_SECONDS_MAX: Final = 10.0
REDIAL_SECONDS_MIN: Final = 0.1
STABLE_SECONDS: Final = 5.0  # a connection that lived this long resets the waiting


class SignerService:
    """`run` it. `on_retire` is told that the node has seen the set leave a key behind; it may set its files aside."""

    def __init__(
        self,
        ring: KeyRing,
        chain_id: str,
        genesis_hash: bytes,
        transport: Transport,
        node: PeerAddress,
        log: Any,
        *,
        redial_seconds_max: float = 1.0,
    ) -> None:
        self.on_retire: Callable[[], None] = lambda: None
        self._ring = ring
        self._chain_id = chain_id
        self._genesis_hash = genesis_hash
        self._transport = transport
        self._node = node
        self._log = log
        self._redial_seconds_max = redial_seconds_max
        self._link: Link | None = None
        self._told = 0
        self._last_trouble = ""

    async def run(self) -> None:
        """Serve until cancelled. Raises `SignerRecordError` when a record failed: then nothing can be signed any more."""
        delay = REDIAL_SECONDS_MIN
        while True:
            started = trio.current_time()
            try:
                await self._dial()
            except RemoteError as error:
                self._tell(error)
            if trio.current_time() - started > STABLE_SECONDS:
                delay = REDIAL_SECONDS_MIN
            await trio.sleep(delay * (0.5 + random.random()))
            delay = min(2 * delay, self._redial_seconds_max)

    async def tell_keys(self) -> None:
        """Our keys have changed: a node that is connected hears of it."""
        if self._link is not None:
            try:
                await self._link.send(encode_to_node(Keys(self._held())))
            except RemoteError:
                return  # it hears of them when it is back

    def answer(self, message: ToSigner) -> ToNode:
        """What becomes of one question. Raises `SignerRecordError` if the disk fails, `RemoteError` for what no node asks."""
        match message:
            case Sign():
                return self._sign(message)
            case Abstain(number, height):
                self._ring.abstain_through(height)
                return Done(number)
            case Retire(number, address):
                if address == self._ring.signers[0].address and len(self._ring.signers) > 1:
                    self.on_retire()
                return Done(number)
            case Ping(number):
                return Done(number)
        raise RemoteSignerError(f"the node says {type(message).__name__} in the middle of a connection")

    def _sign(self, message: Sign) -> Signatures | Refusal:
        wanted, address = message.message, message.address
        if getattr(wanted, "validator_address", address) != address:
            raise MalformedError("a vote of one validator is to be signed with the key of another")
        if all(signer.address != address for signer in self._ring.signers):
            return make_refusal(message.number, RemoteSignerError.code, f"the key of {address.hex().upper()} is not here", "")
        request = SignRequest(
            wanted.height,
            wanted.round,
            Step(moment_of(wanted)[2]),
            wanted.sign_bytes(self._chain_id),
            message.locked_value,
            message.locked_round,
            message.valid_value,
            message.valid_round,
            message.log_position,
        )
        try:
            return Signatures(message.number, *self._ring.sign(request, address))
        except DoubleSignError as error:
            self._log.warning("refused", height=wanted.height, round=wanted.round, code=error.code, reason=error.message)
            return make_refusal(message.number, error.code, error.message, error.hint)

    def _held(self) -> tuple[HeldKey, ...]:
        return tuple(HeldKey(signer.public_key, signer.pq_public_key, signer.record) for signer in self._ring.signers)

    # connections

    async def _dial(self) -> None:
        node = self._node
        stream: SecureStream | None = None
        try:
            with trio.move_on_after(INTRODUCTION_SECONDS_MAX):
                stream = await self._transport.dial(node.host, node.port)
        except OSError as error:
            raise UnreachableError(f"nobody answers at {node.place}: {error.strerror or error}") from error
        if stream is None:
            raise UnreachableError(f"no answer from {node.place} within {INTRODUCTION_SECONDS_MAX:.0f} s")
        link = Link(stream, REQUEST_BYTES_MAX)
        try:
            with trio.move_on_after(INTRODUCTION_SECONDS_MAX) as scope:
                await self._introduce(link, stream)
            if scope.cancelled_caught:
                raise UnreachableError(f"{node.place} did not say who it is within {INTRODUCTION_SECONDS_MAX:.0f} s")
            await self._serve(link)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise UnreachableError(f"the connection with {node.place} broke") from error
        finally:
            self._link = None
            with trio.CancelScope(shield=True):
                await link.aclose()

    async def _introduce(self, link: Link, stream: SecureStream) -> None:
        found = node_id_of(await stream.handshake())
        if found != self._node.id:
            raise NotAdmittedError(f"{self._node.place} answers with the key of {found}, not {self._node.id}")
        hello = decode_to_signer(await link.receive())
        if isinstance(hello, Refusal):
            raise RemoteSignerError(f"the node refuses us: {hello.text}", hint=hello.hint)
        if not isinstance(hello, NodeHello) or hello.version != VERSION:
            raise RemoteSignerError(f"the node does not speak version {VERSION} of this protocol", hint="install the same release on both")
        if hello.genesis_hash != self._genesis_hash:
            error = RemoteSignerError("the node is of another chain", hint="genesis.json of both homes must be the same file")
            await link.send(encode_to_node(make_refusal(0, error.code, error.message, error.hint)))
            raise error
        await link.send(encode_to_node(SignerHello(VERSION, self._genesis_hash, self._held())))

    async def _serve(self, link: Link) -> None:
        self._link = link
        is_heard = False
        while True:
            message = None
            with trio.move_on_after(SILENCE_SECONDS_MAX):
                message = decode_to_signer(await link.receive())
            if message is None:
                raise UnreachableError(f"the node was silent for {SILENCE_SECONDS_MAX:.0f} s")
            if isinstance(message, Refusal):
                raise RemoteSignerError(f"the node refuses us: {message.text}", hint=message.hint)
            if not is_heard:
                is_heard = True
                self._last_trouble = ""
                self._log.info("serving", node=str(self._node))
            answer = self.answer(message)
            if isinstance(answer, Refusal):
                await link.send(encode_to_node(Keys(self._held())))  # the record is not what the node thinks
            await link.send(encode_to_node(answer))

    def _tell(self, error: QenexError) -> None:
        """Each trouble once, until there is another or it is over."""
        if error.message != self._last_trouble:
            self._last_trouble = error.message
            self._log.warning("not connected", error=error.name, code=error.code, reason=error.message, hint=error.hint)


def run_signer(root: Path, passphrase: Passphrase) -> int:
    """Run the signer of a home until SIGTERM or Ctrl-C. Raises `QenexError` for an operator's mistake and for a record that failed."""
    found = read_signer_home(root)

    def read_keys(path: Path) -> KeySet:
        return read_key_file(path, passphrase, role=Role.VALIDATOR)

    with ExitStack() as stack:
        identity = NodeIdentity(open_identity(found.home, passphrase))
        ring = open_ring(found.home, found.document.hash, read_keys)
        if ring is None:
            raise KeyFileError(f"{found.home.validator_key_file} is missing", hint="qenex signer init makes one")
        stack.callback(ring.close)
        config = found.config
        configure_logs(level=config.log.level, as_json=config.log.format == "json", moniker="signer")
        set_levels(dict.fromkeys(LOG_MODULES, config.log.level))
        log = get_log("signer")
        node, transport = PeerAddress.parse(config.node), TcpTransport(identity)
        service = SignerService(
            ring,
            found.document.chain_id,
            found.document.hash,
            transport,
            node,
            log,
            redial_seconds_max=config.redial_ms_max / 1000,
        )
        watch = KeyWatch(found.home, found.document.hash, ring, read_keys, log)
        watch.on_changed = service.tell_keys
        service.on_retire = watch.retire_old
        addresses = " ".join(address.hex().upper() for address in ring.addresses)
        record_command(found.home, "signer.start", version=metadata.version("qenex-node"), validator_address=addresses, node=config.node)
        stack.callback(_note_stop, found.home)
        log.info("signer started", id=identity.id, node=config.node, addresses=[address.hex().upper() for address in ring.addresses])
        try:
            return trio.run(_run, service, watch, log)
        except BaseExceptionGroup as group:
            failures = group.subgroup(QenexError)
            if failures is None:
                raise
            raise _first(failures) from group


def _note_stop(home: Home) -> None:
    with suppress(QenexError):  # it is over; whatever ended it must not be hidden
        record_command(home, "signer.stop", reason="")


async def _run(service: SignerService, watch: KeyWatch, log: Any) -> int:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(service.run)
        nursery.start_soon(watch.run)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                log.info("stopping", signal=signal.Signals(number).name)
                break
        nursery.cancel_scope.cancel()
    return 0


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
