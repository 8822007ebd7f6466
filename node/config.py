"""The operator's settings: HOME/config.toml, environment overrides, and where things lie in a home directory.

Every setting has a type, a range and a default; an unknown key or a bad value is refused with one line that names the key, the
value and what is allowed. `QENEX_SECTION_KEY` in the environment wins over the file (`QENEX_RPC_LISTEN=127.0.0.1:0`).
What all validators must agree on (block interval, timeouts, fees) is in genesis, never here. Reading keys or opening the
store may not go in here.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from state.primitives.errors import ConfigError, HomeError

CONFIG_BYTES_MAX: Final = 1024 * 1024  # 1,000 peers take 80 kB
ENVIRONMENT_PREFIX: Final = "QENEX_"
_MIB: Final = 1024 * 1024
_LISTEN: Final = r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}"

Listen = Annotated[str, Meta(pattern=rf"^{_LISTEN}\Z", description="host:port, such as 127.0.0.1:26657 (port 0 picks a free one)")]
ListenOrOff = Annotated[str, Meta(pattern=rf"^({_LISTEN})?\Z", description='host:port, or "" for off')]
PeerAddress = Annotated[str, Meta(pattern=rf"^[0-9a-f]{{40}}@{_LISTEN}\Z")]
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
    explorer: Annotated[bool, Meta(description="true or false: a page for browsers at /")] = True


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
    format: Annotated[Literal["text", "json"], Meta(description='"text" or "json"')] = "text"


class MetricsConfig(Section, frozen=True):
    """[metrics]: Prometheus."""

    listen: ListenOrOff = "127.0.0.1:26660"


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


SECTIONS: Final[dict[str, type[Section]]] = {
    "rpc": RpcConfig,
    "p2p": P2pConfig,
    "mempool": MempoolConfig,
    "storage": StorageConfig,
    "workers": WorkersConfig,
    "log": LogConfig,
    "metrics": MetricsConfig,
}


@dataclass(frozen=True, slots=True)
class Home:
    """Paths of one node's home directory."""

    root: Path

    @property
    def config_file(self) -> Path:
        """Settings of this node."""
        return self.root / "config.toml"

    @property
    def genesis_file(self) -> Path:
        """The document that all nodes of the network share."""
        return self.root / "genesis.json"

    @property
    def keys_dir(self) -> Path:
        """Where key files lie."""
        return self.root / "keys"

    @property
    def validator_key_file(self) -> Path:
        """The two voting keys; a node without this file follows the chain and does not vote."""
        return self.keys_dir / "validator.json"

    @property
    def node_key_file(self) -> Path:
        """The key that other nodes know this node by."""
        return self.keys_dir / "node.json"

    @property
    def data_dir(self) -> Path:
        """Everything the node writes."""
        return self.root / "data"

    @property
    def db_dir(self) -> Path:
        """LevelDB."""
        return self.data_dir / "db"

    @property
    def wal_dir(self) -> Path:
        """The consensus log."""
        return self.data_dir / "wal"

    @property
    def signer_file(self) -> Path:
        """The signer's record."""
        return self.data_dir / "signer_record"

    @property
    def peer_scores_file(self) -> Path:
        """What peers have earned."""
        return self.data_dir / "peer_scores"

    @property
    def evidence_file(self) -> Path:
        """Proofs of offences that wait for a block."""
        return self.data_dir / "evidence"

    def require(self) -> None:
        """Raise `HomeError` unless this looks like a home that `qenex init` or `qenex testnet` made."""
        if not self.root.is_dir():
            raise HomeError(f"there is no home directory {self.root}", hint=f"make one with: qenex init --home {self.root}")
        for path in (self.config_file, self.genesis_file):
            if not path.is_file():
                raise HomeError(
                    f"{path} is missing", hint="every home has config.toml and genesis.json; see docs/running-a-validator.md"
                )


@dataclass(frozen=True, slots=True)
class StateSync:
    """Join by a snapshot: the block to trust, and for how many seconds a verified header is trusted."""

    height: int
    hash: bytes
    period_s: int


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the command line adds for one run of a node.

    `settings`: "section.key" (or "moniker") to text, as from `--set rpc.listen=127.0.0.1:0`; they win over the environment.
    `passphrase`: called with the path of an encrypted key file, returns its passphrase.
    """

    settings: Mapping[str, str] = field(default_factory=dict)
    passphrase: Callable[[Path], bytes] | None = None
    accept_empty_signer_record: bool = False
    state_sync: StateSync | None = None


def load_config(
    path: Path, *, environment: Mapping[str, str] | None = None, overrides: Mapping[str, str] | None = None
) -> Config:
    """The settings of a file with the environment (default: this process's) and `overrides` on top. Raises `ConfigError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", hint="qenex init makes a home with a commented config.toml"
        ) from error
    if len(data) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path} has {len(data)} bytes, at most {CONFIG_BYTES_MAX} are allowed")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from error
    return parse_config(text, source=str(path), environment=environment, overrides=overrides)


