"""`/notify` and `/inbox`: agents write to each other."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter

from app.api import paging
from app.api.dependencies import resolve_caller
from app.api.identity import Claim
from app.api.request import ApiRequest
from app.api.schemas.messages import InboxBody, NotifyBody, SentBody, inbox_body, sent_body
from app.services.bundle import Services

_INBOX_LIMIT: Final = 50


class MessagesController(Controller):
    """Messages are memories that only sender and target see."""

    path = "/api/v1"
    tags = ("Messages",)

    @post("/notify", summary="Send a message to an agent")
    async def notify(
        self,
        data: JSONBody[NotifyBody],
        services: NamedDependency[Services],
        request: ApiRequest,
    ) -> SentBody:
        """The sender is the caller. Equal titles are separate messages."""
        caller = resolve_caller(request, data.agent_id)
        return sent_body(await services.messages.send(caller, data.new_message()))

    @get("/inbox", summary="Read the caller's messages")
    async def inbox(
        self,
        services: NamedDependency[Services],
        request: ApiRequest,
        agent_id: Annotated[
            str | None, QueryParameter(description="Must agree with `X-Agent-Id`.")
        ] = None,
        unread_only: Annotated[
            bool, QueryParameter(description="Leave out what was recalled.")
        ] = False,
        unread: Annotated[
            bool, QueryParameter(description="Another name of `unread_only`.")
        ] = False,
        since: Annotated[
            str | None, QueryParameter(description="Sent then or later, RFC 3339.")
        ] = None,
        limit: Annotated[int, QueryParameter(description="At most 500.")] = _INBOX_LIMIT,
        cursor: Annotated[
            str | None, QueryParameter(description="`next_cursor` of the page before.")
        ] = None,
    ) -> InboxBody:
        """Reading the inbox marks nothing as read; a recall does."""
        caller = resolve_caller(request, agent_id or None, Claim.QUERY)
        offset = paging.offset_of(paging.decode_cursor(cursor, int) or 0)
        only = unread_only or unread
        found = await services.messages.inbox(
            caller, limit, offset, unread_only=only, since=since or None
        )
        following = paging.offset_cursor(offset, len(found.messages), found.total)
        return inbox_body(found, unread_only=only, next_cursor=following)
