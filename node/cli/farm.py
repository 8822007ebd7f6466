"""`qenex tx farm`: make farms, fund them, stake in them, claim, leave. What an operation means is the ledger's.

Amounts are in display units of their assets; shares of a pool are whole numbers. Times are Unix seconds, or spans from now such as
90s, 15m, 12h, 30d. Farms and an account's positions have numbers, from 0.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click

from node.cli.sending import base_units_option, common
from node.cli.values import NUMBER
from state.primitives.errors import ConfigError, MalformedError, TransactionError

if TYPE_CHECKING:
    from node.cli.session import Session

_SPAN: Final = re.compile(r"([0-9]{1,12})(s|m|h|d)?", re.ASCII)
_UNIT_S: Final = {"s": 1, None: 1, "m": 60, "h": 3_600, "d": 86_400}
_PPM_DIGITS: Final = 6
_NUMBER = NUMBER
_farm = click.option("--farm", "number", type=_NUMBER, required=True, help="Number of the farm.")
_position = click.option("--position", "own", type=_NUMBER, required=True, help="Number of the sender's position.")


@click.group(name="farm")
def farm() -> None:
    """Farms: rewards for staked assets and pool shares."""


@farm.command()
@click.option("--stake", required=True, metavar="ASSET|A/B", help="What is staked: an asset, or the shares of a pool.")
@click.option("--reward", required=True, metavar="ASSET", help="What is paid.")
@click.option("--budget", required=True, help="How much of it, paid in now.")
@click.option("--start", metavar="WHEN", help="Unix seconds, or a span from now such as 1h [default: now].")
@click.option("--duration", required=True, metavar="SPAN", help="How long it is paid out, such as 90d.")
@click.option("--tier", "tiers", multiple=True, metavar="LOCK:WEIGHT", help="Such as 30d:1.5; may be repeated [default: 0:1].")
@click.option("--max-stakers", type=NUMBER, default=0, help="Most accounts that may stake [default: no bound].")
@click.option("--domain", default="", help="Only members of this domain may stake [default: everybody].")
@click.option("--min-stake", default="0", show_default=True, help="Least that a position holds.")
@base_units_option
@common
def create(
    sending: Any,
    stake: str,
    reward: str,
    budget: str,
    start: str | None,
    duration: str,
    tiers: tuple[str, ...],
    max_stakers: int,
    domain: str,
    min_stake: str,
    base_units: bool,
) -> Any:
    """Make a farm and pay in its first budget; the sender becomes its sponsor."""
    name, locks = read_stake(stake), read_tiers(tiers or ("0:1",))
    start_s = 0 if start is None else read_when(start)

    async def operations(session: Session) -> list[Any]:
        fields = {
            "stake_asset": name,
            "reward_asset": reward,
            "start": start_s,
            "end": (start_s or _now_s()) + read_span(duration),
            "budget": await session.parse_amount(budget, reward, base_units=base_units),
            "lock_tiers": locks,
            "max_stakers": max_stakers,
            "domain": domain,
            "min_stake": await _parse_stake(session, min_stake, name, base_units),
        }
        return [_call("create", fields)]

    return sending.run(operations)


@farm.command()
@_farm
@click.option("--reward", required=True, metavar="ASSET", help="Which reward; one that the farm does not have yet is added.")
@click.option("--amount", required=True, help="How much more of it.")
@click.option("--start", metavar="WHEN", help="For a reward that does not run: Unix seconds, or a span from now [default: now].")
@click.option("--extend-to", metavar="WHEN", help="Its new end: Unix seconds, or a span from now [default: its own end, or the farm's].")
@base_units_option
@common
def fund(
    sending: Any, number: int, reward: str, amount: str, start: str | None, extend_to: str | None, base_units: bool
) -> Any:
    """Pay more into a farm of the sender's, or add a reward asset to it."""

    async def operations(session: Session) -> list[Any]:
        fields = {
            "farm": number,
            "reward_asset": reward,
            "amount": await session.parse_amount(amount, reward, base_units=base_units),
            "start": 0 if start is None else read_when(start),
            "extend_to": 0 if extend_to is None else read_when(extend_to),
        }
        return [_call("fund", fields)]

    return sending.run(operations)


@farm.command()
@_farm
@click.option("--amount", required=True, help="How much of the farm's stake asset, or how many shares of its pool.")
@click.option("--tier", type=NUMBER, default=0, show_default=True, help="Number of the lock tier: qenex query farm.")
@base_units_option
@common
def stake(sending: Any, number: int, amount: str, tier: int, base_units: bool) -> Any:
    """Stake, as a new position of the sender."""

    async def operations(session: Session) -> list[Any]:
        units = await _parse_stake(session, amount, await _stake_of(session, number), base_units)
        return [_call("stake", {"farm": number, "amount": units, "tier": tier})]

    return sending.run(operations)


@farm.command()
@_position
@click.option("--amount", required=True, help='How much of it to take out, or "all".')
@base_units_option
@common
def unstake(sending: Any, own: int, amount: str, base_units: bool) -> Any:
    """Take out a part of a position; what it has earned stays to be claimed."""

    async def operations(session: Session) -> list[Any]:
        found = await _own(session, own)
        asset = str(found["stake_asset"])
        units = int(found["amount"]) if amount == "all" else await _parse_stake(session, amount, asset, base_units)
        return [_call("unstake", {"farm": int(found["farm"]), "position": own, "amount": units})]

    return sending.run(operations)


