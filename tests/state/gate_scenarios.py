"""For each operation that moves value or touches a module: how to bring it to success, and what it answers to each restriction.

An operation that is new needs a row in `SCENARIOS` (or, with its reason, in `EXEMPT`): `test_gate_table` fails until it has one. `ENTRY`
is what almost every operation answers while its actor is restricted, `EXIT` what one answers by which the actor gets his own back,
`PAYEE` what is answered while who receives is restricted; a scenario names what it does differently, and why. Not a test file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from state.modules.offers import compute_terms as compute_offer_terms
from state.modules.operation import Operation
from state.modules.settlements import compute_terms as compute_settlement_terms
from state.modules.table import BY_NAME, ROWS
from state.params_gov import GovParams
from state.primitives.hashing import validator_address
from state.primitives.keys import KeyKind
from state.schema import GOV_PARAMS_KEY, encode_record
from state.schema_pending import Leg
from state.transaction import call
from tests.state.amm_world import amm_op
from tests.state.compliance_world import (
    RICH,
    ComplianceWorld,
    clawback,
    clawback_claim,
    forced_transfer,
    freeze_account,
    recall,
    unfreeze,
)
from tests.state.farm_world import farm_op
from tests.state.gov_world import GOV, NOTHING, YES
from tests.state.ledger_world import ADDRESS, key_of, pay
from tests.state.pending_world import name_of
from tests.state.pending_world import op as pending_op
from tests.state.test_modules_assets import burn, mint, move
from tests.state.treasury_world import cb_op

# account-wide first, then of one asset
STATUSES = (
    "debit_frozen",
    "deep_frozen",
    "sanctioned",
    "closed",
    "holding_frozen",
    "holding_deep_frozen",
    "unauthorised",
    "maintained",
    "paused",
)
ACCOUNT_WIDE = STATUSES[:4]
ENTRY = dict(zip(STATUSES, (601, 602, 603, 303, 606, 606, 605, 605, 604), strict=True))
EXIT = {**ENTRY, "maintained": 0}  # what is his may come back
PAYEE = {**ENTRY, "debit_frozen": 0, "holding_frozen": 0}  # receives, does not pay
# who acts for others is restricted as an account; what he holds himself does not matter
OFFICER = {**ENTRY, "holding_frozen": 0, "holding_deep_frozen": 0, "unauthorised": 0, "maintained": 0}
UNTOUCHED = dict.fromkeys(STATUSES, 0)  # an act of authority reaches everybody


class Scenario(NamedTuple):
    """One operation: who does it, what is done before, what each restriction of the actor, and of others concerned, makes of it."""

    actor: str
    op: Callable[[ComplianceWorld], Any]
    assets: tuple[str, ...]
    expected: dict[str, int] = ENTRY
    setup: Callable[[ComplianceWorld], None] = lambda world: None
    others: tuple[tuple[str, dict[str, int]], ...] = ()  # account -> what its restrictions make of it


def _validator() -> bytes:
    return validator_address(key_of("val").public_key.data)


def _stake(world: ComplianceWorld) -> None:
    world.must("alice", call("stake.delegate", validator=_validator(), amount=5_000))
    world.apply()  # so that there are rewards


def _unbonding(world: ComplianceWorld) -> None:
    _stake(world)
    world.must("alice", call("stake.undelegate", validator=_validator(), amount=2_000))


def _second_validator(world: ComplianceWorld) -> None:
    _stake(world)
    world.must("farmer", _register())


def _register() -> Any:
    keys = {"ed25519_key": key_of("v9").public_key.data, "pq_kind": int(KeyKind.MLDSA87)}
    pq_key = key_of("v9", KeyKind.MLDSA87).public_key.data
    return call("stake.register", **keys, pq_key=pq_key, commission_ppm=0, min_self_bond=0, amount=1_000, moniker="v9", details="")


def _parked(world: ComplianceWorld) -> None:
    """A claim: an unbonding ended while its owner was deep-frozen."""
    _unbonding(world)
    world.must("reg1", freeze_account("alice", 2))
    world.now += 200
    world.apply()
    world.must("reg2", unfreeze("alice"))


def _pool(world: ComplianceWorld) -> None:
    world.must("bob", amm_op("create", a="GLD", b="SLV", amount_a=10**8, amount_b=10**8))


def _position(world: ComplianceWorld) -> None:
    _pool(world)
    world.must("alice", amm_op("add", pool="GLD/SLV", max_a=10**7, max_b=10**7))


def _whole_pool(world: ComplianceWorld) -> None:
    world.must("alice", amm_op("create", a="GLD", b="SLV", amount_a=10**8, amount_b=10**8))


def _farm(stake: str = "GLD", reward: str = "SLV") -> Callable[[ComplianceWorld], None]:
    """Farm 0 of bob, which runs for a while."""

    def setup(world: ComplianceWorld) -> None:
        if "/" in stake:
            _position(world)
        end = world.now + 1_000
        world.must("bob", farm_op("create", stake_asset=stake, reward_asset=reward, end=end, budget=10**9))

    return setup


def _staked(stake: str = "GLD", reward: str = "SLV") -> Callable[[ComplianceWorld], None]:
    """Alice has staked for some time."""

    def setup(world: ComplianceWorld) -> None:
        _farm(stake, reward)(world)
        world.must("alice", farm_op("stake", amount=10**6))
        world.now += 10

    return setup


def _ended(world: ComplianceWorld) -> None:
    """A farm of alice in which nobody ever staked is over."""
    world.must("alice", farm_op("create", stake_asset="SLV", reward_asset="GLD", end=world.now + 10, budget=10**6))
    world.now += 10


def _promised(name: str, **fields: Any) -> Callable[[ComplianceWorld], None]:
    """Alice has promised bob some GLD; everything made in these worlds has one name."""
    return lambda world: world.must("alice", promise(world, name, **fields))


def promise(world: ComplianceWorld, name: str, **fields: Any) -> Any:
    """An operation that makes something, due in an hour."""
    dates = dict.fromkeys(("expires", "cancel_after", "deadline"), world.now + 3600)
    every = {"ref": bytes(16), "asset": "GLD", "amount": 5, "agent": b"", "finish_after": 1, "hash": b"", **dates, **fields}
    return pending_op(name, **{field: every[field] for field, _ in BY_NAME[name].fields if field in every})


def _named(kind: str) -> bytes:
    return name_of(kind, "alice")


def _legs() -> Any:
    return (Leg(ADDRESS["alice"], ADDRESS["bob"], "GLD", 5),)


def _settlement(world: ComplianceWorld) -> None:
    world.must("alice", promise(world, "settle.create", legs=_legs()))


def _allocate(world: ComplianceWorld) -> Any:
    name = _named("settlement")
    return pending_op("settle.allocate", settlement=name, terms=compute_settlement_terms(name, world.read(b" S" + name)))


def _allocated(world: ComplianceWorld) -> None:
    _settlement(world)
    world.must("alice", _allocate(world))


def _accept(world: ComplianceWorld) -> Any:
    name = _named("offer")
    return pending_op("pay.accept", offer=name, terms=compute_offer_terms(name, world.read(b" Y" + name)))


_REQUEST: dict[str, Any] = {"give_asset": "", "give_amount": 0, "want_asset": "GLD", "want_amount": 5}
# who is paid and asks for it himself: he may not act while frozen, but what he has need not be free to leave
PAID = {**PAYEE, "debit_frozen": 601}
PROMISED = {**UNTOUCHED, "paused": 604}  # he is not paid yet
# nothing moves but what is the payer's own
GIVES_UP = {**OFFICER, "paused": 0}
def _cb(name: str, **fields: Any) -> Any:
    return cb_op(name, asset="GLD", **fields)


def _dealer(world: ComplianceWorld) -> None:
    """Alice is a dealer and earns interest."""
    world.must("bank", _cb("appoint_dealer", account="alice"), _cb("set_rate", rate_ppm=1_000_000, effective_from=world.now + 1))
    world.now += 1_000


def _redemption(world: ComplianceWorld) -> None:
    _dealer(world)
    world.must("alice", _cb("redeem_request", amount=5, expires=world.now + 1_000))


def _debt(world: ComplianceWorld) -> None:
    """Alice owes 5 and has something: it was held when she paid."""
    _dealer(world)
    world.must("bank", _cb("overdraft", account="alice", limit=5), signers=(("bank", 0), ("alice", 0)))
    world.must("alice", _cb("redeem_request", amount=RICH, expires=world.now + 1_000), pay("bob", 5, "GLD"))
    world.must("alice", _cb("redeem_cancel", request=0))


def _govern(world: ComplianceWorld) -> None:
    """Short times, small deposits."""
    world.db[GOV_PARAMS_KEY] = encode_record(GOV_PARAMS_KEY, GOV.to_record())


def _proposal(deposit: int) -> Any:
    return call("gov.propose", ops=(NOTHING,), title_hash=b"", deposit=deposit, expedited=0)


def _proposed(world: ComplianceWorld) -> None:
    _govern(world)
    world.must("alice", _proposal(500))


def _passed(world: ComplianceWorld) -> None:
    _govern(world)
    world.must("alice", _proposal(1_000))
    world.must("bank", call("gov.vote", proposal=0, weights=YES))
    for seconds in (GOV.voting_s, GOV.delay_s):
        world.now += seconds
        world.apply()


_PAIR = ("GLD", "SLV")
SCENARIOS: dict[str, Scenario] = {
    "asset.mint": Scenario("minter", lambda w: mint("bob", 5, "GLD"), ("GLD",), OFFICER, others=(("bob", PAYEE),)),
    "asset.burn": Scenario("minter", lambda w: burn(5, "GLD"), ("GLD",)),
    "asset.transfer": Scenario("alice", lambda w: pay("bob", 5, "GLD"), ("GLD",), others=(("bob", PAYEE),)),
    "asset.multi_transfer": Scenario(
        "alice", lambda w: move(("alice", "GLD", -5), ("bob", "GLD", 5)), ("GLD",), others=(("bob", PAYEE),)
    ),
    "asset.clawback": Scenario(
        "clawer", lambda w: clawback("alice", 5), ("GLD",), {**OFFICER, "paused": 0}, others=(("alice", UNTOUCHED),)
    ),
    "asset.forced_transfer": Scenario(
        "clawer",
        lambda w: forced_transfer("alice", "bob", 5),
        ("GLD",),
        {**OFFICER, "paused": 0},
        others=(("alice", UNTOUCHED), ("bob", {**PAYEE, "paused": 0})),
    ),
    "asset.recall": Scenario(
        "clawer",
        lambda w: recall("alice", f"escrow/{_named('escrow').hex()}"),
        ("GLD",),
        {**OFFICER, "paused": 0},
        _promised("escrow.create", to=ADDRESS["bob"]),
        others=(("alice", UNTOUCHED), ("bob", UNTOUCHED)),
    ),
    "claim.clawback": Scenario(
        "clawer", lambda w: clawback_claim("alice", 0, "QNX"), ("QNX",), {**OFFICER, "paused": 0}, _parked, others=(("alice", UNTOUCHED),)
    ),
    "stake.register": Scenario("farmer", lambda w: _register(), ("QNX",)),
    "stake.delegate": Scenario("alice", lambda w: call("stake.delegate", validator=_validator(), amount=500), ("QNX",)),
    "stake.undelegate": Scenario(
        "alice", lambda w: call("stake.undelegate", validator=_validator(), amount=500), ("QNX",), EXIT, _stake
    ),
    "stake.cancel_unbond": Scenario(
        "alice", lambda w: call("stake.cancel_unbond", validator=_validator(), entry=0), ("QNX",), EXIT, _unbonding
    ),
    "stake.redelegate": Scenario(
        "alice",
        lambda w: call(
            "stake.redelegate", source=_validator(), destination=validator_address(key_of("v9").public_key.data), amount=5
        ),
        ("QNX",),
        EXIT,
        _second_validator,
    ),
    "stake.claim": Scenario("alice", lambda w: call("stake.claim", validator=_validator()), ("QNX",), EXIT, _stake),
    "claim.take": Scenario("alice", lambda w: call("claim.take", claim=0), ("QNX",), EXIT, _parked),
    "hold.create": Scenario("alice", lambda w: promise(w, "hold.create"), ("GLD",), others=(("bob", PROMISED),)),
    "hold.post": Scenario(
        "bob", lambda w: pending_op("hold.post", amount=5), ("GLD",), PAID, _promised("hold.create"), (("alice", ENTRY),)
    ),
    "hold.void": Scenario(
        "bob", lambda w: pending_op("hold.void"), ("GLD",), GIVES_UP, _promised("hold.create"), (("alice", UNTOUCHED),)
    ),
    "escrow.create": Scenario("alice", lambda w: promise(w, "escrow.create"), ("GLD",), others=(("bob", PROMISED),)),
    "escrow.finish": Scenario(
        "bob", lambda w: pending_op("escrow.finish"), ("GLD",), PAID, _promised("escrow.create"), (("alice", ENTRY),)
    ),
    "escrow.cancel": Scenario(
        "bob", lambda w: pending_op("escrow.cancel"), ("GLD",), GIVES_UP, _promised("escrow.create"), (("alice", UNTOUCHED),)
    ),
    "settle.allocate": Scenario("alice", _allocate, ("GLD",), ENTRY, _settlement, (("bob", PROMISED),)),
    "settle.execute": Scenario(
        "farmer",
        lambda w: pending_op("settle.execute", settlement=_named("settlement")),
        ("GLD",),
        OFFICER,
        _allocated,
        (("alice", ENTRY), ("bob", PAYEE)),
    ),
    "pay.accept": Scenario("bob", _accept, ("GLD",), ENTRY, _promised("pay.offer", **_REQUEST), (("alice", PAYEE),)),
    "amm.create": Scenario("alice", lambda w: amm_op("create", a="GLD", b="SLV", amount_a=10**8, amount_b=10**8), _PAIR),
    "amm.add": Scenario("alice", lambda w: amm_op("add", pool="GLD/SLV", max_a=10**6, max_b=10**6), _PAIR, setup=_pool),
    "amm.add_single": Scenario(
        "alice", lambda w: amm_op("add_single", pool="GLD/SLV", asset="GLD", amount=10**6), _PAIR, setup=_pool
    ),
    "amm.swap_in": Scenario("alice", lambda w: amm_op("swap_in", path=_PAIR, amount_in=10**5), _PAIR, setup=_pool),
    "amm.swap_out": Scenario("alice", lambda w: amm_op("swap_out", path=_PAIR, amount_out=10**5), _PAIR, setup=_pool),
    "amm.remove": Scenario("alice", lambda w: amm_op("remove", pool="GLD/SLV", shares=10**5), _PAIR, EXIT, _position),
    # a trade is in it: who may only get his own back takes both assets with amm.remove
    "amm.remove_single": Scenario(
        "alice", lambda w: amm_op("remove_single", pool="GLD/SLV", asset="GLD", shares=10**5), _PAIR, ENTRY, _position
    ),
    "farm.create": Scenario(
        "alice",
        lambda w: farm_op("create", stake_asset="SLV", reward_asset="GLD", end=w.now + 1_000, budget=10**6),
        ("GLD",),
    ),
    "farm.fund": Scenario(
        "bob", lambda w: farm_op("fund", reward_asset="SLV", amount=10**6), ("SLV",), setup=_farm()
    ),
    "farm.stake": Scenario("alice", lambda w: farm_op("stake", amount=10**5), _PAIR, setup=_farm("GLD/SLV", "QNX")),
    "farm.unstake": Scenario("alice", lambda w: farm_op("unstake", amount=10**5), _PAIR, EXIT, _staked("GLD/SLV", "QNX")),
    "farm.claim": Scenario("alice", lambda w: farm_op("claim"), ("SLV",), EXIT, _staked()),
    "farm.exit": Scenario("alice", lambda w: farm_op("exit"), _PAIR, EXIT, _staked()),
    # the principal always comes back: to where it is frozen, or as a claim
    "farm.emergency_exit": Scenario(
        "alice", lambda w: farm_op("emergency_exit"), _PAIR, {**UNTOUCHED, "sanctioned": 603, "closed": 303}, _staked()
    ),
    "farm.close": Scenario("alice", lambda w: farm_op("close"), ("GLD",), EXIT, _ended),
    "amm.close": Scenario("alice", lambda w: amm_op("close", pool="GLD/SLV"), _PAIR, EXIT, _whole_pool),
    "cb.issue": Scenario("minter", lambda w: _cb("issue", amount=5), ("GLD",), OFFICER, _dealer, (("alice", PAYEE),)),
    "cb.inject": Scenario("minter", lambda w: _cb("inject"), ("GLD",), OFFICER, _dealer, (("alice", PAYEE),)),
    "cb.redeem_request": Scenario(
        "alice", lambda w: _cb("redeem_request", amount=5, expires=w.now + 99), ("GLD",), setup=_dealer
    ),
    "cb.redeem_confirm": Scenario("minter", lambda w: _cb("redeem_confirm"), ("GLD",), OFFICER, _redemption, (("alice", ENTRY),)),
    "cb.redeem_cancel": Scenario("alice", lambda w: _cb("redeem_cancel"), ("GLD",), EXIT, _redemption),
    # who may not receive his interest finds it as a claim
    "cb.accrue": Scenario(
        "minter", lambda w: _cb("accrue"), ("GLD",), OFFICER, _dealer, (("alice", {**UNTOUCHED, "paused": 604}),)
    ),
    "cb.repay": Scenario("alice", lambda w: _cb("repay", amount=5), ("GLD",), setup=_debt),
    "gov.propose": Scenario("alice", lambda w: _proposal(1_000), ("QNX",), setup=_govern),
    "gov.deposit": Scenario("alice", lambda w: call("gov.deposit", proposal=0, amount=100), ("QNX",), setup=_proposed),
    # the deposits go back to whom they are due, or wait as claims: only who acts is asked
    "gov.cancel": Scenario("alice", lambda w: call("gov.cancel", proposal=0), ("QNX",), {**OFFICER, "paused": 0}, _proposed),
    "gov.execute": Scenario("bob", lambda w: call("gov.execute", proposal=0), ("QNX",), {**OFFICER, "paused": 0}, _passed),
}

_ALLOWED = {**OFFICER, "paused": 0}  # a frozen account does it not; a deposit that may not come back waits as a claim
_PERIODS = GovParams(deposit_min=1_000, deposit_s=60, voting_s=60, delay_s=60, execute_s=600)


def _propose(world: ComplianceWorld, deposit: int = 1_000) -> None:
    """A proposal of alice: to set a parameter to what it is."""
    world.db[GOV_PARAMS_KEY] = encode_record(GOV_PARAMS_KEY, _PERIODS.to_record())
    world.must("alice", proposal_op(deposit))


def proposal_op(deposit: int = 1_000) -> Any:
    same = call("gov.set_param", group="stake", key="jail_s", value="600")
    return call("gov.propose", ops=(same,), title_hash=b"", deposit=deposit, expedited=0)


def _passed(world: ComplianceWorld) -> None:
    _propose(world)
    world.must("bank", call("gov.vote", proposal=0, weights=(1_000_000, 0, 0, 0)))
    world.now += 60
    world.apply()
    world.now += 60


SCENARIOS |= {
    "gov.propose": Scenario("alice", lambda w: proposal_op(), ("QNX",)),
    "gov.deposit": Scenario(
        "bob", lambda w: call("gov.deposit", proposal=0, amount=5), ("QNX",), setup=lambda w: _propose(w, 300)
    ),
    "gov.execute": Scenario("bob", lambda w: call("gov.execute", proposal=0), ("QNX",), _ALLOWED, _passed),
    "gov.cancel": Scenario("alice", lambda w: call("gov.cancel", proposal=0), ("QNX",), _ALLOWED, _propose),
}

EXEMPT = {
    "amm.collect": "governance acts, and its account cannot be restricted",
    "amm.repair": "governance acts, and its account cannot be restricted",
}


def concerns_value(row: Operation) -> bool:
    """Whether an operation must be in the table."""
    return (row.moves_value or bool(row.touches)) and not row.is_governed


WANTED = tuple(row.name for row in ROWS if concerns_value(row) and row.name not in EXEMPT)
