"""`qenex tx account`: what an account's keys may do, who acts for it, whom it pays, its end. See docs/accounts.md.

A key that signs for an account which its file does not name is written KEY@ACCOUNT. Amounts are in display units. What an operation
means is the ledger's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from node.cli.sending import base_units_option, common
from node.cli.values import NUMBER, POSITIVE
from state.primitives.errors import ConfigError
from state.primitives.limits import GRANT_WINDOW_S_MAX, GRANT_WINDOW_S_MIN, KEY_DELAY_S_MAX

if TYPE_CHECKING:
    from node.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])

DAY_S: Final = 24 * 3_600
_WINDOW: Final = click.IntRange(GRANT_WINDOW_S_MIN, GRANT_WINDOW_S_MAX)
_DELAY: Final = click.IntRange(0, KEY_DELAY_S_MAX)
_LEVELS: Final = ("low", "medium", "high", "statutory")
_CLASSES: Final = ("owner", "operator", "recovery", "checker")


@click.group(name="account")
def account() -> None:
    """Keys and their classes, session keys, delegates, sponsors, allow-lists."""


def scope_options(function: F) -> F:
    """Options of a scope: operations, limits, counterparties, window, end."""
    for option in (
        click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How long it holds."),
        click.option("--window", "window_s", type=_WINDOW, default=DAY_S, show_default=True, help="Seconds of one window."),
        click.option("--counterparty", "counterparties", multiple=True, metavar="ACCOUNT", help="Whom it may pay [default: anybody]."),
        click.option(
            "--limit", "limits", multiple=True, metavar="ASSET:PER-TX:PER-WINDOW", help="What may be spent; of other assets nothing."
        ),
        click.option("--op", "ops", multiple=True, required=True, metavar="NAME", help="Such as asset.transfer; may be repeated."),
    ):
        function = option(function)
    return function


def parse_operations(names: tuple[str, ...]) -> tuple[int, ...]:
    """Numbers of named operations, sorted. Raises `ConfigError`."""
    from state.modules.table import BY_NAME

    for name in names:
        if name not in BY_NAME:
            raise ConfigError(f"there is no operation {name}", hint="qenex operations lists them")
    return tuple(sorted({BY_NAME[name].code for name in names}))


async def parse_limits(session: Session, texts: tuple[str, ...], base_units: bool) -> tuple[tuple[str, int, int], ...]:
    """Limits written ASSET:PER-TX:PER-WINDOW, in order of assets. Raises `ConfigError`."""
    found = {}
    for text in texts:
        asset, *amounts = text.split(":")
        if len(amounts) != 2 or asset in found:
            raise ConfigError(f"--limit {text} is not of the form ASSET:PER-TX:PER-WINDOW, once for each asset")
        one, many = [await session.parse_amount(amount, asset, base_units=base_units) for amount in amounts]
        if not 0 < one <= many:
            raise ConfigError(f"--limit {text}: the limit of a transaction is above zero and not above that of a window")
        found[asset] = (asset, one, many)
    return tuple(found[asset] for asset in sorted(found))


def resolve_all(sending: Any, names: tuple[str, ...]) -> tuple[bytes, ...]:
    """Addresses of accounts, sorted."""
    from node.cli.options import resolve_address

    return tuple(sorted({resolve_address(name, sending.home) for name in names}))


def _run(sending: Any, operation: str, fields: dict[str, Any]) -> Any:
    from state.transaction import call

    async def operations(session: Session) -> list[Any]:
        return [call(operation, **fields)]

    return sending.run(operations)


@account.command(name="set-policy")
@click.option("--add", multiple=True, metavar="KEY", help="A further owner's key, as in update-keys; may be repeated.")
@click.option("--add-operator", multiple=True, metavar="KEY", help="A key for payments and trades.")
@click.option("--add-checker", multiple=True, metavar="KEY", help="A key that signs as the second of two.")
@click.option("--add-recovery", multiple=True, metavar="KEY", help="A key that can only recover the account.")
@click.option("--remove", multiple=True, type=click.IntRange(0, 2**32 - 1), metavar="ID", help="Number of a key.")
@click.option("--class", "classes", multiple=True, metavar="ID=CLASS", help="owner, operator, recovery or checker.")
@click.option("--valid", "times", multiple=True, metavar="ID=FROM-UNTIL", help="When a key signs, in Unix seconds; 0: no bound.")
@click.option("--thresholds", help="low,medium,high,statutory [default: as they are].")
@click.option("--rotation-delay", type=_DELAY, help="Seconds until a change of keys may be confirmed [default: as it is].")
@click.option("--recovery-delay", type=_DELAY, help="The same for a recovery; longer.")
@click.option("--recovery-weight", type=NUMBER, help="Weight of recovery keys that recovers; 0: none does.")
@click.option("--dual-from", type=click.Choice((*_LEVELS, "off")), help="Level from which a maker and a checker must sign.")
@common
def set_policy(
    sending: Any,
    add: tuple[str, ...],
    add_operator: tuple[str, ...],
    add_checker: tuple[str, ...],
    add_recovery: tuple[str, ...],
    remove: tuple[int, ...],
    classes: tuple[str, ...],
    times: tuple[str, ...],
    thresholds: str | None,
    **settings: Any,
) -> Any:
    """Set classes and times of keys, delays, recovery, two-person control. What is not named stays as it is."""
    from node.cli.parts import parse_key_rows, parse_thresholds
    from state.transaction import call

    groups = (("owner", add), ("operator", add_operator), ("checker", add_checker), ("recovery", add_recovery))

    async def operations(session: Session) -> list[Any]:
        policy = await read_policy(session)
        first = 1 + max(key["key_id"] for key in policy["keys"])
        rows = parse_key_rows([text for _, texts in groups for text in texts], sending.home, first)
        rules = {key["key_id"]: [key["class"], key["valid_from"], key["valid_until"]] for key in policy["keys"]}
        rules |= {row[0]: [name, 0, 0] for row, name in zip(rows, (n for n, texts in groups for _ in texts), strict=True)}
        for key_id in remove:
            rules.pop(key_id, None)
        _change_rules(rules, classes, times)
        fields: dict[str, Any] = {
            "add": rows,
            "remove": tuple(sorted(set(remove))),
            "thresholds": parse_thresholds(thresholds) if thresholds else (),
            "rules": _write_rules(rules),
            **_merge_settings(policy, settings),
        }
        return [call("account.set_policy", **fields)]

    return sending.run(operations)


async def read_policy(session: Session) -> dict[str, Any]:
    """The policy of the acting account, as the node describes it. Raises `ConfigError` if there is no such account."""
    from state.primitives.ids import format_address

    found: dict[str, Any] | None = (await session.client.call("account_policy", account=format_address(session.acting)))["policy"]
    if found is None:
        raise ConfigError(f"there is no account {format_address(session.acting)} on this chain")
    return found


def _change_rules(rules: dict[int, list[Any]], classes: tuple[str, ...], times: tuple[str, ...]) -> None:
    for text in classes:
        key_id, _, name = text.partition("=")
        if not key_id.isdecimal() or int(key_id) not in rules or name not in _CLASSES:
            raise ConfigError(f"--class {text} is not ID=CLASS of a key", hint=f"classes are {', '.join(_CLASSES)}")
        rules[int(key_id)][0] = name
    for text in times:
        key_id, _, span = text.partition("=")
        begin, dash, end = span.partition("-")
        numbers = key_id.isdecimal() and begin.isdecimal() and end.isdecimal() and bool(dash)
        if not numbers or int(key_id) not in rules:
            raise ConfigError(f"--valid {text} is not ID=FROM-UNTIL of a key", hint="Unix seconds, such as 2=0-1900000000")
        rules[int(key_id)][1:] = [int(begin), int(end)]


def _write_rules(rules: dict[int, list[Any]]) -> tuple[tuple[int, int, int, int], ...]:
    from state.modules.account_policy import KeyClass

    rows = [(key_id, int(KeyClass[rule[0].upper()]), rule[1], rule[2]) for key_id, rule in sorted(rules.items())]
    return tuple(row for row in rows if row[1:] != (int(KeyClass.OWNER), 0, 0))  # an owner's key without end needs no rule


def _merge_settings(policy: dict[str, Any], given: dict[str, Any]) -> dict[str, int]:
    dual = given["dual_from"] or policy["dual_from"] or "off"

    def pick(option: str, name: str) -> int:
        return int(policy[name] if given[option] is None else given[option])

    return {
        "rotation_delay_s": pick("rotation_delay", "rotation_delay_s"),
        "recovery_delay_s": pick("recovery_delay", "recovery_delay_s"),
        "recovery_weight": pick("recovery_weight", "recovery_weight"),
        "dual_from": (*_LEVELS, "off").index(dual),
    }


@account.command(name="confirm-keys")
@click.argument("target", metavar="ACCOUNT")
@click.argument("change", type=POSITIVE)
@common
def confirm_keys(sending: Any, target: str, change: int) -> Any:
    """Make the waiting CHANGE of ACCOUNT's keys, whose time has come. Anybody can."""
    from node.cli.options import resolve_address

    return _run(sending, "account.confirm_keys", {"account": resolve_address(target, sending.home), "change": change})


