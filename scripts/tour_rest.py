"""The rest of the tour: every operation that the story has left out, each once and to success, in the order of the modules."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

from killtest import QENEX

if TYPE_CHECKING:
    from tour import Tour

GROUND = ("--reason", "tour", "--legal-ref", "T 1")
NO_HASH = "00" * 32
NODE = "ab" * 20


def run(tour: Tour) -> None:
    """All of it. What takes time by itself (a jail, a delay of keys) is begun first and ended last."""
    tour.say("\nVI. A validator that does not vote, to be jailed meanwhile")
    validator = begin_validator(tour)
    tour.say("\nVII. Accounts")
    begin_accounts(tour)
    tour.say("\nVIII. Assets")
    assets(tour)
    tour.say("\nIX. Promises: holds, escrows, offers")
    promises(tour)
    tour.say("\nX. Stake")
    stake(tour)
    tour.say("\nXI. Pools and farms")
    pools(tour)
    farms(tour)
    tour.say("\nXII. Credentials, limits, travel rule, recovery")
    compliance(tour)
    tour.say("\nXIII. The central bank's other instruments")
    treasury(tour)
    tour.say("\nXIV. Governance and groups")
    governance(tour)
    tour.say("\nXV. What had to wait")
    end_accounts(tour)
    end_validator(tour, validator)


def begin_validator(tour: Tour) -> str:
    """Registered with a bond of its own, and never started."""
    tour.decide(
        "several matters at once",
        {"op": "gov.admit", "kind": "validator", "identity": address(tour, "desk")},
        {"op": "gov.admit", "kind": "node", "identity": NODE},
        {"op": "gov.set_param", "group": "stake", "key": "inflation_ppm", "value": "500000"},
        {"op": "amm.set_protocol_fee", "pool": "EUR/QNX", "on": 1},
        {"op": "amm.set_switches", "pool": "", "trade_until": 0, "deposit_until": 0, "withdraw_until": 0},
    )
    for name in ("spare", "spare2"):
        home = tour.home / name
        made = subprocess.run([*QENEX, "init", "--home", str(home), "--no-encrypt"], capture_output=True, text=True, check=False)
        if made.returncode:
            raise SystemExit(f"qenex init: {made.stderr}")
    tour.tx("desk gets the bond", "alice", "transfer", "--to", "desk", "--amount", "200000", "--asset", "QNX")
    keys = str(tour.home / "spare" / "keys" / "validator.json")
    register = ("stake", "register", "--keys", keys, "--amount", "150000", "--moniker", "spare")
    tour.tx("desk registers a validator that will not vote", "desk", *register)
    tour.tx("and describes it", "desk", "stake", "edit", "--validator", "spare", "--details", "for the tour")
    return "spare"


def end_validator(tour: Tour, name: str) -> None:
    """Jailed for its absence; its keys are replaced, and it comes back."""
    tour.wait_until("the validator that does not vote is in jail", lambda: bool(tour.query("validator", name)["jailed"]), 300)
    keys = str(tour.home / "spare2" / "keys" / "validator.json")
    tour.tx("its keys are replaced", "desk", "stake", "rotate-key", "--validator", name, "--keys", keys)
    until = int(tour.query("validator", name)["jailed_until"])
    tour.wait_until("its time in jail is over", lambda: tour.time_s() > until)
    tour.tx("it comes back", "desk", "stake", "unjail", "--validator", name)


def begin_accounts(tour: Tour) -> None:
    """An account with rules of its own: delayed changes, recovery, a session, a delegate, a sponsor, a list."""
    for name in ("board", "board2", "rescue", "phone", "clerk"):
        tour.key(name)
    tour.tx("board and clerk get accounts", "alice", "account", "create", "--key", "board")
    tour.tx("the clerk's", "alice", "account", "create", "--key", "clerk")
    tour.tx("and money", "alice", "multi-transfer", "--leg", "alice:QNX:-300", "--leg", "board:QNX:200", "--leg", "clerk:QNX:100")
    tour.tx("a key is added", "board", "account", "update-keys", "--add", "board2")
    tour.tx("and revoked at once", "board", "account", "revoke-key", "1")
    policy = ("--add-recovery", "rescue", "--rotation-delay", "5", "--recovery-delay", "10", "--recovery-weight", "1")
    tour.tx("changes wait from now on; a key can recover", "board", "account", "set-policy", *policy)
    grant = ("--op", "asset.transfer", "--limit", "QNX:5:20")
    tour.tx("a phone may pay a little", "board", "account", "grant-session", "phone", "--key-id", "50", *grant)
    tour.tx("until it is lost", "board", "account", "revoke-session", "50")
    tour.tx("the clerk may act", "board", "account", "delegate", "--to", "clerk", *grant)
    tour.tx("and does", "clerk", "transfer", "--to", "alice", "--amount", "1", "--asset", "QNX", "--as", "board")
    tour.tx("no longer", "board", "account", "revoke-delegation", "--to", "clerk")
    tour.tx("fees are sponsored", "board", "account", "sponsor", "--who", "clerk", "--limit", "5")
    tour.tx("no longer either", "board", "account", "revoke-sponsor", "--who", "clerk")
    tour.tx("only known counterparties", "board", "account", "set-allowlist", "--counterparty", "alice")
    tour.tx("nobody else", "board", "transfer", "--to", "bob", "--amount", "1", "--asset", "QNX", code=614)
    tour.tx("a change of keys begins to wait", "board", "account", "update-keys", "--add", "board2")


def end_accounts(tour: Tour) -> None:
    """The waiting change is vetoed, another confirmed, the account recovered; the clerk's is closed."""
    change = tour.query("policy", "board")["waiting"]
    numbers = [str(entry["change"]) for entry in change]
    tour.tx("the change is vetoed", "board", "account", "veto-keys", numbers[0])
    made = tour.tx("another one", "board", "account", "update-keys", "--add", "board2")
    number = tour.event(made, "keys_proposed")["change"]
    ready = int(tour.event(made, "keys_proposed")["ready"])
    tour.wait_until("its delay is over", lambda: tour.time_s() > ready)
    tour.tx("it is confirmed", "board", "account", "confirm-keys", "board", number)
    tour.tx("the rescue key takes the account back", f"rescue@{address(tour, 'board')}", "account", "recover", "--key", "board2")
    tour.tx("the clerk's account is closed", "clerk", "account", "close", "--beneficiary", "alice")


