"""One conversation with a node: read what a transaction needs, sign it, send it, wait for it. Used by `qenex tx`.

The key id of a signature is looked up in the account, so a rotated key still finds its place. Text for people is made here; what
the operations are comes from `node.cli.tx`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import trio

from node.cli.amounts import format_amount, parse_amount
from node.cli.asking import check_url
from node.cli.options import PassphraseReader, find_key_file, resolve_address
from node.keystore import KeySet, Role, read_key_file
from node.rpc.client import Client, TxOutcome
from state.params import FeeParams
from state.primitives.codec import Value
from state.primitives.errors import ConfigError, KeyFileError
from state.primitives.ids import format_address, parse_address
from state.primitives.keys import SIGNATURE_BYTES, PublicKey
from state.primitives.limits import LANE_UNORDERED, UNORDERED_WINDOW_S_MAX
from state.transaction import Draft, build

SIGNATURE_ENTRY_BYTES: Final = 48  # account, key id and framing of one signature

Operations = Callable[["Session"], Awaitable[Sequence[Sequence[Value]]]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction; `to_json` is stable. Height 0: not in a block (yet).

    `scales` are the decimals of the assets that the events name, to write amounts for people; `made`, names of what was made, by kind.
    """

    found: TxOutcome
    scales: dict[str, int]
    made: dict[str, str] = field(default_factory=dict)

    @property
    def code(self) -> int:
        """The result code."""
        return self.found.code

    def to_json(self) -> dict[str, Any]:
        """The machine-readable form; amounts in base units."""
        found = self.found
        return {
            "hash": found.hash.hex().upper(),
            "height": found.height,
            "code": found.code,
            "code_name": found.code_name,
            "log": found.log,
            "op_index": found.op_index,
            "fee": str(found.fee),
            "events": [{"type": name, "attributes": values} for name, values in found.events],
            **self.made,
        }

    def describe(self) -> list[str]:
        """What happened, a line for each event."""
        found, name = self.found, self.found.hash.hex().upper()
        if found.code:
            where = f"failed in block {found.height}" if found.height else "was refused"
            at = f" (operation {found.op_index})" if found.op_index > 0 else ""
            return [f"{name} {where}: {found.code} {found.code_name}{at} {found.log}".rstrip()]
        lines = [f"{name} " + (f"is final in block {found.height}" if found.height else "was accepted and waits for a block")]
        lines += [f"  {event}: {self._words(values)}" for event, values in found.events]
        return [*lines, *(f"{kind}: {text}" for kind, text in self.made.items())]

    def _words(self, values: dict[str, str]) -> str:
        """Names and values; the asset of an amount stands behind it and not by itself."""
        shown = {name: text for name, text in values.items() if name.replace("asset", "amount", 1) not in values or not is_asset(name)}
        return ", ".join(f"{name} {self._value(name, text, values)}" for name, text in shown.items())

    def _value(self, name: str, text: str, values: dict[str, str]) -> str:
        asset = values.get(name.replace("amount", "asset", 1), "") if name == "amount" or name.startswith("amount_") else ""
        return f"{format_amount(int(text), self.scales[asset])} {asset}" if asset in self.scales else text


def is_asset(name: str) -> bool:
    """Whether an event's value of this name is the code of an asset: `asset` is that of `amount`, `asset_in` that of `amount_in`."""
    return name == "asset" or name.startswith("asset_")


