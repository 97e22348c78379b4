"""`/namespaces` and `/taxonomy`: sizes, the tree, and which standard leads a namespace."""

from __future__ import annotations

from typing import Annotated, Final

from litestar import Controller, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from app.api.request import ApiRequest
from app.api.schemas.namespaces import (
    ClearedBody,
    NamespacesBody,
    StandardBody,
    StandardSetBody,
    TaxonomyBody,
    chain_body,
    namespaces_body,
    standard_body,
    standard_set_body,
    taxonomy_row,
)
from app.domain.errors import InvalidInputError
from app.domain.validation import NAMESPACE_SEGMENTS_MAX
from app.services.bundle import Services
from app.services.caller import Caller
from app.services.namespaces import TAXONOMY_DEPTH_MAX

_TAXONOMY_ROWS: Final = 1_000
_INHERIT: Final = "Every standard from `*` down to the namespace."


def _nested_paths() -> list[str]:
    """`/a/b/standard` and so on: a server has turned `%2F` into `/` before we see the path.

    A namespace with a later segment `standard` can only be named by `?namespace=`.
    """
    names = [f"/{{s{number}:str}}" for number in range(1, NAMESPACE_SEGMENTS_MAX + 1)]
    counts = range(2, NAMESPACE_SEGMENTS_MAX + 1)
    return ["".join(names[:count]) + "/standard" for count in counts]


async def _standard(
    services: Services, caller: Caller, namespace: str, *, inherit: bool
) -> dict[str, object]:
    if inherit:
        return chain_body(namespace, await services.namespaces.chain(namespace, caller))
    return standard_body(namespace, await services.namespaces.standard(namespace, caller))


async def _set(
    services: Services, caller: Caller, data: StandardBody, namespace: str | None = None
) -> StandardSetBody:
    asked = data.asked(namespace)
    return standard_set_body(await services.namespaces.set_standard(asked, caller))


async def _clear(services: Services, caller: Caller, namespace: str) -> ClearedBody:
    return ClearedBody(await services.namespaces.clear_standard(namespace, caller), namespace)


class NamespacesController(Controller):
    """Without `namespace` the list, for admins; with it the standard of one."""

    path = "/api/v1/namespaces"
    tags = ("Namespaces",)

    @get("/", summary="List namespaces, or read one's standard")
    async def look(
        self,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        namespace: Annotated[str | None, QueryParameter(description="Its standard.")] = None,
        inherit: Annotated[bool, QueryParameter(description=_INHERIT)] = False,
    ) -> NamespacesBody | dict[str, object]:
        """The list is for admins."""
        if namespace is None:
            return namespaces_body(await services.namespaces.sizes(caller))
        return await _standard(services, caller, namespace, inherit=inherit)

    @post("/", summary="Set a namespace's standard")
    async def set_standard(
        self,
        data: JSONBody[StandardBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> StandardSetBody:
        """The body names the namespace."""
        return await _set(services, caller, data)

    @delete("/", status_code=200, summary="Clear a namespace's standard")
    async def clear_standard(
        self,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        namespace: Annotated[str | None, QueryParameter(description="Required.")] = None,
    ) -> ClearedBody:
        """The memory stays; only the binding goes."""
        if not namespace:
            raise InvalidInputError("namespace is required", fields=["namespace"])
        return await _clear(services, caller, namespace)

    @get("/{namespace:str}/standard", summary="Read a namespace's standard")
    async def read(
        self,
        namespace: FromPath[str],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        inherit: Annotated[bool, QueryParameter(description=_INHERIT)] = False,
    ) -> dict[str, object]:
        """Encode a slash in the name as `%2F`."""
        return await _standard(services, caller, namespace, inherit=inherit)

    @post("/{namespace:str}/standard", summary="Set this namespace's standard")
    async def set_here(
        self,
        namespace: FromPath[str],
        data: JSONBody[StandardBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> StandardSetBody:
        """The namespace of the path wins over one in the body."""
        return await _set(services, caller, data, namespace)

    @delete("/{namespace:str}/standard", status_code=200, summary="Clear this one's standard")
    async def clear_here(
        self,
        namespace: FromPath[str],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> ClearedBody:
        """The memory stays; only the binding goes."""
        return await _clear(services, caller, namespace)


class NestedStandardsController(Controller):
    """The same for names with slashes in them."""

    path = "/api/v1/namespaces"
    include_in_schema = False

    @get(_nested_paths())
    async def read(
        self,
        request: ApiRequest,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        inherit: Annotated[bool, QueryParameter(description=_INHERIT)] = False,
    ) -> dict[str, object]:
        return await _standard(services, caller, _joined(request), inherit=inherit)

    @post(_nested_paths())
    async def set_here(
        self,
        request: ApiRequest,
        data: JSONBody[StandardBody],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> StandardSetBody:
        return await _set(services, caller, data, _joined(request))

    @delete(_nested_paths(), status_code=200)
    async def clear_here(
        self,
        request: ApiRequest,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> ClearedBody:
        return await _clear(services, caller, _joined(request))


class TaxonomyController(Controller):
    """For admins."""

    path = "/api/v1/taxonomy"
    tags = ("Namespaces",)

    @get("/", summary="The tree of namespaces")
    async def tree(
        self,
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
        prefix: Annotated[str | None, QueryParameter(description="Only below this one.")] = None,
        root: Annotated[str | None, QueryParameter(description="Another word for prefix.")] = None,
        depth: Annotated[
            int, QueryParameter(description="Levels, at most 8.")
        ] = TAXONOMY_DEPTH_MAX,
        limit: Annotated[
            int, QueryParameter(description="Namespaces, 1 to 10,000, the largest first.")
        ] = _TAXONOMY_ROWS,
    ) -> TaxonomyBody:
        """Live rows. Deeper levels than shown are counted in `subtree_count`."""
        found = await services.namespaces.taxonomy(prefix or root, depth, limit, caller)
        return TaxonomyBody(taxonomy_row(found.tree), found.total_count, found.is_truncated)


def _joined(request: ApiRequest) -> str:
    return "/".join(str(segment) for _, segment in sorted(request.path_params.items()))
