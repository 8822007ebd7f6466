"""Settings that are read again: each is classified, what may change does so in a real node, a mistake changes nothing."""

from __future__ import annotations

import json
import os
import pty
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
import trio

from genesis.testnet import NetworkOptions
from node.config import Home, load_config, parse_config, render_config, setting_keys
from node.config_sections import Config
from node.reload import FILES, TLS, WAYS, compare
from node.rpc.client import Client
from node.rpc.roles import Role
from node.rpc.tokens import add_token
from node.telemetry.logs import current_levels
from node.testnet.files import create_network
from node.testnet.processes import find_node
from state.primitives.errors import ClientError
from tests.node.ports import free_base_port
from tests.node.rpc.live import make_live, running
from tests.node.rpc.test_access import make_certificate

PEER = "0123456789abcdef0123456789abcdef01234567@127.0.0.1:1"


def test_every_setting_says_how_it_changes() -> None:
    """A new setting fails here until it is classified in `node.reload.WAYS`."""
    assert tuple(WAYS) == setting_keys()
    assert all(way.about for way in WAYS.values())
    assert set(FILES) <= set(WAYS)


def of(text: str) -> Config:
    return parse_config(text, environment={})


def test_what_changes_and_what_waits() -> None:
    old = of("")
    new = of('moniker = "other"\n[rpc]\nlisten = "127.0.0.1:1"\nclient_burst = 5\n[p2p]\npeers = ["' + PEER + '"]')
    outcome, config = compare(old, new)
    assert [change.setting for change in outcome.applied] == ["rpc.client_burst", "p2p.peers"]
    assert [(change.setting, change.old, change.new) for change in outcome.needs_restart] == [
        ("moniker", '"node"', '"other"'),
        ("rpc.listen", '"127.0.0.1:26657"', '"127.0.0.1:1"'),
    ]
    assert outcome.unchanged == len(setting_keys()) - 4
    assert config == of(f'[rpc]\nclient_burst = 5\n[p2p]\npeers = ["{PEER}"]')
    again, same = compare(config, new)
    assert (again.applied, same) == ((), config)
    assert len(again.needs_restart) == 2  # said until there is a restart
    assert json.loads(json.dumps(outcome.to_json()))["applied"][0] == {"setting": "rpc.client_burst", "old": "10000", "new": "5"}


def test_every_setting_that_changes_at_once_is_taken_over() -> None:
    """And no other: the settings that hold are made of both."""
    old = of("")
    values: dict[str, Any] = {"log.level": "error", "rpc.access_log": "off", "log.format": "json", "alerts.smtp_tls": "none"}
    for key, way in WAYS.items():
        section, _, name = key.rpartition(".")
        holder = getattr(old, section) if section else old
        value = values.get(key, _another(getattr(holder, name)))
        new = msgspec.structs.replace(holder, **{name: value})
        outcome, config = compare(old, msgspec.structs.replace(old, **{section: new}) if section else new)
        held = getattr(getattr(config, section) if section else config, name)
        at_once = way.at_once and key not in TLS  # on or off needs a restart
        assert (held == value) is at_once, key
        assert [len(outcome.applied), len(outcome.needs_restart)] == ([1, 0] if at_once else [0, 1]), key


