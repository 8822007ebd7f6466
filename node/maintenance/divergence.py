"""This node's state is not the one that the others decided upon: who, where and what, for the people who have to find out why.

The header of H + 1 carries what the state and the results were after H. When more than 2/3 have decided a header that says otherwise than
this node, one of them computed wrongly, and the node stops. The block of H is then executed once more on the state before it, with what
every transaction wrote: if that gives something else than the first time, this machine or this code is not deterministic; if it gives the
same, versions or earlier states differ, and `qenex state diff` with another node's bundle or export shows the records.

Reading only: nothing here changes the store, and nothing goes on after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Final

from consensus.block import Block, results_hash
from consensus.commit import Commit, PqCommit
from consensus.evidence import misbehavior_of
from consensus.proposer import hash_priorities
from consensus.validation import ChainTip, compare_header
from node.maintenance.records import describe, kind_of
from node.storage.store import Store
from node.tips import validators_at
from state.machine import BlockContext, BlockExecution
from state.misbehavior import CommitVote
from state.primitives.codec import Value, decode, encode_trusted
from state.primitives.errors import QenexError, StateDivergenceError
from state.queries import describe_receipt
from state.receipts import Receipt
from state.schema import encode_record
from state.transaction import Transaction
from state.view import Reader, View

DIVERGENCE_FILE: Final = "divergence.json"
CHANGES_FILE: Final = "changes.jsonl"
BLOCK_END: Final = -1  # the index of what the block's own actions wrote

Changes = dict[bytes, bytes | None]


class Divergence(StateDivergenceError):
    """See the module. Carries what its bundle is made of; the store must still be open then."""

    def __init__(
        self, store: Store, genesis_hash: bytes, tip: ChainTip, block: Block, commit: Commit, pq_commit: PqCommit, fault: QenexError
    ) -> None:
        height = block.header.height
        super().__init__(
            f"the network has decided block {height}, which this node's state does not allow: {fault.message}",
            hint=f"compare the bundle with another node's (qenex state diff), run qenex doctor --deep, then qenex rollback to try "
            f"height {tip.height} again with the right version",
        )
        self._store = store
        self._genesis_hash = genesis_hash
        self._tip = tip
        self._block = block
        self._commit = commit
        self._pq_commit = pq_commit

    def files(self) -> Iterator[tuple[str, bytes]]:
        """(name, contents) of the bundle's files, the most telling first. Never raises for what is wrong with the state."""
        yield DIVERGENCE_FILE, _json(self._headline())
        yield "decided_block.bin", encode_trusted(self._block.to_wire())
        yield "decided_commit.bin", encode_trusted((self._commit.to_wire(), self._pq_commit.to_wire()))
        height = self._tip.height
        raw = self._store.height_row("b", height)
        if raw is None:
            return  # the first block of the chain
        yield "executed_block.bin", raw
        first = self._first_changes()
        yield CHANGES_FILE, _lines(_describe_changes(first))
        stored = [Receipt.from_wire(item) for item in decode(self._store.height_row("e", height) or b"\x90")]
        yield "receipts.jsonl", _lines({"index": index, **describe_receipt(receipt)} for index, receipt in enumerate(stored))
        yield from self._again(Block.from_wire(decode(raw)), first, stored)

    def _headline(self) -> dict[str, object]:
        tip, block, store = self._tip, self._block, self._store
        fields = [
            {"field": what, "decided": _text(found), "here": _text(wanted), "differs": found != wanted}
            for what, found, wanted in compare_header(block, tip)
        ]
        return {
            "chain_id": tip.chain_id,
            "genesis_hash": self._genesis_hash.hex(),
            "height": tip.height,
            "decided_height": block.header.height,
            "decided_round": self._commit.round,
            "message": self.message,
            "fields": fields,
            "app_hash": tip.app_hash.hex(),
            "shard_roots": _hexes(store.shard_roots_at(tip.height)),
            "shard_roots_before": self._roots_before(),
        }

    def _roots_before(self) -> list[str]:
        height = self._tip.height - 1
        return [] if self._store.root_at(height) is None else _hexes(self._store.shard_roots_at(height))

    def _first_changes(self) -> dict[bytes, tuple[bytes | None, bytes | None]]:
        """What the first execution changed: raw key to (before, after)."""
        before = self._store.changed_at(self._tip.height)
        return {key: (before[key], self._store.get(key)) for key in sorted(before)}

    def _again(
        self, block: Block, first: dict[bytes, tuple[bytes | None, bytes | None]], stored: Sequence[Receipt]
    ) -> Iterator[tuple[str, bytes]]:
        earlier = _Earlier(self._store, {key: before for key, (before, _) in first.items()})
        try:
            context = _context_of(self._store, self._genesis_hash, block, self._tip)
            receipts, writes, changes = execute_traced(earlier, context, block.txs)
        except QenexError as error:
            yield "second_execution.json", _json({"failed": error.to_json()})
            return
        after = {key: value for key, (_, value) in first.items()}
        differing = sorted({key for key in {**after, **changes} if after.get(key) != changes.get(key)})
        yield "second_execution.json", _json(
            {
                "same_changes": not differing,
                "same_results": _hashed(receipts) == _hashed(stored),
                "verdict": "the same as the first: compare with another node"
                if not differing and _hashed(receipts) == _hashed(stored)
                else "another result than the first: this machine or this code is not deterministic",
                "differing": [
                    {
                        "key": key.hex(),
                        "kind": kind_of(key),
                        "first": describe(key, after.get(key)),
                        "second": describe(key, changes.get(key)),
                    }
                    for key in differing
                ],
            }
        )
        yield "write_sets.jsonl", _lines(
            {"index": index, "writes": [{"key": key.hex(), "kind": kind_of(key), "after": describe(key, raw)} for key, raw in one.items()]}
            for index, one in writes
        )


