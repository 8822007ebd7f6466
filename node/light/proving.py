"""What a node answers to `block`, `block_results` and `tx`, held against verified headers: values that are proved, and nothing else.

An answer is read for what it takes to prove it; what is given on is made anew from that by `node.rpc.shapes`, so neither an unknown
field nor another spelling passes. Called within `node.light.reading.understanding`. Asking does not belong here, nor what a header proves
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from consensus.block import Block, data_hash, results_hash
from consensus.evidence import evidence_hash
from consensus.header import Header
from consensus.light import LightBlock
from node.light.reading import read_commit, read_header, read_int64, unbase64
from node.rpc import shapes
from node.rpc.errors import failed
from state.primitives.errors import MalformedError
from state.primitives.hashing import sha256
from state.primitives.merkle import Proof

Json = Any
_CODE_MAX: Final = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class TxResult:
    """What a header's hash of results covers of one."""

    code: int
    data: bytes
    gas_wanted: int
    gas_used: int

    def show(self) -> Json:
        """ExecTxResult without what is not proved, which is its log and its events. The code space follows from the code."""
        return {
            "code": self.code,
            "data": shapes.b64(self.data),
            "log": "",
            "info": "",
            "gas_wanted": str(self.gas_wanted),
            "gas_used": str(self.gas_used),
            "events": [],
            "codespace": codespace_of(self.code),
        }


@dataclass(frozen=True, slots=True)
class FoundTx:
    """A transaction, and where a node says that it is."""

    raw: bytes
    height: int
    proof: Proof

    def show(self, header: Header, results: Sequence[TxResult], *, prove: bool) -> Json:
        """The answer to `tx`, of its block's verified header and results. Raises `MalformedError` if it is not there.

        A path proves a place only together with the number of places: the last of five and the second of two may have the same.
        """
        if self.proof.total != len(results) or not self.proof.verify(header.data_hash, sha256(self.raw)):
            raise MalformedError(f"block {self.height} does not have it at place {self.proof.index} of {self.proof.total}")
        shown = {
            "hash": shapes.hexed(sha256(self.raw)),
            "height": str(self.height),
            "index": self.proof.index,
            "tx_result": results[self.proof.index].show(),
            "tx": shapes.b64(self.raw),
        }
        if prove:
            proof = shapes.proof(self.proof)
            shown["proof"] = {"root_hash": shapes.hexed(header.data_hash), "data": shapes.b64(self.raw), "proof": proof}
        return shown


def codespace_of(code: int) -> str:
    """Whose code it is."""
    return "qenex" if code else ""


def prove_block(answer: Json, verified: LightBlock) -> Block:
    """The block of a verified header. Its name, which was signed, covers every byte: of its last commit also the round and the block."""
    found, header = answer["block"], verified.header
    if read_header(found["header"]).hash() != header.hash():
        raise MalformedError("its header is not the verified one")
    txs = tuple(unbase64(text) for text in found["data"]["txs"] or [])
    if data_hash(txs) != header.data_hash:
        raise MalformedError("its transactions are not those of the header")
    if found["evidence"]["evidence"] or evidence_hash(()) != header.evidence_hash:
        raise failed(f"block {header.height} carries evidence, which has no verifiable form in JSON")
    block = Block(header, txs, (), read_commit(found["last_commit"]))
    if block.block_id() != verified.commit.block_id:
        raise MalformedError("its last commit is not that of the signed block")
    return block


def prove_results(answer: Json, following: Header) -> list[TxResult]:
    """The results of the block before a verified header."""
    found = [_read_result(item) for item in answer["txs_results"] or []]
    if results_hash([(item.code, item.data, item.gas_wanted, item.gas_used) for item in found]) != following.last_results_hash:
        raise MalformedError("they are not those that the next header commits to")
    return found


def _read_result(value: Json) -> TxResult:
    code, wanted, used = value["code"], read_int64(value["gas_wanted"]), read_int64(value["gas_used"])
    if type(code) is not int or not 0 <= code <= _CODE_MAX or wanted < 0 or used < 0:  # the hash is over them as unsigned numbers
        raise MalformedError("a result has a number that no execution gives")
    return TxResult(code, unbase64(value["data"] or ""), wanted, used)


def read_tx(answer: Json, tx_hash: bytes) -> FoundTx:
    """The transaction of a hash with its path. Where it is shows once the header is known."""
    raw = unbase64(answer["tx"])
    if sha256(raw) != tx_hash:
        raise MalformedError("it is another transaction")
    given = answer["proof"]["proof"]
    aunts = tuple(unbase64(text) for text in given["aunts"])
    proof = Proof(read_int64(given["total"]), read_int64(given["index"]), unbase64(given["leaf_hash"]), aunts)
    height = read_int64(answer["height"])
    if height < 1:
        raise MalformedError("it is in no block")
    return FoundTx(raw, height, proof)
