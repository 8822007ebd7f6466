"""A client for people who write programs: build, sign, submit, wait, query, verify, follow.

`Client` runs on trio, `SyncClient` wraps it for scripts. Proofs are verified here against the app hash
of the next header, which is the node's word: `consensus.light` is what checks headers. Keys never leave the process.
"""

from __future__ import annotations

import base64
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any, Final, Self

import httpx2
import msgspec
import trio
import trio_websocket

from node.rpc.answers import collect, read_answer
from node.rpc.errors import FORBIDDEN, LIMIT_EXCEEDED, UNAUTHENTICATED
from state.codes import Code
from state.params import FeeParams
from state.paths import resolve_path
from state.primitives.codec import Value, decode
from state.primitives.errors import ClientError, ProofError
from state.primitives.hashing import sha256
from state.primitives.ids import format_address
from state.primitives.keys import PrivateKey
from state.proofs import verify_proof
from state.transaction import build, call, sign

CALL_SECONDS: Final = 30.0
TOKEN_VARIABLE: Final = "QENEX_TOKEN"
WHOLE_CALL_FACTOR: Final = 4
POLL_SECONDS: Final = 0.05
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 0.0)  # after each refusal for asking too much
VALID_SECONDS: Final = 600
_EVENT_BYTES_MAX: Final = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class TxOutcome:
    """What became of a transaction. Height 0: in no block (yet). `code` 0 is success.

    Of a transaction in a block: the fee in base units, the index of the failing operation or -1, and its events as (type, values by
    name, amounts in base units).
    """

    hash: bytes
    height: int
    code: int
    code_name: str
    log: str
    fee: int = 0
    op_index: int = -1
    events: tuple[tuple[str, dict[str, str]], ...] = ()


@dataclass(frozen=True, slots=True)
class Proven:
    """A record of the state that was proved: raw key, value (None: proved absent), height, app hash it was proved against."""

    key: bytes
    value: bytes | None
    height: int
    app_hash: bytes


