"""What peers are shown of the states here: digests, rows of buckets, states, and all of them.

A peer whose scope is limited is shown none of it: these go around the checks of single entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.log.state import EntityKey
from app.replication.answers import decode_request
from app.replication.messages import (
    BucketAsked,
    BucketRow,
    BucketRows,
    Digests,
    DigestsAsked,
    Method,
    Refused,
    SnapshotAsked,
    SnapshotPage,
    States,
    StatesAsked,
    Vectors,
    VectorsAsked,
    WireHead,
    WireState,
    WireVector,
)
from app.replication.ports import UntrustedPeerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.replication.answers import Answers
    from app.replication.scopes import Scopes
    from app.store.protocol import StateRow, Store, VectorRow

KEYS_MAX: Final = 256
SNAPSHOT_BYTES_MAX: Final = 1024 * 1024
"""No page holds more states than that, whatever is asked, unless one state alone does."""
_QUARANTINE_MAX: Final = 200


class Showing:
    """Answers for `Comparing` and for snapshots of other nodes."""

    def __init__(self, store: Store, scopes: Scopes) -> None:
        self._store = store
        self._scopes = scopes

    def join(self, answers: Answers) -> None:
        """Be asked."""
        answers.add(Method.DIGEST, self._digest)
        answers.add(Method.BUCKET, self._bucket)
        answers.add(Method.STATES, self._states)
        answers.add(Method.SNAPSHOT, self._snapshot)
        answers.add(Method.VECTORS, self._vectors)

    def _admit(self, node_id: str) -> None:
        if self._scopes.is_limited(node_id):
            raise UntrustedPeerError("scope_limited", f"node {node_id} may not see whole states")

    async def _digest(self, node_id: str, body: bytes) -> Digests:
        decode_request(DigestsAsked, body, node_id)
        self._admit(node_id)
        clock, digests = await self._store.clocked_digests()
        apart = await self._store.quarantined(_QUARANTINE_MAX)
        return Digests(
            clock.as_dict(),
            b"".join(digests),
            [Refused(one.origin, one.seq, one.code) for one in apart],
        )

    async def _bucket(self, node_id: str, body: bytes) -> BucketRows:
        message = decode_request(BucketAsked, body, node_id)
        self._admit(node_id)
        rows = await self._store.bucket_rows(message.buckets)
        # Read after the rows: whoever has all of this clock has all that they show.
        clock = await self._store.clock()
        return BucketRows(
            clock.as_dict(), [BucketRow(key.kind, key.key, digest) for key, digest in rows]
        )

    async def _states(self, node_id: str, body: bytes) -> States:
        message = decode_request(StatesAsked, body, node_id)
        self._admit(node_id)
        keys = [EntityKey(*one) for one in message.keys[:KEYS_MAX]]
        return States(_wire(await self._store.states_of(keys)))

    async def _snapshot(self, node_id: str, body: bytes) -> SnapshotPage:
        message = decode_request(SnapshotAsked, body, node_id)
        self._admit(node_id)
        # Read before the first state: what the log holds up to there is in the states.
        heads = await self._store.heads() if message.after is None else []
        bytes_max = min(message.max_bytes, SNAPSHOT_BYTES_MAX)
        rows = await self._store.states_after(message.after, bytes_max)
        vectors = await self._store.vectors_of([one.key for one in rows if one.kind == "memory"])
        return SnapshotPage(
            states=_wire(rows),
            vectors=_wire_vectors(vectors),
            heads=[WireHead(one.origin, one.seq, one.hash, one.hlc) for one in heads if one.seq],
            next=(rows[-1].kind, rows[-1].key) if rows else None,
        )

    async def _vectors(self, node_id: str, body: bytes) -> Vectors:
        message = decode_request(VectorsAsked, body, node_id)
        self._admit(node_id)
        found = await self._store.vectors_of(message.memory_ids[:KEYS_MAX])
        return Vectors(_wire_vectors(one for one in found if one.model == message.model))


def _wire_vectors(rows: Iterable[VectorRow]) -> list[WireVector]:
    return [
        WireVector(v.memory_id, v.stamp, v.content_hash, v.model, v.dim, v.vector) for v in rows
    ]


def _wire(rows: Sequence[StateRow]) -> list[WireState]:
    return [WireState(one.kind, one.key, one.state) for one in rows]