def address(tour: Tour, name: str) -> str:
    """The address of somebody's account."""
    found: str = tour.query("account", name)["address"]
    return found


def assets(tour: Tour) -> None:
    """Roles, powers that are used and given up, an asset from beginning to end."""
    powers = ("--with", "require_accept", "--with", "require_auth", "--with", "clawback", "--with", "freezable", "--with", "pausable")
    tour.tx("an asset with every power", "desk", "create-asset", "UNIT", "--scale", "4", "--mint-allowance", "1000", *powers)
    for role, who in (("freezer", "bank1"), ("unfreezer", "bank2"), ("compliance", "bank1"), ("clawback", "bank1"), ("metadata", "desk")):
        tour.tx(f"{who} is its {role}", "desk", "asset", "set-role", "--asset", "UNIT", "--role", role, "--account", who)
    tour.tx("its description", "desk", "asset", "set-metadata", "--asset", "UNIT", "--hash", NO_HASH)
    for name in ("alice", "bob"):
        tour.tx(f"{name} accepts it", name, "asset", "accept", "--asset", "UNIT")
        known = ("--asset", "UNIT", "--account", name, "--state", "authorised")
        tour.tx(f"{name} is authorised", "bank1", "comp", "authorise", *known, *GROUND)
    tour.tx("some for alice", "desk", "mint", "--to", "alice", "--asset", "UNIT", "--amount", "10")
    tour.tx("everything stops", "bank1", "asset", "pause", "--asset", "UNIT", *GROUND)
    tour.tx("alice cannot pay", "alice", "transfer", "--to", "bob", "--asset", "UNIT", "--amount", "1", code=604)
    tour.tx("and goes on", "bank2", "asset", "unpause", "--asset", "UNIT", *GROUND)
    take = ("--asset", "UNIT", "--holder", "alice")
    reach_beyond(tour, take)
    tour.tx("a court moves some", "bank1", "asset", "forced-transfer", *take, "--to", "bob", "--amount", "4", *GROUND)
    tour.tx("and takes the rest", "bank1", "asset", "clawback", *take, "--amount", "all", *GROUND)
    tour.tx("and bob's", "bank1", "asset", "clawback", "--asset", "UNIT", "--holder", "bob", "--amount", "4", *GROUND)
    tour.tx("that power is given up", "desk", "asset", "renounce-flag", "--asset", "UNIT", "--flag", "clawback")
    tour.tx("the asset ends", "desk", "asset", "destroy", "--asset", "UNIT")


