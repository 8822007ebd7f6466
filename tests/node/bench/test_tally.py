"""The books of a load run: every transaction is counted once, and percentiles are of what was seen."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesis.entries import single_key_address
from node.bench.signing import LoadAccount, TransferPlan, sign_transfers
from node.bench.tally import LoadReport, Tally, percentile_ns
from state.primitives.hashing import sha256
from state.primitives.keys import CONTEXT_TX, KeyKind, PrivateKey
from state.transaction import Transaction

MS = 1_000_000


def test_report() -> None:
    tally = Tally()
    for i in range(100):
        tally.on_sent(b"%d" % i, 1_000 * MS)
    tally.on_refused(b"0", "FEE_TOO_LOW")
    tally.on_refused(b"0", "FEE_TOO_LOW")
    tally.on_refused(b"not ours", "FEE_TOO_LOW")
    assert tally.on_block([b"%d" % i for i in range(50)], 1_200 * MS) == 49
    assert tally.on_block([b"%d" % i for i in range(50, 99)] + [b"1", b"stranger"], 2_000 * MS) == 49
    tally.failed = 2
    report = LoadReport.from_tally(tally, app_hashes_equal=True, heights=(5, 6)).to_json()
    assert report == {
        "submitted": 100,
        "committed": 96,
        "rejected": 3,
        "seconds": 1.0,
        "tps": 96.0,
        "latency_ms": {"p50": 200.0, "p95": 1000.0, "p99": 1000.0},
        "app_hashes_equal": True,
        "unconfirmed": 1,
        "heights": [5, 6],
        "rejections": {"FEE_TOO_LOW": 1},
    }


def test_report_of_nothing() -> None:
    report = LoadReport.from_tally(Tally(), app_hashes_equal=False, heights=(0, 0))
    assert (report.tps, report.p99_ms, report.seconds) == (0.0, 0.0, 0.0)


@given(st.lists(st.integers(0, 10**12), min_size=1), st.integers(1, 100))
def test_percentile_is_nearest_rank(values: list[int], percent: int) -> None:
    ordered = sorted(values)
    found = percentile_ns(ordered, percent)
    assert found in ordered
    assert sum(1 for value in ordered if value <= found) * 100 >= percent * len(ordered)


@pytest.mark.parametrize("count", [7, 2_300])
def test_signed_transfers_are_valid_and_in_sequence(count: int) -> None:
    accounts = []
    for number in range(3):
        seed = sha256(b"%d" % number)
        address = single_key_address(PrivateKey.from_seed(KeyKind.ED25519, seed).public_key)
        accounts.append(LoadAccount(seed, address, 10 * number))
    plan = TransferPlan(b"c" * 32, "QNX", 5, 2_000_000_000, 0, tuple(account.address for account in accounts))
    of_accounts = sign_transfers(plan, accounts, count)
    assert sum(len(signed) for signed in of_accounts) == count
    for account, signed in zip(accounts, of_accounts, strict=True):
        key = PrivateKey.from_seed(KeyKind.ED25519, account.seed).public_key
        for i, one in enumerate(signed[:20]):
            tx = Transaction.decode(one.raw)
            assert (tx.hash, tx.sender, tx.seq) == (one.hash, account.address, account.sequence + i)
            assert tx.calls[0].args[1] != account.address
            assert key.verify(tx.sign_bytes, tx.auth[0].signature, CONTEXT_TX)
