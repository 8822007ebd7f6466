"""Joining by a snapshot among peers that lie: one honest peer is enough, no wrong root is taken, and the liar is named."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio
import trio.testing

from consensus.light import LightBlock, Trust
from consensus.proposer import hash_priorities
from node.clock import VirtualClock
from node.light.client import TrustedStart
from node.light.trusted import TrustedStore
from node.simulator.disk import MemoryDatabase
from node.simulator.swarm_world import EPOCH_NS, FAULT_PROFILES, SMALL, World
from node.source import StoreSource
from node.statesync import messages as m
from node.statesync.desk import ANSWER_SECONDS_MAX
from node.statesync.joining import Joiner, Snapshot
from node.statesync.restore import ChunkFolder, build_store, check_chunk, fold_shards
from node.statesync.server import SnapshotServer
from node.storage.store import Store, StoreOptions
from node.tips import decode_tip
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import ClientError, MalformedError, ProofError, QenexError, StorageCorruptError
from state.schema import PRIORITIES_KEY, decode_record
from state.tree_hash import key_hash

HEIGHTS, INTERVAL = 30, 10
SNAPSHOT_HEIGHT = 20  # the newest that is two below the tip of the shortest chain


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A chain that four nodes have made."""
    found = World(5, 4, HEIGHTS, FAULT_PROFILES["none"], frozenset(), tmp_path_factory.mktemp("chain"))
    trio.run(found.play, clock=trio.testing.MockClock(autojump_threshold=0))
    assert not found.stuck
    return found


def open_store(world: World, index: int = 0) -> Store:
    disk = world.nodes[index].disk
    disk.fate = lambda _: ""
    store = Store(MemoryDatabase(disk), SMALL)
    store._check_root()
    return store


def rows_at(store: Store, shard: int, height: int) -> m.Rows:
    return tuple((key, value) for _, key, value in store.shard_rows(shard, height))


Change = Callable[[m.Question, m.Content], m.Content]


class Desk:
    """Peers that answer from one real store, each through its own change."""

    def __init__(self, store: Store, changes: dict[str, Change]) -> None:
        nobody: object = None
        self.server = SnapshotServer(nobody, nobody, store, StoreSource(store), INTERVAL)  # type: ignore[arg-type]
        self.changes = changes
        self.peers = dict.fromkeys(changes)
        self.blamed: dict[str, str] = {}
        self.asked = 0
        self.bytes = 0
        self.stop_after = 10**9

    async def ask(self, peer: str, question: m.Question) -> m.Content:
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self.asked > self.stop_after:
            raise KeyboardInterrupt
        message = m.decode_message(self.server.answer(question))
        assert not isinstance(message, m.Question)
        content = self.changes[peer](question, message[1])
        if content is None:
            raise ClientError("does not have it")
        return content

    def blame(self, peer: str, error: QenexError) -> None:
        self.peers.pop(peer, None)
        self.blamed[peer] = error.name


def honest(_question: m.Question, content: m.Content) -> m.Content:
    return content


def on(kind: int, change: Callable[[m.Content], m.Content]) -> Change:
    return lambda question, content: change(content) if question.kind == kind and content else content


def rows_change(change: Callable[[m.Rows], m.Rows]) -> Change:
    return on(m.CHUNK, lambda rows: change(rows) if rows else rows)  # type: ignore[arg-type]


def tip_change(place: int, change: Callable[[Value], Value], **others: Callable[[m.Offer], object]) -> Change:
    """An offer with one field of its tip changed, and perhaps fields of its own."""

    def lie(offer: m.Content) -> m.Content:
        assert isinstance(offer, m.Offer)
        fields = list(decode(offer.tip))
        fields[place] = change(fields[place])
        return replace(offer, tip=encode_trusted(fields), **{name: make(offer) for name, make in others.items()})  # type: ignore[arg-type]

    return on(m.OFFER, lie)


def change_followers(priorities: tuple[int, ...]) -> tuple[int, ...]:
    """Whose turn it is next stays; who follows after that does not."""
    highest = max(range(len(priorities)), key=lambda place: priorities[place])
    first, *_, last = (place for place in range(len(priorities)) if place != highest)
    changed = list(priorities)
    changed[first], changed[last] = changed[last] - 7, changed[first] + 7
    return tuple(changed)


