"""`qenex start` of a node that serves forged blocks and forged chunks to whoever joins: `forging_node.py start --home HOME`.

It takes part in consensus as usual. The switch is here and not in the product.
"""

from __future__ import annotations

import sys
from dataclasses import replace

from node.cli.main import main
from node.source import StoreSource
from node.statesync import messages
from node.statesync.server import SnapshotServer
from node.sync.messages import CertifiedBlock
from state.primitives.hashing import sha256

honest_block = StoreSource.certified


def forge_block(self: StoreSource, height: int) -> CertifiedBlock | None:
    """Another app hash in the header: the commit is not for it."""
    found = honest_block(self, height)
    if found is None:
        return None
    header = replace(found.block.header, app_hash=sha256(b"forged"))
    return replace(found, block=replace(found.block, header=header))


def forge_chunk(self: SnapshotServer, question: messages.Question) -> bytes | None:
    """A little more for everybody in this shard."""
    rows = self.read_shard(question)
    return None if rows is None else messages.encode_chunk(question, tuple((key, value + b"\x01") for key, value in rows))


if __name__ == "__main__":
    StoreSource.certified = forge_block  # type: ignore[method-assign]
    from node.statesync import server

    server._ANSWERS[messages.CHUNK] = forge_chunk  # type: ignore[assignment]
    server._ANSWERS[messages.LIGHT] = lambda self, question: None  # it would give itself away at once
    sys.exit(main(sys.argv[1:]))
