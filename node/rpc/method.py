"""What a method of the RPC is. Which there are is in tables: `node.rpc.methods` for a node, `node.light.proxy` for a light client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from node.rpc.params import Param
from node.rpc.roles import Role

Handler = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Shows:
    """Whose data an answer is: the parameters that name the account and the asset. Where neither is named it is the whole network's."""

    account: str = ""
    asset: str = ""


@dataclass(frozen=True, slots=True)
class Method:
    """A row. The handler gets the backend and the parameters in order.

    `cost` is in units of a client's budget (`node.rpc.budget`): about how many simple calls it is worth. `role` is what a caller must
    have where tokens are asked for; None needs no token. Each method of the role regulator, and no other, says what it `shows`: a token
    that is bound to an account needs that account's view of it (`node.rpc.views`).
    """

    handler: Handler
    params: tuple[Param, ...] = ()
    cost: int = 1
    role: Role | None = Role.PUBLIC
    shows: Shows | None = None


Methods = Mapping[str, Method]
