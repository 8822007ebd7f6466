"""What `config.toml` may say: a section is a class, a setting a field with its type, its range and its default.

Reading the file and naming what is wrong in it is `node.config`'s. What all validators must agree on stands in genesis, never here.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

_MIB: Final = 1024 * 1024
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
# Whose lines they are. A new one is named here and used with `node.telemetry.logs.get_log`.
LOG_MODULES: Final[dict[str, str]] = {
    "app": "start, stop, settings",
    "consensus": "heights, votes, blocks; damage and divergence",
    "evidence": "proofs of offences",
    "mempool": "transactions that came in",
    "p2p": "peers: come, gone, refused",
    "sync": "blocks fetched from peers",
    "statesync": "snapshots, given and fetched",
    "rpc": "requests, tokens, clients that were dropped",
    "index": "the index of history",
    "storage": "what is durable, what was pruned",
    "signer": "signatures that were refused",
    "monitor": "alerts and their delivery",
}
_LISTEN: Final = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}"

Listen = Annotated[str, Meta(pattern=rf"^{_LISTEN}\Z", description="host:port, such as 127.0.0.1:26657 (port 0 picks a free one)")]
ListenOrOff = Annotated[str, Meta(pattern=rf"^({_LISTEN})?\Z", description='host:port, or "" for off')]
PeerAddress = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{40}}@{_LISTEN}\Z")]
Origin = Annotated[str, Meta(pattern=r"^(\*|https?://[A-Za-z0-9.\[\]:-]{1,253})\Z")]
PathInHome = Annotated[str, Meta(max_length=4_096, description='a PEM file, relative to the home, or "" for no TLS')]
FileOrNone = Annotated[str, Meta(max_length=4_096, description='the name of a file with mode 0600, or "" for none')]
_LEVELS_ALLOWED: Final = f'a list of "module=level"; the modules are {", ".join(LOG_MODULES)}'
LevelOfModule = Annotated[str, Meta(pattern=rf"^({'|'.join(LOG_MODULES)})=({'|'.join(LOG_LEVELS)})\Z")]
Moniker = Annotated[str, Meta(pattern=r"^[\x21-\x7e][\x20-\x7e]{0,63}\Z", description="1 to 64 printable ASCII characters")]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table of the file; unknown keys are refused."""


class RpcConfig(Section, frozen=True):
    """[rpc]: the JSON-RPC server."""

    listen: Listen = "127.0.0.1:26657"
    connections_max: Annotated[int, Meta(ge=1, le=10_000, description="1 to 10000")] = 900
    body_bytes_max: Annotated[int, Meta(ge=65_536, le=64 * _MIB, description="65536 to 67108864 (bytes)")] = 8 * _MIB
    subscribers_max: Annotated[int, Meta(ge=0, le=10_000, description="0 to 10000")] = 100
    client_units_per_s: Annotated[int, Meta(ge=0, le=1_000_000, description="0 to 1000000 (0: no bound)")] = 2_000
    client_burst: Annotated[int, Meta(ge=1, le=10_000_000, description="1 to 10000000 (units)")] = 10_000
    client_connections_max: Annotated[int, Meta(ge=0, le=10_000, description="0 to 10000 (0: no bound)")] = 300
    client_subscribers_max: Annotated[int, Meta(ge=0, le=10_000, description="0 to 10000 (0: no bound)")] = 30
    explorer: Annotated[bool, Meta(description="true or false: a page for browsers at /")] = True
    tls_cert: PathInHome = ""
    tls_key: PathInHome = ""
    cors_origins: Annotated[
        tuple[Origin, ...], Meta(max_length=100, description='a list of "https://host:port" whose pages may ask, or "*"')
    ] = ()
    access_log: Annotated[
        Literal["off", "debug", "info"], Meta(description='"off", "debug" or "info" (level of one line for each request)')
    ] = "debug"
    ready_age_s_max: Annotated[int, Meta(ge=1, le=86_400, description="1 to 86400 (age of the last block for /ready)")] = 90
    access: Annotated[Literal["open", "tokens"], Meta(description='"open", or "tokens" (see qenex rpc token new)')] = "open"


class P2pConfig(Section, frozen=True):
    """[p2p]: links to other nodes. Which node keys are admitted stands in the state, not here."""

    listen: Listen = "127.0.0.1:26656"
    peers: Annotated[
        tuple[PeerAddress, ...], Meta(max_length=1_000, description='a list of "id@host:port", id = 40 lower-case hex digits')
    ] = ()
    inbound_max: Annotated[int, Meta(ge=0, le=1_000, description="0 to 1000 (peers that dialled us)")] = 200
    handshakes_max: Annotated[int, Meta(ge=1, le=1_000, description="1 to 1000 (unfinished ones at once)")] = 64


class MempoolConfig(Section, frozen=True):
    """[mempool]: transactions waiting for a block."""

    txs_max: Annotated[int, Meta(ge=1, le=10_000_000, description="1 to 10000000")] = 100_000
    bytes_max: Annotated[int, Meta(ge=_MIB, le=16_384 * _MIB, description="1048576 to 17179869184 (bytes)")] = 128 * _MIB


