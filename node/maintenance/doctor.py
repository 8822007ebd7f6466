"""`qenex doctor`: looks at a stopped node's home, changes nothing, and says what is wrong and what to do about it.

In here: the home's files and settings, keys, and the machine. What the chain's data say about each other is in
`node.maintenance.chain_checks`, the slow examination of every record and block in `node.maintenance.deep`. Nothing is mended here: what can
be mended is done by the operator, whom the hints tell how.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from genesis.document import Document, compute_node_id, parse
from node.audit.verify import find_problem
from node.config import Home, load_config, split_listen
from node.config_sections import Config
from node.crash import BUNDLE_PREFIX
from node.keystore import KEY_FILE_BYTES_MAX, KeyInfo, Role, read_key_info, read_private_file
from node.listening import find_mistake, listens_of
from node.maintenance.chain_checks import ChainData, check_chain
from node.maintenance.deep import examine_deeply
from node.maintenance.findings import NOTE, Finding, make_finding
from node.maintenance.shadow import SHADOW_PREFIX, is_database_in_use, open_shadow
from node.places import find_obstacle
from node.testnet.processes import find_node
from state.primitives.errors import ConfigError, GenesisError, HomeError, KeyFileError, QenexError
from state.primitives.hashing import validator_address
from state.primitives.limits import GENESIS_BYTES_MAX
from state.schema import ADMIT_NODE, admission_key

NS_PER_S: Final = 1_000_000_000
FREE_BYTES_MIN: Final = 512 * 1024 * 1024  # less may not last until somebody comes
FREE_BYTES_LOW: Final = 5 * 1024 * 1024 * 1024
CLOCK_EARLIEST_S: Final = 1_700_000_000  # November 2023: no machine that runs this is older
CLOCK_BEHIND_S_MAX: Final = 10  # a clock this far before the last block is wrong: blocks date themselves by all validators
SILENT_S_MAX: Final = 24 * 3_600
_SHADOW: Final = re.compile(rf"\S*/{SHADOW_PREFIX}\w+")

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Report:
    """What was found, in the order of looking; `height` -1: the database was not read."""

    findings: tuple[Finding, ...]
    height: int = -1
    base: int = -1
    app_hash: bytes = b""

    @property
    def is_clean(self) -> bool:
        """Whether nothing was found but notes."""
        return all(finding.kind.severity == NOTE for finding in self.findings)


def examine(root: Path, *, is_deep: bool = False, progress: Progress = lambda text: None, now_ns: int | None = None) -> Report:
    """Look at everything in a home that can be looked at. Never raises for what is wrong with it."""
    home = Home(root)
    try:
        home.require()
    except HomeError as error:
        return Report((make_finding("HOME", error.message, error.hint),))
    found = list(_check_files(home))
    config, document = _read_settings(home, found)
    keys = _check_keys(home, found)
    is_running = _check_running(home, found)
    found += _check_leftovers(home)
    problem = find_problem(home.audit_log_file, is_deep=is_deep)
    if problem:
        found.append(make_finding("AUDIT_LOG", problem, "qenex audit verify says more; keep the file, then: qenex audit renew"))
    found += _check_machine(home, None if is_running else config)
    now_ns = time.time_ns() if now_ns is None else now_ns
    if now_ns < CLOCK_EARLIEST_S * NS_PER_S:
        found.append(_clock(f"it is {_date(now_ns)} according to this machine's clock"))
    if is_running or document is None:
        return Report(tuple(found))
    return _check_data(home, document, keys, found, now_ns, is_deep, progress)


# the home


def _check_files(home: Home) -> Iterator[Finding]:
    for folder in (home.root, home.keys_dir, home.data_dir, home.db_dir, home.wal_dir):
        obstacle = find_obstacle(folder)
        if obstacle is not None:
            yield make_finding("HOME", *obstacle)
        if not folder.is_dir():
            continue
        status = folder.stat()
        if status.st_uid != os.geteuid():
            yield make_finding(
                "FOREIGN_OWNER",
                f"{folder} belongs to user {status.st_uid}, this is user {os.geteuid()}",
                f"run qenex as the node's user, or: chown -R {os.geteuid()} {folder}",
            )
        if status.st_mode & 0o022:
            mode = stat.S_IMODE(status.st_mode)
            yield make_finding("OPEN_TO_OTHERS", f"{folder} has mode {mode:04o}: others may write to it", f"run: chmod 700 {folder}")


def _read_settings(home: Home, found: list[Finding]) -> tuple[Config | None, Document | None]:
    config, document = None, None
    try:
        config = load_config(home.config_file)
    except ConfigError as error:
        found.append(make_finding("CONFIG", error.message, error.hint))
    try:
        with home.genesis_file.open("rb") as file:
            document = parse(file.read(GENESIS_BYTES_MAX + 1))
    except OSError as error:
        found.append(make_finding("GENESIS", f"cannot read {home.genesis_file}: {error.strerror}", "check its owner and mode"))
    except GenesisError as error:
        found.append(make_finding("GENESIS", error.message, error.hint or "get the document from another operator"))
    return config, document


def _check_running(home: Home, found: list[Finding]) -> bool:
    process = find_node(home.root)
    if process is None and not is_database_in_use(home.db_dir):
        return False
    who = "another process" if process is None else f"process {process.pid}"
    found.append(
        make_finding("NODE_RUNNING", f"the home is in use by {who}: its data was not looked at", "stop the node, then ask again")
    )
    return True


def _check_leftovers(home: Home) -> Iterator[Finding]:
    data = home.data_dir
    if not data.is_dir():
        return
    for path in sorted(data.iterdir()):
        if path.name.startswith(BUNDLE_PREFIX) and path.is_dir():
            text = f"the node has stopped with a consensus failure and left {path}{_first_line(path / 'error.txt')}"
            yield make_finding("CRASH_BUNDLE", text, "find out why, then move the folder away")
        elif path.name.endswith((".new", ".importing", ".restoring", "joining")):
            yield make_finding("UNFINISHED", f"{path} was left half made", f"if nothing writes it now, delete it: rm -r {path}")
        elif ".damaged-" in path.name:
            yield make_finding("SET_ASIDE", f"{path} was damaged and replaced", "delete it once you know why")
    for path in sorted(home.wal_dir.glob("*.log.*")) if home.wal_dir.is_dir() else ():
        yield make_finding("SET_ASIDE", f"{path} is a log that was set aside", "delete it once you know why")


def _first_line(path: Path) -> str:
    """The last line of a traceback says what it was."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    except OSError:
        return ""
    return f" ({lines[-1][:200]})" if lines else ""


