"""How long operations of the ledger take in the state machine, of each kind. How it is measured is `node.bench.in_machine`'s.

A mixture as a payment network has it: mostly transfers, then payments between many, issue, trades, promises, stakes. One account acts, so
signatures and their number are the same for all; they are left out. All operations succeed.
"""

from __future__ import annotations

import random
from typing import Any, Final

from node.bench.in_machine import NOW_S, Actor, Measurement, make_ledger, measure
from state.modules.accounts import new_account_address
from state.modules.gate import (
    FLAG_ESCROWABLE,
    FLAG_LOCKABLE,
    FLAG_STAKEABLE,
    FLAG_TRADABLE,
    FLAG_TRANSFERABLE,
)
from state.modules.pending import compute_id
from state.primitives.hashing import sha256, validator_address
from state.primitives.keys import KeyKind, PrivateKey
from state.schema_farm import Tier
from state.schema_pending import ESCROW, OFFER
from state.transaction import call

ASSETS: Final = ("AAA", "BBB")
FLAGS: Final = FLAG_TRANSFERABLE | FLAG_TRADABLE | FLAG_LOCKABLE | FLAG_ESCROWABLE | FLAG_STAKEABLE
RESERVE: Final = 10**24
AMOUNT_MAX: Final = 10**12
BLOCK_TXS: Final = 5_000
RECIPIENTS: Final = 64
LATER_S: Final = NOW_S + 10**7
# of a thousand draws; escrows, offers and stakes in farms are made and ended, and so count twice
MIXTURE: Final = (
    ("asset.transfer", 600),
    ("asset.multi_transfer", 50),
    ("amm.swap_in", 100),
    ("hold.create", 60),
    ("escrow", 30),
    ("offer", 30),
    ("stake.delegate", 35),
    ("farm", 35),
)


def run_ledger(transactions: int, seed: int = 1) -> Measurement:
    """Measure so many transactions of one operation each."""
    actor, rng = Actor(), random.Random(seed)
    keys = [((0, int(KeyKind.ED25519), sha256(b"recipient %d" % number), 1),) for number in range(RECIPIENTS)]
    others = [new_account_address(key, (1, 1, 1, 1)) for key in keys]
    first: list[tuple[str, tuple[Any, ...]]] = [
        ("account.create", (address, 1, b"", key, (1, 1, 1, 1))) for address, key in zip(others, keys, strict=True)
    ]
    first.append(("amm.create", ("AAA", "BBB", 3_000, RESERVE, RESERVE, ())))
    first.append(("farm.create", ("AAA", "BBB", 0, LATER_S, RESERVE, (Tier(0, 1_000_000),), 0, 0, "")))
    db = make_ledger(actor, ASSETS, FLAGS, first, key_kinds=(int(KeyKind.ED25519),))
    ops = _draw(rng, transactions, actor.address, others)
    return measure(db, [actor.sign(number, op) for number, op in enumerate(ops)], actor, BLOCK_TXS)


def _draw(rng: random.Random, count: int, actor: bytes, others: list[bytes]) -> list[Any]:
    names, weights = zip(*MIXTURE, strict=True)
    validator = validator_address(PrivateKey.from_seed(KeyKind.ED25519, sha256(b"v")).public_key.data)
    ops: list[Any] = []
    positions = 0
    while len(ops) < count:
        kind, amount = rng.choices(names, weights)[0], rng.randrange(1_000, AMOUNT_MAX)
        if kind == "farm":
            ops += [call("farm.stake", farm=0, amount=amount, tier=0), call("farm.exit", position=positions)]
            positions += 1
        elif kind == "stake.delegate":
            ops.append(call(kind, validator=validator, amount=amount))
        else:
            ops += _make(rng, kind, amount, len(ops).to_bytes(16, "big"), actor, rng.choice(others))
    return ops[:count]


def _make(rng: random.Random, kind: str, amount: int, ref: bytes, actor: bytes, other: bytes) -> list[Any]:
    if kind == "asset.transfer":
        return [call(kind, asset="QNX", to=other, amount=amount, tag="")]
    if kind == "asset.multi_transfer":
        legs = [(account, asset, side, amount) for side, account in ((0, actor), (1, other)) for asset in ("AAA", "QNX")]
        return [call(kind, legs=tuple(legs))]
    if kind == "amm.swap_in":
        path = rng.choice((("AAA", "BBB"), ("BBB", "AAA")))
        return [call(kind, path=path, amount_in=amount, min_out=0)]
    if kind == "hold.create":
        return [call(kind, ref=ref, asset="AAA", amount=amount, beneficiary=other, agent=b"", expires=LATER_S)]
    if kind == "escrow":
        lock = sha256(ref)
        made = call("escrow.create", ref=ref, to=other, asset="AAA", amount=amount, finish_after=0, cancel_after=LATER_S, hash=lock)
        return [made, call("escrow.finish", escrow=compute_id(ESCROW, actor, ref), secret=ref)]
    made = call(
        "pay.offer", ref=ref, to=other, give_asset="AAA", give_amount=amount, want_asset="BBB", want_amount=amount, expires=LATER_S
    )
    return [made, call("pay.cancel", offer=compute_id(OFFER, actor, ref))]
