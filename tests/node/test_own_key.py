"""Two instances with one key: whichever contradicts the other, in votes or proposals, the node that sees it must stop (L6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from consensus import messages as m
from consensus.evidence import DuplicateVoteEvidence
from node.own_key import note_conviction, require_not_said_otherwise, require_one_instance
from state.primitives.errors import DoubleSignError, QenexError
from tests.consensus.world import BASE_NS, PRECOMMIT, PREVOTE, Scene


def take(scene: Scene, item: m.Input) -> None:
    assert scene.own is not None
    scene.step(item)
    require_one_instance(scene.core, scene.validators.validators[scene.own].address, item)


def scene_at(own: int) -> Scene:
    scene = Scene(own=own, signs=False)
    scene.start()
    return scene


@pytest.mark.parametrize("kind", [PREVOTE, PRECOMMIT])
@pytest.mark.parametrize("round_", [0, 3])
def test_a_second_vote_with_our_key_stops_us(kind: object, round_: int) -> None:
    scene = scene_at(3)
    take(scene, m.VoteReceived(scene.vote(3, kind, round_, "A")))  # type: ignore[arg-type]
    with pytest.raises(DoubleSignError, match=r"two different votes .* its key is used by two instances"):
        take(scene, m.VoteReceived(scene.vote(3, kind, round_, None)))  # type: ignore[arg-type]


def test_a_second_proposal_with_our_key_stops_us() -> None:
    scene = scene_at(0)
    take(scene, m.ProposalReceived(scene.proposal(0, "A"), BASE_NS))
    with pytest.raises(DoubleSignError, match=r"two different proposals .* its key is used by two instances") as caught:
        take(scene, m.ProposalReceived(scene.proposal(0, "B"), BASE_NS))
    assert "stop both" in caught.value.hint


def test_our_own_signature_that_contradicts_what_was_heard_before_stops_us() -> None:
    scene = scene_at(0)
    take(scene, m.ProposalReceived(scene.proposal(0, "A"), BASE_NS))
    with pytest.raises(DoubleSignError):
        take(scene, m.Signed(scene.proposal(0, "B")))
    scene = scene_at(3)
    take(scene, m.VoteReceived(scene.vote(3, PREVOTE, 0, "A")))
    with pytest.raises(DoubleSignError):
        take(scene, m.Signed(scene.vote(3, PREVOTE, 0, None)))


def test_what_others_do_does_not_stop_us() -> None:
    scene = scene_at(3)
    for value in ("A", "B"):
        take(scene, m.ProposalReceived(scene.proposal(0, value), BASE_NS))
        take(scene, m.VoteReceived(scene.vote(1, PREVOTE, 0, value)))
    take(scene, m.VoteReceived(scene.vote(3, PREVOTE, 0, "A")))
    take(scene, m.VoteReceived(scene.vote(3, PREVOTE, 0, "A")))  # the same again
    take(scene, m.VoteReceived(scene.vote(3, PREVOTE, 1, "B")))  # another round
    take(scene, m.TimeoutFired(1, 0, m.Step.PROPOSE))


def test_what_another_instance_has_said_otherwise_is_not_signed() -> None:
    """Once it were signed it would be sent, and could be proved."""
    scene = scene_at(3)
    address = scene.validators.validators[3].address
    take(scene, m.VoteReceived(scene.vote(3, PREVOTE, 0, "A")))
    require_not_said_otherwise(scene.core, address, scene.vote(3, PREVOTE, 0, "A"))
    require_not_said_otherwise(scene.core, address, scene.vote(3, PRECOMMIT, 0, "B"))
    require_not_said_otherwise(scene.core, address, scene.vote(3, PREVOTE, 1, "B"))
    with pytest.raises(DoubleSignError, match="two different votes"):
        require_not_said_otherwise(scene.core, address, scene.vote(3, PREVOTE, 0, None))


def test_what_another_instance_has_proposed_otherwise_is_not_signed() -> None:
    scene = scene_at(0)
    address = scene.validators.validators[0].address
    take(scene, m.ProposalReceived(scene.proposal(0, "A"), BASE_NS))
    require_not_said_otherwise(scene.core, address, scene.proposal(0, "A"))
    with pytest.raises(DoubleSignError, match="two different proposals"):
        require_not_said_otherwise(scene.core, address, scene.proposal(0, "B"))


def test_a_proof_in_a_block_stops_who_has_signed_and_is_said_by_who_has_not() -> None:
    """Failed before: a node that was started again met the next block with a proof, and stopped again."""
    scene = scene_at(3)
    members = scene.validators.validators
    proof = DuplicateVoteEvidence.of(scene.vote(3, PREVOTE, 0, "A"), scene.vote(3, PREVOTE, 0, None), scene.validators, BASE_NS)
    block = replace(scene.block("A"), evidence=(proof,))
    said: list[QenexError] = []

    def warn(_who: str, error: QenexError) -> None:
        said.append(error)

    with pytest.raises(DoubleSignError, match="others have a proof that this validator's key signed"):
        note_conviction(block, members[3].address, True, warn)
    assert said == []
    note_conviction(block, members[3].address, False, warn)
    assert [error.code for error in said] == [DoubleSignError.code]
    note_conviction(block, members[2].address, True, warn)
    assert len(said) == 1
