"""Errors as HTTP: status by class, always the same JSON envelope (http-api 1.7 and 7.4)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import ExceptionHandlersMap

from app.domain import errors as tree

if TYPE_CHECKING:
    from litestar.types import Scope

REQUEST_ID: Final = "ai_memory.request_id"
"""Key in the scope under which the gate leaves the request's id."""

RETRY_AFTER_SECONDS_DEFAULT: Final = 1

STATUS: Final[Mapping[type[tree.AiMemoryError], int]] = {
    tree.AiMemoryError: 500,
    tree.InvalidInputError: 400,
    tree.UnprocessableError: 422,
    tree.UnauthenticatedError: 401,
    tree.ForbiddenError: 403,
    tree.NotFoundError: 404,
    tree.ConflictError: 409,
    tree.QuotaExceededError: 429,
    tree.FeatureMissingError: 503,
    tree.BackendError: 502,
    tree.StoreUnavailableError: 503,
    tree.StoreOpenError: 503,
    tree.EntryRefusedError: 400,
}
"""A class that is not named here has its nearest base's status."""

_PARAMETER: Final = re.compile(r"parameter '([^']+)'")
_log = structlog.get_logger("ai_memory.api")


class ApiError(Exception):
    """A refusal that only HTTP knows (size, media type, timeout), with its own status."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        **details: object,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers: Mapping[str, str] = headers or {}
        self.details: Mapping[str, object] = details


class ErrorBody(msgspec.Struct, omit_defaults=True):
    """What every refusal answers; some add keys of their own (`existing_id`, `hint`, …)."""

    error: str
    """What is wrong, for people."""
    code: str | None = None
    """A stable word for machines."""
    fields: list[str] | None = None
    """The names of the body keys or parameters at fault."""
    request_id: str = ""
    """Also in the `X-Request-Id` header and in the node's log."""


def status_of(error: tree.AiMemoryError) -> int:
    """The status of an error: its own class's, or its nearest base's."""
    for base in type(error).__mro__:
        status = STATUS.get(base)
        if status is not None:
            return status
    raise AssertionError(type(error))  # the base of the tree has a status


def envelope(
    message: str, details: Mapping[str, object], request_id: str, code: str | None = None
) -> dict[str, object]:
    """The body of a refusal."""
    body: dict[str, object] = {"error": message, **details}
    if code is not None:
        body.setdefault("code", code)
    body["request_id"] = request_id
    return body


def encode(body: Mapping[str, object]) -> bytes:
    """JSON; a detail of an unknown type is shown as text."""
    return msgspec.json.encode(body, enc_hook=str)


def request_id_of(scope: Scope) -> str:
    """The id that the gate gave this request."""
    found = scope.get(REQUEST_ID, "")
    return found if isinstance(found, str) else ""


def _response(
    scope: Scope,
    status: int,
    message: str,
    details: Mapping[str, object],
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response[bytes]:
    return Response(
        encode(envelope(message, details, request_id_of(scope), code)),
        status_code=status,
        media_type="application/json",
        headers=dict(headers or {}),
    )


def _ours(request: Request[Any, Any, Any], error: tree.AiMemoryError) -> Response[bytes]:
    status = status_of(error)
    details = dict(error.details)
    headers: dict[str, str] = {}
    if isinstance(error, tree.StoreUnavailableError):
        seconds = details.pop("retry_after_seconds", RETRY_AFTER_SECONDS_DEFAULT)
        details["retry_after"] = seconds
        headers["Retry-After"] = str(seconds)
    if type(error) is tree.AiMemoryError or status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _fault(request, error)
    return _response(
        request.scope, status, error.message, details, code=error.code, headers=headers
    )


def _edge(request: Request[Any, Any, Any], error: ApiError) -> Response[bytes]:
    return _response(
        request.scope, error.status, error.message, error.details, headers=error.headers
    )


def _framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    status = error.status_code
    if isinstance(error, ValidationException):
        return _invalid(request, error)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _fault(request, error)
    text = {404: "not found", 405: "method not allowed"}.get(status, error.detail)
    return _response(request.scope, status, text, {}, headers=error.headers)


def _invalid(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """Parameters that the route cannot read; bodies have their own way (`ApiRequest.json`)."""
    problems = error.extra if isinstance(error.extra, Sequence) else ()
    named = [one for one in problems if isinstance(one, Mapping)]
    fields = [str(one["key"]) for one in named if "key" in one]
    if fields == ["data"]:  # a body is required and there was none
        return _edge(request, missing_body(request))
    if not named:
        fields = _PARAMETER.findall(error.detail)
        what = f"missing required parameter: {fields[0]}" if fields else "invalid parameters"
        return _response(request.scope, 400, what, {"fields": fields})
    text = "; ".join(
        f"invalid parameter {one.get('key', '')}: {one.get('message', '')}" for one in named
    )
    return _response(request.scope, 400, text, {"fields": fields})


def missing_body(request: Request[Any, Any, Any]) -> ApiError:
    """What is wrong with a request that came without the body its route needs."""
    if not is_json(request.headers.get("content-type", "")):
        return not_json(request)
    return ApiError(400, "malformed JSON body", fields=[])


def not_json(request: Request[Any, Any, Any]) -> ApiError:
    """415, or the status that the route gives to every body it cannot read."""
    status = body_error_status(request, 415)
    return ApiError(status, "expected Content-Type: application/json", fields=[])


def body_error_status(request: Request[Any, Any, Any], usual: int) -> int:
    """Routes with `opt={"body_error_status": 400}` answer so to every unreadable body."""
    chosen = request.route_handler.opt.get("body_error_status", usual)
    assert isinstance(chosen, int)
    return chosen


def is_json(content_type: str) -> bool:
    """Whether a media type is JSON: `application/json` or `application/…+json`."""
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or (
        media.startswith("application/") and media.endswith("+json")
    )


def _fault(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """A fault of ours: everything to the log, nothing to the client but the request's id."""
    scope = request.scope
    _log.error(
        "request failed",
        request_id=request_id_of(scope),
        method=scope["method"],
        path=scope["path"],
        exc_info=error,
    )
    return _response(scope, 500, "internal server error", {})


def refusal(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """The answer to an error, for what does not pass the framework."""
    if isinstance(error, tree.AiMemoryError):
        return _ours(request, error)
    if isinstance(error, ApiError):
        return _edge(request, error)
    return _fault(request, error)


def exception_handlers() -> ExceptionHandlersMap:
    """For the framework: the outermost frame of every request."""
    return {
        tree.AiMemoryError: _ours,
        ApiError: _edge,
        HTTPException: _framework,
        Exception: _fault,
    }
