"""The pages in a headless Chromium, over a real validator: they load without a complaint, prove what they show, and obey the keyboard."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from node.keystore import Role, read_key_file
from state.primitives.ids import parse_address
from state.transaction import build, call, sign
from tests.node.explorer.tools import find_chromium
from tests.node.ports import free_base_port

ROOT = Path(__file__).parent.parent.parent.parent
BASE_PORT = free_base_port()
URL = f"http://127.0.0.1:{BASE_PORT + 1}"
QENEX = [sys.executable, "-m", "node.cli.main"]
EVIL = "<img src=x onerror=\"document.title='hacked'\"><script>document.title='hacked'</script>"
SIZES = ((1280, 900), (390, 844))
UNNAMED = "[...document.querySelectorAll('main :is(input, select, button)')].filter((e) => !e.labels?.length && !e.innerText).length"
STYLED = "[...document.querySelectorAll('[style]')].filter((e) => !e.closest('.chart')).length"
CLICK = "document.querySelector('main button').click()"


class Network:
    """A single validator with a payment on its chain that has a hostile memo."""

    def __init__(self, home: Path) -> None:
        users = [read_key_file(home / "keys" / f"{name}.json", lambda _: b"", role=Role.USER) for name in ("alice", "bob")]
        self.key = users[0].key
        self.alice, self.bob = users[0].account, users[1].account
        self.memo_tx = self.send([call("asset.transfer", asset="QNX", to=parse_address(self.bob), amount=7_500_000, tag="")], EVIL)

    def send(self, ops: list[Any], memo: str = "") -> str:
        sender = parse_address(self.alice)
        sequence = int(ask("account", address=self.alice)["account"]["next_sequence"].get("0", "0"))
        chain = bytes.fromhex(ask("genesis")["genesis"]["app_state"]["hash"])
        draft = build(chain_id=chain, sender=sender, seq=sequence, valid_until=int(time.time()) + 600, ops=ops, memo=memo)
        raw = sign(draft, [(sender, 0, self.key)])
        done = ask("broadcast_tx_commit", tx=base64.b64encode(raw).decode())
        assert (done["check_tx"]["code"], done["tx_result"]["code"]) == (0, 0), done
        return str(done["hash"])


def ask(method: str, **params: Any) -> Any:
    answer = httpx2.post(URL, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, timeout=240).json()
    assert "result" in answer, answer
    return answer["result"]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    find_chromium()
    home = tmp_path_factory.mktemp("explorer") / "net"
    up = ["testnet", "up", "--detach", "--validators", "1", "--home", str(home), "--base-port", str(BASE_PORT), "--block-interval", "0.5"]
    try:
        subprocess.run([*QENEX, *up], check=True, timeout=240)
        yield Network(home)
    finally:
        subprocess.run([*QENEX, "testnet", "down", "--home", str(home)], check=True, timeout=240)


@asynccontextmanager
async def browsing(width: int = 1280, height: int = 900, theme: str = "light") -> AsyncIterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts"))
        from chromium import open_browser  # type: ignore[import-not-found]

        with trio.fail_after(300):
            async with open_browser(find_chromium()) as browser:
                await browser.look(width, height, theme)
                await browser.open(URL)
                await browser.settle()
                yield browser
                assert browser.complaints == []


def places(network: Network) -> dict[str, str]:
    validator = ask("stake_validators")["validators"][0]["validator"]
    return {
        "#/": "Overview", "#/blocks": "Blocks", "#/block/1": "Block 1", f"#/tx/{network.memo_tx}": "Transaction",
        f"#/account/{network.alice}": "Account", "#/validators": "Validators", f"#/validator/{validator}": "Validator",
        "#/assets": "Assets",
        "#/asset/QNX": "Asset QNX", "#/pools": "Pools", "#/farms": "Farms", "#/governance": "Governance", "#/compliance": "Compliance",
        "#/compliance/issuer": "Compliance", "#/compliance/owner": "Compliance", "#/network": "Network", "#/health": "Health of this node",
        "#/proof/params/fees": "Record /params/fees", "#/no-such-page": "Not found", "#/asset/NONE": "Asset NONE",
        "#/pool/NO%2FNE": "Pool NO/NE",
    }  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=["desktop", "phone"])
async def test_every_page_opens(network: Network, size: tuple[int, int], theme: str) -> None:
    async with browsing(*size, theme) as browser:
        assert await browser.evaluate("document.documentElement.dataset.theme") == theme
        for place, title in places(network).items():
            await browser.show(place)
            assert (await browser.evaluate("document.querySelector('h1').textContent")).startswith(title), place
            assert await browser.evaluate("document.querySelectorAll('h1, main, header.top, nav#nav, footer').length") == 5, place
            assert await browser.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{place} is wider than the screen"
            assert await browser.evaluate(UNNAMED) == 0, place
            assert await browser.evaluate(STYLED) == 0, place


async def test_proofs_hold_in_the_browser(network: Network) -> None:
    async with browsing() as browser:
        holding = f"#/proof/holding/{network.bob}/QNX"
        for place in (f"#/account/{network.bob}", f"#/tx/{network.memo_tx}", "#/block/1", holding, "#/proof/pool/AA/BB"):
            await browser.show(place)
            await browser.evaluate(CLICK)
            await browser.wait_for("document.querySelector('.checklist')")
            steps = await browser.evaluate("document.querySelector('.checklist').innerText")
            assert await browser.evaluate("document.querySelector('.checklist').dataset.verdict") == "whole", steps
            assert "no browser has ML-DSA" in steps
        await browser.show(holding)
        await browser.evaluate(CLICK)
        await browser.wait_for("document.querySelector('.proved')")
        balance = ask("account", address=network.bob)["account"]["holdings"]["QNX"]
        assert f"{balance} base units" in await browser.evaluate("document.querySelector('.proved').textContent")


async def test_a_lie_is_seen(network: Network) -> None:
    """The page's own network is made to lie: one digit of a balance."""
    lie = """
        const real = window.fetch;
        window.fetch = async (...given) => {
            const answer = await (await real(...given)).json();
            for (const { result } of answer) if (result?.response?.value) {
                const bytes = Uint8Array.from(atob(result.response.value), (c) => c.charCodeAt(0));
                bytes[bytes.length - 1] ^= 1;
                result.response.value = btoa(String.fromCharCode(...bytes));
            }
            return { ok: true, json: async () => answer };
        };
    """
    async with browsing() as browser:
        await browser.show(f"#/proof/holding/{network.bob}/QNX")
        await browser.evaluate(lie)
        await browser.evaluate(CLICK)
        await browser.wait_for("document.querySelector('.checklist')")
        assert await browser.evaluate("document.querySelector('.checklist').dataset.verdict") == "no"
        assert "Do not believe" in await browser.evaluate("document.querySelector('.checklist').innerText")


