"""What `scripts/drill` and `scripts/upgrade` judge by: otherwise they could not fail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent.parent


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    for name in ("killtest", "chaos", "chaos_relay", "drill_network", "drill", "upgrade"):
        sys.modules.pop(name, None)


def test_the_next_version() -> None:
    import upgrade  # type: ignore[import-not-found]

    assert upgrade.next_version("0.1.0") == "0.1.1"
    assert upgrade.next_version("1.9") == "1.10"
    assert upgrade.next_version("2.3.9rc1") == "2.3.10"
    assert all((ROOT / name).exists() for name in upgrade.PARTS)


def test_times_of_headers() -> None:
    import drill_network  # type: ignore[import-not-found]

    texts = ("2027-01-31T12:00:00Z", "2027-01-31T12:00:00.5Z", "2027-01-31T12:00:01.123456789Z")
    times = [drill_network.seconds_of({"time": text}) for text in texts]
    assert [round(time - times[0], 3) for time in times] == [0.0, 0.5, 1.123]


class Chain:
    """A network of two nodes that is not there: what its nodes answer."""

    def __init__(self) -> None:
        self.urls = ["a", "b"]
        self.home = ROOT
        self.app_hashes = {"a": ["00", "01", "02"], "b": ["00", "01", "02"]}
        self.times = ["2027-01-31T12:00:00Z", "2027-01-31T12:00:01Z", "2027-01-31T12:00:02Z"]
        self.known = {b"tx": 2}

    def headers(self, url: str, low: int, high: int) -> list[dict[str, Any]]:
        rows = zip(self.app_hashes[url], self.times, strict=True)
        return [{"height": str(number), "app_hash": app, "time": time} for number, (app, time) in enumerate(rows, 1)]

    def ask(self, url: str, hashes: list[bytes]) -> list[dict[str, Any]]:
        found = [self.known.get(tx_hash, 0) if url == "b" else 2 for tx_hash in hashes]
        return [{"status": "committed" if height else "unknown", "height": str(height)} for height in found]


class Sent:
    """A load that is over."""

    def __init__(self) -> None:
        self.sent, self.failed = 1, 0
        self.waiting: dict[bytes, Any] = {}
        self.acknowledged = {b"tx": 2}


async def judged(monkeypatch: pytest.MonkeyPatch, chain: Chain, load: Sent) -> dict[str, Any]:
    import drill_network

    monkeypatch.setattr(drill_network, "height_of", lambda url: 3)
    monkeypatch.setattr(drill_network, "earliest_of", lambda url: 1)
    monkeypatch.setattr(drill_network, "ask_status", chain.ask)
    monkeypatch.setattr(drill_network, "compare", lambda urls, home: {"ok": True, "differing_blocks": 0, "double_votes": 0})
    found: dict[str, Any] = await drill_network.judge(chain, load, 5.0)
    return found


async def test_what_is_lost_or_differs_or_pauses_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    good = await judged(monkeypatch, Chain(), Sent())
    assert (good["ok"], good["lost"], good["gap_s_max"]) == (True, 0, 1.0)
    chain = Chain()
    chain.known = {}
    assert (await judged(monkeypatch, chain, Sent()))["lost"] == 1
    chain.known = {b"tx": 3}  # in another block
    assert (await judged(monkeypatch, chain, Sent()))["ok"] is False
    chain = Chain()
    chain.app_hashes["b"] = ["00", "ff", "02"]
    found = await judged(monkeypatch, chain, Sent())
    assert (found["ok"], found["differing_app_hashes"]) == (False, 1)
    chain = Chain()
    chain.times[2] = "2027-01-31T12:00:09Z"
    found = await judged(monkeypatch, chain, Sent())
    assert (found["ok"], found["gap_s_max"], found["gap_before_height"]) == (False, 8.0, 3)
    load = Sent()
    load.waiting = {b"other": 1}
    assert (await judged(monkeypatch, Chain(), load))["ok"] is False
    load = Sent()
    load.acknowledged = {}
    assert (await judged(monkeypatch, Chain(), load))["ok"] is False
