"""Calls to one peer over HTTP: `POST {url}/api/v2/fed/{method}`, MessagePack both ways.

Every method may be repeated, so a request that met a connection which the peer had just closed is
sent once more. Who this node is, its certificate says where the peer asks for one, else a
signature of its key (`app.replication.request_proof`).
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from app.replication.http_connection import BadAnswerError, ConnectionLostError, connect
from app.replication.messages import Method
from app.replication.ports import Failure, PeerCallError
from app.replication.request_proof import challenge_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.replication.http_connection import Answer, PeerConnection
    from app.replication.request_proof import Challenge, Prover

FED_PREFIX: Final = "/api/v2/fed/"
CONNECT_SECONDS_MAX: Final = 2.0
_TRIES_MAX: Final = 3
_KEPT_MAX: Final = 2
_CODE: Final = re.compile(r"[a-z0-9_]{1,64}")
_SIGN_FOR: Final = frozenset({"proof_required", "proof_session"})
_SIGN_AGAIN: Final = "proof_behind"
_PORTS: Final = {"http": 80, "https": 443}
_OK: Final = 200
_SERVER_FAULTS: Final = 500
_BY_STATUS: Final = {
    401: Failure.REFUSED,
    403: Failure.REFUSED,
    408: Failure.TIMEOUT,
    413: Failure.TOO_LARGE,
    425: Failure.THROTTLED,
    429: Failure.THROTTLED,
    504: Failure.TIMEOUT,
}
_UNLIKE_A_PEER: Final = frozenset({404, 405, 406, 410, 415, 426, 501, 505})


class _Refusal(msgspec.Struct):
    """The body of an answer that is none."""

    error: str = ""
    to: str = ""
    session: str = ""
    last: int = 0


_REFUSAL: Final = msgspec.json.Decoder(_Refusal)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request carries beside its body. Never shown in an error."""

    prover: Prover
    headers: Callable[[], dict[str, str]] = dict
    """More headers of a hello: what vouches for this node."""
    api_key: str | None = None


