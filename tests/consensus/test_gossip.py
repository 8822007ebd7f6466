"""What a peer needs next: nothing that it has, everything that it lacks, the urgent first, within a bound."""

from __future__ import annotations

from dataclasses import replace

from consensus import messages as m
from consensus import proposer
from consensus.gossip import SUMMARY_ROUNDS_MAX, Summary, compute_missing, summarize, votes_of
from consensus.messages import Step
from consensus.vote import Proposal, Vote
from tests.consensus.test_core import next_start, scene_at
from tests.consensus.world import MS, PRECOMMIT, PREVOTE, Scene, make_commit, of_kind, sign_proposal

LIMIT = 64
FRESH = Summary(1, 0, Step.PROPOSE, ())


def watcher(powers: tuple[int, ...] = (1, 1, 1, 1)) -> Scene:
    scene = Scene(powers, own=None)
    scene.start()
    return scene


def missing(scene: Scene, peer: Summary, limit: int = LIMIT) -> list[Vote | Proposal]:
    return compute_missing(scene.core.view, peer, limit)


def feed(scene: Scene, messages: list[Vote | Proposal]) -> None:
    for message in messages:
        if isinstance(message, Vote):
            scene.step(m.VoteReceived(message))
        else:
            scene.step(m.ProposalReceived(message, message.time_ns))


def test_a_fresh_peer_gets_the_proposal_and_the_votes() -> None:
    scene = watcher()
    scene.propose(0, "A")
    scene.votes((0, 2), PREVOTE, 0, "A")
    scene.votes((3,), PRECOMMIT, 0, None)
    found = missing(scene, FRESH)
    assert found == [
        scene.proposal(0, "A"), scene.vote(3, PRECOMMIT, 0, None), scene.vote(0, PREVOTE, 0, "A"), scene.vote(2, PREVOTE, 0, "A"),
    ]  # fmt: skip


def test_an_equal_peer_needs_nothing() -> None:
    scene = watcher()
    scene.propose(0, "A")
    scene.votes((0, 1, 2), PREVOTE, 0, "A")
    scene.votes((0, 1, 2), PRECOMMIT, 1, None)
    assert missing(scene, summarize(scene.core.view)) == []


def test_messages_until_nothing_is_missing_make_two_nodes_equal() -> None:
    scene, other = watcher(), watcher()
    scene.propose(0, "A")
    scene.votes((0, 1), PREVOTE, 0, "A")
    scene.votes((2,), PREVOTE, 0, None)
    scene.votes((0, 1), PRECOMMIT, 2, None)
    for _ in range(20):
        feed(other, missing(scene, summarize(other.core.view), 2))
    assert summarize(other.core.view) == summarize(scene.core.view)


def test_the_round_of_the_peer_comes_before_later_and_older_ones() -> None:
    scene = watcher()
    for round_ in (5, 4, 3, 2):
        scene.votes((0, 1), PRECOMMIT, round_, None)
    rounds = [message.round for message in missing(scene, Summary(1, 2, Step.PROPOSE, ()))]
    assert rounds == [2, 2, 5, 5, 4, 4, 3, 3]


def test_a_decided_round_comes_first() -> None:
    scene = watcher()
    scene.votes((0, 1, 2), PRECOMMIT, 0, "A")
    scene.votes((0, 1), PREVOTE, 3, None)
    assert [message.round for message in missing(scene, Summary(1, 3, Step.PREVOTE, ()))] == [0, 0, 0, 3, 3]


def test_the_proof_of_lock_round_of_a_proposal_follows_the_round() -> None:
    scene = watcher()
    scene.votes((0, 1), PRECOMMIT, 4, None)
    scene.votes((0, 1, 2), PREVOTE, 1, "A")
    scene.votes((0, 1), PREVOTE, 3, None)
    scene.propose(4, "A", 1)
    rounds = [message.round for message in missing(scene, Summary(1, 4, Step.PROPOSE, ()))]
    assert rounds == [4, 4, 4, 1, 1, 1, 3, 3]


def test_b5_two_nodes_with_different_proposals_exchange_them() -> None:
    one, two = watcher(), watcher()
    one.propose(0, "A")
    two.block("A")
    two.propose(0, "B")
    assert missing(one, summarize(two.core.view)) == [one.proposal(0, "A")]
    assert missing(two, summarize(one.core.view)) == [two.proposal(0, "B")]


def test_a_limit_is_kept() -> None:
    scene = watcher((1,) * 40)
    scene.votes(range(20), PREVOTE, 0, None)
    assert len(missing(scene, FRESH, 7)) == 7
    assert len(missing(scene, FRESH, 0)) == 0


def test_nothing_for_a_peer_at_another_height() -> None:
    scene = watcher()
    scene.votes((0,), PREVOTE, 0, None)
    assert missing(scene, Summary(2, 0, Step.PROPOSE, ())) == []
    assert missing(scene, Summary(7, 0, Step.PROPOSE, ())) == []


