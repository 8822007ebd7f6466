"""A regulator's token that is bound to an account: what it is told is what the ledger says this account has a view of, at each call."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
import structlog
import trio
import trio_websocket

from node.audit.chain import read_line
from node.config import Home
from node.keystore import Role as KeyRole
from node.keystore import read_key_file
from node.rpc.access import Access
from node.rpc.client import Client
from node.rpc.errors import INVALID_PARAMS, METHOD_NOT_FOUND, NO_VIEW, RpcError
from node.rpc.method import Shows
from node.rpc.methods import METHODS
from node.rpc.params import Kind
from node.rpc.roles import Role
from node.rpc.tokens import add_token, read_tokens
from node.rpc.views import find_subject
from state.codes import Code
from state.modules.views import ViewScope
from state.primitives.errors import ConfigError
from state.primitives.ids import format_address, parse_address
from state.primitives.keys import PrivateKey
from state.transaction import call
from tests.node.maintenance.chain import make_network, qenex
from tests.node.rpc.live import Live, make_live, no_passphrase, running

LOG = structlog.get_logger()
SOMEBODY = format_address(bytes(range(32)))
DAY_S = 86_400


# the table


def test_each_question_of_a_regulator_says_what_it_shows() -> None:
    """A new method of the role regulator fails here until it does; a view of what no parameter names would never be enough."""
    for name, method in METHODS.items():
        assert (method.shows is not None) == (method.role is Role.REGULATOR), name
        if method.shows is not None:
            named = {param.name for param in method.params if param.name in ("account", "subject", "asset") and param.kind is Kind.TEXT}
            assert {method.shows.account, method.shows.asset} - {""} == named, name


def test_what_a_call_asks_about() -> None:
    shows = Shows(account="who", asset="asset")
    assert find_subject(shows, {"who": SOMEBODY, "asset": "QNX"}) == (bytes(range(32)), "QNX")
    assert find_subject(shows, {"who": "", "asset": ""}) == find_subject(Shows(), {"who": SOMEBODY}) == (b"", "")
    for wrong in ({"who": SOMEBODY[:-1], "asset": ""}, {"who": SOMEBODY, "asset": "\u00c9UR"}, {"who": "fma", "asset": "QNX"}):
        with pytest.raises(RpcError) as caught:
            find_subject(shows, wrong)
        assert caught.value.rpc_code == INVALID_PARAMS


# the file and the command


def test_a_token_may_be_bound_to_an_account(tmp_path: Path) -> None:
    path = tmp_path / "rpc_tokens.json"
    add_token(path, "desk", Role.REGULATOR, "2026-01-31")
    assert b"account" not in path.read_bytes()  # so that an older release reads it
    bound = "Bearer " + add_token(path, "fma", Role.REGULATOR, "2026-01-31", SOMEBODY)
    assert [token.account for token in read_tokens(path)] == [None, SOMEBODY]
    assert Access(path, lambda: 0.0, LOG).identify(bound).account == parse_address(SOMEBODY)
    anybody = Access(path, lambda: 0.0, LOG, is_open=True).identify(bound)
    assert (anybody.name, anybody.account) == ("", b"")  # nobody needs a token there
    kept = path.read_bytes()
    for role in (Role.PUBLIC, Role.SUBMIT, Role.OPERATOR):
        with pytest.raises(ConfigError, match="only a token of the role regulator") as caught:
            add_token(path, "more", role, "2026-01-31", SOMEBODY)
        assert (caught.value.code, "--role regulator" in caught.value.hint) == (2010, True)
    for account in ("", "fma", SOMEBODY[:-1], SOMEBODY.upper()):
        with pytest.raises(ConfigError, match="token more: "):
            add_token(path, "more", Role.REGULATOR, "2026-01-31", account)
    assert path.read_bytes() == kept


def test_a_file_with_a_token_that_cannot_be_bound(tmp_path: Path) -> None:
    path = tmp_path / "rpc_tokens.json"
    add_token(path, "fma", Role.REGULATOR, "2026-01-31", SOMEBODY)
    (row,) = json.loads(path.read_bytes())["tokens"]
    rows = [row | {"role": role} for role in ("public", "submit", "operator")]
    rows += [row | {"account": account} for account in ("", SOMEBODY[:-1])]
    for wrong in rows:
        path.write_text(json.dumps({"format": 1, "tokens": [wrong]}))
        with pytest.raises(ConfigError, match="token fma: "):
            read_tokens(path)
    path.write_text(json.dumps({"format": 1, "tokens": [row | {"account": 7}]}))
    with pytest.raises(ConfigError, match="no file of tokens"):
        read_tokens(path)
    row.pop("account")  # as files were before there were accounts in them
    path.write_text(json.dumps({"format": 1, "tokens": [row]}))
    assert read_tokens(path)[0].account is None


def test_the_command(tmp_path: Path) -> None:
    home = make_network(tmp_path)
    new = ("rpc", "token", "new", "--home", home, "--json")
    assert qenex(*new, "--role", "regulator", "--name", "fma", "--account", SOMEBODY).data["account"] == SOMEBODY
    assert qenex(*new, "--role", "regulator", "--name", "desk").data["account"] == ""
    for wrong in (("--role", "submit", "--account", SOMEBODY), ("--role", "regulator", "--account", "")):
        failed = qenex(*new, *wrong, "--name", "more")
        assert (failed.code, failed.error["code"], failed.error["name"]) == (2, 2010, "CONFIG"), failed
    listed = qenex("rpc", "token", "list", "--home", home, "--json").data["tokens"]
    assert [(row["name"], row["account"]) for row in listed] == [("fma", SOMEBODY), ("desk", "")]
    assert SOMEBODY in qenex("rpc", "token", "list", "--home", home).out
    made = [line for line in Home(home).audit_log_file.read_bytes().splitlines(keepends=True) if b"rpc.token.new" in line]
    assert [read_line(line).detail["account"] for line in made[:2]] == [SOMEBODY, None]


# a real node


@dataclass
class People:
    """Who is who: the supervisor's account is Bob's, Carol is the network's authority."""

    alice: str
    supervisor: str
    carol: str
    authority: PrivateKey

    def questions(self) -> list[tuple[str, dict[str, str], set[str]]]:
        """Methods, parameters, and which view other than the network's is enough: that of Alice's account, or of QNX."""
        alice, carol = {"account": self.alice}, {"account": self.carol}
        view, qnx = {"regulator": self.supervisor}, {"asset": "QNX"}
        return [
            ("comp_account", alice, {"account"}),
            ("comp_account", carol, set()),
            ("comp_holding", alice | qnx, {"account", "asset"}),
            ("comp_holding", carol | qnx, {"asset"}),
            ("comp_holding", alice | {"asset": "EUR"}, {"account"}),
            ("kyc_credentials", alice, {"account"}),
            ("kyc_credential", {"subject": self.alice, "issuer": self.carol, "type": "kyc"}, {"account"}),
            ("kyc_credential", {"subject": self.carol, "issuer": self.alice, "type": "kyc"}, set()),
            ("comp_limits", alice | qnx, {"account", "asset"}),
            ("comp_limits", carol | qnx, {"asset"}),
            ("comp_view", view | alice, {"account"}),
            ("comp_view", view | qnx, {"asset"}),
            ("comp_view", view, set()),
            ("comp_acts", {}, set()),
        ]


