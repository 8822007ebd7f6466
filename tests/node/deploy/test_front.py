"""docs/deploy/nginx.conf in front of a real node, where nginx is installed; what it says is compared with the code everywhere."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import trio
from trio_websocket import open_websocket_url

from genesis.testnet import BASE_PORT, ports
from node.config_sections import RpcConfig
from node.rpc.roles import Role
from node.rpc.tokens import add_token
from tests.node.ports import free_base_port
from tests.node.rpc.live import make_live, running
from tests.node.rpc.test_access import make_certificate

FILE = Path(__file__).parents[3] / "docs" / "deploy" / "nginx.conf"
MAIN = """daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/qenex.conf;
}}
"""


def directives(text: str) -> list[str]:
    bare = re.sub(r"(^|\s)#.*", "", text)
    return [" ".join(row.split()) for row in re.split(r"[;{}]", bare) if row.strip()]


def test_the_front_says_what_the_code_says() -> None:
    text = FILE.read_text(encoding="utf-8")
    rows = directives(text)
    bare = re.sub(r'"[^"]*"', "", re.sub(r"#.*", "", text))
    assert bare.count("{") == bare.count("}")
    servers = [row for row in rows if row.startswith("server ") and ":" in row]
    assert len(servers) == 3
    assert all(f":{ports(BASE_PORT, 0)[1]} " in row and "max_fails=1" in row and "validator" not in row for row in servers)
    assert f"client_max_body_size {RpcConfig().body_bytes_max // 2**20}m" in rows
    assert "ssl_protocols TLSv1.3" in rows
    assert "proxy_next_upstream error timeout http_503" in rows
    assert rows.count("limit_except GET POST") == 1
    assert rows.count("proxy_set_header X-Request-Id $qenex_request_id") == 2
    assert "proxy_set_header Upgrade $http_upgrade" in rows


@contextmanager
def nginx(folder: Path, port: int, upstreams: list[int]) -> Iterator[None]:
    text = FILE.read_text(encoding="utf-8")
    for number, upstream in enumerate(upstreams):
        text = text.replace(f"full{number}.bank.example:26657", f"127.0.0.1:{upstream}")
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace("    listen [::]:443 ssl;\n", "")
    text = text.replace("/etc/ssl/qenex/chain.pem", f"{folder}/cert.pem").replace("/etc/ssl/qenex/key.pem", f"{folder}/key.pem")
    assert "rate=50r/s" in text and "burst=200" in text
    text = text.replace("rate=50r/s", "rate=1r/s").replace("burst=200", "burst=80")  # so that a busy machine reaches the bound as well
    (folder / "qenex.conf").write_text(text)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    subprocess.run([*command, "-t"], check=True, capture_output=True)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@pytest.mark.needs("nginx", "apt-get install nginx")
async def test_nginx_in_front_of_a_node(tmp_path: Path) -> None:
    live = make_live(tmp_path / "net", 1, client_units_per_s=0)
    add_token(live.root / "node0" / "rpc_tokens.json", "ops", Role.OPERATOR, "2026-01-31")
    make_certificate(tmp_path)
    port = free_base_port()
    gone = free_base_port()
    url = f"https://127.0.0.1:{port}"
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    node_port = int(live.url.rpartition(":")[2])
    with nginx(tmp_path, port, [gone, node_port, gone + 1]):
        async with running(live, 1), httpx2.AsyncClient(verify=trusting, timeout=60) as http:
            while (await http.get(f"{url}/ready")).status_code != 200:
                await trio.sleep(0.1)
            for _ in range(10):  # the nodes that are gone are left out, and no request is lost
                assert (await http.get(f"{url}/health")).json()["result"] == {}
            answer = await http.post(url, content=json.dumps({"id": 1, "method": "status"}), headers={"X-Request-Id": "mine-7"})
            assert answer.headers["x-request-id"] == "mine-7"
            assert len((await http.get(f"{url}/status")).headers["x-request-id"]) == 32
            assert (await http.post(url, content=json.dumps({"id": 1, "method": "config_reload"}))).status_code == 401
            assert (await http.delete(f"{url}/status")).status_code == 403
            async with open_websocket_url(f"wss://127.0.0.1:{port}/websocket", ssl_context=trusting) as socket:
                await socket.send_message(json.dumps({"id": 1, "method": "subscribe", "params": {"query": "tm.event = 'NewBlock'"}}))
                assert json.loads(await socket.get_message())["result"] == {}
                assert "NewBlock" in await socket.get_message()
            for _ in range(300):
                status = (await http.delete(f"{url}/status")).status_code
                if status == 429:
                    break
            assert status == 429
