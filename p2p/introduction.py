"""Driving an introduction over a stream: keys first, then greetings, then verdicts; and telling a refused peer why.

The rules are in `p2p.handshake`, the judgement is the caller's; the deadline is the caller's as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import trio

from p2p.handshake import Greeting, Introduction, check_greeting
from p2p.identity import node_id_of
from p2p.limits import REFUSAL_SECONDS_MAX, SETUP_BYTES_MAX
from p2p.transport import SecureStream
from state.primitives.errors import DuplicatePeerError, RefusedByPeerError, RemoteError


@dataclass(frozen=True, slots=True)
class Judge:
    """The caller's part. `check_key` and `check_peer` raise a `RemoteError`; `on_refused` hears of refusals of
    admitted keys."""

    check_key: Callable[[str], None]
    check_peer: Callable[[str, Greeting], None]
    on_refused: Callable[[str, RemoteError], None]


@dataclass(frozen=True, slots=True)
class Introduced:
    """Both sides have accepted. `rest` is what came behind the peer's verdict."""

    peer_id: str
    greeting: Greeting
    rest: bytes


async def introduce(stream: SecureStream, ours: Greeting, judge: Judge) -> Introduced:
    """From a fresh stream to both verdicts. Raises `RemoteError` for a peer that will not do,
    `trio.BrokenResourceError`."""
    peer_id = node_id_of(await stream.handshake())
    introduction = Introduction(ours)
    try:
        judge.check_key(peer_id)
    except RemoteError as error:
        await _refuse(stream, introduction, error)
        raise
    try:
        await stream.send_all(introduction.open())
        while introduction.greeting is None:
            introduction.feed(await _receive(stream))
        greeting = introduction.greeting
        check_greeting(ours, greeting)
        judge.check_peer(peer_id, greeting)
        await stream.send_all(introduction.accept())
        while not introduction.is_accepted:
            introduction.feed(await _receive(stream))
    except RefusedByPeerError:
        if introduction.refused_with == DuplicatePeerError.code:
            raise DuplicatePeerError("the peer is connected to us already") from None
        raise
    except RemoteError as error:
        judge.on_refused(peer_id, error)
        await _refuse(stream, introduction, error)
        raise
    return Introduced(peer_id, greeting, introduction.rest)


async def _receive(stream: SecureStream) -> bytes:
    data = await stream.receive_some()
    if not data:
        raise trio.BrokenResourceError("the peer closed the connection")
    return data


async def _refuse(stream: SecureStream, introduction: Introduction, error: RemoteError) -> None:
    """Say why, and wait a moment for the peer to hang up: closing with bytes unread would reset the link and
    lose the words."""
    with trio.move_on_after(REFUSAL_SECONDS_MAX):
        try:
            await stream.send_all(introduction.refuse(error))
            unread = 0
            while unread < SETUP_BYTES_MAX and (data := await stream.receive_some()):
                unread += len(data)
        except trio.BrokenResourceError:
            pass  # it did not want to know