async def test_what_the_index_knows_is_shown_page_by_page(network: Network) -> None:
    payments = [call("asset.transfer", asset="QNX", to=parse_address(network.bob), amount=2_500_000 + n, tag="") for n in range(30)]
    network.send(payments)
    async with browsing() as browser:
        await browser.show(f"#/account/{network.bob}")
        await browser.wait_for("document.querySelector('main').innerText.includes('+2.500029 QNX')")
        assert "2.500000 QNX" not in await browser.evaluate("document.querySelector('main').innerText")
        await browser.show(await browser.evaluate("document.querySelector('.pages a').hash"))
        await browser.wait_for("document.querySelector('main').innerText.includes('+7.5 QNX')")  # the one with the memo, before those
        await browser.show("#/asset/QNX")
        await browser.wait_for("document.querySelector('main').innerText.includes('Holders')")
        assert network.bob[:8] in await browser.evaluate("document.querySelector('main').innerText")
        await browser.show("#/")
        await browser.wait_for("document.querySelector('main').innerText.includes('asset.transfer')")


async def test_what_a_chain_says_stays_text(network: Network) -> None:
    async with browsing() as browser:
        await browser.show(f"#/tx/{network.memo_tx}")
        assert EVIL in await browser.evaluate("document.querySelector('main').innerText")
        assert await browser.evaluate("document.querySelectorAll('main img, main script').length") == 0
        assert "hacked" not in await browser.evaluate("document.title")
        await browser.show("#/asset/" + EVIL.replace("/", "%2F").replace("<", "%3C"))
        assert await browser.evaluate("document.querySelectorAll('main img, main script').length") == 0