def reach_beyond(tour: Tour, take: tuple[str, ...]) -> None:
    """What alice has promised comes back, and what a freeze keeps from her is burned where it waits."""
    what = ("--to", "bob", "--asset", "UNIT")
    hold = tour.tx("alice sets some aside", "alice", "hold", "create", *what, "--amount", "2", "--expires", "1h")["hold"]
    tour.tx("a court brings it back", "bank1", "asset", "recall", *take, "--place", f"hold/{hold}", *GROUND)
    dates = ("--after", "1m", "--until", "1h")
    escrow = tour.tx("she puts some into escrow", "alice", "escrow", "create", *what, "--amount", "1", *dates)["escrow"]
    frozen = ("--account", "alice", "--asset", "UNIT")
    tour.tx("and is frozen", "bank1", "comp", "freeze", *frozen, "--level", "deep", *GROUND)
    tour.tx("it comes back into a claim", "bank1", "asset", "recall", *take, "--place", f"escrow/{escrow}", *GROUND)
    claim = tour.query("claims", "alice")["claims"][0]["claim"]
    tour.tx("which is burned", "bank1", "claim", "clawback", str(claim), *take, *GROUND)
    tour.tx("she is free again", "bank2", "comp", "unfreeze", *frozen, *GROUND)


def promises(tour: Tour) -> None:
    """Two-phase payments, time and hash locks, an exchange between two."""
    hold = tour.tx("a hold", "alice", "hold", "create", "--to", "bob", "--amount", "10", "--asset", "QNX", "--expires", "1h")["hold"]
    tour.tx("bob takes a part", "bob", "hold", "post", hold, "--amount", "6.5")
    tour.tx("what is settled stays settled", "bob", "hold", "void", hold, code=702)
    hold = tour.tx("another", "alice", "hold", "create", "--to", "bob", "--amount", "10", "--asset", "QNX", "--expires", "1h")["hold"]
    tour.tx("bob lets it go", "bob", "hold", "void", hold)
    lock = ("--to", "bob", "--amount", "3", "--asset", "QNX", "--until", "1h")
    made = tour.tx("an escrow with a secret", "alice", "escrow", "create", *lock, "--new-secret")
    tour.tx("a wrong secret", "bob", "escrow", "finish", made["escrow"], "--secret", "ff" * 32, code=706)
    tour.tx("the right one", "bob", "escrow", "finish", made["escrow"], "--secret", made["secret"])
    made = tour.tx("an escrow that bob does not want", "alice", "escrow", "create", *lock, "--after", "1m")
    tour.tx("goes back", "bob", "escrow", "cancel", made["escrow"])
    offer = ("--to", "bank1", "--give", "QNX:20", "--want", "EUR:200", "--expires", "1h")
    made = tour.tx("an offer", "alice", "pay", "offer", *offer)
    tour.tx("accepted: both move", "bank1", "pay", "accept", made["offer"])
    made = tour.tx("another offer", "alice", "pay", "offer", *offer)
    tour.tx("taken back", "alice", "pay", "cancel", made["offer"])
    legs = ("--leg", "alice:bob:QNX:1", "--leg", "bob:alice:QNX:2")
    made = tour.tx("a settlement", "venue", "settle", "create", *legs, "--deadline", "1h")
    tour.tx("called off", "venue", "settle", "cancel", made["settlement"])


def stake(tour: Tour) -> None:
    """In, across, out, back, and what was earned."""
    tour.tx("alice delegates", "alice", "stake", "delegate", "--validator", "node0", "--amount", "500")
    tour.tx("moves a part", "alice", "stake", "redelegate", "--source", "node0", "--destination", "node1", "--amount", "100")
    tour.tx("takes a part out", "alice", "stake", "undelegate", "--validator", "node0", "--amount", "50")
    tour.tx("and thinks again", "alice", "stake", "cancel-unbond", "--validator", "node0", "--entry", "0")
    tour.tx("something to claim", "alice", "stake", "delegate", "--validator", "node0", "--amount", "1")
    tour.wait_until("alice has earned", lambda: int(tour.query("delegation", "alice", "node0")["rewards"]) > 0)
    tour.tx("she claims it", "alice", "stake", "claim", "--validator", "node0")


