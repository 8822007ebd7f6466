"""The OpenAPI document against the server it describes: every method called with what the document allows, and with what it does not."""

from __future__ import annotations

import base64
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from node.light.proxy import METHODS as LIGHT_METHODS
from node.rpc.client import Client
from node.rpc.methods import METHODS
from node.rpc.openapi import describe_rpc
from node.rpc.params import read_params
from node.rpc.roles import Role
from node.rpc.tokens import add_token
from tests.node.rpc.live import make_live, running, wait_for_height

ROUNDS = 4  # calls of each method
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int}


def check(document: Any, schema: Any, value: Any, place: str = "$") -> None:
    """As much of JSON Schema as the document uses. Raises with the place that differs; a word it does not know is an error too."""
    if "$ref" in schema:
        schema = find(document, schema["$ref"])
    for word, said in schema.items():
        ok = True
        if word == "type":
            ok = type(value) is TYPES[said]
        elif word == "const":
            ok = value == said
        elif word == "enum":
            ok = value in said
        elif word == "oneOf":
            ok = sum(matches(document, one, value) for one in said) == 1
        elif word == "required":
            ok = not isinstance(value, dict) or value.keys() >= set(said)
        elif word == "additionalProperties":
            ok = not isinstance(value, dict) or value.keys() <= schema["properties"].keys()
        elif word == "properties" and isinstance(value, dict):
            for name in said.keys() & value.keys():
                check(document, said[name], value[name], f"{place}.{name}")
        elif word == "items" and isinstance(value, list):
            for number, item in enumerate(value):
                check(document, said, item, f"{place}[{number}]")
        elif word in ("minimum", "maximum"):
            ok = not isinstance(value, int) or (value >= said if word == "minimum" else value <= said)
        elif word in ("minItems", "maxItems", "maxLength"):
            ok = len(value) >= said if word == "minItems" else len(value) <= said
        elif word == "pattern":
            ok = not isinstance(value, str) or re.search(said, value) is not None
        elif word == "contentEncoding":
            base64.b64decode(value, validate=True)
        else:
            assert word in ("properties", "items"), f"{place}: {word} is not known here"
        assert ok, f"{place} is not {word} {said!r}: {value!r}"


def matches(document: Any, schema: Any, value: Any) -> bool:
    try:
        check(document, schema, value)
    except (AssertionError, ValueError, TypeError):
        return False
    return True


def find(document: Any, reference: str) -> Any:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield inner
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def draw(schema: Any, chance: random.Random) -> Any:
    """A value that a schema of a parameter allows, edges more often than not."""
    if schema.get("type") == "integer":
        return chance.choice([schema["minimum"], schema["maximum"], -1, 0, 1, 2, 30, chance.getrandbits(40)])
    if schema.get("type") == "boolean":
        return chance.random() < 0.5
    if schema.get("type") == "array":
        return [draw(schema["items"], chance) for _ in range(chance.randrange(3))]
    data = chance.randbytes(chance.choice([0, 1, 20, 32, 33]))
    if schema.get("contentEncoding"):
        return base64.b64encode(data).decode()
    if "pattern" in schema:
        return ("0x" if "0x" in schema["pattern"] else "") + data.hex()
    texts = ["", "QNX", "tm.event = 'Tx'", "/supply/QNX", 'a "quoted" \\ text', "0x00", "\u00e9\u0000\U0001f600", "x" * 600, "null"]
    return chance.choice(texts)


