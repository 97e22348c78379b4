"""Fetching vectors that others made, where the entries that carried them did not bring them.

So it is after this node's model changed, after a repair, and where a snapshot came without. Texts
that nobody has a vector of, for long and whoever should, become this node's own to embed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.replication.enduring import enduring
from app.replication.messages import Method, Vectors, VectorsAsked
from app.replication.ports import PeerCallError
from app.replication.quorum import Reach

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from app.replication.embedding import EmbeddingDuties
    from app.replication.here import Here
    from app.replication.lane import Lane
    from app.replication.scopes import Scopes
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)

LOOK_SECONDS: Final = 10.0
"""A vector that is on its way gets so long before it is asked for."""
IDS_AT_ONCE: Final = 128
OVERDUE_SECONDS: Final = 600.0
"""For how long others are waited for that live and should have embedded a text."""


@dataclass(slots=True)
class Fetched:
    """Counts since the start."""

    vectors: int = 0


class VectorFetching:
    """Asks peers of the same model for what lacks here and is theirs to make."""

    def __init__(
        self,
        model: str | None,
        duties: EmbeddingDuties,
        store: Store,
        here: Here,
        scopes: Scopes,
        lanes: Mapping[str, Lane],
    ) -> None:
        """`lanes` is looked at anew each time."""
        self._model = model
        self._duties = duties
        self._store = store
        self._here = here
        self._scopes = scopes
        self._lanes = lanes
        self._waiting: dict[str, float] = {}
        """Memories that lacked a vector at the last look → since when. The event loop's time."""
        self.counts = Fetched()

    async def run(self) -> None:
        """Look for what lacks, for ever."""
        while self._model is not None:
            await asyncio.sleep(LOOK_SECONDS)
            with enduring(_LOGGER, "vectors are not fetched"):
                patience = LOOK_SECONDS
                while await self._fetch(self._model, patience):
                    patience = 0.0  # behind a text that was missed others were, too

    async def _fetch(self, model: str, patience: float) -> bool:
        """Fetch a page of what waited for so many seconds; whether there may be more."""
        duties = self._duties.now()
        rows = await self._store.unembedded(
            model, IDS_AT_ONCE, lambda memory_id, origin: not duties(memory_id, origin)
        )
        now = asyncio.get_running_loop().time()
        self._waiting = {one.memory_id: self._waiting.get(one.memory_id, now) for one in rows}
        wanted = {one for one, since in self._waiting.items() if now - since >= patience}
        found: set[str] = set()
        for lane in self._able(model):
            if wanted - found:
                found |= await self._ask(lane, model, wanted - found)
        self.counts.vectors += len(found)
        overdue = {one for one in wanted - found if now - self._waiting[one] >= OVERDUE_SECONDS}
        if overdue:
            _LOGGER.warning("nobody embedded %d texts for long: this node does", len(overdue))
            self._duties.give_up_waiting(overdue)
        return bool(found)

    def _able(self, model: str) -> Iterator[Lane]:
        for lane in list(self._lanes.values()):
            peer = lane.peer
            if (
                lane.reach is Reach.UP
                and peer.model == model
                and peer.store_id != self._store.store_id
                and peer.node_id is not None
                and not self._scopes.is_limited(peer.node_id)
            ):
                yield lane

    async def _ask(self, lane: Lane, model: str, wanted: Collection[str]) -> set[str]:
        """Take what a peer has; whose vectors came."""
        message = VectorsAsked(self._here.node_id, model, sorted(wanted))
        try:
            answer = await lane.line.ask(Method.VECTORS, message, Vectors)
        except PeerCallError as error:
            _LOGGER.info("no vectors from %s: %s", lane.url, error)
            return set()
        vectors = [one for one in answer.vectors if one.memory_id in wanted and one.model == model]
        await self._store.join_states([], vectors=vectors)
        # Those of another text than the one here, on its way to one side or the other, are none.
        lacking = {
            one.memory_id
            for one in await self._store.unembedded(
                model, len(vectors), lambda memory_id, _: memory_id in wanted
            )
        }
        return {one.memory_id for one in vectors} - lacking