@farm.command()
@_farm
@click.option("--position", "owns", type=_NUMBER, multiple=True, help="May be repeated [default: all unlocked ones in the farm].")
@click.option("--reward", default="", metavar="ASSET", help="Only this one [default: all].")
@common
def claim(sending: Any, number: int, owns: tuple[int, ...], reward: str) -> Any:
    """Get what positions have earned."""

    async def operations(session: Session) -> list[Any]:
        numbers = tuple(sorted(set(owns))) or await _unlocked(session, number)
        return [_call("claim", {"farm": number, "positions": numbers, "reward_asset": reward})]

    return sending.run(operations)


@farm.command(name="exit")
@_position
@common
def leave(sending: Any, own: int) -> Any:
    """Take out a whole position and all it has earned."""

    async def operations(_session: Session) -> list[Any]:
        return [_call("exit", {"position": own})]

    return sending.run(operations)


@farm.command(name="emergency-exit")
@_position
@common
def emergency_exit(sending: Any, own: int) -> Any:
    """Take out a whole position at once, locked or not; what it has earned is forfeited."""

    async def operations(_session: Session) -> list[Any]:
        return [_call("emergency_exit", {"position": own})]

    return sending.run(operations)


@farm.command()
@_farm
@common
def close(sending: Any, number: int) -> Any:
    """Get back what fell to nobody in a farm of the sender's that has ended."""

    async def operations(_session: Session) -> list[Any]:
        return [_call("close", {"farm": number})]

    return sending.run(operations)


def read_stake(text: str) -> str:
    """An asset code, or a pool with its assets in either order. Raises `ConfigError`."""
    from state.modules.farm_fields import read_stake as check
    from state.queries_amm import read_pool_name

    try:
        return read_pool_name(text) if "/" in text else check(text)
    except (MalformedError, TransactionError) as error:
        raise ConfigError(f"{text} is neither an asset nor a pool: {error.message}", hint="such as EUR, or EUR/QNX") from None


def read_span(text: str) -> int:
    """Seconds of a span: 90, 90s, 15m, 12h, 30d. Raises `ConfigError`."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ConfigError(f"{text} is not a span of time", hint="such as 90s, 15m, 12h, 30d")
    return int(match.group(1)) * _UNIT_S[match.group(2)]


def read_when(text: str) -> int:
    """Unix seconds; with a unit a span from now. Raises `ConfigError`."""
    span_s = read_span(text)
    return span_s if text.isdecimal() else _now_s() + span_s


def read_tiers(texts: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """Lock tiers from LOCK:WEIGHT, the shortest first. Raises `ConfigError`."""
    from node.cli.amounts import parse_amount
    from state.modules.farm_fields import read_tiers as check

    found = []
    for text in texts:
        lock, colon, weight = text.partition(":")
        if not colon:
            raise ConfigError(f"--tier {text} is not of the form LOCK:WEIGHT", hint="such as 30d:1.5")
        found.append((read_span(lock), parse_amount(weight, _PPM_DIGITS, "as a weight")))
    try:
        return tuple(tuple(tier) for tier in check(tuple(sorted(found))))
    except TransactionError as error:
        raise ConfigError(f"--tier: {error.message}") from None


def _now_s() -> int:
    import time

    return int(time.time())


def _call(operation: str, fields: dict[str, Any]) -> Any:
    from state.transaction import call

    return call(f"farm.{operation}", **fields)


async def _parse_stake(session: Session, text: str, name: str, base_units: bool) -> int:
    from node.cli.amounts import parse_amount

    if "/" in name:
        return parse_amount(text, 0, "shares", base_units=True)
    return await session.parse_amount(text, name, base_units=base_units)


async def _stake_of(session: Session, number: int) -> str:
    found = (await session.client.call("farm", farm=str(number)))["farm"]
    if found is None:
        raise ConfigError(f"there is no farm {number}", hint="qenex query farms lists them")
    return str(found["stake_asset"])


async def _own(session: Session, own: int) -> dict[str, Any]:
    from state.primitives.ids import format_address

    asked = await session.client.call("farm_position", account=format_address(session.acting), position=str(own))
    found: dict[str, Any] | None = asked["position"]
    if found is None:
        raise ConfigError(f"the sender has no position {own} in a farm", hint="qenex query farm-positions")
    return found


async def _unlocked(session: Session, number: int) -> tuple[int, ...]:
    from state.primitives.ids import format_address
    from state.primitives.limits import FARM_CLAIM_POSITIONS_MAX

    asked = await session.client.call("farm_positions", account=format_address(session.acting))
    mine = [int(row["position"]) for row in asked["positions"] if row["farm"] == str(number) and not row["is_locked"]]
    if not mine:
        raise ConfigError(f"the sender has no unlocked position in farm {number}", hint="qenex query farm-positions")
    return tuple(mine[:FARM_CLAIM_POSITIONS_MAX])
