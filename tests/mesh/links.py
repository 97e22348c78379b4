"""Connections that can fail: a proxy of our own between every two nodes, one for each direction.

A link carries what one node sends to another's port. Cutting it stops that node's calls only, so
a partition may be one-way; what is open is cut too. No privilege is needed.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import urlsplit

from tools.fleet.fleet import LOOPBACK, Fleet

_CHUNK_BYTES = 64 * 1024


@dataclass
class Link:
    """One node's way to another; set from a test's thread, and read in the loop's."""

    source: str
    target: str
    target_port: int
    chance: Random
    port: int = 0
    is_cut: bool = False
    is_silent: bool = False
    """Connected, and nothing passes any more: as with packets that are dropped."""
    lost: float = 0.0
    """Share of the connections that break, at once or after some bytes."""
    delay_seconds: float = 0.0
    carried_bytes: int = 0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self) -> asyncio.Server:
        server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def break_open(self) -> None:
        """End what is open; called in the loop."""
        for writer in self._open:
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            writer.transport.abort()
            return
        budget = self.chance.randrange(1, 20_000) if self.chance.random() < self.lost else None
        ends = {writer}
        try:
            back, forth = await asyncio.open_connection(LOOPBACK, self.target_port)
            ends.add(forth)
            self._open |= ends
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, forth, budget))
                both.create_task(self._pump(back, writer, budget))
        except* (OSError, _BrokenError):
            pass
        finally:
            self._open -= ends
            for one in ends:
                one.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None
    ) -> None:
        while data := await reader.read(_CHUNK_BYTES):
            while self.is_silent:  # noqa: ASYNC110  # set from another thread
                await asyncio.sleep(0.01)
            if self.delay_seconds:
                await asyncio.sleep(self.delay_seconds)
            if budget is not None:
                budget -= len(data)
                if budget < 0:
                    raise _BrokenError
            self.carried_bytes += len(data)
            writer.write(data)
            await writer.drain()
        raise _BrokenError  # a kept connection has no use for one half


class _BrokenError(Exception):
    """The connection is over."""


class Links:
    """All ways of a fleet; made before its nodes start, whose peers they become."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet = fleet
        names = list(fleet.nodes)
        self._links = {
            (one, other): Link(
                one, other, urlsplit(fleet[other].url).port or 0, Random(f"{seed} {one} {other}")
            )
            for one in names
            for other in names
            if one != other
        }
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers = [self._run(link.serve()) for link in self._links.values()]
        for name in names:
            command = fleet[name].command
            ways = [
                f"https://{LOOPBACK}:{self[name, other].port}" for other in names if other != name
            ]
            command[command.index("--quorum-peers") + 1] = ",".join(ways)

    def __getitem__(self, ends: tuple[str, str]) -> Link:
        return self._links[ends]

    def cut(self, ways: Iterable[tuple[str, str]]) -> None:
        """Refuse new connections on these ways, and end the open ones."""
        for ends in ways:
            self[ends].is_cut = True
            self._loop.call_soon_threadsafe(self[ends].break_open)

    def part(self, some: Iterable[str]) -> None:
        """Leave no way between these nodes and the others, in either direction."""
        inside = set(some)
        self.cut(ends for ends in self._links if (ends[0] in inside) != (ends[1] in inside))

    def silence(self, ways: Iterable[tuple[str, str]]) -> None:
        """Let nothing pass on these ways, without a word."""
        for ends in ways:
            self[ends].is_silent = True

    def trouble(self, *, lost: float = 0.0, delay_seconds: float = 0.0) -> None:
        """Break a share of all connections, and delay what the others carry."""
        for link in self._links.values():
            link.lost, link.delay_seconds = lost, delay_seconds
        if lost:
            self._break_all()

    def heal(self) -> None:
        """Nothing is wrong any more; what had fallen silent begins anew."""
        for link in self._links.values():
            link.is_cut = link.is_silent = False
            link.lost = link.delay_seconds = 0.0
        self._break_all()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for link in self._links.values():
            link.is_cut, link.is_silent = True, False
        carrying = asyncio.all_tasks() - {asyncio.current_task()}
        while carrying:
            for link in self._links.values():
                link.break_open()
            _, carrying = await asyncio.wait(carrying, timeout=0.05)
        await asyncio.sleep(0.05)  # for transports to tell that they are gone

    def _break_all(self) -> None:
        for link in self._links.values():
            self._loop.call_soon_threadsafe(link.break_open)

    def _run(self, serving: Coroutine[Any, Any, asyncio.Server]) -> asyncio.Server:
        return asyncio.run_coroutine_threadsafe(serving, self._loop).result()
