"""From the document to the first state: what it says is what the ledger holds."""

from __future__ import annotations

import msgspec
import pytest

from genesis.build import build_changes, build_params, build_validators
from genesis.document import FeesSection, MinterEntry
from genesis.rules import check
from genesis.testnet import ASSET, BOND, FUNDS, NetworkOptions, plan_network
from state.machine import BlockContext, apply_block
from state.primitives.errors import GenesisError
from state.primitives.hashing import sha256
from state.primitives.ids import parse_address
from state.schema import CONSENSUS_PARAMS_KEY, account_key, decode_record, holding_key, supply_key

PLAN = plan_network(NetworkOptions(time_ns=10**18, block_interval_ms=7), lambda label: sha256(label.encode()))
DOCUMENT = PLAN.document


def test_records() -> None:
    changes = build_changes(DOCUMENT)
    assert [key for key, _ in changes] == sorted(key for key, _ in changes)
    assert changes == build_changes(DOCUMENT)
    records = {key: decode_record(key, raw) for key, raw in changes if raw is not None}
    alice = parse_address(PLAN.users[0].address)
    assert records[holding_key(alice, ASSET)] == (FUNDS,)
    assert records[supply_key(ASSET)] == (3 * FUNDS + 4 * BOND,)
    assert records[account_key(alice)][2][0][2] == PLAN.users[0].key.public_key.data
    assert records[CONSENSUS_PARAMS_KEY] == build_params(DOCUMENT).consensus.to_record()


def test_first_validators() -> None:
    validators = build_validators(DOCUMENT)
    assert [member.power for member in validators.validators] == [10] * 4
    keys = {member.ed25519_key: member.pq_key for member in validators.validators}
    assert keys == {n.validator_keys[0].public_key.data: n.validator_keys[1].public_key.data for n in PLAN.nodes}


def test_the_ledger_starts_from_it() -> None:
    state = {key: raw for key, raw in build_changes(DOCUMENT) if raw is not None}
    result = apply_block(state, BlockContext(1, DOCUMENT.time_ns, DOCUMENT.hash), [])
    assert result.receipts == ()


def test_fee_table_names_operations() -> None:
    fees = FeesSection(
        asset=ASSET, base_default="5", per_signature="1", per_byte="0", free_bytes=0, base={"asset.transfer": "3"}
    )
    document = msgspec.structs.replace(DOCUMENT, fees=fees)
    check(document)
    assert build_params(document).fees.base == (("asset.transfer", 3),)
    assert build_changes(document) != build_changes(DOCUMENT)
    wrong = msgspec.structs.replace(document, fees=msgspec.structs.replace(fees, base={"asset.transmute": "3"}))
    with pytest.raises(GenesisError, match=r"asset\.transmute"):
        check(wrong)


def test_minters_must_be_accounts() -> None:
    stranger = "qx1" + "q" * 58
    asset = msgspec.structs.replace(DOCUMENT.assets[0], minters=(MinterEntry(account=stranger, allowance="1"),))
    with pytest.raises(GenesisError, match="not among the accounts"):
        check(msgspec.structs.replace(DOCUMENT, assets=(asset,)))
