"""A ledger on which everybody can be restricted: every asset has every power of its issuer, roles are filled, two authorities act.

GLD, SLV and the staked QNX are issued by the bank; `freezer`, `unfreezer`, `clawer` and `officer` (compliance and metadata) have its roles,
`minter` mints; `reg1` and `reg2` are the network's authority. Whoever holds something at the start is authorised. Not a test file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from state.audit import audit_state
from state.initial import GenesisAccount, GenesisAsset, GenesisHolding, genesis_changes
from state.machine import BlockResult
from state.marks import CLOSED
from state.modules.asset_roles import ROLES
from state.modules.assets import FLAGS_ALL
from state.modules.compliance import STATES
from state.modules.recall import read_place
from state.params import ConsensusParams, FeeParams, Params, StakeParams
from state.params_compliance import ComplianceParams
from state.primitives.keys import KeyKind
from state.receipts import Receipt
from state.schema import ADMIT_VALIDATOR, account_key, admission_key, decode_record, encode_record
from state.transaction import call
from tests.state import ledger_world
from tests.state.ledger_world import ADDRESS, NOW, World, entry, genesis_state

CODES = ("GLD", "QNX", "SLV")
OFFICERS = ("freezer", "unfreezer", "clawer", "officer", "minter", "reg1", "reg2", "farmer")
HOLDERS = ("alice", "bob", "carol", "bank", "minter", "farmer")
RICH = 10**12
GROUND = {"reason": "court order", "legal_ref": "AB 12/34"}

for _name in OFFICERS:  # the short ways of the ledger's world then know them too
    ADDRESS[_name] = GenesisAccount((entry(0, _name),)).address
    ledger_world.SIGNERS[_name] = ((0, _name, KeyKind.ED25519),)


class ComplianceWorld(World):
    """Blocks one second apart; every block leaves a state that the audit finds sound."""

    def __init__(self, *, separate_release: bool = False, flags: int = FLAGS_ALL, fees: FeeParams = FeeParams()) -> None:  # noqa: B008  (frozen)
        base = genesis_state(fees)
        bank = ADDRESS["bank"]
        authorities = tuple(sorted((ADDRESS["reg1"], ADDRESS["reg2"])))
        minters = tuple(sorted(((bank, RICH), (ADDRESS["minter"], RICH))))
        state = replace(
            base,
            params=Params(
                ConsensusParams(evidence_blocks_max=50, evidence_age_s_max=50, block_interval_ms=1_000),
                fees,
                stake=StakeParams("QNX", 100, bond_min=100, unbonding_s=100, inflation_ppm=1_000_000),
                compliance=ComplianceParams(authorities, separate_release),
            ),
            accounts=(*base.accounts, *(GenesisAccount((entry(0, name),)) for name in OFFICERS)),
            assets=tuple(GenesisAsset(code, bank, 2, flags=flags, minters=minters) for code in CODES),
            holdings=tuple(GenesisHolding(ADDRESS[name], code, RICH) for name in HOLDERS for code in CODES),
        )
        self.db = {key: value for key, value in genesis_changes(state) if value is not None}
        key = admission_key(ADMIT_VALIDATOR, ADDRESS["farmer"])
        self.db[key] = encode_record(key, (0,))
        self.height = 0
        self.now = NOW
        self.last: BlockResult | None = None
        roles = {"freezer": "freezer", "unfreezer": "unfreezer", "clawback": "clawer", "compliance": "officer", "metadata": "officer"}
        for code in CODES:
            ops = [set_role(code, role, who) for role, who in roles.items()]
            receipt = self.do("bank", *ops)
            assert receipt.code == 0 or flags != FLAGS_ALL, receipt.log

    def commit(self, result: BlockResult) -> None:
        assert not [event for event in result.events if event.type in ("action_dropped", "breaker_tripped")], result.events
        super().commit(result)
        self.now += 1

    def read(self, key: bytes) -> Any:
        raw = self.db.get(key)
        return None if raw is None else decode_record(key, raw)

    def must(self, sender: str, *ops: Any, **envelope: Any) -> Receipt:
        """An operation that has to succeed."""
        receipt = self.do(sender, *ops, **envelope)
        assert receipt.code == 0, receipt.log
        return receipt

    def audit(self) -> None:
        """The whole state."""
        assert audit_state((key, decode_record(key, raw)) for key, raw in self.db.items()).problems == ()

    def restrict(self, status: str, account: str, asset: str) -> None:
        """Bring an account, its holding or an asset into a status, by whom that is due."""
        if status in ("debit_frozen", "deep_frozen"):
            self.must("reg1", freeze_account(account, 1 if status == "debit_frozen" else 2))
        elif status == "sanctioned":
            self.must("reg1", sanction(account))
        elif status == "closed":
            record = self.read(account_key(ADDRESS[account]))
            self.db[account_key(ADDRESS[account])] = encode_record(account_key(ADDRESS[account]), (*record[:4], record[4] | CLOSED))
        elif status in ("holding_frozen", "holding_deep_frozen"):
            self.must("freezer", freeze_holding(account, asset, 1 if status == "holding_frozen" else 2))
        elif status == "paused":
            self.must("freezer", call("asset.pause", asset=asset, **GROUND))
        else:
            self.must("officer", authorise(account, asset, status))


def set_role(asset: str, role: str, account: str, allowance: int = 0) -> Any:
    who = ADDRESS[account] if account else b""
    return call("asset.set_role", asset=asset, role=ROLES.index(role), account=who, allowance=allowance)


def freeze_account(account: str, level: int = 1, until: int = 0, **ground: str) -> Any:
    subject = {"scope": 1, "account": ADDRESS[account], "asset": ""}
    return call("comp.freeze", **subject, level=level, until=until, **{**GROUND, **ground})


def freeze_holding(account: str, asset: str, level: int = 1, until: int = 0) -> Any:
    return call("comp.freeze", scope=2, account=ADDRESS[account], asset=asset, level=level, until=until, **GROUND)


def freeze_asset(asset: str, until: int = 0) -> Any:
    return call("comp.freeze", scope=3, account=b"", asset=asset, level=1, until=until, **GROUND)


def unfreeze(account: str = "", asset: str = "") -> Any:
    scope = (2 if asset else 1) if account else 3
    return call("comp.unfreeze", scope=scope, account=ADDRESS[account] if account else b"", asset=asset, **GROUND)


def sanction(account: str) -> Any:
    return call("comp.sanction", account=ADDRESS[account], list_id="UN 1267", **GROUND)


def unsanction(account: str) -> Any:
    return call("comp.unsanction", account=ADDRESS[account], **GROUND)


def authorise(account: str, asset: str, state: str) -> Any:
    return call("comp.authorise", asset=asset, account=ADDRESS[account], state=STATES.index(state), **GROUND)


def clawback(holder: str, amount: int, asset: str = "GLD", *, takes_all: bool = False) -> Any:
    return call("asset.clawback", asset=asset, holder=ADDRESS[holder], amount=amount, all=int(takes_all), **GROUND)


def recall(holder: str, place: str, asset: str = "GLD") -> Any:
    return call("asset.recall", asset=asset, holder=ADDRESS[holder], place=read_place(place), **GROUND)


def clawback_claim(holder: str, claim: int, asset: str = "GLD") -> Any:
    return call("claim.clawback", asset=asset, holder=ADDRESS[holder], claim=claim, **GROUND)


def forced_transfer(holder: str, to: str, amount: int, asset: str = "GLD") -> Any:
    return call("asset.forced_transfer", asset=asset, holder=ADDRESS[holder], to=ADDRESS[to], amount=amount, **GROUND)
