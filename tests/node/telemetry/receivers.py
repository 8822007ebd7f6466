"""Receivers for alerts on loopback: a mail server that speaks enough SMTP, and a web server that checks signatures as a receiver must."""

from __future__ import annotations

import hashlib
import hmac
import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = b"a secret that both sides know 123"


class MailServer(socketserver.ThreadingTCPServer):
    """Takes every message, except while `refuses`."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Smtp)
        self.messages: list[tuple[str, list[str], str]] = []
        self.refuses = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Smtp(socketserver.StreamRequestHandler):
    server: MailServer

    def say(self, text: str) -> None:
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self) -> None:
        sender, recipients = "", []
        self.say("220 here")
        for raw in self.rfile:
            line = raw.decode().strip()
            word = line.split(" ")[0].split(":")[0].upper()
            if word == "EHLO":
                self.say("250 hello")
            elif line.upper().startswith("MAIL FROM"):
                if self.server.refuses:
                    self.server.refuses -= 1
                    self.say("451 later")
                    continue
                sender = line[10:].split(" ")[0]
                self.say("250 ok")
            elif line.upper().startswith("RCPT TO"):
                recipients.append(line[8:])
                self.say("250 ok")
            elif word == "DATA":
                self.say("354 go on")
                lines = []
                for part in self.rfile:
                    if part == b".\r\n":
                        break
                    lines.append(part.decode().rstrip("\r\n"))
                self.server.messages.append((sender, recipients, "\n".join(lines)))
                self.say("250 taken")
            elif word == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


class HookServer(ThreadingHTTPServer):
    """Keeps what arrives with a good signature; answers `answers` in order, then 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Hook)
        self.alerts: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.bad_signatures = 0
        self.requests = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/alerts"


class _Hook(BaseHTTPRequestHandler):
    server: HookServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fields = dict(part.split("=", 1) for part in self.headers["X-Qenex-Signature"].split(","))
        expected = hmac.new(SECRET, fields["t"].encode() + b"." + body, hashlib.sha256).hexdigest()
        self.server.requests += 1
        status = self.server.answers.pop(0) if self.server.answers else 200
        if not hmac.compare_digest(expected, fields["v1"]):
            self.server.bad_signatures += 1
            status = 403
        if status == 200:
            self.server.alerts.append(json.loads(body))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    """Serve in a thread for the length of the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
