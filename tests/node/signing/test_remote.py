"""A node and its signer over a network in memory: what is signed, what is refused, and what every broken connection comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
import trio.testing

from consensus.messages import Lock
from consensus.vote import VoteType
from node.signer_record import SignerRecord, SignRequest
from node.signing.key_ring import KeyRing
from node.signing.messages import (
    ANSWER_BYTES_MAX,
    MAGIC,
    Done,
    Frames,
    NodeHello,
    Signatures,
    SignerHello,
    ToNode,
    ToSigner,
    decode_to_signer,
    encode_to_node,
    encode_to_signer,
)
from node.signing.service import SignerService
from p2p.identity import NodeIdentity
from state.primitives.errors import (
    DoubleSignError,
    NotAdmittedError,
    QenexError,
    RemoteSignerError,
    SignerAwayError,
    SignerRecordError,
)
from state.primitives.keys import CONTEXT_VOTE, KeyKind
from state.primitives.limits import ROUND_MAX
from tests.node.signing.keys import (
    CHAIN_ID,
    NODE,
    SIGNER,
    STRANGER,
    make_pair,
    make_ring,
    make_set,
    make_signer,
    open_signer,
    request_of,
    vote,
)
from tests.node.signing.pair import PLACE, Pair


async def ask(pair: Pair, height: int, *, content: bytes = b"x", address: bytes | None = None, lock: Lock | None = None) -> bytes:
    """The ML-DSA signature of a prevote."""
    who = pair.address if address is None else address
    message = vote(who, height, content=content)
    return (await pair.remote.ask(message, request_of(message, lock), who))[1]


async def wait_for(condition: Callable[[], object]) -> None:
    with trio.fail_after(120):
        while not condition():
            await trio.sleep(0.05)


async def test_both_signatures_and_the_record_as_here(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    pair = Pair(tmp_path)
    async with pair.running() as remote:
        assert remote.record is not None and remote.record.moment == (0, 0, 0)
        message = vote(pair.address, 5, 2, VoteType.PRECOMMIT)
        request = request_of(message, log_position=77)
        signature, pq_signature = await remote.ask(message, request, pair.address)
        key, pq_key = make_pair("old")
        assert key.public_key.verify(request.sign_bytes, signature, b"")
        assert pq_key.public_key.verify(request.sign_bytes, pq_signature, CONTEXT_VOTE)
        assert pair.ring.record.sign_bytes == request.sign_bytes
        assert remote.record is not None
        assert remote.record.moment == pair.ring.record.moment == (5, 2, 3)
        assert remote.record.log_position == pair.ring.record.log_position == 77
        assert await remote.ask(message, request, pair.address) == (signature, pq_signature)  # the stored ones
        assert remote.public_key == key.public_key.data
    assert pair.notes == ["the signer is here"]
    assert pair.warnings == []


async def test_what_contradicts_the_record_is_refused_with_its_code(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pair = Pair(tmp_path)
    async with pair.running() as remote:
        await ask(pair, 5)
        for height, content in ((5, b"other"), (4, b"x")):
            with pytest.raises(DoubleSignError, match="the signer refuses"):
                await ask(pair, height, content=content)
        assert remote.is_connected
        assert pair.refusals == [DoubleSignError.code] * 2
        unlocked = Lock(None, -1, None, -1)
        locked = replace(unlocked, locked_value=vote(b"", 1).block_id, locked_round=1, valid_value=vote(b"", 1).block_id, valid_round=1)
        await ask(pair, 6, lock=locked)
        message = vote(pair.address, 6, 2)
        with pytest.raises(DoubleSignError, match="locked value"):
            await remote.ask(message, request_of(message, unlocked), pair.address)
        assert pair.ring.record.height == 6


async def test_the_height_that_is_recorded_is_the_one_that_is_signed(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A node that was broken into says height 9 and has a vote of height 5 signed a second time: it cannot."""
    pair = Pair(tmp_path)
    async with pair.running() as remote:
        await ask(pair, 5)
        lie = vote(pair.address, 5, content=b"other")
        with pytest.raises(DoubleSignError):
            await remote.ask(lie, replace(request_of(lie), height=9), pair.address)
        assert pair.ring.record.height == 5