def pools(tour: Tour) -> None:
    """One asset in and out, exact outputs, members, the protocol's share, repair, the end of a pool."""
    pool = ("--pool", "EUR/QNX")
    tour.tx("exactly ten QNX", "bank1", "amm", "swap-out", "--path", "EUR,QNX", "--amount", "10", "--max-in", "200")
    tour.tx("one asset in", "bank1", "amm", "add-single", *pool, "--asset", "EUR", "--amount", "500", "--min-shares", "1")
    tour.tx("one asset out", "bank1", "amm", "remove-single", *pool, "--shares", "100000", "--asset", "QNX")
    tour.tx("both out", "bank1", "amm", "remove", *pool, "--shares", "100000")
    tour.tx("a pool for members", "bank2", "amm", "create", "--a", "BOND", "--b", "QNX", "--amount-a", "60", "--amount-b", "0.06", code=810)
    tour.tx("bonds of more pieces", "bank2", "create-asset", "NOTE", "--scale", "2", "--mint-allowance", "100000")
    tour.tx("some", "bank2", "mint", "--asset", "NOTE", "--amount", "50000")
    tour.tx("one is burned", "bank2", "burn", "--asset", "NOTE", "--amount", "1")
    terms = ("--a", "NOTE", "--b", "QNX", "--amount-a", "1000", "--amount-b", "100", "--member", "bank1")
    tour.tx("a pool for members", "bank2", "amm", "create", *terms)
    tour.tx("the fund is none", "fund", "amm", "swap-in", "--path", "QNX,NOTE", "--amount", "1", "--min-out", "0", code=607)
    tour.tx("until it is", "bank2", "amm", "set-members", "--pool", "NOTE/QNX", "--member", "fund")
    tour.tx("the fund trades", "fund", "amm", "swap-in", "--path", "QNX,NOTE", "--amount", "1", "--min-out", "0")
    for _ in range(2):
        tour.tx("liquidity", "bank1", "amm", "add", *pool, "--max-a", "5000", "--max-b", "2000")
        tour.tx("and trade", "bank1", "amm", "swap-in", "--path", "EUR,QNX", "--amount", "9000", "--min-out", "0")


def farms(tour: Tour) -> None:
    """More budget, a part out, leaving in a hurry, the end."""
    farm = ("--stake", "QNX", "--reward", "QNX", "--budget", "60", "--duration", "60s")
    number = tour.event(tour.tx("a short farm", "bank2", "farm", "create", *farm), "farm_created")["farm"]
    tour.tx("more for it", "bank2", "farm", "fund", "--farm", number, "--reward", "QNX", "--amount", "10")
    for _ in range(2):
        tour.tx("bob stakes", "bob", "farm", "stake", "--farm", number, "--amount", "20")
    tour.tx("takes a part out", "bob", "farm", "unstake", "--position", "0", "--amount", "5")
    tour.tx("leaves one in a hurry", "bob", "farm", "emergency-exit", "--position", "1")
    end = int(tour.query("farm", number)["end"])
    tour.wait_until("the farm has ended", lambda: tour.time_s() > end)
    tour.tx("its sponsor closes it", "bank2", "farm", "close", "--farm", number)


