"""Alerts reach real receivers on loopback: signed, once, again after a failure, and never in the way."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from node.config_sections import AlertsConfig
from node.telemetry.alerts import Alert
from node.telemetry.delivery import QUEUE_MAX, Notifier, Sink, make_sinks
from node.telemetry.rules import DEFAULT_RULES
from state.primitives.errors import ConfigError, LocalError
from tests.node.telemetry.receivers import SECRET, HookServer, MailServer, serving

ALERT = Alert(DEFAULT_RULES[0], "firing", 42.0, 1_000.0, 1_030.0)


class Log:
    """What the operator would read."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def warning(self, text: str, **values: Any) -> None:
        self.lines.append((text, values))

    error = warning


@pytest.fixture
def hook() -> Iterator[HookServer]:
    server = HookServer()
    with serving(server):
        yield server


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    with serving(server):
        yield server


def secret(root: Path, name: str = "secret", data: bytes = SECRET) -> str:
    (root / name).write_bytes(data + b"\n")
    (root / name).chmod(0o600)
    return name


async def deliver(sinks: list[Sink], alerts: int, counts: Counter[tuple[str, str]], log: Log) -> None:
    notifier = Notifier(sinks, "node0", lambda sink, result: counts.update([(sink, result)]), log)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(notifier.run)
            for _ in range(alerts):
                notifier.put(ALERT)
            while sum(counts.values()) < alerts * len(sinks):
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()


async def test_a_webhook_is_signed_and_tried_again(tmp_path: Path, hook: HookServer) -> None:
    hook.answers = [500, 302]  # a redirect is not followed: the secret was agreed with this address
    sinks = make_sinks(AlertsConfig(webhook_url=hook.url, webhook_secret_file=secret(tmp_path)), tmp_path, time.time)
    counts: Counter[tuple[str, str]] = Counter()
    log = Log()
    await deliver(sinks, 1, counts, log)
    assert hook.alerts == [{"node": "node0", **ALERT.to_json()}]
    assert hook.bad_signatures == 0 and hook.requests == 3
    assert counts == {("webhook", "sent"): 1}
    assert [values["reason"] for _, values in log.lines] == ["the webhook answered 500", "the webhook answered 302"]
    assert SECRET.decode() not in str(log.lines)


async def test_a_wrong_secret_is_found_out(tmp_path: Path, hook: HookServer) -> None:
    name = secret(tmp_path, data=b"another secret that is long enough")
    (sink,) = make_sinks(AlertsConfig(webhook_url=hook.url, webhook_secret_file=name), tmp_path, time.time)
    with pytest.raises(LocalError, match="answered 403"):
        await sink.send(ALERT, "node0")
    assert hook.bad_signatures == 1


async def test_mail_arrives_also_after_a_refusal(tmp_path: Path, mail: MailServer) -> None:
    mail.refuses = 1
    config = AlertsConfig(smtp=mail.address, smtp_tls="none", smtp_from="node@bank.example", smtp_to=("ops@bank.example", "b@c.example"))
    counts: Counter[tuple[str, str]] = Counter()
    await deliver(make_sinks(config, tmp_path, time.time), 1, counts, Log())
    ((sender, recipients, text),) = mail.messages
    assert sender == "<node@bank.example>"
    assert recipients == ["<ops@bank.example>", "<b@c.example>"]
    assert "Subject: [node0] critical ChainStopped firing" in text
    assert "qenex_tip_overdue_seconds is 42, above 30" in text