# keys


@dataclass(frozen=True, slots=True)
class _Keys:
    node_id: str = ""
    validator: bytes = b""
    is_validator: bool = False  # whether there is a key file at all


def _check_keys(home: Home, found: list[Finding]) -> _Keys:
    node = _read_key(home.node_key_file, Role.NODE, "NODE_KEY", found)
    has_validator = os.path.lexists(home.validator_key_file)
    validator = _read_key(home.validator_key_file, Role.VALIDATOR, "VALIDATOR_KEY", found) if has_validator else None
    known = (home.node_key_file, home.validator_key_file)
    for path in sorted(home.keys_dir.glob("*")) if home.keys_dir.is_dir() else ():
        if path in known or path.is_dir():
            continue
        try:
            read_private_file(path, KEY_FILE_BYTES_MAX)
        except KeyFileError as error:
            found.append(make_finding("OTHER_KEY", error.message, error.hint))
    return _Keys(
        "" if node is None else compute_node_id(node.keys[0]),
        b"" if validator is None else validator_address(validator.keys[0].data),
        has_validator,
    )


def _read_key(path: Path, role: Role, name: str, found: list[Finding]) -> KeyInfo | None:
    try:
        info = read_key_info(path)
    except KeyFileError as error:
        found.append(make_finding(name, error.message, error.hint))
        return None
    if info.role is not role:
        found.append(make_finding(name, f"{path} is a {info.role.value} key, not a {role.value} key", "put the right file there"))
        return None
    if not info.is_encrypted:
        found.append(make_finding("UNENCRYPTED_KEY", f"{path} is not encrypted", "that is for test networks only"))
    return info


# the machine


