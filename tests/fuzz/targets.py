"""The decoders that face a stranger, each as one function of bytes, with what it may raise and what must hold afterwards.

A target returns normally or raises one of its `refusals`; anything else is a finding, and so is a message that decodes but does not
encode to the same bytes. `tests/fuzz/engine.py` makes the inputs; nothing random is in here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import trio

from consensus import messages as m
from consensus.block import Block
from consensus.commit import Commit, PqCommit
from consensus.evidence import DuplicateVoteEvidence, evidence_from_wire, evidence_proto, evidence_to_wire
from consensus.gossip import Summary
from consensus.replay import decode_entry
from consensus.vote import Proposal, Vote
from genesis.document import parse
from node import consensus_gossip, propagation
from node.compact import COMPACT, Assembler, CompactBlock
from node.light.proving import prove_block, prove_results, read_tx
from node.light.reading import read_light_block, understanding
from node.mempool.gossip import MempoolGossip
from node.rpc import shapes
from node.rpc.answers import read_answer
from node.rpc.dispatch import decode_request, read_call
from node.rpc.errors import RpcError
from node.rpc.methods import METHODS
from node.rpc.params import read_params
from node.rpc.query import parse_query
from node.signer import SignerRecord
from node.signing import messages as signing
from node.statesync import messages as snapshots
from node.statesync.restore import check_chunk, fold_shards
from node.sync import messages as sync
from node.wal import read_frames
from p2p import handshake
from p2p.channels import CONTROL
from p2p.events import Inbound
from p2p.frames import FrameReader, decode_control
from p2p.identity import PeerAddress
from state.primitives.codec import decode, encode, encode_trusted
from state.primitives.errors import (
    ClientError,
    MalformedError,
    QenexError,
    RemoteError,
    StorageCorruptError,
    TransactionError,
)
from state.proofs import decode_proof, verify_proof
from state.queries import describe_transaction
from state.schema import DECODE, decode_record
from state.transaction import Transaction
from tests.consensus.world import Scene
from tests.fuzz import seeds

WIRE_BYTES_MAX: Final = 1 << 20


@dataclass(frozen=True)
class Target:
    """One decoder. `shape` tells the engine how its inputs are built: msgpack, json, text or bytes."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], tuple[bytes, ...]]
    shape: str
    refusals: tuple[type[BaseException], ...] = (RemoteError,)


def _transaction(data: bytes) -> None:
    tx = Transaction.decode(data)
    if tx.raw != data:
        raise AssertionError("a transaction that is not its own bytes")
    describe_transaction(tx)


def _wire(kind: Any) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        value = kind.from_wire(decode(data, bytes_max=WIRE_BYTES_MAX))
        if encode(value.to_wire()) != data:
            raise AssertionError("decodes to something that is encoded otherwise")

    return run


def _block(data: bytes) -> None:
    block = Block.from_wire(decode(data, bytes_max=WIRE_BYTES_MAX))
    if encode_trusted(block.to_wire()) != data:
        raise AssertionError("decodes to something that is encoded otherwise")
    block.block_id()


def _evidence(data: bytes) -> None:
    item = evidence_from_wire(decode(data, bytes_max=WIRE_BYTES_MAX))
    if encode_trusted(evidence_to_wire(item)) != data:
        raise AssertionError("decodes to something that is encoded otherwise")
    _ignore((item.hash(), item.offence, item.offences, item.misbehavior(), evidence_proto(item)))


def _consensus(data: bytes) -> None:
    message = consensus_gossip.decode_message(data)
    if isinstance(message, Proposal):
        again = consensus_gossip.encode_messages([message])[0]
    elif isinstance(message, Summary):
        again = encode_trusted((consensus_gossip.SUMMARY, message.to_wire()))
    else:
        again = consensus_gossip.encode_messages(list(message))[0]
    if again != data:
        raise AssertionError("decodes to something that is encoded otherwise")


def _core(data: bytes) -> None:
    """A running core is given whatever decodes: it may refuse it, and nothing else."""
    scene = Scene()
    scene.start()
    message = consensus_gossip.decode_message(data)
    items = message if isinstance(message, list) else [message]
    for item in items:
        if isinstance(item, Vote):
            scene.step(m.VoteReceived(item))
        elif isinstance(item, Proposal):
            scene.step(m.ProposalReceived(item, item.time_ns))


def _propagation(data: bytes) -> None:
    kind, fields = propagation.decode_message(data)
    assembler = Assembler(lambda _: None)
    block = seeds.block_and_commit()[0]
    assembler.add_block(block)
    assembler.want(seeds.votes()[0].block_id or block.block_id(), 1, "honest", 0)
    if kind == COMPACT:
        assembler.on_compact("stranger", CompactBlock.from_wire(fields), 0)
    elif kind == propagation.WANT_TXS:
        assembler.on_want_txs("stranger", fields[0], fields[1])
    elif kind == propagation.TXS:
        assembler.on_txs("stranger", fields[0], fields[1], fields[2], 0)
    elif kind == propagation.LACK:
        assembler.on_lack("stranger", fields[0], 0)
    elif kind == propagation.WANT_BLOCK:
        assembler.on_want_block("stranger", fields[0], 0)
    else:
        assembler.on_have("stranger", fields[0])


