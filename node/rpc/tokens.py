"""The file of bearer tokens: names, roles and SHA-256 hashes. A token itself is shown once, when it is made, and kept nowhere.

A regulator's token may be bound to an account of the ledger, whose views it then needs; of any other role that is a mistake.
A token has 256 bits of chance, so a plain hash is enough: there is nothing to guess. The file is read only if nobody but its owner can.
HTTP and methods are not known here.
"""

from __future__ import annotations

import base64
import re
import secrets
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from node.keystore import read_private_file, write_private_file
from node.rpc.roles import Role
from state.primitives.errors import ConfigError, MalformedError
from state.primitives.hashing import sha256
from state.primitives.ids import parse_address

TOKENS_MAX: Final = 1_000  # each request is compared with all of them: 0.2 ms
FILE_BYTES_MAX: Final = 1024 * 1024
PREFIX: Final = "qxt_"  # so that scanners of leaked secrets know one
_SECRET_BYTES: Final = 32
_NAME: Final = r"^[a-z0-9][a-z0-9._-]{0,63}\Z"


class Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row of the file; `created` is a date, `account` the address that it is bound to."""

    name: Annotated[str, Meta(pattern=_NAME)]
    role: Role
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
    created: Annotated[str, Meta(max_length=10)]
    account: str | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal[1]
    tokens: Annotated[tuple[Token, ...], Meta(max_length=TOKENS_MAX)]


def hash_token(token: str) -> str:
    """What is stored of a token."""
    return sha256(token.encode("utf-8", "surrogateescape")).hex()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """Every token. Raises `KeyFileError` for a file that others can read, `ConfigError` for none or a damaged one."""
    if not path.exists():
        raise ConfigError(f"there are no tokens: {path} is missing", hint="qenex rpc token new makes one")
    data = read_private_file(path, FILE_BYTES_MAX)
    try:
        found = msgspec.json.decode(data, type=_File).tokens
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{path} is no file of tokens: {error}", hint="qenex rpc token new makes one") from error
    if len({token.name for token in found}) != len(found):
        raise ConfigError(f"{path} has two tokens of one name", hint="take one of them out")
    for token in found:
        problem = _find_problem(token.role, token.account)
        if problem:
            raise ConfigError(f"{path}, token {token.name}: {problem}", hint="take it out; qenex rpc token new makes another")
    return found


def add_token(path: Path, name: str, role: Role, today: str, account: str | None = None) -> str:
    """Make a token and note its hash; the token. Raises `ConfigError` if the name is taken, or the account not one to be bound to."""
    if not re.match(_NAME, name):
        raise ConfigError(f"{name!r} is no name of a token", hint="1 to 64 of a-z 0-9 . _ -, the first a letter or digit")
    problem = _find_problem(role, account)
    if problem:
        raise ConfigError(f"token {name}: {problem}", hint="--account goes with --role regulator: qx1 and 59 characters")
    known = read_tokens(path) if path.exists() else ()
    if any(token.name == name for token in known):
        raise ConfigError(f"there is a token {name} already", hint="choose another name, or revoke it first")
    if len(known) >= TOKENS_MAX:
        raise ConfigError(f"there are {TOKENS_MAX} tokens already", hint="revoke some that are not used")
    token = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_SECRET_BYTES)).decode("ascii").rstrip("=")
    _write(path, (*known, Token(name, role, hash_token(token), today, account)))
    return token


def revoke_token(path: Path, name: str) -> Token:
    """Take a token out of the file. Raises `ConfigError` if there is none of this name."""
    known = read_tokens(path)
    found = next((token for token in known if token.name == name), None)
    if found is None:
        raise ConfigError(f"there is no token {name}", hint="qenex rpc token list shows them")
    _write(path, tuple(token for token in known if token is not found))
    return found


def _find_problem(role: Role, account: str | None) -> str:
    """Why a token of this role cannot be bound to this account, or nothing."""
    if account is None:
        return ""
    if role is not Role.REGULATOR:
        return f"only a token of the role regulator is bound to an account, not one of the role {role.value}"
    try:
        parse_address(account)
    except MalformedError as error:
        return error.message
    return ""


def _write(path: Path, tokens: tuple[Token, ...]) -> None:
    data = msgspec.json.format(msgspec.json.encode(_File(1, tokens)), indent=2) + b"\n"
    write_private_file(path, data, replace=True)
