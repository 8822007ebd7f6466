"""Methods about the network: who is connected, and the genesis document that all share."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from genesis.document import Document
from node.rpc import shapes
from node.rpc.backend import NodeBackend, describe_node
from node.rpc.errors import invalid_params
from p2p.outbound import ChannelCounts
from state.primitives.canonical import GO_ZERO_TIME_NS
from state.validators import ValidatorSet

Json = Any
GENESIS_CHUNK_BYTES: Final = 16 * 1024 * 1024  # CometBFT's


async def net_info(backend: NodeBackend) -> Json:
    """Connected peers. Rates and durations are not measured, and are 0."""
    peers = []
    chain_id, app = backend.document.chain_id, backend.executor.state.tip.params.app_version
    traffic = backend.switch.statistics()
    for peer in backend.switch.peers():
        channels = traffic.get(peer.id, {})
        counts = channels.values()
        host, _, _ = peer.address.rpartition(":")
        peers.append(
            {
                "node_info": describe_node(peer.id, chain_id, peer.moniker or "node", app, peer.version),
                "is_outbound": peer.is_outbound,
                "connection_status": {
                    "Duration": "0",
                    "SendMonitor": _monitor(sum(count.bytes_out for count in counts), sum(c.messages_out for c in counts)),
                    "RecvMonitor": _monitor(sum(count.bytes_in for count in counts), sum(c.messages_in for c in counts)),
                    "Channels": [_channel(number, count) for number, count in sorted(channels.items())],
                },
                "remote_ip": host,
            }
        )
    return {"listening": True, "listeners": [], "n_peers": str(len(peers)), "peers": peers}


def _monitor(total_bytes: int, messages: int) -> Json:
    rates = dict.fromkeys(("InstRate", "CurRate", "AvgRate", "PeakRate", "BytesRem", "Duration", "Idle", "TimeRem"), "0")
    start = shapes.time_text(GO_ZERO_TIME_NS)
    return {"Start": start, "Bytes": str(total_bytes), "Samples": str(messages), **rates, "Progress": 0, "Active": True}


def _channel(number: int, counts: ChannelCounts) -> Json:
    return {
        "ID": number,
        "SendQueueCapacity": "0",
        "SendQueueSize": "0",
        "Priority": "0",
        "RecentlySent": str(counts.bytes_out),
    }


async def genesis(backend: NodeBackend) -> Json:
    """The genesis document in CometBFT's shape; ours, whole, is its `app_state`."""
    return {"genesis": msgspec.Raw(_rendered(backend))}


async def genesis_chunked(backend: NodeBackend, chunk: int) -> Json:
    """A chunk, counted from 0, of the JSON that `genesis` answers, in base64."""
    rendered = _rendered(backend)
    total = max(1, -(-len(rendered) // GENESIS_CHUNK_BYTES))
    if not 0 <= chunk < total:
        raise invalid_params(f"chunk is within 0..{total - 1}")
    data = rendered[chunk * GENESIS_CHUNK_BYTES : (chunk + 1) * GENESIS_CHUNK_BYTES]
    return {"chunk": str(chunk), "total": str(total), "data": shapes.b64(data)}


def _rendered(backend: NodeBackend) -> bytes:
    if not backend.genesis_json:
        backend.genesis_json = msgspec.json.encode(_show(backend.document, backend.validators_at(backend.document.initial_height)))
    return backend.genesis_json


def _show(document: Document, validators: ValidatorSet) -> Json:
    return {
        "genesis_time": shapes.time_text(document.time_ns),
        "chain_id": document.chain_id,
        "initial_height": str(document.initial_height),
        "consensus_params": shapes.consensus_params(document.consensus.to_params()),
        "validators": [
            {
                "address": shapes.hexed(validator.address),
                "pub_key": shapes.public_key(validator.ed25519_key),
                "power": str(validator.power),
                "name": "",
            }
            for validator in validators.validators
        ],
        "app_hash": "",
        "app_state": {"hash": document.hash.hex(), "document": msgspec.to_builtins(document)},
    }
