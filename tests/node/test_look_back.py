"""Signatures of our key in the chain that the record does not know: an earlier life of this key, or a second instance (J10)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from consensus.block_id import BlockID
from consensus.commit import Commit, CommitSig, Flag
from node.look_back import LOOK_BACK_BLOCKS, OTHER_LIFE_NS, check_record_against_chain
from node.signer import Signer, SignRequest, Step
from node.simulator.cluster import CHAIN_ID, GENESIS_NS
from node.sync.messages import CertifiedBlock
from state.primitives.errors import DoubleSignError, SignerRecordError
from state.primitives.limits import ROUND_MAX
from tests.node.test_driver import KEYS, Bench, certify

START_S = 1_000.0  # the other life was over long before


async def make_chain(bench: Bench, heights: int, signed: Callable[[int], bool]) -> list[CertifiedBlock]:
    """Certified blocks on a chain of its own; our key is KEYS[0]."""
    other = Bench(bench.directory / "other", validators=4)
    found = []
    async with other.running() as (driver, _):
        for height in range(1, heights + 1):
            block = await other.executor.build_value(height, 0, driver.state.last_commit)
            found.append(certify(block, driver.state.tip.validators, without=None if signed(height) else 0))
            await driver.decide_certified(found[-1])
    return found


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "other").mkdir()
    return Bench(tmp_path, validators=4)


async def test_an_earlier_life_is_followed_without_signing_up_to_the_height_after_it(
    bench: Bench, autojump_clock: trio.testing.MockClock
) -> None:
    """The record was lost, the chain shows how far the key has signed at least."""
    chain = await make_chain(bench, 6, lambda height: height in (1, 2, 4))
    autojump_clock.jump(START_S)
    async with bench.running() as (driver, notes):
        notes.events.clear()
        silent = []
        for certified in chain:
            await driver.decide_certified(certified)
            await trio.testing.wait_all_tasks_blocked()
            silent.append(bench.signer.record.moment == (certified.block.header.height + 1, ROUND_MAX, Step.PRECOMMIT))
        assert silent == [True, True, False, True, False, False]  # after 1, 2 and 4 the height after is passed over
    assert [type(error) for who, error in bench.warnings if who == "signer"].count(SignerRecordError) >= 1
    async with bench.running():  # what was found is remembered, so the start finds nothing new
        pass


async def test_nothing_is_signed_in_the_height_after(bench: Bench, autojump_clock: trio.testing.MockClock) -> None:
    chain = await make_chain(bench, 1, lambda _: True)
    autojump_clock.jump(START_S)
    async with bench.running() as (driver, notes):
        await driver.decide_certified(chain[0])
        for _ in range(20):
            await trio.testing.wait_all_tasks_blocked()
            autojump_clock.jump(1)
        assert driver.core.height == 2 and driver.core.view.start.abstain
        assert [message for message in notes.sent if message.height == 2] == []


async def test_a_signature_given_while_we_run_ends_the_node(bench: Bench, autojump_clock: trio.testing.MockClock) -> None:
    async def follow() -> None:
        async with bench.running() as (driver, _):
            autojump_clock.jump(OTHER_LIFE_NS / 10**9 + 1)
            bench.signer.knows = lambda *_: False  # type: ignore[method-assign]  # it was not this one
            block = await bench.executor.build_value(1, 0, driver.state.last_commit)
            await driver.decide_certified(certify(block, driver.state.tip.validators))

    with pytest.raises(BaseExceptionGroup) as caught:
        await follow()
    assert caught.group_contains(DoubleSignError, match="has not given: its key is used by two instances")
    assert bench.store.height == 0


async def test_our_own_signatures_are_known(bench: Bench, autojump_clock: trio.testing.MockClock) -> None:
    chain = await make_chain(bench, 1, lambda _: True)
    commit = chain[0].commit
    async with bench.running() as (driver, _):
        sign_bytes = commit.sign_bytes(CHAIN_ID, driver.state.tip.validators.index_of(bench.signer.address))
        bench.signer.sign(SignRequest(1, 0, Step.PRECOMMIT, sign_bytes, b"", -1, b"", -1))
        await driver.decide_certified(chain[0])
        assert bench.signer.record.height == 1
    assert bench.warnings == []


@pytest.mark.parametrize("back", [0, 1, LOOK_BACK_BLOCKS - 1, LOOK_BACK_BLOCKS])
def test_a_start_looks_back_so_many_blocks_the_last_included(tmp_path: Path, back: int) -> None:
    """Off by one, such guards have looked at nothing (tendermint#5668)."""
    top = 30
    signer = Signer.create(tmp_path / "record", b"c", *KEYS[0])
    commits = {height: make_commit(height, signer.address if height == top - back else b"x" * 20) for height in range(1, top + 1)}
    if back < LOOK_BACK_BLOCKS:
        with pytest.raises(SignerRecordError, match=f"signature at {top - back}/0/3"):
            check_record_against_chain(signer, top, commits.get)
        signer.sign(SignRequest(top - back, 0, Step.PRECOMMIT, b"precommit", b"", -1, b"", -1))
    check_record_against_chain(signer, top, commits.get)
    signer.close()


def test_a_start_on_few_blocks(tmp_path: Path) -> None:
    signer = Signer.create(tmp_path / "record", b"c", *KEYS[0])
    check_record_against_chain(signer, 0, {}.get)
    check_record_against_chain(signer, 1, {1: make_commit(1, b"x" * 20)}.get)
    check_record_against_chain(signer, 1, {1: make_commit(1, signer.address, Flag.ABSENT)}.get)
    signer.close()


def make_commit(height: int, address: bytes, flag: Flag = Flag.COMMIT) -> Commit:
    return Commit(height, 0, BlockID(b"h" * 32, 1, b"p" * 32), (CommitSig(flag, address, GENESIS_NS, b"s" * 64),))
