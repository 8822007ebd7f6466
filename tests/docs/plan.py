"""Which page is played where, and what of it is not: the one table that accounts for every command of the documentation.

To add a page: a row in `PAGES`. `NOWHERE` needs no network, `LEDGER` is one validator without pause between blocks, `NODES` four
validators. What a page takes for granted (accounts, assets, a stopped node) is made by the functions that `SCENES` of
`scenes_ledger.py`, `scenes_nodes.py` or `scenes_upkeep.py` has under its name. A command that cannot be run is named by its beginning in
`unrun`, with the reason; it must still parse. "" stands for the whole page.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.docs.blocks import Command

NOWHERE: Final = "nowhere"
LEDGER: Final = "ledger"
NODES: Final = "nodes"

HOURS: Final = "takes minutes to hours"
MEASURES: Final = "measures, and takes minutes"
SLOW: Final = (0, 1)  # on a busy machine a vote may be late, and health says so
CLONE: Final = "the repository's address is the reader's"
STARTS: Final = "docs/start.md does the same on the same stage"
SUITE: Final = "is the suite that this test is part of"
COSMJS: Final = "asks the package registry; `scripts/test --cosmjs` runs it"
LOCK: Final = "needs a time to pass that no test waits for"


@dataclass(frozen=True, slots=True)
class Page:
    """How a page is played. `codes`: beginnings of commands that may end with other exit codes than 0. `ends`: those that go on
    until Ctrl-C, and what they say when they are there."""

    where: str = NOWHERE
    unrun: dict[str, str] = field(default_factory=dict)
    codes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    has_own_network: bool = False  # its node takes free ports
    letter: str = ""  # at the end of asset codes

    def reason(self, command: Command) -> str:
        """Why a command is not run, or nothing."""
        return next((reason for start, reason in self.unrun.items() if command.text.startswith(start)), "")


# In this order: a page may leave a node stopped behind.
PAGES: Final[dict[str, Page]] = {
    # four validators
    "docs/start.md": Page(
        NODES, unrun={"git clone": CLONE}, codes={".venv/bin/qenex tx transfer --from alice --to bob --amount 99999999999": (1,)}
    ),
    "README.md": Page(
        NODES, unrun={"git clone": CLONE, "scripts/testnet": STARTS, ".venv/bin/qenex testnet": STARTS, "scripts/test": SUITE}
    ),
    "docs/applications.md": Page(NODES, unrun={".venv/bin/qenex testnet": STARTS, "npm install": COSMJS}),
    "docs/rpc.md": Page(NODES, unrun={"python": "a fragment without end; docs/applications.md has the program"}),
    "docs/monitoring.md": Page(
        NODES,
        unrun={"qenex monitor test": "needs a pager or a mail server; tests/node/telemetry/test_delivery.py has both"},
        codes={"qenex monitor health": SLOW},
    ),
    "docs/index.md": Page(
        NODES, letter="I", unrun={"qenex index export --home /srv/qenex --table events": "needs the optional package pyarrow"}
    ),
    "docs/evidence.md": Page(NODES),
    "docs/light-client.md": Page(
        NODES, ends={"qenex light --primary http://node-a:26657 --witness http://node-b:26657 --listen": "verified answers"}
    ),
    "docs/governance.md": Page(NODES, letter="G", unrun={"qenex tx gov execute": LOCK, "qenex tx group execute": LOCK}),
    "docs/staking.md": Page(
        NODES,
        letter="S",
        unrun={
            "qenex tx stake register": "needs an admission by vote; docs/joining.md has one and registers",
            "qenex tx stake rotate-key": "needs keys of another home; docs/incidents.md makes them and rotates",
            "qenex tx stake unjail": "needs a validator in jail; tests/node/telemetry/test_rules_for_real.py has one and lets it out",
            "qenex tx stake claim": "a network without fees earns nothing; scripts/tour claims",
        },
    ),
    "docs/operations.md": Page(
        NODES,
        unrun={"qenex state diff": "needs a divergence; tests/node/maintenance has one"},
        codes={"qenex rollback --home /srv/running": (2,), "qenex doctor": (1,)},
        ends={"qenex inspect": "listening on"},
    ),
    "docs/incidents.md": Page(NODES, codes={"qenex monitor health": SLOW}),
    "docs/audit.md": Page(
        NODES,
        letter="L",
        codes={"qenex audit verify --home": (1,)},
    ),
    "docs/backup.md": Page(
        NODES,
        unrun={
            "systemctl": "needs a system run by systemd; scripts/upgrade stops and starts real nodes in its place",
            "qenex-0.1.1/bin/qenex": "needs a later release; scripts/upgrade builds one",
        },
        ends={"qenex start": "block committed", "qenex inspect": "listening on"},
        has_own_network=True,
    ),
    "docs/configuration.md": Page(NODES),
    "docs/deploy/README.md": Page(
        NOWHERE,
        unrun={
            "useradd": "needs root; tests/node/deploy checks the unit and its user",
            "install": "needs root; tests/node/deploy checks the unit",
            "docker": "needs a container runtime; tests/node/deploy runs the steps that need none",
        },
    ),
    "docs/signer.md": Page(NOWHERE, unrun={"": "tests/node/signing runs them on a real network with a signer of its own"}),
    "docs/running-a-validator.md": Page(NODES, ends={"qenex start": "block committed"}, has_own_network=True),
    "docs/security.md": Page(NOWHERE, unrun={"scripts/test": SUITE}),
    "docs/README.md": Page(NOWHERE, unrun={"python -m tests.docs": "tests/docs/test_commands.py calls the same"}),
    "docs/simulation.md": Page(NOWHERE, unrun={"": HOURS}),
    "docs/tour.md": Page(NOWHERE, unrun={"": HOURS}),
    # one validator
    "docs/accounts.md": Page(LEDGER, letter="A"),
    "docs/amm.md": Page(LEDGER, letter="B", unrun={"python tests": MEASURES, "qenex bench": MEASURES}),
    "docs/assets.md": Page(LEDGER, letter="C"),
    "docs/compliance.md": Page(LEDGER, letter="D"),
    "docs/farming.md": Page(LEDGER, letter="F", unrun={"qenex tx farm close": LOCK, "python tests": MEASURES, "qenex bench": MEASURES}),
    "docs/kyc.md": Page(LEDGER, letter="K"),
    "docs/settlement.md": Page(LEDGER, letter="M"),
    "docs/treasury.md": Page(LEDGER, letter="T", unrun={"qenex tx cb accrue": "earns in a day; scripts/tour accrues"}),
    "docs/joining.md": Page(LEDGER, letter="J", ends={"qenex start": "block committed"}, has_own_network=True),
    "docs/invariants.md": Page(NOWHERE, unrun={"python -m tests.state.random_ledger": HOURS}),
    # no commands
    **dict.fromkeys(
        ("docs/architecture.md", "docs/dependencies.md", "docs/durability.md", "docs/encodings.md", "docs/explorer.md", "docs/genesis.md",
         "docs/glossary.md", "docs/ledger-operations.md"),
        Page(),
    ),
}  # fmt: skip
