"""How the fields of governance are drawn at random: see `tests.state.random_fields`. Not a test file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from state.modules.groups import group_address
from state.modules.operation import GOVERNANCE_ADDRESS, Operation
from state.modules.table import BY_NAME
from state.primitives.hashing import sha256

if TYPE_CHECKING:
    from tests.state.random_ledger import RandomLedger

Draw = Callable[["RandomLedger", bytes], Any]


def _constant(value: Any) -> Draw:
    return lambda ledger, account: value


def _draw_carried(ledger: RandomLedger, rows: tuple[Operation, ...], account: bytes) -> tuple[Any, ...]:
    calls = []
    for _ in range(ledger.rng.choice((1, 1, 2, 3))):
        row = ledger.rng.choice(rows)
        args = ledger.draw_args(row, account)
        calls.append((row.code, b"", tuple(kind.write(value) for (_, kind), value in zip(row.fields, args, strict=True))))
    return tuple(calls)


def _governed_calls(ledger: RandomLedger, account: bytes) -> tuple[Any, ...]:
    return _draw_carried(ledger, ledger.governed, GOVERNANCE_ADDRESS)


def _group_calls(ledger: RandomLedger, account: bytes) -> tuple[Any, ...]:
    rows = tuple(BY_NAME[name] for name in ("asset.transfer", "stake.delegate", "gov.vote", "group.update", "group.approve"))
    return _draw_carried(ledger, rows, group_address(0))


def _weights(ledger: RandomLedger, account: bytes) -> tuple[int, int, int, int]:
    if ledger.rng.random() < 0.2:
        return (250_000, 250_000, 500_000, 0)
    at = ledger.rng.choice((0, 0, 0, 0, 1, 2, 3))
    return tuple(1_000_000 if i == at else 0 for i in range(4))  # type: ignore[return-value]


def _group_members(ledger: RandomLedger, account: bytes) -> tuple[tuple[bytes, int], ...]:
    return tuple((member, ledger.rng.randrange(1, 4)) for member in sorted(ledger.rng.sample(ledger.accounts, 3)))


# governance changes these at random: what would end the run by its nature is not among them
_PARAMS = (
    ("stake", "jail_s", "60"),
    ("stake", "slash_downtime_ppm", "200"),
    ("stake", "reward_fees_ppm", "900000"),
    ("fees", "base_default", "9"),
    ("fees", "base/amm.swap_in", "3"),
    ("consensus", "timeout_delta_ms", "700"),
    ("gov", "veto_ppm", "400000"),
    ("gov", "delay_s", "0"),
    ("gov", "nothing", "0"),
)


def _param(at: int) -> Draw:
    def draw(ledger: RandomLedger, account: bytes) -> str:
        if at == 0:
            ledger.last_param = ledger.rng.choice(_PARAMS)
        return ledger.last_param[at]

    return draw


def _admission(ledger: RandomLedger, account: bytes) -> str:
    ledger.last_kind = ledger.rng.choice(("validator", "node"))
    return ledger.last_kind


def _identity(ledger: RandomLedger, account: bytes) -> bytes:
    return ledger.rng.choice(ledger.accounts) if ledger.last_kind == "validator" else sha256(b"node %d" % ledger.rng.randrange(5))[:20]


GOV_FIELDS: dict[str, Draw] = {
    "operations of governance": _governed_calls,
    "operations of a group": _group_calls,
    "divided vote": _weights,
    "members with weights": _group_members,
    "kind of admission": _admission,
    "identity": _identity,
    "name": _constant(""),
    "value": _constant(""),
}

GOV_HINTS: dict[tuple[str, str], Draw] = {
    ("gov.propose", "deposit"): lambda ledger, account: ledger.rng.choice((1, 1_000, 10**6)),
    ("gov.propose", "expedited"): lambda ledger, account: ledger.rng.choice((0, 1)),
    ("gov.set_param", "group"): _param(0),
    ("gov.set_param", "key"): _param(1),
    ("gov.set_param", "value"): _param(2),
    ("gov.upgrade", "version"): lambda ledger, account: ledger.rng.choice((1, 2, 3)),
    ("gov.upgrade", "height"): _constant(0),
    ("gov.trip", "module"): lambda ledger, account: ledger.rng.choice(("amm", "stake", "gov", "x")),
    ("gov.trip", "until"): lambda ledger, account: ledger.now + 30,
    ("gov.reset", "module"): lambda ledger, account: ledger.rng.choice(("amm", "stake")),
    ("", "second"): _constant(b""),
    ("", "proposal"): lambda ledger, account: ledger.rng.randrange(0, 60),
    ("", "group"): lambda ledger, account: group_address(ledger.rng.randrange(0, 3)),
    ("", "threshold"): lambda ledger, account: ledger.rng.randrange(1, 4),
    ("", "min_delay_s"): lambda ledger, account: ledger.rng.choice((0, 60)),
    ("group.approve", "on"): lambda ledger, account: ledger.rng.choice((0, 1, 1)),
}
