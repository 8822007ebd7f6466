"""Evidence from two proofs of one height: what each side of a fork needs to see of the other.

A side judges it against its own chain (`consensus.evidence_attack`); here its chain is known at two heights only, which is enough to name
who signed both.
"""

from __future__ import annotations

from consensus.commit import Commit
from consensus.evidence import evidence_to_wire
from consensus.evidence_attack import LightClientAttackEvidence
from consensus.header import Header
from consensus.light import LightBlock
from state.primitives.codec import encode_trusted
from state.primitives.errors import InvalidEvidenceError
from state.validators import ValidatorSet


class TwoHeights:
    """See `consensus.history.ChainHistory`: a chain of which the last common block and the one in question are known."""

    def __init__(self, common: LightBlock, latest: LightBlock) -> None:
        self._blocks = {common.header.height: common, latest.header.height: latest}

    @property
    def height(self) -> int:
        """See `ChainHistory`."""
        return max(self._blocks)

    @property
    def base(self) -> int:
        """See `ChainHistory`."""
        return min(self._blocks)

    def header(self, height: int) -> Header | None:
        """See `ChainHistory`."""
        block = self._blocks.get(height)
        return None if block is None else block.header

    def validators(self, height: int) -> ValidatorSet | None:
        """See `ChainHistory`."""
        block = self._blocks.get(height)
        return None if block is None else block.validators

    def commit(self, height: int) -> Commit | None:
        """See `ChainHistory`; the commit that was shown to us may not be the one on the chain, so its judge has the last word."""
        block = self._blocks.get(height)
        return None if block is None else block.commit

    def is_punished(self, _offence: bytes) -> bool:
        """See `ChainHistory`."""
        return False


def make_attack_evidence(conflicting: LightBlock, common: LightBlock, trusted: LightBlock) -> bytes:
    """Evidence, encoded, for the side whose chain has `trusted` where `conflicting` was proved; both have `common`."""
    history = TwoHeights(common, trusted)
    try:
        found = LightClientAttackEvidence.of(conflicting, conflicting.header.height, history)
    except InvalidEvidenceError:  # its hashes are false: the offence is of the common height
        found = LightClientAttackEvidence.of(conflicting, common.header.height, history)
    return encode_trusted(evidence_to_wire(found))
