"""Ids, origins, the log and readiness, over sockets; and readiness of a real backend."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import trio
import trio_websocket

from node.config_sections import RpcConfig
from node.maintenance.inspect import make_backend
from node.maintenance.opening import open_stopped
from node.rpc.access import Access
from node.rpc.backend import NodeBackend
from node.rpc.method import Method
from node.rpc.methods import METHODS
from node.rpc.roles import Role
from node.rpc.server import serve_rpc
from node.rpc.tokens import add_token
from tests.node.maintenance.chain import make_home
from tests.node.rpc.live import WAIT_S, make_live, running
from tests.node.rpc.test_rpc_hostile import Backend

PAGE = "https://app.example:8443"


class Lines:
    """A logger that keeps its lines."""

    def __init__(self) -> None:
        self.kept: list[dict[str, Any]] = []

    def debug(self, event: str, **values: Any) -> None:
        self.kept.append({"event": event, "level": "debug", **values})

    def info(self, event: str, **values: Any) -> None:
        self.kept.append({"event": event, "level": "info", **values})

    def error(self, event: str, **values: Any) -> None:
        self.kept.append({"event": event, "level": "error", **values})


async def stumble(_backend: Any) -> Any:
    return {}["nothing"]


@asynccontextmanager
async def serving(tokens: Path | None = None, **settings: Any) -> AsyncIterator[tuple[Backend, str, Lines, httpx2.AsyncClient]]:
    backend, lines = Backend(), Lines()
    served: Any = backend
    methods = {**METHODS, "stumble": Method(stumble)}
    async with trio.open_nursery() as nursery:

        async def serve(*, task_status: trio.TaskStatus[str]) -> None:
            access = Access(tokens, trio.current_time, lines)
            config = RpcConfig(listen="127.0.0.1:0", **settings)
            await serve_rpc(served, config, lines, methods=methods, access=access, task_status=task_status)

        with trio.fail_after(WAIT_S):
            address = await nursery.start(serve)
            async with httpx2.AsyncClient() as client:
                yield backend, f"http://{address}", lines, client
        nursery.cancel_scope.cancel()


# ids


async def test_an_id_is_echoed_or_made() -> None:
    async with serving() as (_, url, _, client):
        for path in ("health", "", "ready", "nothing/here"):
            response = await client.get(f"{url}/{path}", headers={"x-request-id": "abc-1"})
            assert response.headers["x-request-id"] == "abc-1"
        made = {(await client.get(f"{url}/health")).headers["x-request-id"] for _ in range(3)}
        assert len(made) == 3
        for bad in ("a b", "x" * 65, "\u00e9"):
            response = await client.get(f"{url}/health", headers={"x-request-id": bad.encode("latin-1")})  # type: ignore[dict-item]
            assert len(response.headers["x-request-id"]) == 16


# the log


async def test_one_line_for_each_request(tmp_path: Path) -> None:
    tokens = tmp_path / "rpc_tokens.json"
    token = add_token(tokens, "desk", Role.PUBLIC, "2026-01-31")
    mine = {"authorization": f"Bearer {token}", "x-request-id": "7"}
    async with serving(tokens, access_log="info") as (_, url, lines, client):
        await client.get(f"{url}/health", headers=mine)
        await client.get(f"{url}/comp_acts", headers=mine)
        await client.get(f"{url}/health", headers={"authorization": "Bearer qxt_wrong"})
        batch = [{"id": number, "method": "health"} for number in range(4)] + [{"id": 5, "method": "no_such"}]
        await client.post(url, content=json.dumps(batch), headers=mine)
        await client.post(url, content="{", headers=mine)
        await client.get(f"{url}/stumble", headers=mine)
        await client.get(f"{url}/ready")
        await client.delete(f"{url}/health")
        headers = [(b"authorization", mine["authorization"].encode()), (b"x-request-id", b"7")]
        async with trio_websocket.open_websocket_url(url.replace("http", "ws") + "/websocket", extra_headers=headers) as socket:
            for method in ("health", "comp_acts", "unsubscribe_all"):
                await socket.send_message(json.dumps({"id": 1, "method": method}))
                await socket.get_message()
    found = [
        (line["methods"], line["calls"], line["code"], line["status"], line["role"], line["caller"])
        for line in lines.kept
        if line["event"] == "rpc request"
    ]
    public = ("public", "desk")
    assert found == [
        (["health"], 1, 0, 200, *public),
        (["comp_acts"], 1, -32003, 403, *public),
        (["health"], 1, -32001, 401, "", ""),
        (["health"] * 3, 5, -32601, 200, *public),
        ([], 0, -32700, 200, "", ""),
        (["stumble"], 1, -32603, 200, *public),
        ([], 0, 0, 200, "", ""),
        ([], 0, 0, 405, "", ""),
        (["health"], 1, 0, 101, *public),
        (["comp_acts"], 1, -32003, 101, *public),
        (["unsubscribe_all"], 1, 0, 101, *public),
    ]
    first = lines.kept[0]
    assert (first["id"], first["client"], first["level"]) == ("7", "127.0.0.1", "info")
    assert 0 <= first["ms"] < WAIT_S * 1_000
    assert token not in repr(lines.kept) and "qxt_" not in repr(lines.kept)


@pytest.mark.parametrize(("level", "expected"), [("off", []), ("debug", ["debug"]), ("info", ["info"])])
async def test_the_level_of_the_log(level: str, expected: list[str]) -> None:
    async with serving(access_log=level) as (_, url, lines, client):
        await client.get(f"{url}/health")
    assert [line["level"] for line in lines.kept if line["event"] == "rpc request"] == expected


# origins


def cors_of(response: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


async def test_without_origins_no_page_of_elsewhere_may_ask() -> None:
    async with serving() as (_, url, _, client):
        for origin in (PAGE, "null", "http://127.0.0.1", "http://127.0.0.1:1", ""):
            for response in (
                await client.get(f"{url}/health", headers={"origin": origin}),
                await client.post(url, content='{"id":1,"method":"health"}', headers={"origin": origin}),
                await client.options(url, headers={"origin": origin, "access-control-request-method": "POST"}),
            ):
                assert (response.status_code, response.json()["error"]["code"]) == (403, -32003)
                assert cors_of(response) == {}
        own = await client.get(f"{url}/health", headers={"origin": url})  # a page that this server itself gave
        assert own.json()["result"] == {}
        assert (await client.options(url)).status_code == 405


async def test_pages_of_listed_origins_may_ask() -> None:
    async with serving(cors_origins=(PAGE, "http://localhost:3000")) as (_, url, _, client):
        asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        response = await client.options(url, headers=asked)
        assert (response.status_code, response.content) == (204, b"")
        assert cors_of(response) == {
            "access-control-allow-origin": PAGE,
            "access-control-allow-methods": "GET, POST",
            "access-control-allow-headers": "Authorization, Content-Type, X-Request-Id",
            "access-control-expose-headers": "X-Request-Id",
            "access-control-max-age": "600",
        }
        response = await client.get(f"{url}/no_such", headers={"origin": PAGE})
        assert response.headers["access-control-allow-origin"] == PAGE
        assert response.headers["vary"] == "Origin"
        assert cors_of(await client.get(f"{url}/health")) == {}
        assert (await client.get(f"{url}/health", headers={"origin": PAGE + "1"})).status_code == 403
    async with serving(cors_origins=("*",)) as (_, url, _, client):
        response = await client.get(f"{url}/health", headers={"origin": "https://anywhere.example"})
        assert response.headers["access-control-allow-origin"] == "*"
        assert "vary" not in response.headers


async def test_a_page_of_elsewhere_opens_no_websocket() -> None:
    upgrade = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13", "sec-websocket-key": "A" * 22 + "=="}
    async with serving(cors_origins=(PAGE,)) as (_, url, _, client):
        for origin in ("https://evil.example", "null"):
            response = await client.get(f"{url}/websocket", headers={**upgrade, "origin": origin})
            assert (response.status_code, response.json()["error"]["code"]) == (403, -32003)
        for origin in (PAGE, url):
            address = url.replace("http", "ws") + "/websocket"
            async with trio_websocket.open_websocket_url(address, extra_headers=[(b"origin", origin.encode())]) as socket:
                await socket.send_message('{"id":1,"method":"health"}')
                assert json.loads(await socket.get_message())["result"] == {}


# readiness


async def test_ready_says_why_not(tmp_path: Path) -> None:
    tokens = tmp_path / "rpc_tokens.json"
    add_token(tokens, "desk", Role.PUBLIC, "2026-01-31")
    async with serving(tokens) as (backend, url, _, client):  # a load balancer has no token
        response = await client.get(f"{url}/ready")
        assert (response.status_code, response.json()) == (200, {"ready": True})
        assert (await client.head(f"{url}/ready")).status_code == 200
        backend.reason = "catching up"
        response = await client.get(f"{url}/ready")
        assert (response.status_code, response.json()) == (503, {"ready": False, "reason": "catching up"})
        assert (await client.get(f"{url}/health")).json()["result"] == {}


async def test_when_a_node_is_ready(tmp_path: Path) -> None:
    await make_home(tmp_path / "net", 3)
    with open_stopped(tmp_path / "net" / "node0", read_only=True) as node:
        backend: NodeBackend = make_backend(node, "stopped", "00" * 20, "1")
        tip_ns = node.state.tip.last_block_time_ns
        clock: Any = SimpleNamespace(now_ns=lambda: tip_ns + 91 * 10**9)
        backend.clock = clock
        assert backend.why_not_ready(90) == "the last block is 91 s old, more than 90"
        assert backend.why_not_ready(91) == ""
        engine: Any = SimpleNamespace(catching_up=True)
        backend.engine = engine
        assert backend.why_not_ready(91).startswith("catching up: height 3")


async def test_a_running_node_is_ready(tmp_path: Path) -> None:
    async with running(make_live(tmp_path / "net", 1), 1) as live, httpx2.AsyncClient() as client:
        while (response := await client.get(f"{live.url}/ready")).status_code == 503:
            assert response.json()["reason"] == "there is no block yet"
            await trio.sleep(0.02)
        assert response.json() == {"ready": True}
