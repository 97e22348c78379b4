"""Own committed entries on their way out: read, packed and signed once for all lanes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.log.signing import head_message
from app.replication.messages import Run, WireEntry, pack_run
from app.replication.scopes import may_send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.log.entry import Entry
    from app.replication.here import Here
    from app.replication.ports import NodeKey
    from app.replication.scopes import Scopes
    from app.store.protocol import Store


@dataclass(frozen=True, slots=True)
class Parcel:
    """A run that is ready to go."""

    run: Run
    entries: tuple[Entry, ...]
    bytes: int

    @property
    def last(self) -> int:
        """The number of its last entry."""
        return self.run.after + len(self.entries)


class Outbox:
    """Reads own entries for lanes; those that ask for the same share one read."""

    def __init__(self, store: Store, here: Here, key: NodeKey) -> None:
        self._store = store
        self._here = here
        self._key = key
        self._shared: dict[tuple[str, int, int], asyncio.Task[Parcel | None]] = {}

    def news(self) -> None:
        """Something was committed: what was read before may be too short now."""
        self._shared.clear()

    async def after(self, origin: str, seq: int, max_bytes: int) -> Parcel | None:
        """Entries of an own origin after a number, at least one; None at its end.

        Raises:
            LogTruncatedError: they are no longer kept.
        """
        asked = (origin, seq, max_bytes)
        shared = self._shared.get(asked)
        if shared is None:
            shared = asyncio.create_task(self._read(*asked))
            self._shared[asked] = shared
        return await asyncio.shield(shared)

    async def _read(self, origin: str, seq: int, max_bytes: int) -> Parcel | None:
        found = await self._store.log_run(origin, seq, max_bytes)
        if found is None:
            return None
        last = found.entries[-1]
        self._here.moved({origin: last.seq})
        signature = self._key.sign(head_message(origin, last.seq, last.hash))
        run = pack_run(origin, found.after, found.after_hash, found.entries, signature)
        size = sum(len(one.header) + len(one.payload or b"") for one in found.entries)
        return Parcel(run, found.entries, size)


async def with_holes(
    run: Run, entries: Sequence[Entry], scopes: Scopes, node_id: str, store: Store
) -> tuple[Run, list[int]]:
    """A run as a node may see it, and the numbers of entries whose payloads stay here."""
    holes = []
    wire = list(run.entries)
    for place, entry in enumerate(entries):
        if entry.payload is not None and not await may_send(scopes, node_id, entry, store):
            holes.append(entry.seq)
            wire[place] = WireEntry(entry.header, None, entry.payload_hash)
    return Run(run.origin, run.after, run.after_hash, wire, run.signature), holes
