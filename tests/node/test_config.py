"""Settings: defaults, the file, the environment, and one line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.config import Home, allowed_values, load_config, parse_config, render_config, setting_keys, split_listen
from node.config_sections import Config
from state.primitives.errors import ConfigError, HomeError

PEER = "0123456789abcdef0123456789abcdef01234567@10.0.0.1:26656"


def test_defaults_and_round_trip() -> None:
    assert parse_config("", environment={}) == Config()
    assert parse_config(render_config(Config()), environment={}) == Config()
    text = render_config(Config()).replace("peers = []", f'peers = ["{PEER}"]').replace('= "auto"', "= 3", 1)
    config = parse_config(text, environment={})
    assert config.p2p.peers == (PEER,)
    assert config.workers.signatures == 3
    assert parse_config(render_config(config), environment={}) == config


def test_every_setting_says_what_it_accepts() -> None:
    assert all(allowed_values(key) != "a value of another type" for key in setting_keys())


def test_environment_wins_over_file_and_flags_over_both() -> None:
    text = '[rpc]\nlisten = "127.0.0.1:1"\n'
    environment = {
        "QENEX_RPC_LISTEN": "127.0.0.1:2",
        "QENEX_MONIKER": "123",
        "QENEX_P2P_PEERS": f"{PEER}, {PEER}",
        "QENEX_WORKERS_SIGNATURES": "2",
        "QENEX_METRICS_LISTEN": "",
        "QENEX_PASSPHRASE": "not a setting",
        "QENEX_UNRELATED": "left alone",
        "PATH": "/bin",
    }
    config = parse_config(text, environment=environment)
    assert config.rpc.listen == "127.0.0.1:2"
    assert config.moniker == "123"
    assert config.p2p.peers == (PEER, PEER)
    assert config.workers.signatures == 2
    assert config.metrics.listen == ""
    config = parse_config(text, environment=environment, overrides={"rpc.listen": "127.0.0.1:3"})
    assert config.rpc.listen == "127.0.0.1:3"


BAD: list[tuple[str, dict[str, str], tuple[str, ...]]] = [
    ("[rpc]\nlisten = 5", {}, ("rpc.listen = 5", "host:port")),
    ('[rpc]\nlisten = "nowhere"', {}, ('rpc.listen = "nowhere"', "host:port")),
    ('[rpc]\nlisten = "127.0.0.1:65536"', {}, ("rpc.listen", "0 to 65535")),
    ('[rpc]\nlisten = "127.0.0.1:26657\\n"', {}, ("rpc.listen", "host:port")),
    ('[rpc]\nlisten = "127.0.0.1:1"\n[p2p]\nlisten = "127.0.0.1:1"', {}, ("p2p.listen and rpc.listen are both",)),
    ('[rpc]\nlisen = "127.0.0.1:1"', {}, ("unknown key rpc.lisen", "did you mean rpc.listen?")),
    ("[rcp]", {}, ("unknown key rcp",)),
    ("rpc = 1", {}, ("rpc = 1", "section")),
    ("monicker = 1", {}, ("unknown key monicker", "did you mean moniker?")),
    ('moniker = ""', {}, ("moniker", "1 to 64 printable")),
    ("moniker = true", {}, ("moniker = True", "1 to 64 printable")),
    ("[consensus]\nblock_interval_ms = 1", {}, ("[consensus]", "genesis.json")),
    ("[p2p]\npeers = ['10.0.0.1:26656']", {}, ("p2p.peers", "id@host:port")),
    (f"[p2p]\npeers = ['{PEER[:-5]}0']", {}, ("p2p.peers", "1 to 65535")),
    ("[mempool]\ntxs_max = 0", {}, ("mempool.txs_max = 0", "1 to 10000000")),
    ("[mempool]\ntxs_max = 1.5", {}, ("mempool.txs_max = 1.5", "1 to")),
    ("[mempool]\ntxs_max = true", {}, ("mempool.txs_max = True", "1 to")),
    ("[workers]\nsignatures = 'many'", {}, ('workers.signatures = "many"', '"auto"')),
    ("[workers]\nsignatures = -1", {}, ("workers.signatures = -1", '"auto"')),
    ("[log]\nlevel = 'loud'", {}, ('log.level = "loud"', '"debug"')),
    ("[storage]\nvalues_max = 1", {}, ("storage.values_max = 1", "1000 to")),
    ("moniker = ", {}, ("not TOML",)),
    ("a = 1\na = 2", {}, ("not TOML",)),
    ("x = " + "[" * 5000, {}, ("not TOML",)),
    ("", {"QENEX_RPC_LISEN": "x"}, ("QENEX_RPC_LISEN names no setting", "QENEX_RPC_LISTEN")),
    ("", {"QENEX_MEMPOOL_TXS_MAX": "many"}, ("the environment variable QENEX_MEMPOOL_TXS_MAX", 'mempool.txs_max = "many"')),
    ("rpc = 1", {"QENEX_RPC_LISTEN": "127.0.0.1:1"}, ("rpc must be a section",)),
]


@pytest.mark.parametrize(("text", "environment", "parts"), BAD)
def test_each_mistake_is_one_line(text: str, environment: dict[str, str], parts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, environment=environment)
    line = f"{caught.value.message} {caught.value.hint}"
    assert "\n" not in line
    for part in parts:
        assert part in line


def test_unknown_override_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--set rpc\.lisen names no setting"):
        parse_config("", environment={}, overrides={"rpc.lisen": "x"})


@given(st.text(max_size=60))
def test_no_text_escapes_as_another_error(text: str) -> None:
    try:
        parse_config(text, environment={})
    except ConfigError:
        return


@pytest.mark.parametrize(
    ("text", "expected"), [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:2", ("::1", 2)), ("host.example:3", ("host.example", 3))]
)
def test_split_listen(text: str, expected: tuple[str, int]) -> None:
    assert split_listen(text) == expected


def test_files(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with pytest.raises(HomeError, match="no home directory"):
        home.require()
    home.root.mkdir()
    with pytest.raises(HomeError, match=r"config.toml is missing"):
        home.require()
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(home.config_file, environment={})
    home.config_file.write_text(render_config(Config(moniker="here")))
    with pytest.raises(HomeError, match=r"genesis.json is missing"):
        home.require()
    home.genesis_file.write_text("{}")
    home.require()
    assert load_config(home.config_file, environment={}).moniker == "here"
    home.config_file.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load_config(home.config_file, environment={})
    assert home.signer_file.parent == home.data_dir == home.db_dir.parent == home.wal_dir.parent
    assert home.validator_key_file.parent == home.node_key_file.parent == home.keys_dir
