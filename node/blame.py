"""What one message of a peer costs: that peer, and nobody else.

Every loop that reads a peer's messages handles each within `blamed`. A rule that was broken is reported. Anything unforeseen is a defect of
ours that the peer's bytes have brought to light: it is logged as one, and the peer pays, since a node that ended here could be ended by
anybody who knows those bytes. What must end the node passes: storage, our own consensus rules, memory, the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from node.network import Network
from node.telemetry.logs import get_log
from p2p.defects import unforeseen_is_offence
from state.primitives.errors import HandlingError, RemoteError

_LOG: Final = get_log("p2p")


@contextmanager
def blamed(network: Network, peer_id: str) -> Iterator[None]:
    """The block handles one message of this peer."""
    try:
        with unforeseen_is_offence():
            yield
    except RemoteError as error:
        if isinstance(error, HandlingError):
            _LOG.error("a peer's message could not be handled", peer=peer_id, error=error.message, hint=error.hint)
        network.report(peer_id, error)
