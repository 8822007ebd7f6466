"""Queries, parameters, JSON shapes: the parts of the RPC that need no node."""

from __future__ import annotations

import datetime
import ssl
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc import shapes
from node.rpc.backend import NodeBackend
from node.rpc.client import Client
from node.rpc.dispatch import decode_request, read_call
from node.rpc.errors import INVALID_PARAMS, PARSE_ERROR, RpcError
from node.rpc.methods import METHODS
from node.rpc.paging import page_of
from node.rpc.params import Kind, Param, read_params
from node.rpc.query import parse_query
from state.params import ConsensusParams
from state.primitives.canonical import GO_ZERO_TIME_NS
from state.primitives.keys import KeyKind
from state.validators import Validator, ValidatorSet


@pytest.mark.parametrize(
    ("text", "events", "expected"),
    [
        ("tm.event='Tx'", {"tm.event": ["Tx"]}, True),
        ("tm.event = 'NewBlock'", {"tm.event": ["Tx"]}, False),
        ("a.b = 'x' AND c.d > 5", {"a.b": ["y", "x"], "c.d": ["6"]}, True),
        ("a.b = 'x' AND c.d > 5", {"a.b": ["x"], "c.d": ["5"]}, False),
        ("c.d >= 5", {"c.d": ["5"]}, True),
        ("c.d <= 5", {"c.d": ["5"]}, True),
        ("c.d < 5", {"c.d": ["5"]}, False),
        ("c.d = 5", {"c.d": ["5"]}, True),
        ("c.d = -5", {"c.d": ["-5"]}, True),
        ("c.d > 5", {"c.d": ["not a number"]}, False),
        ("c.d > 5", {}, False),
        ("a.b CONTAINS 'ell'", {"a.b": ["hello"]}, True),
        ("a.b EXISTS", {"a.b": [""]}, True),
        ("a.b EXISTS", {}, False),
        ("a.b = 'it''s'", {}, None),
        ("a.b", {}, None),
        ("", {}, None),
        ("a.b = 'x' OR c = 'y'", {}, None),
        ("a.b = 'x' AND", {}, None),
        ("a.b > 'x'", {}, None),
        ("a.b > DATE", {}, None),
        ("a.b > DATE 2026-02-30", {}, None),
        ("a.b > DATE 1899-12-31", {}, None),
        ("a.b > DATE 3000-01-01", {}, None),
        ("a.b > DATE 2026-1-1", {}, None),
        ("a.b > TIME 2026-01-31", {}, None),
        ("a.b > TIME 2026-01-31T24:00:00Z", {}, None),
        ("a.b > TIME 2026-01-31T12:00:00", {}, None),
        ("a.b > TIME 2026-01-31T12:00:00+24:00", {}, None),
        ("a.b > TIME '2026-01-31T12:00:00Z", {}, None),
        ("a.b CONTAINS DATE 2026-01-31", {}, None),
        ("a.b CONTAINS 5", {}, None),
        ("AND = 5", {}, None),
        ("a.b EXISTS 'x'", {}, None),
        ("a.b = 'x' and c = 1", {}, None),
        ("a.b = 5abc", {}, None),
        ("a.b = 1.5", {"a.b": ["1.50"]}, True),
        ("a.b = 1.", {"a.b": ["1"]}, True),
        ("a.b < 1.5", {"a.b": ["1.49999999999999999999999999"]}, True),
        ("a.b > 7", {"a.b": ["8atom"]}, True),
        ("a.b > 9", {"a.b": ["8atom"]}, False),
        ("a.b > 9", {"a.b": ["9" * 401]}, False),
        ("a.b = 900719925474099301", {"a.b": ["900719925474099302"]}, False),
        ("a.b = DATE 2026-01-31", {"a.b": ["2026-01-31"]}, True),
        ("a.b = DATE '2026-01-31'", {"a.b": ["2026-01-31"]}, True),
        ("a.b < DATE 2026-01-31", {"a.b": ["2026-01-30", "x"]}, True),
        ("a.b > DATE 2026-01-31", {"a.b": ["2026-01-31"]}, False),
        ("a.b >= DATE 2026-01-31", {"a.b": ["2026-01-31T00:00:00Z"]}, False),
        ("a.b = TIME 2026-01-31T12:00:00Z", {"a.b": ["2026-01-31T13:00:00+01:00"]}, True),
        ("a.b = TIME 2026-01-31T12:00:00-00:30", {"a.b": ["2026-01-31T12:30:00Z"]}, True),
        ("a.b < TIME 2026-01-31T12:00:00Z", {"a.b": ["2026-01-31T11:59:59.999999999Z"]}, True),
        ("a.b > TIME 2026-01-31T12:00:00Z", {"a.b": ["2026-01-31T12:00:00.000000001Z"]}, True),
        ("a.b <= TIME 2026-01-31T12:00:00Z", {"a.b": ["later"]}, False),
        ("a.b = ''", {"a.b": [""]}, True),
        ("a.b = 'a\\'", {"a.b": ["a\\"]}, True),
        ("a EXISTS", {"a.b": ["1"]}, True),
        ("a EXISTS", {"ab.b": ["1"]}, False),
        ("DATE = 'x'", {"DATE": ["x"]}, None),
        ("= 'x'", {}, None),
        ("a.b = 'x", {}, None),
        (" AND ".join(["a = 1"] * 17), {}, None),
        ("a = '" + "x" * 600 + "'", {}, None),
    ],
)
def test_queries(text: str, events: dict[str, list[str]], expected: bool | None) -> None:
    if expected is None:
        with pytest.raises(RpcError) as caught:
            parse_query(text)
        assert caught.value.rpc_code == INVALID_PARAMS
    else:
        assert parse_query(text).matches(events) is expected


