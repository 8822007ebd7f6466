"""A stateful search for lost or made value: random operations by random signers, amounts to 2^640 - 1, scales 0 to 128.

A model of plain dictionaries and integers predicts every balance and every code; the ledger must agree exactly, and its
whole-state totals must equal its supplies after every block.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from state.codes import Code
from state.invariants import check_asset_totals
from state.modules.operation import FEES_ADDRESS, MODULE_ACCOUNTS
from state.params import FeeParams
from state.primitives.limits import AMOUNT_MAX
from state.schema import decode_record
from state.transaction import call
from tests.state.ledger_world import ACCOUNTS, ADDRESS, World, pay

NAMES = sorted(ACCOUNTS)
CODES = ["A0", "B18", "C128"]
SCALES = {"A0": 0, "B18": 18, "C128": 128}
FEE = 7
AMOUNTS = st.one_of(
    st.sampled_from([0, 1, 2, AMOUNT_MAX, AMOUNT_MAX - 1, 1 << 639]), st.integers(0, 1000), st.integers(0, AMOUNT_MAX)
)
Model = dict[tuple[str, str], int]


class Conservation(RuleBasedStateMachine):
    """`balances` and `minted` are the model; `world` is the ledger."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(FeeParams(asset="QNX", base_default=FEE))
        self.balances: Model = {}
        self.fees = 0
        self.minted: dict[str, int] = {}
        self.limits: dict[str, int] = {}
        self.allowance: dict[str, int] = {}

    @initialize(limits=st.lists(st.one_of(st.just(0), st.integers(1, AMOUNT_MAX)), min_size=3, max_size=3), allowance=AMOUNTS)
    def create_assets(self, limits: list[int], allowance: int) -> None:
        for code, limit in zip(CODES, limits, strict=True):
            minters = ((ADDRESS["alice"], allowance or AMOUNT_MAX),)
            op = call(
                "asset.create", code=code, scale=SCALES[code], max_supply=limit, flags=1, minters=minters, metadata_hash=b""
            )
            assert self.run("bank", [op]) == Code.OK
            self.limits[code] = limit or AMOUNT_MAX
            self.allowance[code] = allowance or AMOUNT_MAX
            self.minted[code] = 0

    def run(self, sender: str, ops: list[Any]) -> int:
        receipt = self.world.do(sender, *ops, max_fee=10_000)
        assert receipt.code not in (Code.INVARIANT_VIOLATION, Code.MODULE_PAUSED)
        self.fees += receipt.fee
        return int(receipt.code)

    @rule(code=st.sampled_from(CODES), to=st.sampled_from(NAMES), amount=AMOUNTS)
    def mint(self, code: str, to: str, amount: int) -> None:
        supply = sum(amount for (_, asset), amount in self.balances.items() if asset == code)
        expected = Code.OK
        if amount == 0:
            expected = Code.ZERO_AMOUNT
        elif self.minted[code] + amount > self.allowance[code]:
            expected = Code.MINT_ALLOWANCE
        elif supply + amount > self.limits[code]:
            expected = Code.MAX_SUPPLY
        op = call("asset.mint", asset=code, to=ADDRESS[to], amount=amount, ref="")
        assert self.run("alice", [op]) == expected
        if expected == Code.OK:
            self.balances[to, code] = self.balances.get((to, code), 0) + amount
            self.minted[code] += amount

    @rule(code=st.sampled_from(CODES), amount=AMOUNTS)
    def burn(self, code: str, amount: int) -> None:
        expected = Code.OK
        if amount == 0:
            expected = Code.ZERO_AMOUNT
        elif self.balances.get(("alice", code), 0) < amount:
            expected = Code.INSUFFICIENT_FUNDS
        assert self.run("alice", [call("asset.burn", asset=code, amount=amount)]) == expected
        if expected == Code.OK:
            self.balances["alice", code] -= amount

    @rule(
        sender=st.sampled_from(["alice", "bob", "carol", "bank"]),
        moves=st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(CODES), AMOUNTS), min_size=1, max_size=5),
        share=st.integers(0, 3),
    )
    def transfer(self, sender: str, moves: list[tuple[str, str, int]], share: int) -> None:
        """Several transfers in one transaction; `share` bends amounts to what the sender has, so that some succeed."""
        after = dict(self.balances)
        expected = Code.OK
        ops = []
        for to, code, drawn in moves:
            have = after.get((sender, code), 0)
            amount = drawn if share == 0 else drawn % (have + share)
            ops.append(pay(to, amount, code))
            if expected != Code.OK:
                continue
            if amount == 0:
                expected = Code.ZERO_AMOUNT
            elif to == sender:
                expected = Code.SELF_TRANSFER
            elif have < amount:
                expected = Code.INSUFFICIENT_FUNDS
            else:
                after[sender, code] = have - amount
                after[to, code] = after.get((to, code), 0) + amount
        assert self.run(sender, ops) == expected
        if expected == Code.OK:
            self.balances = after

    @rule(
        legs=st.lists(
            st.tuples(st.sampled_from(["alice", "bob"]), st.sampled_from(NAMES), st.sampled_from(CODES), AMOUNTS),
            min_size=1,
            max_size=4,
        )
    )
    def settle(self, legs: list[tuple[str, str, str, int]]) -> None:
        """A multi-transfer of pairs; both possible payers sign."""
        wire: list[tuple[bytes, str, int, int]] = []
        after = dict(self.balances)
        for payer, payee, code, drawn in legs:
            amount = drawn % (self.balances.get((payer, code), 0) + 2)
            wire += [(ADDRESS[payer], code, 0, amount), (ADDRESS[payee], code, 1, amount)]
            after[payer, code] = after.get((payer, code), 0) - amount
            after[payee, code] = after.get((payee, code), 0) + amount
        debits: Model = {}
        for payer, _, code, _ in legs:
            debits[payer, code] = 0
        for account, code, direction, amount in wire:
            if direction == 0:
                name = next(name for name in NAMES if ADDRESS[name] == account)
                debits[name, code] += amount
        expected = Code.OK
        if any(amount == 0 for _, _, _, amount in wire):
            expected = Code.ZERO_AMOUNT
        elif any((payee, code) in debits for _, payee, code, _ in legs):
            expected = Code.SELF_TRANSFER
        elif any(self.balances.get(key, 0) < amount for key, amount in debits.items()):
            expected = Code.INSUFFICIENT_FUNDS
        op = call("asset.multi_transfer", legs=tuple(wire))
        signers = sorted({("hybrid", 0), *((payer, 0) for payer, _, _, _ in legs)})
        receipt = self.world.do("hybrid", op, signers=signers, max_fee=10_000)
        self.fees += receipt.fee
        assert receipt.code == expected
        if expected == Code.OK:
            self.balances = after

    @rule(recipient=st.sampled_from(sorted(MODULE_ACCOUNTS)), amount=AMOUNTS)
    def pay_a_module(self, recipient: bytes, amount: int) -> None:
        expected = Code.ZERO_AMOUNT if amount == 0 else Code.RECIPIENT_IS_MODULE
        assert self.run("bob", [pay(recipient, amount, "A0")]) == expected

    @invariant()
    def balances_agree(self) -> None:
        for (name, code), amount in self.balances.items():
            assert self.world.balance(name, code) == amount
        assert self.world.balance(FEES_ADDRESS) == self.fees

    @invariant()
    def totals_equal_supplies(self) -> None:
        holdings: dict[str, int] = {}
        supplies: dict[str, int] = {}
        for key, raw in self.world.db.items():
            if key[1:2] == b"h":
                code = key[34:].decode()
                holdings[code] = holdings.get(code, 0) + decode_record(key, raw)[0]
            elif key[1:2] == b"s":
                supplies[key[2:].decode()] = decode_record(key, raw)[0]
        assert check_asset_totals(holdings, supplies) == ()


Conservation.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestConservation = Conservation.TestCase


def test_the_audit_names_what_drifted() -> None:
    assert check_asset_totals({"A": 1, "B": 2}, {"A": 1, "B": 3, "C": 1}) == ("B", "C")
