"""`/search`: memories that hold every word, or come from one source."""

from litestar import Controller, Response, get
from litestar.di import Provide

from app.api import paging
from app.api.dependencies import Provided, api_options
from app.api.formats import JSON, chosen_format, toon_response
from app.api.request import ApiRequest
from app.api.schemas.answers import SearchAnswer, answer
from app.api.schemas.filters import FilterQuery, filter_query
from app.api.schemas.search import SearchQuery, found_body, search_query
from app.domain.toon import Row
from app.services.bundle import Services
from app.services.caller import Caller


class SearchController(Controller):
    """Exact retrieval."""

    path = "/api/v1/search"
    tags = ("Recall",)

    @get(
        "/",
        summary="Search memories",
        responses=answer(200, SearchAnswer),
        dependencies={
            "filters": Provide(filter_query, sync_to_thread=False),
            "asked": Provide(search_query, sync_to_thread=False),
        },
    )
    async def search(
        self,
        filters: Provided[FilterQuery],
        asked: Provided[SearchQuery],
        services: Provided[Services],
        caller: Provided[Caller],
        request: ApiRequest,
    ) -> Response[dict[str, object]] | Response[str]:
        """A pure read: nothing counts as accessed."""
        wanted = chosen_format(asked.format)
        limit = paging.clamped(asked.limit, api_options(request).page_max)
        offset = paging.decode_cursor(asked.cursor, int) or 0
        found = await services.recall.search(
            asked.searched(), filters.chosen(), caller, limit, paging.offset_of(offset)
        )
        if wanted != JSON:
            return toon_response([Row(memory) for memory in found.rows], {}, wanted)
        following = paging.offset_cursor(offset, len(found.rows), found.total)
        return Response(found_body(found, asked, following))
