"""One request's caller, as the calls in it see him: what he may call, what he may still spend, and what was called. No HTTP in here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from node.rpc.access import Identity
from node.rpc.budget import Spend
from node.rpc.roles import Role

NAMES_NOTED_MAX: Final = 3  # of the methods of a batch, for the log


class Caller:
    """`identify` is asked at each call: a token may be revoked while a connection stands."""

    def __init__(self, identify: Callable[[], Identity], spend: Spend) -> None:
        self.spend = spend
        self.methods: list[str] = []
        self.calls = 0
        self.code = 0  # of the last error
        self._identify = identify
        self._identity: Identity | None = None

    @property
    def identity(self) -> Identity | None:
        """Who he is, once a call was made."""
        return self._identity

    def require(self, role: Role | None, method: str) -> None:
        """Raise `RpcError` unless he may call a method that needs this role."""
        self._identity = self._identify()
        self._identity.require(role, method)

    def note(self, method: str) -> None:
        """A call."""
        self.calls += 1
        if len(self.methods) < NAMES_NOTED_MAX:
            self.methods.append(method[:64])