def test_e8_a_hidden_quorum_is_sent_as_a_whole_whatever_the_limit() -> None:
    """v3 told us A and the peer nil. The peer has heard everybody and has no quorum: it gets all votes for A."""
    powers = (1,) * 10
    scene, peer = watcher(powers), watcher(powers)
    scene.votes(range(7), PREVOTE, 0, "A")
    peer.block("A")
    peer.votes(range(6), PREVOTE, 0, "A")
    peer.votes((6,), PREVOTE, 0, None)
    found = missing(scene, summarize(peer.core.view), 3)
    assert {vote.validator_index for vote in of_kind_votes(found)} == set(range(7))
    feed(peer, found)
    assert peer.core.view.has_quorum(0, PREVOTE, scene.block_id("A"))
    assert missing(scene, summarize(peer.core.view), 3) == []


def test_e8_of_a_double_voter_the_peer_gets_the_vote_that_makes_the_quorum() -> None:
    scene = watcher()
    scene.votes((0,), PREVOTE, 0, "B")
    scene.votes((0, 1, 2), PREVOTE, 0, "A")
    sent = {vote.validator_index: vote.block_id for vote in of_kind_votes(missing(scene, FRESH))}
    assert sent == dict.fromkeys((0, 1, 2), scene.block_id("A"))


def test_no_votes_are_repeated_while_the_peer_still_lacks_voters() -> None:
    scene = watcher()
    scene.votes((0, 1, 2), PREVOTE, 0, "A")
    peer = watcher()
    peer.block("A")
    peer.votes((0, 1), PREVOTE, 0, "A")
    assert missing(scene, summarize(peer.core.view)) == [scene.vote(2, PREVOTE, 0, "A")]


def test_a_peer_one_height_behind_gets_the_precommits_that_decided() -> None:
    scene = Scene(own=None)
    scene.start()
    scene.propose(0, "A")
    scene.give_block("A")
    scene.votes((0, 1, 2), PRECOMMIT, 0, "A")
    decided = of_kind(scene.log, m.Decide)[0]
    scene.step(next_start(scene, (decided.commit, decided.pq_commit)))
    late = watcher()
    late.block("A")
    late.votes((1,), PRECOMMIT, 0, "A")
    found = missing(scene, summarize(late.core.view))
    assert found == [scene.vote(0, PRECOMMIT, 0, "A"), scene.vote(2, PRECOMMIT, 0, "A")]
    feed(late, found)
    assert late.core.view.decided_rounds() == [(0, scene.block_id("A"))]
    assert missing(scene, summarize(late.core.view)) == []
    fooled = watcher()
    fooled.block("A")
    fooled.votes((0, 1), PRECOMMIT, 0, "A")
    fooled.votes((2,), PRECOMMIT, 0, None)
    assert len(missing(scene, summarize(fooled.core.view))) == 3


def test_votes_of_a_commit_are_the_votes_that_made_it() -> None:
    scene = watcher()
    commit, pq_commit = make_commit(
        scene.validators, 1, 0, scene.block_id("A"), (0, 2), (3,), scene.block("A").header.time_ns
    )
    votes = votes_of(commit, pq_commit)
    assert votes[:2] == [scene.vote(0, PRECOMMIT, 0, "A"), scene.vote(2, PRECOMMIT, 0, "A")]
    assert [vote.validator_index for vote in votes] == [0, 2, 3]
    assert votes[2].block_id is None


def test_a_summary_tells_of_the_latest_rounds_and_older_ones_are_not_sent_for_ever() -> None:
    scene = watcher()
    for round_ in range(SUMMARY_ROUNDS_MAX + 10):
        scene.votes((0, 1), PRECOMMIT, round_, None)
    summary = summarize(scene.core.view)
    assert [item.round for item in summary.rounds] == list(range(10, SUMMARY_ROUNDS_MAX + 10))
    assert missing(scene, summary) == []


def of_kind_votes(messages: list[Vote | Proposal]) -> list[Vote]:
    return [message for message in messages if isinstance(message, Vote)]


def test_two_proposals_of_one_header_reach_both_who_hold_one_of_them() -> None:
    """A header does not cover the parts of its block, nor a block the proof-of-lock round and the time of its proposal."""
    scene = scene_at(own=3)
    scene.propose(0, "A")
    first = scene.core.view.proposals(0)[0]
    twins = (
        replace(first, block_id=replace(first.block_id, parts_hash=b"\x09" * 32)),
        replace(first, time_ns=first.time_ns + 1),
    )
    sender = proposer.proposer_of(scene.validators, scene.priorities, 0)
    for twin in twins:
        other = scene_at(own=2)
        other.step(m.ProposalReceived(sign_proposal(twin, sender), first.time_ns + 10 * MS))
        (lacking,) = [item for item in compute_missing(scene.core.view, summarize(other.core.view), 64) if isinstance(item, Proposal)]
        assert lacking == first
        out = other.step(m.ProposalReceived(lacking, first.time_ns + 10 * MS))
        assert len(of_kind(out, m.ReportEvidence)) == 1
