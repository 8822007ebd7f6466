"""Every operation of the table without any one of those who must sign it, and without any one of the roles it needs: it fails.

The tests are made from the operation table: a new row without an example in some `examples_MODULE.py` fails here. Invariant I24 and
incident 5 of the ledger rules.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

from state.codes import Code
from state.invariants import check_operation
from state.modules.operation import MODULE_ACCOUNTS, OpContext
from state.modules.table import ROWS
from state.primitives.keys import KeyKind
from state.transaction import Call, Draft, Transaction, call
from state.view import View
from tests.state.authorisation_world import WHO, Example, row_of
from tests.state.ledger_world import key_of

FOUND: tuple[Example, ...] = tuple(
    example
    for path in sorted(Path(__file__).parent.glob("examples_*.py"))
    for example in importlib.import_module(f"tests.state.{path.stem}").EXAMPLES
)
EXAMPLES = {example.operation: example for example in FOUND}
BY_ACCOUNTS = [example for example in FOUND if not example.acting]
BY_GOVERNANCE = [example for example in FOUND if example.acting]
EACH_SIGNER = [(example, signer) for example in BY_ACCOUNTS for signer in example.signers()]
EACH_ROLE = [(example, role) for example in FOUND for role in example.roles]


def name_of(value: Any) -> str:
    if isinstance(value, Example):
        return value.operation
    return "-".join(str(part) for part in value[:2] if not callable(part))


def test_every_operation_has_one_example() -> None:
    missing = [row.name for row in ROWS if row.name not in EXAMPLES]
    assert missing == [], "add them to tests/state/examples_MODULE.py"
    assert sorted(example.operation for example in FOUND) == sorted(row.name for row in ROWS)


def test_every_role_that_a_row_can_miss_is_deleted_somewhere() -> None:
    """A row that may give a code about roles has an example in which exactly that happens."""
    about_roles = (Code.NO_PERMISSION, Code.NOT_ISSUER, Code.CREDENTIAL_MISSING, Code.NOT_DEALER, Code.NOT_A_VOTER)
    # 204 of these is about kinds of keys that the network does not admit, or of who agrees: see their own tests
    elsewhere = {
        "account.create",
        "account.update_keys",
        "account.set_policy",
        "account.confirm_keys",
        "account.grant_session",
        "account.set_allowlist",
        "account.recover",
    }
    lacking = [
        row.name
        for row in ROWS
        if row.name not in elsewhere
        and any(code in row.codes for code in about_roles)
        and not EXAMPLES[row.name].roles
        and EXAMPLES[row.name].stranger is None
        and not EXAMPLES[row.name].acting
    ]
    assert lacking == []


@pytest.mark.parametrize("example", BY_ACCOUNTS, ids=name_of)
def test_it_succeeds_with_everybody(example: Example) -> None:
    world = example.world()
    receipt = world.settle(world.signed(world.draft(example.sender, example.call(world)), example.signers()))
    assert receipt.code == Code.OK, receipt.log


@pytest.mark.parametrize(("example", "signer"), EACH_SIGNER, ids=name_of)
def test_it_fails_without_any_one_signer(example: Example, signer: tuple[str, int]) -> None:
    world = example.world()
    draft = world.draft(example.sender, example.call(world))
    others = [one for one in example.signers() if one != signer]
    assert world.check(world.signed(draft, others)).code == Code.QUORUM_NOT_MET
    # nor with a stranger's signature instead of it, a wrong one, another's twice, or one of another key in its name
    account, key_id = signer
    stranger = Draft.load(world.signed(draft, others)).sign(WHO["cat" if account != "cat" else "spare"], 0, key_of("stranger"))
    if account != "cat" and ("cat", 0) not in others:
        assert world.check(stranger.encode()).code == Code.UNKNOWN_SIGNER
    unknown = Draft.load(world.signed(draft, others)).sign(WHO[account], 999, key_of("stranger"))
    assert world.check(unknown.encode()).code == Code.UNKNOWN_SIGNER
    forged = Draft.load(world.signed(draft, others)).sign(WHO[account], key_id, key_of("stranger"))
    assert world.check(forged.encode()).code == Code.BAD_SIGNATURE
    if others:
        twice = Draft.load(world.signed(draft, others))
        again = Draft(twice.body, tuple(sorted((*twice.auth, twice.auth[0]))))
        assert world.check(again.encode()).code == Code.DUPLICATE_SIGNATURE


@pytest.mark.parametrize(("example", "signer"), EACH_SIGNER, ids=name_of)
def test_it_fails_without_a_signer_behind_an_operation_that_all_may_do(example: Example, signer: tuple[str, int]) -> None:
    """Checks are made for every inner operation, not for the first (incident 5)."""
    world = example.world()
    harmless = call("asset.transfer", asset="QNX", to=WHO["spare"], amount=1, tag="")
    senders = [("cat", 0), ("cat", 1)]
    op = example.call(world)
    acting = (op[0], WHO[example.as_account or example.sender], op[2])
    needed = [one for one in example.signers() if one != signer]
    if example.sender == "cat" or "cat" in example.others:
        return  # whoever carries it signs for himself anyway: the test above is this one
    draft = world.draft("cat", harmless, acting)
    assert world.check(world.signed(draft, [*senders, *needed])).code == Code.QUORUM_NOT_MET
    assert world.check(world.signed(draft, [*senders, *needed, signer])).code == Code.OK


@pytest.mark.parametrize(("example", "role"), EACH_ROLE, ids=name_of)
def test_it_fails_without_any_one_role(example: Example, role: Any) -> None:
    _, take_away, code = role
    world = example.world()
    take_away(world)
    raw = world.signed(world.draft(example.sender, example.call(world)), example.signers())
    admission = world.check(raw)
    assert (admission.code or world.settle(raw).code) == code


@pytest.mark.parametrize("example", [example for example in FOUND if example.stranger is not None], ids=name_of)
def test_nobody_else_does_it_in_his_own_name(example: Example) -> None:
    world = example.world()
    stranger = "cat" if "cat" not in (example.sender, *example.others) else "spare"
    others = [one for one in example.signers() if one[0] != example.sender]
    signing = [(stranger, 0), (stranger, 1), *others]
    raw = world.signed(world.draft(stranger, example.call(world)), signing)
    assert world.settle(raw).code == example.stranger
    assert example.stranger in row_of(example).codes


@pytest.mark.parametrize("example", BY_GOVERNANCE, ids=name_of)
def test_nobody_can_sign_what_is_governance_s(example: Example) -> None:
    world = example.world()
    raw = world.signed(world.draft(example.sender, example.call(world)), example.signers())
    assert world.settle(raw).code == Code.NO_PERMISSION
    op = example.call(world)
    acting = (op[0], example.acting, op[2])
    raw = world.signed(world.draft(example.sender, acting), example.signers())
    assert world.check(raw).code == Code.QUORUM_NOT_MET
    # and governance, or the group, can
    world = example.world()
    view = View(world.db)
    row = row_of(example)
    context = OpContext(view, world.height + 1, world.now, (int(KeyKind.ED25519),))
    args = Transaction.decode(world.draft(example.sender, example.call(world)).encode()).calls[0].args
    row.handler(context, example.acting, args)
    assert check_operation(view, 0, Call(row, example.acting, args), time_s=world.now) == ""


@pytest.mark.parametrize("example", BY_ACCOUNTS, ids=name_of)
def test_no_module_account_acts(example: Example) -> None:
    world = example.world()
    for address in MODULE_ACCOUNTS:
        op = example.call(world)
        acting = (op[0], address, op[2])
        raw = world.signed(world.draft(example.sender, acting), example.signers())
        assert world.check(raw).code in (Code.QUORUM_NOT_MET, Code.UNKNOWN_SIGNER)


@pytest.mark.parametrize("example", FOUND, ids=name_of)
def test_what_an_example_fails_with_is_in_its_row(example: Example) -> None:
    row = row_of(example)
    for _, _, code in example.roles:
        assert code in row.codes or 100 <= code < 200
