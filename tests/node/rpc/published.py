"""A node's answers against an OpenAPI document that somebody else has published, such as CometBFT's for its RPC (rpc/openapi/openapi.yaml).

    python -m tests.node.rpc.published --document openapi.json

The document is given as JSON (a YAML file converted by any program); it is not kept here. A network of one validator is started, one
transfer and its block are made, and each GET route of the document is asked by URI with parameters that fit; the answer must have the
document's shape, where the document is not known to be wrong (CORRECTIONS).
Prints one JSON object: the routes that fit, those that do not and where, those of the document that the node does
not have, and those of the node that the document does not describe. Exit code 1 if an answer does not fit.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import httpx2
import trio

from node.rpc.client import Client
from node.rpc.methods import METHODS
from node.rpc.roles import Role
from tests.node.rpc.live import Live, make_live, running, wait_for_height
from tests.node.rpc.test_openapi import check

REMARKS: Final = {"example", "description", "title", "format", "default", "deprecated", "externalDocs", "xml", "x-example"}
# Where CometBFT's document (0.38.17) is not what CometBFT's server answers: place, what stands there, what its Go types give.
ENVELOPE: Final = ("BroadcastTxResponse", "BroadcastTxCommitResponse", "CheckTxResponse", "ABCIQueryResponse")
RESULT: Final = ("properties", "result")
TEXT, NUMBER, OBJECT = {"type": "string"}, {"type": "integer"}, {"type": "object"}
_TX_RESULT: Final = ["code", "data", "log", "info", "gas_wanted", "gas_used", "events", "codespace"]
TXS: Final = ("TxSearchResponse", *RESULT, "properties", "txs", "items", "properties")
_CODE: Final = ("properties", "code")
CORRECTIONS: Final[tuple[tuple[tuple[str, ...], Any, str], ...]] = (
    *(((name, "required"), ["jsonrpc", "id", "result"], "types.RPCResponse: no error beside a result") for name in ENVELOPE),
    (("ErrorResponse", "allOf", "1", "properties", "error"), {"required": ["code", "message"], **OBJECT}, "types.RPCError is an object"),
    (("EmptyResponse", "allOf", "1", *RESULT), OBJECT, "an empty object; the document has additionalProperties without properties"),
    (("BroadcastTxResponse", *RESULT, *_CODE), NUMBER, "abci codes are uint32"),
    (("CheckTxResponse", *RESULT, *_CODE), NUMBER, "abci codes are uint32"),
    (("BroadcastTxCommitResponse", *RESULT, "required"), ["height", "hash", "tx_result", "check_tx"], "deliver_tx is tx_result since 0.38"),
    (("BroadcastTxCommitResponse", *RESULT, "properties", "check_tx", *_CODE), NUMBER, "abci codes are uint32"),
    (("BlockMeta", "properties", "block_size"), TEXT, "an int is text in its JSON"),
    (("Block", "properties", "data"), {"required": ["txs"], **OBJECT}, "types.Data is an object with txs"),
    (("Block", "properties", "evidence"), {"required": ["evidence"], **OBJECT}, "types.EvidenceData is an object with evidence"),
    (("Block", "properties", "last_commit", "properties", "height"), TEXT, "an int64 is text"),
    (("Commit", "required"), ["block_id_flag", "validator_address", "timestamp", "signature"], "types.CommitSig, not a vote"),
    (("BlockSearchResponse", *RESULT, "properties", "total_count"), TEXT, "an int is text"),
    ((*TXS, "proof"), {"required": ["root_hash", "data", "proof"], **OBJECT}, "types.TxProof"),
    (("BlockResultsResponse", *RESULT, "properties", "txs_results", "items", *_CODE), NUMBER, "abci codes are uint32"),
    (("ConsensusParams", "properties", "block", "required"), ["max_bytes", "max_gas"], "time_iota_ms has gone"),
    (("ConsensusParams", "properties", "evidence", "required"), ["max_age_num_blocks", "max_age_duration", "max_bytes"], "no max_age"),
    (("GenesisChunkedResponse", *RESULT, "properties", "chunk"), TEXT, "an int is text"),
    (("GenesisChunkedResponse", *RESULT, "properties", "total"), TEXT, "an int is text"),
    (("DumpConsensusResponse", *RESULT, "properties", "round_state", "properties", "valid_round"), NUMBER, "an int32 is a number"),
    (("DumpConsensusResponse", *RESULT, "properties", "round_state", "properties", "votes", "items", "properties", "round"), NUMBER, ""),
    (("TxResponse", *RESULT, "properties", "tx_result", "required"), _TX_RESULT, "tags are events since 0.34"),
    ((*TXS, "tx_result", "required"), _TX_RESULT, "as above"),
    (("ABCIQueryResponse", *RESULT, "properties", "response", "required"), ["log", "height", "value", "key", "index", "code"], "proofOps"),
    (("ABCIQueryResponse", *RESULT, "properties", "response", *_CODE), NUMBER, "abci codes are uint32"),
)
UNSAFE: Final = {"/dial_seeds", "/dial_peers"}  # CometBFT serves them only with its switch for unsafe commands


def simplify(schema: Any) -> Any:
    """The schema without what only explains, and with OpenAPI 3.0's `nullable` and `allOf` in words that `check` knows."""
    if isinstance(schema, list):
        return [simplify(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if set(schema) == {"$ref"}:
        return schema
    plain: dict[str, Any] = {}
    for part in schema.get("allOf", ()):
        for word, said in simplify(part).items():
            plain[word] = {**plain.get(word, {}), **said} if word == "properties" else said
    for word, said in schema.items():
        if word == "properties":
            plain["properties"] = {**plain.get("properties", {}), **{name: simplify(one) for name, one in said.items()}}
        elif word not in REMARKS and word not in ("allOf", "nullable") and not (word == "items" and said == {}):
            plain[word] = simplify(said)
    if "properties" in plain:
        plain.setdefault("type", "object")
    return {"oneOf": [plain, {"const": None}]} if schema.get("nullable") else plain


def resolve(document: Any, schema: Any) -> Any:
    """Every reference in place of what it refers to: the published document composes them with `allOf`."""
    if isinstance(schema, list):
        return [resolve(document, item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        found = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        return resolve(document, found)
    return {word: resolve(document, said) for word, said in schema.items()}


def correct(document: Any) -> None:
    """Put what the Go types give where the document says something else. Raises if a place is not there: a newer document may be right."""
    for place, said, _ in CORRECTIONS:
        found = document["components"]["schemas"]
        for step in place[:-1]:
            found = found[int(step) if isinstance(found, list) else step]
        if place[-1] not in found:
            raise SystemExit(f"the document has no {'/'.join(place)}: a correction is out of date")
        found[place[-1]] = said
    for path in ("/header", "/header_by_hash"):  # ctypes.ResultHeader in the usual envelope
        content = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]
        content["schema"] = {"required": ["jsonrpc", "id", "result"], "type": "object", "properties": {
            "result": {"required": ["header"], "type": "object", "properties": {"header": content["schema"]}}}}  # fmt: skip


async def gather_questions(live: Live, client: Client, http: httpx2.AsyncClient) -> dict[str, dict[str, str]]:
    """Parameters for each route that needs some, as URI values."""
    raw = (await live.transfer(client)).hex()
    sent = (await http.get(f"{live.url}/broadcast_tx_commit?tx=0x{raw}")).json()["result"]
    height, tx_hash = sent["height"], sent["hash"]
    await wait_for_height(client, int(height) + 2)
    block = (await http.get(f"{live.url}/block?height={height}")).json()["result"]
    block_hash = "0x" + block["block_id"]["hash"]
    following = [(await live.transfer(client, amount)).hex() for amount in (8,)]
    return {
        "/block": {"height": height}, "/header": {"height": height}, "/block_results": {"height": height},
        "/commit": {"height": height}, "/validators": {"height": height}, "/consensus_params": {"height": height},
        "/blockchain": {"minHeight": "1", "maxHeight": height}, "/block_by_hash": {"hash": block_hash},
        "/header_by_hash": {"hash": block_hash}, "/tx": {"hash": f"0x{tx_hash}", "prove": "true"},
        "/tx_search": {"query": f'"tx.height={height}"', "prove": "true"}, "/block_search": {"query": f'"block.height={height}"'},
        "/abci_query": {"path": '"/supply/QNX"', "data": '""', "prove": "true"}, "/check_tx": {"tx": f"0x{following[0]}"},
        "/broadcast_tx_sync": {"tx": f"0x{following[0]}"}, "/broadcast_tx_async": {"tx": f"0x{raw}"},
        "/broadcast_tx_commit": {"tx": f"0x{raw}"}, "/genesis_chunked": {"chunk": "0"},
    }  # fmt: skip


async def compare(document: Any, folder: Path) -> dict[str, Any]:
    """Ask a new network of one validator everything that the document describes."""
    described = {path: item["get"] for path, item in document["paths"].items() if "get" in item}
    served = {f"/{name}" for name, method in METHODS.items() if method.role is not Role.OPERATOR}
    fit: list[str] = []
    unfit: dict[str, str] = {}
    live = make_live(folder, 1)
    async with running(live, 1), Client(live.url) as client, httpx2.AsyncClient(timeout=60) as http:
        await wait_for_height(client, 2)
        questions = await gather_questions(live, client, http)
        for path, operation in described.items():
            if path not in served:
                continue
            reply = await http.get(f"{live.url}{path}?{urlencode(questions.get(path, {}))}")
            wanted = "200" if "error" not in reply.json() else "500"
            content = operation["responses"][wanted]["content"]["application/json"]
            try:
                check(document, simplify(resolve(document, content["schema"])), reply.json())
                if wanted == "500" and path != "/broadcast_evidence":  # no evidence is there that would be taken
                    raise AssertionError(f"an error: {reply.text[:200]}")
                fit.append(path)
            except (AssertionError, KeyError, ValueError, TypeError) as error:
                unfit[path] = f"{type(error).__name__}: {error}"[:400]
    return {
        "described": len(described), "corrections": len(CORRECTIONS) + 2, "fit": len(fit), "unfit": unfit,
        "not_served": sorted(described.keys() - served - UNSAFE), "unsafe_not_served": sorted(UNSAFE & described.keys() - served),
    }  # fmt: skip


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Compare a node's answers with a published OpenAPI document.")
    parser.add_argument("--document", type=Path, required=True, help="OpenAPI 3.0 as JSON")
    document = json.loads(parser.parse_args().document.read_text())
    correct(document)
    with tempfile.TemporaryDirectory(prefix="qenex-published-") as folder:
        found = trio.run(compare, document, Path(folder) / "net")
    print(json.dumps(found))
    return 1 if found["unfit"] or found["not_served"] else 0


if __name__ == "__main__":
    sys.exit(main())
