"""What one message of a peer costs: that peer, and nobody else.

Every loop that reads a peer's messages handles each within `blamed`. A rule that was broken is reported. Anything unforeseen is a defect of
ours that the peer's bytes have brought to light: it is logged as one, and the peer pays, since a node that ended here could be ended by
anybody who knows those bytes. What must end the node passes: storage, our own consensus rules, memory, the machine.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from node.network import Network
from node.telemetry.logs import get_log
from state.primitives.errors import CorruptError, HandlingError, LocalError, RemoteError

_LOG: Final = get_log("p2p")
_FRAMES_SHOWN: Final = 4
_OURS: Final = (LocalError, CorruptError, OSError, MemoryError, trio.BrokenResourceError, trio.ClosedResourceError)


@contextmanager
def blamed(network: Network, peer_id: str) -> Iterator[None]:
    """The block handles one message of this peer."""
    try:
        yield
    except RemoteError as error:
        network.report(peer_id, error)
    except _OURS:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the node must outlive a peer's bytes
        places = [f"{frame.name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-_FRAMES_SHOWN:]]
        # its text may be the peer's bytes
        _LOG.error("a peer's message could not be handled: a defect, please report it", peer=peer_id, error=type(error).__name__, at=places)
        network.report(peer_id, HandlingError(f"its message could not be handled ({type(error).__name__})"))
