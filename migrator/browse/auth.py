"""Access control: a page is shown only to a browser with the printed key, and only under the printed host name.

Every user of the machine can reach a port of the loopback interface: the key keeps them out. Any web page can make a
browser send requests to it, using a host name of its own: the check of the host name keeps it out.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "migrator-browse"
_DATASETTE = "ds_"  # the names of Datasette's own cookies begin so
# Datasette's own pages contain inline scripts and styles.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)


class Gate:
    """Wraps an ASGI application so that only requests with the key reach it.

    :param port: the port that it is served on
    :param landing: the page to show to a visitor with the key who requests no page
    """

    def __init__(self, app: App, port: int, landing: str) -> None:
        self._app = app
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._cookie = f"{COOKIE}-{port}"  # cookies are shared by all ports of a host
        self._landing = landing
        self.key = secrets.token_urlsafe(24)
        self.address = f"http://127.0.0.1:{port}/?key={self.key}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        if headers.get("host", "") not in self._hosts:
            await _answer(send, 403, "Unknown host name.")
        elif self._is_key(dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("key", "")):
            cookie = f"{self._cookie}={self.key}; HttpOnly; SameSite=Strict; Path=/"
            page = scope["raw_path"] if scope["path"] != "/" else self._landing.encode()
            await _answer(send, 303, "", ((b"location", page), (b"set-cookie", cookie.encode())))
        elif self._is_key(dict(_cookies(headers.get("cookie", ""))).get(self._cookie, "")):
            await self._app(_with_own_cookies(scope), receive, _guarded(send))
        else:
            await _answer(send, 403, "Open the address that 'migrator browse' printed; it contains the key.")

    def _is_key(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.key.encode())


def _cookies(header: str) -> Iterator[tuple[str, str]]:
    """Split the header of a request as RFC 6265 describes, whatever other programs have put into their cookies."""
    for pair in header.split(";"):
        name, _, value = pair.strip().partition("=")
        yield name, value


def _with_own_cookies(scope: Scope) -> Scope:
    """Remove the cookies of other programs on this host: Datasette fails on those that Python's parser refuses."""

    def own(header: bytes) -> bytes:
        pairs = [pair for pair in _cookies(header.decode("latin-1")) if pair[0].startswith(_DATASETTE)]
        return "; ".join(map("=".join, pairs)).encode("latin-1")

    headers = [(name, own(value) if name.lower() == b"cookie" else value) for name, value in scope["headers"]]
    return {**scope, "headers": headers}


def _guarded(send: Send) -> Send:
    """Add headers that forbid framing and caching a page, and loading scripts from elsewhere."""
    ours = {name for name, _ in _HEADERS}

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message.get("headers", ()) if name.lower() not in ours]
            message = {**message, "headers": [*kept, *_HEADERS]}
        await send(message)

    return guarded


async def _answer(send: Send, status: int, text: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> None:
    plain = (b"content-type", b"text/plain; charset=utf-8")
    await send({"type": "http.response.start", "status": status, "headers": [plain, *headers, *_HEADERS]})
    await send({"type": "http.response.body", "body": text.encode()})
