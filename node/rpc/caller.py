"""One request's caller, as the calls in it see him: what he may call, what he may still spend, and what was called. No HTTP in here.

Where there is an audit log, what a regulator's or an operator's token asks is in it before it is answered, and what is refused is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from node.audit.requests import RECORDED, RequestLog
from node.rpc.access import Identity
from node.rpc.backend import NodeBackend
from node.rpc.budget import Spend
from node.rpc.errors import AUDIT_UNAVAILABLE, RpcError
from node.rpc.method import Shows
from node.rpc.roles import Role
from node.rpc.views import find_refusal, find_subject
from state.primitives.errors import QenexError

NAMES_NOTED_MAX: Final = 3  # of the methods of a batch, for the log


class Caller:
    """`identify` is asked at each call: a token may be revoked while a connection stands.

    `requests` is the audit log's side of it, or None; `request` is the request's id, `address` where it came from.
    """

    def __init__(
        self,
        identify: Callable[[], Identity],
        spend: Spend,
        requests: RequestLog | None = None,
        request: str = "",
        address: str = "",
    ) -> None:
        self.spend = spend
        self.methods: list[str] = []
        self.calls = 0
        self.code = 0  # of the last error
        self._identify = identify
        self._identity: Identity | None = None
        self._requests = requests
        self._request = request
        self._address = address

    @property
    def identity(self) -> Identity | None:
        """Who he is, once a call was made."""
        return self._identity

    def require(self, role: Role | None, method: str) -> None:
        """Raise `RpcError` unless he may call a method that needs this role."""
        self._identity = None
        try:
            self._identity = self._identify()
            self._identity.require(role, method)
        except RpcError as error:
            self._count(error, method)
            raise

    def require_view(self, shows: Shows, method: str, arguments: Mapping[str, Any], backend: NodeBackend) -> None:
        """Raise `RpcError` if his token is bound to an account that has no view of what a method shows."""
        who = self._identity
        if who is None or not who.account:
            return
        account, asset = find_subject(shows, arguments)
        refusal = find_refusal(backend, who.account, method, account, asset)
        if refusal is not None:
            self._count(refusal, method)
            raise refusal

    def _count(self, refusal: RpcError, method: str) -> None:
        if self._requests is not None:
            actor = f"token:{self._identity.name}" if self._identity and self._identity.name else f"address:{self._address}"
            self._requests.refuse(actor, method, refusal.rpc_code, self._request, self._address)

    async def record(self, role: Role | None, method: str, names: Sequence[str], params: Any) -> None:
        """Put a call that he may make into the audit log, if it belongs there; `role` is what the method needs.

        Raises `RpcError` if that cannot be done: the call is not answered then.
        """
        who = self._identity
        if self._requests is None or role is None or who is None or not who.name or who.role not in RECORDED:
            return
        try:
            await self._requests.record(who.name, who.role, method, names, params, self._request, self._address)
        except QenexError as error:
            raise RpcError(AUDIT_UNAVAILABLE, f"this call must be recorded, and cannot be: {error.name}") from error

    def note(self, method: str) -> None:
        """A call."""
        self.calls += 1
        if len(self.methods) < NAMES_NOTED_MAX:
            self.methods.append(method[:64])
