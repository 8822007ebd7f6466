"""A headless Chromium, driven over its DevTools protocol: for the screenshots and for the tests of the explorer's pages.

The browser gets a profile of its own that is removed, talks to loopback only, and ends with the block that began it. What a page logs or
breaks of its policy is kept in `complaints`.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from trio_websocket import WebSocketConnection, open_websocket_url

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
START_S_MAX = 60.0
STOP_S_MAX = 20.0
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
POLL_S = 0.05
FLAGS = (
    "--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-extensions", "--disable-sync", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--remote-debugging-port=0",
)  # fmt: skip
_COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


class Browser:
    """One page. Every wait has an end; what does not come is an error that says what was waited for."""

    def __init__(self, socket: WebSocketConnection) -> None:
        self.complaints: list[str] = []
        self._socket = socket
        self._number = 0

    async def command(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        self._number += 1
        await self._socket.send_message(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(await self._socket.get_message())
            if message.get("method") in _COMPLAINTS:
                self.complaints.append(json.dumps(message["params"])[:1_000])
            if message.get("id") == self._number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                found: dict[str, Any] = message["result"]
                return found

    async def begin(self) -> None:
        """Listen for what goes wrong in the page."""
        for domain in ("Page", "Runtime", "Log"):
            await self.command(f"{domain}.enable")

    async def look(self, width: int, height: int, theme: str) -> None:
        """The size of the window, and the colours that its user likes."""
        await self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        await self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    async def open(self, url: str) -> None:
        """Another document."""
        await self.command("Page.navigate", url=url)
        await self.wait_for("document.readyState === 'complete'")

    async def show(self, place: str) -> None:
        """A place of the explorer, loaded."""
        await self.evaluate(f"location.hash = {json.dumps(place)}")
        await self.settle()

    async def settle(self) -> None:
        """Until the page has built its view."""
        await self.wait_for("document.querySelector('h1') && document.querySelector('main').dataset.shown === location.hash")
        await self.wait_for("![...document.querySelectorAll('.live > .empty')].some((part) => part.textContent.startsWith('Loading'))")

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, awaited if it is a promise."""
        answer = await self.command("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {json.dumps(answer['exceptionDetails'])[:500]}")
        return answer["result"].get("value")

    async def wait_for(self, condition: str, seconds: float = 60.0) -> None:
        """Until an expression is true in the page."""
        with trio.move_on_after(seconds):
            while not await self.evaluate(f"Boolean({condition})"):
                await trio.sleep(POLL_S)
            return
        shown = await self.evaluate("document.body.innerText.slice(0, 600)")
        raise TimeoutError(f"not within {seconds:.0f} s: {condition}; the page says {shown}")

    async def press(self, key: str) -> None:
        """A key, down and up."""
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        code = {"Tab": 9, "Enter": 13, "Escape": 27}.get(key, ord(key[0]))
        for kind, typed in (("keyDown", text), ("keyUp", "")):
            await self.command("Input.dispatchKeyEvent", type=kind, key=key, text=typed, windowsVirtualKeyCode=code)

    async def write(self, text: str) -> None:
        """Text into what has the focus."""
        await self.command("Input.insertText", text=text)

    async def picture(self, file: Path, width: int, height_max: int) -> None:
        """A PNG of the page from its top."""
        height = min(height_max, int(await self.evaluate("document.documentElement.scrollHeight")))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        answer = await self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(answer["data"]))


@asynccontextmanager
async def open_browser(program: str) -> AsyncIterator[Browser]:
    """A browser with one empty page."""
    with tempfile.TemporaryDirectory(prefix="qenex-chromium-", ignore_cleanup_errors=True) as folder:
        # as root, which containers often are, Chromium refuses to make its sandbox; nothing but our own page is opened
        flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else []), f"--user-data-dir={folder}"]
        process = subprocess.Popen([program, *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            url = await _find_page(Path(folder) / "DevToolsActivePort", process)
            async with open_websocket_url(url, max_message_size=MESSAGE_BYTES_MAX) as socket:
                browser = Browser(socket)
                await browser.begin()
                yield browser
        finally:
            process.terminate()
            try:
                process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_S_MAX)


async def _find_page(file: Path, process: subprocess.Popen[bytes]) -> str:
    with trio.move_on_after(START_S_MAX):
        while process.poll() is None:
            lines = file.read_text().split() if file.exists() else []
            if lines:
                with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json", timeout=START_S_MAX) as answer:
                    pages = [target for target in json.load(answer) if target["type"] == "page"]
                if pages:
                    return str(pages[0]["webSocketDebuggerUrl"])
            await trio.sleep(POLL_S)
    raise RuntimeError(f"Chromium did not start: exit code {process.poll()}")
