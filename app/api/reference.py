"""Prints the OpenAPI document: `python -m app.api.reference`."""

from __future__ import annotations

import sys

import msgspec
from litestar import Litestar

from app.api.dependencies import dependencies
from app.api.openapi import completed, openapi_config
from app.api.request import ApiRequest
from app.api.routes import ROUTES
from app.domain.version import WIRE_VERSION


def render() -> bytes:
    """The document as `GET /schema/openapi.json` answers it, indented."""
    app = Litestar(
        route_handlers=ROUTES,
        dependencies=dependencies(),
        request_class=ApiRequest,
        openapi_config=openapi_config(WIRE_VERSION),
        logging_config=None,
    )
    document = completed(app.openapi_schema.to_schema())
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


if __name__ == "__main__":
    sys.stdout.buffer.write(render())
