"""A ledger with a compliance authority, two institutions and their sub-accounts, and short ways to make rules. Not a test file.

`auth` is the network's authority, `bank` issues QNX (6 decimals), EUR (2) and BIG (128). `north` and `south` are institutions,
`north1`, `north2` and `south1` their sub-accounts, `deep` a sub-account of `north1`. Blocks are one second apart.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from state.initial import GenesisAccount, GenesisAsset, GenesisHolding, genesis_changes
from state.invariants_limits import audit_kyc
from state.machine import BlockResult
from state.modules.accounts import AccountKind
from state.modules.gate import FLAGS_OPEN
from state.modules.table import BY_NAME
from state.params_compliance import ComplianceParams
from state.primitives.hashing import sha256
from state.primitives.keys import KeyKind
from state.receipts import Receipt
from state.schema import decode_record
from state.transaction import call
from tests.state.ledger_world import ACCOUNTS, ADDRESS, NOW, SIGNERS, World, entry, genesis_state

CODES = ("BIG", "EUR", "QNX")
RICH = 10**12
EVIDENCE = sha256(b"evidence")
DAY = 24 * 3_600
LEI_NORTH = "5493001KJTIIGC8Y1R12"
LEI_SOUTH = "7LTWFZYICNSX8D621K86"

INSTITUTIONS = {name: GenesisAccount((entry(0, name),), kind=AccountKind.INSTITUTION) for name in ("auth", "north", "south")}


def _sub(name: str, parent: GenesisAccount) -> GenesisAccount:
    return GenesisAccount((entry(0, name),), kind=AccountKind.SUB_ACCOUNT, parent=parent.address)


_NORTH1 = _sub("north1", INSTITUTIONS["north"])
PEOPLE: dict[str, GenesisAccount] = {
    **INSTITUTIONS,
    "north1": _NORTH1,
    "north2": _sub("north2", INSTITUTIONS["north"]),
    "south1": _sub("south1", INSTITUTIONS["south"]),
    "deep": _sub("deep", _NORTH1),
    "dave": GenesisAccount((entry(0, "dave"),)),
}
ADDRESS.update({name: account.address for name, account in PEOPLE.items()})
SIGNERS.update({name: ((0, name, KeyKind.ED25519),) for name in PEOPLE})
HOLDERS = ("alice", "bob", "carol", "bank", *PEOPLE)


class KycWorld(World):
    """Everybody holds RICH of each asset, but dave, who holds nothing."""

    def __init__(self, *, authorities: tuple[str, ...] = ("auth",), flags: int = FLAGS_OPEN) -> None:
        base = genesis_state()
        bank = ADDRESS["bank"]
        more = {"flags": flags, "minters": ((bank, 10**18),)}
        assets = (*base.assets, GenesisAsset("EUR", bank, 2, **more), GenesisAsset("BIG", bank, 128, **more))  # type: ignore[arg-type]
        kept = tuple(h for h in base.holdings if h.account not in {ADDRESS[name] for name in HOLDERS} or h.code == "BND")
        rich = tuple(GenesisHolding(ADDRESS[name], code, RICH) for name in HOLDERS if name != "dave" for code in CODES)
        named = ComplianceParams(tuple(sorted(ADDRESS[name] for name in authorities)))
        state = replace(
            base,
            params=replace(base.params, compliance=named),
            accounts=(*ACCOUNTS.values(), *PEOPLE.values()),
            assets=assets,
            holdings=(*kept, *rich),
        )
        self.db = {key: value for key, value in genesis_changes(state) if value is not None}
        self.height = 0
        self.now = NOW
        self.last: BlockResult | None = None

    def commit(self, result: BlockResult) -> None:
        assert not [event for event in result.events if event.type in ("action_dropped", "breaker_tripped")], result.events
        super().commit(result)
        self.now += 1

    def read(self, key: bytes) -> Any:
        raw = self.db.get(key)
        return None if raw is None else decode_record(key, raw)

    def audit(self) -> None:
        """The whole state."""
        assert audit_kyc([(key, decode_record(key, raw)) for key, raw in self.db.items()]) == ()
        for code in (*CODES, "BND"):
            assert self.total(code) == self.supply(code), code

    def op(self, sender: str, name: str, **fields: Any) -> Receipt:
        """One operation in a block of its own, and the audit."""
        receipt = self.do(sender, op(name, **fields), **({"signers": SIGNING[name]} if name in SIGNING else {}))
        self.audit()
        return receipt

    def limit(self, sender: str, scope: str, asset: str = "QNX", **fields: Any) -> Receipt:
        """comp.set_limits by the name of the scope."""
        numbers = {"account": 1, "holding": 2, "asset": 3, "tier": 4}
        return self.op(sender, "comp.set_limits", scope=numbers[scope], asset=asset, **fields)

    def certify(
        self, subject: str, *, issuer: str = "auth", kind: str = "kyc", tier: int = 1, jurisdiction: str = "CH", for_s: int = DAY
    ) -> None:
        """A credential, issued and accepted."""
        fields = {"type": kind, "tier": tier, "jurisdiction": jurisdiction, "expires": self.now + for_s}
        assert self.op(issuer, "kyc.issue", subject=ADDRESS[subject], **fields).code == 0
        assert self.op(subject, "kyc.accept", issuer=ADDRESS[issuer], type=kind).code in (0, 711)


SIGNING: dict[str, Any] = {}
_DEFAULTS: dict[str, Any] = {
    "type": "kyc",
    "tier": 0,
    "jurisdiction": "",
    "expires": NOW + 1_000 * DAY,
    "evidence_hash": EVIDENCE,
    "domain": "retail",
    "credentials": (),
    "account": b"",
    "asset": "QNX",
    "per_tx": 0,
    "window_s": 0,
    "in_max": 0,
    "out_max": 0,
    "max_balance": 0,
    "only": 0,
    "jurisdictions": (),
    "amount": 0,
    "assets": (),
    "scope": 0,
    "until": NOW + 1_000 * DAY,
    "lei": LEI_SOUTH,
    "keys": (),
}


def op(name: str, **fields: Any) -> Any:
    """An operation of the compliance modules; what is not given has a default."""
    as_account = fields.pop("as_account", b"")
    names = [field for field, _ in BY_NAME[name].fields]
    defaults = _DEFAULTS | ({"asset": ""} if name.endswith("_view") else {})
    return call(name, as_account=as_account, **{n: fields[n] if n in fields else defaults[n] for n in names})
