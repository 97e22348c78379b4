"""Which memories a read may return, as a value and as SQL.

All filters and visibility act before LIMIT (http-api 7.2, row 15).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import ColumnElement, and_, bindparam, false, func, or_

from app.domain.memory import PRIORITY_MAX, SCOPES
from app.store.sql.expressions import has_prefix, has_tag, json_text
from app.store.tables import memories

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST_OWNER_PREFIX: Final = "anonymous:req-"
NOW_PARAMETER: Final = "now"
"""The bind parameter that a filter's time is."""
_POSITIONED: Final = (("team", 1), ("unit", 2), ("org", 3))


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who reads: an agent, or somebody who may see everything (control socket, admin)."""

    agent_id: str
    sees_everything: bool = False
    owns_request_rows: bool = False
    """Rows of v0.7.0's per-request anonymous owners count as this viewer's (http-api 7.1)."""


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """Conditions, all of which must hold. None and empty mean no condition.

    `viewer` applies the owner rule (http-api 1.5, rule V) and `position` the
    position rule (rule P with the owner and inbox target let in, 7.1 row 3).
    `now` is canonical text: rows that expired by then are left out.
    """

    now: str
    viewer: Viewer | None = None
    position: str | None = None
    namespaces: Sequence[str] = ()
    namespace_prefix: str | None = None
    tier: str | None = None
    tags: Sequence[str] = ()
    owner: str | None = None
    min_priority: int | None = None
    since: str | None = None
    until: str | None = None
    source_uri: str | None = None
    source_uri_prefix: str | None = None
    kinds: Sequence[str] | None = None
    """OR over kinds; an empty sequence matches nothing, None everything."""
    has_citations: bool = False
    confidence_min: float | None = None
    confidence_below: float | None = None
    include_atomised: bool = True
    metadata_equals: Sequence[tuple[str, str]] = ()
    title: str | None = None
    ids: Sequence[str] | None = None


def conditions(chosen: MemoryFilter) -> ColumnElement[bool]:
    """The filter as one condition over `memories`."""
    m = memories.c
    now = bindparam(NOW_PARAMETER, chosen.now, type_=m.expires_at.type)
    parts: list[ColumnElement[bool]] = [or_(m.expires_at.is_(None), m.expires_at > now)]
    if chosen.namespaces:
        parts.append(
            m.namespace == chosen.namespaces[0]
            if len(chosen.namespaces) == 1
            else m.namespace.in_(chosen.namespaces),
        )
    if chosen.namespace_prefix is not None:
        parts.append(below(chosen.namespace_prefix))
    if chosen.tier is not None:
        parts.append(m.tier == chosen.tier)
    parts.extend(has_tag(m.tags, tag) for tag in chosen.tags)
    if chosen.owner is not None:
        parts.append(m.agent_id_idx == chosen.owner)
    if chosen.min_priority is not None:
        # No column of PostgreSQL's holds every number that JSON does.
        least = max(min(chosen.min_priority, PRIORITY_MAX + 1), 0)
        parts.append(m.priority >= least)
    if chosen.since is not None:
        parts.append(m.created_at >= chosen.since)
    if chosen.until is not None:
        parts.append(m.created_at <= chosen.until)
    parts.extend(_provenance(chosen))
    if chosen.ids is not None:
        parts.append(m.id.in_(chosen.ids) if chosen.ids else false())
    if chosen.title is not None:
        parts.append(m.title == chosen.title)
    parts.extend(json_text(m.metadata, key) == value for key, value in chosen.metadata_equals)
    parts.extend(visibility(chosen.viewer, chosen.position))
    return and_(*parts)


def _provenance(chosen: MemoryFilter) -> list[ColumnElement[bool]]:
    m = memories.c
    parts: list[ColumnElement[bool]] = []
    if chosen.source_uri is not None:
        parts.append(m.source_uri == chosen.source_uri)
    if chosen.source_uri_prefix is not None:
        parts.append(has_prefix(m.source_uri, chosen.source_uri_prefix))
    if chosen.kinds is not None:
        parts.append(m.memory_kind.in_(chosen.kinds) if chosen.kinds else false())
    if chosen.has_citations:
        parts.append(m.citations != "[]")
    if chosen.confidence_min is not None:
        parts.append(m.confidence >= chosen.confidence_min)
    if chosen.confidence_below is not None:
        parts.append(m.confidence < chosen.confidence_below)
    if not chosen.include_atomised:
        parts.append(func.coalesce(m.atomised_into, 0) == 0)
    return parts


def below(prefix: str) -> ColumnElement[bool]:
    """A namespace or anything under it."""
    return or_(memories.c.namespace == prefix, has_prefix(memories.c.namespace, prefix + "/"))


def owned_by(viewer: Viewer) -> ColumnElement[bool]:
    """Rows whose owner or inbox target is the viewer."""
    m = memories.c
    own = [
        m.agent_id_idx == viewer.agent_id,
        json_text(m.metadata, "target_agent_id") == viewer.agent_id,
    ]
    if viewer.owns_request_rows:
        own.append(has_prefix(m.agent_id_idx, REQUEST_OWNER_PREFIX))
    return or_(*own)


def visibility(viewer: Viewer | None, position: str | None) -> list[ColumnElement[bool]]:
    """The owner rule, and the position rule when a position is given.

    Stored scope words that are unknown count as private everywhere (7.1 row 4).
    """
    if viewer is None or viewer.sees_everything:
        return []
    m = memories.c
    if position is None:
        return [or_(m.scope_idx.in_(SCOPES[1:]), owned_by(viewer))]
    seen = [m.scope_idx == "collective", owned_by(viewer), m.namespace == position]
    levels = position.split("/")
    for scope, steps in _POSITIONED:
        if len(levels) > steps:
            seen.append(and_(m.scope_idx == scope, below("/".join(levels[:-steps]))))
    return [or_(*seen)]
