"""Reading bodies: strictly, once, and with errors that name the field."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.datastructures import State
from litestar.handlers.base import BaseRouteHandler
from litestar.typing import FieldDefinition
from pydantic import BaseModel, TypeAdapter, ValidationError
from typing_extensions import override

from app.api.errors import ApiError, body_error_status, is_json, not_json

_MISSING: Final = re.compile(r"missing required field `([^`]+)`")
_PLACE: Final = re.compile(r" - at `\$\.?([^`]*)`$")
_NO_NUMBER: Final = "Number out of range"
_UNPROCESSABLE: Final = 422


class ApiRequest(Request[Any, Any, State]):  # the framework's own parameters: no user, no auth
    """Decodes a JSON body into the type of the handler's `data`.

    Types are taken strictly: `"5"` is no number. Anything wrong is an `ApiError`: 415 without
    a JSON content type, 400 for text that is no JSON, 422 for wrong or missing fields; or the one
    status that the route's `opt={"body_error_status": …}` names.
    """

    @override
    async def json(self) -> Any:
        if not is_json(self.headers.get("content-type", "")):
            raise not_json(self)
        body = await self.body()
        try:
            return _reader(self.route_handler)(body)
        except msgspec.ValidationError as error:
            text = str(error)
            if text.startswith(_NO_NUMBER):
                raise ApiError(
                    400, "malformed JSON body: number out of range", fields=[]
                ) from error
            raise _wrong_field(self, text) from error
        except ValidationError as error:
            raise _wrong_fields(self, error) from error
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ApiError(400, "malformed JSON body", fields=[]) from error


class _Reader:
    """Bytes to the type of one handler's body."""

    def __init__(self, handler: BaseRouteHandler) -> None:
        parameter = handler.parsed_fn_signature.parameters.get("data")
        wanted = Any if parameter is None else parameter.annotation
        is_pydantic = parameter is not None and _has_model(parameter)
        self._adapter = TypeAdapter[Any](wanted) if is_pydantic else None
        self._decoder = msgspec.json.Decoder[Any](Any if is_pydantic else wanted)

    def __call__(self, body: bytes) -> Any:
        decoded = self._decoder.decode(body)
        if self._adapter is None:
            return decoded
        # Read again by pydantic's own JSON mode, where a strict model still takes a list for a
        # tuple. The first reading refuses what is no JSON, NaN and half surrogates among it.
        return self._adapter.validate_json(body)


def _has_model(field: FieldDefinition) -> bool:
    return field.is_subclass_of(BaseModel) or any(map(_has_model, field.inner_types))


@cache
def _reader(handler: BaseRouteHandler) -> _Reader:
    return _Reader(handler)


def _wrong_field(request: ApiRequest, text: str) -> ApiError:
    status = body_error_status(request, _UNPROCESSABLE)
    place = _PLACE.search(text)
    above = place.group(1) if place else ""
    missing = _MISSING.search(text)
    if missing:
        field = missing.group(1)
        name = f"{above}.{field}" if above else field
        return ApiError(status, f"missing required field: {name}", fields=[name])
    reason = _PLACE.sub("", text)
    message = f"invalid request body: {above}: {reason}" if above else "invalid request body"
    return ApiError(status, message, fields=[above] if above else [], detail=reason)


def _wrong_fields(request: ApiRequest, error: ValidationError) -> ApiError:
    status = body_error_status(request, _UNPROCESSABLE)
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    fields = [".".join(str(step) for step in problem["loc"]) for problem in problems]
    first, name = problems[0], fields[0]
    if first["type"] == "json_invalid":  # nested deeper than pydantic reads
        return ApiError(400, "malformed JSON body", fields=[])
    if first["type"] == "missing":
        return ApiError(status, f"missing required field: {name}", fields=fields)
    where = f": {name}" if name else ""
    return ApiError(status, f"invalid request body{where}: {first['msg']}", fields=fields)
