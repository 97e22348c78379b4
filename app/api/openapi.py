"""The OpenAPI document, and a page that shows it without fetching anything from elsewhere."""

from __future__ import annotations

from http import HTTPStatus
from importlib.resources import files
from typing import Any, Final, cast

import msgspec
from litestar import Request
from litestar.enums import MediaType
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from typing_extensions import override

from app.api.auth import HEALTH_PATH

SCHEMA_PATH: Final = "/schema"
OPENAPI_MEDIA_TYPE: Final = "application/vnd.oai.openapi+json"

Document = dict[str, Any]  # a JSON document of somebody else's format

_DESCRIPTION: Final = """\
Federated memory for AI agents. Every refusal has one shape: `error`, often `code` and `fields`,
and the `request_id` that is in the `X-Request-Id` header and in the node's log, too.

Who asks is said by `X-Agent-Id`. Memories are private to their owner unless their scope says more.
"""
_TAGS: Final = (
    Tag("Operation", "Is the node well, what can it do, how much does it do."),
    Tag("Federation", "The mesh as this node sees it, and whom it trusts."),
    Tag("Memories", "Store, read, change and remove."),
    Tag("Recall", "Find by meaning and by words."),
    Tag("Archive", "What has expired or was removed."),
    Tag("Links", "Typed links between memories."),
    Tag("Knowledge graph", "Walks over links, entities and their names."),
    Tag("Curation", "Merge, compare and find what is double."),
    Tag("Namespaces", "Levels and their standards."),
    Tag("Agents", "Who takes part."),
    Tag("Messages", "From one agent to another."),
    Tag("Subscriptions", "Webhooks."),
    Tag("Quotas", "How much an agent may write."),
    Tag("Language model", "Tags, terms and judgements by a model."),
    Tag("Administration", "For admins."),
)

_REASONS: Final = {
    400: "The request cannot be read, or a value in it is refused.",
    401: "The API key is missing or wrong.",
    403: "The caller is known and may not do this.",
    404: "No such thing, or none that the caller may see.",
    409: "Another write holds what this one needs.",
    412: "Entries that `X-Ai-Memory-Token` names have not come here yet.",
    413: "The body is larger than `limit_bytes`.",
    415: "The body is not declared as JSON.",
    422: "A field is missing or has the wrong type.",
    429: "A quota of the caller is used up.",
    500: "A fault of the node; the log has it under `request_id`.",
    503: "The node cannot do this now; `Retry-After` says when to ask again.",
    504: "The time limit of a request has passed.",
}
_EVERYWHERE: Final = (400, 401, 403, 404, 500, 503, 504)
_WRITES: Final = (409, 413, 429)
_WITH_BODY: Final = (413, 415, 422)

_ERROR_SCHEMA: Final[Document] = {
    "type": "object",
    "required": ["error", "request_id"],
    "additionalProperties": True,
    "properties": {
        "error": {"type": "string", "description": "What is wrong, for people."},
        "code": {"type": "string", "description": "A stable word for machines."},
        "fields": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The body keys or parameters at fault.",
        },
        "request_id": {
            "type": "string",
            "description": "Also in `X-Request-Id` and in the node's log.",
        },
    },
    "example": {
        "error": "not found",
        "code": "NOT_FOUND",
        "request_id": "5f0c9a1e-2b",
    },
}
_AGENT_HEADER: Final[Document] = {
    "name": "X-Agent-Id",
    "in": "header",
    "required": False,
    "description": "Who asks: 1 to 128 of letters, digits and `_ - : @ . /`; empty is absent.",
    "schema": {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9_:@./-]*$"},
    "example": "ai:claude@laptop",
}
_SEEN_NAME: Final = "X-Ai-Memory-Token"
_SEEN_PARAMETER: Final[Document] = {
    "name": _SEEN_NAME,
    "in": "header",
    "required": False,
    "description": (
        "What an earlier write answered, unchanged, by this node or a peer. The request runs once"
        " that write is here, and a read shows it at least. Without one a read shows all that this"
        " node wrote."
    ),
    "schema": {"type": "string"},
}
_SEEN_HEADER: Final[Document] = {
    "description": "Of a request that wrote: for reads that must show it. The text is opaque.",
    "schema": {"type": "string"},
}
_ASK_NOBODY: Final = frozenset(
    {
        "/metrics",
        "/api/v1/metrics",
        "/api/v1/capabilities",
        "/api/v1/federation/status",
        "/api/v1/tools/list",
    }
)
"""Routes that answer everybody alike, so they do not look at the header."""


