"""The operator's settings: HOME/config.toml, environment overrides, and where things lie in a home directory.

Every setting has a type, a range and a default; an unknown key or a bad value is refused with one line that names the key, the
value and what is allowed. `QENEX_SECTION_KEY` in the environment wins over the file (`QENEX_RPC_LISTEN=127.0.0.1:0`).
What all validators must agree on (block interval, timeouts, fees) is in genesis, never here. Reading keys or opening the
store may not go in here.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from node.config_sections import SECRETS, SECTIONS, Config
from node.config_text import find_line, nearest, show, to_toml
from state.primitives.errors import ConfigError, HomeError

CONFIG_BYTES_MAX: Final = 1024 * 1024  # 1,000 peers take 80 kB
ENVIRONMENT_PREFIX: Final = "QENEX_"
FROM_FILE: Final = "the file"


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
    def next_key_file(self) -> Path:
        """The voting keys that come after those, while a change of keys is under way."""
        return self.keys_dir / "validator.next.json"

    @property
    def node_key_file(self) -> Path:
        """The key that other nodes know this node by."""
        return self.keys_dir / "node.json"

    @property
    def next_node_key_file(self) -> Path:
        """The key that comes after that one, while it is changed."""
        return self.keys_dir / "node.next.json"

    @property
    def tokens_file(self) -> Path:
        """Who may ask the RPC, where `[rpc] access = "tokens"`."""
        return self.root / "rpc_tokens.json"

    @property
    def data_dir(self) -> Path:
        """Everything the node writes."""
        return self.root / "data"

    @property
    def db_dir(self) -> Path:
        """LevelDB."""
        return self.data_dir / "db"

    @property
    def snapshots_dir(self) -> Path:
        """Snapshots that `qenex snapshot create` makes; may be a link to another disk."""
        return self.root / "snapshots"

    @property
    def wal_dir(self) -> Path:
        """The consensus log."""
        return self.data_dir / "wal"

    @property
    def signer_file(self) -> Path:
        """The signer's record."""
        return self.data_dir / "signer_record"

    @property
    def next_signer_file(self) -> Path:
        """The record of the next voting keys."""
        return self.data_dir / "signer_record.next"

    @property
    def peer_scores_file(self) -> Path:
        """What peers have earned."""
        return self.data_dir / "peer_scores"

    @property
    def evidence_file(self) -> Path:
        """Proofs of offences that wait for a block."""
        return self.data_dir / "evidence"

    @property
    def failure_file(self) -> Path:
        """Where in the program the node failed the last time, if that was a defect."""
        return self.data_dir / "failure.txt"

    @property
    def audit_file(self) -> Path:
        """When the state was last audited, and what came of it."""
        return self.data_dir / "audit"

    @property
    def audit_log_file(self) -> Path:
        """Who did what to this node; see `node.audit.journal`."""
        return self.data_dir / "audit_log"

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


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration, and where each setting that is not the default comes from: "the file", a variable, an option."""

    config: Config
    origins: Mapping[str, str]


def load_config(
    path: Path, *, environment: Mapping[str, str] | None = None, overrides: Mapping[str, str] | None = None
) -> Config:
    """The settings of a file with the environment (default: this process's) and `overrides` on top. Raises `ConfigError`."""
    return load_settings(path, environment=environment, overrides=overrides).config


def load_settings(
    path: Path, *, environment: Mapping[str, str] | None = None, overrides: Mapping[str, str] | None = None
) -> Settings:
    """As `load_config`, with where each setting comes from."""
    try:
        with path.open("rb") as file:
            data = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", hint="qenex init makes a home with a commented config.toml"
        ) from error
    if len(data) > CONFIG_BYTES_MAX:
        raise ConfigError(f"{path} has more than {CONFIG_BYTES_MAX} bytes", hint="is it the right file?")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start})") from error
    return parse_settings(text, source=str(path), environment=environment, overrides=overrides)


