"""What must hold in a swarm, checked at every step: told of every signature and every committed block, it compares and sums by itself.

Agreement and equal app hashes at each height; validity (a certificate of more than 2/3 of distinct power under the set of that height); no
honest double sign over restarts; what was reported committed is there after every restart; time and height only grow.
"""

from __future__ import annotations

from consensus.block import Block
from consensus.commit import Commit, Flag, PqCommit
from node.signer import SignRequest
from node.simulator.keys import SimKeys
from state.validators import ValidatorSet


class Checkers:
    """`broken` lists what did not hold, in words, each once."""

    def __init__(self, keys: SimKeys, chain_id: str) -> None:
        self.broken: list[str] = []
        self.rounds: dict[int, dict[int, None]] = {}  # height -> rounds it was decided in
        self._keys = keys
        self._chain_id = chain_id
        self._signed: dict[tuple[int, int, int, int], tuple[bytes, bytes]] = {}
        self._blocks: dict[int, tuple[str, bytes]] = {}
        self._app_hashes: dict[int, tuple[str, bytes]] = {}
        self._reported: dict[str, int] = {}

    def _say(self, text: str) -> None:
        if text not in self.broken:
            self.broken.append(text)

    def signed(self, index: int, request: SignRequest, pq_signature: bytes) -> None:
        """A signature of an honest validator has left its signer."""
        moment = (index, request.height, request.round, int(request.step))
        sign_bytes, signature = self._signed.setdefault(moment, (request.sign_bytes, pq_signature))
        if sign_bytes != request.sign_bytes:
            self._say(f"honest validator {index} signed two things at height/round/step {moment[1:]}")
        elif signature != pq_signature:
            self._say(f"honest validator {index} signed one thing twice at height/round/step {moment[1:]}")

    def committed(
        self, name: str, block: Block, commit: Commit, pq_commit: PqCommit, validators: ValidatorSet, app_hash: bytes
    ) -> None:
        """An honest node has made a block final."""
        height, block_hash = block.header.height, block.header.hash()
        self.rounds.setdefault(height, {})[commit.round] = None
        for known, value, what in (
            (self._blocks, block_hash, "blocks"),
            (self._app_hashes, app_hash, "app hashes"),
        ):
            first, other = known.setdefault(height, (name, value))
            if other != value:
                self._say(f"{first} and {name} have different {what} at height {height}")
        before = self._reported.get(name, height - 1)
        if height != before + 1:
            self._say(f"{name} committed height {height} after {before}")
        self._reported[name] = height
        self._check_certificate(name, block_hash, commit, pq_commit, validators)

    def _check_certificate(
        self, name: str, block_hash: bytes, commit: Commit, pq_commit: PqCommit, validators: ValidatorSet
    ) -> None:
        power = 0
        total = sum(validator.power for validator in validators.validators)
        if commit.block_id.hash != block_hash or len(commit.signatures) != len(validators):
            self._say(f"{name} has a commit of height {commit.height} that is for another block or set")
            return
        for index, validator in enumerate(validators.validators):
            part = commit.signatures[index]
            if part.flag is Flag.COMMIT and self._keys.verify(
                validator, commit.sign_bytes(self._chain_id, index), part.signature, pq_commit.signatures[index]
            ):
                power += validator.power
        if 3 * power <= 2 * total:
            self._say(f"{name} committed height {commit.height} with power {power} of {total}")

    def restarted(self, name: str, height: int) -> None:
        """A node has opened its store again."""
        reported = self._reported.get(name, 0)
        if height < reported:
            self._say(f"{name} reported height {reported} as committed and came back at {height}")
        self._reported[name] = height
