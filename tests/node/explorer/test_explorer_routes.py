"""What the server gives to a browser and to everybody else: headers, caching, and nothing that is not the explorer's."""

from __future__ import annotations

import re
import tomllib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import trio

from node.config import parse_config
from node.config_sections import RpcConfig
from node.explorer.routes import MEDIA_TYPES, STATIC_DIR, load_assets, security_headers, wants_page
from node.rpc.events import EventBus
from node.rpc.server import serve_rpc
from state.primitives.errors import ConfigError

ROOT = Path(__file__).parent.parent.parent.parent
BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Backend:
    """As much of a node as the server needs to start."""

    height = 0
    version = "test"
    chain_id = "test-1"

    def __init__(self) -> None:
        self.bus = EventBus()

    def base_height(self) -> int:
        return 1

    def load_events(self, height: int) -> Any:
        raise AssertionError(f"nobody subscribes to {height}")


@asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[httpx2.AsyncClient]:
    config = RpcConfig(listen="127.0.0.1:0", **settings)
    async with trio.open_nursery() as nursery:
        with trio.fail_after(60):
            address = await nursery.start(serve_rpc, Backend(), config, structlog.get_logger())
            async with httpx2.AsyncClient(base_url=f"http://{address}", timeout=20) as client:
                yield client
            nursery.cancel_scope.cancel()


def directives(response: httpx2.Response) -> dict[str, list[str]]:
    policy = response.headers["content-security-policy"]
    return {words[0]: words[1:] for words in (part.split() for part in policy.split(";"))}


async def test_a_browser_gets_the_page_and_curl_the_list() -> None:
    async with serving() as client:
        page = await client.get("/", headers=BROWSER)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<title>QENEX explorer</title>" in page.text
        listed = await client.get("/", headers={"accept": "*/*"})
        assert listed.headers["content-type"].startswith("text/plain")
        assert "\nMethods:\n" in listed.text
        assert (await client.get("/methods", headers=BROWSER)).text == listed.text
        assert {page.headers["vary"], listed.headers["vary"]} == {"Accept"}
        assert (await client.post("/", json={"id": 1, "method": "health"})).json()["result"] == {}
        assert (await client.get("/health")).json()["result"] == {}


async def test_policy_of_every_answer() -> None:
    version, assets = load_assets()
    async with serving() as client:
        for path in ("/", f"/static/{version}/js/main.js", f"/static/{version}/nothing"):
            response = await client.get(path, headers=BROWSER)
            host = client.base_url.netloc.decode()
            policy = directives(response)
            assert policy == {
                "default-src": ["'none'"],
                "script-src": ["'self'"],
                "style-src": ["'self'"],
                "img-src": ["'self'", "data:"],
                "connect-src": ["'self'", f"ws://{host}", f"wss://{host}"],
                "base-uri": ["'none'"],
                "form-action": ["'none'"],
                "frame-ancestors": ["'none'"],
            }
            assert response.headers["x-content-type-options"] == "nosniff"
            assert response.headers["referrer-policy"] == "no-referrer"
            assert "unsafe" not in response.headers["content-security-policy"]
    assert len(assets) > 30


@pytest.mark.parametrize("host", ["x; script-src *", "a b", "a'b", "", "x" * 300, "host:123456", "ä.example"])
def test_a_strange_host_gets_into_no_policy(host: str) -> None:
    assert "connect-src 'self'; base-uri" in security_headers(host)["Content-Security-Policy"]


@pytest.mark.parametrize("host", ["127.0.0.1:26657", "[::1]:26657", "node.example.org", "localhost:1"])
def test_a_plain_host_is_named(host: str) -> None:
    assert f"connect-src 'self' ws://{host} wss://{host};" in security_headers(host)["Content-Security-Policy"]


async def test_every_file_is_served_for_ever_and_revalidated() -> None:
    version, assets = load_assets()
    async with serving() as client:
        for name, asset in assets.items():
            path = "/" if name == "index.html" else f"/static/{version}/{name}"
            response = await client.get(path, headers=BROWSER)
            assert (response.status_code, response.content) == (200, asset.body), name
            assert response.headers["content-type"] == MEDIA_TYPES[Path(name).suffix]
            kept = "no-cache" if name == "index.html" else "public, max-age=31536000, immutable"
            assert response.headers["cache-control"] == kept
            for tags in (response.headers["etag"], f'"other", W/{asset.etag}', "*"):
                again = await client.get(path, headers={**BROWSER, "if-none-match": tags})
                assert (again.status_code, again.content) == (304, b"")
                assert again.headers["etag"] == asset.etag
            assert (await client.get(path, headers={**BROWSER, "if-none-match": '"other"'})).status_code == 200
            head = await client.head(path, headers=BROWSER)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(asset.body))


