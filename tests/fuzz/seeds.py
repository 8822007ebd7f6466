"""What the targets start from: real messages, made the way honest nodes and clients make them. No test is in here."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from consensus.block import Block, Header, data_hash, results_hash
from consensus.commit import Commit, PqCommit
from consensus.evidence import DuplicateVoteEvidence, LightClientAttackEvidence, evidence_to_wire
from consensus.gossip import RoundSummary, Summary
from consensus.light import LightBlock
from consensus.messages import Persist, Step
from consensus.vote import Proposal, Vote
from genesis.testnet import NetworkOptions, plan_network
from node.compact import COMPACT, HAVE, LACK, TXS, WANT_BLOCK, WANT_TXS, CompactBlock
from node.consensus_gossip import SUMMARY, encode_messages
from node.light.proving import TxResult
from node.mempool.gossip import ANNOUNCE, BODIES, WANT
from node.rpc import shapes
from node.signer import SignerRecord
from node.signing import messages as signing
from node.statesync import messages as snapshots
from node.storage.store import HeightBatch, Store
from node.sync.messages import CertifiedBlock
from node.wal import Wal
from p2p.channels import BLOCK, CONSENSUS, MEMPOOL
from p2p.frames import GRANT, PING, encode_control, encode_frame
from p2p.handshake import Greeting, encode_greeting, encode_verdict
from state.initial import genesis_changes
from state.primitives.codec import encode_trusted
from state.primitives.hashing import sha256, validator_address
from state.primitives.keys import KeyKind, PrivateKey
from state.primitives.merkle import proofs as proofs_of
from state.transaction import build, call, sign
from tests.consensus.evidence_world import Chain
from tests.consensus.world import PRECOMMIT, PREVOTE, Scene, make_block, make_commit, make_set
from tests.state.ledger_world import ADDRESS, genesis_state, key_of

NOW = 1_800_000_000


@cache
def transactions() -> tuple[bytes, ...]:
    def signed(*ops: Any, **fields: Any) -> bytes:
        draft = build(
            chain_id=sha256(b"chain"), sender=ADDRESS["alice"], seq=3, valid_until=NOW, ops=list(ops), max_fee=9, **fields
        )
        return sign(draft, [(ADDRESS["alice"], 0, key_of("alice"))])

    transfer = call("asset.transfer", asset="QNX", to=ADDRESS["bob"], amount=10**150, tag="rent")
    return (
        signed(transfer, memo=""),
        signed(transfer, transfer, memo="two", client_ref=bytes(16)),
        signed(call("asset.burn", asset="QNX", amount=1), memo=""),
    )


@cache
def votes() -> tuple[Vote, ...]:
    scene = Scene()
    return (
        scene.vote(0, PREVOTE, 0, "A"),
        scene.vote(1, PRECOMMIT, 3, None),
        scene.vote(3, PRECOMMIT, 100, "B"),
    )


@cache
def proposals() -> tuple[Proposal, ...]:
    scene = Scene()
    return scene.proposal(0, "A"), scene.proposal(2, "B", 1)


@cache
def block_and_commit() -> tuple[Block, Commit, PqCommit]:
    scene = Scene()
    commit, pq_commit = make_commit(make_set((1, 1, 1, 1)), 1, 0, scene.block_id("A"), (0, 1, 3), (2,))
    return scene.block("A"), commit, pq_commit


@cache
def evidence() -> DuplicateVoteEvidence:
    scene = Scene()
    first, second = scene.vote(0, PREVOTE, 0, "A"), scene.vote(0, PREVOTE, 0, "B")
    return DuplicateVoteEvidence.of(first, second, scene.validators, 1_700_000_000_000_000_000)


@cache
def evidence_messages() -> tuple[bytes, ...]:
    """One proof of each kind, and an attack that nobody can be named for."""
    chain = Chain((3, 2, 1, 1)).grow(6)
    forged = (chain.forged(5, app_hash=sha256(b"false")), chain.forged(4, data_hash=sha256(b"other"), round_=2))
    items = (
        chain.double_vote(4),
        chain.double_proposal(5),
        *(LightClientAttackEvidence.of(block, min(block.header.height, 4), chain) for block in forged),
    )
    return tuple(encode_trusted(evidence_to_wire(item)) for item in items)


def frames() -> tuple[bytes, ...]:
    vote = encode_messages(list(votes()))[0]
    return (
        encode_frame(CONSENSUS, vote, is_last=True) + encode_control(PING, 7),
        encode_frame(BLOCK, bytes(32 * 1024), is_last=False) + encode_frame(BLOCK, b"end", is_last=True),
        encode_control(GRANT, MEMPOOL, 1000) + encode_frame(MEMPOOL, transactions()[0], is_last=True),
    )


def greetings() -> tuple[bytes, ...]:
    greeting = Greeting(1, sha256(b"genesis"), "0.1.0", "node0", "127.0.0.1:26656", ("x",), 5)
    return encode_greeting(greeting)[2:], encode_verdict(0)[2:], encode_verdict(2410)[2:]


def summaries() -> tuple[bytes, ...]:
    rounds = (RoundSummary(0, (b"abcdefghijklmnop",), 0b1011, True, 0b1, False), RoundSummary(7, (), 0, False, 1 << 199, False))
    return tuple(encode_trusted((SUMMARY, Summary(5, 7, step, rounds).to_wire())) for step in (Step.PROPOSE, Step.COMMIT))


def compact_block() -> bytes:
    block = block_and_commit()[0]
    return encode_trusted((COMPACT, *CompactBlock.of(block).to_wire()))


def genesis() -> bytes:
    options = NetworkOptions(validators=1, time_ns=1_790_000_000_000_000_000, accounts=1)
    return plan_network(options, lambda label: sha256(label.encode())).document.to_json()


def calls() -> tuple[bytes, ...]:
    return tuple(
        json.dumps(call_).encode()
        for call_ in (
            {"jsonrpc": "2.0", "id": 1, "method": "block", "params": {"height": "5"}},
            {"jsonrpc": "2.0", "id": "x", "method": "tx_search", "params": ["tm.event='Tx'", True, 1, "30", "asc"]},
            [{"id": 1, "method": "health"}, {"id": 2, "method": "abci_query", "params": {"path": "/a", "data": "00"}}],
            {"id": 3, "method": "broadcast_tx_sync", "params": {"tx": "AAEC"}},
        )
    )


@cache
def light_answers() -> tuple[bytes, ...]:
    """As `header` and `pq_commit` answer."""
    block, commit, pq_commit = block_and_commit()
    proof = {
        "commit": shapes.commit(commit),
        "pq_signatures": [shapes.b64(item) if item else None for item in pq_commit.signatures],
        "validators": [shapes.validator(validator, 0) for validator in make_set((1, 1, 1, 1)).validators],
    }
    whole = {"jsonrpc": "2.0", "id": 1, "result": {"header": {"header": shapes.header(block.header)}, "proof": proof}}
    return (json.dumps(whole).encode(),)


@cache
def proxied() -> tuple[LightBlock, Header, dict[str, Any]]:
    """A verified block, the header after it, and what is true of it: the block, its results, its third transaction by its hash."""
    _, last_commit, _ = block_and_commit()
    txs = tuple(b"transaction %d" % number for number in range(5))
    results = [TxResult(201 if number == 1 else 0, bytes(number), 100 + number, 90) for number in range(5)]
    validators, bare = make_set((1, 1, 1, 1)), make_block("A", 2, 1_700_000_002_000_000_000, make_set((1, 1, 1, 1)), last_commit)
    block = Block(replace(bare.header, data_hash=data_hash(txs)), txs, (), last_commit)
    commit, pq_commit = make_commit(validators, 2, 0, block.block_id(), range(4))
    covered = [(item.code, item.data, item.gas_wanted, item.gas_used) for item in results]
    following = replace(block.header, height=3, last_block_id=block.block_id(), last_results_hash=results_hash(covered))
    root, paths = proofs_of([sha256(raw) for raw in txs])
    raw, tx_hash = shapes.b64(txs[2]), sha256(txs[2])
    proof = {"root_hash": shapes.hexed(root), "data": raw, "proof": shapes.proof(paths[2])}
    tx = {"hash": shapes.hexed(tx_hash), "height": "2", "index": 2, "tx_result": results[2].show(), "tx": raw, "proof": proof}
    truth = {"hash": tx_hash, "block": shapes.block(block), "block_results": [item.show() for item in results], "tx": tx}
    return LightBlock(block.header, commit, pq_commit, validators), following, truth


@cache
def proxied_answers() -> tuple[bytes, ...]:
    """As a primary answers `block`, `block_results` and `tx`."""
    light, _, truth = proxied()
    results = (
        {"block_id": shapes.block_id(light.commit.block_id), "block": truth["block"]},
        {"height": "2", "txs_results": truth["block_results"], "finalize_block_events": [], "app_hash": ""},
        truth["tx"],
    )
    return tuple(json.dumps({"jsonrpc": "2.0", "id": 1, "result": result}).encode() for result in results)


QUERIES = (
    b"tm.event='Tx' AND transfer.amount >= 700 AND tx.height < 5",
    b"tx.hash='00FF' AND a.b CONTAINS 'x' AND c EXISTS",
    b"block.height > -5",
)


def consensus_messages() -> tuple[bytes, ...]:
    return (*encode_messages(list(votes())), *encode_messages(list(proposals())), *summaries())


def block_messages() -> tuple[bytes, ...]:
    name = block_and_commit()[0].block_id().to_wire()
    return (
        compact_block(),
        encode_trusted((WANT_TXS, name, (0, 1))),
        encode_trusted((TXS, name, (0,), (b"A",))),
        *(encode_trusted((kind, name)) for kind in (LACK, WANT_BLOCK, HAVE)),
    )


def mempool_messages() -> tuple[bytes, ...]:
    hashes = sha256(b"1") + sha256(b"2")
    return (
        encode_trusted((ANNOUNCE, hashes)),
        encode_trusted((WANT, hashes)),
        encode_trusted((BODIES, transactions())),
    )


PROVEN_KEY = b" h1"


@cache
def proofs() -> tuple[bytes, ...]:
    rows = [(b" h%d" % number, b"x") for number in range(20)]
    with TemporaryDirectory() as folder:
        store = Store.create(Path(folder) / "db")
        store.commit(HeightBatch(1, b"tip"), rows)
        found = tuple(store.prove(key)[1] for key in (PROVEN_KEY, b" h7", b" absent", b" other"))
        store.close()
    return found


def uris() -> tuple[bytes, ...]:
    return b'block?height="5"', b"tx_search?query=\"tm.event='Tx'\"&prove=true&page=1", b"tx?hash=0x00ff&prove=false"


@cache
def log_entries() -> tuple[bytes, ...]:
    scene = Scene()
    steps = [scene.start(), scene.propose(0, "A"), scene.give_block("A"), scene.votes((0, 2, 3), PREVOTE, 0, "A")]
    steps.append(scene.timeout(0, Step.PRECOMMIT))
    return tuple(output.entry for outputs in steps for output in outputs if isinstance(output, Persist))


@cache
def logs() -> tuple[bytes, ...]:
    with TemporaryDirectory() as folder:
        wal = Wal.open(Path(folder) / "wal", sha256(b"chain"), 5)
        for entry in log_entries():
            wal.append(entry)
            wal.sync()
        data = wal.path.read_bytes()
        wal.close()
    return (data,)


def signer_records() -> tuple[bytes, ...]:
    full = SignerRecord(bytes(32), bytes(20), 5, 1, 2, b"sign bytes", bytes(64), bytes(2420), bytes(32), 1, bytes(32), 1, 99)
    return SignerRecord(bytes(32), bytes(20)).encode(1), full.encode(7)


@cache
def to_signer() -> tuple[bytes, ...]:
    locks = bytes(range(32)), 0, bytes(32), 2
    messages: tuple[signing.ToSigner, ...] = (
        signing.NodeHello(1, sha256(b"chain")),
        *(signing.Sign(7, bytes(20), message, *locks, 99) for message in (*unsigned_votes(), *proposals())),
        signing.Sign(8, bytes(20), unsigned_votes()[0], b"", -1, b"", -1, 0),
        signing.Abstain(9, 77),
        signing.Retire(10, bytes(20)),
        signing.Ping(11),
        signing.make_refusal(0, 2411, "not this node's signer", "see the settings"),
    )
    return tuple(signing.encode_to_signer(message)[4:] for message in messages)


def unsigned_votes() -> tuple[Vote, ...]:
    return tuple(replace(vote, signature=b"", pq_signature=b"", validator_address=bytes(20), validator_index=0) for vote in votes())


@cache
def from_signer() -> tuple[bytes, ...]:
    key, pq_key = (PrivateKey.from_seed(kind, bytes(32)).public_key for kind in (KeyKind.ED25519, KeyKind.MLDSA44))
    record = SignerRecord(bytes(32), validator_address(key.data), 5, 1, 2, signature=bytes(64), log_position=99)
    held = signing.HeldKey(key.data, pq_key, record)
    messages: tuple[signing.ToNode, ...] = (
        signing.SignerHello(1, bytes(32), (held, held)),
        signing.Keys((held,)),
        signing.Signatures(7, bytes(64), bytes(4627)),
        signing.Done(8),
        signing.make_refusal(9, 2311, "already signed", ""),
    )
    return tuple(signing.encode_to_node(message)[4:] for message in messages)


def signer_frames() -> tuple[bytes, ...]:
    framed = b"".join(len(content).to_bytes(4, "big") + content for content in to_signer())
    return (signing.MAGIC + framed,)


def records() -> tuple[bytes, ...]:
    return tuple(value for _, value in genesis_changes(genesis_state())[:20] if value is not None)


def snapshot_messages() -> tuple[bytes, ...]:
    block, commit, pq_commit = block_and_commit()
    light = LightBlock(block.header, commit, pq_commit, make_set((1, 1, 1, 1)))
    rows = ((b" h1", b"\x91\x01"), (b" h2", b"\x91\x02"))
    offer = snapshots.Offer(100, b"tip", (bytes([1]) * 32, *(None,) * 255), 130)
    return (
        *(snapshots.Question(kind, 100, 7, b" key").encode() for kind in range(1, 6)),
        snapshots.encode_offer(snapshots.Question(snapshots.OFFER), offer),
        snapshots.encode_chunk(snapshots.Question(snapshots.CHUNK, 100, 7), rows),
        snapshots.encode_light(snapshots.Question(snapshots.LIGHT, 1), light),
        snapshots.encode_proof(snapshots.Question(snapshots.PROOF, 1, 0, b" h1"), b"x", proofs()[0]),
        snapshots.encode_certified(snapshots.Question(snapshots.BLOCK, 1), CertifiedBlock(block, commit, pq_commit)),
        snapshots.encode_missing(snapshots.Question(snapshots.OFFER)),
    )
