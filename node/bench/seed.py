"""A home whose state holds as many accounts as wanted, made without a transaction: for measurements only.

The genesis document names one validator and three users, as of a local network; the load accounts are written beside it with
`Store.bulk_load`, so such a home can be started alone, and no other node can join it by replaying blocks. Keys are unencrypted.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from consensus.validation import ChainTip
from genesis.build import build_changes, build_params, build_validators
from genesis.document import Document
from genesis.entries import SINGLE_KEY_ID, SINGLE_KEY_THRESHOLDS, single_key_address
from genesis.testnet import ASSET, BENCH_FUNDS, NetworkOptions, NetworkPlan, bench_seed_label, plan_network
from node.config import Home
from node.executor import load_state, write_genesis
from node.homes import create_home, install_genesis
from node.keystore import KeySet, Role, new_seed, write_key_file, write_private_file
from node.roles import ChainState
from node.storage.store import Store, StoreOptions
from node.testnet.files import LOAD_SEED, load_account_seed
from state.modules.accounts import AccountKind
from state.params import ConsensusParams
from state.primitives.errors import ConfigError, HomeError
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind, PrivateKey
from state.schema import account_key, decode_record, encode_record, holding_key, supply_key

ACCOUNTS_MAX: Final = 50_000_000
CHUNK: Final = 5_000  # accounts that a worker process makes at once
PROCESSES_MAX: Final = 8
_INLINE_MAX: Final = 20_000  # below this a second process takes longer to start than the work takes

Row = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class SeedReport:
    """What was made, and what opening it again takes."""

    accounts: int
    seconds: float
    open_seconds: float
    open_mib: float  # growth of the process's memory by opening
    db_mib: float
    app_hash: str

    def to_json(self) -> dict[str, object]:
        """The machine-readable form."""
        return {
            "accounts": self.accounts,
            "seconds": self.seconds,
            "open_seconds": self.open_seconds,
            "open_mib": self.open_mib,
            "db_mib": self.db_mib,
            "app_hash": self.app_hash,
        }


def plan_single(chain_id: str, time_ns: int, seed: bytes, params: ConsensusParams | None = None) -> NetworkPlan:
    """One validator, alice, bob and carol; every key follows from `seed`."""
    options = NetworkOptions(validators=1, chain_id=chain_id, time_ns=time_ns, params=params or ConsensusParams())
    return plan_network(options, lambda label: sha256(b"qenex/bench/1" + seed + label.encode()))


def fill_store(store: Store, document: Document, load_seed: bytes, accounts: int) -> ChainState:
    """Write the document's state and `accounts` load accounts into an empty store; it is then one below its first height."""
    height = document.initial_height - 1
    store.bulk_load(_state_rows(document, load_seed, accounts), height, b"")
    first = ChainTip.at_genesis(
        document.chain_id,
        document.initial_height,
        document.time_ns,
        build_validators(document),
        store.root,
        build_params(document).consensus,
    )
    return write_genesis(store, first, (), first.validators)


def _state_rows(document: Document, load_seed: bytes, accounts: int) -> Iterator[Row]:
    supply = supply_key(ASSET)
    for key, value in build_changes(document):
        if value is not None:
            if key == supply:
                (amount,) = decode_record(key, value)
                value = encode_record(key, (amount + accounts * BENCH_FUNDS,))
            yield key, value
    chunks = [(load_seed, start, min(start + CHUNK, accounts)) for start in range(0, accounts, CHUNK)]
    if accounts <= _INLINE_MAX:
        for chunk in chunks:
            yield from account_rows(chunk)
        return
    workers = min(PROCESSES_MAX, os.cpu_count() or 1)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        for first in range(0, len(chunks), 4 * workers):  # in portions: results must not pile up
            for rows in pool.map(account_rows, chunks[first : first + 4 * workers]):
                yield from rows


def account_rows(chunk: tuple[bytes, int, int]) -> list[Row]:
    """The account and the holding of load accounts `start` to `stop`, as stored."""
    load_seed, start, stop = chunk
    rows: list[Row] = []
    funds = encode_record(holding_key(bytes(32), ASSET), (BENCH_FUNDS,))
    for index in range(start, stop):
        seed = load_account_seed(load_seed, bench_seed_label(index))
        public = PrivateKey.from_seed(KeyKind.ED25519, seed).public_key
        address = single_key_address(public)
        key = account_key(address)
        policy = ((SINGLE_KEY_ID, int(public.kind), public.data, 1),)
        rows.append((key, encode_record(key, (int(AccountKind.CUSTOMER), b"", policy, SINGLE_KEY_THRESHOLDS, 0))))
        rows.append((holding_key(address, ASSET), funds))
    return rows


def seed_home(root: Path, accounts: int) -> SeedReport:
    """Make the home, then open its store once more and measure that. Raises `ConfigError`, `HomeError`."""
    if not 0 <= accounts <= ACCOUNTS_MAX:
        raise ConfigError(f"--accounts {accounts}: 0 to {ACCOUNTS_MAX} are possible")
    started = time.perf_counter()
    load_seed = new_seed()
    plan = plan_single("qenex-bench-1", int(time.time()) * 1_000_000_000, new_seed())
    node = plan.nodes[0]
    create_home(
        root,
        moniker=node.moniker,
        vote_kind=KeyKind.MLDSA87,
        passphrase=None,
        node_key=node.node_key,
        validator_keys=node.validator_keys,
    )
    home = Home(root)
    install_genesis(root, plan.document.to_json(), _no_passphrase)
    for user in plan.users:
        path = home.keys_dir / f"{user.name}.json"
        write_key_file(path, KeySet(Role.USER, user.name, (user.key,), user.address), None)
    write_private_file(home.keys_dir / LOAD_SEED, load_seed.hex().encode())
    store = Store.create(home.db_dir)
    fill_store(store, plan.document, load_seed, accounts)
    store.close()
    made = time.perf_counter()
    open_seconds, open_mib, app_hash = measure_open(home.db_dir)
    size = sum(path.stat().st_size for path in home.db_dir.iterdir())
    return SeedReport(
        accounts, round(made - started, 1), open_seconds, open_mib, round(size / 2**20, 1), app_hash.hex().upper()
    )


def measure_open(path: Path, options: StoreOptions | None = None) -> tuple[float, float, bytes]:
    """(seconds, MiB, root) of opening a store in a fresh process, as a node does."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_open_once, path, options).result()


def _open_once(path: Path, options: StoreOptions | None) -> tuple[float, float, bytes]:
    before = _resident_bytes()
    started = time.perf_counter()
    store = Store.open(path, options)
    load_state(store)
    seconds = time.perf_counter() - started
    grown = _resident_bytes() - before
    root = store.root
    store.close()
    return round(seconds, 3), round(grown / 2**20, 1), root


def _resident_bytes() -> int:
    """This process's memory now; the peak would be the parent's, which a child inherits."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _no_passphrase(path: Path) -> bytes:
    raise HomeError(f"{path} is encrypted, and a measurement's keys are not")
