"""Errors of JSON-RPC: code, message, data. They travel inside HTTP 200, because clients drop the body of anything else.

Only a caller who may not call gets 401 or 403, for those are what proxies and browsers act upon.
"""

from __future__ import annotations

from typing import Any, Final

from state.primitives.errors import RemoteError

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
UNAUTHENTICATED: Final = -32001  # this and the next ones are of the range that JSON-RPC leaves to servers
FORBIDDEN: Final = -32003
NO_VIEW: Final = -32004
LIMIT_EXCEEDED: Final = -32005
INDEX_OFF: Final = -32006
INDEX_UNAVAILABLE: Final = -32007
AUDIT_UNAVAILABLE: Final = -32008
HTTP_STATUS: Final = {UNAUTHENTICATED: 401, FORBIDDEN: 403, NO_VIEW: 403}  # of a request that is one call; a batch is 200

MESSAGES: Final = {
    PARSE_ERROR: "Parse error",
    INVALID_REQUEST: "Invalid Request",
    METHOD_NOT_FOUND: "Method not found",
    INVALID_PARAMS: "Invalid params",
    INTERNAL_ERROR: "Internal error",
    UNAUTHENTICATED: "Unauthorized",
    FORBIDDEN: "Forbidden",
    NO_VIEW: "No view in force",
    LIMIT_EXCEEDED: "Limit exceeded",
    INDEX_OFF: "Index off",
    INDEX_UNAVAILABLE: "Index unavailable",
    AUDIT_UNAVAILABLE: "Audit log unavailable",
}


class RpcError(RemoteError):
    """A call that cannot be answered. `rpc_code` is JSON-RPC's; the sentence travels as `data`, as CometBFT does it."""

    code = 2510
    name = "RPC"

    def __init__(self, rpc_code: int, data: str) -> None:
        super().__init__(data)
        self.rpc_code = rpc_code

    def to_json_rpc(self) -> dict[str, Any]:
        """The `error` member of a response."""
        return {"code": self.rpc_code, "message": MESSAGES[self.rpc_code], "data": self.message}


def invalid_params(data: str) -> RpcError:
    """A parameter is missing, of a wrong type, or out of range."""
    return RpcError(INVALID_PARAMS, data)


def too_wide(data: str) -> RpcError:
    """A query asks for more than one answer may cost. The sentence says how to narrow it, so the same query again is refused again."""
    return RpcError(INVALID_PARAMS, data)


def failed(data: str) -> RpcError:
    """The call is fine but cannot be answered: no such height, no such transaction."""
    return RpcError(INTERNAL_ERROR, data)
