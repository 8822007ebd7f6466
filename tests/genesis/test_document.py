"""The genesis document: one meaning for each text, and every contradiction refused with its place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from genesis.build import build_params
from genesis.document import ComplianceSection, Document, format_time, parse, parse_time
from genesis.testnet import NetworkOptions, plan_network
from state.primitives.errors import GenesisError
from state.primitives.hashing import sha256
from state.primitives.ids import format_address, parse_address
from state.primitives.limits import AMOUNT_MAX, TIME_NS_MAX

TIME_NS = 1_790_000_000_000_000_000
DOCUMENT = plan_network(
    NetworkOptions(validators=2, time_ns=TIME_NS, accounts=1), lambda label: sha256(label.encode())
).document
TREE: dict[str, Any] = json.loads(DOCUMENT.to_json())

Path = tuple[str | int, ...]


def paths_of(value: Any, path: Path = ()) -> list[Path]:
    found: list[Path] = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths_of(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += paths_of(item, (*path, index))
    return found


PATHS = paths_of(TREE)


def changed(path: Path, value: Any) -> bytes:
    tree = copy.deepcopy(TREE)
    holder: Any = tree
    for part in path[:-1]:
        holder = holder[part]
    holder[path[-1]] = value
    return json.dumps(tree).encode()


def without(path: Path) -> bytes:
    tree = copy.deepcopy(TREE)
    holder: Any = tree
    for part in path[:-1]:
        holder = holder[part]
    del holder[path[-1]]
    return json.dumps(tree).encode()


def test_round_trip_and_hash_ignores_layout() -> None:
    assert parse(DOCUMENT.to_json()) == DOCUMENT
    assert parse(json.dumps(TREE, sort_keys=True).encode()).hash == DOCUMENT.hash
    assert len(DOCUMENT.hash) == 32
    assert DOCUMENT.time_ns == TIME_NS


def test_hash_is_golden() -> None:
    """Changing what the hash covers makes every existing network another one: never by accident."""
    assert DOCUMENT.hash.hex() == "a1d9972aa4d3dcccb67d6edea7fb8acdecb966df3cda6168a8457847424507ec"


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), st.sampled_from(["", "0", "-1", "1e3", "00", "0x1"]),
)  # fmt: skip


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(PATHS), value=JUNK)
def test_any_changed_value_is_refused_or_makes_another_network(path: Path, value: Any) -> None:
    data = changed(path, value)
    try:
        document = parse(data)
    except GenesisError:
        return
    assert (document.hash == DOCUMENT.hash) == (document == DOCUMENT)


@settings(max_examples=150, deadline=None)
@given(path=st.sampled_from([path for path in PATHS if isinstance(path[-1], str)]), extra=st.text(max_size=6))
def test_missing_and_unknown_keys_are_refused(path: Path, extra: str) -> None:
    with pytest.raises(GenesisError):
        parse(without(path))
    with pytest.raises(GenesisError):
        parse(changed((*path[:-1], "x" + extra), 1))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_bytes_never_escape_as_another_error(data: st.DataObject) -> None:
    good = DOCUMENT.to_json()
    at = data.draw(st.integers(0, len(good) - 1))
    junk = data.draw(st.binary(max_size=4))
    try:
        document = parse(good[:at] + junk + good[at + data.draw(st.integers(0, 3)) :])
    except GenesisError:
        return
    assert isinstance(document, Document)


V, A, H = ("validators", 0), ("accounts", 0), ("holdings", 0)
REFUSED: list[tuple[Path, Any, str]] = [
    (("format",), 2, "format"),
    (("chain_id",), "x" * 51, "chain_id"),
    (("chain_id",), "ok\n", "chain_id"),
    (("chain_id",), "", "chain_id"),
    (("genesis_time",), "2026-01-01T00:00:00", "genesis_time"),
    (("genesis_time",), "2026-02-30T00:00:00Z", "day"),
    (("genesis_time",), "2026-01-01T00:00:00+01:00", "genesis_time"),
    (("genesis_time",), "1969-12-31T23:59:59Z", "before 1970"),
    (("genesis_time",), "٢٠٢٦-01-01T00:00:00Z", "genesis_time"),
    (("initial_height",), 0, "initial_height"),
    (("initial_height",), True, "initial_height"),
    (("consensus", "block_interval_ms"), 60_001, "block_interval_ms"),
    (("consensus", "block_bytes_max"), 1, "block_bytes_max"),
    (("consensus", "vote_key_kind"), "mldsa65", "vote_key_kind is mldsa65"),
    (("consensus", "vote_key_kind"), "ed25519", "vote_key_kind"),
    (("key_kinds",), [], "key_kinds"),
    (("key_kinds",), ["ed25519", "ed25519"], "occurs twice"),
    (("key_kinds",), ["mldsa87"], "key_kinds does not admit"),
    (("fees", "per_byte"), "1", "fees: asset '' is not among"),
    (("fees", "asset"), "EUR", "fees: asset 'EUR' is not among"),
    (("fees", "base"), {"asset.transfer": "-1"}, "base"),
    (("stake", "asset"), "EUR", "stake: asset EUR"),
    (("stake", "power_unit"), "0", "power_unit"),
    (("stake", "power_unit"), "1" + "0" * 40, "less than one power unit"),
    (("assets", 0, "scale"), 129, "scale"),
    (("assets", 0, "max_supply"), "5", "are given out, more than 5"),
    (("assets", 0, "max_supply"), str(AMOUNT_MAX + 1), "2\\^640"),
    (("assets", 0, "flags"), ["magic"], "flag 'magic' is unknown"),
    (("assets", 0, "minters", 0, "allowance"), "0", "above zero"),
    ((*A, "address"), TREE["accounts"][1]["address"], "occurs twice"),
    ((*A, "address"), TREE["accounts"][0]["address"][:-1] + "q", "checksum"),
    ((*A, "kind"), "institution", "not that of the policy"),
    ((*A, "keys", 0, "weight"), 2, "not that of the policy"),
    ((*A, "keys", 0, "public_key"), "00", "length of its kind"),
    ((*A, "keys", 0, "public_key"), "AB" * 32, "public_key"),
    ((*A, "thresholds", "statutory"), 0, "statutory"),
    ((*H, "amount"), "0", "is zero"),
    ((*H, "asset"), "EUR", "asset EUR is not among"),
    ((*H, "account"), TREE["holdings"][1]["account"], "occurs twice"),
    ((*V, "bonded"), "1", "less than one power unit"),
    ((*V, "bonded"), str(10**30), "exceeds"),
    ((*V, "ed25519_key"), TREE["validators"][1]["ed25519_key"], "occurs twice"),
    ((*V, "pq_key"), "00", "pq_key has 1 bytes"),
    ((*V, "node_id"), TREE["validators"][1]["node_id"], "occurs twice"),
    ((*V, "moniker"), "node1", "occurs twice"),
    ((*V, "moniker"), " ", "moniker"),
    (("validators",), [], "at least one"),
    (("admitted_node_ids",), ["0" * 40, "0" * 40], "occurs twice"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED)
def test_contradictions_are_refused(path: Path, value: Any, message: str) -> None:
    with pytest.raises(GenesisError, match=message):
        parse(changed(path, value))


def test_amounts_given_out_stay_below_the_global_bound() -> None:
    with pytest.raises(GenesisError, match="are given out"):
        parse(changed(("holdings", 0, "amount"), str(AMOUNT_MAX)))


SPELLINGS: list[Callable[[bytes], bytes]] = [
    lambda data: data.replace(b'"format": 1,', b'"format": 1, "format": 1,'),
    lambda data: data.replace(b'"weight": 1', b'"weight": 1, "weight": 1', 1),
    lambda data: data + b"{}",
    lambda data: b"\xef\xbb\xbf" + data,
    lambda data: data.decode().encode("utf-16"),
    lambda data: b"[" * 100_000,
    lambda data: b'{"a":' * 50_000,
    lambda data: b"",
    lambda data: data.replace(b'"format": 1', b'"format": 1.0'),
    lambda data: data.replace(b'"format": 1', b'"format": NaN'),
]


@pytest.mark.parametrize("spell", SPELLINGS)
def test_other_spellings_are_refused(spell: Callable[[bytes], bytes]) -> None:
    with pytest.raises(GenesisError):
        parse(spell(DOCUMENT.to_json()))


def test_a_draft_needs_no_validators() -> None:
    assert parse(changed(("validators",), []), is_draft=True).validators == ()


@given(st.integers(0, TIME_NS_MAX))
def test_time_round_trip(time_ns: int) -> None:
    assert parse_time(format_time(time_ns)) == time_ns


def test_the_compliance_authority_is_covered_by_the_hash_and_checked() -> None:
    address = DOCUMENT.accounts[0].address
    plain = structs.replace(DOCUMENT, compliance=ComplianceSection((), False))
    named = structs.replace(DOCUMENT, compliance=ComplianceSection((address,), False))
    assert len({plain.hash, named.hash, DOCUMENT.hash}) == 3
    assert parse(named.to_json()).compliance.authorities == (address,)
    assert build_params(named).compliance.authorities == (parse_address(address),)
    stranger = format_address(b"\x01" * 32)
    for section in (
        ComplianceSection((stranger,), False),
        ComplianceSection((address, address), False),
        ComplianceSection((address,), True),
    ):
        with pytest.raises(GenesisError, match="compliance"):
            parse(structs.replace(DOCUMENT, compliance=section).to_json())
