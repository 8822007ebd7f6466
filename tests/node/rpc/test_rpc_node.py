"""One real validator process, asked everything over HTTP and WebSocket, right and wrong."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from node.keystore import Role, read_key_file
from node.rpc.client import Client, SyncClient
from state.codes import Code
from state.paths import resolve_path
from state.primitives.ids import format_address, parse_address
from state.primitives.keys import PrivateKey
from state.proofs import verify_proof
from state.transaction import build, call, sign
from tests.node.ports import free_base_port

BASE_PORT = free_base_port()
URL = f"http://127.0.0.1:{BASE_PORT + 1}"
QENEX = [sys.executable, "-m", "node.cli.main"]


@dataclass
class Network:
    home: Path
    alice: PrivateKey
    sender: bytes
    recipient: bytes

    def transfer(self, seq: int, *, chain: bytes, valid_for_s: int = 600, amount: int = 7) -> bytes:
        draft = build(
            chain_id=chain,
            sender=self.sender,
            seq=seq,
            valid_until=int(time.time()) + valid_for_s,
            ops=[call("asset.transfer", asset="QNX", to=self.recipient, amount=amount, tag="")],
            memo="",
            max_fee=0,
        )
        return sign(draft, [(self.sender, 0, self.alice)])


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    home = tmp_path_factory.mktemp("rpc") / "net"
    up = ["testnet", "up", "--detach", "--validators", "1", "--home", str(home), "--base-port", str(BASE_PORT)]
    try:
        subprocess.run([*QENEX, *up], check=True, timeout=240)
        alice, bob = (
            read_key_file(home / "keys" / f"{name}.json", lambda _: b"", role=Role.USER) for name in ("alice", "bob")
        )
        yield Network(home, alice.key, parse_address(alice.account), parse_address(bob.account))
    finally:
        subprocess.run([*QENEX, "testnet", "down", "--home", str(home)], check=True, timeout=240)


def post(body: Any) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    response = httpx2.post(URL, content=content, timeout=240)
    assert response.status_code == 200
    return response.json()


def get(path: str) -> Any:
    response = httpx2.get(f"{URL}/{path}", timeout=240)
    assert response.status_code == 200
    return response.json()


def ask(method: str, **params: Any) -> Any:
    answer = post({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    assert "result" in answer, answer
    return answer["result"]


def test_reading(network: Network) -> None:
    status = ask("status")
    height = int(status["sync_info"]["latest_block_height"])
    assert height >= 2
    assert status["node_info"]["version"].startswith("0.38.")
    assert status["sync_info"]["latest_app_hash"]
    assert ask("health") == {}
    first = ask("block", height="1")
    assert first["block"]["last_commit"] == {
        "height": "0",
        "round": 0,
        "block_id": {"hash": "", "parts": {"total": 0, "hash": ""}},
        "signatures": [],
    }
    assert first["block"]["header"]["last_block_id"] == {"hash": "", "parts": {"total": 0, "hash": ""}}
    by_hash = ask("block_by_hash", hash=base64.b64encode(bytes.fromhex(first["block_id"]["hash"])).decode())
    assert by_hash == first
    assert ask("header", height="1")["header"] == first["block"]["header"]
    commit = ask("commit", height="1")
    assert commit["canonical"] is True
    assert commit["signed_header"]["commit"]["block_id"] == first["block_id"]
    assert len(ask("pq_commit", height="1")["pq_signatures"]) == 1
    assert ask("validators", height="1")["total"] == "1"
    assert ask("blockchain", minHeight="1", maxHeight="2")["block_metas"][1]["block_id"] == first["block_id"]
    assert ask("consensus_params")["consensus_params"]["block"]["max_gas"] == "-1"
    assert ask("abci_info")["response"]["data"] == "qenex"
    assert ask("net_info")["n_peers"] == "0"
    assert ask("genesis")["genesis"]["initial_height"] == "1"
    assert "/" in ask("consensus_state")["round_state"]["height/round/step"]
    assert ask("asset", code="QNX")["asset"]["scale"] == 6
    assert ask("asset", code="NONE")["asset"] is None
    assert ask("block_search", query="block.height = 1")["total_count"] == "1"
    assert get("status")["result"]["node_info"] == status["node_info"]
    assert get("block?height=1")["result"] == first
    assert get(f'block_by_hash?hash=0x{first["block_id"]["hash"]}')["result"] == first
    assert get('abci_query?path="/supply/QNX"')["result"]["response"]["value"]
    assert httpx2.get(URL, timeout=240).text.startswith("QENEX node")


def test_a_transaction_from_submission_to_proof(network: Network) -> None:
    async def work() -> None:
        async with Client(URL) as client:
            chain, seq = await client.chain_id(), await client.next_sequence(network.sender)
            raw = network.transfer(seq, chain=chain)
            text = base64.b64encode(raw).decode()
            assert (await client.call("simulate", tx=text))["receipt"]["code_name"] == "OK"
            assert (await client.call("check_tx", tx=text))["code"] == 0
            done = await client.call("broadcast_tx_commit", tx=text)
            assert (done["check_tx"]["code"], done["tx_result"]["code"]) == (0, 0)
            tx_hash = base64.b64encode(bytes.fromhex(done["hash"])).decode()
            found = await client.call("tx", hash=tx_hash, prove=True)
            assert (found["height"], found["tx"]) == (done["height"], text)
            assert (await client.call("tx_status", hash=tx_hash))["status"] == "committed"
            address = done["tx_result"]["events"][0]["attributes"][0]["value"]
            for query in (f"transfer.sender='{address}'", f"tx.height={done['height']}", f"tx.hash='{done['hash']}'"):
                hits = await client.call("tx_search", query=f"{query} AND transfer.amount >= 7")
                assert done["hash"] in [tx["hash"] for tx in hits["txs"]]
            assert (await client.call("tx_search", query=f"transfer.sender='{address}' AND transfer.amount > 99999999"))["txs"] == []
            for path in ("/supply/QNX", "/asset/NONE"):
                proven = await client.prove(path)
                assert (proven.value is None) == (path == "/asset/NONE")
            # an earlier height, against the header after it
            holding = resolve_path(f"/holding/{format_address(network.recipient)}/QNX")
            before = int(done["height"]) - 1
            values = []
            for height in (before, before + 1):
                query = {"path": "/store/key", "data": holding.hex(), "height": str(height), "prove": True}
                answer = (await client.call("abci_query", **query))["response"]
                values.append(base64.b64decode(answer["value"]))
                header = (await client.call("header", height=str(height + 1)))["header"]
                proof = base64.b64decode(answer["proofOps"]["ops"][0]["data"])
                verify_proof(bytes.fromhex(header["app_hash"]), holding, values[-1], proof)
            assert values[0] != values[1]
            future = await client.call("abci_query", path="/supply/QNX", height="99999999", prove=True)
            assert future["response"]["code"] != 0

    trio.run(work)


def test_refused_transactions_leave_nothing(network: Network) -> None:
    async def work() -> None:
        async with Client(URL) as client:
            chain, seq = await client.chain_id(), await client.next_sequence(network.sender)
            good = network.transfer(seq, chain=chain)
            assert (await client.send(good, wait_s=20)).code == Code.OK
            seq += 1
            unsigned = bytearray(network.transfer(seq, chain=chain))
            unsigned[-1] ^= 1
            cases = [
                (b"garbage", Code.MALFORMED),
                (b"", Code.MALFORMED),
                (b"\x92" * 5000, Code.MALFORMED),
                (bytes(300 * 1024), Code.TOO_LARGE),
                (network.transfer(seq, chain=bytes(32)), Code.WRONG_CHAIN),
                (network.transfer(seq, chain=chain, valid_for_s=-5), Code.EXPIRED),
                (network.transfer(seq, chain=chain, valid_for_s=90_000), Code.WINDOW_TOO_LONG),
                (network.transfer(seq + 5, chain=chain), Code.SEQ_FUTURE),
                (network.transfer(seq - 1, chain=chain, amount=8), Code.SEQ_PAST),
                (good, Code.TX_SEEN),
                (bytes(unsigned), Code.BAD_SIGNATURE),
            ]
            outcomes = await client.send_batch([raw for raw, _ in cases])
            assert [outcome.code_name for outcome in outcomes] == [code.name for _, code in cases]
            for raw, code in cases:
                assert (await client.send(raw)).code == code
            assert (await client.call("num_unconfirmed_txs"))["total"] == "0"
            unknown = await client.call("tx_status", hash=base64.b64encode(outcomes[-1].hash).decode())
            assert unknown["status"] == "unknown"

    trio.run(work)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"[" * 5000, -32700),
        (b'{"id":NaN}', -32700),
        ({"id": 1}, -32600),
        ([], -32600),
        ([{"id": 1, "method": "health"}] * 101, -32600),
        (5, -32600),
        ({"id": 1, "method": "no_such_method"}, -32601),
        ({"id": 1, "method": "block", "params": {"height": "x"}}, -32602),
        ({"id": 1, "method": "block", "params": {"heigth": "1"}}, -32602),
        ({"id": 1, "method": "tx"}, -32602),
        ({"id": 1, "method": "tx_search", "params": {"query": "nonsense ="}}, -32602),
        ({"id": 1, "method": "account", "params": {"address": "qx1typo"}}, -32602),
        ({"id": 1, "method": "validators", "params": {"page": 2}}, -32602),
        ({"id": 1, "method": "genesis_chunked", "params": {"chunk": "1"}}, -32602),
        ({"id": 1, "method": "block", "params": {"height": "0"}}, -32603),
        ({"id": 1, "method": "block", "params": {"height": "99999999"}}, -32603),
        ({"id": 1, "method": "tx", "params": {"hash": "AAAA"}}, -32603),
    ],
)  # fmt: skip
def test_wrong_calls(network: Network, body: Any, code: int) -> None:
    answer = post(body)
    assert answer["error"]["code"] == code
    assert answer["error"]["data"]
    assert get("no_such_method")["error"]["code"] == -32601


def test_batches_and_notifications(network: Network) -> None:
    answers = post([{"id": "a", "method": "health"}, {"method": "health"}, {"id": 2, "method": "nope"}])
    assert [answer["id"] for answer in answers] == ["a", 2]
    response = httpx2.post(URL, json={"method": "health"}, timeout=240)
    assert (response.status_code, response.content) == (204, b"")


def test_forms_posted_to_a_method(network: Network) -> None:
    def send(path: str, content: bytes) -> Any:
        response = httpx2.post(f"{URL}/{path}", content=content, timeout=240)
        assert response.status_code == 200
        return response.json()

    first = get("block?height=1")
    assert send("block", b"height=1") == first
    assert send("block?height=1", b"") == first
    assert send("block?height=1", b"height=2") == first
    assert send("block", b"height=%221%22") == first
    for wrong in (b'{"height":"1"}', b"height=1&", b"\xff=1", b"&".join([b"height=1"] * 101)):
        assert send("block", wrong)["error"]["code"] == -32600, wrong
    assert send("block", b"heigth=1")["error"]["code"] == -32602
    assert send("no_such_method", b"")["error"]["code"] == -32601


def test_the_list_of_methods(network: Network) -> None:
    text = httpx2.get(f"{URL}/methods", timeout=240).text
    assert text == httpx2.get(URL, timeout=240).text
    assert "\n/tx?hash=_&prove=_\n" in text


def test_searches_in_order_and_in_pages(network: Network) -> None:
    def heights(**params: Any) -> list[int]:
        found = ask("block_search", **params)
        return [int(item["block"]["header"]["height"]) for item in found["blocks"]]

    query = "block.height <= 3"
    while int(ask("status")["sync_info"]["latest_block_height"]) < 4:
        time.sleep(0.05)
    assert heights(query=query) == heights(query=query, order_by="desc") == [3, 2, 1]
    assert heights(query=query, order_by="asc") == [1, 2, 3]
    assert heights(query=query, order_by="asc", page="2", per_page="2") == [3]
    assert heights(query=query, per_page="0") == [3, 2, 1]
    moment = ask("header", height="2")["header"]["time"]
    assert heights(query=f"{query} AND block.time > TIME {moment}") == [3]
    assert heights(query="block.height = 2 AND block.time > DATE 2020-01-01") == []
    for name in ("block_search", "tx_search"):
        for wrong in ({"page": "3", "per_page": "2"}, {"page": "0"}, {"order_by": "up"}):
            answer = post({"id": 1, "method": name, "params": {"query": query, **wrong}})
            assert answer["error"]["code"] == -32602, (name, wrong)


def test_a_body_that_is_too_large(network: Network) -> None:
    try:
        answer = post(b" " * (9 * 1024 * 1024))
    except httpx2.TransportError:
        return  # the server may close before everything is sent
    assert answer["error"]["code"] == -32600


def test_subscriptions(network: Network) -> None:
    async def work() -> None:
        async with Client(URL) as client:
            heights: list[int] = []
            with trio.fail_after(120):
                async with client.follow_blocks() as blocks:
                    async for block in blocks:
                        heights.append(int(block["header"]["height"]))
                        if len(heights) == 3:
                            break
            assert heights == [heights[0], heights[0] + 1, heights[0] + 2]

    trio.run(work)


def test_websocket_garbage_keeps_the_connection(network: Network) -> None:
    import trio_websocket

    async def work() -> None:
        async with trio_websocket.open_websocket_url(URL.replace("http", "ws") + "/websocket") as socket:

            async def exchange(message: str) -> Any:
                await socket.send_message(message)
                with trio.fail_after(120):
                    return json.loads(await socket.get_message())

            assert (await exchange("{"))["error"]["code"] == -32700
            assert (await exchange("[]"))["error"]["code"] == -32600
            subscribe = '{"id":7,"method":"%s","params":{"query":"%s"}}'
            assert (await exchange(subscribe % ("subscribe", "nonsense =")))["error"]["code"] == -32602
            assert (await exchange(subscribe % ("unsubscribe", "tm.event='Tx'")))["error"]["code"] == -32603
            assert (await exchange(subscribe % ("subscribe", "tm.event='Tx'")))["result"] == {}
            assert (await exchange(subscribe % ("subscribe", "tm.event='Tx'")))["error"]["data"] == "already subscribed"
            assert (await exchange('{"id":8,"method":"health"}'))["result"] == {}
            assert (await exchange('{"id":9,"method":"unsubscribe_all"}'))["result"] == {}

    trio.run(work)


def test_sync_client(network: Network) -> None:
    client = SyncClient(URL)
    assert client.height() >= 1
    assert client.balance(network.recipient, "QNX") > 0


def test_a_client_without_a_node() -> None:
    from state.primitives.errors import ClientError

    ask_height: Callable[[], Any] = SyncClient("http://127.0.0.1:9").height
    with pytest.raises(ClientError) as caught:
        ask_height()
    assert caught.value.hint