def compliance(tour: Tour) -> None:
    """Credentials, domains, limits, jurisdictions, travel rule, sanction, recovery, views."""
    month = str(int(tour.time_s()) + 30 * 86_400)
    about = ("--subject", "fund", "--type", "kyc", "--tier", "2", "--jurisdiction", "DE", "--expires", month, "--evidence-hash", NO_HASH)
    tour.tx("a credential", "bank1", "kyc", "issue", *about)
    tour.tx("accepted", "fund", "kyc", "accept", "--issuer", "bank1", "--type", "kyc")
    tour.tx("a domain of those who have it", "bank1", "domain", "set", "--domain", "known", "--accept", "bank1:kyc:1")
    tour.read("the fund is a member", "domain", "known", "--member", "fund")
    tour.tx("the euro is for some countries", "ecb", "comp", "set-jurisdictions", "--asset", "EUR", "--block", "KP")
    limits = ("--scope", "holding", "--asset", "EUR", "--account", "fund")
    tour.tx("a limit", "ecb", "comp", "set-limits", *limits, "--per-tx", "100")
    tour.tx("is kept", "fund", "transfer", "--to", "bank1", "--amount", "101", "--asset", "EUR", code=609)
    tour.tx("and lifted", "ecb", "comp", "clear-limits", *limits)
    tour.tx("the travel rule", "ecb", "comp", "set-travel-threshold", "--asset", "EUR", "--amount", "1000")
    tour.tx("asks for data", "bank1", "transfer", "--to", "bank2", "--amount", "5000", "--asset", "EUR", code=612)
    vasp = ("--institution", "bank2", "--lei", "5493001KJTIIGC8Y1R12", "--key", "bank2")
    tour.tx("bank2 can attest", "regulator", "comp", "register-vasp", *vasp)
    tour.tx("no rule any more", "ecb", "comp", "clear-travel-threshold", "--asset", "EUR")
    tour.tx("a sanction", "regulator", "comp", "sanction", "--account", "venue", "--list", "UN 1", *GROUND)
    tour.tx("lifted", "regulator", "comp", "unsanction", "--account", "venue", *GROUND)
    tour.key("venue2")
    tour.tx("a new account for who lost his keys", "alice", "account", "create", "--key", "venue2")
    recover = ("--old", "venue", "--new", "venue2", "--evidence-hash", NO_HASH, "--asset", "QNX")
    tour.tx("his holding is recovered", "regulator", "comp", "recover-holder", *recover, "--signer", "venue2")
    view = ("--regulator", "regulator", "--account", "fund")
    tour.tx("a view", "regulator", "comp", "grant-view", *view, "--until", month)
    tour.tx("that ends", "regulator", "comp", "revoke-view", *view)
    anchor = ("--log", "teller", "--entries", "120", "--head", NO_HASH)
    tour.tx("bank1 anchors the audit log of another system", "bank1", "audit", "anchor", *anchor)
    tour.read("what it has anchored", "anchors", "bank1", "--log", "teller")
    tour.read("what was done by whom", "acts")
    tour.tx("a frozen escrow's claim", "bank1", "transfer", "--to", "bob", "--amount", "5", "--asset", "EUR")
    lock = ("--to", "alice", "--amount", "5", "--asset", "EUR", "--after", "1m", "--until", "1h")
    made = tour.tx("bob escrows", "bob", "escrow", "create", *lock)
    tour.tx("and is frozen", "regulator", "comp", "freeze", "--account", "bob", "--level", "deep", *GROUND)
    tour.tx("the escrow goes back, into a claim", "alice", "escrow", "cancel", made["escrow"])
    tour.tx("bob is released", "regulator", "comp", "unfreeze", "--account", "bob", *GROUND)
    claim = tour.query("claims", "bob")["claims"][0]["claim"]
    tour.tx("and takes it", "bob", "claim", "take", str(claim))
    tour.tx("the pool for members is for the domain", "bank2", "amm", "set-domain", "--pool", "NOTE/QNX", "--domain", "known")
    swap = ("amm", "swap-in", "--path", "QNX,NOTE", "--amount", "1", "--min-out", "0")
    tour.tx("the fund trades as its member", "fund", *swap)
    tour.tx("its credential is revoked", "bank1", "kyc", "revoke", "--subject", "fund", "--issuer", "bank1", "--type", "kyc")
    tour.tx("now it is none", "fund", *swap, code=607)
    tour.tx("who has all of the pool may close it", "bank2", "amm", "close", "--pool", "NOTE/QNX")
    tour.tx("the domain ends", "bank1", "domain", "delete", "--domain", "known")