def spell(parameter: Any, value: Any) -> str:
    if "content" in parameter:
        return json.dumps(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def schema_of(parameter: Any) -> Any:
    return parameter["schema"] if "schema" in parameter else parameter["content"]["application/json"]["schema"]


@pytest.mark.parametrize("methods", [METHODS, LIGHT_METHODS], ids=["node", "light"])
def test_the_document_is_whole(methods: Any) -> None:
    document = json.loads(json.dumps(describe_rpc(methods, "1.2.3")))
    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", "1.2.3")
    assert document["paths"].keys() == {f"/{name}" for name in methods} | {"/", "/ready"}
    for reference in references(document):
        assert find(document, reference)
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for name, method in methods.items():
        operation = document["paths"][f"/{name}"]["get"]
        assert operation["summary"].strip() not in ("", name)
        assert [(row["name"], row["required"]) for row in operation["parameters"]] == [
            (param.name, param.default is ...) for param in method.params
        ]
        assert all(("schema" in row) != ("content" in row) for row in operation["parameters"])


def test_what_the_document_allows_is_read() -> None:
    """URI and POST, without a node: each spelling that a schema allows is one that the server takes, as the same value."""
    document = describe_rpc(METHODS, "1")
    chance = random.Random(7)
    for name, method in METHODS.items():
        rows = document["paths"][f"/{name}"]["get"]["parameters"]
        call = document["components"]["schemas"][f"call_{name}"]["properties"]["params"]
        for _ in range(50):
            drawn = {row["name"]: draw(schema_of(row), chance) for row in rows}
            uri = {row["name"]: spell(row, drawn[row["name"]]) for row in rows}
            read_params(method.params, uri, is_uri=True)
            posted = {}
            for param in method.params:
                schema = call["properties"][param.name]
                posted[param.name] = draw(schema["oneOf"][0] if "oneOf" in schema else schema, chance)
            check(document, call, posted)
            read_params(method.params, posted, is_uri=False)


async def test_the_server_is_what_the_document_says(tmp_path: Path) -> None:
    live = make_live(tmp_path / "net", 1, client_units_per_s=0)
    token = add_token(live.root / "node0" / "rpc_tokens.json", "ops", Role.OPERATOR, "2026-01-31")
    headers = {"authorization": f"Bearer {token}"}
    async with running(live, 1), httpx2.AsyncClient(timeout=120, headers=headers) as http, Client(live.url) as client:
        await wait_for_height(client, 2)
        document = (await http.get(f"{live.url}/openapi.json")).json()
        assert document == json.loads(json.dumps(describe_rpc(METHODS, document["info"]["version"])))
        chance = random.Random(2026)
        answered: dict[str, int] = {}
        for path, operations in document["paths"].items():
            operation = operations.get("get")
            if operation is None or path == "/":
                continue
            for number in range(ROUNDS):
                rows = [row for row in operation.get("parameters", []) if row["required"] or number == 0 or chance.random() < 0.5]
                query = urlencode({row["name"]: spell(row, draw(schema_of(row), chance)) for row in rows})
                response = await http.get(f"{live.url}{path}?{query}")
                said = operation["responses"][str(response.status_code)]["content"]["application/json"]["schema"]
                value = response.json()
                check(document, said, value)
                # what is allowed is never a mistake of spelling, and nothing that a client sends is an internal error without words
                data = value.get("error", {}).get("data", "")
                assert "must be" not in data and "the node could not answer" not in data, (path, query, value)
                answered[path] = answered.get(path, 0) + ("result" in value)
            await _check_refusals(http, live.url, document, path, operation)
        for path in ("/status", "/health", "/genesis", "/net_info", "/dump_consensus_state", "/amm_pools", "/gov_overview"):
            assert answered[path], path
        for name in METHODS:
            response = await http.post(live.url, content=json.dumps([{"id": 1, "method": name}, {"method": name}]))
            check(document, document["paths"]["/"]["post"]["responses"]["200"]["content"]["application/json"]["schema"], response.json())


async def test_what_schemathesis_found(tmp_path: Path) -> None:
    """Each was an answer that the document did not describe."""
    live = make_live(tmp_path / "net", 1, client_units_per_s=0)
    async with running(live, 1), httpx2.AsyncClient(timeout=60) as http, Client(live.url) as client:
        await wait_for_height(client, 1)
        document = (await http.get(f"{live.url}/openapi.json")).json()
        refused = await http.post(live.url, json=[{"id": 1, "method": "audit_entries"}])
        assert (refused.status_code, refused.json()[0]["error"]["code"]) == (200, -32001)  # a batch is 200, also one of one call
        assert (await http.post(live.url, json={"id": 1, "method": "audit_entries"})).status_code == 401
        nameless = await http.post(live.url, json={"id": None, "method": "status"})  # as CometBFT: no id, no answer
        assert (nameless.status_code, nameless.content) == (204, b"")
        for path, methods in (("/", {"GET", "HEAD", "POST"}), ("/ready", {"GET", "HEAD"}), ("/status", {"GET", "HEAD", "POST"})):
            for method in ("OPTIONS", "DELETE", *(["POST"] if "POST" not in methods else [])):
                answer = await http.request(method, live.url + path)
                assert (answer.status_code, set(answer.headers["allow"].split(", "))) == (405, methods), (method, path)
        assert document["paths"]["/status"].keys() == {"get", "post"}
        form = document["paths"]["/block"]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"]
        assert form["properties"].keys() == {"height"}
        posted = await http.post(f"{live.url}/block", data={"height": "1"})
        assert posted.json()["result"]["block"]["header"]["height"] == "1"
        for name in ("snapshot_create", "snapshot_status"):  # they take a ticket where access is open
            assert document["paths"][f"/{name}"]["get"]["security"] == [{}, {"token": []}]


async def _check_refusals(http: httpx2.AsyncClient, url: str, document: Any, path: str, operation: Any) -> None:
    if path == "/ready":
        return
    required = [row for row in operation["parameters"] if row["required"]]
    wrong = [urlencode({row["name"]: spell(row, draw(schema_of(row), random.Random(1))) for row in required} | {"no_such": "1"})]
    wrong += [""] if required else []
    for row in operation["parameters"]:
        kind = schema_of(row).get("type")
        if kind in ("integer", "boolean", "array") or "pattern" in schema_of(row):
            given = {other["name"]: spell(other, draw(schema_of(other), random.Random(1))) for other in required}
            wrong.append(urlencode(given | {row["name"]: "not one"}))
    for query in wrong:
        value = (await http.get(f"{url}{path}?{query}")).json()
        check(document, {"$ref": "#/components/schemas/failure"}, value)
        assert value["error"]["code"] == -32602, (path, query, value)
