"""The story of the tour: a central bank issues, two banks settle, a fund swaps and farms, a regulator freezes and reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tour import Tour

PEOPLE = ("ecb", "bank1", "bank2", "fund", "regulator", "venue", "desk")
GROUND = ("--reason", "inquiry 7", "--legal-ref", "AB 12/34")
OWNED = ("--with", "freezable", "--with", "pausable", "--with", "clawback", "--with", "remunerated")


def run(tour: Tour) -> None:
    """All of it, in order."""
    tour.say("I. People and their accounts")
    people(tour)
    tour.say("\nII. A central bank issues money to its dealers")
    issue(tour)
    tour.say("\nIII. Delivery against payment between two banks")
    settle(tour)
    tour.say("\nIV. A fund swaps on a pool and farms its shares")
    trade(tour)
    tour.say("\nV. Governance appoints a regulator, who freezes, reads and releases")
    regulate(tour)


def people(tour: Tour) -> None:
    """Keys and accounts; alice, who is there from the genesis, opens them and gives each some QNX."""
    for name in PEOPLE:
        tour.key(name)
        tour.tx(f"alice opens the account of {name}", "alice", "create-account", "--key", name)
    for name in (*PEOPLE, "owner0"):
        tour.tx(f"alice gives {name} QNX", "alice", "transfer", "--to", name, "--amount", "5000", "--asset", "QNX")


def issue(tour: Tour) -> None:
    """The euro, its dealers, money for them."""
    tour.tx("the central bank makes the euro", "ecb", "create-asset", "EUR", "--scale", "2", "--mint-allowance", "100000000", *OWNED)
    for bank in ("bank1", "bank2"):
        terms = ("--tier", "1", "--issue-max", "5000000", "--window-max", "9000000")
        tour.tx(f"{bank} becomes a dealer", "ecb", "cb", "appoint-dealer", "--asset", "EUR", "--account", bank, *terms)
    tour.tx("issue to one dealer", "ecb", "cb", "issue", "--asset", "EUR", "--dealer", "bank1", "--amount", "2000000", "--ref", "T1")
    tour.tx("more than the dealer's limit", "ecb", "cb", "issue", "--asset", "EUR", "--dealer", "bank1", "--amount", "6000000", code=609)
    tour.tx("liquidity for both at once", "ecb", "cb", "inject", "--asset", "EUR", "--leg", "bank1:300000", "--leg", "bank2:500000")
    tour.read("where every euro came from", "supply", "EUR")


def settle(tour: Tour) -> None:
    """Bonds against money: nothing moves before both have set their legs aside, and then all of it."""
    tour.tx("bank2 makes a bond", "bank2", "create-asset", "BOND", "--scale", "0", "--mint-allowance", "10000")
    tour.tx("bank2 issues it", "bank2", "mint", "--asset", "BOND", "--amount", "1000")
    legs = ("--leg", "bank2:bank1:BOND:400", "--leg", "bank1:bank2:EUR:380000.50")
    name = tour.tx("the venue writes the terms", "venue", "settle", "create", *legs, "--deadline", "1h")["settlement"]
    tour.tx("bank2 sets the bonds aside", "bank2", "settle", "allocate", name)
    tour.tx("too early to execute", "venue", "settle", "execute", name, code=709)
    tour.tx("bank1 sets the money aside", "bank1", "settle", "allocate", name)
    tour.read("both are held where they are", "account", "bank1")
    tour.tx("executed: both legs or none", "venue", "settle", "execute", name)


def trade(tour: Tour) -> None:
    """A pool, a swap, shares, and a farm for them."""
    tour.tx("bank1 pays the fund", "bank1", "transfer", "--to", "fund", "--amount", "250000", "--asset", "EUR", "--tag", "subscription")
    pool = ("--a", "EUR", "--b", "QNX", "--amount-a", "40000", "--amount-b", "4000")
    tour.tx("bank1 opens a pool", "bank1", "amm", "create", *pool)
    tour.read("what a swap would give", "quote", "swap-in", "--path", "EUR,QNX", "--amount", "1000")
    tour.tx("the fund buys QNX", "fund", "amm", "swap-in", "--path", "EUR,QNX", "--amount", "1000", "--min-out", "95")
    tour.tx("not at that price", "fund", "amm", "swap-in", "--path", "EUR,QNX", "--amount", "1000", "--min-out", "99", code=804)
    tour.tx("the fund provides liquidity", "fund", "amm", "add", "--pool", "EUR/QNX", "--max-a", "20000", "--max-b", "2500")
    farm = ("--stake", "EUR/QNX", "--reward", "QNX", "--budget", "600", "--duration", "10m", "--tier", "0:1", "--tier", "1m:2")
    tour.tx("bank2 funds a farm for these shares", "bank2", "farm", "create", *farm)
    tour.tx("the fund stakes its shares", "fund", "farm", "stake", "--farm", "0", "--amount", "50000000", "--tier", "0")
    tour.wait_until("some reward has come out", lambda: earned(tour) > 0)
    tour.tx("the fund claims", "fund", "farm", "claim", "--farm", "0")
    tour.tx("and leaves", "fund", "farm", "exit", "--position", "0")


def earned(tour: Tour) -> int:
    """Base units of QNX that the fund's first position could claim."""
    found: Any = tour.query("farm-position", "fund", "0")
    return sum(int(reward["pending"]) for reward in found["rewards"])


def regulate(tour: Tour) -> None:
    """The authority over accounts is named by governance; what it does is public, and reaches everything."""
    account = tour.query("account", "regulator")["address"]
    carol = tour.query("account", "carol")["address"]
    op = {"op": "comp.set_authorities", "accounts": [account, carol], "separate_release": 0}
    tour.decide("a regulator is appointed", op)
    tour.tx("the regulator freezes the fund", "regulator", "comp", "freeze", "--account", "fund", "--level", "deep", *GROUND)
    tour.tx("it cannot pay", "fund", "transfer", "--to", "bank1", "--amount", "1", "--asset", "EUR", code=602)
    swap = ("amm", "swap-in", "--path", "EUR,QNX", "--amount", "10", "--min-out", "0")
    tour.tx("nor trade", "fund", *swap, code=602)
    tour.tx("nor withdraw", "fund", "amm", "remove", "--pool", "EUR/QNX", "--shares", "1000", code=602)
    tour.read("the regulator reads", "restrictions", "fund")
    tour.tx("the regulator releases the fund", "regulator", "comp", "unfreeze", "--account", "fund", *GROUND)
    tour.tx("which trades again", "fund", *swap)
