"""The rows of one block: what it, its transactions, their events and the changes of holdings say. Pure; no database is known here.

An account's history has a row for every amount that an event moved from or to it, for every fee it paid, and for every event that names it
without moving anything. Where these do not add up to what really became of a holding (the ledger's own accounts get their fees and rewards
so, and penalties are taken so), one more row, of the block itself, makes up the difference: sums are exact by construction.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from consensus.block import Block
from consensus.evidence import misbehavior_of
from node.indexer.amounts import encode_amount
from node.indexer.chain import Change
from node.indexer.database import Row
from node.indexer.flows import accounts_of, mentioned, moved_by
from node.indexer.schema import BLOCK_ITSELF, IN, NEITHER, OUT, TIME_NS_LAST
from state.event_kinds import ACCOUNT
from state.modules.operation import FEES_ADDRESS
from state.primitives.ids import format_address
from state.receipts import EVENT_KINDS, Event, Receipt
from state.transaction import Transaction

FEE: Final = "fee"
TX: Final = "tx"  # of a transaction that names its sender nowhere else
BLOCK: Final = "block"  # what the block did of itself
SWAP: Final = "swap"
_json: Final = msgspec.json.Encoder(order=None).encode


@dataclass(slots=True)
class BlockRows:
    """Rows by table, in the order of its columns; `holdings` are (asset, account) to the new amount."""

    tables: dict[str, list[Row]]
    holdings: dict[tuple[str, bytes], int]


@dataclass(slots=True)
class _Entries:
    """The movements of one transaction, or of the block itself, in the making."""

    height: int
    idx: int
    code: int
    time_ns: int
    net: dict[tuple[str, bytes], int]
    rows: list[Row] = field(default_factory=list)
    parties: dict[bytes, None] = field(default_factory=dict)

    def move(self, payer: bytes, payee: bytes, asset: str, amount: int, kind: str) -> None:
        for account, other, direction in ((payer, payee, OUT), (payee, payer, IN)):
            if account:
                self.add(account, asset, amount, direction, other, kind)

    def add(self, account: bytes, asset: str, amount: int, direction: int, other: bytes, kind: str) -> None:
        self.parties[account] = None
        if direction:
            key = asset, account
            self.net[key] = self.net.get(key, 0) + direction * amount
        place = self.height, self.idx, len(self.rows)
        self.rows.append((*place, account, asset, encode_amount(amount), direction, other, kind, self.code, self.time_ns))


def rows_of_block(
    block: Block,
    txs: Sequence[Transaction],
    receipts: Sequence[Receipt],
    block_events: Sequence[Event],
    changes: Iterable[Change],
    fee_asset: str,
    staked: str,
) -> BlockRows:
    """Everything the index keeps of a block. `txs` are its transactions decoded, `changes` what the height did to holdings and supplies."""
    header = block.header
    height, time_ns = header.height, min(header.time_ns, TIME_NS_LAST)
    net: dict[tuple[str, bytes], int] = {}
    tables: dict[str, list[Row]] = {
        "blocks": [(height, header.hash(), time_ns, header.proposer_address, len(block.txs))],
        "txs": [], "events": [], "movements": [], "swaps": [], "supplies": [],
        "evidence": [
            (
                height, seq, found.kind.name.lower(), found.address, found.height,
                min(found.time_ns, TIME_NS_LAST), encode_amount(found.power), time_ns,
            )
            for seq, found in enumerate(misbehavior_of(block.evidence))
        ],
    }  # fmt: skip
    for idx, (tx, receipt) in enumerate(zip(txs, receipts, strict=True)):
        count, fee = len(receipt.events), encode_amount(receipt.fee)
        tables["txs"].append((height, idx, tx.hash, tx.sender, receipt.code, tx.fee_payer, fee, count, _text(tx.memo), time_ns))
        entries = _Entries(height, idx, receipt.code, time_ns, net)
        if receipt.fee:
            # the fees' own account gets one row in a block, not one of every transaction
            entries.add(tx.fee_payer, fee_asset, receipt.fee, OUT, FEES_ADDRESS, FEE)
        _add_events(tables, entries, receipt.events, staked)
        if tx.sender not in entries.parties:
            entries.add(tx.sender, "", 0, NEITHER, b"", TX)
        tables["movements"] += entries.rows
    own = _Entries(height, BLOCK_ITSELF, 0, time_ns, net)
    _add_events(tables, own, block_events, staked)
    holdings: dict[tuple[str, bytes], int] = {}
    for change in changes:
        if not change.account:
            tables["supplies"].append((change.asset, height, time_ns, encode_amount(change.after)))
            continue
        key = change.asset, change.account
        holdings[key] = change.after
        net[key] = net.get(key, 0) - (change.after - change.before)
    for (asset, account), unexplained in list(net.items()):
        if unexplained:
            own.add(account, asset, abs(unexplained), OUT if unexplained > 0 else IN, b"", BLOCK)
    tables["movements"] += own.rows
    return BlockRows(tables, holdings)


def _add_events(tables: dict[str, list[Row]], entries: _Entries, events: Sequence[Event], staked: str) -> None:
    for seq, event in enumerate(events):
        kind = event.type
        tables["events"].append((entries.height, entries.idx, seq, kind, encode_event(event)))
        moved: dict[bytes, None] = {}
        for payer, payee, asset, amount in moved_by(event, staked):
            entries.move(payer, payee, asset, amount, kind)
            moved[payer] = moved[payee] = None
        named = accounts_of(event)
        if any(account not in moved for account in named):
            asset, amount = mentioned(event, staked)
            for account in named:
                if account not in moved:
                    others = [other for other in named if other != account]
                    entries.add(account, asset, amount, NEITHER, others[0] if len(others) == 1 else b"", kind)
        if kind == SWAP:
            tables["swaps"].append(_swap(entries, seq, event))


def encode_event(event: Event) -> str:
    """An event's values as JSON, as `Event.attributes` but with addresses in hex: text of an address costs more than all the rest."""
    pairs = zip(event.kind.fields, event.values, strict=True)
    shown = {name: value.hex() if type(value) is bytes else str(value) for (name, _), value in pairs}
    return _json({name: text for name, text in shown.items() if text}).decode()


def decode_event(kind: str, data: str) -> dict[str, str]:
    """The attributes of an event, in order."""
    found: dict[str, str] = msgspec.json.decode(data)
    accounts = _ACCOUNTS_OF[kind]
    return {name: format_address(bytes.fromhex(text)) if name in accounts else text for name, text in found.items()}


_ACCOUNTS_OF: Final = {
    kind.name: tuple(name for name, field_kind in kind.fields if field_kind is ACCOUNT) for kind in EVENT_KINDS.values()
}


def _swap(entries: _Entries, seq: int, event: Event) -> Row:
    pool, account, asset_in, amount_in, _, amount_out = event.values
    sells_a = str(pool).partition("/")[0] == asset_in
    amounts = encode_amount(int(amount_in)), encode_amount(int(amount_out))
    first, second = amounts if sells_a else amounts[::-1]
    return entries.height, entries.idx, seq, str(pool), account, int(sells_a), first, second, entries.time_ns


def _text(text: str) -> str:
    return text.replace("\0", "\\u0000")  # the one character that PostgreSQL's text cannot hold
