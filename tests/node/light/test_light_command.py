"""`qenex light` as it is typed: what is said about a height, and about what was mistyped. The nodes it names are absent."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from node.cli.main import main
from node.light import service
from node.light.service import LightSettings, run_once
from node.light.trusted import TrustedStore
from node.rpc.client import Client
from state.primitives.errors import ClientError, ConfigError
from tests.node.light.test_light_client import Bench, Clock, FakeProvider, FakeVerifier, chain, honest

HASH = "0" * 64
ABSENT = ("--primary", "http://127.0.0.1:1", "--witness", "http://127.0.0.1:2")


@pytest.fixture
def known_home(tmp_path: Path) -> Path:
    """A folder in which heights 1 and 10 are known."""
    store = TrustedStore(tmp_path / "known")
    for height in (1, 10):
        store.put(chain()[height - 1])
    return tmp_path / "known"


def test_of_a_known_height_no_witness_is_said_to_agree(known_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("light", *ABSENT, "--home", str(known_home), "--height", "10")) == 0
    out = capsys.readouterr().out
    assert re.search(r"known since \d{4}-\d\d-\d\dT[0-9:.]+Z: no witness was asked now", out)
    assert "agree" not in out
    assert main(("light", *ABSENT, "--home", str(known_home), "--height", "10", "--json")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["witnesses"] == 0
    assert found["known_since"].endswith("Z")


def test_the_witnesses_that_agreed_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three that were given one agrees."""
    providers = {"http://p": honest("p"), "http://a": honest("a"), "http://b": FakeProvider("b", chain()[:5])}
    providers["http://c"] = FakeProvider("c", chain()[:6])
    monkeypatch.setattr(service, "RpcProvider", lambda client, *, with_pq: providers[client.url])
    monkeypatch.setattr(service, "HybridVerifier", FakeVerifier)
    monkeypatch.setattr(service, "SystemClock", Clock)
    start = service.TrustedStart(1, chain()[0].header.hash())
    settings = LightSettings("http://p", ("http://a", "http://b", "http://c"), start, 1_000_000, (1, 3), tmp_path / "light", True)
    found = run_once(settings, 20, lambda _who, _error: None)
    assert (found["witnesses"], found["known_since"]) == (1, None)
    again = run_once(settings, 20, lambda _who, _error: None)
    assert again["witnesses"] == 0
    assert again["known_since"] is not None
    alone = LightSettings("http://p", (), None, 1_000_000, (1, 3), tmp_path / "light", True)
    assert run_once(alone, 21, lambda _who, _error: None)["witnesses"] == 0


def test_what_ed25519_alone_has_verified_is_not_known_to_a_later_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    providers = {"http://p": honest("p"), "http://a": honest("a")}
    monkeypatch.setattr(service, "RpcProvider", lambda client, *, with_pq: providers[client.url])
    monkeypatch.setattr(service, "HybridVerifier", FakeVerifier)
    monkeypatch.setattr(service, "SystemClock", Clock)
    folder, start = tmp_path / "light", service.TrustedStart(1, chain()[0].header.hash())
    store = TrustedStore(folder)
    for height in (1, 20):
        store.put(replace(chain()[height - 1], pq_commit=None))
    said: list[str] = []
    settings = LightSettings("http://p", ("http://a",), start, 1_000_000, (1, 3), folder, True)
    found = run_once(settings, 20, lambda _who, error: said.append(error.message))
    assert (found["post_quantum"], found["known_since"], found["witnesses"]) == (True, None, 1)
    assert said == ["2 blocks that --classic-only verified are verified again"]
    store = TrustedStore(folder)
    store.put(replace(chain()[20], pq_commit=None))
    nothing = LightSettings("http://p", ("http://a",), None, 1_000_000, (1, 3), folder, True)
    assert run_once(nothing, 21, lambda _who, _error: None)["known_since"] is None
    classic = LightSettings("http://p", ("http://a",), None, 1_000_000, (1, 3), folder, False)
    assert run_once(classic, 20, lambda _who, _error: None)["known_since"] is not None  # the stronger one is known to the weaker


async def test_what_this_run_verified_is_not_known_from_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path, honest("p"), honest("w"))
    await bench.start()
    assert bench.client.store.known_since_ns(1) is None
    again = TrustedStore(tmp_path / "light")
    assert again.known_since_ns(1) is not None
    again.put(chain()[0])
    assert again.known_since_ns(1) is None


@pytest.mark.parametrize("url", ["http://[::1", "http://\udcff/", "http://x:y", "ftp://x", "http://", "http://x\x00"])
@pytest.mark.parametrize("option", ["--primary", "--witness"])
def test_an_address_that_is_none(url: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = "--witness" if option == "--primary" else "--primary"
    trust = ("--trust-height", "1", "--trust-hash", HASH, "--home", str(tmp_path / "light"))
    assert main(("light", option, url, other, "http://127.0.0.1:1", *trust)) == 2
    assert f"error 2010 CONFIG: {option} " in capsys.readouterr().err


@pytest.mark.parametrize("url", ["http://[::1", "http://\udcff", "http://" + "a" * 300, "http://..", "http://127.0.0.1:1/\udcff"])
async def test_a_client_of_such_an_address_says_so(url: str) -> None:
    async with Client(url, timeout_s=5) as client:
        with pytest.raises(ClientError, match="is not an address of an RPC"):
            await client.call("status")


@pytest.mark.parametrize("listen", ["x", "x:y", ":8888", "127.0.0.1:70000", "127.0.0.1:-1", "", "127.0.0.1"])
def test_where_to_listen_is_judged_first(listen: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(("light", *ABSENT, "--home", str(tmp_path / "light"), "--listen", listen)) == 2
    assert "error 2010 CONFIG: --listen " in capsys.readouterr().err
    assert not (tmp_path / "light").exists()


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "[::1]:8888", "localhost:80"])
def test_where_one_can_listen(listen: str) -> None:
    service.check_listen(listen)
    with pytest.raises(ConfigError):
        service.check_listen(listen + "x")


def test_one_node_is_not_its_own_witness(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = ("--primary", "http://127.0.0.1:1", "--witness", "http://127.0.0.1:1/")
    assert main(("light", *same, "--home", str(tmp_path / "light"))) == 2
    assert "different nodes" in capsys.readouterr().err