def forged_light(block: m.Content) -> m.Content:
    assert isinstance(block, LightBlock)
    return replace(block, header=replace(block.header, app_hash=bytes(32)))


LIES: dict[str, Change] = {
    "a flipped byte": rows_change(lambda rows: ((rows[0][0], rows[0][1][:-1] + bytes((rows[0][1][-1] ^ 1,))), *rows[1:])),
    "a row left out": rows_change(lambda rows: rows[1:]),
    "a row twice": rows_change(lambda rows: (rows[0], *rows)),
    "a row of another shard": rows_change(lambda rows: (*rows, (b" zz", b"\x91\x01"))),
    "nothing at all": rows_change(lambda rows: ()),
    "other shard roots": on(m.OFFER, lambda o: replace(o, shard_roots=(bytes([7]) * 32, *o.shard_roots[1:]))),  # type: ignore[type-var, union-attr]
    "the last height there can be": on(m.OFFER, lambda o: replace(o, height=(1 << 63) - 3, latest=(1 << 63) - 1)),  # type: ignore[type-var]
    "another height": on(m.OFFER, lambda o: replace(o, height=o.height - 3)),  # type: ignore[type-var, union-attr]
    "a tip from the future": on(m.OFFER, lambda o: replace(o, height=o.height + 10, latest=o.latest + 10)),  # type: ignore[type-var, union-attr]
    "a forged header": on(m.LIGHT, forged_light),
    "no light blocks": lambda question, content: None if question.kind == m.LIGHT else content,
    "no chunks": lambda question, content: None if question.kind == m.CHUNK else content,
    "no proofs": lambda question, content: None if question.kind == m.PROOF else content,
    "another block": on(m.BLOCK, lambda b: replace(b, block=replace(b.block, txs=(b"x",)))),  # type: ignore[type-var, union-attr]
    "answers of a wrong kind": lambda question, content: (),
}


# what an honest peer may answer as well: it has it no more, or not yet
UNPROVEN: Final = (
    "no light blocks", "no chunks", "no proofs", "answers of a wrong kind", "a tip from the future", "another height",
    "the last height there can be",
)  # fmt: skip
# the place of a field in the tip, and a lie about it
TIP_LIES: dict[str, tuple[int, Change]] = {
    "another chain": (0, tip_change(0, lambda name: name + "2")),
    "an initial height after the snapshot": (1, tip_change(1, lambda _: 10**6)),
    "a later initial height": (1, tip_change(1, lambda height: height + 1)),
    "another height of the tip": (2, tip_change(2, lambda height: height - 1)),
    "another last block": (3, tip_change(3, lambda name: (bytes(32), *name[1:]))),
    "another time": (4, tip_change(4, lambda _: (1, 1))),
    "other priorities": (5, tip_change(5, lambda _: (3, 2, 1, -6))),
    "priorities of a peer that says it has few blocks": (5, tip_change(5, change_followers, latest=lambda offer: offer.height + 2)),
    "priorities that name the right proposer first": (5, tip_change(5, change_followers)),
    "too few priorities": (5, tip_change(5, lambda _: (1,))),
    "priorities that are none": (5, tip_change(5, lambda _: b"priorities")),
    "another app hash": (6, tip_change(6, lambda _: bytes(32))),
    "other results": (7, tip_change(7, lambda _: bytes(32))),
    "no parameters": (8, tip_change(8, lambda _: ())),
    "other parameters": (8, tip_change(8, lambda record: (record[0] + 1, *record[1:]))),
    "another word about transactions": (9, tip_change(9, lambda had_txs: not had_txs)),
}
LIES |= {lie: change for lie, (_, change) in TIP_LIES.items()}


def make_joiner(world: World, desk: Desk, folder: Path) -> Joiner:
    trusted = desk.server._light(m.Question(m.LIGHT, 2))
    assert trusted is not None
    block = m.decode_message(trusted)[1]  # type: ignore[index]
    assert isinstance(block, LightBlock)
    clock = VirtualClock(EPOCH_NS, 10**12)
    return Joiner(
        desk,  # type: ignore[arg-type]
        TrustedStart(2, block.header.hash()),
        Trust(10**15, needs_pq=True),
        TrustedStore(folder / "light"),
        lambda height, roots: ChunkFolder(folder / "joining", height, roots),
        world.keys,
        clock,
        lambda who, error: None,
        lambda text: None,
        initial_height=1,
    )


