"""Who may call what: tokens and their file, roles on a real node over TLS, revocation while connections stand, and the command."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
import trio
import trio_websocket
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.config_sections import RpcConfig
from node.maintenance.inspect import READING
from node.rpc import access as access_module
from node.rpc.access import Access, open_access
from node.rpc.client import Client
from node.rpc.errors import FORBIDDEN, UNAUTHENTICATED, RpcError
from node.rpc.methods import METHODS
from node.rpc.roles import COVERS, Role
from node.rpc.server import serve_rpc
from node.rpc.tls import open_tls
from node.rpc.tokens import TOKENS_MAX, add_token, hash_token, read_tokens, revoke_token
from state.primitives.errors import ClientError, ConfigError, KeyFileError
from tests.node.maintenance.chain import make_network, qenex
from tests.node.rpc.live import make_live, running
from tests.node.rpc.test_rpc_hostile import Backend

LOG = structlog.get_logger()
REGULATED = {"comp_view", "comp_acts", "kyc_credentials", "kyc_credential", "comp_account", "comp_holding", "comp_limits"}
ADMINISTERED = {"log_levels", "set_log_level", "config_reload", "audit_entries", "snapshot_create", "snapshot_status"}
SUBMITTED = {
    "broadcast_tx_sync", "broadcast_tx_async", "broadcast_tx_commit", "broadcast_tx_batch", "broadcast_evidence", "check_tx", "simulate",
}  # fmt: skip


def make_certificate(folder: Path) -> None:
    """A certificate of 127.0.0.1 that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    (folder / "key.pem").write_bytes(pem)
    (folder / "key.pem").chmod(0o600)


# the file


def test_a_token_is_kept_as_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "rpc_tokens.json"
    made = add_token(path, "branch-7", Role.SUBMIT, "2026-01-31")
    other = add_token(path, "desk", Role.PUBLIC, "2026-01-31")
    assert made.startswith("qxt_") and made != other
    assert made.encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    first, _ = read_tokens(path)
    assert (first.name, first.role, first.sha256) == ("branch-7", Role.SUBMIT, hash_token(made))
    with pytest.raises(ConfigError, match="already"):
        add_token(path, "desk", Role.PUBLIC, "2026-01-31")
    assert revoke_token(path, "branch-7") == first
    assert [token.name for token in read_tokens(path)] == ["desk"]
    with pytest.raises(ConfigError, match="there is no token branch-7"):
        revoke_token(path, "branch-7")
    for name in ("", "A", "a b", "-x", "x" * 65, "a\n"):
        with pytest.raises(ConfigError, match="no name"):
            add_token(path, name, Role.PUBLIC, "2026-01-31")


def test_a_file_that_others_can_read_or_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "rpc_tokens.json"
    add_token(path, "desk", Role.PUBLIC, "2026-01-31")
    good = path.read_bytes()
    for mode in (0o640, 0o604, 0o666):
        path.chmod(mode)
        with pytest.raises(KeyFileError, match="0600"):
            read_tokens(path)
    path.chmod(0o600)
    row = json.loads(good)["tokens"][0]
    for tokens in ([row, row], [row | {"role": "king"}], [row | {"sha256": "00"}], [row | {"more": 1}], [{}] * (TOKENS_MAX + 1)):
        path.write_text(json.dumps({"format": 1, "tokens": tokens}))
        with pytest.raises(ConfigError):
            read_tokens(path)
    for data in (b"", b"{", b"[]", b"\xff", b"[" * 100_000):
        path.write_bytes(data)
        with pytest.raises(ConfigError, match="no file of tokens"):
            read_tokens(path)


# who is who


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic eDp5", "Bearer wrong", "Bearer " + "x" * 300, "qxt_x", "Bearer \udcff"])
def test_headers_that_are_no_token_of_ours(tmp_path: Path, header: str) -> None:
    path = tmp_path / "rpc_tokens.json"
    add_token(path, "desk", Role.PUBLIC, "2026-01-31")
    with pytest.raises(RpcError) as caught:
        Access(path, lambda: 0.0, LOG).identify(header)
    assert caught.value.rpc_code == UNAUTHENTICATED


def test_the_file_is_looked_at_again_and_a_bad_one_lets_nobody_in(tmp_path: Path) -> None:
    path, now = tmp_path / "rpc_tokens.json", 0.0
    header = "Bearer " + add_token(path, "desk", Role.PUBLIC, "2026-01-31")
    access = Access(path, lambda: now, LOG)
    assert access.identify(header).name == "desk"
    later = "bearer " + add_token(path, "late", Role.OPERATOR, "2026-01-31")
    with pytest.raises(RpcError):
        access.identify(later)  # within the second
    now += access_module.LOOK_AGAIN_S
    assert access.identify(later).role is Role.OPERATOR
    path.chmod(0o644)
    now += access_module.LOOK_AGAIN_S
    with pytest.raises(RpcError):
        access.identify(header)
    path.chmod(0o600)
    now += access_module.LOOK_AGAIN_S
    assert access.identify(header).name == "desk"
    path.unlink()
    now += access_module.LOOK_AGAIN_S
    with pytest.raises(RpcError):
        access.identify(header)


