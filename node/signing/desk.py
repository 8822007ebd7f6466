"""Where the driver hands in what is to be signed, and where the signature comes back.

A signer in this process answers in the middle of the driver's step, as ever. One in another process is asked by a task, one request at a
time and in the order in which the core wanted them, so nothing overtakes anything; its answer comes to the core as an input, as the
answer to every other question does. While it is away, requests wait here, the newest of them: nobody went on to a later round but by what
was signed, and that is on its way to everybody. So a network whose signers were all away goes on when they are back. A signature that
comes when its round or its height is over is judged by the core, like any late message.

When a signer comes (back), its record may hold a height in progress that this process did not have signed: an earlier life of this node
did, or another node. Then the height is signed no further, unless our own log of it reaches as far as the record says (consensus.md J8).

No rule of consensus in here, no key, no socket.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import trio

from consensus import messages as m
from consensus.vote import Proposal, Vote
from node.signer_record import SignerRecord, SignRequest, Step
from node.signing.voter import VoteSigner
from node.wal import Wal
from state.primitives.errors import DoubleSignError, QenexError, RemoteSignerError, SignerAwayError, SignerRecordError

WAITING_MAX: Final = 12  # four rounds: who falls behind is moved on by what others have signed

Moment = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A request as the core made it; the position of the log is that of the moment of asking."""

    message: Vote | Proposal
    lock: m.Lock
    address: bytes
    chain_id: str

    @property
    def moment(self) -> Moment:
        return moment_of(self.message)

    def at(self, log_position: int) -> SignRequest:
        message, lock = self.message, self.lock
        return SignRequest(
            message.height,
            message.round,
            Step(self.moment[2]),
            message.sign_bytes(self.chain_id),
            lock.locked_value.hash if lock.locked_value else b"",
            lock.locked_round,
            lock.valid_value.hash if lock.valid_value else b"",
            lock.valid_round,
            log_position,
        )


class SigningDesk:
    """The driver's. `deliver` puts a signed message into the driver's inbox; `run` is for a signer that does not answer at once."""

    def __init__(
        self,
        signer: VoteSigner | None,
        wal: Wal,
        deliver: Callable[[m.Input], Awaitable[None]],
        warn: Callable[[str, QenexError], None],
    ) -> None:
        self.has_signed = False
        self._signer = signer
        self._wal = wal
        self._deliver = deliver
        self._warn = warn
        self._refused_height = 0  # the signer refused, or must not be asked: nothing more is signed in it
        self._waiting: dict[Moment, _Wanted] = {}
        self._news = trio.Event()
        self._asked: Moment = (0, 0, 0)  # the last that was asked for, answered or not
        self._accepted: Moment = (0, 0, 0)  # of the record that was last looked at
        # the height whose log was replayed, and how far it reached
        self._replayed = (wal.height, -1 if wal.damaged else wal.position)

    def is_past(self, message: Vote | Proposal) -> bool:
        """Whether it is not to be signed: its height was refused, or something later was signed before the crash.

        Its successor was signed too, then; peers have it or do without.
        """
        record = None if self._signer is None else self._signer.record
        if self._signer is None or message.height <= self._refused_height:
            return True
        return record is not None and self._signer.answers_at_once and moment_of(message) < record.moment

    def is_new(self, message: Vote | Proposal) -> bool:
        """Whether the record does not hold it yet."""
        record = None if self._signer is None else self._signer.record
        return record is None or moment_of(message) > record.moment

    def must_abstain(self, height: int, is_replaying: bool) -> bool:
        """Whether nothing may be signed in a height that begins, because what was signed in it before is not known in full.

        As long as the record is not known the height begins without abstaining: it is looked at when the signer comes.
        """
        if self._signer is None or self._wal.damaged:
            return True
        record = self._signer.record
        if record is None:
            return False
        known = height > record.height or (height == record.height and is_replaying and record.signature != b"")
        return not known

    async def sign(self, message: Vote | Proposal, lock: m.Lock, chain_id: str) -> m.Signed | None:
        """The signed message at once, or None: it is refused, or comes to the inbox. The log is durable up to here."""
        if self._signer is None:
            return None
        wanted = _Wanted(message, lock, self._signer.address, chain_id)
        if self._signer.answers_at_once:
            return await self._ask(self._signer, wanted)
        self._waiting[wanted.moment] = wanted
        while len(self._waiting) > WAITING_MAX:
            del self._waiting[min(self._waiting)]
        self._news.set()
        return None

    def end_height(self, height: int) -> None:
        """A height is decided. Its precommit is still wanted, for the commit in the next block (consensus.md E7); nothing else is."""
        for moment in list(self._waiting):
            if moment < (height, 0, 0) or (moment[0] == height and moment[2] != int(Step.PRECOMMIT)):
                del self._waiting[moment]

    async def run(self) -> None:
        """Ask a signer elsewhere for what waits, in order, until cancelled."""
        signer = self._signer
        if signer is None or signer.answers_at_once:
            return
        while True:
            if not self._waiting:
                self._news = trio.Event()
                await self._news.wait()
            await signer.wait_ready()
            if not self._waiting:
                continue  # its height was decided meanwhile
            moment, wanted = min(self._waiting.items())
            signed = None
            if self._may_ask(signer.record, moment):
                try:
                    signed = await self._ask(signer, wanted)
                except SignerAwayError:
                    continue  # it waits for the signer to come back
            if self._waiting.get(moment) is wanted:
                del self._waiting[moment]
            if signed is not None:
                await self._deliver(signed)

    async def _ask(self, signer: VoteSigner, wanted: _Wanted) -> m.Signed | None:
        self._asked = wanted.moment
        try:
            signatures = await signer.ask(wanted.message, wanted.at(self._wal.position), wanted.address)
        except (DoubleSignError, RemoteSignerError) as error:
            self._refused_height = max(self._refused_height, wanted.message.height)
            self._warn("signer", error)
            return None
        self.has_signed = True
        return m.Signed(wanted.message.with_signatures(*signatures))

    def _may_ask(self, record: SignerRecord | None, moment: Moment) -> bool:
        """Look at the record of a signer elsewhere before it is asked: what has it signed that was not asked for from here?"""
        if record is not None and record.moment not in (self._asked, self._accepted):
            height, reached = self._replayed
            is_ours = record.height == height and record.signature != b"" and record.log_position <= reached
            if record.height >= moment[0] and not is_ours:
                self._refused_height = max(self._refused_height, record.height)
                self._warn("signer", _make_unknown_error(record))
        if record is not None:
            self._accepted = record.moment
        return moment[0] > self._refused_height and (record is None or moment >= record.moment)


def moment_of(message: Vote | Proposal) -> Moment:
    """(height, round, step), in the order of signing."""
    step = Step.PROPOSE if isinstance(message, Proposal) else Step(int(message.type) + 1)
    return message.height, message.round, int(step)


def _make_unknown_error(record: SignerRecord) -> SignerRecordError:
    return SignerRecordError(
        f"the signer has signed height {record.height} for a log that this node does not have; nothing is signed up to that height",
        hint="nothing to do if the signer was moved here from another node, which must not run any more",
    )
