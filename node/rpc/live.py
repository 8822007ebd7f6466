"""The settings of an RPC server that runs: those that may change are read here each time, never kept. Which may is `node.reload`'s."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from node.config_sections import RpcConfig


class LiveRpc:
    """`config` and `tls` are what holds for the next request and the next connection. `on_change` is for what has to be told."""

    def __init__(self, config: RpcConfig, tls: ssl.SSLContext | None = None) -> None:
        self.config = config
        self.tls = tls
        self.on_change: list[Callable[[RpcConfig], None]] = []

    def apply(self, config: RpcConfig, tls: ssl.SSLContext | None) -> None:
        """From now on these hold. Connections that stand keep their encryption."""
        self.config, self.tls = config, tls
        for tell in self.on_change:
            tell(config)
