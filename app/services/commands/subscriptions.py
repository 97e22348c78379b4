"""Subscriptions: rows of this node's own, in no log (decisions on the log's shape)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from app.store.protocol import Decided, LocalRow, Needs

if TYPE_CHECKING:
    from app.store.protocol import View
    from app.store.sql.records import Subscription

_TABLE: Final = "subscriptions"


@dataclass(frozen=True, slots=True)
class AddSubscription:
    """A new registration, or another form of a known one."""

    subscription: Subscription

    @property
    def needs(self) -> Needs:
        return Needs()

    def decide(self, view: View) -> Decided[Subscription]:
        del view
        made = self.subscription
        types = None if made.event_types is None else msgspec.json.encode(made.event_types).decode()
        row = LocalRow(
            _TABLE,
            {"id": made.id},
            {
                "url": made.url,
                "events": made.events,
                "secret_hash": made.secret_hash,
                "namespace_filter": made.namespace_filter,
                "agent_filter": made.agent_filter,
                "created_by": made.created_by,
                "created_at": made.created_at,
                "event_types": types,
            },
        )
        return Decided(lambda _: made, rows=(row,))


@dataclass(frozen=True, slots=True)
class RemoveSubscription:
    """The end of a registration."""

    subscription_id: str

    @property
    def needs(self) -> Needs:
        return Needs()

    def decide(self, view: View) -> Decided[None]:
        del view
        return Decided(lambda _: None, rows=(LocalRow(_TABLE, {"id": self.subscription_id}, None),))
