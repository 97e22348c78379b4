"""`/archive` and `/forget`."""

from typing import Annotated

from litestar import Controller, delete, get, post
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from app.api import paging
from app.api.dependencies import Provided, api_options
from app.api.request import ApiRequest
from app.api.schemas.answers import (
    ArchiveAnswer,
    ArchiveStatsAnswer,
    ForgetAnswer,
    MovedAnswer,
    answer,
)
from app.api.schemas.archive import ArchiveBody, ForgetBody, archived_body, stats_body
from app.api.schemas.filters import plain
from app.services.bundle import Services
from app.services.caller import Caller
from app.store.sql.archive import ArchivePosition

_LIMIT = 50


class ArchiveController(Controller):
    """Memories that left the live table and can come back."""

    path = "/api/v1/archive"
    tags = ("Archive",)

    @get("/", summary="List the archive", responses=answer(200, ArchiveAnswer))
    async def list_archive(
        self,
        services: Provided[Services],
        caller: Provided[Caller],
        request: ApiRequest,
        namespace: FromQuery[str | None] = None,
        limit: Annotated[int, QueryParameter(description="1 or more.")] = _LIMIT,
        offset: FromQuery[int] = 0,
        cursor: FromQuery[str | None] = None,
    ) -> dict[str, object]:
        """Newest first. For admins."""
        page = await services.archive.page(
            plain(namespace, "namespace") if namespace else None,
            caller,
            paging.clamped(limit, api_options(request).page_max) if limit > 0 else 0,
            paging.offset_of(offset),
            paging.decode_cursor(cursor, ArchivePosition),
        )
        following = None if page.following is None else paging.encode_cursor(page.following)
        rows = [archived_body(row) for row in page.rows]
        return {
            "archived": rows,
            "count": len(rows),
            "total": page.total,
            "next_cursor": following,
        }

    @post("/", status_code=200, summary="Archive memories", responses=answer(200, MovedAnswer))
    async def archive(
        self,
        data: JSONBody[ArchiveBody],
        services: Provided[Services],
        caller: Provided[Caller],
    ) -> dict[str, object]:
        """Those of the ids that are the caller's to move; the others are `missing`."""
        reason = "archive" if data.reason is None else data.reason
        moved = await services.archive.archive(data.ids, reason, caller)
        return {
            "archived": list(moved.archived),
            "missing": list(moved.missing),
            "count": len(moved.archived),
            "reason": reason,
        }

    @delete("/", status_code=200, summary="Purge the archive")
    async def purge(
        self,
        services: Provided[Services],
        caller: Provided[Caller],
        older_than_days: FromQuery[int | None] = None,
    ) -> dict[str, object]:
        """Erase archived rows for good: an admin everybody's, others their own."""
        purged = await services.archive.purge(older_than_days, caller)
        everyone = caller.is_admin or caller.from_control_socket
        return {"purged": purged, "owner_scope": "admin" if everyone else "caller"}

    @post("/{memory_id:str}/restore", status_code=200, summary="Restore a memory")
    async def restore(
        self,
        memory_id: FromPath[str],
        services: Provided[Services],
        caller: Provided[Caller],
    ) -> dict[str, object]:
        """With the tier and expiry that it had."""
        memory = await services.archive.restore(memory_id, caller)
        return {"restored": True, "id": memory.id}

    @get("/stats", summary="Count the archive", responses=answer(200, ArchiveStatsAnswer))
    async def stats(
        self, services: Provided[Services], caller: Provided[Caller]
    ) -> dict[str, object]:
        """By namespace. For admins."""
        return stats_body(await services.archive.stats(caller))


class ForgetController(Controller):
    """Mass removal."""

    path = "/api/v1/forget"
    tags = ("Archive",)

    @post(
        "/",
        status_code=200,
        summary="Forget memories by filter",
        responses=answer(200, ForgetAnswer),
    )
    async def forget(
        self,
        services: Provided[Services],
        caller: Provided[Caller],
        data: JSONBody[ForgetBody | None] = None,
        namespace: FromQuery[str | None] = None,
        pattern: FromQuery[str | None] = None,
        tier: FromQuery[str | None] = None,
        dry_run: FromQuery[bool | None] = None,
    ) -> dict[str, object]:
        """Conditions in a JSON body or in the query. For admins."""
        body = data or ForgetBody()
        asked = ForgetBody(
            namespace=namespace or body.namespace,
            pattern=pattern or body.pattern,
            tier=tier or body.tier,
            dry_run=body.dry_run if dry_run is None else dry_run,
        )
        if asked.dry_run:
            count = await services.archive.count_forgettable(asked.chosen(), caller)
            return {"deleted": 0, "would_delete": count, "dry_run": True}
        return {"deleted": await services.archive.forget(asked.chosen(), caller)}