@given(st.text(max_size=60))
def test_any_text_is_a_query_or_refused(text: str) -> None:
    try:
        parse_query(text).matches({"a": ["1"]})
    except RpcError:
        return


ROWS = (
    Param("height", Kind.INT, 0),
    Param("prove", Kind.BOOL, False),
    Param("path", Kind.TEXT, ""),
    Param("tx", Kind.BYTES, b""),
    Param("data", Kind.HEX, b""),
    Param("txs", Kind.BYTES_LIST, None),
)


@pytest.mark.parametrize(
    ("given_params", "is_uri", "name", "value"),
    [
        ({"height": "5"}, False, "height", 5),
        ({"height": 5}, False, "height", 5),
        ({"height": "-5"}, False, "height", -5),
        (["7"], False, "height", 7),
        (None, False, "height", 0),
        ({"prove": True}, False, "prove", True),
        ({"tx": "AQI="}, False, "tx", b"\1\2"),
        ({"data": "0102"}, False, "data", b"\1\2"),
        ({"height": "5"}, True, "height", 5),
        ({"height": '"5"'}, True, "height", 5),
        ({"prove": "true"}, True, "prove", True),
        ({"path": '"/a"'}, True, "path", "/a"),
        ({"tx": "0x0102"}, True, "tx", b"\1\2"),
        ({"tx": '"ab"'}, True, "tx", b"ab"),
        ({"data": "0x0102"}, True, "data", b"\1\2"),
        ({"path": "0x2f61"}, True, "path", "/a"),
        ({"path": '"a \\"quoted\\" \\u00e9"'}, True, "path", 'a "quoted" \u00e9'),
        ({"path": "bare"}, True, "path", "bare"),
        ({"txs": '["AQI=",""]'}, True, "txs", [b"\1\2", b""]),
    ],
)
def test_parameters(given_params: object, is_uri: bool, name: str, value: object) -> None:
    assert read_params(ROWS, given_params, is_uri=is_uri)[name] == value


@pytest.mark.parametrize(
    ("given_params", "is_uri"),
    [
        ({"height": "five"}, False),
        ({"height": 1.5}, False),
        ({"height": True}, False),
        ({"height": 1 << 63}, False),
        ({"height": "9" * 30}, False),
        ({"height": {}}, False),
        ({"prove": "true"}, False),
        ({"prove": 1}, False),
        ({"tx": "AQI"}, False),
        ({"tx": "AQ-_"}, False),
        ({"tx": 5}, False),
        ({"data": "0x01"}, False),
        ({"data": "xyz"}, False),
        ({"unknown": 1}, False),
        ([1, True, "", "", "", [], 6], False),
        ({"txs": [5]}, False),
        ({"txs": "AQI="}, False),
        ("height", False),
        ({"tx": "0102"}, True),
        ({"tx": "0xzz"}, True),
        ({"prove": "yes"}, True),
        ({"prove": '"true"'}, True),
        ({"height": '"5'}, True),
        ({"height": "5.0"}, True),
        ({"path": '"a\\x"'}, True),
        ({"path": "0xff"}, True),
        ({"txs": "AQI="}, True),
        ({"txs": "[" * 10_000}, True),
    ],
)
def test_wrong_parameters(given_params: object, is_uri: bool) -> None:
    with pytest.raises(RpcError) as caught:
        read_params(ROWS, given_params, is_uri=is_uri)
    assert caught.value.rpc_code == INVALID_PARAMS


def test_a_required_parameter() -> None:
    with pytest.raises(RpcError, match="tx is missing"):
        read_params((Param("tx", Kind.BYTES),), {}, is_uri=False)


