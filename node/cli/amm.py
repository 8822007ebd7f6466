"""`qenex tx amm`: make pools, add to them, take out, swap. What an operation means is the ledger's.

A pool is named by its assets, `EUR/QNX`, in either order; amounts are in display units of their assets, shares are whole numbers. A
price is in display units of the pool's second asset for one of its first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from node.cli.sending import base_units_option, common
from state.primitives.errors import ConfigError, MalformedError

if TYPE_CHECKING:
    from node.cli.session import Session

_pool = click.option("--pool", required=True, metavar="A/B", help="The two assets of the pool, such as EUR/QNX.")
_shares = click.option("--shares", required=True, help='How many shares, or "all".')
_asset = click.option("--asset", required=True, help="Which of the pool's assets.")
_path = click.option("--path", required=True, metavar="A,B[,C...]", help="2 to 5 assets, from the one given to the one got.")


@click.group(name="amm")
def amm() -> None:
    """Pools: provide liquidity and swap."""


@amm.command()
@click.option("--a", "asset_a", required=True, help="One asset.")
@click.option("--b", "asset_b", required=True, help="The other asset.")
@click.option("--amount-a", required=True, help="First deposit of the one.")
@click.option("--amount-b", required=True, help="First deposit of the other; together they set the price.")
@click.option("--fee-ppm", type=click.IntRange(0, 100_000), default=3_000, show_default=True, help="Parts per million of what is swapped.")
@click.option("--member", "members", multiple=True, metavar="ACCOUNT", help="Who may use it; may be repeated [default: everybody].")
@base_units_option
@common
def create(
    sending: Any,
    asset_a: str,
    asset_b: str,
    amount_a: str,
    amount_b: str,
    fee_ppm: int,
    members: tuple[str, ...],
    base_units: bool,
) -> Any:
    """Make the pool of two assets."""
    who = _resolve_members(sending, members)

    async def operations(session: Session) -> list[Any]:
        fields = {
            "a": asset_a,
            "b": asset_b,
            "fee_ppm": fee_ppm,
            "amount_a": await session.parse_amount(amount_a, asset_a, base_units=base_units),
            "amount_b": await session.parse_amount(amount_b, asset_b, base_units=base_units),
            "members": who,
        }
        return [_call("create", fields)]

    return sending.run(operations)


@amm.command()
@_pool
@click.option("--max-a", required=True, help="Most to give of the pool's first asset.")
@click.option("--max-b", required=True, help="Most to give of its second asset.")
@click.option("--min-shares", default="0", show_default=True, help="Fewest shares to accept.")
@click.option("--min-price", help="Fail if the first asset's price in the second one is lower.")
@click.option("--max-price", help="Fail if it is higher.")
@base_units_option
@common
def add(
    sending: Any,
    pool: str,
    max_a: str,
    max_b: str,
    min_shares: str,
    min_price: str | None,
    max_price: str | None,
    base_units: bool,
) -> Any:
    """Deposit both assets in the pool's ratio."""
    name = read_pool(pool)

    async def operations(session: Session) -> list[Any]:
        a, b = name.split("/")
        fields = {
            "pool": name,
            "max_a": await session.parse_amount(max_a, a, base_units=base_units),
            "max_b": await session.parse_amount(max_b, b, base_units=base_units),
            "min_shares": _parse_fewest(min_shares),
            "min_price": await _parse_price(session, min_price, a, b),
            "max_price": await _parse_price(session, max_price, a, b),
        }
        return [_call("add", fields)]

    return sending.run(operations)


@amm.command(name="add-single")
@_pool
@_asset
@click.option("--amount", required=True, help="How much of it.")
@click.option("--min-shares", required=True, help="Fewest shares to accept: qenex query quote tells.")
@base_units_option
@common
def add_single(sending: Any, pool: str, asset: str, amount: str, min_shares: str, base_units: bool) -> Any:
    """Deposit one asset; a part of it is swapped."""
    name = read_pool(pool)

    async def operations(session: Session) -> list[Any]:
        units = await session.parse_amount(amount, asset, base_units=base_units)
        return [_call("add_single", {"pool": name, "asset": asset, "amount": units, "min_shares": _parse_fewest(min_shares)})]

    return sending.run(operations)


@amm.command()
@_pool
@_shares
@click.option("--min-a", default="0", show_default=True, help="Least to get of the pool's first asset.")
@click.option("--min-b", default="0", show_default=True, help="Least to get of its second asset.")
@base_units_option
@common
def remove(sending: Any, pool: str, shares: str, min_a: str, min_b: str, base_units: bool) -> Any:
    """Turn shares into both assets."""
    name = read_pool(pool)

    async def operations(session: Session) -> list[Any]:
        a, b = name.split("/")
        fields = {
            "pool": name,
            "shares": await _parse_shares(session, name, shares),
            "min_a": await session.parse_amount(min_a, a, base_units=base_units),
            "min_b": await session.parse_amount(min_b, b, base_units=base_units),
        }
        return [_call("remove", fields)]

    return sending.run(operations)


@amm.command(name="remove-single")
@_pool
@_shares
@_asset
@click.option("--min-out", default="0", show_default=True, help="Least to get of it.")
@base_units_option
@common
def remove_single(sending: Any, pool: str, shares: str, asset: str, min_out: str, base_units: bool) -> Any:
    """Turn shares into one asset."""
    name = read_pool(pool)

    async def operations(session: Session) -> list[Any]:
        fields = {
            "pool": name,
            "shares": await _parse_shares(session, name, shares),
            "asset": asset,
            "min_out": await session.parse_amount(min_out, asset, base_units=base_units),
        }
        return [_call("remove_single", fields)]

    return sending.run(operations)


