"""The RPC's description of itself: an OpenAPI 3.1 document made from the table of methods and the docstrings of their handlers.

Each method is a GET, and a POST of a form; POST / takes any of them as JSON-RPC. What `node.rpc.params` reads is said here in JSON Schema:
texts of a URI are JSON (quoted), bytes 0xHEX. A result is an object whose fields the method's words describe; docs/rpc.md says what they
follow. Source: OpenAPI 3.1.0, sections 4.8.10 to 4.8.14; JSON Schema 2020-12.
"""

from __future__ import annotations

import inspect
from typing import Any, Final

from node.rpc.access import WITH_TICKET
from node.rpc.dispatch import BATCH_CALLS_MAX, ID_MAX, ID_MIN, ID_TEXT_MAX
from node.rpc.errors import MESSAGES
from node.rpc.method import Method, Methods
from node.rpc.params import Kind, Param
from node.rpc.roles import Role

Json = Any
_INT64: Final = {"type": "integer", "minimum": -(2**63) + 1, "maximum": 2**63 - 1}
_BASE64: Final = {"type": "string", "contentEncoding": "base64"}
_HEX: Final = {"type": "string", "pattern": "^([0-9a-fA-F]{2})*$"}
_URI_HEX: Final = {"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$"}
_POST_SCHEMAS: Final[dict[Kind, Json]] = {
    Kind.INT: {"oneOf": [_INT64, {"type": "string", "pattern": "^-?[0-9]{1,19}$"}]},
    Kind.BOOL: {"type": "boolean"},
    Kind.TEXT: {"type": "string"},
    Kind.BYTES: _BASE64,
    Kind.HEX: _HEX,
    Kind.BYTES_LIST: {"type": "array", "items": _BASE64},
}
_URI_SCHEMAS: Final[dict[Kind, Json]] = {
    Kind.INT: {"schema": _INT64},
    Kind.BOOL: {"schema": {"type": "boolean"}},
    Kind.TEXT: {"content": {"application/json": {"schema": {"type": "string"}}}},
    Kind.BYTES: {"schema": _URI_HEX},
    Kind.HEX: {"schema": _URI_HEX},
    Kind.BYTES_LIST: {"content": {"application/json": {"schema": {"type": "array", "items": _BASE64}}}},
}
_ID: Final = {
    "oneOf": [
        {"type": "integer", "minimum": ID_MIN, "maximum": ID_MAX},
        {"type": "string", "maxLength": ID_TEXT_MAX},
    ]
}


