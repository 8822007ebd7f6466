"""Commands for a stopped node's data: going back, carrying state away and bringing it in, reading it over RPC.

What they do is in `node.maintenance`; words, questions and progress are here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import HOME_HELP, home_option, user_root
from node.cli.output import EXIT_OK, answer, json_option
from node.cli.values import NUMBER, POSITIVE, FilePath
from state.primitives.errors import ConfigError
from state.primitives.hashing import HASH_BYTES

if TYPE_CHECKING:
    from node.maintenance.export import Exported



def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal unless the operator said yes already. Raises `ConfigError` if there is nobody to ask, or the answer is no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} was not confirmed", hint="read the warnings, then give --yes")
    if not click.confirm(question, err=True):
        raise ConfigError("nothing was changed")


@click.command()
@home_option(HOME_HELP)
@click.option("--to", "target", type=NUMBER, help="The height that is the last afterwards (default: one less).")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def rollback(home: Path | None, target: int | None, yes: bool, as_json: bool) -> None:
    """Undo the last height of a stopped node, or every height above --to. The signer's record is never lowered."""
    from node.audit.commands import recorded
    from node.maintenance.opening import open_stopped
    from node.maintenance.rollback import plan_rollback, roll_back, set_logs_aside

    root = home or user_root() / "node"
    with open_stopped(root, read_only=False) as node:
        plan = plan_rollback(node, target)
        if not as_json:
            for warning in plan.warnings:
                click.echo(f"warning: {warning}", err=True)
        confirm(f"going back from height {plan.before} to {plan.target}", yes=yes)

        def show(height: int) -> None:
            if not as_json and height % 100 == 0:
                click.echo(f"height {height}", err=True)

        with recorded(node.home, "rollback", from_height=plan.before, to_height=plan.target):
            done = roll_back(node.store, plan.target, node.document.initial_height, show)
            aside = set_logs_aside(node.home.wal_dir, done.height)
    with open_stopped(root, read_only=True) as node:  # opening compares the root with the stored one
        if (node.store.height, node.store.root) != (plan.target, plan.app_hash):
            raise ConfigError(f"the database is at height {node.store.height} after all", hint="run: qenex doctor --deep")
    data = {
        "home": str(root),
        "from": str(done.before),
        "height": str(done.height),
        "app_hash": done.app_hash.hex().upper(),
        "logs_set_aside": [str(path) for path in aside],
        "warnings": list(plan.warnings),
    }
    lines = [f"height {done.height}, app hash {done.app_hash.hex().upper()} (was at {done.before})"]
    lines += [f"set aside: {path}" for path in aside]
    lines.append(f"next: qenex start --home {root}; the undone heights come again from its peers")
    answer(as_json, data, lines)


def _show_shards(as_json: bool) -> Callable[[int, int], None]:
    """Progress of 256 shards, in a few lines."""

    def show(shards: int, records: int) -> None:
        if not as_json and shards % 32 == 0:
            click.echo(f"{shards * 100 // 256} %, {records} records", err=True)

    return show


@click.command("export")
@click.argument("file", type=FilePath(dir_okay=False))
@home_option(HOME_HELP)
@click.option("--height", type=NUMBER, help="Of which height (default: the newest whose app hash a block carries).")
@json_option
def export_command(file: Path, home: Path | None, height: int | None, as_json: bool) -> None:
    """Write the whole state of a stopped node, with what proves it, into one file."""
    from node.audit.commands import recorded
    from node.maintenance.export import export_state, make_head
    from node.maintenance.opening import open_stopped

    root = home or user_root() / "node"
    with open_stopped(root, read_only=True) as node:
        head = make_head(node, height)
        with recorded(node.home, "state.export", file=str(file), height=height):
            done = export_state(node.store, head, file, _show_shards(as_json))
    _answer_state(as_json, done, file, [f"written: {file}"])


@click.command("import")
@click.argument("file", type=FilePath(dir_okay=False))
@home_option("The new node's home, made by qenex init; it has no database yet.", required=True)
@click.option("--trust-hash", metavar="HEX", default="", help="Hash of the block after the state, from somebody you trust.")
@json_option
def import_command(file: Path, home: Path, trust_hash: str, as_json: bool) -> None:
    """Make the database of a new home from an exported state; everything in it is checked first."""
    from node.audit.commands import recorded
    from node.maintenance.doctor import examine
    from node.maintenance.export import import_state
    from node.maintenance.opening import read_home

    opened, document = read_home(home)
    trusted = parse_hash(trust_hash)
    with recorded(opened, "state.import", file=str(file), trust_hash=trust_hash):
        done = import_state(opened, document, file, trusted, _show_shards(as_json))
    findings = [finding for finding in examine(home).findings if finding.counts]
    lines = [*(finding.line() for finding in findings), f"imported into {home}"]
    if not trust_hash and done.block_hash:
        lines.append(f"compare the hash of block {done.height + 1} with another operator before you start the node")
    _answer_state(as_json, done, file, lines, findings=[finding.to_json() for finding in findings])