def openapi_config(version: str) -> OpenAPIConfig:
    """What the framework needs to make the document and to serve it below `/schema`."""
    schemes: dict[str, Any] = {
        "header": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
        "query": SecurityScheme(
            type="apiKey",
            name="api_key",
            security_scheme_in="query",
            description="Ends up in logs of proxies: prefer the header.",
        ),
    }
    return OpenAPIConfig(
        title="ai-memory",
        version=version,
        description=_DESCRIPTION,
        tags=list(_TAGS),
        path=SCHEMA_PATH,
        use_handler_docstrings=True,
        components=Components(security_schemes=schemes),
        # A node without a key takes everybody.
        security=[{}, {"header": []}, {"query": []}],
        render_plugins=[DocumentJson(), DocumentPage()],
    )


class DocumentJson(OpenAPIRenderPlugin):
    """`/schema/openapi.json`, with every refusal documented."""

    def __init__(self) -> None:
        super().__init__(path="/openapi.json", media_type=cast("MediaType", OPENAPI_MEDIA_TYPE))

    @override
    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        return msgspec.json.encode(completed(openapi_schema))


class DocumentPage(OpenAPIRenderPlugin):
    """`/schema`: the document for reading, from the node itself."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    @override
    def render(self, request: Request[Any, Any, Any], openapi_schema: Document) -> bytes:
        return files("app.api").joinpath("page.html").read_bytes()


def completed(schema: Document) -> Document:
    """The framework's document with our refusals and the agent header on every operation."""
    document: Document = msgspec.json.decode(msgspec.json.encode(schema))
    components = document.setdefault("components", {})
    components.setdefault("schemas", {})["ErrorBody"] = _ERROR_SCHEMA
    components["parameters"] = {"AgentId": _AGENT_HEADER, "Token": _SEEN_PARAMETER}
    components["responses"] = {
        f"Refused{status}": _refusal(status, text) for status, text in _REASONS.items()
    }
    # The paths of one handler come in another order in every process.
    document["paths"] = dict(sorted(document["paths"].items()))
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if isinstance(operation, dict):
                _complete(operation, path, method)
    return document


def _complete(operation: Document, path: str, method: str) -> None:
    statuses = set(_EVERYWHERE)
    if method != "get":
        statuses.update(_WRITES)
    if "requestBody" in operation:
        statuses.update(_WITH_BODY)
    own = operation["responses"]
    for reply in own.values():
        _let_forms_overlap(reply)
    if path == HEALTH_PATH:
        operation["security"] = [{}]
        statuses = {500, 504}
    elif path not in _ASK_NOBODY:
        parameters = operation.setdefault("parameters", [])
        parameters.append({"$ref": "#/components/parameters/AgentId"})
        parameters.append({"$ref": "#/components/parameters/Token"})
        statuses.add(HTTPStatus.PRECONDITION_FAILED)
    if method != "get":
        _name_token(own)
    for status in statuses:
        # The framework documents its own shape of a 400, which we do not send.
        if status == HTTPStatus.BAD_REQUEST or str(status) not in own:
            own[str(status)] = {"$ref": f"#/components/responses/Refused{status}"}
    operation["responses"] = dict(sorted(own.items()))


def _name_token(own: Document) -> None:
    for status, reply in own.items():
        if status.startswith("2"):
            reply.setdefault("headers", {})[_SEEN_NAME] = _SEEN_HEADER


def _let_forms_overlap(reply: Document) -> None:
    """One answer may have several of a route's forms; the framework writes exactly one."""
    for content in reply.get("content", {}).values():
        forms = content["schema"].pop("oneOf", None)
        if forms is not None:
            content["schema"]["anyOf"] = forms


def _refusal(status: int, text: str) -> Document:
    refusal: Document = {
        "description": text,
        "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}},
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        refusal["headers"]["Retry-After"] = {"schema": {"type": "integer"}}
    return refusal
