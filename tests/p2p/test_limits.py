"""Buckets, hosts and the filter of log lines."""

from __future__ import annotations

import pytest

from p2p.limits import (
    DEFAULT_LIMITS,
    HOST_FAILURE_COST,
    HOST_HANDSHAKES_BURST,
    HOSTS_MAX,
    NOTICE_SECONDS,
    NOTICES_BURST,
    NOTICES_MAX,
    Hosts,
    Notices,
    TokenBucket,
    host_key,
)


def test_a_bucket_lets_the_rate_through_and_saves_a_burst() -> None:
    bucket = TokenBucket(10, 0.0)
    assert bucket.take(10, 0.0) == 0
    assert bucket.take(5, 0.0) == 0.5
    assert bucket.take(0, 0.5) == 0
    assert bucket.take(0, 100.0) == 0
    assert bucket.take(20, 100.0) == 1.0


def test_debt_is_forgiven_beyond_a_bound() -> None:
    bucket = TokenBucket(10, 0.0, burst=20)
    assert bucket.take(1000, 0.0, debt_max=30) == 3.0


def test_bounds_agree_with_each_other() -> None:
    limits = DEFAULT_LIMITS
    assert limits.silence_seconds_max > 3 * limits.ping_seconds
    assert limits.handshakes_per_host_max <= limits.handshakes_max
    assert limits.dial_delay_min < limits.dial_delay_max
    assert limits.probe_seconds_max < limits.handshake_seconds_max


def test_an_honest_host_may_come_often_and_a_failing_one_may_not() -> None:
    hosts = Hosts()
    assert all(hosts.admit("10.0.0.1", 0.0) for _ in range(int(HOST_HANDSHAKES_BURST)))
    failing = 0
    for hundredth in range(1000):
        if hosts.admit("10.0.0.2", hundredth / 100):
            failing += 1
            hosts.charge("10.0.0.2", HOST_FAILURE_COST, hundredth / 100)
    assert failing <= HOST_HANDSHAKES_BURST / 9 + 10 * 2 + 1  # ten seconds at about two a second after the burst
    assert hosts.admit("10.0.0.3", 10.0)
    assert hosts.admit("10.0.0.2", 12.5)  # soon forgiven


def test_hosts_are_bounded() -> None:
    hosts = Hosts()
    for number in range(HOSTS_MAX + 100):
        hosts.admit(f"host-{number}", 0.0)
    assert len(hosts._buckets) == HOSTS_MAX


@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
        ("", ""),
    ],
)
def test_what_counts_as_one_host(host: str, key: str) -> None:
    assert host_key(host) == key


def test_a_line_for_each_thing_once_a_minute() -> None:
    notices = Notices()
    assert notices.is_due("a", 1, 0.0)
    assert not notices.is_due("a", 1, NOTICE_SECONDS - 1)
    assert notices.is_due("a", 2, 1.0)
    assert notices.is_due("b", 1, 1.0)
    assert notices.is_due("a", 1, NOTICE_SECONDS + 1)
    assert notices.suppressed == 1


def test_a_flood_of_different_things_is_one_line_a_second() -> None:
    notices = Notices()
    written = sum(notices.is_due(f"host-{number}", 1, number / 100) for number in range(10_000))
    assert NOTICES_BURST + 99 <= written <= NOTICES_BURST + 101
    assert notices.suppressed == 10_000 - written


def test_notices_are_bounded() -> None:
    notices = Notices()
    for number in range(2 * NOTICES_MAX):
        notices.is_due(f"host-{number}", 1, number * 10.0)
    assert len(notices._said) == NOTICES_MAX
