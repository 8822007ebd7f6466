"""From the bytes of a request to the bytes of its answer: single calls, batches, notifications. No HTTP and no socket in here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from node.rpc.backend import NodeBackend
from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
)
from node.rpc.methods import METHODS
from node.rpc.params import read_params
from state.primitives.errors import CorruptError, QenexError, StorageError

BATCH_CALLS_MAX: Final = 100
DEPTH_MAX: Final = 32
_ID_TEXT_MAX: Final = 128

encode = msgspec.json.encode
_decode = msgspec.json.decode


def decode_request(body: bytes) -> Any:
    """The JSON value of a body. Raises `RpcError` for what is no JSON, NaN included, or is nested beyond `DEPTH_MAX`."""
    depth = deepest = 0
    for byte in body:  # cheaper than decoding a bomb: brackets inside strings only make it stricter
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if deepest > DEPTH_MAX:
                break
        elif byte in b"]}":
            depth -= 1
    if deepest > DEPTH_MAX:
        raise RpcError(PARSE_ERROR, f"JSON nested deeper than {DEPTH_MAX}")
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, f"not JSON: {error}") from error


async def answer_body(backend: NodeBackend, body: bytes) -> bytes:
    """The answer to a POST body; empty when every call in it was a notification."""
    try:
        request = decode_request(body)
    except RpcError as error:
        return encode(error_response(None, error))
    if not isinstance(request, list):
        response = await answer_call(backend, request)
        return b"" if response is None else encode(response)
    if not 1 <= len(request) <= BATCH_CALLS_MAX:
        return encode(error_response(None, RpcError(INVALID_REQUEST, f"a batch has 1 to {BATCH_CALLS_MAX} calls")))
    responses = [response for call in request if (response := await answer_call(backend, call)) is not None]
    return encode(responses) if responses else b""


async def answer_call(backend: NodeBackend, call: Any) -> dict[str, Any] | None:
    """The response to one call, None for a notification."""
    try:
        call_id, method, params, is_notification = read_call(call)
    except RpcError as error:
        return error_response(None, error)
    try:
        result = await invoke(backend, method, params, is_uri=False)
    except RpcError as error:
        return None if is_notification else error_response(call_id, error)
    return None if is_notification else {"jsonrpc": "2.0", "id": call_id, "result": result}


def read_call(call: Any) -> tuple[Any, str, Any, bool]:
    """(id, method, params, whether it is a notification). Raises `RpcError`."""
    if not isinstance(call, dict):
        raise RpcError(INVALID_REQUEST, "a call is an object")
    call_id, method = call.get("id"), call.get("method")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "a call names its method")
    if call.get("jsonrpc", "2.0") != "2.0":
        raise RpcError(INVALID_REQUEST, 'jsonrpc is "2.0"')
    valid_id = call_id is None or type(call_id) is int or (isinstance(call_id, str) and len(call_id) <= _ID_TEXT_MAX)
    if not valid_id:
        raise RpcError(INVALID_REQUEST, "an id is a string or an integer")
    return call_id, method, call.get("params"), "id" not in call


async def invoke(backend: NodeBackend, name: str, params: Any, *, is_uri: bool) -> Any:
    """Run a method. Raises `RpcError` for everything a caller did wrong; what is wrong with the node itself rises as it is."""
    method = METHODS.get(name)
    if method is None:
        raise RpcError(METHOD_NOT_FOUND, f"there is no method {name[:64]!r}")
    arguments = read_params(method.params, params, is_uri=is_uri)
    try:
        return await method.handler(backend, *arguments.values())
    except (RpcError, CorruptError, StorageError):
        raise
    except QenexError as error:
        raise RpcError(INTERNAL_ERROR, f"{error.name}: {error.message}") from error


def error_response(call_id: Any, error: RpcError) -> dict[str, Any]:
    """A response with an error; without a known id it is -1, as CometBFT answers."""
    return {"jsonrpc": "2.0", "id": -1 if call_id is None else call_id, "error": error.to_json_rpc()}


async def answer_uri(backend: NodeBackend, name: str, query: Mapping[str, str]) -> bytes:
    """The answer to a GET."""
    try:
        result = await invoke(backend, name, dict(query), is_uri=True)
    except RpcError as error:
        return encode(error_response(None, error))
    return encode({"jsonrpc": "2.0", "id": -1, "result": result})
