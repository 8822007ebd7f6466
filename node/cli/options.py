"""Options that several commands share: which home, which node, which key, which passphrase.

A key is named by its file in a keys directory, by a path, or (as a recipient) by an address. Nothing is signed or sent here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from node.cli.values import FilePath
from node.places import describe_move, find_place
from state.primitives.errors import ConfigError, KeyFileError, WrongPassphraseError

PASSPHRASE_VARIABLE: Final = "QENEX_PASSPHRASE"
NODE_VARIABLE: Final = "QENEX_NODE"
DEFAULT_NODE: Final = "http://127.0.0.1:26657"
_NOTED: Final = ".place-noted"
HOME_HELP: Final = "The node's home directory (default: node in the folder that `qenex config where` shows)."
SIGNER_HOME_HELP: Final = "The signer's home directory (default: $QENEX_HOME/signer or ~/.qenex/signer)."
NETWORK_HELP: Final = "The network's directory (default: testnet in the folder that `qenex config where` shows)."

F = TypeVar("F", bound=Callable[..., Any])


def user_root() -> Path:
    """Where things lie unless --home says otherwise: see `node.places`. Of an old place a terminal is told once how to move it."""
    place = find_place()
    if place.because == "old" and sys.stderr.isatty() and "--json" not in sys.argv:
        try:
            os.close(os.open(place.folder / _NOTED, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except OSError:
            return place.folder  # said before, or not to be remembered
        click.echo(f"note: {describe_move()}", err=True)
    return place.folder


def default_testnet_home() -> Path:
    """The local network's directory."""
    return user_root() / "testnet"


def remember_network(genesis_hash: str, root: Path) -> None:
    """Note where the local network with this genesis lies, so that `bench load --node URL` finds its keys. Best effort."""
    try:
        folder = user_root() / "networks"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / genesis_hash).write_text(str(root.resolve()), encoding="utf-8")
    except OSError:
        return  # a convenience; --home says the same


def find_network(genesis_hash: str) -> Path | None:
    """Where the local network with this genesis lies, if it was started by this user."""
    try:
        return Path((user_root() / "networks" / genesis_hash).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None


def home_option(help_text: str, *, required: bool = False) -> Callable[[F], F]:
    """The option --home as a path or None."""
    return click.option("--home", type=FilePath(file_okay=False), required=required, help=help_text)


def parse_settings(settings: tuple[str, ...]) -> dict[str, str]:
    """What `--set SECTION.KEY=VALUE` says. Raises `ConfigError`."""
    found: dict[str, str] = {}
    for item in settings:
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item} is not of the form section.key=value")
        found[key] = value
    return found


def node_option(function: F) -> F:
    """The option --node: an RPC URL."""
    return click.option(
        "--node", envvar=NODE_VARIABLE, default=DEFAULT_NODE, show_default=True, help="RPC address of a node."
    )(function)


def passphrase_option(function: F) -> F:
    """The option --passphrase-file."""
    return click.option(
        "--passphrase-file",
        type=FilePath(dir_okay=False),
        help=f"File with the passphrase of encrypted keys (else ${PASSPHRASE_VARIABLE}, else a prompt).",
    )(function)


class PassphraseReader:
    """Finds the passphrase of an encrypted key file: --passphrase-file, the environment, a prompt. Asks at most once."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._known: bytes | None = None

    def __call__(self, path: Path) -> bytes:
        """The passphrase of an existing key file."""
        if self._known is None:
            self._known = self._given()
        if self._known is None:
            _require_terminal(f"{path} is encrypted")
            self._known = str(click.prompt(f"Passphrase of {path}", hide_input=True, err=True)).encode()
        return self._known

    def for_new_file(self) -> bytes:
        """The passphrase to encrypt a new key file with, asked twice when typed."""
        given = self._given()
        if given is None:
            _require_terminal("a new key is encrypted")
            given = str(
                click.prompt("Passphrase for the new key", hide_input=True, confirmation_prompt=True, err=True)
            ).encode()
        from node.keystore import check_passphrase

        self._known = check_passphrase(given)
        return self._known

    def _given(self) -> bytes | None:
        if self._file is not None:
            try:
                with self._file.open("rb") as file:
                    text = file.read(4096)
            except OSError as error:
                raise ConfigError(f"cannot read --passphrase-file {self._file}: {error.strerror}") from error
            return text.removesuffix(b"\n").removesuffix(b"\r")
        text_variable = os.environ.get(PASSPHRASE_VARIABLE)
        return None if text_variable is None else text_variable.encode()


def _require_terminal(what: str) -> None:
    if not sys.stdin.isatty():
        raise WrongPassphraseError(
            f"{what} and no passphrase was given", hint=f"set {PASSPHRASE_VARIABLE} or give --passphrase-file"
        )


def key_directories(home: Path | None) -> tuple[Path, ...]:
    """Where key names are looked up: the home's keys, else the user's and the local network's."""
    if home is not None:
        return (home / "keys",)
    return (user_root() / "keys", default_testnet_home() / "keys")


def find_key_file(name: str, home: Path | None) -> Path:
    """The file of a key: a path as given, or NAME.json in the first keys directory that has it."""
    if os.sep in name or name.endswith(".json"):
        return Path(name)
    directories = key_directories(home)
    for directory in directories:
        path = directory / f"{name}.json"
        if os.path.lexists(path):
            return path
    raise KeyFileError(
        f"there is no key {name} in {' or '.join(str(directory) for directory in directories)}",
        hint="qenex keys list shows the keys; --home DIR names another place",
    )


def resolve_address(text: str, home: Path | None) -> bytes:
    """The account that a text names: an address, or a key whose account it is."""
    from node.keystore import read_key_info
    from state.primitives.errors import MalformedError
    from state.primitives.ids import parse_address

    if text.startswith("qx1"):
        try:
            return parse_address(text)
        except MalformedError as error:
            raise ConfigError(f"{text}: {error.message}", hint="copy the whole address, qx1 and 59 characters") from None
    info = read_key_info(find_key_file(text, home))
    if not info.account:
        raise ConfigError(f"{text} is a {info.role.value} key and has no account")
    return parse_address(info.account)
