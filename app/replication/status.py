"""The mesh as operators see it, at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.log.hlc import wall_milliseconds
from app.replication.here import node_of
from app.store.replica import LogTruncatedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.replication.comparing import Compared, Repaired
    from app.replication.forgetting import Forgotten
    from app.replication.here import Here
    from app.replication.lane import Lane, Pushed
    from app.replication.membership import MemberStatus
    from app.replication.puller import Lack, Pulled
    from app.replication.receiver import Received
    from app.replication.scrubbing import Scrubbed
    from app.replication.snapshots import Taken
    from app.replication.truncating import Truncated
    from app.replication.vectors import Fetched
    from app.store.protocol import Store

QUARANTINE_COUNTED_MAX = 10_000


@dataclass(frozen=True, slots=True)
class OriginLag:
    """How far behind somebody is with one origin. `seconds` is the age of the oldest it lacks."""

    origin: str
    entries: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """One configured peer."""

    url: str
    node_id: str | None
    identity: str | None
    software: str | None
    state: str
    """`trying`, `up`, `down`, `refusing`, or `same_store` for one that shares this node's store."""
    failure: str | None
    detail: str | None
    heard_seconds_ago: float | None
    clock_offset_ms: int | None
    is_clock_off: bool
    round_trip_ms: float | None
    watermark: int
    """Up to which number of the current own origin the peer is known to hold the log."""
    clock: Mapping[str, int]
    lags: Sequence[OriginLag]
    """What it lacks of what is here; seconds where the entries are this node's own."""
    blocked: Mapping[str, str]
    pushed: Pushed
    digests_equal: bool | None
    """Whether its states are those here, as of the last comparison; None if that is not known."""
    compared_seconds_ago: float | None


@dataclass(frozen=True, slots=True)
class MeshStatus:
    """This node's part of the mesh."""

    node_id: str
    origin: str
    identity: str
    nodes: int
    needed: int
    clock: Mapping[str, int]
    max_offset_ms: int
    peers: Sequence[PeerStatus]
    lacks: Sequence[OriginLag]
    """What peers have and this node does not; seconds since that was noticed."""
    truncated: Mapping[str, int]
    """Origins that no reachable peer can hand on any more but by a snapshot, and its floor."""
    quarantined: int
    quarantine_codes: Mapping[str, int]
    waiting_writes: int
    renewals: int
    received: Received
    pulled: Pulled
    repaired: Repaired
    snapshots: Taken
    scrubbed: Scrubbed
    fetched: Fetched
    members: Sequence[MemberStatus]
    warnings: Sequence[str]
    """Where the list of peers and the membership differ."""
    log_truncated: Truncated
    forgotten: Forgotten


async def peer_status(
    lane: Lane, here: Here, store: Store, compared: Compared, *, now: float, now_ms: int
) -> PeerStatus:
    """One peer now; `now` is the event loop's time."""
    peer = lane.peer
    is_same = peer.store_id == store.store_id
    lags = []
    for origin, seq in here.clock.items():
        is_own = node_of(origin) == here.node_id
        theirs = lane.sent.get(origin, 0) if is_own else peer.clock.get(origin, 0)
        if seq > theirs and not is_same:
            age = await _age(store, origin, theirs, now_ms) if is_own else None
            lags.append(OriginLag(origin, seq - theirs, age))
    return PeerStatus(
        url=peer.url,
        node_id=peer.node_id,
        identity=peer.identity,
        software=peer.software,
        state="same_store" if is_same else lane.reach.value,
        failure=None if peer.error is None else peer.error.failure.value,
        detail=None if peer.error is None else peer.error.detail,
        heard_seconds_ago=None if peer.heard_at is None else now - peer.heard_at,
        clock_offset_ms=peer.offset_ms,
        is_clock_off=peer.is_off,
        round_trip_ms=peer.round_trip_ms,
        watermark=lane.sent.get(here.origin, 0),
        clock=dict(peer.clock),
        lags=lags,
        blocked={origin: block.value for origin, block in lane.blocked.items()},
        pushed=lane.counts,
        digests_equal=compared.is_equal,
        compared_seconds_ago=None if compared.at is None else now - compared.at,
    )


def lack_status(origin: str, lack: Lack, here: Here, now: float) -> OriginLag:
    """What this node lacks of one origin."""
    return OriginLag(origin, max(0, lack.target - here[origin]), now - lack.noticed)


async def _age(store: Store, origin: str, after: int, now_ms: int) -> float | None:
    try:
        run = await store.log_run(origin, after, 1)
    except LogTruncatedError:
        return None
    return (
        None if run is None else max(0.0, (now_ms - wall_milliseconds(run.entries[0].hlc)) / 1000)
    )
