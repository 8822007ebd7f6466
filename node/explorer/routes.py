"""The explorer's files as routes of the RPC server: what a browser gets at `/`, and everything that page loads.

The files are read once and served from memory, so no path of a request ever reaches the disk. Everything but the page lies below a prefix
made of the hash of all files: it may be cached for ever, and an old page never meets new modules. No method of the RPC is known here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

STATIC_DIR: Final = Path(__file__).parent / "static"
PAGE: Final = "index.html"
PREFIX_MARK: Final = b"{static}"  # where the page names the folder of its files
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_VERSION_DIGITS: Final = 16
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(:[0-9]{1,5})?\Z", re.ASCII)

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Asset:
    """One file, as it is sent."""

    body: bytes
    media_type: str
    etag: str


@cache
def load_assets() -> tuple[str, Mapping[str, Asset]]:
    """(version, files by their path below `static/`); the page names the version. Hidden files are nobody's business."""
    found: dict[str, bytes] = {}
    for path in sorted(STATIC_DIR.rglob("*")):
        name = path.relative_to(STATIC_DIR).as_posix()
        if path.is_file() and path.suffix in MEDIA_TYPES and not any(part.startswith(".") for part in name.split("/")):
            found[name] = path.read_bytes()
    digest = hashlib.sha256()
    for name, body in found.items():
        digest.update(len(name).to_bytes(4, "big") + name.encode() + hashlib.sha256(body).digest())
    version = digest.hexdigest()[:_VERSION_DIGITS]
    found[PAGE] = found[PAGE].replace(PREFIX_MARK, f"static/{version}".encode("ascii"))
    return version, {name: _to_asset(name, body) for name, body in found.items()}


def _to_asset(name: str, body: bytes) -> Asset:
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    return Asset(body, MEDIA_TYPES[Path(name).suffix], etag)


def security_headers(host: str) -> dict[str, str]:
    """What every answer of the explorer says to the browser.

    Older browsers do not count a WebSocket of the same host as 'self', so it is named when `host` (of the request) is a plain one.
    """
    sockets = f" ws://{host} wss://{host}" if _HOST.match(host) else ""
    return {
        "Content-Security-Policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
            f"connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    }


def wants_page(accept: str) -> bool:
    """Whether a request for `/` comes from a browser: only browsers name text/html."""
    return any(part.split(";")[0].strip().lower() == "text/html" for part in accept.split(","))


def _answer(request: Request, asset: Asset, cache_control: str) -> Response:
    headers = security_headers(request.headers.get("host", ""))
    headers |= {"ETag": asset.etag, "Cache-Control": cache_control, "Vary": "Accept"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if asset.etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)


def explorer_routes(index: Handler, is_on: bool) -> list[Route]:
    """Routes of `/` for GET, `/methods` and the page's files. `index` answers who is no browser; with `is_on` false, everybody."""
    if not is_on:
        return [Route("/", index, methods=["GET"]), Route("/methods", index, methods=["GET"])]
    version, assets = load_assets()

    async def page(request: Request) -> Response:
        if wants_page(request.headers.get("accept", "")):
            return _answer(request, assets[PAGE], "no-cache")
        answer = await index(request)
        answer.headers["Vary"] = "Accept"
        return answer

    async def file(request: Request) -> Response:
        asset = assets.get(request.path_params["name"]) if request.path_params["version"] == version else None
        if asset is None or asset is assets[PAGE]:
            headers = security_headers(request.headers.get("host", "")) | {"Cache-Control": "no-store"}
            return PlainTextResponse("there is no such file\n", status_code=404, headers=headers)
        return _answer(request, asset, "public, max-age=31536000, immutable")

    return [
        Route("/", page, methods=["GET"]),
        Route("/methods", index, methods=["GET"]),
        Route("/static/{version}/{name:path}", file, methods=["GET"]),
    ]
