"""What RPC methods need of the node, in one place: the parts, and readings that several methods share. It answers nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, Protocol

from consensus.block import Block
from consensus.commit import Commit, PqCommit
from genesis.document import Document
from node.audit.writer import AuditWriter
from node.backup.task import SnapshotMaker
from node.clock import Clock
from node.engine import Engine
from node.executor import LedgerExecutor
from node.indexer.task import Index
from node.mempool.mempool import Mempool
from node.rpc import shapes
from node.rpc.errors import RpcError, failed
from node.rpc.events import EventBus, HeightEvents, Updates
from node.signing.voter import VoteSigner
from node.storage.store import Store
from node.telemetry.levels import LogLevels
from node.telemetry.monitor import Monitor
from node.tips import commits_at, validators_at
from p2p.switch import Switch
from state.params import ConsensusParams
from state.paths import PARAM_KEYS
from state.primitives.canonical import NS_PER_S
from state.primitives.codec import decode
from state.primitives.errors import ProofError
from state.receipts import Receipt
from state.validators import ValidatorSet

COMET_VERSION: Final = "0.38.22"  # clients choose their dialect by this number; ours stands in `moniker` and `other`
BLOCKS_CACHED: Final = 4  # decoded receipts of a full block are 5 MB and more


class Reloading(Protocol):
    """What reads the settings again; see `node.reload`."""

    async def reload(self) -> Any:
        """Returns an outcome with `to_json`. Raises `QenexError`."""
        ...


class NodeBackend:
    """The running node, as RPC sees it."""

    def __init__(
        self,
        moniker: str,
        version: str,
        document: Document,
        signer: VoteSigner | None,
        store: Store,
        executor: LedgerExecutor,
        mempool: Mempool,
        engine: Engine,
        switch: Switch,
        clock: Clock,
        bus: EventBus,
    ) -> None:
        self.moniker = moniker
        self.version = version
        self.document = document
        self.signer = signer
        self.store = store
        self.executor = executor
        self.mempool = mempool
        self.engine = engine
        self.switch = switch
        self.clock = clock
        self.bus = bus
        self.monitor: Monitor | None = None  # of a running node, once it is made
        self.audit: AuditWriter | None = None  # likewise
        self.snapshots: SnapshotMaker | None = None  # likewise
        self.levels: LogLevels | None = None  # these two are a running node's
        self.reloader: Reloading | None = None
        bus.updates_at = self.updates_at
        self.genesis_json = b""  # rendered once, when it is first asked for
        self.index: Index | None = None  # set once the index runs; without one, methods about history say so
        self.block_at: Callable[[int], Block] = lru_cache(maxsize=BLOCKS_CACHED)(self._block_at)
        self.receipts_at: Callable[[int], tuple[Receipt, ...]] = lru_cache(maxsize=BLOCKS_CACHED)(self._receipts_at)

    @property
    def height(self) -> int:
        """The last committed height; below the initial height there is no block."""
        return self.store.height

    @property
    def chain_id(self) -> str:
        """The chain's name."""
        return self.document.chain_id

    def base_height(self) -> int:
        """The lowest block that is kept."""
        return self.store.base_height()

    def has_blocks(self) -> bool:
        """Whether there is any block yet."""
        return self.height >= self.document.initial_height

    def resolve_height(self, height: int | None) -> int:
        """A height whose block is here; None is the latest. Raises `RpcError`."""
        if height is None:
            height = self.height
        if not max(self.document.initial_height, self.store.base_height()) <= height <= self.height:
            raise failed(f"height {height} is not available: blocks {self.store.base_height()} to {self.height} are")
        return height

    def _block_at(self, height: int) -> Block:
        return Block.from_wire(decode(self._row("b", height)))

    def _receipts_at(self, height: int) -> tuple[Receipt, ...]:
        return tuple(Receipt.from_wire(item) for item in decode(self._row("e", height)))

    def _row(self, letter: str, height: int) -> bytes:
        row = self.store.height_row(letter, height)
        if row is None:
            raise failed(f"block {height} is not kept any more")
        return row

    def load_events(self, height: int) -> HeightEvents:
        """The events of a height, from the store."""
        return HeightEvents(self.block_at(height), self.receipts_at(height), self.store.root_at(height) or b"", self.updates_at)

    def why_not_ready(self, age_s_max: int) -> str:
        """See `RpcBackend`."""
        if not self.has_blocks():
            return "there is no block yet"
        if self.engine.catching_up:
            return f"catching up: height {self.height}, and a peer has more"
        return describe_age(self.clock.now_ns() - self.executor.state.tip.last_block_time_ns, age_s_max)

    def commit_at(self, height: int) -> tuple[Commit, bool]:
        """(commit, canonical): from the next block, which fixes it, or for the latest height the one it was decided with."""
        if height < self.height:
            return self.block_at(height + 1).last_commit, True
        return self.seen_commit_at(height)[0], False

    def seen_commit_at(self, height: int) -> tuple[Commit, PqCommit]:
        """The commit this node decided with, and its post-quantum half."""
        self._row("b", height)
        return commits_at(self.store, height)

    def validators_at(self, height: int) -> ValidatorSet:
        """The set that votes on a height."""
        return validators_at(self.store, height)

    def next_height(self) -> int:
        """The height that is being decided."""
        return max(self.height, self.document.initial_height - 1) + 1

    def params_at(self, height: int) -> ConsensusParams:
        """The parameters that a block of this height obeys: they are in the state before it. Raises `RpcError` if that is gone."""
        if height >= self.next_height():
            return self.executor.state.tip.params
        try:
            record = self.store.get_at(PARAM_KEYS["consensus"], height - 1)
        except ProofError as error:
            raise failed(f"the parameters of height {height} are not kept any more") from error
        return self.document.consensus.to_params() if record is None else ConsensusParams.from_record(decode(record))

    def updates_at(self, height: int) -> Updates:
        """What a block changed; parameters are null too when the state before it is pruned."""
        validators = shapes.validator_updates(self.validators_at(height + 1), self.validators_at(height + 2))
        try:
            now, before = self.params_at(height + 1), self.params_at(height)
        except RpcError:
            return validators, None
        return validators, None if now == before else shapes.consensus_params(now)

    def time_s(self) -> int:
        """The time that the chain has now: the next block's, were it made at once."""
        return int(max(self.clock.now_ns(), self.executor.state.tip.last_block_time_ns + 1) // NS_PER_S)

    def record(self, key: bytes) -> bytes | None:
        """The raw value of a state key now."""
        return self.store.get(key)

    def node_info(self) -> dict[str, Any]:
        """Who we are, in CometBFT's words."""
        return describe_node(
            self.switch.id,
            self.document.chain_id,
            self.moniker,
            self.executor.state.tip.params.app_version,
            self.version,
        )


def describe_age(age_ns: int, age_s_max: int) -> str:
    """Why a last block of this age is too old, or nothing."""
    age_s = age_ns // NS_PER_S
    return "" if age_s <= age_s_max else f"the last block is {age_s} s old, more than {age_s_max}"


def describe_node(node_id: str, chain_id: str, moniker: str, app_version: int, version: str) -> dict[str, Any]:
    """DefaultNodeInfo."""
    return {
        "protocol_version": {"p2p": "8", "block": "11", "app": str(app_version)},
        "id": node_id,
        "listen_addr": "tcp://0.0.0.0:0",
        "network": chain_id,
        "version": COMET_VERSION,
        "channels": "10202130",
        "moniker": moniker,
        "other": {"tx_index": "on", "rpc_address": "", "qenex_version": version},
    }
