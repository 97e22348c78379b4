"""Files that count while a node runs: read again when they change, or on SIGHUP.

A file that cannot be used changes nothing: what held goes on to hold, and the log says so.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from pathlib import Path

T = TypeVar("T")
_Look: TypeAlias = "tuple[object, ...]"

POLL_SECONDS: Final = 2.0
_LOGGER = logging.getLogger(__name__)


class ReloadError(Exception):
    """What was read cannot hold; the message says why."""


class Watched(Protocol):
    """One thing that is made from files."""

    def look(self) -> bool:
        """Whether the files differ from the last look; the first one only remembers them."""
        ...

    async def reload(self) -> bool:
        """Read the files and use them; False if they cannot be used."""
        ...


@dataclass(slots=True)
class Reloadable(Generic[T]):
    """A `Watched` thing.

    `load` runs in a thread and raises `ReloadError`; `apply` runs on the event loop, puts the new
    value in force as a whole, and may raise it, too.
    """

    name: str
    files: Callable[[], Iterable[Path]]
    load: Callable[[], T]
    apply: Callable[[T], Awaitable[None]]
    _seen: _Look | None = field(default=None, init=False)

    def look(self) -> bool:
        now = tuple(_state(one) for one in self.files())
        before, self._seen = self._seen, now
        return before is not None and before != now

    async def reload(self) -> bool:
        try:
            await self.apply(await asyncio.to_thread(self.load))
        except ReloadError as error:
            _LOGGER.error("%s: what held before goes on to hold: %s", self.name, error)  # noqa: TRY400 - the file is at fault, not a line of ours
            return False
        _LOGGER.warning("%s: read again", self.name)
        return True


class Reloader:
    """Looks at every thing's files now and then."""

    def __init__(self, things: Sequence[Watched]) -> None:
        self._things = things
        self._turn = asyncio.Lock()
        for one in things:
            one.look()

    async def check(self, *, everything: bool = False) -> int:
        """Reload what changed, or `everything`; how many things were read again."""
        done = 0
        async with self._turn:
            for one in self._things:
                if one.look() or everything:
                    done += await one.reload()
        return done

    async def run(self) -> None:
        """Check for ever."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.check()


def _state(path: Path) -> _Look:
    """What changes when a file does, or what a link leads to, or a file of a folder."""
    try:
        found = path.stat()
        within = tuple(_state(one) for one in sorted(path.iterdir())) if path.is_dir() else ()
    except OSError:
        return (path, None)
    return (path, found.st_mtime_ns, found.st_size, found.st_ino, within)
