"""Every route of CometBFT 0.38 on two real validators, its answer against a table of field names and spellings.

A shape is a name below, a list with one shape for all items, a dict with exactly these keys, or a tuple of alternatives. A key with `?` may
be missing; a key with `+` is ours.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import trio_websocket

from node.rpc.client import Client
from node.rpc.methods import METHODS
from state.primitives.errors import ClientError
from tests.node.rpc.live import make_live, running, wait_for_height

PATTERNS = {
    "int64": r"-?(0|[1-9][0-9]*)",
    "HEX": r"([0-9A-F]{2})*",
    "hash": r"[0-9A-F]{64}",
    "address": r"[0-9A-F]{40}",
    "base64": r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
    "time": r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{0,8}[1-9])?Z",
    "text": r"(?s).*",
    "bits": r"BA\{[0-9]+:[x_]*\} [0-9]+/[0-9]+ = [0-9]\.[0-9]{2}",
    "vote": r"nil-Vote|Vote\{[0-9]+:[0-9A-F]{12} [0-9]+/[0-9]{2}/SIGNED_MSG_TYPE_(PREVOTE\(Prevote|PRECOMMIT\(Precommit)\)"
    r"( [0-9A-F]{12}){3} @ \S+Z\}",
    "node id": r"[0-9a-f]{40}",
    "step": r"[0-9]+/[0-9]+/[1-8]",
}


def check(shape: Any, value: Any, place: str) -> None:
    """Raises with the place that differs."""
    if isinstance(shape, tuple):
        found = []
        for one in shape:
            try:
                check(one, value, place)
            except AssertionError as error:
                found.append(str(error))
            else:
                return
        raise AssertionError(" or ".join(found))
    if isinstance(shape, list):
        assert isinstance(value, list), f"{place} is no list"
        for number, item in enumerate(value):
            check(shape[0], item, f"{place}[{number}]")
    elif isinstance(shape, dict):
        assert isinstance(value, dict), f"{place} is no object but {value!r}"
        names = {name.rstrip("?+"): (name, inner) for name, inner in shape.items()}
        assert value.keys() <= names.keys(), f"{place} has {sorted(value.keys() - names.keys())}"
        for name, (spelled, inner) in names.items():
            assert name in value or spelled.endswith("?"), f"{place} lacks {name}"
            if name in value:
                check(inner, value[name], f"{place}.{name}")
    elif shape is None or isinstance(shape, bool):
        assert value is shape, f"{place} is {value!r}"
    elif shape in (int, bool):
        assert type(value) is shape, f"{place} is {value!r}"
    elif shape == "any":
        return
    else:
        assert isinstance(value, str) and re.fullmatch(PATTERNS[shape], value), f"{place} is no {shape}: {value!r}"


KEY = {"type": "text", "value": "base64"}
PARTS = {"total": int, "hash": ("hash", "HEX")}
BLOCK_ID = {"hash": ("hash", "HEX"), "parts": PARTS}
HEADER = {
    "version": {"block": "int64", "app": "int64"},
    "chain_id": "text",
    "height": "int64",
    "time": "time",
    "last_block_id": BLOCK_ID,
    "last_commit_hash": "hash",
    "data_hash": "hash",
    "validators_hash": "hash",
    "next_validators_hash": "hash",
    "consensus_hash": "hash",
    "app_hash": "hash",
    "last_results_hash": "hash",
    "evidence_hash": "hash",
    "proposer_address": "address",
}
SIGNATURE = {
    "block_id_flag": int,
    "validator_address": "HEX",
    "timestamp": "time",
    "signature": ("base64", None),
}
COMMIT = {"height": "int64", "round": int, "block_id": BLOCK_ID, "signatures": [SIGNATURE]}
BLOCK = {
    "header": HEADER,
    "data": {"txs": ["base64"]},
    "evidence": {"evidence": ["any"]},
    "last_commit": COMMIT,
}
SHOWN_BLOCK = {"block_id": BLOCK_ID, "block": BLOCK}
EVENTS = [{"type": "text", "attributes": [{"key": "text", "value": "text", "index": bool}]}]
RESULT = {
    "code": int,
    "data": "base64",
    "log": "text",
    "info": "text",
    "gas_wanted": "int64",
    "gas_used": "int64",
    "events": EVENTS,
    "codespace": "text",
}
BROADCAST = {"code": int, "data": "HEX", "log": "text", "codespace": "text", "hash": "hash"}
NODE_INFO = {
    "protocol_version": {"p2p": "int64", "block": "int64", "app": "int64"},
    "id": "node id",
    "listen_addr": "text",
    "network": "text",
    "version": "text",
    "channels": "HEX",
    "moniker": "text",
    "other": {"tx_index": "text", "rpc_address": "text", "qenex_version+": "text"},
}
VALIDATOR = {
    "address": "address",
    "pub_key": KEY,
    "voting_power": "int64",
    "proposer_priority": "int64",
    "pq_pub_key+": KEY,
}
PARAMS = {
    "block": {"max_bytes": "int64", "max_gas": "int64"},
    "evidence": {"max_age_num_blocks": "int64", "max_age_duration": "int64", "max_bytes": "int64"},
    "validator": {"pub_key_types": ["text"]},
    "version": {"app": "int64"},
    "abci": {"vote_extensions_enable_height": "int64"},
}
MONITOR = {
    "Start": "time", "Bytes": "int64", "Samples": "int64", "InstRate": "int64", "CurRate": "int64", "AvgRate": "int64",
    "PeakRate": "int64", "BytesRem": "int64", "Duration": "int64", "Idle": "int64", "TimeRem": "int64", "Progress": int,
    "Active": bool,
}  # fmt: skip
CHANNEL = {
    "ID": int, "SendQueueCapacity": "int64", "SendQueueSize": "int64", "Priority": "int64", "RecentlySent": "int64",
}  # fmt: skip
PROOF = {"total": "int64", "index": "int64", "leaf_hash": "base64", "aunts": ["base64"]}
TX = {
    "hash": "hash",
    "height": "int64",
    "index": int,
    "tx_result": RESULT,
    "tx": "base64",
    "proof?": {"root_hash": "hash", "data": "base64", "proof": PROOF},
}
VALIDATORS = {"validators": [VALIDATOR], "proposer": VALIDATOR}
ROUND_VOTES = {
    "round": int, "prevotes": ["vote"], "prevotes_bit_array": "bits", "precommits": ["vote"], "precommits_bit_array": "bits",
}  # fmt: skip
BLOCK_PARTS = {"count/total": "text", "parts_bit_array": "text"}
PROPOSAL = {
    "Type": int, "height": "int64", "round": int, "pol_round": int, "block_id": BLOCK_ID, "timestamp": "time", "signature": "base64",
    "pq_signature+": "base64",
}  # fmt: skip
PEER_STATE = {
    "round_state": {
        "height": "int64", "round": int, "step": int, "start_time": "time", "proposal": bool,
        "proposal_block_part_set_header": PARTS, "proposal_block_parts": None, "proposal_pol_round": int, "proposal_pol": None,
        "prevotes": None, "precommits": None, "last_commit_round": int, "last_commit": None, "catchup_commit_round": int,
        "catchup_commit": None,
    },
    "stats": {"votes": "int64", "block_parts": "int64"},
}  # fmt: skip
FINALIZED = {
    "events": EVENTS,
    "tx_results": [RESULT],
    "validator_updates": ["any"],
    "consensus_param_updates": None,
    "app_hash": "base64",
}
MEMPOOL = {"n_txs": "int64", "total": "int64", "total_bytes": "int64"}
GENESIS = {
    "genesis_time": "time",
    "chain_id": "text",
    "initial_height": "int64",
    "consensus_params": PARAMS,
    "validators": [{"address": "address", "pub_key": KEY, "power": "int64", "name": "text"}],
    "app_hash": "HEX",
    "app_state": "any",
}

SHAPES: dict[str, Any] = {
    "health": {},
    "status": {
        "node_info": NODE_INFO,
        "sync_info": {
            "latest_block_hash": "hash",
            "latest_app_hash": "hash",
            "latest_block_height": "int64",
            "latest_block_time": "time",
            "earliest_block_hash": "hash",
            "earliest_app_hash": "hash",
            "earliest_block_height": "int64",
            "earliest_block_time": "time",
            "catching_up": bool,
        },
        "validator_info": {"address": "address", "pub_key": KEY, "voting_power": "int64"},
    },
    "net_info": {
        "listening": bool,
        "listeners": ["text"],
        "n_peers": "int64",
        "peers": [
            {
                "node_info": NODE_INFO,
                "is_outbound": bool,
                "connection_status": {
                    "Duration": "int64", "SendMonitor": MONITOR, "RecvMonitor": MONITOR, "Channels": [CHANNEL],
                },
                "remote_ip": "text",
            }
        ],
    },
    "genesis": {"genesis": GENESIS},
    "genesis_chunked": {"chunk": "int64", "total": "int64", "data": "base64"},
    "blockchain": {
        "last_height": "int64",
        "block_metas": [{"block_id": BLOCK_ID, "block_size": "int64", "header": HEADER, "num_txs": "int64"}],
    },
    "header": {"header": HEADER},
    "header_by_hash": {"header": HEADER},
    "block": SHOWN_BLOCK,
    "block_by_hash": SHOWN_BLOCK,
    "block_results": {
        "height": "int64",
        "txs_results": [RESULT],
        "finalize_block_events": EVENTS,
        "validator_updates": ["any"],
        "consensus_param_updates": None,
        "app_hash": "base64",
    },
    "block_search": {"blocks": [SHOWN_BLOCK], "total_count": "int64"},
    "commit": {"signed_header": {"header": HEADER, "commit": COMMIT}, "canonical": bool},
    "validators": {"block_height": "int64", "validators": [VALIDATOR], "count": "int64", "total": "int64"},
    "tx": TX,
    "tx_search": {"txs": [TX], "total_count": "int64"},
    "abci_info": {
        "response": {
            "data": "text", "version": "text", "app_version": "int64", "last_block_height": "int64", "last_block_app_hash": "base64",
        }
    },
    "abci_query": {
        "response": {
            "code": int, "log": "text", "info": "text", "index": "int64", "key": "base64", "value": "base64",
            "proofOps": {"ops": [{"type": "text", "key": "base64", "data": "base64"}]}, "height": "int64", "codespace": "text",
        }
    },
    "consensus_params": {"block_height": "int64", "consensus_params": PARAMS},
    "consensus_state": {
        "round_state": {
            "height/round/step": "step",
            "start_time": "time",
            "proposal_block_hash": "HEX",
            "locked_block_hash": "HEX",
            "valid_block_hash": "HEX",
            "height_vote_set": [ROUND_VOTES],
            "proposer": {"address": "HEX", "index": int},
            "started+": bool,
            "locked_round+": int,
            "valid_round+": int,
        }
    },
    "dump_consensus_state": {
        "round_state": {
            "height": "int64",
            "round": int,
            "step": int,
            "start_time": "time",
            "commit_time": "time",
            "validators": VALIDATORS,
            "proposal": (PROPOSAL, None),
            "proposal_block": (BLOCK, None),
            "proposal_block_parts": (BLOCK_PARTS, None),
            "locked_round": int,
            "locked_block": (BLOCK, None),
            "locked_block_parts": (BLOCK_PARTS, None),
            "valid_round": int,
            "valid_block": (BLOCK, None),
            "valid_block_parts": (BLOCK_PARTS, None),
            "votes": [ROUND_VOTES],
            "commit_round": int,
            "last_commit": {"votes": ["vote"], "votes_bit_array": "bits", "peer_maj_23s": {}},
            "last_validators": VALIDATORS,
            "triggered_timeout_precommit": bool,
        },
        "peers": [{"node_address": "text", "peer_state": PEER_STATE}],
    },
    "num_unconfirmed_txs": MEMPOOL | {"txs": None},
    "unconfirmed_txs": MEMPOOL | {"txs": ["base64"]},
    "check_tx": RESULT,
    "broadcast_tx_sync": BROADCAST,
    "broadcast_tx_async": BROADCAST,
    "broadcast_tx_commit": {"check_tx": RESULT, "tx_result": RESULT, "hash": "hash", "height": "int64"},
}  # fmt: skip
WEBSOCKET_ONLY = ("subscribe", "unsubscribe", "unsubscribe_all")  # and broadcast_evidence is in tests/node/evidence/test_rpc.py


def b64(hexed: str) -> str:
    return base64.b64encode(bytes.fromhex(hexed)).decode()


async def test_every_route_has_its_shape(tmp_path: Path) -> None:
    assert len(SHAPES) + len(WEBSOCKET_ONLY) + 1 == 31
    assert SHAPES.keys() <= METHODS.keys()
    async with running(make_live(tmp_path / "net", 2), 2) as live, Client(live.url) as client:
        await wait_for_height(client, 2)
        raw = base64.b64encode(await live.transfer(client)).decode()
        check(SHAPES["check_tx"], await client.call("check_tx", tx=raw), "check_tx")
        done = await client.call("broadcast_tx_commit", tx=raw)
        block = await client.call("block", height=done["height"])
        given: dict[str, dict[str, Any]] = {
            "broadcast_tx_sync": {"tx": raw},
            "broadcast_tx_async": {"tx": raw},
            "broadcast_tx_commit": {"tx": base64.b64encode(await live.transfer(client)).decode()},
            "check_tx": {"tx": raw},
            "tx": {"hash": b64(done["hash"]), "prove": True},
            "tx_search": {"query": f"tx.height = {done['height']}", "prove": True},
            "block_search": {"query": "block.height < 3"},
            "block_by_hash": {"hash": b64(block["block_id"]["hash"])},
            "header_by_hash": {"hash": block["block_id"]["hash"]},
            "block_results": {"height": done["height"]},
            "abci_query": {"path": "/supply/QNX", "prove": True},
        }
        for name, shape in SHAPES.items():
            check(shape, await client.call(name, **given.get(name, {})), name)
        peers = (await client.call("net_info"))["peers"]
        assert len(peers) == 1 and peers[0]["connection_status"]["Channels"]
        await _check_values(live.url, client, block)
        for state in [await client.call("dump_consensus_state") for _ in range(30)]:
            check(SHAPES["dump_consensus_state"], state, "dump_consensus_state")
        await _check_subscription(live.url)


async def _check_values(url: str, client: Client, block: Any) -> None:
    """What a shape does not say."""
    height = block["block"]["header"]["height"]
    assert (await client.call("header_by_hash", hash=block["block_id"]["hash"]))["header"] == block["block"]["header"]
    assert await client.call("header_by_hash", hash="00" * 32) == {"header": None}
    empty = {"hash": "", "parts": {"total": 0, "hash": ""}}
    for unknown in ("", b64("00"), b64("00" * 32)):
        assert await client.call("block_by_hash", hash=unknown) == {"block_id": empty, "block": None}
    chunk = await client.call("genesis_chunked")
    assert (chunk["chunk"], chunk["total"]) == ("0", "1")
    assert json.loads(base64.b64decode(chunk["data"])) == (await client.call("genesis"))["genesis"]
    meta = (await client.call("blockchain", minHeight=height, maxHeight=height))["block_metas"][0]
    parts_bytes = 65_536
    assert -(-int(meta["block_size"]) // parts_bytes) == block["block_id"]["parts"]["total"]
    assert int((await client.call("validators"))["block_height"]) > int(height)
    params = await client.call("consensus_params", height=height)
    assert (params["block_height"], params["consensus_params"]["version"]["app"]) == (height, "1")
    for name, arguments in (
        ("blockchain", {"minHeight": "-1"}),
        ("blockchain", {"minHeight": "3", "maxHeight": "2"}),
        ("consensus_params", {"height": "99999999"}),
        ("validators", {"height": "0"}),
        ("header", {"height": "-1"}),
    ):
        try:
            await client.call(name, **arguments)
        except ClientError:
            continue
        raise AssertionError(f"{name} {arguments} was answered")
    async with httpx2.AsyncClient() as http:
        for name in WEBSOCKET_ONLY:
            assert (await http.get(f"{url}/{name}")).json()["error"]["code"] == -32601


async def _check_subscription(url: str) -> None:
    address = url.replace("http", "ws") + "/websocket"
    async with trio_websocket.open_websocket_url(address) as socket:
        query = "tm.event = 'NewBlockHeader'"
        assert await _exchange(socket, 1, "subscribe", query=query) == {}
        event = json.loads(await socket.get_message())
        assert (event["id"], event["result"]["query"]) == (1, query)
        check({"header": HEADER}, event["result"]["data"]["value"], "NewBlockHeader")
        assert event["result"]["events"]["tm.event"] == ["NewBlockHeader"]
        assert await _exchange(socket, 2, "unsubscribe", query=query) == {}
        assert await _exchange(socket, 3, "unsubscribe_all") == {}
    async with trio_websocket.open_websocket_url(address) as socket:
        assert await _exchange(socket, 1, "subscribe", query="tm.event = 'NewBlock'") == {}
        value = json.loads(await socket.get_message())["result"]["data"]["value"]
        check(SHOWN_BLOCK | {"result_finalize_block": FINALIZED}, value, "NewBlock")
        results = await _exchange(socket, 2, "block_results", height=value["block"]["header"]["height"])
        told = value["result_finalize_block"]
        assert told.pop("tx_results") == results["txs_results"]
        assert told.pop("events") == results["finalize_block_events"]
        assert told == {name: results[name] for name in told}


async def _exchange(socket: Any, number: int, method: str, **params: str) -> Any:
    """The result of a call, past the events that come meanwhile."""
    await socket.send_message(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
    while (answer := json.loads(await socket.get_message()))["id"] != number:
        continue
    return answer["result"]
