"""What a language model would do, and loading by family, which needs none."""

from __future__ import annotations

from typing import Final, NoReturn

from litestar import Controller, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from app.api.schemas.llm import LoadedBody, LoadFamilyBody, loaded_body
from app.domain.errors import FeatureMissingError
from app.services.bundle import Services
from app.services.caller import Caller

_LOADED: Final = 20


class ModelController(Controller):
    """This node has no language model, and says so before it looks at a body, as v0.7.0 does."""

    path = "/api/v1"
    tags = ("Language model",)

    @post("/auto_tag", status_code=200, summary="Tags for a text (needs a language model)")
    async def auto_tag(self) -> None:
        """503: no language model is configured."""
        _refuse()

    @post("/expand_query", status_code=200, summary="Terms for a query (needs a language model)")
    async def expand_query(self) -> None:
        """503: no language model is configured."""
        _refuse()

    @post("/memory_load_family", status_code=200, summary="Load a family of memories")
    async def load_family(
        self,
        data: JSONBody[LoadFamilyBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> LoadedBody:
        """Memories with `metadata.family`, those that the caller may see."""
        wanted = _LOADED if data.k is None else data.k
        return loaded_body(
            await services.loading.family(caller, data.family, data.namespace, wanted)
        )


def _refuse() -> NoReturn:
    raise FeatureMissingError("LLM not configured")
