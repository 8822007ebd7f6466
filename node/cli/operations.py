"""`qenex operations`: every native operation of the ledger, for people and clients. What it says is `state.catalogue`'s."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from node.cli.output import EXIT_OK, answer, json_option, table
from state.primitives.errors import ConfigError

if TYPE_CHECKING:
    from state.catalogue import Entry


@click.command()
@click.argument("name", required=False)
@click.option("--markdown", "as_markdown", is_flag=True, help="The page of the documentation.")
@json_option
def operations(name: str | None, as_markdown: bool, as_json: bool) -> int:
    """List the operations that transactions are made of; NAME (or the start of one) chooses."""
    from state.catalogue import describe_all
    from state.upgrades import VERSION_MAX

    entries = [entry for entry in describe_all() if name is None or entry.name.startswith(name)]
    if not entries:
        raise ConfigError(f"there is no operation {name}", hint="see: qenex operations")
    if as_markdown:
        click.echo(render_markdown(entries), nl=False)
        return EXIT_OK
    rows = [(str(entry.code), entry.name, " ".join(field for field, _ in entry.fields)) for entry in entries]
    data = {"rules": VERSION_MAX, "operations": [_to_json(entry) for entry in entries]}
    answer(as_json, data, table(rows, ("code", "operation", "fields")) if name is None else _pages(entries))
    return EXIT_OK


def _to_json(entry: Entry) -> dict[str, Any]:
    return {
        "code": entry.code,
        "name": entry.name,
        "module": entry.module,
        "fields": [{"name": name, "kind": kind} for name, kind in entry.fields],
        "signers": list(entry.signers),
        "codes": [{"code": code, "name": name} for code, name in entry.codes],
        "events": list(entry.events),
        "fee_key": entry.fee_key,
        "work": entry.work,
    }


def _pages(entries: list[Entry]) -> list[str]:
    lines = []
    for entry in entries:
        lines += [
            f"{entry.code} {entry.name}",
            *(f"  {name}: {kind}" for name, kind in entry.fields),
            f"  signed by: {'; '.join(entry.signers)}",
            f"  fails with: {', '.join(f'{code} {text}' for code, text in entry.codes) or '-'}",
            f"  events: {', '.join(entry.events) or '-'}",
            f"  fee: {entry.fee_key}, work {entry.work}",
        ]
    return lines


_HEAD = """# Operations of the ledger

Made by `qenex operations --markdown`; a test compares. Operations are executed in the order of their transaction, all of them or none.
Codes stand in the order in which they are looked for. Before them come those of admission (1xx), 202 and 201, and where value moves
those of the gate: 303, 603, 602, 601, 604, 606, 605, 507, 609 to 614, 502. "Medium" and so on are the signing account's thresholds.
The fee is what the fee table (`qenex query proof /params/fees`) has under the operation's name, else `base_default`; work counts against a
block's capacity.
"""
_COLUMNS = """
| code | operation | fields | signed by | fails with | events | work |
|---|---|---|---|---|---|---|
"""


def render_markdown(entries: list[Entry]) -> str:
    """The page of the documentation."""
    out = [_HEAD]
    module = ""
    for entry in entries:
        if entry.module != module:
            module = entry.module
            out.append(f"\n## {module}\n{_COLUMNS}")
        cells = (
            str(entry.code),
            f"`{entry.name}`",
            ", ".join(f"{name} ({kind})" if kind != name else name for name, kind in entry.fields) or "-",
            "; ".join(entry.signers),
            " ".join(str(code) for code, _ in entry.codes) or "-",
            ", ".join(entry.events) or "-",
            str(entry.work),
        )
        out.append(f"| {' | '.join(cells)} |\n")
    return "".join(out)