@dataclass(frozen=True)
class Sending:
    """How to send: which node, which keys, for how long, whether to wait."""

    node: str
    home: Path | None
    passphrase: PassphraseReader
    sender: str
    signers: tuple[str, ...]
    memo: str
    max_fee: str | None
    valid_for_s: int
    wait_s: float
    acts_as: str | None = None  # the account in whose name the operations are done, if not the sender's
    fee_payer: str | None = None
    lane: int = 0
    client_ref: bytes = b""

    def run(self, operations: Operations) -> Outcome:
        """Do it all. Keys are opened before the node is asked, so a wrong passphrase costs no round trip."""
        return trio.run(self._run, [self._open(text) for text in (self.sender, *self.signers)], operations)

    def _open(self, text: str) -> KeySet:
        """The key of `KEY` or `KEY@ACCOUNT`: the second signs for an account that its file does not name."""
        name, at, account = text.partition("@")
        key_set = read_key_file(find_key_file(name, self.home), self.passphrase, role=Role.USER)
        return replace(key_set, account=format_address(resolve_address(account, self.home))) if at else key_set

    def acting_address(self) -> bytes:
        """The account in whose name the operations are done."""
        name, _, account = self.sender.partition("@")
        return resolve_address(self.acts_as or account or name, self.home)

    async def _run(self, key_sets: list[KeySet], operations: Operations) -> Outcome:
        async with Client(check_url(self.node)) as client:
            session = await Session.open(client, key_sets[0])
            session.acting = resolve_address(self.acts_as, self.home) if self.acts_as else session.sender
            ops = await operations(session)
            if session.acting != session.sender:
                ops = [(op[0], session.acting, op[2]) for op in ops]
            now_s = int(time.time())
            payer = resolve_address(self.fee_payer, self.home) if self.fee_payer else session.sender
            draft = build(
                chain_id=await client.chain_id(),
                sender=session.sender,
                lane=self.lane,
                seq=time.time_ns() if self.lane == LANE_UNORDERED else session.next_sequence(self.lane),
                valid_until=now_s + self._window_s(),
                client_ref=self.client_ref,
                fee_payer=b"" if payer == session.sender else payer,
                ops=ops,
                memo=self.memo,
                max_fee=await self._max_fee(session, ops, key_sets),
            )
            for key_set in key_sets:
                draft = await session.sign(draft, key_set)
            return await session.send(draft.encode(), self.wait_s)

    def _window_s(self) -> int:
        # a second less than the bound: the node's clock may be behind ours
        return min(self.valid_for_s, UNORDERED_WINDOW_S_MAX - 1) if self.lane == LANE_UNORDERED else self.valid_for_s

    async def _max_fee(self, session: Session, ops: Sequence[Sequence[Value]], key_sets: list[KeySet]) -> int:
        if self.max_fee is not None:
            return parse_amount(self.max_fee, 0, "the fee asset", base_units=True)
        size = 1024 + sum(len(str(op)) for op in ops)  # generous: a maximum, not the price
        size += sum(SIGNATURE_BYTES[key_set.key.kind] + SIGNATURE_ENTRY_BYTES for key_set in key_sets)
        return await session.estimate_fee(ops, len(key_sets), size)


class Session:
    """A client, the sending account, and the account in whose name it acts."""

    def __init__(self, client: Client, sender: bytes, account: dict[str, Any]) -> None:
        self.client = client
        self.sender = sender
        self.acting = sender
        self.account = account

    @classmethod
    async def open(cls, client: Client, key_set: KeySet) -> Session:
        """Read the account that a key signs for. Raises `ConfigError` if the chain does not have it."""
        if not key_set.account:
            raise KeyFileError(f"key {key_set.name} names no account", hint="import it again with --account")
        address = parse_address(key_set.account)
        return cls(client, address, await _require_account(client, address))

    def next_sequence(self, lane: int) -> int:
        """What a lane of the sender expects."""
        return int(self.account["next_sequence"].get(str(lane), 0))

    async def acting_account(self) -> dict[str, Any]:
        """The account in whose name the operations are done, as the node describes it."""
        return self.account if self.acting == self.sender else await _require_account(self.client, self.acting)

    async def scale_of(self, asset: str) -> int:
        """Decimals of an asset. Raises `ConfigError` if there is none of this name."""
        found = await self.client.asset(asset)
        if found is None:
            raise ConfigError(f"there is no asset {asset}", hint="asset codes are upper case, such as QNX")
        return int(found["scale"])

    async def parse_amount(self, text: str, asset: str, *, base_units: bool) -> int:
        """Base units of an amount as written."""
        return parse_amount(text, await self.scale_of(asset), asset, base_units=base_units)

    async def sign(self, draft: Draft, key_set: KeySet) -> Draft:
        """The draft with this key's signature for the account that its file names."""
        address = parse_address(key_set.account)
        account = self.account if address == self.sender else await _require_account(self.client, address)
        return draft.sign(address, _key_id(account, key_set.key.public_key, key_set.name), key_set.key)

    async def estimate_fee(self, ops: Sequence[Sequence[Value]], signatures: int, size: int) -> int:
        """An upper bound of the fee by the network's table."""
        from state.modules.table import OPERATIONS

        fees: FeeParams = await self.client.fee_params()
        base = dict(fees.base)
        total = sum(base.get(OPERATIONS[op[0]].fee_key, fees.base_default) for op in ops)
        return total + fees.per_signature * signatures + fees.per_byte * max(0, size - fees.free_bytes)

    async def send(self, raw: bytes, wait_s: float) -> Outcome:
        """Hand it to the node and, if asked, wait until it is in a block."""
        found: TxOutcome = await self.client.send(raw, wait_s=wait_s)
        assets = {text for _, values in found.events for name, text in values.items() if is_asset(name)}
        return Outcome(found, {asset: await self.scale_of(asset) for asset in sorted(assets)})


async def _require_account(client: Client, address: bytes) -> dict[str, Any]:
    account: dict[str, Any] | None = await client.account(address)
    if account is None:
        raise ConfigError(
            f"there is no account {format_address(address)} on this chain", hint="qenex tx create-account opens one"
        )
    return account


def _key_id(account: dict[str, Any], key: PublicKey, name: str) -> int:
    for entry in (*account["keys"], *account["sessions"]):
        if entry["public_key"] == key.data.hex():
            return int(entry["key_id"])
    raise ConfigError(
        f"key {name} is not a key of account {account['address']}", hint="it may have been rotated out: qenex query account"
    )