def parse_config(
    text: str,
    *,
    source: str = "config.toml",
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Config:
    """As `load_config`, from text."""
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{source} is not TOML: {error or 'nested too deeply'}", hint="see docs/running-a-validator.md") from None
    origins = dict.fromkeys(_keys_of(tree), source)
    for key, value, origin in _overriding_values(os.environ if environment is None else environment, overrides or {}):
        _set_value(tree, key, value, source)
        origins[key] = origin
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise _explain(error, tree, origins, source) from None
    _check_ports(config, origins, source)
    return config


def render_config(config: Config) -> str:
    """TOML text with every setting, what it accepts as a comment; `parse_config` of it gives `config` back."""
    lines = [
        "# Settings of this node. Each may be overridden by an environment variable QENEX_SECTION_KEY.",
        "# Block interval, timeouts and fees are not here: all validators share them, in genesis.json.",
        "",
        f"moniker = {_toml(config.moniker)}",
    ]
    for name, section in SECTIONS.items():
        lines += ["", f"[{name}]"]
        for key in section.__struct_fields__:
            lines.append(f"# {allowed_values(f'{name}.{key}')}")
            lines.append(f"{key} = {_toml(getattr(getattr(config, name), key))}")
    return "\n".join(lines) + "\n"


def split_listen(text: str) -> tuple[str, int]:
    """(host, port) of a `host:port`; brackets around an IPv6 address are dropped."""
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def allowed_values(key: str) -> str:
    """What a setting accepts, in words."""
    hint = _hint_of(key)
    metas = [item for item in getattr(hint, "__metadata__", ()) if isinstance(item, Meta)]
    return next((meta.description for meta in metas if meta.description), "a value of another type")


def setting_keys() -> tuple[str, ...]:
    """Every setting as "section.key", in the order of the file."""
    return ("moniker", *(f"{name}.{key}" for name, section in SECTIONS.items() for key in section.__struct_fields__))


def _hint_of(key: str) -> Any:
    section, _, name = key.rpartition(".")
    owner = SECTIONS[section] if section else Config
    return get_type_hints(owner, include_extras=True)[name]


def _default(key: str) -> str:
    section, _, name = key.rpartition(".")
    holder = getattr(Config(), section) if section else Config()
    return _toml(list(value) if isinstance(value := getattr(holder, name), tuple) else value)


def _keys_of(tree: Mapping[str, Any]) -> list[str]:
    keys: list[str] = []
    for name, value in tree.items():
        keys += [f"{name}.{key}" for key in value] if isinstance(value, dict) else [name]
    return keys


def _overriding_values(environment: Mapping[str, str], overrides: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    """(key, value, where it came from), the strongest last. Raises `ConfigError` for a name that is no setting."""
    by_variable = {ENVIRONMENT_PREFIX + key.replace(".", "_").upper(): key for key in setting_keys()}
    sections = tuple(f"{ENVIRONMENT_PREFIX}{name.upper()}_" for name in SECTIONS)
    found: list[tuple[str, Any, str]] = []
    for variable in sorted(environment):
        key = by_variable.get(variable, "")
        if key:
            found.append((key, _from_text(key, environment[variable]), f"the environment variable {variable}"))
        elif variable.startswith(sections):
            raise ConfigError(f"the environment variable {variable} names no setting", hint=_nearest(variable, by_variable))
    for key, text in overrides.items():
        if key not in by_variable.values():
            raise ConfigError(f"--set {key} names no setting", hint=_nearest(key, dict.fromkeys(setting_keys(), "")))
        found.append((key, _from_text(key, text), f"--set {key}"))
    return found


def _from_text(key: str, text: str) -> Any:
    """The value that a text from the environment stands for; the type of the setting decides how it is read."""
    hint = _hint_of(key)
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if base is str:
        return text
    if get_origin(base) is tuple:
        return [item.strip() for item in text.split(",") if item.strip()]
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    return {"true": True, "false": False}.get(text, text)


def _set_value(tree: dict[str, Any], key: str, value: Any, source: str) -> None:
    section, _, name = key.rpartition(".")
    if section:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{source}: {section} must be a section [{section}], not a value")
    tree[name] = value


def _explain(error: msgspec.ValidationError, tree: Any, origins: Mapping[str, str], source: str) -> ConfigError:
    """One line: the key, the value, what is allowed."""
    text, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `(.*)`", text)
    if unknown is not None:
        name = unknown.group(1)
        key = f"{path}.{name}" if path else name
        if name == "consensus":
            return ConfigError(
                f"{source}: [consensus] is not a section here",
                hint="block interval and timeouts are the same for all validators and stand in genesis.json",
            )
        return ConfigError(f"{source}: unknown key {key}", hint=_nearest(key, dict.fromkeys(setting_keys(), "")))
    key = re.sub(r"\[.*", "", path)
    value: Any = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if key in SECTIONS:
        return ConfigError(f"{source}: {key} = {_show(value)}: {key} is a section", hint=f"write [{key}] and its keys below it")
    where = origins.get(key, source)
    return ConfigError(f"{where}: {key} = {_show(value)}: allowed is {allowed_values(key)}", hint=f"the default is {_default(key)}")


def _check_ports(config: Config, origins: Mapping[str, str], source: str) -> None:
    """Ports in range, and no two listeners on one address."""
    seen: dict[tuple[str, int], str] = {}
    for key, text in (
        ("rpc.listen", config.rpc.listen),
        ("p2p.listen", config.p2p.listen),
        ("metrics.listen", config.metrics.listen),
        *(("p2p.peers", peer.partition("@")[2]) for peer in config.p2p.peers),
    ):
        if not text:
            continue
        host, port = split_listen(text)
        low = 1 if key == "p2p.peers" else 0
        if not low <= port <= 65_535:
            where = origins.get(key, source)
            raise ConfigError(f"{where}: {key} = {_show(text)}: a port is {low} to 65535", hint="such as 127.0.0.1:26657")
        if key != "p2p.peers" and port:
            other = seen.setdefault((host, port), key)
            if other != key:
                raise ConfigError(f"{source}: {key} and {other} are both {text}", hint="give each its own port")


def _nearest(name: str, known: Mapping[str, str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, list(known), n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return "known are: " + ", ".join(known)


def _show(value: Any) -> str:
    text = _toml(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings are JSON's
    items = [f"    {_toml(item)}," for item in value]
    return "[\n" + "\n".join(items) + "\n]" if items else "[]"
