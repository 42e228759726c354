"""Who may see the pages: whoever has the key that was printed, under the name that it was printed with.

Everybody on the machine can reach a port of the loopback interface, and any page of the web can make a browser ask it
something, under a name of its own. The key keeps out the first, the name the second.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "migrator-browse"
# Datasette's own pages have scripts and styles within.
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
    """Wraps an ASGI application.

    :param port: the one that it is reached at
    :param landing: where somebody goes who comes with the key and asks for no page
    """

    def __init__(self, app: App, port: int, landing: str) -> None:
        self._app = app
        self._hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self._cookie = f"{COOKIE}-{port}"  # cookies don't know ports apart
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
            await _answer(send, 403, "These pages are not shown under this name.")
        elif self._is_key(dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("key", "")):
            cookie = f"{self._cookie}={self.key}; HttpOnly; SameSite=Strict; Path=/"
            page = scope["raw_path"] if scope["path"] != "/" else self._landing.encode()
            await _answer(send, 303, "", ((b"location", page), (b"set-cookie", cookie.encode())))
        elif self._is_key(_cookie(headers.get("cookie", ""), self._cookie)):
            await self._app(scope, receive, _guarded(send))
        else:
            await _answer(send, 403, "Open the address that was printed when these pages began: it has the key.")

    def _is_key(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.key.encode())


def _cookie(header: str, name: str) -> str:
    cookies: SimpleCookie = SimpleCookie()
    cookies.load(header)
    return cookies[name].value if name in cookies else ""


def _guarded(send: Send) -> Send:
    """Adds headers that keep pages from being framed, cached, or made to run what is stored elsewhere."""
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