def check(world: World, snapshot: Snapshot, folder: Path) -> None:
    """The store that comes out is the one that the chain had at that height."""
    height = snapshot.offer.height
    build_store(
        folder / "db", StoreOptions(), snapshot.folder, height, snapshot.offer.tip, snapshot.height_rows(), snapshot.app_hash
    )
    made, source = Store.open(folder / "db"), open_store(world)
    try:
        assert made.root == source.root_at(height)
        state, tip = decode_tip(made), source.tip_at(height)
        assert made.tip == tip
        assert state.height == height
        certified = StoreSource(source).certified(height + 1)
        assert certified is not None
        assert state.tip.validators.hash() == certified.block.header.validators_hash
        assert state.tip.next_validators.hash() == certified.block.header.next_validators_hash
        assert dict(made.state_keys(b" ")) == {
            key: value for shard in range(256) for key, value in rows_at(source, shard, height)
        }
    finally:
        made.close()


async def test_honest_peers(world: World, tmp_path: Path, autojump_clock: object) -> None:
    desk = Desk(open_store(world), {"a": honest, "b": honest})
    snapshot = await make_joiner(world, desk, tmp_path).join()
    assert snapshot.offer.height == SNAPSHOT_HEIGHT + (10 if open_store(world).height >= 32 else 0)
    check(world, snapshot, tmp_path)
    assert desk.blamed == {}


@pytest.mark.parametrize("lie", LIES)
async def test_five_liars_and_one_honest_peer(world: World, tmp_path: Path, autojump_clock: object, lie: str) -> None:
    liars = {f"{place} liar": LIES[lie] for place in range(5)}
    desk = Desk(open_store(world), {**liars, "9 honest": honest})
    snapshot = await make_joiner(world, desk, tmp_path).join()
    check(world, snapshot, tmp_path)
    assert "9 honest" not in desk.blamed
    if lie not in UNPROVEN:
        assert desk.blamed, "nobody was named"


def test_there_is_a_lie_about_every_field_of_the_tip(world: World) -> None:
    assert {place for place, _ in TIP_LIES.values()} == set(range(len(decode(open_store(world).tip))))


async def test_only_liars(world: World, tmp_path: Path, autojump_clock: object) -> None:
    desk = Desk(open_store(world), {"liar": LIES["a row left out"], "other": LIES["nothing at all"]})
    with pytest.raises(ClientError, match="no peer gives a snapshot"):
        await make_joiner(world, desk, tmp_path).join()
    assert set(desk.blamed) == {"liar", "other"}


async def test_a_snapshot_before_the_first_block(world: World, tmp_path: Path, autojump_clock: object) -> None:
    """Alone, because the highest offer is taken first. Asked for height 0, a light client gives the newest."""
    desk = Desk(open_store(world), {"liar": on(m.OFFER, lambda offer: replace(offer, height=0, latest=2))})  # type: ignore[type-var]
    with pytest.raises(ClientError, match="no peer gives a snapshot"):
        await make_joiner(world, desk, tmp_path).join()
    assert desk.blamed == {"liar": "MALFORMED"}


async def test_who_is_silent_about_chunks_does_not_keep_them_from_others(world: World, tmp_path: Path, autojump_clock: object) -> None:
    """Each took one of the last chunks, and the one who had them was not asked again."""

    class SilentDesk(Desk):
        async def ask(self, peer: str, question: m.Question) -> m.Content:
            if "silent" in peer and question.kind == m.CHUNK:
                await trio.sleep(ANSWER_SECONDS_MAX)
                raise ClientError("does not answer")
            return await super().ask(peer, question)

    desk = SilentDesk(open_store(world), {**{f"{place} silent": honest for place in range(5)}, "9 honest": honest})
    began = trio.current_time()
    snapshot = await make_joiner(world, desk, tmp_path).join()
    check(world, snapshot, tmp_path)
    assert trio.current_time() - began < 6 * ANSWER_SECONDS_MAX  # each of the silent is waited for once at most
    assert desk.blamed == {}


async def test_another_trusted_hash(world: World, tmp_path: Path, autojump_clock: object) -> None:
    desk = Desk(open_store(world), {"a": honest})
    joiner = make_joiner(world, desk, tmp_path)
    joiner._start = TrustedStart(2, bytes(32))
    with pytest.raises(ClientError):
        await joiner.join()