@account.command(name="veto-keys")
@click.argument("change", type=POSITIVE)
@common
def veto_keys(sending: Any, change: int) -> Any:
    """Stop the waiting CHANGE of the account's keys. Recovery keys and a parent (--as) can as well."""
    return _run(sending, "account.veto_keys", {"change": change})


@account.command()
@click.option("--key", "keys", multiple=True, required=True, metavar="KEY", help="A new owner's key, as in create-account.")
@click.option("--thresholds", default="1,1,1,1", show_default=True, help="low,medium,high,statutory.")
@common
def recover(sending: Any, keys: tuple[str, ...], thresholds: str) -> Any:
    """Replace the owners' keys, after the recovery delay. Recovery keys sign, or a parent's owners (--as the sub-account)."""
    from node.cli.parts import parse_key_rows, parse_thresholds
    from state.transaction import call

    limits = parse_thresholds(thresholds)

    async def operations(session: Session) -> list[Any]:
        policy = await read_policy(session)
        rows = parse_key_rows(keys, sending.home, 1 + max(key["key_id"] for key in policy["keys"]))
        return [call("account.recover", keys=rows, thresholds=limits)]

    return sending.run(operations)


@account.command(name="revoke-key")
@click.argument("key_id", type=click.IntRange(0, 2**32 - 1))
@common
def revoke_key(sending: Any, key_id: int) -> Any:
    """Take the key KEY_ID away at once."""
    return _run(sending, "account.revoke_key", {"key_id": key_id})


