"""What a node answers, read by a client that does not trust it: bounded in size and depth, and of JSON-RPC's shape.

Every fault is a `ClientError` that names the node. What a result means is not known here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from state.primitives.errors import ClientError

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024  # a full block with all its results in JSON is about half of it


async def collect(chunks: AsyncIterator[bytes], url: str) -> bytes:
    """A body, piece by piece. Raises `ClientError` before more than that is kept."""
    found = bytearray()
    async for chunk in chunks:
        if len(found) + len(chunk) > ANSWER_BYTES_MAX:
            raise ClientError(f"{url} answers with more than {ANSWER_BYTES_MAX} bytes")
        found += chunk
    return bytes(found)


def read_answer(data: str | bytes, url: str) -> dict[str, Any]:
    """A response with its `error`, which is an object, or without one and with its `result`. Raises `ClientError`."""
    try:
        answer = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ClientError(f"{url} does not speak JSON-RPC") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("error", {}), dict) or not answer.keys() & {"result", "error"}:
        raise ClientError(f"{url} does not speak JSON-RPC")
    return answer