@pytest.mark.parametrize(
    "path",
    [
        "../routes.py", "..%2froutes.py", "%2e%2e/routes.py", "js/../../routes.py", "js//main.js", "/etc/passwd", "%2fetc%2fpasswd",
        "js", "js/", "", "index.html", "js/main.js%00", "JS/main.js", "..\\routes.py",
    ],
)  # fmt: skip
async def test_nothing_else_is_served(path: str) -> None:
    version, _ = load_assets()
    async with serving() as client:
        host, port = client.base_url.host, client.base_url.port
        stream = await trio.open_tcp_stream(host, port or 0)
        async with stream:  # a client library would tidy the path up
            await stream.send_all(f"GET /static/{version}/{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join([chunk async for chunk in stream])
        assert answer.startswith(b"HTTP/1.1 404 "), answer[:200]
        assert b"from __future__" not in answer


async def test_an_old_version_and_other_verbs_are_refused() -> None:
    version, _ = load_assets()
    async with serving() as client:
        assert (await client.get("/static/0000000000000000/js/main.js")).status_code == 404
        for method in ("POST", "PUT", "DELETE"):
            assert (await client.request(method, f"/static/{version}/js/main.js")).status_code == 405


async def test_it_can_be_switched_off() -> None:
    version, _ = load_assets()
    async with serving(explorer=False) as client:
        for path in ("/", "/methods"):
            response = await client.get(path, headers=BROWSER)
            assert response.headers["content-type"].startswith("text/plain")
            assert "\nMethods:\n" in response.text
        assert (await client.get(f"/static/{version}/js/main.js")).status_code == 404


def test_the_setting() -> None:
    assert parse_config("", environment={}).rpc.explorer is True
    assert parse_config("[rpc]\nexplorer = false\n", environment={}).rpc.explorer is False
    assert parse_config("", environment={"QENEX_RPC_EXPLORER": "false"}).rpc.explorer is False
    with pytest.raises(ConfigError, match="explorer"):
        parse_config("[rpc]\nexplorer = 1\n", environment={})


@pytest.mark.parametrize(
    ("accept", "is_browser"),
    [("text/html", True), ("TEXT/HTML;q=0.9", True), (BROWSER["accept"], True), ("*/*", False), ("", False), ("application/json", False)],
)
def test_who_wants_the_page(accept: str, is_browser: bool) -> None:
    assert wants_page(accept) is is_browser


def test_everything_that_the_page_names_is_there() -> None:
    version, assets = load_assets()
    page = assets["index.html"].body.decode()
    assert "{static}" not in page
    for name in re.findall(rf'"static/{version}/([^"]+)"', page):
        assert name in assets
    for name, asset in assets.items():
        if name.endswith(".js") and not name.startswith("vendor/"):
            folder = Path(name).parent
            for target in re.findall(r'^import .* from "([^"]+)";', asset.body.decode(), re.MULTILINE):
                parts: list[str] = []
                for part in (folder / target).as_posix().split("/"):
                    if part == "..":
                        parts.pop()
                    elif part != ".":
                        parts.append(part)
                assert "/".join(parts) in assets, f"{name} imports {target}"


def test_every_file_is_in_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["node.explorer"]
    packed = {path for pattern in patterns for path in STATIC_DIR.parent.glob(pattern) if path.is_file()}
    files = {path for path in STATIC_DIR.rglob("*") if path.is_file()}
    assert files - packed == set()


def test_the_chart_library_is_what_the_documents_say() -> None:
    import hashlib

    told = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    for name in ("uPlot.esm.js", "uPlot.min.css"):
        assert hashlib.sha256((STATIC_DIR / "vendor" / name).read_bytes()).hexdigest() in told, name
    assert "MIT License" in (STATIC_DIR / "vendor" / "uPlot.LICENSE.txt").read_text(encoding="utf-8")
