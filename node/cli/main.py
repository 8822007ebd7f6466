"""The entry of `qenex`: the list of commands, and the one place where an error becomes a line and an exit code.

Commands are imported when they are used, so `qenex --help` is fast. An operator's mistake gives one line (or, with --json, one
JSON object) on standard error and exit code 2; a transaction that failed exits with 1. Nothing else may be decided here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final

import click

from node.cli.output import EXIT_BUG, EXIT_MISTAKE, report_error, take_any_text
from state.primitives.errors import ConfigError, LocalError, QenexError

# name -> (module, attribute, line of help)
COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "init": ("node.cli.node", "init", "Make a home: keys, config.toml, and the genesis document if given."),
    "start": ("node.cli.node", "start", "Run the node of a home."),
    "health": ("node.cli.health", "health", "Whether a node answers, as an exit code."),
    "config": ("node.cli.config", "config", "Settings: what holds, whether it is right, read it again."),
    "log": ("node.cli.log", "log", "What a running node logs, module by module."),
    "signer": ("node.cli.signer", "signer", "Voting keys in a process of their own, which serves one node."),
    "keys": ("node.cli.keys", "keys", "Make, list, show, import and export keys."),
    "rpc": ("node.cli.rpc", "rpc", "Who may ask a node's RPC: bearer tokens by role."),
    "tx": ("node.cli.tx", "tx", "Sign and send transactions."),
    "attest": ("node.cli.travel", "attest", "Attest that the travel data of a payment was received."),
    "operations": ("node.cli.operations", "operations", "Every native operation: fields, signers, codes, events."),
    "query": ("node.cli.query", "query", "Ask a node: accounts, assets, transactions, blocks, proofs."),
    "genesis": ("node.cli.genesis", "genesis", "The ceremony that starts a network of several operators."),
    "testnet": ("node.cli.testnet", "testnet", "A local network of real validator processes."),
    "bench": ("node.cli.bench", "bench", "Measure: load through RPC, one node's pipeline."),
    "simulate": ("node.cli.simulate", "simulate", "Whole clusters in one process, under faults drawn from seeds."),
    "light": ("node.cli.light", "light", "Verify headers from nodes you do not trust; a verifying RPC proxy."),
    "doctor": ("node.cli.doctor", "doctor", "Look at a stopped node's home: what is wrong, what to do."),
    "rollback": ("node.cli.maintenance", "rollback", "Undo the last height of a stopped node, or down to a height."),
    "reindex": ("node.cli.index", "reindex", "Make a stopped node's index of history again."),
    "index": ("node.cli.index", "index", "How far the index of history is; write its tables into files."),
    "export": ("node.cli.maintenance", "export_command", "Write a stopped node's whole state into one file."),
    "import": ("node.cli.maintenance", "import_command", "Make a new home's database from an exported state."),
    "snapshot": ("node.cli.snapshot", "snapshot", "Snapshots of a running or stopped node: create, list, restore, prune."),
    "audit": ("node.cli.audit", "audit", "The audit log: verify, export, list, anchor; audit whole states."),
    "state": ("node.cli.state", "state", "Which records of two states differ."),
    "monitor": ("node.cli.monitor", "monitor", "Health, alerts, rules for Prometheus, a dashboard for Grafana."),
    "inspect": ("node.cli.maintenance", "inspect", "Answer RPC from a stopped node's data, reading only."),
    "prune": ("node.cli.maintenance", "prune", "Delete a stopped node's old blocks and give their space back."),
    "version": ("node.cli.node", "version", "Show versions."),
}
_CONTEXT: Final = 20  # characters shown around bytes that are no text


class LazyGroup(click.Group):
    """A group that imports a command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, row[2]) for name, row in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def qenex() -> None:
    """QENEX node: validators that agree on one ledger, final in one block."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    argv = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return run(argv)
    except KeyboardInterrupt:
        return report_error(LocalError("interrupted"), as_json="--json" in argv)


def run(argv: list[str]) -> int:
    """A command within a longer program, which ends with it: raises `KeyboardInterrupt` when a signal says so."""
    as_json = "--json" in argv
    take_any_text()
    try:
        result: Any = qenex.main(args=argv, prog_name="qenex", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_MISTAKE
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.Abort:
        raise KeyboardInterrupt from None
    except click.ClickException as error:
        return report_error(_from_click(error), as_json=as_json)
    except QenexError as error:
        return report_error(error, as_json=as_json)
    except BrokenPipeError:
        # whoever read our output is gone; a second error at interpreter exit would be noise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BUG
    except (Exception, BaseExceptionGroup) as error:  # the command line's supervisor: the last line of defence
        if isinstance(error, BaseExceptionGroup) and error.subgroup(KeyboardInterrupt) is not None:
            raise KeyboardInterrupt from None  # out of an event loop
        if os.environ.get("QENEX_TRACEBACK"):
            raise
        found = _unexpected(error)
        report_error(found, as_json=as_json)
        return EXIT_MISTAKE if isinstance(found, ConfigError) else EXIT_BUG


def _from_click(error: click.ClickException) -> QenexError:
    """Click's own complaints (unknown option, missing argument) in our shape."""
    hint = ""
    if isinstance(error, click.UsageError) and error.ctx is not None:
        hint = f"see: {error.ctx.command_path} --help"
    return ConfigError(error.format_message().replace("\n", " "), hint=hint)


def _unexpected(error: BaseException) -> QenexError:
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    if isinstance(error, QenexError):
        return error
    if isinstance(error, UnicodeEncodeError) and any("\udc80" <= char <= "\udcff" for char in error.object):
        text = error.object[max(0, error.start - _CONTEXT) : error.end + _CONTEXT]
        return ConfigError(f"{text} is no text: it has bytes that are not UTF-8", hint="only names of files may have such bytes")
    if isinstance(error, OSError):
        name = f" {error.filename}" if error.filename else ""
        return LocalError(f"the operating system refused{name}: {error.strerror or error}")
    return LocalError(
        f"this is a defect: {type(error).__name__}: {' '.join(str(error).split())}",
        hint="run it again with QENEX_TRACEBACK=1 in the environment and report what it prints",
    )


if __name__ == "__main__":
    sys.exit(main())
