"""Where light blocks come from: a node's RPC. Asking and reading; nothing is believed here."""

from __future__ import annotations

import base64
from typing import Any, Protocol

from consensus.light import LightBlock
from node.light.reading import read_light_block, understanding
from node.rpc.client import Client
from state.primitives.errors import ClientError


class Provider(Protocol):
    """One node that a light client asks."""

    url: str

    async def latest_height(self) -> int:
        """The height the node says it is at."""
        ...

    async def light_block(self, height: int) -> LightBlock:
        """What it says of a height. Raises `ClientError` if it has none."""
        ...

    async def state(self, path: str, data: bytes, height: int) -> tuple[bytes | None, bytes, int]:
        """(value, proof, height) of a record; `height` 0 asks for the latest."""
        ...

    async def report(self, evidence: bytes) -> None:
        """Hand over evidence of an attack."""
        ...


class RpcProvider:
    """See `Provider`: over HTTP. `with_pq` asks for the post-quantum half of commits as well."""

    def __init__(self, client: Client, *, with_pq: bool) -> None:
        self.url = client.url
        self.client = client
        self._with_pq = with_pq

    async def latest_height(self) -> int:
        """See `Provider`."""
        with understanding(self.url, "status"):
            return int((await self.client.call("status"))["sync_info"]["latest_block_height"])

    async def light_block(self, height: int) -> LightBlock:
        """See `Provider`."""
        header = await self.client.call("header", height=str(height))
        proof = await self.client.call("pq_commit", height=str(height))
        with understanding(self.url, f"block {height}"):
            block = read_light_block(header, proof, with_pq=self._with_pq)
            if block.header.height != height:
                raise ClientError(f"{self.url} answers with block {block.header.height} instead of {height}")
        return block

    async def state(self, path: str, data: bytes, height: int) -> tuple[bytes | None, bytes, int]:
        """See `Provider`."""
        answer = await self.client.call("abci_query", path=path, data=data.hex(), height=str(height), prove=True)
        with understanding(self.url, f"the state at {path}"):
            response: Any = answer["response"]
            if int(response["code"]):
                raise ClientError(f"{self.url}: {path}: {response['log']}")
            (op,) = response["proofOps"]["ops"]
            value = base64.b64decode(response["value"] or "", validate=True) or None
            return value, base64.b64decode(op["data"], validate=True), int(response["height"])

    async def report(self, evidence: bytes) -> None:
        """See `Provider`."""
        await self.client.call("broadcast_evidence", evidence=base64.b64encode(evidence).decode("ascii"))
