"""A ledger with four validators' owners who govern it, and short ways to propose, vote and execute. Not a test file."""

from __future__ import annotations

from typing import Any

from state.invariants_amm import audit_amm
from state.invariants_gov import audit_gov
from state.modules.groups import group_address
from state.modules.operation import GOVERNANCE_ADDRESS
from state.params import StakeParams
from state.params_gov import GovParams
from state.primitives.limits import PPM
from state.receipts import Receipt
from state.schema import GOV_PARAMS_KEY, decode_record, encode_record
from state.schema_gov import TOTALS_KEY as GOV_TOTALS_KEY
from state.schema_gov import (
    Group,
    GroupProposal,
    Proposal,
    Totals,
    group_key,
    group_proposal_key,
    proposal_key,
    voters_key,
)
from state.transaction import call
from tests.state.ledger_world import ADDRESS
from tests.state.staking_world import STAKE, StakingWorld

GOV = GovParams(
    deposit_min=1_000,
    deposit_initial_ppm=250_000,
    deposit_s=50,
    voting_s=40,
    voting_expedited_s=20,
    delay_s=30,
    delay_expedited_s=10,
    execute_s=60,
    quorum_ppm=400_000,
    threshold_ppm=500_000,
    threshold_expedited_ppm=667_000,
    veto_ppm=334_000,
)
YES, NO, ABSTAIN, VETO = ((PPM, 0, 0, 0), (0, PPM, 0, 0), (0, 0, PPM, 0), (0, 0, 0, PPM))
VOTERS = ("o0", "o1", "o2", "o3")


def op(name: str, **fields: Any) -> Any:
    """An operation to be carried."""
    return call(name, **fields)


def set_param(group: str, key: str, value: object) -> Any:
    return op("gov.set_param", group=group, key=key, value=str(value).lower() if type(value) is bool else str(value))


NOTHING = set_param("stake", "jail_s", 10)  # as it is


class GovWorld(StakingWorld):
    """Owners o0 to o3 have ten units of power each; blocks one second apart."""

    def __init__(self, gov: GovParams = GOV, stake: StakeParams = STAKE, **options: Any) -> None:
        super().__init__(stake, **options)
        self.db[GOV_PARAMS_KEY] = encode_record(GOV_PARAMS_KEY, gov.to_record())

    def gov(self, account: str, operation: str, **fields: Any) -> Receipt:
        return self.do(account, call(f"gov.{operation}", **fields))

    def propose(
        self, *ops: Any, account: str = "alice", deposit: int = 1_000, expedited: int = 0, code: int = 0
    ) -> int:
        """Propose; its number."""
        receipt = self.gov(account, "propose", ops=ops or (NOTHING,), title_hash=b"", deposit=deposit, expedited=expedited)
        assert receipt.code == code, receipt
        return self.totals().proposals - 1

    def vote(self, account: str, number: int, weights: Any = YES) -> int:
        return int(self.gov(account, "vote", proposal=number, weights=weights).code)

    def vote_all(self, number: int, weights: Any = YES) -> None:
        voters = dict(self.read(voters_key(number)))
        for name in VOTERS:
            if ADDRESS[name] in voters:
                assert self.vote(name, number, weights) == 0

    def wait_until(self, time_s: int) -> None:
        """The next block is at that time; one block before, so that what is due is settled."""
        self.now = max(self.now, time_s)
        self.blocks(1)

    def execute(self, number: int, account: str = "poor") -> Receipt:
        return self.gov(account, "execute", proposal=number)

    def pass_proposal(self, *ops: Any, expedited: int = 0) -> Proposal:
        """Propose, vote, wait and execute; the proposal then."""
        number = self.propose(*ops, expedited=expedited)
        self.vote_all(number)
        self.wait_until(self.proposal(number).due_s)
        self.wait_until(self.proposal(number).ready_s)
        receipt = self.execute(number)
        assert receipt.code == 0, receipt
        self.blocks(1)
        return self.proposal(number)

    def proposal(self, number: int) -> Proposal:
        found: Proposal = self.read(proposal_key(number))
        return found

    def totals(self) -> Totals:
        found: Totals = self.read(GOV_TOTALS_KEY) or Totals(0, 0, 0, 0)
        return found

    def deposits(self) -> int:
        """What is held of deposits."""
        return self.balance(GOVERNANCE_ADDRESS)

    def audit(self) -> None:
        super().audit()
        records = [(key, decode_record(key, raw)) for key, raw in self.db.items()]
        assert audit_gov(records) == ()
        assert audit_amm(records) == ()

    # groups

    def make_group(self, *members: tuple[str, int], threshold: int = 2, min_delay_s: int = 0, account: str = "alice") -> bytes:
        terms = tuple(sorted((ADDRESS[name], weight) for name, weight in members))
        count = self.read(b" O") or (0,)
        receipt = self.do(account, call("group.create", members=terms, threshold=threshold, min_delay_s=min_delay_s))
        assert receipt.code == 0, receipt
        return group_address(count[0])

    def group(self, address: bytes) -> Group:
        found: Group = self.read(group_key(address))
        return found

    def group_proposal(self, address: bytes, number: int) -> GroupProposal:
        found: GroupProposal = self.read(group_proposal_key(address, number))
        return found

    def propose_in(self, account: str, group: bytes, *ops: Any) -> Receipt:
        return self.do(account, call("group.propose", group=group, ops=ops, title_hash=b""))

    def approve_in(self, account: str, group: bytes, number: int, is_on: int = 1) -> Receipt:
        return self.do(account, call("group.approve", group=group, proposal=number, on=is_on))

    def execute_in(self, group: bytes, number: int, account: str = "poor") -> Receipt:
        return self.do(account, call("group.execute", group=group, proposal=number))

    def make_committee(self, *members: str) -> bytes:
        """The emergency committee, by a proposal."""
        from state.primitives.ids import format_address

        group = self.make_group(*((name, 1) for name in members))
        done = self.pass_proposal(set_param("gov", "emergency_group", format_address(group)), expedited=1)
        assert done.code == 0
        return group
