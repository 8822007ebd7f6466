"""The light client against providers that are honest, lie, fork, lag or say nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from consensus.block_id import BlockID
from consensus.commit import EMPTY_COMMIT, PqCommit
from consensus.evidence import evidence_from_wire
from consensus.evidence_attack import LightClientAttackEvidence
from consensus.light import LightBlock, Trust
from consensus.validation import ChainTip, make_block
from node.light import client as client_module
from node.light.attack import make_attack_evidence
from node.light.client import LightClient, TrustedStart
from node.light.trusted import TrustedStore
from node.storage.store import HeightBatch, Store
from state.params import ConsensusParams
from state.primitives.codec import decode, encode_trusted
from state.primitives.errors import ClientError, ConfigError, DivergenceError, InvalidCommitError, QenexError
from state.primitives.hashing import sha256
from state.schema_staking import address_owner_key, pq_owner_key
from state.validators import Validator, ValidatorSet, ValidatorUpdate
from tests.consensus.world import BASE_NS, CHAIN, FakeVerifier, make_commit, make_validator

S = 1_000_000_000
HEIGHTS = 40
NOW = BASE_NS + 100 * S


def member(name: object) -> Validator:
    """A validator whose ML-DSA key is its own: the world's have one key of zeros."""
    blank = make_validator(name)
    return replace(blank, pq_key=sha256(f"pq {name}".encode()) * (len(blank.pq_key) // 32))


@cache
def proofs() -> tuple[bytes, dict[bytes, tuple[bytes | None, bytes]]]:
    """(app hash, key -> (value, proof)) of a state that knows every validator of the chain."""
    with TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "db")
        rows = []
        for name in range(HEIGHTS + 4):
            validator = member(name)
            value = encode_trusted((validator.address,))
            rows += [(address_owner_key(validator.address), value), (pq_owner_key(sha256(validator.pq_key)), value)]
        store.commit(HeightBatch(1, b"tip"), rows)
        found = {key: store.prove(key) for key, _ in rows}
        foreign = pq_owner_key(sha256(b"of nobody"))
        found[foreign] = store.prove(foreign)
        root = store.root
        store.close()
    return root, found


@cache
def chain(fork_at: int = HEIGHTS + 1) -> tuple[LightBlock, ...]:
    """Heights a second apart; from block 3 on each block swaps one of four validators. From `fork_at` the times are others."""
    root, _ = proofs()
    tip = ChainTip.at_genesis(CHAIN, 1, BASE_NS, _first(), root, ConsensusParams())
    blocks, last_commit = [], EMPTY_COMMIT
    for height in range(1, HEIGHTS + 1):
        time_ns = BASE_NS + height * S + (height >= fork_at)
        block = make_block(tip, time_ns, (), last_commit, (), tip.validators.validators[0].address)
        commit, pq = make_commit(tip.validators, height, 0, block.block_id(), range(4), (), time_ns)
        blocks.append(LightBlock(block.header, commit, pq, tip.validators))
        leaver, newcomer = member(height - 3), member(height + 1)
        updates = (_update(leaver, 0), _update(newcomer, 1)) if height >= 3 else ()
        tip = tip.advance(block, root, sha256(b""), updates, None)
        last_commit = commit
    return tuple(blocks)


def _first() -> ValidatorSet:
    return ValidatorSet(member(name) for name in range(4))


def _update(validator: Validator, power: int) -> ValidatorUpdate:
    return ValidatorUpdate(validator.ed25519_key, validator.pq_kind, validator.pq_key, power)


class FakeProvider:
    """Serves a chain; `change` may falsify what it serves."""

    def __init__(self, url: str, blocks: tuple[LightBlock, ...], change: Callable[[LightBlock], LightBlock | None] = lambda b: b) -> None:
        self.url = url
        self.blocks = blocks
        self.change = change
        self.asked: list[int] = []
        self.reports: list[bytes] = []
        self.forge_state: Callable[[bytes, bytes | None, bytes], tuple[bytes | None, bytes]] = lambda _, value, proof: (value, proof)

    async def latest_height(self) -> int:
        return len(self.blocks)

    async def light_block(self, height: int) -> LightBlock:
        self.asked.append(height)
        block = self.change(self.blocks[height - 1]) if 1 <= height <= len(self.blocks) else None
        if block is None:
            raise ClientError(f"{self.url} has no block {height}")
        return block

    async def state(self, path: str, data: bytes, height: int) -> tuple[bytes | None, bytes, int]:
        assert path == "/store/key"
        value, proof = proofs()[1][data]
        return *self.forge_state(data, value, proof), height

    async def report(self, evidence: bytes) -> None:
        self.reports.append(evidence)


class Clock:
    def __init__(self) -> None:
        self.time_ns = NOW

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_ns(self) -> int:
        return self.time_ns


class Bench:
    """A light client with its surroundings."""

    def __init__(self, folder: Path, primary: FakeProvider, *witnesses: FakeProvider, needs_pq: bool = True) -> None:
        self.primary, self.witnesses = primary, witnesses
        self.clock = Clock()
        self.warnings: list[tuple[str, str]] = []
        self.client = LightClient(
            primary,
            witnesses,
            TrustedStore(folder / "light"),
            Trust(1_000_000 * S, needs_pq=needs_pq),
            FakeVerifier(),
            self.clock,
            lambda who, error: self.warnings.append((who, error.name)),
            make_attack_evidence,
        )

    async def start(self, height: int = 1) -> LightBlock:
        return await self.client.start(TrustedStart(height, chain()[height - 1].header.hash()))


def honest(url: str = "honest") -> FakeProvider:
    return FakeProvider(url, chain())


async def test_bisection_reaches_the_tip_and_asks_little(tmp_path: Path) -> None:
    bench = Bench(tmp_path, honest("p"), honest("w"))
    await bench.start()
    block = await bench.client.verify_to()
    assert block == chain()[-1]
    assert len(bench.primary.asked) < HEIGHTS
    assert bench.witnesses[0].asked == [1, HEIGHTS]
    assert bench.client.verified_signatures >= 4 * bench.client.verified_blocks
    asked = len(bench.primary.asked)
    assert await bench.client.verify_to(HEIGHTS) == block
    assert len(bench.primary.asked) == asked  # known already


async def test_every_height_up_and_down(tmp_path: Path) -> None:
    bench = Bench(tmp_path, honest("p"), honest("w"))
    await bench.start(20)
    for height in (25, 19, 3, 1, 40, 33, 2):
        assert await bench.client.verify_to(height) == chain()[height - 1]
    with pytest.raises(ClientError):
        await bench.client.verify_to(41)


async def test_it_goes_on_from_what_was_verified(tmp_path: Path) -> None:
    first = Bench(tmp_path, honest("p"), honest("w"))
    await first.start()
    await first.client.verify_to(30)
    second = Bench(tmp_path, honest("p"), honest("w"))
    assert (await second.client.start(None)).header.height == 30
    assert await second.client.verify_to() == chain()[-1]
    empty = Bench(tmp_path / "new", honest("p"), honest("w"))
    with pytest.raises(ConfigError, match="nothing is trusted"):
        await empty.client.start(None)


async def test_the_trusted_hash_decides(tmp_path: Path) -> None:
    bench = Bench(tmp_path, honest("p"), honest("w"))
    with pytest.raises(InvalidCommitError, match="not the trusted"):
        await bench.client.start(TrustedStart(5, sha256(b"another")))
    assert bench.client.store.latest() is None


async def test_a_folder_is_of_one_chain(tmp_path: Path) -> None:
    bench = Bench(tmp_path, honest("p"), honest("w"))
    await bench.start()
    with pytest.raises(ConfigError, match="is of chain"):
        TrustedStore(tmp_path / "light").bind("other-1")


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: b"", lambda data: data[:50] + b"\xff" + data[51:]])
async def test_a_damaged_file_is_asked_for_again(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    bench = Bench(tmp_path, honest("p"), honest("w"))
    await bench.start()
    await bench.client.verify_to(5)
    path = tmp_path / "light" / f"{5:020}.light"
    path.write_bytes(damage(path.read_bytes()))
    again = Bench(tmp_path, honest("p"), honest("w"))
    assert again.client.store.damaged == [path]
    await again.client.start(None)
    assert await again.client.verify_to(5) == chain()[4]


def forge(block: LightBlock, **changes: object) -> LightBlock:
    """Another header, signed by the same validators: an attack by all of them."""
    header = replace(block.header, **changes)  # type: ignore[arg-type]
    name = BlockID(header.hash(), 1, bytes(32))
    commit, pq = make_commit(block.validators, header.height, 0, name, range(4), (), header.time_ns)
    return LightBlock(header, commit, pq, block.validators)


def at(height: int, change: Callable[[LightBlock], LightBlock | None]) -> Callable[[LightBlock], LightBlock | None]:
    return lambda block: change(block) if block.header.height == height else block


BAD = {
    "unsigned": lambda b: replace(b, commit=replace(b.commit, signatures=b.commit.signatures[::-1])),
    "stripped": lambda b: replace(b, pq_commit=None),
    "half signed": lambda b: replace(b, pq_commit=PqCommit(b.header.height, 0, (b"",) * 4)),
    "of another header": lambda b: replace(b, header=replace(b.header, app_hash=bytes(32))),
    "other validators": lambda b: replace(b, validators=_first()),
    "of another chain": lambda b: forge(b, chain_id="other-1"),
    "from the future": lambda b: forge(b, time_ns=NOW + 60 * S),
    "before its time": lambda b: forge(b, time_ns=BASE_NS),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_primary_that_lies_is_not_believed(tmp_path: Path, name: str) -> None:
    bench = Bench(tmp_path, FakeProvider("p", chain(), at(20, BAD[name])), honest("w"))
    await bench.start()
    with pytest.raises(QenexError) as caught:
        await bench.client.verify_to(20)
    assert caught.value.code in (2321, 2323)
    assert bench.client.store.latest() == chain()[0]  # nothing of it was kept


async def test_a_lying_witness_is_dropped_and_the_others_go_on(tmp_path: Path) -> None:
    liar = FakeProvider("liar", chain(), at(20, lambda b: replace(b, header=replace(b.header, app_hash=bytes(32)))))
    bench = Bench(tmp_path, honest("p"), liar, honest("w"))
    await bench.start()
    assert await bench.client.verify_to(20) == chain()[19]
    assert [witness.url for witness in bench.client.witnesses] == ["w"]
    assert bench.warnings[0][0] == "liar"


async def test_a_witness_that_lags_rests_for_a_while_and_is_asked_again(tmp_path: Path) -> None:
    slow = FakeProvider("slow", chain()[:10])
    bench = Bench(tmp_path, honest("p"), slow, honest("w"))
    await bench.start()
    for height in (20, 21, 22, 23):
        await bench.client.verify_to(height)
    assert slow.asked == [1, 20, 21, 22]  # another one agrees: three failures in a row are enough to be let alone
    slow.blocks = chain()
    bench.clock.time_ns += client_module.WITNESS_REST_S * S
    await bench.client.verify_to(24)
    await bench.client.verify_to(25)
    assert slow.asked[4:] == [24, 25]
    assert bench.client.agreed_on(25) == 2
    assert bench.client.agreed_on(24) == 0


async def test_a_witness_that_goes_on_failing_rests_longer_each_time(tmp_path: Path) -> None:
    gone = FakeProvider("gone", chain()[:1])
    bench = Bench(tmp_path, honest("p"), gone, honest("w"))
    await bench.start()
    rests = []
    for height in range(20, 32):
        asked, waited = len(gone.asked), 0
        while waited < 2_000:
            await bench.client._compare([chain()[0], chain()[height - 1]])
            if len(gone.asked) > asked:
                break
            bench.clock.time_ns += 10 * S
            waited += 10
        rests.append(waited)
    assert rests[:7] == [0, 0, 0, 30, 60, 120, 240]
    assert max(rests) == client_module.WITNESS_REST_S_MAX


async def test_a_primary_is_never_believed_alone(tmp_path: Path) -> None:
    """The only witness is down for three calls, and then the primary forks: the witness is still one, and nothing is kept."""
    witness = FakeProvider("w", chain()[:10])
    bench = Bench(tmp_path, FakeProvider("p", chain(30)), witness)
    await bench.start()
    for _ in range(6):
        with pytest.raises(ClientError, match="no witness confirms block 35") as caught:
            await bench.client.verify_to(35)
        assert "asked again" in caught.value.hint
    assert bench.client.store.latest() == chain()[0]
    witness.blocks = chain()
    with pytest.raises(DivergenceError):
        await bench.client.verify_to(35)
    bench.primary.blocks = chain()
    assert await bench.client.verify_to(35) == chain()[34]


async def test_when_every_witness_lied_nothing_is_believed(tmp_path: Path) -> None:
    liar = FakeProvider("liar", chain(), at(20, lambda b: replace(b, header=replace(b.header, app_hash=bytes(32)))))
    bench = Bench(tmp_path, honest("p"), liar)
    await bench.start()
    for _ in range(2):
        with pytest.raises(ClientError, match="no witness is left to confirm block 20") as caught:
            await bench.client.verify_to(20)
        assert "--witness" in caught.value.hint
    assert bench.client.witnesses == []
    assert bench.client.store.latest() == chain()[0]


async def test_a_witness_that_breaks_off_its_proof_is_no_liar(tmp_path: Path) -> None:
    """It has another header, and what lies before it cannot be had: nothing is proved of it."""
    fork = chain(2)
    cut = FakeProvider("cut", fork, lambda b: b if b.header.height in (1, 40) else None)
    bench = Bench(tmp_path, honest("p"), cut, honest("w"))
    await bench.start()
    assert await bench.client.verify_to(40) == chain()[39]
    assert cut in bench.client.witnesses
    assert bench.warnings[-1] == ("cut", "CLIENT")


async def test_what_was_skipped_over_is_not_known(tmp_path: Path) -> None:
    """A block on the way that the later one hides: no witness was asked about it, so it may not be had without being compared."""
    bench = Bench(tmp_path, honest("p"), honest("w"))
    await bench.start()
    await bench.client.verify_to(40)
    way = [height for height in bench.primary.asked if 2 < height < 40]  # the second proves the keys of the first
    assert way
    for height in way:
        false = FakeProvider("p", chain(), at(height, lambda b: forge(b, last_results_hash=sha256(b"money"))))
        forging = Bench(tmp_path / str(height), false, honest("w"))
        await forging.start()
        await forging.client.verify_to(40)
        with pytest.raises(DivergenceError):
            await forging.client.verify_to(height)
        assert forging.warnings == []  # the evidence could be made, however many blocks led there
        assert len(forging.witnesses[0].reports) == 1


async def test_without_any_agreeing_witness_nothing_is_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, honest("p"), FakeProvider("slow", chain()[:10]))
    await bench.start()
    with pytest.raises(ClientError, match="no witness confirms"):
        await bench.client.verify_to(20)
    assert bench.client.store.latest() == chain()[0]


@pytest.mark.parametrize(("fork_at", "height"), [(20, 20), (18, 20), (2, 20)])
async def test_a_fork_is_noticed_and_both_sides_get_evidence(tmp_path: Path, fork_at: int, height: int) -> None:
    bench = Bench(tmp_path, honest("p"), FakeProvider("w", chain(fork_at)))
    await bench.start()
    with pytest.raises(DivergenceError) as caught:
        await bench.client.verify_to(height)
    assert "p and w" in caught.value.message
    assert bench.client.store.latest() == chain()[0]
    for provider, conflicting in ((bench.witnesses[0], chain()), (bench.primary, chain(fork_at))):
        (raw,) = provider.reports
        evidence = evidence_from_wire(decode(raw, bytes_max=1 << 20))
        assert isinstance(evidence, LightClientAttackEvidence)
        assert fork_at <= evidence.header.height <= height
        assert evidence.header == conflicting[evidence.header.height - 1].header


async def test_a_false_app_hash_is_an_attack_of_the_common_height(tmp_path: Path) -> None:
    lunatic = FakeProvider("p", chain(), at(4, lambda b: forge(b, app_hash=sha256(b"money"))))
    bench = Bench(tmp_path, lunatic, honest("w"))
    await bench.start()
    with pytest.raises(DivergenceError):
        await bench.client.verify_to(4)
    (raw,) = bench.witnesses[0].reports
    evidence = evidence_from_wire(decode(raw, bytes_max=1 << 20))
    assert isinstance(evidence, LightClientAttackEvidence)
    assert evidence.common_height == 1
    assert len(evidence.byzantine) == 4


async def test_post_quantum_keys_are_not_taken_on_trust(tmp_path: Path) -> None:
    """A header's hash says nothing of ML-DSA keys: whoever forges Ed25519 could bring keys of its own."""

    def own_keys(block: LightBlock) -> LightBlock:
        validators = tuple(replace(v, pq_key=bytes(len(v.pq_key))) for v in block.validators.validators)
        return replace(block, validators=type(block.validators)(validators))

    bench = Bench(tmp_path, FakeProvider("p", chain(), at(20, own_keys)), honest("w"))
    await bench.start()
    proofs()[1][pq_owner_key(sha256(bytes(len(make_validator(0).pq_key))))] = proofs()[1][pq_owner_key(sha256(b"of nobody"))]
    with pytest.raises(InvalidCommitError):
        await bench.client.verify_to(20)
    classic = Bench(tmp_path / "classic", FakeProvider("p", chain(), lambda b: replace(b, pq_commit=None)), honest("w"), needs_pq=False)
    await classic.start()
    assert (await classic.client.verify_to(20)).header == chain()[19].header


@pytest.mark.parametrize(
    "forge_state",
    [
        lambda key, value, proof: (value, proof[:-1]),
        lambda key, value, proof: (encode_trusted((bytes(20),)), proof),
        lambda key, value, proof: (None, proof),
    ],
)
async def test_a_wrong_proof_of_a_key(tmp_path: Path, forge_state: Callable[..., tuple[bytes | None, bytes]]) -> None:
    bench = Bench(tmp_path, honest("p"), honest("w"))
    bench.primary.forge_state = forge_state
    with pytest.raises(InvalidCommitError, match="post-quantum"):
        await bench.start(10)


async def test_trust_ends(tmp_path: Path) -> None:
    bench = Bench(tmp_path, honest("p"), honest("w"))
    await bench.start()
    bench.clock.time_ns = BASE_NS + 2_000_000 * S
    with pytest.raises(InvalidCommitError, match="too old"):
        await bench.client.verify_to(20)


async def test_backwards_the_hashes_must_follow(tmp_path: Path) -> None:
    bench = Bench(tmp_path, FakeProvider("p", chain(), at(15, lambda b: forge(b, app_hash=bytes(32)))), honest("w"))
    await bench.start(20)
    assert await bench.client.verify_to(17) == chain()[16]
    with pytest.raises(InvalidCommitError, match="not the one that block 16 follows"):
        await bench.client.verify_to(10)


async def test_backwards_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "BACKWARDS_MAX", 5)
    bench = Bench(tmp_path, honest("p"), honest("w"))
    await bench.start(20)
    with pytest.raises(ClientError, match="below the first trusted one"):
        await bench.client.verify_to(10)
