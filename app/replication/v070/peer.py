"""A v0.7.0 node as one of this node's peers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.domain.timestamps import format_instant
from app.replication.messages import Refused
from app.replication.v070.outgoing import UNSUPPORTED, load_of, owner_key
from app.replication.v070.pulling import Puller
from app.replication.v070.sending import Sender

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.sources import Clock
    from app.log.entry import Entry
    from app.replication.v070.client import V070Client
    from app.replication.v070.lane import Position
    from app.replication.v070.pulling import Local
    from app.store.protocol import Store


@dataclass(frozen=True, slots=True)
class V070Outcome:
    """What became of entries, as an ack says it: an entry counts if it is decided, not refused."""

    decided_up_to: dict[str, int]
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OldPeer:
    """A v0.7.0 node, and where it is remembered how far it has come."""

    peer: V070Peer
    position: Position


class V070Peer:
    """Pushes entries as rows, pulls rows; both may be repeated."""

    def __init__(
        self, client: V070Client, identity: str, store: Store, local: Local, clock: Clock
    ) -> None:
        self.url = client.url
        self._store = store
        self._clock = clock
        self.sender = Sender(client, identity)
        self._client = client
        self._puller = Puller(client, local, self._now)

    async def probe(self) -> None:
        """Find out whether it is one.

        Raises:
            PeerCallError: it is not, cannot be reached, or gives nothing to this node.
        """
        await self._client.since(self._now(), 1)

    async def push(self, entries: Sequence[Entry]) -> V070Outcome:
        """Tell the peer what entries changed, and learn which of them it took.

        Raises:
            PeerCallError: the peer cannot be reached, or takes nothing from this node.
            StoreUnavailableError: this node's own rows cannot be read now.
        """
        load = await load_of(entries, self._store, self._now())
        if load.first:
            # What is not in its archive it skips, and then takes as a row.
            await self.sender.send(load.first)
        refusals = await self.sender.send(load.items)
        codes = dict.fromkeys(load.unsupported, UNSUPPORTED)
        for place, code in refusals.items():
            codes.update(dict.fromkeys(load.owners[owner_key(load.items[place])], code))
        decided: dict[str, int] = {}
        for entry in entries:
            decided[entry.origin] = max(entry.seq, decided.get(entry.origin, 0))
        refused = [Refused(origin, seq, code) for (origin, seq), code in sorted(codes.items())]
        return V070Outcome(decided, refused)

    async def pull(self, *, everything: bool = False) -> int:
        """Take over what the peer has and this node lacks; how many rows changed something.

        `everything`: look at all of its rows, not only at those after the cursor.

        Raises:
            PeerCallError: the peer cannot be reached, or gives nothing to this node.
            StoreUnavailableError: this node cannot write now.
        """
        return await self._puller.pull(everything=everything)

    def _now(self) -> str:
        return format_instant(self._clock.now())