@account.command(name="grant-session")
@click.argument("key", metavar="KEY")
@click.option("--key-id", type=click.IntRange(0, 2**32 - 1), help="Its number [default: the next free one].")
@click.option("--fee-limit", default="0", show_default=True, help="Fees per window that it may cost the account, in base units.")
@scope_options
@base_units_option
@common
def grant_session(
    sending: Any,
    key: str,
    key_id: int | None,
    fee_limit: str,
    ops: tuple[str, ...],
    limits: tuple[str, ...],
    counterparties: tuple[str, ...],
    window_s: int,
    days: int,
    base_units: bool,
) -> Any:
    """Let KEY (a name, or KIND=HEX) sign for the account within a scope."""
    from node.cli.amounts import parse_amount
    from node.cli.parts import parse_key_rows
    from state.transaction import call

    numbers, payees = parse_operations(ops), resolve_all(sending, counterparties)
    fees = parse_amount(fee_limit, 0, "the fee asset", base_units=True)

    async def operations(session: Session) -> list[Any]:
        known = await session.acting_account()
        taken = [entry["key_id"] for entry in (*known["keys"], *known["sessions"])]
        fields: dict[str, Any] = {
            "key": parse_key_rows((key,), sending.home, 1 + max(taken) if key_id is None else key_id),
            "ops": numbers,
            "limits": await parse_limits(session, limits, base_units),
            "counterparties": payees,
            "fee_limit": fees,
            "window_s": window_s,
            "valid_until": int(time.time()) + days * DAY_S,
        }
        return [call("account.grant_session", **fields)]

    return sending.run(operations)


@account.command(name="revoke-session")
@click.argument("key_id", type=click.IntRange(0, 2**32 - 1))
@common
def revoke_session(sending: Any, key_id: int) -> Any:
    """End the session key KEY_ID."""
    return _run(sending, "account.revoke_session", {"key_id": key_id})