class Client:
    """An open connection to a node's RPC, as an async context manager. Every failure is a `ClientError`.

    `token` is a bearer token for nodes that ask for one; None takes it from QENEX_TOKEN. With https, $SSL_CERT_FILE names the
    authorities to trust.
    """

    def __init__(self, url: str, *, timeout_s: float = CALL_SECONDS, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        token = os.environ.get(TOKEN_VARIABLE, "") if token is None else token
        self._headers = {"authorization": f"Bearer {token}"} if token else {}
        # the time is of each step, for a node may send a little again and again; without https no authorities are read: that takes 75 ms
        self._http = httpx2.AsyncClient(timeout=timeout_s, verify=not self.url.startswith("http://"))
        self._whole_s = WHOLE_CALL_FACTOR * timeout_s
        self._ids = count(1)
        self._chain_id: bytes | None = None

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def call(self, method: str, **params: Any) -> Any:
        """Any method of the RPC by name; its result. A node that says "too much" is asked again, more and more slowly."""
        for pause in _PAUSES:
            answer = await self._post(method, params)
            if "error" not in answer:
                return answer["result"]
            found = answer["error"]
            if found.get("code") != LIMIT_EXCEEDED:
                break
            await trio.sleep(pause)
        hint = f"set {TOKEN_VARIABLE} to a token of this node" if found.get("code") in (UNAUTHENTICATED, FORBIDDEN) else ""
        raise ClientError(f"{method}: {found.get('data') or found.get('message')}", hint=hint)

    async def _post(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": params})
        headers = {"content-type": "application/json", "accept-encoding": "identity"} | self._headers
        content: bytes | None = None
        try:
            with trio.move_on_after(self._whole_s):
                async with (
                    self._http.stream("POST", self.url, content=body, headers=headers) as response,
                    aclosing(response.aiter_raw()) as chunks,
                ):
                    content = await collect(chunks, self.url)
        except httpx2.HTTPError as error:
            raise ClientError(
                f"{self.url} does not answer: {type(error).__name__}", hint="is the node running, and is this its RPC address?"
            ) from error
        except (httpx2.InvalidURL, UnicodeError) as error:  # a host that IDNA cannot spell, a port that is none
            raise ClientError(f"{self.url!a} is not an address of an RPC", hint="such as http://127.0.0.1:26657") from error
        if content is None:
            raise ClientError(f"{self.url} takes longer than {self._whole_s:g} s to answer")
        return read_answer(content, self.url)

    # reading

    async def chain_id(self) -> bytes:
        """The 32-byte genesis hash that transactions are signed for."""
        if self._chain_id is None:
            genesis = await self.call("genesis")
            self._chain_id = bytes.fromhex(genesis["genesis"]["app_state"]["hash"])
        return self._chain_id

    async def height(self) -> int:
        """The node's last committed height."""
        return int((await self.call("status"))["sync_info"]["latest_block_height"])

    async def account(self, address: bytes) -> dict[str, Any] | None:
        """An account with keys, next sequences and holdings; None if there is none."""
        found: dict[str, Any] | None = (await self.call("account", address=format_address(address)))["account"]
        return found

    async def asset(self, code: str) -> dict[str, Any] | None:
        """An asset with its supply; None if there is none."""
        found: dict[str, Any] | None = (await self.call("asset", code=code))["asset"]
        return found

    async def balance(self, address: bytes, asset: str) -> int:
        """What an account holds, in base units."""
        account = await self.account(address)
        return 0 if account is None else int(account["holdings"].get(asset, "0"))

    async def next_sequence(self, address: bytes, lane: int = 0) -> int:
        """The sequence the next transaction of a lane must have."""
        account = await self.account(address)
        return 0 if account is None else int(account["next_sequence"].get(str(lane), 0))

    async def fee_params(self) -> FeeParams:
        """The network's fee table."""
        response = (await self.call("abci_query", path="/params/fees"))["response"]
        value = base64.b64decode(response["value"] or "")
        return FeeParams.from_record(decode(value)) if value else FeeParams()

    # sending

    async def transfer(
        self,
        key: PrivateKey,
        sender: bytes,
        recipient: bytes,
        amount: int,
        asset: str,
        *,
        key_id: int = 0,
        wait_s: float = CALL_SECONDS,
    ) -> TxOutcome:
        """Build, sign and send a transfer of `amount` base units, and wait until it is final (0: do not wait)."""
        raw = await self.sign_operations(
            [call("asset.transfer", asset=asset, to=recipient, amount=amount, tag="")], sender, [(sender, key_id, key)]
        )
        return await self.send(raw, wait_s=wait_s)

    async def sign_operations(
        self,
        ops: Sequence[Sequence[Value]],
        sender: bytes,
        signers: Sequence[tuple[bytes, int, PrivateKey]],
        *,
        max_fee: int | None = None,
        memo: str = "",
    ) -> bytes:
        """A signed transaction of any operations, valid for ten minutes, with the sender's next sequence."""
        if max_fee is None:
            fees = await self.fee_params()
            base = dict(fees.base)
            most = max([fees.base_default, *base.values()])
            max_fee = most * len(ops) + fees.per_signature * len(signers) + fees.per_byte * 256 * 1024
        draft = build(
            chain_id=await self.chain_id(),
            sender=sender,
            seq=await self.next_sequence(sender),
            valid_until=int(time.time()) + VALID_SECONDS,
            ops=ops,
            memo=memo,
            max_fee=max_fee,
        )
        return sign(draft, signers)

    async def send(self, raw: bytes, *, wait_s: float = 0) -> TxOutcome:
        """Hand over a signed transaction; with `wait_s` wait until it is in a block. A refusal is an outcome, not an error.

        The same bytes again give the outcome of the first time; other bytes with the same `client_ref` give 122 TX_SEEN.
        """
        result = await self.call("broadcast_tx_sync", tx=base64.b64encode(raw).decode("ascii"))
        code = int(result["code"])
        outcome = TxOutcome(bytes.fromhex(result["hash"]), 0, code, _code_name(code), result["log"])
        if wait_s <= 0 or code not in (Code.OK, Code.TX_SEEN):
            return outcome
        if code == Code.TX_SEEN and await self._is_unknown(outcome.hash):
            return outcome  # another transaction has done it under the same client_ref; these bytes never come into a block
        return await self.wait(outcome.hash, wait_s)

    async def send_batch(self, raws: Sequence[bytes]) -> list[TxOutcome]:
        """Hand over up to 5,000 signed transactions; an outcome for each."""
        texts = [base64.b64encode(raw).decode("ascii") for raw in raws]
        results = (await self.call("broadcast_tx_batch", txs=texts))["results"]
        return [
            TxOutcome(bytes.fromhex(item["hash"]), 0, int(item["code"]), item["code_name"], item["log"]) for item in results
        ]

    async def _is_unknown(self, tx_hash: bytes) -> bool:
        found = await self.call("tx_status", hash=base64.b64encode(tx_hash).decode("ascii"))
        return bool(found["status"] == "unknown")

    async def wait(self, tx_hash: bytes, wait_s: float = CALL_SECONDS) -> TxOutcome:
        """Wait until a transaction is in a block, or is known never to be. Raises `ClientError` when the time is over."""
        deadline = trio.current_time() + wait_s
        while True:
            found = await self.call("tx_status", hash=base64.b64encode(tx_hash).decode("ascii"))
            if found["status"] not in ("pending", "unknown"):
                return TxOutcome(
                    tx_hash,
                    int(found["height"]),
                    int(found["code"]),
                    found["code_name"],
                    found["log"],
                    int(found["fee"]),
                    int(found["op_index"]),
                    tuple((event["type"], event["attributes"]) for event in found["events"]),
                )
            if trio.current_time() > deadline:
                raise ClientError(
                    f"{tx_hash.hex()} is {found['status']} after {wait_s:g} s",
                    hint="it may still be committed until it expires: ask again with tx_status",
                )
            await trio.sleep(POLL_SECONDS)

    # proving and following

    async def prove(self, path: str, data: bytes = b"", *, wait_s: float = CALL_SECONDS) -> Proven:
        """A record by path (`/account/qx1...`, `/holding/qx1.../QNX`, ...) with its proof verified against the next header's app hash.

        Raises `ProofError` if the node's answer does not prove what it claims.
        """
        answer = (await self.call("abci_query", path=path, data=data.hex(), prove=True))["response"]
        if int(answer["code"]):
            raise ClientError(f"abci_query {path}: {answer['log']}")
        ops = (answer["proofOps"] or {}).get("ops") or []
        if len(ops) != 1:
            raise ProofError("the node gave no proof")
        key, value = resolve_path(path, data), base64.b64decode(answer["value"] or "") or None
        height = int(answer["height"])
        app_hash = await self._app_hash_after(height, wait_s)
        verify_proof(app_hash, key, value, base64.b64decode(ops[0]["data"]))
        return Proven(key, value, height, app_hash)

    async def _app_hash_after(self, height: int, wait_s: float) -> bytes:
        deadline = trio.current_time() + wait_s
        while await self.height() <= height:
            if trio.current_time() > deadline:
                raise ClientError(f"block {height + 1}, whose header proves the state of {height}, did not come")
            await trio.sleep(POLL_SECONDS)
        header = (await self.call("header", height=str(height + 1)))["header"]
        return bytes.fromhex(header["app_hash"])

    @asynccontextmanager
    async def follow(self, query: str = "tm.event = 'NewBlock'", *, after: str = "") -> AsyncIterator[EventStream]:
        """Events as they happen: `async with client.follow(query) as events: async for data in events`.

        The iteration raises `ClientError` when the node goes or cancels the subscription. `after` a cursor, such as the
        `events.cursor` of a stream that ended, what was missed comes first.
        """
        url = "ws" + self.url.removeprefix("http") + "/websocket"
        params = {"query": query, "after": after} if after else {"query": query}
        subscribe = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": params})
        try:
            headers = [(name.encode(), value.encode()) for name, value in self._headers.items()]
            async with trio_websocket.open_websocket_url(
                url, max_message_size=_EVENT_BYTES_MAX, extra_headers=headers
            ) as socket:
                await socket.send_message(subscribe.decode())
                _result_of(await socket.get_message(), self.url)
                yield EventStream(socket, self.url, after)
        except (trio_websocket.ConnectionClosed, trio_websocket.HandshakeError, OSError) as error:
            raise ClientError(f"{self.url}: the subscription ended: {type(error).__name__}") from error

    @asynccontextmanager
    async def follow_blocks(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """Every new block in CometBFT's JSON: `async with client.follow_blocks() as blocks: async for block in blocks`."""
        async with self.follow() as events:
            yield _Blocks(events)


class EventStream:
    """Events of a subscription; `cursor` is the place of the last one, to go on from with another node or connection.

    An iterator, not a generator: leaving the loop early leaves nothing behind to be finalised.
    """

    def __init__(self, socket: Any, url: str, cursor: str) -> None:
        self.cursor = cursor
        self._socket = socket
        self._url = url

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        try:
            message = await self._socket.get_message()
        except trio_websocket.ConnectionClosed as error:
            raise ClientError(f"{self._url}: the node closed the subscription") from error
        result = _result_of(message, self._url)
        if not isinstance(result, dict) or not isinstance(result.get("data"), dict):
            raise ClientError(f"{self._url} sends an event in a form that makes no sense")
        self.cursor = str(result.get("cursor") or self.cursor)
        data: dict[str, Any] = result["data"]
        return data


class _Blocks:
    """The blocks of NewBlock events."""

    def __init__(self, events: AsyncIterator[dict[str, Any]]) -> None:
        self._events = events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> dict[str, Any]:
        block: dict[str, Any] = (await anext(self._events))["value"]["block"]
        return block


def _result_of(message: str | bytes, url: str) -> Any:
    answer = read_answer(message, url)
    if "error" in answer:
        raise ClientError(f"subscribe: {answer['error'].get('data')}")
    return answer["result"]


class SyncClient:
    """The same for scripts: each call opens a connection, does its work and closes it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __getattr__(self, name: str) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            async def work() -> Any:
                async with Client(self.url) as client:
                    return await getattr(client, name)(*args, **kwargs)

            return trio.run(work)

        return run


def tx_hash(raw: bytes) -> bytes:
    """The hash of a signed transaction."""
    return sha256(raw)


def _code_name(code: int) -> str:
    try:
        return Code(code).name
    except ValueError:
        return f"CODE_{code}"
