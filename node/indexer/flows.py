"""Which amounts an event moves, from whom to whom: a table, read from the ledger's own events. No database is known here.

A flow names fields of its event; `@amm` is a module's account, an empty name means outside: made or destroyed. What no row explains (a
block's shares of fees, a penalty, the rest of a closed account) is found by comparing balances (`node.indexer.rows_of_block`), so a
missing row makes a history less telling, never wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from state.event_kinds import ACCOUNT, AMOUNT, EventValue
from state.modules.operation import MODULE_ACCOUNTS
from state.primitives.ids import module_address
from state.receipts import EVENT_KINDS, Event

STAKED: Final = "="  # the asset that is staked, which such events do not name


class Flow(NamedTuple):
    """An amount that changes hands: names of fields, modules with an @."""

    payer: str
    payee: str
    asset: str = "asset"
    amount: str = "amount"


class Moved(NamedTuple):
    """One flow of one event; an empty address is nobody's."""

    payer: bytes
    payee: bytes
    asset: str
    amount: int


_POOL_IN: Final = (Flow("account", "@amm", "asset_a", "amount_a"), Flow("account", "@amm", "asset_b", "amount_b"))
_POOL_OUT: Final = (Flow("@amm", "account", "asset_a", "amount_a"), Flow("@amm", "account", "asset_b", "amount_b"))

FLOWS: Final[dict[str, tuple[Flow, ...]]] = {
    "mint": (Flow("", "recipient"),),
    "burn": (Flow("account", ""),),
    "transfer": (Flow("sender", "recipient"),),
    "clawback": (Flow("holder", ""),),
    "forced_transfer": (Flow("holder", "recipient"),),
    "holding_recovered": (Flow("old", "new"),),
    "claim_parked": (Flow("owner", "@claims"),),
    "claim_taken": (Flow("@claims", "owner"),),
    "claim_clawback": (Flow("@claims", ""),),
    "validator_registered": (Flow("owner", "@bonded", STAKED),),
    "delegated": (Flow("delegator", "@bonded", STAKED),),
    "undelegated": (Flow("@bonded", "@unbonding", STAKED),),
    "unbonding_cancelled": (Flow("@unbonding", "@bonded", STAKED),),
    "unbonding_released": (Flow("@unbonding", "delegator", STAKED),),
    "stake_claimed": (
        Flow("@rewards", "delegator", STAKED, "rewards"),
        Flow("@rewards", "delegator", STAKED, "commission"),
        Flow("@unbonding", "delegator", STAKED, "released"),
    ),
    "stake_minted": (Flow("", "@rewards"),),
    "pool_created": _POOL_IN,
    "liquidity_added": _POOL_IN,
    "liquidity_removed": _POOL_OUT,
    "pool_closed": _POOL_OUT,
    "swap": (Flow("account", "@amm", "asset_in", "amount_in"), Flow("@amm", "account", "asset_out", "amount_out")),
    "farm_funded": (Flow("sponsor", "@farms", "reward"),),
    "farm_staked": (Flow("account", "@farms", "stake"),),
    "farm_unstaked": (Flow("@farms", "account", "stake"),),
    "farm_emergency_exit": (Flow("@farms", "account", "stake"),),
    "farm_claimed": (Flow("@farms", "account", "reward"),),
    "farm_refunded": (Flow("@farms", "sponsor", "reward"),),
    "proposal_deposited": (Flow("account", "@governance", STAKED),),
    "proposal_refunded": (Flow("@governance", "account", STAKED),),
    "deposit_burned": (Flow("@governance", "", STAKED),),
    "hold_posted": (Flow("owner", "beneficiary"),),
    "escrow_created": (Flow("owner", "@escrows"),),
    "escrow_finished": (Flow("@escrows", "recipient"),),
    "escrow_returned": (Flow("@escrows", "owner"),),
    "settlement_leg": (Flow("sender", "recipient"),),
    "offer_accepted": (
        Flow("owner", "recipient", "asset_give", "amount_give"),
        Flow("recipient", "owner", "asset_want", "amount_want"),
    ),
    "issued": (Flow("", "dealer"),),
    "redeemed": (Flow("dealer", ""),),
    "interest_paid": (Flow("", "dealer"),),
    "credit_drawn": (Flow("", "account"),),
    "credit_repaid": (Flow("account", ""),),
}
_DEBIT: Final = "debit"  # the direction of a leg that pays


def moved_by(event: Event, staked: str) -> Iterator[Moved]:
    """What an event moves. Shares of a pool are no holding and are left out."""
    values = dict(zip(_NAMES[event.kind.number], event.values, strict=True))
    if event.type == "leg":
        account = _account(values["account"])
        pays = values["direction"] == _DEBIT
        yield Moved(account if pays else b"", b"" if pays else account, str(values["asset"]), _amount(values["amount"]))
        return
    for flow in FLOWS.get(event.type, ()):
        asset = staked if flow.asset == STAKED else str(values[flow.asset])
        amount = _amount(values[flow.amount])
        if amount and "/" not in asset:
            yield Moved(_party(flow.payer, values), _party(flow.payee, values), asset, amount)


def accounts_of(event: Event) -> tuple[bytes, ...]:
    """The accounts that an event names, each once, in order."""
    fields = zip(event.kind.fields, event.values, strict=True)
    return tuple(dict.fromkeys(value for (_, kind), value in fields if kind is ACCOUNT and type(value) is bytes and value))


def mentioned(event: Event, staked: str) -> tuple[str, int]:
    """(asset, amount) that an event speaks of, for the history of those whose balance it leaves alone; empty and 0 if none."""
    values = dict(zip(_NAMES[event.kind.number], event.values, strict=True))
    asset = next((str(values[name]) for name in ("asset", "asset_a", "asset_give", "stake", "reward") if name in values), "")
    amounts = (values[name] for name, kind in event.kind.fields if kind is AMOUNT)
    amount = next((value for value in amounts if type(value) is int), 0)
    return asset or (staked if event.type in FLOWS or event.type in _OF_STAKE else ""), amount


_OF_STAKE: Final = ("redelegated",)  # moves stake between validators and nothing between accounts
_NAMES: Final = {number: tuple(name for name, _ in kind.fields) for number, kind in EVENT_KINDS.items()}
_MODULES: Final = {f"@{name}": module_address(name) for name in MODULE_ACCOUNTS.values()}


def _party(name: str, values: dict[str, EventValue]) -> bytes:
    if not name:
        return b""
    return _MODULES[name] if name[0] == "@" else _account(values[name])


def _account(value: EventValue) -> bytes:
    return value if type(value) is bytes else b""


def _amount(value: EventValue) -> int:
    return value if type(value) is int else 0