@account.command()
@click.option("--to", required=True, metavar="ACCOUNT", help="Who acts for the account, with --as.")
@scope_options
@base_units_option
@common
def delegate(
    sending: Any,
    to: str,
    ops: tuple[str, ...],
    limits: tuple[str, ...],
    counterparties: tuple[str, ...],
    window_s: int,
    days: int,
    base_units: bool,
) -> Any:
    """Let another account act for this one within a scope; it signs, and pays its own fees."""
    from node.cli.options import resolve_address
    from state.transaction import call

    numbers, payees, who = parse_operations(ops), resolve_all(sending, counterparties), resolve_address(to, sending.home)

    async def operations(session: Session) -> list[Any]:
        fields: dict[str, Any] = {
            "to": who,
            "ops": numbers,
            "limits": await parse_limits(session, limits, base_units),
            "counterparties": payees,
            "window_s": window_s,
            "valid_until": int(time.time()) + days * DAY_S,
        }
        return [call("account.delegate", **fields)]

    return sending.run(operations)


@account.command(name="revoke-delegation")
@click.option("--to", required=True, metavar="ACCOUNT", help="Who shall no longer act for the account.")
@common
def revoke_delegation(sending: Any, to: str) -> Any:
    """End a delegation."""
    from node.cli.options import resolve_address

    return _run(sending, "account.revoke_delegation", {"to": resolve_address(to, sending.home)})


@account.command()
@click.option("--who", required=True, metavar="ACCOUNT", help="Whose fees are paid; it names the account with --fee-payer.")
@click.option("--op", "ops", multiple=True, metavar="NAME", help="Of these operations only [default: any].")
@click.option("--limit", required=True, help="Fees per window, in base units of the fee asset.")
@click.option("--window", "window_s", type=_WINDOW, default=DAY_S, show_default=True, help="Seconds of one window.")
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How long it holds.")
@common
def sponsor(sending: Any, who: str, ops: tuple[str, ...], limit: str, window_s: int, days: int) -> Any:
    """Pay another account's fees, without signing each of its transactions."""
    from node.cli.amounts import parse_amount
    from node.cli.options import resolve_address

    fields = {
        "who": resolve_address(who, sending.home),
        "ops": parse_operations(ops),
        "limit": parse_amount(limit, 0, "the fee asset", base_units=True),
        "window_s": window_s,
        "valid_until": int(time.time()) + days * DAY_S,
    }
    return _run(sending, "account.sponsor", fields)


@account.command(name="revoke-sponsor")
@click.option("--who", required=True, metavar="ACCOUNT", help="Whose fees are no longer paid.")
@common
def revoke_sponsor(sending: Any, who: str) -> Any:
    """Stop paying another account's fees."""
    from node.cli.options import resolve_address

    return _run(sending, "account.revoke_sponsor", {"who": resolve_address(who, sending.home)})


@account.command(name="set-allowlist")
@click.option("--counterparty", "counterparties", multiple=True, metavar="ACCOUNT", help="Whom the account may pay; all of them.")
@click.option("--cosigner", metavar="ACCOUNT", help="Who must agree to later changes of the list.")
@click.option("--approver", metavar="ACCOUNT", help="The cosigner of the list in force, who signs too.")
@common
def set_allowlist(sending: Any, counterparties: tuple[str, ...], cosigner: str | None, approver: str | None) -> Any:
    """Let the account pay only those named. Nobody and no cosigner: the list goes."""
    from node.cli.options import resolve_address

    fields = {
        "counterparties": resolve_all(sending, counterparties),
        "cosigner": resolve_address(cosigner, sending.home) if cosigner else b"",
        "approver": resolve_address(approver, sending.home) if approver else b"",
    }
    return _run(sending, "account.set_allowlist", fields)


@account.command()
@click.option("--beneficiary", metavar="ACCOUNT", help="Who gets what the account holds.")
@common
def close(sending: Any, beneficiary: str | None) -> Any:
    """Close the account for ever."""
    from node.cli.options import resolve_address

    who = resolve_address(beneficiary, sending.home) if beneficiary else b""
    return _run(sending, "account.close", {"beneficiary": who})
