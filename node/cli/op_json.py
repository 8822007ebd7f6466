"""Operations as JSON, the way receipts and queries show them: `{"op": "gov.set_param", "group": "stake", "key": "jail_s", "value": "60"}`.

What a proposal carries is written so. Amounts are in display units of the asset that the operation names (of the staked asset for stake and
governance, of the pool's assets for `amount_a` and `amount_b`), unless base units are asked for; accounts are addresses or names of keys;
bytes are hex. Fields that may be empty may be left out. What an operation means is the ledger's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from node.cli.amounts import parse_amount
from node.cli.options import resolve_address
from state.primitives.errors import ConfigError, TransactionError

if TYPE_CHECKING:
    from node.cli.session import Session
    from state.modules.fields import FieldKind

_TEXTS: Final = ("optional address", "optional hash", "optional pool", "optional asset code", "tag", "details")
_EMPTY: Final[dict[str, Any]] = {**dict.fromkeys(_TEXTS, ""), "members": []}
_HEX: Final = ("optional hash", "hash", "16 bytes", "20 bytes", "pending id", "secret", "public key")
_WITHOUT_ASSET: Final = "base units"


class Writer:
    """Turns JSON into operations for one session."""

    def __init__(self, session: Session, home: Path | None, *, base_units: bool) -> None:
        self._session = session
        self._home = home
        self._base_units = base_units

    async def write(self, item: Any) -> Any:
        """One operation in wire form. Raises `ConfigError`."""
        from state.modules.table import BY_NAME
        from state.transaction import call

        if not isinstance(item, dict) or type(item.get("op")) is not str:
            raise ConfigError(f"{item!r:.60} is no operation", hint='such as {"op": "gov.admit", "kind": "node", "identity": "..."}')
        row = BY_NAME.get(item["op"])
        if row is None:
            raise ConfigError(f"there is no operation {item['op']}", hint="qenex operations lists them")
        given = {name: value for name, value in item.items() if name != "op"}
        fields: dict[str, Any] = {}
        for name, kind in row.fields:
            if name not in given and kind.name not in _EMPTY:
                raise ConfigError(f"{row.name} has the fields {', '.join(field for field, _ in row.fields)}; {name} is missing")
            value = given.pop(name, _EMPTY.get(kind.name))
            try:
                fields[name] = await self._read(row.name, name, kind, value, item)
            except (ValueError, TypeError, KeyError) as error:
                raise ConfigError(f"{row.name}: {name} is not a {kind.name}: {value!r:.60}") from error
        if given:
            raise ConfigError(f"{row.name} has no field {next(iter(given))}")
        try:
            return call(row.name, **fields)
        except TransactionError as error:
            raise ConfigError(f"{row.name}: {error.message}") from error

    async def _read(self, operation: str, name: str, kind: FieldKind, value: Any, item: dict[str, Any]) -> Any:
        if kind.name == "amount":
            return await self._amount(str(value), await self._asset_of(operation, name, item))
        if kind.name in ("operations of governance", "operations of a group"):
            return tuple([await self.write(inner) for inner in value])
        if kind.name == "legs":
            return tuple([await self._leg(leg) for leg in value])
        return self._plain(kind.name)(value)

    def _plain(self, kind: str) -> Callable[[Any], Any]:
        """The reader of a kind that needs nothing from the node."""
        if kind in ("address", "optional address"):
            return lambda value: resolve_address(value, self._home) if value else b""
        if kind in _HEX:
            return bytes.fromhex
        if kind == "identity":
            return lambda value: bytes.fromhex(value) if len(value) == 40 else resolve_address(value, self._home)
        if kind in ("members", "accounts"):
            return lambda value: tuple(sorted(resolve_address(member, self._home) for member in value))
        if kind == "members with weights":
            return lambda value: tuple(sorted((resolve_address(m["account"], self._home), int(m["weight"])) for m in value))
        if kind in ("number", "scale", "parts per million"):
            return _whole
        if kind == "divided vote":
            return lambda value: tuple(_whole(value.get(option, 0)) for option in ("yes", "no", "abstain", "veto"))
        if kind == "path":
            return tuple
        if kind == "positions":
            return lambda value: tuple(_whole(item) for item in value)
        if kind == "value":
            return lambda value: str(value).lower() if type(value) is bool else str(value)
        if kind in ("keys", "key ids", "thresholds", "optional thresholds", "minters", "price"):
            raise ConfigError(f"a field of the kind {kind} cannot be written here", hint="such an operation is sent by its own command")
        return _text

    async def _leg(self, leg: dict[str, Any]) -> tuple[bytes, str, int, int]:
        direction = {"debit": 0, "credit": 1}[leg["direction"]]
        amount = await self._amount(str(leg["amount"]), leg["asset"])
        return resolve_address(leg["account"], self._home), leg["asset"], direction, amount

    async def _asset_of(self, operation: str, name: str, item: dict[str, Any]) -> str:
        if type(item.get("asset")) is str:
            return str(item["asset"])
        if name in ("amount_a", "amount_b") and type(item.get("pool")) is str:
            return str(item["pool"]).split("/")[name == "amount_b"]
        if operation.startswith(("stake.", "gov.")):
            return await stake_asset(self._session)
        return _WITHOUT_ASSET

    async def _amount(self, text: str, asset: str) -> int:
        if asset == _WITHOUT_ASSET or self._base_units:
            return parse_amount(text, 0, asset, base_units=True)
        return await self._session.parse_amount(text, asset, base_units=False)


async def stake_asset(session: Session) -> str:
    """The asset that is staked, and in which deposits are made."""
    return str((await session.client.call("record", path="/params/stake"))["record"]["asset"])


def read_ops(texts: tuple[str, ...], file: Path | None) -> list[Any]:
    """The JSON of every --op, and of the list in a file. Raises `ConfigError`."""
    items: list[Any] = []
    try:
        items += [json.loads(text) for text in texts]
        if file is not None:
            found = json.loads(file.read_text(encoding="utf-8"))
            items += found if isinstance(found, list) else [found]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"an operation is not JSON: {error}", hint="""quote it: --op '{"op": "..."}'""") from error
    if not items:
        raise ConfigError("no operation is given", hint="--op JSON, which may be repeated, or --file FILE with a list of them")
    return items


def _whole(value: Any) -> int:
    if type(value) is bool or not isinstance(value, int | str):
        raise TypeError
    return int(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
