"""Reconciliation by a process beside the node: pull each peer, push it what it lacks, repeat.

The node that has the store does all reading and writing, asked over its control socket.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import httpx
import msgspec

from app.domain.errors import AiMemoryError, StoreUnavailableError
from app.domain.timestamps import TimestampError
from app.replication.ports import PeerCallError
from app.replication.v070.outgoing import Item
from app.replication.v070.pulling import Cut, Puller, settled
from app.replication.v070.sending import Sender
from app.replication.v070.times import instant_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from app.replication.v070.client import V070Client
    from app.replication.v070.times import Instant

    Open = Callable[[], AbstractAsyncContextManager[httpx.AsyncClient]]

_ROUTE: Final = "/api/v1/sync"
_OK: Final = 200
_REMEMBERED_MAX: Final = 100_000
_SHOWN_CHARACTERS: Final = 200


class _Page(msgspec.Struct):
    memories: list[dict[str, object]]
    next_since: str | None


class _Position(msgspec.Struct):
    identity: str
    pulled_to: str | None
    pushed_to: str | None


class _Taken(msgspec.Struct):
    new: int
    updated: int


class LocalNode:
    """The node that has the store, asked anew each time, so that none is held up by us."""

    def __init__(self, open_: Open) -> None:
        self._open = open_

    async def position(self, peer: str) -> _Position:
        """How far it has come with a peer.

        Raises:
            AiMemoryError: the store cannot be opened, or its node refuses.
        """
        query = urlencode({"peer": peer})
        return msgspec.json.decode(await self._ask("GET", f"/position?{query}"), type=_Position)

    async def rows_after(self, since: str | None, limit: int) -> _Page:
        """Its own next rows by the time of their update; raises as `position`."""
        given = {"limit": str(limit)} | ({} if since is None else {"since": since})
        raw = await self._ask("GET", f"/since?{urlencode(given)}")
        return msgspec.json.decode(raw, type=_Page)

    async def take(self, peer: str, rows: Sequence[object], pulled_to: str | None) -> int:
        """Merge rows of a peer, and remember how far it was pulled; raises as `position`."""
        body = {"peer": peer, "memories": rows, "pulled_to": pulled_to}
        taken = msgspec.json.decode(await self._ask("POST", "/pulled", body), type=_Taken)
        return taken.new + taken.updated

    async def note_pushed(self, peer: str, pushed_to: str) -> None:
        """Remember how far a peer has come; raises as `position`."""
        await self._ask("POST", "/pushed", {"peer": peer, "pushed_to": pushed_to})

    async def _ask(
        self, method: str, target: str, body: Mapping[str, object] | None = None
    ) -> bytes:
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if content is None else {"content-type": "application/json"}
        async with self._open() as client:
            try:
                reply = await client.request(
                    method, _ROUTE + target, content=content, headers=headers
                )
            except httpx.HTTPError as error:
                raise StoreUnavailableError(f"the node did not answer: {error!r}") from error
        if reply.status_code != _OK:
            raise StoreUnavailableError(
                f"the node answered {reply.status_code}: {reply.text[:200]}"
            )
        return reply.content


@dataclass(frozen=True, slots=True)
class _Pulled:
    """The node's side of a pull; remembers what came, so that it is not sent back."""

    node: LocalNode
    peer: str
    known: dict[str, Instant]

    async def pulled_to(self) -> str | None:
        return (await self.node.position(self.peer)).pulled_to

    async def take(self, rows: Sequence[object], pulled_to: str | None) -> int:
        for row in rows:
            if isinstance(row, dict):
                _remember(self.known, row)
        return await self.node.take(self.peer, rows, pulled_to)


def _remember(known: dict[str, Instant], row: Mapping[str, object]) -> None:
    memory_id, updated_at = row.get("id"), row.get("updated_at")
    if isinstance(memory_id, str) and isinstance(updated_at, str):
        if len(known) >= _REMEMBERED_MAX:
            known.pop(next(iter(known)))
        try:
            known[memory_id] = instant_of(updated_at)
        except TimestampError:
            return