def _sync(data: bytes) -> None:
    message = sync.decode_message(data)
    if isinstance(message, sync.BlockAnswer):
        sync.decode_block(message)
    elif sync.encode_message(message) != data:
        raise AssertionError("decodes to something that is encoded otherwise")


def _snapshot(data: bytes) -> None:
    message = snapshots.decode_message(data)
    if isinstance(message, snapshots.Question):
        if message.encode() != data:
            raise AssertionError("decodes to something that is encoded otherwise")
        return
    question, content = message
    if question.kind == snapshots.CHUNK and isinstance(content, tuple):
        check_chunk(question.shard, content, None)  # type: ignore[arg-type]
    elif isinstance(content, snapshots.Offer):
        fold_shards(content.shard_roots)


class _Nobody:
    """A network without peers."""

    def send(self, *_: object) -> bool:
        return False

    def report(self, *_: object) -> None:
        return


def _mempool(data: bytes) -> None:
    async def submit(bodies: Any, _peer: str) -> list[Any]:
        for raw in bodies:
            try:
                Transaction.decode(raw)
            except TransactionError:
                continue
        return []

    nobody: Any = _Nobody()
    gossip = MempoolGossip(nobody, nobody, lambda _: None, lambda _: [], submit)
    trio.run(gossip._on_message, Inbound("stranger", 0x30, data, 0))