def _check_machine(home: Home, config: Config | None) -> Iterator[Finding]:
    if os.statvfs(home.root).f_flag & os.ST_RDONLY:
        hint = "mount it for writing; if the system did that by itself, its log says which error of the disk came before"
        yield make_finding("DISK_READ_ONLY", f"the disk of {home.root} is mounted read-only", hint)
    free = shutil.disk_usage(home.root).free
    if free < FREE_BYTES_LOW:
        name = "DISK_FULL" if free < FREE_BYTES_MIN else "DISK_LOW"
        yield make_finding(name, f"{free // 2**20} MiB are free on the disk of {home.root}", "make room, or set [storage] retain_blocks")
    if config is None:
        return
    for key, listen in listens_of(config).items():
        if mistake := find_mistake(listen):
            yield make_finding("CONFIG", f"[{key}] listen = {listen}: {mistake}", "give an address of this machine, such as 127.0.0.1")
        elif why := _why_not_bindable(listen):
            yield make_finding(
                "PORT_IN_USE", f"[{key}] listen = {listen} cannot be listened on: {why}", "stop the program that uses it, or change it"
            )


def _why_not_bindable(listen: str) -> str:
    host, port = split_listen(listen)
    try:
        for family, kind, number, _, address in socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, number) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                probe.listen(1)
    except (OSError, OverflowError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def _clock(message: str) -> Finding:
    return make_finding("CLOCK", message, "set the clock and let a time service keep it, before the node starts")


def _date(time_ns: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time_ns // NS_PER_S))


# the data


def _check_data(
    home: Home, document: Document, keys: _Keys, found: list[Finding], now_ns: int, is_deep: bool, progress: Progress
) -> Report:
    if find_obstacle(home.db_dir) is not None:
        return Report(tuple(found))  # what is elsewhere may be a chain: nothing can be said about what belongs to it
    if not home.db_dir.is_dir():
        found += check_chain(home, document, None, keys.validator, keys.is_validator)
        return Report(tuple(found))
    height, base, app_hash = -1, -1, b""
    seen: list[Finding] = []
    try:
        with open_shadow(home.db_dir) as store:
            height, base, app_hash = store.height, store.base_height(), store.root
            data = ChainData.load(store)
            seen += check_chain(home, document, data, keys.validator, keys.is_validator)
            if data is not None:
                seen += _check_time(data, now_ns)
                seen += _check_admitted(data, keys)
                for finding in examine_deeply(data, progress) if is_deep else ():
                    seen.append(finding)
    except QenexError as error:
        name = "UNFINISHED" if "filled" in error.message else "DATABASE"
        text = "after that failure the rest was not looked at" if "failed before" in error.message else error.message
        seen.append(make_finding(name, text, error.hint))
    for finding in seen:  # the place is the home's, whatever the place it was read through
        found.append(replace(finding, message=_SHADOW.sub(str(home.db_dir), finding.message)))
    return Report(tuple(found), height, base, app_hash)


def _check_time(data: ChainData, now_ns: int) -> Iterator[Finding]:
    last_ns = data.state.tip.last_block_time_ns
    if now_ns + CLOCK_BEHIND_S_MAX * NS_PER_S < last_ns:
        yield _clock(f"the clock says {_date(now_ns)}, but the last block is of {_date(last_ns)}")
    elif now_ns - last_ns > SILENT_S_MAX * NS_PER_S and now_ns >= CLOCK_EARLIEST_S * NS_PER_S:
        hours = (now_ns - last_ns) // (3_600 * NS_PER_S)
        yield make_finding("BEHIND", f"the last block here is {hours} hours old", "the node was down or the network stood still")


def _check_admitted(data: ChainData, keys: _Keys) -> Iterator[Finding]:
    if keys.node_id:
        granted = data.store.get(admission_key(ADMIT_NODE, bytes.fromhex(keys.node_id)))
        if granted is None:
            yield make_finding(
                "NODE_NOT_ADMITTED",
                f"the node key {keys.node_id} is not on the list of admitted nodes",
                "peers will refuse it: put back the right key file, or have governance admit it",
            )
    tip = data.state.tip
    if keys.validator and not any(s.by_address(keys.validator) for s in (tip.validators, tip.next_validators)):
        yield make_finding(
            "NOT_IN_SET",
            f"the validator key {keys.validator.hex().upper()} does not vote after height {tip.height}",
            "see: qenex query validator; a jailed validator must be unjailed",
        )
