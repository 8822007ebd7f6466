"""The list of privileged acts: what an authority or an issuer has done by its role, to whom, and on what evidence.

Every such operation writes one entry, and the invariants ask for it (I27). Entries are never changed or deleted. No operation goes in here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from state.primitives.hashing import sha256
from state.schema_kyc import ACTS_KEY, Act, act_key

if TYPE_CHECKING:
    from state.modules.operation import OpContext


def record_act(
    context: OpContext, code: int, actor: bytes, *, subject: bytes = b"", asset: str = "", evidence: bytes = b""
) -> int:
    """Write the entry of the operation with number `code`; the entry's own number, from 0."""
    view = context.view
    (number,) = view.get(ACTS_KEY) or (0,)
    tx = b"" if context.tx is None else context.tx.body_hash
    view.put(act_key(number), Act(context.height, context.time_s, code, actor, subject, asset, evidence, tx))
    view.put(ACTS_KEY, (number + 1,))
    return int(number)


def ground_hash(legal_ref: str) -> bytes:
    """What an entry keeps of the legal ground that the operation's event gives in words: SHA-256 of it, 32 bytes."""
    return sha256(legal_ref.encode())
