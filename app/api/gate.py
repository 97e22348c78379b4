"""The one layer before routing: request id, API key, body limit, time limit, OPTIONS."""

from __future__ import annotations

import asyncio
import itertools
import re
from typing import TYPE_CHECKING, Final, cast

from litestar.enums import HttpMethod, ScopeType

from app.api.auth import MISSING_KEY, SYNC_PREFIX, has_key, is_exempt
from app.api.errors import REQUEST_ID, encode, envelope
from app.api.identity import is_control
from app.api.limits import BodyLimit
from app.api.seen import TOKEN_HEADER
from app.replication.http_transport import FED_PREFIX
from app.store.consistency import having_seen
from app.store.writing.written import Written, noting

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

    from app.api.options import ApiOptions

_REQUEST_ID_FORM: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,64}")
_VARY: Final = (
    b"vary",
    b"origin, access-control-request-method, access-control-request-headers",
)
_STREAM: Final = b"text/event-stream"


class Gate:
    """Stands before the router, so unknown paths and wrong methods pass it, too.

    `id_prefix` tells the request ids of two runs apart; a client's own `X-Request-Id` is kept.
    """

    def __init__(self, app: ASGIApp, options: ApiOptions, id_prefix: str) -> None:
        self._app = app
        self._options = options
        self._id_prefix = id_prefix
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        request = _Request(scope, send, self._options.request_timeout_seconds)
        request.id = request.given_id or f"{self._id_prefix}-{next(self._numbers):x}"
        cast("MutableMapping[str, object]", scope)[REQUEST_ID] = request.id
        try:
            async with asyncio.timeout(request.seconds) as request.deadline:
                with noting(request.written), having_seen(request.token):
                    await self._within(request, scope, receive)
        except TimeoutError:
            # Ours: the router answers every other one. After the first byte there is no status
            # left to change; the server cuts the connection, because the response never ends.
            if not request.started:
                await request.refuse(504, "request timed out")

    async def _within(self, request: _Request, scope: HTTPScope, receive: Receive) -> None:
        if scope["method"] == "OPTIONS":
            await request.answer(200, b"")
            return
        if not self._may_enter(request, scope):
            await request.refuse(401, MISSING_KEY, code="UNAUTHENTICATED")
            return
        limit = self._body_bytes_max(scope)
        if request.body_bytes is not None and request.body_bytes > limit:
            body = BodyLimit(receive, limit)
            await body.discard()
            await request.refuse(413, "request body too large", limit_bytes=limit)
            return
        if request.has_body:
            receive = BodyLimit(receive, limit)
        if scope["method"] == "HEAD":  # as GET, without the body; routes know GET only
            request.has_no_reply_body = True
            scope = {**scope, "method": HttpMethod.GET}
        await self._app(scope, receive, request.send)

    def _body_bytes_max(self, scope: HTTPScope) -> int:
        options = self._options
        if scope["path"].startswith(SYNC_PREFIX):
            return options.sync_body_bytes_max
        is_peers = scope["path"].startswith(FED_PREFIX)
        return options.federation_body_bytes_max if is_peers else options.body_bytes_max

    def _may_enter(self, request: _Request, scope: Scope) -> bool:
        key = self._options.api_key
        if key is None or is_exempt(scope["path"], sync_key_exempt=self._options.sync_key_exempt):
            return True
        return is_control(scope) or has_key(key, request.key, scope["query_string"])


class _Request:
    """What the gate reads from one request's headers, and its way to answer."""

    __slots__ = (
        "_send",
        "body_bytes",
        "deadline",
        "given_id",
        "has_body",
        "has_no_reply_body",
        "id",
        "key",
        "seconds",
        "started",
        "token",
        "written",
    )

    def __init__(self, scope: Scope, send: Send, seconds: float) -> None:
        self._send = send
        self.seconds = seconds
        self.deadline: asyncio.Timeout | None = None
        self.started = False
        self.id = ""
        self.given_id: str | None = None
        self.key: bytes | None = None
        self.token: str | None = None
        self.written = Written()
        self.has_body = False
        self.has_no_reply_body = False
        self.body_bytes: int | None = None
        for name, value in scope["headers"]:
            if name == b"content-length":
                self.body_bytes = int(value) if value.isdigit() else None
                self.has_body = value != b"0"
            elif name == b"transfer-encoding":
                self.has_body = True
            elif name == b"x-api-key":
                self.key = value
            elif name == b"x-request-id" and _REQUEST_ID_FORM.fullmatch(value):
                self.given_id = value.decode("ascii")
            elif name == TOKEN_HEADER:
                self.token = value.decode("latin-1")

    async def send(self, message: Message) -> None:
        """Pass a message on; the first one gets the headers that every reply has."""
        if message["type"] == "http.response.start":
            self.started = True
            headers = list(message["headers"])
            headers.append((b"x-request-id", self.id.encode("ascii")))
            headers.append(_VARY)
            token = self.written.token
            if token is not None:
                headers.append((TOKEN_HEADER, token.encode("ascii")))
            message["headers"] = headers
            if self.deadline is not None and _is_stream(headers):
                self.deadline.reschedule(None)  # a stream lasts as long as its reader
        elif message["type"] == "http.response.body":
            if self.has_no_reply_body:
                message["body"] = b""
            if message.get("more_body"):
                self._extend()
        await self._send(message)

    def _extend(self) -> None:
        """A long reply gets the whole time again for every part that its reader takes."""
        if self.deadline is not None and self.deadline.when() is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + self.seconds)

    async def answer(self, status: int, body: bytes, media: bytes | None = None) -> None:
        headers = [(b"content-length", str(len(body)).encode("ascii"))]
        if media is not None:
            headers.append((b"content-type", media))
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})

    async def refuse(
        self, status: int, message: str, *, code: str | None = None, **details: object
    ) -> None:
        body = encode(envelope(message, details, self.id, code))
        await self.answer(status, body, b"application/json")


def _is_stream(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-type" and value.startswith(_STREAM) for name, value in headers)