class _Earlier:
    """The state before the last height."""

    def __init__(self, store: Store, before: Changes) -> None:
        self._store = store
        self._before = before

    def get(self, key: bytes, /) -> bytes | None:
        """See `Reader`."""
        return self._before[key] if key in self._before else self._store.get(key)


class TracedView(View):
    """A view that remembers what was written since it was last asked."""

    __slots__ = ("_written",)

    def __init__(self, reader: Reader) -> None:
        super().__init__(reader)
        self._written: dict[bytes, None] = {}

    def settle(self) -> None:
        """See `View`."""
        self._written.update((key, None) for key, _ in self.undo)
        super().settle()

    def take_written(self) -> Changes:
        """Raw key to stored form of every record written since the last call, in order of the key."""
        written, self._written = sorted(self._written), {}
        return {key: None if (record := self.get(key)) is None else encode_record(key, record) for key in written}


def execute_traced(
    reader: Reader, context: BlockContext, txs: Sequence[bytes]
) -> tuple[list[Receipt], list[tuple[int, Changes]], Changes]:
    """Execute a block: receipts, what each transaction wrote (by index, at last the block's own actions), all changes."""
    view = TracedView(reader)
    execution = BlockExecution(reader, context, view=view)
    receipts, writes = [], []
    for index, raw in enumerate(txs):
        receipts.append(execution.deliver(Transaction.decode(raw)))
        writes.append((index, view.take_written()))
    result = execution.finish(receipts)
    writes.append((BLOCK_END, view.take_written()))
    return receipts, writes, dict(result.changes)


def _context_of(store: Store, genesis_hash: bytes, block: Block, tip: ChainTip) -> BlockContext:
    """What the block was executed with; `tip` is the chain after it, so its priorities are those that the block has left."""
    header = block.header
    parts = block.last_commit.signatures
    voters = validators_at(store, header.height - 1).validators if parts else ()
    votes = tuple(
        CommitVote(validator.address, validator.power, bool(part.signature))
        for validator, part in zip(voters, parts, strict=True)
    )
    return BlockContext(
        header.height, header.time_ns, genesis_hash, header.proposer_address, votes, misbehavior_of(block.evidence),
        hash_priorities(tip.priorities),
    )  # fmt: skip


def _describe_changes(changes: dict[bytes, tuple[bytes | None, bytes | None]]) -> Iterator[dict[str, object]]:
    for key, (before, after) in changes.items():
        yield {
            "key": key.hex(),
            "kind": kind_of(key),
            "before": describe(key, before),
            "after": describe(key, after),
            "value": None if after is None else after.hex(),
        }


def _hashed(receipts: Sequence[Receipt]) -> bytes:
    return results_hash([(r.code, r.data, r.gas_wanted, r.gas_used) for r in receipts])


def _hexes(roots: Sequence[bytes | None]) -> list[str]:
    return ["" if root is None else root.hex() for root in roots]


def _text(value: Value) -> object:
    return value.hex() if isinstance(value, bytes) else str(value)


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _lines(values: Iterator[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)
