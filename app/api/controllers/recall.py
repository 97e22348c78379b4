"""`/recall`: the memories that answer a question, as GET and as POST."""

from typing import Annotated, Final

from litestar import Controller, Response, get, post
from litestar.di import Provide
from litestar.params import HeaderParameter, JSONBody

from app.api.dependencies import Provided, resolve_caller, services_of
from app.api.formats import JSON, chosen_format, toon_response
from app.api.identity import Claim
from app.api.request import ApiRequest
from app.api.schemas.answers import RecallAnswer, answer
from app.api.schemas.recall import (
    RecallBody,
    recall_query,
    recalled_body,
)
from app.domain import validation as must
from app.domain.toon import Row
from app.services.bundle import Services

_VERBOSE: Final = "verbose"

AcceptProvenance = Annotated[
    str | None,
    HeaderParameter(
        name="Accept-Provenance", description="`verbose` adds three words to each row."
    ),
]
Answer = Response[dict[str, object]] | Response[str]


class RecallController(Controller):
    """Ranked retrieval."""

    path = "/api/v1/recall"
    tags = ("Recall",)

    @get(
        "/",
        summary="Recall memories",
        responses=answer(200, RecallAnswer),
        dependencies={"asked": Provide(recall_query, sync_to_thread=False)},
    )
    async def recall_by_query(
        self,
        asked: Provided[RecallBody],
        request: ApiRequest,
        accept_provenance: AcceptProvenance = None,
    ) -> Answer:
        """As the POST form, with the question in the query string."""
        return await _answer(asked, services_of(request), request, accept_provenance)

    @post("/", status_code=200, summary="Recall memories", responses=answer(200, RecallAnswer))
    async def recall(
        self,
        data: JSONBody[RecallBody],
        request: ApiRequest,
        accept_provenance: AcceptProvenance = None,
    ) -> Answer:
        """The best memories for a context. Each of them counts as accessed, and lives on."""
        return await _answer(data, services_of(request), request, accept_provenance)


async def _answer(
    asked: RecallBody, services: Services, request: ApiRequest, accept_provenance: str | None
) -> Answer:
    wanted = chosen_format(asked.format)
    question = asked.question()
    if question.as_agent is not None:
        must.namespace(question.as_agent, "as_agent")
    caller = resolve_caller(request, question.as_agent, Claim.RECALL)
    recalled = await services.recall.recall(question, caller)
    if wanted != JSON:
        rows = [Row(row.memory, row.score) for row in recalled.rows]
        head: dict[str, str | int | None] = {
            "mode": recalled.answer.mode.value,
            "tokens_used": recalled.answer.tokens_used,
            "budget_tokens": asked.budget_tokens,
        }
        return toon_response(rows, head, wanted)
    provenance = None
    if asked.verbose_provenance or (accept_provenance or "").strip().lower() == _VERBOSE:
        provenance = await services.recall.provenance([row.memory for row in recalled.rows])
    return Response(recalled_body(recalled, asked.budget_tokens, provenance))