async def test_a_key_that_the_signer_lacks(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    pair = Pair(tmp_path)
    async with pair.running() as remote:
        with pytest.raises(RemoteSignerError, match="does not hold"):
            await ask(pair, 5, address=bytes(20))
        service = pair.make_service()
        message = vote(pair.address, 5)
        assert remote.is_connected
        with pytest.raises(QenexError, match="another"):
            service.answer(_sign(message.__class__, pair.address))


def _sign(_: object, address: bytes) -> ToSigner:
    from node.signing.messages import Sign

    return Sign(1, address, vote(bytes(20), 5), b"", -1, b"", -1, 0)


async def test_away_from_the_start_and_back(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    pair = Pair(tmp_path)
    async with pair.running(with_signer=False) as remote:
        with pytest.raises(SignerAwayError):
            await ask(pair, 5)
        assert remote.record is None
        assert remote.knows(7, 0, 3)  # it cannot be told now
        pair.start_signer()
        await remote.wait_ready()
        await ask(pair, 5)
        assert not remote.knows(7, 0, 3)
        pair.stop_signer()
        await wait_for(lambda: not remote.is_connected)
        with pytest.raises(SignerAwayError):
            await ask(pair, 6)
        pair.start_signer()
        await remote.wait_ready()
        await ask(pair, 6)
    assert [type(error) for error in pair.warnings] == [SignerAwayError]
    assert pair.notes == ["the signer is here"] * 2


async def test_an_answer_that_is_lost_is_given_again(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The connection breaks between the record and the answer; the next one brings the very same signature."""
    pair = Pair(tmp_path)
    async with pair.running() as remote:
        pair.network.wire(SIGNER.id, NODE.id).is_dead = True
        with pytest.raises(SignerAwayError):
            await ask(pair, 5)
        stored = pair.ring.record.pq_signature
        assert stored
        pair.network.wire(SIGNER.id, NODE.id).is_dead = False
        await remote.wait_ready()
        assert remote.record is not None and remote.record.height == 5
        assert await ask(pair, 5) == stored


async def test_a_request_that_is_cut_leaves_nothing_half_done(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pair = Pair(tmp_path)
    async with pair.running() as remote:
        wire = pair.network.wire(NODE.id, SIGNER.id)
        wire.delay_seconds = 1.0
        async with trio.open_nursery() as nursery:

            async def cut() -> None:
                await trio.sleep(0.1)
                pair.network.cut(NODE.id, SIGNER.id)

            nursery.start_soon(cut)
            with pytest.raises(SignerAwayError):
                await ask(pair, 5)
        assert pair.ring.record.height == 0
        wire.delay_seconds = 0.0
        await remote.wait_ready()
        await ask(pair, 5)


async def test_a_signer_that_is_too_slow_is_left(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Its answer can never come to another question: the connection ends with the deadline."""
    pair = Pair(tmp_path, seconds_max=0.5)
    async with pair.running() as remote:
        pair.network.wire(SIGNER.id, NODE.id).delay_seconds = 0.7
        with pytest.raises(SignerAwayError, match=r"within 0.5 s"):
            await ask(pair, 5)
        pair.network.wire(SIGNER.id, NODE.id).delay_seconds = 0.0
        await wait_for(lambda: not remote.is_connected)
        await remote.wait_ready()
        await ask(pair, 5)


async def test_a_node_that_is_silent_is_dialled_anew(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    pair = Pair(tmp_path)
    async with pair.running() as remote:
        pair.network.wire(NODE.id, SIGNER.id).is_dead = True
        await wait_for(lambda: not remote.is_connected)
        pair.network.wire(NODE.id, SIGNER.id).is_dead = False
        await remote.wait_ready()
        await ask(pair, 5)


async def test_another_identity_is_turned_away(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    pair = Pair(tmp_path)
    async with pair.running(with_signer=False) as remote:
        pair.start_signer(pair.make_service(identity=STRANGER))
        await wait_for(lambda: pair.warnings)
        assert isinstance(pair.warnings[0], NotAdmittedError)
        assert not remote.is_connected
        assert pair.ring.record.height == 0


async def test_a_node_with_another_key_gets_nothing(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Somebody else listens where the node should: the signer says no word to it."""
    pair = Pair(tmp_path)
    heard: list[bytes] = []
    listener = (await pair.network.transport(STRANGER).listen(*PLACE))[0]

    async def listen() -> None:
        while True:
            stream, _ = await listener.accept()
            try:
                await stream.handshake()
                await stream.send_all(MAGIC + encode_to_signer(NodeHello(1, bytes(32))))
                heard.append(await stream.receive_some())
            except trio.BrokenResourceError:
                heard.append(b"")

    with trio.fail_after(120):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            nursery.start_soon(pair.make_service().run)
            await wait_for(lambda: len(heard) > 1)
            nursery.cancel_scope.cancel()
    assert set(heard) == {b""}
    pair.ring.close()


async def test_another_chain_and_another_validator_are_refused(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    other = make_ring(tmp_path / "other", "other")
    pair = Pair(tmp_path)
    async with pair.running(with_signer=False) as remote:
        pair.start_signer(pair.make_service(chain=bytes(32)))
        await wait_for(lambda: pair.warnings)
        assert "another chain" in pair.warnings[0].message
        pair.stop_signer()
        pair.start_signer(pair.make_service(ring=other))
        await wait_for(lambda: len(pair.refusals) >= 3)
        assert not remote.is_connected
        assert remote.addresses == pair.ring.addresses
    other.close()
    assert set(pair.refusals) == {RemoteSignerError.code}


async def test_a_record_that_the_chain_has_left_behind_is_not_used(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pair = Pair(tmp_path)

    def judge(record: SignerRecord) -> None:
        raise SignerRecordError("the signer's record ends at height 0")

    pair.remote.judge = judge
    async with pair.running(with_signer=False) as remote:
        pair.start_signer()
        await wait_for(lambda: pair.warnings)
        assert isinstance(pair.warnings[0], SignerRecordError)
        await trio.sleep(60)
        assert not remote.is_connected
        assert len(pair.warnings) <= 3  # it tries again and again; the operator is told now and then


async def test_a_second_signer_is_refused_while_the_first_answers(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A home that was copied: same identity, same keys, a record of its own. Only one is connected, whatever both try."""
    pair = Pair(tmp_path)
    copy = KeyRing([make_signer(tmp_path / "copy", "old")])
    async with pair.running() as remote:
        await ask(pair, 5)
        pair.start_signer(pair.make_service(ring=copy))
        await trio.sleep(30)
        await ask(pair, 6)
        assert (pair.ring.record.height, copy.record.height) == (6, 0)
        assert remote.is_connected
    copy.close()


async def test_a_dead_connection_gives_way(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The signer's machine lost its power: its next life is taken at once, not when the old connection is given up."""
    pair = Pair(tmp_path)
    async with pair.running() as remote:
        await ask(pair, 5)
        pair.network.wire(SIGNER.id, NODE.id).is_dead = True  # nothing of the old life comes any more
        for scope in pair._scopes:
            scope.cancel()
        await trio.sleep(0.1)
        pair.network.wire(SIGNER.id, NODE.id).is_dead = False
        assert remote.is_connected
        started = trio.current_time()
        pair.start_signer()
        await wait_for(lambda: len(pair.notes) == 2)
        assert trio.current_time() - started < 5
        await ask(pair, 6)


GARBAGE = {
    "nothing": b"",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "a peer": b"QENEX1" + b"\x00\x10" + bytes(16),
    "a long frame": MAGIC + b"\xff\xff\xff\xff" + bytes(100),
    "an empty frame": MAGIC + bytes(4),
    "no array": MAGIC + b"\x00\x00\x00\x01\x05",
    "no hello": MAGIC + encode_to_node(Done(1)),
    "another version": MAGIC + encode_to_node(SignerHello(9, bytes(32), ())),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_from_the_right_key_is_no_signer(
    tmp_path: Path, name: str, autojump_clock: trio.testing.MockClock
) -> None:
    pair = Pair(tmp_path)
    async with pair.running(with_signer=False) as remote:
        stream = await pair.network.transport(SIGNER).dial(*PLACE)
        await stream.handshake()
        await stream.send_all(GARBAGE[name])
        with trio.fail_after(60), pytest.raises((trio.BrokenResourceError, EOFError)):
            while await stream.receive_some():
                pass
            raise EOFError
        assert not remote.is_connected
        pair.start_signer()  # and the signer itself comes in as before
        await remote.wait_ready()
        await ask(pair, 5)


class FakeSigner:
    """The right key on a connection of its own; answers what a test wants."""

    def __init__(self, pair: Pair, answer: Callable[[ToSigner], bytes]) -> None:
        self.pair = pair
        self.answer = answer

    async def run(self) -> None:
        stream = await self.pair.network.transport(SIGNER).dial(*PLACE)
        await stream.handshake()
        held = self.pair.make_service()._held()
        await stream.send_all(MAGIC + encode_to_node(SignerHello(1, self.pair.ring.record.chain_id, held)))
        frames = Frames(ANSWER_BYTES_MAX)
        while True:
            for content in frames.feed(await stream.receive_some()):
                message = decode_to_signer(content)
                if not isinstance(message, NodeHello):
                    await stream.send_all(self.answer(message))


def wrong_signature(message: ToSigner) -> bytes:
    return encode_to_node(Signatures(message.number, bytes(64), bytes(2420)))  # type: ignore[union-attr]


def wrong_number(message: ToSigner) -> bytes:
    return encode_to_node(Done(message.number + 1))  # type: ignore[union-attr]


def wrong_kind(message: ToSigner) -> bytes:
    return encode_to_node(Done(message.number))  # type: ignore[union-attr]


def second_hello(message: ToSigner) -> bytes:
    return encode_to_node(SignerHello(1, bytes(32), ()))


@pytest.mark.parametrize("answer", [wrong_signature, wrong_number, wrong_kind, second_hello, lambda _: bytes([0, 0, 0, 2, 0xC1, 0xC1])])
async def test_answers_that_cannot_be_used_end_the_connection(
    tmp_path: Path, answer: Callable[[ToSigner], bytes], autojump_clock: trio.testing.MockClock
) -> None:
    pair = Pair(tmp_path)
    async with pair.running(with_signer=False) as remote:
        assert pair.nursery is not None
        fake = trio.CancelScope()

        async def lie() -> None:
            with fake:
                try:
                    await FakeSigner(pair, answer).run()
                except trio.BrokenResourceError:
                    return

        pair.nursery.start_soon(lie)
        await remote.wait_ready()
        with pytest.raises((SignerAwayError, RemoteSignerError)):
            await ask(pair, 5)
        await wait_for(lambda: not remote.is_connected)
        fake.cancel()
        assert remote.record is not None and remote.record.height == 0
        pair.start_signer()
        await remote.wait_ready()
        await ask(pair, 5)


async def test_abstaining_reaches_the_signer_also_when_it_comes_later(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pair = Pair(tmp_path)
    async with pair.running() as remote:
        pair.stop_signer()
        await wait_for(lambda: not remote.is_connected)
        remote.abstain_through(9)
        assert remote.record is not None and remote.record.moment == (9, ROUND_MAX, 3)  # here at once
        pair.start_signer()
        await remote.wait_ready()
        await wait_for(lambda: pair.ring.record.moment == (9, ROUND_MAX, 3))
        with pytest.raises(DoubleSignError):
            await ask(pair, 9)
        await ask(pair, 10)
        remote.abstain_through(20)
        await wait_for(lambda: pair.ring.record.moment == (20, ROUND_MAX, 3))


async def test_a_next_key_is_told_at_once_and_the_old_one_retired(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pair = Pair(tmp_path)
    service = pair.make_service()
    retired: list[bool] = []
    service.on_retire = lambda: retired.append(True)
    async with pair.running(with_signer=False) as remote:
        pair.start_signer(service)
        await remote.wait_ready()
        await ask(pair, 5)
        pair.ring.add(make_signer(tmp_path, "new"))
        await service.tell_keys()
        old, new = pair.ring.addresses
        await wait_for(lambda: remote.held == (old, new))
        remote.select(make_set("old"))
        assert remote.address == old
        remote.select(make_set("new"))
        assert remote.address == new
        await ask(pair, 6, address=new)
        with pytest.raises(DoubleSignError):
            await ask(pair, 6, address=old)
        remote.retire(old)
        await wait_for(lambda: retired)
        pair.ring.retire()
        await service.tell_keys()
        await wait_for(lambda: remote.held == (new,))
        assert remote.addresses == (old, new)


@pytest.mark.parametrize("kind", [KeyKind.MLDSA44, KeyKind.MLDSA65, KeyKind.MLDSA87])
async def test_every_kind_of_key_fits_the_frames(
    tmp_path: Path, kind: KeyKind, autojump_clock: trio.testing.MockClock
) -> None:
    ring = KeyRing([make_signer(tmp_path, "old", kind=kind), make_signer(tmp_path, "new", kind=kind)])
    pair = Pair(tmp_path, ring)
    async with pair.running() as remote:
        assert remote.held == ring.held
        await ask(pair, 5)


async def test_killed_at_every_step_of_the_record(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """The signer's process ends before, in and after each write of its record: never two signatures, and the next life goes on."""
    pair = Pair(tmp_path)
    given: dict[int, bytes] = {}
    async with pair.running(with_signer=False) as remote:
        height = 5
        for step in ("before", "torn", "after", "answer"):
            for _ in range(3):
                kill_at(pair.ring, step)
                pair.start_signer(kill_answer(pair) if step == "answer" else None)
                await remote.wait_ready()
                with pytest.raises(SignerAwayError):
                    await ask(pair, height)
                pair.stop_signer()
                pair.ring.close()
                pair.ring = KeyRing([open_signer(tmp_path, "old")])
                is_recorded = pair.ring.record.height == height
                assert is_recorded == (step in ("after", "answer"))
                pair.start_signer()
                await wait_for(lambda: remote.is_connected)
                given[height] = await ask(pair, height)
                assert not is_recorded or given[height] == pair.ring.record.pq_signature
                with pytest.raises(DoubleSignError):
                    await ask(pair, height, content=b"other")
                pair.stop_signer()
                pair.ring.close()
                pair.ring = KeyRing([open_signer(tmp_path, "old")])
                await wait_for(lambda: not remote.is_connected)
                height += 1
    assert len(given) == 12


class Killed(Exception):
    """The process ends here."""


def kill_at(ring: KeyRing, step: str) -> None:
    signer = ring.current
    write_at, honest = signer._files.write_at, signer._write

    def write(record: SignerRecord) -> None:
        if step == "before":
            raise Killed
        if step == "torn":
            class Torn(type(signer._files)):  # type: ignore[misc]
                def write_at(self, descriptor: int, data: bytes, offset: int) -> int:
                    write_at(descriptor, data[:1000], offset)
                    raise Killed

            signer._files = Torn()
        honest(record)
        if step == "after":
            raise Killed

    if step != "answer":
        signer._write = write  # type: ignore[method-assign]


def kill_answer(pair: Pair) -> SignerService:
    service = pair.make_service()
    honest = service.answer

    def answer(message: ToSigner) -> ToNode:
        found = honest(message)
        if isinstance(found, Signatures):
            raise Killed
        return found

    service.answer = answer  # type: ignore[method-assign]
    return service


async def test_a_full_disk_ends_the_signer_with_its_error(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    pair = Pair(tmp_path)

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(28, "No space left on device")

    class Full(type(pair.ring.current._files)):  # type: ignore[misc]
        write_at = staticmethod(full)

    async with pair.running():
        await ask(pair, 5)
        pair.ring.current._files = Full()
        with pytest.raises(SignerAwayError):
            await ask(pair, 6)
        assert isinstance(pair.failures[0], SignerRecordError)
        assert pair.ring.record.height == 5


def test_a_request_is_small_and_an_answer_bounded() -> None:
    """The bounds follow from the sizes of keys and signatures."""
    assert 4627 + 64 < ANSWER_BYTES_MAX < 2 * 4627
    assert len(encode_to_node(Signatures(1, bytes(64), bytes(4627)))) < ANSWER_BYTES_MAX
    request: SignRequest = request_of(vote(bytes(20), 5))
    assert len(request.sign_bytes) < 200
    assert CHAIN_ID.encode() in request.sign_bytes
    assert NodeIdentity(bytes(32)).id != NODE.id
