"""The verifying proxy before a primary that lies: what it gives is true, or it gives nothing, whatever the primary answers."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from consensus.light import Trust
from node.light.attack import make_attack_evidence
from node.light.client import LightClient
from node.light.provider import RpcProvider
from node.light.proxy import METHODS, LightBackend
from node.light.trusted import TrustedStore
from node.rpc import shapes
from node.rpc.errors import RpcError
from state.primitives.errors import ClientError, QenexError
from state.primitives.hashing import sha256
from state.primitives.merkle import proofs
from tests.consensus.world import FakeVerifier
from tests.node.light.primary import HEIGHTS, RESULTS, Primary, chain, lies_about, put, txs_of
from tests.node.light.test_light_client import Clock, S

TXS = txs_of(4)
TX = sha256(TXS[4])
CALLS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "health": ("health", ()),
    "status": ("status", ()),
    "header": ("header", (4,)),
    "header, latest": ("header", (0,)),
    "commit": ("commit", (3,)),
    "commit, latest": ("commit", (0,)),
    "validators": ("validators", (4, 1, 30)),
    "validators, latest": ("validators", (0, 2, 3)),
    "block": ("block", (4,)),
    "block, first": ("block", (1,)),
    "block, latest": ("block", (0,)),
    "block_results": ("block_results", (4,)),
    "block_results, latest": ("block_results", (0,)),
    "tx": ("tx", (TX, False)),
    "tx, proved": ("tx", (TX, True)),
    "abci_query": ("abci_query", ("/params/fees", b"", 4, True)),
    "abci_query, latest": ("abci_query", ("/params/fees", b"", 0, False)),
    "abci_query, absent": ("abci_query", ("/params/gov", b"", 4, True)),
    "record": ("record", ("/params/fees",)),
    "record, absent": ("record", ("/params/gov",)),
    "broadcast_tx_sync": ("broadcast_tx_sync", (TXS[0],)),
    "broadcast_tx_async": ("broadcast_tx_async", (TXS[0],)),
}
# The node's word alone, as docs/light-client.md says: (its call, the place in its answer). Nothing may be added that can be proved.
NOT_PROVED = {
    ("status", ("sync_info", "latest_block_height")),  # that it has no later block
    ("broadcast_tx_sync", ("code",)),
    ("broadcast_tx_sync", ("log",)),
    ("broadcast_tx_async", ("code",)),
    ("broadcast_tx_async", ("log",)),
}


def make_backend(folder: Path, primary: Primary, *, with_pq: bool = True, known: int = 1) -> LightBackend:
    """A proxy that knows the first blocks and has an honest witness."""
    store = TrustedStore(folder)
    client = LightClient(
        RpcProvider(primary, with_pq=with_pq),  # type: ignore[arg-type]
        [RpcProvider(Primary("http://witness"), with_pq=with_pq)],  # type: ignore[arg-type]
        store,
        Trust(1_000_000 * S, needs_pq=with_pq),
        FakeVerifier(),
        Clock(),
        lambda _who, _error: None,
        make_attack_evidence,
    )
    for _, block in chain()[:known]:
        store.put(block if with_pq else replace(block, pq_commit=None))
    return LightBackend(client, primary, "0.1.0")  # type: ignore[arg-type]


async def ask(backend: LightBackend, call: str) -> Any:
    """What a caller of the proxy would get."""
    await backend.client.start(None)
    name, params = CALLS[call]
    return json.loads(json.dumps(await METHODS[name].handler(backend, *params)))


async def ask_honestly(folder: Path, call: str, *, with_pq: bool, known: int) -> tuple[Any, dict[str, Any]]:
    """What a caller gets behind an honest primary, and what that was asked for it."""
    primary = Primary()
    given = await ask(make_backend(folder, primary, with_pq=with_pq, known=known), call)
    return given, primary.answers


@pytest.fixture(autouse=True)
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of proxies come and go here."""
    monkeypatch.setattr(TrustedStore, "_write", lambda _self, _path, _data: None)


def test_every_method_is_asked() -> None:
    assert {name for name, _ in CALLS.values()} == METHODS.keys()


