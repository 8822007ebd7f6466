"""How long a signature takes: by a signer in this process, and by one in a process of its own over TLS on this machine.

Both are the real ones, with their records on the disk of the directory. Votes for made-up blocks are signed one after another, a height
each. Nothing is sent to anybody else.
"""

from __future__ import annotations

import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import trio

from consensus.block_id import BlockID
from consensus.vote import Vote, VoteType
from genesis.testnet import NetworkOptions, plan_network
from node.config import Home
from node.keystore import KeySet, Role, new_seed, read_key_file
from node.signer_record import SignRequest, Step
from node.signing.home import make_signer_home
from node.signing.key_files import open_ring
from node.signing.remote import RemoteSettings, RemoteSigner
from node.signing.voter import VoteSigner
from node.testnet.processes import NODE_COMMAND
from p2p.identity import NodeIdentity
from p2p.transport import TcpTransport
from state.primitives.errors import KeyFileError, LocalError, QenexError
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind

CONNECT_SECONDS_MAX: Final = 60.0
_TIME_NS: Final = 1_700_000_000 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Times:
    """Microseconds of one signature."""

    p50_us: int
    p99_us: int
    max_us: int


@dataclass(frozen=True, slots=True)
class SignerReport:
    """Both ways, and how many signatures each was measured with."""

    signatures: int
    kind: str
    local: Times
    remote: Times

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form."""
        return asdict(self)


def run_signer_bench(signatures: int, kind: KeyKind, directory: Path) -> SignerReport:
    """Measure in an empty directory. Raises `LocalError` if the signer's process does not come."""
    return trio.run(_measure, signatures, kind, directory)


async def _measure(signatures: int, kind: KeyKind, directory: Path) -> SignerReport:
    options = NetworkOptions(validators=1, base_port=20_000, time_ns=_TIME_NS, vote_key_kind=kind)
    genesis = plan_network(options, lambda label: sha256(b"bench" + label.encode())).document
    node = NodeIdentity(new_seed())
    spare = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
    port = spare.socket.getsockname()[1]
    await spare.aclose()
    place = f"{node.id}@127.0.0.1:{port}"
    made = [
        make_signer_home(directory / name, node=place, genesis=genesis.to_json(), vote_kind=kind, passphrase=None)
        for name in ("local", "remote")
    ]
    ring = open_ring(Home(directory / "local"), genesis.hash, _read_keys)
    if ring is None:
        raise LocalError("the bench has lost its keys")
    local = await _ask(ring, made[0][1], genesis.chain_id, signatures)
    ring.close()
    settings = RemoteSettings("127.0.0.1", port, made[1][0], genesis.hash, (made[1][1],), 10.0)
    remote = RemoteSigner(settings, TcpTransport(node), _ignore)
    async with trio.open_nursery() as nursery:
        await nursery.start(remote.run)
        process = subprocess.Popen(
            [*NODE_COMMAND, "signer", "start", "--home", str(directory / "remote")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            with trio.move_on_after(CONNECT_SECONDS_MAX) as scope:
                await remote.wait_ready()
            if scope.cancelled_caught:
                raise LocalError(f"the signer's process did not come within {CONNECT_SECONDS_MAX:.0f} s")
            elsewhere = await _ask(remote, made[1][1], genesis.chain_id, signatures)
        finally:
            process.terminate()
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(process.wait)
        nursery.cancel_scope.cancel()
    return SignerReport(signatures, kind.name.lower(), local, elsewhere)


async def _ask(signer: VoteSigner, address: bytes, chain_id: str, signatures: int) -> Times:
    spent: list[float] = []
    block_id = BlockID(sha256(b"a block"), 1, sha256(b"its parts"))
    for height in range(1, signatures + 1):
        vote = Vote(VoteType.PRECOMMIT, height, 0, block_id, _TIME_NS, address, 0)
        request = SignRequest(height, 0, Step.PRECOMMIT, vote.sign_bytes(chain_id), block_id.hash, 0, block_id.hash, 0, 1)
        started = time.perf_counter()
        await signer.ask(vote, request, address)
        spent.append(1e6 * (time.perf_counter() - started))
        await trio.lowlevel.checkpoint()
    spent.sort()
    return Times(round(spent[len(spent) // 2]), round(spent[len(spent) * 99 // 100]), round(spent[-1]))


def _read_keys(path: Path) -> KeySet:
    def refuse(file: Path) -> bytes:
        raise KeyFileError(f"{file} is encrypted")

    return read_key_file(path, refuse, role=Role.VALIDATOR)


def _ignore(_who: str, _error: QenexError) -> None:
    return

