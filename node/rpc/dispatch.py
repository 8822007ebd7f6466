"""From the bytes of a request to the bytes of its answer: single calls, batches, notifications. No HTTP and no socket in here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import trio

from node.rpc.caller import Caller
from node.rpc.errors import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    NO_VIEW,
    PARSE_ERROR,
    RpcError,
)
from node.rpc.method import Methods
from node.rpc.params import read_params
from node.rpc.roles import Role
from state.primitives.errors import CorruptError, QenexError, StorageError
from state.primitives.limits import RPC_ANSWER_BYTES_MAX, RPC_BYTES_PER_UNIT

BATCH_CALLS_MAX: Final = 100
DEPTH_MAX: Final = 32
OPENED_MAX: Final = 1_000  # a batch of 100 calls opens about 300
FIELDS_MAX: Final = 100  # of a form
COMMAS_MAX: Final = 20_000  # 5,000 transactions need 5,000
ID_TEXT_MAX: Final = 128
ID_MIN: Final = -(1 << 63)
ID_MAX: Final = (1 << 64) - 1
# A string, closed or not, or a bracket: one pass, whatever the body holds.
_TOKENS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[][{}]', re.DOTALL)

encode = msgspec.json.encode
_decode = msgspec.json.decode


def decode_request(body: bytes) -> Any:
    """The JSON value of a body. Raises `RpcError` for what is no JSON, NaN included, or is too deep."""
    opened = body.count(b"[") + body.count(b"{")
    if opened > OPENED_MAX or body.count(b",") > COMMAS_MAX:
        raise RpcError(PARSE_ERROR, "more objects, lists or values than any call needs")
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RpcError(PARSE_ERROR, f"not JSON: {error}") from error
    if opened > DEPTH_MAX and _depth(body) > DEPTH_MAX:
        raise RpcError(PARSE_ERROR, f"JSON nested deeper than {DEPTH_MAX}")
    return value


def _depth(body: bytes) -> int:
    depth = deepest = 0
    for token in _TOKENS.finditer(body):
        first = token.group()[:1]
        if first in (b"[", b"{"):
            depth += 1
            deepest = max(deepest, depth)
        elif first != b'"':
            depth -= 1
    return deepest


async def answer_body(methods: Methods, backend: Any, body: bytes, caller: Caller) -> bytes:
    """The answer to a POST body; empty when every call in it was a notification."""
    try:
        caller.spend(1 + len(body) // RPC_BYTES_PER_UNIT)
        request = decode_request(body)
    except RpcError as error:
        caller.code = error.rpc_code
        return encode_error(None, error)
    if not isinstance(request, list):
        return await answer_call(methods, backend, request, caller)
    if not 1 <= len(request) <= BATCH_CALLS_MAX:
        return encode_error(None, RpcError(INVALID_REQUEST, f"a batch has 1 to {BATCH_CALLS_MAX} calls"))
    answers: list[bytes] = []
    room = RPC_ANSWER_BYTES_MAX
    for call in request:
        if room > 0:
            answer = await answer_call(methods, backend, call, caller)
        else:
            call_id = call.get("id") if isinstance(call, dict) else None
            too_large = RpcError(INTERNAL_ERROR, f"the answers to this batch are larger than {RPC_ANSWER_BYTES_MAX} bytes")
            answer = encode_error(call_id if _is_id(call_id) else None, too_large)
        if answer:
            answers.append(answer)
            room -= len(answer)
    return b"[" + b",".join(answers) + b"]" if answers else b""


async def answer_call(methods: Methods, backend: Any, call: Any, caller: Caller) -> bytes:
    """The encoded response to one call, nothing for a notification. Others get a turn first: many calls must not look like one."""
    await trio.lowlevel.checkpoint()
    try:
        call_id, method, params, is_notification = read_call(call)
    except RpcError as error:
        return encode_error(None, error)
    try:
        result = await invoke(methods, backend, method, params, caller, is_uri=False)
    except RpcError as error:
        return b"" if is_notification else encode_error(call_id, error)
    return b"" if is_notification else encode_result(call_id, result)


def read_call(call: Any) -> tuple[Any, str, Any, bool]:
    """(id, method, params, whether it is a notification). Raises `RpcError`."""
    if not isinstance(call, dict):
        raise RpcError(INVALID_REQUEST, "a call is an object")
    call_id, method = call.get("id"), call.get("method")
    if not isinstance(method, str):
        raise RpcError(INVALID_REQUEST, "a call names its method")
    if call.get("jsonrpc", "2.0") != "2.0":
        raise RpcError(INVALID_REQUEST, 'jsonrpc is "2.0"')
    if not _is_id(call_id):
        raise RpcError(INVALID_REQUEST, "an id is a string or an integer")
    return call_id, method, call.get("params"), call_id is None  # CometBFT takes an id of null for none


def _is_id(value: Any) -> bool:
    if type(value) is int:
        return ID_MIN <= value <= ID_MAX
    return value is None or (isinstance(value, str) and len(value) <= ID_TEXT_MAX)


async def invoke(methods: Methods, backend: Any, name: str, params: Any, caller: Caller, *, is_uri: bool) -> Any:
    """Run a method. Raises `RpcError` for everything a caller did wrong; what is wrong with the node itself rises as it is."""
    caller.note(name)
    try:
        return await _invoke(methods, backend, name, params, caller, is_uri=is_uri)
    except RpcError as error:
        caller.code = error.rpc_code
        raise


async def _invoke(methods: Methods, backend: Any, name: str, params: Any, caller: Caller, *, is_uri: bool) -> Any:
    method = methods.get(name)
    caller.spend(1 if method is None else method.cost)
    role = Role.PUBLIC if method is None else method.role
    caller.require(role, name)
    names = () if method is None else [param.name for param in method.params]
    try:
        if method is None:
            raise RpcError(METHOD_NOT_FOUND, f"there is no method {name[:64]!r}")
        arguments = read_params(method.params, params, is_uri=is_uri)
        if method.shows is not None:
            caller.require_view(method.shows, name, arguments, backend)
    except RpcError as error:
        if error.rpc_code != NO_VIEW:  # who asks wrongly has asked; who is refused is counted
            await caller.record(role, name, names, params)
        raise
    await caller.record(role, name, names, params)
    try:
        return await method.handler(backend, *arguments.values())
    except (RpcError, CorruptError, StorageError):
        raise
    except QenexError as error:
        raise RpcError(INTERNAL_ERROR, f"{error.name}: {error.message}") from error


def encode_result(call_id: Any, result: Any) -> bytes:
    """A response with a result."""
    return encode({"jsonrpc": "2.0", "id": call_id, "result": result})


def encode_error(call_id: Any, error: RpcError) -> bytes:
    """A response with an error; without a known id it is -1, as CometBFT answers."""
    return encode({"jsonrpc": "2.0", "id": -1 if call_id is None else call_id, "error": error.to_json_rpc()})


def read_form(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form in a body. Raises `RpcError`."""
    try:
        return parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise RpcError(INVALID_REQUEST, f"not a form: {error}; JSON is posted to /") from error


async def answer_uri(methods: Methods, backend: Any, name: str, query: Mapping[str, str], caller: Caller) -> bytes:
    """The answer to a GET."""
    try:
        return encode_result(-1, await invoke(methods, backend, name, dict(query), caller, is_uri=True))
    except RpcError as error:
        return encode_error(None, error)