def _another(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return (*value, "x") if isinstance(value, tuple) else value + "x"


def test_tls_that_stays_and_tls_that_is_turned() -> None:
    off, on = of(""), of('[rpc]\ntls_cert = "a"\ntls_key = "b"')
    other = of('[rpc]\ntls_cert = "c"\ntls_key = "b"')
    for before, after in ((off, on), (on, off)):
        outcome, config = compare(before, after)
        assert [change.setting for change in outcome.needs_restart] == list(TLS)
        assert (config, outcome.files) == (before, ())
    outcome, config = compare(on, other)
    assert [change.setting for change in outcome.applied] == ["rpc.tls_cert"]
    assert (config, outcome.files) == (other, TLS)


def test_secrets_are_not_shown() -> None:
    old, new = of(""), of('[index]\ndsn = "password=hush"\n[alerts]\nwebhook_url = "https://hush.example/hush"')
    for outcome in (compare(old, new)[0], compare(new, old)[0]):
        assert len(outcome.applied) == len(outcome.needs_restart) == 1
        assert "hush" not in repr(outcome)
    with pytest.raises(Exception, match=r"index\.dsn") as caught:
        of('[index]\ndsn = ["hush"]')
    assert "hush" not in str(caught.value)


# a real node


def rewrite(home: Home, change: Callable[[str], str]) -> None:
    home.config_file.write_text(change(home.config_file.read_text()))


def setting(text: str, section: str, **values: str) -> str:
    """The file with other values in a section."""
    head, mark, rest = text.partition(f"[{section}]\n")
    lines = rest.split("\n")
    for key, value in values.items():
        number = next(i for i, line in enumerate(lines) if line.startswith(f"{key} ="))
        lines[number] = f"{key} = {value}"
    return head + mark + "\n".join(lines)


async def test_a_running_node_follows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live = make_live(tmp_path / "net", 1, tls_cert="cert.pem", tls_key="key.pem")
    home = Home(tmp_path / "net" / "node0")
    make_certificate(home.root)
    monkeypatch.setenv("SSL_CERT_FILE", str(home.root / "cert.pem"))
    token = add_token(home.tokens_file, "ops", Role.OPERATOR, "2026-01-31")
    weak = add_token(home.tokens_file, "desk", Role.REGULATOR, "2026-01-31")
    async with running(live, 1), Client(live.url, token=token) as client:
        for other in ("", weak, "qxt_wrong"):  # access is open, administration is not
            async with Client(live.url, token=other or None) as stranger:
                assert await stranger.height() >= 0
                for method, arguments in (("config_reload", {}), ("log_levels", {}), ("set_log_level", {"module": "rpc", "level": "info"})):
                    with pytest.raises(ClientError, match="operator"):
                        await stranger.call(method, **arguments)
        outcome = await client.call("config_reload")
        assert (outcome["applied"], outcome["needs_restart"], outcome["files"]) == ([], [], list(TLS))

        rewrite(home, lambda text: setting(text, "rpc", client_burst="1", client_units_per_s="1", cors_origins='["https://a.example"]'))
        rewrite(home, lambda text: setting(text, "log", levels='["sync=error"]').replace("txs_max = 100000", "txs_max = 7"))
        rewrite(home, lambda text: setting(text, "p2p", listen='"127.0.0.1:1"', peers=f'["{PEER}"]'))
        outcome = await client.call("config_reload")
        changed = ["rpc.client_units_per_s", "rpc.client_burst", "rpc.cors_origins", "p2p.peers", "mempool.txs_max", "log.levels"]
        assert [row["setting"] for row in outcome["applied"]] == changed
        assert [row["setting"] for row in outcome["needs_restart"]] == ["p2p.listen"]
        assert current_levels()["sync"] == "error"
        with pytest.raises(ClientError, match="more than 1 units per second"):
            for _ in range(20):
                await client.call("status")
        origin = {"origin": "https://a.example"}
        async with httpx2.AsyncClient(verify=ssl.create_default_context(), headers=origin) as page:
            answer = await page.get(f"{live.url}/health")
            assert answer.headers["access-control-allow-origin"] == origin["origin"]

        good = home.config_file.read_text()
        rewrite(home, lambda text: setting(text, "rpc", client_burst="10000", client_units_per_s='"many"'))
        line = next(i for i, text in enumerate(home.config_file.read_text().split("\n"), 1) if '"many"' in text)
        with pytest.raises(ClientError, match=f"nothing is changed: .*config.toml line {line}: rpc.client_units_per_s"):
            await call_patiently(client, "config_reload")
        home.config_file.write_text(setting(good, "rpc", client_units_per_s="0"))
        await call_patiently(client, "config_reload")
        for _ in range(20):
            await client.call("status")
        await check_files(client, home, live.url)


async def call_patiently(client: Client, method: str) -> Any:
    """Until the budget has a unit again."""
    while True:
        try:
            return await client.call(method)
        except ClientError as error:
            if "units per second" not in error.message:
                raise
            await trio.sleep(0.1)


async def check_files(client: Client, home: Home, url: str) -> None:
    """A renewed certificate is shown to who comes next; one that does not fit its key changes nothing."""
    host, _, port = url.removeprefix("https://").partition(":")

    async def shown() -> bytes:
        def read() -> bytes:
            return ssl.get_server_certificate((host, int(port))).encode()

        return await trio.to_thread.run_sync(read)

    old = (home.root / "cert.pem").read_bytes()
    assert await shown() == old
    key = (home.root / "key.pem").read_bytes()
    make_certificate(home.root)
    new = (home.root / "cert.pem").read_bytes()
    (home.root / "key.pem").write_bytes(key)
    with pytest.raises(ClientError, match=r"nothing is changed: cannot use .*cert.pem"):
        await client.call("config_reload")
    assert await shown() == old
    make_certificate(home.root)
    new = (home.root / "cert.pem").read_bytes()
    assert (await client.call("config_reload"))["files"] == list(TLS)
    assert await shown() == new
    assert (await client.call("status"))["sync_info"]  # the connection that stands is not disturbed


# a process


def make_home(tmp_path: Path) -> tuple[Path, str]:
    root, base = tmp_path / "net", free_base_port()
    create_network(root, NetworkOptions(validators=1, base_port=base, block_interval_ms=100))
    home = root / "node0"
    config = load_config(home / "config.toml", environment={})
    config = msgspec.structs.replace(config, workers=msgspec.structs.replace(config.workers, signatures=0))
    (home / "config.toml").write_text(render_config(config))
    return home, f"http://127.0.0.1:{base + 1}"


def command(home: Path) -> list[str]:
    return [sys.executable, "-P", "-m", "node.cli.main", "start", "--home", str(home)]


def wait_for(node: subprocess.Popen[str], event: str) -> dict[str, Any]:
    assert node.stderr is not None
    for line in node.stderr:
        if f'"event": "{event}"' in line:
            found: dict[str, Any] = json.loads(line)
            return found
    raise AssertionError(f"the node ended with {node.poll()} and never said {event}")


def test_sighup_reads_again_and_a_mistake_is_a_line(tmp_path: Path) -> None:
    home, _ = make_home(tmp_path)
    home.chmod(0o755)
    (home / "keys").chmod(0o750)
    with subprocess.Popen(command(home), stderr=subprocess.PIPE, text=True) as node:
        try:
            closed = [wait_for(node, "folder was open to others")["what"] for _ in range(2)]
            assert ("0755" in closed[0], "0750" in closed[1]) == (True, True)
            assert [path.stat().st_mode & 0o777 for path in (home, home / "keys", home / "data")] == [0o700] * 3
            wait_for(node, "node started")
            good = (home / "config.toml").read_text()
            (home / "config.toml").write_text(setting(good, "log", level='"loud"'))
            node.send_signal(signal.SIGHUP)
            said = wait_for(node, "settings not read again, nothing is changed")
            assert "log.level" in said["reason"] and "line" in said["reason"] and said["code"] == 2010
            (home / "config.toml").write_text(setting(good, "log", level='"debug"'))
            told = subprocess.run(
                [sys.executable, "-P", "-m", "node.cli.main", "config", "reload", "--home", str(home), "--json"],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            assert json.loads(told.stdout) == {"home": str(home), "pid": node.pid}
            assert wait_for(node, "settings read again")["applied"] == ["log.level"]
            assert wait_for(node, "height is durable")["level"] == "debug"
            node.send_signal(signal.SIGTERM)
            assert wait_for(node, "stopping")["signal"] == "SIGTERM"
        except BaseException:
            node.kill()
            raise
        for _ in node.stderr or ():
            continue  # it must never wait for us
    assert node.returncode == 0


def test_a_terminal_that_is_closed_stops_the_node(tmp_path: Path) -> None:
    """Failed before SIGHUP had a meaning of its own only by chance: the default ended the process without a word."""
    home, _ = make_home(tmp_path)
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, command(home))
    said = b""
    while b"node started" not in said:
        said += os.read(terminal, 65_536)
    os.kill(pid, signal.SIGHUP)  # the terminal is there: only the settings are meant
    while b"settings read again" not in said:
        said += os.read(terminal, 65_536)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert find_node(home) is None
    assert not (home / "node.pid").exists()  # it was an orderly stop