@amm.command(name="swap-in")
@_path
@click.option("--amount", required=True, help="How much to give.")
@click.option("--min-out", required=True, help="Least to get: qenex query quote tells.")
@base_units_option
@common
def swap_in(sending: Any, path: str, amount: str, min_out: str, base_units: bool) -> Any:
    """Swap an exact amount for as much as it gives."""
    codes = read_path(path)

    async def operations(session: Session) -> list[Any]:
        fields = {
            "path": codes,
            "amount_in": await session.parse_amount(amount, codes[0], base_units=base_units),
            "min_out": await session.parse_amount(min_out, codes[-1], base_units=base_units),
        }
        return [_call("swap_in", fields)]

    return sending.run(operations)


@amm.command(name="swap-out")
@_path
@click.option("--amount", required=True, help="How much to get.")
@click.option("--max-in", required=True, help="Most to give: qenex query quote tells.")
@base_units_option
@common
def swap_out(sending: Any, path: str, amount: str, max_in: str, base_units: bool) -> Any:
    """Swap as little as needed for an exact amount."""
    codes = read_path(path)

    async def operations(session: Session) -> list[Any]:
        fields = {
            "path": codes,
            "amount_out": await session.parse_amount(amount, codes[-1], base_units=base_units),
            "max_in": await session.parse_amount(max_in, codes[0], base_units=base_units),
        }
        return [_call("swap_out", fields)]

    return sending.run(operations)


@amm.command(name="set-members")
@_pool
@click.option("--member", "members", multiple=True, required=True, metavar="ACCOUNT", help="Who may use it; may be repeated.")
@common
def set_members(sending: Any, pool: str, members: tuple[str, ...]) -> Any:
    """Replace the members of the sender's restricted pool."""
    name, who = read_pool(pool), _resolve_members(sending, members)

    async def operations(_session: Session) -> list[Any]:
        return [_call("set_members", {"pool": name, "members": who})]

    return sending.run(operations)


@amm.command(name="set-domain")
@_pool
@click.option("--domain", required=True, help="Whose members may use it, instead of the pool's own.")
@common
def set_domain(sending: Any, pool: str, domain: str) -> Any:
    """Let the members of a domain use the sender's restricted pool."""
    from node.cli.kyc import domain_name

    name, members = read_pool(pool), domain_name(domain)

    async def operations(_session: Session) -> list[Any]:
        return [_call("set_domain", {"pool": name, "domain": members})]

    return sending.run(operations)


@amm.command()
@_pool
@common
def close(sending: Any, pool: str) -> Any:
    """Empty the pool, all of whose shares the sender holds."""
    name = read_pool(pool)

    async def operations(_session: Session) -> list[Any]:
        return [_call("close", {"pool": name})]

    return sending.run(operations)


def read_pool(text: str) -> str:
    """A pool's name as the ledger has it. Raises `ConfigError`."""
    from state.queries_amm import read_pool_name

    try:
        return read_pool_name(text)
    except MalformedError as error:
        raise ConfigError(f"{text} is not a pool: {error.message}", hint="such as EUR/QNX") from None


def read_path(text: str) -> tuple[str, ...]:
    """The assets of a path. Raises `ConfigError`."""
    from state.primitives.ids import check_asset_code

    codes = tuple(text.split(","))
    try:
        for code in codes:
            check_asset_code(code)
    except MalformedError as error:
        raise ConfigError(f"{text} is not a path: {error.message}", hint="such as EUR,QNX") from None
    if len(codes) < 2:
        raise ConfigError(f"{text} is not a path: it names 2 to 5 assets", hint="such as EUR,QNX")
    return codes


def _call(operation: str, fields: dict[str, Any]) -> Any:
    from state.transaction import call

    return call(f"amm.{operation}", **fields)


def _resolve_members(sending: Any, members: tuple[str, ...]) -> tuple[bytes, ...]:
    from node.cli.options import resolve_address

    return tuple(sorted({resolve_address(member, sending.home) for member in members}))


async def _parse_shares(session: Session, pool: str, text: str) -> int:
    from node.cli.amounts import parse_amount
    from state.primitives.ids import format_address

    if text != "all":
        return parse_amount(text, 0, "shares", base_units=True)
    asked = await session.client.call("amm_position", account=format_address(session.acting), pool=pool)
    if asked["position"] is None:
        raise ConfigError(f"the sender has no shares of {pool}", hint="qenex query positions")
    return int(asked["position"]["shares"])


def _parse_fewest(text: str) -> int:
    """Of --min-shares, which has no scale. Raises `ConfigError`."""
    from node.cli.amounts import parse_amount

    return parse_amount(text, 0, "as --min-shares", base_units=True)


async def _parse_price(session: Session, text: str | None, a: str, b: str) -> tuple[int, int]:
    """A price in display units as a fraction of base units: b for one a."""
    from node.cli.amounts import parse_amount
    from state.primitives.limits import AMOUNT_MAX, ASSET_SCALE_MAX

    if text is None:
        return 0, 0
    digits = len(text.partition(".")[2])
    price = parse_amount(text, min(digits, ASSET_SCALE_MAX), "as a price")
    scale_a, scale_b = await session.scale_of(a), await session.scale_of(b)
    common = min(scale_b, digits + scale_a)
    found = price * 10 ** (scale_b - common), 10 ** (digits + scale_a - common)
    if max(found) > AMOUNT_MAX or not price:
        raise ConfigError(f"{text} is no price between {a} and {b}", hint="more than zero, and within 2^640 in base units")
    return found
