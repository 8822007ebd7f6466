"""Sending alerts: a signed webhook and mail. What fails is tried again for a while, never kept for ever, and never in the way of the node.

A webhook gets the alert as JSON, with `X-Qenex-Signature: t=SECONDS,v1=HEX`, where HEX is HMAC-SHA256 over `SECONDS.BODY` with the shared
secret: whoever receives it checks both, and that SECONDS are not old. Mail goes by SMTP, with STARTTLS or TLS as set; certificates are
verified. No secret is logged.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import smtplib
import ssl
from collections.abc import Callable, Sequence
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final, Protocol

import httpx2
import trio

from node.config_sections import AlertsConfig
from node.keystore import read_private_file
from node.telemetry.alerts import Alert
from state.primitives.errors import ConfigError, KeyFileError, LocalError

QUEUE_MAX: Final = 1_000
TIMEOUT_S: Final = 10.0
TRY_FOR_S: Final = 600.0
RETRY_S: Final = (1.0, 2.0, 5.0, 10.0, 30.0)  # then each 60 s
SECRET_BYTES_MAX: Final = 4_096
SECRET_BYTES_MIN: Final = 16


class Sink(Protocol):
    """One way out."""

    name: str

    async def send(self, alert: Alert, node: str) -> None:
        """Raises `LocalError` if it did not arrive."""
        ...


def sign_body(secret: bytes, time_s: int, body: bytes) -> str:
    """The value of the signature header."""
    return f"t={time_s},v1={hmac.new(secret, b'%d.' % time_s + body, hashlib.sha256).hexdigest()}"


class Webhook:
    """POST of JSON."""

    name = "webhook"

    def __init__(self, url: str, secret: bytes, now_s: Callable[[], float]) -> None:
        self._url = url
        self._secret = secret
        self._now_s = now_s

    async def send(self, alert: Alert, node: str) -> None:
        """See `Sink`. Redirects are not followed: the secret was agreed with this address."""
        body = json.dumps({"node": node, **alert.to_json()}).encode()
        headers = {"Content-Type": "application/json", "X-Qenex-Signature": sign_body(self._secret, int(self._now_s()), body)}
        try:
            async with httpx2.AsyncClient(timeout=TIMEOUT_S) as client:
                answer = await client.post(self._url, content=body, headers=headers)
        except httpx2.HTTPError as error:
            raise LocalError(f"the webhook did not take the alert: {type(error).__name__}") from error
        if not 200 <= answer.status_code < 300:
            raise LocalError(f"the webhook answered {answer.status_code}")


class Mail:
    """SMTP."""

    name = "smtp"

    def __init__(self, config: AlertsConfig, password: str) -> None:
        self._config = config
        self._password = password
        host, _, port = config.smtp.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)

    async def send(self, alert: Alert, node: str) -> None:
        """See `Sink`."""
        message = EmailMessage()
        message["From"] = self._config.smtp_from
        message["To"] = ", ".join(self._config.smtp_to)
        message["Subject"] = f"[{node}] {alert.rule.severity} {alert.rule.name} {alert.state}"
        message.set_content(alert.describe() + "\n\n" + json.dumps(alert.to_json(), indent=2) + "\n")
        try:
            await trio.to_thread.run_sync(self._send, message, abandon_on_cancel=True)
        except (OSError, smtplib.SMTPException) as error:
            raise LocalError(f"the mail server did not take the alert: {type(error).__name__}") from error

    def _send(self, message: EmailMessage) -> None:
        mode = self._config.smtp_tls
        if mode == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S)
        with server:
            if mode == "starttls":
                server.starttls(context=ssl.create_default_context())
            if self._config.smtp_user:
                server.login(self._config.smtp_user, self._password)
            server.send_message(message)


def make_sinks(config: AlertsConfig, root: Path, now_s: Callable[[], float]) -> list[Sink]:
    """The ways that the settings name. Raises `ConfigError` for one that could never work."""
    sinks: list[Sink] = []
    if config.webhook_url:
        secret = _read_secret(root, config.webhook_secret_file, "webhook_secret_file")
        if len(secret) < SECRET_BYTES_MIN:
            raise ConfigError(f"the webhook's secret has fewer than {SECRET_BYTES_MIN} bytes", hint="openssl rand -hex 32 makes one")
        sinks.append(Webhook(config.webhook_url, secret, now_s))
    if config.smtp:
        if not config.smtp_from or not config.smtp_to:
            raise ConfigError("[alerts] smtp needs smtp_from and smtp_to")
        if config.smtp_user and config.smtp_tls == "none":
            raise ConfigError("[alerts] smtp_user without smtp_tls would send a password in the clear")
        password = _read_secret(root, config.smtp_password_file, "smtp_password_file").decode() if config.smtp_user else ""
        sinks.append(Mail(config, password))
    return sinks


def _read_secret(root: Path, name: str, setting: str) -> bytes:
    if not name:
        raise ConfigError(f"[alerts] {setting} is missing", hint="the name of a file with mode 0600, relative to the home")
    try:
        return read_private_file(root / name, SECRET_BYTES_MAX).strip()
    except KeyFileError as error:
        raise ConfigError(f"[alerts] {setting}: {error.message}", hint=error.hint) from error


class Notifier:
    """Takes alerts, sends them by each sink in its own time. `count` hears (sink, result) with "sent", "failed" or "dropped"."""

    def __init__(self, sinks: Sequence[Sink], node: str, count: Callable[[str, str], None], log: Any) -> None:
        self._sinks = {sink.name: sink for sink in sinks}
        self._node = node
        self._count = count
        self._log = log
        self._channels = {name: trio.open_memory_channel[Alert](QUEUE_MAX) for name in self._sinks}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._nursery: trio.Nursery | None = None  # while it runs

    def set_sinks(self, sinks: Sequence[Sink]) -> None:
        """From now on these ways. What waits for a way that stays goes by the new one; for one that is gone it is dropped and counted."""
        before, self._sinks = self._sinks, {sink.name: sink for sink in sinks}
        for name in [name for name in before if name not in self._sinks]:
            waiting = self._channels.pop(name)[1].statistics().current_buffer_used
            for _ in range(waiting):
                self._count(name, "dropped")
            scope = self._scopes.pop(name, None)
            if scope is not None:
                scope.cancel()
        for name in [name for name in self._sinks if name not in before]:
            self._channels[name] = trio.open_memory_channel[Alert](QUEUE_MAX)
            if self._nursery is not None:
                self._nursery.start_soon(self._serve, name)

    def put(self, alert: Alert) -> None:
        """Queue an alert; a queue that is full drops it and counts that."""
        for name, (send, _) in self._channels.items():
            try:
                send.send_nowait(alert)
            except trio.WouldBlock:
                self._count(name, "dropped")

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send until cancelled."""
        async with trio.open_nursery() as self._nursery:
            for name in self._sinks:
                self._nursery.start_soon(self._serve, name)
            task_status.started()
            await trio.sleep_forever()

    async def _serve(self, name: str) -> None:
        channel = self._channels.get(name)
        if channel is None:
            return  # gone again before it began
        with trio.CancelScope() as self._scopes[name]:
            async for alert in channel[1]:
                await self._deliver(name, alert)

    async def _deliver(self, name: str, alert: Alert) -> None:
        begun, tries = trio.current_time(), 0
        while True:
            sink = self._sinks.get(name)
            if sink is None:
                return  # taken away while this waited
            try:
                with trio.fail_after(3 * TIMEOUT_S):
                    await sink.send(alert, self._node)
            except (LocalError, trio.TooSlowError) as error:
                reason = error.message if isinstance(error, LocalError) else "no answer in time"
                wait = RETRY_S[tries] if tries < len(RETRY_S) else 60.0
                tries += 1
                if trio.current_time() + wait > begun + TRY_FOR_S:
                    self._count(sink.name, "failed")
                    self._log.error("alert not delivered", sink=sink.name, alert=alert.rule.name, state=alert.state, reason=reason)
                    return
                self._log.warning("alert delivery failed, trying again", sink=sink.name, alert=alert.rule.name, reason=reason)
                await trio.sleep(wait)
            else:
                self._count(sink.name, "sent")
                return
