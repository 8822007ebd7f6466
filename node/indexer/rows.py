"""Index rows of a block: one for each account and text that an event of a transaction names.

Key: `kind of event u16 | field u8 | length u8 | value | height u64 | index u32`, value empty. Values are stored raw (an
address is 32 bytes), because putting 10,000 addresses into words would cost more than executing the block. Amounts and numbers
are not indexed: they are compared on what the other conditions found. Reading is `node.indexer.search`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from state.event_kinds import ACCOUNT, TEXT, EventKind
from state.receipts import EVENT_KINDS, Receipt

VALUE_BYTES_MAX: Final = 255


def index_rows(height: int, receipts: Sequence[Receipt]) -> list[tuple[bytes, bytes]]:
    """Rows of all transactions of a block, each once."""
    rows: dict[bytes, bytes] = {}
    place = height.to_bytes(8, "big")
    for index, receipt in enumerate(receipts):
        if receipt.events:
            tail = place + index.to_bytes(4, "big")
            for kind, values in receipt.events:
                for field, head in _HEADS[kind.number]:
                    value = values[field]
                    if value:
                        data = value if type(value) is bytes else str(value).encode()
                        if len(data) <= VALUE_BYTES_MAX:
                            rows[head + _ONE_BYTE[len(data)] + data + tail] = b""
    return list(rows.items())


_ONE_BYTE: Final = tuple(bytes((number,)) for number in range(256))


# number of an event kind -> (field, what its keys start with) of the indexed fields
_HEADS: Final = {
    number: tuple(
        (field, number.to_bytes(2, "big") + bytes((field,)))
        for field, (_, row_kind) in enumerate(kind.fields)
        if row_kind is ACCOUNT or row_kind is TEXT
    )
    for number, kind in EVENT_KINDS.items()
}


def index_prefix(kind: EventKind, field: int, value: bytes) -> bytes:
    """What the keys of one value start with."""
    return kind.number.to_bytes(2, "big") + bytes((field, len(value))) + value
