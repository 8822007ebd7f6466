"""The node's end of a connection with its signer, once both have said who they are: questions with a number, answers by number.

Every question has a deadline; one that is not answered in time ends the connection, so an answer can never come to another question, and
what is asked again on the next connection is answered from the signer's record. Nothing is decided here about votes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from node.signing.link import Link
from node.signing.messages import (
    Abstain,
    Done,
    HeldKey,
    Keys,
    Ping,
    Refusal,
    Retire,
    Sign,
    Signatures,
    decode_to_node,
    encode_to_signer,
)
from state.primitives.errors import ConnectionLostError, RemoteError, RemoteSignerError, SignerAwayError

PING_SECONDS: Final = 3.0
ANSWER_SECONDS_MAX: Final = 10.0  # to anything but a signature, whose bound is the operator's

Answer = Signatures | Done | Refusal
Question = Callable[[int], Sign | Abstain | Retire | Ping]


class _Slot:
    """Where the answer to one question is waited for."""

    def __init__(self) -> None:
        self.done = trio.Event()
        self.answer: Answer | None = None


class Session:
    """`run` it; ask with `request`. `on_keys` hears of the signer's keys when they change, `on_end` at least once when it is over."""

    def __init__(self, link: Link, on_keys: Callable[[tuple[HeldKey, ...]], None], on_end: Callable[[], None]) -> None:
        self._link = link
        self._on_keys = on_keys
        self._on_end = on_end
        self._number = 0
        self._open: dict[int, _Slot] = {}
        self._scope = trio.CancelScope()
        self._errands: dict[str, Question] = {}
        self._news = trio.Event()
        self._failure: RemoteError | None = None

    async def run(self) -> None:
        """Until the connection ends. Raises `ConnectionLostError`, or what the signer did wrong; returns if a question was not answered."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._until_it_fails, self._keep)
                    nursery.start_soon(self._until_it_fails, self._read)
        finally:
            self.end()
            for slot in self._open.values():
                slot.done.set()
        if self._failure is not None:
            raise self._failure

    async def request(self, question: Question, seconds_max: float) -> Answer:
        """The answer. Raises `SignerAwayError` if none comes in time, which ends the connection."""
        if self._scope.cancel_called:
            raise _make_away_error("its connection has ended")
        self._number += 1
        number, slot = self._number, _Slot()
        self._open[number] = slot
        try:
            with trio.move_on_after(seconds_max):
                await self._link.send(encode_to_signer(question(number)))
                await slot.done.wait()
        except ConnectionLostError:
            pass  # the reader hears of it too
        finally:
            del self._open[number]
            if slot.answer is None:
                self.end()
        if slot.answer is None:
            raise _make_away_error(f"it did not answer within {seconds_max:.3g} s, or its connection broke")
        return slot.answer

    async def is_alive(self, seconds_max: float) -> bool:
        """Whether the signer answers a ping in time; if not, the connection ends."""
        try:
            await self.request(Ping, seconds_max)
        except SignerAwayError:
            return False
        return True

    def send_errand(self, name: str, question: Question) -> None:
        """Tell the signer something that nobody waits for; a newer errand of the same name replaces one that has not left."""
        self._errands[name] = question
        self._news.set()

    def end(self) -> None:
        """End the connection: nothing can be asked any more."""
        self._on_end()
        self._scope.cancel()

    async def _until_it_fails(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except SignerAwayError:
            self.end()
        except RemoteError as error:
            self._failure = self._failure or error
            self.end()

    async def _keep(self) -> None:
        """Errands as they come, a ping when there are none."""
        while True:
            with trio.move_on_after(PING_SECONDS):
                await self._news.wait()
            self._news = trio.Event()
            errands = list(self._errands.values()) or [Ping]
            self._errands.clear()
            for errand in errands:
                await self.request(errand, ANSWER_SECONDS_MAX)

    async def _read(self) -> None:
        while True:
            match decode_to_node(await self._link.receive()):
                case Keys(keys):
                    self._on_keys(keys)
                case (Signatures(number) | Done(number) | Refusal(number)) as answer:
                    slot = self._open.get(number)
                    if slot is None:
                        raise RemoteSignerError(f"the signer answers a question that was not asked: {number}")
                    slot.answer = answer
                    slot.done.set()
                case other:
                    raise RemoteSignerError(f"the signer says {type(other).__name__} in the middle of a connection")


def _make_away_error(why: str) -> SignerAwayError:
    return SignerAwayError(f"the signer is away: {why}", hint="nothing is signed until it is back; see the log of qenex signer start")
