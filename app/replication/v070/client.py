"""Calls to a v0.7.0 node: `/sync/push` and `/sync/since`, signed, with every refusal classed."""

from __future__ import annotations

import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

import httpx
import msgspec

from app.replication.ports import Failure, PeerCallError
from app.replication.v070.signing import PEER_HEADER, pull_text, signing_headers
from app.replication.v070.wire import MEDIA_TYPE, ItemResult

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.domain.sources import IdSource
    from app.replication.v070.signing import Signer

ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
_OK: Final = range(200, 300)
_SERVER_FAULTS: Final = 500
_BY_STATUS: Final = {
    401: Failure.REFUSED,
    403: Failure.REFUSED,
    404: Failure.INCOMPATIBLE,
    405: Failure.INCOMPATIBLE,
    408: Failure.TIMEOUT,
    413: Failure.TOO_LARGE,
    425: Failure.THROTTLED,
    429: Failure.THROTTLED,
    504: Failure.TIMEOUT,
}


@dataclass(frozen=True, slots=True)
class V070Credentials:
    """Who this node says to be, and what proves it. Never shown in an error."""

    identity: str
    ids: IdSource
    """Where nonces come from."""
    signer: Signer | None = None
    api_key: str | None = None
    headers: Callable[[], Mapping[str, str]] = dict
    """More headers: what vouches for the signer's key."""


class PushReply(msgspec.Struct, frozen=True):
    """What of an answer to a push counts; nodes of this release say more than v0.7.0's."""

    skipped: int = 0
    quota_refused: int = 0
    unsupported_on_postgres: int = 0
    dry_run: bool = False
    storage_backend: str | None = None
    ids: list[str] | None = None
    results: list[ItemResult] | None = None


class SinceReply(msgspec.Struct, frozen=True):
    """A page of rows, oldest first; `next_since` comes from nodes of this release only."""

    memories: list[object]
    next_since: str | None = None
    scope_status: str | None = None


_PUSH: Final = msgspec.json.Decoder(PushReply)
_SINCE: Final = msgspec.json.Decoder(SinceReply)


class V070Client:
    """One v0.7.0 node. `http` keeps its connections; whoever made it closes it."""

    def __init__(
        self, http: httpx.AsyncClient, url: str, credentials: V070Credentials, seconds: float
    ) -> None:
        self.url = url
        self._http = http
        self._path = urlsplit(url).path
        self._credentials = credentials
        self._seconds = seconds

    async def since(self, since: str | None, limit: int) -> SinceReply:
        """Rows updated after a time.

        Raises:
            PeerCallError: no answer, a refusal, or none that a v0.7.0 node gives.
        """
        given = {"since": since, "limit": limit, "peer": self._credentials.identity}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        path = f"{self._path}/api/v1/sync/since"
        headers = self._headers(pull_text("GET", path, query))
        body = await self._call("GET", f"/api/v1/sync/since?{query}", headers, None)
        try:
            return _SINCE.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise PeerCallError(Failure.INCOMPATIBLE, "the answer is no page of rows") from None

    async def push(self, body: bytes, key: str) -> PushReply:
        """Send a push whose first item is known as `key`.

        Raises:
            PeerCallError: no answer, a refusal, or none that a v0.7.0 node gives.
        """
        headers = {
            **self._headers(body),
            "content-type": MEDIA_TYPE,
            # Header values are bytes on the wire: the arrow of a link's key is not Latin-1.
            "idempotency-key": key.encode("utf-8").decode("latin-1"),
        }
        answer = await self._call("POST", "/api/v1/sync/push", headers, body)
        try:
            return _PUSH.decode(answer)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise PeerCallError(Failure.INCOMPATIBLE, "the answer is none to a push") from None

    def _headers(self, signable: bytes) -> dict[str, str]:
        credentials = self._credentials
        headers = {PEER_HEADER: credentials.identity, "x-agent-id": credentials.identity}
        if credentials.api_key is not None:
            headers["x-api-key"] = credentials.api_key
        if credentials.signer is not None:
            nonce = credentials.ids.uuid4()
            headers.update(signing_headers(credentials.signer, signable, nonce))
            headers.update(credentials.headers())
        return headers

    async def _call(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> bytes:
        request = self._http.stream(
            method,
            self.url + target,
            headers=[(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
            content=body,
            timeout=self._seconds,
        )
        try:
            async with request as response:
                found = await _read(response)
        except httpx.TimeoutException:
            raise PeerCallError(Failure.TIMEOUT, f"no answer within {self._seconds:g} s") from None
        except httpx.HTTPError as error:
            raise _unreachable(error) from None
        if response.status_code not in _OK:
            raise _refusal(response)
        return found


async def _read(response: httpx.Response) -> bytes:
    parts = bytearray()
    async for part in response.aiter_bytes():
        parts += part
        if len(parts) > ANSWER_BYTES_MAX:
            raise PeerCallError(
                Failure.TOO_LARGE, f"an answer of more than {ANSWER_BYTES_MAX} bytes"
            )
    return bytes(parts)


def _unreachable(error: httpx.HTTPError) -> PeerCallError:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return PeerCallError(Failure.REFUSED, "the peer's certificate is not believed")
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ProtocolError):
        return PeerCallError(Failure.INCOMPATIBLE, "the answer is no HTTP")
    return PeerCallError(Failure.UNREACHABLE, type(error).__name__)


def _refusal(response: httpx.Response) -> PeerCallError:
    status = response.status_code
    failure = _BY_STATUS.get(status)
    if failure is None:
        failure = Failure.UNREACHABLE if status >= _SERVER_FAULTS else Failure.REFUSED
    seconds: float | None = None
    with suppress(ValueError):
        seconds = max(0.0, float(response.headers.get("retry-after", "")))
    return PeerCallError(failure, f"HTTP {status}", retry_after_seconds=seconds, status=status)
