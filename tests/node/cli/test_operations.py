"""The catalogue of operations says what the table says, and the page of the documentation is the one that it makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from node.cli.main import main
from state.catalogue import describe_all, find_events
from state.events_kyc import TRAVEL_ATTESTED
from state.modules.assets import transfer
from state.modules.table import BY_NAME, ROWS
from state.receipts import TRANSFERRED

PAGE = Path(__file__).parents[3] / "docs" / "ledger-operations.md"


def test_the_page_is_made_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["operations", "--markdown"]) == 0
    assert capsys.readouterr().out == PAGE.read_text(encoding="utf-8"), "run: qenex operations --markdown >docs/ledger-operations.md"


def test_every_operation_is_described_once_and_says_who_signs_and_what_it_tells() -> None:
    entries = describe_all()
    assert [entry.name for entry in entries] == [row.name for row in sorted(ROWS, key=lambda row: row.code)]
    for entry in entries:
        assert all(entry.signers), entry.name
        assert entry.events, f"{entry.name} leaves no event"
        assert len(set(entry.codes)) == len(entry.codes), entry.name


def test_events_are_found_through_the_functions_that_a_handler_calls() -> None:
    assert find_events(transfer) == (TRANSFERRED, TRAVEL_ATTESTED)  # the second one by way of the gate
    names = {kind.name for kind in find_events(BY_NAME["amm.remove"].handler)}
    assert {"liquidity_removed", "protocol_fee"} <= names


def test_the_command_lists_describes_and_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["operations", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in found["operations"]} == set(BY_NAME)
    assert main(["operations", "asset.transfer"]) == 0
    assert "501 INSUFFICIENT_FUNDS" in capsys.readouterr().out
    assert main(["operations", "nothing"]) == 2


def test_who_signs_what_governance_may_do_too() -> None:
    """What governance alone may do says so; what a role may do as well says that."""
    signers = {entry.name: entry.signers for entry in describe_all()}
    assert signers["amm.repair"] == signers["comp.set_authorities"] == ("governance, by a proposal",)
    assert signers["comp.set_limits"] == ("governance, by a proposal", "or the acting account at statutory")
    assert signers["comp.register_vasp"][1:] == ("or the acting account at high",)
    assert signers["gov.trip"][:2] == ("governance, by a proposal", "or the acting account at high")