@pytest.mark.parametrize("after", [1, 5, 40, 50, 60, 75])
async def test_a_kill_costs_only_what_was_under_way(world: World, tmp_path: Path, autojump_clock: object, after: int) -> None:
    desk = Desk(open_store(world), {"a": honest, "b": honest})
    desk.stop_after = after
    with pytest.raises(BaseException):  # noqa: B017  (as a signal: alone or in a group)
        await make_joiner(world, desk, tmp_path).join()
    first = desk.asked
    again = Desk(open_store(world), {"a": honest, "b": honest})
    joiner = make_joiner(world, again, tmp_path)
    check(world, await joiner.join(), tmp_path)
    whole = Desk(open_store(world), {"a": honest, "b": honest})
    await make_joiner(world, whole, tmp_path / "fresh").join()
    assert first > 60 or again.asked <= whole.asked
    if first >= 60:
        assert again.asked < whole.asked


async def test_a_damaged_chunk_file_is_fetched_again(world: World, tmp_path: Path, autojump_clock: object) -> None:
    desk = Desk(open_store(world), {"a": honest})
    await make_joiner(world, desk, tmp_path).join()
    files = sorted((tmp_path / "joining").glob("*/*.rows"))
    chance = random.Random(1)
    for path in files:
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
    joiner = make_joiner(world, desk, tmp_path)
    check(world, await joiner.join(), tmp_path)
    assert joiner.chunks == len(files)


def test_every_shard_of_every_kept_height(world: World) -> None:
    store = open_store(world)
    for height in range(1, store.height + 1):
        roots = store.shard_roots_at(height)
        assert fold_shards(roots) == store.root_at(height)
        if height % 7 == 0:
            for shard in range(256):
                check_chunk(shard, rows_at(store, shard, height), roots[shard])


def test_the_state_of_every_height_has_the_hash_of_its_priorities(world: World) -> None:
    store = open_store(world)
    assert store.get(PRIORITIES_KEY) is not None
    hashes = []
    for height in range(1, store.height + 1):
        priorities = decode(store.tip_at(height) or b"")[5]
        raw = dict(rows_at(store, key_hash(PRIORITIES_KEY)[0], height))[PRIORITIES_KEY]
        assert decode_record(PRIORITIES_KEY, raw) == (hash_priorities(priorities),)
        hashes.append(raw)
    assert len(set(hashes)) > 1
    assert PRIORITIES_KEY not in dict(rows_at(store, key_hash(PRIORITIES_KEY)[0], 0))


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_messages_that_are_none(world: World, damage: str) -> None:
    server = Desk(open_store(world), {}).server
    chance = random.Random(2)
    for question in (m.Question(m.OFFER), m.Question(m.LIGHT, 3), m.Question(m.CHUNK, 10, 7), m.Question(m.BLOCK, 4)):
        for data in (question.encode(), server.answer(question)):
            for _ in range(40):
                place = chance.randrange(len(data))
                if damage == "cut":
                    broken = data[:place]
                elif damage == "flip":
                    broken = data[:place] + bytes((data[place] ^ (1 << chance.randrange(8)),)) + data[place + 1 :]
                else:
                    broken = b""
                try:
                    m.decode_message(broken)
                except MalformedError:
                    continue


def test_questions_about_what_is_not_there(world: World) -> None:
    server = Desk(open_store(world), {}).server
    for question in (
        m.Question(m.LIGHT, 10**9), m.Question(m.LIGHT, 0), m.Question(m.CHUNK, 7, 3), m.Question(m.CHUNK, 0, 3),
        m.Question(m.CHUNK, 10**6, 3), m.Question(m.PROOF, 10**9, 0, b" x"), m.Question(m.BLOCK, 0),
    ):  # fmt: skip
        assert m.decode_message(server.answer(question)) == (question, None)


def test_a_store_is_not_made_of_wrong_rows(world: World, tmp_path: Path) -> None:
    store = open_store(world)
    folder = ChunkFolder(tmp_path / "joining", 10, store.shard_roots_at(10))
    for shard in folder.missing:
        folder.put(shard, rows_at(store, shard, 10))
    with pytest.raises(StorageCorruptError):
        build_store(tmp_path / "db", StoreOptions(), folder, 10, b"tip", (), bytes(32))
    assert not (tmp_path / "db").exists()
    with pytest.raises(ProofError):
        folder.put(folder.missing[0], ())
