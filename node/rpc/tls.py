"""TLS of the RPC: a certificate chain and its key, TLS 1.3 only. Links between nodes are another matter (`p2p.tls`): these are pinned keys.

Source: RFC 8446. Every client of the last years speaks 1.3; older versions have nothing that we want to answer for.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from node.config_sections import RpcConfig
from state.primitives.errors import ConfigError


def open_tls(home: Path, config: RpcConfig) -> ssl.SSLContext | None:
    """What encrypts the RPC, or None. Paths are relative to the home. Raises `ConfigError` for files that do not do."""
    if not config.tls_cert and not config.tls_key:
        return None
    if not config.tls_cert or not config.tls_key:
        raise ConfigError("[rpc] tls_cert and tls_key go together", hint="set both, or none")
    certificate, key = home / config.tls_cert, home / config.tls_key
    try:
        if key.stat().st_mode & 0o077:
            raise ConfigError(f"{key} can be read by others", hint=f"run: chmod 600 {key}")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(certificate, key, password=_refuse_passphrase)
    except OSError as error:  # of which SSL's errors are
        reason = error.strerror or str(error)
        raise ConfigError(f"cannot use {certificate} with {key}: {reason}", hint="PEM files: the chain, and its key") from error
    return context


def _refuse_passphrase() -> str:
    raise ConfigError("the TLS key is encrypted", hint="store it unencrypted, readable by its owner only")
