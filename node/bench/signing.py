"""Signed transfers made ahead of a measurement, in worker processes: what a client spends must not count as the node's time.

Each account sends its own transfers in sequence, round the other accounts. Nothing is sent here.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Final

from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PrivateKey
from state.transaction import build, call, sign

PROCESSES_MAX: Final = 8
_INLINE_TXS_MAX: Final = 2_000  # below this a second process takes longer to start than the work takes


@dataclass(frozen=True, slots=True)
class LoadAccount:
    """An account that sends: its seed, its address, its next sequence in lane 0."""

    seed: bytes
    address: bytes
    sequence: int


@dataclass(frozen=True, slots=True)
class TransferPlan:
    """What all transfers of a run have in common."""

    chain_id: bytes
    asset: str
    amount: int
    valid_until: int
    max_fee: int
    recipients: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction ready to send."""

    hash: bytes
    raw: bytes


def sign_transfers(plan: TransferPlan, accounts: Sequence[LoadAccount], count: int) -> list[list[Signed]]:
    """`count` transfers spread evenly over the accounts: for each account its own, in sequence."""
    shares = [count // len(accounts) + (1 if i < count % len(accounts) else 0) for i in range(len(accounts))]
    jobs = [(plan, account, share, number) for number, (account, share) in enumerate(zip(accounts, shares, strict=True))]
    if count <= _INLINE_TXS_MAX:
        raws = [_sign_of_account(*job) for job in jobs]
    else:
        workers = min(PROCESSES_MAX, os.cpu_count() or 1)
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            raws = list(pool.map(_sign_job, jobs, chunksize=max(1, len(jobs) // (4 * workers))))
    return [[Signed(sha256(raw), raw) for raw in of_account] for of_account in raws]


def _sign_job(job: tuple[TransferPlan, LoadAccount, int, int]) -> list[bytes]:
    return _sign_of_account(*job)


def _sign_of_account(plan: TransferPlan, account: LoadAccount, count: int, number: int) -> list[bytes]:
    key = PrivateKey.from_seed(KeyKind.ED25519, account.seed)
    raws: list[bytes] = []
    for i in range(count):
        to = plan.recipients[(number + 1 + i) % len(plan.recipients)]
        if to == account.address:
            to = plan.recipients[(number + 2 + i) % len(plan.recipients)]
        draft = build(
            chain_id=plan.chain_id,
            sender=account.address,
            seq=account.sequence + i,
            valid_until=plan.valid_until,
            max_fee=plan.max_fee,
            ops=(call("asset.transfer", asset=plan.asset, to=to, amount=plan.amount, tag=""),),
        )
        raws.append(sign(draft, ((account.address, 0, key),)))
    return raws