def describe_rpc(methods: Methods, version: str) -> Json:
    """The document, as JSON values."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "QENEX node RPC",
            "version": version,
            "description": "CometBFT 0.38's routes and those of the ledger. A WebSocket at /websocket takes the same calls, and subscribe, "
            "unsubscribe, unsubscribe_all.",
        },
        "servers": [{"url": "/"}],
        "paths": {
            **{f"/{name}": {"get": _get(name, method), "post": _post(name, method)} for name, method in methods.items()},
            "/": {"get": _INDEX, "post": _json_rpc(methods)},
            "/ready": {"get": _READY},
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _SCHEMAS | {f"call_{name}": _call(name, method) for name, method in methods.items()},
            "responses": {
                "refused": {"description": "No token, or one whose role or views do not cover the call.", "content": _body("failure")}
            },
        },
    }


def _get(name: str, method: Method) -> Json:
    return {"operationId": name, "parameters": [_parameter(param) for param in method.params], **_operation(name, method)}


def _post(name: str, method: Method) -> Json:
    found = {"operationId": f"{name}_form", **_operation(name, method)}
    if method.params:
        required = [param.name for param in method.params if param.default is ...]
        schemas = {param.name: _schema_of(param) for param in method.params}
        form = {"type": "object", "properties": schemas, "required": required, "additionalProperties": False}
        as_json = {param.name: {"contentType": "application/json"} for param in method.params if "content" in _URI_SCHEMAS[param.kind]}
        content = {"schema": form, **({"encoding": as_json} if as_json else {})}
        found["requestBody"] = {"required": bool(required), "content": {"application/x-www-form-urlencoded": content}}
    return found


def _operation(name: str, method: Method) -> Json:
    summary, _, rest = (inspect.getdoc(method.handler) or name).partition("\n")
    return {
        "summary": summary,
        **({"description": rest.strip()} if rest.strip() else {}),
        "security": _security(name, method.role),
        "responses": {
            "200": {"description": "The result, or what is wrong with the call.", "content": _body("answer")},
            "401": {"$ref": "#/components/responses/refused"},
            "403": {"$ref": "#/components/responses/refused"},
        },
        "x-role": None if method.role is None else method.role.value,
        "x-cost": method.cost,
        **({} if method.shows is None else {"x-shows": {"account": method.shows.account, "asset": method.shows.asset}}),
    }


def _security(name: str, role: Role | None) -> Json:
    """What a caller has to show: nothing, a token where tokens are asked for, a token."""
    if role is None:
        return []
    return [{"token": []}] if role is Role.OPERATOR and name not in WITH_TICKET else [{}, {"token": []}]


def _schema_of(param: Param) -> Json:
    found = _URI_SCHEMAS[param.kind]
    return found["schema"] if "schema" in found else found["content"]["application/json"]["schema"]


def _parameter(param: Param) -> Json:
    return {
        "name": param.name,
        "in": "query",
        "required": param.default is ...,
        "description": param.kind.value,
        **_URI_SCHEMAS[param.kind],
    }


def _call(name: str, method: Method) -> Json:
    params = {
        "type": "object",
        "properties": {param.name: _POST_SCHEMAS[param.kind] for param in method.params},
        "required": [param.name for param in method.params if param.default is ...],
        "additionalProperties": False,
    }
    needed = ["params"] if params["required"] else []
    return {
        "type": "object",
        "properties": {"jsonrpc": {"const": "2.0"}, "id": _ID, "method": {"const": name}, "params": params},
        "required": ["method", *needed],
    }


def _json_rpc(methods: Methods) -> Json:
    one: Json = {"oneOf": [{"$ref": f"#/components/schemas/call_{name}"} for name in methods]}
    batch = {"type": "array", "minItems": 1, "maxItems": BATCH_CALLS_MAX, "items": one}
    answers = {"oneOf": [_ref("answer"), {"type": "array", "items": _ref("answer")}]}
    return {
        "operationId": "json_rpc",
        "summary": "Any method as JSON-RPC 2.0, or a batch of them.",
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"oneOf": [one, batch]}}}},
        "security": [{}, {"token": []}],
        "responses": {
            "200": {"description": "An answer for each call with an id.", "content": {"application/json": {"schema": answers}}},
            "204": {"description": "Nothing but notifications."},
            "401": {"$ref": "#/components/responses/refused"},
            "403": {"$ref": "#/components/responses/refused"},
        },
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _body(name: str) -> Json:
    return {"application/json": {"schema": _ref(name)}}


_SCHEMAS: Final[dict[str, Json]] = {
    "answer": {"oneOf": [_ref("success"), _ref("failure")]},
    "success": {
        "type": "object",
        "properties": {"jsonrpc": {"const": "2.0"}, "id": _ID, "result": {"type": "object"}},
        "required": ["jsonrpc", "id", "result"],
        "additionalProperties": False,
    },
    "failure": {
        "type": "object",
        "properties": {
            "jsonrpc": {"const": "2.0"},
            "id": _ID,
            "error": {
                "type": "object",
                "properties": {
                    "code": {"enum": sorted(MESSAGES)},
                    "message": {"enum": sorted(MESSAGES.values())},
                    "data": {"type": "string"},
                },
                "required": ["code", "message", "data"],
                "additionalProperties": False,
            },
        },
        "required": ["jsonrpc", "id", "error"],
        "additionalProperties": False,
    },
    "readiness": {
        "type": "object",
        "properties": {"ready": {"type": "boolean"}, "reason": {"type": "string"}},
        "required": ["ready"],
        "additionalProperties": False,
    },
}
_INDEX: Final = {
    "operationId": "index",
    "summary": "The explorer for browsers, else a list of the methods; for people.",
    "security": [],
    "responses": {
        "200": {"description": "A page.", "content": {kind: {"schema": {"type": "string"}} for kind in ("text/html", "text/plain")}},
    },
}
_READY: Final = {
    "operationId": "ready",
    "summary": "Whether requests should come to this node; for load balancers.",
    "security": [],
    "responses": {
        "200": {"description": "Ready.", "content": _body("readiness")},
        "503": {"description": "Not ready, and why.", "content": _body("readiness")},
    },
}
