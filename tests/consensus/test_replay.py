"""The log of inputs is the node: a new core that is given it answers with the same outputs, to the last byte (J2)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import messages as m
from consensus.core import Core
from consensus.replay import decode_entry
from consensus.vote import VoteType
from state.primitives.codec import decode, encode
from state.primitives.errors import MalformedError, QenexError
from tests.consensus.test_core import next_start
from tests.consensus.world import CHAIN, MS, PRECOMMIT, PREVOTE, FakeVerifier, Scene, make_commit, of_kind

ROUNDS = st.integers(0, 4)
VALUES = st.sampled_from((None, "A", "B", "C"))
BLOCKS = st.sampled_from(("A", "B", "C"))
ACTIONS = st.one_of(
    st.tuples(st.just("vote"), st.integers(0, 3), st.sampled_from(VoteType), ROUNDS, VALUES),
    st.tuples(st.just("votes"), st.just(0), st.sampled_from(VoteType), ROUNDS, VALUES),
    st.tuples(st.just("propose"), ROUNDS, BLOCKS, st.integers(-1, 3), st.sampled_from((0, 10, 20_000))),
    st.tuples(st.just("block"), BLOCKS, st.booleans()),
    st.tuples(st.just("verdict"), BLOCKS, st.booleans()),
    st.tuples(st.just("timeout"), ROUNDS, st.sampled_from((m.Step.PROPOSE, m.Step.PREVOTE, m.Step.PRECOMMIT))),
    st.tuples(st.just("value"), ROUNDS, BLOCKS),
    st.tuples(st.just("certificate"), ROUNDS, BLOCKS),
)


def act(scene: Scene, action: tuple[object, ...]) -> None:
    """Give the scene one input, whether it makes sense or not; a refusal is a fine answer."""
    try:
        match action:
            case ("vote", int(index), VoteType() as kind, int(round_), value):
                scene.votes((index,), kind, round_, value)  # type: ignore[arg-type]
            case ("votes", _, VoteType() as kind, int(round_), value):
                scene.votes((0, 2, 3), kind, round_, value)  # type: ignore[arg-type]
            case ("propose", int(round_), str(name), int(pol_round), int(delay)):
                scene.propose(round_, name, pol_round, delay * MS)
            case ("block", str(name), bool(valid)):
                scene.give_block(name, valid)
            case ("verdict", str(name), bool(valid)):
                scene.verdict(name, valid)
            case ("timeout", int(round_), m.Step() as step):
                scene.timeout(round_, step)
            case ("value", int(round_), str(name)):
                scene.step(m.ValueReady(scene.height, round_, scene.block(name)))
            case ("certificate", int(round_), str(name)):
                block = scene.block(name)
                made = make_commit(scene.validators, scene.height, round_, block.block_id(), (0, 2, 3))
                scene.step(m.CertificateReceived(block, *made))
    except QenexError:
        pass


def entries_of(outputs: list[m.Output]) -> list[bytes]:
    return [output.entry for output in of_kind(outputs, m.Persist)]


def of_the_height(outputs: list[m.Output]) -> list[m.Output]:
    """Without double votes that were seen after the decision: a decided height is not replayed, so they are not logged."""
    ends = [place for place, output in enumerate(outputs) if isinstance(output, m.Decide)]
    end = ends[0] if ends else len(outputs)
    return [output for place, output in enumerate(outputs) if place < end or not isinstance(output, m.ReportEvidence)]


def replay(scene: Scene, start: m.StartHeight, entries: list[bytes]) -> tuple[Core, list[m.Output]]:
    core = Core(CHAIN, scene.core.address, FakeVerifier())
    outputs = core.step(start)
    for entry in entries:
        outputs += core.step(decode_entry(entry))
    return core, outputs


@settings(max_examples=250, deadline=None)
@given(st.lists(ACTIONS, max_size=40), st.sampled_from((None, 0, 1, 3)), st.booleans())
def test_j2_record_and_replay_agree_to_the_last_output(
    actions: list[tuple[object, ...]], own: int | None, abstain: bool
) -> None:
    scene = Scene(own=own)
    scene.start(abstain=abstain)
    for action in actions:
        act(scene, action)
    core, outputs = replay(scene, scene.start_input(abstain=abstain), entries_of(scene.log))
    assert outputs == of_the_height(scene.log)
    assert core.state == scene.core.state
    assert core.decided == scene.core.decided


@settings(max_examples=100, deadline=None)
@given(st.lists(ACTIONS, max_size=40), st.integers(0, 60))
def test_j2_any_prefix_of_the_log_is_a_moment_of_the_same_history(
    actions: list[tuple[object, ...]], length: int
) -> None:
    """After a crash the log is shorter: its outputs are a prefix of those that were."""
    scene = Scene(own=1)
    scene.start()
    for action in actions:
        act(scene, action)
    _, outputs = replay(scene, scene.start_input(), entries_of(scene.log)[:length])
    assert scene.log[: len(outputs)] == outputs


@settings(max_examples=100, deadline=None)
@given(st.lists(ACTIONS, max_size=30))
def test_c5_d_no_history_makes_a_node_contradict_itself(actions: list[tuple[object, ...]]) -> None:
    """One request to sign for each round and step, rounds and steps never backwards; valid never older than locked."""
    scene = Scene(own=1)
    scene.start()
    for action in actions:
        act(scene, action)
        lock = scene.core.state.lock
        assert lock.locked_round <= lock.valid_round <= scene.core.state.round
    asked = [
        (o.vote.round, int(o.vote.type)) if isinstance(o, m.SignVote) else (o.proposal.round, 0)
        for o in scene.log
        if isinstance(o, m.SignVote | m.SignProposal)
    ]
    assert asked == sorted(set(asked))


def test_j2_early_messages_replay_as_if_they_came_in_time() -> None:
    scene = Scene(own=3, signs=False)
    scene.start()
    scene.propose(0, "A")
    scene.give_block("A")
    scene.votes((0, 1, 2), PRECOMMIT, 0, "A")
    decided = of_kind(scene.log, m.Decide)[0]
    for vote in (scene.vote(0, PREVOTE, 1, None, 2), scene.vote(1, PREVOTE, 1, None, 2)):
        scene.core.step(m.VoteReceived(vote))
    start = next_start(scene, (decided.commit, decided.pq_commit))
    outputs = scene.core.step(start)
    assert len(entries_of(outputs)) == 2
    core, again = replay(scene, start, entries_of(outputs))
    assert again == outputs
    assert core.state == scene.core.state


def every_kind_of_input() -> list[m.Input]:
    scene = Scene()
    block = scene.block("A")
    return [
        m.ProposalReceived(scene.proposal(2, "A", 1), block.header.time_ns),
        m.VoteReceived(scene.vote(0, PREVOTE, 0, None)),
        m.BlockReceived(block),
        m.BlockValidity(scene.block_id("A"), False),
        m.TimeoutFired(1, 3, m.Step.PRECOMMIT),
        m.Signed(scene.vote(1, PRECOMMIT, 7, "A")),
        m.Signed(scene.proposal(0, "A")),
        m.ValueReady(1, 0, block),
        m.CertificateReceived(block, *make_commit(scene.validators, 1, 0, block.block_id(), (0, 1, 2), (3,))),
    ]


@pytest.mark.parametrize("item", every_kind_of_input(), ids=lambda item: type(item).__name__)
def test_every_entry_reads_back_as_its_input(item: m.Input) -> None:
    entry = encode(m.input_to_wire(item))
    assert decode_entry(entry) == item
    assert encode(m.input_to_wire(decode_entry(entry))) == entry


@pytest.mark.parametrize("item", every_kind_of_input(), ids=lambda item: type(item).__name__)
def test_j8_a_damaged_entry_never_raises_anything_else(item: m.Input) -> None:
    entry = encode(m.input_to_wire(item))
    for position in range(0, len(entry), max(1, len(entry) // 300)):
        damaged = bytearray(entry)
        damaged[position] ^= 0x41
        try:
            found = decode_entry(bytes(damaged))
        except MalformedError:
            continue
        assert encode(m.input_to_wire(found)) == bytes(damaged)


@pytest.mark.parametrize("value", [(), (0,), (10, 1), ("a",), (2,), (3, 4, 5), (True, ()), 7, None, (5, 1, 0, 4), (5, 0, 0, 1)])
def test_j8_what_is_no_entry_is_malformed(value: object) -> None:
    with pytest.raises(MalformedError):
        decode_entry(encode(value))


def test_start_height_is_not_logged() -> None:
    scene = Scene()
    assert m.input_to_wire(scene.start_input()) == ()
    assert of_kind(scene.start(), m.Persist) == []


def test_c4_a_verdict_that_changed_after_a_restart_does_not_change_the_vote() -> None:
    scene = Scene(own=3)
    scene.start()
    scene.propose(0, "A")
    scene.give_block("A", True)
    core, outputs = replay(scene, scene.start_input(), entries_of(scene.log))
    assert core.step(m.BlockValidity(scene.block_id("A"), False)) == []
    votes = [o.vote for o in of_kind(outputs, m.SignVote)]
    assert [vote.block_id for vote in votes] == [scene.block_id("A")]


def test_entries_are_canonical() -> None:
    scene = Scene(own=1)
    scene.start()
    scene.propose(0, "A")
    scene.give_block("A")
    for entry in entries_of(scene.log):
        assert encode(decode(entry)) == entry


def test_a_log_of_another_start_does_not_pass_for_this_one() -> None:
    """The core takes no input of another height, so a replay that does not fit is seen (the driver compares)."""
    scene = Scene(own=1)
    scene.start()
    scene.propose(0, "A")
    entry = entries_of(scene.log)[0]
    core = Core(CHAIN, scene.core.address, FakeVerifier())
    core.step(replace(scene.start_input(), height=9))
    assert core.step(decode_entry(entry)) == []
