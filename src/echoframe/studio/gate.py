"""What every request passes: who may come in, what may be asked for, how large it may be, and what browsers may load."""

import base64
import contextlib
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote

from echoframe.studio.limits import Limits

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

# what a page may load comes from here, or is in the page itself; Gradio needs inline scripts and `new Function`
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; connect-src 'self' data: blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
)
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"referrer-policy": b"no-referrer",  # the address of a result is known to its visitor alone
    b"x-content-type-options": b"nosniff",
    b"x-robots-tag": b"noindex",
}
# of Gradio's addresses those that the page and gradio_client use; its others, as its proxy and its monitor, are not there
OWN = ("/kept/", "/v1")
OPEN = ("/assets/", "/static/", "/svelte/")
EXACT = ("/", "/config", "/config/", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt")
API = "/gradio_api/"
API_OPEN = ("call/", "file=", "heartbeat/", "queue/join", "queue/data")
API_EXACT = ("app_id", "cancel", "info", "reset", "startup-events", "theme.css", "upload", "upload_progress")
SLACK = 1 << 20  # bytes around a file in a form


class Gate:
    """An ASGI application before `app`. login: "user:password", or none."""

    def __init__(self, app: App, limits: Limits, *, login: str = "") -> None:
        self._app, self._limits = app, limits
        self._login = b"Basic " + base64.b64encode(login.encode()) if login else b""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":  # no web sockets
                await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if self._login and not secrets.compare_digest(headers.get(b"authorization", b""), self._login):
            await _refuse(
                send, 401, "Give the user and the password.", (b"www-authenticate", b'Basic realm="EchoFrame"')
            )
        elif not may_ask(scope["path"]):
            await _refuse(send, 404, "No such page.")
        elif int(headers.get(b"content-length", b"0") or 0) > self._limits.upload_bytes + SLACK:
            await _refuse(send, 413, self._limits.too_large)
        else:
            await self._pass(scope, receive, send)

    async def _pass(self, scope: Message, receive: Receive, send: Send) -> None:
        n_bytes, is_refused = 0, False

        async def counted() -> Message:
            nonlocal n_bytes, is_refused
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > self._limits.upload_bytes + SLACK and not is_refused:
                is_refused = True
                await _refuse(send, 413, self._limits.too_large)
                raise _TooLarge
            return message

        async def guarded(message: Message) -> None:
            if is_refused:  # what the application says of an upload that breaks off
                return
            if message["type"] == "http.response.start":
                kept = [pair for pair in message["headers"] if pair[0].lower() not in HEADERS]
                message = {**message, "headers": [*kept, *HEADERS.items()]}
            await send(message)

        with contextlib.suppress(_TooLarge):
            await self._app(scope, counted, guarded)


class _TooLarge(Exception):
    """More came than may."""


def may_ask(path: str) -> bool:
    """Whether there is something for visitors at that path.

    >>> may_ask("/"), may_ask("/gradio_api/queue/join"), may_ask("/monitoring"), may_ask("/gradio_api/file=http://x")
    (True, True, False, False)
    """
    if path in EXACT or path.startswith((*OWN, *OPEN)):
        return True
    if not path.startswith(API):
        return False
    asked = path.removeprefix(API)
    if asked.startswith("file="):
        return "://" not in unquote(asked)
    return asked.rstrip("/") in API_EXACT or asked.startswith(API_OPEN)


async def _refuse(send: Send, status: int, words: str, *more: tuple[bytes, bytes]) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *more, *HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})
