"""The accounts of a load run: the network's own load accounts if its genesis has them, else new ones opened by one rich key.

New accounts are derived from the funder's seed, so a second run finds them and only tops them up. Opening and funding are real
transactions and happen before the clock starts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import trio

from genesis.entries import SINGLE_KEY_ID, SINGLE_KEY_THRESHOLDS, single_key_address
from genesis.testnet import bench_seed_label
from node.bench.load import LoadContext, LoadOptions, Note, run_load
from node.bench.signing import LoadAccount
from node.bench.tally import LoadReport
from node.cli.options import default_testnet_home, find_key_file, find_network
from node.keystore import KeySet, Role, read_key_file
from node.rpc.client import Client
from node.testnet.files import Manifest, has_network, load_account_seed, read_load_seed, read_manifest
from state.modules.accounts import AccountKind
from state.params import FeeParams
from state.primitives.errors import ClientError, ConfigError, KeyFileError
from state.primitives.hashing import sha256
from state.primitives.ids import parse_address
from state.primitives.keys import KeyKind, PrivateKey
from state.primitives.limits import TX_OPS_MAX
from state.transaction import build, call, sign

ASKED_AT_ONCE: Final = 32
FUNDING_WAIT_S: Final = 120.0
TOP_UP: Final = 1_000  # base units beyond what a run can spend, so that the next run has some


async def run_with_accounts(options: LoadOptions, count: int, funder: str, home: Path | None, note: Note) -> LoadReport:
    """Find or make the accounts, then run. `home` is the local network that may hold their keys; None: look for it."""
    async with Client(options.nodes[0]) as client:
        chain_id = await client.chain_id()
        home = home or find_network(chain_id.hex()) or default_testnet_home()
        manifest = _matching_manifest(home, chain_id)
        if manifest is not None:
            options = replace(options, compared_nodes=tuple(f"http://{entry.rpc}" for entry in manifest.nodes))
        fees = await client.fee_params()
        max_fee = max([fees.base_default, *dict(fees.base).values()]) + fees.per_signature + 1_024 * fees.per_byte
        if manifest is not None and manifest.load_accounts >= count:
            seed = read_load_seed(home)
            seeds = [load_account_seed(seed, bench_seed_label(index)) for index in range(count)]
        else:
            key_set = read_key_file(find_key_file(funder, _keys_home(home, manifest)), _no_passphrase, role=Role.USER)
            seeds = [sha256(b"qenex/bench/load/1" + chain_id + key_set.key.seed + b"%d" % index) for index in range(count)]
            need = -(-options.txs // count) * (1 + (max_fee if fees.asset == options.asset else 0)) + TOP_UP
            await _open_and_fund(client, chain_id, key_set, seeds, options.asset, need, fees, note)
        accounts = await _read_accounts(client, seeds)
    return await run_load(options, LoadContext(chain_id, accounts, max_fee), note)


def _matching_manifest(home: Path, chain_id: bytes) -> Manifest | None:
    """The local network's manifest, if the node is one of it."""
    if not has_network(home):
        return None
    manifest = read_manifest(home)
    return manifest if manifest.genesis_hash == chain_id.hex() else None


def _keys_home(home: Path, manifest: Manifest | None) -> Path | None:
    return home if manifest is not None else None


async def _read_accounts(client: Client, seeds: Sequence[bytes]) -> tuple[LoadAccount, ...]:
    """The accounts of these seeds with their next sequences. Raises `ConfigError` if one is missing."""
    addresses = [_address(seed) for seed in seeds]
    found = await _ask_accounts(client, addresses)
    accounts = []
    for seed, address, account in zip(seeds, addresses, found, strict=True):
        if account is None:
            raise ConfigError("a load account is missing on this chain", hint="is this the network that --home describes?")
        accounts.append(LoadAccount(seed, address, int(account["next_sequence"].get("0", 0))))
    return tuple(accounts)


async def _ask_accounts(client: Client, addresses: Sequence[bytes]) -> list[dict[str, Any] | None]:
    """Accounts by address, some at a time."""
    found: list[dict[str, Any] | None] = [None] * len(addresses)
    limit = trio.CapacityLimiter(ASKED_AT_ONCE)

    async def ask(index: int) -> None:
        async with limit:
            found[index] = await client.account(addresses[index])

    async with trio.open_nursery() as nursery:
        for index in range(len(addresses)):
            nursery.start_soon(ask, index)
    return found


async def _open_and_fund(
    client: Client,
    chain_id: bytes,
    funder: KeySet,
    seeds: Sequence[bytes],
    asset: str,
    need: int,
    fees: FeeParams,
    note: Note,
) -> None:
    """One transaction after another of the funder's, 64 operations each; waits for the last."""
    sender = parse_address(funder.account)
    account = await client.account(sender)
    if account is None:
        raise ConfigError(f"key {funder.name} has no account on this chain", hint="--from names a key with funds")
    key_id = next((k["key_id"] for k in account["keys"] if k["public_key"] == funder.key.public_key.data.hex()), None)
    if key_id is None:
        raise ConfigError(f"key {funder.name} is not a key of its account any more")
    ops: list[Any] = []
    keys = [PrivateKey.from_seed(KeyKind.ED25519, seed).public_key for seed in seeds]
    addresses = [single_key_address(key) for key in keys]
    for key, address, found in zip(keys, addresses, await _ask_accounts(client, addresses), strict=True):
        if found is None:
            row = (SINGLE_KEY_ID, int(key.kind), key.data, 1)
            ops.append(
                call(
                    "account.create",
                    address=address,
                    kind=int(AccountKind.CUSTOMER),
                    parent=b"",
                    keys=(row,),
                    thresholds=SINGLE_KEY_THRESHOLDS,
                )
            )
        has = 0 if found is None else int(found["holdings"].get(asset, "0"))
        if has < need:
            ops.append(call("asset.transfer", asset=asset, to=address, amount=need - has, tag=""))
    if not ops:
        return
    note(f"opening and funding {len(seeds)} accounts from {funder.name}")
    sequence = int(account["next_sequence"].get("0", 0))
    most = max([fees.base_default, *dict(fees.base).values()])
    raws = []
    for number, start in enumerate(range(0, len(ops), TX_OPS_MAX)):
        part = ops[start : start + TX_OPS_MAX]
        draft = build(
            chain_id=chain_id,
            sender=sender,
            seq=sequence + number,
            valid_until=int(time.time()) + 600,
            ops=part,
            max_fee=most * len(part) + fees.per_signature + fees.per_byte * 256 * 1024,
        )
        raws.append(sign(draft, ((sender, key_id, funder.key),)))
    for start in range(0, len(raws), 100):
        outcomes = await client.send_batch(raws[start : start + 100])
        for outcome in outcomes:
            if outcome.code:
                raise ClientError(f"funding was refused: {outcome.code} {outcome.code_name} {outcome.log}")
        for outcome in outcomes:
            settled = await client.wait(outcome.hash, FUNDING_WAIT_S)
            if settled.code:
                raise ClientError(f"funding failed: {settled.code} {settled.code_name} {settled.log}")


def _address(seed: bytes) -> bytes:
    return single_key_address(PrivateKey.from_seed(KeyKind.ED25519, seed).public_key)


def _no_passphrase(path: Path) -> bytes:
    raise KeyFileError(f"{path} is encrypted", hint="the load bench takes unencrypted keys of a local network only")
