"""Whether an address can be listened on at all, asked before anybody does: a name that means nothing here is no port that is taken.

The port itself is not tried, for it may be free a moment later. Resolving a name may wait for a name server; nothing runs yet then.
"""

from __future__ import annotations

import errno
import socket

from node.config import split_listen
from node.config_sections import Config
from state.primitives.errors import ConfigError


def listens_of(config: Config) -> dict[str, str]:
    """Where a node listens, by the section that says so; what is switched off is left out."""
    found = {"rpc": config.rpc.listen, "p2p": config.p2p.listen, "metrics": config.metrics.listen, "signer": config.signer.listen}
    return {section: listen for section, listen in found.items() if listen}


def find_mistake(listen: str) -> str:
    """Why nobody can listen on this host here, "" if somebody can."""
    host, _ = split_listen(listen)
    try:
        for family, kind, number, _, address in socket.getaddrinfo(host or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
            with socket.socket(family, kind, number) as probe:
                probe.bind(address)
    except socket.gaierror as error:
        return f"the name {host} leads nowhere: {error.strerror}"
    except UnicodeError:
        return f"{host} is no name of a host"
    except OSError as error:
        return f"{host} is no address of this machine" if error.errno == errno.EADDRNOTAVAIL else ""
    return ""


def require_listens(listens: dict[str, str]) -> None:
    """Raise `ConfigError` for the first address that is none of this machine."""
    for section, listen in listens.items():
        why = find_mistake(listen)
        if why:
            raise ConfigError(f"[{section}] listen = {listen}: {why}", hint="give an address of this machine, such as 127.0.0.1")