def test_the_settings_decide(tmp_path: Path) -> None:
    path = tmp_path / "rpc_tokens.json"
    assert open_access(path, RpcConfig(), lambda: 0.0, LOG).identify("whatever").role is Role.OPERATOR
    with pytest.raises(ConfigError, match="there is no") as caught:
        open_access(path, RpcConfig(access="tokens"), lambda: 0.0, LOG)
    assert "qenex rpc token new" in caught.value.hint
    add_token(path, "desk", Role.PUBLIC, "2026-01-31")
    assert open_access(path, RpcConfig(access="tokens"), lambda: 0.0, LOG).identify(None).role is None


def test_each_method_needs_a_role() -> None:
    by_role = {role: {name for name, method in METHODS.items() if method.role is role} for role in (*Role, None)}
    assert by_role[None] == {"health"}
    assert by_role[Role.REGULATOR] == REGULATED
    assert by_role[Role.SUBMIT] == SUBMITTED
    assert by_role[Role.OPERATOR] == ADMINISTERED
    assert {name: method.role for name, method in READING.items()} == {name: method.role for name, method in METHODS.items()}
    assert COVERS[Role.OPERATOR] == tuple(Role)


# TLS


def test_certificates_that_do_not_do(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    assert open_tls(tmp_path, RpcConfig()) is None
    assert open_tls(tmp_path, RpcConfig(tls_cert="cert.pem", tls_key="key.pem")) is not None
    cases = ("cert.pem ", " key.pem", "cert.pem none.pem", "none.pem key.pem", "key.pem key.pem", "cert.pem .")
    for case in cases:
        certificate, key = case.split(" ")
        with pytest.raises(ConfigError):
            open_tls(tmp_path, RpcConfig(tls_cert=certificate, tls_key=key))
    key_pem = serialization.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    sealed = key_pem.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"secret")
    )
    (tmp_path / "sealed.pem").write_bytes(sealed)
    (tmp_path / "sealed.pem").chmod(0o600)
    with pytest.raises(ConfigError, match="encrypted"):
        open_tls(tmp_path, RpcConfig(tls_cert="cert.pem", tls_key="sealed.pem"))
    (tmp_path / "key.pem").chmod(0o640)
    with pytest.raises(ConfigError, match="others"):
        open_tls(tmp_path, RpcConfig(tls_cert="cert.pem", tls_key="key.pem"))


