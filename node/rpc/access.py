"""Who is calling: nobody asks ("open"), or a bearer token says so ("tokens"). Methods and sockets are not known here.

What is an operator's needs an operator's token in both cases.

The file of tokens is looked at again at most once a second, so a revoked token is refused a second later at the latest; a file that
cannot be read any more lets nobody in. Every stored hash is compared, in constant time, whichever matches. No token is ever logged.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.config_sections import RpcConfig
from node.rpc.errors import FORBIDDEN, UNAUTHENTICATED, RpcError
from node.rpc.roles import COVERS, Role
from node.rpc.tokens import Token, hash_token, read_tokens
from state.primitives.errors import ConfigError, QenexError
from state.primitives.ids import parse_address

LOOK_AGAIN_S: Final = 1.0
TOKEN_LENGTH_MAX: Final = 200
WITH_TICKET: Final = ("snapshot_create", "snapshot_status")  # where access is open they want a ticket from the home (node.backup.task)
LOOPBACKS: Final = ("127.", "localhost:", "[::1]:")


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose call it is: the name of a token, or "" for a caller without one; `role` None is one who may call what needs no role."""

    name: str
    role: Role | None
    may_administer: bool = False  # has an operator's token, not only the rights that open access gives
    account: bytes = b""  # what a regulator's token is bound to: it sees what this account has a view of

    def require(self, role: Role | None, method: str) -> None:
        """Raise `RpcError` unless this caller may call a method that needs a role."""
        if role is None:
            return
        if self.role is None:
            raise RpcError(UNAUTHENTICATED, "this node asks for a token: Authorization: Bearer TOKEN")
        if role not in COVERS[self.role]:
            raise RpcError(FORBIDDEN, f"{method} needs the role {role.value}, the token {self.name} has {self.role.value}")
        if role is Role.OPERATOR and not self.may_administer and method not in WITH_TICKET:
            # a proxy on this machine makes everybody a local client, so the address says nothing
            raise RpcError(UNAUTHENTICATED, f"{method} needs an operator's token, also where access is open: see qenex rpc token new")


ANYBODY: Final = Identity("", Role.OPERATOR)  # where no tokens are asked for: may all but administer
TRUSTED: Final = Identity("", Role.OPERATOR, may_administer=True)  # where the methods that are served are harmless
NOBODY: Final = Identity("", None)


class Access:
    """Identities of callers. `now` is a monotonic clock in seconds.

    `path` None trusts everybody (data of a stopped node); with `is_open` the file of tokens only says who is an operator.
    """

    def __init__(self, path: Path | None, now: Callable[[], float], log: Any, *, is_open: bool = False) -> None:
        self._path = path
        self._is_open = is_open
        self._now = now
        self._log = log
        self._tokens: tuple[Token, ...] = ()
        self._seen: tuple[int, ...] = ()
        self._look_at = now()
        if path is not None and not is_open:
            self._seen = _state_of(path)
            self._tokens = read_tokens(path)

    def identify(self, authorization: str | None) -> Identity:
        """Whose an `Authorization` header is. Raises `RpcError` for one that is wrong; none at all is nobody's."""
        if self._path is None:
            return TRUSTED
        if authorization is None:
            return ANYBODY if self._is_open else NOBODY
        try:
            found = self._find(self._path, authorization)
        except RpcError:
            if self._is_open:
                return ANYBODY
            raise
        if self._is_open and found.role is not Role.OPERATOR:
            return ANYBODY  # a token must not take away what needs none
        account = b"" if found.account is None else parse_address(found.account)
        return Identity(found.name, found.role, may_administer=found.role is Role.OPERATOR, account=account)

    def _find(self, path: Path, authorization: str) -> Token:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(token) <= TOKEN_LENGTH_MAX:
            raise RpcError(UNAUTHENTICATED, "the Authorization header is no bearer token")
        self._look_again(path)
        wanted = hash_token(token.strip()).encode()
        found: Token | None = None
        for known in self._tokens:
            if hmac.compare_digest(known.sha256.encode(), wanted):
                found = known
        if found is None:
            raise RpcError(UNAUTHENTICATED, "the token is not known here, or was revoked")
        return found

    def _look_again(self, path: Path) -> None:
        now = self._now()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_AGAIN_S
        seen = _state_of(path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._tokens = read_tokens(path)
        except QenexError as error:
            self._tokens = ()
            self._log.error("no token is accepted", error=error.name, reason=error.message, hint=error.hint)
        else:
            self._log.info("tokens read again", tokens=len(self._tokens))


def open_access(tokens_file: Path, config: RpcConfig, now: Callable[[], float], log: Any) -> Access:
    """As the settings say. Raises `ConfigError` or `KeyFileError` for tokens that are asked for and cannot be read."""
    if config.access == "open":
        return Access(tokens_file, now, log, is_open=True)
    if not tokens_file.exists():
        raise ConfigError(
            f'[rpc] access = "tokens", and there is no {tokens_file}',
            hint=f"make one: qenex rpc token new --home {tokens_file.parent} --role operator --name NAME",
        )
    if not config.tls_cert and not config.listen.startswith(LOOPBACKS):
        log.warning("tokens travel unencrypted", listen=config.listen, hint="set [rpc] tls_cert and tls_key")
    return Access(tokens_file, now, log)


def _state_of(path: Path) -> tuple[int, ...]:
    try:
        found = path.lstat()
    except OSError:
        return ()
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode, found.st_uid
