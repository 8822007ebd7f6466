"""The ceremony: only entries that their own keys signed, for this network, become validators."""

from __future__ import annotations

import msgspec
import pytest

from genesis.ceremony import SignedEntry, collect, parse_entry, render_entry, sign_entry, verify_entry
from genesis.document import Document, parse
from genesis.testnet import NetworkOptions, NodePlan, plan_network
from state.primitives.errors import GenesisError
from state.primitives.hashing import sha256

PLAN = plan_network(NetworkOptions(validators=3, time_ns=10**18), lambda label: sha256(label.encode()))
DOCUMENT = PLAN.document
DRAFT = msgspec.structs.replace(DOCUMENT, validators=())


def signed(node: NodePlan, chain_id: str = DOCUMENT.chain_id) -> SignedEntry:
    ed25519_key, pq_key = node.validator_keys
    entry = DOCUMENT.validators[node.index]
    return sign_entry(chain_id, entry, ed25519_key=ed25519_key, pq_key=pq_key, node_key=node.node_key)


def test_collected_document_is_the_planned_one() -> None:
    entries = [parse_entry(render_entry(signed(node))) for node in reversed(PLAN.nodes)]
    document = collect(DRAFT, entries)
    assert document == DOCUMENT
    assert parse(document.to_json()).hash == DOCUMENT.hash


def test_entry_of_another_network_is_refused() -> None:
    with pytest.raises(GenesisError, match="does not verify for network"):
        verify_entry("other-1", signed(PLAN.nodes[0]))


@pytest.mark.parametrize("field", ["ed25519_signature", "pq_signature", "node_signature", "node_key"])
def test_each_signature_counts(field: str) -> None:
    good, other = signed(PLAN.nodes[0]), signed(PLAN.nodes[1])
    with pytest.raises(GenesisError):
        verify_entry(DOCUMENT.chain_id, msgspec.structs.replace(good, **{field: getattr(other, field)}))


def test_changed_entry_is_refused() -> None:
    good = signed(PLAN.nodes[0])
    richer = msgspec.structs.replace(good.entry, bonded=good.entry.bonded + "0")
    with pytest.raises(GenesisError, match="does not verify"):
        collect(DRAFT, [msgspec.structs.replace(good, entry=richer)])


def test_a_key_that_is_not_held_cannot_be_entered() -> None:
    node, other = PLAN.nodes[:2]
    with pytest.raises(GenesisError, match="ed25519_signature"):
        sign_entry(
            DOCUMENT.chain_id,
            DOCUMENT.validators[0],
            ed25519_key=other.validator_keys[0],
            pq_key=node.validator_keys[1],
            node_key=node.node_key,
        )


def test_same_validator_twice_and_none_are_refused() -> None:
    with pytest.raises(GenesisError, match="occurs twice"):
        collect(DRAFT, [signed(PLAN.nodes[0])] * 2)
    with pytest.raises(GenesisError, match="at least one"):
        collect(DRAFT, [])


@pytest.mark.parametrize("data", [b"", b"{}", b"x" * 100_000, b"\xff", b'{"entry": 1}'])
def test_junk_is_refused(data: bytes) -> None:
    with pytest.raises(GenesisError):
        parse_entry(data)


def test_the_draft_keeps_its_own_rules() -> None:
    document: Document = collect(DRAFT, [signed(node) for node in PLAN.nodes[:1]])
    assert [entry.moniker for entry in document.validators] == ["node0"]
