"""What `sync` and `sync-daemon` ask of the store's node, over its control socket only."""

from __future__ import annotations

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from app.api.dependencies import Provided
from app.domain.errors import ForbiddenError, InvalidInputError
from app.domain.validation import instant
from app.replication.v070.wire import ItemResult
from app.services.bundle import Services
from app.services.caller import Caller

_PEER_CHARACTERS_MAX = 128


class PulledBody(msgspec.Struct, frozen=True):
    """Rows of a peer as they came; with `pulled_to` the cursor is kept with them.

    `owner`: rows that are new here become that agent's.
    """

    peer: str
    memories: list[object]
    links: list[object] = []
    pulled_to: str | None = None
    owner: str | None = None
    dry_run: bool = False


class PulledAnswer(msgspec.Struct, frozen=True):
    """What became of them."""

    new: int
    updated: int
    noop: int
    skipped: int
    links: int
    results: list[ItemResult]


class PushedBody(msgspec.Struct, frozen=True):
    """A peer has every own row up to this time."""

    peer: str
    pushed_to: str


class PositionBody(msgspec.Struct, frozen=True):
    """How far this node has come with a peer, and under which name."""

    identity: str
    pulled_to: str | None
    pushed_to: str | None


class LocalSyncController(Controller):
    """No part of the interface: whoever may call it could open the file instead."""

    path = "/api/v1/sync"
    include_in_schema = False

    @get("/position")
    async def position(
        self, services: NamedDependency[Services], caller: Provided[Caller], peer: FromQuery[str]
    ) -> PositionBody:
        """How far this node has come with a peer."""
        _require_file(caller)
        found = await services.sync.position(peer)
        return PositionBody(services.sync.rules.identity, found.pulled_to, found.pushed_to)

    @post("/pulled", status_code=200)
    async def pulled(
        self,
        data: JSONBody[PulledBody],
        services: NamedDependency[Services],
        caller: Provided[Caller],
    ) -> PulledAnswer:
        """Merge rows, all of them in one transaction."""
        _require_file(caller)
        if not 0 < len(data.peer) <= _PEER_CHARACTERS_MAX:
            raise InvalidInputError("peer is empty or too long", fields=["peer"])
        received = await services.sync.take(
            data.peer,
            data.memories,
            data.links,
            pulled_to=data.pulled_to,
            owner=data.owner,
            dry_run=data.dry_run,
        )
        return PulledAnswer(
            new=received.count("memories", "new"),
            updated=received.count("memories", "updated"),
            noop=received.count("memories", "noop"),
            skipped=received.count("memories", "skipped"),
            links=received.count("links", "new", "updated"),
            results=list(received.results),
        )

    @post("/pushed", status_code=200)
    async def pushed(
        self,
        data: JSONBody[PushedBody],
        services: NamedDependency[Services],
        caller: Provided[Caller],
    ) -> None:
        """Remember how far a peer has come."""
        _require_file(caller)
        await services.sync.note_pushed(data.peer, instant(data.pushed_to, "pushed_to"))


def _require_file(caller: Caller) -> None:
    if not caller.from_control_socket:
        raise ForbiddenError("only over the node's control socket")
