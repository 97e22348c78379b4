"""`/memories`: store, list, read, change, delete, promote."""

from __future__ import annotations

import re
from typing import Annotated, Final

from litestar import Controller, Response, delete, get, post, put
from litestar.datastructures import State
from litestar.di import Provide
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter
from litestar.types import Scope

from app.api import paging
from app.api.dependencies import Provided, api_options, resolve_caller, resolve_in, services_of
from app.api.formats import JSON, chosen_format, toon_response
from app.api.identity import Claim
from app.api.request import ApiRequest
from app.api.schemas.answers import (
    BulkAnswer,
    ListAnswer,
    MemoryFields,
    PromoteAnswer,
    ReadAnswer,
    StoredAnswer,
    answer,
)
from app.api.schemas.filters import FilterQuery, PageQuery, filter_query, page_query
from app.api.schemas.memories import (
    NO_LLM_WARNING,
    BulkBody,
    CreateMemoryBody,
    UpdateMemoryBody,
    bulk_body,
    link_body,
    listed,
    stored_body,
)
from app.api.schemas.memory import memory_body
from app.domain.errors import InvalidInputError
from app.domain.toon import Row
from app.services.bundle import Services
from app.services.caller import Caller
from app.services.memories import MemoryUpdate, StoredMemory
from app.store.sql.memories import ListPosition

_PYTHON_CLIENT: Final = "ai-memory-python/"
_VERSION: Final = re.compile(r'(?:W/)?"?(\d{1,18})"?')


