"""What the JavaScript tests read: answers of the real RPC over a real store, and values that the node's own code has encoded."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgpack
import trio

from consensus.commit import Commit, CommitSig, Flag
from consensus.vote import VoteType, vote_sign_bytes
from node.config_sections import RpcConfig
from node.maintenance.inspect import make_backend, serve_stopped
from node.maintenance.opening import open_stopped
from node.rpc import shapes
from node.rpc.client import Client
from node.storage.store import Store
from state.primitives.codec import encode, encode_amount
from state.primitives.ids import format_address
from state.primitives.keys import KeyKind, PrivateKey
from state.primitives.limits import AMOUNT_MAX
from state.proofs import Absence, Existence, decode_proof
from state.validators import Validator, ValidatorSet
from tests.node.maintenance.chain import make_home

HEIGHT = 5
PLAYERS = (40, 30, 20, 10)


async def make_fixture(root: Path) -> dict[str, Any]:
    """{answers: {"method params": result}, ...}; see the tests for the rest."""
    home = await make_home(root / "net", HEIGHT)
    answers: dict[str, Any] = {}
    with open_stopped(home, read_only=True) as node:
        backend = make_backend(node, "stopped", "00" * 20, "1")
        decided, forged = _decide(backend.block_at(HEIGHT).header), _forge(node.store)
        async with trio.open_nursery() as nursery:
            address = await nursery.start(serve_stopped, backend, RpcConfig(listen="127.0.0.1:0"))
            async with Client(f"http://{address}") as client:
                found = await _record(client, answers)
            nursery.cancel_scope.cancel()
    return {"answers": answers, "height": HEIGHT, **found, "decided": decided, "forged": forged, **_encoded()}


async def _record(client: Client, answers: dict[str, Any]) -> dict[str, Any]:
    async def ask(method: str, **params: Any) -> Any:
        answers[_key(method, params)] = result = await client.call(method, **params)
        return result

    await ask("status")
    for height in range(1, HEIGHT + 1):
        await ask("commit", height=str(height))
        await ask("validators", height=str(height), page="1", per_page="100")
        await ask("block", height=str(height))
        await ask("block_results", height=str(height))
    txs = (await client.call("tx_search", query="tx.height > 1"))["txs"]
    for tx in txs[:3]:
        await ask("tx", hash=base64.b64encode(bytes.fromhex(tx["hash"])).decode(), prove=True)
    decoded = (await client.call("tx_decode", tx=txs[0]["tx"]))["tx"]
    sender = decoded["sender"]
    stranger = format_address(bytes(range(32)))
    paths = [f"/account/{sender}", f"/holding/{sender}/QNX", "/supply/QNX", "/asset/QNX", f"/account/{stranger}", "/params/fees"]
    for path in paths:
        await ask("abci_query", path=path, height=str(HEIGHT - 1), prove=True)
    return {"paths": paths, "sender": sender, "stranger": stranger, "txs": [tx["hash"] for tx in txs[:3]]}


def _key(method: str, params: dict[str, Any]) -> str:
    return " ".join([method, *(f"{name}={params[name]}" for name in sorted(params))])


def _decide(header: Any) -> dict[str, Any]:
    """A header that four validators have decided: one absent, one for nil, two with 70 of 100; and two with 60."""
    keys = [PrivateKey.from_seed(KeyKind.ED25519, bytes([number]) * 32) for number in range(len(PLAYERS))]
    pq_key = PrivateKey.from_seed(KeyKind.MLDSA44, bytes(32)).public_key.data
    validators = ValidatorSet(
        Validator(key.public_key.data, KeyKind.MLDSA44, pq_key, power) for key, power in zip(keys, PLAYERS, strict=True)
    )
    header = replace(header, validators_hash=validators.hash())
    block_id = replace(header.last_block_id, hash=header.hash())
    by_address = {validator.address: validator for validator in validators.validators}
    key_of = {address: next(key for key in keys if key.public_key.data == v.ed25519_key) for address, v in by_address.items()}

    def commit(*flags: Flag) -> Commit:
        parts = []
        for validator, flag in zip(validators.validators, flags, strict=True):
            name = block_id if flag is Flag.COMMIT else None
            data = vote_sign_bytes(header.chain_id, VoteType.PRECOMMIT, header.height, 3, name, header.time_ns)
            signature = key_of[validator.address].sign(data, b"")
            absent = CommitSig(Flag.ABSENT)
            parts.append(absent if flag is Flag.ABSENT else CommitSig(flag, validator.address, header.time_ns, signature))
        return Commit(header.height, 3, block_id, tuple(parts))

    return {
        "header": shapes.header(header),
        "hash": header.hash().hex(),
        "validators": [shapes.validator(validator, 0) for validator in validators.validators],
        "validators_hash": validators.hash().hex(),
        "enough": shapes.commit(commit(Flag.COMMIT, Flag.COMMIT, Flag.ABSENT, Flag.NIL)),
        "too_few": shapes.commit(commit(Flag.COMMIT, Flag.NIL, Flag.COMMIT, Flag.ABSENT)),
    }


def _forge(store: Store) -> dict[str, Any]:
    """Proofs that records which are there are not: their true neighbours, which are none of each other, one side of them, or themselves."""
    leaves = []
    for key, _ in store.state_keys(b" "):
        found = decode_proof(store.prove(key)[1])
        assert isinstance(found, Existence)
        leaves.append((found.kh, key, found))
    leaves.sort(key=lambda leaf: leaf[0])
    assert len(leaves) > 5
    forged = []
    for (_, _, left), (kh, key, own), (_, _, right) in zip(leaves, leaves[1:], leaves[2:], strict=False):
        for sides in ((left, right), (left, None), (None, right), (left, own), (own, right), (None, None)):
            forged.append([key.hex(), Absence(kh, *sides).encode().hex()])
    return {"root": store.root.hex(), "proofs": forged}


def _encoded() -> dict[str, Any]:
    numbers = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
    numbers += [-number for number in (1, 32, 33, 128, 129, 32_768, 32_769, 2**31, 2**31 + 1, 2**63)]
    lengths = (0, 1, 15, 16, 31, 32, 255, 256, 65_536)
    amounts = [0, 1, 255, 256, 10**18, AMOUNT_MAX]
    canonical = [encode(number).hex() for number in numbers]
    canonical += [encode(bytes(length)).hex() for length in lengths]
    canonical += [encode("ä" * length).hex() for length in lengths[:-1]]
    canonical += [encode((None,) * length).hex() for length in lengths]
    refused = {
        "longer integer": "cf0000000000000001",
        "longer text": "d90161",
        "longer bytes": "c5000161",
        "longer array": "dc0001c0",
        "negative as 16 bits": "d1ffff",
        "map": msgpack.packb({1: 2}).hex(),
        "float": msgpack.packb(1.5).hex(),
        "extension": msgpack.packb(msgpack.ExtType(1, b"x")).hex(),
        "trailing": "c0c0",
        "cut off": "c403aabb",
        "not UTF-8": "a1ff",
        "too deep": "91" * 40 + "c0",
        "empty": "",
    }
    return {
        "numbers": [[str(number), encode(number).hex()] for number in numbers],
        "canonical": canonical,
        "refused": refused,
        "amounts": [[str(amount), encode_amount(amount).hex()] for amount in amounts],
    }
