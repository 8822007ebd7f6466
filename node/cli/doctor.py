"""`qenex doctor`: look at a home, say what is wrong. Looking is `node.maintenance.doctor`'s."""

from __future__ import annotations

from pathlib import Path

import click

from node.cli.options import HOME_HELP, home_option, user_root
from node.cli.output import EXIT_FAILED, EXIT_OK, answer, json_option


@click.command()
@home_option(HOME_HELP)
@click.option("--deep", is_flag=True, help="Also compute the state's root again and verify every block; minutes for a long chain.")
@json_option
def doctor(home: Path | None, deep: bool, as_json: bool) -> int:
    """Look at the home of a stopped node and say what is wrong; nothing is changed. Exit code 0: clean, 1: findings."""
    from node.maintenance.doctor import examine

    def show(text: str) -> None:
        if not as_json:
            click.echo(text, err=True)

    root = home or user_root() / "node"
    report = examine(root, is_deep=deep, progress=show)
    data = {
        "home": str(root),
        "clean": report.is_clean,
        "deep": deep,
        "height": str(report.height) if report.height >= 0 else "",
        "base_height": str(report.base) if report.height >= 0 else "",
        "app_hash": report.app_hash.hex().upper(),
        "findings": [finding.to_json() for finding in report.findings],
    }
    lines = [finding.line() for finding in report.findings]
    if report.height >= 0:
        lines.append(f"height {report.height}, app hash {report.app_hash.hex().upper()}")
    count = sum(finding.counts for finding in report.findings)
    lines.append("clean" if report.is_clean else f"{count} finding{'s' if count > 1 else ''}")
    answer(as_json, data, lines)
    return EXIT_OK if report.is_clean else EXIT_FAILED
