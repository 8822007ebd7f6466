"""The plan of catching up: windows, bounds, liars, and one honest peer being enough."""

from __future__ import annotations

import random

import pytest

from node.sync.scheduler import (
    DISGRACE_NS,
    NEAR_GRACE_NS,
    OVERDUE_NS,
    REQUEST_TIMEOUT_NS,
    SLOW_DISGRACE_NS,
    Complaint,
    Fault,
    Request,
    Scheduler,
)
from state.primitives.limits import (
    CERTIFIED_BLOCK_BYTES_MAX,
    SYNC_BUFFER_BYTES_MAX,
    SYNC_PEER_REQUESTS_MAX,
    SYNC_WINDOW_BLOCKS_MAX,
)

MIB = 1 << 20


def serve(plan: Scheduler[int], requests: list[Request], now_ns: int, size: int = 100) -> None:
    for request in requests:
        assert plan.block(request.peer, request.height, request.height, size, now_ns) == []


def apply_all(plan: Scheduler[int]) -> int:
    count = 0
    while (taken := plan.take()) is not None:
        plan.applied(taken[0])
        count += 1
    return count


def test_parallel_window_in_order() -> None:
    plan = Scheduler[int](10)
    for name in ("a", "b", "c"):
        assert plan.set_peer(name, 1, 1000, 0) == []
    first = plan.requests(0)
    assert [request.height for request in first] == list(range(11, 11 + 3 * SYNC_PEER_REQUESTS_MAX))
    assert plan.requests(0) == []
    for name in ("a", "b", "c"):
        assert sum(request.peer == name for request in first) == SYNC_PEER_REQUESTS_MAX
    serve(plan, first[1:], 0)
    assert plan.take() is None  # the next height is still on its way
    serve(plan, first[:1], 0)
    assert plan.take() == (11, first[0].peer, 11)
    assert plan.take() is None  # one at a time
    plan.applied(11)
    assert apply_all(plan) == len(first) - 1
    assert plan.height == 10 + len(first)
    assert plan.statistics()["received_bytes"] == 0


