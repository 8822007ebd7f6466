"""A request that is sent again: the same bytes, or the same request under its reference."""

from __future__ import annotations

import time
from pathlib import Path

from node.rpc.client import Client
from state.codes import Code
from state.transaction import build, call, sign
from tests.node.rpc.live import Live, make_live, running

REFERENCE = bytes(range(16))


async def pay(live: Live, client: Client, amount: int) -> bytes:
    """A transfer under the reference, with the sender's next sequence."""
    draft = build(
        chain_id=await client.chain_id(), sender=live.sender, seq=await client.next_sequence(live.sender),
        valid_until=int(time.time()) + 600, client_ref=REFERENCE,
        ops=[call("asset.transfer", asset="QNX", to=live.recipient, amount=amount, tag="")],
    )  # fmt: skip
    return sign(draft, [(live.sender, 0, live.alice)])


async def test_a_reference_that_was_used_is_an_answer_and_nothing_to_wait_for(tmp_path: Path) -> None:
    """Failed before: the client waited until its time was over for a transaction that never comes into a block."""
    async with running(make_live(tmp_path / "net", 1), 1) as live, Client(live.url) as client:
        raw = await pay(live, client, 5)
        first = await client.send(raw, wait_s=60)
        assert first.code == Code.OK
        assert await client.send(raw, wait_s=60) == first
        again = await client.send(await pay(live, client, 5), wait_s=60)
        assert (again.code, again.height) == (Code.TX_SEEN, 0)
        other = await client.send(await pay(live, client, 6), wait_s=60)
        assert (other.code, other.height) == (Code.CLIENT_REF_REUSED_DIFFERENT, 0)
