"""`/sync/push` and `/sync/since`: how v0.7.0 nodes exchange rows (http-api 3.9)."""

from __future__ import annotations

from typing import Annotated, Any, cast

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from app.api.client_certificates import client_fingerprint
from app.api.dependencies import services_of
from app.api.identity import is_control
from app.api.request import ApiRequest
from app.api.schemas.answers import answer
from app.api.schemas.memory import memory_body
from app.replication.credentials import CHAIN_HEADER, CREDENTIAL_HEADER
from app.replication.v070.gate import SyncRequest
from app.replication.v070.signing import (
    NONCE_HEADER,
    PEER_HEADER,
    SIGNATURE_HEADER,
    pull_text,
)
from app.replication.v070.wire import PushAnswer, PushBody, SinceAnswer
from app.services.bundle import Services
from app.services.caller import Caller
from app.services.sync import parse_since
from app.services.sync_answers import QuotaRefusal, push_answer, quota_refusal

_PEER = "sync_peer"


async def admit_pusher(request: Request[Any, Any, Any]) -> None:
    """Before anything of the body is read as JSON: who sends it."""
    await _admit(cast("ApiRequest", request), await request.body())


async def admit_puller(request: Request[Any, Any, Any]) -> None:
    """What stands in for a body is the request line."""
    scope = request.scope
    query = scope["query_string"].decode("latin-1")
    await _admit(cast("ApiRequest", request), pull_text(scope["method"], scope["path"], query))


async def _admit(request: ApiRequest, signable: bytes) -> None:
    asked = SyncRequest(
        signable=signable,
        peer_header=request.headers.get(PEER_HEADER),
        signature=request.headers.get(SIGNATURE_HEADER),
        nonce=request.headers.get(NONCE_HEADER),
        fingerprint=client_fingerprint(request.scope),
        credential=request.headers.get(CREDENTIAL_HEADER),
        chain=request.headers.get(CHAIN_HEADER),
        is_local=is_control(request.scope),
    )
    request.state[_PEER] = await services_of(request).sync.admit(asked)


class SyncController(Controller):
    """The wire of v0.7.0. Nodes of this release speak another one among themselves."""

    path = "/api/v1/sync"
    tags = ("Federation",)

    @post(
        "/push",
        status_code=200,
        summary="Take rows of a v0.7.0 node",
        before_request=admit_pusher,
        opt={"body_error_status": 400},
        responses=answer(429, QuotaRefusal),
    )
    async def push(
        self, data: JSONBody[PushBody], services: NamedDependency[Services], request: ApiRequest
    ) -> PushAnswer | Response[QuotaRefusal]:
        """All of it in one transaction. Items that cannot be stored are counted and named.

        `dry_run` counts every valid item as `noop`, as in v0.7.0; `results` say what would happen.
        """
        received = await services.sync.push(request.state[_PEER], data)
        identity = services.sync.rules.identity
        if received.breach is not None:
            refusal = quota_refusal(received, len(data.memories))
            headers = {"x-quota-reset-at": refusal.reset_at, "x-quota-limit": refusal.limit}
            return Response(refusal, status_code=429, headers=headers)
        return push_answer(received, data, identity, request.headers.get("idempotency-key"))

    @get(
        "/since",
        summary="Rows updated after a time",
        before_request=admit_puller,
        responses=answer(200, SinceAnswer),
    )
    async def since(
        self,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        request: ApiRequest,
        since: Annotated[
            str | None, QueryParameter(description="RFC 3339, exclusive; absent: from the start.")
        ] = None,
        limit: Annotated[
            int | None, QueryParameter(description="500 unless given, at most 10000.")
        ] = None,
        peer: Annotated[
            str | None, QueryParameter(description="Who asks; nothing depends on it.")
        ] = None,
    ) -> SinceAnswer:
        """Live rows by time. Rows with equal times always come together, beyond `limit` if need be.

        `next_since` is the last row that was looked at, whether it was the caller's to see or not.
        """
        del peer
        after = parse_since(since)
        page = await services.sync.since(request.state[_PEER], caller, after, limit)
        rows = page.memories
        return SinceAnswer(
            count=len(rows),
            limit=page.limit,
            updated_since=since,
            earliest_updated_at=rows[0].updated_at if rows else None,
            latest_updated_at=rows[-1].updated_at if rows else None,
            memories=[memory_body(one) for one in rows],
            excluded_for_scope=page.excluded,
            excluded_for_scope_private=page.excluded_private,
            scope_status=page.scope_status,
            next_since=page.examined_to,
        )