def treasury(tour: Tour) -> None:
    """Rate, reserves, redemption, intraday credit, dismissal."""
    euro = ("--asset", "EUR")
    made = tour.tx("a rate is announced", "ecb", "cb", "set-rate", *euro, "--rate-ppm", "900000", "--from-time", "+15")
    begins = int(tour.event(made, "rate_announced")["effective_from"])
    tour.tx("reserves are required", "ecb", "cb", "set-reserve-requirement", *euro, "--tier", "1", "--ratio-ppm", "10000")
    tour.tx("bank1 reports", "bank1", "cb", "report-liabilities", *euro, "--amount", "100000")
    for cancel in (False, True):
        made = tour.tx("bank2 gives back", "bank2", "cb", "redeem-request", *euro, "--amount", "1000", "--ref", "R")
        number = tour.event(made, "redemption_requested")["request"]
        end = ("redeem-cancel", "bank2") if cancel else ("redeem-confirm", "ecb")
        tour.tx("answered", end[1], "cb", end[0], *euro, "--request", number)
    line = ("--account", "fund", "--limit", "1000", "--collateral", "QNX:50")
    tour.tx("a credit line for the fund", "ecb", "cb", "overdraft", *euro, *line, "--signer", "fund")
    have = int(tour.query("account", "fund")["holdings"]["EUR"])
    aside = ("--to", "desk", "--amount", "20", *euro, "--expires", "1h")
    hold = tour.tx("the fund sets some aside", "fund", "hold", "create", *aside)["hold"]
    pay = ("--to", "desk", *euro, "--amount", str(have - 2_000 + 30_000), "--base-units")
    tour.tx("and pays 300 more than the rest", "fund", "transfer", *pay)
    tour.read("what it owes", "credit-line", "fund", "EUR")
    tour.tx("desk does not take what was set aside", "desk", "hold", "void", hold)
    tour.tx("the fund repays with it", "fund", "cb", "repay", *euro, "--amount", "20")
    tour.tx("what comes in repays the rest first", "desk", "transfer", "--to", "fund", *euro, "--amount", "500")
    tour.wait_until("the rate has been in force for a while", lambda: tour.time_s() > begins + 5)
    period = str(int(tour.query("rate", "EUR")["period"]) + 1)
    tour.tx("interest is paid", "ecb", "cb", "accrue", *euro, "--period", period)
    tour.tx("the line is closed", "ecb", "cb", "close-overdraft", *euro, "--account", "fund")
    tour.tx("a dealer is dismissed", "ecb", "cb", "dismiss-dealer", *euro, "--account", "bank2")
    tour.read("where every euro came from", "supply", "EUR")


def governance(tour: Tour) -> None:
    """Deposits, a cancelled proposal, admissions, an upgrade, breakers, a group that acts."""
    op = json.dumps({"op": "gov.set_param", "group": "stake", "key": "jail_s", "value": "12"})
    made = tour.tx("a proposal with half of its deposit", "owner0", "gov", "propose", "--op", op, "--deposit", "500")
    number = tour.event(made, "proposal_created")["proposal"]
    tour.tx("somebody adds to it", "alice", "gov", "deposit", number, "--amount", "500")
    tour.tx("it is withdrawn", "owner0", "gov", "cancel", number)
    tour.tx("two of the committee stop the farms", "owner0", "gov", "trip", "--module", "farm", "--second", "owner1", "--for", "3600")
    tour.tx("nobody farms", "bob", "farm", "stake", "--farm", "0", "--amount", "1", code=202)
    tour.tx("and start them", "owner0", "gov", "reset", "--module", "farm", "--second", "owner1")
    members = ("--member", "alice:1", "--member", "bob:1")
    made = tour.tx("a group", "alice", "group", "create", *members, "--threshold", "2")
    group = tour.event(made, "group_set")["group"]
    tour.tx("it has money", "alice", "transfer", "--to", group, "--amount", "20", "--asset", "QNX")
    pay = json.dumps({"op": "asset.transfer", "asset": "QNX", "to": address(tour, "bob"), "amount": "7", "tag": ""})
    both = [{"account": address(tour, name), "weight": 1} for name in ("alice", "bob")]
    update = json.dumps({"op": "group.update", "members": both, "threshold": 1, "min_delay_s": 0})
    made = tour.tx("it is to pay bob, and to need one voice", "alice", "group", "propose", "--group", group, "--op", pay, "--op", update)
    number = tour.event(made, "group_proposed")["proposal"]
    tour.tx("bob agrees", "bob", "group", "approve", "--group", group, "--proposal", number)
    tour.tx("it acts", "bob", "group", "execute", "--group", group, "--proposal", number)
    height = int(tour.query("block")["block"]["header"]["height"]) + 100_000
    tour.decide(
        "more matters",
        {"op": "amm.collect", "pool": "EUR/QNX"},
        {"op": "amm.repair", "pool": "EUR/QNX", "amount_a": "0.01", "amount_b": "0", "plan_hash": NO_HASH},
        {"op": "gov.remove", "kind": "node", "identity": NODE},
        {"op": "gov.upgrade", "version": 2, "height": height, "release": "0.2.0", "build_hash": ""},
    )