@given(st.integers(-62_135_596_800, 253_402_300_799), st.integers(0, 999_999_999))
def test_times(seconds: int, nanos: int) -> None:
    text = shapes.time_text(seconds * 10**9 + nanos)
    known = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    assert text.startswith(known.strftime("%Y").zfill(4) + known.strftime("-%m-%dT%H:%M:%S"))
    assert text.endswith("Z")
    fraction = text[19:-1]
    assert fraction == (f".{nanos:09d}".rstrip("0") if nanos else "")


def a_validator(number: int, power: int) -> Validator:
    return Validator(bytes([number]) * 32, KeyKind.MLDSA44, bytes([number]) * 1312, power)


def test_updates_of_a_block() -> None:
    """Who is new, who has another power, who is gone (without a power, as Go leaves a zero out); parameters when they changed."""
    sets = {
        3: ValidatorSet([a_validator(1, 10), a_validator(2, 10), a_validator(3, 10)]),
        4: ValidatorSet([a_validator(1, 10), a_validator(2, 11), a_validator(4, 5)]),
    }
    fake: Any = SimpleNamespace(
        validators_at=sets.__getitem__,
        params_at={2: ConsensusParams(), 3: ConsensusParams(block_bytes_max=2**20)}.__getitem__,
    )
    updates, params = NodeBackend.updates_at(fake, 2)
    found = {update["pub_key"]["Sum"]["value"]["ed25519"]: update.get("power") for update in updates}
    assert found == {shapes.b64(bytes([3]) * 32): None, shapes.b64(bytes([2]) * 32): "11", shapes.b64(bytes([4]) * 32): "5"}
    assert {update["pub_key"]["Sum"]["type"] for update in updates} == {"tendermint.crypto.PublicKey_Ed25519"}
    assert params["block"]["max_bytes"] == str(2**20)
    fake.params_at = lambda _: ConsensusParams()
    assert NodeBackend.updates_at(fake, 2)[1] is None


def test_go_zero_time() -> None:
    assert shapes.time_text(GO_ZERO_TIME_NS) == "0001-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nonsense", b"\xff", b"[" * 100_000, b'{"a":NaN}', b'{"a":Infinity}', b"[" * 33 + b"]" * 33],
)
def test_bodies_that_are_no_json(body: bytes) -> None:
    with pytest.raises(RpcError) as caught:
        decode_request(body)
    assert caught.value.rpc_code == PARSE_ERROR


@pytest.mark.parametrize(
    "request_value",
    [
        5,
        None,
        {},
        {"method": 5},
        {"method": "x", "id": 1.5},
        {"method": "x", "id": {}},
        {"method": "x", "jsonrpc": "1.0"},
        {"method": "x", "id": "y" * 200},
        {"method": "x", "id": True},
    ],
)
def test_calls_that_are_none(request_value: object) -> None:
    with pytest.raises(RpcError):
        read_call(request_value)


def test_every_method_of_the_issue_is_there() -> None:
    comet = (
        "health status net_info genesis genesis_chunked blockchain header header_by_hash block block_by_hash block_results commit "
        "validators tx tx_search block_search broadcast_tx_sync broadcast_tx_async broadcast_tx_commit broadcast_evidence "
        "abci_query abci_info check_tx num_unconfirmed_txs unconfirmed_txs consensus_state dump_consensus_state consensus_params"
    )
    ours = "broadcast_tx_batch tx_status simulate pq_commit account asset"
    assert set(comet.split()) | set(ours.split()) <= set(METHODS)


@pytest.mark.parametrize(
    ("page", "per_page", "total", "expected"),
    [
        (1, 30, 0, (0, 0)),
        (1, 30, 30, (0, 30)),
        (2, 30, 31, (30, 31)),
        (1, 0, 200, (0, 30)),
        (1, -5, 200, (0, 30)),
        (2, 1000, 150, (100, 150)),
        (0, 30, 5, None),
        (2, 30, 30, None),
        (-1, 30, 30, None),
    ],
)
def test_pages(page: int, per_page: int, total: int, expected: tuple[int, int] | None) -> None:
    if expected is None:
        with pytest.raises(RpcError, match="page is within") as caught:
            page_of(page, per_page, total)
        assert caught.value.rpc_code == INVALID_PARAMS
    else:
        assert page_of(page, per_page, total) == expected


@pytest.mark.parametrize(("url", "reads"), [("http://127.0.0.1:1", False), ("https://127.0.0.1:1", True), ("HTTP://127.0.0.1:1", True)])
def test_authorities_are_read_for_https_alone(url: str, reads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    original = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", lambda *a, **k: made.append(1) or original(*a, **k))
    Client(url)
    assert bool(made) == reads
