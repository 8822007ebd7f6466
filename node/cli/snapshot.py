"""`qenex snapshot`: make one of a running or a stopped node, list, restore to any archived height, thin out.

What they do is in `node.backup`; words, progress and the way to a running node are here.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.maintenance import parse_hash
from node.cli.options import HOME_HELP, home_option, user_root
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option, table
from node.cli.values import POSITIVE, FilePath
from state.primitives.errors import ConfigError, HomeError, SnapshotError
from state.primitives.limits import HEIGHT_MAX

if TYPE_CHECKING:
    from node.backup.manifest import Manifest
    from node.backup.restore import Plan, Restored
    from node.config import Home

POLL_S: Final = 0.1
_STEPS: Final = 8  # lines of progress for each stage
_FROM_HELP: Final = "The folder of snapshots (default: HOME/snapshots)."
_SECOND_NS: Final = 1_000_000_000


@click.group()
def snapshot() -> None:
    """Snapshots of a node's state and blocks: create, list, restore, prune."""


def _show_progress(as_json: bool) -> Callable[[str, int, int], None]:
    """A few lines for each stage, on standard error."""
    shown: dict[str, int] = {}

    def show(stage: str, done: int, of: int) -> None:
        step = done * _STEPS // max(1, of)
        if not as_json and shown.get(stage) != step:
            shown[stage] = step
            click.echo(f"{stage}: {done * 100 // max(1, of)} %", err=True)

    return show


# create


@snapshot.command()
@home_option(HOME_HELP)
@click.option("--to", "target", type=FilePath(file_okay=False), help="Where it goes (default: HOME/snapshots).")
@click.option("--height", type=click.IntRange(min=1, max=HEIGHT_MAX), help="Of which height (default: the newest that a block fixes).")
@click.option(
    "--base", type=click.IntRange(min=0, max=HEIGHT_MAX), help="Archive the blocks above this height (default: of the newest one there)."
)
@click.option("--node", help="RPC address of the running node (default: [rpc] listen of config.toml).")
@json_option
def create(home: Path | None, target: Path | None, height: int | None, base: int | None, node: str | None, as_json: bool) -> None:
    """Make a snapshot of a node, which may go on running: state, blocks since the one before, manifest."""
    from node.audit.commands import recorded
    from node.backup.make import make_snapshot
    from node.backup.task import describe_made
    from node.config import Home
    from node.maintenance.opening import open_stopped
    from node.storage.frozen import FrozenStore
    from node.testnet.processes import find_node

    opened = Home(home or user_root() / "node")
    opened.require()
    folder = target or opened.snapshots_dir
    base = _default_base(folder, opened) if base is None else base
    if node is not None or find_node(opened.root) is not None:
        data = _create_running(opened, node, height, base, as_json)
        if target is not None:
            data["path"] = str(_carry(Path(data["path"]), target, _show_progress(as_json)))
    else:
        asked = recorded(opened, "snapshot.create", name=str(folder), height=height or 0)
        with open_stopped(opened.root, read_only=True) as stopped, asked:
            rows = stopped.store.snapshot()
            try:
                store = FrozenStore(rows)
                show, version = _show_progress(as_json), metadata.version("qenex-node")
                data = describe_made(make_snapshot(store, stopped.document, folder, version, show, height=height, base=base))
            finally:
                rows.close()
    _answer_created(as_json, data)


def _default_base(folder: Path, home: Home) -> int:
    """The height of the newest snapshot of this network in a folder; above every height if there is none."""
    from node.backup.manifest import whole_snapshots

    genesis_hash = _read_document(home).hash.hex()
    return max((manifest.height for _, manifest in whole_snapshots(folder, genesis_hash)), default=HEIGHT_MAX)


def _read_document(home: Home) -> Any:
    from genesis.document import parse
    from state.primitives.limits import GENESIS_BYTES_MAX

    try:
        with home.genesis_file.open("rb") as file:
            return parse(file.read(GENESIS_BYTES_MAX + 1))
    except OSError as error:
        raise HomeError(f"cannot read {home.genesis_file}: {error.strerror}", hint="get the document from another operator") from error