class HttpTransport:
    """A `Transport`. `context` is None for an `http://` address."""

    def __init__(self, url: str, context: ssl.SSLContext | None, credentials: Credentials) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._url = url
        self._host = parts.hostname
        self._port = parts.port or _PORTS[parts.scheme]
        self._path = parts.path + FED_PREFIX
        self._authority = parts.netloc
        self._context = context
        self._credentials = credentials
        self._challenge: Challenge | None = None
        self._signs = context is None
        self._kept: list[PeerConnection] = []
        self._is_closed = False

    @property
    def url(self) -> str:
        return self._url

    @property
    def context(self) -> ssl.SSLContext | None:
        """The TLS of new connections; None for an `http://` address."""
        return self._context

    def exchange(self, context: ssl.SSLContext | None) -> None:
        """Use another certificate or other authorities from the next connection on.

        Calls that are under way end on the connection that they have.
        """
        self._context = context
        self._signs = context is None
        self._drop_kept()

    async def close(self) -> None:
        self._is_closed = True
        self._drop_kept()

    async def call(self, method: Method, body: bytes, timeout_seconds: float) -> bytes:
        """Send a request, return the answer's body.

        Raises:
            PeerCallError: no answer, or a refusal.
        """
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._ask(method, body)
        except TimeoutError:
            raise PeerCallError(
                Failure.TIMEOUT, f"no answer within {timeout_seconds:g} s"
            ) from None
        except ssl.SSLError as error:
            raise _tls_failure(error) from None
        except OSError as error:
            raise PeerCallError(Failure.UNREACHABLE, _system_text(error)) from None
        except ConnectionLostError as error:
            raise PeerCallError(Failure.UNREACHABLE, self._lost_text(error)) from None
        except BadAnswerError as error:
            raise PeerCallError(Failure.INCOMPATIBLE, str(error)) from None
        if answer.status != _OK:
            raise _refusal(answer)
        return answer.body

    async def _ask(self, method: Method, body: bytes) -> Answer:
        """One answer, after as many signatures as the peer has reasons to ask for."""
        tries = 0
        while True:
            answer = await self._exchange_once(method, body)
            tries += 1
            if answer.status != 401 or tries == _TRIES_MAX:  # noqa: PLR2004 - a status
                return answer
            asked = _read_refusal(answer.body)
            challenge = challenge_of(asked.to, asked.session)
            if asked.error in _SIGN_FOR and challenge is not None:
                self._challenge = challenge
                self._signs = self._signs or method is not Method.HELLO
            elif asked.error == _SIGN_AGAIN:
                self._credentials.prover.pass_over(asked.last)
            else:
                return answer

    async def _exchange_once(self, method: Method, body: bytes) -> Answer:
        request = self._request(method, body)
        while True:
            connection = await self._connection()
            try:
                answer = await connection.ask(request)
            except ConnectionLostError as error:
                if error.is_unanswered and not error.is_fresh:
                    continue  # it had been kept too long; a fresh one is not tried twice
                raise
            self._keep(connection)
            return answer

    async def _connection(self) -> PeerConnection:
        while self._kept:
            kept = self._kept.pop()
            if kept.is_usable:
                return kept
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                return await connect(self._host, self._port, self._context, self._host)
        except TimeoutError:
            raise PeerCallError(
                Failure.UNREACHABLE, f"no connection within {CONNECT_SECONDS_MAX:g} s"
            ) from None

    def _keep(self, connection: PeerConnection) -> None:
        is_current = connection.context is self._context and not self._is_closed
        if connection.is_usable and is_current and len(self._kept) < _KEPT_MAX:
            self._kept.append(connection)
        else:
            connection.close()

    def _drop_kept(self) -> None:
        for connection in self._kept:
            connection.close()
        self._kept.clear()

    def _request(self, method: Method, body: bytes) -> bytes:
        lines = [
            f"POST {self._path}{method.value} HTTP/1.1",
            f"host: {self._authority}",
            "content-type: application/msgpack",
            f"content-length: {len(body)}",
        ]
        credentials = self._credentials
        if credentials.api_key is not None:
            lines.append(f"x-api-key: {credentials.api_key}")
        if method is Method.HELLO:
            lines.extend(f"{name}: {value}" for name, value in credentials.headers().items())
        if self._challenge is not None and (self._signs or method is Method.HELLO):
            proof = credentials.prover.proof(self._challenge, method.value, body)
            lines.append(f"authorization: {proof}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body

    def _lost_text(self, error: ConnectionLostError) -> str:
        if error.is_fresh and error.is_unanswered and self._context is not None:
            return f"{error} without a word: is this node's certificate on its allowlist?"
        return str(error)


def _refusal(answer: Answer) -> PeerCallError:
    status = answer.status
    code = _read_refusal(answer.body).error
    # The peer's own words are shown only where they are one of the protocol's.
    detail = f"HTTP {status} {code}" if _CODE.fullmatch(code) else f"HTTP {status}"
    failure = _BY_STATUS.get(status)
    if failure is None and status in _UNLIKE_A_PEER:
        failure = Failure.INCOMPATIBLE
    if failure is None:
        failure = Failure.UNREACHABLE if status >= _SERVER_FAULTS else Failure.REFUSED
    seconds: float | None = None
    with suppress(ValueError):
        seconds = None if answer.retry_after is None else max(0.0, float(answer.retry_after))
    return PeerCallError(failure, detail, retry_after_seconds=seconds, status=status)


def _read_refusal(body: bytes) -> _Refusal:
    try:
        return _REFUSAL.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Refusal()


def _tls_failure(error: ssl.SSLError) -> PeerCallError:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = getattr(error, "verify_message", "") or str(error.args[-1])
        return PeerCallError(Failure.REFUSED, f"the peer's certificate is not believed: {reason}")
    reason = (error.reason or "handshake failed").replace("_", " ").lower()
    if "alert" in reason:
        return PeerCallError(Failure.REFUSED, f"the peer ended the TLS handshake: {reason}")
    return PeerCallError(Failure.INCOMPATIBLE, f"no TLS with the peer: {reason}")


def _system_text(error: OSError) -> str:
    # Event loops word their own errors, some with the address in it.
    code = error.errno
    known = os.strerror(code) if code is not None and code > 0 else error.strerror
    return known or type(error).__name__
