"""Messages on the wire (http-api 3.8 and 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import msgspec
from pydantic import AliasChoices, Field

from app.api.schemas.body import Body
from app.domain.errors import InvalidInputError
from app.domain.memory import Json
from app.services.messages import Inbox, Message, NewMessage


class NotifyBody(Body):
    """A message; the SDKs' names `to`, `subject` and `body` are taken, too."""

    target_agent_id: str = Field(
        validation_alias=AliasChoices("target_agent_id", "to"),
        description="Who shall read it.",
        examples=["ai:reviewer"],
    )
    title: str = Field(
        validation_alias=AliasChoices("title", "subject"), examples=["Build is green"]
    )
    payload: str | None = Field(default=None, description="The text.", examples=["All 412 passed."])
    content: str | None = Field(default=None, description="Another name of `payload`.")
    body: str | None = Field(default=None, description="Another name of `payload`.")
    priority: int | None = Field(default=None, description="1 to 10, clamped; default 5.")
    tier: str | None = Field(default=None, description="`short`, `mid` (default) or `long`.")
    metadata: dict[str, object] | None = Field(default=None, description="Kept with the message.")
    agent_id: str | None = Field(default=None, description="Must agree with `X-Agent-Id`.")

    def new_message(self) -> NewMessage:
        """With v0.7.0's defaults.

        Raises:
            InvalidInputError: there is no text.
        """
        given = (self.payload, self.content, self.body)
        payload = next((text for text in given if text is not None), None)
        if payload is None:
            raise InvalidInputError("payload or content is required", fields=["payload"])
        return NewMessage(
            target=self.target_agent_id,
            title=self.title,
            payload=payload,
            priority=5 if self.priority is None else self.priority,
            tier="mid" if self.tier is None else self.tier,
            metadata=cast("Mapping[str, Json]", self.metadata or {}),
        )


class SentBody(msgspec.Struct, rename={"sender": "from"}):
    """The message as it was delivered."""

    id: str
    sender: str
    to: str
    namespace: str
    title: str
    tier: str
    delivered_at: str


class MessageRow(msgspec.Struct, rename={"sender": "from"}):
    """A message. `read` says that it was recalled; `subject`, `body` and so on are the SDKs'."""

    id: str
    sender: str
    to: str
    title: str
    payload: str
    priority: int
    tier: str
    created_at: str
    read: bool
    access_count: int
    subject: str
    body: str
    received_at: str
    metadata: Mapping[str, object]


class InboxBody(msgspec.Struct):
    """By priority, then recency; `total` counts what the filters let through."""

    agent_id: str
    namespace: str
    count: int
    unread_only: bool
    messages: list[MessageRow]
    total: int
    next_cursor: str | None


def sent_body(sent: Message) -> SentBody:
    memory = sent.memory
    return SentBody(
        memory.id,
        sent.sender,
        sent.recipient,
        memory.namespace,
        sent.title,
        memory.tier,
        memory.created_at,
    )


def inbox_body(inbox: Inbox, *, unread_only: bool, next_cursor: str | None) -> InboxBody:
    return InboxBody(
        inbox.agent_id,
        inbox.namespace,
        len(inbox.messages),
        unread_only,
        [_row(message) for message in inbox.messages],
        inbox.total,
        next_cursor,
    )


def _row(message: Message) -> MessageRow:
    memory = message.memory
    return MessageRow(
        id=memory.id,
        sender=message.sender,
        to=message.recipient,
        title=message.title,
        payload=memory.content,
        priority=memory.priority,
        tier=memory.tier,
        created_at=memory.created_at,
        read=message.is_read,
        access_count=memory.access_count,
        subject=message.title,
        body=memory.content,
        received_at=memory.created_at,
        metadata=memory.metadata,
    )
