"""Every type from the wire: strict, total, and one spelling for one value. Every number takes every boundary."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from consensus.block import Block, Header
from consensus.block_id import BlockID
from consensus.commit import Commit, CommitSig, PqCommit
from consensus.evidence import DuplicateVoteEvidence
from consensus.gossip import Summary, summarize
from consensus.vote import Proposal, Vote
from state.primitives.codec import Value, decode, encode
from state.primitives.errors import MalformedError
from tests.consensus.world import BASE_NS, PRECOMMIT, PREVOTE, Scene, make_commit

JUNK: tuple[Value, ...] = (
    None, True, False, -1, 0, 1, 199, 200, 1 << 31, (1 << 31) - 1, 1 << 63, (1 << 63) - 1, (1 << 64) - 1, -(1 << 63),
    b"", b"x", bytes(20), bytes(32), bytes(64), bytes(65), "", "x", (), (0,), ((),),
)  # fmt: skip


def samples() -> dict[str, tuple[type, Value]]:
    scene = Scene()
    scene.start()
    scene.propose(0, "A")
    scene.give_block("A")
    scene.votes((0,), PREVOTE, 0, "A")
    block = scene.block("A")
    commit, pq_commit = make_commit(scene.validators, 1, 2, block.block_id(), (0, 1), (2,))
    evidence = DuplicateVoteEvidence.of(
        scene.vote(0, PRECOMMIT, 0, "A"), scene.vote(0, PRECOMMIT, 0, None), scene.validators, BASE_NS
    )
    full = Block(block.header, (b"one", b"two"), (evidence,), commit)
    things = {
        "block id": block.block_id(), "vote": scene.vote(1, PREVOTE, 3, "A"), "nil vote": scene.vote(1, PRECOMMIT, 0, None),
        "proposal": scene.proposal(4, "A", 2), "commit signature": commit.signatures[0], "absent": commit.signatures[3],
        "commit": commit, "pq commit": pq_commit, "evidence": evidence, "header": block.header, "block": full,
        "summary": summarize(scene.core.view),
    }  # fmt: skip
    return {name: (type(thing), thing.to_wire()) for name, thing in things.items()}  # type: ignore[attr-defined]


SAMPLES = samples()
TYPES = (Block, BlockID, Commit, CommitSig, DuplicateVoteEvidence, Header, PqCommit, Proposal, Summary, Vote)


def mutations(value: Value) -> Iterator[Value]:
    """The value with one leaf or one list replaced, shortened or lengthened."""
    yield from JUNK
    if type(value) is tuple:
        yield value[:-1]
        yield (*value, value[-1] if value else 0)
        for index, item in enumerate(value):
            for changed in mutations(item):
                yield (*value[:index], changed, *value[index + 1 :])


def test_every_type_is_here() -> None:
    assert {kind for kind, _ in SAMPLES.values()} == set(TYPES)


@pytest.mark.parametrize("name", SAMPLES)
def test_there_and_back(name: str) -> None:
    kind, wire = SAMPLES[name]
    read: Callable[[Value], Value] = kind.from_wire  # type: ignore[attr-defined]
    found = read(decode(encode(wire)))
    assert found.to_wire() == wire
    assert encode(found.to_wire()) == encode(wire)


@pytest.mark.parametrize("name", SAMPLES)
def test_a5_any_other_value_is_refused_or_is_itself(name: str) -> None:
    kind, wire = SAMPLES[name]
    read: Callable[[Value], Value] = kind.from_wire  # type: ignore[attr-defined]
    refused = 0
    for changed in mutations(wire):
        try:
            found = read(changed)
        except MalformedError:
            refused += 1
            continue
        # equality of Python is not enough: True == 1, and the bytes differ
        assert encode(found.to_wire()) == encode(changed)
    assert refused > 20


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("value", JUNK)
def test_junk_is_malformed(kind: type, value: Value) -> None:
    try:
        found = kind.from_wire(value)  # type: ignore[attr-defined]
    except MalformedError:
        return
    raise AssertionError(found)


def test_an_empty_block_id_is_one_object_and_halves_of_it_are_none() -> None:
    assert BlockID.from_wire((b"", 0, b"")).is_empty
    for wire in ((b"", 1, b""), (b"h" * 32, 0, b"p" * 32), (b"h" * 32, 1, b""), (b"", 0, b"p" * 32), (b"h" * 32, 130, b"p" * 32)):
        with pytest.raises(MalformedError):
            BlockID.from_wire(wire)


def test_m3_a_bitmap_has_one_spelling_and_a_bound() -> None:
    item = SAMPLES["summary"][1][3][0]
    for bits in (b"\0", b"\0\x01", b"\xff" * 26, "\x01", 5):
        with pytest.raises(MalformedError):
            Summary.from_wire((1, 0, 1, ((*item[:2], bits, *item[3:]),)))
