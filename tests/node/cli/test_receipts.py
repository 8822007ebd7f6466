"""What people are told of a transaction: amounts with their assets, in display units, and what failed where."""

from __future__ import annotations

from node.cli.session import Outcome
from node.rpc.client import TxOutcome


def outcome(**fields: object) -> Outcome:
    found = TxOutcome(b"\xab" * 32, **{"height": 7, "code": 0, "code_name": "OK", "log": "", **fields})  # type: ignore[arg-type]
    return Outcome(found, {"EUR": 2, "QNX": 6})


def test_events_are_lines_with_amounts_in_display_units() -> None:
    events = (
        ("transfer", {"sender": "qx1a", "recipient": "qx1b", "asset": "EUR", "amount": "125", "tag": "rent"}),
        ("swap", {"pool": "EUR/QNX", "asset_in": "EUR", "amount_in": "100", "asset_out": "QNX", "amount_out": "2500000"}),
        ("asset_created", {"asset": "EUR", "scale": "2"}),
        ("delegated", {"amount": "5"}),
    )
    lines = outcome(events=events).describe()
    assert lines[0] == "AB" * 32 + " is final in block 7"
    assert lines[1:] == [
        "  transfer: sender qx1a, recipient qx1b, amount 1.25 EUR, tag rent",
        "  swap: pool EUR/QNX, amount_in 1 EUR, amount_out 2.5 QNX",
        "  asset_created: asset EUR, scale 2",
        "  delegated: amount 5",
    ]


def test_a_failure_names_code_and_operation() -> None:
    failed = outcome(code=501, code_name="INSUFFICIENT_FUNDS", op_index=2, fee=3)
    assert failed.describe() == ["AB" * 32 + " failed in block 7: 501 INSUFFICIENT_FUNDS (operation 2)"]
    assert failed.to_json()["op_index"] == 2 and failed.to_json()["fee"] == "3"
    assert outcome(height=0, code=120, code_name="SEQ_PAST", log="late").describe()[0].endswith("was refused: 120 SEQ_PAST late")


def test_the_json_form_keeps_base_units() -> None:
    made = outcome(events=(("mint", {"asset": "EUR", "amount": "125"}),))
    assert made.to_json()["events"] == [{"type": "mint", "attributes": {"asset": "EUR", "amount": "125"}}]
