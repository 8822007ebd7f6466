"""`qenex audit verify|export|list|anchor|renew`: the audit log of a home. What a log is and when it is good is `node.audit`'s.

Exit codes of verify: 0 the log is good, 1 it is not, 2 it could not be looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.maintenance import confirm
from node.cli.options import HOME_HELP, home_option, user_root
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option, table
from node.cli.sending import common
from node.cli.values import NUMBER, FilePath
from state.primitives.errors import AuditLogDamagedError, ConfigError

if TYPE_CHECKING:
    from node.audit.verify import Anchor, Verified
    from node.config import Home
    from node.rpc.client import Client

PROBLEMS_SHOWN: Final = 20
PAGE: Final = 100
_PROGRESS_BYTES: Final = 50_000_000  # a line for each so many
_FILE = FilePath(dir_okay=False)


def _home(home: Path | None) -> Home:
    from node.config import Home

    found = Home(home or user_root() / "node")
    found.require()
    return found


def _show_progress(as_json: bool) -> Callable[[int, int], None]:
    """A line for each 50 MB, for large logs only."""
    said = 0

    def show(done: int, size: int) -> None:
        nonlocal said
        if not as_json and done - said >= _PROGRESS_BYTES:
            said = done
            click.echo(f"{done * 100 // max(1, size)} %", err=True)

    return show


@click.command("verify")
@home_option(HOME_HELP)
@click.option("--file", type=_FILE, help="A log, or what audit export wrote, in place of the home's log.")
@click.option("--rpc", "url", metavar="URL", help="Ask this node for the anchors of the log, and compare.")
@click.option("--account", metavar="ACCOUNT", help="Which account anchors it (default: that of [audit] anchor_key).")
@click.option("--prove", is_flag=True, help="Check a proof of each anchor against the app hash in the node's headers.")
@json_option
def verify_command(home: Path | None, file: Path | None, url: str | None, account: str | None, prove: bool, as_json: bool) -> int:
    """Check every entry, and with --rpc that the chain confirms them. Exit code 0: good, 1: not, 2: it could not be looked at."""
    from node.audit.verify import read_log_name, verify

    if url is None and (account is not None or prove):
        raise ConfigError("--account and --prove need --rpc URL", hint="the address of a node that you trust")
    path = file if file is not None else _home(home).audit_log_file
    anchors: list[Anchor] = []
    more: list[str] = []
    others: list[str] = []
    if url is not None:
        try:
            log = read_log_name(path)
        except AuditLogDamagedError:
            log = ""  # what is wrong with it is said below
        anchors, more, others = _ask_anchors(url, _find_account(account, home), log, prove)
    found = verify(path, anchors, _show_progress(as_json), needs_note=file is None)
    found = found._replace(problems=(*found.problems, *more))
    data = {"file": str(path), **found.to_json(), "other_logs": others}
    answer(as_json, data, _describe(path, found, others, asked=url is not None))
    return EXIT_FAILED if found.problems else EXIT_OK


def _describe(path: Path, found: Verified, others: list[str], *, asked: bool) -> list[str]:
    data = found.to_json()
    what = "a cut: entries" if found.is_cut else "entries"
    lines = [f"{path}: {what} {found.first} to {found.head.entries} of {found.log or 'no log'}"]
    if found.begins_ns:
        lines.append(f"{data['begins']} to {data['ends']}")
    if found.set_back:
        lines.append(f"entries that are older than the one before: {found.set_back}; the clock was set back, or they had to wait")
    if found.torn:
        why = "being written, or cut off when the machine stopped; the node sets them aside"
        lines.append(f"{found.torn} bytes at the end are no entry: {why}")
    if asked:
        lines.append(f"anchors compared: {found.anchors}; the chain confirms it up to entry {found.anchored}")
    if others and not found.problems:
        lines.append(f"the account has anchored other logs too, which this one does not stand for: {', '.join(others)}")
    lines += found.problems[:PROBLEMS_SHOWN]
    if len(found.problems) > PROBLEMS_SHOWN:
        lines.append(f"and {len(found.problems) - PROBLEMS_SHOWN} more")
    if found.first_bad:
        lines.append(f"the first entry that is wrong: {found.first_bad}")
    lines.append("NOT good" if found.problems else "good")
    return lines


def _find_account(account: str | None, home: Path | None) -> str:
    """The account's address; without one named, that of the home's anchor key."""
    from node.cli.options import resolve_address
    from node.config import load_config
    from node.keystore import read_key_info
    from state.primitives.ids import format_address

    if account is not None:
        return format_address(resolve_address(account, home))
    found = _home(home)
    key = load_config(found.config_file).audit.anchor_key
    if not key:
        raise ConfigError("whose anchors are meant is not said", hint="give --account, or set [audit] anchor_key")
    return read_key_info(found.root / key).account


def _ask_anchors(url: str, account: str, log: str, prove: bool) -> tuple[list[Anchor], list[str], list[str]]:
    """(the anchors of a log, what is wrong with that there are none, which other logs the account has anchored)."""
    from node.audit.verify import Anchor
    from node.cli.asking import ask_node
    from state.schema import decode_record

    async def ask(client: Client) -> tuple[list[Anchor], list[Any]]:
        found: list[Anchor] = []
        logs: list[Any] = (await client.call("audit_anchors", account=account))["logs"]
        while log and any(row["log"] == log for row in logs):
            page = await client.call("audit_anchors", account=account, log=log, start=str(len(found)), limit=str(PAGE))
            for row in page["anchors"]:
                anchor = Anchor(int(row["number"]), int(row["entries"]), row["head"], int(row["height"]), int(row["time"]))
                if prove:
                    proven = await client.prove(row["path"])
                    record = None if proven.value is None else decode_record(proven.key, proven.value)
                    if record is None or (record.entries, record.head.hex()) != (anchor.entries, anchor.hash):
                        why = f"the node's answer about anchor {anchor.number} is not what it proves"
                        raise ConfigError(why, hint="ask another node")
                found.append(anchor)
            if len(page["anchors"]) < PAGE:
                break
        return found, logs

    anchors, logs = ask_node(url, ask)
    others = [f"{row['log']} ({row['entries']} entries)" for row in logs if row["log"] != log]
    if anchors:
        return anchors, [], others
    missing = f"{account} has anchored no log {log or '(this one has no name)'}; it has anchored {', '.join(others) or 'none at all'}"
    return [], [missing], others


@click.command("export")
@home_option(HOME_HELP)
@click.option("--from", "first", default="1", show_default=True, metavar="T", help="A time (2026-01-31T12:00Z), or an entry's number.")
@click.option("--to", "last", default="0", show_default=False, metavar="T", help="Last: a time, a date, or a number [default: the last].")
@click.option("--format", "kind", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
@click.option("--out", type=_FILE, help="The file to write [default: standard output].")
@json_option
def export_command(home: Path | None, first: str, last: str, kind: str, out: Path | None, as_json: bool) -> None:
    """Give out the entries between two times; audit verify --file checks such a cut alone. That it was given out is recorded."""
    from node.audit.commands import recorded
    from node.audit.cut import find_cut, parse_moment, write_cut

    if as_json and out is None:
        raise ConfigError("--json needs --out FILE", hint="without --out the entries themselves are printed")
    found = _home(home)
    path = found.audit_log_file
    begin, end = parse_moment(first, "--from", is_end=False), parse_moment(last, "--to", is_end=True)
    show = _show_progress(as_json)
    head = find_cut(path, begin, end, show)
    with recorded(found, "audit.export", first=head.first, last=head.last, format=kind, file=str(out or "-")):
        if out is None:
            write_cut(path, head, kind, sys.stdout.buffer, show)
            return
        try:
            with out.open("xb") as file:
                write_cut(path, head, kind, file, show)
        except FileExistsError:
            raise ConfigError(f"{out} exists already", hint="choose another --out") from None
        except OSError as error:
            with suppress(OSError):  # what went wrong first is what the operator must hear of
                out.unlink(missing_ok=True)
            raise ConfigError(f"cannot write {out}: {error.strerror}", hint="check the folder and its free space") from error
    data = {"file": str(out), "log": head.log, "first": str(head.first), "last": str(head.last), "entries": head.entries}
    answer(as_json, {**data, "head": head.last_hash}, [f"entries {head.first} to {head.last} of {head.log} written to {out}"])


@click.command("list")
@home_option(HOME_HELP)
@click.option("--last", type=click.IntRange(1, 100_000), default=30, show_default=True, help="How many.")
@click.option("--before", type=NUMBER, default=0, help="Only entries before this number [default: up to the newest].")
@click.option("--actor", default="", help="Only of this one, such as token:desk; token:* for every token.")
@click.option("--action", default="", help="Only these, such as rpc.request; rpc.* for all that begin so.")
@json_option
def list_command(home: Path | None, last: int, before: int, actor: str, action: str, as_json: bool) -> None:
    """Show the last entries, the newest at the end."""
    import msgspec

    from node.audit.cut import format_time
    from node.audit.reading import select_last

    entries, _ = select_last(_home(home).audit_log_file, last, before=before, actor=actor, action=action)
    rows = [
        (str(entry.number), format_time(entry.time_ns)[:19] + "Z", entry.actor, entry.action, _words(entry.detail)) for entry in entries
    ]
    data = {"entries": [{**msgspec.to_builtins(entry), "time": format_time(entry.time_ns)} for entry in entries]}
    answer(as_json, data, table(rows, ("number", "time", "actor", "action", "detail")))


def _words(detail: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in detail.items() if value not in ("", None))


@click.command("anchor")
@common
def anchor_command(sending: Any) -> Any:
    """Check the log of the home, and write into the chain how far it goes. A node with [audit] anchor_key does it by itself."""
    from node.audit.verify import verify
    from node.cli.kyc import send

    path = _home(sending.home).audit_log_file
    found = verify(path)
    if found.problems:
        raise AuditLogDamagedError(f"{path}: {found.problems[0]}", hint="a log that is not good is not anchored; qenex audit verify")
    return send(sending, "audit.anchor", {"log": found.log, "entries": found.head.entries, "head": bytes.fromhex(found.head.hash)})


@click.command("renew")
@home_option(HOME_HELP)
@click.option("--reason", required=True, help="Why: it stands in the first entry of the new log.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def renew_command(home: Path | None, reason: str, yes: bool, as_json: bool) -> None:
    """Set a damaged log aside, unchanged, and begin a new one whose first entry names it. The node may go on running."""
    from node.audit.chain import log_name
    from node.audit.commands import command_actor
    from node.audit.journal import Journal

    path = _home(home).audit_log_file
    confirm(f"{path} is set aside, and a new log begins", yes=yes)
    journal = Journal(path)
    entry = journal.renew(command_actor(), reason)
    journal.close()
    kept = str(path.with_name(str(entry.detail["kept_as"])))
    data = {"log": log_name(entry), "kept_as": kept, "previous": entry.detail}
    answer(as_json, data, [f"set aside: {kept}", f"new log: {log_name(entry)}", "keep the old file: it is evidence, and its anchors stay"])


COMMANDS: Final = (verify_command, export_command, list_command, anchor_command, renew_command)
