"""`qenex keys`: make, list, show, import and export users' keys. Validator and node keys come from `qenex init`.

The commands that change a validator's keys and a node's are in `node.cli.rotate` and `node.cli.rotate_node`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from node.cli.options import (
    PassphraseReader,
    find_key_file,
    home_option,
    key_directories,
    passphrase_option,
    user_root,
)
from node.cli.output import answer, json_option, table
from node.cli.rotate import rotate_validator
from node.cli.rotate_node import rotate_node
from node.cli.values import FilePath
from state.primitives.errors import ConfigError

_HOME_HELP = "Directory whose keys/ is used (default: the folder that `qenex config where` shows)."
_KINDS = click.Choice(["ed25519", "mldsa87", "hybrid"])


@click.group()
def keys() -> None:
    """Make, list, show, import and export keys."""


@keys.command()
@click.argument("name")
@click.option("--kind", type=_KINDS, default="ed25519", show_default=True, help="hybrid: Ed25519 and ML-DSA-87, both must verify.")
@click.option("--account", default="", help="Account it signs for, if not the one of this key alone.")
@click.option("--no-encrypt", is_flag=True, help="Store it unencrypted: for local test networks only.")
@home_option(_HOME_HELP)
@passphrase_option
@json_option
def new(
    name: str, kind: str, account: str, no_encrypt: bool, home: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """Make a key called NAME and show its account address."""
    from node.keystore import new_seed

    _store(name, kind, new_seed(), account, no_encrypt, home, passphrase_file, as_json)


@keys.command(name="import")
@click.argument("name")
@click.option("--kind", type=_KINDS, default="ed25519", show_default=True)
@click.option("--seed-file", type=FilePath(dir_okay=False), required=True, help="File with 64 hex digits.")
@click.option("--account", default="", help="Account it signs for, if not the one of this key alone.")
@click.option("--no-encrypt", is_flag=True, help="Store it unencrypted: for local test networks only.")
@home_option(_HOME_HELP)
@passphrase_option
@json_option
def import_(
    name: str,
    kind: str,
    seed_file: Path,
    account: str,
    no_encrypt: bool,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    """Store the key of an exported seed under NAME."""
    try:
        text = seed_file.read_bytes()[:200].decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read --seed-file {seed_file}: {error}") from error
    if re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        raise ConfigError(f"{seed_file} does not hold 64 hex digits", hint="make one with: qenex keys export NAME --out FILE")
    _store(name, kind, bytes.fromhex(text), account, no_encrypt, home, passphrase_file, as_json)


@keys.command(name="list")
@home_option("Directory whose keys/ is shown (default: yours and the local network's).")
@json_option
def list_(home: Path | None, as_json: bool) -> None:
    """List the keys."""
    from node.keystore import list_key_files

    infos = [info for directory in key_directories(home) for info in list_key_files(directory)]
    rows = [[i.name, i.role.value, _kinds(i), "encrypted" if i.is_encrypted else "OPEN", i.account, str(i.path)] for i in infos]
    header = ("name", "role", "kind", "stored", "account", "file")
    lines = table(rows, header) if rows else ["no keys; make one with: qenex keys new NAME"]
    answer(as_json, {"keys": [_to_json(info) for info in infos]}, lines)


@keys.command()
@click.argument("name")
@home_option(_HOME_HELP)
@json_option
def show(name: str, home: Path | None, as_json: bool) -> None:
    """Show the public parts of the key NAME."""
    from node.keystore import read_key_info

    info = read_key_info(find_key_file(name, home))
    data = _to_json(info)
    public = [f"{key.kind.name.lower()}: {key.data.hex()}" for key in info.keys]
    answer(as_json, data, [f"{k}: {v}" for k, v in data.items() if k != "keys"] + public)


@keys.command()
@click.argument("name")
@click.option("--out", type=FilePath(dir_okay=False), help="Write it here instead of printing it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@home_option(_HOME_HELP)
@passphrase_option
@json_option
def export(name: str, out: Path | None, yes: bool, home: Path | None, passphrase_file: Path | None, as_json: bool) -> None:
    """Give out the secret seed of the user key NAME. Whoever has it can sign for the account."""
    from node.keystore import Role, read_key_file, write_private_file

    path = find_key_file(name, home)
    if not yes and not as_json:
        click.confirm(f"The seed of {path} is all that protects its account. Give it out?", abort=True, err=True)
    opened = read_key_file(path, PassphraseReader(passphrase_file), role=Role.USER)
    seed = opened.key.seed.hex()
    if out is not None:
        write_private_file(out, seed.encode() + b"\n")
        answer(as_json, {"name": name, "file": str(out)}, [f"written to {out}"])
    else:
        answer(as_json, {"name": name, "kind": opened.key.kind.name.lower(), "seed": seed}, [seed])


keys.add_command(rotate_validator)
keys.add_command(rotate_node)


def _store(
    name: str,
    kind: str,
    seed: bytes,
    account: str,
    no_encrypt: bool,
    home: Path | None,
    passphrase_file: Path | None,
    as_json: bool,
) -> None:
    from genesis.entries import single_key_address
    from node.keystore import KeySet, Role, parse_key_kind, read_key_info, write_key_file
    from state.primitives.ids import format_address, parse_address
    from state.primitives.keys import PrivateKey

    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name) is None:
        raise ConfigError(f"{name!r} is no key name", hint="1 to 64 letters, digits, - and _, a letter or digit first")
    key = PrivateKey.from_seed(parse_key_kind(kind), seed)
    address = parse_address(account) if account else single_key_address(key.public_key)
    path = (home or user_root()) / "keys" / f"{name}.json"
    if path.exists():
        raise ConfigError(f"there is a key {name} already: {path}", hint="choose another name")
    passphrase = None if no_encrypt else PassphraseReader(passphrase_file).for_new_file()
    write_key_file(path, KeySet(Role.USER, name, (key,), format_address(address)), passphrase)
    data = _to_json(read_key_info(path))
    answer(as_json, data, [f"key {name} ({kind}) in {path}", f"account {data['account']}"])


def _kinds(info: Any) -> str:
    return "+".join(key.kind.name.lower() for key in info.keys)


def _to_json(info: Any) -> dict[str, Any]:
    return {
        "name": info.name,
        "role": info.role.value,
        "account": info.account,
        "encrypted": info.is_encrypted,
        "file": str(info.path),
        "keys": [{"kind": key.kind.name.lower(), "public_key": key.data.hex()} for key in info.keys],
    }