class Asking:
    """The ways to ask with a token: POST, GET, a batch, and a WebSocket that stands all the time."""

    def __init__(self, http: httpx2.AsyncClient, url: str, token: str, socket: trio_websocket.WebSocketConnection) -> None:
        self._http, self._url, self._socket = http, url, socket
        self._headers = {"authorization": f"Bearer {token}"}

    async def __call__(self, method: str, params: Any) -> tuple[int, Any]:
        """The HTTP status and the answer to a single call."""
        response = await self._http.post(self._url, content=_spell(method, params), headers=self._headers)
        return response.status_code, response.json()

    async def codes(self, method: str, params: dict[str, str]) -> tuple[int, int, int]:
        """The statuses of POST and GET, which must be one, the code that every way must give, and how many answered."""
        status, posted = await self(method, params)
        got = await self._http.get(f"{self._url}/{method}?{urlencode(params)}", headers=self._headers)
        assert got.status_code == status
        batch = await self._http.post(self._url, content=f"[{_spell('status', {})},{_spell(method, params)}]", headers=self._headers)
        assert batch.status_code == 200
        fine, batched = batch.json()
        assert "result" in fine
        await self._socket.send_message(_spell(method, params))
        told = json.loads(await self._socket.get_message())
        answers = [posted, got.json(), batched, told]
        (code,) = {answer.get("error", {}).get("code", 0) for answer in answers}
        return status, code, sum("result" in answer for answer in answers)


def _spell(method: str, params: Any) -> str:
    return json.dumps({"id": 1, "method": method, "params": params})


async def _check(ask: Asking, people: People, held: set[str]) -> None:
    """Everything is answered that these views are enough for, and nothing else."""
    for method, params, enough in people.questions():
        may = "network" in held or bool(held & enough)
        found = await ask.codes(method, params)
        assert found == ((200, 0, 4) if may else (403, NO_VIEW, 0)), (method, params, held, found)


class Ledger:
    """The authority, who grants views to the supervisor and takes them back."""

    def __init__(self, client: Client, people: People) -> None:
        self._client = client
        self._authority = parse_address(people.carol), 0, people.authority
        self._view: dict[str, Any] = {"regulator": parse_address(people.supervisor)}
        self._targets: dict[ViewScope, dict[str, Any]] = {
            ViewScope.NETWORK: {"account": b"", "asset": ""},
            ViewScope.ACCOUNT: {"account": parse_address(people.alice), "asset": ""},
            ViewScope.ASSET: {"account": b"", "asset": "QNX"},
        }

    async def grant(self, scope: ViewScope, until_s: int) -> int:
        return await self._do("comp.grant_view", scope, until=until_s)

    async def revoke(self, scope: ViewScope) -> int:
        return await self._do("comp.revoke_view", scope)

    async def _do(self, name: str, scope: ViewScope, **more: Any) -> int:
        op = call(name, scope=int(scope), **self._view, **self._targets[scope], **more)
        raw = await self._client.sign_operations([op], self._authority[0], [self._authority])
        return (await self._client.send(raw, wait_s=60)).code