async def test_tls_and_clients_that_do_not_speak_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificate(tmp_path)
    monkeypatch.setattr("node.rpc.http1.HANDSHAKE_SECONDS_MAX", 0.3)
    tls = open_tls(tmp_path, RpcConfig(tls_cert="cert.pem", tls_key="key.pem"))
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    old = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    backend: Any = Backend()
    async with trio.open_nursery() as nursery:
        with trio.fail_after(120):
            config = RpcConfig(listen="127.0.0.1:0", connections_max=5)
            methods = {"health": METHODS["health"]}

            async def serve(*, task_status: trio.TaskStatus[str]) -> None:
                await serve_rpc(backend, config, LOG, methods=methods, tls=tls, task_status=task_status)

            address = await nursery.start(serve)
            for context in (old, ssl.create_default_context()):
                async with httpx2.AsyncClient(verify=context) as wrong:
                    with pytest.raises(httpx2.TransportError):
                        await wrong.get(f"https://{address}/health")
            host, port = address.split(":")
            for said in (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01", b""):
                async with await trio.open_tcp_stream(host, int(port)) as stream:
                    with suppress(trio.BrokenResourceError):
                        await stream.send_all(said)
                        while await stream.receive_some(1_000):  # an alert, and then the end: nobody waits for half a greeting
                            continue
            async with httpx2.AsyncClient(verify=trusting) as client:
                for _ in range(3):
                    assert (await client.get(f"https://{address}/health")).json()["result"] == {}
                body = b"[" + b",".join([b'{"id":1,"method":"health"}'] * 100) + b"]"
                assert len((await client.post(f"https://{address}/", content=body)).json()) == 100
        nursery.cancel_scope.cancel()


# a real node


async def test_roles_over_tls_on_a_real_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "net"
    live = make_live(root, 1, access="tokens", tls_cert="cert.pem", tls_key="key.pem")
    make_certificate(root / "node0")
    tokens = {role: add_token(root / "node0" / "rpc_tokens.json", role.value, role, "2026-01-31") for role in Role}
    monkeypatch.setenv("SSL_CERT_FILE", str(root / "node0" / "cert.pem"))
    async with running(live, 1), httpx2.AsyncClient(verify=ssl.create_default_context()) as http:

        async def code_of(name: str, headers: dict[str, str]) -> tuple[int, int]:
            response = await http.post(live.url, content=json.dumps({"id": 1, "method": name}), headers=headers)
            return response.status_code, response.json().get("error", {}).get("code", 0)

        for role, token in tokens.items():
            headers = {"authorization": f"Bearer {token}"}
            for name, method in METHODS.items():
                found = await code_of(name, headers)
                may = method.role is None or method.role in COVERS[role]
                assert found[0] == 200 if may else found == (403, FORBIDDEN), (role, name, found)
        for name, method in METHODS.items():
            found = await code_of(name, {})
            assert found == ((200, 0) if method.role is None else (401, UNAUTHENTICATED)), name
        assert await code_of("no_such_method", {}) == (401, UNAUTHENTICATED)
        response = await http.get(f"{live.url}/status", headers={"authorization": "Bearer qxt_wrong"})
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        headers = {"authorization": f"Bearer {tokens[Role.PUBLIC]}"}
        batch = [{"id": 1, "method": "status"}, {"id": 2, "method": "comp_acts"}]
        response = await http.post(live.url, content=json.dumps(batch), headers=headers)
        assert response.status_code == 200
        assert [answer.get("error", {}).get("code", 0) for answer in response.json()] == [0, FORBIDDEN]
        with pytest.raises(ClientError, match="asks for a token") as caught:
            async with Client(live.url, token="") as client:
                await client.height()
        assert "QENEX_TOKEN" in caught.value.hint
        upgrade = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-version": "13", "sec-websocket-key": "A" * 22 + "=="}
        response = await http.get(f"{live.url}/websocket", headers=upgrade)
        assert (response.status_code, response.json()["error"]["code"]) == (401, UNAUTHENTICATED)
        await _check_sockets_and_revocation(live.url, root / "node0", tokens, monkeypatch)


async def _check_sockets_and_revocation(url: str, home: Path, tokens: dict[Role, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QENEX_TOKEN", tokens[Role.PUBLIC])
    async with Client(url) as client:
        await client.height()
        with pytest.raises(ClientError, match="needs the role regulator"):
            await client.call("comp_acts")
        async with client.follow() as events:
            await anext(events)
            revoke_token(home / "rpc_tokens.json", "public")
            with pytest.raises(ClientError, match="revoked"):
                async for _ in events:
                    continue
        with pytest.raises(ClientError, match="revoked"):
            await client.height()
    headers = [(b"authorization", b"Bearer " + tokens[Role.SUBMIT].encode())]
    async with trio_websocket.open_websocket_url(url.replace("http", "ws") + "/websocket", extra_headers=headers) as socket:
        await socket.send_message('{"id":1,"method":"comp_acts"}')
        assert json.loads(await socket.get_message())["error"]["code"] == FORBIDDEN


def test_a_node_that_cannot_read_its_tokens_does_not_start(tmp_path: Path) -> None:
    home = make_network(tmp_path)
    for setting, words in ((("rpc.access=tokens",), "rpc token new"), (("rpc.tls_cert=cert.pem",), "go together")):
        ran = qenex("start", "--home", home, "--set", *setting, "--set", "metrics.listen=", "--json")
        assert ran.code == 2, ran
        assert words in ran.err


def test_the_command(tmp_path: Path) -> None:
    home = make_network(tmp_path)
    assert qenex("rpc", "token", "list", "--home", home, "--json").data == {"tokens": []}
    made = qenex("rpc", "token", "new", "--home", home, "--role", "submit", "--name", "branch-7")
    assert made.out.startswith("qxt_")
    assert qenex("rpc", "token", "new", "--home", home, "--role", "public", "--name", "desk", "--json").data["role"] == "public"
    listed = qenex("rpc", "token", "list", "--home", home)
    assert listed.out.splitlines()[1].split()[:2] == ["branch-7", "submit"]
    assert made.out.strip() not in listed.out
    assert qenex("rpc", "token", "revoke", "--home", home, "--name", "branch-7").out == "revoked branch-7 (submit)\n"
    assert qenex("rpc", "token", "revoke", "--home", home, "--name", "branch-7", "--json").error["name"] == "CONFIG"
    assert qenex("rpc", "token", "new", "--home", home, "--role", "king", "--name", "x").code == 2
    assert qenex("rpc", "token", "list", "--home", tmp_path / "nowhere", "--json").error["name"] == "HOME"
    os.chmod(home / "rpc_tokens.json", 0o644)
    assert qenex("rpc", "token", "list", "--home", home, "--json").error["name"] == "KEY_FILE"
