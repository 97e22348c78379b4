"""Subscriptions on the wire (http-api 3.8 and 5)."""

from __future__ import annotations

import msgspec
from pydantic import AliasChoices, Field

from app.api.schemas.body import Body
from app.services.subscriptions import MadeSubscription, NewSubscription
from app.store.sql.records import Subscription


class SubscriptionFilter(Body):
    """The SDKs' place for filters."""

    namespace: str | None = None
    agent_id: str | None = None


class SubscribeBody(Body):
    """Where to and what; `events` is text in v0.7.0 and a list in the SDKs, and comes back so."""

    url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("url", "callback_url"),
        description="https, or http to this machine where the operator allows it.",
        examples=["https://hooks.example.com/memory"],
    )
    events: str | list[str] | None = Field(
        default=None,
        description="`*`, a comma list, or a list; every event when absent.",
        examples=["memory_store,memory_delete"],
    )
    event_types: list[str] | None = Field(
        default=None, description="Counts instead of `events` when given."
    )
    secret: str | None = Field(
        default=None,
        description="Signs deliveries; kept as a hash. `generate` makes one, shown once.",
    )
    namespace_filter: str | None = Field(default=None, description="Only this namespace, exactly.")
    agent_filter: str | None = Field(default=None, description="Only what this agent did.")
    namespace: str | None = Field(
        default=None, description="With a url the same as `namespace_filter`; alone, its own url."
    )
    agent_id: str | None = Field(default=None, description="Must agree with `X-Agent-Id`.")
    filter: SubscriptionFilter | None = Field(default=None, description="The SDKs' filters.")

    def new_subscription(self) -> NewSubscription:
        extra = self.filter or SubscriptionFilter()
        return NewSubscription(
            url=self.url,
            events=self.events if self.event_types is None else self.event_types,
            secret=self.secret,
            namespace_filter=self.namespace_filter or extra.namespace,
            agent_filter=self.agent_filter or extra.agent_id,
            namespace=self.namespace,
        )


class SubscribedBody(msgspec.Struct, omit_defaults=True):
    """The record; `secret` only when it was made here, and only now."""

    id: str
    url: str
    events: str | list[str]
    namespace_filter: str | None
    agent_filter: str | None
    created_by: str | None
    agent_id: str | None
    created_at: str
    namespace: str | None = None
    secret: str | None = None


class SubscriptionRow(msgspec.Struct):
    """One of the caller's subscriptions."""

    id: str
    url: str
    events: str | list[str]
    namespace: str | None
    namespace_filter: str | None
    agent_filter: str | None
    agent_id: str | None
    created_by: str | None
    created_at: str
    last_dispatched_at: str | None
    dispatch_count: int
    failure_count: int


class SubscriptionsBody(msgspec.Struct):
    """The caller's own, oldest first."""

    count: int
    subscriptions: list[SubscriptionRow]


class UnsubscribedBody(msgspec.Struct):
    """An empty `id` and false when nothing of the caller's matched."""

    id: str
    removed: bool


def subscribed_body(made: MadeSubscription, namespace: str | None) -> SubscribedBody:
    row = made.subscription
    return SubscribedBody(
        id=row.id,
        url=row.url,
        events=_events(row),
        namespace_filter=row.namespace_filter,
        agent_filter=row.agent_filter,
        created_by=row.created_by,
        agent_id=row.created_by,
        created_at=row.created_at,
        namespace=namespace,
        secret=made.generated_secret,
    )


def subscription_row(row: Subscription) -> SubscriptionRow:
    return SubscriptionRow(
        id=row.id,
        url=row.url,
        events=_events(row),
        namespace=row.namespace_filter,
        namespace_filter=row.namespace_filter,
        agent_filter=row.agent_filter,
        agent_id=row.agent_filter or row.created_by,
        created_by=row.created_by,
        created_at=row.created_at,
        last_dispatched_at=row.last_dispatched_at,
        dispatch_count=row.dispatch_count,
        failure_count=row.failure_count,
    )


def unsubscribed_body(removed_id: str | None) -> UnsubscribedBody:
    return UnsubscribedBody(removed_id or "", removed_id is not None)


def _events(row: Subscription) -> str | list[str]:
    return row.events if row.event_types is None else list(row.event_types)