def _people(live: Live) -> People:
    carol = read_key_file(live.root / "keys" / "carol.json", no_passphrase, role=KeyRole.USER)
    return People(format_address(live.sender), format_address(live.recipient), carol.account, carol.key)


async def test_a_bound_token_is_told_what_its_account_has_a_view_of(tmp_path: Path) -> None:
    live = make_live(tmp_path / "net", 1, access="tokens", client_units_per_s=0)
    people, home = _people(live), Home(tmp_path / "net" / "node0")
    fma = add_token(home.tokens_file, "fma", Role.REGULATOR, "2026-01-31", people.supervisor)
    desk = add_token(home.tokens_file, "desk", Role.REGULATOR, "2026-01-31")
    ops = add_token(home.tokens_file, "ops", Role.OPERATOR, "2026-01-31")
    headers = [(b"authorization", b"Bearer " + fma.encode())]
    async with (
        running(live, 1),
        httpx2.AsyncClient(timeout=60) as http,
        Client(live.url, token=ops) as client,
        trio_websocket.open_websocket_url(live.url.replace("http", "ws") + "/websocket", extra_headers=headers) as socket,
    ):
        ask, ledger = Asking(http, live.url, fma, socket), Ledger(client, people)
        await _check(ask, people, set())
        for method, params, _ in people.questions():  # an operator's token, and a regulator's that is bound to nobody
            await client.call(method, **params)
            assert (await Asking(http, live.url, desk, socket)(method, params))[0] == 200
        later = int(time.time()) + DAY_S
        for scope in ViewScope:
            assert await ledger.grant(scope, later) == Code.OK
            await _check(ask, people, {scope.name.lower()})
            assert await ledger.revoke(scope) == Code.OK
            await _check(ask, people, set())
        await _check_the_words(ask, people)
        await _check_the_log(ask, home, people)
        await _check_the_date(ask, ledger, people)


async def _check_the_words(ask: Asking, people: People) -> None:
    _, answer = await ask("comp_holding", [people.alice, "QNX"])
    assert (answer["error"]["code"], answer["error"]["message"]) == (NO_VIEW, "No view in force")
    wanted = f"comp_holding needs a view of the account {people.alice} or of the asset QNX or of the network"
    assert answer["error"]["data"].startswith(wanted)
    assert people.supervisor in answer["error"]["data"] and "comp.grant_view" in answer["error"]["data"]
    _, answer = await ask("comp_acts", {})
    assert answer["error"]["data"].startswith("comp_acts needs a view of the network, ")


async def _check_the_log(ask: Asking, home: Home, people: People) -> None:
    """What was refused is counted and was no request; what was asked wrongly was one."""

    def entries(action: str) -> list[dict[str, Any]]:
        lines = home.audit_log_file.read_bytes().splitlines(keepends=True)
        return [entry.detail for entry in map(read_line, lines) if entry.actor == "token:fma" and entry.action == action]

    while not entries("rpc.refused"):
        await trio.sleep(0.02)
    assert {entry["code"] for entry in entries("rpc.refused")} == {NO_VIEW}
    count = len(entries("rpc.request"))
    assert (await ask("comp_account", {"account": people.alice}))[0] == 403
    assert len(entries("rpc.request")) == count
    wrong = {"account": people.alice[:-1]}
    mistakes = (("comp_account", wrong, INVALID_PARAMS), ("comp_acts", {"x": 1}, INVALID_PARAMS), ("no_such", {}, METHOD_NOT_FOUND))
    for method, params, code in mistakes:
        assert (await ask(method, params))[1]["error"]["code"] == code
        count += 1
        assert len(entries("rpc.request")) == count
    assert "result" in (await ask("status", {}))[1]


async def _check_the_date(ask: Asking, ledger: Ledger, people: People) -> None:
    """A view that is over stops by itself: nobody takes it back."""
    question = ("comp_account", {"account": people.alice})
    assert await ledger.grant(ViewScope.ACCOUNT, int(time.time()) + DAY_S) == Code.OK
    assert (await ask.codes(*question)) == (200, 0, 4)
    outcome = Code.TOO_LATE
    while outcome == Code.TOO_LATE:  # on a slow machine the date is over before the block
        until_s = int(time.time()) + 3
        outcome = await ledger.grant(ViewScope.ACCOUNT, until_s)
    assert outcome == Code.OK
    while (await ask(*question))[0] == 200:
        await trio.sleep(0.05)
    assert time.time() >= until_s
    assert await ask.codes(*question) == (403, NO_VIEW, 0)
