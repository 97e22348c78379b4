"""`POST /api/v1/memories` past the router: the route that writes spend their time on.

Routing, parameter injection and response building cost more than the store itself. A request that
is sound takes this way; anything that cannot be read or checked goes the usual way with the same
body, so every refusal has one author. The route in the controller stays what the API document
describes and what tests compare this with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec
from litestar.enums import ScopeType

from app.api.controllers.memories import claimed_caller, store_answer
from app.api.dependencies import state_of
from app.api.errors import ApiError, is_json
from app.api.raw import read_body, refuse, replayed, reply
from app.api.schemas.memories import CreateMemoryBody
from app.domain.errors import AiMemoryError, InvalidInputError

if TYPE_CHECKING:
    from litestar import Litestar
    from litestar.datastructures import State
    from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

    from app.services.caller import Caller
    from app.services.new_memory import CheckedMemory

STORE_PATH: Final = "/api/v1/memories"
_PATHS: Final = frozenset({STORE_PATH, f"{STORE_PATH}/"})
_JSON: Final = b"application/json"
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(CreateMemoryBody)


class HotStore:
    """Stands between the gate and the router."""

    def __init__(self, app: ASGIApp, litestar: Litestar) -> None:
        self._app = app
        self._litestar = litestar

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        http: HTTPScope = scope
        if http["method"] != "POST" or http["path"] not in _PATHS:
            await self._app(scope, receive, send)
            return
        try:
            body = await read_body(receive)
        except ApiError as error:
            await refuse(http, send, error)
            return
        state = self._litestar.state
        try:
            data, accepted, caller = _understand(http, body, state)
        except (ApiError, AiMemoryError, msgspec.MsgspecError, ValueError, RecursionError):
            await self._app(scope, replayed(body, receive), send)
            return
        try:
            stored = await state_of(state).memories.store(accepted, caller)
            answer = _ENCODER.encode(store_answer(stored, data))
        except Exception as error:  # noqa: BLE001 - the outermost frame of this request
            await refuse(http, send, error)
            return
        await reply(send, 201, _JSON, answer)


def _understand(
    scope: HTTPScope, body: bytes, state: State
) -> tuple[CreateMemoryBody, CheckedMemory, Caller]:
    if not is_json(_content_type(scope)):
        raise InvalidInputError("expected Content-Type: application/json")
    data = _DECODER.decode(body)
    accepted = state_of(state).memories.check(data.new_memory())
    return data, accepted, claimed_caller(scope, state, data)


def _content_type(scope: HTTPScope) -> str:
    for name, value in scope["headers"]:
        if name == b"content-type":
            return value.decode("latin-1")
    return ""