def test_window_is_bounded_in_blocks_and_bytes() -> None:
    plan = Scheduler[int](0)
    for number in range(20):
        plan.set_peer(f"p{number}", 1, 10_000, 0)
    requests = plan.requests(0)
    assert len(requests) == SYNC_WINDOW_BLOCKS_MAX
    serve(plan, requests[1:5], 0, SYNC_BUFFER_BYTES_MAX // 4)
    for request in requests[5:]:
        plan.not_sent(request)
    assert plan.requests(0) == []
    plan.not_sent(requests[0])
    assert [request.height for request in plan.requests(0)] == [1]


def test_two_ahead_is_behind_at_once_one_ahead_only_if_it_lasts() -> None:
    plan = Scheduler[int](5)
    assert plan.requests(0) == []
    plan.set_peer("a", 1, 6, 0)
    assert plan.requests(0) == []
    assert plan.requests(NEAR_GRACE_NS - 1) == []
    assert not plan.is_catching_up(0)
    assert [request.height for request in plan.requests(NEAR_GRACE_NS)] == [6]
    plan.applied(6)
    plan.set_peer("a", 1, 7, NEAR_GRACE_NS)
    assert plan.requests(NEAR_GRACE_NS) == []
    plan.set_peer("a", 1, 8, NEAR_GRACE_NS)
    assert plan.is_catching_up(NEAR_GRACE_NS)
    assert [request.height for request in plan.requests(NEAR_GRACE_NS)] == [7, 8]


@pytest.mark.parametrize("lie", ["lowered", "inflated-silent", "inflated-refused", "invalid", "unsolicited"])
def test_one_liar_and_one_honest_peer(lie: str) -> None:
    plan = Scheduler[int](0)
    now = 0
    plan.set_peer("honest", 1, 50, now)
    plan.set_peer("liar", 1, 50 if lie in ("lowered", "invalid") else 5000, now)
    complaints: list[Complaint] = []
    if lie == "lowered":
        complaints += plan.set_peer("liar", 1, 49, now)
    if lie == "unsolicited":
        complaints += plan.block("liar", 4000, 4000, 10, now)
    for _ in range(200):
        for request in plan.requests(now):
            if request.peer == "honest":
                complaints += plan.block("honest", request.height, request.height, 10, now)
            elif lie == "inflated-refused":
                complaints += plan.missing("liar", request.height, now)
            elif lie == "invalid":
                complaints += plan.block("liar", request.height, -1, 10, now)
        while (taken := plan.take()) is not None:
            if taken[2] == taken[0]:
                plan.applied(taken[0])
            else:
                complaints += plan.invalid(taken[0], now)
        now += REQUEST_TIMEOUT_NS // 20
        complaints += plan.expire(now)
        if plan.height == 50 and complaints:
            break
    assert plan.height == 50
    fault = {
        "lowered": Fault.HEIGHT_LOWERED,
        "inflated-silent": Fault.TIMED_OUT,
        "inflated-refused": Fault.NOT_SERVED,
        "invalid": Fault.INVALID,
        "unsolicited": Fault.UNSOLICITED,
    }[lie]
    assert set(complaints) == {Complaint("liar", fault)}
    assert now <= 2 * REQUEST_TIMEOUT_NS
    assert not plan.is_catching_up(now)  # a claim nobody stands behind is no claim
    assert plan.best_height(now) == 50


def test_a_peer_that_leaves_or_raises_its_base_loses_nothing() -> None:
    plan = Scheduler[int](0)
    plan.set_peer("a", 1, 4, 0)
    assert len(plan.requests(0)) == 4
    plan.set_peer("b", 3, 4, 0)
    plan.remove_peer("a")
    assert [(request.peer, request.height) for request in plan.requests(0)] == [("b", 3), ("b", 4)]
    plan.set_peer("b", 4, 4, 0)
    assert plan.missing("b", 3, 0) == []  # pruned, and it said so
    assert plan.set_peer("b", 6, 4, 0) == [Complaint("b", Fault.BASE_RAISED)]
    plan.set_peer("c", 1, 4, 0)
    serve(plan, plan.requests(0), 0)
    assert apply_all(plan) == 4


def test_invalid_block_of_a_peer_that_left() -> None:
    plan = Scheduler[int](0)
    plan.set_peer("a", 1, 3, 0)
    serve(plan, plan.requests(0), 0)
    plan.remove_peer("a")
    assert plan.take() == (1, "a", 1)
    assert plan.invalid(1, 0) == [Complaint("a", Fault.INVALID)]
    assert plan.take() is None
    assert plan.statistics()["received_blocks"] == 0


def test_overdue_is_asked_of_another_while_the_first_may_still_answer() -> None:
    plan = Scheduler[int](0)
    plan.set_peer("slow", 1, 3, 0)
    assert len(plan.requests(0)) == 3
    plan.set_peer("quick", 1, 9, 0)
    assert [request.height for request in plan.requests(0)] == [4, 5, 6, 7, 8, 9]
    serve(plan, [Request("quick", height) for height in range(4, 10)], 0)
    assert plan.requests(OVERDUE_NS - 1) == []
    again = plan.requests(OVERDUE_NS)
    assert again == [Request("quick", 1), Request("quick", 2), Request("quick", 3)]
    assert plan.block("slow", 1, 1, 10, OVERDUE_NS) == []
    serve(plan, again, OVERDUE_NS)
    assert apply_all(plan) == 9


def test_slowness_costs_a_second_then_two_and_is_forgotten_when_it_serves() -> None:
    plan = Scheduler[int](0)
    plan.set_peer("a", 1, 30, 0)
    now = 0
    assert len(plan.requests(now)) == SYNC_PEER_REQUESTS_MAX
    for late in range(4):
        assert plan.expire(now + REQUEST_TIMEOUT_NS - 1) == []
        now += REQUEST_TIMEOUT_NS
        assert plan.expire(now) == [Complaint("a", Fault.TIMED_OUT)]
        assert plan.expire(now) == []
        assert not plan.is_catching_up(now)
        assert plan.requests(now + (SLOW_DISGRACE_NS << late) - 1) == []
        now += SLOW_DISGRACE_NS << late
        assert len(plan.requests(now)) == 1  # a probe
    assert plan.block("a", 1, 1, 10, now) == []
    assert plan.is_catching_up(now)
    assert len(plan.requests(now)) == 2
    assert plan.block("a", 2, 2, 10, now) == []
    assert plan.block("a", 20, 20, 10, now) == [Complaint("a", Fault.UNSOLICITED)]  # this one nobody asked for
    assert plan.requests(now + DISGRACE_NS - 1) == []
    assert len(plan.requests(now + DISGRACE_NS)) == 4


def test_decided_by_consensus_meanwhile() -> None:
    plan = Scheduler[int](0)
    plan.set_peer("a", 1, 5, 0)
    serve(plan, plan.requests(0), 0)
    assert plan.take() is not None
    plan.applied(3)
    plan.applied(2)
    assert plan.take() == (4, "a", 4)


def test_random_peers_always_finish() -> None:
    """5 malicious : 1 honest, behaviours drawn per answer."""
    for seed in range(200):
        rng = random.Random(seed)
        plan = Scheduler[int](0)
        now = 0
        plan.set_peer("honest", 1, 120, now)
        for number in range(5):
            plan.set_peer(f"liar{number}", rng.randint(1, 100), rng.randint(100, 10**6), now)
        for _ in range(2000):
            for request in plan.requests(now):
                if request.peer == "honest":
                    assert plan.block("honest", request.height, request.height, 10, now) == []
                    continue
                deed = rng.randrange(6)
                if deed == 0:
                    plan.block(request.peer, request.height, -1, 10, now)
                elif deed == 1:
                    plan.missing(request.peer, request.height, now)
                elif deed == 2:
                    plan.remove_peer(request.peer)
                elif deed == 3:
                    plan.set_peer(request.peer, 1, rng.randint(0, 10**6), now)
                elif deed == 4:
                    plan.block(request.peer, rng.randint(0, 200), -1, 10**9, now)
            while (taken := plan.take()) is not None:
                if taken[2] == taken[0]:
                    plan.applied(taken[0])
                else:
                    plan.invalid(taken[0], now)
            assert plan.statistics()["received_blocks"] <= SYNC_WINDOW_BLOCKS_MAX
            now += REQUEST_TIMEOUT_NS // 4
            assert Complaint("honest", Fault.TIMED_OUT) not in plan.expire(now)
            if plan.height >= 120:
                break
        assert plan.height >= 120, seed


def test_what_was_not_asked_of_a_peer_is_not_kept_and_costs_it() -> None:
    """Once late, a peer could have any block of any height kept for ever."""
    plan = Scheduler[int](0)
    plan.set_peer("liar", 1, 1000, 0)
    now = 0
    for number in range(20):
        plan.requests(now)
        now += REQUEST_TIMEOUT_NS
        assert plan.expire(now) == [Complaint("liar", Fault.TIMED_OUT)]
        for height in (10**9 + number, SYNC_WINDOW_BLOCKS_MAX, 500):
            assert plan.block("liar", height, -1, 10 * MIB, now) == [Complaint("liar", Fault.UNSOLICITED)]
        now += DISGRACE_NS
    assert plan.block("stranger", 1, -1, 10 * MIB, now) == [Complaint("stranger", Fault.UNSOLICITED)]
    assert plan.statistics()["received_bytes"] == 0
    plan.set_peer("honest", 1, 1000, now)
    assert sum(request.peer == "honest" for request in plan.requests(now)) == SYNC_PEER_REQUESTS_MAX


def test_each_question_is_good_for_one_answer_however_late() -> None:
    plan = Scheduler[int](0)
    plan.set_peer("a", 1, 2, 0)
    assert plan.requests(0) == [Request("a", 1), Request("a", 2)]
    assert plan.requests(OVERDUE_NS) == [Request("a", 1)]  # there is nobody else
    assert plan.block("a", 1, 1, 10, OVERDUE_NS) == []
    assert plan.block("a", 1, 1, 10, OVERDUE_NS) == []  # the second answer to the second question
    assert plan.expire(REQUEST_TIMEOUT_NS) == [Complaint("a", Fault.TIMED_OUT)]
    assert plan.block("a", 2, 2, 10, REQUEST_TIMEOUT_NS) == []
    assert apply_all(plan) == 2
    assert plan.block("a", 2, 2, 10, REQUEST_TIMEOUT_NS) == [Complaint("a", Fault.UNSOLICITED)]


def test_late_answers_that_nobody_needs_show_nothing() -> None:
    """A peer that always answers a little too late is out for longer and longer, as one that says nothing."""
    plan = Scheduler[int](0)
    now = 0
    plan.set_peer("late", 1, 10_000, now)
    plan.set_peer("honest", 1, 10_000, now)
    asked = 0
    for _ in range(100):
        requests = plan.requests(now)
        asked += sum(request.peer == "late" for request in requests)
        late = [request for request in requests if request.peer == "late"]
        serve(plan, [request for request in requests if request.peer == "honest"], now)
        now += OVERDUE_NS
        serve(plan, [request for request in plan.requests(now) if request.peer == "honest"], now)
        apply_all(plan)
        now += REQUEST_TIMEOUT_NS
        plan.expire(now)
        serve(plan, late, now)
    assert plan.height > 1_000
    assert asked < 40
    assert plan.statistics()["received_bytes"] == 0


def test_what_is_held_and_expected_stays_within_the_bound() -> None:
    """Sixteen peers, some of which send the largest blocks there are: questions are held back before there is no room for answers."""
    for seed in range(6):
        rng = random.Random(seed)
        plan = Scheduler[int](0)
        now = 0
        for number in range(16):
            plan.set_peer(f"p{number}", 1, 400, now)
        most = 0
        open_requests: list[Request] = []
        for _ in range(3_000):
            open_requests += plan.requests(now)
            rng.shuffle(open_requests)
            for _ in range(rng.randint(0, 6)):
                if open_requests:
                    request = open_requests.pop()
                    size = CERTIFIED_BLOCK_BYTES_MAX if 100 < request.height < 200 else 1_000
                    assert plan.block(request.peer, request.height, request.height, size, now) == []
                    most = max(most, plan.statistics()["received_bytes"])
            held = plan.statistics()
            if 110 < plan.height < 130:
                assert held["open_requests"] <= SYNC_BUFFER_BYTES_MAX // CERTIFIED_BLOCK_BYTES_MAX
            apply_all(plan)
            now += OVERDUE_NS // 10
            if plan.height == 400:
                break
        assert plan.height == 400
        assert most <= SYNC_BUFFER_BYTES_MAX + CERTIFIED_BLOCK_BYTES_MAX
