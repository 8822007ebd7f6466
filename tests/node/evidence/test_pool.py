"""The pool of proofs: what it takes, what it keeps over a crash, what it gives to a block, and when it forgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from consensus.evidence import Evidence, LightClientAttackEvidence, order_of, size_of
from consensus.messages import ReportEvidence
from consensus.validation import validate_block
from node.evidence import pool as pool_module
from node.evidence.pool import Added, EvidencePool
from state.params import ConsensusParams
from state.primitives.errors import DoubleSignError, InvalidEvidenceError, QenexError, StorageError
from state.primitives.hashing import sha256
from state.primitives.limits import EVIDENCE_PENDING_MAX, EVIDENCE_PER_ACCUSED_MAX, EVIDENCE_PER_BLOCK_MAX
from tests.consensus.evidence_world import A, B, Chain, S
from tests.consensus.world import CHAIN, FakeVerifier

MIB = 1024 * 1024


class Bench:
    """A pool on a chain; `own` is our place in the set."""

    def __init__(self, path: Path | None = None, chain: Chain | None = None, own: int | None = None) -> None:
        self.chain = chain or Chain((1,) * 4).grow(6)
        self.own = b"" if own is None else self.chain.set.validators[own].address
        self.path = path
        self.warnings: list[QenexError] = []
        self.added: list[Evidence] = []
        self.pool = self.open()

    def open(self) -> EvidencePool:
        self.verifier = FakeVerifier()
        pool = EvidencePool(
            self.path, CHAIN, self.own, self.chain, lambda: self.chain.tip, self.verifier, self.warn
        )  # fmt: skip
        pool.on_added.append(self.added.append)
        return pool

    def warn(self, who: str, error: QenexError) -> None:
        self.warnings.append(error)

    def take(self, bytes_max: int = MIB) -> tuple[Evidence, ...]:
        tip = self.chain.tip
        return self.pool.take(bytes_max, tip.height + 1, tip.last_block_time_ns + S)

    def report(self, height: int, index: int = 1, round_: int = 0) -> ReportEvidence:
        """Contradicting votes of a height that need not be decided yet."""
        self.chain.sets.setdefault(height, self.chain.tip.validators)
        first, second = (self.chain.vote(height, index, value, round_=round_) for value in (A, B))
        return ReportEvidence(first, second, first.validator_address)


def test_a_good_proof_is_kept_once_and_told_to_gossip() -> None:
    bench = Bench()
    item = bench.chain.double_vote(4)
    assert bench.pool.add(item) is Added.ADDED
    assert bench.pool.add(item) is Added.KNOWN
    assert bench.pool.add(bench.chain.double_vote(4, values=(A, None))) is Added.KNOWN  # another proof of the same
    assert bench.added == [item] == bench.pool.pending()
    assert (len(bench.pool), bench.pool.get(item.offence)) == (1, item)


def expired(bench: Bench) -> Evidence:
    item = bench.chain.double_vote(2)
    bench.chain.tip = replace(bench.chain.tip, params=ConsensusParams(evidence_blocks_max=1, evidence_age_s_max=1))
    return item


def punished(bench: Bench) -> Evidence:
    item = bench.chain.double_vote(4)
    bench.chain.add(bench.chain.next_block(item))
    return item


def unknown(bench: Bench) -> Evidence:
    item = bench.chain.double_vote(2)
    bench.chain.base = 3
    return item


REFUSED: dict[Added, Callable[[Bench], Evidence]] = {
    Added.EXPIRED: expired,
    Added.PUNISHED: punished,
    Added.UNKNOWN: unknown,
    Added.OWN: lambda bench: bench.chain.double_vote(4, 3),
    Added.EARLY: lambda bench: Chain((1,) * 4).grow(9).double_vote(7),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_honest_nodes_may_disagree_about_is_left_out_without_an_error(why: Added) -> None:
    bench = Bench(own=3)
    item = REFUSED[why](bench)
    assert bench.pool.add(item) is why
    assert len(bench.pool) == 0
    assert bench.added == []
    if why not in (Added.UNKNOWN, Added.OWN):
        assert bench.verifier.calls == 0  # nothing was spent on it


def test_l7_a_proof_that_says_what_the_chain_does_not_say_is_an_offence_of_its_sender() -> None:
    bench = Bench()
    with pytest.raises(InvalidEvidenceError):
        bench.pool.add(replace(bench.chain.double_vote(4), total_power=5))
    assert len(bench.pool) == 0


# reports of our own core


def test_votes_of_the_current_height_wait_until_its_block_has_a_time() -> None:
    bench = Bench()
    bench.pool.report(bench.report(7))
    bench.pool.report(bench.report(7))  # a replay tells it again
    assert (len(bench.pool), bench.pool.statistics()["reports"]) == (0, 1)
    bench.pool.decided()
    assert len(bench.pool) == 0
    bench.chain.grow()
    bench.pool.decided()
    (item,) = bench.pool.pending()
    assert item == bench.chain.double_vote(7)
    assert (item.time_ns, bench.pool.statistics()["reports"]) == (bench.chain.blocks[7].header.time_ns, 0)
    assert bench.added == [item]


def test_a_report_of_a_decided_height_is_a_proof_at_once() -> None:
    bench = Bench()
    bench.pool.report(bench.report(6))
    assert bench.pool.pending() == [bench.chain.double_vote(6)]


def test_proposals_are_reported_too() -> None:
    bench = Bench()
    accused = bench.chain.set.validators[2].address
    first, second = (bench.chain.proposal(6, 2, value) for value in (B, A))
    bench.pool.report(ReportEvidence(first, second, accused))
    assert bench.pool.pending() == [bench.chain.double_proposal(6, 2)]


def test_l6_nobody_reports_himself() -> None:
    bench = Bench(own=1)
    for height in (6, 7):
        bench.pool.report(bench.report(height))
    assert bench.pool.statistics() == {"pending": 0, "bytes": 0, "reports": 0}


def test_l6_a_good_proof_against_ourselves_is_told_to_the_operator_once_and_a_bad_one_is_not() -> None:
    bench = Bench(own=1)
    item = bench.chain.double_vote(4)
    for _ in range(3):
        assert bench.pool.add(item) is Added.OWN
    (told,) = bench.warnings
    assert isinstance(told, DoubleSignError)
    assert "a second instance uses it" in told.message
    with pytest.raises(InvalidEvidenceError):
        bench.pool.add(replace(bench.chain.double_vote(5), total_power=9))
    assert len(bench.warnings) == 1
    assert len(bench.pool) == 0
    assert bench.added == []


# durability


def test_l6_pending_proofs_and_reports_are_there_after_a_crash(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "evidence")
    items = [bench.chain.double_vote(3), bench.chain.double_proposal(4, 2)]
    for item in items:
        bench.pool.add(item)
    bench.pool.report(bench.report(7))
    again = bench.open()
    assert again.pending() == sorted(items, key=order_of)
    assert again.statistics()["reports"] == 1
    bench.chain.grow()
    again.decided()
    assert len(again) == 3
    assert bench.warnings == []


def test_l6_a_report_is_proved_at_the_start_if_its_height_was_decided_meanwhile(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "evidence")
    bench.pool.report(bench.report(7))
    bench.chain.grow()
    assert bench.open().pending() == [bench.chain.double_vote(7)]


def test_what_was_punished_while_we_were_down_is_forgotten_at_the_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "evidence")
    item = bench.chain.double_vote(4)
    bench.pool.add(item)
    bench.chain.add(bench.chain.next_block(item))
    assert len(bench.open()) == 0


def test_every_damage_of_the_file_is_noticed_and_the_node_starts(tmp_path: Path) -> None:
    path = tmp_path / "evidence"
    bench = Bench(path)
    bench.pool.add(bench.chain.double_vote(4))
    good = path.read_bytes()
    for place in range(0, len(good), 97):
        path.write_bytes(good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :])
        bench.warnings.clear()
        assert len(bench.open()) == 0
        assert "damaged" in bench.warnings[0].message
    for length in (0, 31, 32, len(good) - 1):
        path.write_bytes(good[:length])
        assert len(bench.open()) == 0
    path.write_bytes(good)
    assert len(bench.open()) == 1


def test_a_file_of_another_chain_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(tmp_path / "evidence")
    bench.pool.add(bench.chain.double_vote(4))
    other = EvidencePool(
        bench.path, "other-1", b"", bench.chain, lambda: bench.chain.tip, FakeVerifier(), bench.warn
    )  # fmt: skip
    assert len(other) == 0
    assert "another chain" in bench.warnings[0].message


def test_a_disk_that_refuses_stops_the_node(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "evidence")
    (tmp_path / ".evidence.new").mkdir()
    with pytest.raises(StorageError, match="pending evidence cannot be written"):
        bench.pool.add(bench.chain.double_vote(4))


# blocks


def test_a_block_of_what_is_pending_is_valid_and_in_order() -> None:
    bench = Bench()
    chain = bench.chain
    attack = LightClientAttackEvidence.of(chain.forged(5, app_hash=sha256(b"false")), 3, chain)
    for item in (chain.double_vote(5), chain.double_proposal(2, 3), attack, chain.double_vote(5, 0)):
        assert bench.pool.add(item) is Added.ADDED
    taken = bench.take()
    assert len(taken) == 4
    validate_block(chain.next_block(*taken), chain.tip, FakeVerifier(), chain)
    chain.add(chain.next_block(*taken))
    bench.pool.decided()
    assert len(bench.pool) == 0


def test_what_does_not_fit_waits_and_what_has_expired_does_not_go_in() -> None:
    bench = Bench()
    items = [bench.chain.double_vote(height) for height in (3, 4, 5)]
    for item in items:
        bench.pool.add(item)
    assert bench.take(2 * size_of(items[0])) == tuple(items[:2])
    assert bench.take(size_of(items[0]) - 1) == ()
    bench.chain.tip = replace(bench.chain.tip, params=ConsensusParams(evidence_bytes_max=size_of(items[0])))
    assert bench.take() == tuple(items[:1])
    bench.chain.tip = replace(
        bench.chain.tip, params=ConsensusParams(evidence_blocks_max=3, evidence_age_s_max=2)
    )  # fmt: skip
    assert bench.take() == tuple(items[1:])  # 4, 5: three blocks old at most
    bench.pool.decided()
    assert bench.pool.pending() == items[1:]


def test_proofs_that_accuse_nobody_new_are_not_in_one_block() -> None:
    bench = Bench()
    chain = bench.chain
    few, many = (
        LightClientAttackEvidence.of(chain.forged(5, app_hash=sha256(b"false"), signers=signers), common, chain)
        for signers, common in (((0, 1, 2), 4), ((0, 1, 2, 3), 3))
    )
    for item in (few, many):
        assert bench.pool.add(item) is Added.ADDED
    assert bench.take() == (many,)
    chain.add(chain.next_block(many))
    bench.pool.decided()
    assert len(bench.pool) == 0


def test_a_proof_against_a_header_from_ahead_is_judged_again_by_each_tip() -> None:
    """When the chain has got there, the header may turn out to be one that the proof's form does not cover."""
    bench = Bench()
    chain = bench.chain
    ahead = chain.forged(8, time_ns=chain.tip.last_block_time_ns, app_hash=sha256(b"false"))
    item = LightClientAttackEvidence.of(ahead, 4, chain)
    assert bench.pool.add(item) is Added.ADDED
    assert bench.take() == (item,)
    chain.grow(3)
    bench.pool.decided()
    assert bench.take() == (item,)
    chain.blocks[8] = replace(chain.blocks[8], header=ahead.header)  # the chain's own, after all
    assert bench.take() == ()


