"""The plan of a network of n validators on one host, or on hosts with names: keys, ports, peers, and the genesis document they share.

Pure: the same options give the same plan; chance arrives as `seed_of`. Writing files and starting processes is the node's.
Ports: node i listens on base + 10*i for p2p, +1 for RPC, +4 for metrics (26656, 26657, 26660 for node 0 by default); where each node has a
host of its own, all use the ports of node 0, on every address of it. Full nodes follow and do not vote; they come after the validators.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from genesis.document import (
    AccountEntry,
    ComplianceSection,
    ConsensusSection,
    Document,
    FeesSection,
    GovSection,
    HoldingEntry,
    StakeSection,
    compute_node_id,
    format_time,
)
from genesis.entries import plain_asset, single_key_account, validator_entry
from genesis.rules import check
from state.modules.accounts import AccountKind
from state.params import ConsensusParams, StakeParams
from state.params_gov import GovParams
from state.primitives.errors import GenesisError
from state.primitives.keys import KeyKind, PrivateKey
from state.primitives.limits import GENESIS_ACCOUNTS_MAX, GOV_PERIOD_BLOCKS_MIN, PPM

BASE_PORT: Final = 26_656
PORT_STEP: Final = 10
RPC_OFFSET: Final = 1
METRICS_OFFSET: Final = 4
NODES_MAX: Final = 64  # processes on one host
HOST: Final = "127.0.0.1"
ANY_HOST: Final = "0.0.0.0"  # of a machine or a container that is the node's alone
ASSET: Final = "QNX"
ASSET_SCALE: Final = 6
USERS: Final = ("alice", "bob", "carol")
AUTHORITY: Final = "carol"  # acts for the compliance authority
FUNDS: Final = 1_000_000_000 * 10**ASSET_SCALE  # of each user
BENCH_FUNDS: Final = 1_000_000 * 10**ASSET_SCALE  # of each load account
BOND: Final = 1_000_000 * 10**ASSET_SCALE  # of each validator
POWER_UNIT: Final = 100_000 * 10**ASSET_SCALE  # ten units of power each
EVIDENCE_BLOCKS: Final = 100
EVIDENCE_S: Final = 120
UNBONDING_S: Final = 120
DOWNTIME_BLOCKS: Final = 100
JAIL_S: Final = 10
DEPOSIT: Final = 1_000 * 10**ASSET_SCALE  # of a proposal
DEPOSIT_S: Final = 120
VOTING_S: Final = 30
VOTING_EXPEDITED_S: Final = 10
DELAY_S: Final = 5
DELAY_EXPEDITED_S: Final = 1
EXECUTE_S: Final = 3_600

SeedOf = Callable[[str], bytes]


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """What `qenex testnet up` may choose."""

    validators: int = 4
    base_port: int = BASE_PORT
    chain_id: str = "qenex-local-1"
    time_ns: int = 0
    block_interval_ms: int = 1_000
    full_nodes: int = 0  # that do not vote
    hosts: tuple[str, ...] = ()  # of the validators, then of the full nodes; none: all are on this host
    accounts: int = 0  # funded load accounts beside alice, bob and carol
    vote_key_kind: KeyKind = KeyKind.MLDSA87
    params: ConsensusParams = field(default_factory=ConsensusParams)


@dataclass(frozen=True, slots=True)
class FollowerPlan:
    """One node: its addresses for others, where it listens, its key, whom it dials."""

    index: int
    moniker: str
    rpc: str
    p2p: str
    metrics: str
    node_id: str
    peers: tuple[str, ...]  # id@host:port
    listen_host: str
    node_key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class NodePlan(FollowerPlan):
    """One validator."""

    validator_keys: tuple[PrivateKey, PrivateKey] = field(repr=False)  # Ed25519, ML-DSA


@dataclass(frozen=True, slots=True)
class UserPlan:
    """A funded key."""

    name: str
    key: PrivateKey = field(repr=False)
    address: str


@dataclass(frozen=True, slots=True)
class NetworkPlan:
    """Everything that the files of a local network say."""

    document: Document
    nodes: tuple[NodePlan, ...]
    users: tuple[UserPlan, ...]
    owners: tuple[UserPlan, ...] = ()  # of the validators, in their order
    full_nodes: tuple[FollowerPlan, ...] = ()


def ports(base_port: int, index: int) -> tuple[int, int, int]:
    """(p2p, RPC, metrics) of node `index`."""
    first = base_port + PORT_STEP * index
    return first, first + RPC_OFFSET, first + METRICS_OFFSET


def bench_seed_label(index: int) -> str:
    """The label that `seed_of` gets for load account `index`."""
    return f"bench/{index}"


def plan_network(options: NetworkOptions, seed_of: SeedOf) -> NetworkPlan:
    """The plan. `seed_of(label)` gives 32 secret bytes for each label, always the same. Raises `GenesisError`."""
    _check_options(options)
    nodes, full_nodes = _plan_nodes(options, seed_of)
    users = tuple(_plan_user(name, seed_of) for name in USERS)
    owners = tuple(
        single_key_account(_plan_owner(n.index, seed_of).key.public_key, AccountKind.VALIDATOR) for n in nodes
    )
    user_accounts = tuple(single_key_account(user.key.public_key) for user in users)
    load_accounts = tuple(
        single_key_account(_ed25519(seed_of, bench_seed_label(index)).public_key) for index in range(options.accounts)
    )
    issuer = users[0].address
    consensus = _plan_consensus(options)
    document = Document(
        format=1,
        chain_id=options.chain_id,
        genesis_time=format_time(options.time_ns),
        initial_height=1,
        consensus=ConsensusSection.from_params(consensus),
        key_kinds=("ed25519", "mldsa87", "hybrid"),
        fees=FeesSection(asset="", base_default="0", per_signature="0", per_byte="0", free_bytes=512, base={}),
        stake=StakeSection.from_params(_plan_stake(consensus)),
        gov=GovSection.from_params(
            _plan_gov(consensus), tuple(owner.address for owner in owners) if len(owners) > 1 else ()
        ),
        assets=(plain_asset(ASSET, ASSET_SCALE, issuer),),
        accounts=(*user_accounts, *owners, *load_accounts),
        holdings=(*_holdings(user_accounts, FUNDS), *_holdings(load_accounts, BENCH_FUNDS)),
        validators=tuple(
            validator_entry(
                moniker=node.moniker,
                ed25519_key=node.validator_keys[0].public_key,
                pq_key=node.validator_keys[1].public_key,
                node_key=node.node_key.public_key,
                owner=owner.address,
                bonded=BOND,
            )
            for node, owner in zip(nodes, owners, strict=True)
        ),
        admitted_node_ids=tuple(node.node_id for node in full_nodes),
        compliance=ComplianceSection((user_accounts[USERS.index(AUTHORITY)].address,), False),
    )
    check(document)
    return NetworkPlan(document, nodes, users, tuple(_plan_owner(node.index, seed_of) for node in nodes), full_nodes)


def _plan_consensus(options: NetworkOptions) -> ConsensusParams:
    """What the options say; the evidence window is short unless they say otherwise, so that stake can leave soon."""
    params, usual = options.params, ConsensusParams()
    if (params.evidence_blocks_max, params.evidence_age_s_max) == (usual.evidence_blocks_max, usual.evidence_age_s_max):
        params = replace(params, evidence_blocks_max=EVIDENCE_BLOCKS, evidence_age_s_max=EVIDENCE_S)
    return replace(params, block_interval_ms=options.block_interval_ms, vote_key_kind=options.vote_key_kind)


def _plan_stake(consensus: ConsensusParams) -> StakeParams:
    """Short times, so that jail, unbonding and return can be watched."""
    evidence_s = max(consensus.evidence_age_s_max, consensus.evidence_blocks_max * consensus.block_interval_ms // 1_000)
    return StakeParams(
        asset=ASSET,
        power_unit=POWER_UNIT,
        bond_min=POWER_UNIT,
        unbonding_s=max(UNBONDING_S, evidence_s),
        downtime_window=DOWNTIME_BLOCKS,
        jail_s=JAIL_S,
        reward_fees_ppm=PPM,
    )


def _plan_gov(consensus: ConsensusParams) -> GovParams:
    """Short times, so that a proposal can be followed from its deposit to its execution."""
    least_s = -(-GOV_PERIOD_BLOCKS_MIN * consensus.block_interval_ms // 1_000)
    return GovParams(
        deposit_min=DEPOSIT,
        deposit_s=max(DEPOSIT_S, least_s),
        voting_s=max(VOTING_S, least_s),
        voting_expedited_s=max(VOTING_EXPEDITED_S, least_s),
        delay_s=DELAY_S,
        delay_expedited_s=DELAY_EXPEDITED_S,
        execute_s=max(EXECUTE_S, least_s),
    )


def _check_options(options: NetworkOptions) -> None:
    if not 1 <= options.validators <= NODES_MAX:
        raise GenesisError(f"--validators {options.validators}: a local network has 1 to {NODES_MAX}")
    count = options.validators + options.full_nodes
    if options.full_nodes < 0 or count > NODES_MAX:
        raise GenesisError(f"--full-nodes {options.full_nodes}: a network has at most {NODES_MAX} nodes in all")
    last = max(ports(options.base_port, 0 if options.hosts else count - 1))
    if options.base_port < 1 or last > 65_535:
        raise GenesisError(f"--base-port {options.base_port}: {count} nodes need ports up to {last}, 65535 is the last")
    _check_hosts(options.hosts, count)
    if not 0 <= options.accounts <= GENESIS_ACCOUNTS_MAX - 2 * NODES_MAX:
        raise GenesisError(f"--accounts {options.accounts}: 0 to {GENESIS_ACCOUNTS_MAX - 2 * NODES_MAX} are possible")


def _check_hosts(hosts: tuple[str, ...], count: int) -> None:
    if not hosts:
        return
    if len(hosts) != count:
        raise GenesisError(f"--hosts names {len(hosts)} hosts for {count} nodes", hint="one for each validator, then for each full node")
    for host in hosts:
        if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", host):
            raise GenesisError(f"--hosts: {host!r:.80} is not the name of a host", hint="letters, digits, dots and hyphens")
        if hosts.count(host) > 1:
            raise GenesisError(f"--hosts names {host} twice", hint="all nodes use the same ports, so each needs a host of its own")


def _plan_nodes(options: NetworkOptions, seed_of: SeedOf) -> tuple[tuple[NodePlan, ...], tuple[FollowerPlan, ...]]:
    """Validators dial one another; full nodes dial the validators."""
    count = options.validators + options.full_nodes
    identities = [PrivateKey.from_seed(KeyKind.MLDSA87, seed_of(f"node/{i}")) for i in range(count)]
    ids = [compute_node_id(identity.public_key) for identity in identities]
    places = [_place(options, i) for i in range(count)]
    nodes: list[NodePlan] = []
    full_nodes: list[FollowerPlan] = []
    for i, (identity, place) in enumerate(zip(identities, places, strict=True)):
        follower = FollowerPlan(
            index=i,
            moniker=f"node{i}",
            p2p=place[0],
            rpc=place[1],
            metrics=place[2],
            node_id=ids[i],
            peers=tuple(f"{ids[j]}@{places[j][0]}" for j in range(options.validators) if j != i),
            listen_host=ANY_HOST if options.hosts else HOST,
            node_key=identity,
        )
        if i >= options.validators:
            full_nodes.append(follower)
            continue
        vote_keys = (
            _ed25519(seed_of, f"validator/{i}/ed25519"),
            PrivateKey.from_seed(options.vote_key_kind, seed_of(f"validator/{i}/pq")),
        )
        fields_ = {name: getattr(follower, name) for name in FollowerPlan.__dataclass_fields__}
        nodes.append(NodePlan(**fields_, validator_keys=vote_keys))
    return tuple(nodes), tuple(full_nodes)


def _place(options: NetworkOptions, index: int) -> tuple[str, str, str]:
    """(p2p, RPC, metrics) of a node, as others reach it."""
    host, of_ports = (options.hosts[index], 0) if options.hosts else (HOST, index)
    p2p, rpc, metrics = ports(options.base_port, of_ports)
    return f"{host}:{p2p}", f"{host}:{rpc}", f"{host}:{metrics}"


def _plan_user(name: str, seed_of: SeedOf) -> UserPlan:
    key = _ed25519(seed_of, f"user/{name}")
    return UserPlan(name, key, single_key_account(key.public_key).address)


def _plan_owner(index: int, seed_of: SeedOf) -> UserPlan:
    key = _ed25519(seed_of, f"owner/{index}")
    return UserPlan(f"owner{index}", key, single_key_account(key.public_key, AccountKind.VALIDATOR).address)


def _ed25519(seed_of: SeedOf, label: str) -> PrivateKey:
    return PrivateKey.from_seed(KeyKind.ED25519, seed_of(label))


def _holdings(accounts: tuple[AccountEntry, ...], amount: int) -> tuple[HoldingEntry, ...]:
    return tuple(HoldingEntry(account=entry.address, asset=ASSET, amount=str(amount)) for entry in accounts)
