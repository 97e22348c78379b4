"""Filters of list, search and recall, read from a query string (http-api 1.8 and 3.2)."""

from dataclasses import dataclass
from typing import Annotated

from litestar.params import QueryParameter

from app.domain import validation as must
from app.domain.agent_id import validate_agent_id
from app.domain.errors import InvalidInputError
from app.store.sql.filters import MemoryFilter

PRIORITY_BOUND = 1_000
LIST_LIMIT = 20
FORMAT_HELP = "json, toon or toon_compact."


@dataclass(frozen=True, slots=True)
class FilterQuery:
    """What list and search filter by, as it came."""

    namespace: str | None = None
    tier: str | None = None
    min_priority: int | None = None
    since: str | None = None
    until: str | None = None
    tags: str | None = None
    agent_id: str | None = None

    def chosen(self) -> MemoryFilter:
        """As conditions; the service adds the time and the viewer.

        Raises:
            InvalidInputError: a value that can be no such thing.
        """
        return MemoryFilter(
            now="",
            namespaces=(plain(self.namespace, "namespace"),) if self.namespace else (),
            tier=None if not self.tier else must.tier(self.tier),
            tags=(plain(self.tags, "tags"),) if self.tags else (),
            owner=None if not self.agent_id else _owner(self.agent_id),
            min_priority=bounded(self.min_priority),
            since=None if not self.since else must.instant(self.since, "since"),
            until=None if not self.until else must.instant(self.until, "until"),
        )


def filter_query(
    namespace: Annotated[str | None, QueryParameter(description="This namespace, exactly.")] = None,
    tier: Annotated[str | None, QueryParameter(description="short, mid or long.")] = None,
    min_priority: Annotated[
        int | None, QueryParameter(description="This priority or more.")
    ] = None,
    since: Annotated[
        str | None, QueryParameter(description="Created then or later, RFC 3339.")
    ] = None,
    until: Annotated[str | None, QueryParameter(description="Created then or before.")] = None,
    tags: Annotated[
        str | None,
        QueryParameter(description="A tag; or several with commas, all of which must be."),
    ] = None,
    agent_id: Annotated[str | None, QueryParameter(description="Owned by this agent.")] = None,
) -> FilterQuery:
    """A dependency, so that the parameters are documented and each route names them once."""
    return FilterQuery(
        namespace=namespace,
        tier=tier,
        min_priority=min_priority,
        since=since,
        until=until,
        tags=tags,
        agent_id=agent_id,
    )


@dataclass(frozen=True, slots=True)
class PageQuery:
    """Which page of a list, and in which form."""

    limit: int
    offset: int
    cursor: str | None
    format: str | None


def page_query(
    limit: Annotated[int, QueryParameter(description="Rows of a page.")] = LIST_LIMIT,
    offset: Annotated[int, QueryParameter(description="Rows to skip.")] = 0,
    cursor: Annotated[
        str | None, QueryParameter(description="`next_cursor` of the page before.")
    ] = None,
    format: Annotated[str | None, QueryParameter(description=FORMAT_HELP)] = None,
) -> PageQuery:
    """A dependency, as `filter_query`."""
    return PageQuery(limit, offset, cursor, format)


def plain(text: str, field: str) -> str:
    """Text that a database can compare; nothing stored has anything else.

    Raises:
        InvalidInputError: control characters.
    """
    if not must.is_clean(text):
        raise InvalidInputError(f"{field} contains invalid characters", fields=[field])
    return text


def bounded(priority: int | None) -> int | None:
    """A priority bound that fits every integer column and still means the same."""
    return None if priority is None else max(-PRIORITY_BOUND, min(priority, PRIORITY_BOUND))


def _owner(text: str) -> str:
    try:
        return validate_agent_id(text, reserved_allowed=True)
    except InvalidInputError as error:
        reason = error.message.removeprefix("invalid agent_id: ")
        raise InvalidInputError(
            f"invalid agent_id filter: {reason}", fields=["agent_id"]
        ) from error