async def test_keyboard(network: Network) -> None:
    async with browsing() as browser:
        await browser.press("Tab")
        assert await browser.evaluate("document.activeElement.className") == "skip"
        assert await browser.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        validator = ask("stake_validators")["validators"][0]
        block_hash = ask("block", height="1")["block_id"]["hash"]
        own_page = f"#/validator/{validator['validator']}"
        for text, place in (
            ("1", "#/block/1"), (block_hash, "#/block/1"), (network.memo_tx.lower(), f"#/tx/{network.memo_tx}"), ("qnx", "#/asset/QNX"),
            (network.alice, f"#/account/{network.alice}"), (validator["moniker"], own_page), (validator["address"], own_page),
        ):  # fmt: skip
            await browser.show("#/blocks")
            await browser.press("/")
            assert await browser.evaluate("document.activeElement.id") == "query"
            await browser.write(text)
            await browser.press("Enter")
            await browser.wait_for(f"location.hash === {json.dumps(place)}")
            await browser.settle()
            assert await browser.evaluate("document.activeElement.id") == "main"
        await browser.press("/")
        await browser.write("NOTHING.HERE")
        await browser.press("Enter")
        await browser.wait_for("document.querySelector('h1').textContent === 'Nothing found'")


async def test_it_follows_the_chain(network: Network) -> None:
    async with browsing() as browser:
        await browser.wait_for("document.getElementById('pulse').dataset.state === 'live'")
        first = "Number(document.querySelector('main tbody a').textContent.replaceAll(',', ''))"
        before = await browser.evaluate(first)
        await browser.wait_for(f"{first} > {before} + 1")
        await browser.evaluate("document.getElementById('theme').click()")
        assert await browser.evaluate("document.documentElement.dataset.theme") == "dark"
        await browser.open(URL + "/#/health")
        await browser.settle()
        assert await browser.evaluate("document.documentElement.dataset.theme") == "dark"


CONTRAST = """
(() => {
  const style = getComputedStyle(document.documentElement);
  const light = (name) => {
    const hex = style.getPropertyValue(name).trim().slice(1, 7);
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = hex.match(/../g).map((part) => linear(parseInt(part, 16) / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => (Math.max(light(a), light(b)) + 0.05) / (Math.min(light(a), light(b)) + 0.05);
  const text = [["--text", "--ground"], ["--text", "--panel"], ["--text", "--field"], ["--muted", "--ground"], ["--muted", "--panel"],
    ["--muted", "--field"], ["--accent", "--panel"], ["--accent", "--ground"], ["--accent-text", "--accent"], ["--accent-2", "--panel"],
    ["--good", "--good-soft"], ["--warn", "--warn-soft"], ["--bad", "--bad-soft"], ["--info", "--info-soft"],
    ["--good", "--panel"], ["--bad", "--panel"]];
  return text.filter(([a, b]) => ratio(a, b) < 4.5).map(([a, b]) => `${a} on ${b}: ${ratio(a, b).toFixed(2)}`);
})()
"""


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_contrast(network: Network, theme: str) -> None:
    async with browsing(theme=theme) as browser:
        assert await browser.evaluate(CONTRAST) == []


def test_lists_of_the_rpc(network: Network) -> None:
    found = ask("asset_list", start="0", limit="1")
    assert found["total"] == str(len(found["assets"])) == "1"
    assert found["assets"][0] == ask("asset", code="QNX")["asset"]
    assert ask("asset_list", start="5", limit="1")["assets"] == []
    raw = ask("tx", hash=base64.b64encode(bytes.fromhex(network.memo_tx)).decode())["tx"]
    shown = ask("tx_decode", tx=raw)["tx"]
    assert (shown["hash"], shown["memo"], shown["sender"]) == (network.memo_tx.lower(), EVIL, network.alice)
    payment = {"op": "asset.transfer", "as": network.alice, "asset": "QNX", "to": network.bob, "amount": "7500000", "tag": ""}
    assert shown["ops"] == [payment]
    for method, params in (("asset_list", {"limit": "101"}), ("asset_list", {"start": "-1"}), ("tx_decode", {"tx": "AAAA"})):
        answer = httpx2.post(URL, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}, timeout=240).json()
        assert answer["error"]["code"] == -32602, answer
