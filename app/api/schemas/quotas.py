"""Quotas on the wire (http-api 2.12)."""

from __future__ import annotations

import msgspec
from pydantic import Field

from app.api.schemas.body import Body
from app.store.sql.records import QuotaCounters


class QuotaStatusBody(Body):
    """Whose counters, and where; without `agent_id` everybody's, for admins."""

    agent_id: str | None = Field(default=None, examples=["ai:planner"])
    namespace: str | None = Field(default=None, description="`_global` or absent: over all.")


class QuotasBody(msgspec.Struct):
    """Everybody's counters."""

    quotas: list[QuotaCounters]
    count: int