def _frames(data: bytes) -> None:
    whole = _read(FrameReader(), [data])
    third = max(1, len(data) // 3)
    parts = [data[start : start + third] for start in range(0, len(data), third)]
    if _read(FrameReader(), parts) != whole:
        raise AssertionError("frames depend on how they arrive")
    if whole is None:
        raise MalformedError("no frames")


def _read(reader: FrameReader, parts: list[bytes]) -> list[object] | None:
    """The messages; None if the link would be closed."""
    out: list[object] = []
    try:
        for part in parts:
            for channel, payload, cost in reader.feed(part):
                out.append((channel, payload, cost))
                if channel == CONTROL:
                    decode_control(payload)
    except RemoteError:
        return None
    return out


def _handshake(data: bytes) -> None:
    message = handshake.decode_message(data)
    again = (
        handshake.encode_greeting(message)
        if isinstance(message, handshake.Greeting)
        else handshake.encode_verdict(message.code)
    )
    if not again.endswith(data):
        raise AssertionError("decodes to something that is encoded otherwise")


def _proof(data: bytes) -> None:
    decode_proof(data)
    for key, value in (seeds.PROVEN_KEY, b"x"), (b" absent", None):
        verify_proof(bytes(32), key, value, data)


def _rpc(data: bytes) -> None:
    request = decode_request(data)
    for call in request if isinstance(request, list) else [request]:
        _, name, params, _ = read_call(call)
        method = METHODS.get(name)
        if method is not None:
            read_params(method.params, params, is_uri=False)


def _uri(data: bytes) -> None:
    name, _, rest = data.decode("latin-1").partition("?")
    given = dict(part.partition("=")[::2] for part in rest.split("&")[:20])
    method = METHODS.get(name, METHODS["tx_search"])
    read_params(method.params, given, is_uri=True)


def _query(data: bytes) -> None:
    query = parse_query(data.decode("utf-8", "replace"))
    query.matches({"tm.event": ["Tx"], "tx.height": ["5"], "transfer.amount": ["700", "x" * 200, "-1", ""]})


def _light(data: bytes) -> None:
    """What a light client reads from a node: a header, and a commit with its validators."""
    with understanding("http://stranger", "a block"):
        answer = read_answer(data, "http://stranger")
        if "error" in answer:
            raise ClientError("an error")
        block = read_light_block(answer["result"]["header"], answer["result"]["proof"], with_pq=True)
    _ignore((block.header.hash(), block.commit.hash(), block.validators.hash()))


def _proxy(data: bytes) -> None:
    """What the verifying proxy reads from its primary, against a header that is verified: what it accepts is the truth, to the letter."""
    light, following, truth = seeds.proxied()
    with understanding("http://stranger", "an answer"):
        answer = read_answer(data, "http://stranger")
        if "error" in answer:
            raise ClientError("an error")
        result = answer["result"]
        if "block" in result:
            name, shown = "block", shapes.block(prove_block(result, light))
        elif "txs_results" in result:
            name, shown = "block_results", [item.show() for item in prove_results(result, following)]
        else:
            found = read_tx(result, truth["hash"])
            if found.height != light.header.height:
                raise ClientError("it is said to be in another block")
            results = prove_results({"txs_results": truth["block_results"]}, following)
            name, shown = "tx", found.show(light.header, results, prove=True)
    if shown != truth[name]:
        raise AssertionError("a lie is believed")


def _log(data: bytes) -> None:
    payloads, length, intact = read_frames(data)
    if length > len(data):
        raise AssertionError("frames beyond the end")
    if not intact or length < len(data):
        raise MalformedError("damaged")
    for payload in payloads[1:]:
        for entry in payload:
            decode_entry(entry)


def _record(data: bytes) -> None:
    readable = 0
    for letter in DECODE:
        try:
            decode_record(bytes((32, letter)) + bytes(40), data)
            readable += 1
        except StorageCorruptError:
            continue
    if not readable:
        raise MalformedError("no record")


def _address(data: bytes) -> None:
    PeerAddress.parse(data.decode("utf-8", "replace"))


def _encoded(*values: Any) -> tuple[bytes, ...]:
    return tuple(encode_trusted(value.to_wire()) for value in values)


def _sync_seeds() -> tuple[bytes, ...]:
    certified = sync.CertifiedBlock(*seeds.block_and_commit())
    return (
        sync.encode_message(sync.Status(1, 9)),
        sync.encode_message(sync.BlockRequest(5)),
        sync.encode_message(sync.MissingAnswer(5)),
        sync.encode_block(certified),
    )


def _to_signer(data: bytes) -> None:
    if signing.encode_to_signer(signing.decode_to_signer(data))[4:] != data:
        raise AssertionError("decodes to something that is encoded otherwise")


def _from_signer(data: bytes) -> None:
    if signing.encode_to_node(signing.decode_to_node(data))[4:] != data:
        raise AssertionError("decodes to something that is encoded otherwise")


def _signer_frames(data: bytes) -> None:
    frames = signing.Frames(signing.REQUEST_BYTES_MAX)
    for start in range(0, len(data), 7):
        for content in frames.feed(data[start : start + 7]):
            signing.decode_to_signer(content)


TARGETS: Final[tuple[Target, ...]] = (
    Target("transaction", _transaction, seeds.transactions, "msgpack", (TransactionError, RemoteError)),
    Target("vote", _wire(Vote), lambda: _encoded(*seeds.votes()), "msgpack"),
    Target("proposal", _wire(Proposal), lambda: _encoded(*seeds.proposals()), "msgpack"),
    Target("block", _block, lambda: _encoded(seeds.block_and_commit()[0]), "msgpack"),
    Target("commit", _wire(Commit), lambda: _encoded(seeds.block_and_commit()[1]), "msgpack"),
    Target("pq_commit", _wire(PqCommit), lambda: _encoded(seeds.block_and_commit()[2]), "msgpack"),
    Target("evidence", _wire(DuplicateVoteEvidence), lambda: _encoded(seeds.evidence()), "msgpack"),
    Target("evidence_message", _evidence, seeds.evidence_messages, "msgpack"),
    Target("consensus_message", _consensus, seeds.consensus_messages, "msgpack"),
    Target("core", _core, seeds.consensus_messages, "msgpack"),
    Target("block_message", _propagation, seeds.block_messages, "msgpack"),
    Target("sync_message", _sync, _sync_seeds, "msgpack"),
    Target("snapshot_message", _snapshot, seeds.snapshot_messages, "msgpack"),
    Target("mempool_message", _mempool, seeds.mempool_messages, "msgpack"),
    Target("frames", _frames, seeds.frames, "bytes"),
    Target("handshake", _handshake, seeds.greetings, "msgpack"),
    Target("proof", _proof, seeds.proofs, "bytes"),
    Target("rpc_call", _rpc, seeds.calls, "json"),
    Target("rpc_uri", _uri, seeds.uris, "text"),
    Target("query", _query, lambda: seeds.QUERIES, "text"),
    Target("light_answer", _light, seeds.light_answers, "json", (ClientError,)),
    Target("proxied_answer", _proxy, seeds.proxied_answers, "json", (ClientError, RpcError)),
    Target("log", _log, seeds.logs, "bytes"),
    Target("log_entry", lambda data: _ignore(decode_entry(data)), seeds.log_entries, "msgpack"),
    Target("signer_record", lambda data: _ignore(SignerRecord.decode(data)), seeds.signer_records, "msgpack"),
    Target("to_signer", _to_signer, seeds.to_signer, "msgpack"),
    Target("from_signer", _from_signer, seeds.from_signer, "msgpack"),
    Target("signer_frames", _signer_frames, seeds.signer_frames, "bytes"),
    Target("state_record", _record, seeds.records, "msgpack"),
    Target("genesis", lambda data: _ignore(parse(data)), lambda: (seeds.genesis(),), "json", (QenexError,)),
    Target("peer_address", _address, lambda: (b"0" * 40 + b"@127.0.0.1:26656", b"x@[::1]:1"), "text", (QenexError,)),
)


def _ignore(_value: object) -> None:
    return


@cache
def by_name() -> dict[str, Target]:
    """Targets by their names."""
    return {target.name: target for target in TARGETS}

