"""What `qenex testnet` shows: progress, a table of nodes, a line per block. Text for people; JSON is printed elsewhere."""

from __future__ import annotations

from rich.console import Console
from rich.status import Status
from rich.table import Table

from node.testnet.demo import Demonstration
from node.testnet.watch import BlockLine, NodeStatus


class RichScreen:
    """The terminal. Without one (a pipe, a log) the same lines, plain."""

    def __init__(self) -> None:
        self._console = make_console()
        self._spinner: Status | None = None

    def step(self, text: str) -> None:
        """See `node.testnet.network.Screen`."""
        self._stop_spinner()
        self._console.print(f"• {text}", markup=False, soft_wrap=True)

    def progress(self, statuses: tuple[NodeStatus, ...]) -> None:
        """See `node.testnet.network.Screen`."""
        if not self._console.is_terminal:
            return
        text = "  ".join(
            f"node{s.index}: " + (f"height {s.height}" if s.running else "starting") for s in statuses
        )
        if self._spinner is None:
            self._spinner = self._console.status(text)
            self._spinner.start()
        self._spinner.update(text)

    def table(self, statuses: tuple[NodeStatus, ...]) -> None:
        """See `node.testnet.network.Screen`."""
        self._stop_spinner()
        self._console.print(status_table(statuses))

    def demonstration(self, result: Demonstration) -> None:
        """See `node.testnet.network.Screen`."""
        self._console.print(f"• {result.describe()}", markup=False, soft_wrap=True)

    def block(self, line: BlockLine) -> None:
        """See `node.testnet.network.Screen`."""
        self._console.print(
            f"block {line.height:>8}  {line.txs:>5} txs  app hash {line.app_hash[:16]}  proposer {line.proposer}"
            f"  {line.time[11:19]}",
            markup=False,
            soft_wrap=True,
        )

    def note(self, text: str) -> None:
        """See `node.testnet.network.Screen`."""
        self._stop_spinner()
        self._console.print(f"• {text}", markup=False, soft_wrap=True)

    def close(self) -> None:
        """Give the terminal back."""
        self._stop_spinner()

    def _stop_spinner(self) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


def make_console() -> Console:
    """The terminal; a pipe or a file gets lines wide enough for the table."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=120)


def status_table(statuses: tuple[NodeStatus, ...]) -> Table:
    """The nodes as a table."""
    table = Table(box=None, pad_edge=False)
    for name in ("node", "RPC", "height", "app hash", "peers", "state", "process"):
        table.add_column(name, no_wrap=True)
    for one in statuses:
        state = "not running" if not one.running else "catching up" if one.catching_up else "running"
        pid = "" if one.pid is None else str(one.pid)
        table.add_row(f"node{one.index}", one.rpc, str(one.height), one.app_hash[:16], str(one.peers), state, pid)
    return table


class SilentScreen:
    """For --json: nothing."""

    def step(self, text: str) -> None:
        """See `node.testnet.network.Screen`."""

    def progress(self, statuses: tuple[NodeStatus, ...]) -> None:
        """See `node.testnet.network.Screen`."""

    def table(self, statuses: tuple[NodeStatus, ...]) -> None:
        """See `node.testnet.network.Screen`."""

    def demonstration(self, result: Demonstration) -> None:
        """See `node.testnet.network.Screen`."""

    def block(self, line: BlockLine) -> None:
        """See `node.testnet.network.Screen`."""

    def note(self, text: str) -> None:
        """See `node.testnet.network.Screen`."""

    def close(self) -> None:
        """Nothing to give back."""
