"""A home with a chain in it, made in a moment: the node's own ledger, store, signer and log, with blocks decided by hand."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from consensus.block import Block
from consensus.commit import Commit, CommitSig, Flag, HybridVerifier, PqCommit
from consensus.vote import VoteType, vote_sign_bytes
from genesis.testnet import ASSET, NetworkOptions
from node.bench.signing import LoadAccount, TransferPlan, sign_transfers
from node.cli.main import main
from node.clock import SystemClock
from node.config import Overrides
from node.executor import LedgerExecutor
from node.keystore import Role, read_key_file
from node.mempool.mempool import Mempool
from node.mempool.pool import Pool
from node.opening import Opened, open_home
from node.signer import SignRequest, Step
from node.testnet.files import create_network
from node.workers import InlineChecker
from state.primitives.ids import parse_address
from state.primitives.keys import KeyKind
from state.view import RecordCache
from tests.node.ports import free_base_port


class Ran(NamedTuple):
    """What a command gave."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out.strip().splitlines()[-1])

    @property
    def error(self) -> Any:
        return json.loads(self.err.strip().splitlines()[-1])["error"]


def qenex(*arguments: object) -> Ran:
    """A command, in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdin", io.StringIO())
        code = main([str(item) for item in arguments])
    assert "Traceback" not in err.getvalue(), err.getvalue()
    assert "this is a defect" not in err.getvalue(), err.getvalue()
    return Ran(code, out.getvalue(), err.getvalue())


def make_network(root: Path, validators: int = 1, **options: Any) -> Path:
    """The home of the first node of a new network."""
    started_ns = (int(time.time()) - 3_600) * 10**9
    create_network(
        root,
        NetworkOptions(
            validators=validators, base_port=free_base_port(), time_ns=started_ns, vote_key_kind=KeyKind.MLDSA44, **options
        ),
    )
    return root / "node0"


def no_passphrase(path: Path) -> bytes:
    raise AssertionError(f"{path} is encrypted")


class Chain:
    """The opened home of a single validator; `close` it before a tool looks at it."""

    def __init__(self, home: Path) -> None:
        self._stack = ExitStack()
        self.opened: Opened = open_home(home, Overrides(), self._stack)
        opened, clock = self.opened, SystemClock()
        assert opened.signer is not None
        self.signer, self.store, self.wal = opened.signer, opened.store, opened.wal
        records = RecordCache(self.store, opened.state.height)
        self.executor = LedgerExecutor(
            self.store, opened.document.hash, records, opened.state, self.signer.address, HybridVerifier(), clock
        )
        self.mempool = Mempool(
            Pool(10_000, 10**8, 10_000), records, opened.document.hash, InlineChecker(), clock,
            lambda tx_hash: False, lambda hashes, source: None,
        )  # fmt: skip
        self.executor.attach(self.mempool)
        keys = home.parent / "keys"
        users = [read_key_file(keys / f"{name}.json", no_passphrase, role=Role.USER) for name in ("alice", "bob")]
        self._users = [LoadAccount(user.key.seed, parse_address(user.account), 0) for user in users]

    def close(self) -> None:
        self._stack.close()

    async def grow(self, heights: int, txs: int = 2) -> None:
        for _ in range(heights):
            await self.decide(await self.build(txs))

    async def build(self, txs: int) -> Block:
        """A block with transfers between alice and bob."""
        await self.mempool.submit(self._transfers(txs))
        state = self.executor.state
        block = await self.executor.build_value(state.height + 1, 0, state.last_commit)
        assert len(block.txs) == txs
        return block

    async def decide(self, block: Block) -> None:
        commit, pq_commit = self.sign(block)
        await self.executor.commit(block, commit, pq_commit)
        self.wal.start_height(block.header.height + 1)

    def sign(self, block: Block) -> tuple[Commit, PqCommit]:
        """The validator's precommit, which its signer remembers, after a line in the log."""
        header, name = block.header, block.block_id()
        self.wal.append(b"an entry")
        self.wal.sync()
        data = vote_sign_bytes(header.chain_id, VoteType.PRECOMMIT, header.height, 0, name, header.time_ns)
        signature, pq_signature = self.signer.sign(
            SignRequest(header.height, 0, Step.PRECOMMIT, data, name.hash, 0, name.hash, 0, self.wal.position)
        )
        part = CommitSig(Flag.COMMIT, self.signer.address, header.time_ns, signature)
        return Commit(header.height, 0, name, (part,)), PqCommit(header.height, 0, (pq_signature,))

    def _transfers(self, count: int) -> Sequence[bytes]:
        from state.queries import get_next_sequence

        users = [
            LoadAccount(user.seed, user.address, get_next_sequence(self.store, user.address)) for user in self._users
        ]
        recipients = tuple(user.address for user in users)
        plan = TransferPlan(self.opened.document.hash, ASSET, 5, int(time.time()) + 3_600, 0, recipients)
        return [signed.raw for of_user in sign_transfers(plan, users, count) for signed in of_user] if count else []


async def make_home(root: Path, heights: int, txs: int = 2, **options: Any) -> Path:
    """The home of a stopped node with this many blocks."""
    home = make_network(root, **options)
    chain = Chain(home)
    await chain.grow(heights, txs)
    chain.close()
    return home


def without_log(found: dict[str, tuple[int, bytes]]) -> dict[str, tuple[int, bytes]]:
    """The files of a home but for the audit log, in which commands that change nothing else are recorded."""
    return {name: file for name, file in found.items() if name not in ("data/audit_log", "data/audit_log.head")}


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder: mode and bytes."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mode, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
