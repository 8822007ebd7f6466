"""What must hold in every simulated run, written without the code under test: sums and comparisons on what was said and decided.

Agreement, validity (the block was proposed, and more than 2/3 of distinct power signed its commit), no honest double sign over restarts, no
round begun without a reason (L11: more than 2/3 precommitted in the one before, or more than 1/3 is in it), and accountability: from the
union of all messages, whoever made a fork possible, at least a third of the power, and nobody honest.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from consensus.block import Block
from consensus.commit import Commit, Flag, PqCommit
from consensus.vote import Proposal, Vote, VoteType
from node.simulator.keys import SimKeys

Moment = tuple[int, int, int]  # height, round, 0 for a proposal or the type of a vote


class Rules:
    """Told of everything; `broken` lists what did not hold, in words."""

    def __init__(self, keys: SimKeys, honest: Sequence[int]) -> None:
        self.broken: list[str] = []
        self.is_forked = False
        self._keys = keys
        self._powers = [validator.power for validator in keys.validators.validators]
        self._total = sum(self._powers)
        self._honest = frozenset(honest)
        self._said: dict[tuple[int, Moment], dict[bytes, bytes]] = {}  # (validator, moment) -> sign bytes -> ML-DSA signature
        self._votes: dict[tuple[int, Moment], dict[bytes, None]] = {}  # -> values voted for
        self._proposed: dict[bytes, None] = {}
        self._heard: dict[tuple[int, int], dict[int, dict[int, None]]] = {}  # (listener, round) -> type of vote -> validators
        self._decided: dict[int, tuple[int, bytes]] = {}  # height -> by whom first, block hash

    def said(self, index: int, message: Vote | Proposal) -> None:
        """A validator sent this."""
        kind = int(message.type) if isinstance(message, Vote) else 0
        moment = (message.height, message.round, kind)
        value = b"" if message.block_id is None else message.block_id.hash
        self._votes.setdefault((index, moment), {})[value] = None
        sign_bytes = message.sign_bytes("sim-1")
        signatures = self._said.setdefault((index, moment), {})
        if index in self._honest:
            if signatures and sign_bytes not in signatures:
                self.broken.append(f"honest validator {index} signed two things at height/round/kind {moment}")
            elif signatures.get(sign_bytes, message.pq_signature) != message.pq_signature:
                self.broken.append(f"honest validator {index} signed one thing twice at height/round/kind {moment}")
        signatures[sign_bytes] = message.pq_signature

    def heard(self, name: int, vote: Vote) -> None:
        """A player was given this vote, or gave it; over restarts, so what it knows is at most this."""
        self._heard.setdefault((name, vote.round), {}).setdefault(int(vote.type), {})[vote.validator_index] = None

    def entered(self, name: int, old: int, new: int) -> None:
        """An honest player went from one round to another."""
        ended = self._heard.get((name, old), {}).get(int(VoteType.PRECOMMIT), {})
        joined = {index: None for voters in self._heard.get((name, new), {}).values() for index in voters}
        is_next = new == old + 1 and 3 * self._power_of(ended) > 2 * self._total
        if not is_next and 3 * self._power_of(joined) <= self._total:
            self.broken.append(f"validator {name} went from round {old} to round {new} without a reason")

    def _power_of(self, indexes: Iterable[int]) -> int:
        return sum(self._powers[index] for index in indexes)

    def proposed(self, block: Block) -> None:
        """A validator built this block."""
        self._proposed[block.header.hash()] = None

    def decided(self, name: int, block: Block, commit: Commit, pq_commit: PqCommit) -> None:
        """An honest validator takes this block for final."""
        height, block_hash = block.header.height, block.header.hash()
        first = self._decided.setdefault(height, (name, block_hash))
        if first[1] != block_hash:
            self.is_forked = True
            self.broken.append(f"fork at height {height}: validator {first[0]} and validator {name} decided different blocks")
        if block_hash not in self._proposed:
            self.broken.append(f"validator {name} decided a block that nobody built")
        power = 0
        members = self._keys.validators.validators
        for index, (part, pq_signature) in enumerate(zip(commit.signatures, pq_commit.signatures, strict=True)):
            if part.flag is not Flag.COMMIT:
                continue
            sign_bytes = commit.sign_bytes("sim-1", index)
            if self._keys.verify(members[index], sign_bytes, part.signature, pq_signature):
                power += self._powers[index]
        if commit.block_id.hash != block_hash or len(commit.signatures) != len(members) or power * 3 <= self._total * 2:
            self.broken.append(f"validator {name} decided with a commit of power {power} of {self._total}")

    def accountability(self) -> list[str]:
        """After a fork: what is wrong with the list of culprits. Nothing, if there was no fork."""
        if not self.is_forked:
            return []
        culprits = self.culprits()
        problems = [f"honest validator {index} is accused of {why}" for index, why in culprits.items() if index in self._honest]
        power = sum(self._powers[index] for index in culprits)
        if 3 * power < self._total:
            problems.append(f"a fork convicts only power {power} of {self._total}")
        return problems

    def culprits(self) -> dict[int, str]:
        """Who provably broke a rule: two votes or proposals at one moment, or a prevote against its own lock."""
        found: dict[int, str] = {}
        for (index, _), values in self._votes.items():
            if len(values) > 1:
                found.setdefault(index, "double signing")
        for (index, (height, round_, kind)), values in self._votes.items():
            if kind != int(VoteType.PRECOMMIT):
                continue
            for value in values:
                if value and self._broke_lock(index, height, round_, value):
                    found.setdefault(index, "amnesia")
        return found

    def _broke_lock(self, index: int, height: int, locked_round: int, value: bytes) -> bool:
        """Precommitted `value`, and later prevoted another without a quorum of prevotes for it in between."""
        for (other, (other_height, round_, kind)), values in self._votes.items():
            if (other, other_height, kind) != (index, height, int(VoteType.PREVOTE)) or round_ <= locked_round:
                continue
            for voted in values:
                if voted and voted != value and not self._has_polka(height, locked_round, round_, voted):
                    return True
        return False

    def _has_polka(self, height: int, first: int, last: int, value: bytes) -> bool:
        for round_ in range(first, last):
            power = sum(
                self._powers[index]
                for index in range(len(self._powers))
                if value in self._votes.get((index, (height, round_, int(VoteType.PREVOTE))), {})
            )
            if 3 * power > 2 * self._total:
                return True
        return False