@pytest.mark.parametrize("with_pq", [True, False], ids=["hybrid", "classic"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_lie_is_refused_or_put_right(tmp_path: Path, call: str, with_pq: bool) -> None:
    """Every place of every answer that the proxy asks for is changed in turn: of light blocks while they are new, of others afterwards."""
    (later, own), (fresh, light) = [await ask_honestly(tmp_path, call, with_pq=with_pq, known=known) for known in (HEIGHTS, 1)]
    honest = {HEIGHTS: later, 1: fresh}
    light = {asked: answer for asked, answer in light.items() if asked not in own}
    keys = [asked for asked in light if asked.startswith("abci_query")]
    for key in keys[2:]:  # one proof of a key is as another
        del light[key]
    step = 1 if not own else 17  # light blocks are read in one way for all calls
    lies = [(HEIGHTS, asked, *lie) for asked, answer in own.items() for lie in lies_about(answer)]
    lies += [(1, asked, *lie) for asked, answer in light.items() for lie in islice(lies_about(answer), 0, None, step)]
    refused, believed = 0, {}
    for known, asked, path, instead in lies:
        liar = Primary()
        liar.change = lambda about, true, asked=asked, path=path, instead=instead: put(true, path, instead) if about == asked else true
        try:
            given = await ask(make_backend(tmp_path, liar, with_pq=with_pq, known=known), call)
        except QenexError:
            refused += 1
            continue
        if given != honest[known] and (asked.partition(" ")[0], path) not in NOT_PROVED:
            believed[f"{asked[:40]} {path}"] = (instead, given)
    assert believed == {}
    assert refused > 20 or call == "health" or call.startswith("broadcast")


async def test_what_is_listed_as_not_proved_is_not(tmp_path: Path) -> None:
    found = set()
    for call in ("status", "broadcast_tx_sync", "broadcast_tx_async"):
        primary = Primary()
        honest = await ask(make_backend(tmp_path, primary), call)
        for about, path in NOT_PROVED:
            liar = Primary()
            word = {"latest_block_height": "5", "code": 7, "log": "no"}[str(path[-1])]
            liar.change = lambda asked, true, about=about, path=path, word=word: put(true, path, word) if asked.startswith(about) else true
            if await ask(make_backend(tmp_path, liar), call) != honest:
                found.add((about, path))
    assert found == NOT_PROVED


async def test_the_honest_answers(tmp_path: Path) -> None:
    """They are the node's, less what is not proved."""
    primary = Primary()
    backend = make_backend(tmp_path, primary)
    block = await ask(backend, "block")
    assert block == json.loads(json.dumps(primary.answers["block 4"]))
    assert block["block"]["last_commit"]["round"] == 1
    assert (await ask(backend, "block, first"))["block"]["last_commit"]["signatures"] == []
    results = await ask(backend, "block_results")
    assert results["txs_results"] == [item.show() for item in RESULTS]
    assert [item["codespace"] for item in results["txs_results"]] == ["", "qenex", "", "", ""]
    tx = await ask(backend, "tx, proved")
    assert tx == primary.answers[f"tx {shapes.b64(TX)} True"]
    record = await ask(backend, "record")
    assert record["height"] == str(HEIGHTS - 1)
    assert record["record"].keys() >= {"asset", "per_byte"}
    status = await ask(backend, "status")
    assert status["node_info"]["network"] == backend.chain_id
    assert status["sync_info"]["latest_block_height"] == str(HEIGHTS)
    assert status["sync_info"]["earliest_block_height"] == "1"


async def test_a_commit_is_canonical_if_the_next_header_has_it(tmp_path: Path) -> None:
    backend = make_backend(tmp_path, Primary())
    assert (await ask(backend, "commit"))["canonical"] is False
    await ask(backend, "header")
    assert (await ask(backend, "commit"))["canonical"] is True


async def test_keys_that_nothing_proves_are_not_shown(tmp_path: Path) -> None:
    hybrid = await ask(make_backend(tmp_path, Primary()), "validators")
    assert all(row["pq_pub_key"]["type"] == "mldsa44" for row in hybrid["validators"])
    classic = await ask(make_backend(tmp_path, Primary(), with_pq=False), "validators")
    assert all("pq_pub_key" not in row for row in classic["validators"])


async def test_a_place_is_proved_with_the_number_of_places(tmp_path: Path) -> None:
    """The path of the last of five transactions is that of the second of two; the second has another result."""
    liar = Primary()

    def change(call: str, answer: Any) -> Any:
        if call.startswith("tx "):
            answer["index"] = 1
            answer["proof"]["proof"] |= {"total": "2", "index": "1"}
        return answer

    liar.change = change
    _, paths = proofs([sha256(raw) for raw in TXS])
    assert len(paths[4].aunts) == 1
    with pytest.raises(ClientError, match="at place 1 of 2"):
        await ask(make_backend(tmp_path, liar), "tx")


@pytest.mark.parametrize("method", ["header", "commit", "block", "block_results"])
async def test_heights_below_the_first(tmp_path: Path, method: str) -> None:
    backend = make_backend(tmp_path, Primary())
    await backend.client.start(None)
    with pytest.raises(QenexError):
        await METHODS[method].handler(backend, -1)
    with pytest.raises(RpcError):
        await METHODS["abci_query"].handler(backend, "/params/fees", b"", -1, True)
