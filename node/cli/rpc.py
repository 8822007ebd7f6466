"""`qenex rpc token`: who may ask a node's RPC, where `[rpc] access = "tokens"`. A running node takes notice within a second."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import HOME_HELP, home_option, user_root
from node.cli.output import answer, json_option, table

if TYPE_CHECKING:
    from node.config import Home

_ROLES = click.Choice(["public", "submit", "regulator", "operator"])


@click.group()
def rpc() -> None:
    """Who may ask a node's RPC."""


@rpc.group()
def token() -> None:
    """Make, list and revoke bearer tokens."""


@token.command()
@click.option("--role", type=_ROLES, required=True, help="public: read; submit: send as well; regulator: restrictions; operator: all.")
@click.option("--name", required=True, help="Whose it is, such as branch-7.")
@click.option("--account", metavar="ADDRESS", help="Of a regulator: what it may ask is what this account has views of on the ledger.")
@home_option(HOME_HELP)
@json_option
def new(role: str, name: str, account: str | None, home: Path | None, as_json: bool) -> None:
    """Make a token and show it, once: only its hash is kept."""
    from node.audit.commands import recorded
    from node.rpc.roles import Role
    from node.rpc.tokens import add_token

    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    found = _find(home)
    with recorded(found, "rpc.token.new", name=name, role=role, account=account):
        made = add_token(found.tokens_file, name, Role(role), today, account)
    answer(as_json, {"name": name, "role": role, "account": account or "", "token": made}, [made])


@token.command(name="list")
@home_option(HOME_HELP)
@json_option
def list_(home: Path | None, as_json: bool) -> None:
    """Names, roles, dates and accounts of the tokens."""
    from node.rpc.tokens import read_tokens

    path = _find(home).tokens_file
    found = read_tokens(path) if path.exists() else ()
    fields = ("name", "role", "created", "account")
    rows = [(item.name, item.role.value, item.created, item.account or "") for item in found]
    answer(as_json, {"tokens": [dict(zip(fields, row, strict=True)) for row in rows]}, table(rows, [name.upper() for name in fields]))


@token.command()
@click.option("--name", required=True, help="Which one.")
@home_option(HOME_HELP)
@json_option
def revoke(name: str, home: Path | None, as_json: bool) -> None:
    """Take a token back."""
    from node.audit.commands import recorded
    from node.rpc.tokens import revoke_token

    at = _find(home)
    with recorded(at, "rpc.token.revoke", name=name):
        found = revoke_token(at.tokens_file, name)
    answer(as_json, {"name": name, "role": found.role.value, "revoked": True}, [f"revoked {name} ({found.role.value})"])


def _find(home: Path | None) -> Home:
    from node.config import Home

    found = Home(home or user_root() / "node")
    found.require()
    return found
