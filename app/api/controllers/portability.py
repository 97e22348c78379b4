"""`/export` and `/import`: everything out, everything in. Admins only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody, QueryParameter
from litestar.response import Stream

from app.api.schemas.answers import answer
from app.api.schemas.memory import memory_body
from app.api.schemas.portability import (
    ExportBody,
    ImportBody,
    ImportedBody,
    exported_body,
    imported_body,
    joined,
    link_body,
    position_of,
)
from app.services.bundle import Services
from app.services.caller import Caller
from app.services.portability import ExportPage


class PortabilityController(Controller):
    """An export is the body of an import."""

    path = "/api/v1"
    tags = ("Administration",)

    @get(
        "/export",
        summary="Export all live memories and their links",
        responses=answer(200, ExportBody),
    )
    async def export(
        self,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        limit: Annotated[
            int | None,
            QueryParameter(description="One page of so many rows, at most 1000; absent: all."),
        ] = None,
        cursor: Annotated[
            str | None, QueryParameter(description="`next_cursor` of the page before.")
        ] = None,
    ) -> ExportBody | Stream:
        """Without `limit` everything, streamed; with it page by page, memories before links."""
        exported_at = services.portability.exported_at(caller)
        if limit is not None or cursor:
            page = await services.portability.export_page(
                caller, position_of(cursor), 1_000 if limit is None else limit
            )
            return exported_body(page, exported_at)
        pages = services.portability.export(caller)
        return Stream(_document(pages, exported_at), media_type="application/json")

    @post("/import", status_code=200, summary="Import memories and links")
    async def import_all(
        self,
        data: JSONBody[ImportBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        trust_source: Annotated[
            bool, QueryParameter(description="Keep the owners that the rows name.")
        ] = False,
    ) -> ImportedBody:
        """Each row alone: stored, merged into the row of its name, or refused with the reason."""
        outcome = await services.portability.import_all(
            caller,
            [row.memory() for row in data.memories],
            [link.link() for link in data.links or ()],
            trust_source=trust_source,
        )
        return imported_body(outcome, trusted_source=trust_source)


async def _document(pages: AsyncIterator[ExportPage], exported_at: str) -> AsyncIterator[bytes]:
    """The body of an export, written as it is read: never all of it in memory."""
    count, links = 0, 0
    yield b'{"exported_at":' + msgspec.json.encode(exported_at) + b',"memories":['
    async for page in pages:
        if page.memories:
            yield joined([memory_body(one) for one in page.memories], is_first=not count)
            count += len(page.memories)
        if page.links:
            start = b'],"links":[' if not links else b""
            yield start + joined([link_body(one) for one in page.links], is_first=not links)
            links += len(page.links)
    end = b"]" if links else b'],"links":[]'
    yield end + b',"count":' + msgspec.json.encode(count) + b"}"