def _create_running(home: Home, node: str | None, height: int | None, base: int, as_json: bool) -> dict[str, Any]:
    """Have the node's own process make it, in HOME/snapshots. Raises `SnapshotError` as the node says it, `ClientError`."""
    import trio

    from node.backup.task import TICKET
    from node.cli.asking import ask_node
    from node.config import load_config
    from node.keystore import write_private_file
    from node.rpc.client import Client

    config = load_config(home.config_file)
    url = node or f"{'https' if config.rpc.tls_cert else 'http'}://{config.rpc.listen}"
    ticket = secrets.token_hex(32) if config.rpc.access == "open" else ""
    if ticket:
        write_private_file(home.snapshots_dir / TICKET, ticket.encode(), replace=True)
    show = _show_progress(as_json)

    async def run(client: Client) -> Any:
        number = (await client.call("snapshot_create", height=str(height or 0), base=str(base), ticket=ticket))["number"]
        while True:
            status = await client.call("snapshot_status")
            last, running = status["last"], status["running"]
            if last is not None and last["number"] == number:
                return last
            if running is None or running["number"] != number:
                raise SnapshotError("the node was started again meanwhile, or makes another snapshot", hint="see: qenex snapshot list")
            show(running["stage"], int(running["done"]), int(running["of"]))
            await trio.sleep(POLL_S)

    try:
        last = ask_node(url, run)
    finally:
        (home.snapshots_dir / TICKET).unlink(missing_ok=True)
    if "error" in last:
        raise SnapshotError(last["error"]["message"], hint=last["error"]["hint"])
    found: dict[str, Any] = last["snapshot"]
    if Path(found["path"]).parent.resolve() != home.snapshots_dir.resolve():
        raise SnapshotError(f"{url} is the node of another home: it wrote {found['path']}", hint="give its own --home")
    return found


def _carry(path: Path, target: Path, show: Callable[[str, int, int], None]) -> Path:
    """Bring a snapshot to another folder, perhaps another disk: copied aside, checked, renamed; then the first one goes."""
    from node.backup.make import locked
    from node.backup.manifest import PARTIAL_PREFIX, remove_snapshot

    final, beside = target / path.name, target / (PARTIAL_PREFIX + path.name)
    if target.resolve() == path.parent.resolve():
        return path
    with locked(target):
        if final.exists():
            raise SnapshotError(f"{final} exists already; the new one is in {path}", hint="move the old one away first")
        _copy(path, beside, final, show)
    remove_snapshot(path)
    return final


def _copy(path: Path, beside: Path, final: Path, show: Callable[[str, int, int], None]) -> None:
    from node.backup.manifest import MANIFEST, check_files, read_manifest, sync_file
    from node.maintenance.export import sync_directory

    try:
        beside.mkdir(mode=0o700)
        for name in (*(file.name for file in read_manifest(path).files), MANIFEST):
            shutil.copy2(path / name, beside / name)
            (beside / name).chmod(0o600)
            sync_file(beside / name)
        sync_directory(beside)
        check_files(beside, read_manifest(beside), show)
        beside.rename(final)
        sync_directory(final.parent)
    except OSError as error:
        hint = f"check its disk; the snapshot itself is whole, in {path}"
        raise SnapshotError(f"cannot write to {final.parent}: {error.strerror or error}", hint=hint) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _answer_created(as_json: bool, data: dict[str, Any]) -> None:
    first, height = int(data["first_block"]), int(data["height"])
    lines = [f"height {height}, app hash {data['app_hash']}", f"fixed by block {height + 1} {data['fixed_by_block']}"]
    lines.append(f"blocks {first} to {height}" if first else "no blocks: it can be restored to its own height only")
    missing = data["missing_blocks"]
    if missing is not None:
        lines.append(f"warning: blocks {missing['first']} to {missing['last']} are pruned here: no height in between can be restored")
    answer(as_json, data, [*lines, f"{data['records']} records, {data['bytes']} bytes", f"written: {data['path']}"])


# list and prune


@snapshot.command(name="list")
@home_option(HOME_HELP)
@click.option("--from", "folder", type=FilePath(file_okay=False), help=_FROM_HELP)
@click.option("--verify", is_flag=True, help="Read every file and compare its SHA-256.")
@json_option
def list_(home: Path | None, folder: Path | None, verify: bool, as_json: bool) -> int:
    """What snapshots there are, and whether they are whole. Exit code 1 if one is not."""
    from node.backup.manifest import check_files, list_snapshots

    found = []
    for item in list_snapshots(_folder(home, folder)):
        problem = item.problem
        if item.manifest is not None and not problem and verify:
            try:
                check_files(item.path, item.manifest, _show_progress(as_json))
            except SnapshotError as error:
                problem = error.message
        found.append((item.path, item.manifest, problem))
    data = [
        {**({} if manifest is None else manifest.describe()), "path": str(path), "is_whole": not problem, "problem": problem}
        for path, manifest, problem in found
    ]
    rows = [_row(path, manifest, problem, verify) for path, manifest, problem in found]
    header = ("NAME", "HEIGHT", "BLOCK TIME", "BLOCKS FROM", "BYTES", "WHOLE")
    answer(as_json, {"snapshots": data, "verified": verify}, table(rows, header) if rows else ["there are no snapshots"])
    return EXIT_FAILED if any(problem for _, _, problem in found) else EXIT_OK


def _row(path: Path, manifest: Manifest | None, problem: str, verified: bool) -> tuple[str, ...]:
    from node.rpc.shapes import time_text

    if manifest is None:
        return path.name, "?", "?", "?", "?", f"no: {problem}"
    state = f"no: {problem}" if problem else "yes, verified" if verified else "yes"
    first = str(manifest.first_block) if manifest.first_block else "none"
    return path.name, str(manifest.height), time_text(manifest.block_time_ns), first, str(manifest.size), state