# bounds


def test_one_cheat_does_not_hide_another(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    for round_ in range(EVIDENCE_PER_ACCUSED_MAX):
        assert bench.pool.add(bench.chain.double_vote(4, 0, round_=round_)) is Added.ADDED
    assert bench.pool.add(bench.chain.double_vote(4, 0, round_=99)) is Added.FULL
    assert bench.pool.add(bench.chain.double_vote(4, 1)) is Added.ADDED
    monkeypatch.setattr(pool_module, "EVIDENCE_PENDING_BYTES_MAX", bench.pool.statistics()["bytes"])
    assert bench.pool.add(bench.chain.double_vote(4, 2)) is Added.FULL


def test_reports_are_bounded_in_all_and_for_each() -> None:
    bench = Bench(chain=Chain((1,) * 40).grow(6))
    for index in range(40):
        for round_ in range(EVIDENCE_PER_ACCUSED_MAX + 2):
            bench.pool.report(bench.report(7, index, round_))
    assert bench.pool.statistics()["reports"] == EVIDENCE_PENDING_MAX
    assert len({key[0] for key in bench.pool._reports}) == EVIDENCE_PENDING_MAX // EVIDENCE_PER_ACCUSED_MAX + 1


def test_a_block_carries_a_bounded_number() -> None:
    bench = Bench(chain=Chain((1,) * 6).grow(6))
    for index in range(6):
        for round_ in range(10):
            bench.pool.add(bench.chain.double_vote(4, index, round_=round_))
    assert len(bench.pool) == 60
    assert len(bench.take()) == EVIDENCE_PER_BLOCK_MAX
