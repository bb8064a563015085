"""What every request must pass before the server looks at it: Host, token, size; and the headers of every answer.

A page of another site can make a browser send requests to this machine. So the Host header must be one of ours (DNS
rebinding), answers carry a strict content security policy, and no other origin is allowed to read them. Uploads are
counted as their bytes arrive, and refused at the limit, whatever their headers said.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; worker-src 'self' blob:; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")


class BodyTooLargeError(Exception):
    """The body of a request passed the limit while it arrived."""


class Guard:
    """ASGI middleware.

    ``hosts``      names of this server, without port; others are refused with 421.
    ``token``      where it is given, every request below ``/v1`` needs ``Authorization: Bearer TOKEN``.
    ``max_bytes``  limit of a request's body.
    """

    def __init__(self, app: Application, hosts: Collection[str], token: str | None, max_bytes: int) -> None:
        self._app, self._hosts, self._token, self._max_bytes = app, frozenset(hosts), token, max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in scope["headers"]}
        if refusal := self._refusal(scope, headers):
            await _answer(send, *refusal)
            return
        started = False
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise BodyTooLargeError
            return message

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [
                    *message.get("headers", ()), *HEADERS, (b"content-security-policy", POLICY.encode())
                ]  # fmt: skip
            await send(message)

        try:
            await self._app(scope, counted, with_headers)
        except BodyTooLargeError:
            if not started:
                await _answer(send, 413, self._too_large())

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> tuple[int, str] | None:
        host = _without_port(headers.get(b"host", b"").decode("latin-1"))
        if host not in self._hosts:
            return 421, f"host {host!r} is not this server; it answers to {', '.join(sorted(self._hosts))}"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            return 400, "the content length is not a number"
        if int(length) > self._max_bytes:
            return 413, self._too_large()
        if self._token is not None and scope["path"].startswith("/v1"):
            given = headers.get(b"authorization", b"")
            if not hmac.compare_digest(given, b"Bearer " + self._token.encode()):
                return 401, "this server needs its token: Authorization: Bearer TOKEN"
        return None

    def _too_large(self) -> str:
        return f"the body is larger than {self._max_bytes / 2**20:.0f} MiB, the limit of this server"


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *HEADERS]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