async def test_nobody_listens(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Given up after ten minutes, said so, and the next one is tried."""

    class Dead:
        name = "webhook"
        tries = 0

        async def send(self, alert: Alert, node: str) -> None:
            self.tries += 1
            raise LocalError("nobody listens")

    sink, counts, log = Dead(), Counter[tuple[str, str]](), Log()
    notifier = Notifier([sink], "node0", lambda name, result: counts.update([(name, result)]), log)
    async with trio.open_nursery() as nursery:
        await nursery.start(notifier.run)
        notifier.put(ALERT)
        notifier.put(ALERT)
        await trio.sleep(2_000)
        nursery.cancel_scope.cancel()
    assert counts == {("webhook", "failed"): 2}
    assert sink.tries > 20
    assert [text for text, _ in log.lines].count("alert not delivered") == 2


def test_a_full_queue_drops_and_counts() -> None:
    class Quiet:
        name = "smtp"

        async def send(self, alert: Alert, node: str) -> None:
            raise AssertionError

    counts = Counter[tuple[str, str]]()
    notifier = Notifier([Quiet()], "node0", lambda name, result: counts.update([(name, result)]), Log())
    for _ in range(QUEUE_MAX + 3):
        notifier.put(ALERT)
    assert counts == {("smtp", "dropped"): 3}


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"webhook_url": "http://127.0.0.1:1/"}, "webhook_secret_file is missing"),
        ({"webhook_url": "http://127.0.0.1:1/", "webhook_secret_file": "none"}, "webhook_secret_file: "),
        ({"webhook_url": "http://127.0.0.1:1/", "webhook_secret_file": "open"}, "webhook_secret_file: "),
        ({"webhook_url": "http://127.0.0.1:1/", "webhook_secret_file": "short"}, "fewer than 16 bytes"),
        ({"smtp": "127.0.0.1:1"}, "needs smtp_from and smtp_to"),
        (
            {"smtp": "127.0.0.1:1", "smtp_from": "a@b", "smtp_to": ("c@d",), "smtp_user": "u", "smtp_tls": "none"},
            "password in the clear",
        ),
        ({"smtp": "127.0.0.1:1", "smtp_from": "a@b", "smtp_to": ("c@d",), "smtp_user": "u"}, "smtp_password_file is missing"),
    ],
)
def test_settings_that_could_never_work(tmp_path: Path, settings: dict[str, Any], reason: str) -> None:
    secret(tmp_path, "short", b"short")
    secret(tmp_path, "open")
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(ConfigError, match=reason):
        make_sinks(AlertsConfig(**settings), tmp_path, time.time)


def test_an_alert_as_json_can_be_read_back() -> None:
    assert json.loads(json.dumps(ALERT.to_json()))["value"] == 42.0


async def test_ways_that_change_while_it_runs(tmp_path: Path, hook: HookServer, mail: MailServer) -> None:
    """What waits goes by the new way; a way that is gone is left, one that is new is used."""
    counts: Counter[tuple[str, str]] = Counter()
    name = secret(tmp_path)
    nowhere = make_sinks(AlertsConfig(webhook_url="http://127.0.0.1:1/", webhook_secret_file=name), tmp_path, time.time)
    by_hook = make_sinks(AlertsConfig(webhook_url=hook.url, webhook_secret_file=name), tmp_path, time.time)
    config = AlertsConfig(smtp=mail.address, smtp_tls="none", smtp_from="node@bank.example", smtp_to=("desk@bank.example",))
    log = Log()
    notifier = Notifier(nowhere, "node0", lambda sink, result: counts.update([(sink, result)]), log)
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            await nursery.start(notifier.run)
            notifier.put(ALERT)
            while not log.lines:  # it was tried once, in vain
                await trio.sleep(0.01)
            notifier.set_sinks([*by_hook, *make_sinks(config, tmp_path, time.time)])
            notifier.put(ALERT)
            while counts["webhook", "sent"] < 2 or counts["smtp", "sent"] < 1:
                await trio.sleep(0.01)
            notifier.set_sinks([])
            notifier.put(ALERT)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
    assert counts == {("webhook", "sent"): 2, ("smtp", "sent"): 1}


async def test_what_waits_for_a_way_that_is_gone_is_counted(tmp_path: Path) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    sinks = make_sinks(AlertsConfig(webhook_url="http://127.0.0.1:1/", webhook_secret_file=secret(tmp_path)), tmp_path, time.time)
    notifier = Notifier(sinks, "node0", lambda sink, result: counts.update([(sink, result)]), Log())
    for _ in range(3):
        notifier.put(ALERT)
    notifier.set_sinks([])
    assert counts == {("webhook", "dropped"): 3}