class MemoriesController(Controller):
    """Single memories and bulk stores."""

    path = "/api/v1/memories"
    tags = ("Memories",)

    @post(
        "/",
        summary="Store a memory",
        responses=answer(201, StoredAnswer),
        opt={"body_error_status": 400},
    )
    async def store(
        self,
        data: JSONBody[CreateMemoryBody],
        request: ApiRequest,
    ) -> dict[str, object]:
        """Durable on this node when it answers; 409 when the title is taken."""
        services = services_of(request)
        accepted = services.memories.check(data.new_memory())
        caller = claimed_caller(request.scope, request.app.state, data)
        return store_answer(await services.memories.store(accepted, caller), data)

    @post(
        "/bulk", status_code=200, summary="Store many memories", responses=answer(200, BulkAnswer)
    )
    async def bulk(
        self,
        data: JSONBody[list[CreateMemoryBody] | BulkBody],
        services: Provided[Services],
        caller: Provided[Caller],
        request: ApiRequest,
    ) -> dict[str, object]:
        """Each row is stored, merged or refused alone; the answer is 200 even if all fail.

        `errors` are texts, as in v0.7.0. The official Python client's model wants objects there,
        so it gets the failed rows of `results`.
        """
        rows = data.memories if isinstance(data, BulkBody) else data
        new = [row.new_memory(on_conflict="merge") for row in rows]
        outcomes = await services.memories.store_all(new, caller)
        client = request.headers.get("user-agent", "")
        return bulk_body(outcomes, errors_as_objects=client.startswith(_PYTHON_CLIENT))

    @get(
        "/",
        summary="List memories",
        responses=answer(200, ListAnswer),
        dependencies={
            "filters": Provide(filter_query, sync_to_thread=False),
            "asked": Provide(page_query, sync_to_thread=False),
        },
    )
    async def list_memories(
        self,
        filters: Provided[FilterQuery],
        asked: Provided[PageQuery],
        services: Provided[Services],
        caller: Provided[Caller],
        request: ApiRequest,
    ) -> Response[dict[str, object]] | Response[str]:
        """By priority, then by recency. Only what the caller may see is counted."""
        wanted = chosen_format(asked.format)
        page = await services.memories.list_page(
            filters.chosen(),
            caller,
            paging.clamped(asked.limit, api_options(request).page_max),
            paging.offset_of(asked.offset),
            paging.decode_cursor(asked.cursor, ListPosition),
        )
        if wanted != JSON:
            return toon_response([Row(memory) for memory in page.memories], {}, wanted)
        bodies = [memory_body(memory) for memory in page.memories]
        return Response(listed(bodies, page.total, paging.list_cursor(page.following)))

    @get("/{memory_id:str}", summary="Read a memory", responses=answer(200, ReadAnswer))
    async def read(
        self,
        memory_id: FromPath[str],
        services: Provided[Services],
        caller: Provided[Caller],
    ) -> Response[dict[str, object]]:
        """By its id or a prefix that no other id has. Nothing is counted as an access."""
        memory = await services.memories.get(memory_id, caller)
        links = await services.memories.links_of(memory, caller)
        body = memory_body(memory)
        answer: dict[str, object] = {
            **body,
            "memory": body,
            "links": [link_body(link) for link in links],
        }
        return Response(answer, headers={"ETag": f'"{memory.version}"'})

    @put("/{memory_id:str}", summary="Change a memory", responses=answer(200, MemoryFields))
    async def update(
        self,
        memory_id: FromPath[str],
        data: JSONBody[UpdateMemoryBody],
        services: Provided[Services],
        request: ApiRequest,
        merge_metadata: Annotated[
            bool, QueryParameter(description="Add to the metadata instead of replacing it.")
        ] = False,
        if_match: Annotated[
            str | None, HeaderParameter(name="If-Match", description="The version to change.")
        ] = None,
    ) -> Response[dict[str, object]]:
        """409 when `If-Match` names another version than the current one."""
        asked = MemoryUpdate(
            data.changes(merge_metadata=merge_metadata), expected_version(if_match)
        )
        caller = resolve_caller(request, data.agent_id, Claim.UPDATE)
        memory = await services.memories.update(memory_id, asked, caller)
        return Response(dict(memory_body(memory)), headers={"ETag": f'"{memory.version}"'})

    @delete("/{memory_id:str}", status_code=200, summary="Delete a memory")
    async def remove(
        self,
        memory_id: FromPath[str],
        services: Provided[Services],
        caller: Provided[Caller],
        purge: Annotated[
            bool, QueryParameter(description="Erase it for good, without a copy in the archive.")
        ] = False,
    ) -> dict[str, bool]:
        """Into the archive, unless the operator keeps none or `purge` is asked for."""
        gone = await services.memories.delete(memory_id, caller, purge=purge)
        answer = {"deleted": True, "archived": gone.is_archived}
        return {**answer, "purged": True} if gone.is_purged else answer

    @post(
        "/{memory_id:str}/promote",
        status_code=200,
        summary="Keep a memory for good",
        responses=answer(200, PromoteAnswer),
    )
    async def promote(
        self,
        memory_id: FromPath[str],
        services: Provided[Services],
        caller: Provided[Caller],
    ) -> dict[str, object]:
        """To the long tier, without expiry."""
        memory = await services.memories.promote(memory_id, caller)
        return {"promoted": True, "id": memory.id, "tier": memory.tier}


def expected_version(header: str | None) -> int | None:
    """The version that `If-Match` names, with or without quotes; `*` is any.

    Raises:
        InvalidInputError: anything else (http-api 7.3 row 28).
    """
    if header is None or header.strip() == "*":
        return None
    found = _VERSION.fullmatch(header.strip())
    if found is None:
        raise InvalidInputError(f"invalid If-Match: {header}", fields=["If-Match"])
    return int(found.group(1))


def store_answer(stored: StoredMemory, data: CreateMemoryBody) -> dict[str, object]:
    """What a store answers."""
    return stored_body(stored, (NO_LLM_WARNING,) if data.detect_conflicts else ())


def claimed_caller(scope: Scope, state: State, data: CreateMemoryBody) -> Caller:
    """Both places of a create that may claim an identity, each with its own refusal."""
    inline = (data.metadata or {}).get("agent_id")
    if inline is None:
        return resolve_in(state, scope, data.agent_id)
    if not isinstance(inline, str):
        raise InvalidInputError(
            "invalid agent_id: metadata.agent_id must be text", fields=["metadata"]
        )
    if data.agent_id is not None and data.agent_id != inline:
        resolve_in(state, scope, data.agent_id)
        raise Claim.METADATA.refusal(inline, data.agent_id)
    return resolve_in(state, scope, inline, Claim.METADATA)
