"""Who this node is, said to peers; and what a peer's word is worth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.timestamps import epoch_milliseconds
from app.log.epochs import parse_origin
from app.replication.here import node_of
from app.replication.messages import PROTOCOL, Hello, Refused, WireHead
from app.replication.ports import Failure, PeerCallError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain.sources import Clock
    from app.replication.here import Here
    from app.replication.ports import NodeKey, Trust
    from app.store.protocol import Store

REFUSALS_TOLD_MAX: Final = 10_000
_NODE_ID: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Speaker:
    """What a node says of itself and never changes while it runs."""

    identity: str
    software: str
    schema: int
    model: str | None


class Introductions:
    """Makes this node's hellos and checks those of others."""

    def __init__(
        self, speaker: Speaker, store: Store, here: Here, key: NodeKey, trust: Trust, clock: Clock
    ) -> None:
        self._speaker = speaker
        self._store = store
        self._here = here
        self._key = key
        self._trust = trust
        self._clock = clock

    async def make(
        self, cursors: Mapping[str, Mapping[str, int]], asker: str | None = None
    ) -> Hello:
        """Our hello; an answer also says which of the asker's entries are kept apart here."""
        heads = await self._here.refresh()
        refused: list[Refused] = []
        if asker is not None:
            rows = await self._store.quarantined(REFUSALS_TOLD_MAX)
            refused = [
                Refused(one.origin, one.seq, one.code)
                for one in rows
                if node_of(one.origin) == asker
            ]
        return Hello(
            node_id=self._here.node_id,
            origin=self._here.origin,
            identity=self._speaker.identity,
            store_id=self._store.store_id,
            protocol=PROTOCOL,
            software=self._speaker.software,
            schema=self._speaker.schema,
            now_ms=epoch_milliseconds(self._clock.now()),
            public_key=self._key.public_bytes,
            clock=dict(self._here.clock),
            model=self._speaker.model,
            cursors={node: dict(clock) for node, clock in cursors.items()},
            heads=[WireHead(one.origin, one.seq, one.hash, one.hlc) for one in heads if one.seq],
            refused=refused,
        )

    def check_answer(self, hello: Hello) -> None:
        """Whether a peer that we called can be talked to.

        Raises:
            PeerCallError: it speaks another protocol, is this node, or has another key than the
                one that is bound to it.
        """
        why = flaw_of(hello)
        if why is None and hello.node_id == self._here.node_id:
            why = "this address leads back to this node"
        if why is not None:
            raise PeerCallError(Failure.INCOMPATIBLE, why)
        bound = self._trust.key_of(hello.node_id)
        if bound is not None and bound != hello.public_key:
            raise PeerCallError(
                Failure.REFUSED, f"node {hello.node_id} shows another key than the one bound to it"
            )


def flaw_of(hello: Hello) -> str | None:
    """Why nobody can talk to whoever said this; None if one can."""
    parsed = parse_origin(hello.origin)
    if hello.protocol != PROTOCOL:
        return f"it speaks protocol {hello.protocol}, this node {PROTOCOL}"
    if not _NODE_ID.fullmatch(hello.node_id) or parsed is None or parsed.node_id != hello.node_id:
        return "its node id and origin do not fit together"
    return None