@snapshot.command()
@home_option(HOME_HELP)
@click.option("--from", "folder", type=FilePath(file_okay=False), help=_FROM_HELP)
@click.option("--keep", type=POSITIVE, required=True, help="How many of the newest stay, of each network.")
@json_option
def prune(home: Path | None, folder: Path | None, keep: int, as_json: bool) -> None:
    """Delete all but the newest snapshots. Heights before the oldest that stays cannot be restored any more."""
    from node.backup.manifest import list_snapshots, remove_snapshot

    where = _folder(home, folder)
    by_chain: dict[str, list[tuple[Path, int]]] = {}
    for item in list_snapshots(where):
        if item.manifest is not None and not item.problem:
            by_chain.setdefault(item.manifest.genesis_hash, []).append((item.path, item.manifest.height))
    doomed = [path for found in by_chain.values() for path, _ in found[:-keep]]
    for path in doomed:
        remove_snapshot(path)
    data = {"folder": str(where), "deleted": [path.name for path in doomed], "kept": sum(map(len, by_chain.values())) - len(doomed)}
    answer(as_json, data, [f"deleted: {path}" for path in doomed] or ["nothing to delete"])


def _folder(home: Path | None, folder: Path | None) -> Path:
    from node.config import Home

    if folder is not None:
        if not folder.is_dir():
            raise ConfigError(f"there is no folder {folder}", hint="give the folder that the snapshots are in")
        return folder
    found = Home(home or user_root() / "node")
    found.require()
    return found.snapshots_dir


# restore


@snapshot.command()
@click.argument("name", type=FilePath())
@home_option("The home whose database is made; it has none yet.", required=True)
@click.option("--to-height", type=click.IntRange(min=1, max=HEIGHT_MAX), help="To which height (default: the snapshot's own).")
@click.option("--to-time", metavar="TIME", help='To the last block not after a time, such as "2027-01-31T12:00:00Z".')
@click.option("--trust-hash", metavar="HEX", default="", help="Hash of the block after that height, from somebody you trust.")
@json_option
def restore(name: Path, home: Path, to_height: int | None, to_time: str | None, trust_hash: str, as_json: bool) -> None:
    """Make a home's database from the snapshot NAME (of HOME/snapshots, or a path) and the archived blocks beside it."""
    from node.audit.commands import recorded
    from node.backup.restore import plan_restore
    from node.backup.restore import restore as restore_snapshot
    from node.maintenance.opening import read_home

    if to_height is not None and to_time is not None:
        raise ConfigError("--to-height and --to-time were both given", hint="give one")
    trusted = parse_hash(trust_hash)
    opened, document = read_home(home)
    path = name if name.is_dir() else opened.snapshots_dir / name
    plan = plan_restore(path, document, height=to_height, time_ns=None if to_time is None else _parse_time(to_time))
    with recorded(opened, "snapshot.restore", name=str(path), height=plan.target):
        done = restore_snapshot(opened, document, plan, trusted, _show_progress(as_json))
    _answer_restored(as_json, home, plan, done, bool(trust_hash))


def _parse_time(text: str) -> int:
    from node.cli.promising import parse_when

    if not text[:4].isdigit():
        raise ConfigError(f"{text!r} is no time", hint='a date with its zone, such as "2027-01-31T12:00:00Z", or Unix seconds')
    return parse_when(text) * _SECOND_NS


def _answer_restored(as_json: bool, home: Path, plan: Plan, done: Restored, is_trusted: bool) -> None:
    from node.config import Home
    from node.maintenance.doctor import examine

    findings = [finding for finding in examine(home).findings if finding.counts]
    start = "the genesis document" if plan.state is None else str(plan.state[0])
    data = {
        "home": str(home),
        "height": str(done.height),
        "app_hash": done.app_hash.hex().upper(),
        "fixed_by_block": done.fixed_by.hex().upper(),
        "state_height": str(done.state_height),
        "blocks_executed": done.blocks,
        "from": start,
        "archives": [str(path) for path, _ in plan.archives],
        "logs_set_aside": [str(path) for path in done.logs_aside],
        "findings": [finding.to_json() for finding in findings],
    }
    lines = [f"height {done.height}, app hash {data['app_hash']}", f"fixed by block {done.height + 1} {data['fixed_by_block']}"]
    lines.append(f"state of height {done.state_height} from {start}, {done.blocks} blocks executed")
    lines += [f"set aside: {path}" for path in done.logs_aside]
    lines += [finding.line() for finding in findings]
    if not is_trusted:
        lines.append(f"compare the hash of block {done.height + 1} with another operator before you start the node")
    opened = Home(home)
    if opened.validator_key_file.exists() and not opened.signer_file.exists():
        lines.append(f"the signer's record is gone: move {opened.validator_key_file} away until the node is at the tip; see docs/backup.md")
    lines.append(f"next: qenex start --home {home}")
    answer(as_json, data, lines)
