"""`POST /api/v2/fed/{method}`: what nodes say to each other, past the router.

Routing and response building would cost more than reading a push. Bodies are MessagePack, for
nodes only, so the API document does not describe them: `app.replication.messages` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import structlog
from litestar.enums import ScopeType

from app.api.client_certificates import client_fingerprint
from app.api.errors import RETRY_AFTER_SECONDS_DEFAULT, ApiError, encode, request_id_of
from app.api.raw import read_body, reply
from app.domain.errors import AiMemoryError, StoreUnavailableError
from app.replication.answers import UnknownMethodError
from app.replication.authentication import Evidence
from app.replication.credentials import CHAIN_HEADER, CREDENTIAL_HEADER
from app.replication.http_transport import FED_PREFIX
from app.replication.messages import MalformedMessageError, Method
from app.replication.ports import UntrustedPeerError
from app.replication.request_proof import ProofRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

    from app.replication.authentication import Authenticator
    from app.replication.ports import Caller

MEDIA_TYPE: Final = b"application/msgpack"
_CODES: Final = {400: "body_incomplete", 413: "too_large"}
_SHOWN: Final = frozenset({b"authorization", CREDENTIAL_HEADER.encode(), CHAIN_HEADER.encode()})
_METHODS: Final = {FED_PREFIX + method.value: method for method in Method}
_log = structlog.get_logger("ai_memory.federation")


class Answers(Protocol):
    """Who answers peers."""

    async def answer(self, method: Method, body: bytes, caller: Caller) -> bytes:
        """The answer's body.

        Raises:
            UntrustedPeerError: the caller may not ask this.
            MalformedMessageError: the body is not the method's request.
            AiMemoryError: what the store refused with.
        """
        ...


@dataclass(frozen=True, slots=True)
class Federation:
    """What a surface that takes part in a mesh needs."""

    answers: Answers
    authenticator: Authenticator

    async def enter(self, method: Method) -> Federation:
        """It is open to all that it knows."""
        del method
        return self


class Door(Protocol):
    """The way into a mesh that may not have begun yet."""

    async def enter(self, method: Method) -> Federation | None:
        """What answers a call of this method; None while there is no mesh that it could be for."""
        ...


class FederationRoutes:
    """Stands between the gate and the router."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith(FED_PREFIX):
            await self._app(scope, receive, send)
            return
        http: HTTPScope = scope
        method = _METHODS.get(http["path"])
        if method is None:
            await _refuse(send, 404, "unknown_method")
        elif http["method"] != "POST":
            await _refuse(send, 405, "method_not_allowed")
        else:
            await self._enter(method, http, receive, send)

    async def _enter(self, method: Method, scope: HTTPScope, receive: Receive, send: Send) -> None:
        try:
            federation = await self._door.enter(method)
        except AiMemoryError as error:
            _log.error("a peer called and the mesh cannot begin", reason=error.message)
            await _refuse(send, 503, "mesh_unusable")
            return
        if federation is None:
            await _refuse(send, 403, "peer_unknown")
        else:
            await _answer(federation, method, scope, receive, send)


async def _answer(
    federation: Federation, method: Method, scope: HTTPScope, receive: Receive, send: Send
) -> None:
    try:
        body = await read_body(receive)
        caller = federation.authenticator.caller(method, body, _evidence(scope))
        answer = await federation.answers.answer(method, body, caller)
    except ProofRefusedError as error:
        challenge = federation.authenticator.challenge
        details = {"to": challenge.to, "session": challenge.session}
        more = {} if error.last is None else {"last": error.last}
        await _refuse(send, 401, error.code, {**details, **more})
    except UntrustedPeerError as error:
        await _refuse(send, 403, error.code)
    except UnknownMethodError:
        await _refuse(send, 404, "unknown_method")
    except MalformedMessageError:
        await _refuse(send, 400, "malformed_message")
    except ApiError as error:
        await _refuse(send, error.status, _CODES.get(error.status, "refused"))
    except StoreUnavailableError as error:
        seconds = error.details.get("retry_after_seconds", RETRY_AFTER_SECONDS_DEFAULT)
        await _refuse(send, 503, "store_unavailable", retry_after=str(seconds))
    except AiMemoryError as error:
        await _refuse(send, 422, error.code.lower())
    except Exception as error:  # noqa: BLE001 - the outermost frame of this request
        _log.error(
            "a peer's request failed",
            request_id=request_id_of(scope),
            method=method.value,
            exc_info=error,
        )
        await _refuse(send, 500, "internal")
    else:
        await reply(send, 200, MEDIA_TYPE, answer)


def _evidence(scope: HTTPScope) -> Evidence:
    client = scope["client"]
    shown = {name: value.decode("latin-1") for name, value in scope["headers"] if name in _SHOWN}
    return Evidence(
        address="" if client is None else f"{client[0]}:{client[1]}",
        fingerprint=client_fingerprint(scope),
        authorization=shown.get(b"authorization"),
        credential=shown.get(CREDENTIAL_HEADER.encode()),
        chain=shown.get(CHAIN_HEADER.encode()),
    )


async def _refuse(
    send: Send,
    status: int,
    code: str,
    details: Mapping[str, object] | None = None,
    *,
    retry_after: str | None = None,
) -> None:
    headers = [] if retry_after is None else [(b"retry-after", retry_after.encode("ascii"))]
    body = encode({"error": code, **(details or {})})
    await reply(send, status, b"application/json", body, headers)
