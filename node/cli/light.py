"""`qenex light`: verify headers from nodes one does not trust, once or as an RPC proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from node.cli.options import user_root
from node.cli.output import answer, json_option
from node.cli.values import NUMBER, POSITIVE, TRUST_HOURS, FilePath
from state.primitives.errors import ConfigError, QenexError


@click.command()
@click.option("--primary", required=True, metavar="URL", help="RPC address of the node to ask.")
@click.option("--witness", "witnesses", multiple=True, metavar="URL", help="RPC address of a node to compare with; several are better.")
@click.option("--trust-height", type=POSITIVE, help="A height whose block hash you know from a source you trust.")
@click.option("--trust-hash", help="The hash of that block's header: 64 hex digits.")
@click.option("--trust-period", type=TRUST_HOURS, default=24, show_default=True, help="Hours for which a header is trusted.")
@click.option("--trust-level", default="1/3", show_default=True, help="Share of trusted validators that must have signed to skip headers.")
@click.option("--height", type=NUMBER, default=0, help="The height to verify (default: the latest).")
@click.option("--listen", metavar="HOST:PORT", help="Serve a verifying RPC proxy there until Ctrl-C.")
@click.option(
    "--home",
    type=FilePath(file_okay=False),
    help="Folder of verified blocks (default: light in the folder that `qenex config where` shows).",
)
@click.option("--classic-only", is_flag=True, help="Check the Ed25519 signatures only, as other light clients do.")
@click.option("--no-witness", is_flag=True, help="Believe what the primary proves without comparing. A forked chain is then not noticed.")
@json_option
def light(
    primary: str,
    witnesses: tuple[str, ...],
    trust_height: int | None,
    trust_hash: str | None,
    trust_period: int,
    trust_level: str,
    height: int,
    listen: str | None,
    home: Path | None,
    classic_only: bool,
    no_witness: bool,
    as_json: bool,
) -> int:
    """Verify a chain's headers by signatures alone, from a block you trust.

    The first time --trust-height and --trust-hash say where to begin; later what was verified before is in --home.
    """
    from node.cli.asking import check_url
    from node.light.service import LightSettings, check_listen, run_once, run_proxy

    if bool(witnesses) == no_witness:
        hint = "a witness is another operator's node: it shows when the primary forks"
        raise ConfigError("give --witness URL, or --no-witness", hint=hint)
    if listen is not None:
        check_listen(listen)  # before anything is asked, which may take long
    settings = LightSettings(
        primary=check_url(primary, "--primary"),
        witnesses=tuple(check_url(witness, "--witness") for witness in witnesses),
        start=_parse_start(trust_height, trust_hash),
        period_s=trust_period * 3_600,
        level=_parse_level(trust_level),
        folder=home or user_root() / "light",
        with_pq=not classic_only,
    )

    def warn(who: str, error: QenexError) -> None:
        click.echo(f"warning {error.code} {error.name}: {who}: {error.message}", err=True)

    if listen is not None:
        return run_proxy(settings, listen, warn, lambda line: click.echo(line, err=True))
    found = run_once(settings, height, warn)
    answer(as_json, found, _lines(found))
    return 0


def _lines(found: dict[str, Any]) -> list[str]:
    agreed = {0: "no witness was asked", 1: "1 witness agrees"}.get(found["witnesses"], f"{found['witnesses']} witnesses agree")
    checked = f"{found['signatures']} signatures checked in {found['blocks']} blocks, {agreed}"
    since = found["known_since"]
    return [
        f"block {found['height']} of {found['chain_id']} is verified",
        f"hash {found['hash']}",
        f"time {found['time']}",
        f"app hash {found['app_hash']}",
        checked if since is None else f"known since {since}: no witness was asked now",
    ]


def _parse_start(height: int | None, text: str | None) -> Any:
    from node.light.client import TrustedStart

    if height is None and text is None:
        return None
    try:
        found = bytes.fromhex(text or "")
    except ValueError:
        found = b""
    if height is None or len(found) != 32:
        raise ConfigError("--trust-height and --trust-hash belong together; the hash has 64 hex digits")
    return TrustedStart(height, found)


def _parse_level(text: str) -> tuple[int, int]:
    numerator, _, denominator = text.partition("/")
    if not (numerator.isdecimal() and denominator.isdecimal() and len(text) < 20):
        raise ConfigError(f"--trust-level {text} is not a fraction such as 1/3")
    share = int(numerator), int(denominator)
    if not (share[1] > 0 and 3 * share[0] >= share[1] and share[0] <= share[1]):
        raise ConfigError("--trust-level is within 1/3..1")
    return share
