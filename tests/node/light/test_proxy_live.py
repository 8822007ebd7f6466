"""The verifying proxy before a real node that is honest: its answers are the node's, less what is not proved."""

from __future__ import annotations

from pathlib import Path

from node.light.proxy import LightBackend, abci_query, block, block_results, tx, validators
from node.light.service import LightSettings, TrustedStart, open_client
from node.rpc import shapes
from node.rpc.client import Client
from tests.node.rpc.live import make_live, running, wait_for_height


async def test_what_a_node_says_of_a_block_with_a_transaction(tmp_path: Path) -> None:
    async with running(make_live(tmp_path, 1), 1) as live, Client(live.url) as node:
        await wait_for_height(node, 2)
        sent = await node.send(await live.transfer(node), wait_s=60)
        await wait_for_height(node, sent.height + 2)
        first = bytes.fromhex((await node.call("block", height="1"))["block_id"]["hash"])
        settings = LightSettings(live.url, (), TrustedStart(1, first), 3_600, (1, 3), tmp_path / "light", True)
        async with open_client(settings, lambda _who, _error: None) as (client, rpc):
            proxy = LightBackend(client, rpc, "0.1.0")
            for height in (1, sent.height):
                assert await block(proxy, height) == await node.call("block", height=str(height))
            results = await node.call("block_results", height=str(sent.height))
            bare = [item | {"log": "", "events": []} for item in results["txs_results"]]
            assert await block_results(proxy, sent.height) == {"height": str(sent.height), "txs_results": bare}
            found = await node.call("tx", hash=shapes.b64(sent.hash), prove=True)
            assert await tx(proxy, sent.hash, prove=True) == found | {"tx_result": bare[found["index"]]}
            query = {"path": "/params/fees", "data": "", "height": str(sent.height), "prove": True}
            assert await abci_query(proxy, "/params/fees", b"", sent.height, prove=True) == await node.call("abci_query", **query)
            told = (await node.call("validators", height="1"))["validators"]
            assert (await validators(proxy, 1, 1, 30))["validators"] == [row | {"proposer_priority": "0"} for row in told]
