"""What a client makes of a node that lies, babbles, or never ends: one error that names the node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
import trio
import trio.testing

from node.rpc import answers
from node.rpc.answers import read_answer
from node.rpc.client import Client
from state.primitives.errors import ClientError

URL = "http://127.0.0.1:9"


@pytest.mark.parametrize("data", [b'{"result":null}', b'{"id":1,"result":{"a":[1]}}', b'{"error":{"code":-1}}', '{"result":"x"}'])
def test_good_answers(data: str | bytes) -> None:
    assert read_answer(data, URL).keys() & {"result", "error"}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"no json", b"\xff\xfe", b"[]", b"1", b"{}", b'{"id":1}', b'{"error":null}', b'{"error":"text"}', b'{"error":[1],"result":1}',
        b"[" * 100_000, b'{"result":' + b"[" * 2_000 + b"]" * 2_000 + b"}", b'{"result":"\xed\xa0\x80"}',
    ],
    ids=range(13),
)  # fmt: skip
def test_bad_answers(data: bytes) -> None:
    with pytest.raises(ClientError, match=URL):
        read_answer(data, URL)


class Body(httpx2.AsyncByteStream):
    """Pieces without end, with a pause before each."""

    def __init__(self, piece: bytes, pause_s: float) -> None:
        self.piece, self.pause_s, self.given, self.closed = piece, pause_s, 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await trio.sleep(self.pause_s)
            self.given += 1
            yield self.piece

    async def aclose(self) -> None:
        self.closed = True


@asynccontextmanager
async def asking(body: Body) -> AsyncIterator[Client]:
    client = Client(URL, timeout_s=1)
    client._http = httpx2.AsyncClient(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, stream=body)))
    async with client:
        yield client
    assert body.closed


async def test_no_more_is_kept_than_is_allowed(autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ANSWER_BYTES_MAX", 5_000)
    body = Body(b"x" * 1_000, 0)
    async with asking(body) as client:
        with pytest.raises(ClientError, match="more than 5000 bytes"):
            await client.call("status")
    assert body.given == 6


async def test_an_answer_that_drips_ends(autojump_clock: trio.testing.MockClock) -> None:
    """Each byte comes in time, the last one never."""
    body = Body(b" ", 0.9)
    async with asking(body) as client:
        with pytest.raises(ClientError, match="takes longer than 4 s"):
            await client.call("status")
    assert body.given == 4