def parse_hash(text: str) -> bytes:
    """--trust-hash as bytes, empty if it was not given. Raises `ConfigError`."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b"?"
    if len(data) not in (0, HASH_BYTES):
        raise ConfigError(f"--trust-hash {text} is not a block's hash", hint="64 hex digits")
    return data


def _answer_state(as_json: bool, done: Exported, file: Path, lines: list[str], **more: object) -> None:
    data = {
        "file": str(file),
        "height": str(done.height),
        "app_hash": done.app_hash.hex().upper(),
        "fixed_by_block": done.block_hash.hex().upper(),
        "records": done.records,
        "bytes": done.size,
        **more,
    }
    proof = f"block {done.height + 1} {done.block_hash.hex().upper()}" if done.block_hash else "no block yet: only its makers vouch for it"
    facts = [f"height {done.height}, app hash {done.app_hash.hex().upper()}", f"fixed by {proof}"]
    answer(as_json, data, [*facts, f"{done.records} records, {done.size} bytes", *lines])


@click.command()
@home_option(HOME_HELP)
@click.option("--retain", type=POSITIVE, help="How many blocks to keep (default: [storage] retain_blocks).")
@json_option
def prune(home: Path | None, retain: int | None, as_json: bool) -> None:
    """Delete a stopped node's old blocks and states, and compact its database. A running node does it by itself."""
    from node.audit.commands import recorded
    from node.config import load_config
    from node.maintenance.opening import open_stopped, read_home
    from node.maintenance.pruning import Retention, prune_stopped

    root = home or user_root() / "node"
    opened, _ = read_home(root)
    settings = load_config(opened.config_file).storage
    blocks = retain or settings.retain_blocks
    if not blocks:
        raise ConfigError("how many blocks to keep is not said", hint="give --retain N, or set [storage] retain_blocks")
    before = _size_of(opened.db_dir)

    def show(done: int, of: int) -> None:
        if not as_json and done % 1_000 < 16:
            click.echo(f"height {done} of {of}", err=True)

    with open_stopped(root, read_only=False) as node:
        retention = Retention(blocks, settings.snapshot_interval)
        with recorded(opened, "prune", retain=blocks, height=node.store.height):
            pruned = prune_stopped(node.store, node.state.tip, retention, show)
        base, height = node.store.base_height(), node.store.height
    after = _size_of(opened.db_dir)
    data = {"home": str(root), "pruned": pruned, "base_height": str(base), "height": str(height), "bytes_before": before, "bytes": after}
    lines = [f"pruned {pruned} heights; blocks {base} to {height} are kept", f"{before} bytes before, {after} bytes now"]
    if height - base + 1 > retention.blocks:
        lines.append(f"more than {blocks} blocks stay: evidence, snapshots or going back need them")
    answer(as_json, data, lines)


def _size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*")) if folder.is_dir() else 0


@click.command()
@home_option(HOME_HELP)
@click.option("--listen", metavar="HOST:PORT", help="Where to answer (default: [rpc] listen of config.toml).")
@json_option
def inspect(home: Path | None, listen: str | None, as_json: bool) -> int:
    """Answer the RPC's reading methods from a stopped node's data, until Ctrl-C. Nothing is changed."""
    import trio

    from genesis.document import compute_node_id
    from node.config import load_config
    from node.crash import leaf_of
    from node.keystore import read_key_info
    from node.listening import require_listens
    from node.maintenance.inspect import inspect_until_signal, make_backend
    from node.maintenance.opening import open_stopped, read_home
    from node.telemetry.logs import configure_logs

    root = home or user_root() / "node"
    opened, _ = read_home(root)
    config = load_config(opened.config_file, overrides={} if listen is None else {"rpc.listen": listen})
    require_listens({"rpc": config.rpc.listen})
    configure_logs(level="warning", as_json=config.log.format == "json", moniker=config.moniker)
    node_id = compute_node_id(read_key_info(opened.node_key_file).keys[0]) if opened.node_key_file.exists() else ""

    with open_stopped(root, read_only=True) as node:

        def show(address: str) -> None:
            data = {"listening": address, "height": str(node.store.height), "base_height": str(node.store.base_height())}
            answer(as_json, data, [f"listening on http://{address}, height {node.store.height}; Ctrl-C ends it"])
            sys.stdout.flush()

        backend = make_backend(node, config.moniker, node_id, metadata.version("qenex-node"))
        try:
            trio.run(inspect_until_signal, backend, config.rpc, show)
        except BaseExceptionGroup as group:
            raise leaf_of(group) from None
    return EXIT_OK