@dataclass
class Round:
    """What one round did with one peer."""

    pulled: int = 0
    pushed: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    """Id → why the peer does not take it."""


class Reconciler:
    """Pulls one peer and pushes to it."""

    def __init__(
        self, node: LocalNode, client: V070Client, now: Callable[[], str], batch_rows: int
    ) -> None:
        self.url = client.url
        self._node = node
        self._client = client
        self._now = now
        self._batch_rows = batch_rows
        self._known: dict[str, Instant] = {}
        """What the peer has of rows that may be looked at again: id → time."""

    async def round(self) -> Round:
        """Once there and back.

        Raises:
            PeerCallError: the peer cannot be reached, or refuses this node.
            AiMemoryError: this node's store cannot be used now.
        """
        done = Round()
        local = _Pulled(self._node, self.url, self._known)
        done.pulled = await Puller(self._client, local, self._now, self._batch_rows).pull()
        position = await self._node.position(self.url)
        sender = Sender(self._client, position.identity)
        since = position.pushed_to
        while True:
            page = await self._node.rows_after(since, self._batch_rows)
            rows = [one for one in page.memories if not self._is_known(one)]
            items = [Item("memories", str(one["id"]), msgspec.json.encode(one)) for one in rows]
            refused = await sender.send(items)
            done.refused.update((items[place].key, code) for place, code in refused.items())
            done.pushed += len(items) - len(refused)
            for row in rows:
                _remember(self._known, row)
            since = page.next_since
            kept = settled(Cut(page.memories, since, is_last=False), self._now())
            if kept is not None and kept != position.pushed_to:
                await self._node.note_pushed(self.url, kept)
                self._forget(kept)
            if len(page.memories) < self._batch_rows:
                return done

    def _is_known(self, row: Mapping[str, object]) -> bool:
        """Whether the peer has this very row: it came from there, or was sent a moment ago."""
        at = self._known.get(str(row["id"]))
        return at is not None and instant_of(str(row["updated_at"])) <= at

    def _forget(self, pushed_to: str) -> None:
        """Rows that will not be looked at again."""
        reached = instant_of(pushed_to)
        for memory_id in [one for one, at in self._known.items() if at <= reached]:
            del self._known[memory_id]


async def reconcile(
    peers: Sequence[Reconciler], interval_seconds: float, say: Callable[[str], None]
) -> None:
    """Rounds with every peer, each at its own pace, until cancelled. `say` hears what changes."""
    async with asyncio.TaskGroup() as tasks:
        for peer in peers:
            tasks.create_task(_rounds(peer, interval_seconds, say))


async def _rounds(peer: Reconciler, interval_seconds: float, say: Callable[[str], None]) -> None:
    log = _Log(peer.url, say)
    while True:
        try:
            log.done(await peer.round())
        except PeerCallError as error:
            log.failed(str(error))
        except AiMemoryError as error:
            log.failed(f"here: {error.message}")
        await asyncio.sleep(interval_seconds)


class _Log:
    """Says what is new, and nothing twice."""

    def __init__(self, url: str, say: Callable[[str], None]) -> None:
        self._url = url
        self._say = say
        self._failing: str | None = None
        self._refused: dict[str, str] = {}
        self._is_new = True

    def failed(self, reason: str) -> None:
        if reason != self._failing:
            self._say(f"{self._url}: warning: {reason}")
        self._failing = reason

    def done(self, done: Round) -> None:
        if self._is_new or self._failing is not None or done.pulled or done.pushed:
            self._say(f"{self._url}: pulled {done.pulled}, pushed {done.pushed}")
        for memory_id, code in done.refused.items():
            if self._refused.get(memory_id) != code:
                self._say(f"{self._url}: warning: {memory_id} is not taken: {code}")
        if len(self._refused) > _REMEMBERED_MAX:
            self._refused.clear()
        self._refused.update(done.refused)
        self._failing, self._is_new = None, False
