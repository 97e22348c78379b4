"""Uses of memories, gathered in memory and written once a short interval (decisions on touch).

A crash may lose the last interval's; no answer waits for them.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from app.domain.errors import AiMemoryError, StoreClosedError
from app.domain.timestamps import format_instant
from app.services.commands.touches import TouchMemories
from app.store.protocol import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from app.domain.memory import Memory
    from app.domain.sources import Clock
    from app.store.protocol import Command, Receipt

_LOGGER: Final = logging.getLogger(__name__)
_ACTOR: Final = "system"
_ENTRY_ROWS_MAX: Final = 500


class Writer(Protocol):
    """The part of a store that touches need."""

    async def submit(self, command: Command[int]) -> Receipt[int]:
        """As `Store.submit`."""
        ...


@dataclass(frozen=True, slots=True)
class Extensions:
    """Seconds of life that one access earns a row that expires, by tier."""

    short: int = 3_600
    mid: int = 86_400

    def seconds(self, tier: str) -> int:
        return {"short": self.short, "mid": self.mid}.get(tier, 0)


class Touches:
    """Gathers uses. `run` flushes every `interval_seconds`; `rows_max` bounds what waits."""

    def __init__(
        self,
        store: Writer,
        clock: Clock,
        extensions: Extensions,
        *,
        interval_seconds: float = 1.0,
        rows_max: int = 20_000,
    ) -> None:
        self._store = store
        self._clock = clock
        self._extensions = extensions
        self._interval_seconds = interval_seconds
        self._rows_max = rows_max
        self._waiting: dict[str, Usage] = {}
        self._stopping = asyncio.Event()
        self.dropped = 0
        """Uses that found no room; they are not written."""

    def note(self, memories: Iterable[Memory]) -> None:
        """One use of each."""
        now = self._clock.now()
        accessed_at = format_instant(now)
        for memory in memories:
            before = self._waiting.get(memory.id)
            if before is None and len(self._waiting) >= self._rows_max:
                self.dropped += 1
                continue
            expires_at = None
            if memory.expires_at is not None:
                life = timedelta(seconds=self._extensions.seconds(memory.tier))
                expires_at = format_instant(now + life)
            accesses = 1 if before is None else before.accesses + 1
            self._waiting[memory.id] = Usage(memory.id, accesses, accessed_at, expires_at)

    async def flush(self) -> int:
        """Write what waits; answers how many rows were touched.

        Raises:
            AiMemoryError: the store refused; what was not written waits on.
        """
        touched = 0
        while self._waiting:
            usages = list(self._waiting.values())[:_ENTRY_ROWS_MAX]
            for usage in usages:
                del self._waiting[usage.memory_id]
            try:
                receipt = await self._store.submit(TouchMemories(usages, _ACTOR))
            except BaseException:
                self._take_back(usages)
                raise
            touched += receipt.result
        return touched

    async def run(self) -> None:
        """Flush until `stop`, and once more then."""
        while not self._stopping.is_set():
            try:
                async with asyncio.timeout(self._interval_seconds):
                    await self._stopping.wait()
            except TimeoutError:
                pass
            try:
                await self.flush()
            except StoreClosedError:
                return
            except AiMemoryError as error:  # a full disk today; the next interval tries again
                _LOGGER.warning("uses of memories could not be written: %s", error)

    def stop(self) -> None:
        """Let `run` write what waits and end."""
        self._stopping.set()

    def _take_back(self, usages: list[Usage]) -> None:
        for usage in usages:
            newer = self._waiting.get(usage.memory_id)
            if newer is None:
                self._waiting[usage.memory_id] = usage
            else:
                self._waiting[usage.memory_id] = Usage(
                    newer.memory_id,
                    usage.accesses + newer.accesses,
                    newer.accessed_at,
                    newer.expires_at,
                )