def parse_config(
    text: str,
    *,
    source: str = "config.toml",
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Config:
    """As `load_config`, from text."""
    return parse_settings(text, source=source, environment=environment, overrides=overrides).config


def parse_settings(
    text: str,
    *,
    source: str = "config.toml",
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """As `load_settings`, from text."""
    try:
        tree = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"{source} is not TOML: {error or 'nested too deeply'}", hint="see docs/configuration.md") from None
    places = {key: _place(text, key, source) for key in _keys_of(tree)}
    origins = dict.fromkeys(places, FROM_FILE)
    for key, value, origin in _overriding_values(os.environ if environment is None else environment, overrides or {}):
        _set_value(tree, key, value, source)
        origins[key] = places[key] = origin
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise _explain(error, tree, places, _Source(text, source)) from None
    _check_ports(config, places, source)
    _check_levels(config, places, source)
    _check_signer(config, source)
    return Settings(config, origins)


def render_config(config: Config) -> str:
    """TOML text with every setting, what it accepts as a comment; `parse_config` of it gives `config` back."""
    lines = [
        "# Settings of this node. Each may be overridden by an environment variable QENEX_SECTION_KEY.",
        "# Block interval, timeouts and fees are not here: all validators share them, in genesis.json.",
        "",
        f"moniker = {to_toml(config.moniker)}",
    ]
    for name, section in SECTIONS.items():
        lines += ["", f"[{name}]"]
        for key in section.__struct_fields__:
            lines.append(f"# {allowed_values(f'{name}.{key}')}")
            lines.append(f"{key} = {to_toml(getattr(getattr(config, name), key))}")
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


def variable_of(key: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT_PREFIX + key.replace(".", "_").upper()


def value_of(config: Config, key: str) -> Any:
    """The value of a setting."""
    section, _, name = key.rpartition(".")
    return getattr(getattr(config, section) if section else config, name)


def show_value(config: Config, key: str) -> str:
    """The value of a setting as it may be shown: TOML on one line; a secret is only said to be there."""
    value = value_of(config, key)
    if key in SECRETS and value:
        return "(not shown)"
    return f"[{', '.join(map(to_toml, value))}]" if isinstance(value, tuple) else to_toml(value)


@dataclass(frozen=True, slots=True)
class _Source:
    """The text of a file, and its name."""

    text: str
    name: str

    def place(self, key: str) -> str:
        """Where a key stands, for a message."""
        return _place(self.text, key, self.name)


def _place(text: str, key: str, source: str) -> str:
    line = find_line(text, key)
    return f"{source} line {line}" if line else source


def _keys_of(tree: Mapping[str, Any]) -> list[str]:
    keys: list[str] = []
    for name, value in tree.items():
        keys += [f"{name}.{key}" for key in value] if isinstance(value, dict) else [name]
    return keys


def _overriding_values(environment: Mapping[str, str], overrides: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    """(key, value, where it came from), the strongest last. Raises `ConfigError` for a name that is no setting."""
    by_variable = {variable_of(key): key for key in setting_keys()}
    sections = tuple(f"{ENVIRONMENT_PREFIX}{name.upper()}_" for name in SECTIONS)
    found: list[tuple[str, Any, str]] = []
    for variable in sorted(environment):
        key = by_variable.get(variable, "")
        if key:
            found.append((key, _from_text(key, environment[variable]), f"the environment variable {variable}"))
        elif variable.startswith(sections):
            raise ConfigError(f"the environment variable {variable} names no setting", hint=nearest(variable, by_variable))
    for key, text in overrides.items():
        if key not in by_variable.values():
            raise ConfigError(f"--set {key} names no setting", hint=nearest(key, dict.fromkeys(setting_keys(), "")))
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


def _explain(error: msgspec.ValidationError, tree: Any, places: Mapping[str, str], source: _Source) -> ConfigError:
    """One line: where, the key, the value, what is allowed."""
    text, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    unknown = re.search(r"unknown field `(.*)`", text)
    if unknown is not None:
        name = unknown.group(1)
        key = f"{path}.{name}" if path else name
        if name == "consensus":
            return ConfigError(
                f"{source.place(key)}: [consensus] is not a section here",
                hint="block interval and timeouts are the same for all validators and stand in genesis.json",
            )
        return ConfigError(f"{source.place(key)}: unknown key {key}", hint=nearest(key, dict.fromkeys(setting_keys(), "")))
    key = re.sub(r"\[.*", "", path)
    value: Any = tree
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if key in SECTIONS:
        shown = f"{key} = {show(value)}: {key} is a section"
        return ConfigError(f"{source.place(key)}: {shown}", hint=f"write [{key}] and its keys below it")
    where = places.get(key, source.name)
    shown = "..." if key in SECRETS else show(value)
    default = show_value(Config(), key)
    return ConfigError(f"{where}: {key} = {shown}: allowed is {allowed_values(key)}", hint=f"the default is {default}")


def _check_levels(config: Config, places: Mapping[str, str], source: str) -> None:
    """Each module once."""
    modules = [item.partition("=")[0] for item in config.log.levels]
    twice = next((module for module in modules if modules.count(module) > 1), None)
    if twice is not None:
        raise ConfigError(f"{places.get('log.levels', source)}: log.levels has {twice} twice", hint="name each module once")


def _check_signer(config: Config, source: str) -> None:
    """Where the signer calls, who it is and what it votes as belong together."""
    given = {"listen": config.signer.listen, "id": config.signer.id, "validator": config.signer.validator}
    missing = [key for key, value in given.items() if not value]
    if 0 < len(missing) < len(given):
        raise ConfigError(f"{source}: [signer] {missing[0]} is missing", hint="qenex signer show prints the whole section")


def _check_ports(config: Config, places: Mapping[str, str], source: str) -> None:
    """Ports in range, and no two listeners on one address."""
    seen: dict[tuple[str, int], str] = {}
    for key, text in (
        ("rpc.listen", config.rpc.listen),
        ("p2p.listen", config.p2p.listen),
        ("metrics.listen", config.metrics.listen),
        ("signer.listen", config.signer.listen),
        *(("p2p.peers", peer.partition("@")[2]) for peer in config.p2p.peers),
    ):
        if not text:
            continue
        host, port = split_listen(text)
        low = 1 if key == "p2p.peers" else 0
        if not low <= port <= 65_535:
            where = places.get(key, source)
            raise ConfigError(f"{where}: {key} = {show(text)}: a port is {low} to 65535", hint="such as 127.0.0.1:26657")
        if key != "p2p.peers" and port:
            other = seen.setdefault((host, port), key)
            if other != key:
                raise ConfigError(f"{source}: {key} and {other} are both {text}", hint="give each its own port")
