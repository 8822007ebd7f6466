"""Anchors of audit logs: the operation, its records by path and in JSON, and breaches that the invariants must see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from state.audit import audit_state
from state.codes import Code
from state.invariants import check_operation
from state.invariants_audit import audit_anchors, check_anchors
from state.modules.operation import OpContext
from state.modules.table import BY_NAME
from state.paths import resolve_path
from state.primitives.errors import MalformedError, TransactionError
from state.primitives.ids import format_address
from state.primitives.limits import ANCHORED_LOGS_MAX
from state.queries import describe_record
from state.queries_audit import get_anchored_logs, get_anchors
from state.schema import decode_record, encode_record
from state.schema_audit import Anchor, AnchoredLog, anchor_key, anchored_log_key, anchors_key
from state.transaction import Call, call
from state.view import View
from tests.state import ledger_world
from tests.state.ledger_world import ADDRESS

ALICE = ADDRESS["alice"]


class World(ledger_world.World):
    """With ways to look at records."""

    def read(self, key: bytes) -> Any:
        return decode_record(key, self.db[key])

    def view(self) -> View:
        return View(self.db)

    def records(self) -> Any:
        return [(key, decode_record(key, raw)) for key, raw in self.db.items()]


def head(number: int) -> bytes:
    return bytes([number]) * 32


def anchored(world: World, who: str, log: str, entries: int) -> int:
    return world.do(who, call("audit.anchor", log=log, entries=entries, head=head(entries % 256))).code


@pytest.fixture
def world() -> World:
    made = World()
    assert anchored(made, "alice", "node", 5) == Code.OK
    return made


def test_every_anchor_stays_and_can_be_found(world: World) -> None:
    assert anchored(world, "alice", "node", 9) == Code.OK
    assert anchored(world, "alice", "a/b %", 1) == Code.OK
    assert anchored(world, "bob", "node", 2) == Code.OK
    assert world.read(anchors_key(ALICE)) == ("node", "a/b %")
    assert world.read(anchored_log_key(ALICE, "node")) == (2, 9)
    first = world.read(anchor_key(ALICE, "node", 0))
    assert (first.entries, first.head) == (5, head(5))
    assert first.height < world.read(anchor_key(ALICE, "node", 1)).height
    logs = get_anchored_logs(world.db, ALICE)
    assert [(row["log"], row["anchors"], row["entries"]) for row in logs] == [("node", "2", "9"), ("a/b %", "1", "1")]
    rows = get_anchors(world.db, ALICE, "node", 0, 10)
    assert [(row["number"], row["entries"], row["head"]) for row in rows] == [("0", "5", head(5).hex()), ("1", "9", head(9).hex())]
    assert get_anchors(world.db, ALICE, "node", 1, 10) == rows[1:]
    assert get_anchors(world.db, ALICE, "other", 0, 10) == []
    for row in (*rows, *get_anchors(world.db, ALICE, "a/b %", 0, 1)):  # the path names the record, whatever the log is called
        key = resolve_path(str(row["path"]))
        shown = describe_record(key, encode_record(key, world.read(key)))
        assert {name: value for name, value in row.items() if name != "path"}.items() <= shown.items()


@pytest.mark.parametrize("entries", [5, 4, 1, 0])
def test_a_log_must_have_grown(world: World, entries: int) -> None:
    assert anchored(world, "alice", "node", entries) == Code.ASSERT_FAILED
    assert world.read(anchored_log_key(ALICE, "node")) == (1, 5)


def test_a_new_log_has_an_entry(world: World) -> None:
    assert anchored(world, "alice", "other", 0) == Code.ASSERT_FAILED
    assert world.read(anchors_key(ALICE)) == ("node",)


def test_an_account_has_only_so_many_logs(world: World) -> None:
    for number in range(1, ANCHORED_LOGS_MAX):
        assert anchored(world, "alice", f"log {number}", 1) == Code.OK
    assert anchored(world, "alice", "one more", 1) == Code.ASSERT_FAILED
    assert anchored(world, "alice", "node", 6) == Code.OK


@pytest.mark.parametrize("log", ["", " node", "node ", "n" * 65, "n\x00", "n\n", "é"])
def test_names_that_are_refused(log: str) -> None:
    raw = call("audit.anchor", log=log, entries=1, head=bytes(32))
    with pytest.raises(TransactionError):
        World().do("alice", raw)


@pytest.mark.parametrize("wrong", [{"entries": -1}, {"entries": 1 << 63}, {"head": bytes(31)}, {"head": bytes(33)}])
def test_fields_that_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(TransactionError):
        World().do("alice", call("audit.anchor", **{"log": "node", "entries": 1, "head": bytes(32), **wrong}))


@pytest.mark.parametrize("path", ["/anchor/x/node/0", "/anchor/{0}/node/x", "/anchor/{0}/%00/0", "/anchors/{0}/%20", "/anchor/{0}/node/-1"])
def test_paths_that_name_nothing(path: str) -> None:
    with pytest.raises(MalformedError):
        resolve_path(path.format(format_address(ALICE)))


BREACHES = {
    "foreign": [(anchored_log_key(ADDRESS["bob"], "node"), AnchoredLog(1, 1))],
    "gone": [(anchor_key(ALICE, "node", 0), None)],
    "changed": [(anchor_key(ALICE, "node", 0), Anchor(5, bytes(32), 1, 1))],
    "not grown": [(anchored_log_key(ALICE, "node"), AnchoredLog(2, 5))],
    "two at once": [(anchored_log_key(ALICE, "node"), AnchoredLog(3, 9))],
    "without its anchor": [(anchored_log_key(ALICE, "node"), AnchoredLog(2, 9))],
    "without its name": [
        (anchored_log_key(ALICE, "new"), AnchoredLog(1, 9)), (anchor_key(ALICE, "new", 0), Anchor(9, bytes(32), 1, 1))
    ],
    "a name without a log": [(anchors_key(ALICE), ("node", "new"))],
    "another list": [(anchors_key(ALICE), ("other",))],
    "not the last": [(anchor_key(ALICE, "node", 7), Anchor(9, bytes(32), 1, 1))],
}


@pytest.mark.parametrize("name", BREACHES)
def test_breaches_are_seen(world: World, name: str) -> None:
    view = world.view()
    mark = len(view.undo)
    for key, record in BREACHES[name]:
        view.put(key, record)
    row = BY_NAME["audit.anchor"]
    problem = check_operation(view, mark, Call(row, ALICE, ("node", 9, bytes(32))))
    assert problem.startswith("I32"), problem
    first = dict(reversed(view.undo[mark:]))
    assert check_anchors(view, first, None).startswith("I32")


def test_a_foreign_operation_may_not_write_anchors(world: World) -> None:
    view = world.view()
    mark = len(view.undo)
    view.put(anchors_key(ALICE), ("node", "x"))
    row = replace(BY_NAME["asset.transfer"], moves_value=False)
    assert check_operation(view, mark, Call(row, ALICE, ("QNX", ADDRESS["bob"], 1, ""))).startswith("I2")


def test_the_audit_of_a_whole_state(world: World) -> None:
    assert anchored(world, "alice", "node", 9) == Code.OK
    keys = (anchors_key(ALICE), anchored_log_key(ALICE, "node"), anchor_key(ALICE, "node", 0), anchor_key(ALICE, "node", 1))
    records = {key: world.read(key) for key in keys}
    assert audit_anchors(records.items()) == ()
    assert audit_state(world.records()).problems == ()
    last = records[anchor_key(ALICE, "node", 1)]
    for change in (
        {anchors_key(ALICE): ()},
        {anchors_key(ALICE): None},
        {anchored_log_key(ALICE, "node"): AnchoredLog(3, 9)},
        {anchored_log_key(ALICE, "node"): AnchoredLog(2, 8)},
        {anchored_log_key(ALICE, "node"): None},
        {anchor_key(ALICE, "node", 0): None},
        {anchor_key(ALICE, "node", 1): None},
        {anchor_key(ALICE, "node", 1): last._replace(entries=5)},
        {anchor_key(ALICE, "node", 1): last._replace(height=0)},
    ):
        changed = {key: record for key, record in {**records, **change}.items() if record is not None}
        assert audit_anchors(changed.items()), change


def test_context_has_what_the_record_says(world: World) -> None:
    view = world.view()
    context = OpContext(view, 77, 123, ())
    BY_NAME["audit.anchor"].handler(context, ALICE, ("node", 8, head(8)))
    assert view.get(anchor_key(ALICE, "node", 1)) == Anchor(8, head(8), 77, 123)
    assert context.events[0].kind.name == "audit_anchored"