class StorageConfig(Section, frozen=True):
    """[storage]: memory of the store; see `node.storage.store.StoreOptions`."""

    cache_bytes: Annotated[int, Meta(ge=_MIB, le=1 << 40, description="1048576 or more (bytes of LevelDB blocks)")] = 64 * _MIB
    values_max: Annotated[int, Meta(ge=1_000, le=100_000_000, description="1000 to 100000000 (state values kept)")] = 200_000
    leaves_max: Annotated[int, Meta(ge=1_000, le=100_000_000, description="1000 to 100000000 (tree leaves kept)")] = 2_500_000
    retain_blocks: Annotated[int, Meta(ge=0, le=1 << 62, description="0 (keep all) or how many of the last blocks to keep")] = 0
    snapshot_interval: Annotated[int, Meta(ge=0, le=1_000_000, description="0 to 1000000 (blocks; 0: none)")] = 100


class WorkersConfig(Section, frozen=True):
    """[workers]: processes beside the main one."""

    signatures: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=0, le=256)],
        Meta(description='"auto", or 0 to 256 processes (0: check signatures in the main process)'),
    ] = "auto"
    tree: Annotated[bool, Meta(description="true or false: hash the state's tree in a process of its own")] = False


class LogConfig(Section, frozen=True):
    """[log]: to standard error."""

    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description='"debug", "info", "warning" or "error"')
    ] = "info"
    levels: Annotated[
        tuple[LevelOfModule, ...],
        Meta(max_length=100, description=_LEVELS_ALLOWED),
    ] = ()
    format: Annotated[Literal["text", "json"], Meta(description='"text" or "json"')] = "text"


class MetricsConfig(Section, frozen=True):
    """[metrics]: Prometheus."""

    listen: ListenOrOff = "127.0.0.1:26660"


class AlertsConfig(Section, frozen=True):
    """[alerts]: the node's own alert engine; see docs/monitoring.md. Names of files are relative to the home."""

    interval_ms: Annotated[int, Meta(ge=0, le=3_600_000, description="0 (off) to 3600000 (milliseconds between looks)")] = 10_000
    rules: Annotated[str, Meta(max_length=4_096, description='a JSON file of rules, or "" for the built-in ones')] = ""
    webhook_url: Annotated[
        str, Meta(pattern=r"^(https?://[\x21-\x7e]{1,2000})?\Z", description='an http or https address, or "" for none')
    ] = ""
    webhook_secret_file: FileOrNone = ""
    smtp: ListenOrOff = ""
    smtp_tls: Annotated[Literal["none", "starttls", "tls"], Meta(description='"none", "starttls" or "tls"')] = "starttls"
    smtp_from: Annotated[str, Meta(pattern=r"^([^\s@]+@[^\s@]+)?\Z", max_length=300, description="a mail address")] = ""
    smtp_to: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[^\s@]+@[^\s@]+\Z")], ...], Meta(max_length=20, description="a list of mail addresses")
    ] = ()
    smtp_user: Annotated[str, Meta(max_length=300, description='a name, or "" for none')] = ""
    smtp_password_file: FileOrNone = ""


class IndexConfig(Section, frozen=True):
    """[index]: accounts' histories, holders, prices, beside the chain."""

    backend: Annotated[
        Literal["sqlite", "postgresql", "off"], Meta(description='"sqlite" (data/index.sqlite), "postgresql" or "off"')
    ] = "sqlite"
    dsn: Annotated[str, Meta(max_length=1_000, description='of PostgreSQL, such as "host=/run/postgresql dbname=qenex"')] = ""


class AuditConfig(Section, frozen=True):
    """[audit]: the audit log's anchors in the chain; see docs/audit.md."""

    anchor_key: Annotated[
        str, Meta(max_length=4_096, description='a user\'s key file, relative to the home, or "" for no anchors')
    ] = ""
    anchor_interval_s: Annotated[int, Meta(ge=1, le=604_800, description="1 to 604800 (seconds between anchors)")] = 3_600


class RemoteSignerConfig(Section, frozen=True):
    """[signer]: voting keys in another process, which calls here; see docs/signer.md."""

    listen: ListenOrOff = ""
    id: Annotated[str, Meta(pattern=r"^([0-9a-f]{40})?\Z", description='whose call is taken: 40 lower-case hex digits, or ""')] = ""
    validator: Annotated[str, Meta(pattern=r"^([0-9A-F]{40})?\Z", description='its address: 40 upper-case hex digits, or ""')] = ""
    timeout_ms: Annotated[int, Meta(ge=100, le=60_000, description="100 to 60000 (milliseconds for one signature)")] = 2_000


class Config(Section, frozen=True):
    """All settings of one node."""

    moniker: Moniker = "node"
    rpc: RpcConfig = RpcConfig()
    p2p: P2pConfig = P2pConfig()
    mempool: MempoolConfig = MempoolConfig()
    storage: StorageConfig = StorageConfig()
    workers: WorkersConfig = WorkersConfig()
    log: LogConfig = LogConfig()
    metrics: MetricsConfig = MetricsConfig()
    alerts: AlertsConfig = AlertsConfig()
    index: IndexConfig = IndexConfig()
    audit: AuditConfig = AuditConfig()
    signer: RemoteSignerConfig = RemoteSignerConfig()


SECTIONS: Final[dict[str, type[Section]]] = {
    "rpc": RpcConfig,
    "p2p": P2pConfig,
    "mempool": MempoolConfig,
    "storage": StorageConfig,
    "workers": WorkersConfig,
    "log": LogConfig,
    "metrics": MetricsConfig,
    "alerts": AlertsConfig,
    "index": IndexConfig,
    "audit": AuditConfig,
    "signer": RemoteSignerConfig,
}

# What is not shown, in answers or in logs: a password may be in it.
SECRETS: Final = frozenset({"alerts.webhook_url", "index.dsn"})
