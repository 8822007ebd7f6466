"""The calendar: everything that falls due is settled once, oldest first, in bounded work per block."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state import expiry_actions
from state.expiry_actions import Expiry, settle_due
from state.modules.calendar import schedule
from state.modules.operation import OpContext
from state.primitives.errors import OperationFailed
from state.primitives.limits import CALENDAR_MINUTES_MAX, DUE_ENTRIES_MAX
from state.receipts import Event
from state.schema import CALENDAR
from state.view import View, encode_changes

START_S = 1_800_000_000
KIND = 1


@dataclass
class Clock:
    """Blocks over a dictionary; `done` are the keys settled, in order."""

    db: dict[bytes, bytes] = field(default_factory=dict)
    now: int = START_S
    done: list[bytes] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def block(self, *entries: tuple[int, bytes]) -> list[bytes]:
        """One block that schedules (due, key) and settles; what it settled."""
        view = View(self.db)
        context = OpContext(view, 1, self.now, ())
        for due_s, key in entries:
            schedule(context, KIND, due_s, key)
        view.settle()
        before = len(self.done)
        settle_due(context, self.events)
        for key, value in encode_changes(view.changed_records()):
            if value is None:
                del self.db[key]
            else:
                self.db[key] = value
        return self.done[before:]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    row = Expiry(KIND, "note", lambda context, key: made.done.append(key), frozenset({CALENDAR}))
    monkeypatch.setattr(expiry_actions, "EXPIRIES", {KIND: row})
    return made


def test_an_entry_is_settled_within_a_minute_after_it_is_due_and_leaves_nothing(clock: Clock) -> None:
    assert clock.block((clock.now + 90, b"a")) == []
    clock.now += 90
    assert clock.block() == []
    clock.now += 60
    assert clock.block() == [b"a"]
    assert clock.db == {}


def test_oldest_first_whatever_the_order_of_scheduling(clock: Clock) -> None:
    clock.block((clock.now + 600, b"late"), (clock.now + 60, b"early"), (clock.now + 300, b"middle"))
    clock.now += 3_600
    assert clock.block() == [b"early", b"middle", b"late"]


def test_what_is_due_already_is_settled_in_the_next_minute(clock: Clock) -> None:
    clock.block((clock.now - 10_000, b"old"))
    clock.now += 60
    assert clock.block() == [b"old"] or clock.done == [b"old"]
    assert clock.db == {}


def test_a_backlog_is_settled_in_bounded_portions_that_outrun_what_is_added(clock: Clock) -> None:
    count = 2 * DUE_ENTRIES_MAX
    clock.block(*((clock.now + 60, b"%d" % i) for i in range(count)))
    clock.now += 3_600
    assert len(clock.block()) == DUE_ENTRIES_MAX
    assert len(clock.block(*((clock.now - 60, b"new%d" % i) for i in range(10)))) >= DUE_ENTRIES_MAX
    clock.now += 120
    clock.block()
    assert len(clock.done) == count + 10
    assert clock.db == {}


def test_a_chain_that_stood_still_for_a_year_catches_up(clock: Clock) -> None:
    clock.block((clock.now + 365 * 86_400, b"far"))
    clock.now += 366 * 86_400
    blocks = 0
    while not clock.done:
        clock.block()
        blocks += 1
    assert blocks <= 366 * 1_440 // CALENDAR_MINUTES_MAX + 1


def test_an_action_that_fails_is_dropped_with_an_event_and_the_rest_goes_on(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def handler(context: OpContext, key: bytes) -> None:
        if key == b"bad":
            raise OperationFailed(501, "no")
        clock.done.append(key)

    monkeypatch.setattr(
        expiry_actions, "EXPIRIES", {KIND: Expiry(KIND, "note", handler, frozenset({CALENDAR}))}
    )
    clock.block((clock.now + 60, b"bad"), (clock.now + 60, b"good"))
    clock.now += 180
    assert clock.block() == [b"good"]
    assert [event.type for event in clock.events] == ["action_dropped"]
    assert clock.db == {}


@given(st.lists(st.tuples(st.integers(0, 7_200), st.integers(0, 900)), max_size=40))
def test_every_entry_is_settled_exactly_once(plan: list[tuple[int, int]]) -> None:
    made = Clock()
    row = Expiry(KIND, "note", lambda context, key: made.done.append(key), frozenset({CALENDAR}))
    before = expiry_actions.EXPIRIES
    expiry_actions.EXPIRIES = {KIND: row}
    try:
        due = {}
        for number, (wait_s, step_s) in enumerate(plan):
            key = b"%d" % number
            due[key] = made.now + wait_s
            for settled in made.block((due[key], key)):
                assert due[settled] < made.now + 60
            made.now += step_s
        made.now += 8_000
        made.block()
        assert sorted(made.done) == sorted(due)
        assert made.db == {}
    finally:
        expiry_actions.EXPIRIES = before
